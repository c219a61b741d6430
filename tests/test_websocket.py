"""The compiled WebSocket layer against the `websockets` package, which does no I/O here either."""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, takewhile
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from gemini_live import _core
from gemini_live._core import FrameReader

# The first byte: FIN, the reserved bits, the opcode.
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
BEGIN_TEXT, BEGIN_BINARY, GO_ON, END = 0x01, 0x02, 0x00, 0x80


def frame(first, payload=b""):
    """A server's frame (RFC 6455 5.2)."""
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", first, length) + payload
    if length < 65_536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def pieces_of(stream, cuts):
    """The stream, cut at some places."""
    ends = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    return [stream[start:end] for start, end in pairwise(ends)]


# --- what ours says -------------------------------------------------------------------------------------------------


def plain(item):
    match item:
        case _core.Ping(payload=payload):
            return "ping", payload
        case _core.Pong(payload=payload):
            return "pong", payload
        case _core.Close(code=code, reason=reason):
            return "close", code, reason
        case _core.Violation(code=code, reason=reason):
            assert reason
            return "violation", code
        case _:
            assert type(item) is bytes
            return "message", item


def ours_of(pieces, limit):
    reader = FrameReader(limit)
    return [plain(item) for piece in pieces for item in reader.feed(piece, len(piece))]


# --- what theirs says -----------------------------------------------------------------------------------------------


def theirs_of(pieces, limit):
    """What `websockets` makes of it, and how many whole frames it has taken.

    Below its sockets it hands out frames; here they are put together, and text is decoded, as its sockets do.
    """
    protocol = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=limit)
    frames = []
    for piece in pieces:
        protocol.receive_data(piece)
        frames += protocol.events_received()
    items, kind, fragments = [], None, []
    for one in frames:
        match one.opcode:
            case Opcode.PING:
                items.append(("ping", bytes(one.data)))
            case Opcode.PONG:
                items.append(("pong", bytes(one.data)))
            case Opcode.CLOSE:
                close = Close.parse(one.data)
                items.append(("close", int(close.code) if one.data else None, close.reason))
            case opcode:
                kind = kind if opcode is Opcode.CONT else opcode
                fragments.append(bytes(one.data))
                if not one.fin:
                    continue
                message, fragments = b"".join(fragments), []
                try:
                    if kind is Opcode.TEXT:
                        message.decode()
                except UnicodeDecodeError:
                    return [*items, ("violation", 1007)], len(frames)
                items.append(("message", message))
    if protocol.parser_exc is not None:
        items.append(("violation", int(protocol.close_sent.code)))
    return items, len(frames)


# --- where the two differ -------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """What is there of a frame, and where in a message it comes."""

    first: int
    second: int
    length: int
    fragmented: bool  # a message has begun and not ended
    room: int  # for so many bytes more of it
    payload: bytes
    missing: int  # so many bytes complete its header, or if that is complete, itself

    @property
    def control(self):
        return self.first & 0x08 != 0

    @property
    def breaks_a_rule_at_once(self):
        """By its first two bytes, whatever its length."""
        opcode = self.first & 0x0F
        return (
            self.first & 0x70 != 0
            or self.second & 0x80 != 0
            or opcode not in {0, 1, 2, 8, 9, 10}
            or (self.control and (self.first & 0x80 == 0 or self.second & 0x7F > 125))
            or (opcode == 0 and not self.fragmented)
            or (opcode in {1, 2} and self.fragmented)
        )


def frame_at(stream, index, limit):
    """The first frame that breaks a rule at once, or the one after `index` others; its header is completed by zeros."""
    size, fragmented = 0, False
    while True:
        first, second = stream[:2].ljust(2, b"\0")
        begin = 2 + {126: 2, 127: 8}.get(second & 0x7F, 0)
        header = stream[:begin].ljust(begin, b"\0")
        length = int.from_bytes(header[2:]) if begin > 2 else second & 0x7F
        end = begin + length
        missing = begin - len(stream) if len(stream) < begin else max(0, end - len(stream))
        at_issue = Frame(first, second, length, fragmented, limit - size, stream[begin:end], missing)
        if index == 0 or at_issue.breaks_a_rule_at_once:
            return at_issue
        if not at_issue.control:
            fragmented = first & 0x80 == 0
            size = size + length if fragmented else 0
        stream, index = stream[end:], index - 1


