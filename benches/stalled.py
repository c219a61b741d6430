"""A server that stops reading: how much unsent speech we hold, which it will hear late or not at all.

The kernel's buffers are nobody's fault, so they are filled first. Then somebody speaks in real time, longer than the
outbox keeps audio, and three places are looked at: the outbox, what was written and the kernel has not taken (ours or
the transport's), and what has expired. Linux only, as the kernel is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import picows
import trustme

import gemini_live as live
from rig import goals, wire
from rig.contenders.probe import connections_to, handed_to_kernel
from rig.statistics import Spread

MEASURED_CHUNKS = 20
FULL_AFTER_S = 0.5
"""A kernel that has taken nothing for so long is full."""


class _Deaf(picows.WSListener):
    """Hears a setup and so many chunks, then stops reading."""

    def __init__(self) -> None:
        self._messages = 0

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type in (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY):
            self._messages += 1
        if self._messages == 1:
            transport.send(picows.WSMsgType.BINARY, wire.SETUP_COMPLETE)
        if self._messages == 1 + MEASURED_CHUNKS:
            transport.underlying_transport.pause_reading()


async def measure(seconds: float) -> dict[str, Any]:
    """What is where after so many seconds of speech into a full kernel."""
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    port = listening.getsockname()[1]
    server = await picows.ws_create_server(lambda _request: _Deaf(), sock=listening, ssl=tls)
    trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    session = await live.connect(
        "deaf",
        endpoint=f"wss://127.0.0.1:{port}/ws",
        auth="a key",
        transport=live.TransportConfig(ssl=trust, ping_after_s=3_600, close_timeout_s=0.1),
        check_capabilities=False,
    )
    (connection,) = connections_to(port)
    chunk = bytes(wire.CHUNK_BYTES)
    try:
        before = handed_to_kernel(connection)
        await _speak(session, chunk, MEASURED_CHUNKS)
        await session.drain()
        # what was written is on its way
        while (chunk_bytes := (handed_to_kernel(connection) - before) / MEASURED_CHUNKS) < wire.CHUNK_BYTES:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await _fill(session, chunk, connection)
        await _speak(session, chunk, round(seconds / wire.CHUNK_S))
        counts = session.stats.by_kind["audio"]
        taken = (handed_to_kernel(connection) - before) / chunk_bytes
        chunk_ms = 1e3 * wire.CHUNK_S
        return {
            "outbox_ms": counts.waiting * chunk_ms,
            "transport_ms": (counts.written + counts.acknowledged - taken) * chunk_ms,
            "kernel_ms": (taken - MEASURED_CHUNKS) * chunk_ms,
            "expired_ms": counts.expired * chunk_ms,
            "oldest_waiting_ms": 1e3 * session.stats.waiting_s,
        }
    finally:
        connection.close()
        await session.close()
        server.close()


async def _speak(session: live.Session, chunk: bytes, count: int) -> None:
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    for number in range(count):
        await asyncio.sleep(began_at + number * wire.CHUNK_S - loop.time())
        await session.send_audio(chunk)


async def _fill(session: live.Session, chunk: bytes, connection: socket.socket) -> None:
    """Speak as fast as the kernel listens, until it does not any more."""
    loop = asyncio.get_running_loop()
    taken, taken_at = handed_to_kernel(connection), loop.time()
    while loop.time() - taken_at < FULL_AFTER_S:
        for _ in range(10):
            await session.send_audio(chunk)
        await asyncio.sleep(0.005)
        if (now := handed_to_kernel(connection)) != taken:
            taken, taken_at = now, loop.time()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=4.0, help="of speech into the full line (%(default)s)")
    arguments.add_argument("--json", type=Path, help="write the figures there")
    given = arguments.parse_args()
    if sys.platform != "linux":
        sys.exit("stalled: only Linux says what it has been handed (TCP_INFO)")
    found = asyncio.run(measure(given.seconds))
    print(
        f"unsent: {found['transport_ms']:.0f} ms written and beyond recall, {found['outbox_ms']:.0f} ms in the outbox, "
        f"{found['expired_ms']:.0f} ms expired and counted; the kernel holds {found['kernel_ms']:.0f} ms"
    )
    if given.json:
        held = Spread.of([found["transport_ms"] + found["outbox_ms"]])
        goals.write(given.json, {"stalled": held}, found)


if __name__ == "__main__":
    main()
