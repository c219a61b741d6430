"""What is said in a duplex: numbered chunks up, numbered messages down, and an ear that checks the numbers.

The bodies are the same noise for everybody, so a message is right if its head and its body are, to the byte.
"""

import asyncio
import json
import os
import random
import struct

import pybase64

CHUNK_S = 0.02
"""20 ms of 16 kHz: 50 chunks a second go up."""
CHUNK_BYTES = 640
MESSAGE_S = 0.04
"""40 ms of 24 kHz: 25 messages a second come down."""
MESSAGE_BYTES = 1_920
CHUNKS_PER_MESSAGE = 2

UP = struct.Struct("<IIII")
"""Session, sequence number, the slice's first sequence number, the slice's number of chunks."""
DOWN = struct.Struct("<II")
"""Session, sequence number."""

_noise = random.Random(5)  # noqa: S311 - no secret, and the same on both sides
# a multiple of three, so that base64 of the head ends where that of the body begins
_DOWN_HEAD = bytes(DOWN.size) + b"\x00"
UP_BODY = _noise.randbytes(CHUNK_BYTES - UP.size)
DOWN_BODY = _noise.randbytes(MESSAGE_BYTES - len(_DOWN_HEAD))

AUDIO_PREFIX = b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"'
AUDIO_SUFFIX = b'"}}}'
_DOWN_PREFIX = b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"'
_DOWN_TAIL = pybase64.b64encode(DOWN_BODY) + b'"}}]}}}'
SETUP_COMPLETE = b'{"setupComplete":{}}'

TEXT, BINARY = 0x1, 0x2


def chunk(session: int, sequence: int, first: int, count: int) -> bytes:
    """20 ms of PCM that say who they are."""
    return UP.pack(session, sequence, first, count) + UP_BODY


def message(session: int, sequence: int) -> bytes:
    """A server message with 40 ms of PCM that say who they are; always of the same length."""
    return _DOWN_PREFIX + pybase64.b64encode(DOWN.pack(session, sequence) + b"\x00") + _DOWN_TAIL


def audio_message(pcm: bytes) -> bytes:
    """A chunk as the client message that carries it."""
    return AUDIO_PREFIX + pybase64.b64encode(pcm) + AUDIO_SUFFIX


def setup_message(contender: str) -> bytes:
    """The first message of a connection; the model's name tells the server who is speaking."""
    return json.dumps({"setup": {"model": f"models/{contender}"}}).encode()


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A masked WebSocket frame, for contenders that bring no WebSocket of their own. Slow, hence made beforehand."""
    length = len(payload)
    head = bytes([0x80 | opcode]) + (
        bytes([0x80 | length]) if length < 126 else bytes([0x80 | 126]) + length.to_bytes(2, "big")
    )
    key = os.urandom(4)
    mask = (key * (length // 4 + 1))[:length]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + key + masked.to_bytes(length, "big")


def server_frame_bytes(payload_bytes: int) -> int:
    """Length of an unmasked frame around a payload of less than 64 KiB."""
    return payload_bytes + (2 if payload_bytes < 126 else 4)


class Tally:
    """How much is still to come for all sessions of a contender, and what was wrong with what came."""

    def __init__(self) -> None:
        self.left = 0
        self.received = 0
        self.wrong = 0
        self.errors: list[str] = []
        self._complete = asyncio.Event()

    def expect(self, count: int) -> None:
        """So many more are to come."""
        self.left += count
        self._complete.clear()

    def one_less(self) -> None:
        """One has come, right or wrong."""
        self.received += 1
        self.left -= 1
        if self.left <= 0:
            self._complete.set()

    def blame(self, error: str) -> None:
        """Something was wrong; the first few are told in words."""
        self.wrong += 1
        if len(self.errors) < 5:
            self.errors.append(error)

    async def wait_complete(self, timeout_s: float) -> None:
        """Wait for the rest; what does not come in time is an error."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._complete.wait()
        except TimeoutError:
            pass
        if self.left:
            self.blame(f"{self.left:+} messages are missing" if self.left > 0 else f"{-self.left} messages too many")
            self.left = 0


class Ear:
    """One session's: each message must be the next one, whole."""

    def __init__(self, session: int, tally: Tally) -> None:
        self._session = session
        self._next = 0
        self._tally = tally

    def hear(self, pcm: bytes) -> None:
        """Check the samples of one message. Cheap, as it is measured along with whoever brings them."""
        session, sequence = DOWN.unpack_from(pcm)
        if (
            sequence != self._next
            or session != self._session
            or len(pcm) != MESSAGE_BYTES
            or not pcm.endswith(DOWN_BODY)
        ):
            self._tally.blame(
                f"session {self._session} got message {sequence} of session {session} in place of {self._next}"
                if pcm.endswith(DOWN_BODY)
                else f"session {self._session} got {len(pcm)} bytes that are not message {self._next}"
            )
        self._next = sequence + 1
        self._tally.one_less()

    def surprise(self, what: object) -> None:
        """Something came that was not audio."""
        self._tally.blame(f"session {self._session} got {what!r:.200}")
