/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Which of the scoped walls cover a socket or a process, and what that makes of the walls in force.
 *
 * A socket belongs to the cgroup of the process that made it, for its whole life; a connection that a listener accepted,
 * to the listener's. Hooks that see the caller and not the socket ask for the caller's cgroup. */
#pragma once

#include "maps.h"

#include "bulkhead/decide_scope.h"

typedef __u64 (*bh_ancestor)(void *who, __u32 level);

/* A bit for each scoped wall whose cgroup `who` is in. They are sorted by level: each level is asked for once. */
static __always_inline __u32 bh_covered(const struct bh_config *config, void *who, bh_ancestor ancestor)
{
	__u32 covered = 0, level = ~0U;
	__u64 id = 0;

	for (__u32 i = 0; i < BH_MAX_SCOPED_WALLS; i++) {
		if (i >= config->scoped_walls)
			break;
		if (config->scoped[i].level != level) {
			level = config->scoped[i].level;
			id = ancestor(who, level);
		}
		if (id == config->scoped[i].cgroup)
			covered |= 1U << i;
	}
	return covered;
}

static __always_inline __u64 bh_current_ancestor(void *who, __u32 level)
{
	return bpf_get_current_ancestor_cgroup_id(level);
}

static __always_inline __u64 bh_kernel_sock_ancestor(void *sk, __u32 level)
{
	return bh_cgroup_ancestor(BPF_CORE_READ((const struct sock *)sk, sk_cgrp_data.cgroup), level);
}

/* The three below are not static, so that the verifier checks them once and not in every state of every caller. */

/* A bit for each scoped wall that the current process is in. */
__noinline __u32 bh_current_covered(const struct bh_config *config)
{
	return config ? bh_covered(config, NULL, bh_current_ancestor) : 0;
}

/* The walls as one number. */
__noinline __u32 bh_choose_walls(const struct bh_config *config, __u32 covered)
{
	struct bh_walls walls;

	if (!config)
		return BH_ISOLATE;
	walls = bh_walls_for(config, covered, bpf_ktime_get_boot_ns());
	return walls.enforced | walls.enforced_by << 8 | walls.shadow << 16 | walls.shadow_by << 24;
}

__noinline int bh_copy_policy(const struct bh_config *config, __u32 by, struct bh_policy_key *policy)
{
	if (!config || !policy)
		return 0;
	*policy = *bh_wall_policy(config, BH_NO_WALL, by);
	return 1;
}

/* As bh_wall_policy, with `room` for the policy of a scoped wall. */
static __always_inline const struct bh_policy_key *bh_policy_of(const struct bh_config *config, __u8 wall, __u8 by,
								struct bh_policy_key *room)
{
	if (!by)
		return bh_wall_policy(config, wall, 0);
	bh_copy_policy(config, by, room);
	return room;
}

static __always_inline struct bh_walls bh_covering_walls(const struct bh_config *config, __u32 covered)
{
	__u32 number = bh_choose_walls(config, covered);
	struct bh_walls walls = {
		.enforced = number, .enforced_by = number >> 8, .shadow = number >> 16, .shadow_by = number >> 24};

	return walls;
}

/* For the current process. */
static __always_inline struct bh_walls bh_current_walls(const struct bh_config *config)
{
	if (config->scoped_walls)
		return bh_covering_walls(config, bh_current_covered(config));
	return bh_host_walls(config, bh_wall_clock(config));
}

/* For a socket that is seen by BTF. */
static __always_inline struct bh_walls bh_sock_walls(const struct bh_config *config, const struct sock *sk)
{
	if (config->scoped_walls)
		return bh_covering_walls(config, bh_covered(config, (void *)sk, bh_kernel_sock_ancestor));
	return bh_host_walls(config, bh_wall_clock(config));
}
