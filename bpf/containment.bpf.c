// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* The first lines in front of the wall: a clean error, or death, for the process that tries to reach out.
 *
 * hook                        sees                                     does
 * cgroup/connect4, connect6   connect(2), before anything is sent      EPERM when the wall would drop the first packet
 * cgroup/sendmsg4, sendmsg6   sendto(2) with an address                the same, before a neighbour is asked for
 * kprobe/tcp_connect          every TCP connection about to send SYN   SIGKILL where the policy asks for it, else counts
 * fentry/tcp_connect          the same, where there are no kprobes
 * raw_tp/inet_sock_set_state  the same, where there is neither: the state turns SYN_SENT just before tcp_connect
 *
 * The three last are alternatives; the sensor attaches the first that works. They run for the whole host and look only at
 * processes inside the scope. A cgroup hook cannot send signals, so a connect that is to be killed passes the first
 * line and is killed in tcp_connect; its SYN does not survive the wall.
 *
 * Do not stop: anything that is not connect or sendto with an address. The wall (isolation.bpf.c) does not depend on them.
 *
 * On failure: open, because the wall behind is closed. */
#include "net.h"

#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* ---- Facts ---- */

static __always_inline void bh_set_remote(struct bh_flow *flow, const __u8 *address)
{
	const __u32 *words = (const __u32 *)address;

	__builtin_memcpy(flow->remote, address, sizeof(flow->remote));
	flow->family = !words[0] && !words[1] && words[2] == bpf_htonl(0xffff) ? BH_IPV4 : BH_IPV6;
}

static __always_inline void bh_connect_facts(struct bh_flow *flow, bool sensor, bool own_namespace)
{
	flow->direction = BH_OUTBOUND;
	if (flow->protocol == BH_PROTO_TCP)
		flow->facts |= BH_TCP_SYN;
	if (bh_is_local_address(flow->remote, own_namespace))
		flow->facts |= BH_LOOPBACK;
	if (sensor && bh_is_control_plane(flow))
		flow->facts |= BH_CONTROL;
}

/* ---- Record ---- */

static __always_inline void bh_report(const struct bh_flow *flow, const struct bh_policy_key *policy, __u8 action)
{
	struct bh_event *event = bh_new_event(BH_EVENT_CONNECT, action, policy);

	if (!event)
		return;
	event->port = flow->remote_port;
	event->protocol = flow->protocol;
	__builtin_memcpy(event->address, flow->remote, sizeof(event->address));
	bpf_ringbuf_submit(event, 0);
}

/* As bh_killer, for the current process; not static for the reason that bh_choose_walls gives. */
__noinline __u32 bh_current_killer(const struct bh_config *config)
{
	if (!config)
		return 0;
	return bh_killer(config, bh_current_covered(config), bpf_ktime_get_boot_ns());
}

/* ---- First line: 1 lets the call go on, 0 is EPERM ---- */

static __always_inline int bh_first_line(struct bpf_sock_addr *ctx, struct bh_flow *flow, enum bh_counter counter)
{
	const struct bh_host *host = bh_host_facts();
	__u32 active = bh_active_slot();
	const struct bh_config *config;
	const struct bh_policy_key *policy;
	struct bh_policy_key room = {};
	struct bh_walls walls;

	config = active ? bh_slot_config(active) : NULL;
	if (!config || !host)
		return 1;
	walls = bh_current_walls(config);
	if (walls.enforced == BH_NO_WALL && walls.shadow == BH_NO_WALL)
		return 1;
	bh_connect_facts(flow, bh_in_sensor_cgroup(host), bpf_get_netns_cookie(ctx) == host->netns_cookie);
	if (bh_judge(config, active - 1, walls.enforced, flow).verdict == BH_DENY) {
		if (flow->protocol == BH_PROTO_TCP && host->kill_connect && bh_current_killer(config))
			return 1;
		policy = bh_policy_of(config, walls.enforced, walls.enforced_by, &room);
		bh_add(counter);
		bh_hit(policy);
		bh_report(flow, policy, BH_ACTION_DENY);
		return 0;
	}
	if (bh_judge(config, active - 1, walls.shadow, flow).verdict == BH_DENY) {
		bh_add(BH_SHADOW_CONNECT);
		policy = bh_policy_of(config, walls.shadow, walls.shadow_by, &room);
		bh_list_cut(flow, policy, true);
		bh_report(flow, policy, BH_ACTION_NOTIFY);
	}
	return 1;
}

