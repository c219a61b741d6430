"""The other side of a duplex, in a process of its own: checks what comes up, and speaks 25 times a second on each line.

Independent of the package: picows on uvloop, orjson and pybase64. It begins to speak on a line when the first chunk of
a slice arrives there, at the line's own moment of the 40 ms, as the phases of real calls are independent.

``python -m rig.server CA_FILE [--phases N]`` prints a JSON line with its port; each line on stdin is answered
by the accounts so far.
"""

import argparse
import asyncio
import json
import ssl
import sys
from collections import defaultdict
from pathlib import Path

import orjson
import picows
import pybase64
import trustme
import uvloop
from picows import WSMsgType

from rig import wire

MIME_TYPE = "audio/pcm;rate=16000"


class Account:
    """What the lines of one contender brought."""

    def __init__(self) -> None:
        self.received = 0
        self.wrong = 0
        self.errors: list[str] = []

    def blame(self, error: str) -> None:
        self.wrong += 1
        if len(self.errors) < 5:
            self.errors.append(error)


class Speaker:
    """Says what is to be said on all lines; those of a phase share a timer."""

    def __init__(self, phases: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._lines: list[list[Line]] = [[] for _ in range(phases)]

    def speak(self, line: "Line", messages: int) -> None:
        phase = line.session % len(self._lines)
        line.to_say += messages
        lines = self._lines[phase]
        if line not in lines:
            lines.append(line)
            if len(lines) == 1:
                offset = phase * wire.MESSAGE_S / len(self._lines)
                rounds = (self._loop.time() - self._began_at - offset) // wire.MESSAGE_S + 1
                self._call_at(phase, self._began_at + offset + rounds * wire.MESSAGE_S)

    def _call_at(self, phase: int, due_at: float) -> None:
        self._loop.call_at(due_at, self._turn, phase, due_at)

    def _turn(self, phase: int, due_at: float) -> None:
        for line in self._lines[phase]:
            line.say_one()
        self._lines[phase] = [line for line in self._lines[phase] if line.to_say]
        if self._lines[phase]:
            self._call_at(phase, due_at + wire.MESSAGE_S)


class Line(picows.WSListener):
    """One connection: a setup, then numbered chunks."""

    def __init__(self, accounts: dict[str, Account], speaker: Speaker) -> None:
        self._accounts = accounts
        self._speaker = speaker
        self._account: Account | None = None
        self._transport: picows.WSTransport | None = None
        self._next = 0
        self._said = 0
        self.session = -1
        self.to_say = 0

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:  # noqa: ARG002 - picows's signature
        self._transport = None
        self.to_say = 0

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            payload = frame.get_payload_as_bytes()
            if self._account is None:
                self._account = self._accounts[orjson.loads(payload)["setup"]["model"].removeprefix("models/")]
                transport.send(WSMsgType.BINARY, wire.SETUP_COMPLETE)
            else:
                self._hear(payload, self._account)
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def _hear(self, payload: bytes, account: Account) -> None:
        account.received += 1
        try:
            pcm = _pcm_of(payload)
        except (ValueError, KeyError, TypeError) as error:
            account.blame(f"session {self.session}: not a chunk ({error!r}): {payload[:100]!r}")
            return
        session, sequence, first, count = wire.UP.unpack_from(pcm)
        if self.session < 0:
            self.session = session
        if (
            sequence != self._next
            or session != self.session
            or len(pcm) != wire.CHUNK_BYTES
            or not pcm.endswith(wire.UP_BODY)
        ):
            account.blame(f"session {self.session}: chunk {sequence} of session {session} in place of {self._next}")
        self._next = sequence + 1
        if sequence == first:
            self._speaker.speak(self, count // wire.CHUNKS_PER_MESSAGE)

    def say_one(self) -> None:
        self.to_say -= 1
        if self._transport is not None:
            self._transport.send(WSMsgType.BINARY, wire.message(self.session, self._said))
            self._said += 1


def _pcm_of(payload: bytes) -> bytes:
    """The samples of a client message, in our spelling or in the official SDK's (snake case, URL-safe base64)."""
    whole = orjson.loads(payload)
    (name,) = whole
    audio = whole[name]["audio"]
    if audio.get("mimeType", audio.get("mime_type")) != MIME_TYPE:
        raise ValueError(f"MIME type in {sorted(audio)}")
    if name == "realtimeInput":
        return pybase64.b64decode(audio["data"], validate=True)
    if name == "realtime_input":
        return pybase64.b64decode(audio["data"], altchars=b"-_", validate=True)
    raise ValueError(name)


async def serve(ca_file: Path, phases: int) -> None:
    accounts: dict[str, Account] = defaultdict(Account)
    speaker = Speaker(phases)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(tls)
    server = await picows.ws_create_server(
        lambda _request: Line(accounts, speaker), "127.0.0.1", 0, ssl=tls, backlog=1_000, use_aiofastnet=True
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps({name: vars(account) for name, account in accounts.items()}), flush=True)
    server.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("ca_file", type=Path)
    arguments.add_argument("--phases", type=int, default=40)
    given = arguments.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.ca_file, given.phases))


if __name__ == "__main__":
    main()
