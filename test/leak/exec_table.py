"""The exec matrix as a section of docs/leak-matrix.md."""
import json
import pathlib

from run_exec_matrix import is_known, was_tried

HERE = pathlib.Path(__file__).resolve().parent
HEADING = "# The exec matrix"

INTRODUCTION = f"""{HEADING}

Each row is one way to run a blocked file, tried by **root** and judged by whether the file's own code ran: its first act is to write
a token. Every way was first shown to run unprotected in the same run. The block is the sensor's own datapath, action DENY. One run
for each cell; the raced rows try 300 times.

* **path**: blocked by its path, from which the sensor finds identity and content. **content**: blocked by SHA-256 alone, where the
  kernel can hash (`exec_digest`). **hook**: the yardstick instead of Bulkhead: the path that `sys_execve` was given is compared and
  the caller killed, by a kprobe, in the scope by a tracepoint. Environments as above.
* **EPERM**: refused before it ran. **killed**: killed before its first instruction, by a kernel that cannot refuse. **stopped**: it did not
  run, and the way ended otherwise (a child was stopped, a loader gave up). **runs**: its code ran. `-`: not tried there: this kernel lacks it
  (below), or it would change the whole machine and there is only a scope (the kernel's own helpers, its formats).
"""


def cell(result, order):
    if result is None or order not in result or not was_tried(result):
        return "-"
    if result[order]["ran"]:
        return "**runs**"
    said = result[order]["said"]
    return said if said in ("EPERM", "killed") else "stopped"


def columns(runs):
    """The yardstick's last."""
    shown = [(run, order) for run in runs for order in ("path", "content", "hook") if any(order in row for row in run["execs"].values())]
    return sorted(shown, key=lambda column: column[1] == "hook")


def titles(runs):
    names = {}
    for run in runs:
        for name, row in run["execs"].items():
            names.setdefault(name, row["title"])
    return names


def lines(runs):
    names = titles(runs)
    yield INTRODUCTION
    for run, order in columns(runs):
        cells = [cell(run["execs"].get(name), order) for name in names]
        tried = sum(c != "-" for c in cells)
        yield f"* {run['environment']} ({run['kernel']}), {order}: {cells.count('**runs**')} of {tried} ways run it."
    yield ""
    for run in runs:
        carried = [layer for layer in run["layers"] if "exec" in layer or "bprm" in layer or "mmap" in layer]
        yield f"* Layers for binaries on {run['environment']}: {', '.join(carried)}."
    yield ""
    yield "| way | " + " | ".join(f"{run['environment']} {order}" for run, order in columns(runs)) + " |"
    yield "|---|" + "---|" * len(columns(runs))
    for name, title in names.items():
        yield f"| {title} | " + " | ".join(cell(run["execs"].get(name), order) for run, order in columns(runs)) + " |"
    yield "\n## Why something runs\n"
    yield from reasons(runs, names)


def reasons(runs, names):
    """Only the known ones that these runs show; then what could not be tried."""
    known = json.loads((HERE / "known_execs.json").read_text())
    yield from told(runs, names, known, ("path", "content"), lambda cells, order: was_tried(cells) and cells[order]["ran"]) or ["Nothing does."]
    missing = told(runs, names, known, ("open",), lambda cells, _: not was_tried(cells))
    if missing:
        yield "\n## What a kernel lacks\n"
        yield from missing


def told(runs, names, known, orders, applies):
    """A line for each known entry that applies to one of these orders in one of these runs."""
    found = []
    for entry in known:
        shown = [(run, name) for run in runs for name in entry["rows"] for order in orders if order in run["execs"].get(name, {})
                 if is_known([entry], name, order, run["environment"]) and applies(run["execs"][name], order)]
        if shown:
            ways = [title for name, title in names.items() if name in {name for _, name in shown}]
            where = sorted({run["environment"] for run, _ in shown})
            found.append(f"* {'; '.join(ways)} ({', '.join(where)}): {entry['because']}")
    return found
