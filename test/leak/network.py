"""The two ends of a leak run: the contained host's interface and its peer, each in a network namespace; probe.h has the same values."""
import subprocess

OWN4, OWN6 = "10.77.0.1", "fd77::1"
OWN_INTERFACE, PEER_INTERFACE = "lk0", "lk1"
OWN_MAC, PEER_MAC = "02:77:00:00:00:01", "02:77:00:00:00:02"
PEER_ADDRESSES = ("10.77.0.2/24", "10.77.0.3/24", "fd77::2/64", "fe80::2/64")
ALLOWED_PORT, CONTROL_PLANE_PORT = 7777, 8443

# What the contained host's end needs; run in a guest or in a namespace, by a shell.
OWN_END = f"""
ip link set {OWN_INTERFACE} address {OWN_MAC}
ip link set {OWN_INTERFACE} up
ip addr add {OWN4}/24 dev {OWN_INTERFACE}
ip addr add {OWN6}/64 dev {OWN_INTERFACE} nodad
ip link set lo up
for peer in 10.77.0.2 10.77.0.3 fd77::2 fe80::2; do
  ip neigh replace $peer lladdr {PEER_MAC} dev {OWN_INTERFACE} nud permanent
done
"""


def shell(script):
    """Runs a script; raises with what it said when a command fails."""
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{script.strip()}\nended with {done.returncode}: {done.stderr.strip()}")


class PeerNamespace:
    """The outside: a namespace with one end of a veth pair, or with a tap device for a guest. Use it in a with statement."""

    def __init__(self, name, own_namespace=None):
        self.name = name
        self._own_namespace = own_namespace

    def __enter__(self):
        self._remove()
        shell(f"ip netns add {self.name}")
        if self._own_namespace:
            shell(f"""ip netns add {self._own_namespace}
                ip -n {self.name} link add {PEER_INTERFACE} type veth peer name {OWN_INTERFACE} netns {self._own_namespace}
                nsenter --net=/run/netns/{self._own_namespace} bash -euc '{OWN_END}'""")
        else:
            shell(f"ip -n {self.name} tuntap add {PEER_INTERFACE} mode tap")
        addresses = "\n".join(f"ip -n {self.name} addr add {a} dev {PEER_INTERFACE} {'nodad' if ':' in a else ''}" for a in PEER_ADDRESSES)
        shell(f"""ip -n {self.name} link set lo up
            ip -n {self.name} link set {PEER_INTERFACE} address {PEER_MAC}
            ip -n {self.name} link set {PEER_INTERFACE} up
            {addresses}
            ip -n {self.name} neigh replace {OWN4} lladdr {OWN_MAC} dev {PEER_INTERFACE} nud permanent
            ip -n {self.name} neigh replace {OWN6} lladdr {OWN_MAC} dev {PEER_INTERFACE} nud permanent""")
        return self

    def __exit__(self, *_):
        self._remove()

    def _remove(self):
        for name in (self.name, self._own_namespace):
            subprocess.run(["ip", "netns", "del", str(name)], capture_output=True)
