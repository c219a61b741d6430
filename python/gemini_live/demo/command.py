"""``gemini-live demo``: from the command line to the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console

from gemini_live import ConnectError
from gemini_live.demo import screen, stage
from gemini_live.demo.report import Report, report_on
from gemini_live.demo.sabotage import Sentence, sentences_in
from gemini_live.demo.scene import Note, Scene
from gemini_live.demo.wav import Speech, UnusableFileError, check_writable, read_speech, write_reply
from gemini_live.emulator import Emulator

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine
    from pathlib import Path

__all__ = ["run"]

_UNUSABLE_FILE: Final = 6
_INTERRUPTED: Final = 130
"""The codes are those of the command line, which is above this room."""
_PLAIN_WIDTH: Final = 100


def run(args: argparse.Namespace, run_loop: Callable[[Coroutine[Any, Any, None]], None]) -> int:
    """Play the demo and show it.

    Args:
        args: of the command line.
        run_loop: as `asyncio.run` is.

    Returns:
        0 if nothing was lost and everything answered, 1 if not, 6 for files that cannot be used, 130 after Ctrl-C.
    """
    out: Path = args.out
    try:
        speech = _speech(args.wav)
        sentences = _sentences(speech)
        check_writable(out, args.wav)
    except UnusableFileError as error:
        sys.stderr.write(f"gemini-live demo: {error}\n")
        return _UNUSABLE_FILE
    report = _play(speech, sentences, out, run_loop, fast=args.fast, quiet=args.json)
    if args.json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(report), indent=2) + "\n")
    return _INTERRUPTED if report.interrupted else 0 if report.ok else 1


def _speech(path: Path | None) -> Speech:
    if path is not None:
        return read_speech(path).at_the_rate_of_the_service()
    with as_file(files("gemini_live.demo") / "speech.wav") as shipped:
        return read_speech(shipped)


def _sentences(speech: Speech) -> list[Sentence]:
    sentences = sentences_in(speech)
    if not sentences:
        raise UnusableFileError(
            f"there is nothing to be heard in {speech.name} (160 ms above -40 dBFS would do); make it louder: "
            f"sox {speech.name} louder.wav norm -3"
        )
    return sentences


def _play(  # noqa: PLR0913 - the stage, the props and the light
    speech: Speech,
    sentences: list[Sentence],
    out: Path,
    run_loop: Callable[[Coroutine[Any, Any, None]], None],
    *,
    fast: bool,
    quiet: bool,
) -> Report:
    is_terminal = not quiet and _takes_pictures()
    console = Console() if is_terminal else Console(force_terminal=False, color_system=None, width=_PLAIN_WIDTH)

    def tell(note: Note) -> None:
        if not quiet and not is_terminal:
            sys.stdout.write(screen.line(note) + "\n")
            sys.stdout.flush()

    scene = Scene(speech, len(sentences), tell)
    emulator = Emulator(profile="vertex", compress_time=fast)
    display = screen.Screen(scene, console) if is_terminal else None
    failure, interrupted, reply_file = "", False, None
    try:
        with display or contextlib.nullcontext():
            run_loop(_perform(scene, sentences, emulator, display, fast=fast))
        write_reply(out, scene.reply, scene.rate_hz)
        reply_file = str(out)
    except KeyboardInterrupt:
        interrupted = True
    except BrokenPipeError:
        raise  # nobody is left to be told
    except (ConnectError, UnusableFileError, OSError) as error:
        failure = str(error)
    report = report_on(scene, emulator.ledger, reply_file=reply_file, interrupted=interrupted, failure=failure)
    if not quiet:
        with console.capture() as drawn:
            console.print("", screen.account(report), "", screen.verdict(report), sep="\n")
        sys.stdout.write("\n".join(row.rstrip() for row in drawn.get().splitlines()) + "\n")
    return report


async def _perform(
    scene: Scene, sentences: list[Sentence], emulator: Emulator, display: screen.Screen | None, *, fast: bool
) -> None:
    drawing = None if display is None else asyncio.create_task(display.keep_drawing())
    try:
        await stage.perform(scene, sentences, emulator, fast=fast)
    finally:
        if drawing is not None:
            drawing.cancel()


def _takes_pictures() -> bool:
    """Whether standard output is a terminal that can move its cursor and show colours and bars, and may."""
    encoding = (sys.stdout.encoding or "").lower()
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") not in ("dumb", "unknown")
        and encoding.startswith("utf")
    )
