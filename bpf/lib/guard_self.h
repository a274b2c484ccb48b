/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * The tamper guard's maps; who the sensor is, and how much is refused right now.
 *
 * The sensor is one process: the trusted program (device, inode, generation), executed inside the sensor's cgroup
 * while no other sensor lives, running only code that was trusted when the guard was enabled. A name, a user or a pid
 * alone never makes it. */
#pragma once

#include "guard_types.h"
#include "scope.h"
#include "refuse.h"

#include "bulkhead/decide_guard.h"

#include <bpf/bpf_tracing.h>

/* 0 -> the guard. Written by bh_g_control and the exec hooks, read by every hook and by the sensor. Fails open:
 * without it there is no guard. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_guard);
} bh_guard SEC(".maps");

/* File -> enum bh_guard_protect. Written by bh_g_control. Full: Enable fails. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_GUARD_MAX_FILES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct bh_file_key);
	__type(value, __u32);
} bh_g_files SEC(".maps");

enum bh_guard_object_kind { BH_OBJECT_MAP = 1, BH_OBJECT_PROGRAM = 2 };

/* Kind and kernel id of a BPF object of the sensor -> 1. Written when the sensor makes or opens one. Full: counted,
 * not guarded. */
struct bh_guard_object {
	__u32 kind;
	__u32 id;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BH_GUARD_MAX_OBJECTS);
	__type(key, struct bh_guard_object);
	__type(value, __u8);
} bh_g_objects SEC(".maps");

/* Thread group -> start time of one that would be the sensor and has mapped foreign code. Full: the oldest is
 * forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} bh_g_foreign SEC(".maps");

/* enum bh_guard_counter -> how often. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BH_GUARD_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} bh_g_count SEC(".maps");

static __always_inline void bh_guard_add(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&bh_g_count, &counter);

	if (value)
		++*value;
}

/* Counts a denial. */
static __always_inline int bh_guard_refuse(bool refuse, __u32 counter)
{
	if (refuse)
		bh_guard_add(counter);
	return bh_refuse_if(refuse);
}

static __always_inline struct bh_guard *bh_the_guard(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&bh_guard, &zero);
}

static __always_inline struct task_struct___guard *bh_current(void)
{
	return (void *)bpf_get_current_task();
}

static __always_inline struct bh_file_key bh_inode_key(const struct inode___guard *inode)
{
	struct bh_file_key key = {
		.inode = BPF_CORE_READ(inode, i_ino),
		.device = BPF_CORE_READ(inode, i_sb, s_dev),
		.generation = BPF_CORE_READ(inode, i_generation),
	};

	return key;
}

static __always_inline __u32 bh_protection(const struct inode___guard *inode)
{
	struct bh_file_key key = bh_inode_key(inode);
	__u32 *flags = bpf_map_lookup_elem(&bh_g_files, &key);

	return flags ? *flags : 0;
}

static __always_inline __u32 bh_program_protection(struct task_struct___guard *task)
{
	return bh_protection(BPF_CORE_READ(task, mm, exe_file, f_inode));
}

static __always_inline bool bh_same_file(const struct bh_file_key *a, const struct bh_file_key *b)
{
	return a->inode == b->inode && a->device == b->device && a->generation == b->generation;
}

/* ---- Who ---- */

static __always_inline bool bh_is_sensor_task(const struct bh_guard *guard, const struct task_struct___guard *task)
{
	return guard->self.tgid && (__u32)BPF_CORE_READ(task, tgid) == guard->self.tgid;
}

static __always_inline bool bh_current_is_sensor(const struct bh_guard *guard)
{
	if (!guard->self.tgid || bpf_get_current_pid_tgid() >> 32 != guard->self.tgid)
		return false;
	return BPF_CORE_READ(bh_current(), group_leader, start_boottime) == guard->self.start;
}

/* Process 1, or a child of it that still runs one of its programs: the one that is about to become a service. */
static __always_inline bool bh_current_is_init(void)
{
	struct task_struct___guard *task = bh_current();

	if (bpf_get_current_pid_tgid() >> 32 == 1)
		return true;
	return BPF_CORE_READ(task, real_parent, tgid) == 1 && (bh_program_protection(task) & BH_INIT_PROGRAM);
}

