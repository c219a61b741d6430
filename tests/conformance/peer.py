"""A server that writes down what our client says, and says what it is told; its WebSockets are not ours."""

from __future__ import annotations

import asyncio
import contextlib
import json

from websockets.asyncio.server import serve

SETUP_COMPLETE = {"setupComplete": {}}


class Peer:
    """One port. The messages of all connections are in one queue; the test answers on the newest.

    Attributes:
        url: ``ws://127.0.0.1:PORT``.
        connections: of the library, oldest first; each knows its request.
        greeting: answers each setup by itself; ``None`` leaves that to the test.
    """

    def __init__(self, greeting=SETUP_COMPLETE):
        self.greeting = greeting
        self.connections = []
        self._heard = asyncio.Queue()

    async def _handle(self, connection):
        self.connections.append(connection)
        async for raw in connection:
            message = json.loads(raw)
            if "setup" in message and self.greeting is not None:
                await self.say(self.greeting)
            self._heard.put_nowait(message)

    async def hear(self):
        """The next message of the client."""
        async with asyncio.timeout(5):
            return await self._heard.get()

    async def say(self, message):
        # bytes, as the service sends it
        await self.connections[-1].send(json.dumps(message).encode())

    async def close(self, code, reason):
        await self.connections[-1].close(code, reason)

    def cut(self):
        self.connections[-1].transport.abort()

    @property
    def heard_nothing_else(self):
        return self._heard.empty()


@contextlib.asynccontextmanager
async def listening(greeting=SETUP_COMPLETE):
    peer = Peer(greeting)
    async with serve(peer._handle, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        peer.url = f"ws://127.0.0.1:{port}"
        yield peer
