// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* Stops binaries from being executed: by path, by identity, and, where nothing can hash, by fingerprint; and whatever the
 * allow-list of a scope does not name (lib/allow.h), which it lists instead while the scope is learned (lib/learn.h).
 *
 * hook                                  sees                                does
 * ksyscall/execve, ksyscall/execveat    the path as the caller spells it    SIGKILL (DENY: only where nothing can refuse)
 * tracepoint sys_enter_execve(at)       the same, where there are no kprobes
 * lsm/bprm_check_security               the opened file, a script's too     EPERM; with SIGKILL the caller dies as well
 * fmod_ret/security_bprm_check          the same, where BPF LSM is off
 * lsm/mmap_file, lsm/file_mprotect      a file that becomes code            the same
 * fmod_ret/security_mmap_file, ...      the same, where BPF LSM is off
 * raw_tp/sched_process_exec             the file that was loaded            SIGKILL before its first instruction
 * raw_tp/cgroup_mkdir                   a cgroup that is made           gives it the allow-list that waits for its path
 * iter/task_file                        one descriptor of the sensor        reads the identity of a file as the kernel has it
 * iter/task_vma                         all mappings of all processes       lists who has a blocked file mapped as code
 *
 * Identity is device, inode and generation of the file itself, also through an overlay: it survives rename, hard link, symlink,
 * bind mount and /proc/self/fd. The path as given survives replacement of the file. digest.bpf.c judges the content. The
 * hooks run for the whole host and look only at processes inside the scope.
 *
 * The whole path counts, up to 4095 bytes: its length and a 128-bit hash are compared.
 *
 * An allow-list names files by identity; a script where no hook can refuse by its path as given, because at sched_process_exec the
 * file is its interpreter. Where digest.bpf.c runs, it judges for the lists whenever a hook can refuse, because it can hash too.
 *
 * Does not stop: a copy that is not exec'ed but mapped, where no program can hash; `sh SCRIPT`, which reads a file like any
 * other; a program that loads code in its own way, into memory that no file is behind.
 *
 * On failure: open at the system call (the caller's memory may be unreadable; counted), closed at identity for every file that
 * was resolved; closed in the scope of an allow-list. */
#include "learn.h"

#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* ---- Maps ---- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_paths);
} bh_paths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_prints);
} bh_prints SEC(".maps");

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

/* Hashes a path of `bytes` bytes (with its NUL) in the scratch buffer. False, and the key as it was, when there is none. */
static __always_inline bool bh_path_key_of(struct bh_scratch *scratch, long bytes, struct bh_path_key *key)
{
	struct bh_hash_walk walk = {.scratch = scratch};

	if (bytes <= 1 || bytes > BH_PATH_BYTES)
		return false;
	bh_path_hash_start(&walk.key, bytes - 1);
	bpf_loop(BH_PATH_BYTES / 8, bh_hash_step, &walk, 0);
	*key = walk.key;
	return true;
}

/* The rule for such a path. */
static __always_inline struct bh_exec_rule *bh_path_rule(struct bh_scratch *scratch, long bytes, __u32 slot)
{
	void *paths = bpf_map_lookup_elem(&bh_paths, &slot);
	struct bh_path_key key = {};

	if (!paths || !bh_path_key_of(scratch, bytes, &key))
		return NULL;
	return bpf_map_lookup_elem(paths, &key);
}

static __always_inline struct bh_scratch *bh_get_scratch(void)
{
	__u32 zero = 0;
	struct bh_scratch *scratch = bpf_map_lookup_elem(&bh_scratch, &zero);

	if (!scratch)
		bh_add(BH_FAIL_NO_SCRATCH);
	return scratch;
}

