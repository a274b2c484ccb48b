/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 * Verdicts about packets on an interface, where not every packet was sent by a socket of this host. Pure, as decide_net.h. */
#pragma once

#include "bulkhead/decide_net.h"

/* Whom the socket that sent a packet talks to; zero where there is no such socket. */
struct bh_peer {
	__u8 address[16];
	__u16 port;
	__u8 family; /* enum bh_family of the packet that `address` fits; 0: no TCP socket */
};

/* True for the packet of a TCP connection as its own socket sent it: the cgroup's program has judged it. A packet that was
 * translated, put into a tunnel or mirrored since goes to another address and is judged by that one. Datagrams need no socket:
 * their verdict depends on what their header says. */
BH_PURE __u8 bh_is_own(const struct bh_flow *flow, const struct bh_peer *peer)
{
	if (flow->problem || flow->protocol != BH_PROTO_TCP || peer->family != flow->family || peer->port != flow->remote_port)
		return 0;
	for (int i = 0; i < 16; i++) {
		if (peer->address[i] != flow->remote[i])
			return 0;
	}
	return 1;
}

/* IP and ARP (decide_resolution.h) are judged. Of the rest only LACP (IEEE 802.1AX) leaves, to the group address that no switch
 * forwards: without it a bond, and the control plane with it, would be lost after 90 s. */
#define BH_ETHER_IPV4 0x0800
#define BH_ETHER_ARP 0x0806
#define BH_ETHER_VLAN 0x8100
#define BH_ETHER_SLOW 0x8809
#define BH_ETHER_IPV6 0x86dd
#define BH_ETHER_VLAN_OUTER 0x88a8

enum bh_frame_kind { BH_FRAME_OTHER = 0, BH_FRAME_IP = 1, BH_FRAME_LINK = 2, BH_FRAME_ARP = 3 };

BH_PURE __u8 bh_is_slow_group(const __u8 *mac)
{
	return mac[0] == 0x01 && mac[1] == 0x80 && mac[2] == 0xc2 && mac[3] == 0 && mac[4] == 0 && mac[5] == 2;
}

/* `mac` is the destination. A tagged frame is judged by the IP packet in it. */
BH_PURE __u8 bh_frame_kind(__u16 ether_type, const __u8 *mac)
{
	switch (ether_type) {
	case BH_ETHER_ARP:
		return BH_FRAME_ARP;
	case BH_ETHER_SLOW:
		return bh_is_slow_group(mac) ? BH_FRAME_LINK : BH_FRAME_OTHER;
	case BH_ETHER_IPV4:
	case BH_ETHER_IPV6:
	case BH_ETHER_VLAN:
	case BH_ETHER_VLAN_OUTER:
		return BH_FRAME_IP;
	default:
		return BH_FRAME_OTHER;
	}
}
