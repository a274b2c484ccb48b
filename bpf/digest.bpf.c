// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* Stops blocked contents from being executed, whatever file they are in; and in the scope of an allow-list
 * (lib/allow.h) whatever it names neither as a file nor by its content.
 *
 * hook                          sees                                     does
 * lsm.s/bprm_check_security     the opened file, a script's too          hashes it; EPERM; with SIGKILL the caller dies as well
 * lsm.s/mmap_file               a file that becomes code                 the same
 * lsm/file_mprotect             a mapping that becomes code              the same, with the digest that is known (it cannot sleep)
 * lsm/file_open, path_truncate  whoever is about to change a file        forgets its digest
 *
 * Runs beside exec.bpf.c, which judges identity and path, and only where BPF LSM runs and IMA's hash is SHA-256. The kernel
 * computes the digest (bpf_ima_file_hash); no IMA policy is needed.
 *
 * A digest is kept with the inode in memory (inode storage), so it ends with the inode and no other file can take it over. An open
 * for writing, or a truncation, drops it before the content can change. It is kept only when nobody has the file open
 * for writing, on file systems where every change comes by these hooks; elsewhere a file is hashed each time: on loop and mapped
 * devices, whose content can be rewritten below the file system, and everywhere once somebody opened a disk for writing. Each
 * dropped digest is an object of its own: whoever hashed the old content fills the one that nobody sees any more.
 *
 * A listed content counts only in a file that nobody has open for writing, and not in a memfd: those can change after they were
 * hashed. A file that is listed by identity is not hashed.
 *
 * Does not stop: what exec.bpf.c does not, but for copies; a file rewritten between the check and its first instruction, which the
 * kernel forbids for files and not for a memfd.
 *
 * On failure: closed, counted. While a blocked content stops, what cannot be hashed does not run, and no disk is mapped as code; in
 * the scope of an allow-list never, unless the file itself is listed. */
#include "allow.h"

#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* ---- Maps ---- */

struct bh_known {
	struct bh_digest_key digest;
	__u32 valid;
};

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bh_known);
} bh_known SEC(".maps");

/* Not 0: somebody opened a disk for writing since this object was loaded first, and may write to it at any time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bh_disk_opened SEC(".maps");

/* ---- Look-ups ---- */

/* Local file systems on which i_size is the content's size and every change of content opens the file for writing. */
static __always_inline bool bh_fs_is_plain(struct inode *inode)
{
	switch (BPF_CORE_READ(inode, i_sb, s_magic)) {
	case 0xEF53:     /* ext2, ext3, ext4 */
	case 0x58465342: /* xfs */
	case 0x9123683E: /* btrfs */
	case 0xF2F52010: /* f2fs */
	case 0x01021994: /* tmpfs */
	case 0x858458f6: /* ramfs */
	case 0x73717368: /* squashfs */
	case 0xE0F5E1E2: /* erofs */
		return true;
	default:
		return false;
	}
}

