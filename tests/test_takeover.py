from __future__ import annotations

import asyncio
import socket
import sys
from types import SimpleNamespace

import aiohttp
import pytest

from gemini_live.codec import frame
from gemini_live.events import CloseKind
from gemini_live.transport import dialling, fastnet
from gemini_live.transport.fallback import AiohttpTransport
from gemini_live.transport.stream import StreamTransport
from gemini_live.transport.takeover import take_over
from tcp_server import read_for_ever
from test_transport import dialled, hang_about, raw_server, server, tls_contexts

HIGH_WATER = 16 * 1024


@pytest.fixture
def connection(request):
    return request.config.getoption("--connection")


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_the_connection_is_driven_as_the_run_of_the_suite_says(connection, tls):
    ours, theirs = tls_contexts() if tls else (None, None)
    async with server(hang_about, tls=theirs) as url:
        transport, receiver = await dialled(url, ssl=ours)
        assert isinstance(transport, AiohttpTransport if connection == "aiohttp" else StreamTransport)
        if connection != "aiohttp":
            assert type(transport._wire).__module__.startswith("aiofastnet") is (connection == "aiofastnet")
        await transport.close(1000, 1.0)
    assert receiver.lost.result().clean


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_messages_that_come_in_pieces_do_not_mix_although_connections_share_what_they_read_into(tls):
    wires = asyncio.Queue()

    async def handler(websocket):
        wires.put_nowait(websocket._req.transport)
        await websocket.receive()

    ours, theirs = tls_contexts() if tls else (None, None)
    async with server(handler, tls=theirs) as url:
        (one, to_one), (other, to_other) = [await dialled(url, ssl=ours) for _ in range(2)]
        first, second = await wires.get(), await wires.get()
        first.write(b"\x82\x04fi")
        second.write(b"\x82\x06second\x82\x05th")
        assert await to_other.messages.get() == b"second"
        first.write(b"ne\x82\x01!")
        assert [await to_one.messages.get() for _ in range(2)] == [b"fine", b"!"]
        second.write(b"ird")
        assert await to_other.messages.get() == b"third"
        for transport in (one, other):
            await transport.close(1000, 1.0)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_little_waits_where_it_cannot_be_taken_back(connection, tls):
    if connection == "aiohttp":
        pytest.skip("aiohttp's own WebSocket keeps its socket to itself")
    ours, theirs = tls_contexts() if tls else (None, None)
    async with server(hang_about, tls=theirs) as url:
        transport, _ = await dialled(url, ssl=ours)
        wire = transport._wire
        sealed = tls and connection == "aiofastnet"  # there as much waits sealed, and is not counted
        assert wire.get_write_buffer_limits() == ((0, 0) if sealed else (4 * 1024, HIGH_WATER))
        sock = wire.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == HIGH_WATER
        await transport.close(1000, 1.0)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_a_stalled_network_is_noticed_before_a_second_of_speech_waits(connection, tls, request):
    if connection == "aiohttp" or (tls and request.config.getoption("--uvloop") and connection != "aiofastnet"):
        pytest.skip("a buffer of 64 KiB that has no name lies below")
    stalled = asyncio.Event()

    async def handler(websocket):
        websocket._req.transport.pause_reading()
        await stalled.wait()

    ours, theirs = tls_contexts() if tls else (None, None)
    async with server(handler, tls=theirs) as url:
        transport, receiver = await dialled(url, ssl=ours)
        transport._wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        chunk = frame(b"x" * 929)
        written = 0
        while not receiver.pauses:
            transport.write(chunk)
            written += len(chunk)
            assert written < 32 * 1024 * 1024, "the connection never had enough"
            await asyncio.sleep(0)
        wire = transport._wire
        below = getattr(getattr(wire, "_ssl_protocol", None), "_transport", None)
        buffered = wire.get_write_buffer_size() + (below.get_write_buffer_size() if below else 0)
        assert buffered <= HIGH_WATER + 3 * len(chunk)
        stalled.set()
        transport.abort()
        await transport.wait_closed()


async def test_bytes_right_behind_the_handshake_are_not_lost(connection):
    if connection == "aiohttp":
        pytest.skip("what comes early is aiohttp's own business there")

    async def serve(reader, writer):
        writer.write(b"\x82\x02{}" + b"\x82\x7e\x01\x00" + b"x" * 100)  # a message, and half of another
        await writer.drain()
        writer.write(b"x" * 156)
        await reader.read()

    async with raw_server(serve) as url:
        transport, receiver = await dialled(url)
        assert await receiver.messages.get() == b"{}"
        assert await receiver.messages.get() == b"x" * 256
        transport.abort()
        await transport.wait_closed()


