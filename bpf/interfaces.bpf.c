// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* The wall on the host's physical interfaces, for packets that no socket of this host sends as they leave.
 *
 * hook          sees                                                   does
 * tc egress     every frame that the kernel puts on the interface      verdict
 * tc ingress    every frame that arrives on it                         remembers TCP connections that others open, and, behind
 *                                                                      containment, who is there
 *
 * cgroup_skb judges what a socket sends, before it leaves. This program judges what it cannot see: packets forwarded for
 * containers, virtual machines and tun devices, packets that traffic control mirrored, and what a tunnel wrapped after it was
 * judged. A TCP packet that goes where its own socket says was judged already; all others are asked for again, by their header as
 * it leaves. A TCP connection that came in through the interface counts as opened by others, and no other does.
 *
 * Address resolution, which a host cannot do without, is judged by what it says (decide_resolution.h).
 *
 * Host-wide only, in the sensor's network namespace. The filter's answer to an allowed packet is "ask the next one", so filters of
 * others go on working while no wall is up; behind one they are taken away.
 *
 * Walls with a scope are not judged here: what is forwarded has no socket, so nothing tells whose it is. What a container
 * or unit sends was judged where its socket is; a virtual machine's packets are in nobody's scope.
 *
 * Does not stop: packet sockets with PACKET_QDISC_BYPASS and AF_XDP (frames.bpf.c does), netpoll and pktgen (their modules are
 * unloaded, sensor/kernel/kernel_senders), XDP programs and filters of others that are asked first (refused by frames.bpf.c, taken
 * away by sensor/kernel/interfaces); interfaces that appear, until the sensor has heard of them (milliseconds); what arrives and is
 * forwarded inwards: only its answers are cut.
 *
 * On failure: closed. A published set that cannot be read denies every frame. Nothing published: open. */
#include "resolution.h"

#include "bulkhead/decide_interfaces.h"

#include <linux/pkt_cls.h>

char _license[] SEC("license") = "GPL";

/* Volatile, and read before any branch: clang would share one computed address between fields, which the verifier forbids for a
 * socket. */
#define BH_SOCK_FIELD(sk, field) (*(volatile __typeof__((sk)->field) *)&(sk)->field)
#define BH_AF_INET 2
#define BH_AF_INET6 10

/* ---- Facts ---- */

static __always_inline __u8 bh_kind_of(const struct __sk_buff *skb)
{
	__u8 mac[6] = {};

	bpf_skb_load_bytes(skb, 0, mac, sizeof(mac));
	return bh_frame_kind(bpf_ntohs(skb->protocol), mac);
}

static __always_inline void bh_socket_peer(struct __sk_buff *skb, const struct bh_flow *flow, struct bh_peer *peer)
{
	struct bpf_sock *sk = skb->sk;
	__u32 *words = (__u32 *)peer->address;
	__u32 ipv4;

	if (!sk || (sk->family != BH_AF_INET && sk->family != BH_AF_INET6))
		return;
	ipv4 = BH_SOCK_FIELD(sk, dst_ip4);
	words[0] = BH_SOCK_FIELD(sk, dst_ip6[0]);
	words[1] = BH_SOCK_FIELD(sk, dst_ip6[1]);
	words[2] = BH_SOCK_FIELD(sk, dst_ip6[2]);
	words[3] = BH_SOCK_FIELD(sk, dst_ip6[3]);
	peer->port = bpf_ntohs(BH_SOCK_FIELD(sk, dst_port));
	peer->family = flow->family;
	if (flow->family == BH_IPV4)
		bh_mapped_address(peer->address, ipv4);
	else if (sk->family == BH_AF_INET)
		peer->family = 0;
}

static __always_inline bool bh_opened_by_others(const struct bh_flow *flow)
{
	struct bh_flow_key key;

	bh_flow_to_key(flow, BH_INBOUND, &key);
	return bpf_map_lookup_elem(&bh_arrivals, &key) != NULL;
}

/* Does a socket answer a connection that came from inside, with a source that somebody made up? To its socket it looks as if others
 * had opened it: whoever writes the first packet can hand it to loopback, or to a tunnel's end there. */
