// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* The yardstick of the leak matrix: kill whoever opens a TCP connection. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

__u32 hook_enabled;

SEC("kprobe/tcp_connect")
int hook_connect(void *context)
{
	if (hook_enabled)
		bpf_send_signal(9);
	return 0;
}
