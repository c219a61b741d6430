"""The command ``gemini-live``: what it takes, and which room answers."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemini_live import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_EXTRAS: Final = frozenset({"pybase64", "rich", "soxr", "trustme"})
_INTERRUPTED: Final = 130
_BROKEN_PIPE: Final = 141

_ABOUT: Final = "Stream voice to the Gemini Live API, and survive the network."
_EXAMPLES: Final = """\
examples:
  gemini-live demo                  a session whose connection is lost twice
  gemini-live emulator --port 8080  a Live server for your own program

Neither needs a key or a network. `gemini-live COMMAND --help` says more.

exit codes:
  0    all went well
  1    it did not, and the output says why
  2    called in a way that cannot work, or an extra is not installed
  130  Ctrl-C
"""
_DEMO: Final = """\
Speaks a few sentences to an emulated service, which answers with the same
words. Meanwhile the service asks the session to move (goAway), and then
somebody pulls the plug (TCP is cut), each in the middle of a sentence. At the
end the accounts of both sides are compared, sample by sample."""
_DEMO_EXAMPLES: Final = """\
examples:
  gemini-live demo                              the shipped sentences, 13 s
  gemini-live demo --wav me.wav --out echo.wav  your own voice
  gemini-live demo --fast --json | jq .chunks   the figures, in 2 s

exit codes:
  0    nothing was lost and every sentence was answered
  1    something was lost; the last line says what
  2    a file cannot be used, an option is wrong, or an extra is not installed
  130  Ctrl-C; the account is of what had happened until then
"""
_EMULATOR: Final = """\
Serves the Live API on this machine: the Developer API and Vertex AI, with
voice activity detection, transcription, tools, session resumption, and faults
on command. It answers speech with the same speech. The first line that it
writes is its URL."""
_EMULATOR_EXAMPLES: Final = """\
examples:
  gemini-live emulator                          on a free port
  gemini-live emulator --port 8080 --tls        wss://, its own certificate
  gemini-live emulator --go-away-after 60       asks to leave every minute
  gemini-live emulator --cut-after 5 --fault-connections 1

in your program:
  live.connect(model, endpoint="ws://127.0.0.1:8080", auth="any key")

exit codes:
  0    it was ended by Ctrl-C or SIGTERM
  1    it cannot listen there
  2    an option is wrong, or an extra is not installed
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: without the program's name; ``None`` takes those of this process.

    Returns:
        The exit code: 0 for success, 1 for failure, 2 for bad usage, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except SystemExit as end:  # argparse's way of returning
        return end.code if isinstance(end.code, int) else 0
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRAS:
            raise
        sys.stderr.write(f'gemini-live: {missing} is not installed; pip install "gemini-live[cli]"\n')
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has seen enough; what is still buffered must not fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE


def _run(arguments: list[str]) -> int:
    """Parse and go. What a command needs is imported only when it is asked for: `--help` must be quick."""
    parser = _parser(with_emulator="emulator" in arguments)
    asked = parser.parse_args(arguments)
    match asked.command:
        case "demo":
            from gemini_live.demo import command as demo  # noqa: PLC0415

            return demo.run(asked)
        case "emulator":
            import asyncio  # noqa: PLC0415

            from gemini_live.emulator import command as emulator  # noqa: PLC0415

            return asyncio.run(emulator.run(asked))
        case _:
            parser.print_help(sys.stderr)
            return 2


def _parser(*, with_emulator: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gemini-live",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gemini-live {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    demo = commands.add_parser(
        "demo",
        help="a session that loses its connection twice",
        description=_DEMO,
        epilog=_DEMO_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    demo.add_argument("--wav", type=Path, metavar="FILE", help="speak this instead: PCM, 8 to 32 bits, any usual rate")
    demo.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        default=Path("reply.wav"),
        help="where to write the reply, 24 kHz mono; replaces a file that exists (default: %(default)s)",
    )
    demo.add_argument("--fast", action="store_true", help="ten times faster, with an emulator that waits for nothing")
    demo.add_argument("--json", action="store_true", help="write the account as one JSON object, and nothing else")
    emulator = commands.add_parser(
        "emulator",
        help="a Live server on this machine",
        description=_EMULATOR,
        epilog=_EMULATOR_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if with_emulator:
        from gemini_live.emulator import command  # noqa: PLC0415

        command.add_arguments(emulator)
    return parser
