from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import socket
import ssl
import struct

import pytest
import trustme
from aiohttp import WSMsgType, web

from gemini_live.auth import Address
from gemini_live.codec import frame
from gemini_live.config import TransportConfig
from gemini_live.events import CloseKind
from gemini_live.transport import DialError, dial
from tcp_server import read_for_ever, tcp_server

SECRET = "sk-very-secret"  # noqa: S105 - made up


class Recorder:
    """A receiver that keeps what it is told."""

    def __init__(self):
        self.messages = asyncio.Queue()
        self.pongs = asyncio.Queue()
        self.lost = asyncio.get_running_loop().create_future()
        self.life_signs = 0
        self.pauses = []

    def message_received(self, raw):
        self.messages.put_nowait(raw)

    def pong_received(self, payload):
        self.pongs.put_nowait(payload)

    def life_sign(self):
        self.life_signs += 1

    def writing_paused(self):
        self.pauses.append("paused")

    def writing_resumed(self):
        self.pauses.append("resumed")

    def connection_lost(self, failure):
        self.lost.set_result(failure)


@contextlib.asynccontextmanager
async def server(handler, *, tls=None):
    """An aiohttp WebSocket server, independent of the emulator; yields its URL."""

    async def upgrade(request):
        socket = web.WebSocketResponse(autoping=False, autoclose=False)
        await socket.prepare(request)
        await handler(socket)
        return socket

    app = web.Application()
    app.router.add_get("/", upgrade)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    try:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def raw_server(serve, *, tls=None):
    """A TCP server that does the upgrade and then whatever the test wants with the streams; yields its URL."""

    async def upgrade(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in request.split(b"\r\n") if b": " in line)
        digest = hashlib.sha1(headers[b"Sec-WebSocket-Key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")  # noqa: S324
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest.digest()) + b"\r\n\r\n"
        )
        await serve(reader, writer)

    async with tcp_server(upgrade, tls=tls) as port:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/"


def tls_contexts():
    """Of a client that trusts the server, and of the server."""
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    return ours, theirs


async def dialled(url, **config):
    receiver = Recorder()
    address = Address(url, {"x-goog-api-key": SECRET})
    return await dial(address, TransportConfig(**config), receiver), receiver


async def messages_of(socket):
    """What the client sends, until it says goodbye; pings are answered, as every WebSocket does."""
    while (message := await socket.receive()).type is not WSMsgType.CLOSE:
        if message.type is WSMsgType.PING:
            await socket.pong(message.data)
        yield message
    await socket.send_frame(struct.pack("!H", message.data), WSMsgType.CLOSE)


async def hang_about(socket, last=None):
    """Read until the client says goodbye; echo it, after a last word."""
    async for message in messages_of(socket):
        if message.type is WSMsgType.PING and last is not None:
            await socket.send_bytes(last)


async def failed(url, **config):
    with pytest.raises(DialError) as caught:
        await dialled(url, **config)
    error = caught.value
    # wherever an exception may be printed, the credential is not there
    assert SECRET not in repr(error) + str(error) + repr(error.failure) + repr(error.__cause__)
    assert error.__suppress_context__
    return error.failure


async def test_messages_go_out_as_text_in_order_with_headers_and_without_compression():
    heard = []
    headers = {}

    async def handler(socket):
        headers.update(socket._req.headers)
        heard.extend([(one.type, one.data) async for one in messages_of(socket) if one.type is not WSMsgType.PING])

    async with server(handler) as url:
        transport, receiver = await dialled(url, headers={"x-extra": "1"})
        for number in range(100):
            transport.write(frame(b"%d" % number))
        await transport.close(1000, 1.0)
    assert heard == [(WSMsgType.TEXT, str(number)) for number in range(100)]
    assert headers["x-extra"] == "1"
    assert headers["x-goog-api-key"] == SECRET
    assert "Sec-WebSocket-Extensions" not in headers
    assert receiver.lost.result().clean


