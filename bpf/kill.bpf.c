// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* Follows a tree of processes while it is killed, so that no fork gets away.
 *
 * hook                          sees                    does
 * raw_tp/sched_process_fork     who forks, and whom     the child of a member becomes one; once armed, the parent gets SIGKILL
 *
 * Loaded and attached by the sensor for as long as one kill lasts; nothing is pinned. The child is known before it runs its first
 * instruction, whoever its parent is afterwards: one that is orphaned, or made with CLONE_PARENT, stays a member. An armed
 * tree cannot grow faster than it is killed, because each member dies at its first fork.
 *
 * Does not see: who left the tree before the kill began.
 *
 * On failure: a member that does not fit is counted in bh_hunt.lost, and is found by walking for as long as its parent lives. */
#include "core_compat.h"

#include "bulkhead/abi.h"

#include <bpf/bpf_tracing.h>

#define BH_NSEC_PER_TICK (BH_NSEC_PER_SEC / 100) /* USER_HZ is 100 */

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_TREE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct bh_process);
	__type(value, struct bh_member);
} bh_tree SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_hunt);
} bh_hunt SEC(".maps");

static __always_inline void bh_name(struct task_struct *task, struct bh_process *process)
{
	process->tgid = BPF_CORE_READ(task, tgid);
	process->started = BPF_CORE_READ(task, group_leader, start_boottime) / BH_NSEC_PER_TICK;
}

SEC("raw_tp/sched_process_fork")
int BPF_PROG(bh_rtp_fork, struct task_struct *task, struct task_struct *child)
{
	struct bh_process forker = {}, forked = {};
	struct bh_member member = {};
	struct bh_member *known;
	struct bh_hunt *hunt;
	__u32 zero = 0;

	bh_name(task, &forker);
	known = bpf_map_lookup_elem(&bh_tree, &forker);
	hunt = bpf_map_lookup_elem(&bh_hunt, &zero);
	if (!known || !hunt)
		return 0;
	bh_name(child, &forked);
	member.parent = forker.tgid;
	if (forked.tgid != forker.tgid && bpf_map_update_elem(&bh_tree, &forked, &member, BPF_NOEXIST))
		__sync_fetch_and_add(&hunt->lost, 1);
	if (hunt->armed && bpf_get_current_ancestor_cgroup_id(hunt->scope_level) == hunt->scope_cgroup &&
	    bpf_send_signal(SIGKILL) == 0)
		known->killed = 1;
	return 0;
}
