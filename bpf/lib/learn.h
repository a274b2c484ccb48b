/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Learn mode: lists the files that run in a scope, each once, with its path.
 *
 * Fails open: a file that does not fit is counted in BH_FAIL_LEARN, and the policy's all-zero entry says that the list is cut. */
#pragma once

#include "allow.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_LEARNED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct bh_learned_key);
	__type(value, struct bh_learned);
} bh_learned SEC(".maps");

#define BH_NAME_BYTES 256 /* NAME_MAX, with room for a slash */

struct bh_learn_space {
	char path[BH_LEARN_PATH + BH_NAME_BYTES]; /* written from the end of the first part */
	struct bh_learned learned;
};

/* Too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_learn_space);
} bh_learn_room SEC(".maps");

static __always_inline struct bh_learn_space *bh_learn_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&bh_learn_room, &zero);
}

/* ---- The path of a file, from its own name up to the root of its mount namespace ---- */

struct bh_up {
	struct dentry *dentry;
	struct mount *mount;
	__u32 at; /* where the path begins by now */
	__u32 whole;
};

static long bh_up_step(__u32 step, struct bh_up *up)
{
	struct bh_learn_space *space = bh_learn_get();
	struct dentry *dentry = up->dentry, *parent;
	struct mount *below = up->mount;
	__u32 length, at = up->at;

	if (!space || !dentry || !below)
		return 1;
	if (dentry == BPF_CORE_READ(below, mnt.mnt_root)) {
		up->mount = BPF_CORE_READ(below, mnt_parent);
		up->dentry = BPF_CORE_READ(below, mnt_mountpoint);
		up->whole = up->mount == below;
		return up->whole;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	length = BPF_CORE_READ(dentry, d_name.len);
	if (parent == dentry || length == 0 || length >= BH_NAME_BYTES || length >= at)
		return 1;
	at -= length + 1;
	if (at >= BH_LEARN_PATH) /* never; for the verifier */
		return 1;
	space->path[at] = '/';
	if (bpf_probe_read_kernel(space->path + at + 1, length, BPF_CORE_READ(dentry, d_name.name)))
		return 1;
	up->at = at;
	up->dentry = parent;
	return 0;
}

/* Into space->learned.path; empty when it is too long, or leads to no root. */
static __always_inline void bh_path_of(const struct file *file, struct bh_learn_space *space)
{
	struct vfsmount *mount = BPF_CORE_READ(file, f_path.mnt);
	struct bh_up up = {.at = BH_LEARN_PATH - 1};

	up.dentry = BPF_CORE_READ(file, f_path.dentry);
	up.mount = (void *)mount - bpf_core_field_offset(struct mount, mnt);
	space->path[BH_LEARN_PATH - 1] = 0;
	space->learned.path[0] = 0;
	bpf_loop(BH_LEARN_PATH, bh_up_step, &up, 0);
	if (up.whole && up.at < BH_LEARN_PATH)
		bpf_probe_read_kernel_str(space->learned.path, sizeof(space->learned.path), space->path + up.at);
}

/* ---- Record ---- */

static long bh_learn_step(__u32 step, struct bh_allow_walk *walk)
{
	struct bh_learn_space *space = bh_learn_get();
	struct bh_learned_key key = {};
	struct bh_learned *cut;
	struct bh_list *list;
	bool end;

	list = bh_list_at(walk, step, &end);
	if (!list)
		return end;
	if (!space || !list->learn)
		return 0;
	key.policy = list->rule.policy;
	if (walk->by_path) {
		key.file.inode = walk->script.hash[0];
		key.file.device = BH_LEARNED_SCRIPT;
		key.file.generation = walk->script.hash[1];
	} else {
		key.file = walk->file;
	}
	if (bpf_map_lookup_elem(&bh_learned, &key) || !bpf_map_update_elem(&bh_learned, &key, &space->learned, BPF_NOEXIST))
		return 0;
	if (bpf_map_lookup_elem(&bh_learned, &key)) /* another CPU was faster */
		return 0;
	bh_add(BH_FAIL_LEARN);
	__builtin_memset(&key.file, 0, sizeof(key.file));
	cut = bpf_map_lookup_elem(&bh_learned, &key);
	if (cut)
		cut->more = 1;
	return 0;
}

/* `file` NULL: a script whose path stands for it. */
static __always_inline void bh_learn(struct bh_allow_walk *walk, const struct file *file)
{
	struct bh_learn_space *space = bh_learn_get();

	if (!space)
		return;
	space->learned.tgid = bpf_get_current_pid_tgid() >> 32;
	space->learned.more = 0;
	if (file)
		bh_path_of(file, space);
	else
		bpf_probe_read_kernel_str(space->learned.path, sizeof(space->learned.path), walk->path);
	bpf_loop(BH_ALLOW_STEPS, bh_learn_step, walk, 0);
}
