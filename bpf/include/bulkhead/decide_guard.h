/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * What the tamper guard refuses: its shared structures, and the decisions, which are pure. */
#pragma once

#include "bulkhead/decide_net.h"

#define BH_GUARD_ABI 1
#define BH_GUARD_MAX_FILES 4096     /* refused at Enable */
#define BH_GUARD_MAX_OBJECTS 65536  /* further objects are not guarded; counted in BH_GUARD_FAIL_OBJECT */
#define BH_GUARD_HOME_LEVELS 16     /* cgroups deeper than that are refused at Enable */
#define BH_GUARD_NAME 24            /* bytes of a file name that are compared, with the NUL */

/* What is protected about a file; a bit set in bh_g_files. */
enum bh_guard_protect {
	BH_PROTECT_CONTENT = 1 << 0, /* not written, truncated, nor given other permissions */
	BH_PROTECT_NAME = 1 << 1,    /* not renamed, unlinked, replaced nor mounted over */
	BH_PROTECT_TREE = 1 << 2,    /* a directory: nothing comes into it or goes, and what is directly in it has both of the above */
	BH_TRUSTED_CODE = 1 << 3,    /* may run inside the sensor */
	BH_INIT_PROGRAM = 1 << 4,    /* process 1 and what it starts services with: may move processes into the sensor's cgroup */
	BH_HALT_PROGRAM = 1 << 5,    /* as process 1 it may do anything: the machine is going down */
};

/* How much is refused. */
enum bh_guard_level {
	BH_GUARD_OFF,    /* not enabled, or lowered */
	BH_GUARD_SELF,   /* the sensor, its files and its kernel objects */
	BH_GUARD_STRICT, /* a wall is up: also what could change the kernel under it */
};

enum bh_guard_state {
	BH_SELF_NONE,      /* no sensor is trusted: the next one of the right program in the right cgroup will be */
	BH_SELF_STARTING,  /* executed; its libraries are being mapped */
	BH_SELF_CONFIRMED, /* runs */
};

enum bh_guard_owner { BH_OWNER_OTHER, BH_OWNER_SENSOR, BH_OWNER_ANCESTOR };

/* Index into bh_g_count; names in sensor/kernel/guard/tamper_guard.cc. */
enum bh_guard_counter {
	BH_GUARD_DENIED_SIGNAL,
	BH_GUARD_DENIED_TRACE,
	BH_GUARD_DENIED_LIMIT,
	BH_GUARD_DENIED_FILE,
	BH_GUARD_DENIED_MOUNT,
	BH_GUARD_DENIED_CGROUP,
	BH_GUARD_DENIED_BPF_OBJECT,
	BH_GUARD_DENIED_BPF_PROGRAM,
	BH_GUARD_DENIED_KERNEL_SWITCH,
	BH_GUARD_DENIED_KERNEL_CODE,
	BH_GUARD_DENIED_FOREIGN_CODE,
	BH_GUARD_TRUST_LOST,
	BH_GUARD_FAIL_OBJECT,
	BH_GUARD_COUNTERS
};

/* The sensor, as long as it runs. Start time and address tell a reused number from the first. */
struct bh_guard_self {
	__u64 task;  /* address of the group leader's task_struct */
	__u64 start; /* CLOCK_BOOTTIME, nanoseconds */
	__u32 tgid;  /* 0: none */
	__u32 state; /* enum bh_guard_state */
};

/* Value of bh_guard. */
struct bh_guard {
	__u32 abi;
	__u32 enabled;
	__u64 lowered_until; /* CLOCK_BOOTTIME, nanoseconds; the guard is off before it */
	struct bh_guard_self self;
	struct bh_file_key program;
	__u64 home[BH_GUARD_HOME_LEVELS]; /* the sensor's cgroup and its ancestors without the root, 0-terminated, own one first */
	__u32 mount_ns[2];                /* inode numbers: of the host (process 1), and of the sensor while it lives */
	__u64 options;                    /* what the sensor was told to do; one that is told otherwise is refused by itself */
};

