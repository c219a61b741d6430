"""``gemini-live replay``: a recording, served to programs, shown to people, or its answers as sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gemini_live.cli.command import Command
from gemini_live.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    import argparse

    import gemini_live as live

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recording", type=Path, metavar="RECORDING", help="a file that `record` has written")
    parser.add_argument("--show", action="store_true", help="print the conversation instead of serving it")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write what the model said as a WAV file")
    parser.add_argument("--force", action="store_true", help="replace the file of --output if it exists")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port; 0 lets the system choose (default: %(default)s)")
    parser.add_argument("--fast", action="store_true", help="serve without the pauses of the recording")


def _run(asked: argparse.Namespace) -> int:
    from gemini_live.recorder import read_recording  # noqa: PLC0415 - what help need not load

    recording = read_recording(asked.recording)
    if asked.show:
        from gemini_live.cli.minutes import lines_of  # noqa: PLC0415 - likewise

        for line in lines_of(recording):
            sys.stdout.write(line + "\n")
    if asked.output is not None:
        _write_answer(recording, asked)
    if not asked.show and asked.output is None:
        _serve(asked)
    return Exit.OK


def _serve(asked: argparse.Namespace) -> None:
    from gemini_live.cli import emulator  # noqa: PLC0415 - the extra, with all its options

    if asked.recording.is_fifo():  # the emulator reads it itself, once more
        raise CommandError(f"{asked.recording} is a pipe; to be served it must be in a file", Exit.FILE)
    pace = ["--pace-waits=0"] if asked.fast else []
    # with "=", so that a name may begin with a dash
    emulator.serve([f"--replay={asked.recording}", f"--host={asked.host}", f"--port={asked.port}", *pace])


def _write_answer(recording: live.RecordedSession, asked: argparse.Namespace) -> None:
    import gemini_live as live  # noqa: PLC0415 - what help need not load
    from gemini_live.cli.minutes import events_of  # noqa: PLC0415 - likewise
    from gemini_live.cli.output import AnswerFile  # noqa: PLC0415 - likewise

    with AnswerFile(asked.output, force=asked.force, sparing={asked.recording: "the recording"}) as answer:
        for event in (event for frame in recording.frames for event in events_of(frame)):
            # of a piece that was kept by its hash nothing can be decoded
            if isinstance(event, live.ModelAudio):
                answer.write(event.data, event.rate_hz)
        if not answer.samples:
            raise CommandError(
                "the model's sound is not in this recording; it may have been made with --audio hash", Exit.FILE
            )
        answer.keep()
    sys.stderr.write(f"{answer.duration_s:.1f} s of answer in {asked.output}\n")


COMMAND = Command(
    name="replay",
    summary="a recording: served, shown, or as sound",
    about=(
        "Without further options it is an offline server that says again what the service said in a recording, with "
        "the same pauses, to whatever program connects with endpoint=URL and any key; the first line that it writes is "
        "that URL. With --show it prints the conversation instead, and with --output it writes what the model said as "
        "sound."
    ),
    examples=(
        ("replay recording.jsonl --port 8080", "a server; Ctrl-C ends it"),
        ("replay recording.jsonl --show", "who said what, and when"),
        ("replay recording.jsonl -o answer.wav", "what the model said"),
    ),
    add_arguments=_add_arguments,
    run=_run,
)