def bad_close(payload):
    """Whether both are wrong, the code and the reason."""
    if len(payload) < 2:
        return False
    valid = int.from_bytes(payload[:2]) in {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return not valid
    return False


# Each is a way to read the RFC, and none lets a broken stream pass for a good one.
DIFFERENCES = {
    # 5.2 wants the fewest bytes, 5.5 at most 125 of payload. We say so at the second byte, they accept it.
    "a control frame has its length in more bytes than it needs": (
        b"\x89\x7e\x00\x01x",
        lambda frame, ours, _: frame.control and frame.second & 0x7F > 125 and ours == [("violation", 1002)],
    ),
    # 7.1.7 gives no order of faults, and 1009 is for what would be right but for its length. They look at it first.
    "a frame that is wrong anyway is too long, too": (
        b"\xc2\x7e\xff\xff",
        lambda frame, ours, theirs: (
            frame.breaks_a_rule_at_once and ours == [("violation", 1002)] and theirs == [("violation", 1009)]
        ),
    ),
    # 5.2: "the most significant bit MUST be 0". It is a rule, not a size.
    "a length has 64 bits": (
        b"\x82\x7f\x80\0\0\0\0\0\0\0",
        lambda frame, ours, theirs: (
            frame.length >> 63 and ours == [("violation", 1002)] and theirs == [("violation", 1009)]
        ),
    ),
    # The limit is one for messages, and 5.5 has its own for control frames, which are part of none.
    "a control frame is longer than what is left for the message around it": (
        frame(BEGIN_BINARY, bytes(1_000)) + frame(PING, b"x"),
        lambda frame, _, theirs: frame.control and frame.length > frame.room and theirs == [("violation", 1009)],
    ),
    # 5.4: "control frames MAY be injected in the middle of a fragmented message", and 5.5.1 makes no exception.
    "a close comes in the middle of a fragmented message": (
        frame(BEGIN_TEXT, b"Hel") + frame(CLOSE, b"\x03\xe9"),
        lambda frame, ours, theirs: (
            frame.first == CLOSE and frame.fragmented and ours[0][0] == "close" and theirs == [("violation", 1002)]
        ),
    ),
    # 7.1.7 again: the code stands before the reason. They decode first.
    "a close has a bad code and a bad reason": (
        frame(CLOSE, b"\x03\xed\xff"),
        lambda frame, ours, theirs: (
            frame.first == CLOSE
            and bad_close(frame.payload)
            and (ours, theirs) == ([("violation", 1002)], [("violation", 1007)])
        ),
    ),
}
# 7.1.7 lets us fail as soon as the rule is broken. They read the whole frame, and then look at it.
EARLIER = "a broken rule is told before the frame is complete"


def difference(stream, cuts=(), limit=1_000):
    """What the two disagree about, if anything; that is in the list, or the assertion fails."""
    pieces = pieces_of(stream, cuts)
    ours = ours_of(pieces, limit)
    theirs, whole = theirs_of(pieces, limit)
    if ours == theirs:
        return None
    shared = len([*takewhile(lambda pair: pair[0] == pair[1], zip(ours, theirs, strict=False))])
    at_issue = frame_at(stream, whole, limit)
    for reason, (_, applies) in DIFFERENCES.items():
        if applies(at_issue, ours[shared:], theirs[shared:]):
            return reason
    # completed, both must say the same, or differ as above
    assert ours[shared:] == [("violation", 1002)], (ours[-3:], theirs[-3:], at_issue)
    assert theirs[shared:] == [], (ours[-3:], theirs[-3:], at_issue)
    assert 0 < at_issue.missing <= max(limit, 125), (ours[-3:], theirs[-3:], at_issue)
    completed = stream + bytes(at_issue.missing)
    assert ours_of([completed], limit) == ours
    difference(completed, (), limit)
    return EARLIER


@pytest.mark.parametrize(("reason", "stream"), [(reason, stream) for reason, (stream, _) in DIFFERENCES.items()])
def test_the_list_of_differences_is_not_longer_than_it_must_be(reason, stream):
    assert difference(stream) == reason


def test_a_broken_rule_is_told_at_once():
    for start in (b"\xc1\x05", b"\x01\x00\x81\x7e", b"\x00\x7f\x00\x00", b"\x09\x01"):
        assert difference(start) == EARLIER
    for start in (b"\xc1", b"\x01\x00\x81", b"\x00", b"\x09"):
        assert difference(start) is None


# --- streams --------------------------------------------------------------------------------------------------------

CODES = [1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 0, 999, 65_535]
ODD_TEXTS = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x8e", "Grüße 🎤".encode(), b"plain"]
LENGTHS = [0, 1, 2, 10, 124, 125, 126, 127, 200, 999, 1_000, 1_001]


def valid(draw):
    """Frames of one message, or one control frame, within the limit; ``draw`` is a `random.Random`."""
    kind = draw.randrange(6)
    if kind == 0:
        return frame(draw.choice([PING, PONG]), draw.randbytes(draw.choice([0, 4, 125])))
    text = draw.random() < 0.5
    payload = (
        "é🎤x".encode() * draw.randrange(30) if text else draw.randbytes(draw.choice([0, 1, 125, 126, 300, 1_000]))
    )
    if kind < 4:
        return frame(TEXT if text else BINARY, payload)
    first, stream = BEGIN_TEXT if text else BEGIN_BINARY, b""
    fragments = pieces_of(payload, [draw.randrange(1_000) for _ in range(draw.randrange(1, 5))]) or [b""]
    for fragment in fragments[:-1]:
        stream += frame(first, fragment)
        first = GO_ON
        if draw.random() < 0.3:
            stream += frame(PING, b"between")
    return stream + frame(first | END, fragments[-1])


def odd(draw):
    """A frame that may well be wrong."""
    match draw.randrange(8):
        case 0:
            return frame(CLOSE, struct.pack("!H", draw.choice(CODES)) + draw.choice([b"", *ODD_TEXTS]))
        case 1:
            return frame(CLOSE, draw.choice([b"", b"\x03"]))
        case 2:
            return frame(draw.choice([TEXT, BEGIN_TEXT, END]), draw.choice(ODD_TEXTS))
        case 3:
            return frame(draw.choice([TEXT, BINARY, BEGIN_TEXT, BEGIN_BINARY, GO_ON, END]), draw.randbytes(5))
        case 4:
            return frame(draw.randrange(256), draw.randbytes(draw.choice(LENGTHS)))
        case 5:
            length = draw.choice([*LENGTHS, 65_535, 65_536, 2**31, 2**62, 2**63, 2**64 - 1])
            form = draw.choice([f for f, bits in (("!BBH", 16), ("!BBQ", 64)) if length < 2**bits])
            opcode = draw.choice([BINARY, PING, BEGIN_TEXT, END])
            return struct.pack(form, opcode, 126 if form == "!BBH" else 127, length) + bytes(min(length, 1_001))
        case 6:
            return _core.encode_frame(draw.choice([1, 2, 8, 9, 10]), b"masked")
        case _:
            return draw.randbytes(draw.randrange(12))


def mutated(stream, draw):
    stream = bytearray(stream)
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(stream) + 1)
        stream[at : at + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
    return bytes(stream)


def any_stream(draw):
    stream = b"".join(valid(draw) for _ in range(draw.randrange(8)))
    match draw.randrange(4):
        case 0:
            return stream
        case 1:
            return mutated(stream, draw)
        case _:
            return stream + b"".join(odd(draw) for _ in range(draw.randrange(1, 4)))


def any_cuts(stream, draw):
    if draw.random() < 0.1:
        return range(len(stream))
    return [draw.randrange(len(stream) + 1) for _ in range(draw.randrange(8))]


RANDOM = st.randoms(use_true_random=False)
LIMITS = [0, 1, 100, 125, 126, 1_000, 100_000]


@given(RANDOM)
def test_valid_streams_are_read_as_websockets_reads_them(draw):
    stream = b"".join(valid(draw) for _ in range(draw.randrange(1, 6))) + draw.choice(
        [b"", frame(CLOSE, b"\x03\xe8bye")]
    )
    cuts = any_cuts(stream, draw)
    limit = 1_000 + len(b"between")  # websockets counts a ping inside of a message as a part of it, see above
    assert ours_of(pieces_of(stream, cuts), limit) == theirs_of(pieces_of(stream, cuts), limit)[0]


@given(RANDOM)
def test_any_stream_is_judged_as_websockets_judges_it(draw):
    stream = any_stream(draw)
    difference(stream, any_cuts(stream, draw), draw.choice(LIMITS))


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)), st.sampled_from(LIMITS))
def test_noise_is_judged_as_websockets_judges_it(stream, cuts, limit):
    difference(stream, cuts, limit)


