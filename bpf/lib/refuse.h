/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * The answer of a security hook. */
#pragma once

#include "kernel_types.h"

#include <bpf/bpf_helpers.h>

/* The empty statement keeps the compiler from computing the answer: since 6.12 (5d99e198be27, "bpf, lsm: Add check for
 * BPF LSM return value") the verifier takes only what it can see to be an errno or 0. */
static __always_inline int bh_refuse_if(bool refuse)
{
	if (!refuse)
		return 0;
	asm volatile("" ::: "memory");
	return -EPERM;
}
