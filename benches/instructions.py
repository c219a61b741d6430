"""Instructions of the Rust core for each call, counted by callgrind, against a baseline that stands in git.

Noise does not move them, so more than 3 % above the baseline is a failure. Only what the program itself executes is
judged: the C library chooses its `memcpy` by the processor, so its part, which is shown too, differs from machine to
machine. With another compiler than the baseline's there is nothing to compare with. ``--renew`` writes a new baseline,
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
    """Instructions of a call by case: the program's own, and the C library's on its behalf."""

    rustc: str
    machine: str
    own: dict[str, float]
    libraries: dict[str, float]


def count() -> Counts:
    """Run every case under callgrind; a run of fewer calls is subtracted from one of more."""
    host = dict(line.split(": ", 1) for line in _output(["rustc", "-vV"]).splitlines() if ": " in line)
    counts = Counts(host["release"], host["host"], {}, {})
    for case in _output([str(PROGRAM)]).split():
        fewer, more = _instructions(case, CALLS), _instructions(case, 2 * CALLS)
        counts.own[case], counts.libraries[case] = ((more[n] - fewer[n]) / CALLS for n in (0, 1))
    return counts


def _instructions(case: str, calls: int) -> tuple[int, int]:
    """The program's own, and the libraries'."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder, "profile")
        options = ["--tool=callgrind", f"--callgrind-out-file={profile}"]
        _output(["valgrind", *options, str(PROGRAM), case, str(calls)])
        by_object = instructions_by_object(profile.read_text())
    own = by_object.pop(str(PROGRAM), 0)
    if not own:
        sys.exit(f"callgrind has counted nothing of {PROGRAM}, but of {', '.join(by_object)}")
    return own, sum(by_object.values())


def instructions_by_object(profile: str) -> dict[str, int]:
    """Self cost of each binary in a profile of callgrind; the format is in its manual, "Callgrind Format"."""
    names: dict[str, str] = {}
    found: dict[str, int] = {}
    current, inclusive = "", False
    for line in profile.splitlines():
        if line.startswith(("ob=", "cob=")):
            number, _, name = line.partition("=")[2].partition(" ")
            names.setdefault(number, name)
            if line.startswith("ob="):
                current = names[number]
        elif line.startswith("calls="):
            inclusive = True  # the next line is what the callee cost, which is counted where it stands
        elif cost := re.fullmatch(r"[+*-]?\d* (\d+)", line):
            if not inclusive:
                found[current] = found.get(current, 0) + int(cost[1])
            inclusive = False
    return found


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ours
    except FileNotFoundError:
        sys.exit(f"{command[0]} is missing: make valgrind, or install it")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(command)} failed:\n{error.stderr}")


def compare(now: Counts, before: Counts, tolerance: float = TOLERANCE) -> tuple[list[str], bool]:
    """A line for each case, and whether none needs too many instructions more than before."""
    lines, sound = [], True
    for case in sorted({*now.own, *before.own}):
        if case not in before.own or case not in now.own:
            lines.append(f"{case:28} is {'new' if case in now.own else 'gone'}: renew the baseline")
            sound = False
            continue
        change = now.own[case] / before.own[case] - 1
        too_many = change > tolerance
        sound = sound and not too_many
        verdict = "  TOO MANY" if too_many else "  fewer: renew the baseline" if change < -tolerance else ""
        lines.append(f"{case:28}{now.own[case]:12.0f}{change:+9.1%}{now.libraries[case]:10.0f} in libraries{verdict}")
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