def test_thousands_of_streams_are_judged_as_websockets_judges_them():
    """The same with another generator, so long that every difference turns up; and most streams have none."""
    draw = random.Random(6455)  # noqa: S311 - not for cryptography
    found = Counter()
    verdicts = Counter()
    for _ in range(6_000):
        stream = any_stream(draw)
        limit = draw.choice(LIMITS)
        found[difference(stream, any_cuts(stream, draw), limit)] += 1
        verdicts.update(item for item in ours_of([stream], limit)[-1:] if item[0] == "violation")
    assert set(found) == {None, EARLIER, *DIFFERENCES}
    assert found[None] > 4_000
    assert set(verdicts) == {("violation", 1002), ("violation", 1007), ("violation", 1009)}


# --- frames of ours, read by theirs ---------------------------------------------------------------------------------


def read_by_a_server(stream, cuts=()):
    server = ServerProtocol(state=State.OPEN, max_size=None)
    for piece in pieces_of(stream, cuts):
        server.receive_data(piece)
    assert server.parser_exc is None
    return [(one.opcode, bytes(one.data), one.fin, one.rsv1) for one in server.events_received()]


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 9, 10]), st.binary(max_size=125)), max_size=8),
    st.lists(st.integers(0, 999)),
)
def test_frames_are_read_by_websockets(messages, cuts):
    stream = b"".join(_core.encode_frame(opcode, payload) for opcode, payload in messages)
    assert read_by_a_server(stream, cuts) == [(opcode, payload, True, False) for opcode, payload in messages]


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 1_000_000])
def test_frames_of_every_form_of_length_are_read_by_websockets(length):
    payload = np.random.default_rng(length).bytes(length)
    framed = _core.encode_frame(2, payload)
    assert read_by_a_server(framed) == [(2, payload, True, False)]
    assert _core.unmask(framed) == payload
    with pytest.raises(ValueError, match="not one whole masked WebSocket frame"):
        _core.unmask(framed + b"x")
    with pytest.raises(ValueError, match="not one whole masked WebSocket frame"):
        _core.unmask(framed[:-1])


