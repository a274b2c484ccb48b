/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * The tamper guard's hooks on BPF objects and on what loads code into the kernel, and its control. Included once, by
 * guard.bpf.c. */
#pragma once

#include "guard_files.h"

/* ---- BPF objects ---- */

static __always_inline bool bh_is_guarded_object(__u32 kind, __u32 id)
{
	struct bh_guard_object key = {.kind = kind, .id = id};

	return bpf_map_lookup_elem(&bh_g_objects, &key) != NULL;
}

/* Whatever the sensor makes or opens is guarded from then on; others get no descriptor of it, not even to read: a
 * program that they load could write through it. */
static __always_inline int bh_guard_object_fd(__u32 kind, __u32 id)
{
	struct bh_guard_object key = {.kind = kind, .id = id};
	struct bh_guard *guard = bh_the_guard();
	__u8 one = 1;

	if (!guard || !guard->enabled)
		return 0;
	if (bh_current_is_sensor(guard)) {
		if (bpf_map_update_elem(&bh_g_objects, &key, &one, BPF_ANY))
			bh_guard_add(BH_GUARD_FAIL_OBJECT);
		return 0;
	}
	return bh_guard_refuse(bh_is_guarded_object(kind, id) && bh_level(guard) != BH_GUARD_OFF, BH_GUARD_DENIED_BPF_OBJECT);
}

SEC("lsm/bpf_map")
int BPF_PROG(bh_g_bpf_map, struct bpf_map___guard *map)
{
	return bh_guard_object_fd(BH_OBJECT_MAP, BPF_CORE_READ(map, id));
}

SEC("lsm/bpf_prog")
int BPF_PROG(bh_g_bpf_prog, struct bpf_prog___guard *prog)
{
	return bh_guard_object_fd(BH_OBJECT_PROGRAM, BPF_CORE_READ(prog, aux, id));
}

/* Does this descriptor of the current process look like a link to one of our programs? */
static __always_inline bool bh_is_our_link(__u32 fd)
{
	struct fdtable___guard *table = BPF_CORE_READ(bh_current(), files, fdt);
	struct file___guard **files = BPF_CORE_READ(table, fd);
	struct file___guard *file = NULL;
	struct bpf_link___guard *link;

	if (fd >= BPF_CORE_READ(table, max_fds) || bpf_probe_read_kernel(&file, sizeof(file), files + fd))
		return false;
	link = BPF_CORE_READ(file, private_data);
	return bh_is_guarded_object(BH_OBJECT_PROGRAM, BPF_CORE_READ(link, prog, aux, id));
}

static __always_inline int bh_guard_bpf(int command, union bpf_attr *attr)
{
	struct bh_guard *guard = bh_the_guard();
	enum bh_guard_level level;
	__u32 first = 0;

	if (command != BPF_PROG_LOAD && command != BPF_LINK_UPDATE && command != BPF_LINK_DETACH && command != BPF_LINK_CREATE &&
	    command != BPF_RAW_TRACEPOINT_OPEN)
		return 0;
	level = bh_level(guard);
	if (level == BH_GUARD_OFF)
		return 0;
	/* prog_type of PROG_LOAD, link_fd of the others. */
	bpf_probe_read_kernel(&first, sizeof(first), attr);
	if (command == BPF_PROG_LOAD)
		return bh_guard_refuse(!bh_guard_program_allowed(level, first), BH_GUARD_DENIED_BPF_PROGRAM);
	if (command == BPF_LINK_UPDATE || command == BPF_LINK_DETACH)
		return bh_guard_refuse(bh_is_our_link(first), BH_GUARD_DENIED_BPF_OBJECT);
	/* Process 1 links what it may load: programs of its services' cgroups. */
	return bh_guard_refuse(level == BH_GUARD_STRICT && !bh_current_is_init(), BH_GUARD_DENIED_BPF_PROGRAM);
}

