"""The network between a client and its emulator: a TCP proxy that can do to a connection whatever a bad one does.

It works on bytes. It reads the heads of WebSocket frames, so that it can cut, hold back or double a certain one, and
knows nothing else of the protocol; over TLS it knows not even that.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from gemini_live.emulator.listening import stop_listening

if TYPE_CHECKING:
    from random import Random

    from gemini_live.emulator import ConnectionLedger, Emulator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
Direction = Literal["up", "down"]
"""Up is from the client to the emulator."""
_HEAD_ENDS = b"\r\n\r\n"


class Frame(NamedTuple):
    """A whole frame, head included; or the head of the HTTP exchange, which has the opcode −1."""

    direction: Direction
    opcode: int
    raw: bytes


Trap = Callable[["Passage", Frame], bool]
"""Is shown each frame before it goes on; true if it has dealt with it, and the frame does not go on."""


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A frame of the server's, which are not masked (RFC 6455 5.2)."""
    head = bytes([opcode | (0x80 if final else 0)])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 1 << 16:
        return head + b"\x7e" + struct.pack("!H", len(payload)) + payload
    return head + b"\x7f" + struct.pack("!Q", len(payload)) + payload


class _Frames:
    """Cuts a stream into whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._in_head = True

    def feed(self, data: bytes):
        self._buffer += data
        while (size := self._size()) and len(self._buffer) >= size:
            raw = bytes(self._buffer[:size])
            del self._buffer[:size]
            opcode, self._in_head = (-1, False) if self._in_head else (raw[0] & 0x0F, False)
            yield opcode, raw

    def _size(self) -> int:
        """Of the next frame; 0 if that is not known yet."""
        buffer = self._buffer
        if self._in_head:
            found = buffer.find(_HEAD_ENDS)
            return found + len(_HEAD_ENDS) if found >= 0 else 0
        if len(buffer) < 2:
            return 0
        length = buffer[1] & 0x7F
        extra = {126: 2, 127: 8}.get(length, 0)
        if len(buffer) < 2 + extra:
            return 0
        if extra:
            length = int.from_bytes(buffer[2 : 2 + extra], "big")
        return 2 + extra + (4 if buffer[1] & 0x80 else 0) + length


class _End(asyncio.Protocol):
    """One of the two sockets of a passage."""

    def __init__(self, passage: Passage, direction: Direction) -> None:
        self.passage = passage
        self.direction: Direction = direction  # of what comes in here
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        if self.direction == "up":
            self.passage.client_came()

    def data_received(self, data: bytes) -> None:
        self.passage.received(self.direction, data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.passage.lost(self.direction)

    def pause_writing(self) -> None:
        self.passage.other(self).pause_reading()

    def resume_writing(self) -> None:
        self.passage.other(self).resume_reading()


class Passage:
    """One connection on its way through the proxy.

    Attributes:
        traps: look at each frame, one after the other, until one has dealt with it.
        swallowed: directions in which nothing goes through any more, and nobody is told.
        holds_server: when the client's side goes, the server's stays open, as if the network had kept it from knowing.
        pace: bytes per second in a direction, if it is slow.
    """

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.traps: list[Trap] = []
        self.swallowed: set[Direction] = set()
        self.holds_server = False
        self.pace: dict[Direction, float] = {}
        self.gone = asyncio.Event()
        self.client = _End(self, "up")
        self.server = _End(self, "down")
        self._frames = {"up": _Frames(), "down": _Frames()}
        self._before = bytearray()  # from the client, until the server's side stands
        self._queued: dict[Direction, asyncio.Queue[bytes]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._lost: set[Direction] = set()

    # --- the two sockets ---

    def client_came(self) -> None:
        self.proxy.passages.append(self)
        self.traps, self.proxy.next_traps = [*self.proxy.standing_traps, *self.proxy.next_traps], []
        self._tasks.append(asyncio.create_task(self._reach_server(), name="chaos passage"))

    async def _reach_server(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, "127.0.0.1", self.proxy.server_port)
        except OSError:
            self.cut()
            return
        before, self._before = bytes(self._before), bytearray()
        if before:
            self.received("up", before)
        if "up" in self._lost and not self.holds_server:
            self.server.transport.close()

    def received(self, direction: Direction, data: bytes) -> None:
        if direction == "up" and self.server.transport is None:
            self._before += data
            return
        if self.proxy.opaque:
            self._one(Frame(direction, -1, data))
            return
        for opcode, raw in self._frames[direction].feed(data):
            self._one(Frame(direction, opcode, raw))

    def _one(self, one: Frame) -> None:
        if one.direction in self.swallowed or one.direction in self._lost:
            return
        if not any(trap(self, one) for trap in tuple(self.traps)):
            self.send(one.direction, one.raw)

    def send(self, direction: Direction, raw: bytes) -> None:
        """On towards the server or the client."""
        if direction in self.swallowed:
            return
        if direction in self.pace:
            self._queued[direction].put_nowait(raw)
            return
        self._write(direction, raw)

    def _write(self, direction: Direction, raw: bytes) -> None:
        transport = (self.server if direction == "up" else self.client).transport
        if transport is not None and not transport.is_closing():
            transport.write(raw)

    def other(self, end: _End):
        return (self.server if end is self.client else self.client).transport

    def lost(self, direction: Direction) -> None:
        """A socket is gone; the other one follows, after what is on its way to it."""
        self._lost.add(direction)
        end = self.client if direction == "down" else self.server
        held = direction == "up" and self.holds_server
        if end.transport is not None and not held and not self.swallowed:
            end.transport.close()
        if direction == "up" and self.swallowed and not self.holds_server and self.server.transport is not None:
            self.server.transport.abort()
        server_is_gone = "down" in self._lost or self.server.transport is None
        if "up" in self._lost and server_is_gone and not self.gone.is_set():
            self.gone.set()
            self.proxy.passages.remove(self)
            for task in self._tasks:
                task.cancel()

    # --- what a bad network does ---

    def cut(self, *, reset: bool = True) -> None:
        """Ends both sides: by RST, or by FIN after what is on its way."""
        for end in (self.client, self.server):
            if end.transport is None or (end is self.server and self.holds_server):
                continue
            if reset:
                with contextlib.suppress(OSError):  # it is closed already
                    end.transport.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                end.transport.abort()
            else:
                end.transport.close()

    def let_server_go(self) -> None:
        """The network tells the server at last."""
        self.holds_server = False
        if self.server.transport is not None:
            self.server.transport.abort()

    def slow_down(self, direction: Direction, bytes_per_s: float, rng: Random) -> None:
        """From now on a direction is slow, in pieces of any size."""
        self.pace[direction] = bytes_per_s
        if direction not in self._queued:
            self._queued[direction] = asyncio.Queue()
            self._tasks.append(asyncio.create_task(self._trickle(direction, rng), name="chaos trickle"))

    def speed_up(self) -> None:
        """No direction is slow any more."""
        for direction in self.pace:
            self.pace[direction] = float("inf")

    async def _trickle(self, direction: Direction, rng: Random) -> None:
        queue = self._queued[direction]
        source = (self.client if direction == "up" else self.server).transport
        while True:
            raw = await queue.get()
            while raw:
                if self.pace[direction] == float("inf"):
                    self._write(direction, raw)
                    break
                size = rng.choice((1, 3, 50, 700, 5_000))
                source.pause_reading()
                await asyncio.sleep(min(size, len(raw)) / self.pace[direction])
                source.resume_reading()
                self._write(direction, raw[:size])
                raw = raw[size:]

    async def wait_gone(self) -> None:
        await self.gone.wait()


class Proxy:
    """The network of one session.

    Args:
        emulator: where it leads.
        opaque: what goes through is TLS.

    Attributes:
        port: to dial.
        passages: the connections that are there, oldest first.
        next_traps: for the next connection.
        standing_traps: for all of them.
    """

    def __init__(self, emulator: Emulator, *, opaque: bool = False) -> None:
        self.emulator = emulator
        self.opaque = opaque
        self.server_port = int(emulator.url.rpartition(":")[2])
        self.port = 0
        self.passages: list[Passage] = []
        self.next_traps: list[Trap] = []
        self.standing_traps: list[Trap] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: Passage(self).client, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        await stop_listening(self._server)
        passages = list(self.passages)
        for passage in passages:
            passage.holds_server = False
            passage.swallowed.clear()
            passage.cut()
        for passage in passages:
            await passage.wait_gone()
        await self._server.wait_closed()

    @property
    def current(self) -> Passage | None:
        """The connection that came last, if its client is still there."""
        last = self.passages[-1] if self.passages else None
        return last if last is not None and "up" not in last._lost else None

    def heard(self) -> ConnectionLedger | None:
        """The emulator's account of the connection that came last.

        The emulator begins one as it answers the upgrade, and a session dials one connection at a time.
        """
        return self.emulator.ledger.connections[-1] if self.emulator.ledger.connections else None
