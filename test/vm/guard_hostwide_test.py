#!/usr/bin/env python3
"""The tamper guard of a real sensor: root in a guest against it, and the orders and the code that lower it.

  guard_hostwide_test.py [--without-bpf-lsm] BIN_DIRECTORY KERNEL

As hostwide_test.py, with the option tamper_guard on. The sensor is started the way a service manager does it: by process 1, which
puts it into its cgroup.
"""
import base64
import json
import pathlib
import signal
import socket
import sys
import tempfile
import unittest

import hostwide_test as hostwide
from channel import Channel, connect_serial
from guest import LSM_WITH_BPF, LSM_WITHOUT_BPF, Guest, Options
from hostwide_test import OUTSIDE, PATIENCE, ControlPlane, eventually
from image import GuestImage

CGROUP = "/sys/fs/cgroup/system.slice/bulkhead-sensor.service"
STATE = "/var/lib/bulkhead-sensor"
PINS = "/sys/fs/bpf/bulkhead/host"
PROGRAM = "/usr/local/bin/bulkhead-sensor"
CONFIG = "/root/sensor.yaml"
OPTIONS = f"state_dir: {STATE}\ntamper_guard: on\n"
# The pins of the walls, and none of the guard's.
HIDE_THE_GUARD = (f"mkdir -p /root/rules; name=$(basename {PINS}/abi*); mount --bind {PINS}/$name /root/rules && mount -t tmpfs none {PINS} && "
                  f"mkdir {PINS}/$name && mount --bind /root/rules {PINS}/$name")
TOLD_WHAT_TO_DO = ("ower the guard", "ower it first", "Undo that")
WRONG_CODE = "0000-0000-0000-0000-0000-0000-00"


class GuardTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="bulkhead-guard-")))
        cls.control_plane = ControlPlane(PROGRAMS, scratch)
        cls.addClassCleanup(cls.control_plane.stop)
        image = GuestImage(hostwide.KERNELS / KERNEL)
        image.add_program(PROGRAMS / "bulkhead-sensor", PROGRAM)
        image.add_program(PROGRAMS / "guard_test", "/usr/local/bin/guard_test")
        image.add_file("root/ca.pem", cls.control_plane.certificate.read_bytes())
        image.add_file(CONFIG.lstrip("/"), OPTIONS)
        line = scratch / "serial"
        options = Options(kernel_directory=hostwide.KERNELS / KERNEL, timeout=60, lsm=LSM, extra_serial=f"unix:{line},server=on,wait=off",
                          network=("-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile="))
        cls.guest = cls.enterClassContext(Guest(image, hostwide.GUEST_SHELL, options))
        serial = cls.enterClassContext(socket.socket(socket.AF_UNIX))
        connect_serial(serial, line)
        cls.channel = Channel(serial.fileno(), serial.fileno(), "the guest", 600)
        cls.channel.receive()
        cls.enroll()

    inside = classmethod(hostwide.HostwideTest.inside.__func__)

    @classmethod
    def enroll(cls):
        status, output = cls.inside(f"mkdir -p {CGROUP} && bulkhead-sensor enroll --control-plane {OUTSIDE}:{cls.control_plane.port} "
                                    f"--ca /root/ca.pem --token {cls.control_plane.token()} --name guest --state {STATE} && touch {STATE}/state")
        assert status == 0, output
        cls.start_sensor()

    @classmethod
    def run_by_init(cls, arguments, log, mounts="true"):
        """Runs the sensor's program as process 1's child in the sensor's cgroup; its process id is in /root/sensor.pid. `mounts` is done
        before, in a mount namespace of its own, as a unit's BindPaths= would be."""
        script = ("until grep -q ') . 1 ' /proc/$$/stat; do sleep 0.2; done\n"  # until process 1 is the parent
                  f"echo $$ >/root/sensor.pid\n{mounts} || exit\n"
                  f"echo $$ >{CGROUP}/cgroup.procs && exec bulkhead-sensor {arguments} </dev/null >>{log} 2>&1\n")
        cls.inside(f"echo {base64.b64encode(script.encode()).decode()} | base64 -d >/root/start; "
                   f"{'unshare -m ' if mounts != 'true' else ''}dash /root/start & true")

    @classmethod
    def start_sensor(cls):
        cls.run_by_init(f"run --config {CONFIG}", "/root/sensor.log")
        cls.wait_for_guard("GUARD_STATE_UP", "GUARD_STATE_LOWERED")

    @classmethod
    def guard(cls):
        """What the control plane last heard of the guard; {} while the sensor is away."""
        sensor = cls.control_plane.sensor()
        return sensor.get("observed", {}).get("tamperGuard", {}) if sensor.get("connected") else {}

    @classmethod
    def wait_for_guard(cls, *states):
        try:
            eventually(f"the guard is {' or '.join(states)}", lambda: cls.guard().get("state") in states, seconds=300)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{cls.guard()}\n{cls.inside('tail -n 40 /root/sensor.log')[1]}") from None

    def setUp(self):
        self.wait_for_guard("GUARD_STATE_UP")

    def lower(self, duration):
        self.control_plane.ctl("sensor", "lower-guard", "guest", "--for", duration, "--wait", "--timeout", PATIENCE, "--reason", "a test")

    def raise_again(self):
        """Ends a lowered window early: the shortest one there is."""
        self.lower("1s")
        self.wait_for_guard("GUARD_STATE_UP")

    def new_code(self):
        answer = json.loads(self.control_plane.ctl("sensor", "guard-code", "guest", "--wait", "--timeout", PATIENCE, "-o", "json"))
        return answer["code"]

    def signal_sensor(self, name):
        return self.inside(f"kill -{name} $(cat /root/sensor.pid)")

    def assert_refused(self, answer, *texts):
        self.assertNotEqual(answer[0], 0, answer[1])
        for text in texts:
            self.assertIn(text, answer[1])

    def attack(self, wall):
        status, output = self.inside(
            f"TARGET_PID=$(cat /root/sensor.pid) TARGET_CGROUP={CGROUP} TARGET_PINS={PINS} TARGET_RULE_SET=$(echo {PINS}/abi*) "
            f"TARGET_TREE={STATE} TARGET_PROGRAM={PROGRAM} "
            f"{'TARGET_WALL=1' if wall else ''} guard_test '[.against_sensor]'")
        self.assertEqual(status, 0, output)
        self.assertIn("All tests passed", output)

    def connect_from_inside(self):
        return self.inside(f"exec 5<>/dev/tcp/{OUTSIDE}/{self.control_plane.port}")

    def test_root_neither_stops_nor_changes_the_sensor(self):
        before = int(self.guard().get("refusals", 0))
        self.attack(wall=False)
        self.control_plane.ctl("sensor", "isolate", "guest", "--wait", "--timeout", PATIENCE)
        self.attack(wall=True)
        self.assert_refused(self.inside(f"echo tamper_guard: off > {CONFIG}"))
        self.assert_refused(self.inside(f"bpftool map update pinned $(echo {PINS}/abi*)/bh_active key 0 0 0 0 value 0 0 0 0"))
        self.assert_refused(self.inside("echo 0 > /proc/sys/kernel/ftrace_enabled"))
        self.assert_refused(self.inside("umount -l /sys/fs/bpf"))
        self.assert_refused(self.connect_from_inside(), "Operation not permitted")
        eventually("the refusals are reported", lambda: int(self.guard().get("refusals", 0)) >= before + 50)
        self.assertEqual(self.guard()["state"], "GUARD_STATE_UP")
        mechanisms = {m["name"]: m.get("available", False) for m in self.control_plane.sensor()["capabilities"]["mechanisms"]}
        self.assertTrue(any(name.startswith("tamper_guard/") and works for name, works in mechanisms.items()), mechanisms)
        self.control_plane.ctl("sensor", "release", "guest", "--wait", "--timeout", PATIENCE)

    def test_moving_the_sensor_while_a_wall_goes_up_does_not_take_it_down(self):
        """The wall knows the sensor's sockets by its cgroup, out of which root can move it."""
        self.inside("mkdir -p /sys/fs/cgroup/elsewhere; (until [ -e /root/moved-enough ]; do "
                    "cat /root/sensor.pid >/sys/fs/cgroup/elsewhere/cgroup.procs; busybox usleep 20000; done) 2>/dev/null & true")
        self.control_plane.ctl("sensor", "isolate", "guest", "--wait", "--timeout", PATIENCE)
        self.assert_refused(self.connect_from_inside(), "Operation not permitted")
        self.control_plane.ctl("sensor", "release", "guest", "--wait", "--timeout", PATIENCE)
        self.inside("touch /root/moved-enough")  # or the next tests find a sensor that is still being moved
        eventually("the sensor is at home", lambda: self.inside(f"grep -qx $(cat /root/sensor.pid) {CGROUP}/cgroup.procs")[0] == 0)
        self.wait_for_guard("GUARD_STATE_UP")

    def test_stop_needs_an_order(self):
        for name in ("TERM", "KILL", "STOP"):
            self.assert_refused(self.signal_sensor(name))
        for command in ("check-stop", "uninstall --force", "enroll --force --control-plane x:1 --ca /root/ca.pem --token x"):
            self.assert_refused(self.inside(f"bulkhead-sensor {command} --state {STATE}"), "tamper guard is up", "bulkheadctl sensor lower-guard")
        self.assert_refused(self.inside(f"bulkhead-sensor run --state {STATE} --tamper-guard off"), "bulkheadctl sensor lower-guard")
        self.assertIn("tamper guard: up", self.inside(f"bulkhead-sensor status --state {STATE}")[1])
        self.lower("1h")
        self.assertEqual(self.guard()["state"], "GUARD_STATE_LOWERED")
        self.assertEqual(self.inside(f"bulkhead-sensor check-stop --state {STATE}")[0], 0)
        self.assertEqual(self.signal_sensor("TERM")[0], 0)
        eventually("the sensor ends", lambda: self.signal_sensor("0")[0] != 0)
        # An upgrade: another file, a copy with other bytes.
        self.assertEqual(self.inside(f"cp {PROGRAM} /root/new && echo >> /root/new && mv /root/new {PROGRAM}")[0], 0)
        self.start_sensor()
        self.assertEqual(self.guard()["state"], "GUARD_STATE_LOWERED")
        self.raise_again()
        self.assert_refused(self.signal_sensor("KILL"))

    def test_guard_comes_back_by_itself_also_without_the_sensor(self):
        self.lower("20s")
        self.assertEqual(self.signal_sensor("KILL")[0], 0)
        eventually("the guard is back", lambda: self.inside(f"bulkhead-sensor check-stop --state {STATE}")[0] != 0)
        self.assert_refused(self.inside(f"rm {PINS}/bh_guard"), "Operation not permitted")
        self.assert_refused(self.inside(f"bulkhead-sensor lower-guard --code {WRONG_CODE} --state {STATE}"), "no sensor", "systemctl start")
        # The right program in the right place, told otherwise or shown other files, is not the sensor.
        for arguments, mounts in (("run --tamper-guard off --state /root/other", "true"), ("run --tamper-guard on --state /root/other", "true"),
                                  ("uninstall --force", "true"), (f"run --config {CONFIG}", f"mount --bind /root/other {STATE}"),
                                  (f"run --config {CONFIG}", f"mount --bind /root/other/file {STATE}/state"),
                                  ("uninstall --force --state /root/other", HIDE_THE_GUARD),
                                  ("run --scope /sys/fs/cgroup/system.slice --state /root/other", "true")):
            self.inside("rm -f /root/other.log; mkdir -p -m 700 /root/other; touch /root/other/file")
            self.run_by_init(arguments, "/root/other.log", mounts)
            eventually(f"'{mounts}; {arguments}' is refused", lambda: any(text in self.other_log() for text in TOLD_WHAT_TO_DO))
        self.assert_refused(self.inside(f"rm {PINS}/bh_guard"), "Operation not permitted")
        self.assertEqual(self.inside(f"ls {PINS}/abi*/link_bh_egress")[0], 0)
        self.start_sensor()
        self.assertEqual(self.guard()["state"], "GUARD_STATE_UP")
        self.assert_refused(self.signal_sensor("KILL"))

    def test_what_was_detached_while_it_was_lowered_comes_back(self):
        self.lower("1h")
        self.assertEqual(self.inside(f"rm {PINS}/guard_bh_g_kill {PINS}/abi*/frames_bh_f_sendmsg")[0], 0)
        eventually("the programs are attached again", lambda: self.inside(f"ls {PINS}/guard_bh_g_kill {PINS}/abi*/frames_bh_f_sendmsg")[0] == 0)
        self.raise_again()
        self.assert_refused(self.signal_sensor("KILL"))

    def other_log(self):
        return self.inside("cat /root/other.log")[1]

    def give_code(self, code):
        return self.inside(f"echo '{code}' | bulkhead-sensor lower-guard --for 1h --state {STATE}")

    def test_offline_code_works_once(self):
        first = self.new_code()
        code = self.new_code()
        eventually("the code is reported", lambda: self.guard().get("hasCode"))
        self.assert_refused(self.give_code(WRONG_CODE), "not this host's code")
        self.assert_refused(self.give_code(first), "not this host's code")
        self.assert_refused(self.give_code("hello"), "a code has")
        self.assert_refused(self.signal_sensor("KILL"))
        status, output = self.give_code(code.replace("-", " ").lower())
        self.assertEqual(status, 0, output)
        self.assertIn("is down until", output)
        self.wait_for_guard("GUARD_STATE_LOWERED")
        self.assertFalse(self.guard().get("hasCode"))
        self.raise_again()
        self.assert_refused(self.give_code(code), "it was used")
        self.assert_refused(self.signal_sensor("KILL"))
        stored = json.loads(self.control_plane.ctl("audit", "list", "-o", "json"))
        self.assertNotIn(code, json.dumps(stored))

    def test_zz_uninstall_works_while_it_is_lowered(self):
        self.lower("1h")
        self.assertEqual(self.signal_sensor("TERM")[0], 0)
        eventually("the sensor ends", lambda: self.signal_sensor("0")[0] != 0)
        status, output = self.inside(f"bulkhead-sensor uninstall --state {STATE}")
        self.assertEqual(status, 0, output)
        self.assertNotEqual(self.inside(f"ls {PINS}")[0], 0)
        self.assertEqual(self.inside(f"rm -r {STATE} {PROGRAM}")[0], 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: (GuardTest.doClassCleanups(), sys.exit(1)))  # so that what was made is taken back
    KERNEL = sys.argv.pop()
    PROGRAMS = pathlib.Path(sys.argv.pop())
    LSM = LSM_WITHOUT_BPF if "--without-bpf-lsm" in sys.argv else LSM_WITH_BPF
    sys.argv = [argument for argument in sys.argv if argument != "--without-bpf-lsm"]
    unittest.main(verbosity=2)