async def test_text_and_binary_messages_are_received_alike_and_large_ones_too():
    async def handler(socket):
        await socket.send_str('{"a":"é"}')
        await socket.send_bytes(b'{"b":1}')
        await socket.send_bytes(b"x" * 10_000_000)
        await hang_about(socket)

    async with server(handler) as url:
        transport, receiver = await dialled(url)
        assert await receiver.messages.get() == '{"a":"é"}'.encode()
        assert await receiver.messages.get() == b'{"b":1}'
        assert len(await receiver.messages.get()) == 10_000_000
        await transport.close(1000, 1.0)


async def test_pings_are_answered_and_pongs_reported():
    answered = asyncio.Event()

    async def handler(socket):
        await socket.ping(b"are you there")
        async for message in messages_of(socket):
            match message.type:
                case WSMsgType.PONG:
                    assert message.data == b"are you there"
                    answered.set()

    async with server(handler) as url:
        transport, receiver = await dialled(url)
        await answered.wait()
        assert receiver.life_signs == 1
        transport.ping(b"7")
        assert await receiver.pongs.get() == b"7"
        await transport.close(1000, 1.0)


@pytest.mark.parametrize(("code", "reason"), [(1011, "Internal error encountered."), (1008, "models/x is not found")])
async def test_a_close_of_the_service_is_echoed_and_reported(code, reason):
    echoes = []

    async def handler(socket):
        await socket.send_frame(struct.pack("!H", code) + reason.encode(), WSMsgType.CLOSE)
        echoes.append((await socket.receive()).data)

    async with server(handler) as url:
        _, receiver = await dialled(url)
        failure = await receiver.lost
    assert (failure.code, failure.reason, failure.clean) == (code, reason, False)
    assert echoes == [code]


async def test_a_close_frame_without_a_code():
    async def handler(socket):
        await socket.send_frame(b"", WSMsgType.CLOSE)
        await socket.receive()

    async with server(handler) as url:
        _, receiver = await dialled(url)
        assert (await receiver.lost).code == 1005


@pytest.mark.parametrize("reset", [True, False])
async def test_a_connection_that_breaks_without_a_word(reset):
    async def serve(reader, writer):
        await reader.readexactly(6)
        if reset:
            writer.transport.abort()

    async with raw_server(serve) as url:
        transport, receiver = await dialled(url)
        transport.write(frame(b"{}"))
        failure = await receiver.lost
    assert failure.code is None
    assert not failure.clean
    assert failure.reason


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_an_end_without_a_close_does_not_wait_for_what_nobody_reads(tls, request):
    """The other side is gone, and the network takes nothing any more: what is in the buffers never leaves."""
    connection, uvloop = request.config.getoption("--connection"), request.config.getoption("--uvloop")
    if connection == "aiohttp" or (tls and uvloop and connection != "aiofastnet"):
        pytest.skip("those wait for up to 30 s and tell nobody; the silence is noticed by a ping")
    full = asyncio.Event()
    over = asyncio.Event()

    async def serve(_reader, writer):
        writer.transport.pause_reading()
        await full.wait()
        descriptor = writer.get_extra_info("socket").fileno()
        with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as below:  # of TLS, or of uvloop
            below.shutdown(socket.SHUT_WR)
        await over.wait()

    ours, theirs = tls_contexts() if tls else (None, None)
    async with raw_server(serve, tls=theirs) as url:
        transport, receiver = await dialled(url, ssl=ours)
        for _ in range(400):  # more than loopback's socket buffers take
            transport.write(frame(b"x" * 65_536))
        full.set()
        _, late = await asyncio.wait([receiver.lost], timeout=5.0)
        over.set()
        assert not late
        await transport.wait_closed()
    assert not receiver.lost.result().clean
    assert receiver.pauses[-1] == "paused"


async def test_a_connection_that_breaks_in_the_middle_of_a_frame():
    async def serve(_reader, writer):
        writer.write(b"\x82\x7e\x10\x00" + b"half")
        await writer.drain()

    async with raw_server(serve) as url:
        _, receiver = await dialled(url)
        failure = await receiver.lost
    assert failure.code is None
    assert receiver.messages.empty()


