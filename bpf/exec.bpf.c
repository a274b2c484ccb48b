// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* Stops binaries from being executed.
 *
 * hook                                  sees                                does
 * ksyscall/execve, ksyscall/execveat    the path as the caller spells it    SIGKILL (DENY: only where nothing can refuse)
 * tracepoint sys_enter_execve(at)       the same, where there are no kprobes
 * lsm/bprm_check_security               the opened file, a script's too     EPERM; with SIGKILL the caller dies as well
 * fmod_ret/security_bprm_check          the same, where BPF LSM is off
 * raw_tp/sched_process_exec             the file that was loaded            SIGKILL before its first instruction
 * iter/task_file                        one descriptor of the sensor        reads the identity of a file as the kernel has it
 *
 * Each enforcing hook matches the file's identity (device, inode, generation: survives rename, hard link, symlink, bind mount,
 * /proc/self/fd) and the path as given (survives replacement of the file). The hooks run for the whole host and look only at
 * processes inside the scope.
 *
 * The whole path counts, up to 4095 bytes: its length and a 128-bit hash are compared.
 *
 * Does not stop: a copy under another name; `ld.so BINARY` and `sh SCRIPT`, which execute another file; the same file seen
 * through an overlay mount, which gives it another identity; mmap of code.
 *
 * On failure: open at the system call (the caller's memory may be unreadable; counted), closed at identity for every file that
 * was resolved. */
#include "maps.h"

#include "bulkhead/decide_exec.h"

#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* ---- Maps ---- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_files);
} bh_files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_paths);
} bh_paths SEC(".maps");

struct bh_scratch {
	__u64 words[BH_PATH_BYTES / 8];
};

/* Too large for the stack. Each program leaves it before another can run on this CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_scratch);
} bh_scratch SEC(".maps");

/* Which descriptor bh_file_id identifies; set by the sensor before each run. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_target);
} bh_want SEC(".maps");

/* ---- Look-ups ---- */

struct bh_hash_walk {
	struct bh_path_key key;
	struct bh_scratch *scratch;
};

/* A callback of bpf_loop: 512 unrolled steps would be 512 states for the verifier. */
static long bh_hash_step(__u32 step, struct bh_hash_walk *walk)
{
	struct bh_scratch *scratch = walk->scratch;
	__u32 done = step * 8;

	if (step >= BH_PATH_BYTES / 8 || done >= walk->key.length)
		return 1;
	bh_path_hash_word(&walk->key, bh_path_word(scratch->words[step], walk->key.length - done));
	return 0;
}

/* The rule for a path of `bytes` bytes (with its NUL) in the scratch buffer. */
static __always_inline struct bh_exec_rule *bh_path_rule(struct bh_scratch *scratch, long bytes, __u32 slot)
{
	void *paths = bpf_map_lookup_elem(&bh_paths, &slot);
	struct bh_hash_walk walk = {.scratch = scratch};

	if (!paths || bytes <= 1 || bytes > BH_PATH_BYTES)
		return NULL;
	bh_path_hash_start(&walk.key, bytes - 1);
	bpf_loop(BH_PATH_BYTES / 8, bh_hash_step, &walk, 0);
	return bpf_map_lookup_elem(paths, &walk.key);
}

static __always_inline struct bh_exec_rule *bh_file_rule(const struct file *file, __u32 slot)
{
	void *files = bpf_map_lookup_elem(&bh_files, &slot);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct bh_file_key key = {
		.inode = BPF_CORE_READ(inode, i_ino),
		.device = BPF_CORE_READ(inode, i_sb, s_dev),
		.generation = BPF_CORE_READ(inode, i_generation),
	};

	return files ? bpf_map_lookup_elem(files, &key) : NULL;
}

static __always_inline struct bh_scratch *bh_get_scratch(void)
{
	__u32 zero = 0;
	struct bh_scratch *scratch = bpf_map_lookup_elem(&bh_scratch, &zero);

	if (!scratch)
		bh_add(BH_FAIL_NO_SCRATCH);
	return scratch;
}

/* Slot + 1 when something is blocked and the current process is inside the scope; else 0. */
static __always_inline __u32 bh_exec_slot(const struct bh_host *host)
{
	__u32 active = bh_active_slot();
	const struct bh_config *config = active ? bh_slot_config(active) : NULL;

	return config && host && config->exec_policies && bh_current_in_scope(host) ? active : 0;
}

/* A SIGKILL is on its way, so this exec was counted by an earlier hook. */
static __always_inline bool bh_current_dying(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, pending.signal.sig[0]) & (1UL << (SIGKILL - 1));
}

/* ---- Decide and record ---- */

