// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/* Lists the processes with a socket that goes on behind a wall, because it works through shared memory and no hook sees it; run by
 * the sensor, nothing here stays attached.
 *
 * hook            program     lists the holders of
 * iter/task_file  bh_holders  an AF_XDP socket: bound before the wall and woken by poll(2), it sends
 *                             a packet socket's receive ring, behind isolation: mapped before the wall, it shows what arrives
 *
 * A socket is held by a descriptor or by an io_uring that it is registered with, in any network namespace. One that is on its way
 * through a Unix socket is not seen; frames.bpf.c refuses to hand it over.
 *
 * On failure: a holder that is not listed is not killed. */
#include "net.h"

#include "bulkhead/decide_frames.h"

#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define AF_PACKET 17
#define SOCKFS_MAGIC 0x534f434b
#define ANON_INODE_FS_MAGIC 0x09041934
#define URING_FILE_FLAGS 7UL    /* low bits of the pointer to a registered file */
#define URING_MAX_FILES 1048576 /* IORING_MAX_FIXED_FILES */

/* The kernel's structures of packet sockets and io_uring; CO-RE takes the names up to the three underscores. The second kind of
 * io_uring is that of Linux before 6.13 (3597f2786b68, "io_uring/rsrc: unify file and buffer resource tables"). */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct packet_ring_buffer___holders {
	void *pg_vec;
};
struct packet_sock___holders {
	struct packet_ring_buffer___holders rx_ring;
};
struct file___holders {
	void *private_data;
};
struct io_rsrc_node___holders {
	unsigned long file_ptr;
};
struct io_rsrc_data___holders {
	unsigned int nr;
	struct io_rsrc_node___holders **nodes;
};
struct io_file_table___holders {
	struct io_rsrc_data___holders data;
};
struct io_ring_ctx___holders {
	struct io_file_table___holders file_table;
};
struct io_fixed_file___before_6_13 {
	unsigned long file_ptr;
};
struct io_file_table___before_6_13 {
	struct io_fixed_file___before_6_13 *files;
};
struct io_ring_ctx___before_6_13 {
	struct io_file_table___before_6_13 file_table;
	unsigned int nr_user_files;
};
#pragma clang attribute pop

/* ---- Facts ---- */

/* Is a packet socket one that a process reads through shared memory? */
static __always_inline bool bh_has_receive_ring(const struct sock *sk)
{
	const struct packet_sock___holders *packet = (const void *)sk;

	return bpf_core_type_exists(struct packet_sock___holders) && BPF_CORE_READ(packet, rx_ring.pg_vec);
}

/* Does the wall that is in force for this socket forbid what it can do without a hook? */
static __always_inline bool bh_works_past_hooks(const struct sock *sk, const struct bh_config *config, const struct bh_host *host)
{
	int family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if ((family != AF_XDP && family != AF_PACKET) || !bh_sock_in_scope(sk, host))
		return false;
	if (family == AF_XDP)
		return bh_wall_forbids(bh_sock_walls(config, sk).enforced, BH_FRAMES_SEND);
	return bh_has_receive_ring(sk) && bh_wall_forbids(bh_sock_walls(config, sk).enforced, BH_FRAMES_RECEIVE);
}

/* The socket behind a file, or NULL. */
static __always_inline const struct sock *bh_sock_of(const struct file *file)
{
	const struct socket *socket = BPF_CORE_READ((const struct file___holders *)file, private_data);

	return BPF_CORE_READ(file, f_inode, i_sb, s_magic) == SOCKFS_MAGIC ? BPF_CORE_READ(socket, sk) : NULL;
}

static __always_inline bool bh_is_uring(const struct file *file)
{
	const char name[] = "[io_uring]";
	char found[sizeof(name)] = {};

	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != ANON_INODE_FS_MAGIC)
		return false;
	bpf_probe_read_kernel(found, sizeof(found), BPF_CORE_READ(file, f_path.dentry, d_name.name));
	for (unsigned long i = 0; i < sizeof(name); i++) {
		if (found[i] != name[i])
			return false;
	}
	return true;
}

/* ---- The files that are registered with an io_uring ---- */

struct bh_uring_walk {
	const void *ring; /* struct io_ring_ctx */
	bool found;
};

static __always_inline __u32 bh_uring_files(const void *ring)
{
	const struct io_ring_ctx___before_6_13 *before = ring;
	const struct io_ring_ctx___holders *now = ring;

	if (bpf_core_field_exists(before->nr_user_files))
		return BPF_CORE_READ(before, nr_user_files);
	return bpf_core_field_exists(now->file_table.data) ? BPF_CORE_READ(now, file_table.data.nr) : 0;
}

static __always_inline const struct file *bh_uring_file(const void *ring, __u32 index)
{
	const struct io_ring_ctx___before_6_13 *before = ring;
	const struct io_ring_ctx___holders *now = ring;
	struct io_fixed_file___before_6_13 *files;
	struct io_rsrc_node___holders **nodes, *node = NULL;
	unsigned long file = 0;

	if (bpf_core_field_exists(before->nr_user_files)) {
		files = BPF_CORE_READ(before, file_table.files);
		bpf_probe_read_kernel(&file, sizeof(file), (unsigned long *)files + index);
	} else {
		nodes = BPF_CORE_READ(now, file_table.data.nodes);
		bpf_probe_read_kernel(&node, sizeof(node), nodes + index);
		file = node ? BPF_CORE_READ(node, file_ptr) : 0;
	}
	return (const struct file *)(file & ~URING_FILE_FLAGS);
}

static long bh_uring_step(__u32 index, struct bh_uring_walk *walk)
{
	const struct file *file;
	const struct sock *sk;
	__u32 active = bh_active_slot();
	const struct bh_config *config = active ? bh_slot_config(active) : NULL;
	const struct bh_host *host = bh_host_facts();

	if (!config || !host || index >= bh_uring_files(walk->ring))
		return 1;
	file = bh_uring_file(walk->ring, index);
	sk = file ? bh_sock_of(file) : NULL;
	walk->found = sk && bh_works_past_hooks(sk, config, host);
	return walk->found;
}

static __always_inline bool bh_uring_holds(const struct file *file)
{
	struct bh_uring_walk walk = {.ring = BPF_CORE_READ((const struct file___holders *)file, private_data)};

	bpf_loop(URING_MAX_FILES, bh_uring_step, &walk, 0);
	return walk.found;
}

/* ---- Walk ---- */

SEC("iter/task_file")
int bh_holders(struct bpf_iter__task_file *ctx)
{
	__u32 active = bh_active_slot();
	const struct bh_config *config = active ? bh_slot_config(active) : NULL;
	const struct bh_host *host = bh_host_facts();
	const struct file *file = ctx->file;
	struct task_struct *task = ctx->task;
	const struct sock *sk;
	__u32 tgid;

	if (!task || !file || !config || !host)
		return 0;
	sk = bh_sock_of(file);
	if (!(sk ? bh_works_past_hooks(sk, config, host) : bh_is_uring(file) && bh_uring_holds(file)))
		return 0;
	tgid = task->tgid;
	bpf_seq_write(ctx->meta->seq, &tgid, sizeof(tgid));
	return 0;
}
