/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Which requests put a program or a filter in front of the wall on the interfaces, or take an interface from under it. Pure.
 *
 * Packets that XDP sends (XDP_TX, bpf_redirect) pass no hook of traffic control, whichever interface they came from; a tc filter with
 * a smaller priority, and since 6.6 any tcx program, is asked before ours and can let a packet by. Numbers are kernel ABI. */
#pragma once

#include "bulkhead/decide_net.h"

/* What a request to rtnetlink is about. */
enum bh_request {
	BH_REQUEST_OTHER = 0,
	BH_REQUEST_FILTERS = 1, /* changes what traffic control asks */
	BH_REQUEST_LINK = 2,    /* changes an interface: its attributes tell what */
};

BH_PURE enum bh_request bh_request_kind(__u16 nlmsg_type)
{
	switch (nlmsg_type) {
	case 16: /* RTM_NEWLINK */
	case 19: /* RTM_SETLINK */
		return BH_REQUEST_LINK;
	case 36:  /* RTM_NEWQDISC */
	case 37:  /* RTM_DELQDISC */
	case 44:  /* RTM_NEWTFILTER */
	case 45:  /* RTM_DELTFILTER */
	case 100: /* RTM_NEWCHAIN */
	case 101: /* RTM_DELCHAIN */
		return BH_REQUEST_FILTERS;
	default:
		return BH_REQUEST_OTHER;
	}
}

enum bh_link_change {
	BH_LINK_HARMLESS = 0,
	BH_LINK_XDP = 1,  /* attaches or detaches an XDP program */
	BH_LINK_MOVE = 2, /* to another network namespace, where no filter of ours is */
};

/* `nla_type` without its flags. */
BH_PURE enum bh_link_change bh_link_change(__u16 nla_type)
{
	switch (nla_type) {
	case 19: /* IFLA_NET_NS_PID */
	case 28: /* IFLA_NET_NS_FD */
	case 46: /* IFLA_TARGET_NETNSID */
		return BH_LINK_MOVE;
	case 43: /* IFLA_XDP */
		return BH_LINK_XDP;
	default:
		return BH_LINK_HARMLESS;
	}
}

#define BH_REQUEST_EXCLUSIVE 0x200 /* NLM_F_EXCL */

/* Does a move take an interface away that the wall guards? Interfaces that are only being made, as those of containers are, may be
 * made anywhere; a request that goes by name does not say which it is. */
BH_PURE __u8 bh_moves_guarded(__u32 interface, __u8 guarded, __u16 nlmsg_flags)
{
	return interface ? guarded : !(nlmsg_flags & BH_REQUEST_EXCLUSIVE);
}

/* Commands of bpf(2) that can. */
#define BH_BPF_PROG_LOAD 5
#define BH_BPF_PROG_ATTACH 8
#define BH_BPF_PROG_TEST_RUN 10
#define BH_BPF_LINK_CREATE 28

#define BH_PROGRAM_XDP 6          /* BPF_PROG_TYPE_XDP */
#define BH_ATTACH_XDP 37          /* BPF_XDP */
#define BH_ATTACH_TCX_INGRESS 46  /* BPF_TCX_INGRESS, since 6.6 */
#define BH_ATTACH_TCX_EGRESS 47   /* BPF_TCX_EGRESS, since 6.6 */
#define BH_TEST_RUN_LIVE_FRAMES 2 /* BPF_F_TEST_XDP_LIVE_FRAMES */

BH_PURE __u8 bh_bpf_is_asked(int command)
{
	return command == BH_BPF_PROG_LOAD || command == BH_BPF_PROG_ATTACH || command == BH_BPF_PROG_TEST_RUN ||
	       command == BH_BPF_LINK_CREATE;
}

/* What such a call asks for, as far as it is read. */
struct bh_bpf_request {
	__u32 program_type; /* BPF_PROG_LOAD */
	__u32 attach_type;  /* BPF_PROG_ATTACH, BPF_LINK_CREATE */
	__u32 run_flags;    /* BPF_PROG_TEST_RUN */
};

/* Does the call load an XDP program, attach one or a tcx program, or send frames through one? */
BH_PURE __u8 bh_bpf_is_in_front(int command, const struct bh_bpf_request *request)
{
	switch (command) {
	case BH_BPF_PROG_LOAD:
		return request->program_type == BH_PROGRAM_XDP;
	case BH_BPF_PROG_ATTACH:
	case BH_BPF_LINK_CREATE:
		return request->attach_type == BH_ATTACH_XDP || request->attach_type == BH_ATTACH_TCX_INGRESS ||
		       request->attach_type == BH_ATTACH_TCX_EGRESS;
	case BH_BPF_PROG_TEST_RUN:
		return (request->run_flags & BH_TEST_RUN_LIVE_FRAMES) != 0;
	default:
		return 0;
	}
}