async def test_a_stream_that_is_not_websocket_any_more():
    async def serve(reader, writer):
        writer.write(b"\xff\xff\xff\xff")
        await writer.drain()
        await reader.read()

    async with raw_server(serve) as url:
        _, receiver = await dialled(url)
        failure = await receiver.lost
    assert failure.kind is CloseKind.SERVER
    assert "broken WebSocket stream" in failure.reason


async def test_close_does_not_wait_for_an_echo_for_ever():
    async with raw_server(read_for_ever) as url:
        transport, receiver = await dialled(url)
        await transport.close(1000, 0.05)
        failure = receiver.lost.result()
    assert not failure.clean
    assert "0.05 s" in failure.reason


async def test_what_arrives_between_our_close_and_its_echo_is_handed_on():
    async def handler(socket):
        await hang_about(socket, last=b"last")

    async with server(handler) as url:
        transport, receiver = await dialled(url)
        await transport.close(1000, 1.0)
        assert receiver.messages.get_nowait() == b"last"
        assert receiver.lost.result().clean


@pytest.mark.parametrize("politely", [True, False])
async def test_nothing_more_is_taken_once_the_other_side_has_ended(politely):
    async def serve(_reader, writer):
        if politely:
            writer.write(b"\x88\x02\x03\xf3")
            await writer.drain()
        else:
            writer.transport.abort()

    async with raw_server(serve) as url:
        _, receiver = await dialled(url)
        await receiver.lost
    assert receiver.pauses == ["paused"]


@pytest.mark.parametrize("code", [1000, 1011])
async def test_two_closes_that_cross_prove_nothing(code):
    """A server that closes by itself has not read what came last, whatever code it gives."""

    async def serve(_reader, writer):
        writer.write(b"\x88\x02" + struct.pack("!H", code))
        await writer.drain()
        await asyncio.sleep(0.05)

    async with raw_server(serve) as url:
        transport, receiver = await dialled(url)
        transport.write(frame(b"never read"))
        await transport.close(1000, 1.0)
        failure = receiver.lost.result()
    assert (failure.code, failure.clean) == (code, False)


async def test_abort_is_silent_and_leaves_nothing_behind():
    before = asyncio.all_tasks()

    async with raw_server(read_for_ever) as url:
        transport, receiver = await dialled(url)
        mine = asyncio.all_tasks() - before
        transport.write(frame(b"{}"))
        transport.abort()
        await transport.wait_closed()
        assert not receiver.lost.done()
        assert not {task for task in asyncio.all_tasks() & mine if task.get_name().startswith("gemini-live")}


@pytest.mark.parametrize("turns", range(6))
async def test_a_loop_that_is_shut_down_while_the_socket_closes_is_not_held_up(turns):
    """Whoever cancels all tasks, as `asyncio.run` does at its end, cancels also the one that clears up."""
    async with raw_server(read_for_ever) as url:
        transport, _ = await dialled(url)
        transport.abort()
        for _ in range(turns):  # up to where it has not begun, is at it, or has done it
            await asyncio.sleep(0)
        for task in asyncio.all_tasks():
            if task.get_name().startswith("gemini-live"):
                task.cancel()
        async with asyncio.timeout(1):
            await transport.wait_closed()
    del transport
    gc.collect()  # which would complain of what was not closed


async def test_a_peer_that_does_not_read_makes_writing_pause_and_reading_goes_on():
    release = asyncio.Event()

    async def serve(reader, writer):
        writer.transport.pause_reading()
        writer.write(b"\x82\x02{}")
        await release.wait()
        writer.transport.resume_reading()
        await reader.read()

    async with raw_server(serve) as url:
        transport, receiver = await dialled(url)
        for _ in range(400):  # more than loopback's socket buffers take
            transport.write(frame(b"x" * 65_536))
        assert receiver.pauses == ["paused"]
        assert await receiver.messages.get() == b"{}"
        release.set()
        while receiver.pauses != ["paused", "resumed"]:
            await asyncio.sleep(0)
        transport.abort()
        await transport.wait_closed()


