#!/usr/bin/env python3
"""The whole of Bulkhead, host-wide: a guest is contained and isolated by orders of a control plane outside it.

  hostwide_test.py BIN_DIRECTORY KERNEL

The sensor in the guest has no scope. The control plane runs here, in a directory of its own, and is reached through QEMU's user
network. Commands go to the guest by a serial port, which no wall cuts.
"""
import base64
import json
import pathlib
import shlex
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from channel import Channel, connect_serial
from guest import Guest, Options
from image import GuestImage

HERE = pathlib.Path(__file__).resolve().parent
KERNELS = HERE.parents[1] / "build/vm/kernels"
OUTSIDE = "10.0.2.2"  # this machine, as QEMU's user network shows it to the guest
PATIENCE = "120s"

GUEST_SHELL = f"""
ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip route add default via {OUTSIDE}
stty -F /dev/ttyS2 raw -echo
exec 3<>/dev/ttyS2
echo ready >&3
while read -r line <&3; do
  [ "$line" = quit ] && exit 0
  bash -c "$line" >/tmp/output 2>&1 3>&-
  echo "$? $(base64 -w0 /tmp/output)" >&3
done
"""


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class ControlPlane:
    """bulkhead-controlplane on its embedded PostgreSQL, and bulkheadctl as its admin."""

    def __init__(self, programs, directory):
        self._programs, self._directory = programs, directory
        directory.chmod(0o755)  # PostgreSQL runs as its own user
        self.port = free_port()
        self._database = f"--postgres=embedded:{directory}/postgres"
        self._run("init")
        self._log = open(directory / "controlplane.log", "w", encoding="utf-8")
        self._server = subprocess.Popen(
            [programs / "bulkhead-controlplane", "serve", self._database, "--listen", f"127.0.0.1:{self.port}", "--server-name", OUTSIDE,
             "--server-name", "127.0.0.1", "--heartbeat-interval", "1s", "--state", directory / "state"], stderr=self._log, stdout=self._log)
        eventually("the control plane listens", lambda: socket.create_connection(("127.0.0.1", self.port)).close() or True)
        self._run("issue-operator", self._database, "--name", "admin", "--role", "admin", "--out", directory / "admin",
                  "--server", f"127.0.0.1:{self.port}")
        self.certificate = directory / "admin/ca.pem"

    def _run(self, *arguments):
        subprocess.run([self._programs / "bulkhead-controlplane", *arguments, "--state", self._directory / "state"], check=True)

    def ctl(self, *arguments):
        """bulkheadctl's standard output; fails when it fails."""
        done = subprocess.run([self._programs / "bulkheadctl", "--config", self._directory / "admin/config.yaml", *arguments],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"bulkheadctl {shlex.join(arguments)}: {done.returncode} {done.stderr}{done.stdout}")
        return done.stdout

    def sensor(self):
        return json.loads(self.ctl("sensor", "get", "guest", "-o", "json"))["sensor"]

    def token(self):
        self.ctl("token", "create", "--secret-file", str(self._directory / "token"))
        return (self._directory / "token").read_text().strip()

    def stop(self):
        self._server.terminate()
        self._server.wait(timeout=60)
        self._log.close()


def eventually(what, condition, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.2)


class HostwideTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="bulkhead-hostwide-")))
        cls.echo = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
        cls.echo.daemon_threads = True
        cls.addClassCleanup(cls.echo.server_close)
        threading.Thread(target=cls.echo.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.echo.shutdown)
        cls.echo_port = cls.echo.server_address[1]
        cls.control_plane = ControlPlane(PROGRAMS, scratch)
        cls.addClassCleanup(cls.control_plane.stop)
        cls.start_guest(scratch)
        cls.enroll()

    @classmethod
    def start_guest(cls, scratch):
        image = GuestImage(KERNELS / KERNEL)
        image.add_program(PROGRAMS / "bulkhead-sensor", "/usr/local/bin/bulkhead-sensor")
        image.add_file("root/ca.pem", cls.control_plane.certificate.read_bytes())
        cls.inbound_port = free_port()
        line = scratch / "serial"
        network = ("-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{cls.inbound_port}-:7", "-device", "virtio-net-pci,netdev=n0,romfile=")
        options = Options(kernel_directory=KERNELS / KERNEL, timeout=60, network=network, extra_serial=f"unix:{line},server=on,wait=off")
        cls.guest = cls.enterClassContext(Guest(image, GUEST_SHELL, options))
        serial = cls.enterClassContext(socket.socket(socket.AF_UNIX))
        connect_serial(serial, line)
        cls.channel = Channel(serial.fileno(), serial.fileno(), "the guest", 300)
        cls.channel.receive()

    @classmethod
    def inside(cls, command):
        """(exit status, output) of a bash command in the guest."""
        status, _, output = cls.channel.ask(command).partition(" ")
        return int(status), base64.b64decode(output).decode(errors="replace")

    @classmethod
    def enroll(cls):
        status, output = cls.inside(f"bulkhead-sensor enroll --control-plane {OUTSIDE}:{cls.control_plane.port} --ca /root/ca.pem "
                                    f"--token {cls.control_plane.token()} --name guest --state /root/state")
        assert status == 0, output
        cls.start_sensor()
        # From outside, through the guest's network card, to an echo service.
        cls.inside("setsid busybox nc -ll -p 7 -e cat </dev/null >/dev/null 2>&1 &")

    @classmethod
    def start_sensor(cls, cgroup="first"):
        cls.inside(f"mkdir -p /sys/fs/cgroup/{cgroup}; echo $$ > /sys/fs/cgroup/{cgroup}/cgroup.procs; "
                   "setsid bulkhead-sensor run --state /root/state </dev/null >>/root/sensor.log 2>&1 & echo $! > /root/sensor.pid")
        try:
            eventually("the sensor is connected", lambda: cls.control_plane.sensor().get("connected"))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{cls.inside('cat /root/sensor.log')[1]}") from None

    def tearDown(self):
        self.control_plane.ctl("sensor", "release", "guest", "--wait", "--timeout", PATIENCE)

    def order(self, verb, *arguments):
        self.control_plane.ctl("sensor", verb, "guest", *arguments, "--wait", "--timeout", PATIENCE)

    def connect_from_inside(self, port=None):
        return self.inside(f"exec 5<>/dev/tcp/{OUTSIDE}/{port or self.echo_port} && echo hello >&5 && timeout 5 head -n 1 <&5")

    def missing_mechanisms(self):
        return [m["name"] for m in self.control_plane.sensor()["capabilities"]["mechanisms"] if not m.get("available")]

    def hold(self, name):
        """Opens a connection to the echo service that waits for use()."""
        self.inside(f"(exec 5<>/dev/tcp/{OUTSIDE}/{self.echo_port}; touch /root/{name}.ready; "
                    f"until [ -e /root/{name}.go ]; do sleep 0.1; done; "
                    f"echo late >&5 && timeout 5 head -n 1 <&5; touch /root/{name}.end) >/root/{name} 2>&1 &")
        eventually(f"connection '{name}' is made", lambda: self.inside(f"ls /root/{name}.ready")[0] == 0)

    def use(self, name):
        """What a held connection brings back, or why it does not."""
        self.inside(f"touch /root/{name}.go")
        eventually(f"connection '{name}' was used", lambda: self.inside(f"ls /root/{name}.end")[0] == 0)
        return self.inside(f"cat /root/{name}")[1]

    def assert_open(self):
        self.assertEqual(self.connect_from_inside(), (0, "hello\n"))

    def assert_refused(self, answer):
        self.assertNotEqual(answer[0], 0)
        self.assertIn("Operation not permitted", answer[1])

    def answered_from_inside(self):
        """Whether a new connection from outside gets its echo back."""
        with socket.create_connection(("127.0.0.1", self.inbound_port)) as connection:
            connection.settimeout(5)
            connection.sendall(b"hello\n")
            try:
                return connection.recv(100) == b"hello\n"
            except OSError:
                return False

    def test_containment_cuts_what_goes_out_and_keeps_what_comes_in(self):
        self.assert_open()
        self.hold("before")
        self.assertEqual(self.use("before"), "late\n")
        self.hold("held")
        self.order("contain")
        self.assert_refused(self.connect_from_inside())
        self.assertNotEqual(self.inside(f"ping -c 1 -W 2 {OUTSIDE}")[0], 0)
        self.assertTrue(self.answered_from_inside())
        self.assertTrue(self.control_plane.sensor()["connected"])
        self.assertNotIn("late\n", self.use("held"))
        self.order("release")
        self.assert_open()

    def test_isolation_cuts_both_ways_but_for_the_sensor_and_the_rules(self):
        self.assertTrue(self.answered_from_inside())
        self.order("isolate")
        self.assert_refused(self.connect_from_inside())
        self.assert_refused(self.connect_from_inside(self.control_plane.port))
        self.assertFalse(self.answered_from_inside())
        self.assertTrue(self.control_plane.sensor()["connected"])
        self.check_rule_opens_and_closes()
        self.order("release")
        self.assert_open()
        self.assertTrue(self.answered_from_inside())

    def check_rule_opens_and_closes(self):
        rule = json.loads(self.control_plane.ctl("isolation-rule", "add", "--direction", "outbound", "--address", OUTSIDE, "--protocol", "tcp",
                                                 "--ports", str(self.echo_port), "--wait", "--timeout", PATIENCE, "-o", "json"))
        self.assert_open()
        self.control_plane.ctl("isolation-rule", "delete", rule["rule"]["id"], "--wait", "--timeout", PATIENCE)
        self.assert_refused(self.connect_from_inside())

    def test_wall_outlives_the_sensor_which_reconnects_through_it(self):
        missing = self.missing_mechanisms()
        self.order("isolate")
        self.assertEqual(self.inside("kill -9 $(cat /root/sensor.pid)")[0], 0)
        eventually("the control plane sees the sensor gone", lambda: not self.control_plane.sensor().get("connected"))
        self.assert_refused(self.connect_from_inside())
        self.start_sensor(cgroup="second")  # as systemd does: a service that starts again has a new one
        self.assert_refused(self.connect_from_inside())
        self.assertEqual(self.missing_mechanisms(), missing)
        self.order("release")
        self.assert_open()

    def test_binary_is_blocked_and_unblocked(self):
        self.inside("cp /usr/bin/true /root/tool")
        self.assertEqual(self.inside("/root/tool")[0], 0)
        self.order("block-binary", "/root/tool")
        self.assertNotEqual(self.inside("/root/tool")[0], 0)
        policies = json.loads(self.control_plane.ctl("policy", "list", "--sensor", "guest", "-o", "json"))["policies"]
        self.control_plane.ctl("policy", "delete", policies[0]["id"], "--wait", "--timeout", PATIENCE)
        self.assertEqual(self.inside("/root/tool")[0], 0)

    def test_process_is_killed(self):
        _, pid = self.inside("setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!")
        self.order("kill", pid.strip())
        self.assertNotEqual(self.inside(f"kill -0 {pid.strip()}")[0], 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is taken back
    KERNEL = sys.argv.pop()
    PROGRAMS = pathlib.Path(sys.argv.pop())
    unittest.main(verbosity=2)
