/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * The maps that several objects share, by pin; and the only code that chooses which of the two slots is read.
 *
 * bh_active holds 0 (nothing was ever published: everything passes) or 1 + the slot in force. The sensor fills the other slot
 * with fresh inner maps, freezes them, reads them back, and publishes by writing bh_active once. A program reads bh_active
 * once and stays with that slot. A published slot whose maps are missing is a failure: the network is denied. */
#pragma once

#include "core_compat.h"

#include "bulkhead/abi.h"
#include "bulkhead/decide_lease.h"

/* Sizes, not types: clang 14 leaves a structure that only an inner map names out of the BTF. */
struct bh_inner_config {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct bh_config));
};

struct bh_inner_rules {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_RULE_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct bh_rule_key));
	__uint(value_size, sizeof(struct bh_rule_value));
};

struct bh_inner_ports {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_PORT_SETS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct bh_port_set));
};

struct bh_inner_files {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_EXEC_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct bh_file_key));
	__uint(value_size, sizeof(struct bh_exec_rule));
};

struct bh_inner_paths {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_EXEC_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct bh_path_key));
	__uint(value_size, sizeof(struct bh_exec_rule));
};

struct bh_inner_digests {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_EXEC_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct bh_digest_key));
	__uint(value_size, sizeof(struct bh_digest_rule));
};

struct bh_inner_prints {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_EXEC_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct bh_print_key));
	__uint(value_size, sizeof(struct bh_exec_rule));
};

struct bh_inner_lists {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_LISTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(__u64));
	__uint(value_size, sizeof(struct bh_list));
};

struct bh_inner_await {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_LISTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct bh_path_key));
	__uint(value_size, sizeof(struct bh_list));
};

struct bh_inner_allow {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_ALLOWED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct bh_allow_key));
	__uint(value_size, sizeof(__u32));
};

struct bh_inner_sizes {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_EXEC_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(__u64));
	__uint(value_size, sizeof(__u32));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bh_active SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_config);
} bh_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_host);
} bh_host SEC(".maps");

/* Fails open: a hit that finds no entry is counted in BH_FAIL_POLICY_STAT. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_POLICIES);
	__type(key, struct bh_policy_key);
	__type(value, struct bh_policy_stat);
} bh_policies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BH_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} bh_count SEC(".maps");

/* Fails open: an event that does not fit is counted in BH_FAIL_EVENT, the verdict stands. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, BH_EVENT_BYTES);
} bh_events SEC(".maps");

static __always_inline void bh_add(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&bh_count, &counter);

	if (value)
		++*value;
}

/* 0: nothing published. Otherwise 1 + the slot; pass it to the getters. */
static __always_inline __u32 bh_active_slot(void)
{
	__u32 zero = 0;
	__u32 *active = bpf_map_lookup_elem(&bh_active, &zero);

	return active ? *(volatile __u32 *)active : 0;
}

static __always_inline const struct bh_config *bh_slot_config(__u32 active)
{
	__u32 slot = active - 1, zero = 0;
	void *inner = bpf_map_lookup_elem(&bh_config, &slot);

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

/* The time that leases are compared with, CLOCK_BOOTTIME in ns: it goes on while the host sleeps. 0 where there is no lease, so that
 * packets do not pay for what nobody ordered. */
static __always_inline __u64 bh_lease_clock(__u64 expires)
{
	return expires ? bpf_ktime_get_boot_ns() : 0;
}

static __always_inline __u64 bh_wall_clock(const struct bh_config *config)
{
	return bh_lease_clock(config->contain_expires | config->isolate_expires);
}

static __always_inline const struct bh_host *bh_host_facts(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&bh_host, &zero);
}

static __always_inline void bh_hit(const struct bh_policy_key *policy)
{
	struct bh_policy_stat *stat = bpf_map_lookup_elem(&bh_policies, policy);

	if (stat)
		__sync_fetch_and_add(&stat->hits, 1);
	else
		bh_add(BH_FAIL_POLICY_STAT);
}

/* Is the current process inside the scope? */
static __always_inline bool bh_current_in_scope(const struct bh_host *host)
{
	return bpf_get_current_ancestor_cgroup_id(host->scope_level) == host->scope_cgroup;
}

/* Is the current process the sensor? It is known by its cgroup. */
static __always_inline bool bh_in_sensor_cgroup(const struct bh_host *host)
{
	return host->sensor_cgroup && bpf_get_current_cgroup_id() == host->sensor_cgroup;
}

/* The verdict of enforcement does not depend on it; false is counted. */
static __always_inline bool bh_kill_current(void)
{
	if (bpf_send_signal(SIGKILL) == 0)
		return true;
	bh_add(BH_FAIL_SIGNAL);
	return false;
}

/* Who does it, as it is now: a short-lived process is gone before the sensor could look. */
static __always_inline void bh_describe_current(struct bh_event *event)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *parent = BPF_CORE_READ(task, real_parent);

	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->uid = bpf_get_current_uid_gid();
	event->cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	event->parent = BPF_CORE_READ(parent, tgid);
	BPF_CORE_READ_STR_INTO(&event->parent_comm, parent, comm);
}

/* A cleared event with what every kind has, or NULL (counted). Submit it with bpf_ringbuf_submit. */
static __always_inline struct bh_event *bh_new_event(__u8 kind, __u8 action, const struct bh_policy_key *policy)
{
	struct bh_event *event = bpf_ringbuf_reserve(&bh_events, sizeof(*event), 0);

	if (!event) {
		bh_add(BH_FAIL_EVENT);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = bpf_ktime_get_ns();
	event->policy = *policy;
	event->kind = kind;
	event->action = action;
	bh_describe_current(event);
	return event;
}
