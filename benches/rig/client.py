"""One contender in a process of its own: opens its sessions, then runs a slice for each line on stdin.

``python -m rig.client NAME --sessions N --port P --ca-file F`` prints ``{"open": N}``. A line with a number
of chunks runs a slice and is answered by its CPU time and by what the sessions heard; the end of stdin ends it. A
process for each contender, because garbage collection, the allocator and imported modules would otherwise be shared,
and for the whole run rather than for each slice, so that slices can be short and many, and take turns quickly.
"""

import argparse
import asyncio
import importlib
import json
import sys
import time
from typing import Any

from rig.contenders import Contender, Place, sessions_that_fit

STACKS = {
    "raw": "raw.Raw",
    "broken": "raw.Broken",
    "ours": "ours.Ours",
    "aiohttp": "aiohttp.Aiohttp",
    "official": "official.Official",
    "rust": "native.Native",
    "probe": "probe.Probe",
}
_AT_ONCE = 10
"""So many sessions are opened at the same time; handshakes are no part of what is measured."""


def stack(name: str) -> type[Contender]:
    """The class behind ``stack-pacing-loop``.

    Raises:
        ValueError: there is none.
    """
    first, pacing, loop = (*name.split("-"), "", "")[:3]
    if first not in STACKS or name.count("-") != 2:
        raise ValueError(f"no contender {name!r}: it is stack-pacing-loop, with a stack of {', '.join(STACKS)}")
    module, kind = STACKS[first].split(".")
    found = getattr(importlib.import_module(f"rig.contenders.{module}"), kind)
    if pacing not in found.pacings or loop not in found.loops:
        raise ValueError(
            f"no contender {name!r}: {first} has the pacings {', '.join(found.pacings)} "
            f"and the loops {', '.join(found.loops)}"
        )
    return found


async def serve(contender: Contender) -> None:
    """Open, then run slices until stdin ends."""
    for first in range(0, contender.sessions, _AT_ONCE):
        await asyncio.gather(*(_open(contender, n) for n in range(first, min(first + _AT_ONCE, contender.sessions))))
    tell({"open": contender.sessions})
    while line := await asyncio.to_thread(sys.stdin.readline):
        contender.prepare(int(line))
        heard = contender.tally.received
        began_at, cpu = time.perf_counter(), time.process_time()
        await contender.run()
        tell(
            {
                "cpu_s": time.process_time() - cpu,
                "wall_s": time.perf_counter() - began_at,
                "late": contender.late,
                "heard": contender.tally.received - heard,
                "wrong": contender.tally.wrong,
                "errors": contender.tally.errors,
                **contender.notes(),
            }
        )
    await contender.close()


async def _open(contender: Contender, session: int) -> None:
    async with asyncio.timeout(30):
        await contender.open(session)


def tell(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("name")
    arguments.add_argument("--sessions", type=int, default=100)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--ca-file", required=True)
    given = arguments.parse_args()
    kind = stack(given.name)
    loop_factory: Any = None
    if "-timed-" in given.name:
        loop_factory = importlib.import_module("rig.contenders.probe").TimedLoop
    elif given.name.endswith(("-uvloop", "-bare")):
        import uvloop  # noqa: PLC0415 - not for the contenders on asyncio

        loop_factory = uvloop.new_event_loop
    place = Place(given.name, given.port, given.ca_file)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_build_and_serve(kind, place, sessions_that_fit(given.name, given.sessions)))


async def _build_and_serve(kind: type[Contender], place: Place, sessions: int) -> None:
    await serve(kind(place, sessions))


if __name__ == "__main__":
    main()
