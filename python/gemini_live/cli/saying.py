"""What `send` and `record` have in common: what is to be said, and the session in which it is said."""

from __future__ import annotations

import argparse
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemini_live.capabilities import modality_of
from gemini_live.cli.exits import CommandError, Exit
from gemini_live.cli.service import add_arguments as add_service
from gemini_live.cli.service import service_from, start_emulator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import gemini_live as live
    from gemini_live.cli.display import JsonLines, PlainLines
    from gemini_live.cli.screen import Screen
    from gemini_live.cli.sources import Sources

__all__ = ["add_arguments", "converse", "display_for", "sources_from"]

_WAIT_S: Final = 15.0
_IS_NUMBER: Final = re.compile(r"\d*\.?\d+(e\d+)?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of both."""
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="WAV (8 to 32 bits or floats, 8 to 192 kHz), JPEG, PNG or video. Speech and pictures are sent side by "
        "side, each in the order given. Of a video one image a second is sent, and not its sound: give that as a WAV "
        "file besides",
    )
    parser.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="TEXT",
        help="is said when what comes before it was answered; may be given several times",
    )
    parser.add_argument("--system", metavar="TEXT", help="instructions for the model")
    parser.add_argument("--voice", metavar="NAME", help="with which the model speaks, such as Kore")
    parser.add_argument("--fast", action="store_true", help="do not wait for the time that speaking would take")
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=_WAIT_S,
        metavar="SECONDS",
        help="how long an answer may keep us waiting (default: %(default)g)",
    )
    parser.add_argument("--force", action="store_true", help="replace the file of --output if it exists")
    parser.add_argument("--json", action="store_true", help="write each event as one line of JSON")
    add_service(parser)


def _seconds(text: str) -> float:
    value = float(text) if _IS_NUMBER.fullmatch(text) else 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"takes seconds, more than none, and not {text!r}")
    return value


def sources_from(asked: argparse.Namespace) -> Sources:
    """The files, opened.

    Raises:
        CommandError: one cannot be used, or all of it together asks for nothing.
    """
    from gemini_live.cli.sources import read_sources  # noqa: PLC0415 - NumPy

    for option, text in (
        *(("--text", text) for text in asked.text),
        ("--system", asked.system),
        ("--voice", asked.voice),
        ("--model", asked.model),
    ):
        if text and not _is_text(text):
            raise CommandError(f"{option} is not UTF-8; is it the right file, and the right locale?", Exit.USAGE)
    if not asked.files and not asked.text:
        raise CommandError('there is nothing to say; give a FILE or --text "…"', Exit.USAGE)
    if not all(text.strip() for text in asked.text):
        raise CommandError("the --text is empty", Exit.USAGE)
    sources = read_sources(asked.files)
    if not sources.speech and not asked.text:
        raise CommandError('a picture asks nothing; add --text "What is this?" or a WAV file', Exit.USAGE)
    return sources


def _is_text(argument: str) -> bool:
    """Python makes surrogates of bytes on the command line that are none."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def display_for(asked: argparse.Namespace) -> Screen | PlainLines | JsonLines:
    """How it is shown."""
    from gemini_live.cli.display import JsonLines, screen_or_lines  # noqa: PLC0415 - what help need not load

    return JsonLines() if asked.json else screen_or_lines()


async def converse(
    asked: argparse.Namespace,
    sources: Sources,
    display: Screen | PlainLines | JsonLines,
    hear: Callable[[live.ModelAudio], None],
    *,
    record: live.Recording | None = None,
) -> live.SessionStats:
    """The whole conversation, from the first dial to the goodbye.

    Returns:
        The session's accounts at its end.

    Raises:
        CommandError: it could not be held.
        GeminiLiveError: likewise.
    """
    from gemini_live.cli.talk import Talk  # noqa: PLC0415 - likewise

    async with _session(asked, record) as session:
        talk = Talk(session, display, hear, fast=asked.fast, wait_s=asked.wait)
        await talk.run(sources, asked.text)
        return session.stats


@contextlib.asynccontextmanager
async def _session(asked: argparse.Namespace, record: live.Recording | None) -> AsyncGenerator[live.Session, None]:
    import gemini_live as live  # noqa: PLC0415 - likewise

    async with contextlib.AsyncExitStack() as stack:
        if asked.emulator:
            service = await stack.enter_async_context(start_emulator(fast=asked.fast, model=asked.model))
        else:
            service = service_from(asked)
        yield await stack.enter_async_context(
            live.connect(
                service.model,
                _setup(asked),
                endpoint=service.endpoint,
                auth=service.auth,
                transport=service.transport,
                record=record,
            )
        )


def _setup(asked: argparse.Namespace) -> dict[str, Any]:
    setup: dict[str, Any] = {"input_audio_transcription": {}}
    if modality_of(asked.model) == "AUDIO":
        setup["output_audio_transcription"] = {}
    if asked.system:
        setup["system_instruction"] = asked.system
    if asked.voice:
        setup["generation_config"] = {
            "speech_config": {"voice_config": {"prebuilt_voice_config": {"voice_name": asked.voice}}}
        }
    return setup
