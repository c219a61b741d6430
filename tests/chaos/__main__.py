"""``python -m chaos``: see ``docs/chaos.md``."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from pathlib import Path

from .move import measure
from .report import as_json, table
from .run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description="Break the network under many sessions, and count.")
    parser.add_argument("--seed", type=int, default=None, help="of all choices (default: a new one)")
    parser.add_argument("--faults", type=int, default=1_000, help="that strike at least (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=32, help="sessions at once (default: %(default)s)")
    parser.add_argument("--session", type=int, help="only this one of the run, and say what happens in it")
    parser.add_argument("--only", action="append", metavar="FAULT", help="only this fault; may be repeated")
    parser.add_argument("--stories", type=Path, metavar="FILE", help="write what happened in broken sessions")
    parser.add_argument("--known", action="store_true", help="also faults that are known not to be survived")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    if not options.json:
        print(f"seed {seed}", flush=True)  # noqa: T201 - a program
    tell = print if options.session else None
    moves = asyncio.run(measure())
    result = run(
        seed,
        options.faults,
        at_once=options.at_once,
        only_session=options.session,
        tell=tell,
        only=options.only,
        known=options.known,
    )
    if options.stories is not None:
        stories = ["\n".join([*one.story, *one.broken, ""]) for one in result.outcomes if one.broken]
        options.stories.write_text("\n".join(stories))
    print(as_json(result, moves) if options.json else table(result, moves))  # noqa: T201 - a program
    return 0 if moves.sound and not result.broken else 1


if __name__ == "__main__":
    sys.exit(main())
