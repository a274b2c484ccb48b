/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * The kernel fields that the tamper guard reads beyond kernel_types.h. CO-RE takes a name up to the three underscores.
 * */
#pragma once

#include "kernel_types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block___guard {
	__u32 s_dev;
	unsigned long s_magic;
};

struct inode___guard {
	__u16 i_mode;
	struct super_block___guard *i_sb;
	unsigned long i_ino;
	__u32 i_generation;
};

struct qstr___guard {
	const unsigned char *name;
};

struct dentry___guard {
	struct dentry___guard *d_parent;
	struct qstr___guard d_name;
	struct inode___guard *d_inode;
};

struct vfsmount___guard {
	struct dentry___guard *mnt_root;
};

struct path___guard {
	struct vfsmount___guard *mnt;
	struct dentry___guard *dentry;
};

struct ns_common___guard {
	unsigned int inum;
};

struct mnt_namespace___guard {
	struct ns_common___guard ns;
};

struct mount___guard {
	struct vfsmount___guard mnt;
	struct mnt_namespace___guard *mnt_ns;
	int mnt_group_id;
};

struct file___guard {
	struct path___guard f_path;
	struct inode___guard *f_inode;
	unsigned int f_mode;
	void *private_data;
};

struct fdtable___guard {
	unsigned int max_fds;
	struct file___guard **fd;
};

struct files_struct___guard {
	struct fdtable___guard *fdt;
};

struct mm_struct___guard {
	struct file___guard *exe_file;
};

struct signal_struct___guard {
	struct {
		int counter;
	} live;
};

struct css_set___guard {
	struct cgroup *dfl_cgrp;
};

struct hlist_node___guard {
	struct hlist_node___guard *next;
};

struct hlist_head___guard {
	struct hlist_node___guard *first;
};

struct nsproxy___guard {
	struct mnt_namespace___guard *mnt_ns;
};

struct task_struct___guard {
	unsigned int ptrace;
	unsigned int personality;
	int tgid;
	struct mm_struct___guard *mm;
	__u64 start_boottime;
	struct task_struct___guard *real_parent;
	struct task_struct___guard *group_leader;
	struct hlist_node___guard pid_links[4];
	struct signal_struct___guard *signal;
	struct files_struct___guard *files;
	struct nsproxy___guard *nsproxy;
	struct css_set___guard *cgroups;
};

struct pid___guard {
	struct hlist_head___guard tasks[4];
};

struct proc_inode___guard {
	struct pid___guard *pid;
	struct inode___guard vfs_inode;
};

struct bpf_map___guard {
	__u32 id;
};

struct bpf_prog_aux___guard {
	__u32 id;
};

struct bpf_prog___guard {
	struct bpf_prog_aux___guard *aux;
};

struct bpf_link___guard {
	struct bpf_prog___guard *prog;
};

#pragma clang attribute pop

/* From the kernel's ABI. */
#define BH_MAGIC_CGROUP1 0x27e0eb
#define BH_MAGIC_CGROUP2 0x63677270
#define BH_MAGIC_PROC 0x9fa0
#define BH_MAGIC_DEBUGFS 0x64626720
#define BH_MAGIC_TRACEFS 0x74726163
#define BH_FMODE_WRITE 2
#define BH_MAY_WRITE 2
#define BH_S_IFMT 0170000
#define BH_S_IFBLK 0060000
#define BH_PROT_EXEC 4
#define BH_PTRACE_MODE_ATTACH 2
#define BH_READ_IMPLIES_EXEC 0x0400000
#define BH_MS_REMOUNT 32
#define BH_MS_MOVE 8192
#define BH_MS_PROPAGATION (15 << 17) /* unbindable, private, slave, shared */
