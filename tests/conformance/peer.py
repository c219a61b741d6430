"""A server that writes down what our client says, and says what it is told; its WebSockets are not ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl

import trustme
from websockets.asyncio.server import serve

SETUP_COMPLETE = {"setupComplete": {}}


class Peer:
    """One port. The messages of all connections are in one queue; the test answers on the newest.

    Attributes:
        url: ``ws://127.0.0.1:PORT``, or ``wss://…``.
        connections: of the library, oldest first; each knows its request.
        greeting: answers each setup by itself; ``None`` leaves that to the test.
    """

    def __init__(self, greeting=SETUP_COMPLETE, authority=None):
        self.greeting = greeting
        self._authority = authority
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

    def client_ssl_context(self):
        """Trusts this server and nobody else."""
        return ssl.create_default_context(cadata=self._authority.cert_pem.bytes().decode())

    @property
    def heard_nothing_else(self):
        return self._heard.empty()


@contextlib.asynccontextmanager
async def listening(greeting=SETUP_COMPLETE, *, tls=False):
    authority = trustme.CA() if tls else None
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    peer = Peer(greeting, authority)
    async with serve(peer._handle, "127.0.0.1", 0, ssl=context, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        peer.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}"
        yield peer
