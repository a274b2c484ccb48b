/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * What the network objects share: their maps, the look-ups that complete the facts about a flow, and the verdict. */
#pragma once

#include "scope.h"

#include <bpf/bpf_endian.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_rules);
} bh_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_ports);
} bh_ports SEC(".maps");

/* Endpoints of the control plane, for the sensor's own sockets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_CONTROL_PLANE);
	__type(key, struct bh_endpoint);
	__type(value, __u8);
} bh_ctrl SEC(".maps");

/* Own addresses of the network namespace that bh_host names: what goes there stays on the loopback device. Only the first lines
 * need them; in other namespaces they refuse what the wall would pass: a connection to an own address that is not 127/8 or ::1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_LOCAL_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct bh_endpoint);
	__type(value, __u8);
} bh_local SEC(".maps");

/* Fails closed: a flow that was forgotten gets no replies. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BH_MAX_FLOWS);
	__type(key, struct bh_flow_key);
	__type(value, __u64);
} bh_flows SEC(".maps");

/* TCP connections that others opened to or through this host, as their first packet came through a guarded interface; the key's
 * direction is always inbound. Fails closed: one that was forgotten counts as opened from inside. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BH_MAX_ARRIVALS);
	__type(key, struct bh_flow_key);
	__type(value, __u8);
} bh_arrivals SEC(".maps");

/* Fails open: a destination that does not fit replaces the one that was not seen for longest. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BH_MAX_CUTS);
	__type(key, struct bh_cut_key);
	__type(value, __u64);
} bh_cuts SEC(".maps");

/* Who opened a TCP connection, and what a rule allowed it. Fails closed: a socket without a mark counts as opened by this host, and is
 * judged for each packet. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bh_socket_mark);
} bh_sk SEC(".maps");

static __always_inline void bh_mapped_address(__u8 *address, __u32 ipv4)
{
	__u32 *words = (__u32 *)address;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = ipv4;
}

static __always_inline bool bh_ports_match(__u32 slot, const struct bh_rule_value *value, __u16 port)
{
	struct bh_port_set *set;
	void *ports;

	if (value->any_port || bh_range_match(value, port))
		return true;
	if (!value->port_set)
		return false;
	ports = bpf_map_lookup_elem(&bh_ports, &slot);
	if (!ports)
		return false;
	set = bpf_map_lookup_elem(ports, &value->port_set);
	return set && (set->bits[port >> 3] & (1 << (port & 7)));
}

/* Whole words: a loop over bytes costs more than the look-up. */
static __always_inline void bh_mask_key(struct bh_rule_key *key)
{
	__u32 *words = (__u32 *)key->address;

#pragma unroll
	for (__u32 i = 0; i < 4; i++)
		words[i] &= bpf_htonl(bh_mask_word(key->length, i));
}

static __always_inline void bh_prefix_of(const __u8 *address, struct bh_rule_key *key)
{
	__builtin_memcpy(key->address, address, sizeof(key->address));
	bh_mask_key(key);
}

/* The longest entry that covers key->address; bits beyond its length are cleared in `key`. Binary search on prefix lengths (Waldvogel,
 * Varghese, Turner, Plattner: "Scalable High Speed IP Routing Lookups", SIGCOMM 1997): an entry at the middle length says that nothing
 * shorter is needed, none that nothing longer covers the address. One look-up when all prefixes have one length, at most eight. */