enum bh_guard_command {
	BH_GUARD_PROTECT, /* the file behind `fd` gets `flags` */
	BH_GUARD_ENABLE,  /* the caller is the sensor from now on; `program` behind `fd` */
	BH_GUARD_CONFIRM, /* the caller, which is trusted, has mapped what it needs */
	BH_GUARD_LOWER,   /* for `nanoseconds` */
	BH_GUARD_DISABLE,
};

/* The argument of bh_g_control. */
struct bh_guard_request {
	__u32 command; /* enum bh_guard_command */
	__u32 fd;
	__u32 flags;
	__u32 mount_ns; /* inode number of the host's (process 1's) */
	__u64 nanoseconds;
	__u64 options;
};

BH_ASSERT(sizeof(struct bh_guard_self) == 24);
BH_ASSERT(sizeof(struct bh_guard) == 200 && offsetof(struct bh_guard, home) == 56);
BH_ASSERT(sizeof(struct bh_guard_request) == 32);

BH_PURE enum bh_guard_level bh_decide_level(const struct bh_guard *guard, __u64 now, __u8 wall)
{
	if (!guard->enabled || now < guard->lowered_until)
		return BH_GUARD_OFF;
	return wall == BH_NO_WALL ? BH_GUARD_SELF : BH_GUARD_STRICT;
}

/* Equal up to the NUL? Both are at least as long as the shorter text and its NUL. */
BH_PURE __u8 bh_name_is(const char *name, const char *wanted)
{
	for (int i = 0; i < BH_GUARD_NAME; i++) {
		if (name[i] != wanted[i])
			return 0;
		if (!wanted[i])
			return 1;
	}
	return 0;
}

/* May somebody write the control file `name` of a cgroup? Process 1 must be able to put a new sensor into its cgroup,
 * and nothing else: it would obey root and stop the sensor. Elsewhere nobody else freezes: the sensor could be moved
 * into the ice. */
BH_PURE __u8 bh_guard_cgroup_allows(enum bh_guard_owner owner, const char *name, __u8 by_init)
{
	if (owner == BH_OWNER_OTHER)
		return by_init || (!bh_name_is(name, "cgroup.freeze") && !bh_name_is(name, "freezer.state"));
	if (owner == BH_OWNER_SENSOR)
		return by_init && bh_name_is(name, "cgroup.procs");
	return !bh_name_is(name, "cgroup.kill") && !bh_name_is(name, "cgroup.freeze") && !bh_name_is(name, "cgroup.type") &&
	       !bh_name_is(name, "memory.max") && !bh_name_is(name, "memory.high") && !bh_name_is(name, "memory.swap.max") &&
	       !bh_name_is(name, "cpu.max") && !bh_name_is(name, "cpuset.cpus") && !bh_name_is(name, "pids.max") &&
	       !bh_name_is(name, "io.max");
}

/* May somebody write this file of /proc? */
BH_PURE __u8 bh_guard_proc_allows(enum bh_guard_level level, const char *name)
{
	if (bh_name_is(name, "ftrace_enabled"))
		return 0;
	return level < BH_GUARD_STRICT || !bh_name_is(name, "sysrq-trigger");
}

/* May somebody write this file of debugfs? */
BH_PURE __u8 bh_guard_debug_allows(enum bh_guard_level level, const char *directory, const char *name)
{
	return level < BH_GUARD_STRICT && !(bh_name_is(directory, "kprobes") && bh_name_is(name, "enabled"));
}

/* Program types that see or change nothing but their own cgroup's or socket's affairs, and only ever deny: service
 * managers need them. */
BH_PURE __u8 bh_guard_program_allowed(enum bh_guard_level level, __u32 type)
{
	if (level < BH_GUARD_STRICT)
		return 1;
	switch (type) {
	case 1:  /* socket filter */
	case 8:  /* cgroup_skb */
	case 9:  /* cgroup_sock */
	case 15: /* cgroup_device */
	case 18: /* cgroup_sock_addr */
	case 23: /* cgroup_sysctl */
	case 25: /* cgroup_sockopt */
		return 1;
	default:
		return 0;
	}
}
