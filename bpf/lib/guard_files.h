/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * What the tamper guard knows about files, directory entries, mounts and the kernel's control files. */
#pragma once

#include "guard_self.h"

/* Is the file, or what is directly in a protected tree, protected in this way? */
static __always_inline bool bh_entry_has(const struct dentry___guard *entry, const struct inode___guard *inode, __u32 wanted)
{
	if (bh_protection(inode) & wanted)
		return true;
	return bh_protection(BPF_CORE_READ(entry, d_parent, d_inode)) & BH_PROTECT_TREE;
}

/* Does `entry` name the sensor's cgroup, which must stay while there is a guard, also a lowered one? A new cgroup of the
 * same name would have another id, and no sensor in it would be trusted once the guard is back. A service manager
 * removes the cgroup of each unit that ends, and goes on with the old one when it cannot. */
static __always_inline bool bh_keeps_home(const struct dentry___guard *entry)
{
	const struct inode___guard *inode = BPF_CORE_READ(entry, d_inode);
	struct bh_guard *guard = bh_the_guard();

	if (!guard || !guard->enabled || BPF_CORE_READ(inode, i_sb, s_magic) != BH_MAGIC_CGROUP2)
		return false;
	return BPF_CORE_READ(inode, i_ino) == guard->home[0] && !bh_current_is_halt();
}

/* May somebody remove, replace or rename what `entry` names, or put something new there (when it names nothing)? */
static __always_inline bool bh_guards_entry(const struct inode___guard *directory, const struct dentry___guard *entry)
{
	const struct inode___guard *inode = entry ? BPF_CORE_READ(entry, d_inode) : NULL;
	bool guarded = bh_protection(directory) & BH_PROTECT_TREE;

	if (!guarded && inode)
		guarded = bh_protection(inode) & BH_PROTECT_NAME;
	return guarded && bh_level(bh_the_guard()) != BH_GUARD_OFF;
}

static __always_inline bool bh_guards_content(const struct dentry___guard *entry)
{
	return bh_entry_has(entry, BPF_CORE_READ(entry, d_inode), BH_PROTECT_CONTENT) && bh_level(bh_the_guard()) != BH_GUARD_OFF;
}

/* Writing to a raw disk changes files beneath the file system. */
static __always_inline bool bh_guards_open(const struct file___guard *file)
{
	const struct inode___guard *inode = BPF_CORE_READ(file, f_inode);

	if ((BPF_CORE_READ(inode, i_mode) & BH_S_IFMT) == BH_S_IFBLK)
		return bh_is_strict();
	return bh_guards_content(BPF_CORE_READ(file, f_path.dentry));
}

/* ---- Mounts ---- */

/* Does a change of this mount show in the host's or the sensor's view of the file system? Other namespaces may do as
 * they like, unless what they do is passed on. A mount that is in no namespace reads as 0. */
static __always_inline bool bh_mount_shows(const struct bh_guard *guard, const struct vfsmount___guard *mnt)
{
	const struct mount___guard *mount =
		(const void *)((const char *)mnt - bpf_core_field_offset(struct mount___guard, mnt));
	__u32 ns = BPF_CORE_READ(mount, mnt_ns, ns.inum);

	if (ns && (ns == guard->mount_ns[0] || ns == guard->mount_ns[1]))
		return true;
	return BPF_CORE_READ(mount, mnt_group_id) != 0;
}

static __always_inline bool bh_guards_mount(const struct vfsmount___guard *mnt, const struct dentry___guard *entry)
{
	struct bh_guard *guard = bh_the_guard();

	if (!guard || !entry || !bh_entry_has(entry, BPF_CORE_READ(entry, d_inode), BH_PROTECT_NAME | BH_PROTECT_TREE))
		return false;
	return bh_mount_shows(guard, mnt) && bh_level(guard) != BH_GUARD_OFF;
}

static __always_inline bool bh_guards_path(const struct path___guard *path)
{
	return bh_guards_mount(BPF_CORE_READ(path, mnt), BPF_CORE_READ(path, dentry));
}

static __always_inline bool bh_guards_moves(const struct vfsmount___guard *to)
{
	struct bh_guard *guard = bh_the_guard();

	return guard && bh_mount_shows(guard, to) && bh_level(guard) != BH_GUARD_OFF;
}

/* ---- Control files ---- */

