"""The emulator as a thing: starting, leaving, TLS, the ledger."""

import ast
import asyncio
import contextlib
import json
import socket
import ssl
import time
from pathlib import Path

import aiohttp
import pytest

import emulator_client
from emulator_client import DEV, DEV_MODEL, HOLDING, TOOLS, dial, profile, said, talk, tone
from gemini_live import emulator

no_errors_inside = emulator_client.no_errors_inside


async def test_serve_gives_a_string_and_an_emulator():
    server = emulator.serve(compress_time=True)
    assert server.url == ""
    async with server as url:
        assert type(url) is str
        assert server.url == url
        assert isinstance(server, emulator.Emulator)
        assert server.connections == ()
    async with emulator.Emulator() as emu:
        assert emu.url.startswith("ws://127.0.0.1:")


async def test_serves_tls_and_nobody_else_trusts_it():
    server = emulator.serve(tls=True, compress_time=True)
    async with server as url:
        assert url.startswith("wss://127.0.0.1:")
        assert server.ca_pem.startswith(b"-----BEGIN CERTIFICATE-----")
        for host in ("127.0.0.1", "localhost"):
            async with dial(url.replace("127.0.0.1", host), tls=server.client_ssl_context()) as client:
                await client.set_up()
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await dial(url).__aenter__()


async def test_client_ssl_context_needs_tls():
    async with emulator.Emulator() as emu:
        with pytest.raises(RuntimeError):
            emu.client_ssl_context()


def test_unknown_profile_names_the_known_ones():
    with pytest.raises(ValueError, match=r"3\.8, 3\.8-extended-thinking, 3\.1, 2\.5, vertex"):
        emulator.serve(profile="4")


def test_the_emulator_shares_nothing_but_names_with_the_client():
    names = {"setup_message", "config", "messages", "events", "errors"}
    for path in Path(emulator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = (
                [node.module] if isinstance(node, ast.ImportFrom) else [n.name for n in getattr(node, "names", [])]
            )
            for module in modules if isinstance(node, ast.Import | ast.ImportFrom) else []:
                package, _, room = module.partition(".")
                assert package != "gemini_live" or room.split(".")[0] in names | {"emulator"}, f"{path.name}: {module}"


async def test_leaving_takes_no_time_and_no_tasks_stay():
    before = asyncio.all_tasks()
    async with emulator.Emulator(profile=profile(pace=HOLDING)) as emu, contextlib.AsyncExitStack() as open_:
        clients = [await open_.enter_async_context(dial(emu.url)) for _ in range(20)]
        for number, client in enumerate(clients):
            if number % 2:
                await client.set_up()
                await client.say(realtimeInput={"text": "a long story"})
        assert len(emu.connections) == 20
        left = time.monotonic()
        await emu.stop()
        assert time.monotonic() - left < 0.5  # half of what a peer that does not answer is given
        assert asyncio.all_tasks() == before
        assert all(connection.code == 1001 for connection in emu.ledger.connections)
    await emu.stop()  # once more does no harm


@contextlib.asynccontextmanager
async def deaf_client(emu):
    """A client that asks for more than the socket holds and reads none of it."""
    reader, writer = await asyncio.open_connection(*emu.url.removeprefix("ws://").split(":"))
    writer.write(
        f"GET {DEV}?key=k HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    reader._transport.pause_reading()
    setup = {"model": DEV_MODEL, "realtimeInputConfig": {"activityHandling": "NO_INTERRUPTION"}}
    for message in [{"setup": setup}] + [{"realtimeInput": {"text": "x" * 100}}] * 40:  # 15 MB of answers
        data = json.dumps(message).encode()
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        writer.write(b"\x81" + length + bytes(4) + data)
    await writer.drain()
    while not emu.ledger.sessions or emu.ledger.connections[0].messages < 40:
        await asyncio.sleep(0)
    for _ in range(200):
        await asyncio.sleep(0)
    assert emu.connections[0]._transport.get_write_buffer_size() > 0
    try:
        yield
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_leaving_while_somebody_is_let_in(tls, turns, caplog, request):
    if tls and request.config.getoption("--uvloop"):
        pytest.skip("uvloop does not say whom it lets in before it has shaken hands")
    caplog.set_level("CRITICAL", "asyncio")  # in debug mode it says of every handshake how it failed
    async with emulator.Emulator(tls=tls) as emu:
        host, _, port = emu.url.rpartition("/")[2].partition(":")
        with socket.create_connection((host, int(port))) as client:
            for _ in range(turns):  # up to where the loop has accepted it, but made nothing of it yet
                await asyncio.sleep(0)
            await emu.stop()
            client.setblocking(False)
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.get_running_loop().sock_recv(client, 1) == b""


async def test_whoever_comes_through_the_door_afterwards_is_sent_away():
    async with emulator.Emulator(tls=True) as emu:
        host, _, port = emu.url.rpartition("/")[2].partition(":")
        with socket.create_connection((host, int(port))) as early:
            for _ in range(10):
                await asyncio.sleep(0)
            await emu.stop()
            early.setblocking(False)
            with contextlib.suppress(OSError, aiohttp.ClientError):
                async with aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=emu.client_ssl_context(), socket_factory=lambda _info: early)
                ) as session:
                    await session.ws_connect(emu.url)
        assert emu.ledger.connections == []


