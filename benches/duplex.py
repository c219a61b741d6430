"""Sessions per core over TLS: 50 chunks a second up and 25 messages a second down on each, every one of them checked.

Contenders take turns in one run, a slice of a second each, with the order rotated from round to round; the server runs
on the other core. What counts is the CPU time of the contender's process for a second of a session, and of that only
ratios: the median over the rounds of the ratio within a round. benches/README.md has the method.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rig import goals, processes, wire
from rig.client import stack
from rig.statistics import Spread, ratios

CONTENDERS = (
    "raw-push-stock",
    "raw-push-fast",
    "raw-push-uvloop",
    "raw-task-stock",
    "raw-task-fast",
    "raw-task-uvloop",
    "ours-push-stock",
    "ours-push-fast",
    "ours-push-uvloop",
    "ours-task-stock",
    "ours-task-fast",
    "ours-task-uvloop",
    "aiohttp-push-stock",
    "aiohttp-task-stock",
    "official-task-stock",
    "rust-push-tokio",
    "rust-task-tokio",
)
LATE = 0.1
"""If more than this share of its chunks is late, a contender has not kept up."""
ARRIVAL_S = 5.0
"""How long the last chunks may take to be counted by the server."""


class Duplex:
    """A run: per contender the CPU time in µs for a second of a session, round by round, and what went wrong."""

    def __init__(self, sessions: int, seconds: float) -> None:
        self.sessions = sessions
        self.chunks = 2 * max(1, round(seconds / wire.MESSAGE_S))  # whole messages
        self.costs: dict[str, list[float]] = {}
        self.opened: dict[str, int] = {}
        self.late: dict[str, list[float]] = {}
        self.errors: list[str] = []

    def run(self, names: list[str], rounds: int, phases: int) -> None:
        """Measure. The first round, in which everything is done for the first time, is dropped."""
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            ca_file = Path(folder, "ca.pem")
            server = stack.enter_context(processes.server(ca_file, phases))
            port = server.read()["port"]
            clients = {}
            for name in names:
                client = stack.enter_context(processes.contender(name, self.sessions, port, ca_file))
                self.opened[name] = client.read()["open"]
                clients[name] = client
            arrived = dict.fromkeys(names, 0)
            for number in range(rounds + 1):
                turn = number % len(names)
                for name in [*names[turn:], *names[:turn]]:
                    answer = clients[name].ask(self.chunks)
                    arrived[name] += self.chunks * self.opened[name]
                    self._check(name, answer, self._account(server, name, arrived[name]), arrived[name])
                    if number:
                        self._note(name, answer)
                print(f"round {number} of {rounds}", file=sys.stderr, flush=True)

    def _account(self, server: processes.Child, name: str, expected: int) -> dict[str, Any]:
        give_up_at = time.monotonic() + ARRIVAL_S
        while True:
            account: dict[str, Any] = server.ask().get(name, {"received": 0, "wrong": 0, "errors": []})
            if account["received"] >= expected or account["wrong"] or time.monotonic() > give_up_at:
                return account
            time.sleep(0.01)

    def _check(self, name: str, client: dict[str, Any], server: dict[str, Any], expected: int) -> None:
        heard = self.opened[name] * self.chunks // wire.CHUNKS_PER_MESSAGE
        found = [
            *(f"the server: {error}" for error in server["errors"]),
            *(f"the client: {error}" for error in client["errors"]),
        ]
        if server["received"] != expected:
            found.append(f"the server got {server['received']} chunks, not {expected}")
        if client["heard"] != heard:
            found.append(f"the client got {client['heard']} messages in a slice, not {heard}")
        self.errors += [line for line in (f"{name}: {one}" for one in found) if line not in self.errors]

    def _note(self, name: str, answer: dict[str, Any]) -> None:
        session_seconds = self.opened[name] * self.chunks * wire.CHUNK_S
        self.costs.setdefault(name, []).append(1e6 * answer["cpu_s"] / session_seconds)
        self.late.setdefault(name, []).append(answer.get("late", 0.0))

    def kept_up(self, name: str) -> bool:
        """Whether it was in time in most slices; late chunks go out in bursts, which are cheaper."""
        return statistics.median(self.late[name]) < LATE

    def ratio(self, above: str, below: str) -> Spread | None:
        """How many times the one costs what the other does."""
        if above not in self.costs or below not in self.costs:
            return None
        return ratios(self.costs[above], self.costs[below])


def table(run: Duplex) -> str:
    """For a reader: one line for each contender."""
    lines = [f"{'contender':24}{'sessions':>9}{'µs per session-second':>32}{'per core':>10}"]
    for name, costs in run.costs.items():
        cost = Spread.of(costs)
        spread = f"{cost.median:.0f} ({cost.low:.0f} to {cost.high:.0f})"
        late = "  did not keep up" if not run.kept_up(name) else ""
        lines.append(f"{name:24}{run.opened[name]:>9}{spread:>32}{1e6 / cost.median:>10.0f}{late}")
    return "\n".join(lines)


def headline(run: Duplex) -> dict[str, dict[str, Spread]]:
    """The ratios that the goals are about, by name and pacing: we with `[fast]` on asyncio, the others as they come.

    Pushing from one tick is a matter of our interface, so the others run as their documentation has it, with a task for
    each session. Only the raw transport and the Rust crate are paced as we are.
    """
    found: dict[str, dict[str, Spread]] = {}
    for pacing in ("push", "task"):
        ours = f"ours-{pacing}-fast"
        pairs = {
            "cpu_vs_rust_crate": (ours, f"rust-{pacing}-tokio"),
            "ratio_vs_aiohttp_paced_alike": (f"aiohttp-{pacing}-stock", ours),
            "ratio_vs_official_sdk": ("official-task-stock", ours),
            "ratio_vs_aiohttp": ("aiohttp-task-stock", ours),
            "cpu_vs_raw_transport": (ours, f"raw-{pacing}-fast"),
        }
        for title, (above, below) in pairs.items():
            if (ratio := run.ratio(above, below)) is not None:
                found.setdefault(title, {})[pacing] = ratio
    return {title: found[title] for title in pairs if title in found}  # in this order, whoever took part


GOAL_OF = {
    "ratio_vs_official_sdk": "official",
    "ratio_vs_aiohttp": "aiohttp",
    "cpu_vs_raw_transport": "raw",
    "cpu_vs_rust_crate": "crate",
}


def keep(run: Duplex, found: dict[str, dict[str, Spread]], phases: int, path: Path) -> None:
    """Write the figures of each round, and the goals among the ratios."""
    reached = {
        f"{goal}_{pacing}": ratio for title, goal in GOAL_OF.items() for pacing, ratio in found.get(title, {}).items()
    }
    details = {
        "sessions": run.opened,
        "chunks": run.chunks,
        "phases": phases,
        "us_per_session_second": run.costs,
        "did_not_keep_up": [name for name in run.costs if not run.kept_up(name)],
        "errors": run.errors,
    }
    goals.write(path, reached, details)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sessions", type=int, default=100, help="so many at the same time (%(default)s)")
    arguments.add_argument("--seconds", type=float, default=1.0, help="length of a slice (%(default)s)")
    arguments.add_argument("--rounds", type=int, default=9, help="slices of each, but for the warm-up (%(default)s)")
    arguments.add_argument("--phases", type=int, default=40, help="moments of the 40 ms to speak at (%(default)s)")
    arguments.add_argument(
        "--contenders",
        default=",".join(CONTENDERS),
        metavar="STACK-PACING-LOOP,…",
        help="stacks raw, ours, aiohttp, official, rust; pacings push, task; loops stock, fast, uvloop, bare; "
        "rust has tokio; by default %(default)s",
    )
    arguments.add_argument("--json", type=Path, help="write the figures of each round there")
    given = arguments.parse_args()
    if given.sessions < 1 or given.rounds < 1 or given.phases < 1 or not given.seconds > 0:
        arguments.error("sessions, rounds, phases and seconds must be above 0")
    names = given.contenders.split(",")
    for name in names:
        try:
            stack(name)
        except ValueError as error:
            arguments.error(str(error))
    native = [name for name in names if name.startswith("rust-")]
    if native and not processes.NATIVE.exists():
        print(f"left out, as `make bench` has not built it: {', '.join(native)}", file=sys.stderr)
        names = [name for name in names if name not in native]
    run = Duplex(given.sessions, given.seconds)
    run.run(names, given.rounds, given.phases)
    found = headline(run)
    if given.json:
        keep(run, found, given.phases, given.json)
    print(table(run))
    if late := [name for name in run.costs if not run.kept_up(name)]:
        print(f"another program wanted the core: much was late, and the ratios are squeezed, for {', '.join(late)}")
    for error in run.errors:
        print(f"wrong: {error}")
    print()
    for title, by_pacing in found.items():
        print(f"{title}={', '.join(f'{ratio} ({pacing})' for pacing, ratio in by_pacing.items())}")
    return 1 if run.errors else 0


if __name__ == "__main__":
    sys.exit(main())
