#!/usr/bin/env python3
"""Runs one command inside a guest that boots a chosen Debian kernel.

  run_guest.py --kernel 6.12 --program build/dev/bin/kernel_test -- kernel_test --durations yes

Prints what the guest printed and exits with the command's status; 99 when the guest did not come up or finish, 98 when the log
does not show what --expect asks for, so that a suite that ran nothing is never taken for one that passed.
"""
import argparse
import pathlib
import re
import shlex
import signal
import sys

from guest import LSM_WITH_BPF, LSM_WITHOUT_BPF, Guest, GuestError, Options
from image import GuestImage, ImageError

KERNELS = pathlib.Path(__file__).resolve().parents[2] / "build/vm/kernels"
NOT_AS_EXPECTED, NO_GUEST = 98, 99


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", required=True, help="a directory of --kernels: 6.1 or 6.12")
    parser.add_argument("--kernels", type=pathlib.Path, default=KERNELS, help="where test/vm/kernels.sh put them")
    parser.add_argument("--without-bpf-lsm", action="store_true", help="boot with bpf missing from lsm=")
    parser.add_argument("--instruction-clock", action="store_true", help="a nanosecond in the guest is one instruction; for benches")
    parser.add_argument("--program", action="append", default=[], help="goes to /usr/local/bin with its libraries")
    parser.add_argument("--tree", action="append", default=[], metavar="SOURCE:DESTINATION", help="a file or a directory")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the command")
    parser.add_argument("--append", action="append", default=[], help="a kernel argument")
    parser.add_argument("--memory", type=int, default=1536, help="MiB")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for the guest's whole life")
    parser.add_argument("--expect", metavar="REGEX", help="must be found in the log")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def build_image(arguments):
    image = GuestImage(arguments.kernels / arguments.kernel)
    for program in arguments.program:
        image.add_program(program, f"/usr/local/bin/{pathlib.Path(program).name}")
    for tree in arguments.tree:
        source, _, destination = tree.partition(":")
        image.add_tree(source, destination)
    return image


def main():
    arguments = parse_arguments(sys.argv[1:])
    script = "".join(f"export {shlex.quote(name)}\n" for name in arguments.env) + shlex.join(arguments.command) + "\n"
    options = Options(kernel_directory=arguments.kernels / arguments.kernel, timeout=arguments.timeout, memory_mib=arguments.memory,
                      lsm=LSM_WITHOUT_BPF if arguments.without_bpf_lsm else LSM_WITH_BPF, kernel_arguments=tuple(arguments.append),
                      instruction_clock=arguments.instruction_clock)
    try:
        with Guest(build_image(arguments), script, options) as guest:
            result = guest.wait()
    except (GuestError, ImageError) as error:
        print(f"run_guest.py: kernel {arguments.kernel}: {error}")
        return NO_GUEST
    print(result.log)
    if result.status == 0 and arguments.expect and not re.search(arguments.expect, result.log):
        print(f"run_guest.py: the log holds nothing like '{arguments.expect}'")
        return NOT_AS_EXPECTED
    return result.status


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(NO_GUEST))  # so that QEMU ends too
    sys.exit(main())
