/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * What the programs that judge files share: which file it really is, the rule for it, and what is done and recorded. */
#pragma once

#include "maps.h"
#include "refuse.h"

#include "bulkhead/decide_exec.h"

/* ---- Maps ---- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_files);
} bh_files SEC(".maps");

/* Read by digest.bpf.c; here, because the sensor fills them also where that object is not loaded. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_digests);
} bh_digests SEC(".maps");

/* Sizes of the blocked contents that are known. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_sizes);
} bh_sizes SEC(".maps");

/* Written by the sensor, which reads the overlay module's BTF. Not known: a file on an overlay is its own identity only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_overlay);
} bh_overlay SEC(".maps");

/* Fails open: a stop that is not recorded lets the next one not count as a respawn. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BH_MAX_POLICIES);
	__type(key, struct bh_policy_key);
	__type(value, struct bh_stop);
} bh_stops SEC(".maps");

/* ---- Which file ---- */

/* The inode that an inode of an overlay stands for; NULL when it cannot be told. */
static __always_inline struct inode *bh_behind_overlay(struct inode *inode)
{
	__u32 zero = 0;
	const struct bh_overlay *at = bpf_map_lookup_elem(&bh_overlay, &zero);
	struct dentry *dentry = NULL;
	void *lower = NULL;

	if (!at || !at->known)
		return NULL;
	bpf_probe_read_kernel(&dentry, sizeof(dentry), (void *)inode + at->upper);
	if (!dentry) {
		bpf_probe_read_kernel(&lower, sizeof(lower), (void *)inode + at->lower);
		if (at->entry && lower)
			bpf_probe_read_kernel(&dentry, sizeof(dentry), lower + at->entry);
		else
			dentry = lower;
	}
	return dentry ? BPF_CORE_READ(dentry, d_inode) : NULL;
}

static __always_inline bool bh_on_overlay(struct inode *inode)
{
	return BPF_CORE_READ(inode, i_sb, s_magic) == OVERLAYFS_SUPER_MAGIC;
}

/* The inode whose identity counts: an overlay lends files another one, and an overlay may lie on an overlay. */
static __always_inline struct inode *bh_real_inode(struct inode *inode)
{
	struct inode *behind = bh_on_overlay(inode) ? bh_behind_overlay(inode) : inode;

	if (behind && bh_on_overlay(behind))
		behind = bh_behind_overlay(behind);
	return behind ? behind : inode;
}

static __always_inline void bh_identify(struct inode *inode, struct bh_file_key *key)
{
	inode = bh_real_inode(inode);
	key->inode = BPF_CORE_READ(inode, i_ino);
	key->device = BPF_CORE_READ(inode, i_sb, s_dev);
	key->generation = BPF_CORE_READ(inode, i_generation);
}

static __always_inline struct bh_exec_rule *bh_file_rule(const struct file *file, __u32 slot)
{
	void *files = bpf_map_lookup_elem(&bh_files, &slot);
	struct bh_file_key key = {};

	if (!files)
		return NULL;
	bh_identify(BPF_CORE_READ(file, f_inode), &key);
	return bpf_map_lookup_elem(files, &key);
}

static __always_inline const char *bh_base_name(const struct file *file)
{
	return (const char *)BPF_CORE_READ(file, f_path.dentry, d_name.name);
}

/* ---- Who ---- */

/* What is in force for the current process. */
struct bh_exec_set {
	const struct bh_host *host;
	const struct bh_config *config;
	__u32 active; /* slot + 1; 0: nothing is blocked or listed, or the process is outside the scope, and both pointers are NULL */
};

static __always_inline struct bh_exec_set bh_exec_set(void)
{
	struct bh_exec_set none = {}, set = {.active = bh_active_slot()};

	set.config = set.active ? bh_slot_config(set.active) : NULL;
	if (!set.config || !set.config->exec_policies)
		return none;
	set.host = bh_host_facts();
	return set.host && bh_current_in_scope(set.host) ? set : none;
}

/* Is this mapping made by execve(2) of the very file that security_bprm_check judged? Outside of execve the file behind
 * /proc/self/exe means nothing: prctl(PR_SET_MM_EXE_FILE) sets it. */
static __always_inline bool bh_is_exec_image(const struct file *file)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ_BITFIELD_PROBED(task, in_execve) &&
	       BPF_CORE_READ(task, mm, exe_file, f_inode) == BPF_CORE_READ(file, f_inode);
}

/* ---- Act and record ---- */

/* A SIGKILL is on its way, so this exec was counted by an earlier hook. */
static __always_inline bool bh_current_dying(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, pending.signal.sig[0]) & (1UL << (SIGKILL - 1));
}

static __always_inline __u32 bh_exec_counter(__u32 todo, enum bh_exec_hook hook)
{
	if (todo & BH_DO_COUNT)
		return BH_SHADOW_EXEC;
	if (todo & BH_DO_REFUSE)
		return hook == BH_AT_MAP ? BH_DENY_MAP : BH_DENY_EXEC;
	return hook == BH_AT_SYSCALL ? BH_KILL_EXEC_PATH : BH_KILL_EXEC_FILE;
}

/* The current process is stopped for a policy. True: it came back; counted. */
static __always_inline bool bh_note_stop(const struct bh_policy_key *policy)
{
	struct bh_stop now = {.time_ns = bpf_ktime_get_ns(), .tgid = bpf_get_current_pid_tgid() >> 32};
	const struct bh_stop *last = bpf_map_lookup_elem(&bh_stops, policy);
	bool respawn = last && bh_is_respawn(last, &now);
	struct bh_policy_stat *stat = respawn ? bpf_map_lookup_elem(&bh_policies, policy) : NULL;

	if (stat)
		__sync_fetch_and_add(&stat->respawns, 1);
	bpf_map_update_elem(&bh_stops, policy, &now, BPF_ANY);
	return respawn;
}

/* True: the hook is to refuse. */
static __always_inline bool bh_act(const struct bh_exec_rule *rule, enum bh_match match, enum bh_exec_hook hook,
				   const struct bh_host *host, const char *path, bool user_path)
{
	__u32 todo = bh_decide_exec(rule->action, hook, host->deny_exec);
	bool dying = bh_current_dying();
	struct bh_event *event;
	bool respawn;

	if (!todo || bh_lease_over(rule->expires, bh_lease_clock(rule->expires)))
		return false;
	if ((todo & BH_DO_KILL) && !bh_kill_current())
		todo &= ~BH_DO_KILL;
	if (!todo)
		return false;
	bh_add(bh_exec_counter(todo, hook));
	bh_hit(&rule->policy);
	/* What an allow-list does not name is many files: nothing that comes back. */
	respawn = !(todo & BH_DO_COUNT) && match != BH_MATCH_UNLISTED && !dying && bh_note_stop(&rule->policy);
	event = bh_new_event(BH_EVENT_EXEC,
			     todo & BH_DO_COUNT ? BH_ACTION_NOTIFY : todo & BH_DO_KILL ? BH_ACTION_SIGKILL : BH_ACTION_DENY,
			     &rule->policy);
	if (event) {
		event->match = match;
		event->respawn = respawn;
		if (user_path)
			bpf_probe_read_user_str(event->path, sizeof(event->path), path);
		else
			bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
		bpf_ringbuf_submit(event, 0);
	}
	return todo & BH_DO_REFUSE;
}
