/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Reads a message to rtnetlink as the kernel will: several requests one after the other, each with attributes. */
#pragma once

#include "kernel_types.h"

#include "bulkhead/decide_in_front.h"

#include <bpf/bpf_helpers.h>

/* Requests and attributes together; a message with more is taken for one that hides something. */
#define BH_REQUEST_STEPS 4096

/* The kernel's struct nlmsghdr, struct ifinfomsg and struct nlattr, as far as they are read. */
struct bh_request_header {
	__u32 length;
	__u16 type;
	__u16 flags;
};
struct bh_request_attribute {
	__u16 length;
	__u16 type;
};
#define BH_REQUEST_HEADER_BYTES 16
#define BH_LINK_BYTES 16
#define BH_LINK_INDEX_AT 4
#define BH_ATTRIBUTE_TYPE 0x3fff /* without NLA_F_NESTED, NLA_F_NET_BYTEORDER */

/* Interfaces that the wall guards -> 1. Written by the sensor. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_GUARDED);
	__type(key, __u32);
	__type(value, __u8);
} bh_f_guarded SEC(".maps");

/* Always 0, which the verifier cannot know. Before 6.7 it follows a callback of bpf_loop once, and drops the code that what it
 * knows at the first call cannot reach (ab5cfac139ab, "bpf: verify callbacks as if they are called unknown number of times"). */
volatile __u32 bh_f_nothing;

/* Offsets are from `data`. */
struct bh_request_walk {
	const void *data;
	__u32 length;
	__u32 at;
	__u32 end;  /* of the attributes that are being read; 0: a request comes next */
	__u32 next; /* the request after this one */
	__u32 interface;
	__u16 flags;
	bool read;     /* to its end, as far as the kernel reads it */
	bool in_front; /* one of the requests is of the kind that is looked for */
};

static __always_inline __u32 bh_aligned(__u32 bytes)
{
	return (bytes + 3) & ~3U;
}

/* 1: the walk is over. */
static __always_inline long bh_read_request(struct bh_request_walk *walk)
{
	struct bh_request_header header = {};
	enum bh_request kind;

	walk->read = true;
	if (walk->at + BH_REQUEST_HEADER_BYTES > walk->length ||
	    bpf_probe_read_kernel(&header, sizeof(header), walk->data + walk->at) || header.length < BH_REQUEST_HEADER_BYTES ||
	    header.length > walk->length - walk->at)
		return 1;
	kind = bh_request_kind(header.type);
	walk->in_front = kind == BH_REQUEST_FILTERS;
	if (walk->in_front)
		return 1;
	walk->next = walk->at + bh_aligned(header.length);
	if (kind == BH_REQUEST_LINK) {
		walk->flags = header.flags;
		walk->interface = 0;
		bpf_probe_read_kernel(&walk->interface, sizeof(walk->interface),
				      walk->data + walk->at + BH_REQUEST_HEADER_BYTES + BH_LINK_INDEX_AT);
		walk->end = walk->at + header.length;
		walk->at += BH_REQUEST_HEADER_BYTES + BH_LINK_BYTES;
	} else {
		walk->at = walk->next;
	}
	walk->read = false;
	return 0;
}

static __always_inline long bh_read_attribute(struct bh_request_walk *walk)
{
	struct bh_request_attribute attribute = {};
	enum bh_link_change change;

	if (walk->at + sizeof(attribute) <= walk->end)
		bpf_probe_read_kernel(&attribute, sizeof(attribute), walk->data + walk->at);
	if (attribute.length < sizeof(attribute)) {
		walk->at = walk->next;
		walk->end = 0;
		return 0;
	}
	change = bh_link_change(attribute.type & BH_ATTRIBUTE_TYPE);
	if (change == BH_LINK_MOVE) {
		__u8 guarded = bpf_map_lookup_elem(&bh_f_guarded, &walk->interface) != NULL;

		walk->in_front = bh_moves_guarded(walk->interface, guarded, walk->flags);
	} else {
		walk->in_front = change == BH_LINK_XDP;
	}
	walk->read = walk->in_front;
	walk->at += bh_aligned(attribute.length);
	return walk->in_front;
}

/* A callback of bpf_loop: unrolled, the branches would be too many for the verifier. */
static long bh_request_step(__u32 index, struct bh_request_walk *walk)
{
	return walk->end ? bh_read_attribute(walk) : bh_read_request(walk);
}

/* Does one of the requests put something in front of the wall? */
static __always_inline bool bh_asks_in_front(const void *data, __u32 length)
{
	struct bh_request_walk walk = {
		.data = data,
		.length = length,
		.at = bh_f_nothing,
		.end = bh_f_nothing,
		.next = bh_f_nothing,
		.interface = bh_f_nothing,
		.flags = bh_f_nothing,
	};

	bpf_loop(BH_REQUEST_STEPS, bh_request_step, &walk, 0);
	return walk.in_front || !walk.read;
}
