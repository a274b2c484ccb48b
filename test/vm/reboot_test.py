#!/usr/bin/env python3
"""An isolated host reboots, and its sensor crashes, while the host floods the network: nothing leaves.

  reboot_test.py BIN_DIRECTORY KERNEL

The guest boots Debian's systemd with Bulkhead's own units, reboots as a machine does, and keeps its state on a disk. Two processes
flood all the time, from the initrd on and from a service that waits for nothing. Judged outside: QEMU records every frame of the
guest's network card, also while the guest goes down and comes up.
"""
import base64
import collections
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from channel import Channel, connect_serial
from guest import Guest, Options
from hostwide_test import KERNELS, eventually
from image import GuestImage
from systemd_image import EARLY, GUEST_SHELL, STATE, add_systemd, bulkhead_units, firewall_unit, network_unit

PINS = "/sys/fs/bpf/bulkhead/host"
SENSOR_CGROUP = "/sys/fs/cgroup/system.slice/bulkhead-sensor.service"
GUEST_MAC = bytes.fromhex("525400123456")
ISOLATION = r"generation: 2\nenforcement_policies: [{template: POLICY_TEMPLATE_NETWORK_ISOLATION}]\n"
RELEASED = r"generation: 3\n"

# By three ways: the wall alone sees the first; the others get an answer from the first line. The port tells who floods. Without a new
# process for each packet: on an emulated processor that would leave nothing for the sensor.
FLOOD = """
exec 9<> <(:)
while :; do ping -n -q -i 0.2 10.0.2.2; read -t 0.5 -u 9; done &
while :; do
  echo x >/dev/udp/10.0.2.2/PORT
  echo x >/dev/tcp/10.0.2.2/PORT
  read -t 0.1 -u 9
done
"""
INITRD_PORT, SERVICE_PORT = 19, 9
UNITS = {"flood.service": (EARLY.format(order="", kind="ExecStart=/bin/bash /guest/flood"), "sysinit.target")}

KILL = "pid=$(systemctl show -P MainPID bulkhead-sensor); [ $pid != 0 ] && kill -9 $pid"
# How long until the status tells of one repair more.
REPAIRED = f"""repairs() {{{{ busybox sed -n 's/^drift: *repaired \\([0-9]*\\) times/\\1/p' {STATE}/status; }}}}; before=$(repairs); {{act}} || exit; \
start=$(cut -d" " -f1 /proc/uptime); for i in $(seq 200); do [ $(repairs) -gt $before ] && break; busybox usleep 50000; done; \
[ $(repairs) -gt $before ] && echo "$start $(cut -d" " -f1 /proc/uptime)" | busybox awk '{{{{ print $2 - $1 }}}}'"""


def frames_of_guest(dump):
    """What the guest sent beyond its link: every IP packet but neighbour discovery, which does not leave the link (docs/security.md)."""
    data = dump.read_bytes()
    sent, offset = [], 24
    while offset + 16 <= len(data):
        length = struct.unpack_from("<I", data, offset + 8)[0]
        frame = data[offset + 16:offset + 16 + length]
        offset += 16 + length
        if frame[6:12] == GUEST_MAC and leaves(frame):
            sent.append(frame)
    return sent


def leaves(frame):
    kind = frame[12:14]
    if kind == b"\x08\x00":
        return True
    return kind == b"\x86\xdd" and not (frame[20] == 58 and 133 <= frame[54] <= 137)


def destination_ports(frames):
    """Of UDP and TCP over IPv4: port -> number of packets."""
    return collections.Counter(int.from_bytes(frame[36:38], "big") for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] in (6, 17))


