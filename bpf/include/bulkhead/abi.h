/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Every structure, number and map name that the programs in the kernel and the sensor share.
 * Addresses are 16 bytes in network byte order (IPv4 as ::ffff:a.b.c.d), ports and all other numbers in host byte order.
 * A change of any layout here needs a new BH_ABI_VERSION: pinned maps outlive the program that made them. */
#pragma once

#include <linux/types.h>
#ifdef __cplusplus
#include <cstddef>
#define BH_ASSERT(condition) static_assert(condition, #condition)
#else
#include <stddef.h>
#define BH_ASSERT(condition) _Static_assert(condition, #condition)
#endif

#define BH_ABI_VERSION 7

/* Capacities. What happens when one is full stands beside it. */
#define BH_SLOTS 2                  /* the set in force and the one being filled */
#define BH_MAX_RULE_ENTRIES 262144  /* refused by the rule compiler */
#define BH_MAX_PORT_SETS 32768      /* refused by the rule compiler */
#define BH_MAX_EXEC_ENTRIES 262144  /* of one kind; refused at Apply */
#define BH_MAX_POLICIES 4096        /* refused at Apply */
#define BH_MAX_SCOPED_WALLS 16      /* refused by the check of the desired state */
#define BH_MAX_LISTS 1024           /* allow-lists; refused at Apply */
#define BH_MAX_ALLOWED 65536        /* entries of all allow-lists; refused at Apply */
#define BH_MAX_LEARNED 8192         /* further files that ran are not listed, and the policy says so */
#define BH_MAX_BORN 4096            /* least recently used new cgroup forgotten: the sensor finds it within a second */
#define BH_MAX_JUDGED 4096          /* execs under way; the least recent is judged again by identity alone */
#define BH_MAX_CONTROL_PLANE 256    /* refused at SetControlPlane */
#define BH_MAX_LOCAL_ADDRESSES 4096 /* further own addresses lose the clean EPERM's exception, not the wall's */
#define BH_MAX_FLOWS 16384          /* least recently used flow forgotten: its replies are dropped */
#define BH_MAX_GUARDED 1024         /* further interfaces can be moved from under the wall; reported as degraded */
#define BH_MAX_NEAR 4096            /* with more gateways address resolution passes unread; reported as degraded */
#define BH_MAX_HEARD 65536          /* least recently heard address forgotten: not asked for until it is heard again */
#define BH_MAX_ARRIVALS 65536       /* least recently used connection from outside forgotten: counts as opened from inside */
#define BH_MAX_LISTENERS 65536      /* further listeners: their old connections count as outbound */
#define BH_MAX_CUTS 4096            /* least recently seen destination of a shadow forgotten */
#define BH_MAX_TREE 65536            /* further members of a tree that is killed are found by walking, not at their fork */
#define BH_EVENT_BYTES (256 * 1024) /* event dropped and counted */
#define BH_RULE_RANGES 8            /* more intervals go to a port set */
#define BH_RULE_LENGTHS 129         /* prefix lengths 0..128 */
#define BH_RULE_SEARCH 8            /* steps of a binary search among them */
#define BH_RULE_KINDS 4             /* two directions, two families */
#define BH_PORT_SET_BYTES 8192      /* one bit a port */
#define BH_PATH_BYTES 4096          /* PATH_MAX, with the NUL */
#define BH_EVENT_PATH 256           /* longer paths are cut in events only */
#define BH_LEARN_PATH 1024          /* a longer path is not learned, the file is */
#define BH_DIGEST_BYTES 32          /* SHA-256 */
#define BH_HEAD_BYTES 256           /* of a file that the kernel reads before it chooses a loader */

#define BH_NSEC_PER_SEC 1000000000ULL
#define BH_REPLY_NS (60 * BH_NSEC_PER_SEC) /* how long after a datagram its reply may come */
#define BH_RESPAWN_NS (60 * BH_NSEC_PER_SEC) /* a blocked file that is run again within this time came back */

