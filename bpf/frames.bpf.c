// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* Denies what reaches a network without passing cgroup_skb.
 *
 * hook                                   sees                                               denies, while a wall is up
 * lsm/socket_create                      every new socket                                   families that cgroup_skb does not see
 * lsm/socket_connect, socket_sendmsg     what leaves a socket, old or new, io_uring too     the same
 * lsm/socket_recvmsg                     what a process reads from one                      the same, under isolation
 * lsm/file_receive                       a socket that another process hands over           the same
 * lsm/tun_dev_create, tun_dev_open       a tun or tap device being made or attached to      all
 *
 * lsm/kernel_read_file, kernel_load_data a module or another kernel being loaded                    all
 * lsm/netlink_send                       a request to rtnetlink                             changes of tc filters and XDP programs,
 *                                                                                           moves of guarded interfaces
 * lsm/bpf                                bpf(2)                                             XDP and tcx: load, attach, run
 *
 * The last two keep others from getting in front of the wall on the interfaces; the sensor itself may. What was there before the
 * order is taken away (sensor/kernel/interfaces).
 *
 * Modules are refused because the kernel's own can send past every hook (netconsole, pktgen); those that are there when the wall
 * goes up are unloaded (sensor/kernel/kernel_senders).
 *
 * Where `bpf` is not in the kernel's lsm= list the loader turns each lsm/X into fmod_ret/security_X: the arguments are
 * the same. The hooks run for the whole host and look only at processes inside the scope.
 *
 * Does not stop: an AF_XDP socket bound before the order and driven by poll(2), and frames read from a ring that was mapped before
 * the order: their holders are killed (holders.bpf.c); RDMA verbs through /dev/infiniband; a tun descriptor opened before the order,
 * whose packets the host forwards.
 *
 * On failure: closed. A published set that cannot be read denies. Nothing published: open.
 *
 * The licence string below is what the kernel asks for before it lends its helpers; the text is offered under
 * Apache-2.0 too. */
#include "refuse.h"
#include "route_request.h"
#include "scope.h"

#include "bulkhead/decide_frames.h"

#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* ---- Maps ---- */

/* enum bh_frames_counter -> how often; written here, read by the sensor. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BH_FRAMES_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} bh_f_count SEC(".maps");

/* The thread that proves the hooks by asking for a socket of bh_f_probe_family; 0: none. Set by the sensor. */
__u32 bh_f_probe_tid;
int bh_f_probe_family;

/* The part of the kernel's struct socket that is read; CO-RE takes the name up to the three underscores. */
struct socket___frames {
	struct sock *sk;
} __attribute__((preserve_access_index));

struct sk_buff___frames {
	unsigned char *data;
	unsigned int len;
} __attribute__((preserve_access_index));

/* ---- Look-ups ---- */

static __always_inline void bh_frames_add(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&bh_f_count, &counter);

	if (value)
		++*value;
}

static __always_inline bool bh_current_judged(void)
{
	const struct bh_host *host = bh_host_facts();

	return host && bh_current_in_scope(host);
}

/* ---- Decide and record ---- */

static __always_inline void bh_frames_hit(const struct bh_config *config, const struct bh_walls *walls, bool denied)
{
	struct bh_policy_key room = {};

	if (denied)
		bh_hit(bh_policy_of(config, walls->enforced, walls->enforced_by, &room));
	else
		bh_hit(bh_policy_of(config, walls->shadow, walls->shadow_by, &room));
}

static __always_inline int bh_frames(int family, enum bh_frames_use use)
{
	__u32 active = bh_active_slot();
	const struct bh_config *config;
	enum bh_frames_answer answer;
	struct bh_walls walls = {};

	if (!active || !bh_current_judged())
		return 0;
	config = bh_slot_config(active);
	if (config)
		walls = bh_current_walls(config);
	answer = bh_decide_frames(config ? &walls : NULL, use);
	if (!config)
		bh_frames_add(BH_FRAMES_NO_SET);
	if (answer == BH_FRAMES_PASS)
		return 0;
	bh_frames_add(answer == BH_FRAMES_DENY ? bh_frames_reason(family, use) : BH_FRAMES_WOULD_DENY);
	if (config)
		bh_frames_hit(config, &walls, answer == BH_FRAMES_DENY);
	return bh_refuse_if(answer == BH_FRAMES_DENY);
}

