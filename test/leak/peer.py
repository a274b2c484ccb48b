#!/usr/bin/env python3
"""The judge: runs outside the contained host, sees every frame that arrives, and knocks from outside when told to.

Reads one JSON object a line, answers with one. A frame counts when it carries a token, or a TCP, UDP or SCTP port, of an
expected shot, or when the kernel's own signalling carries an address that stands for one; frames that this side sends do not
count.
"""
import json
import socket
import struct
import sys
import threading

import network

FIXED_PORTS = (network.ALLOWED_PORT, network.CONTROL_PLANE_PORT)
ETH_P_ALL, PACKET_OUTGOING = 3, 4
ICMPV6_SIGNALLING = {131: "MLD", 143: "MLD version 2", 135: "neighbour solicitation", 136: "neighbour advertisement"}
PORT_PROTOCOLS = {6: "TCP", 17: "UDP", 132: "SCTP", 136: "UDP-Lite"}


def ports_of(frame):
    """(protocol name, source port, destination port) of an IPv4 or IPv6 frame, or None."""
    ether_type = int.from_bytes(frame[12:14], "big")
    if ether_type == 0x0800 and len(frame) >= 38:
        if int.from_bytes(frame[20:22], "big") & 0x1FFF:
            return None  # a later fragment
        protocol, start = frame[23], 14 + (frame[14] & 15) * 4
    elif ether_type == 0x86DD and len(frame) >= 58:
        protocol, start = frame[20], 54
    else:
        return None
    if protocol not in PORT_PROTOCOLS or len(frame) < start + 4:
        return None
    return (PORT_PROTOCOLS[protocol], *struct.unpack_from("!HH", frame, start))


def signalling_in(frame):
    """What the kernel itself says in this frame, in words, or None: who owns an address, or which groups it listens to."""
    ether_type = int.from_bytes(frame[12:14], "big")
    if ether_type == 0x0806:
        return "ARP"
    if ether_type == 0x0800 and frame[23:24] == b"\x02":
        return "IGMP"
    if ether_type != 0x86DD or len(frame) < 62:
        return None
    protocol, start = frame[20], 54
    if protocol == 0:  # the router alert of an MLD report is an option before it
        protocol, start = frame[54], 54 + 8 * (frame[55] + 1)
    return ICMPV6_SIGNALLING.get(frame[start]) if protocol == 58 and len(frame) > start else None


def addresses_of(port):
    """The addresses that stand for a shot where nothing else fits: its port is their last 16 bits."""
    last = struct.pack("!H", port)
    return ([socket.inet_aton(net)[:2] + last for net in ("10.77.0.0", "239.77.0.0")]
            + [socket.inet_pton(socket.AF_INET6, net)[:14] + last for net in ("fd77::", "ff15::")])


class Judge:
    """Remembers which shots arrived. Thread safe."""

    def __init__(self):
        self._lock = threading.Lock()
        self._by_token, self._by_port, self._by_address, self._seen = {}, {}, {}, {}

    def expect(self, name, port, token):
        with self._lock:
            self._by_token[token.encode()] = name
            self._by_port[port] = name
            self._by_address.update(dict.fromkeys(addresses_of(port), name))
            self._seen.pop(name, None)

    def forget_all(self):
        with self._lock:
            self._by_token, self._by_port, self._by_address, self._seen = {}, {}, {}, {}

    def look_at(self, frame):
        with self._lock:
            for token, name in self._by_token.items():
                if token in frame:
                    self._seen.setdefault(name, f"a frame of {len(frame)} bytes with the token")
            ports = ports_of(frame)
            for port in ports[1:] if ports else ():
                if port in self._by_port:
                    self._seen.setdefault(self._by_port[port], f"{ports[0]} {ports[1]} to {ports[2]}")
            signalling = signalling_in(frame)
            for address, name in self._by_address.items() if signalling else ():
                if address in frame:
                    self._seen.setdefault(name, f"{signalling} with the address that stands for the shot")

    def seen(self):
        with self._lock:
            return dict(self._seen)


def watch(judge):
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sniffer.bind((network.PEER_INTERFACE, ETH_P_ALL))
    while True:
        frame, address = sniffer.recvfrom(65536)
        if address[2] != PACKET_OUTGOING:
            judge.look_at(frame)


class Peer:
    """Listens where a shot is expected, so that connections complete, and makes the connections that come from outside."""

    def __init__(self):
        self._judge = Judge()
        self._open = []
        threading.Thread(target=watch, args=(self._judge,), daemon=True).start()
        self._listeners = {port: self._listener(port) for port in FIXED_PORTS}

    @staticmethod
    def _listener(port):
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        return listener

    def expect(self, name, port, token):
        self._judge.expect(name, port, token)
        if port not in self._listeners:
            self._listeners[port] = self._listener(port)

    def seen(self):
        return self._judge.seen()

    def reset(self):
        """Forgets every shot and closes every connection, so that what is under way cannot count for the next one."""
        self._judge.forget_all()
        for port in [port for port in self._listeners if port not in FIXED_PORTS]:
            self._listeners.pop(port).close()
        while self._open:
            self._open.pop().close()

    def act(self, what, port, token):
        getattr(self, "_" + what)(port, token.encode())

    def _tcp_connect(self, port, token):
        connection = socket.socket()
        connection.settimeout(0.5)
        self._open.append(connection)
        try:
            connection.connect((network.OWN4, port))
            connection.sendall(token)
        except OSError:
            pass  # whether it got through is judged by the frames that come back

    def _udp_send(self, port, token):
        socket.socket(type=socket.SOCK_DGRAM).sendto(token, (network.OWN4, port))

    def _ping(self, port, token):
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).sendto(echo_request(8, port, token), (network.OWN4, 0))

    def _ping6(self, port, token):
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        raw.sendto(echo_request(128, port, token), (network.OWN6, 0))


def echo_request(kind, identifier, payload):
    message = struct.pack("!BBHHH", kind, 0, 0, identifier, 1) + payload
    padded = message + b"\0" * (len(message) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]  # for ICMPv6 the kernel writes its own


def main():
    peer = Peer()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(peer, request.pop("do"))(**request)
        print(json.dumps({"answer": answer}), flush=True)


if __name__ == "__main__":
    main()