enum bh_wall_mode { BH_WALL_OFF = 0, BH_WALL_SHADOW = 1, BH_WALL_ENFORCE = 2 };
enum bh_action { BH_ACTION_NONE = 0, BH_ACTION_DENY = 1, BH_ACTION_SIGKILL = 2, BH_ACTION_NOTIFY = 3 };
enum bh_direction { BH_INBOUND = 1, BH_OUTBOUND = 2 };
enum bh_family { BH_IPV4 = 4, BH_IPV6 = 6 };
enum bh_origin { BH_ORIGIN_UNKNOWN = 0, BH_ORIGIN_PASSIVE = 1, BH_ORIGIN_ACTIVE = 2 };
enum bh_event_kind { BH_EVENT_CONNECT = 1, BH_EVENT_EXEC = 2 };

/* What made a file the blocked one; the first that holds, in this order. UNLISTED: an allow-list does not name it. */
enum bh_match { BH_MATCH_NONE = 0, BH_MATCH_FILE = 1, BH_MATCH_PATH = 2, BH_MATCH_DIGEST = 3, BH_MATCH_PRINT = 4, BH_MATCH_UNLISTED = 5 };

/* bh_config.exec_content, a set of flags. */
#define BH_CONTENT_DIGESTS 1   /* contents are blocked by digest */
#define BH_CONTENT_ANY_SIZE 2  /* ... and one of them of a size that is not known: every file is hashed */
#define BH_CONTENT_STOPS 4     /* ... and not all of them only NOTIFY: what cannot be hashed is refused */
#define BH_CONTENT_PRINTS 8    /* contents are blocked by fingerprint */
#define BH_CONTENT_LISTS 16    /* allow-lists are in force */
#define BH_CONTENT_HASHES 32   /* ... and digest.bpf.c judges them wherever a hook can refuse */

/* Index into bh_count; names in sensor/kernel/counters.cc. */
enum bh_counter {
	BH_DROP_CONTAINED,        /* containment: this host opened it */
	BH_DROP_EGRESS_NO_RULE,   /* isolation: no rule for what leaves */
	BH_DROP_INGRESS_NO_RULE,  /* isolation: no rule for what arrives */
	BH_DROP_FRAGMENT,         /* a fragment has no ports to judge */
	BH_DROP_IP_OPTIONS,       /* IPv4 options, such as source routes */
	BH_DROP_EXTENSION_HEADER, /* IPv6 extension headers beyond the bounded walk */
	BH_DROP_TRUNCATED,        /* headers end early or are no IP */
	BH_SHADOW_DROP,           /* would have been dropped by a wall in shadow mode */
	BH_DENY_CONNECT,          /* connect(2) refused with EPERM */
	BH_DENY_SENDMSG,          /* sendmsg(2) refused with EPERM */
	BH_SHADOW_CONNECT,        /* connect or sendmsg that would have been refused */
	BH_KILL_CONNECT,          /* killed in tcp_connect */
	BH_SEEN_CONNECT,          /* reached tcp_connect although forbidden; dropped by the wall below */
	BH_KILL_EXEC_PATH,        /* killed at the execve system call by path */
	BH_KILL_EXEC_FILE,        /* killed at sched_process_exec */
	BH_DENY_EXEC,             /* refused with EPERM before exec */
	BH_DENY_MAP,              /* mapping of a blocked file as code refused */
	BH_SHADOW_EXEC,           /* would have been stopped */
	BH_FAIL_NO_SET,           /* published rule set not found: network denied */
	BH_FAIL_NO_SCRATCH,       /* per-CPU buffer not found: path not matched, file identity still is */
	BH_FAIL_PATH_READ,        /* path not readable at the system call: file identity still matches */
	BH_FAIL_DIGEST,           /* content not readable: exec or mapping refused while a blocked content stops */
	BH_FAIL_SIGNAL,           /* SIGKILL not sent: pid 1 or a dying process */
	BH_FAIL_FLOW_RECORD,      /* flow not recorded: its replies are dropped */
	BH_FAIL_SOCKET_MARK,      /* socket not marked: counts as outbound */
	BH_FAIL_POLICY_STAT,      /* hit not counted for its policy */
	BH_FAIL_EVENT,            /* event dropped: ring buffer full */
	BH_DROP_INTERFACE,        /* dropped on an interface: no socket of this host sent it so */
	BH_DROP_RESOLUTION,       /* ARP or neighbour discovery that says what it has no business to */
	BH_FAIL_CUT,              /* what a shadow would cut was not listed */
	BH_FAIL_LIST,             /* allow-lists not found: what they name is refused, scopes that nobody can tell pass */
	BH_FAIL_LEARN,            /* a file that ran was not learned: the list is full */
	BH_COUNTERS
};

