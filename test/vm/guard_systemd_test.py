#!/usr/bin/env python3
"""The tamper guard and the service manager: Debian's systemd starts, restarts and fails to stop a guarded sensor.

  guard_systemd_test.py BIN_DIRECTORY KERNEL

guard_hostwide_test.py plays process 1 itself; here it is systemd, with the units that are shipped. The host is isolated all the time.
"""
import base64
import json
import pathlib
import signal
import socket
import sys
import tempfile
import unittest

from channel import Channel, connect_serial
from guest import Guest, Options
from hostwide_test import KERNELS, OUTSIDE, PATIENCE, ControlPlane, eventually
from image import GuestImage
from systemd_image import GUEST_SHELL, STATE, add_systemd, bulkhead_units, network_unit

SERVICE = "bulkhead-sensor"
PROGRAM = "/usr/sbin/bulkhead-sensor"
PINS = "/sys/fs/bpf/bulkhead/host"
HOME = f"/sys/fs/cgroup/system.slice/{SERVICE}.service"
# Long enough for a guard that was lowered to be up again when the next sensor starts. And a way to let the sensor die by itself,
# which nobody else can while the guard is up: the call with which it ends another process ends it.
DROP_IN = "[Service]\nRestartSec=15\nSystemCallFilter=~pidfd_send_signal\n"


class GuardSystemdTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="bulkhead-guard-")))
        cls.control_plane = ControlPlane(PROGRAMS, scratch)
        cls.addClassCleanup(cls.control_plane.stop)
        image = GuestImage(KERNELS / KERNEL)
        image.add_program(PROGRAMS / "bulkhead-sensor", PROGRAM)
        image.add_file("root/ca.pem", cls.control_plane.certificate.read_bytes())
        image.add_file("etc/bulkhead/sensor.yaml", f"state_dir: {STATE}\ntamper_guard: on\n")
        image.add_file(f"etc/systemd/system/{SERVICE}.service.d/test.conf", DROP_IN)
        add_systemd(image, {**network_unit(image), **{name: (text, None) for name, (text, _) in bulkhead_units().items()}})
        line = scratch / "serial"
        options = Options(kernel_directory=KERNELS / KERNEL, timeout=60, extra_serial=f"unix:{line},server=on,wait=off",
                          network=("-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile="))
        cls.guest = cls.enterClassContext(Guest(image, GUEST_SHELL, options))
        serial = cls.enterClassContext(socket.socket(socket.AF_UNIX))
        connect_serial(serial, line)
        cls.channel = Channel(serial.fileno(), serial.fileno(), "the guest", 300)
        cls.channel.receive()
        status, output = cls.inside(
            f"mkdir -p -m 700 {STATE} && bulkhead-sensor enroll --control-plane {OUTSIDE}:{cls.control_plane.port} --ca /root/ca.pem "
            f"--token {cls.control_plane.token()} --name guest --state {STATE} && systemctl enable --now {SERVICE}")
        assert status == 0, output
        cls.wait_for_guard("GUARD_STATE_UP")
        cls.ctl("isolate")

    @classmethod
    def inside(cls, command):
        status, _, output = cls.channel.ask(command).partition(" ")
        return int(status), base64.b64decode(output).decode(errors="replace")

    @classmethod
    def ctl(cls, verb, *arguments):
        return cls.control_plane.ctl("sensor", verb, "guest", *arguments, "--wait", "--timeout", PATIENCE)

    @classmethod
    def report(cls):
        return cls.inside(f"systemctl --no-pager status {SERVICE}; tail -n 40 /run/{SERVICE}.log; dmesg | tail -n 20")[1]

    @classmethod
    def guard(cls):
        sensor = cls.control_plane.sensor()
        return sensor.get("observed", {}).get("tamperGuard", {}).get("state") if sensor.get("connected") else None

    @classmethod
    def wait_for_guard(cls, state):
        try:
            eventually(f"the guard is {state}", lambda: cls.guard() == state, seconds=180)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{cls.report()}") from None

    def setUp(self):
        self.wait_for_guard("GUARD_STATE_UP")

    def must(self, command):
        status, output = self.inside(command)
        self.assertEqual(status, 0, f"{command}: {output}{self.report()}")
        return output.strip()

    def must_not(self, command):
        status, output = self.inside(command)
        self.assertNotEqual(status, 0, f"{command}: {output}")
        return output

    def pid(self):
        return self.must(f"systemctl show -P MainPID {SERVICE}")

    def lower(self, duration):
        self.ctl("lower-guard", "--for", duration, "--reason", "a test")

    def raise_again(self):
        self.lower("1s")
        self.wait_for_guard("GUARD_STATE_UP")

    def check_trusted(self, before):
        """A sensor other than `before` is up, guarded, and the wall stands."""
        self.wait_for_guard("GUARD_STATE_UP")
        after = self.pid()
        self.assertNotEqual(before, after)
        self.must_not(f"kill -9 {after}")
        self.check_wall()

    def check_wall(self):
        # A sensor that was installed anew says first that nothing is in force.
        eventually("the sensor tells of the wall", lambda: self.control_plane.sensor().get("observed", {}).get("isolated"))
        self.must_not(f"exec 5<>/dev/tcp/{OUTSIDE}/{self.control_plane.port}")

    def check_guarded_without_a_sensor(self):
        """What counts while nobody is there."""
        self.assertEqual(self.pid(), "0", "the next sensor came too early to show anything")
        self.assertIn("not permitted", self.must_not(f"rm {PINS}/bh_guard"))
        self.assertIn("not permitted", self.must_not(f"rmdir {HOME}"))
        self.assertIn("not permitted", self.must_not(f"echo x > {STATE}/desired-state"))

    def test_systemctl_neither_stops_nor_replaces_it(self):
        pid = self.pid()
        for command in (f"systemctl kill -s KILL {SERVICE}", f"systemctl stop {SERVICE}", f"systemctl restart {SERVICE}; sleep 5",
                        f"systemctl freeze {SERVICE}", f"systemctl set-property --runtime {SERVICE} MemoryMax=1M", "systemctl daemon-reexec"):
            self.inside(command)
            self.must(f"kill -0 {pid}")
            self.assertEqual(self.guard(), "GUARD_STATE_UP", command)
            self.check_wall()
        self.assertEqual(self.must(f"cat {HOME}/cgroup.freeze"), "0")
        # docs/operations.md: what systemd thinks by now, and how to get on from there.
        self.must(f"rm -rf /run/systemd/system.control; systemctl daemon-reload; systemctl stop {SERVICE}; kill -0 {pid}")
        self.lower("60s")
        self.must(f"systemctl kill {SERVICE}; until ! kill -0 {pid}; do busybox usleep 100000; done; systemctl start {SERVICE}")
        self.wait_for_guard("GUARD_STATE_LOWERED")
        self.raise_again()
        self.check_trusted(pid)

    def test_crash_while_the_guard_is_up(self):
        self.crash_and_check()

    def crash_and_check(self):
        before = self.pid()
        victim = self.must("setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!")
        self.control_plane.ctl("sensor", "kill", "guest", victim)  # see DROP_IN
        eventually("the sensor died", lambda: self.pid() == "0")
        self.check_guarded_without_a_sensor()
        self.check_trusted(before)
        self.must(f"kill -9 {victim}")

    def test_crash_while_it_is_lowered_and_a_restart_after_it_is_back(self):
        before = self.pid()
        self.lower("8s")
        self.must(f"kill -9 {before}")
        self.assertIn("not permitted", self.must_not(f"rmdir {HOME}"))
        eventually("the guard is back without a sensor", lambda: self.inside(f"bulkhead-sensor check-stop --state {STATE}")[0] != 0)
        self.check_guarded_without_a_sensor()
        self.check_trusted(before)

    def test_crash_and_restart_while_it_is_lowered(self):
        before = self.pid()
        self.lower("1h")
        self.must(f"kill -9 {before}")
        eventually("systemd started a new one", lambda: self.pid() not in ("0", before))
        self.wait_for_guard("GUARD_STATE_LOWERED")
        self.raise_again()
        self.check_trusted(before)

    def test_offline_code_lowers_it_and_it_comes_back_by_itself(self):
        before = self.pid()
        code = json.loads(self.ctl("guard-code", "-o", "json"))["code"]
        self.must(f"echo '{code}' | bulkhead-sensor lower-guard --for 45s --state {STATE}")
        self.must(f"systemctl restart {SERVICE}")
        self.assertNotEqual(self.pid(), before)
        self.wait_for_guard("GUARD_STATE_LOWERED")
        self.check_trusted(before)

    def test_upgrade_needs_it_lowered(self):
        unpack = f"cp {PROGRAM} {PROGRAM}.dpkg-new && echo >> {PROGRAM}.dpkg-new && ln {PROGRAM} {PROGRAM}.dpkg-tmp && mv {PROGRAM}.dpkg-new {PROGRAM}"
        self.assertIn("not permitted", self.must_not(unpack))
        before = self.pid()
        self.lower("1h")
        self.must(f"rm -f {PROGRAM}.dpkg-*; {unpack} && rm {PROGRAM}.dpkg-tmp && systemctl restart {SERVICE}")
        self.wait_for_guard("GUARD_STATE_LOWERED")
        self.raise_again()
        self.check_trusted(before)
        self.crash_and_check()

    def test_uninstall_while_it_is_lowered_and_install_again(self):
        self.must_not(f"bulkhead-sensor uninstall --force --state {STATE}")
        before = self.pid()
        self.lower("1h")
        self.must(f"systemctl disable --now {SERVICE} && bulkhead-sensor uninstall --force --state {STATE}")
        self.must_not(f"ls {PINS}")
        self.must(f"exec 5<>/dev/tcp/{OUTSIDE}/{self.control_plane.port}")
        self.must(f"mv {PROGRAM} {PROGRAM}.x && mv {PROGRAM}.x {PROGRAM} && touch {STATE}/x && rm {STATE}/x")
        self.must(f"systemctl enable --now {SERVICE}")
        eventually("the host is isolated again", lambda: self.inside(f"exec 5<>/dev/tcp/{OUTSIDE}/{self.control_plane.port}")[0] != 0)
        self.check_trusted(before)

    def test_zz_reboot_is_not_refused(self):
        self.must("systemctl --no-block reboot")
        eventually("the guest reboots", lambda: not self.guest.is_running(), seconds=90)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: (GuardSystemdTest.doClassCleanups(), sys.exit(1)))  # so that what was made is taken back
    KERNEL = sys.argv.pop()
    PROGRAMS = pathlib.Path(sys.argv.pop())
    unittest.main(verbosity=2)