/* The rule for a file by its size and its head. The scratch buffer is overwritten. */
static __always_inline struct bh_exec_rule *bh_print_rule(const struct linux_binprm *bprm, struct bh_scratch *scratch, __u32 slot)
{
	void *prints = bpf_map_lookup_elem(&bh_prints, &slot);
	struct inode *inode = bh_real_inode(BPF_CORE_READ(bprm, file, f_inode));
	struct bh_hash_walk walk = {.scratch = scratch};
	struct bh_print_key key = {};

	if (!prints || bpf_probe_read_kernel(scratch->words, BH_HEAD_BYTES, bprm->buf))
		return NULL;
	bh_path_hash_start(&walk.key, BH_HEAD_BYTES);
	bpf_loop(BH_HEAD_BYTES / 8, bh_hash_step, &walk, 0);
	key.size = BPF_CORE_READ(inode, i_size);
	key.hash[0] = walk.key.hash[0];
	key.hash[1] = walk.key.hash[1];
	return bpf_map_lookup_elem(prints, &key);
}

/* ---- Judge ---- */

static __always_inline int bh_at_syscall(const char *path)
{
	struct bh_exec_set set = bh_exec_set();
	struct bh_scratch *scratch;
	struct bh_exec_rule *rule;
	long bytes;

	if (!set.active)
		return 0;
	scratch = bh_get_scratch();
	if (!scratch)
		return 0;
	bytes = bpf_probe_read_user_str(scratch->words, sizeof(scratch->words), path);
	if (bytes < 0) {
		bh_add(BH_FAIL_PATH_READ);
		return 0;
	}
	rule = bh_path_rule(scratch, bytes, set.active - 1);
	if (rule)
		bh_act(rule, BH_MATCH_PATH, BH_AT_SYSCALL, set.host, path, true);
	return 0;
}

/* True: the hook is to refuse. */
static __always_inline bool bh_blocked(const struct linux_binprm *bprm, enum bh_exec_hook hook, const struct bh_exec_set *set)
{
	const char *path = BPF_CORE_READ(bprm, filename);
	enum bh_match match = BH_MATCH_FILE;
	struct bh_scratch *scratch;
	struct bh_exec_rule *rule;

	rule = bh_file_rule(BPF_CORE_READ(bprm, file), set->active - 1);
	if (!rule) {
		scratch = bh_get_scratch();
		if (!scratch)
			return false;
		/* A script's interpreter comes by under the script's name, which was judged when the script came by. */
		if (hook == BH_AT_EXEC || BPF_CORE_READ(bprm, interp) == path) {
			match = BH_MATCH_PATH;
			rule = bh_path_rule(scratch, bpf_probe_read_kernel_str(scratch->words, sizeof(scratch->words), path),
					    set->active - 1);
		}
		if (!rule && (set->config->exec_content & BH_CONTENT_PRINTS)) {
			match = BH_MATCH_PRINT;
			rule = bh_print_rule(bprm, scratch, set->active - 1);
		}
	}
	if (!rule || (hook == BH_AT_EXEC && bh_current_dying()))
		return false;
	return bh_act(rule, match, hook, set->host, path, false);
}

/* Did digest.bpf.c judge this very file in this exec? */
static __always_inline bool bh_was_judged(const struct linux_binprm *bprm)
{
	__u64 exec = (__u64)bprm, file = (__u64)BPF_CORE_READ(bprm, file);
	const __u64 *judged = bpf_map_lookup_elem(&bh_judged, &exec);
	bool same = judged && *judged == file;

	if (judged)
		bpf_map_delete_elem(&bh_judged, &exec);
	return same;
}

/* Learns, and judges where that is not digest.bpf.c's. True: the hook is to refuse. */
static __always_inline bool bh_unlisted(struct bh_allow_walk *walk, const struct file *file, bool judge)
{
	bh_look(walk);
	if (walk->learns)
		bh_learn(walk, file);
	return walk->any && judge && bh_judge(walk);
}