/* A policy: its UUID as bytes, or the first bytes of a SHA-256 of another kind of id. */
struct bh_policy_key {
	__u8 bytes[16];
};

/* Value of bh_policies. */
struct bh_policy_stat {
	__u64 hits;
	__u64 respawns; /* processes that ran the blocked file within BH_RESPAWN_NS of another that was stopped or killed for it */
	char id[64];    /* NUL-terminated */
};

/* Who was stopped, or killed, for a policy last; value of bh_stops. */
struct bh_stop {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 tgid;
	__u32 zero;
};

/* A process for as long as the host runs; key of bh_tree, value is struct bh_member. */
struct bh_process {
	__u64 started; /* clock ticks of 10 ms since boot, field 22 of /proc/PID/stat */
	__u32 tgid;
	__u32 zero;
};

/* A member of a tree that is being killed. */
struct bh_member {
	__u32 parent; /* tgid of who forked it; 0: found by walking */
	__u32 killed; /* 1: it was killed as it forked */
};

/* What is done with members that fork; value of bh_hunt. */
struct bh_hunt {
	__u64 scope_cgroup; /* only members in it, or below, are killed */
	__u32 scope_level;
	__u32 armed; /* 0: they are only followed */
	__u64 lost;  /* members that did not fit into bh_tree */
};

/* Lengths of the prefixes that rules of one direction and family have, ascending; a look-up searches among them. */
struct bh_rule_lengths {
	__u8 count;
	__u8 some_protocol; /* 1: there are rules for one protocol */
	__u8 any_protocol;  /* 1: there are rules for any protocol */
	__u8 length[BH_RULE_LENGTHS];
};

/* A containment or isolation policy that is about one cgroup and what is below it. */
struct bh_scoped_wall {
	__u64 cgroup; /* its id, never 0: a scope that does not exist has no entry */
	__u32 level;  /* its depth below the root */
	__u8 wall;    /* enum bh_wall */
	__u8 mode;    /* enum bh_wall_mode */
	__u8 action;  /* enum bh_action, of containment */
	__u8 zero;
	__u64 expires; /* CLOCK_BOOTTIME, ns: from then on it counts as off; 0: never */
	struct bh_policy_key policy;
};

/* The published set's head; immutable once published. */
struct bh_config {
	__u64 generation;
	__u8 digest[32];
	struct bh_policy_key contain_policy;
	struct bh_policy_key isolate_policy;
	__u8 contain;        /* enum bh_wall_mode */
	__u8 isolate;        /* enum bh_wall_mode */
	__u8 contain_action; /* enum bh_action */
	__u8 exec_content;   /* BH_CONTENT_* */
	__u32 exec_policies; /* 0: the exec hooks return at once */
	__u64 enforced_at;   /* wall clock, nanoseconds since 1970: when this set was published */
	__u64 contain_expires; /* CLOCK_BOOTTIME, ns: from then on containment counts as off; 0: never */
	__u64 isolate_expires; /* the same for isolation */
	__u32 serial;          /* another for each published set, never 0: what a socket remembers of a set ends with it */
	__u32 scoped_walls;    /* how many of `scoped` are used; what stands above is for the whole scope of the sensor */
	struct bh_scoped_wall scoped[BH_MAX_SCOPED_WALLS];
	struct bh_rule_lengths rules[BH_RULE_KINDS]; /* by bh_rule_kind() */
};

/* How bh_host begins in every layout, so that sensors of different layouts know each other; see sensor/kernel/predecessor.h. Another
 * map may grow or go, but bh_active stays one word in which 0 means that nothing is published. */
