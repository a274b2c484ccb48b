// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* Keeps root from stopping, blinding or undoing the sensor.
 *
 * hooks                                             refuse to everybody but the sensor                    when
 * task_kill, file_send_sigiotask                    signals to the sensor                                 always
 * ptrace_access_check                               tracing it or process 1, /proc/PID/mem, pidfd_getfd   always
 * task_setrlimit, _setscheduler, _setnice           limits and priorities of the sensor                   always
 * file_open, path_truncate, _chmod, _chown          changing its program, libraries, state                always
 * inode_create, _link, .., _rename, file_lock       the same by directory entries; its pins               always
 * inode_rmdir                                       removing its cgroup                                   always, lowered too
 * sb_mount, sb_umount, move_mount, sb_pivotroot     hiding or unmounting them                             always
 * file_permission                                   cgroup.kill and such, its /proc/PID, ftrace_enabled   always
 *                                                   sysrq-trigger, debugfs, tracefs                       wall
 * bpf, bpf_map, bpf_prog                            its maps and programs, changes of its links           always
 * bpf, perf_event_open                              programs that trace, signal or redirect               wall
 * locked_down, kernel_read_file, kernel_load_data   modules, kexec, /dev/mem, I/O ports                   wall
 * file_open of a block device                       writing beneath the file systems                      wall
 * mmap_file                                         code inside the sensor that was not trusted           always
 * tp_btf/sched_process_exec, _exit                  (nothing: they learn when a sensor starts and ends)
 *
 * Without `bpf` in lsm= the loader turns each lsm/X into fmod_ret/security_X.
 *
 * Does not stop: reboot(2), process 1's halt program, another kernel, a sensor's first seconds at boot, programs that
 * trace or signal and were attached before the wall went up. Never stands in the way of a shutdown: process 1 running
 * the halt program is free.
 *
 * On failure: open. Until BH_GUARD_ENABLE, and without its maps, nothing is refused. Only BH_GUARD_ENABLE's last step
 * turns it on. */
#include "guard_files.h"

char _license[] SEC("license") = "GPL";

/* The thread that proves the hooks by renicing itself; 0: none. Set by the sensor. */
__u32 bh_g_probe_tid;

/* ---- The sensor as a process ---- */

SEC("lsm/task_kill")
int BPF_PROG(bh_g_kill, struct task_struct___guard *task, void *info, int signal)
{
	return signal ? bh_guard_refuse(bh_shields(task), BH_GUARD_DENIED_SIGNAL) : 0;
}

