// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* Small programs that prove which hooks work on this kernel. The sensor loads one at a time, lets a child of its own do what the hook
 * should see, and watches the effect on the child: EPERM, death, or a count. Every program acts on that child or on the
 * child's own cgroup only, and is gone after the probe.
 *
 * On failure: the mechanism is reported as not available. */
#include "kernel_types.h"

#include "bulkhead/abi.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* The child; set by the sensor before it lets the child go on. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_target);
} bh_probe SEC(".maps");

static __always_inline struct bh_target *bh_child(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&bh_probe, &zero);
}

static __always_inline bool bh_is_child(void)
{
	struct bh_target *child = bh_child();

	return child && bpf_get_current_pid_tgid() >> 32 == child->tgid;
}

static __always_inline int bh_kill_child(void)
{
	if (bh_is_child())
		bpf_send_signal(SIGKILL);
	return 0;
}

static __always_inline int bh_refuse_child(int result)
{
	return !result && bh_is_child() ? -EPERM : result;
}

SEC("cgroup_skb/egress")
int bh_p_egress(struct __sk_buff *skb)
{
	return 0;
}

SEC("cgroup_skb/ingress")
int bh_p_ingress(struct __sk_buff *skb)
{
	return 0;
}

SEC("cgroup/connect4")
int bh_p_connect4(struct bpf_sock_addr *ctx)
{
	return 0;
}

SEC("cgroup/sendmsg4")
int bh_p_sendmsg4(struct bpf_sock_addr *ctx)
{
	return 0;
}

SEC("sockops")
int bh_p_sockops(struct bpf_sock_ops *ops)
{
	struct bh_target *child = bh_child();

	if (child && ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		child->hits++;
	return 1;
}

SEC("kprobe/tcp_connect")
int bh_p_kp_conn(struct pt_regs *ctx)
{
	return bh_kill_child();
}

SEC("fentry/tcp_connect")
int BPF_PROG(bh_p_fe_conn)
{
	return bh_kill_child();
}

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(bh_p_tp_conn, struct sock *sk, int old_state, int new_state)
{
	return new_state == TCP_SYN_SENT ? bh_kill_child() : 0;
}

SEC("ksyscall/execve")
int bh_p_ks_exec(struct pt_regs *ctx)
{
	return bh_kill_child();
}

SEC("tracepoint/syscalls/sys_enter_execve")
int bh_p_tp_exec(struct trace_event_raw_sys_enter *ctx)
{
	return bh_kill_child();
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(bh_p_rtp_exec)
{
	return bh_kill_child();
}

SEC("lsm/bprm_check_security")
int BPF_PROG(bh_p_lsm, struct linux_binprm *bprm, int result)
{
	return bh_refuse_child(result);
}

SEC("fmod_ret/security_bprm_check")
int BPF_PROG(bh_p_fmod, struct linux_binprm *bprm, int result)
{
	return bh_refuse_child(result);
}

SEC("lsm/mmap_file")
int BPF_PROG(bh_p_lsm_map, struct file *file, unsigned long asked, unsigned long prot, unsigned long flags, int result)
{
	return file && (prot & PROT_EXEC) ? bh_refuse_child(result) : result;
}

SEC("fmod_ret/security_mmap_file")
int BPF_PROG(bh_p_fmod_map, struct file *file, unsigned long prot, unsigned long flags, int result)
{
	return file && (prot & PROT_EXEC) ? bh_refuse_child(result) : result;
}

/* From the SHA-256 of "bulkhead\n", which is what ProbeAction::kExecGarbage runs. */
#define BH_GARBAGE_0 0x02
#define BH_GARBAGE_1 0x21
#define BH_GARBAGE_31 0x01

SEC("lsm.s/bprm_check_security")
int BPF_PROG(bh_p_digest, struct linux_binprm *bprm, int result)
{
	__u8 digest[BH_DIGEST_BYTES] = {};

	if (result || !bh_is_child())
		return result;
	if (bpf_ima_file_hash(bprm->file, digest, sizeof(digest)) != HASH_ALGO_SHA256)
		return 0;
	if (digest[0] != BH_GARBAGE_0 || digest[1] != BH_GARBAGE_1 || digest[31] != BH_GARBAGE_31)
		return 0;
	asm volatile("" ::: "memory");
	return -EPERM;
}