/* Families that cgroup_skb sees return before any map is read: this is in the path of every send. */
static __always_inline int bh_frames_socket(struct socket___frames *socket, enum bh_frames_use use)
{
	struct sock *sk = socket->sk;
	int family, protocol;

	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	protocol = sk->sk_protocol;
	return bh_family_is_seen(family, protocol) ? 0 : bh_frames(family, use);
}

/* ---- Hooks ---- */

SEC("lsm/socket_create")
int BPF_PROG(bh_f_create, int family, int type, int protocol, int kern)
{
	if (kern)
		return 0;
	if (bh_f_probe_tid && (__u32)bpf_get_current_pid_tgid() == bh_f_probe_tid && family == bh_f_probe_family)
		return -EPERM;
	return bh_family_is_seen(family, protocol) ? 0 : bh_frames(family, BH_FRAMES_OPEN);
}

SEC("lsm/socket_connect")
int BPF_PROG(bh_f_connect, struct socket___frames *socket)
{
	return bh_frames_socket(socket, BH_FRAMES_SEND);
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(bh_f_sendmsg, struct socket___frames *socket)
{
	return bh_frames_socket(socket, BH_FRAMES_SEND);
}

SEC("lsm/socket_recvmsg")
int BPF_PROG(bh_f_recvmsg, struct socket___frames *socket)
{
	return bh_frames_socket(socket, BH_FRAMES_RECEIVE);
}

SEC("lsm/file_receive")
int BPF_PROG(bh_f_receive, struct file *file)
{
	struct socket___frames *socket = (void *)bpf_sock_from_file(file);

	return socket ? bh_frames_socket(socket, BH_FRAMES_OPEN) : 0;
}

SEC("lsm/tun_dev_create")
int BPF_PROG(bh_f_tun_new)
{
	return bh_frames(BH_FAMILY_TUN, BH_FRAMES_OPEN);
}

SEC("lsm/tun_dev_open")
int BPF_PROG(bh_f_tun_open)
{
	return bh_frames(BH_FAMILY_TUN, BH_FRAMES_OPEN);
}

enum kernel_read_file_id___frames { READING_MODULE___frames = 2, READING_KEXEC_IMAGE___frames = 3 };

SEC("lsm/kernel_read_file")
int BPF_PROG(bh_f_read, struct file *file, unsigned int what)
{
	if (what != bpf_core_enum_value(enum kernel_read_file_id___frames, READING_MODULE___frames) &&
	    what != bpf_core_enum_value(enum kernel_read_file_id___frames, READING_KEXEC_IMAGE___frames))
		return 0;
	return bh_frames(BH_FAMILY_KERNEL, BH_FRAMES_OPEN);
}

enum kernel_load_data_id___frames { LOADING_MODULE___frames = 2, LOADING_KEXEC_IMAGE___frames = 3 };

SEC("lsm/kernel_load_data")
int BPF_PROG(bh_f_load, unsigned int what)
{
	if (what != bpf_core_enum_value(enum kernel_load_data_id___frames, LOADING_MODULE___frames) &&
	    what != bpf_core_enum_value(enum kernel_load_data_id___frames, LOADING_KEXEC_IMAGE___frames))
		return 0;
	return bh_frames(BH_FAMILY_KERNEL, BH_FRAMES_OPEN);
}

/* The sensor itself may. */
static __always_inline int bh_frames_in_front(void)
{
	const struct bh_host *host = bh_host_facts();

	return host && bh_in_sensor_cgroup(host) ? 0 : bh_frames(BH_FAMILY_IN_FRONT, BH_FRAMES_OPEN);
}

#define BH_NETLINK_ROUTE 0

SEC("lsm/netlink_send")
int BPF_PROG(bh_f_netlink, struct sock *sk, struct sk_buff___frames *skb)
{
	if (sk->sk_protocol != BH_NETLINK_ROUTE || !bh_active_slot() || !bh_asks_in_front(skb->data, skb->len))
		return 0;
	return bh_frames_in_front();
}

SEC("lsm/bpf")
int BPF_PROG(bh_f_bpf, int command, union bpf_attr *attr, unsigned int size)
{
	struct bh_bpf_request request = {};

	/* Most calls are about maps: they return here. */
	if (!bh_bpf_is_asked(command) || !bh_active_slot())
		return 0;
	bpf_probe_read_kernel(&request.program_type, sizeof(__u32), &attr->prog_type);
	bpf_probe_read_kernel(&request.attach_type, sizeof(__u32), &attr->attach_type);
	bpf_probe_read_kernel(&request.run_flags, sizeof(__u32), &attr->test.flags);
	return bh_bpf_is_in_front(command, &request) ? bh_frames_in_front() : 0;
}