async def test_a_close_right_behind_the_handshake_is_reported():
    async def serve(_reader, writer):
        writer.write(b"\x88\x09\x03\xf0no such")
        await writer.drain()

    async with raw_server(serve) as url:
        _, receiver = await dialled(url)
        failure = await receiver.lost
    assert (failure.code, failure.reason) == (1008, "no such")


async def test_nothing_is_written_after_the_last_word(connection, caplog):
    if connection == "aiohttp":
        pytest.skip("there a task writes")
    async with raw_server(read_for_ever) as url:
        transport, _ = await dialled(url)
        transport.abort()
        await transport.wait_closed()
        for _ in range(10):  # asyncio warns of the fifth
            transport.write(frame(b"{}"))
    assert not caplog.records


@pytest.mark.parametrize("by", ["an error", "a cancellation"])
async def test_an_end_that_is_disturbed_keeps_nobody_waiting(connection, monkeypatch, by):
    """As by `asyncio.run`, which cancels every task at its end, this one too, and then waits for the session's."""
    if connection == "aiohttp":
        pytest.skip("there the reader's task does it")
    give_back = dialling._release
    disturbed = asyncio.Event()

    async def release(*args):
        await give_back(*args)
        disturbed.set()
        if by == "an error":
            raise OSError("aiohttp is in trouble")
        await asyncio.Event().wait()

    monkeypatch.setattr(dialling, "_release", release)
    async with raw_server(read_for_ever) as url:
        transport, receiver = await dialled(url)
        transport._wire.abort()
        await disturbed.wait()
        if by == "a cancellation":
            transport._finishing.cancel()
        async with asyncio.timeout(5.0):
            await transport.wait_closed()
    assert receiver.lost.result().reason
    with pytest.raises(OSError if by == "an error" else asyncio.CancelledError):
        await transport._finishing


async def test_a_violation_is_answered_with_its_code(connection):
    if connection == "aiohttp":
        pytest.skip("aiohttp takes masked frames of servers")
    heard = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        writer.write(b"\x82\x82....{}")  # masked
        await writer.drain()
        heard.set_result(await reader.readexactly(8))

    async with raw_server(serve) as url:
        _, receiver = await dialled(url)
        failure = await receiver.lost
        told = await heard
    assert failure.kind is CloseKind.SERVER
    assert told[0] == 0x88
    key, code = told[2:6], told[6:8]
    assert bytes(a ^ b for a, b in zip(code, key, strict=False)) == (1002).to_bytes(2)


@pytest.mark.parametrize(
    "connection_object",
    [
        SimpleNamespace(),
        SimpleNamespace(protocol=None, transport=None),
        SimpleNamespace(protocol=SimpleNamespace(), transport=SimpleNamespace(set_protocol=print, abort=print)),
        SimpleNamespace(protocol=SimpleNamespace(set_parser=print), transport=SimpleNamespace(abort=print)),
    ],
)
async def test_what_aiohttp_does_not_let_go_of_is_left_to_it(connection_object):
    assert take_over(connection_object) is None


async def test_without_aiofastnet_the_loop_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiofastnet", None)
    async with aiohttp.ClientSession() as session:
        loop = session.connector._loop
        fastnet.hasten(session.connector)
        assert session.connector._loop is loop


async def test_with_aiofastnet_only_our_connector_sees_another_loop(monkeypatch):
    asked = []

    async def create_connection(loop, *_args, sock, **_kwargs):
        asked.append(loop)
        sock.close()
        raise OSError("far enough")

    monkeypatch.setitem(sys.modules, "aiofastnet", SimpleNamespace(create_connection=create_connection))
    loop = asyncio.get_running_loop()
    async with raw_server(read_for_ever) as url, aiohttp.ClientSession() as session:
        fastnet.hasten(session.connector)
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.ws_connect(url)
    assert len(asked) == 1
    assert asked[0].time() == pytest.approx(loop.time(), abs=1.0)
    assert "create_connection" not in vars(loop)


async def test_a_handshake_that_is_reset_is_told_once():
    told = []
    loop = SimpleNamespace(call_exception_handler=told.append)
    fast = fastnet._FastLoop(loop, None)
    fast.call_exception_handler({"message": "SSL handshake failed", "exception": ConnectionResetError})
    assert told == []
    fast.call_exception_handler({"message": "a fault", "exception": ValueError()})
    assert len(told) == 1
