// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* The wall: containment and isolation at the last point before a socket's packets leave and the first where they arrive.
 *
 * hook                  sees                                        does
 * cgroup_skb/egress     every IP packet that a socket sends          verdict
 * cgroup_skb/ingress    every IP packet delivered to a socket        verdict
 * sockops               a TCP connection becoming established        remembers who opened it
 *
 * Attached to the scope's cgroup (the root when host-wide) for as long as the sensor is installed, so that the history of sockets is known
 * when an order comes. Sees what routing and NAT made of a packet.
 *
 * Does not stop: frames that no IP socket sends (AF_PACKET, AF_XDP, tun devices behind forwarding, AF_VSOCK); packets that the
 * host forwards for others; a root user who detaches the programs (found and repaired within a second); data that a root
 * user writes into neighbour discovery on the local link.
 *
 * On failure: closed. A published set that cannot be read denies everything but loopback. Nothing published: open.
 *
 * The licence string below is what the kernel asks for before it lends its helpers; the text is offered under Apache-2.0 too. */
#include "packet.h"

char _license[] SEC("license") = "GPL";

/* ---- Facts ---- */

/* ifindex 1 is the loopback device of every network namespace: the kernel makes it first. */
#define BH_LOOPBACK_IFINDEX 1

static __always_inline void bh_socket_facts(struct __sk_buff *skb, struct bh_flow *flow)
{
	const struct bh_host *host = bh_host_facts();
	struct bpf_sock *sk = skb->sk;
	__u8 *origin;

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk)
		return;
	if (sk->state == BPF_TCP_LISTEN && flow->protocol == BH_PROTO_TCP)
		flow->facts |= BH_LISTENER;
	origin = bpf_sk_storage_get(&bh_sk, sk, NULL, 0);
	if (origin && *origin == BH_ORIGIN_PASSIVE)
		flow->facts |= BH_PASSIVE;
	if (host && host->sensor_cgroup && bpf_sk_cgroup_id(sk) == host->sensor_cgroup && bh_is_control_plane(flow))
		flow->facts |= BH_CONTROL;
}

/* ---- Record ---- */

static __always_inline void bh_record(const struct bh_policy_key *policy, __u32 counter)
{
	bh_add(counter);
	bh_hit(policy);
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

	bh_parse_packet(skb, &flow);
	bh_socket_facts(skb, &flow);
	decision = bh_judge(walls.enforced, &flow, active - 1);
	if (decision.verdict == BH_DENY) {
		bh_record(bh_policy_of(config, walls.enforced, walls.enforced_by, &room), decision.reason);
		return BH_DENY;
	}
	if (walls.shadow != BH_NO_WALL) {
		decision = bh_judge(walls.shadow, &flow, active - 1);
		if (decision.verdict == BH_DENY) {
			policy = bh_policy_of(config, walls.shadow, walls.shadow_by, &room);
			bh_record(policy, BH_SHADOW_DROP);
			bh_list_cut(&flow, policy, false);
		}
	}
	if ((flow.facts & BH_RULE) && flow.protocol != BH_PROTO_TCP && !(flow.facts & BH_ECHO_REPLY))
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

SEC("sockops")
int bh_sockops(struct bpf_sock_ops *ops)
{
	__u8 origin = BH_ORIGIN_UNKNOWN;

	if (ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		origin = BH_ORIGIN_PASSIVE;
	else if (ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		origin = BH_ORIGIN_ACTIVE;
	if (origin == BH_ORIGIN_UNKNOWN || !ops->sk)
		return 1;
	if (!bpf_sk_storage_get(&bh_sk, ops->sk, &origin, BPF_SK_STORAGE_GET_F_CREATE))
		bh_add(BH_FAIL_SOCKET_MARK);
	return 1;
}
