/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Facts about one packet (or one connect) to a verdict. Pure: no helpers, no maps; compiled to BPF and to C++.
 *
 * A flow has the direction of its first packet. For TCP the socket knows it: a connection that came from a listener is
 * inbound for its whole life, whatever its ports are. For datagrams the first packet that a rule allowed is recorded. */
#pragma once

#include "bulkhead/decide_lease.h"

#define BH_PROTO_ICMP 1
#define BH_PROTO_TCP 6
#define BH_PROTO_UDP 17
#define BH_PROTO_DCCP 33
#define BH_PROTO_ICMPV6 58
#define BH_PROTO_SCTP 132
#define BH_PROTO_UDPLITE 136
#define BH_ICMP_ECHO_REPLY 0
#define BH_ICMPV6_ECHO_REPLY 129
#define BH_ND_FIRST 133 /* router solicitation, .. */
#define BH_ND_LAST 136  /* .. neighbour advertisement */
#define BH_ND_HOP_LIMIT 255
#define BH_ND_NEIGHBOUR_BYTES 32 /* solicitation or advertisement with one link-layer address option */

enum bh_fact {
	BH_LOOPBACK = 1 << 0,   /* on the loopback device, or to an address of this host */
	BH_CONTROL = 1 << 1,    /* the sensor's own socket and the control plane's endpoint */
	BH_NEIGHBOUR = 1 << 2,  /* IPv6 neighbour discovery that cannot have crossed a router */
	BH_TCP_SYN = 1 << 3,    /* TCP with SYN and without ACK: asks for a connection */
	BH_LISTENER = 1 << 4,   /* the packet's socket listens */
	BH_PASSIVE = 1 << 5,    /* the packet's socket came from a listener */
	BH_ECHO_REPLY = 1 << 6, /* ICMP echo reply: an answer by nature; the kernel sends it without a flow */
	BH_RULE = 1 << 7,       /* a rule of bh_flow_direction() matches */
	BH_REPLY = 1 << 8,      /* a recorded flow the other way matches, and so does its rule */
};

struct bh_flow {
	__u8 remote[16];
	__u16 remote_port;
	__u16 local_port;
	__u8 family;    /* enum bh_family */
	__u8 protocol;
	__u8 direction; /* of this packet: BH_INBOUND arrives, BH_OUTBOUND leaves */
	__u8 problem;   /* enum bh_counter BH_DROP_*; 0: parsed. BH_DROP_CONTAINED (0) is never a parse problem. */
	__u32 facts;    /* enum bh_fact */
};

enum bh_verdict { BH_DENY = 0, BH_ALLOW = 1 };
enum bh_wall { BH_NO_WALL = 0, BH_CONTAIN = 1, BH_ISOLATE = 2 };

struct bh_decision {
	__u16 verdict; /* enum bh_verdict */
	__u16 reason;  /* enum bh_counter, when denied */
};

BH_PURE struct bh_decision bh_allow(void)
{
	struct bh_decision decision = {BH_ALLOW, 0};

	return decision;
}

BH_PURE struct bh_decision bh_deny(__u16 reason)
{
	struct bh_decision decision = {BH_DENY, reason};

	return decision;
}

/* The strictest wall in this mode whose lease is not over. Isolation is stricter: it wins when both are ordered. */
BH_PURE __u8 bh_wall_in_mode(const struct bh_config *config, __u8 mode, __u64 now)
{
	if (bh_leased_mode(config->isolate, config->isolate_expires, now) == mode)
		return BH_ISOLATE;
	return bh_leased_mode(config->contain, config->contain_expires, now) == mode ? BH_CONTAIN : BH_NO_WALL;
}

/* The wall whose verdict counts. `now`: CLOCK_BOOTTIME, ns. */
BH_PURE __u8 bh_enforced_wall(const struct bh_config *config, __u64 now)
{
	return bh_wall_in_mode(config, BH_WALL_ENFORCE, now);
}

/* The wall that is only counted. */
BH_PURE __u8 bh_shadow_wall(const struct bh_config *config, __u64 now)
{
	return bh_wall_in_mode(config, BH_WALL_SHADOW, now);
}

BH_PURE __u8 bh_has_ports(__u8 protocol)
{
	return protocol == BH_PROTO_TCP || protocol == BH_PROTO_UDP || protocol == BH_PROTO_SCTP || protocol == BH_PROTO_DCCP ||
	       protocol == BH_PROTO_UDPLITE;
}

/* Which rules may allow this packet: those for flows that others open, or those for flows that this host opens. */
BH_PURE __u8 bh_flow_direction(const struct bh_flow *flow)
{
	if (flow->protocol == BH_PROTO_TCP && (flow->facts & BH_TCP_SYN))
		return flow->direction;
	if (flow->protocol == BH_PROTO_TCP)
		return flow->facts & (BH_LISTENER | BH_PASSIVE) ? BH_INBOUND : BH_OUTBOUND;
	if (flow->facts & BH_ECHO_REPLY)
		return flow->direction == BH_OUTBOUND ? BH_INBOUND : BH_OUTBOUND;
	return flow->direction;
}

