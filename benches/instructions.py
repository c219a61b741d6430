"""Instructions of the Rust core for each call, counted by callgrind, against a baseline that stands in git.

Noise does not move them, so more than 3 % above the baseline is a failure. They depend on the compiler and on the
processor's features, so with others than the baseline's there is nothing to compare with; ``--renew`` writes a new one,
which belongs into the commit that explains the difference.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from rig import processes

PROGRAM = processes.NATIVE.with_name("instructions")
BASELINE = processes.BENCHES / "rust" / "instructions.json"
CALLS = 1_000
TOLERANCE = 0.03


class Counts(NamedTuple):
    """Instructions by case, and what they depend on."""

    rustc: str
    machine: str
    by_case: dict[str, float]


def count() -> Counts:
    """Run every case under callgrind; a run of fewer calls is subtracted from one of more."""
    cases = _output([str(PROGRAM)]).split()
    host = dict(line.split(": ", 1) for line in _output(["rustc", "-vV"]).splitlines() if ": " in line)
    by_case = {case: (_instructions(case, 2 * CALLS) - _instructions(case, CALLS)) / CALLS for case in cases}
    return Counts(f"{host['release']} ({host['commit-hash'][:9]})", host["host"], by_case)


def _instructions(case: str, calls: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        told = subprocess.run(  # noqa: S603 - ours
            ["valgrind", *options, str(PROGRAM), case, str(calls)],  # noqa: S607 - of whoever runs this
            check=True,
            capture_output=True,
            text=True,
        ).stderr
    found = re.search(r"Collected : (\d+)", told)
    if found is None:
        sys.exit(f"callgrind has counted nothing:\n{told}")
    return int(found[1])


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ours


def compare(now: Counts, before: Counts, tolerance: float = TOLERANCE) -> tuple[list[str], bool]:
    """A line for each case, and whether none needs too many instructions more than before."""
    lines, sound = [], True
    for case in sorted({*now.by_case, *before.by_case}):
        if case not in before.by_case or case not in now.by_case:
            lines.append(f"{case:28} is {'new' if case in now.by_case else 'gone'}: renew the baseline")
            sound = False
            continue
        change = now.by_case[case] / before.by_case[case] - 1
        too_many = change > tolerance
        sound = sound and not too_many
        verdict = "  TOO MANY" if too_many else "  fewer: renew the baseline" if change < -tolerance else ""
        lines.append(f"{case:28}{now.by_case[case]:12.0f}{change:+9.1%}{verdict}")
    return lines, sound


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--renew", action="store_true", help="write the baseline")
    arguments.add_argument("--json", type=Path, help="write the counts there")
    given = arguments.parse_args()
    now = count()
    told = json.dumps(now._asdict(), indent=1) + "\n"
    if given.json:
        given.json.write_text(told)
    if given.renew:
        BASELINE.write_text(told)
        print(f"written: {BASELINE}")
        return 0
    before = Counts(**json.loads(BASELINE.read_text()))
    lines, sound = compare(now, before)
    print("\n".join(lines))
    if (now.rustc, now.machine) != (before.rustc, before.machine):
        print(f"not judged: the baseline is of rustc {before.rustc} on {before.machine}, this is {now.rustc}")
        return 0
    if not sound:
        print("if that is meant: make instructions-renew, and say why in the commit")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
