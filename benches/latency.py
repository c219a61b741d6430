"""From `send_audio` to the kernel: how long a chunk takes with 1, 100 and 300 sessions on one loop.

And how long a callback keeps the loop busy. Sessions have tasks of their own, with the phases of independent calls;
audio comes down meanwhile, as in the duplex, and everything is checked. Linux only, as the kernel is asked.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from rig import goals, processes, wire
from rig.statistics import Spread

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)
JUDGED = 100
"""The number of sessions that the goals are about."""


class Length(NamedTuple):
    """Of a measurement."""

    chunks: int
    rounds: int


def percentiles(values: list[float]) -> dict[str, float]:
    """Of many values; the last is the largest."""
    thousandths = statistics.quantiles(values, n=1_000, method="inclusive")
    return {f"{p:g}": max(values) if p == 100 else thousandths[round(10 * p) - 1] for p in PERCENTILES}


def measure(name: str, sessions: int, length: Length, where: tuple[int, Path]) -> list[dict[str, Any]]:
    """Slices of a probe, without a first one for warming up.

    Raises:
        SystemExit: something was wrong with what it sent or got.
    """
    with processes.contender(name, sessions, *where) as client:
        client.read()
        client.ask(min(length.chunks, 50))
        answers = [client.ask(length.chunks) for _ in range(length.rounds)]
    for answer in answers:
        if answer["errors"] or answer["heard"] != sessions * length.chunks // wire.CHUNKS_PER_MESSAGE:
            sys.exit(f"{name}, {sessions} sessions: {answer['heard']} messages heard; {answer['errors']}")
    return answers


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sessions", default="1,100,300", help="numbers of sessions (%(default)s)")
    arguments.add_argument("--seconds", type=float, default=3.0, help="length of a slice (%(default)s)")
    arguments.add_argument("--rounds", type=int, default=3, help="slices of each (%(default)s)")
    arguments.add_argument("--loop", default="fast", choices=["stock", "fast", "uvloop"], help="(%(default)s)")
    arguments.add_argument("--json", type=Path, help="write the figures there")
    given = arguments.parse_args()
    if sys.platform != "linux":
        sys.exit("latency: only Linux says what it has been handed (TCP_INFO)")
    length = Length(2 * max(1, round(given.seconds / wire.MESSAGE_S)), given.rounds)
    details: dict[str, Any] = {}
    found: dict[str, Spread] = {}
    print(f"{'µs':34}" + "".join(f"{'p' + format(p, 'g') if p < 100 else 'max':>9}" for p in PERCENTILES))
    with tempfile.TemporaryDirectory() as folder:
        ca_file = Path(folder, "ca.pem")
        with processes.server(ca_file, phases=40) as server:
            where = (server.read()["port"], ca_file)
            for sessions in map(int, given.sessions.split(",")):
                timed = measure(f"probe-task-{given.loop}", sessions, length, where)
                alike = "stock" if given.loop == "uvloop" else given.loop  # uvloop cannot be looked into
                observed = measure(f"probe-timed-{alike}", sessions, length, where)
                rows = {
                    "send_audio to kernel": [us for answer in timed for us in answer["call_us"]],
                    "due time to call of send_audio": [us for answer in timed for us in answer["late_us"]],
                }
                shown = {title: percentiles(values) for title, values in rows.items()}
                callbacks = [us for answer in observed for us in answer["callbacks_us"]]
                shown["one callback of the loop"] = percentiles(callbacks)
                collections = [us for answer in observed for us in answer["collections_us"]]
                shown["one garbage collection"] = {"100": max(collections, default=0.0)}
                details[str(sessions)] = shown
                for title, row in shown.items():
                    figures = "".join(f"{row.get(format(p, 'g'), float('nan')):9.0f}" for p in PERCENTILES)
                    print(f"{sessions:>3} {title:30}{figures.replace('nan', '   ')}")
                if sessions == JUDGED:
                    slices = [percentiles(answer["call_us"])["99"] / 1e3 for answer in timed]
                    found["latency"] = Spread.of(slices)
                    found["blocked"] = Spread.of([max(answer["callbacks_us"]) / 1e3 for answer in observed])
            account = server.ask()
            if any(one["wrong"] for one in account.values()):
                sys.exit(f"the server: {account}")
    if given.json:
        goals.write(given.json, found, {"percentiles_us": details, "loop": given.loop})


if __name__ == "__main__":
    main()