/* A script of which no hook has seen more than the path. */
static __always_inline bool bh_unlisted_script(const struct linux_binprm *bprm, const struct bh_exec_set *set)
{
	struct bh_allow_walk walk = {.hook = BH_AT_EXEC, .by_path = 1, .path = BPF_CORE_READ(bprm, filename)};
	struct bh_scratch *scratch = bh_get_scratch();

	bh_allow_start(&walk, set->host, set->active);
	if (scratch)
		bh_path_key_of(scratch, bpf_probe_read_kernel_str(scratch->words, sizeof(scratch->words), walk.path), &walk.script);
	return bh_unlisted(&walk, NULL, true);
}

/* True: the hook is to refuse. */
static __always_inline bool bh_unlisted_exec(const struct linux_binprm *bprm, enum bh_exec_hook hook,
					     const struct bh_exec_set *set)
{
	struct bh_allow_walk walk = {.hook = hook, .path = BPF_CORE_READ(bprm, filename)};
	bool hashes = set->config->exec_content & BH_CONTENT_HASHES;
	struct file *file = BPF_CORE_READ(bprm, file);

	if (hook == BH_AT_EXEC && bh_current_dying())
		return false;
	bh_allow_start(&walk, set->host, set->active);
	bh_identify(BPF_CORE_READ(file, f_inode), &walk.file);
	if (bh_unlisted(&walk, file, hook == BH_AT_EXEC ? !hashes || !bh_was_judged(bprm) : !hashes))
		return true;
	/* The interpreter was killed for already, or the script was judged as a file. */
	if (hook != BH_AT_EXEC || set->host->deny_exec || bh_current_dying() || BPF_CORE_READ(bprm, interp) == walk.path)
		return false;
	return bh_unlisted_script(bprm, set);
}

/* True: the hook is to refuse. */
static __always_inline bool bh_at_file(const struct linux_binprm *bprm)
{
	struct bh_exec_set set = bh_exec_set();

	if (!set.active)
		return false;
	if (bh_blocked(bprm, BH_AT_CHECK, &set))
		return true;
	return (set.config->exec_content & BH_CONTENT_LISTS) && bh_unlisted_exec(bprm, BH_AT_CHECK, &set);
}

/* True: the hook is to refuse. */
static __always_inline bool bh_unlisted_map(const struct file *file, const struct bh_exec_set *set)
{
	struct bh_allow_walk walk = {.hook = BH_AT_MAP, .path = bh_base_name(file)};

	bh_allow_start(&walk, set->host, set->active);
	bh_identify(BPF_CORE_READ(file, f_inode), &walk.file);
	return bh_unlisted(&walk, file, !(set->config->exec_content & BH_CONTENT_HASHES));
}

/* True: the hook is to refuse. */
static __always_inline bool bh_at_map(const struct file *file, unsigned long prot)
{
	struct bh_exec_rule *rule;
	struct bh_exec_set set;
	bool lists;

	if (!file || !(prot & PROT_EXEC))
		return false;
	set = bh_exec_set();
	if (!set.active)
		return false;
	lists = set.config->exec_content & BH_CONTENT_LISTS;
	rule = bh_file_rule(file, set.active - 1);
	if ((!rule && !lists) || bh_is_exec_image(file))
		return false;
	if (rule && bh_act(rule, BH_MATCH_FILE, BH_AT_MAP, set.host, bh_base_name(file), false))
		return true;
	return lists && bh_unlisted_map(file, &set);
}

/* What the kernel will make of `prot`: an old personality turns all that can be read into code. */
static __always_inline unsigned long bh_real_prot(unsigned long prot)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if ((prot & PROT_READ) && (BPF_CORE_READ(task, personality) & READ_IMPLIES_EXEC))
		return prot | PROT_EXEC;
	return prot;
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
	if (result)
		return result;
	return bh_refuse_if(bh_at_file(bprm));
}

SEC("fmod_ret/security_bprm_check")
int BPF_PROG(bh_fmod_bprm, struct linux_binprm *bprm, int result)
{
	if (result)
		return result;
	return bh_refuse_if(bh_at_file(bprm));
}

