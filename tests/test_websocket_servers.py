"""The client's connection against the servers of other libraries, over TCP and TLS, and one that breaks the rules."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
import struct

import aiohttp
import pytest
import trustme
from websockets.protocol import State
from websockets.server import ServerProtocol

from conftest import HASTEN, TAKE_OVER
from gemini_live.codec import frame
from gemini_live.events import CloseKind
from gemini_live.transport import dialling, stream, takeover
from gemini_live.transport.fallback import AiohttpTransport
from gemini_live.transport.stream import StreamTransport
from test_transport import dialled, raw_server
from websocket_peers import SERVERS, peer

WAYS = {
    "taken over": StreamTransport,
    "taken over, with aiofastnet": StreamTransport,
    "aiohttp's own": AiohttpTransport,
}


# Older ones do not let go of a connection, and their own parser drops what came in the same read as a broken rule.
NEW_AIOHTTP = aiohttp.__version__ >= "3.14"


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """How the connection is read and written: all of them, whatever the rest of the suite is told to run on."""
    own = request.param == "aiohttp's own"
    if not own and not NEW_AIOHTTP:
        pytest.skip("this aiohttp does not let go of a connection")
    monkeypatch.setattr(takeover, "take_over", (lambda _connection: None) if own else TAKE_OVER)
    if request.param == "taken over, with aiofastnet":
        if importlib.util.find_spec("aiofastnet") is None:
            pytest.skip("the extra [fast] is not installed")
        monkeypatch.setattr(dialling, "hasten", HASTEN)
    else:
        monkeypatch.setattr(dialling, "hasten", lambda _connector: None)
    return request.param


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Longer than a test may take: nothing that ends as it should has to be broken off."""
    monkeypatch.setattr(stream, "_LAST_WORDS_S", 300.0)


@pytest.fixture(scope="module")
def certificates():
    authority = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return served, trusting


@pytest.fixture(params=["TCP", "TLS"])
def tls(request, certificates):
    """The server's and the client's."""
    return certificates if request.param == "TLS" else (None, None)


@pytest.fixture(params=SERVERS)
def library(request):
    return request.param


async def dialled_as(way, url, trusting=None):
    transport, receiver = await dialled(url, ssl=trusting)
    assert type(transport) is WAYS[way]
    if way != "aiohttp's own":
        assert type(transport._wire).__module__.startswith("aiofastnet") == way.endswith("aiofastnet")
    return transport, receiver


