"""What the tests of the command line share: an emulator beside the process under test, files, and terminals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import threading

import numpy as np

from gemini_live import emulator
from gemini_live.cli import main
from tcp_server import pass_on, tcp_server

COMMAND = [sys.executable, "-W", "error", "-m", "gemini_live"]
RATE_HZ = 16_000


@contextlib.contextmanager
def in_thread(serve):
    """Runs a coroutine function, which gets an event that ends it and a function that takes what is to be yielded."""
    ready = threading.Event()
    told = []

    def run():
        async def live():
            ended = asyncio.Event()

            def tell(what):
                told.extend((asyncio.get_running_loop(), ended, what))
                ready.set()

            await serve(ended, tell)

        asyncio.run(live())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    loop, ended, what = told
    try:
        yield what
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


def served(**options):
    """An emulator, beside the command line, which has an event loop of its own; yields it."""
    emu = emulator.Emulator(**{"compress_time": True} | options)

    async def serve(ended, tell):
        async with emu:
            tell(emu)
            await ended.wait()

    return in_thread(serve)


def connect_proxy():
    """An HTTP proxy that leads every CONNECT to this machine; yields its port and the hosts that were asked for."""

    async def serve(ended, tell):
        asked = []

        async def lead(reader, writer):
            if head := (await reader.read(65_536)).split():  # else somebody has looked whether we are here
                asked.append(head[1].decode())
                await pass_on(reader, writer, int(asked[-1].rpartition(":")[2]), b"HTTP/1.1 200 OK\r\n\r\n")

        async with tcp_server(lead) as port:
            tell((port, asked))
            await ended.wait()

    return in_thread(serve)


@contextlib.contextmanager
def closed_port():
    """A port at which nobody listens, kept from everybody else meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def run(capsys, *arguments):
    """The exit code, standard output and standard error."""
    code = main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def tone(seconds=0.5, rate_hz=RATE_HZ):
    return 0.3 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate_hz)) / rate_hz)


def wav(path, samples, *, rate_hz=RATE_HZ, kind="i2", extensible=False):
    """Write samples between -1 and 1, of shape (n,) or (n, channels), as integers of 1 to 4 bytes or as floats."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    width = int(kind[1])
    match kind:
        case "u1":
            data = np.round(samples * 127 + 128).astype("u1").tobytes()
        case "i3":
            wide = np.round(samples * (2**23 - 1)).astype("<i4").reshape(-1)
            data = wide.view("u1").reshape(-1, 4)[:, :3].tobytes()
        case "f4" | "f8":
            data = samples.astype(f"<{kind}").tobytes()
        case _:
            data = np.round(samples * (2 ** (8 * width - 1) - 1)).astype(f"<{kind}").tobytes()
    tag = 3 if kind[0] == "f" else 1
    frame = channels * width
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, channels, rate_hz, rate_hz * frame, frame, 8 * width)
    if extensible:
        guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
        form += struct.pack("<HHI", 22, 8 * width, 0) + guid
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        for name, body in ((b"fmt ", form), (b"LIST", b"odd"), (b"data", data))
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c63f8cfc0f01f00050001ff89993d1d0000000049454e44ae426082"
)
JPEG = b"\xff\xd8\xff\xe0" + bytes(60) + b"\xff\xd9"


def in_terminal(arguments, cwd, *, columns=80, send=None, **environment):
    """The exit code and the output on a terminal.

    ``send`` is a signal and the output after which it is sent.
    """
    import pty  # noqa: PLC0415 - not on Windows
    import termios  # noqa: PLC0415

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = subprocess.Popen(  # noqa: S603 - the program that is tested
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | environment,
    )
    os.close(theirs)
    output = b""
    while select.select([ours], [], [], 20)[0]:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # Linux: the other end is closed
            break
        if not piece:
            break
        output += piece
        if send is not None and send[1] in output:
            process.send_signal(send[0])
            send = None
    os.close(ours)
    # CPython loses the rest of a write to a terminal that a signal interrupts, which may be half a character
    return process.wait(10), output.decode(errors="replace")
