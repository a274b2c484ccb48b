#!/usr/bin/env python3
"""Runs every route of the exec matrix in one environment and writes the results as JSON.

  run_exec_matrix.py --agent build/dev/bin/exec_agent --victims build/dev/leak/victims --environment 6.12-bpf --output exec-6.12-bpf.json

Environments: scope (a cgroup on this machine), 6.1-bpf, 6.1-nobpf, 6.12-bpf, 6.12-nobpf (the whole host, in a guest).
Exits with 1 when a blocked file ran by a route that known_execs.json does not list, when a route did not run unprotected (then it
proves nothing) and is not listed as one that this kernel lacks (order "open"), or when one is missing. What the yardstick lets run
(order "hook") is no problem.

--only tries single routes anew and puts them into the --output that is there.
"""
import argparse
import fnmatch
import json
import pathlib
import platform
import shlex
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "vm"))
from guest import LSM_WITH_BPF, LSM_WITHOUT_BPF, Guest, Options  # noqa: E402
from image import GuestImage  # noqa: E402

FEWEST_ROUTES = 100
GUEST_SECONDS = 1700
# What the routes run besides the victims.
PROGRAMS = ("/usr/bin/perl", "/usr/bin/getent", "/usr/bin/iconv", "/usr/sbin/mkfs.ext4", "/usr/sbin/mkfs.btrfs", "/usr/bin/mksquashfs")


def agent_options(arguments):
    return [option for name in arguments.only for option in ("--only", name)]


def run_in_scope(arguments):
    command = [arguments.agent, "--victims", arguments.victims, "--scoped", *agent_options(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    return done.returncode, done.stdout + done.stderr


def run_in_guest(arguments, kernel, lsm):
    image = GuestImage(arguments.kernels / kernel)
    image.add_program(arguments.agent, "/usr/local/bin/exec_agent")
    for program in PROGRAMS:
        image.add_program(program)
    image.add_tree(arguments.victims, "victims")
    options = Options(kernel_directory=arguments.kernels / kernel, timeout=GUEST_SECONDS, memory_mib=1536,
                      lsm=LSM_WITH_BPF if lsm == "bpf" else LSM_WITHOUT_BPF, kernel_arguments=())
    with Guest(image, shlex.join(["exec_agent", "--victims", "/victims", *agent_options(arguments)]) + "\n", options) as guest:
        result = guest.wait()
    return result.status, result.log


def read_log(log):
    """(layers, {route: {"title": …, order: {"ran": …, "said": …}}}) from what exec_agent printed."""
    layers, rows = [], {}
    for line in log.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "LAYERS":
            layers = rest.split()
        elif kind == "EXEC":
            one = json.loads(rest)
            rows.setdefault(one["name"], {"title": one["title"]})[one["order"]] = {"ran": one["ran"], "said": one["said"]}
    return layers, rows


def orders_of(cells):
    return [order for order in ("path", "content") if order in cells]


def was_tried(cells):
    """Only what ran unprotected shows anything."""
    return cells["open"]["ran"]


def is_known(known, name, order, environment):
    return any(name in entry["rows"] and order in entry["orders"] and any(fnmatch.fnmatch(environment, e) for e in entry["environments"])
               for entry in known)


def problems_of(rows, environment, known):
    if len(rows) < FEWEST_ROUTES:
        yield f"only {len(rows)} routes were tried"
    for name, cells in rows.items():
        if not was_tried(cells):
            if is_known(known, name, "open", environment):
                continue
            yield f"{name}: did not run unprotected, so it proves nothing: {cells['open']['said']}"
        for order in orders_of(cells):
            if cells[order]["ran"] and not is_known(known, name, order, environment):
                yield f"{name}: the file blocked by {order} ran"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", type=pathlib.Path, required=True)
    parser.add_argument("--victims", type=pathlib.Path, required=True)
    parser.add_argument("--environment", required=True, choices=["scope", "6.1-bpf", "6.1-nobpf", "6.12-bpf", "6.12-nobpf"])
    parser.add_argument("--kernels", type=pathlib.Path, default=HERE.parents[1] / "build/vm/kernels")
    parser.add_argument("--only", action="append", default=[], metavar="ROUTE", help="by its name; may be given again")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    kernel, _, lsm = arguments.environment.partition("-")
    scoped = arguments.environment == "scope"
    status, log = run_in_scope(arguments) if scoped else run_in_guest(arguments, kernel, lsm)
    release = platform.release() if scoped else (arguments.kernels / kernel / "release").read_text().strip()
    layers, rows = read_log(log)
    if arguments.only:
        rows = {**json.loads(arguments.output.read_text())["execs"], **rows}
    problems = list(problems_of(rows, arguments.environment, json.loads((HERE / "known_execs.json").read_text())))
    if status != 0:
        problems.append(f"exec_agent ended with {status}: {log[-2000:]}")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({"environment": arguments.environment, "kernel": release, "layers": layers, "problems": problems,
                                            "execs": rows}, indent=1) + "\n")
    print("\n".join(problems))
    print(f"{arguments.environment}: {len(rows)} routes, {len(problems)} problems; layers: {' '.join(layers)}")
    return 1 if problems else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that QEMU is taken back
    sys.exit(main())