def text_of(length):
    """Of that many bytes in UTF-8, with a character of two where there is room."""
    return "é" * (length // 2) + "x" * (length % 2)


async def receive_all(end):
    """What comes, up to the close; and its code."""
    received = []
    while (item := await end.receive())[0] != "close":
        received.append(item)
    return received, item[1]


LENGTHS = [0, 1, 2, 125, 126, 127, 65_535, 65_536, 65_537, 1_000_000]


async def test_messages_of_every_form_of_length_both_ways(way, library, tls):
    async def script(end):
        for length in LENGTHS:
            kind, message = await end.receive()
            assert (kind, message) == ("text", text_of(length).encode())
            await end.send(message.decode())
            await end.send(message[::-1])
        return await end.receive()

    served, trusting = tls
    async with peer(library, script, served) as (url, outcome):
        transport, receiver = await dialled_as(way, url, trusting)
        for length in LENGTHS:
            message = text_of(length).encode()
            transport.write(frame(message))
            assert await receiver.messages.get() == message
            assert await receiver.messages.get() == message[::-1]
        await transport.close(1000, 5.0)
        assert await outcome == ("close", 1000)
        assert receiver.lost.result().clean
        assert receiver.lost.result().code == 1000


@pytest.mark.parametrize("library", ["websockets", "picows"])  # aiohttp sends none
async def test_fragmented_messages(way, library, tls):
    async def script(end):
        await end.send_fragments(["Gr", "", "ü", "ße"])
        await end.send_fragments([b"\xff", bytes(70_000), b"", b"\xfe"])
        await end.send("whole")
        await end.send_fragments([text_of(125)] * 500)
        return await end.receive()

    served, trusting = tls
    async with peer(library, script, served) as (url, outcome):
        transport, receiver = await dialled_as(way, url, trusting)
        assert await receiver.messages.get() == "Grüße".encode()
        assert await receiver.messages.get() == b"\xff" + bytes(70_000) + b"\xfe"
        assert await receiver.messages.get() == b"whole"
        assert await receiver.messages.get() == text_of(125).encode() * 500
        await transport.close(1000, 5.0)
        assert await outcome == ("close", 1000)


async def test_pings_of_either_side_come_back_with_their_payload(way, library, tls):
    async def script(end):
        for payload in (b"1", bytes(range(125)), b"\xff"):
            await end.ping(payload)
        await end.send("pinged")
        return await end.receive()

    served, trusting = tls
    async with peer(library, script, served) as (url, outcome):
        transport, receiver = await dialled_as(way, url, trusting)
        assert await receiver.messages.get() == b"pinged"
        assert receiver.life_signs >= 3
        for payload in (b"", b"\x00\xff", b"p" * 125):
            transport.ping(payload)
            assert await receiver.pongs.get() == payload
        await transport.close(1000, 5.0)
        assert await outcome == ("close", 1000)


CLOSES = [(1000, ""), (1001, "going away"), (1008, "r" * 123), (1011, "Grüße"), (3000, ""), (4999, "of our own")]


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_a_close_of_the_server_is_answered_and_reported(way, library, code, reason):
    async def script(end):
        await end.send("last")
        return await end.close(code, reason)

    async with peer(library, script) as (url, outcome):
        _, receiver = await dialled_as(way, url)
        failure = await receiver.lost
        assert (failure.code, failure.reason, failure.clean) == (code, reason, False)
        assert receiver.messages.get_nowait() == b"last"
        assert await outcome == code


async def test_a_close_of_the_server_over_tls(way, library, certificates):
    served, trusting = certificates
    async with peer(library, lambda end: end.close(1011, "no"), served) as (url, outcome):
        _, receiver = await dialled_as(way, url, trusting)
        assert (await receiver.lost).code == 1011
        assert await outcome == 1011


async def test_everything_that_was_written_is_read_before_our_close(way, library, tls):
    """Though far more than any buffer holds, and the server is busy with as much in the other direction."""
    count, message = 300, text_of(30_000)

    async def script(end):
        async def say():
            for _ in range(count):
                await end.send(message)
                await asyncio.sleep(0)

        saying = asyncio.create_task(say())
        for number in range(count):
            assert await end.receive() == ("text", (str(number) + message).encode())
        await saying
        await end.send("done")
        return await end.receive()

    served, trusting = tls
    async with peer(library, script, served) as (url, outcome):
        transport, receiver = await dialled_as(way, url, trusting)
        for number in range(count):
            transport.write(frame((str(number) + message).encode()))
        for _ in range(count):
            assert await receiver.messages.get() == message.encode()
        assert await receiver.messages.get() == b"done"
        assert receiver.pauses[0] == "paused"
        assert receiver.pauses[-1] == "resumed"
        await transport.close(1001, 5.0)
        assert await outcome == ("close", 1001)
        assert receiver.lost.result().clean


async def test_messages_in_flight_are_read_before_the_close_is_answered(way, library):
    async def script(end):
        received, code = await receive_all(end)
        return [message for _, message in received], code

    async with peer(library, script) as (url, outcome):
        transport, receiver = await dialled_as(way, url)
        for number in range(1_000):
            transport.write(frame(b"%d" % number))
        await transport.close(1000, 5.0)
        assert receiver.lost.result().clean
        assert await outcome == ([b"%d" % number for number in range(1_000)], 1000)


async def test_a_loss_without_a_word(way, library, tls):
    async def script(end):
        await end.receive()
        await end.send("last")
        await asyncio.sleep(0.05)
        end.abort()

    served, trusting = tls
    async with peer(library, script, served) as (url, outcome):
        transport, receiver = await dialled_as(way, url, trusting)
        transport.write(frame(b"{}"))
        failure = await receiver.lost
        assert (failure.code, failure.clean) == (None, False)
        assert failure.reason
        assert receiver.messages.get_nowait() == b"last"
        await transport.close(1000, 1.0)  # there is nobody any more to say goodbye to
        await outcome


async def test_a_loss_of_our_own(way, library, tls):
    served, trusting = tls
    async with peer(library, receive_all, served) as (url, outcome):
        transport, receiver = await dialled_as(way, url, trusting)
        transport.write(frame(b"before"))
        transport.ping(b"")
        await receiver.pongs.get()
        transport.abort()
        await transport.wait_closed()
        assert await outcome == ([("text", b"before")], None)
        assert not receiver.lost.done()


def test_a_connection_that_aiohttp_has_read_on_is_not_taken_over():
    """As before 3.14: what has come in behind the handshake is with its own parser."""

    class Http:
        _payload_parser = object()

        def set_parser(self, parser, payload):
            raise AssertionError

    class Connection:
        protocol = Http()
        transport = asyncio.Transport()

    assert TAKE_OVER(Connection()) is None


# --- servers that do what no library does ---------------------------------------------------------------------------


def server_frame(first, payload=b""):
    assert len(payload) < 126
    return bytes([first, len(payload)]) + payload


async def read_to_the_close(reader):
    """What a server reads of the client, as `websockets` takes it apart: its frames' payloads, and the code."""
    server = ServerProtocol(state=State.OPEN)
    frames = []
    while server.close_rcvd is None and (data := await reader.read(65_536)):
        server.receive_data(data)
        frames += server.events_received()
    assert server.parser_exc is None
    payloads = [bytes(one.data) for one in frames if one.opcode in {1, 2}]
    return payloads, None if server.close_rcvd is None else int(server.close_rcvd.code)


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 12, 10_000])
async def test_what_comes_right_behind_the_handshake_is_not_lost(way, cut):
    """In the packet of the answer to the upgrade, up to the middle of a frame; `raw_server` does not flush before."""
    sent = server_frame(0x81, b"first") + server_frame(0x89, b"ping") + server_frame(0x82, b"second")

    async def serve(reader, writer):
        writer.write(sent[:cut])
        await writer.drain()
        if cut < len(sent):
            await asyncio.sleep(0.02)
            writer.write(sent[cut:])
        writer.write(server_frame(0x88, b"\x03\xe9"))
        await read_to_the_close(reader)

    async with raw_server(serve) as url:
        _, receiver = await dialled_as(way, url)
        failure = await receiver.lost
        assert failure.code == 1001
        assert [receiver.messages.get_nowait() for _ in range(2)] == [b"first", b"second"]
        assert receiver.life_signs >= 1