static __always_inline int bh_act(const struct bh_exec_rule *rule, enum bh_exec_hook hook, const struct bh_host *host,
				  const char *path, bool user_path)
{
	__u32 todo = bh_decide_exec(rule->action, hook, host->deny_exec);
	struct bh_event *event;

	if (!todo || bh_lease_over(rule->expires, bh_lease_clock(rule->expires)))
		return 0;
	if ((todo & BH_DO_KILL) && !bh_kill_current())
		todo &= ~BH_DO_KILL;
	if (!todo)
		return 0;
	bh_add(todo & BH_DO_COUNT		   ? BH_SHADOW_EXEC
	       : todo & BH_DO_REFUSE		   ? BH_DENY_EXEC
	       : hook == BH_AT_SYSCALL ? BH_KILL_EXEC_PATH
				       : BH_KILL_EXEC_FILE);
	bh_hit(&rule->policy);
	event = bh_new_event(BH_EVENT_EXEC,
			     todo & BH_DO_COUNT ? BH_ACTION_NOTIFY : todo & BH_DO_KILL ? BH_ACTION_SIGKILL : BH_ACTION_DENY,
			     &rule->policy);
	if (event) {
		if (user_path)
			bpf_probe_read_user_str(event->path, sizeof(event->path), path);
		else
			bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
		bpf_ringbuf_submit(event, 0);
	}
	return todo & BH_DO_REFUSE ? -EPERM : 0;
}

static __always_inline int bh_at_syscall(const char *path)
{
	const struct bh_host *host = bh_host_facts();
	__u32 active = bh_exec_slot(host);
	struct bh_scratch *scratch;
	struct bh_exec_rule *rule;
	long bytes;

	if (!active || !host)
		return 0;
	scratch = bh_get_scratch();
	if (!scratch)
		return 0;
	bytes = bpf_probe_read_user_str(scratch->words, sizeof(scratch->words), path);
	if (bytes < 0) {
		bh_add(BH_FAIL_PATH_READ);
		return 0;
	}
	rule = bh_path_rule(scratch, bytes, active - 1);
	return rule ? bh_act(rule, BH_AT_SYSCALL, host, path, true) : 0;
}

static __always_inline int bh_at_file(const struct linux_binprm *bprm, enum bh_exec_hook hook)
{
	const struct bh_host *host = bh_host_facts();
	__u32 active = bh_exec_slot(host);
	const char *path = BPF_CORE_READ(bprm, filename);
	struct bh_scratch *scratch;
	struct bh_exec_rule *rule;

	if (!active || !host)
		return 0;
	rule = bh_file_rule(BPF_CORE_READ(bprm, file), active - 1);
	if (!rule) {
		scratch = bh_get_scratch();
		if (!scratch)
			return 0;
		rule = bh_path_rule(scratch, bpf_probe_read_kernel_str(scratch->words, sizeof(scratch->words), path), active - 1);
	}
	if (!rule || (hook == BH_AT_EXEC && bh_current_dying()))
		return 0;
	return bh_act(rule, hook, host, path, false);
}

/* ---- Hooks ---- */

SEC("ksyscall/execve")
int BPF_KSYSCALL(bh_ks_execve, const char *path)
{
	return bh_at_syscall(path);
}

SEC("ksyscall/execveat")
int BPF_KSYSCALL(bh_ks_execveat, int directory, const char *path)
{
	return bh_at_syscall(path);
}

SEC("tracepoint/syscalls/sys_enter_execve")
int bh_tp_execve(struct trace_event_raw_sys_enter *ctx)
{
	return bh_at_syscall((const char *)ctx->args[0]);
}

SEC("tracepoint/syscalls/sys_enter_execveat")
int bh_tp_execveat(struct trace_event_raw_sys_enter *ctx)
{
	return bh_at_syscall((const char *)ctx->args[1]);
}

SEC("lsm/bprm_check_security")
int BPF_PROG(bh_lsm_bprm, struct linux_binprm *bprm, int result)
{
	return result ? result : bh_at_file(bprm, BH_AT_CHECK);
}

SEC("fmod_ret/security_bprm_check")
int BPF_PROG(bh_fmod_bprm, struct linux_binprm *bprm, int result)
{
	return result ? result : bh_at_file(bprm, BH_AT_CHECK);
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(bh_rtp_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	bh_at_file(bprm, BH_AT_EXEC);
	return 0;
}

SEC("iter/task_file")
int bh_file_id(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct bh_file_key key = {};
	struct bh_target *want;
	__u32 zero = 0;

	want = bpf_map_lookup_elem(&bh_want, &zero);
	if (!want || !task || !file || (__u32)task->tgid != want->tgid || ctx->fd != want->fd)
		return 0;
	key.inode = BPF_CORE_READ(file, f_inode, i_ino);
	key.device = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	key.generation = BPF_CORE_READ(file, f_inode, i_generation);
	bpf_seq_write(ctx->meta->seq, &key, sizeof(key));
	return 0;
}
