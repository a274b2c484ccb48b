// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* The wall: containment and isolation at the last point before a socket's packets leave and the first where they arrive.
 *
 * hook                  sees                                        does
 * cgroup_skb/egress     every IP packet that a socket sends          verdict
 * cgroup_skb/ingress    every IP packet delivered to a socket        verdict
 * sockops               a TCP connection becoming established        remembers who opened it, and whether from outside
 *
 * Attached to the scope's cgroup (the root when host-wide) for as long as the sensor is installed, so that the history of sockets is known
 * when an order comes. Sees what routing and NAT made of a packet.
 *
 * Does not stop: frames that no IP socket sends (AF_PACKET, AF_XDP, tun devices behind forwarding, AF_VSOCK); packets that the
 * host forwards for others; a root user who detaches the programs (found and repaired within a second); data that a root
 * user writes into neighbour discovery (interfaces.bpf.c does, for the whole host).
 *
 * On failure: closed. A published set that cannot be read denies everything but loopback. Nothing published: open.
 *
 * The licence string below is what the kernel asks for before it lends its helpers; the text is offered under Apache-2.0 too. */
#include "packet.h"

char _license[] SEC("license") = "GPL";

/* ---- Facts ---- */

/* ifindex 1 is the loopback device of every network namespace: the kernel makes it first. */
#define BH_LOOPBACK_IFINDEX 1

/* What the packet's socket tells; only TCP asks. Returns its mark, where what a rule allows may be remembered. */
static __always_inline struct bh_socket_mark *bh_socket_facts(struct __sk_buff *skb, struct bh_flow *flow, __u32 serial)
{
	const struct bh_host *host = bh_host_facts();
	struct bpf_sock *sk = skb->sk;
	struct bh_socket_mark *mark;

	if (flow->protocol != BH_PROTO_TCP || flow->problem || !sk)
		return NULL;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return NULL;
	if (sk->state == BPF_TCP_LISTEN)
		flow->facts |= BH_LISTENER;
	mark = bpf_sk_storage_get(&bh_sk, sk, NULL, 0);
	if (mark && mark->origin == BH_ORIGIN_PASSIVE)
		flow->facts |= BH_PASSIVE;
	if (mark && bh_mark_allows(mark, flow, serial))
		flow->facts |= BH_RULE;
	if (host && host->sensor_cgroup && bpf_sk_cgroup_id(sk) == host->sensor_cgroup && bh_is_control_plane(flow))
		flow->facts |= BH_CONTROL;
	return mark;
}

/* ---- Record ---- */

static __always_inline void bh_record(const struct bh_policy_key *policy, __u32 counter)
{
	bh_add(counter);
	bh_hit(policy);
}

/* Two packets of one socket may write at once on two processors; they write the same, because a socket has one peer. */
static __always_inline void bh_remember(const struct bh_flow *flow, __u32 serial, struct bh_socket_mark *mark)
{
	if (!mark || mark->serial == serial || !(flow->facts & BH_RULE) || (flow->facts & (BH_TCP_SYN | BH_LISTENER)))
		return;
	__builtin_memcpy(mark->remote, flow->remote, sizeof(mark->remote));
	mark->remote_port = flow->remote_port;
	mark->local_port = flow->local_port;
	mark->serial = serial;
}

/* ---- Hooks ---- */

static __always_inline __u64 bh_skb_ancestor(void *sk, __u32 level)
{
	return bpf_sk_ancestor_cgroup_id(sk, level);
}

/* Packets without a socket stand behind the wall without a scope only. */
static __always_inline struct bh_walls bh_skb_walls(const struct bh_config *config, struct __sk_buff *skb)
{
	if (config->scoped_walls) {
		struct bpf_sock *sk = skb->sk;

		if (sk)
			return bh_covering_walls(config, bh_covered(config, sk, bh_skb_ancestor));
	}
	return bh_host_walls(config, bh_wall_clock(config));
}

