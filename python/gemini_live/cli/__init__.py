"""The command ``gemini-live``: which commands there are, and what becomes of what they raise."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from gemini_live import __version__
from gemini_live.cli import completion, demo, doctor, emulator, record, replay, send, streams
from gemini_live.cli.command import epilog, refuse_keys, wrapped
from gemini_live.cli.exits import CommandError, Exit, exit_of, said
from gemini_live.cli.interrupts import ended_as_by_ctrl_c
from gemini_live.errors import GeminiLiveError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemini_live.cli.command import Command

__all__ = ["main", "parser"]

_COMMANDS: Final[tuple[Command, ...]] = (
    send.COMMAND,
    record.COMMAND,
    replay.COMMAND,
    doctor.COMMAND,
    demo.COMMAND,
    emulator.COMMAND,
    completion.COMMAND,
)
_ABOUT: Final = (
    "Stream voice and pictures to the Gemini Live API, and survive the network. `demo`, `emulator` and whatever has "
    "--emulator need neither a key nor a network. `gemini-live COMMAND --help` says more."
)
_EXAMPLES: Final = (
    ("demo", "a session whose connection is lost twice"),
    ('send --emulator --text "Hello"', "a first conversation, without a key"),
    ("send question.wav", "speak a file, print what is said, keep the answer"),
    ("doctor", "find out what keeps you from the service"),
)
# Which extra brings a module that a command needs.
_EXTRA_OF: Final = {
    "cv2": "camera",
    "pybase64": "cli",
    "rich": "cli",
    "shtab": "cli",
    "soxr": "cli",
    "trustme": "cli",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: without the program's name; ``None`` takes those of this process.

    Returns:
        The exit code; `gemini_live.cli.exits` has their meanings.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    streams.prepare()
    received: list[int] = []
    try:
        with ended_as_by_ctrl_c(received):
            code = _run(arguments)
            sys.stdout.flush()  # what is buffered can still fail
        # the demo has an account to give before it ends
        return 128 + received[0] if code == Exit.INTERRUPTED and received else code
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA_OF:
            raise
        _complain(f'{missing} is not installed; pip install "gemini-live[{_EXTRA_OF[missing]}]"')
        return Exit.USAGE
    except KeyboardInterrupt:
        return 128 + received[0] if received else Exit.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        streams.discard(sys.stdout)
        return Exit.BROKEN_PIPE
    except OSError as error:
        if not streams.is_full(error):
            raise
        streams.discard(sys.stdout)
        name = next((one.name for one in _COMMANDS if one.name in arguments[:1]), "")
        _complain(f"cannot write to standard output: {(error.strerror or str(error)).lower()}", name)
        return Exit.FILE


def _run(arguments: list[str]) -> int:
    whole = parser(with_emulator="emulator" in arguments)
    try:
        asked = whole.parse_args(arguments)
    except SystemExit as end:  # argparse's way of returning
        return end.code if isinstance(end.code, int) else Exit.OK
    command = next((one for one in _COMMANDS if one.name == asked.command), None)
    if command is None:
        whole.print_help(sys.stderr)
        return Exit.USAGE
    try:
        return command.run(asked)
    except CommandError as error:
        _complain(str(error), command.name)
        return error.code
    except GeminiLiveError as error:
        code = exit_of(error)
        more = ". `gemini-live doctor` with the same options finds out more" if code is Exit.NETWORK else ""
        _complain(said(str(error)) + more, command.name)
        return code


def _complain(message: str, command: str = "") -> None:
    line = f"gemini-live {command}".rstrip() + f": {message}"
    try:
        sys.stderr.write((wrapped(line, indent="  ", first="") if sys.stderr.isatty() else line) + "\n")
    except OSError as error:
        if not streams.is_full(error):
            raise
        streams.discard(sys.stderr)  # the exit code still says it


def parser(*, with_emulator: bool) -> argparse.ArgumentParser:
    """The command line.

    Args:
        with_emulator: also the options of the emulator, which follow from its own tables and so need its extra.
    """
    whole = argparse.ArgumentParser(
        prog="gemini-live",
        description=wrapped(_ABOUT),
        epilog=epilog(_EXAMPLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"gemini-live {__version__}")
    refuse_keys(whole)  # before the command, too
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in _COMMANDS:
        own = command.add_to(commands)
        if command is not emulator.COMMAND or with_emulator:
            command.add_arguments(own)
    return whole
