#!/usr/bin/env python3
"""Runs every row of the leak matrix in one environment and writes the results as JSON.

  run_matrix.py --agent build/dev/bin/leak_agent --environment scope --output leak-scope.json
  run_matrix.py --agent build/dev/bin/leak_agent --environment 6.12-nobpf --output leak-6.12-nobpf.json

Environments: scope (a cgroup on this machine), 6.1-bpf, 6.1-nobpf, 6.12-bpf, 6.12-nobpf (the whole host, in a guest); and two
yardsticks in place of Bulkhead, of which nothing is asked: 6.1-nftables, 6.1-connect-hook.
Exits with 1 when something arrived that known_leaks.json does not list, when something was cut that must pass, when a probe did
not get through unprotected or could not be prepared (then it proves nothing), or when a row did not run.
"""
import argparse
import fnmatch
import json
import pathlib
import platform
import signal
import sys
import time

from channels import agent_in_guest, agent_in_scope
from rows import ROWS

HERE = pathlib.Path(__file__).resolve().parent
ORDERS = ("contain", "isolate")
YARDSTICKS = ("6.1-nftables", "6.1-connect-hook")
ENVIRONMENTS = ("6.1-bpf", "6.1-nobpf", "6.12-bpf", "6.12-nobpf", "scope", *YARDSTICKS)
FIRST_PORT = 20000


class Run:
    """One environment's run: asks the agent to try and the judge what arrived."""

    def __init__(self, agent, judge, settle):
        self._agent, self._judge, self._settle = agent, judge, settle
        self._next_shot = 0

    def order(self, name):
        answer = self._agent.ask(f"order {name}")
        if answer != "ok":
            raise RuntimeError(f"the order '{name}' failed: {answer}")

    def phase(self, rows, order):
        """{row name: what arrived or None, what the attempt said, whether it was ready to be made} of these rows under one order.
        The order is lifted at the end."""
        shots, said = {}, {}
        for row in rows:
            self._next_shot += 1
            shots[row.name] = (FIRST_PORT + self._next_shot, f"LEAK{self._next_shot:08d}")
            said[row.name] = self._start(row, *shots[row.name])
        if order != "open":
            self.order(order)
            time.sleep(0.2)
        started = [row for row in rows if said[row.name] == "ok"]
        for row in started:
            said[row.name] = self._try(row, *shots[row.name])
        seen = self._wait_for_arrivals(started, hurry=order == "open")
        self.order("open")  # a wall refuses what a probe does to clean up, too
        for row in rows:
            self._agent.ask(f"stop {row.name}")
        self._judge.reset()
        for row in started:
            if row.delivered and said[row.name] == "ok":
                seen.setdefault(row.name, "delivered to the process")
        return {row.name: {"arrived": seen.get(row.name), "said": said[row.name], "ready": row in started} for row in rows}

    def _wait_for_arrivals(self, rows, hurry):
        """What the judge saw. In a hurry, only until everything came; else for as long as something may still be under way."""
        deadline = time.monotonic() + self._settle
        while time.monotonic() < deadline:
            if hurry and all(row.name in self._judge.seen() for row in rows):
                break
            time.sleep(0.1)
        return self._judge.seen()

    def _start(self, row, port, token):
        self._judge.expect(name=row.name, port=port, token=token + "-before")
        self._agent.send(f"start {row.name} {port} {token}-before")
        if row.peer_before:
            time.sleep(self._settle / 4)
            self._judge.act(what=row.peer_before, port=port, token=token + "-before")
        return self._agent.receive()

    def _try(self, row, port, token):
        self._judge.expect(name=row.name, port=port, token=token)
        self._agent.send(f"try {row.name} {port} {token}")
        if row.peer:
            self._judge.act(what=row.peer, port=port, token=token)
        return self._agent.receive()


def groups(rows):
    """The rows that may run together, then each that must be alone."""
    return [[row for row in rows if not row.alone], *([row] for row in rows if row.alone)]