static __always_inline int bh_wall(struct __sk_buff *skb, __u8 direction)
{
	struct bh_flow flow = {.direction = direction};
	__u32 active = bh_active_slot();
	const struct bh_config *config;
	struct bh_socket_mark *mark;
	const struct bh_policy_key *policy;
	struct bh_policy_key room = {};
	struct bh_decision decision;
	struct bh_walls walls;

	if (!active || skb->ifindex == BH_LOOPBACK_IFINDEX)
		return BH_ALLOW;
	config = bh_slot_config(active);
	if (!config) {
		bh_add(BH_FAIL_NO_SET);
		return BH_DENY;
	}
	walls = bh_skb_walls(config, skb);
	if (walls.enforced == BH_NO_WALL && walls.shadow == BH_NO_WALL)
		return BH_ALLOW;

	bh_parse_packet(skb, &flow, true);
	mark = bh_socket_facts(skb, &flow, config->serial);
	decision = bh_judge(config, active - 1, walls.enforced, &flow);
	if (decision.verdict == BH_DENY) {
		bh_record(bh_policy_of(config, walls.enforced, walls.enforced_by, &room), decision.reason);
		return BH_DENY;
	}
	if (walls.shadow != BH_NO_WALL) {
		decision = bh_judge(config, active - 1, walls.shadow, &flow);
		if (decision.verdict == BH_DENY) {
			policy = bh_policy_of(config, walls.shadow, walls.shadow_by, &room);
			bh_record(policy, BH_SHADOW_DROP);
			bh_list_cut(&flow, policy, false);
		}
	}
	if (flow.protocol == BH_PROTO_TCP)
		bh_remember(&flow, config->serial, mark);
	else if ((flow.facts & BH_RULE) && !(flow.facts & BH_ECHO_REPLY))
		bh_record_flow(&flow);
	return BH_ALLOW;
}

SEC("cgroup_skb/egress")
int bh_egress(struct __sk_buff *skb)
{
	return bh_wall(skb, BH_OUTBOUND);
}

SEC("cgroup_skb/ingress")
int bh_ingress(struct __sk_buff *skb)
{
	return bh_wall(skb, BH_INBOUND);
}

/* Did the first packet of this connection come through a guarded interface? Where nobody records that: yes. */
static __always_inline bool bh_from_outside(struct bpf_sock_ops *ops)
{
	struct bh_flow_key key = {.protocol = BH_PROTO_TCP, .direction = BH_INBOUND, .family = BH_IPV6};
	const struct bh_host *host = bh_host_facts();
	__u32 *words = (__u32 *)key.remote;

	if (!host || !host->arrivals)
		return true;
	if (ops->family == AF_INET) {
		bh_mapped_address(key.remote, ops->remote_ip4);
	} else {
		words[0] = ops->remote_ip6[0];
		words[1] = ops->remote_ip6[1];
		words[2] = ops->remote_ip6[2];
		words[3] = ops->remote_ip6[3];
	}
	if (!words[0] && !words[1] && words[2] == bpf_htonl(0xffff))
		key.family = BH_IPV4;
	key.remote_port = bpf_ntohl(ops->remote_port);
	key.local_port = ops->local_port;
	return bpf_map_lookup_elem(&bh_arrivals, &key) != NULL;
}

SEC("sockops")
int bh_sockops(struct bpf_sock_ops *ops)
{
	struct bh_socket_mark fresh = {}, *mark;
	struct bpf_sock *sk = ops->sk;

	if (ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		fresh.origin = BH_ORIGIN_PASSIVE;
	else if (ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		fresh.origin = BH_ORIGIN_ACTIVE;
	if (fresh.origin == BH_ORIGIN_UNKNOWN || !sk)
		return 1;
	if (fresh.origin == BH_ORIGIN_PASSIVE)
		fresh.outside = bh_from_outside(ops);
	mark = bpf_sk_storage_get(&bh_sk, sk, &fresh, BPF_SK_STORAGE_GET_F_CREATE);
	/* A socket that was accepted can be connected elsewhere: who opened it is told anew each time. */
	if (mark)
		*mark = fresh;
	else
		bh_add(BH_FAIL_SOCKET_MARK);
	return 1;
}