static __always_inline bool bh_is_disk(struct inode *inode)
{
	return (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFBLK;
}

/* Disks by the first letters of their names. Not loop and mapped devices: what is below them is written to by other names. */
static __always_inline bool bh_is_lowest_disk(struct block_device *device)
{
	char disk[32] = {};

	if (!device)
		return false;
	BPF_CORE_READ_INTO(&disk, device, bd_disk, disk_name);
	return (disk[0] == 's' && disk[1] == 'd') || (disk[0] == 'v' && disk[1] == 'd') || (disk[0] == 'x' && disk[1] == 'v') ||
	       (disk[0] == 'n' && disk[1] == 'v') || (disk[0] == 'm' && disk[1] == 'm');
}

/* Do only its files, and whoever opens its disk, change this file system's content? Not where it may have several devices. */
static __always_inline bool bh_fs_is_alone(struct inode *inode)
{
	switch (BPF_CORE_READ(inode, i_sb, s_magic)) {
	case 0x01021994: /* tmpfs */
	case 0x858458f6: /* ramfs */
		return true;
	case 0xEF53:     /* ext2, ext3, ext4 */
	case 0x58465342: /* xfs */
		return bh_is_lowest_disk(BPF_CORE_READ(inode, i_sb, s_bdev));
	default:
		return false;
	}
}

/* May the digest be kept? Not on overlays, whose files change through another inode, and not for memfds: the descriptor that
 * memfd_create(2) returns was never opened, so neither hook nor i_writecount knows of it. */
static __always_inline bool bh_may_keep(struct inode *inode)
{
	return bh_fs_is_alone(inode) && !(BPF_CORE_READ(inode, i_sb, s_flags) & SB_NOUSER) &&
	       BPF_CORE_READ(inode, i_writecount.counter) <= 0;
}

static __always_inline bool bh_disk_was_opened(void)
{
	__u32 zero = 0;
	const __u32 *opened = bpf_map_lookup_elem(&bh_disk_opened, &zero);

	return !opened || *opened;
}

static __always_inline bool bh_is_regular(struct inode *inode)
{
	return (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFREG;
}

static __always_inline bool bh_size_blocked(__u64 size, __u32 slot)
{
	void *sizes = bpf_map_lookup_elem(&bh_sizes, &slot);

	return sizes && bpf_map_lookup_elem(sizes, &size);
}

static __always_inline bool bh_worth_hashing(struct inode *inode, __u8 exec_content, __u32 slot)
{
	struct inode *real = bh_real_inode(inode);

	return bh_must_hash(exec_content, bh_fs_is_plain(real), bh_size_blocked(BPF_CORE_READ(real, i_size), slot));
}

/* IMA hashes as many bytes as the inode claims to have; an overlay's may be stale. */
static __always_inline bool bh_size_is_true(struct inode *inode)
{
	return BPF_CORE_READ(inode, i_size) == BPF_CORE_READ(bh_real_inode(inode), i_size);
}

static __always_inline bool bh_hash(struct file *file, struct inode *inode, struct bh_digest_key *digest)
{
	struct bh_known *known = bpf_inode_storage_get(&bh_known, inode, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool keep;

	if (known && known->valid && !bh_disk_was_opened()) {
		*digest = known->digest;
		return true;
	}
	keep = known && bh_may_keep(inode); /* after the storage was found: see the header */
	if (!bh_size_is_true(inode) || bpf_ima_file_hash(file, digest, sizeof(*digest)) != HASH_ALGO_SHA256)
		return false;
	if (keep) {
		known->digest = *digest;
		asm volatile("" ::: "memory");
		known->valid = 1;
	}
	return true;
}

static __always_inline struct bh_exec_rule *bh_digest_rule(const struct bh_digest_key *digest, __u32 slot)
{
	void *digests = bpf_map_lookup_elem(&bh_digests, &slot);
	struct bh_digest_rule *found = digests ? bpf_map_lookup_elem(digests, digest) : NULL;

	return found ? &found->rule : NULL;
}

/* ---- Judge ---- */

static __always_inline bool bh_unreadable(__u8 exec_content)
{
	bh_add(BH_FAIL_DIGEST);
	return exec_content & BH_CONTENT_STOPS;
}

/* A file's content, hashed when it is first asked for. */
struct bh_content {
	struct bh_digest_key digest;
	bool tried;
	bool known;
};

static __always_inline bool bh_content_of(struct file *file, struct inode *inode, struct bh_content *content)
{
	if (!content->tried) {
		content->tried = true;
		content->known = bh_hash(file, inode, &content->digest);
	}
	return content->known;
}

/* What is in force for the current process. */
struct bh_content_set {
	const struct bh_host *host;
	__u32 active;      /* 0: nothing */
	__u8 exec_content; /* BH_CONTENT_* */
};

static __always_inline struct bh_content_set bh_content_set(void)
{
	struct bh_exec_set now = bh_exec_set();
	struct bh_content_set set = {.host = now.host, .active = now.active};

	if (now.active)
		set.exec_content = now.config->exec_content;
	return set;
}

/* True: the hook is to refuse. */
static __always_inline bool bh_blocked_content(struct file *file, enum bh_exec_hook hook, const char *path,
					       struct bh_content *content, const struct bh_content_set *set)
{
	struct inode *inode = file->f_inode;
	struct bh_exec_rule *rule;
	__u32 active;

	if (!(set->exec_content & BH_CONTENT_DIGESTS) || !set->host || !inode)
		return false;
	if (bh_is_disk(inode))
		return bh_unreadable(set->exec_content);
	if (!bh_is_regular(inode))
		return false;
	/* A file that is blocked by identity was judged by exec.bpf.c. */
	if (bh_file_rule(file, set->active - 1) || !bh_worth_hashing(inode, set->exec_content, set->active - 1))
		return false;
	if (!bh_content_of(file, inode, content))
		return bh_unreadable(set->exec_content);
	/* Hashing takes a while: another set may be in force by now, and this slot be used again. */
	active = bh_exec_set().active;
	rule = active ? bh_digest_rule(&content->digest, active - 1) : NULL;
	return rule ? bh_act(rule, BH_MATCH_DIGEST, hook, set->host, path, false) : false;
}

/* Can nobody change the content between now and its first instruction? See the header. */
static __always_inline bool bh_is_settled(struct inode *inode)
{
	struct inode *real = bh_real_inode(inode);

	return bh_is_regular(inode) && !(BPF_CORE_READ(inode, i_sb, s_flags) & SB_NOUSER) &&
	       BPF_CORE_READ(inode, i_writecount.counter) <= 0 && BPF_CORE_READ(real, i_writecount.counter) <= 0;
}

/* True: the hook is to refuse. `any`: a list holds the process. */
static __always_inline bool bh_unlisted_content(struct file *file, enum bh_exec_hook hook, const char *path,
						struct bh_content *content, const struct bh_content_set *set, bool *any)
{
	struct bh_allow_walk walk = {.hook = hook, .path = path};
	struct inode *inode = file->f_inode;
	struct bh_content_set later;

	if (!(set->exec_content & BH_CONTENT_LISTS) || !set->host || !inode)
		return false;
	bh_allow_start(&walk, set->host, set->active);
	bh_identify(inode, &walk.file);
	bh_look(&walk);
	*any = walk.any;
	if (!walk.any)
		return false;
	if (walk.wants_content && bh_is_settled(inode)) {
		walk.known = bh_content_of(file, inode, content) && bh_is_settled(inode);
		walk.digest = content->digest;
		if (!content->known)
			bh_add(BH_FAIL_DIGEST);
	}
	/* Hashing takes a while; see above. */
	later = bh_content_set();
	if (!(later.exec_content & BH_CONTENT_LISTS) || !later.host)
		return false;
	bh_allow_start(&walk, later.host, later.active);
	return bh_judge(&walk);
}

/* The hook of a change of protection cannot sleep, so it cannot hash: these two take the digest that is known, or NULL. */
static __always_inline bool bh_blocked_late(struct file *file, struct inode *inode, const struct bh_known *known,
					    const struct bh_content_set *set)
{
	struct bh_exec_rule *rule;

	if (!(set->exec_content & BH_CONTENT_DIGESTS) || !set->host || bh_file_rule(file, set->active - 1))
		return false;
	if (bh_is_disk(inode))
		return bh_unreadable(set->exec_content);
	if (!known)
		return bh_worth_hashing(inode, set->exec_content, set->active - 1) && bh_unreadable(set->exec_content);
	rule = bh_digest_rule(&known->digest, set->active - 1);
	return rule && bh_act(rule, BH_MATCH_DIGEST, BH_AT_MAP, set->host, bh_base_name(file), false);
}

static __always_inline bool bh_unlisted_late(struct file *file, struct inode *inode, const struct bh_known *known,
					     const struct bh_content_set *set)
{
	struct bh_allow_walk walk = {.hook = BH_AT_MAP, .path = bh_base_name(file)};

	if (!(set->exec_content & BH_CONTENT_LISTS) || !set->host)
		return false;
	bh_allow_start(&walk, set->host, set->active);
	bh_identify(inode, &walk.file);
	if (known && bh_is_settled(inode)) {
		walk.digest = known->digest;
		walk.known = 1;
	}
	return bh_judge(&walk);
}

/* ---- Hooks ---- */

SEC("lsm.s/bprm_check_security")
int BPF_PROG(bh_d_bprm, struct linux_binprm *bprm, int result)
{
	struct bh_content_set set = bh_content_set();
	struct bh_content content = {};
	struct file *file = bprm->file;
	bool any = false;
	const char *path;
	__u64 exec, judged;

	if (result)
		return result;
	if (!set.exec_content)
		return 0;
	path = BPF_CORE_READ(bprm, filename);
	if (bh_blocked_content(file, BH_AT_CHECK, path, &content, &set) ||
	    bh_unlisted_content(file, BH_AT_CHECK, path, &content, &set, &any))
		return bh_refuse_if(true);
	exec = (__u64)bprm;
	judged = (__u64)file;
	if (any)
		bpf_map_update_elem(&bh_judged, &exec, &judged, BPF_ANY);
	return 0;
}

SEC("lsm.s/mmap_file")
int BPF_PROG(bh_d_mmap, struct file *file, unsigned long asked, unsigned long prot, unsigned long flags, int result)
{
	struct bh_content content = {};
	struct bh_content_set set;
	const char *name;
	bool any;

	if (result)
		return result;
	if (!file || !(prot & PROT_EXEC) || bh_is_exec_image(file))
		return 0;
	set = bh_content_set();
	if (!set.exec_content)
		return 0;
	name = bh_base_name(file);
	return bh_refuse_if(bh_blocked_content(file, BH_AT_MAP, name, &content, &set) ||
			    bh_unlisted_content(file, BH_AT_MAP, name, &content, &set, &any));
}

/* A file that should be hashed and was not does not become code by a change of protection. */
SEC("lsm/file_mprotect")
int BPF_PROG(bh_d_mprot, struct vm_area_struct *vma, unsigned long asked, unsigned long prot, int result)
{
	struct file *file = vma->vm_file;
	struct bh_content_set set;
	struct bh_known *known;
	struct inode *inode;

	if (result)
		return result;
	if (!file || !(prot & PROT_EXEC))
		return 0;
	set = bh_content_set();
	inode = file->f_inode;
	if (!set.exec_content || !inode)
		return 0;
	known = bpf_inode_storage_get(&bh_known, inode, NULL, 0);
	if (known && (!known->valid || bh_disk_was_opened()))
		known = NULL;
	return bh_refuse_if(bh_blocked_late(file, inode, known, &set) || bh_unlisted_late(file, inode, known, &set));
}

/* Loop devices carry no file system whose digests are kept. */
static __always_inline void bh_note_disk(struct inode *inode)
{
	__u32 zero = 0;
	__u32 *opened = bpf_map_lookup_elem(&bh_disk_opened, &zero);

	if (opened && bh_is_disk(inode) && BPF_CORE_READ(inode, i_rdev) >> 20 != LOOP_MAJOR)
		*opened = 1;
}

SEC("lsm/file_open")
int BPF_PROG(bh_d_open, struct file *file, int result)
{
	if (!result && (file->f_mode & FMODE_WRITE)) {
		bpf_inode_storage_delete(&bh_known, file->f_inode);
		bh_note_disk(file->f_inode);
	}
	return result;
}

SEC("lsm/path_truncate")
int BPF_PROG(bh_d_truncate, const struct path *path, int result)
{
	if (!result)
		bpf_inode_storage_delete(&bh_known, path->dentry->d_inode);
	return result;
}
