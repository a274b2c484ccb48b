/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * What address resolution may say behind a wall: ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861). Pure, as decide_net.h.
 *
 * Without it a host loses its control plane, so it passes; but root chooses what the kernel asks for, and can write such messages
 * itself through a raw socket. So a message has no room but for what the kernel would say, and asks only for those whom the host
 * may talk to. */
#pragma once

#include "bulkhead/decide_net.h"

/* Of Ethernet and IPv4, as on the wire. */
struct bh_arp {
	__u8 hardware[2];
	__u8 protocol[2];
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__u8 operation[2];
	__u8 sender_mac[6];
	__u8 sender[4];
	__u8 target_mac[6];
	__u8 target[4];
};

/* A solicitation or advertisement of a neighbour, as on the wire. A router solicitation ends where `target` begins, and its option
 * stands there. */
struct bh_discovery {
	__u8 type;
	__u8 code;
	__u8 checksum[2];
	__u8 flags; /* advertisements: BH_ADVERTISES_* */
	__u8 reserved[3];
	__u8 target[16];
	__u8 option[8]; /* BH_OPTION_*, 1, and the Ethernet address */
};

#define BH_ROUTER_SOLICITATION_BYTES 8
#define BH_DISCOVERY_BYTES 24 /* without an option */
#define BH_DISCOVERY_OPTION_BYTES 8
#define BH_OPTION_SOURCE 1
#define BH_OPTION_TARGET 2
#define BH_SOLICITS_ROUTER 133
#define BH_SOLICITS_NEIGHBOUR 135
#define BH_ADVERTISES_NEIGHBOUR 136
#define BH_ADVERTISES_SOLICITED 0x40
#define BH_ADVERTISES_FLAGS 0xe0 /* router, solicited, override */

/* What a message that leaves says. */
enum bh_resolution {
	BH_SAYS_OTHER = 0,  /* what it has no business to say: an announcement that nobody asked for, or cargo */
	BH_SAYS_PLAIN = 1,  /* nothing that anybody on this host chose */
	BH_SAYS_ASKS = 2,   /* who has this address? */
	BH_SAYS_ANSWERS = 3 /* this host has it, to the one who asked */
};

/* `mac` is the frame's destination. Only the kernel writes ARP behind a wall, and it answers those who ask; what it sends to all
 * (arp_notify) is an announcement. */
BH_PURE enum bh_resolution bh_arp_says(const struct bh_arp *arp, const __u8 *mac)
{
	if (arp->hardware[0] || arp->hardware[1] != 1 || arp->protocol[0] != 8 || arp->protocol[1] || arp->hardware_bytes != 6 ||
	    arp->protocol_bytes != 4 || arp->operation[0])
		return BH_SAYS_OTHER;
	if (arp->operation[1] == 1)
		return BH_SAYS_ASKS;
	return arp->operation[1] == 2 && !(mac[0] & 1) ? BH_SAYS_PLAIN : BH_SAYS_OTHER;
}

/* Is it the option with the interface's own Ethernet address, which is the frame's source? */
BH_PURE __u8 bh_option_is_own(const __u8 *option, __u8 type, const __u8 *source_mac)
{
	if (option[0] != type || option[1] != 1)
		return 0;
	for (int i = 0; i < 6; i++) {
		if (option[2 + i] != source_mac[i])
			return 0;
	}
	return 1;
}

/* May a message of this kind go to `destination`? A question goes to the group of those with such an address, or to the neighbour
 * itself; an answer to the one who asked. */
BH_PURE __u8 bh_discovery_goes_to(const struct bh_discovery *message, const __u8 *destination)
{
	__u8 group = destination[0] == 0xff;

	if (message->type == BH_ADVERTISES_NEIGHBOUR)
		return !group;
	for (int i = 0; i < 16; i++) {
		__u8 solicited = i == 0 || i == 12 ? 0xff : i == 1 ? 2 : i == 11 ? 1 : i < 13 ? 0 : message->target[i];
		__u8 routers = i == 0 ? 0xff : i == 1 || i == 15 ? 2 : 0;
		__u8 wanted = message->type == BH_SOLICITS_ROUTER ? routers : group ? solicited : message->target[i];

		if (destination[i] != wanted)
			return 0;
	}
	return 1;
}

BH_PURE enum bh_resolution bh_solicitation_says(const struct bh_discovery *message, __u32 bytes, const __u8 *source_mac)
{
	if (message->flags)
		return BH_SAYS_OTHER;
	if (bytes == BH_ROUTER_SOLICITATION_BYTES)
		return BH_SAYS_PLAIN;
	return bytes == BH_ROUTER_SOLICITATION_BYTES + BH_DISCOVERY_OPTION_BYTES &&
			       bh_option_is_own(message->target, BH_OPTION_SOURCE, source_mac) ?
		       BH_SAYS_PLAIN :
		       BH_SAYS_OTHER;
}

/* `bytes`: of the ICMPv6 message. */
BH_PURE enum bh_resolution bh_discovery_says(const struct bh_discovery *message, __u32 bytes, const __u8 *destination,
					     const __u8 *source_mac)
{
	__u8 asks = message->type == BH_SOLICITS_NEIGHBOUR;

	if (message->code || message->reserved[0] || message->reserved[1] || message->reserved[2] ||
	    !bh_discovery_goes_to(message, destination))
		return BH_SAYS_OTHER;
	if (message->type == BH_SOLICITS_ROUTER)
		return bh_solicitation_says(message, bytes, source_mac);
	if (bytes == BH_DISCOVERY_BYTES + BH_DISCOVERY_OPTION_BYTES) {
		if (!bh_option_is_own(message->option, asks ? BH_OPTION_SOURCE : BH_OPTION_TARGET, source_mac))
			return BH_SAYS_OTHER;
	} else if (bytes != BH_DISCOVERY_BYTES) {
		return BH_SAYS_OTHER;
	}
	if (asks)
		return message->flags ? BH_SAYS_OTHER : BH_SAYS_ASKS;
	if (message->type != BH_ADVERTISES_NEIGHBOUR || !(message->flags & BH_ADVERTISES_SOLICITED))
		return BH_SAYS_OTHER;
	return message->flags & ~BH_ADVERTISES_FLAGS ? BH_SAYS_OTHER : BH_SAYS_ANSWERS;
}

/* Whom an address belongs to, as far as the host knows. */
enum bh_known {
	BH_KNOWN_NEAR = 1 << 0,  /* a gateway, or on the way to the control plane */
	BH_KNOWN_RULE = 1 << 1,  /* a rule is about it */
	BH_KNOWN_HEARD = 1 << 2, /* a packet from it arrived behind containment, which lets others open connections */
};

/* May the host send such a message to, or ask for, somebody who is known so? */
BH_PURE __u8 bh_resolution_passes(enum bh_resolution says, __u8 wall, __u8 known)
{
	if (says == BH_SAYS_PLAIN)
		return 1;
	if (says == BH_SAYS_OTHER)
		return 0;
	return (known & BH_KNOWN_NEAR) || (known & (wall == BH_ISOLATE ? BH_KNOWN_RULE : BH_KNOWN_HEARD));
}

/* The address of nobody: a router solicitation may come from it, and the question whether an address is taken (RFC 4862),
 * which behind a wall is not asked, does. */
BH_PURE __u8 bh_is_unspecified(const __u8 *ipv6)
{
	for (int i = 0; i < 16; i++) {
		if (ipv6[i])
			return 0;
	}
	return 1;
}