/* Whose cgroup is the directory with this id? Asks for where the sensor lives now as well as for its home: root may
 * have moved it. */
static __always_inline enum bh_guard_owner bh_cgroup_owner(const struct bh_guard *guard, __u64 id)
{
	struct task_struct___guard *task = (void *)guard->self.task;
	struct cgroup *now = NULL;
	int level;

	if (task && (__u32)BPF_CORE_READ(task, tgid) == guard->self.tgid)
		now = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	level = now ? BPF_CORE_READ(now, level) : 0;
	if (id == guard->home[0] || (level > 0 && bh_cgroup_ancestor(now, level) == id))
		return BH_OWNER_SENSOR;
	for (int i = 1; i < BH_GUARD_HOME_LEVELS; i++) {
		if (guard->home[i] == id || (i < level && bh_cgroup_ancestor(now, i) == id))
			return BH_OWNER_ANCESTOR;
	}
	return BH_OWNER_OTHER;
}

static __always_inline bool bh_guards_cgroup_file(const struct bh_guard *guard, const struct dentry___guard *entry, const char *name)
{
	__u64 id = BPF_CORE_READ(entry, d_parent, d_inode, i_ino);

	return !bh_guard_cgroup_allows(bh_cgroup_owner(guard, id), name, bh_current_is_init());
}

/* A file of /proc/PID where PID is the sensor or one of its threads, in whatever pid namespace that /proc was mounted.
 * */
static __always_inline bool bh_is_sensor_proc(const struct bh_guard *guard, const struct inode___guard *inode)
{
	const struct proc_inode___guard *proc =
		(const void *)((const char *)inode - bpf_core_field_offset(struct proc_inode___guard, vfs_inode));
	const struct hlist_node___guard *first = BPF_CORE_READ(proc, pid, tasks[0].first);
	const struct task_struct___guard *task;

	if (!first)
		return false;
	task = (const void *)((const char *)first - bpf_core_field_offset(struct task_struct___guard, pid_links[0]));
	return bh_is_sensor_task(guard, task);
}

static __always_inline void bh_entry_name(const struct dentry___guard *entry, char *name)
{
	__builtin_memset(name, 0, BH_GUARD_NAME);
	bpf_probe_read_kernel_str(name, BH_GUARD_NAME, BPF_CORE_READ(entry, d_name.name));
}

/* May the current process not write to this open file? Asked at every write, so that a descriptor opened before does
 * not help. */
static __always_inline int bh_guard_write(const struct file___guard *file)
{
	const struct inode___guard *inode = BPF_CORE_READ(file, f_inode);
	const struct dentry___guard *entry = BPF_CORE_READ(file, f_path.dentry);
	unsigned long magic = BPF_CORE_READ(inode, i_sb, s_magic);
	const struct bh_guard *guard = bh_the_guard();
	char name[BH_GUARD_NAME], directory[BH_GUARD_NAME];
	enum bh_guard_level level = BH_GUARD_OFF;

	if (magic != BH_MAGIC_CGROUP2 && magic != BH_MAGIC_CGROUP1 && magic != BH_MAGIC_PROC && magic != BH_MAGIC_DEBUGFS &&
	    magic != BH_MAGIC_TRACEFS)
		return 0;
	if (guard)
		level = bh_level(guard);
	if (!guard || level == BH_GUARD_OFF)
		return 0;
	bh_entry_name(entry, name);
	if (magic == BH_MAGIC_CGROUP1)
		return bh_guard_refuse(!bh_guard_cgroup_allows(BH_OWNER_OTHER, name, bh_current_is_init()),
				       BH_GUARD_DENIED_CGROUP);
	if (magic == BH_MAGIC_CGROUP2)
		return bh_guard_refuse(bh_guards_cgroup_file(guard, entry, name), BH_GUARD_DENIED_CGROUP);
	if (magic == BH_MAGIC_PROC)
		return bh_guard_refuse(!bh_guard_proc_allows(level, name) || bh_is_sensor_proc(guard, inode),
				       BH_GUARD_DENIED_KERNEL_SWITCH);
	bh_entry_name(BPF_CORE_READ(entry, d_parent), directory);
	return bh_guard_refuse(!bh_guard_debug_allows(level, directory, name), BH_GUARD_DENIED_KERNEL_SWITCH);
}