struct bh_host_head {
	__u64 scope_cgroup;
	__u64 sensor_cgroup;
	__u64 netns_cookie;
	__u32 scope_level;
	__u8 kill_connect;
	__u8 deny_exec;
	__u16 abi;
};

/* What does not belong to a generation; value of bh_host. */
struct bh_host {
	__u64 scope_cgroup;    /* id of the cgroup that enforcement is confined to; the root's when host-wide */
	__u64 sensor_cgroup;   /* id of the sensor's own cgroup; 0: none */
	__u64 netns_cookie;    /* of the network namespace that bh_local describes */
	__u32 scope_level;     /* depth of scope_cgroup below the root */
	__u8 kill_connect : 1; /* a hook that can kill in tcp_connect is attached */
	__u8 arrivals : 1;     /* what comes from outside has been recorded in bh_arrivals for a while */
	__u8 deny_exec;        /* a hook that can refuse an exec is attached */
	__u16 abi;             /* BH_ABI_VERSION of the sensor that wrote this */
};

/* Which process, or which descriptor of it, a program is to look at; value of bh_want and bh_probe. */
struct bh_target {
	__u32 tgid;
	__u32 fd;
	__u32 hits;
};

/* Key of the rules' map: one prefix. Bits of the address beyond it are 0. */
struct bh_rule_key {
	__u8 direction; /* enum bh_direction */
	__u8 protocol;  /* 0: any */
	__u8 family;    /* enum bh_family */
	__u8 length;    /* 0..128; IPv4 prefixes are 96 longer than they are written */
	__u8 address[16];
};

struct bh_port_range {
	__u16 first;
	__u16 last; /* inclusive */
};

/* The rules with exactly this prefix, or none: then it is there to guide the search. Shorter covering prefixes are followed through
 * `parent`. */
struct bh_rule_value {
	__u16 parent;   /* 1 + length of the next shorter prefix with rules that covers this one; 0: none */
	__u8 any_port;  /* 1: every port and every protocol without ports */
	__u8 ranges;    /* how many of `range` are used */
	__u32 port_set; /* key of bh_ports; 0: none */
	struct bh_port_range range[BH_RULE_RANGES];
};

struct bh_port_set {
	__u8 bits[BH_PORT_SET_BYTES];
};

/* What is remembered of a TCP socket; value of bh_sk. */
struct bh_socket_mark {
	__u8 remote[16]; /* the peer that a rule allowed */
	__u16 remote_port;
	__u16 local_port;
	__u32 serial; /* of the set whose rule it was; 0: none */
	__u8 origin;  /* enum bh_origin */
	__u8 outside; /* BH_ORIGIN_PASSIVE: its first packet came through a guarded interface, or nobody could tell */
	__u8 zero[2];
};

/* A datagram flow that a rule allowed; key of bh_flows, value is the time of the last packet (CLOCK_MONOTONIC, ns). */
struct bh_flow_key {
	__u8 remote[16];
	__u16 remote_port;
	__u16 local_port;
	__u8 protocol;
	__u8 family;
	__u8 direction; /* of the first packet */
	__u8 zero;
};

/* Key of bh_ctrl and, with port 0, of bh_local, bh_if_near, bh_if_own and bh_if_heard. */
struct bh_endpoint {
	__u8 address[16];
	__u16 port;
	__u16 zero;
};

/* A file as the kernel knows it; survives rename, hard links, symlinks and bind mounts. */
struct bh_file_key {
	__u64 inode;
	__u32 device;     /* the kernel's dev_t of the super block */
	__u32 generation; /* tells a reused inode number from the first one */
};

/* A path as the caller spells it: its length without the NUL and two independent 64-bit hashes. */
struct bh_path_key {
	__u64 hash[2];
	__u32 length;
	__u32 zero;
};

/* SHA-256 of a file's content. */
struct bh_digest_key {
	__u8 bytes[BH_DIGEST_BYTES];
};

/* Where no program can hash a file: its size and the path hash of its first BH_HEAD_BYTES bytes, padded with zeros. A copy
 * always has the same; a different file with the same is stopped too, and its event says "fingerprint". */
