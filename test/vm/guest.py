"""Boots one kernel with one image under QEMU, runs one command in it and brings back its log and exit status."""
import dataclasses
import pathlib
import re
import subprocess
import tempfile

# Debian's default list, and the same without BPF LSM.
LSM_WITH_BPF = "landlock,lockdown,yama,integrity,apparmor,bpf"
LSM_WITHOUT_BPF = "landlock,lockdown,yama,integrity,apparmor"


class GuestError(Exception):
    """The guest did not come up, crashed, or did not finish in time. The message ends with what it printed."""


@dataclasses.dataclass
class Result:
    status: int  # what the command exited with
    log: str     # everything the guest printed


@dataclasses.dataclass
class Options:
    kernel_directory: pathlib.Path
    timeout: float                        # seconds for the whole life of the guest
    lsm: str = LSM_WITH_BPF
    memory_mib: int = 1536
    kernel_arguments: tuple = ()
    network: tuple = ()                   # QEMU options for network cards
    extra_serial: str = ""                # a QEMU character device for the guest's third serial port, /dev/ttyS2
    instruction_clock: bool = False       # a nanosecond in the guest is one instruction: figures that a busy machine does not change
    reboots: bool = False                 # a reboot is one, instead of the end of the guest
    namespace: str = ""                   # network namespace in which QEMU runs; needed for tap devices made there


def qemu_command(options, initramfs, console, status):
    """The argument list. Always emulated: where virtualization is nested, KVM may be offered and then never start a guest."""
    arguments = ["console=ttyS0", "panic=-1", "quiet", "loglevel=3", "mitigations=off", f"lsm={options.lsm}", *options.kernel_arguments]
    command = ["nsenter", f"--net=/run/netns/{options.namespace}"] if options.namespace else []
    # One thread for both processors: with a thread each, QEMU lets one run stale code while the kernel patches it for the other (seen
    # on 6.12 as an int3 oops in bpf_lsm_socket_sendmsg). Two processors still preempt each other anywhere.
    command += ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2",
                "-m", str(options.memory_mib), "-kernel", str(options.kernel_directory / "vmlinuz"), "-initrd", str(initramfs),
                "-append", " ".join(arguments), "-display", "none", "-monitor", "none",
                "-serial", f"file:{console}", "-serial", f"file:{status}"]
    if not options.reboots:
        command += ["-no-reboot"]
    if options.instruction_clock:
        command += ["-icount", "shift=0,sleep=off"]
    if options.extra_serial:
        command += ["-serial", options.extra_serial]
    return command + list(options.network or ("-nic", "none"))


class Guest:
    """A running guest; use it in a with statement, which ends QEMU in any case."""

    def __init__(self, image, command, options):
        image.add_file("guest/command", command)
        self._options = options
        self._directory = tempfile.TemporaryDirectory(prefix="bulkhead-guest-")
        directory = pathlib.Path(self._directory.name)
        self._console, self._status = directory / "console", directory / "status"
        initramfs = directory / "initramfs"
        initramfs.write_bytes(image.archive())
        self._qemu = subprocess.Popen(qemu_command(options, initramfs, self._console, self._status),
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._qemu.kill()
        self._qemu.communicate()
        self._directory.cleanup()

    def log(self):
        text = self._console.read_text(errors="replace") if self._console.exists() else ""
        return text.replace("\r\n", "\n")

    def is_running(self):
        return self._qemu.poll() is None

    def wait(self):
        """The command's result. Raises GuestError when there is none."""
        try:
            _, complaint = self._qemu.communicate(timeout=self._options.timeout)
        except subprocess.TimeoutExpired:
            raise GuestError(f"the guest did not finish within {self._options.timeout:g} s\n{self.log()}") from None
        reported = re.search(r"rc=(\d+)", self._status.read_text() if self._status.exists() else "")
        if reported is None:
            raise GuestError(f"the guest reported no exit status (QEMU: {self._qemu.returncode} {complaint.strip()})\n{self.log()}")
        return Result(int(reported.group(1)), self.log())
