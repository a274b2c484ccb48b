/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Bounded header parsing of an IP packet. What cannot be judged gets a problem, which a wall denies. */
#pragma once

#include "net.h"

#include <linux/ip.h>
#include <linux/ipv6.h>

#define BH_MAX_EXTENSIONS 4
#define BH_TCP_FLAGS_OFFSET 13
#define BH_TCP_FLAG_SYN 0x02
#define BH_TCP_FLAG_ACK 0x10
#define BH_NEXT_HOP_BY_HOP 0
#define BH_NEXT_ROUTING 43
#define BH_NEXT_FRAGMENT 44
#define BH_NEXT_DESTINATION 60
#define BH_NEXT_MOBILITY 135

/* Where the transport header is, and what neighbour discovery is judged by. */
struct bh_layout {
	__u32 transport;
	__u16 message_bytes;
	__u8 hop_limit;
};

/* An IPv4 header without options and the start of a TCP header, as on the wire. */
struct bh_plain_tcp {
	__u8 version_length;
	__u8 service;
	__u16 bytes;
	__u16 id;
	__u16 fragment;
	__u8 hops;
	__u8 protocol;
	__u16 checksum;
	__u32 source;
	__u32 destination;
	__u16 source_port;
	__u16 destination_port;
	__u32 sequence;
	__u32 acknowledged;
	__u8 offset;
	__u8 flags;
} __attribute__((packed, aligned(4)));

/* From the network header, wherever the hook's packet begins. */
static __always_inline long bh_load(const struct __sk_buff *skb, __u32 offset, void *to, __u32 bytes)
{
	return bpf_skb_load_bytes_relative(skb, offset, to, bytes, BPF_HDR_START_NET);
}

static __always_inline __u16 bh_parse_ipv4(struct __sk_buff *skb, struct bh_flow *flow, struct bh_layout *layout)
{
	struct iphdr header;

	if (bh_load(skb, 0, &header, sizeof(header)))
		return BH_DROP_TRUNCATED;
	flow->family = BH_IPV4;
	flow->protocol = header.protocol;
	bh_mapped_address(flow->remote, flow->direction == BH_OUTBOUND ? header.daddr : header.saddr);
	if (header.ihl != 5)
		return BH_DROP_IP_OPTIONS;
	if (header.frag_off & bpf_htons(0x3fff))
		return BH_DROP_FRAGMENT;
	layout->transport = sizeof(header);
	return 0;
}

/* Skips hop-by-hop and destination options. A routing header would make the address a lie, so it ends the walk. */
static __always_inline __u16 bh_skip_extensions(struct __sk_buff *skb, struct bh_flow *flow, struct bh_layout *layout)
{
	__u8 option[2];

#pragma unroll
	for (int i = 0; i < BH_MAX_EXTENSIONS; i++) {
		if (flow->protocol != BH_NEXT_HOP_BY_HOP && flow->protocol != BH_NEXT_DESTINATION)
			break;
		if (bh_load(skb, layout->transport, option, sizeof(option)))
			return BH_DROP_TRUNCATED;
		flow->protocol = option[0];
		layout->transport += (option[1] + 1) * 8;
	}
	if (flow->protocol == BH_NEXT_FRAGMENT)
		return BH_DROP_FRAGMENT;
	if (flow->protocol == BH_NEXT_HOP_BY_HOP || flow->protocol == BH_NEXT_DESTINATION ||
	    flow->protocol == BH_NEXT_ROUTING || flow->protocol == BH_NEXT_MOBILITY)
		return BH_DROP_EXTENSION_HEADER;
	return 0;
}

static __always_inline __u16 bh_parse_ipv6(struct __sk_buff *skb, struct bh_flow *flow, struct bh_layout *layout)
{
	struct ipv6hdr header;

	if (bh_load(skb, 0, &header, sizeof(header)))
		return BH_DROP_TRUNCATED;
	flow->family = BH_IPV6;
	flow->protocol = header.nexthdr;
	__builtin_memcpy(flow->remote, flow->direction == BH_OUTBOUND ? &header.daddr : &header.saddr, sizeof(flow->remote));
	layout->hop_limit = header.hop_limit;
	layout->message_bytes = bpf_ntohs(header.payload_len);
	layout->transport = sizeof(header);
	return bh_skip_extensions(skb, flow, layout);
}

static __always_inline void bh_tcp_facts(struct bh_flow *flow, __u8 flags)
{
	if ((flags & BH_TCP_FLAG_SYN) && !(flags & BH_TCP_FLAG_ACK))
		flow->facts |= BH_TCP_SYN;
}

