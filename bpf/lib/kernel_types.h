/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * The kernel fields that the programs read, and no others. CO-RE finds their offsets in the running kernel's BTF when a
 * program is loaded, so one object serves every kernel. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

/* Makes bpf_tracing.h name the registers as the kernel does, below. */
#define __VMLINUX_H__

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup_root {
	int hierarchy_id; /* 0: cgroup v2 */
};

struct cgroup {
	struct cgroup_root *root;
	struct kernfs_node *kn;
	int level;
	struct cgroup *ancestors[];
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

/* Stands for struct in6_addr, whose name linux/ipv6.h takes. */
struct bh_in6_addr {
	__u8 bytes[16];
};

struct net {
	__u64 net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	possible_net_t skc_net;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct bh_in6_addr skc_v6_daddr;
	struct bh_in6_addr skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	struct sock_cgroup_data sk_cgrp_data;
};

struct socket {
	struct sock *sk;
};

struct tcp_sock {
	struct sock_common __sk_common;
};

struct udp_sock {
	struct sock_common __sk_common;
};

typedef struct {
	unsigned long sig[1];
} sigset_t;

struct sigpending {
	sigset_t signal;
};

struct gendisk {
	char disk_name[32];
};

struct block_device {
	struct gendisk *bd_disk;
};

struct super_block {
	__u32 s_dev;
	struct block_device *s_bdev;
	unsigned long s_flags;
	unsigned long s_magic;
};

typedef struct {
	int counter;
} atomic_t;

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	__u32 i_rdev;
	__u32 i_generation;
	long long i_size;
	atomic_t i_writecount;
};

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	struct path f_path;
	unsigned int f_mode;
};

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
	char buf[256];
};

struct mm_struct {
	struct file *exe_file;
};

struct vm_area_struct {
	unsigned long vm_flags;
	struct file *vm_file;
};

struct task_struct {
	struct sigpending pending;
	struct mm_struct *mm;
	unsigned int personality;
	unsigned int in_execve : 1;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	__u64 start_boottime;
	char comm[16];
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};

/* x86-64: the arguments of functions (di, si) and, through BPF_KSYSCALL, of system calls. */
struct pt_regs {
	unsigned long si;
	unsigned long di;
};

struct trace_event_raw_sys_enter {
	unsigned long args[6];
};

#pragma clang attribute pop

/* From the kernel's ABI; the headers that define them are not for BPF. */
#define AF_INET 2
#define AF_INET6 10
#define AF_XDP 44
#define SIGKILL 9
#define EPERM 1
#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define PROT_READ 1
#define PROT_EXEC 4
#define VM_EXEC 4
#define READ_IMPLIES_EXEC 0x0400000
#define FMODE_WRITE 2
#define SB_NOUSER (1UL << 31)
#define LOOP_MAJOR 7
#define HASH_ALGO_SHA256 4
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define TCP_NEW_SYN_RECV 12