@pytest.mark.parametrize("ending", ["close and end", "end", "reset"])
async def test_a_server_that_is_gone_with_its_first_packet(way, ending):
    async def serve(_reader, writer):
        writer.write(server_frame(0x81, b"first"))
        match ending:
            case "close and end":
                writer.write(server_frame(0x88, b"\x03\xf3no"))
            case "reset":
                await asyncio.sleep(0.02)
                writer.transport.abort()

    async with raw_server(serve) as url:
        _, receiver = await dialled_as(way, url)
        failure = await receiver.lost
        assert failure.code == (1011 if ending == "close and end" else None)
        assert receiver.messages.get_nowait() == b"first"


async def test_a_stream_in_single_bytes(way):
    sent = b"".join(
        [
            server_frame(0x81, "é".encode()),
            server_frame(0x01, b"\xc3"),
            server_frame(0x89, b"between"),
            server_frame(0x80, b"\xa9"),
            b"\x82\x7e\x00\x7e" + bytes(126),
            b"\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x02ab",
            server_frame(0x88, b"\x0f\xa0bye"),
        ]
    )

    async def serve(reader, writer):
        for byte in sent:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        return await read_to_the_close(reader)

    async with raw_server(serve) as url:
        _, receiver = await dialled_as(way, url)
        failure = await receiver.lost
        assert (failure.code, failure.reason) == (4000, "bye")
        received = [receiver.messages.get_nowait() for _ in range(receiver.messages.qsize())]
        assert received == ["é".encode(), "é".encode(), bytes(126), b"ab"]


VIOLATIONS = {
    "5.1 a masked frame": (b"\x81\x81\x00\x00\x00\x00x", 1002),
    "5.2 a reserved bit": (b"\xc1\x01x", 1002),
    "5.2 another": (b"\xa1\x01x", 1002),
    "5.2 a reserved opcode": (b"\x83\x01x", 1002),
    "5.2 a reserved control opcode": (b"\x8b\x01x", 1002),
    "5.2 a length of 64 bits": (b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 1002),
    "5.4 a continuation of nothing": (b"\x80\x01x", 1002),
    "5.4 a message inside of another": (b"\x01\x01x\x81\x01y", 1002),
    "5.5 a fragmented ping": (b"\x09\x01x", 1002),
    "5.5 a long ping": (b"\x89\x7e\x00\x7e" + bytes(126), 1002),
    "5.5.1 half of a code": (b"\x88\x01\x03", 1002),
    "7.4 a code that is never sent": (b"\x88\x02" + struct.pack("!H", 1005), 1002),
    "7.4 a code that there is not": (b"\x88\x02" + struct.pack("!H", 5000), 1002),
    "8.1 text that is not UTF-8": (b"\x81\x01\xff", 1007),
    "8.1 half of a character": (b"\x01\x01\xc3\x80\x00", 1007),
    "8.1 a reason that is not UTF-8": (b"\x88\x03\x03\xe8\xff", 1007),
    "10.4 more than fits": (b"\x82\x7f" + struct.pack("!Q", 1 << 40), 1009),
}


# What aiohttp's own parser takes, or gives another code or none for; that differs between its versions.
LENIENT = {
    "5.1 a masked frame",
    "5.2 a reserved bit",
    "5.2 a length of 64 bits",
    "7.4 a code that there is not",
    "10.4 more than fits",
}
BREACHES = [
    (way, rule)
    for way in WAYS
    for rule in VIOLATIONS
    if way != "aiohttp's own" or (NEW_AIOHTTP and rule not in LENIENT)
]


@pytest.mark.parametrize(("way", "rule"), BREACHES, indirect=["way"])
async def test_who_breaks_the_rules_is_told_and_heard_no_more(way, rule):
    told = asyncio.get_running_loop().create_future()
    breach, code = VIOLATIONS[rule]

    async def serve(reader, writer):
        writer.write(server_frame(0x81, b"before") + breach + server_frame(0x81, b"after"))
        await writer.drain()
        told.set_result(await read_to_the_close(reader))

    async with raw_server(serve) as url:
        _, receiver = await dialled_as(way, url)
        failure = await receiver.lost
        assert (failure.code, failure.kind, failure.clean) == (code, CloseKind.SERVER, False)
        assert "broken WebSocket stream" in failure.reason
        assert [receiver.messages.get_nowait() for _ in range(receiver.messages.qsize())] == [b"before"]
        assert await told == ([], code)
        assert receiver.pauses == ["paused"]