class RebootTest(unittest.TestCase):
    def setUp(self):
        scratch = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="bulkhead-reboot-")))
        disk = scratch / "disk"
        with open(disk, "wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", str(disk)], check=True)
        image = GuestImage(KERNELS / KERNEL)
        image.add_program(PROGRAMS / "bulkhead-sensor", "/usr/sbin/bulkhead-sensor")
        image.add_file("etc/bulkhead/sensor.yaml", f"state_dir: {STATE}\npolicy_file: {STATE}/policy.yaml\n")
        image.add_file("guest/flood", FLOOD.replace("PORT", str(SERVICE_PORT)))
        image.add_file("guest/early", FLOOD.replace("PORT", str(INITRD_PORT)))
        add_systemd(image, {**UNITS, **network_unit(image), **firewall_unit(), **bulkhead_units()})
        self.dump, line = scratch / "dump", scratch / "serial"
        network = ("-netdev", "user,id=n0", "-device", f"virtio-net-pci,netdev=n0,romfile=,mac={GUEST_MAC.hex(':')}",
                   "-object", f"filter-dump,id=dump,netdev=n0,file={self.dump}", "-drive", f"file={disk},if=virtio,format=raw")
        options = Options(kernel_directory=KERNELS / KERNEL, timeout=60, network=network, extra_serial=f"unix:{line},server=on,wait=off",
                          reboots=True)
        self.guest = self.enterContext(Guest(image, GUEST_SHELL, options))
        serial = self.enterContext(socket.socket(socket.AF_UNIX))
        connect_serial(serial, line)
        self.channel = Channel(serial.fileno(), serial.fileno(), "the guest", 300)
        self.wait_for_boot()

    def wait_for_boot(self):
        try:
            while self.channel.receive() != "ready":
                pass
        except RuntimeError as error:
            raise AssertionError(f"{error}\n{self.guest.log()[-3000:]}") from None

    def inside(self, command):
        status, _, output = self.channel.ask(command).partition(" ")
        return int(status), base64.b64decode(output).decode(errors="replace")

    def must(self, command):
        status, output = self.inside(command)
        self.assertEqual(status, 0, f"{command}: {status} {output}")
        return output.strip()

    def report(self):
        return self.inside("systemctl --no-pager status 'bulkhead-*'; tail -n 30 /run/bulkhead-sensor*.log; dmesg | tail -n 20")[1]

    def frames(self):
        return frames_of_guest(self.dump)

    def wait_for_both_floods(self):
        """Fails when they do not get out: what never could leave proves nothing by staying away."""
        before = destination_ports(self.frames())

        def both():
            now = destination_ports(self.frames())
            return all(now[port] > before[port] + 5 for port in (INITRD_PORT, SERVICE_PORT))
        eventually("both floods are seen outside", both)

    def wait_for(self, what, command):
        try:
            eventually(what, lambda: self.inside(command)[0] == 0, seconds=300)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.report()}") from None

    def wait_for_isolation(self):
        self.wait_for("the status says isolated", f"grep -q 'isolated:     yes' {STATE}/status")

    def restart_sensor(self, before_it_starts="true"):
        self.must(f"systemctl stop bulkhead-sensor; rm -f {STATE}/status; {before_it_starts}; systemctl start bulkhead-sensor")

    def assert_quiet(self, since, what):
        time.sleep(2)  # of floods that go on
        sent = self.frames()[since:]
        self.assertEqual([frame.hex() for frame in sent], [], f"{len(sent)} packets left during {what}\n{self.report()}")

    def test_nothing_leaves_an_isolated_host_through_a_reboot_and_crashes(self):
        self.wait_for_both_floods()
        self.restart_sensor(f"printf '{ISOLATION}' > {STATE}/policy.yaml")
        self.wait_for_isolation()
        time.sleep(1)  # for what QEMU was about to write
        before = len(self.frames())
        self.assert_quiet(before, "the first seconds")
        self.reboot()
        units = "flood guest-network bulkhead-sensor-restore bulkhead-sensor"
        self.wait_for("everything is up", f"for u in {units}; do systemctl -q is-active $u || exit 1; done")
        self.check_order()
        self.assert_quiet(before, "the reboot")
        self.crash()
        self.assert_quiet(before, "kill -9 and a crash loop")
        self.drift(before)
        # The floods went on all the time, and only the order lifts the wall.
        self.restart_sensor(f"printf '{RELEASED}' > {STATE}/policy.yaml")
        self.wait_for_both_floods()

    def reboot(self):
        first = self.must("cat /proc/sys/kernel/random/boot_id")
        self.must("systemctl --no-block reboot")
        self.wait_for_boot()
        self.assertNotEqual(self.must("cat /proc/sys/kernel/random/boot_id"), first)
        self.assertTrue(self.guest.is_running())

    def check_order(self):
        """The wall was up before anybody set an address, by the units' order and not by luck."""
        finished, started = (int(self.must(f"systemctl show -P {moment} {unit}")) for moment, unit in
                             (("ExecMainExitTimestampMonotonic", "bulkhead-sensor-restore"), ("ExecMainStartTimestampMonotonic", "guest-network")))
        print(f"restored {(started - finished) / 1e6:.1f} s before the network was set up")
        self.assertLess(finished, started)
        self.assertIn("network-pre.target", self.must("systemctl show -P Before bulkhead-sensor-restore"))

    def crash(self):
        """kill -9, and then a sensor that never gets far."""
        self.must(KILL)
        self.wait_for("systemd started a new sensor", "[ $(systemctl show -P NRestarts bulkhead-sensor) -ge 1 ]")
        for milliseconds in (0, 300, 1000, 2000):
            self.must("systemctl restart bulkhead-sensor")
            time.sleep(milliseconds / 1000)
            self.inside(KILL)
        self.restart_sensor()
        self.wait_for_isolation()

    def drift(self, before):
        """What root changes, with no tamper guard up, is put back and told; here what a scope does not have (see e2e_drift_test)."""
        self.must("nft list table inet host && nft flush ruleset")
        self.assert_quiet(before, "the time after another firewall was flushed")
        # A filter on an interface sees what no socket sends; the wall that these floods meet stands. Nobody but the sensor takes it away,
        # and whoever may enter its cgroup, which the guard would forbid.
        delete = "tc qdisc del dev eth0 clsact"
        self.assertNotEqual(self.inside(delete)[0], 0, "filters were taken from under a wall")
        self.repair("a filter taken from the interface", f"bash -c 'echo $$ > {SENSOR_CGROUP}/cgroup.procs && {delete}'")
        self.repair("a program of the frame wall", f"rm {PINS}/abi*/frames_bh_f_sendmsg")
        self.assert_quiet(before, "the repairs")

    def repair(self, what, act):
        seconds = float(self.must(REPAIRED.format(act=act)))
        print(f"{what}: repaired and told after {seconds:.1f} s")
        self.assertLess(seconds, 30)  # programs that are loaded anew take seconds to verify here; e2e_drift_test holds a real machine to a second


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is taken back
    KERNEL = sys.argv.pop()
    PROGRAMS = pathlib.Path(sys.argv.pop())
    unittest.main(verbosity=2)