static __always_inline bool bh_current_is_halt(void)
{
	return bpf_get_current_pid_tgid() >> 32 == 1 && (bh_program_protection(bh_current()) & BH_HALT_PROGRAM);
}

/* ---- How much ---- */

/* Of whatever scope. Fails closed: a published set that cannot be read counts as a wall. */
static __always_inline __u8 bh_guard_wall(void)
{
	__u32 active = bh_active_slot();
	const struct bh_config *config;

	if (!active)
		return BH_NO_WALL;
	config = bh_slot_config(active);
	if (!config)
		return BH_ISOLATE;
	if (config->scoped_walls)
		return bh_covering_walls(config, ~0U).enforced;
	return bh_enforced_wall(config, bh_wall_clock(config));
}

/* BH_GUARD_OFF also for whom nothing is refused: the sensor, and process 1 on the way down. */
static __always_inline enum bh_guard_level bh_level(const struct bh_guard *guard)
{
	enum bh_guard_level level;

	if (!guard || !guard->enabled)
		return BH_GUARD_OFF;
	level = bh_decide_level(guard, bpf_ktime_get_boot_ns(), bh_guard_wall());
	if (level == BH_GUARD_OFF || bh_current_is_sensor(guard) || bh_current_is_halt())
		return BH_GUARD_OFF;
	return level;
}

static __always_inline bool bh_is_strict(void)
{
	return bh_level(bh_the_guard()) == BH_GUARD_STRICT;
}

/* Is `task` the sensor, and guarded against the current process? */
static __always_inline bool bh_shields(const struct task_struct___guard *task)
{
	struct bh_guard *guard = bh_the_guard();

	return guard && bh_is_sensor_task(guard, task) && bh_level(guard) != BH_GUARD_OFF;
}

/* ---- Trust ---- */

/* With the sensor goes its view of the file system. The kernel gives that namespace's number to the next one, which is
 * likely to be the one that the service manager makes for the next sensor and has to mount in. */
static __always_inline void bh_forget_self(struct bh_guard *guard)
{
	guard->mount_ns[1] = 0;
	guard->self.state = BH_SELF_NONE;
	guard->self.task = 0;
	guard->self.start = 0;
	guard->self.tgid = 0;
}

static __always_inline void bh_trust_current(struct bh_guard *guard, __u32 state)
{
	struct task_struct___guard *leader = BPF_CORE_READ(bh_current(), group_leader);

	guard->self.state = state;
	guard->self.task = (__u64)leader;
	guard->self.start = BPF_CORE_READ(leader, start_boottime);
	guard->self.tgid = bpf_get_current_pid_tgid() >> 32;
	guard->mount_ns[1] = BPF_CORE_READ(leader, nsproxy, mnt_ns, ns.inum);
}

/* The right program in the right cgroup, and nobody is in a position to write into it. */
static __always_inline bool bh_current_resembles(const struct bh_guard *guard)
{
	struct task_struct___guard *task = bh_current();
	struct bh_file_key program = bh_inode_key(BPF_CORE_READ(task, mm, exe_file, f_inode));

	return bh_same_file(&program, &guard->program) && bpf_get_current_cgroup_id() == guard->home[0] &&
	       !BPF_CORE_READ(task, ptrace) && !(BPF_CORE_READ(task, personality) & BH_READ_IMPLIES_EXEC);
}

static __always_inline void bh_mark_foreign(void)
{
	__u64 start = BPF_CORE_READ(bh_current(), group_leader, start_boottime);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	bpf_map_update_elem(&bh_g_foreign, &tgid, &start, BPF_ANY);
}

static __always_inline bool bh_current_may_be_trusted(const struct bh_guard *guard)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u64 *foreign = bpf_map_lookup_elem(&bh_g_foreign, &tgid);

	if (foreign && *foreign == BPF_CORE_READ(bh_current(), group_leader, start_boottime))
		return false;
	return bh_current_resembles(guard);
}
