#!/usr/bin/env python3
"""Shows that a guest is what the suites take it for, and that a guest which fails is never taken for one that passed."""
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
KERNEL = sys.argv.pop()

# Each line is one thing that the suites rely on; the first that is not so ends the command with another status than 7.
FACTS = """
set -e
[ "$GREETING" = "two words" ]
grep -q 'cgroup2 /sys/fs/cgroup cgroup2' /proc/mounts
mkdir /sys/fs/cgroup/made && echo 0 > /sys/fs/cgroup/made/cgroup.procs
grep -q 'bpf /sys/fs/bpf bpf' /proc/mounts
grep -q /sys/kernel/tracing /proc/mounts
! grep -q bpf /sys/kernel/security/lsm
ip link add left type veth peer name right
ip netns add other && ip link set right netns other
ip link add m0 link left type macvlan
unshare --net nft list ruleset
ping -c 1 127.0.0.1
ss -tan
cp /usr/bin/true /root/copy && /root/copy
[ -c /dev/net/tun ]
[ -x /usr/local/bin/guest_test.py ]
[ "$(wc -l < /given/modules.txt)" -gt 10 ]
echo all facts hold
exit 7
"""


def run_guest(*arguments):
    return subprocess.run([sys.executable, "-B", str(HERE / "run_guest.py"), "--kernel", KERNEL, *arguments],
                          capture_output=True, text=True)


class GuestTest(unittest.TestCase):
    def test_command_sees_what_suites_rely_on_and_its_status_comes_back(self):
        done = run_guest("--without-bpf-lsm", "--env", "GREETING=two words", "--program", str(HERE / "guest_test.py"),
                         "--tree", f"{HERE}/modules.txt:given/modules.txt", "--timeout", "120", "--", "sh", "-c", FACTS)
        self.assertEqual(done.returncode, 7, done.stdout + done.stderr)
        self.assertIn("all facts hold", done.stdout)
        self.assertIn(f"guest: {KERNEL}.", done.stdout)

    def test_success_without_the_expected_words_is_a_failure(self):
        done = run_guest("--expect", r"All tests passed \([1-9]", "--timeout", "120", "--", "true")
        self.assertEqual(done.returncode, 98, done.stdout)
        self.assertRegex(done.stdout, r"lsm=.*\bbpf\b")

    def test_guest_that_crashes_is_a_failure(self):
        done = run_guest("--timeout", "120", "--", "sh", "-c", "echo c > /proc/sysrq-trigger")
        self.assertEqual(done.returncode, 99, done.stdout)
        self.assertIn("no exit status", done.stdout)

    def test_guest_that_does_not_end_in_time_is_a_failure(self):
        done = run_guest("--timeout", "1", "--", "true")
        self.assertEqual(done.returncode, 99, done.stdout)
        self.assertIn("did not finish within 1 s", done.stdout)

    def test_missing_program_is_a_failure(self):
        done = run_guest("--program", "/no/such/program", "--", "true")
        self.assertEqual(done.returncode, 99, done.stdout)
        self.assertIn("/no/such/program is not there", done.stdout)


if __name__ == "__main__":
    unittest.main()
