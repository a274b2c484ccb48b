/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Everything that differs between the kernels we serve, and nothing else. */
#pragma once

#include "kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Before 6.1 (7f203bc89eb6, "cgroup: Replace cgroup->ancestor_ids[] with ->ancestors[]") a cgroup held the ids themselves. */
struct cgroup___before_6_1 {
	__u64 ancestor_ids[1];
} __attribute__((preserve_access_index));

/* Id of the ancestor of `cgroup` at `level`; 0 when it is not that deep. */
static __always_inline __u64 bh_cgroup_ancestor(struct cgroup *cgroup, __u32 level)
{
	struct cgroup___before_6_1 *before = (void *)cgroup;
	struct cgroup *ancestor = NULL;
	__u64 id = 0;

	if (!cgroup || (__u32)BPF_CORE_READ(cgroup, level) < level)
		return 0;
	if (bpf_core_field_exists(before->ancestor_ids)) {
		bpf_probe_read_kernel(&id, sizeof(id), (__u64 *)__builtin_preserve_access_index(&before->ancestor_ids[0]) + level);
		return id;
	}
	bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
			      (struct cgroup **)__builtin_preserve_access_index(&cgroup->ancestors[0]) + level);
	return BPF_CORE_READ(ancestor, kn, id);
}