static __always_inline int bh_first_line4(struct bpf_sock_addr *ctx, enum bh_counter counter)
{
	struct bh_flow flow = {.protocol = ctx->protocol, .remote_port = bpf_ntohs(ctx->user_port)};
	struct bpf_sock *sk = ctx->sk;

	flow.family = BH_IPV4;
	bh_mapped_address(flow.remote, ctx->user_ip4);
	if (sk)
		flow.local_port = sk->src_port;
	return bh_first_line(ctx, &flow, counter);
}

static __always_inline int bh_first_line6(struct bpf_sock_addr *ctx, enum bh_counter counter)
{
	struct bh_flow flow = {.protocol = ctx->protocol, .remote_port = bpf_ntohs(ctx->user_port)};
	struct bpf_sock *sk = ctx->sk;
	__u32 address[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};

	bh_set_remote(&flow, (__u8 *)address);
	if (sk)
		flow.local_port = sk->src_port;
	return bh_first_line(ctx, &flow, counter);
}

SEC("cgroup/connect4")
int bh_connect4(struct bpf_sock_addr *ctx)
{
	return bh_first_line4(ctx, BH_DENY_CONNECT);
}

SEC("cgroup/connect6")
int bh_connect6(struct bpf_sock_addr *ctx)
{
	return bh_first_line6(ctx, BH_DENY_CONNECT);
}

SEC("cgroup/sendmsg4")
int bh_sendmsg4(struct bpf_sock_addr *ctx)
{
	return bh_first_line4(ctx, BH_DENY_SENDMSG);
}

SEC("cgroup/sendmsg6")
int bh_sendmsg6(struct bpf_sock_addr *ctx)
{
	return bh_first_line6(ctx, BH_DENY_SENDMSG);
}

/* ---- tcp_connect ---- */

static __always_inline void bh_tcp_flow(const struct sock *sk, struct bh_flow *flow)
{
	__u8 address[16] __attribute__((aligned(4)));

	flow->protocol = BH_PROTO_TCP;
	flow->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	flow->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		flow->family = BH_IPV4;
		bh_mapped_address(flow->remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
		return;
	}
	BPF_CORE_READ_INTO(&address, sk, __sk_common.skc_v6_daddr);
	bh_set_remote(flow, address);
}

static __always_inline int bh_last_moment(const struct sock *sk)
{
	const struct bh_host *host = bh_host_facts();
	__u32 active = bh_active_slot();
	const struct bh_config *config;
	const struct bh_policy_key *policy;
	struct bh_policy_key room = {};
	struct bh_flow flow = {};
	__u32 killer;
	__u8 wall;

	config = active ? bh_slot_config(active) : NULL;
	if (!config || !host || !bh_current_in_scope(host))
		return 0;
	wall = bh_current_walls(config).enforced;
	if (wall == BH_NO_WALL)
		return 0;
	bh_tcp_flow(sk, &flow);
	bh_connect_facts(&flow, bh_sock_is_sensor(sk, host), bh_sock_in_own_namespace(sk, host));
	if (bh_judge(config, active - 1, wall, &flow).verdict == BH_ALLOW)
		return 0;
	killer = bh_current_killer(config);
	if (!killer) {
		bh_add(BH_SEEN_CONNECT);
		return 0;
	}
	if (bh_kill_current()) {
		policy = bh_policy_of(config, BH_CONTAIN, killer - 1, &room);
		bh_add(BH_KILL_CONNECT);
		bh_hit(policy);
		bh_report(&flow, policy, BH_ACTION_SIGKILL);
	}
	return 0;
}

SEC("kprobe/tcp_connect")
int BPF_KPROBE(bh_kp_connect, struct sock *sk)
{
	return bh_last_moment(sk);
}

SEC("fentry/tcp_connect")
int BPF_PROG(bh_fe_connect, struct sock *sk)
{
	return bh_last_moment(sk);
}

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(bh_tp_connect, struct sock *sk, int old_state, int new_state)
{
	if (new_state != TCP_SYN_SENT || BPF_CORE_READ(sk, sk_protocol) != BH_PROTO_TCP)
		return 0;
	return bh_last_moment(sk);
}
