"""aiohttp, orjson and pybase64 as a good engineer writes it: no session, no reconnect, nothing kept."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson
import pybase64

from rig import wire
from rig.contenders import PATIENCE_S, Contender
from rig.pacing import each_on_its_own, in_step


class Aiohttp(Contender):
    """The message is concatenated around base64, which is faster than any serialiser; orjson reads."""

    loops = ("stock", "bare")

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._tls = self.place.tls()
        self._client: aiohttp.ClientSession | None = None
        self._sockets: list[Any] = [None] * self.sessions
        self._listeners: list[asyncio.Task[None]] = []

    async def open(self, session: int) -> None:
        if self._client is None:
            self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        socket = await self._client.ws_connect(self.place.url, ssl=self._tls, compress=0, max_msg_size=0)
        await socket.send_bytes(wire.setup_message(self.place.name))
        if (await socket.receive()).data != wire.SETUP_COMPLETE:
            raise ConnectionError("no setupComplete")
        self._sockets[session] = socket
        self._listeners.append(asyncio.create_task(self._listen(socket, session)))

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse, number: int) -> None:
        ear = self.ears[number]
        async for message in socket:
            blob = orjson.loads(message.data)["serverContent"]["modelTurn"]["parts"][0]["inlineData"]
            ear.hear(pybase64.b64decode(blob["data"], validate=True))

    async def run(self) -> None:
        if self.pacing == "push":
            self.late = await in_step(len(self.chunks), self._tick)
        else:
            self.late = await each_on_its_own(self.sessions, len(self.chunks), self._send)
        await self.tally.wait_complete(PATIENCE_S)

    async def _tick(self, number: int) -> None:
        for socket, pcm in zip(self._sockets, self.chunks[number], strict=True):
            await socket.send_bytes(wire.audio_message(pcm))

    async def _send(self, session: int, number: int) -> None:
        await self._sockets[session].send_bytes(wire.audio_message(self.chunks[number][session]))

    async def close(self) -> None:
        await asyncio.gather(*(socket.close() for socket in self._sockets))
        await asyncio.gather(*self._listeners)
        if self._client is not None:
            await self._client.close()
