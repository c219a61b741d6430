"""The other end of a WebSocket by three libraries that share no code with ours, under one interface.

A test's script is a coroutine that is given the server's end; what it returns or raises is the test's to look at.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct

import aiohttp
import picows
import websockets
from aiohttp import web
from websockets.asyncio.server import serve

MAX_BYTES = 32 * 1024 * 1024


class Websockets:
    """An end of `websockets`."""

    def __init__(self, socket):
        self._socket = socket

    async def receive(self):
        """A text, a binary message, or the close with its code, which is answered."""
        try:
            message = await self._socket.recv()
        except websockets.ConnectionClosed as closed:
            return "close", None if closed.rcvd is None else closed.rcvd.code
        return ("text", message.encode()) if isinstance(message, str) else ("binary", message)

    async def send(self, message):
        await self._socket.send(message)

    async def send_fragments(self, fragments):
        await self._socket.send(fragments)

    async def ping(self, payload):
        """Return when the answer is there."""
        await (await self._socket.ping(payload))

    async def close(self, code, reason):
        """Return the code of the answer."""
        await self._socket.close(code, reason)
        return self._socket.protocol.close_rcvd.code

    def abort(self):
        self._socket.transport.abort()


@contextlib.asynccontextmanager
async def _serve_websockets(run, tls):
    async def connected(socket):
        await run(Websockets(socket))

    limits = {"max_size": MAX_BYTES, "ping_interval": None, "compression": None}
    async with serve(connected, "127.0.0.1", 0, ssl=tls, **limits) as server:
        yield server.sockets[0].getsockname()[1]


class Aiohttp:
    """An end of `aiohttp`, which sends no fragments."""

    def __init__(self, socket, transport):
        self._socket, self._transport = socket, transport

    async def receive(self):
        match message := await self._socket.receive():
            case aiohttp.WSMessage(type=aiohttp.WSMsgType.TEXT):
                return "text", message.data.encode()
            case aiohttp.WSMessage(type=aiohttp.WSMsgType.BINARY):
                return "binary", message.data
            case aiohttp.WSMessage(type=aiohttp.WSMsgType.PING):
                await self._socket.pong(message.data)
                return await self.receive()
            case aiohttp.WSMessage(type=aiohttp.WSMsgType.CLOSE):
                await self._socket.send_frame(struct.pack("!H", message.data), aiohttp.WSMsgType.CLOSE)
                return "close", message.data
            case _:
                return "close", None

    async def send(self, message):
        await (self._socket.send_str(message) if isinstance(message, str) else self._socket.send_bytes(message))

    async def ping(self, payload):
        await self._socket.ping(payload)
        message = await self._socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, payload)

    async def close(self, code, reason):
        await self._socket.send_frame(struct.pack("!H", code) + reason.encode(), aiohttp.WSMsgType.CLOSE)
        message = await self._socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        return message.data

    def abort(self):
        self._transport.abort()


@contextlib.asynccontextmanager
async def _serve_aiohttp(run, tls):
    async def upgrade(request):
        socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=MAX_BYTES)
        await socket.prepare(request)
        await run(Aiohttp(socket, request.transport))
        return socket

    app = web.Application()
    app.router.add_get("/", upgrade)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield site._server.sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()


class Picows(picows.WSListener):
    """An end of `picows`, which hands out frames."""

    def __init__(self, run):
        self._run = run
        self._arrived = asyncio.Queue()
        self._running = None

    def on_ws_connected(self, transport):
        self._transport = transport
        self._running = asyncio.get_running_loop().create_task(self._run(self))

    def on_ws_frame(self, _transport, frame):
        assert frame.fin
        self._arrived.put_nowait((frame.msg_type, frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, _transport):
        self._arrived.put_nowait((None, b""))

    async def receive(self):
        match await self._arrived.get():
            case picows.WSMsgType.TEXT, payload:
                return "text", payload
            case picows.WSMsgType.BINARY, payload:
                return "binary", payload
            case picows.WSMsgType.PING, payload:
                self._transport.send_pong(payload)
                return await self.receive()
            case picows.WSMsgType.CLOSE, payload:
                self._transport.send(picows.WSMsgType.CLOSE, payload)
                self._transport.disconnect()
                return "close", int.from_bytes(payload)
            case _:
                return "close", None

    async def send(self, message):
        kind = picows.WSMsgType.TEXT if isinstance(message, str) else picows.WSMsgType.BINARY
        self._transport.send(kind, message.encode() if isinstance(message, str) else message)

    async def send_fragments(self, fragments):
        kind = picows.WSMsgType.TEXT if isinstance(fragments[0], str) else picows.WSMsgType.BINARY
        payloads = [one.encode() if isinstance(one, str) else one for one in fragments]
        for number, payload in enumerate(payloads, 1):
            self._transport.send(kind, payload, fin=number == len(payloads))
            kind = picows.WSMsgType.CONTINUATION

    async def ping(self, payload):
        self._transport.send_ping(payload)
        assert await self._arrived.get() == (picows.WSMsgType.PONG, payload)

    async def close(self, code, reason):
        self._transport.send(picows.WSMsgType.CLOSE, struct.pack("!H", code) + reason.encode())
        kind, payload = await self._arrived.get()
        assert kind is picows.WSMsgType.CLOSE
        self._transport.disconnect()
        return int.from_bytes(payload)

    def abort(self):
        self._transport.underlying_transport.abort()


@contextlib.asynccontextmanager
async def _serve_picows(run, tls):
    server = await picows.ws_create_server(
        lambda _request: Picows(run),
        "127.0.0.1",
        0,
        ssl=tls,
        enable_auto_pong=False,
        max_frame_size=MAX_BYTES,
        use_aiofastnet=False,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


SERVERS = {"websockets": _serve_websockets, "aiohttp": _serve_aiohttp, "picows": _serve_picows}


@contextlib.asynccontextmanager
async def peer(library, script, tls=None):
    """Serve one connection with ``script``; yield the URL and a future of what the script comes to."""
    outcome = asyncio.get_running_loop().create_future()

    async def run(end):
        try:
            outcome.set_result(await script(end))
        except Exception as error:  # noqa: BLE001 - the test's to look at
            outcome.set_exception(error)

    async with SERVERS[library](run, tls) as port:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/", outcome
