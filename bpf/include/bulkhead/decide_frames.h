/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Which sockets and devices can reach a network past cgroup_skb, and what a wall makes of them. Pure. */
#pragma once

#include "bulkhead/decide_scope.h"

/* The kernel's address families that stay usable behind a wall; these numbers are kernel ABI. */
#define BH_FAMILY_UNIX 1     /* stays on this host */
#define BH_FAMILY_INET 2     /* every packet passes cgroup_skb */
#define BH_FAMILY_INET6 10   /* every packet passes cgroup_skb */
#define BH_FAMILY_KEY 15     /* talks to the kernel only */
#define BH_FAMILY_NETLINK 16 /* talks to the kernel only */
#define BH_FAMILY_ALG 38     /* talks to the kernel only */
#define BH_PROTOCOL_SMC 256  /* an AF_INET socket that moves its data to RDMA */

/* Stands for the family where a tun or tap device is meant. */
#define BH_FAMILY_TUN (-1)

/* Stands for the family where code of the kernel's own is meant, such as a module that generates packets. */
#define BH_FAMILY_KERNEL (-2)

/* Stands for the family where a program or filter in front of the wall on the interfaces is meant; see decide_in_front.h. */
#define BH_FAMILY_IN_FRONT (-3)

/* What is asked of a socket. */
enum bh_frames_use {
	BH_FRAMES_OPEN,    /* create it */
	BH_FRAMES_SEND,    /* send or connect */
	BH_FRAMES_RECEIVE, /* receive */
};

enum bh_frames_answer { BH_FRAMES_PASS = 0, BH_FRAMES_SHADOW = 1, BH_FRAMES_DENY = 2 };

/* Index into bh_f_count; names in sensor/kernel/frames/frame_wall.cc. */
enum bh_frames_counter {
	BH_FRAMES_DENIED_OPEN,
	BH_FRAMES_DENIED_SEND,
	BH_FRAMES_DENIED_RECEIVE,
	BH_FRAMES_DENIED_TUN,
	BH_FRAMES_DENIED_KERNEL,
	BH_FRAMES_DENIED_IN_FRONT,
	BH_FRAMES_WOULD_DENY, /* shadow mode */
	BH_FRAMES_NO_SET,     /* published rule set not found: denied */
	BH_FRAMES_COUNTERS
};

/* Does everything that such a socket sends or receives pass cgroup_skb, or never leave the host? */
BH_PURE __u8 bh_family_is_seen(int family, int protocol)
{
	switch (family) {
	case BH_FAMILY_INET:
	case BH_FAMILY_INET6:
		return protocol != BH_PROTOCOL_SMC;
	case BH_FAMILY_UNIX:
	case BH_FAMILY_KEY:
	case BH_FAMILY_NETLINK:
	case BH_FAMILY_ALG:
		return 1;
	default:
		return 0;
	}
}

/* Does `wall` forbid this use of a socket that cgroup_skb does not see? Containment is about what leaves; a new socket
 * could send. */
BH_PURE __u8 bh_wall_forbids(__u8 wall, enum bh_frames_use use)
{
	return wall == BH_ISOLATE || (wall == BH_CONTAIN && use != BH_FRAMES_RECEIVE);
}

/* `walls` are the caller's; NULL: a set is published and cannot be read, which fails closed. */
BH_PURE enum bh_frames_answer bh_decide_frames(const struct bh_walls *walls, enum bh_frames_use use)
{
	if (!walls || bh_wall_forbids(walls->enforced, use))
		return BH_FRAMES_DENY;
	return bh_wall_forbids(walls->shadow, use) ? BH_FRAMES_SHADOW : BH_FRAMES_PASS;
}

/* The counter of a denial. */
BH_PURE enum bh_frames_counter bh_frames_reason(int family, enum bh_frames_use use)
{
	if (family == BH_FAMILY_TUN)
		return BH_FRAMES_DENIED_TUN;
	if (family == BH_FAMILY_KERNEL)
		return BH_FRAMES_DENIED_KERNEL;
	if (family == BH_FAMILY_IN_FRONT)
		return BH_FRAMES_DENIED_IN_FRONT;
	if (use == BH_FRAMES_OPEN)
		return BH_FRAMES_DENIED_OPEN;
	return use == BH_FRAMES_SEND ? BH_FRAMES_DENIED_SEND : BH_FRAMES_DENIED_RECEIVE;
}
