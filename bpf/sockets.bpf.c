// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* Walks over the sockets of one network namespace, run by the sensor; nothing here stays attached.
 *
 * hook      program       does
 * iter/tcp  bh_mark_tcp   remembers for connections older than the sensor who opened them: a local port with a listener means others
 * iter/tcp  bh_list_tcp   lists connections that the set in force forbids, for the sensor to destroy
 * iter/udp  bh_list_udp   the same for connected UDP sockets
 *
 * The kernel's walk shows listeners before connections, which bh_mark_tcp relies on. Sockets outside the scope are skipped.
 *
 * On failure: a connection that is not listed is not destroyed; the wall still drops its packets. */
#include "net.h"

#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Local ports with a listener, in the namespace being walked; emptied by the sensor before each walk. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_LISTENERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u16);
	__type(value, __u8);
} bh_listeners SEC(".maps");

/* ---- Facts ---- */

static __always_inline bool bh_is_full_socket(const struct sock_common *common)
{
	__u8 state = BPF_CORE_READ(common, skc_state);

	return state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV;
}

static __always_inline void bh_describe(const struct sock *sk, struct bh_socket *socket)
{
	socket->protocol = BPF_CORE_READ(sk, sk_protocol);
	socket->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	socket->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	socket->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	socket->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (socket->family == AF_INET) {
		bh_mapped_address(socket->local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		bh_mapped_address(socket->remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else {
		BPF_CORE_READ_INTO(&socket->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&socket->remote, sk, __sk_common.skc_v6_daddr);
	}
}

/* The socket's next packet, as the wall would see it. */
static __always_inline void bh_next_packet(const struct bh_socket *socket, bool passive, bool sensor, bool own_namespace,
					   struct bh_flow *flow)
{
	const __u32 *local = (const __u32 *)socket->local, *remote = (const __u32 *)socket->remote;

	flow->direction = BH_OUTBOUND;
	flow->protocol = socket->protocol;
	flow->local_port = socket->local_port;
	flow->remote_port = socket->remote_port;
	__builtin_memcpy(flow->remote, socket->remote, sizeof(flow->remote));
	flow->family = !remote[0] && !remote[1] && remote[2] == bpf_htonl(0xffff) ? BH_IPV4 : BH_IPV6;
	if (passive)
		flow->facts |= BH_PASSIVE;
	if (bh_is_local_address(socket->remote, own_namespace) || (local[0] == remote[0] && local[1] == remote[1] &&
						    local[2] == remote[2] && local[3] == remote[3]))
		flow->facts |= BH_LOOPBACK;
	if (sensor && bh_is_control_plane(flow))
		flow->facts |= BH_CONTROL;
}

/* ---- Decide and record ---- */

static __always_inline int bh_list(struct bpf_iter_meta *meta, const struct sock *sk, bool passive)
{
	const struct bh_host *host = bh_host_facts();
	__u32 active = bh_active_slot();
	const struct bh_config *config = active ? bh_slot_config(active) : NULL;
	struct bh_socket socket = {};
	struct bh_flow flow = {};

	if (!host || !config || !bh_sock_in_scope(sk, host))
		return 0;
	bh_describe(sk, &socket);
	if (!socket.remote_port || socket.state == TCP_LISTEN || socket.state == TCP_CLOSE)
		return 0;
	bh_next_packet(&socket, passive, bh_sock_is_sensor(sk, host), bh_sock_in_own_namespace(sk, host), &flow);
	if (bh_judge(config, active - 1, bh_sock_walls(config, sk).enforced, &flow).verdict == BH_ALLOW)
		return 0;
	socket.cookie = bpf_get_socket_cookie((void *)sk);
	bpf_seq_write(meta->seq, &socket, sizeof(socket));
	return 0;
}

/* ---- Walks ---- */

SEC("iter/tcp")
int bh_mark_tcp(struct bpf_iter__tcp *ctx)
{
	const struct bh_host *host = bh_host_facts();
	struct sock_common *common = ctx->sk_common;
	struct bh_socket_mark mark = {.origin = BH_ORIGIN_ACTIVE, .outside = 1};
	struct tcp_sock *tcp;
	__u8 one = 1;
	__u16 port;

	if (!common || !host || !bh_is_full_socket(common) || !bh_sock_in_scope((void *)common, host))
		return 0;
	port = BPF_CORE_READ(common, skc_num);
	if (BPF_CORE_READ(common, skc_state) == TCP_LISTEN) {
		if (bpf_map_update_elem(&bh_listeners, &port, &one, BPF_ANY))
			bh_add(BH_FAIL_SOCKET_MARK);
		return 0;
	}
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp || bpf_sk_storage_get(&bh_sk, tcp, NULL, 0))
		return 0;
	if (bpf_map_lookup_elem(&bh_listeners, &port))
		mark.origin = BH_ORIGIN_PASSIVE;
	if (!bpf_sk_storage_get(&bh_sk, tcp, &mark, BPF_SK_STORAGE_GET_F_CREATE))
		bh_add(BH_FAIL_SOCKET_MARK);
	return 0;
}

SEC("iter/tcp")
int bh_list_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct tcp_sock *tcp;
	struct bh_socket_mark *mark;

	if (!common || !bh_is_full_socket(common))
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp)
		return 0;
	mark = bpf_sk_storage_get(&bh_sk, tcp, NULL, 0);
	return bh_list(ctx->meta, (struct sock *)tcp, mark && mark->origin == BH_ORIGIN_PASSIVE);
}

SEC("iter/udp")
int bh_list_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *udp = ctx->udp_sk;

	return udp ? bh_list(ctx->meta, (struct sock *)udp, false) : 0;
}