static __always_inline const struct bh_rule_value *bh_longest_rule(void *rules, const struct bh_rule_lengths *lengths,
								    const struct bh_flow *flow, struct bh_rule_key *key)
{
	const struct bh_rule_value *best = NULL, *found;
	__u32 low = 0, high = lengths->count, middle;

	for (int i = 0; i < BH_RULE_SEARCH && low < high; i++) {
		middle = (low + high) / 2;
		if (middle >= BH_RULE_LENGTHS)
			break;
		key->length = lengths->length[middle];
		bh_prefix_of(flow->remote, key);
		found = bpf_map_lookup_elem(rules, key);
		if (found) {
			best = found;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return best;
}

/* From one prefix with rules to the next shorter one that covers it. */
struct bh_rule_walk {
	struct bh_rule_key key;
	__u32 slot;
	__u16 port;
	__u8 parent; /* 1 + length of the next; 0: no other */
	__u8 match;
};

/* A callback of bpf_loop, not a loop: with the branches of one step unrolled the verifier gives up. */
static long bh_rule_step(__u32 step, struct bh_rule_walk *walk)
{
	void *rules = bpf_map_lookup_elem(&bh_rules, &walk->slot);
	const struct bh_rule_value *value;

	if (!rules)
		return 1;
	walk->key.length = walk->parent - 1;
	bh_mask_key(&walk->key);
	value = bpf_map_lookup_elem(rules, &walk->key);
	if (!value)
		return 1;
	walk->match = bh_ports_match(walk->slot, value, walk->port);
	walk->parent = value->parent;
	return walk->match || !walk->parent;
}

/* Does a rule for `protocol` (0: any) and `direction` match? */
static __always_inline bool bh_rule_match(const struct bh_flow *flow, __u8 direction, __u8 protocol,
					  const struct bh_rule_lengths *lengths, __u32 slot)
{
	struct bh_rule_walk walk = {
		.key = {.direction = direction, .protocol = protocol, .family = flow->family},
		.slot = slot,
		.port = bh_rule_port(flow, direction),
	};
	void *rules = bpf_map_lookup_elem(&bh_rules, &slot);
	const struct bh_rule_value *value;

	if (!rules)
		return false;
	value = bh_longest_rule(rules, lengths, flow, &walk.key);
	if (!value)
		return false;
	if (bh_ports_match(slot, value, walk.port))
		return true;
	walk.parent = value->parent;
	if (walk.parent)
		bpf_loop(BH_RULE_LENGTHS, bh_rule_step, &walk, 0);
	return walk.match;
}

/* Not static, so that the verifier checks it once by itself and not again in every state of every caller. */
__noinline int bh_rules_allow(const struct bh_config *config, const struct bh_flow *flow, __u8 direction, __u32 slot)
{
	const struct bh_rule_lengths *lengths;

	if (!flow || !config)
		return 0;
	lengths = &config->rules[bh_rule_kind(direction, flow->family)];
	return (lengths->some_protocol && bh_rule_match(flow, direction, flow->protocol, lengths, slot)) ||
	       (lengths->any_protocol && bh_rule_match(flow, direction, 0, lengths, slot));
}

static __always_inline void bh_flow_to_key(const struct bh_flow *flow, __u8 direction, struct bh_flow_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->remote, flow->remote, sizeof(key->remote));
	key->remote_port = flow->remote_port;
	key->local_port = flow->local_port;
	key->protocol = flow->protocol;
	key->family = flow->family;
	key->direction = direction;
}

static __always_inline void bh_record_flow(const struct bh_flow *flow)
{
	__u64 now = bpf_ktime_get_ns(), *last;
	struct bh_flow_key key;

	bh_flow_to_key(flow, flow->direction, &key);
	last = bpf_map_lookup_elem(&bh_flows, &key);
	/* In place: an update takes a new entry from the list and gives the old one back, for each packet. */
	if (last)
		*last = now;
	else if (bpf_map_update_elem(&bh_flows, &key, &now, BPF_ANY))
		bh_add(BH_FAIL_FLOW_RECORD);
}

static __always_inline bool bh_flow_recorded(const struct bh_flow *flow, __u8 direction)
{
	struct bh_flow_key key;
	__u64 *last;

	bh_flow_to_key(flow, direction, &key);
	last = bpf_map_lookup_elem(&bh_flows, &key);
	return last && bpf_ktime_get_ns() - *last < BH_REPLY_NS;
}

/* Completes the facts that only isolation asks for. */
static __always_inline void bh_ask_rules(const struct bh_config *config, struct bh_flow *flow, __u32 slot)
{
	__u8 other = flow->direction == BH_INBOUND ? BH_OUTBOUND : BH_INBOUND;

	if (flow->problem || (flow->facts & BH_RULE))
		return;
	if (bh_rules_allow(config, flow, bh_flow_direction(flow), slot))
		flow->facts |= BH_RULE;
	else if (flow->protocol != BH_PROTO_TCP && bh_flow_recorded(flow, other) && bh_rules_allow(config, flow, other, slot))
		flow->facts |= BH_REPLY;
}

/* The verdict of `wall` for a flow whose other facts are gathered; `config` is what `slot` holds. */
static __always_inline struct bh_decision bh_judge(const struct bh_config *config, __u32 slot, __u8 wall,
						     struct bh_flow *flow)
{
	if (wall == BH_ISOLATE && !bh_always_allowed(flow))
		bh_ask_rules(config, flow, slot);
	return bh_decide(wall, flow);
}

/* Lists what a shadow would have cut. `named`: the current process is the one that asks. */
static __always_inline void bh_list_cut(const struct bh_flow *flow, const struct bh_policy_key *policy, bool named)
{
	struct bh_cut_key key = {.policy = *policy, .protocol = flow->protocol, .direction = bh_flow_direction(flow)};
	__u64 one = 1, *count;

	key.port = bh_rule_port(flow, key.direction);
	__builtin_memcpy(key.remote, flow->remote, sizeof(key.remote));
	if (named)
		bpf_get_current_comm(key.comm, sizeof(key.comm));
	count = bpf_map_lookup_elem(&bh_cuts, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else if (bpf_map_update_elem(&bh_cuts, &key, &one, BPF_ANY))
		bh_add(BH_FAIL_CUT);
}

static __always_inline bool bh_is_control_plane(const struct bh_flow *flow)
{
	struct bh_endpoint key = {.port = flow->remote_port};

	__builtin_memcpy(key.address, flow->remote, sizeof(key.address));
	return flow->protocol == BH_PROTO_TCP && bpf_map_lookup_elem(&bh_ctrl, &key);
}

static __always_inline bool bh_is_local_address(const __u8 *address, bool own_namespace)
{
	const __u32 *words = (const __u32 *)address;
	struct bh_endpoint key = {};

	if (!words[0] && !words[1] && words[2] == bpf_htonl(0xffff) && (!words[3] || address[12] == 127))
		return true;
	if (!words[0] && !words[1] && !words[2] && (!words[3] || words[3] == bpf_htonl(1)))
		return true;
	if (!own_namespace)
		return false;
	__builtin_memcpy(key.address, address, sizeof(key.address));
	return bpf_map_lookup_elem(&bh_local, &key) != NULL;
}

/* Is this `struct sock` in the scope? For programs that see it by BTF. */
static __always_inline bool bh_sock_in_scope(const struct sock *sk, const struct bh_host *host)
{
	return bh_cgroup_ancestor(BPF_CORE_READ(sk, sk_cgrp_data.cgroup), host->scope_level) == host->scope_cgroup;
}

static __always_inline bool bh_sock_in_own_namespace(const struct sock *sk, const struct bh_host *host)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie) == host->netns_cookie;
}

static __always_inline bool bh_sock_is_sensor(const struct sock *sk, const struct bh_host *host)
{
	return host->sensor_cgroup && BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id) == host->sensor_cgroup;
}
