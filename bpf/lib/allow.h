/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Allow-lists: which of them hold the current process, and whether each of them names a file.
 *
 * A list is found by the cgroups that the process is in, from the scope downwards; every list on the way must name the
 * file. A process that moves into a scope is judged at its next exec or mapping. A cgroup that is made where a list waits
 * for one has the list at once, so that a service's first exec is judged too, with the sensor dead as well.
 *
 * Fails closed: what the lists' entries cannot be asked about is refused. The lists themselves missing is the one thing
 * that passes, counted in BH_FAIL_LIST: nobody can tell then whom they are about, and the host as a whole must go on. The
 * sensor puts them back. */
#pragma once

#include "exec.h"

/* ---- Maps ---- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_lists);
} bh_lists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_allow);
} bh_allowed SEC(".maps");

/* Lists by the path of the scope's cgroup, for one that is made later. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BH_SLOTS);
	__type(key, __u32);
	__array(values, struct bh_inner_await);
} bh_awaited SEC(".maps");

/* Cgroups that were made at such a path: id to path. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BH_MAX_BORN);
	__type(key, __u64);
	__type(value, struct bh_path_key);
} bh_born SEC(".maps");

/* Execs that digest.bpf.c let pass: the binprm, to the file that was judged. bh_rtp_exec cannot hash and takes its word. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BH_MAX_JUDGED);
	__type(key, __u64);
	__type(value, __u64);
} bh_judged SEC(".maps");

/* ---- One walk over the lists that hold the current process ---- */

struct bh_allow_walk {
	/* What is judged. */
	struct bh_path_key script; /* by_path: a script of which only the path is known */
	struct bh_file_key file;
	struct bh_digest_key digest;
	const char *path; /* for the event */
	__u32 hook;
	__u32 slot;
	__u32 level; /* of the first cgroup to look at */
	__u8 by_path;
	__u8 known; /* digest is that of the file, for certain */
	/* What was found. */
	__u8 any;            /* a list holds the process */
	__u8 learns;         /* one of them learns */
	__u8 wants_content;  /* one of them may name the file by its content only */
	__u8 refuse;         /* one of them does not name it, and the hook is to refuse */
};

static __always_inline void bh_allow_start(struct bh_allow_walk *walk, const struct bh_host *host, __u32 active)
{
	walk->slot = active - 1;
	walk->level = host->scope_level;
}

static __always_inline struct bh_list *bh_list_of(__u64 cgroup, __u32 slot)
{
	void *lists = bpf_map_lookup_elem(&bh_lists, &slot);
	struct bh_list *list = lists ? bpf_map_lookup_elem(lists, &cgroup) : NULL;
	struct bh_path_key *born;
	void *awaited;

	if (list)
		return list;
	born = bpf_map_lookup_elem(&bh_born, &cgroup);
	awaited = born ? bpf_map_lookup_elem(&bh_awaited, &slot) : NULL;
	return awaited ? bpf_map_lookup_elem(awaited, born) : NULL;
}

/* The list of the process's cgroup `step` levels below the scope. `end`: the process is not that deep. */
static __always_inline struct bh_list *bh_list_at(const struct bh_allow_walk *walk, __u32 step, bool *end)
{
	__u64 cgroup = bpf_get_current_ancestor_cgroup_id(walk->level + step);

	*end = !cgroup;
	return cgroup ? bh_list_of(cgroup, walk->slot) : NULL;
}

static __always_inline bool bh_list_has(__u32 slot, const struct bh_allow_key *key)
{
	void *allowed = bpf_map_lookup_elem(&bh_allowed, &slot);

	if (allowed)
		return bpf_map_lookup_elem(allowed, key);
	bh_add(BH_FAIL_LIST);
	return false;
}

static __always_inline bool bh_list_names_file(const struct bh_allow_walk *walk, __u32 list)
{
	struct bh_allow_key key = {.list = list};

	if (walk->by_path) {
		key.kind = BH_ALLOW_PATH;
		__builtin_memcpy(key.id, &walk->script, sizeof(walk->script));
	} else {
		key.kind = BH_ALLOW_FILE;
		__builtin_memcpy(key.id, &walk->file, sizeof(walk->file));
	}
	return bh_list_has(walk->slot, &key);
}

static __always_inline bool bh_list_names_content(const struct bh_allow_walk *walk, __u32 list)
{
	struct bh_allow_key key = {.list = list, .kind = BH_ALLOW_CONTENT};

	__builtin_memcpy(key.id, &walk->digest, sizeof(walk->digest));
	return bh_list_has(walk->slot, &key);
}

static __always_inline bool bh_list_names_both(const struct bh_allow_walk *walk, __u32 list)
{
	struct bh_allow_key key = {.list = list, .kind = BH_ALLOW_BOTH};

	__builtin_memcpy(key.id, &walk->file, sizeof(walk->file));
	__builtin_memcpy(key.id + sizeof(walk->file), &walk->digest, sizeof(walk->digest));
	return bh_list_has(walk->slot, &key);
}

static long bh_look_step(__u32 step, struct bh_allow_walk *walk)
{
	struct bh_list *list;
	bool end;

	list = bh_list_at(walk, step, &end);
	if (!list)
		return end;
	walk->any = 1;
	if (list->learn)
		walk->learns = 1;
	else if (list->contents && !bh_list_names_file(walk, list->id))
		walk->wants_content = 1;
	return 0;
}

static long bh_judge_step(__u32 step, struct bh_allow_walk *walk)
{
	const struct bh_host *host = bh_host_facts();
	struct bh_allow_facts facts = {};
	struct bh_list *list;
	bool end;

	list = bh_list_at(walk, step, &end);
	if (!list)
		return end;
	if (!host)
		return 1;
	facts.learn = list->learn;
	facts.over = bh_lease_over(list->rule.expires, bh_lease_clock(list->rule.expires));
	facts.file = bh_list_names_file(walk, list->id);
	facts.digest = walk->known;
	if (walk->known && list->contents) {
		facts.content = bh_list_names_content(walk, list->id);
		facts.both = bh_list_names_both(walk, list->id);
	}
	if (bh_decide_allow(&facts) == BH_ALLOW_DENY &&
	    bh_act(&list->rule, BH_MATCH_UNLISTED, walk->hook, host, walk->path, false))
		walk->refuse = 1;
	return 0;
}

/* More levels than cgroups can be deep; the walk ends at the process's own. */
#define BH_ALLOW_STEPS (1 << 20)

/* Fills `any`, `learns` and `wants_content`. */
static __always_inline void bh_look(struct bh_allow_walk *walk)
{
	__u32 slot = walk->slot;

	if (!bpf_map_lookup_elem(&bh_lists, &slot)) {
		bh_add(BH_FAIL_LIST);
		return;
	}
	bpf_loop(BH_ALLOW_STEPS, bh_look_step, walk, 0);
}

/* Acts for every list that does not name the file. True: the hook is to refuse. */
static __always_inline bool bh_judge(struct bh_allow_walk *walk)
{
	bpf_loop(BH_ALLOW_STEPS, bh_judge_step, walk, 0);
	return walk->refuse;
}
