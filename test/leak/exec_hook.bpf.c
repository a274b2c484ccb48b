// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* The yardstick of the exec matrix: compare the path that execve(2) was given, and kill the caller. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#define HOOK_PATH_BYTES 256

char _license[] SEC("license") = "GPL";

char hook_path[HOOK_PATH_BYTES]; /* empty: nobody is killed */
__u64 hook_cgroup;               /* 0: the whole host */

/* x86-64: where the kernel's entry code keeps the caller's first argument, in the structure that the probe's argument
 * points to. */
struct caller_registers {
	unsigned long before_di[14];
	unsigned long di;
};

struct enter_execve {
	__u64 common;
	long number;
	unsigned long arguments[6];
};

static __always_inline void judge(unsigned long path)
{
	char given[HOOK_PATH_BYTES] = {};

	if (!hook_path[0] || (hook_cgroup && bpf_get_current_cgroup_id() != hook_cgroup))
		return;
	if (bpf_probe_read_user_str(given, sizeof(given), (const void *)path) < 0)
		return;
	for (int i = 0; i < HOOK_PATH_BYTES; ++i) {
		if (given[i] != hook_path[i])
			return;
		if (!given[i])
			break;
	}
	bpf_send_signal(9);
}

SEC("kprobe/__x64_sys_execve")
int hook_execve(const struct caller_registers *probed)
{
	const struct caller_registers *caller = NULL;
	unsigned long path = 0;

	bpf_probe_read_kernel(&caller, sizeof(caller), &probed->di);
	bpf_probe_read_kernel(&path, sizeof(path), &caller->di);
	judge(path);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_execve")
int hook_enter_execve(const struct enter_execve *entered)
{
	judge(entered->arguments[0]);
	return 0;
}
