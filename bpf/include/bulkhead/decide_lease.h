/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Whether a lease is over, by the kernel's own clock. Pure; compiled to BPF and to C++. */
#pragma once

#include "bulkhead/abi.h"

#ifdef __cplusplus
#define BH_PURE static inline
#else
#define BH_PURE static __attribute__((always_inline)) inline
#endif

/* Both in CLOCK_BOOTTIME, nanoseconds. `expires` 0: never, whatever `now` is. */
BH_PURE __u8 bh_lease_over(__u64 expires, __u64 now)
{
	return expires != 0 && now >= expires;
}

/* The mode of a wall whose lease may be over. */
BH_PURE __u8 bh_leased_mode(__u8 mode, __u64 expires, __u64 now)
{
	if (bh_lease_over(expires, now))
		return BH_WALL_OFF;
	return mode;
}
