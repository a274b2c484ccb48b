/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Which walls a socket stands behind when policies of several scopes are in force. Pure, as decide_net.h. */
#pragma once

#include "bulkhead/decide_net.h"

/* What judges one socket. `.._by`: whose wall it is, 0 the one without a scope, else 1 + the index into bh_config.scoped. */
struct bh_walls {
	__u8 enforced; /* enum bh_wall: the strictest that covers the socket; its verdict counts */
	__u8 enforced_by;
	__u8 shadow; /* enum bh_wall: the strictest that is only counted */
	__u8 shadow_by;
};

/* Without any scoped wall. `now`: CLOCK_BOOTTIME, ns. */
BH_PURE struct bh_walls bh_host_walls(const struct bh_config *config, __u64 now)
{
	struct bh_walls walls = {.enforced = bh_enforced_wall(config, now), .shadow = bh_shadow_wall(config, now)};

	return walls;
}

BH_PURE __u8 bh_scoped_mode(const struct bh_config *config, __u32 index, __u64 now)
{
	return bh_leased_mode(config->scoped[index].mode, config->scoped[index].expires, now);
}

/* `covered`: bit i is set when bh_config.scoped[i] covers the socket. Of equally strict walls the first counts the hit, and
 * the one without a scope is the first of all. */
BH_PURE struct bh_walls bh_walls_for(const struct bh_config *config, __u32 covered, __u64 now)
{
	struct bh_walls walls = bh_host_walls(config, now);

	for (__u32 i = 0; i < BH_MAX_SCOPED_WALLS; i++) {
		__u8 wall, mode;

		if (i >= config->scoped_walls)
			break;
		if (!(covered & (1U << i)))
			continue;
		wall = config->scoped[i].wall;
		mode = bh_scoped_mode(config, i, now);
		if (mode == BH_WALL_ENFORCE && wall > walls.enforced) {
			walls.enforced = wall;
			walls.enforced_by = i + 1;
		} else if (mode == BH_WALL_SHADOW && wall > walls.shadow) {
			walls.shadow = wall;
			walls.shadow_by = i + 1;
		}
	}
	return walls;
}

/* The containment that kills who connects: 0 none, else 1 + what bh_walls calls `.._by`. */
BH_PURE __u8 bh_killer(const struct bh_config *config, __u32 covered, __u64 now)
{
	if (config->contain_action == BH_ACTION_SIGKILL &&
	    bh_leased_mode(config->contain, config->contain_expires, now) == BH_WALL_ENFORCE)
		return 1;
	for (__u32 i = 0; i < BH_MAX_SCOPED_WALLS; i++) {
		if (i >= config->scoped_walls)
			break;
		if ((covered & (1U << i)) && config->scoped[i].wall == BH_CONTAIN && config->scoped[i].action == BH_ACTION_SIGKILL &&
		    bh_scoped_mode(config, i, now) == BH_WALL_ENFORCE)
			return i + 2;
	}
	return 0;
}

/* The policy that a hit of `wall` is counted on. `by` as in bh_walls; the mask is what the verifier understands. */
BH_PURE const struct bh_policy_key *bh_wall_policy(const struct bh_config *config, __u8 wall, __u8 by)
{
	if (by)
		return &config->scoped[(by - 1) & (BH_MAX_SCOPED_WALLS - 1)].policy;
	return wall == BH_ISOLATE ? &config->isolate_policy : &config->contain_policy;
}
