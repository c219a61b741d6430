"""How a connection changes hands after aiohttp's handshake. The one place that leans on what aiohttp does not document.

`ClientSession` documents the class of its WebSockets as a hook, and the transport of a connection is public. What is
not promised: that the HTTP protocol keeps what came in behind the handshake for the next parser (``set_parser``), and
that it lets go of its transport. Where any of it is missing, nothing is taken over, and aiohttp's own WebSocket serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

from gemini_live.transport.stream import StreamTransport

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["WebSocket", "take_over"]


class WebSocket(aiohttp.ClientWebSocketResponse):
    """aiohttp's WebSocket, whose connection is taken over as soon as it stands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - aiohttp's own, passed on
        super().__init__(*args, **kwargs)
        connection = self._response.connection
        self.wire: asyncio.Transport | None = None if connection is None else connection.transport
        taken = None if connection is None else take_over(connection)
        self.stream: StreamTransport | None = None
        self.lost: Callable[[Exception | None], None] | None = None
        if taken is not None:
            self.stream, self.lost = taken

    def release(self) -> None:
        """Close the socket, flushing what is buffered."""
        self._response.close()


class _Early:
    """Stands in for a parser and keeps what it is fed."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass


def take_over(connection: Any) -> tuple[StreamTransport, Callable[[Exception | None], None]] | None:  # noqa: ANN401 - aiohttp does not export its type
    """Take a connection out of aiohttp's hands.

    Returns:
        The WebSocket on it, and what to call when its socket is lost, so that aiohttp learns of it; ``None`` if aiohttp
        does not let go.
    """
    http, wire = getattr(connection, "protocol", None), getattr(connection, "transport", None)
    needed = (getattr(http, "set_parser", None), getattr(wire, "set_protocol", None), getattr(wire, "abort", None))
    if http is None or wire is None or None in needed:
        return None
    if getattr(http, "_payload_parser", None) is not None:
        # aiohttp before 3.14 has a parser of its own read on before anybody else is asked: what came in is in there
        return None
    early = _Early()
    http.set_parser(early, None)
    wire.pause_reading()
    stream = StreamTransport(wire, early.data)
    wire.set_protocol(stream)
    return stream, http.connection_lost