/* The port that a rule of `direction` is about: this host's when others open, the remote one's when this host opens. */
BH_PURE __u16 bh_rule_port(const struct bh_flow *flow, __u8 direction)
{
	return direction == BH_INBOUND ? flow->local_port : flow->remote_port;
}

/* True when no rule is needed, whatever the wall. */
BH_PURE __u8 bh_always_allowed(const struct bh_flow *flow)
{
	return (flow->facts & (BH_LOOPBACK | BH_CONTROL | BH_NEIGHBOUR)) != 0;
}

BH_PURE struct bh_decision bh_decide_contain(const struct bh_flow *flow)
{
	if (flow->direction == BH_INBOUND)
		return bh_allow();
	if (flow->problem)
		return bh_deny(flow->problem);
	if (flow->protocol == BH_PROTO_TCP && bh_flow_direction(flow) == BH_INBOUND)
		return bh_allow();
	return bh_deny(BH_DROP_CONTAINED);
}

BH_PURE struct bh_decision bh_decide_isolate(const struct bh_flow *flow)
{
	if (flow->problem)
		return bh_deny(flow->problem);
	if (flow->facts & (BH_RULE | BH_REPLY))
		return bh_allow();
	return bh_deny(flow->direction == BH_INBOUND ? BH_DROP_INGRESS_NO_RULE : BH_DROP_EGRESS_NO_RULE);
}

/* The verdict of one wall. For BH_ISOLATE the caller has set BH_RULE and BH_REPLY. */
BH_PURE struct bh_decision bh_decide(__u8 wall, const struct bh_flow *flow)
{
	if (wall == BH_NO_WALL || bh_always_allowed(flow))
		return bh_allow();
	return wall == BH_ISOLATE ? bh_decide_isolate(flow) : bh_decide_contain(flow);
}

BH_PURE __u8 bh_is_link_local(const __u8 *ipv6)
{
	return ipv6[0] == 0xfe && (ipv6[1] & 0xc0) == 0x80;
}

/* Is this ICMPv6 message neighbour discovery that stays on the link? Hop limit 255 proves it for what arrives. What leaves goes to
 * the link's own addresses; to another unicast address only a plain solicitation or advertisement, without room for cargo. */
BH_PURE __u8 bh_is_neighbour(__u8 type, __u8 hop_limit, __u8 direction, const __u8 *remote, __u16 message_bytes)
{
	if (type < BH_ND_FIRST || type > BH_ND_LAST || hop_limit != BH_ND_HOP_LIMIT)
		return 0;
	if (direction == BH_INBOUND)
		return 1;
	if (remote[0] == 0xff && (remote[1] & 0x0f) == 2)
		return 1;
	if (bh_is_link_local(remote))
		return 1;
	return type >= BH_ND_LAST - 1 && message_bytes <= BH_ND_NEIGHBOUR_BYTES;
}

/* Index into bh_config.rules. */
BH_PURE __u32 bh_rule_kind(__u8 direction, __u8 family)
{
	return (direction == BH_INBOUND ? 0 : 1) + (family == BH_IPV4 ? 0 : 2);
}

/* Mask of word number `word`, 0..3, of an address with a prefix of `length` bits; host byte order. */
BH_PURE __u32 bh_mask_word(__u32 length, __u32 word)
{
	__u32 before = word * 32;

	if (length <= before)
		return 0;
	return length >= before + 32 ? 0xffffffff : ~(0xffffffff >> (length - before));
}

/* Did a rule of the set `serial` allow what this socket says to this peer before? Asked with the packet's own addresses: a socket can be
 * connected anew, and with TCP_REPAIR no packet shows it. */
BH_PURE __u8 bh_mark_allows(const struct bh_socket_mark *mark, const struct bh_flow *flow, __u32 serial)
{
	const __u32 *then = (const __u32 *)mark->remote, *now = (const __u32 *)flow->remote;

	if (!serial || mark->serial != serial || (flow->facts & (BH_TCP_SYN | BH_LISTENER)))
		return 0;
	if (mark->remote_port != flow->remote_port || mark->local_port != flow->local_port)
		return 0;
	return then[0] == now[0] && then[1] == now[1] && then[2] == now[2] && then[3] == now[3];
}

/* Is this port in the ranges that an entry holds itself? */
BH_PURE __u8 bh_range_match(const struct bh_rule_value *value, __u16 port)
{
	for (int i = 0; i < BH_RULE_RANGES; i++) {
		if (i < value->ranges && value->range[i].first <= port && port <= value->range[i].last)
			return 1;
	}
	return 0;
}