static __always_inline bool bh_forged_inside(struct __sk_buff *skb, const struct bh_flow *flow)
{
	struct bpf_sock *sk = skb->sk;
	struct bh_socket_mark *mark;

	if (!sk)
		return false;
	if (sk->state == BPF_TCP_LISTEN || sk->state == BPF_TCP_NEW_SYN_RECV)
		return !bh_opened_by_others(flow);
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return false;
	mark = bpf_sk_storage_get(&bh_sk, sk, NULL, 0);
	return mark && mark->origin == BH_ORIGIN_PASSIVE && !mark->outside;
}

/* ---- Hooks ---- */

static __always_inline int bh_deny_frame(const struct bh_config *config, __u8 wall, __u32 counter)
{
	bh_add(counter);
	bh_hit(bh_wall_policy(config, wall, 0));
	return TC_ACT_SHOT;
}

SEC("tc")
int bh_if_out(struct __sk_buff *skb)
{
	struct bh_flow flow = {.direction = BH_OUTBOUND};
	__u32 active = bh_active_slot();
	const struct bh_config *config;
	struct bh_peer peer = {};
	__u8 kind, wall;

	if (!active)
		return TC_ACT_UNSPEC;
	config = bh_slot_config(active);
	if (!config) {
		bh_add(BH_FAIL_NO_SET);
		return TC_ACT_SHOT;
	}
	wall = bh_enforced_wall(config, bh_wall_clock(config));
	kind = bh_kind_of(skb);
	if (wall == BH_NO_WALL || kind == BH_FRAME_LINK)
		return TC_ACT_UNSPEC;
	if (kind == BH_FRAME_ARP && bh_arp_passes(skb, active - 1, wall, skb->ingress_ifindex))
		return TC_ACT_UNSPEC;
	if (kind != BH_FRAME_IP)
		return bh_deny_frame(config, wall, kind == BH_FRAME_ARP ? BH_DROP_RESOLUTION : BH_DROP_INTERFACE);

	bh_parse_packet(skb, &flow, false);
	if ((flow.facts & BH_NEIGHBOUR) && !bh_discovery_passes(skb, active - 1, wall, skb->ingress_ifindex))
		return bh_deny_frame(config, wall, BH_DROP_RESOLUTION);
	bh_socket_peer(skb, &flow, &peer);
	if (bh_is_own(&flow, &peer) && !bh_forged_inside(skb, &flow))
		return TC_ACT_UNSPEC;
	if (flow.protocol == BH_PROTO_TCP && bh_opened_by_others(&flow))
		flow.facts |= BH_PASSIVE;
	if (bh_judge(config, active - 1, wall, &flow).verdict == BH_DENY)
		return bh_deny_frame(config, wall, BH_DROP_INTERFACE);
	return TC_ACT_UNSPEC;
}

/* Containment lets others open connections, so whoever is heard behind it may be asked for. */
static __always_inline bool bh_hears(void)
{
	__u32 active = bh_active_slot();
	const struct bh_config *config = active ? bh_slot_config(active) : NULL;

	return config && bh_enforced_wall(config, bh_wall_clock(config)) == BH_CONTAIN;
}

SEC("tc")
int bh_if_in(struct __sk_buff *skb)
{
	struct bh_flow flow = {.direction = BH_INBOUND};
	__u8 kind = bh_kind_of(skb), one = 1;
	struct bh_flow_key key;
	struct bh_arp arp;

	if (kind == BH_FRAME_ARP && bh_load_arp(skb, &arp, &flow, true) && bh_hears())
		bh_hear(&flow);
	if (kind != BH_FRAME_IP)
		return TC_ACT_UNSPEC;
	bh_parse_packet(skb, &flow, false);
	if (flow.problem)
		return TC_ACT_UNSPEC;
	if (bh_hears())
		bh_hear(&flow);
	if (!(flow.facts & BH_TCP_SYN))
		return TC_ACT_UNSPEC;
	bh_flow_to_key(&flow, BH_INBOUND, &key);
	if (bpf_map_update_elem(&bh_arrivals, &key, &one, BPF_ANY))
		bh_add(BH_FAIL_FLOW_RECORD);
	return TC_ACT_UNSPEC;
}
