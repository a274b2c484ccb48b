"""Line channels to the judge and to leak_agent, which runs in a scope of this machine or in a guest."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import network

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "vm"))
from channel import Channel, connect_serial  # noqa: E402
from guest import LSM_WITH_BPF, LSM_WITHOUT_BPF, Guest, GuestError, Options  # noqa: E402
from image import GuestImage  # noqa: E402


class JudgeChannel:
    """peer.py in the peer's namespace."""

    def __init__(self, namespace):
        self._process = subprocess.Popen(["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-B", str(HERE / "peer.py")],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._channel = Channel(self._process.stdin.fileno(), self._process.stdout.fileno(), "the judge", 10)
        self._channel.receive()

    def __getattr__(self, do):
        return lambda **arguments: json.loads(self._channel.ask(json.dumps({"do": do, **arguments})))["answer"]

    def close(self):
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def agent_in_scope(agent):
    """leak_agent on this machine, confined to a cgroup and a network namespace of its own. Yields (channel, judge)."""
    root = next(line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2")
    scope = pathlib.Path(root, f"bulkhead-leak-{os.getpid()}")
    namespace = f"leak-own-{os.getpid()}"
    scope.mkdir()
    try:
        with network.PeerNamespace(f"leak-peer-{os.getpid()}", namespace) as peer, contextlib.closing(JudgeChannel(peer.name)) as judge:
            process = subprocess.Popen(["nsenter", f"--net=/run/netns/{namespace}", str(agent), "--scope", str(scope)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                yield Channel(process.stdin.fileno(), process.stdout.fileno(), "leak_agent", 40), judge
            finally:
                end(process)
    finally:
        remove_cgroup(scope)


def end(process):
    """Lets leak_agent take its wall down at the end of its input; in any case it is gone afterwards."""
    process.stdin.close()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def remove_cgroup(path):
    """Ends what is left in a cgroup of ours, which takes the kernel a moment, and removes it."""
    (path / "cgroup.kill").write_text("1")
    for _ in range(50):
        if "populated 0" in (path / "cgroup.events").read_text():
            break
        time.sleep(0.1)
    path.rmdir()


@contextlib.contextmanager
def agent_in_guest(agent, kernel_directory, with_bpf_lsm, wall):
    """leak_agent host-wide in a guest, with the peer on the other end of its wire, outside. Yields (channel, judge)."""
    image = GuestImage(kernel_directory)
    image.add_program(agent, "/usr/local/bin/leak_agent")
    command = f"ip link set eth0 down; ip link set eth0 name {network.OWN_INTERFACE}\n{network.OWN_END}\nexec leak_agent --device /dev/ttyS2 --wall {wall}\n"
    with network.PeerNamespace(f"leak-peer-{os.getpid()}") as peer, contextlib.closing(JudgeChannel(peer.name)) as judge, \
            tempfile.TemporaryDirectory() as scratch:
        line = pathlib.Path(scratch, "line")
        options = Options(
            kernel_directory=kernel_directory, timeout=300, lsm=LSM_WITH_BPF if with_bpf_lsm else LSM_WITHOUT_BPF,
            namespace=peer.name, extra_serial=f"unix:{line},server=on,wait=off",
            network=("-netdev", f"tap,id=n0,ifname={network.PEER_INTERFACE},script=no,downscript=no",
                     "-device", f"virtio-net-pci,netdev=n0,mac={network.OWN_MAC},romfile="))
        with Guest(image, command, options) as guest, socket.socket(socket.AF_UNIX) as serial:
            connect_serial(serial, line)
            try:
                yield Channel(serial.fileno(), serial.fileno(), "leak_agent", 300), judge
                serial.sendall(b"quit\n")
                guest.wait()
            except (RuntimeError, GuestError) as error:
                raise RuntimeError(f"{error}\n{guest.log()}") from None