def test_frames_of_audio_and_video_are_read_by_websockets():
    encoder = _core.AudioEncoder(16_000, 320)
    frames = [*encoder.encode(np.arange(1_000, dtype=np.int16)), encoder.flush()]
    frames.append(_core.encode_video(bytes(range(256)) * 1_000, "image/jpeg"))
    out = bytearray(3 * encoder.frame_bytes)
    assert encoder.encode_into(np.arange(960, dtype=np.int16), out) == 3
    read = read_by_a_server(b"".join([*frames, out]), range(0, 10_000, 7))
    assert [(opcode, fin, rsv) for opcode, _, fin, rsv in read] == [(1, True, False)] * 8
    payloads = [payload for _, payload, _, _ in read]
    assert payloads[:5] == [_core.unmask(one) for one in frames]
    assert payloads[5:] == payloads[:3]
    assert all(payload.startswith(b'{"realtimeInput":{') and payload.endswith(b'"}}}') for payload in payloads)


def test_a_close_is_read_by_websockets():
    server = ServerProtocol(state=State.OPEN)
    server.receive_data(_core.encode_frame(8, struct.pack("!H", 1001) + b"good bye"))
    assert (server.close_rcvd.code, server.close_rcvd.reason) == (1001, "good bye")


@pytest.mark.parametrize("opcode", [0, 3, 7, 11, 15, 16, 255, 256, -1, 2**64])
def test_opcodes_that_are_no_whole_message(opcode):
    with pytest.raises(ValueError, match="1, 2, 8, 9 or 10"):
        _core.encode_frame(opcode, b"")


@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_control_frames_are_short(opcode):
    assert len(_core.encode_frame(opcode, bytes(125))) == 131
    with pytest.raises(ValueError, match="a control frame holds up to 125 bytes, not 126"):
        _core.encode_frame(opcode, bytes(126))


@pytest.mark.parametrize("payload", [None, "text", [1], np.zeros(4, np.int16), memoryview(bytes(8))[::2]])
def test_a_payload_comes_as_bytes(payload):
    with pytest.raises(TypeError, match="payload must be"):
        _core.encode_frame(1, payload)
    with pytest.raises(TypeError, match="frame must be"):
        _core.unmask(payload)


# --- keys -----------------------------------------------------------------------------------------------------------


def key_of(framed):
    return framed[2:6]


def test_every_frame_has_a_key_of_its_own():
    encoder = _core.AudioEncoder(16_000, 1)
    keys = [key_of(one) for one in encoder.encode(np.zeros(5_000, np.int16))]
    keys += [key_of(_core.encode_frame(9, b"")) for _ in range(5_000)]
    assert len(set(keys)) > 9_995  # of 10,000 draws from 2**32, 0.012 pairs are equal by chance


