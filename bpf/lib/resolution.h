/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Gathers what the decision about address resolution needs: the message, the frame's addresses, and whose the address is. */
#pragma once

#include "packet.h"

#include "bulkhead/decide_resolution.h"

/* Gateways, what is on the way to the control plane, and what bonds watch -> 1; port 0. Written by the sensor. The unspecified IPv6
 * address in it says that the sensor could not tell, or that an interface is no Ethernet: nothing is judged then. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_NEAR);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct bh_endpoint);
	__type(value, __u8);
} bh_if_near SEC(".maps");

/* This host's addresses in the namespace of the interfaces -> 1; port 0. Written by the sensor. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_LOCAL_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct bh_endpoint);
	__type(value, __u8);
} bh_if_own SEC(".maps");

/* Who sent something while containment was in force -> 1; port 0. Fails closed: who is forgotten is asked for when heard again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BH_MAX_HEARD);
	__type(key, struct bh_endpoint);
	__type(value, __u8);
} bh_if_heard SEC(".maps");

#define BH_ETHERNET_BYTES 12 /* both addresses */
#define BH_PADDING_BYTES 18  /* in the smallest Ethernet frame with ARP */

/* ---- Whose is an address? ---- */

/* Steps through every direction and protocol that a rule may be for. */
struct bh_rule_about {
	struct bh_flow flow;
	__u32 slot;
	bool found;
};
#define BH_RULE_ABOUT_STEPS 512

static long bh_rule_about_step(__u32 index, struct bh_rule_about *about)
{
	struct bh_rule_key key = {
		.direction = index & 1 ? BH_INBOUND : BH_OUTBOUND, .protocol = index >> 1, .family = about->flow.family};
	const struct bh_config *config = bh_slot_config(about->slot + 1);
	void *rules = bpf_map_lookup_elem(&bh_rules, &about->slot);
	const struct bh_rule_lengths *lengths;
	const struct bh_rule_value *value;
	__u32 kind;

	if (!config || !rules)
		return 1;
	kind = bh_rule_kind(key.direction, key.family);
	/* 6.1's verifier loses its bounds in what clang makes of it; clang must not know that it is asked again. */
	asm volatile("" : "+r"(kind));
	if (kind >= BH_RULE_KINDS)
		return 1;
	lengths = &config->rules[kind];
	if (key.protocol ? !lengths->some_protocol : !lengths->any_protocol)
		return 0;
	value = bh_longest_rule(rules, lengths, &about->flow, &key);
	/* An entry without ports stands on the way to a longer prefix. */
	about->found = value && (value->any_port || value->ranges || value->port_set || value->parent);
	return about->found;
}

/* Who has flow->remote, as far as the wall asks: enum bh_known. Not static: see bh_rules_allow. */
__noinline int bh_known_as(const struct bh_flow *flow, __u32 slot, __u8 wall)
{
	struct bh_rule_about about = {.slot = slot};
	struct bh_endpoint address = {};

	if (!flow)
		return 0;
	__builtin_memcpy(address.address, flow->remote, sizeof(address.address));
	if (bpf_map_lookup_elem(&bh_if_near, &address))
		return BH_KNOWN_NEAR;
	if (wall == BH_CONTAIN)
		return bpf_map_lookup_elem(&bh_if_heard, &address) ? BH_KNOWN_HEARD : 0;
	about.flow = *flow;
	bpf_loop(BH_RULE_ABOUT_STEPS, bh_rule_about_step, &about, 0);
	return about.found ? BH_KNOWN_RULE : 0;
}

static __always_inline bool bh_resolution_is_judged(void)
{
	struct bh_endpoint nobody = {};

	return !bpf_map_lookup_elem(&bh_if_near, &nobody);
}

/* Rules are asked only where the answer counts: most ARP that leaves answers somebody. */
static __always_inline bool bh_may_say(enum bh_resolution says, const struct bh_flow *flow, __u32 slot, __u8 wall)
{
	bool matters = says == BH_SAYS_ASKS || says == BH_SAYS_ANSWERS;

	return bh_resolution_passes(says, wall, matters ? bh_known_as(flow, slot, wall) : 0);
}

static __always_inline bool bh_is_own_address(const __u8 *ipv6)
{
	struct bh_endpoint address = {};

	__builtin_memcpy(address.address, ipv6, sizeof(address.address));
	return bpf_map_lookup_elem(&bh_if_own, &address) != NULL;
}

static __always_inline void bh_hear(const struct bh_flow *flow)
{
	struct bh_endpoint address = {};
	__u8 one = 1;

	__builtin_memcpy(address.address, flow->remote, sizeof(address.address));
	if (!bpf_map_lookup_elem(&bh_if_heard, &address))
		bpf_map_update_elem(&bh_if_heard, &address, &one, BPF_ANY);
}