async def test_a_connection_whose_other_side_has_ended_takes_nothing_more():
    """What would be written then would leave behind the close, which nobody reads: it must wait for the next one."""
    close_read = asyncio.Event()

    async def serve(reader, writer):
        writer.transport.pause_reading()
        writer.write(b"\x88\x02\x03\xe9")  # 1001
        await close_read.wait()
        writer.transport.resume_reading()
        await reader.read()

    async with raw_server(serve) as url:
        transport, receiver = await dialled(url)
        for _ in range(400):  # more than loopback's socket buffers take
            transport.write(frame(b"x" * 65_536))
        while not transport._stopped:
            await asyncio.sleep(0)
        close_read.set()
        await receiver.lost
        assert "resumed" not in receiver.pauses


# --- dials that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_an_http_status_instead_of_an_upgrade(status):
    app = web.Application()

    async def refuse(_request):
        return web.Response(status=status)

    app.router.add_get("/", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    failure = await failed(f"ws://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/")
    await runner.cleanup()
    assert failure.code == status
    assert failure.kind is None


async def test_a_redirect_is_not_followed_with_the_credential_in_hand():
    visited = []
    app = web.Application()

    async def redirect(_request):
        raise web.HTTPFound("/elsewhere")

    async def elsewhere(request):
        visited.append(dict(request.headers))
        return web.Response()

    app.router.add_get("/", redirect)
    app.router.add_get("/elsewhere", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    with pytest.raises(DialError) as caught:
        await dialled(f"ws://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/")
    await runner.cleanup()
    assert visited == []
    assert caught.value.failure.code == 302
    assert SECRET not in repr(caught.value.__context__)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: made-up\r\nUpgrade: webs"])
async def test_half_an_answer_is_not_repeated(answer):
    """aiohttp's words for it are all of the half, with its cookies."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with tcp_server(serve) as port:
        failure = await failed(f"ws://127.0.0.1:{port}/")
    assert failure.kind is CloseKind.NETWORK
    assert failure.reason == "the connection was closed before the answer was there"


async def test_a_port_that_nobody_listens_at():
    async with tcp_server(read_for_ever) as port:
        pass
    failure = await failed(f"ws://127.0.0.1:{port}/")
    assert failure.kind is CloseKind.NETWORK
    assert f"127.0.0.1:{port}" in failure.reason


async def test_a_host_that_has_no_address():
    failure = await failed("ws://nowhere.invalid/")
    assert failure.kind is CloseKind.NETWORK
    assert "nowhere.invalid" in failure.reason


async def test_a_certificate_that_nobody_vouches_for():
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with server(hang_about, tls=tls) as url:
        failure = await failed(url)
        assert failure.kind is CloseKind.NETWORK
        assert "not trusted" in failure.reason
        assert "TransportConfig(ssl=" in failure.hint

        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        transport, _ = await dialled(url, ssl=trusting)
        await transport.close(1000, 1.0)


async def test_tls_where_there_is_none():
    async with server(hang_about) as url:
        failure = await failed(url.replace("ws://", "wss://"))
    assert failure.kind is CloseKind.NETWORK
    assert failure.reason.startswith("TLS")


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 X\r\nA\0B: c\r\n\r\n",
        b"HTTP/1.1 101 X\r\nA: " + b"x" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_a_server_that_speaks_something_else(answer):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with tcp_server(serve) as port:
        failure = await failed(f"ws://127.0.0.1:{port}/?ticket=sesame")
    assert failure.kind is CloseKind.NETWORK
    assert failure.reason == "what answers there does not speak HTTP"  # without the URL and what came
    assert failure.hint


async def test_a_port_of_the_sixth_version():
    failure = await failed("ws://[::1]:1/")
    assert failure.reason.startswith("[::1]:1: ")


async def test_a_cancelled_dial_leaves_nothing_behind():
    before = asyncio.all_tasks()
    asked = asyncio.Event()

    async def serve(reader, _writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async with tcp_server(serve) as port:
        dialling = asyncio.create_task(dialled(f"ws://127.0.0.1:{port}/"))
        await asked.wait()
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
    assert {task for task in asyncio.all_tasks() - before if "gemini-live" in task.get_name()} == set()