struct bh_print_key {
	__u64 size;
	__u64 hash[2];
};

/* How this kernel's overlay module keeps the file behind a file: byte offsets, from its BTF; value of bh_overlay. */
struct bh_overlay {
	__u32 known; /* 0: the module is not there, or describes itself in no way that we know */
	__u32 upper; /* from the inode that the VFS sees to the pointer to the upper dentry */
	__u32 lower; /* ... to the pointer to the lower dentry, or to the entry that holds it */
	__u32 entry; /* 0: `lower` is the dentry's; else from the start of the entry to the pointer to the dentry */
};

/* One process that has a blocked file mapped as code, as the iterator writes it. */
struct bh_runner {
	struct bh_policy_key policy;
	__u32 tgid;
	__u32 action; /* enum bh_action */
};

struct bh_exec_rule {
	struct bh_policy_key policy;
	__u32 action; /* enum bh_action */
	__u32 zero;
	__u64 expires; /* CLOCK_BOOTTIME, ns: from then on the rule counts as absent; 0: never */
};

/* A scope's allow-list; value of the lists' map, whose key is the id of the scope's cgroup. */
struct bh_list {
	struct bh_exec_rule rule;
	__u32 id;      /* bh_allow_key.list; unique in a set */
	__u8 learn;    /* 1: nothing is stopped, what runs is listed in bh_learned */
	__u8 contents; /* 1: it has entries that ask for a content */
	__u8 zero[2];
};

enum bh_allow_kind {
	BH_ALLOW_FILE = 1,    /* id: a bh_file_key */
	BH_ALLOW_PATH = 2,    /* id: a bh_path_key; only for scripts where no hook sees a script's own file */
	BH_ALLOW_CONTENT = 3, /* id: a bh_digest_key */
	BH_ALLOW_BOTH = 4,    /* id: a bh_file_key and a bh_digest_key */
};

/* One thing that a list lets run. The rest of `id` is zero; the value is 1. */
struct bh_allow_key {
	__u32 list;
	__u32 kind; /* enum bh_allow_kind */
	__u8 id[48];
};

/* A file that ran in a scope that is learned; key of bh_learned. Only the path of a script is known where no hook sees its file:
 * device is BH_LEARNED_SCRIPT then, the rest a hash of the path. An all-zero file stands for those that did not fit. */
struct bh_learned_key {
	struct bh_policy_key policy;
	struct bh_file_key file;
};
#define BH_LEARNED_SCRIPT 0xffffffffU

struct bh_learned {
	__u32 tgid; /* who ran it first */
	__u32 more; /* of the all-zero file: 1: some did not fit */
	char path[BH_LEARN_PATH]; /* as that process's mount namespace has it; empty: longer, or not known */
};

/* What a network policy in shadow mode would have cut; key of bh_cuts, value is how often. */
struct bh_cut_key {
	struct bh_policy_key policy;
	__u8 remote[16];
	__u16 port;     /* the remote one where this host opens, this host's where others do; 0: none */
	__u8 protocol;
	__u8 direction; /* who opens: enum bh_direction */
	__u32 zero;
	char comm[16];  /* of the caller of connect or sendto; empty for a packet */
};

/* Value of the digests' map. */
struct bh_digest_rule {
	struct bh_exec_rule rule;
	__u64 size; /* of the content, in bytes; 0: not known */
};

/* One record of the ring buffer. */
struct bh_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	struct bh_policy_key policy;
	__u32 pid;     /* thread group id in the initial pid namespace */
	__u16 port;
	__u8 kind;     /* enum bh_event_kind */
	__u8 action;   /* enum bh_action: what was done */
	__u8 protocol;
	__u8 match; /* enum bh_match, for BH_EVENT_EXEC */
	__u8 respawn; /* 1: see bh_policy_stat.respawns */
	__u8 zero[5];
	__u8 address[16];
	__u64 cgroup; /* id of the process's cgroup */
	__u32 uid;    /* in the initial user namespace */
	__u32 parent; /* thread group id of the parent; 0: none */
	char comm[16];
	char parent_comm[16];
	char path[BH_EVENT_PATH];
};

