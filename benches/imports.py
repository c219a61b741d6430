"""What it costs to import the package, against the official SDK: CPU time of fresh interpreters, in turn."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from rig import goals
from rig.statistics import Spread, ratios

CONTENDERS = {"nothing": "pass", "gemini_live": "import gemini_live", "google.genai": "from google import genai"}


def cpu_s(statement: str) -> float:
    """Of an interpreter that does this and ends, user and system together.

    Raises:
        SystemExit: it failed.
    """
    process = subprocess.Popen([sys.executable, "-c", statement])  # noqa: S603 - ours
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    if process.returncode:
        sys.exit(f"{statement!r} failed")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7, help="imports of each (%(default)s)")
    arguments.add_argument("--json", type=Path, help="write the figures there")
    given = arguments.parse_args()
    for statement in CONTENDERS.values():
        cpu_s(statement)  # the files come from memory from now on
    costs: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(given.rounds):
        for name, statement in CONTENDERS.items():
            costs[name].append(cpu_s(statement))
    # the interpreter's own start is nobody's merit
    ours, official = (
        [cost - start for cost, start in zip(costs[name], costs["nothing"], strict=True)]
        for name in ("gemini_live", "google.genai")
    )
    ratio = ratios(ours, official)
    print(f"import time, gemini_live / google.genai: {ratio}")
    if given.json:
        milliseconds = {name: [1e3 * cost for cost in all_costs] for name, all_costs in costs.items()}
        goals.write(given.json, {"import_time": ratio}, {"cpu_ms": milliseconds, "spread": Spread.of(ours)._asdict()})


if __name__ == "__main__":
    main()