SEC("lsm/bpf")
int BPF_PROG(bh_g_bpf, int command, union bpf_attr *attr)
{
	return bh_guard_bpf(command, attr);
}

SEC("lsm/perf_event_open")
int BPF_PROG(bh_g_perf)
{
	return bh_guard_refuse(bh_is_strict(), BH_GUARD_DENIED_BPF_PROGRAM);
}

/* ---- Code and memory of the kernel ---- */

enum lockdown_reason___guard { LOCKDOWN_INTEGRITY_MAX___guard = 0 };

SEC("lsm/locked_down")
int BPF_PROG(bh_g_lockdown, __u32 what)
{
	if (what >= bpf_core_enum_value(enum lockdown_reason___guard, LOCKDOWN_INTEGRITY_MAX___guard))
		return 0;
	return bh_guard_refuse(bh_is_strict(), BH_GUARD_DENIED_KERNEL_CODE);
}

SEC("lsm/kernel_read_file")
int BPF_PROG(bh_g_read_file)
{
	return bh_guard_refuse(bh_is_strict(), BH_GUARD_DENIED_KERNEL_CODE);
}

SEC("lsm/kernel_load_data")
int BPF_PROG(bh_g_load_data)
{
	return bh_guard_refuse(bh_is_strict(), BH_GUARD_DENIED_KERNEL_CODE);
}

/* ---- Control ---- */

static __always_inline struct inode___guard *bh_fd_inode(__u32 fd)
{
	struct fdtable___guard *table = BPF_CORE_READ(bh_current(), files, fdt);
	struct file___guard **files = BPF_CORE_READ(table, fd);
	struct file___guard *file = NULL;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return BPF_CORE_READ(file, f_inode);
}

static __always_inline int bh_guard_protect(const struct bh_guard_request *request)
{
	struct inode___guard *inode = bh_fd_inode(request->fd);
	__u32 flags = request->flags | bh_protection(inode);
	struct bh_file_key key = bh_inode_key(inode);

	return inode ? bpf_map_update_elem(&bh_g_files, &key, &flags, BPF_ANY) : -1;
}

static __always_inline int bh_guard_enable(struct bh_guard *guard, const struct bh_guard_request *request)
{
	int level = BPF_CORE_READ(bh_current(), cgroups, dfl_cgrp, level);

	if (level < 1 || level > BH_GUARD_HOME_LEVELS)
		return -1;
	for (int i = 0; i < BH_GUARD_HOME_LEVELS; i++)
		guard->home[i] = i < level ? bpf_get_current_ancestor_cgroup_id(level - i) : 0;
	guard->abi = BH_GUARD_ABI;
	guard->program = bh_inode_key(BPF_CORE_READ(bh_current(), mm, exe_file, f_inode));
	guard->mount_ns[0] = request->mount_ns;
	guard->options = request->options;
	bh_trust_current(guard, BH_SELF_CONFIRMED);
	guard->enabled = 1;
	return 0;
}

/* Run by the sensor (BPF_PROG_TEST_RUN); whoever has a descriptor of it is the sensor. 0, or -1: refused. */
SEC("syscall")
int bh_g_control(struct bh_guard_request *request)
{
	struct bh_guard *guard = bh_the_guard();

	if (!guard)
		return -1;
	if (request->command == BH_GUARD_PROTECT)
		return bh_guard_protect(request);
	if (request->command == BH_GUARD_ENABLE)
		return bh_guard_enable(guard, request);
	if (request->command == BH_GUARD_LOWER) {
		guard->lowered_until = bpf_ktime_get_boot_ns() + request->nanoseconds;
		return 0;
	}
	if (request->command == BH_GUARD_DISABLE) {
		guard->enabled = 0;
		guard->lowered_until = 0;
		bh_forget_self(guard);
		return 0;
	}
	if (request->command != BH_GUARD_CONFIRM || !bh_current_is_sensor(guard))
		return -1;
	guard->self.state = BH_SELF_CONFIRMED;
	return 0;
}