SEC("lsm/mmap_file")
int BPF_PROG(bh_lsm_mmap, struct file *file, unsigned long asked, unsigned long prot, unsigned long flags, int result)
{
	if (result)
		return result;
	return bh_refuse_if(bh_at_map(file, prot));
}

SEC("fmod_ret/security_mmap_file")
int BPF_PROG(bh_fmod_mmap, struct file *file, unsigned long prot, unsigned long flags, int result)
{
	if (result)
		return result;
	return bh_refuse_if(bh_at_map(file, bh_real_prot(prot)));
}

SEC("lsm/file_mprotect")
int BPF_PROG(bh_lsm_mprot, struct vm_area_struct *vma, unsigned long asked, unsigned long prot, int result)
{
	if (result)
		return result;
	return bh_refuse_if(bh_at_map(BPF_CORE_READ(vma, vm_file), prot));
}

SEC("fmod_ret/security_file_mprotect")
int BPF_PROG(bh_fmod_mprot, struct vm_area_struct *vma, unsigned long asked, unsigned long prot, int result)
{
	if (result)
		return result;
	return bh_refuse_if(bh_at_map(BPF_CORE_READ(vma, vm_file), prot));
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(bh_rtp_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct bh_exec_set set = bh_exec_set();

	if (set.active)
		bh_blocked(bprm, BH_AT_EXEC, &set);
	return 0;
}

/* A program of its own: Linux 6.1 gives one 512 bytes of stack, callbacks included, and both need more. */
SEC("raw_tp/sched_process_exec")
int BPF_PROG(bh_rtp_allow, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct bh_exec_set set = bh_exec_set();

	if (set.active && (set.config->exec_content & BH_CONTENT_LISTS))
		bh_unlisted_exec(bprm, BH_AT_EXEC, &set);
	return 0;
}

SEC("raw_tp/cgroup_mkdir")
int BPF_PROG(bh_rtp_mkdir, struct cgroup *cgroup, const char *path)
{
	__u32 active = bh_active_slot(), slot = active - 1;
	const struct bh_config *config = active ? bh_slot_config(active) : NULL;
	struct bh_path_key key = {};
	struct bh_scratch *scratch;
	void *awaited;
	__u64 id;

	if (!config || !(config->exec_content & BH_CONTENT_LISTS) || BPF_CORE_READ(cgroup, root, hierarchy_id) != 0)
		return 0;
	awaited = bpf_map_lookup_elem(&bh_awaited, &slot);
	scratch = bh_get_scratch();
	if (!awaited || !scratch)
		return 0;
	if (!bh_path_key_of(scratch, bpf_probe_read_kernel_str(scratch->words, sizeof(scratch->words), path), &key))
		return 0;
	id = BPF_CORE_READ(cgroup, kn, id);
	if (bpf_map_lookup_elem(awaited, &key))
		bpf_map_update_elem(&bh_born, &id, &key, BPF_ANY);
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
	bh_identify(BPF_CORE_READ(file, f_inode), &key);
	bpf_seq_write(ctx->meta->seq, &key, sizeof(key));
	return 0;
}

SEC("iter/task_vma")
int bh_running(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct task_struct *task = ctx->task;
	__u32 active = bh_active_slot();
	struct bh_runner runner = {};
	struct bh_exec_rule *rule;
	struct file *file;

	if (!task || !vma || !active || !(BPF_CORE_READ(vma, vm_flags) & VM_EXEC))
		return 0;
	file = BPF_CORE_READ(vma, vm_file);
	rule = file ? bh_file_rule(file, active - 1) : NULL;
	if (!rule)
		return 0;
	runner.policy = rule->policy;
	runner.tgid = task->tgid;
	runner.action = rule->action;
	bpf_seq_write(ctx->meta->seq, &runner, sizeof(runner));
	return 0;
}
