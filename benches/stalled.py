"""A server that stops reading: how much unsent speech we hold, which it will hear late or not at all.

Somebody speaks on in real time, longer than the outbox keeps audio, and three places are looked at: the outbox, what
was written and the kernel has not taken (ours or the transport's), and what has expired. Linux only: the kernel is
asked.
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
SETTLED_AFTER_S = 0.3
"""What was written to a line that is read is with the kernel by then."""


class _Deaf(picows.WSListener):
    """Hears a setup and so many chunks, then stops reading."""

    def __init__(self, kept: list[picows.WSTransport]) -> None:
        self._messages = 0
        self._kept = kept

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type in (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY):
            self._messages += 1
        if self._messages == 1:
            transport.send(picows.WSMsgType.BINARY, wire.SETUP_COMPLETE)
        if self._messages == 1 + MEASURED_CHUNKS:
            transport.underlying_transport.pause_reading()
            self._kept.append(transport)  # the loop knows nothing of a transport that does not read


async def measure(seconds: float) -> dict[str, Any]:
    """What is where after so many seconds of speech into a full kernel."""
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    port = listening.getsockname()[1]
    kept: list[picows.WSTransport] = []
    server = await picows.ws_create_server(lambda _request: _Deaf(kept), sock=listening, ssl=tls)
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
    # what the kernel holds is nobody's fault, so it is made little; the loopback's is a minute otherwise
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    try:
        before = handed_to_kernel(connection)
        await _speak(session, chunk, MEASURED_CHUNKS)
        await asyncio.sleep(SETTLED_AFTER_S)
        chunk_bytes = (handed_to_kernel(connection) - before) / MEASURED_CHUNKS
        await _speak(session, chunk, round(seconds / wire.CHUNK_S))
        taken = (handed_to_kernel(connection) - before) / chunk_bytes
        counts = session.stats.by_kind["audio"]
        if session.stats.reconnects:
            sys.exit("the connection was lost, which is another thing")
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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=4.0, help="of speech into the stalled line (%(default)s)")
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
        # what waits in the outbox expires by its limits, and is the caller's choice
        goals.write(given.json, {"stalled": Spread.of([found["transport_ms"]])}, found)


if __name__ == "__main__":
    main()
