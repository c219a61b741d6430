"""``gemini-live emulator``: the emulator as a program."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gemini_live.emulator.faults import Faults
from gemini_live.emulator.profiles import PROFILES
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
    faults = parser.add_argument_group("faults")
    faults.add_argument("--go-away-after", type=float, metavar="S", help="send goAway at this age of a connection")
    faults.add_argument("--go-away-time-left", type=float, metavar="S", default=50.0, help="(default: %(default)s)")
    faults.add_argument("--cut-after", type=float, metavar="S", help="abort the TCP connection at this age")
    faults.add_argument("--cut-after-messages", type=int, metavar="N", help="... after so many client messages")
    faults.add_argument("--close-after", type=float, metavar="S", help="close with 1011 at this age")
    faults.add_argument("--pong-delay", type=float, metavar="S", default=0.0, help="answer pings so late")
    faults.add_argument("--fault-connections", type=int, metavar="N", help="only the first N connections suffer")


async def run(args: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM; returns the exit code.

    Prints the URL on a line of its own, then a line for each thing that happens.
    """
    emulator = Emulator(
        profile=args.profile,
        faults=Faults(
            connections=args.fault_connections,
            go_away_after_s=args.go_away_after,
            go_away_time_left_s=args.go_away_time_left,
            cut_after_s=args.cut_after,
            cut_after_messages=args.cut_after_messages,
            close_after_s=args.close_after,
            pong_delay_s=args.pong_delay,
        ),
        tls=args.tls,
        api_key=args.api_key,
        compress_time=args.compress_time,
        text_frames=args.text_frames,
        record=False,
        host=args.host,
        port=args.port,
        tell=_print,
    )
    stopped = asyncio.Event()
    with contextlib.ExitStack() as at_the_end:
        _on_signals(stopped, at_the_end)
        try:
            await emulator.start()
            _print(emulator.url)
            if args.tls:
                _print(f"clients must trust {_write_authority(emulator.ca_pem, args.ca_file, at_the_end)}")
            await stopped.wait()
        except OSError as error:
            print(f"gemini-live emulator: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - a program
            return 1
        finally:
            await emulator.stop()
    return 0


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a program


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
