"""``gemini-live record``: a conversation with every frame on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gemini_live.cli import saying
from gemini_live.cli.command import Command
from gemini_live.cli.exits import Exit
from gemini_live.cli.interrupts import run

if TYPE_CHECKING:
    import argparse

    from gemini_live.cli.output import PendingFile

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    saying.add_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        default=Path("recording.jsonl"),
        help="the recording, as JSON lines (default: %(default)s)",
    )
    parser.add_argument(
        "--audio",
        choices=["whole", "hash"],
        default="whole",
        help="keep audio and images, or only a hash that shows which is which (default: %(default)s)",
    )


def _run(asked: argparse.Namespace) -> int:
    from gemini_live.cli.output import PendingFile  # noqa: PLC0415 - what help need not load
    from gemini_live.recorder import Recording  # noqa: PLC0415 - likewise

    sources = saying.sources_from(asked)
    sparing = dict.fromkeys(asked.files, "what is to be said")
    with PendingFile(asked.output, force=asked.force, sparing=sparing) as pending, saying.display_for(asked) as display:
        recording = Recording(pending.pending, audio=asked.audio)
        try:
            run(saying.converse(asked, sources, display, lambda _audio: None, record=recording))
        finally:
            # a conversation that broke off is what recordings are for; an attempt that never became one is not
            frames = _frames(pending)
            if frames:
                pending.keep()
                display.done(f"{frames} frames in {asked.output}", {"output": str(asked.output), "frames": frames})
    return Exit.OK


def _frames(recorded: PendingFile) -> int:
    """How many there are; none unless the service has said something.

    Raises:
        CommandError: somebody has taken the file away.
    """
    from gemini_live.recorder import read_recording  # noqa: PLC0415 - likewise

    try:
        size = recorded.pending.stat().st_size
    except OSError as error:
        raise recorded.unwritable(error) from None
    if not size:
        return 0
    frames = read_recording(recorded.pending).frames
    return len(frames) if any(one.direction == "<" and one.kind in ("text", "binary") for one in frames) else 0


COMMAND = Command(
    name="record",
    summary="a conversation with every frame on disk",
    about=(
        "Holds the same conversation as `send` and writes every frame of it, with time and direction, as JSON lines: "
        "to find out what went wrong, to report it, or to let a test hear it again. No key is in it, but what was said "
        "is. After Ctrl-C the recording is complete up to there."
    ),
    examples=(
        ("record question.wav", "the conversation in recording.jsonl"),
        ('record --emulator --text "Hello" -o hello.jsonl', "without a key"),
        ("record question.wav --audio hash", "without the sound, for a report"),
    ),
    add_arguments=_add_arguments,
    run=_run,
)