def run_rows(run, rows):
    results = {row.name: {"title": row.title, "way": row.way} for row in rows}
    run.order("open")
    for order in ("open", *ORDERS):
        for group in groups(rows):
            for name, cell in run.phase(group, order).items():
                results[name][order] = cell
    return results


def problems_of(results, rows, environment, known):
    """What makes this run a failure, in words."""
    problems = []
    for row in rows:
        cells = results[row.name]
        if not cells["open"]["arrived"]:
            problems.append(f"{row.name}: did not arrive unprotected, so it proves nothing: {cells['open']['said']}")
            continue
        for order in () if environment in YARDSTICKS else ORDERS:
            arrived = cells[order]["arrived"]
            listed = is_known(known, row.name, order, environment)
            if not cells[order]["ready"]:
                problems.append(f"{row.name}: could not be prepared for '{order}', so it proves nothing: {cells[order]['said']}")
            elif order in row.must_pass:
                if not arrived:
                    problems.append(f"{row.name}: must pass under '{order}' and did not: {cells[order]['said']}")
            elif arrived and not listed and not (row.way == "in" and order == "contain"):
                problems.append(f"{row.name}: leaks under '{order}': {arrived}")
    return problems


def is_known(known, name, order, environment):
    return any(name in leak["rows"] and order in leak["orders"] and any(fnmatch.fnmatch(environment, e) for e in leak["environments"])
               for leak in known)


def present_rows(release):
    return [row for row in ROWS if not any(release.startswith(prefix) for prefix, _ in row.absent)]


def open_agent(arguments):
    if arguments.environment == "scope":
        return agent_in_scope(arguments.agent)
    kernel, _, kind = arguments.environment.partition("-")
    wall = kind if arguments.environment in YARDSTICKS else "bulkhead"
    return agent_in_guest(arguments.agent, arguments.kernels / kernel, kind == "bpf", wall)


def write(arguments, run):
    """A run of single rows keeps the others, and the problems that these had."""
    if arguments.row and arguments.output.exists():
        before = json.loads(arguments.output.read_text())
        run["rows"] = {**before["rows"], **run["rows"]}
        run["problems"] += [problem for problem in before["problems"] if problem.partition(":")[0] not in arguments.row]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(run, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", type=pathlib.Path, required=True)
    parser.add_argument("--environment", required=True, choices=ENVIRONMENTS)
    parser.add_argument("--kernels", type=pathlib.Path, default=HERE.parents[1] / "build/vm/kernels")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--row", action="append", default=[], help="only this row, tried anew and put into the --output that is there")
    arguments = parser.parse_args()
    scoped = arguments.environment == "scope"
    release = platform.release() if scoped else (arguments.kernels / arguments.environment.partition("-")[0] / "release").read_text().strip()
    rows = [row for row in present_rows(release) if not arguments.row or row.name in arguments.row]
    with open_agent(arguments) as (agent, judge):
        greeting = agent.receive()
        if greeting != "ready":
            raise RuntimeError(f"leak_agent: {greeting}")
        layers = agent.ask("layers")
        probes = agent.ask("probes").split()
        if sorted(probes) != sorted(row.name for row in ROWS):
            raise RuntimeError(f"leak_agent and rows.py disagree about: {set(probes) ^ {row.name for row in ROWS}}")
        results = run_rows(Run(agent, judge, 0.6 if scoped else 1.5), rows)
    known = json.loads((HERE / "known_leaks.json").read_text())
    problems = problems_of(results, rows, arguments.environment, known)
    write(arguments, {"environment": arguments.environment, "kernel": release, "layers": layers.split(), "problems": problems, "rows": results})
    print("\n".join(problems))
    print(f"{arguments.environment}: {len(rows)} rows under {len(ORDERS)} orders, {len(problems)} problems; layers: {layers}")
    return 1 if problems else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that namespaces, cgroup and QEMU are taken back
    sys.exit(main())