/* ---- The messages ---- */

static __always_inline bool bh_reaches(const struct __sk_buff *skb, __u32 offset)
{
	__u8 byte;

	return !bh_load(skb, offset, &byte, sizeof(byte));
}

static __always_inline bool bh_load_arp(const struct __sk_buff *skb, struct bh_arp *arp, struct bh_flow *flow, bool sender)
{
	__u32 address;

	if (bh_load(skb, 0, arp, sizeof(*arp)))
		return false;
	__builtin_memcpy(&address, sender ? arp->sender : arp->target, sizeof(address));
	flow->family = BH_IPV4;
	bh_mapped_address(flow->remote, address);
	return true;
}

/* `forwarded`: it came in through another interface, a bridge say, and speaks for another machine. Such a frame may be padded. */
static __always_inline bool bh_arp_passes(const struct __sk_buff *skb, __u32 slot, __u8 wall, bool forwarded)
{
	struct bh_flow flow = {};
	struct bh_arp arp;
	__u8 mac[6] = {};

	if (!bh_resolution_is_judged())
		return true;
	bpf_skb_load_bytes(skb, 0, mac, sizeof(mac));
	if (!bh_load_arp(skb, &arp, &flow, false) || bh_reaches(skb, sizeof(arp) + (forwarded ? BH_PADDING_BYTES : 0)))
		return false;
	return bh_may_say(bh_arp_says(&arp, mac), &flow, slot, wall);
}

/* An IPv6 packet with a message of neighbour discovery. */
struct bh_discovery_packet {
	__u8 macs[BH_ETHERNET_BYTES]; /* destination, source */
	struct ipv6hdr header;
	struct bh_discovery message;
	__u32 bytes; /* of the message */
};

/* False where there is room beside the message. */
static __always_inline bool bh_load_discovery(const struct __sk_buff *skb, struct bh_discovery_packet *packet)
{
	__u32 at = sizeof(packet->header);

	bpf_skb_load_bytes(skb, 0, packet->macs, sizeof(packet->macs));
	if (bh_load(skb, 0, &packet->header, sizeof(packet->header)))
		return false;
	packet->bytes = bpf_ntohs(packet->header.payload_len);
	if (packet->header.nexthdr != BH_PROTO_ICMPV6 || packet->header.flow_lbl[0] & 0x0f || packet->header.flow_lbl[1] ||
	    packet->header.flow_lbl[2] || bh_reaches(skb, at + packet->bytes))
		return false;
	/* From the longest to the shortest message that there is. */
	return !bh_load(skb, at, &packet->message, sizeof(packet->message)) ||
	       !bh_load(skb, at, &packet->message, BH_DISCOVERY_BYTES) ||
	       !bh_load(skb, at, &packet->message, BH_ROUTER_SOLICITATION_BYTES + BH_DISCOVERY_OPTION_BYTES) ||
	       !bh_load(skb, at, &packet->message, BH_ROUTER_SOLICITATION_BYTES);
}

/* Does the host speak for itself? */
static __always_inline bool bh_discovery_is_own(const struct bh_discovery_packet *packet, enum bh_resolution says)
{
	const __u8 *source = (const __u8 *)&packet->header.saddr;

	if (says == BH_SAYS_PLAIN && bh_is_unspecified(source))
		return true;
	return bh_is_own_address(source) && (says != BH_SAYS_ANSWERS || bh_is_own_address(packet->message.target));
}

/* All that its writer could choose is judged, but the traffic class. */
static __always_inline bool bh_discovery_passes(const struct __sk_buff *skb, __u32 slot, __u8 wall, bool forwarded)
{
	struct bh_discovery_packet packet = {};
	struct bh_flow flow = {.family = BH_IPV6};
	enum bh_resolution says;
	const __u8 *other;

	if (!bh_resolution_is_judged())
		return true;
	if (!bh_load_discovery(skb, &packet))
		return false;
	other = (const __u8 *)&packet.header.daddr;
	says = bh_discovery_says(&packet.message, packet.bytes, other, packet.macs + 6);
	if (!forwarded && !bh_discovery_is_own(&packet, says))
		return false;
	if (says == BH_SAYS_ASKS)
		other = packet.message.target;
	else if (says == BH_SAYS_ANSWERS && bh_is_link_local(other))
		return true;
	__builtin_memcpy(flow.remote, other, sizeof(flow.remote));
	return bh_may_say(says, &flow, slot, wall);
}