static __always_inline __u16 bh_parse_ports(struct __sk_buff *skb, struct bh_flow *flow, const struct bh_layout *layout)
{
	bool leaves = flow->direction == BH_OUTBOUND;
	__u16 ports[2];
	__u8 flags;

	if (bh_load(skb, layout->transport, ports, sizeof(ports)))
		return BH_DROP_TRUNCATED;
	flow->local_port = bpf_ntohs(leaves ? ports[0] : ports[1]);
	flow->remote_port = bpf_ntohs(leaves ? ports[1] : ports[0]);
	if (flow->protocol != BH_PROTO_TCP)
		return 0;
	if (bh_load(skb, layout->transport + BH_TCP_FLAGS_OFFSET, &flags, sizeof(flags)))
		return BH_DROP_TRUNCATED;
	bh_tcp_facts(flow, flags);
	return 0;
}

static __always_inline __u16 bh_parse_icmp(struct __sk_buff *skb, struct bh_flow *flow, const struct bh_layout *layout)
{
	bool v6 = flow->protocol == BH_PROTO_ICMPV6;
	__u8 type;

	if (bh_load(skb, layout->transport, &type, sizeof(type)))
		return BH_DROP_TRUNCATED;
	if (type == (v6 ? BH_ICMPV6_ECHO_REPLY : BH_ICMP_ECHO_REPLY))
		flow->facts |= BH_ECHO_REPLY;
	if (v6 && flow->family == BH_IPV6 && layout->transport == sizeof(struct ipv6hdr) &&
	    bh_is_neighbour(type, layout->hop_limit, flow->direction, flow->remote, layout->message_bytes))
		flow->facts |= BH_NEIGHBOUR;
	return 0;
}

/* The first bytes of the packet, without a call where they lie in one piece and the hook's packet begins with them. */
static __always_inline bool bh_load_head(struct __sk_buff *skb, bool begins_with_network, struct bh_plain_tcp *head)
{
	const struct bh_plain_tcp *there = (void *)(long)skb->data;

	if (begins_with_network && (void *)(there + 1) <= (void *)(long)skb->data_end) {
		*head = *there;
		return true;
	}
	return !bh_load(skb, 0, head, sizeof(*head));
}

/* Most packets: IPv4 without options, TCP. Read at once, because each read is a call, and calls are half of what a packet costs.
 * False: it is another packet. */
static __always_inline bool bh_parse_plain_tcp(struct __sk_buff *skb, struct bh_flow *flow, bool begins_with_network)
{
	bool leaves = flow->direction == BH_OUTBOUND;
	struct bh_plain_tcp head;

	if (!bh_load_head(skb, begins_with_network, &head))
		return false;
	if (head.version_length != 0x45 || head.protocol != BH_PROTO_TCP || (head.fragment & bpf_htons(0x3fff)))
		return false;
	flow->family = BH_IPV4;
	flow->protocol = BH_PROTO_TCP;
	bh_mapped_address(flow->remote, leaves ? head.destination : head.source);
	flow->local_port = bpf_ntohs(leaves ? head.source_port : head.destination_port);
	flow->remote_port = bpf_ntohs(leaves ? head.destination_port : head.source_port);
	bh_tcp_facts(flow, head.flags);
	return true;
}

/* Fills everything of `flow` but the facts about its socket; flow->direction is set by the caller. Returns the problem. A cgroup's
 * packets begin with the network header, those of traffic control with the device's. Not static: see bh_rules_allow. */
__noinline int bh_parse_packet(struct __sk_buff *skb, struct bh_flow *flow, bool begins_with_network)
{
	struct bh_layout layout = {};
	__u8 version = 0;

	if (!flow)
		return BH_DROP_TRUNCATED;
	if (bh_parse_plain_tcp(skb, flow, begins_with_network))
		return 0;
	bh_load(skb, 0, &version, sizeof(version));
	version >>= 4;
	if (version == 4)
		flow->problem = bh_parse_ipv4(skb, flow, &layout);
	else if (version == 6)
		flow->problem = bh_parse_ipv6(skb, flow, &layout);
	else
		flow->problem = BH_DROP_TRUNCATED;
	if (flow->problem)
		return flow->problem;
	if (bh_has_ports(flow->protocol))
		flow->problem = bh_parse_ports(skb, flow, &layout);
	else if (flow->protocol == BH_PROTO_ICMP || flow->protocol == BH_PROTO_ICMPV6)
		flow->problem = bh_parse_icmp(skb, flow, &layout);
	return flow->problem;
}
