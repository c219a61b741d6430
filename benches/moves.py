"""What a planned move (goAway) costs somebody who speaks without a pause: a measurement of `make chaos`, as a goal."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from rig import goals
from rig.statistics import Spread

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chaos.move import measure  # after the line above


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", type=Path, help="write the figures there")
    given = arguments.parse_args()
    moves = asyncio.run(measure())
    print(moves.describe())
    if given.json:
        faults = float(moves.lost + moves.repeated + moves.out_of_order)
        goals.write(given.json, {"planned_move": Spread.of([faults])}, msgspec.to_builtins(moves))


if __name__ == "__main__":
    main()
