/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * An ordered action and the hook that sees the exec, to what this hook does; which files are hashed; the hash of a path. Pure. */
#pragma once

#include "bulkhead/decide_net.h"

/* Where an exec is seen, in the order in which the kernel gets there. */
enum bh_exec_hook {
	BH_AT_SYSCALL, /* execve(2) entered; only the path is known, and the caller can still change it */
	BH_AT_CHECK,   /* security_bprm_check; can refuse */
	BH_AT_MAP,     /* security_mmap_file, security_file_mprotect; can refuse */
	BH_AT_EXEC,    /* sched_process_exec; the new image is loaded and has not run */
};

#define BH_DO_KILL 1
#define BH_DO_REFUSE 2
#define BH_DO_COUNT 4

/* `deny_exec`: a hook that can refuse an exec is attached, so DENY waits for it, and NOTIFY is counted there: it sees scripts too.
 * The last hook kills whatever came that far. */
BH_PURE __u32 bh_decide_exec(__u32 action, enum bh_exec_hook hook, __u8 deny_exec)
{
	if (action == BH_ACTION_NOTIFY)
		return hook == BH_AT_MAP || hook == (deny_exec ? BH_AT_CHECK : BH_AT_EXEC) ? BH_DO_COUNT : 0;
	if (action == BH_ACTION_DENY && hook == BH_AT_SYSCALL && deny_exec)
		return 0;
	if (action != BH_ACTION_DENY && action != BH_ACTION_SIGKILL)
		return 0;
	if (hook == BH_AT_SYSCALL || hook == BH_AT_EXEC)
		return BH_DO_KILL;
	return action == BH_ACTION_DENY ? BH_DO_REFUSE : BH_DO_REFUSE | BH_DO_KILL;
}

/* Must a file of this size be hashed? `size_blocked`: a blocked content has it. `size_trusted`: nobody can make the size that
 * the kernel reports differ from that of the content. */
BH_PURE int bh_must_hash(__u8 exec_content, int size_trusted, int size_blocked)
{
	if (!(exec_content & BH_CONTENT_DIGESTS))
		return 0;
	return (exec_content & BH_CONTENT_ANY_SIZE) || !size_trusted || size_blocked;
}

/* What is known of a file that is about to run in the scope of an allow-list. */
struct bh_allow_facts {
	__u8 learn;    /* of the list */
	__u8 over;     /* the list's lease is over */
	__u8 file;     /* the list names the file itself, whatever it holds */
	__u8 content;  /* the list names the content */
	__u8 both;     /* the list names the file with this content */
	__u8 digest;   /* the content is known, and nobody can change it before it runs */
};

enum bh_allow_verdict { BH_ALLOW_DENY = 0, BH_ALLOW_PASS = 1, BH_ALLOW_LEARN = 2 };

/* A content counts only while it is certain. */
BH_PURE enum bh_allow_verdict bh_decide_allow(const struct bh_allow_facts *facts)
{
	if (facts->over)
		return BH_ALLOW_PASS;
	if (facts->learn)
		return BH_ALLOW_LEARN;
	if (facts->file)
		return BH_ALLOW_PASS;
	if (facts->digest && (facts->content || facts->both))
		return BH_ALLOW_PASS;
	return BH_ALLOW_DENY;
}

/* Did a process that is stopped now come back? Two hooks may stop one process, so it has to be another one than the last. */
BH_PURE int bh_is_respawn(const struct bh_stop *last, const struct bh_stop *now)
{
	return last->tgid != now->tgid && now->time_ns >= last->time_ns && now->time_ns - last->time_ns < BH_RESPAWN_NS;
}

/* Two 64-bit multiply-and-fold hashes over words of 8 bytes; the last word is padded with zeros. A collision stops one more
 * path than ordered (2^-128 by chance) and never one fewer. */
#define BH_HASH_SEED_A 0x9e3779b97f4a7c15ULL
#define BH_HASH_SEED_B 0xc2b2ae3d27d4eb4fULL
#define BH_HASH_MUL_A 0xff51afd7ed558ccdULL
#define BH_HASH_MUL_B 0xc4ceb9fe1a85ec53ULL

BH_PURE void bh_path_hash_start(struct bh_path_key *key, __u32 length)
{
	key->hash[0] = BH_HASH_SEED_A ^ length;
	key->hash[1] = BH_HASH_SEED_B ^ length;
	key->length = length;
	key->zero = 0;
}

BH_PURE void bh_path_hash_word(struct bh_path_key *key, __u64 word)
{
	key->hash[0] = (key->hash[0] ^ word) * BH_HASH_MUL_A;
	key->hash[0] ^= key->hash[0] >> 32;
	key->hash[1] = (key->hash[1] + word) * BH_HASH_MUL_B;
	key->hash[1] ^= key->hash[1] >> 29;
}

/* The bytes of `word` that belong to a path of which `left` bytes are left (1..); little-endian machines. */
BH_PURE __u64 bh_path_word(__u64 word, __u32 left)
{
	return left >= 8 ? word : word & ((1ULL << (left * 8)) - 1);
}
