"""The rows of the leak matrix: every probe of leak_agent, its title, and what it means when it arrives.

way: "out" must never arrive under either order; "in" is cut by isolation, while containment leaves to others what they open.
must_pass: orders under which it has to arrive, or the wall would cut more than it was told to.
peer: what the other end does during the attempt; peer_before: what it does before the order.
delivered: the attempt itself says whether the token arrived, because nothing needs to come back.
alone: changes the host so much that no other probe may run at the same time.
absent: kernels (by the start of their release) that cannot make this traffic at all, and why.
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    way: str = "out"
    must_pass: tuple = ()
    peer: str = ""
    peer_before: str = ""
    delivered: bool = False
    alone: bool = False
    absent: tuple = ()


NO_MODULES = (("6.18", "the development kernel was built without it"),)
NO_TCX = (("6.1.", "tcx came with Linux 6.6"), *NO_MODULES)  # what it passes is mirrored by a module

ROWS = (
    Row("allowed_endpoint", "TCP to the endpoint that a rule allows", must_pass=("isolate",)),
    Row("tcp4", "new TCP over IPv4"),
    Row("tcp6", "new TCP over IPv6"),
    Row("tcp6_link_local", "new TCP to a link-local address"),
    Row("tcp_v4_mapped", "new TCP to a v4-mapped IPv6 address"),
    Row("tcp_source_port_22", "new TCP from source port 22"),
    Row("control_plane_address", "another process talks to the control plane's address"),
    Row("tcp4_held", "TCP connection from before the order, IPv4"),
    Row("tcp6_held", "TCP connection from before the order, IPv6"),
    Row("tcp_held_by_child", "TCP connection from before the order, used by a child"),
    Row("tcp_fast_open", "TCP fast open, data in the SYN"),
    Row("mptcp", "MPTCP"),
    Row("sctp", "SCTP", absent=NO_MODULES),
    Row("udp4", "new UDP over IPv4"),
    Row("udp6", "new UDP over IPv6"),
    Row("udp6_link_local", "new UDP to a link-local address"),
    Row("udp_source_port_53", "UDP from source port 53"),
    Row("dns_tunnel", "UDP to port 53"),
    Row("udp_to_allowed_port", "UDP to the port that is allowed for TCP"),
    Row("udp_socket_before", "UDP socket from before the order"),
    Row("udp_connected_before", "UDP socket connected before the order, IPv4"),
    Row("udp6_connected_before", "UDP socket connected before the order, IPv6"),
    Row("udp_sendfile", "sendfile into a UDP socket connected before the order"),
    Row("udp_splice", "splice into a UDP socket connected before the order"),
    Row("udp_lite", "UDP-Lite"),
    Row("multicast4", "multicast, IPv4"),
    Row("multicast6", "multicast, IPv6"),
    Row("broadcast", "broadcast"),
    Row("icmp_ping_socket", "ICMP from a ping socket"),
    Row("icmp_raw", "ICMP tunnel from a raw socket"),
    Row("icmp6_raw", "ICMPv6 tunnel from a raw socket"),
    Row("raw_udp", "raw socket, UDP over IPv4"),
    Row("raw6_udp", "raw socket, UDP over IPv6"),
    Row("raw_unknown_protocol", "raw socket, a protocol nobody knows"),
    Row("raw_own_header", "raw socket with its own IP header"),
    Row("raw_forged_source", "raw socket, forged source address"),
    Row("raw_later_fragment", "raw socket, a later fragment alone"),
    Row("raw_ip_options", "raw socket, IP options"),
    Row("pretended_inbound", "a SYN that root writes to loopback with the peer as its source: the listener's answer"),
    Row("packet", "packet socket"),
    Row("packet_bypass", "packet socket past traffic control"),
    Row("packet_before", "packet socket from before the order"),
    Row("packet_before_bypass", "packet socket from before the order, past traffic control"),
    Row("packet_unknown_ether_type", "packet socket, not IP"),
    Row("xdp", "AF_XDP socket", alone=True),
    Row("xdp_before", "AF_XDP socket from before the order", alone=True),
    Row("xdp_before_poll", "AF_XDP socket from before the order, woken by poll", alone=True),
    Row("xdp_handed_over", "AF_XDP socket on its way to another process at the order, woken by poll", alone=True),
    Row("xdp_registered", "AF_XDP socket that only an io_uring holds, woken by its poll", alone=True),
    Row("io_uring_tcp", "io_uring connect and send"),
    Row("io_uring_udp", "io_uring sendmsg"),
    Row("io_uring_udp_zero_copy", "io_uring zero-copy send over UDP"),
    Row("other_cgroup", "process moves itself to another cgroup"),
    Row("socket_from_other_cgroup", "socket made in another cgroup"),
    Row("netns_forwarded", "new network namespace, forwarded", alone=True),
    Row("netns_forwarded_before", "container from before the order, forwarded", alone=True),
    Row("macvlan_netns", "macvlan into a new network namespace", alone=True),
    Row("macvlan_netns_before", "macvlan in a namespace from before the order", alone=True),
    Row("ipvlan_netns", "ipvlan into a new network namespace", alone=True, absent=NO_MODULES),
    Row("interface_moved", "the interface moved to another namespace", alone=True),
    Row("tun_forwarded", "packets written into a tun device, forwarded", alone=True),
    Row("tun_forwarded_before", "packets written into a tun device from before the order, forwarded", alone=True),
    Row("tunnel_ipip", "ipip tunnel", alone=True, absent=NO_MODULES),
    Row("tunnel_gre", "GRE tunnel", alone=True, absent=NO_MODULES),
    Row("tunnel_vxlan", "VXLAN tunnel", alone=True),
    Row("wireguard", "WireGuard, its handshake", alone=True, absent=NO_MODULES),
    Row("netconsole", "netconsole, the kernel's log", alone=True, absent=NO_MODULES),
    Row("netconsole_before", "netconsole from before the order", alone=True, absent=NO_MODULES),
    Row("pktgen", "pktgen, the kernel's packet generator", alone=True, absent=NO_MODULES),
    Row("pktgen_before", "pktgen from before the order", alone=True, absent=NO_MODULES),
    Row("nft_dnat_of_allowed", "DNAT of the allowed address", alone=True),
    Row("nft_dnat_in_moved_namespace", "the interface moved to another namespace, and a DNAT of the allowed address there", alone=True),
    Row("tunnel_of_allowed", "VXLAN tunnel to another endpoint that carries the allowed address", alone=True),
    Row("tunnel_of_allowed_in_moved_namespace", "the interface moved to another namespace, and such a tunnel there", alone=True),
    Row("tunnel_speaks", "VXLAN tunnel, what the kernel itself says to its link", alone=True),
    Row("tunnel_speaks_in_moved_namespace", "the interface moved to another namespace, and what the kernel says through a tunnel there", alone=True),
    Row("nft_flushed", "nftables flushed", alone=True),
    Row("loopback_mirrored", "loopback traffic mirrored to the interface by tc", alone=True, absent=NO_MODULES),
    Row("loopback_mirrored_before", "loopback traffic mirrored to the interface by tc from before the order", alone=True,
        absent=NO_MODULES),
    Row("xdp_redirect", "loopback traffic redirected to the interface by an XDP program", alone=True),
    Row("xdp_redirect_loaded_before", "such an XDP program loaded before the order, attached under it", alone=True),
    Row("xdp_redirect_before", "such an XDP program attached before the order", alone=True),
    Row("xdp_answers_before", "an XDP program from before the order sends back what arrives", peer="udp_send", alone=True),
    Row("tc_passes_first", "mirrored loopback traffic past a tc filter put in front of the wall's", alone=True, absent=NO_MODULES),
    Row("tc_passes_first_before", "mirrored loopback traffic past such a tc filter from before the order", alone=True, absent=NO_MODULES),
    Row("tcx_passes_first", "mirrored loopback traffic past a tcx program put in front of the wall's filter", alone=True, absent=NO_TCX),
    Row("tcx_passes_first_before", "mirrored loopback traffic past such a tcx program from before the order", alone=True, absent=NO_TCX),
    Row("tc_wall_deleted", "mirrored loopback traffic while the wall's filters are deleted again and again", alone=True, absent=NO_MODULES),
    Row("tc_writes_behind_before", "a tc filter from before the order, asked after the wall's, writes into what may leave", alone=True),
    Row("discipline_writes_behind_before", "the same from a filter of the interface's queueing discipline", alone=True, absent=NO_MODULES),
    Row("igmp_join", "a multicast group joined: the kernel's report carries its address, IPv4"),
    Row("mld_join", "a multicast group joined: the kernel's report carries its address, IPv6"),
    Row("neighbour_probe", "the kernel asks who owns an IPv4 address that root chose (ARP)"),
    Row("address_taken", "the kernel asks whether an IPv6 address that root chose is taken", alone=True),
    Row("address_announced", "the kernel announces an IPv4 address that root chose (ARP)", alone=True),
    Row("discovery_cargo", "neighbour discovery that root writes, with cargo"),
    Row("discovery_forged_answer", "neighbour discovery that root writes, an answer about an address that root chose"),
    Row("in_tcp", "connection from outside to a listener", way="in", must_pass=("contain",), peer="tcp_connect", delivered=True),
    Row("in_tcp_held", "connection from outside from before the order", way="in", must_pass=("contain",), peer_before="tcp_connect"),
    Row("in_tcp_closed_port", "SYN from outside to a closed port, RST back", way="in", peer="tcp_connect"),
    Row("in_udp", "UDP from outside to a socket", way="in", peer="udp_send", delivered=True),
    Row("in_udp_closed_port", "UDP from outside to a closed port, ICMP back", way="in", peer="udp_send"),
    Row("in_packet_ring", "frames from outside into a packet ring from before the order", way="in", peer="udp_send", delivered=True, alone=True),
    Row("in_ping", "ping from outside, echo reply", way="in", peer="ping"),
    Row("in_ping6", "ping from outside over IPv6, echo reply", way="in", peer="ping6"),
)