FORKING = """
import os
from gemini_live import _core

def keys(count):
    return [_core.encode_frame(9, b"")[2:6].hex() for _ in range(count)]

keys(10)  # the pool is filled, and not empty
child = os.fork()
if child:
    os.waitpid(child, 0)
print(*keys(900), flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_child_does_not_mask_with_its_parents_keys():
    """In an interpreter of its own, which has no other threads."""
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True, timeout=20)  # noqa: S603
    child, parent = ([*line.split()] for line in done.stdout.splitlines())
    assert (len(set(child)), len(set(parent))) == (900, 900)
    assert not set(child) & set(parent)


# --- a reader -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_a_reader_takes_so_many_bytes_and_keeps_none_of_the_buffer(kind):
    reader = FrameReader(100)
    stream = frame(TEXT, b"Hello") + frame(PING, b"p")
    assert reader.feed(kind(stream + b"\xff\xff"), 4) == []
    assert reader.feed(kind(stream[4:] + b"\xff\xff"), 3) == [b"Hello"]
    (ping,) = reader.feed(kind(stream[7:]), 3)
    assert (type(ping), ping.payload) == (_core.Ping, b"p")
    assert reader.feed(kind(stream), 0) == []


def test_a_buffer_can_be_used_again_at_once():
    """As a loop does: it reads the next bytes into the same place."""
    reader = FrameReader(100)
    buffer = bytearray(16)
    items = []
    for piece in pieces_of(frame(BEGIN_TEXT, b"first") + frame(END, b" and last"), range(0, 40, 5)):
        buffer[: len(piece)] = piece
        items += reader.feed(buffer, len(piece))
        buffer[:] = b"?" * 16
    buffer.append(0)  # nobody holds it
    assert items == [b"first and last"]


@pytest.mark.parametrize(
    ("buffer", "size", "error", "words"),
    [
        ("text", 1, TypeError, "buffer must be a buffer.*not str"),
        (np.zeros(4, np.int16), 1, TypeError, "buffer must be contiguous bytes, not ndarray"),
        (memoryview(bytes(8))[::2], 1, TypeError, "contiguous bytes"),
        (b"abc", 4, ValueError, "the buffer has 3 bytes, fewer than 4"),
        (b"abc", -1, OverflowError, "negative"),
    ],
)
def test_bad_buffers_are_refused_and_change_nothing(buffer, size, error, words):
    reader = FrameReader(100)
    stream = frame(TEXT, b"Hello")
    reader.feed(stream, 3)
    with pytest.raises(error, match=words):
        reader.feed(buffer, size)
    assert reader.feed(stream[3:], 4) == [b"Hello"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a class in Python has no buffer (PEP 688)")
def test_a_buffer_that_feeds_the_reader_itself():
    """When it is lent and when it is given back; a reader that held its lock meanwhile would wait for itself."""
    reader = FrameReader(100)
    before, itself, after = (frame(TEXT, text) for text in (b"before", b"itself", b"after"))
    found = []

    class Meddling:
        def __buffer__(self, flags):
            found.extend(reader.feed(before, len(before)))
            return memoryview(itself)

        def __release_buffer__(self, view):
            found.extend(reader.feed(after, len(after)))

    def feed():
        items = reader.feed(Meddling(), len(itself))
        found.append(items)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    thread.join(timeout=20)
    assert found == [b"before", b"after", [b"itself"]]


def test_what_a_reader_gives_is_opaque_and_final():
    (close,) = FrameReader(9).feed(frame(CLOSE, b"\x03\xe8bye"), 7)
    assert (close.code, close.reason) == (1000, "bye")
    with pytest.raises(AttributeError):
        close.code = 1001
    with pytest.raises(TypeError, match="cannot create"):
        _core.Ping()
    with pytest.raises(TypeError, match=re.escape("missing 1 required positional argument")):
        FrameReader()


def test_a_reader_is_shared_between_threads():
    """Whole frames from several threads are all there, each once; the order is that of the calls."""
    reader = FrameReader(1_000)
    frames = [frame(BINARY, struct.pack("!I", number)) for number in range(8_000)]

    def feed(worker):
        return [item for one in frames[worker::8] for item in reader.feed(one, len(one))]

    with ThreadPoolExecutor(8) as pool:
        messages = [message for messages in pool.map(feed, range(8)) for message in messages]
    assert sorted(messages) == [struct.pack("!I", number) for number in range(8_000)]