SEC("lsm/file_send_sigiotask")
int BPF_PROG(bh_g_sigio, struct task_struct___guard *task)
{
	return bh_guard_refuse(bh_shields(task), BH_GUARD_DENIED_SIGNAL);
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(bh_g_ptrace, struct task_struct___guard *child, unsigned int mode)
{
	struct bh_guard *guard = bh_the_guard();

	if (!(mode & BH_PTRACE_MODE_ATTACH) || !guard || !guard->enabled)
		return 0;
	if (!bh_is_sensor_task(guard, child) && BPF_CORE_READ(child, tgid) != 1)
		return 0;
	return bh_guard_refuse(bh_level(guard) != BH_GUARD_OFF, BH_GUARD_DENIED_TRACE);
}

SEC("lsm/task_setrlimit")
int BPF_PROG(bh_g_rlimit, struct task_struct___guard *task)
{
	return bh_guard_refuse(bh_shields(task), BH_GUARD_DENIED_LIMIT);
}

SEC("lsm/task_setscheduler")
int BPF_PROG(bh_g_sched, struct task_struct___guard *task)
{
	return bh_guard_refuse(bh_shields(task), BH_GUARD_DENIED_LIMIT);
}

SEC("lsm/task_setnice")
int BPF_PROG(bh_g_nice, struct task_struct___guard *task)
{
	if (bh_g_probe_tid && (__u32)bpf_get_current_pid_tgid() == bh_g_probe_tid)
		return -EPERM;
	return bh_guard_refuse(bh_shields(task), BH_GUARD_DENIED_LIMIT);
}

/* During execve(2) the program and its loader are mapped before sched_process_exec: a foreign loader is remembered
 * until then. */
SEC("lsm/mmap_file")
int BPF_PROG(bh_g_mmap, struct file___guard *file, unsigned long prot)
{
	struct bh_guard *guard = bh_the_guard();
	bool sensor;

	if (!file || !(prot & BH_PROT_EXEC) || !guard || !guard->enabled)
		return 0;
	sensor = bh_current_is_sensor(guard);
	if ((!sensor && !bh_current_resembles(guard)) || bpf_ktime_get_boot_ns() < guard->lowered_until ||
	    (bh_protection(BPF_CORE_READ(file, f_inode)) & BH_TRUSTED_CODE))
		return 0;
	if (sensor && guard->self.state == BH_SELF_CONFIRMED)
		return bh_guard_refuse(true, BH_GUARD_DENIED_FOREIGN_CODE);
	/* Refusing would keep a sensor whose libraries were upgraded from starting at all. It starts, and is not trusted. */
	bh_guard_add(BH_GUARD_TRUST_LOST);
	bh_mark_foreign();
	if (sensor)
		bh_forget_self(guard);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(bh_g_exec)
{
	struct bh_guard *guard = bh_the_guard();

	if (!guard || !guard->enabled)
		return 0;
	if (bh_current_may_be_trusted(guard)) {
		if (!guard->self.tgid || bh_current_is_sensor(guard))
			bh_trust_current(guard, BH_SELF_STARTING);
	} else if (bh_current_is_sensor(guard)) {
		bh_forget_self(guard);
	}
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(bh_g_exit, struct task_struct___guard *task)
{
	struct bh_guard *guard = bh_the_guard();

	if (guard && bh_current_is_sensor(guard) && BPF_CORE_READ(task, signal, live.counter) == 0)
		bh_forget_self(guard);
	return 0;
}

/* ---- Its files ---- */

SEC("lsm/file_open")
int BPF_PROG(bh_g_open, struct file___guard *file)
{
	if (!(BPF_CORE_READ(file, f_mode) & BH_FMODE_WRITE))
		return 0;
	return bh_guard_refuse(bh_guards_open(file), BH_GUARD_DENIED_FILE);
}

/* A lock on the pins' directory is how sensors exclude each other. */
SEC("lsm/file_lock")
int BPF_PROG(bh_g_lock, struct file___guard *file)
{
	return bh_guard_refuse(bh_guards_content(BPF_CORE_READ(file, f_path.dentry)), BH_GUARD_DENIED_FILE);
}

SEC("lsm/file_permission")
int BPF_PROG(bh_g_write, struct file___guard *file, int mask)
{
	return mask & BH_MAY_WRITE ? bh_guard_write(file) : 0;
}

SEC("lsm/path_truncate")
int BPF_PROG(bh_g_truncate, struct path___guard *path)
{
	return bh_guard_refuse(bh_guards_content(BPF_CORE_READ(path, dentry)), BH_GUARD_DENIED_FILE);
}

SEC("lsm/file_truncate")
int BPF_PROG(bh_g_ftruncate, struct file___guard *file)
{
	return bh_guard_refuse(bh_guards_content(BPF_CORE_READ(file, f_path.dentry)), BH_GUARD_DENIED_FILE);
}

SEC("lsm/path_chmod")
int BPF_PROG(bh_g_chmod, struct path___guard *path)
{
	return bh_guard_refuse(bh_guards_content(BPF_CORE_READ(path, dentry)), BH_GUARD_DENIED_FILE);
}

SEC("lsm/path_chown")
int BPF_PROG(bh_g_chown, struct path___guard *path)
{
	return bh_guard_refuse(bh_guards_content(BPF_CORE_READ(path, dentry)), BH_GUARD_DENIED_FILE);
}

/* The hooks that make or remove one entry differ in their names alone. */
#define BH_ENTRY_HOOK(hook, program)                                                                 \
	SEC("lsm/" #hook)                                                                            \
	int BPF_PROG(program, struct inode___guard *directory, struct dentry___guard *entry)         \
	{                                                                                            \
		return bh_guard_refuse(bh_guards_entry(directory, entry), BH_GUARD_DENIED_FILE);     \
	}

BH_ENTRY_HOOK(inode_create, bh_g_create)
BH_ENTRY_HOOK(inode_symlink, bh_g_symlink)
BH_ENTRY_HOOK(inode_mkdir, bh_g_mkdir)
BH_ENTRY_HOOK(inode_mknod, bh_g_mknod)
BH_ENTRY_HOOK(inode_unlink, bh_g_unlink)

SEC("lsm/inode_rmdir")
int BPF_PROG(bh_g_rmdir, struct inode___guard *directory, struct dentry___guard *entry)
{
	if (bh_keeps_home(entry))
		return bh_guard_refuse(true, BH_GUARD_DENIED_CGROUP);
	return bh_guard_refuse(bh_guards_entry(directory, entry), BH_GUARD_DENIED_FILE);
}

SEC("lsm/inode_link")
int BPF_PROG(bh_g_link, struct dentry___guard *old, struct inode___guard *directory, struct dentry___guard *entry)
{
	return bh_guard_refuse(bh_guards_entry(directory, entry) || bh_guards_content(old), BH_GUARD_DENIED_FILE);
}

SEC("lsm/inode_rename")
int BPF_PROG(bh_g_rename, struct inode___guard *old_directory, struct dentry___guard *old,
	     struct inode___guard *directory, struct dentry___guard *entry)
{
	bool guarded = bh_guards_entry(old_directory, old) || bh_guards_entry(directory, entry);

	return bh_guard_refuse(guarded, BH_GUARD_DENIED_FILE);
}

/* ---- Mounts ---- */

SEC("lsm/sb_mount")
int BPF_PROG(bh_g_mount, const char *device, struct path___guard *path, const char *type, unsigned long flags)
{
	/* Other options or propagation of a mount hide nothing. What a move moves is known as text only: none is allowed. */
	if (flags & (BH_MS_REMOUNT | BH_MS_PROPAGATION))
		return 0;
	if (flags & BH_MS_MOVE)
		return bh_guard_refuse(bh_guards_moves(BPF_CORE_READ(path, mnt)), BH_GUARD_DENIED_MOUNT);
	return bh_guard_refuse(bh_guards_path(path), BH_GUARD_DENIED_MOUNT);
}

SEC("lsm/sb_umount")
int BPF_PROG(bh_g_umount, struct vfsmount___guard *mnt)
{
	return bh_guard_refuse(bh_guards_mount(mnt, BPF_CORE_READ(mnt, mnt_root)), BH_GUARD_DENIED_MOUNT);
}

SEC("lsm/move_mount")
int BPF_PROG(bh_g_move_mount, struct path___guard *from, struct path___guard *to)
{
	return bh_guard_refuse(bh_guards_path(from) || bh_guards_path(to), BH_GUARD_DENIED_MOUNT);
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(bh_g_pivot, struct path___guard *old)
{
	return bh_guard_refuse(bh_guards_path(old), BH_GUARD_DENIED_MOUNT);
}

#include "guard_kernel.h"
