"""``gemini-live send``: says what files hold, prints what is answered, keeps the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gemini_live.cli import saying
from gemini_live.cli.command import Command
from gemini_live.cli.exits import Exit
from gemini_live.cli.interrupts import run

if TYPE_CHECKING:
    import argparse

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    saying.add_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        default=Path("answer.wav"),
        help="what the model says, as a WAV file (default: %(default)s)",
    )


def _run(asked: argparse.Namespace) -> int:
    from gemini_live.cli.output import AnswerFile  # noqa: PLC0415 - what help need not load

    sources = saying.sources_from(asked)
    sparing = dict.fromkeys(asked.files, "what is to be said")
    with AnswerFile(asked.output, force=asked.force, sparing=sparing) as answer, saying.display_for(asked) as display:
        stats = run(saying.converse(asked, sources, display, lambda audio: answer.write(audio.data, audio.rate_hz)))
        answer.keep()
        display.done(
            f"{answer.duration_s:.1f} s of answer in {asked.output}"
            if answer.samples
            else "the answer has no sound, so no file was written",
            {
                "output": str(asked.output) if answer.samples else None,
                "answer_s": round(answer.duration_s, 3),
                "messages_written": stats.written + stats.acknowledged,
                "messages_expired": stats.expired,
                "reconnects": stats.reconnects,
            },
        )
    return Exit.OK


COMMAND = Command(
    name="send",
    summary="say what files hold, and keep the answer",
    about=(
        "Streams WAV files, pictures, videos and texts to the service as if somebody spoke them, prints what both "
        "sides say while they say it, and writes the answer as a WAV file. Speech takes as long as it lasts. The "
        "answer gets its name when it is complete: after a failure or Ctrl-C there is no file."
    ),
    examples=(
        ('send --emulator --text "Hello"', "a first conversation, without a key"),
        ("send question.wav", "what is said in question.wav; the answer goes to answer.wav"),
        ('send photo.jpg --text "What is this?" -o told.wav --force', "a picture, and a question about it"),
        ("send film.mp4 film.wav --json", "a video with its sound, and every event as a line of JSON"),
    ),
    add_arguments=_add_arguments,
    run=_run,
)
