"""The floor: prebuilt frames written to the transport, what comes discarded; and the same with faults, to be caught."""

import asyncio
from typing import Any

from rig import wire
from rig.contenders import PATIENCE_S, Contender
from rig.pacing import each_on_its_own, in_step


class _Line(asyncio.BufferedProtocol):
    """Says what it takes to get a session, then counts bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray(65_536)
        self._opening: bytearray | None = bytearray()
        self._awaited = b""
        self._arrived = asyncio.Event()
        self.transport: Any = None
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, _hint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        if self._opening is None:
            self.received += count
        else:
            self._opening += self._buffer[:count]
            if self._awaited in self._opening:
                self._arrived.set()

    async def ask(self, question: bytes, answer: bytes) -> None:
        self._awaited = answer
        self._arrived.clear()
        self.transport.write(question)
        await self._arrived.wait()

    def count_from_now(self) -> None:
        self._opening = None


class Raw(Contender):
    """No WebSocket, no JSON, no base64: what the transport and the pacing cost by themselves."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._tls = self.place.tls()
        self._lines: list[Any] = [None] * self.sessions
        self._frames: list[list[bytes]] = []
        self._expected = 0

    async def open(self, session: int) -> None:
        loop = asyncio.get_running_loop()
        where = {"host": "127.0.0.1", "port": self.place.port, "ssl": self._tls}
        if self.loop in ("fast", "uvloop"):
            import aiofastnet  # noqa: PLC0415 - not for contenders that do without it

            _, line = await aiofastnet.create_connection(loop, _Line, **where)
        else:
            _, line = await loop.create_connection(_Line, **where)
        upgrade = (
            f"GET {self.place.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await line.ask(upgrade.encode(), b"\r\n\r\n")
        await line.ask(wire.client_frame(wire.setup_message(self.place.name)), wire.SETUP_COMPLETE)
        line.count_from_now()
        self._lines[session] = line

    def prepare(self, count: int) -> None:
        super().prepare(count)
        self._frames = [[wire.client_frame(wire.audio_message(pcm)) for pcm in chunks] for chunks in self.chunks]
        bytes_each = wire.server_frame_bytes(len(wire.message(0, 0)))
        self._expected += count // wire.CHUNKS_PER_MESSAGE * bytes_each

    async def run(self) -> None:
        if self.pacing == "push":
            self.late = await in_step(len(self._frames), self._tick)
        else:
            self.late = await each_on_its_own(self.sessions, len(self._frames), self._send)
        await self._settle()

    async def _tick(self, number: int) -> None:
        for line, frame in zip(self._lines, self._frames[number], strict=True):
            line.transport.write(frame)

    async def _send(self, session: int, number: int) -> None:
        self._lines[session].transport.write(self._frames[number][session])

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_S
        while any(line.received < self._expected for line in self._lines) and loop.time() < give_up_at:  # noqa: ASYNC110 - counting must cost nothing
            await asyncio.sleep(wire.CHUNK_S)
        for session, line in enumerate(self._lines):
            if line.received != self._expected:
                self.tally.blame(f"session {session} got {line.received} bytes, not {self._expected}")
        self.tally.received += self.tally.left
        self.tally.left = 0

    async def close(self) -> None:
        for line in self._lines:
            line.transport.abort()


class Broken(Raw):
    """The raw transport with a fault in the 7th chunk of its first session; each must be caught by the server."""

    pacings = ("wrong", "missing", "repeated", "swapped")
    loops = ("stock",)

    def prepare(self, count: int) -> None:
        super().prepare(count)
        frames, chunks = self._frames, self.chunks
        match self.pacing:
            case "wrong":
                frames[6][0] = wire.client_frame(wire.audio_message(chunks[6][0][:-1] + b"?"))
            case "missing":
                frames[6][0] = wire.client_frame(b"", opcode=0xA)  # a pong that nobody asked for
            case "repeated":
                frames[6][0] = wire.client_frame(wire.audio_message(chunks[5][0]))
            case _:
                frames[6][0], frames[7][0] = frames[7][0], frames[6][0]