async def ask_through_tls(sock, context, request):
    """A request and its answer, without anybody who would answer the end of TLS by himself."""
    loop = asyncio.get_running_loop()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            await loop.sock_sendall(sock, outgoing.read())
            incoming.write(await loop.sock_recv(sock, 65_536))
        else:
            break
    tls.write(request)
    await loop.sock_sendall(sock, outgoing.read())
    assert await loop.sock_recv(sock, 65_536)


PAGE = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
SESSION = (
    b"GET %b HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nx-goog-api-key: k\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % DEV.encode()
)
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


@pytest.mark.parametrize("asked", [PAGE, SESSION, SESSION + CLOSE], ids=["page", "session", "closed session"])
async def test_whoever_does_not_say_goodbye_is_cut_off(asked, request):
    loop = asyncio.get_running_loop()
    if request.config.getoption("--uvloop"):
        pytest.skip("uvloop does not say whom it lets in before it has shaken hands")
    async with emulator.Emulator(tls=True) as emu:
        host, _, port = emu.url.rpartition("/")[2].partition(":")
        with socket.create_connection((host, int(port))) as client:
            client.setblocking(False)
            await ask_through_tls(client, emu.client_ssl_context(), asked)
            await emu.stop()
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionResetError):
                    while await loop.sock_recv(client, 65_536):
                        pass


async def test_a_stop_that_is_cancelled_leaves_nothing_open():
    async with emulator.Emulator() as emu, dial(emu.url) as client:
        await client.set_up()
        stopping = asyncio.create_task(emu.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])
        assert emu.connections == ()
        await client.closed()


async def test_leaving_while_a_client_does_not_read():
    async with emulator.Emulator(compress_time=True) as emu, deaf_client(emu):
        left = time.monotonic()
        await emu.stop()
        assert time.monotonic() - left < 0.5  # half of what a peer that does not answer is given


async def test_a_client_that_does_not_read_is_cut_all_the_same():
    lines = []
    faults = emulator.Faults(cut_after_s=0.3)
    async with emulator.Emulator(compress_time=True, faults=faults, tell=lines.append) as emu, deaf_client(emu):
        (connection,) = emu.connections
        async with asyncio.timeout(5):
            await connection.gone.wait()
        assert emu.connections == ()
    assert lines[-1] == "connection 1: cut after 0.3 s"


@pytest.mark.parametrize(
    "message",
    [
        {"toolResponse": {}},
        {"toolResponse": {"functionResponses": [{"id": "x", "response": {"output": 1, "scheduling": []}}]}},
        {"clientContent": {}},
        {"clientContent": {"turns": [{}], "turnComplete": True}},
        {"contextUpdate": {"tools": {"tools": [{"functionDeclarations": [{}]}]}}},
        {"realtimeInput": {}},
        {"realtimeInput": {"text": ""}},
        {"realtimeInput": {"text": "\ud800"}},
        {"realtimeInput": {"audio": {"mimeType": "audio/pcm"}}},
        {"realtimeInput": {"audioStreamEnd": False}},
    ],
)
async def test_odd_messages_do_no_harm(message):
    async with talk(setup={**TOOLS, "sessionResumption": {}}) as (_, client):
        await client.say(**message)
        await client.say(realtimeInput={"text": "all well"})
        got = []
        while said(got) != "all well":
            got = await client.until("serverContent", "turnComplete")


async def test_counts_messages_that_come_too_early():
    async with emulator.Emulator() as emu, dial(emu.url) as client:
        await client.say(setup={"model": DEV_MODEL})
        await client.say(realtimeInput={"text": "impatient"})
        assert (await client.get()) == {"setupComplete": {}}
        assert emu.ledger.connections[0].early_messages == 1


async def test_without_recording_it_only_counts():
    async with talk(record=False) as (emu, client):
        await client.speak(tone(0.1))
        await client.flushed()
        session = emu.ledger.sessions[0]
        assert (session.audio_samples, session.audio_chunks, len(session.audio)) == (1_600, 5, 0)