/* One socket as the list iterator writes it; ports in host byte order. */
struct bh_socket {
	__u64 cookie;
	__u8 local[16];
	__u8 remote[16];
	__u16 local_port;
	__u16 remote_port;
	__u8 family; /* AF_INET or AF_INET6, as sock_diag wants it */
	__u8 protocol;
	__u8 state;
	__u8 zero;
};

BH_ASSERT(sizeof(struct bh_policy_stat) == 80 && offsetof(struct bh_policy_stat, id) == 16);
BH_ASSERT(sizeof(struct bh_rule_lengths) == 132);
BH_ASSERT(sizeof(struct bh_socket_mark) == 28 && offsetof(struct bh_socket_mark, serial) == 20);
BH_ASSERT((BH_MAX_SCOPED_WALLS & (BH_MAX_SCOPED_WALLS - 1)) == 0);
BH_ASSERT(sizeof(struct bh_scoped_wall) == 40 && offsetof(struct bh_scoped_wall, expires) == 16);
BH_ASSERT(sizeof(struct bh_config) == 1280 && offsetof(struct bh_config, contain) == 72);
BH_ASSERT(offsetof(struct bh_config, enforced_at) == 80);
BH_ASSERT(offsetof(struct bh_config, contain_expires) == 88 && offsetof(struct bh_config, isolate_expires) == 96);
BH_ASSERT(offsetof(struct bh_config, scoped_walls) == 108 && offsetof(struct bh_config, scoped) == 112);
BH_ASSERT(offsetof(struct bh_config, rules) == 752);
BH_ASSERT(sizeof(struct bh_host) == 32 && offsetof(struct bh_host, deny_exec) == 29);
BH_ASSERT(sizeof(struct bh_rule_key) == 20 && offsetof(struct bh_rule_key, address) == 4);
BH_ASSERT(sizeof(struct bh_host_head) == 32 && offsetof(struct bh_host_head, sensor_cgroup) == 8);
BH_ASSERT(offsetof(struct bh_host, sensor_cgroup) == 8 && offsetof(struct bh_host, abi) == 30);
BH_ASSERT(offsetof(struct bh_host_head, abi) == 30);
BH_ASSERT(sizeof(struct bh_rule_value) == 40 && offsetof(struct bh_rule_value, range) == 8);
BH_ASSERT(sizeof(struct bh_flow_key) == 24);
BH_ASSERT(sizeof(struct bh_endpoint) == 20);
BH_ASSERT(sizeof(struct bh_file_key) == 16);
BH_ASSERT(sizeof(struct bh_path_key) == 24);
BH_ASSERT(sizeof(struct bh_exec_rule) == 32 && offsetof(struct bh_exec_rule, expires) == 24);
BH_ASSERT(sizeof(struct bh_list) == 40 && offsetof(struct bh_list, id) == 32);
BH_ASSERT(sizeof(struct bh_allow_key) == 56 && offsetof(struct bh_allow_key, id) == 8);
BH_ASSERT(sizeof(struct bh_learned_key) == 32);
BH_ASSERT(sizeof(struct bh_learned) == 8 + BH_LEARN_PATH);
BH_ASSERT(sizeof(struct bh_cut_key) == 56 && offsetof(struct bh_cut_key, comm) == 40);
BH_ASSERT(sizeof(struct bh_digest_key) == 32);
BH_ASSERT(sizeof(struct bh_digest_rule) == 40 && offsetof(struct bh_digest_rule, size) == 32);
BH_ASSERT(sizeof(struct bh_print_key) == 24);
BH_ASSERT(sizeof(struct bh_overlay) == 16);
BH_ASSERT(sizeof(struct bh_runner) == 24);
BH_ASSERT(sizeof(struct bh_event) == 360 && offsetof(struct bh_event, path) == 104);
BH_ASSERT(sizeof(struct bh_stop) == 16);
BH_ASSERT(sizeof(struct bh_process) == 16 && sizeof(struct bh_member) == 8);
BH_ASSERT(sizeof(struct bh_hunt) == 24);
BH_ASSERT(sizeof(struct bh_socket) == 48);
