"""``gemini-live emulator``: what it teaches; its options follow from the emulator's own tables."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from gemini_live.cli.command import Command
from gemini_live.cli.exits import CommandError, Exit
from gemini_live.cli.streams import is_full

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMAND", "serve"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from gemini_live.emulator import command  # noqa: PLC0415 - the extra

    command.add_arguments(parser)


def _run(asked: argparse.Namespace) -> int:
    from gemini_live.emulator import command  # noqa: PLC0415 - the extra

    try:
        asyncio.run(command.run(asked))
    except BrokenPipeError:
        raise  # nobody is left to be told
    except UnicodeError:
        message = f"cannot listen there: {asked.host} is no host name; choose another --port or --host"
        raise CommandError(message, Exit.NETWORK) from None
    except OSError as error:
        if error.filename is not None:
            raise CommandError(f"cannot write {error.filename}: {error.strerror}", Exit.FILE) from None
        if is_full(error):
            raise  # the line about it, not the port
        reason = error.strerror or str(error)
        raise CommandError(f"cannot listen there: {reason}; choose another --port or --host", Exit.NETWORK) from None
    return Exit.OK


def serve(options: Sequence[str]) -> int:
    """Run the emulator with these options, for another command.

    Raises:
        ConfigError: a mistake in them.
        CommandError: it cannot listen there.
    """
    parser = argparse.ArgumentParser(prog="gemini-live emulator")
    _add_arguments(parser)
    return _run(parser.parse_args(options))


COMMAND = Command(
    name="emulator",
    summary="a Live server on this machine",
    about=(
        "Serves the Live API on this machine: the Developer API and Vertex AI, with voice activity detection, "
        "transcription, tools, session resumption, and faults on command. It answers speech with the same speech. The "
        "first line that it writes is its URL; a program connects with endpoint=URL and any key. Ctrl-C or SIGTERM "
        "ends it, with exit code 0."
    ),
    examples=(
        ("emulator", "on a free port"),
        ("emulator --port 8080 --tls", "wss://, with a certificate of its own"),
        ("emulator --go-away-after 60", "asks to leave every minute"),
        ("emulator --cut-after 5 --fault-connections 1", "loses the first connection"),
    ),
    add_arguments=_add_arguments,
    run=_run,
)
