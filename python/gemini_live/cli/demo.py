"""``gemini-live demo``: its options; the demonstration itself is a room of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gemini_live.cli.command import Command
from gemini_live.cli.interrupts import run

if TYPE_CHECKING:
    import argparse

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wav", type=Path, metavar="FILE", help="speak this instead: WAV, 8 to 32 bits or floats, 8 to 192 kHz"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        default=Path("reply.wav"),
        help="where to write the reply, 24 kHz mono; replaces a file that exists (default: %(default)s)",
    )
    parser.add_argument("--fast", action="store_true", help="ten times faster, with an emulator that waits for nothing")
    parser.add_argument("--json", action="store_true", help="write the account as one JSON object, and nothing else")


def _run(asked: argparse.Namespace) -> int:
    from gemini_live.demo import command  # noqa: PLC0415 - the extra

    return command.run(asked, run)


COMMAND = Command(
    name="demo",
    summary="a session that loses its connection twice",
    about=(
        "Speaks a few sentences to an emulated service, which answers with the same words. Meanwhile the service asks "
        "the session to move (goAway), and then somebody pulls the plug (TCP is cut), each in the middle of a "
        "sentence. At the end the accounts of both sides are compared, sample by sample."
    ),
    examples=(
        ("demo", "the shipped sentences, 13 s"),
        ("demo --wav me.wav --out echo.wav", "your own voice"),
        ("demo --fast --json | jq .chunks", "the figures, in 2 s"),
    ),
    add_arguments=_add_arguments,
    run=_run,
)
