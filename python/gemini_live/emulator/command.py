"""``gemini-live emulator``: the emulator as a program."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gemini_live.emulator.faults import Faults
from gemini_live.emulator.knobs import add_options, given
from gemini_live.emulator.profiles import PROFILES, Pace, Profile
from gemini_live.emulator.server import Emulator

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port; 0 lets the system choose (default: %(default)s)")
    parser.add_argument("--profile", choices=list(PROFILES), default="3.8", help="which model (default: %(default)s)")
    parser.add_argument("--api-key", help="the only key or bearer token that is good (default: any is)")
    parser.add_argument("--tls", action="store_true", help="serve wss:// with a certificate of its own")
    parser.add_argument(
        "--ca-file", type=Path, help="where to write what clients must trust (default: a temporary file)"
    )
    parser.add_argument("--compress-time", action="store_true", help="wait for nothing: answers come at once")
    parser.add_argument("--text-frames", action="store_true", help="send text frames instead of binary ones")
    parser.add_argument("--script", type=Path, metavar="FILE", help="rules in TOML: when this is heard, answer so")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="say again what the server of a recording said")
    parser.add_argument("--record", action="store_true", help="keep all that clients send, for GET /_emulator/ledger")
    for struct in (Faults, Pace, Profile):
        add_options(parser, struct, said=_SAID, varies=struct is Profile)
    parser.usage = "%(prog)s [options]"  # sixty of them, which nobody reads twice


_SAID: Final = {
    "whom faults strike": "Ages are seconds since the upgrade. While it runs: POST /_emulator/faults",
    "goAway": "While it runs: POST /_emulator/go_away",
    "cuts: TCP ends without a close frame": "While it runs: POST /_emulator/cut",
    "closes": "While it runs: POST /_emulator/close",
    "poisoned sessions": "While it runs: POST /_emulator/poison and /_emulator/interrupt",
    "model": "Where the profile is to be another one.",
}


async def run(args: argparse.Namespace) -> None:
    """Serves until SIGINT or SIGTERM.

    Prints the URL on a line of its own, then a line for each thing that happens.

    Raises:
        ConfigError: a mistake in an option, the script or the recording.
        OSError: it cannot listen there, or ``--ca-file`` cannot be written.
    """
    emulator = _emulator(args)
    stopped = asyncio.Event()
    with contextlib.ExitStack() as at_the_end:
        _on_signals(stopped, at_the_end)
        try:
            await emulator.start()
            _print(emulator.url)
            if args.tls:
                _print(f"clients must trust {_write_authority(emulator.ca_pem, args.ca_file, at_the_end)}")
            await stopped.wait()
        finally:
            await emulator.stop()


def _emulator(args: argparse.Namespace) -> Emulator:
    profile = given(args, PROFILES[args.profile])
    pace = given(args, Pace.compressed() if args.compress_time else profile.pace)
    return Emulator(
        profile=msgspec.structs.replace(profile, pace=pace),
        faults=given(args, Faults()),
        tls=args.tls,
        api_key=args.api_key,
        text_frames=args.text_frames,
        script=args.script,
        replay=args.replay,
        record=args.record,
        host=args.host,
        port=args.port,
        tell=_tell,
    )


def _print(line: str) -> None:
    """What the terminal has no letters for is spelt out: it is the text of a client, who must not suffer from it."""
    encoding = sys.stdout.encoding
    print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)  # noqa: T201 - a program


def _tell(line: str) -> None:
    """The same for what happens while it serves, which nobody need read to the end: a parent may want the URL only."""
    try:
        _print(line)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _on_signals(stopped: asyncio.Event, at_the_end: contextlib.ExitStack) -> None:
    loop = asyncio.get_running_loop()

    def handler(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(stopped.set)

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:  # Windows
            before = signal.signal(number, handler)
            at_the_end.callback(signal.signal, number, before)
        else:
            at_the_end.callback(loop.remove_signal_handler, number)


def _write_authority(pem: bytes, path: Path | None, at_the_end: contextlib.ExitStack) -> Path:
    if path is None:
        path = Path(at_the_end.enter_context(tempfile.TemporaryDirectory(prefix="gemini-live-"))) / "ca.pem"
    path.write_bytes(pem)
    return path
