"""What the client hands to the network, message by message: a dialler that takes notes.

It sits where `Session` gives a whole message away and counts it as written, so what is lost behind it was lost by the
network, and what is lost before it by the client.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from gemini_live.codec import message_of
from gemini_live.transport import dial

from . import keys

if TYPE_CHECKING:
    from gemini_live.emulator import ConnectionLedger

_READY = b'{"setupComplete"'
_UPDATE = b'"sessionResumptionUpdate"'


class Line:
    """One connection, as the client sees it.

    Attributes:
        number: counted from 1.
        written: keys, in order, setup left out.
        updates: for each update of the resumable state, how much had been written, and the index that it named.
        ready: the client has been told that it may speak.
        heard: the emulator's account of this connection; ``None`` if the emulator never had it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.written: list[keys.Key] = []
        self.updates: list[tuple[int, int | None]] = []
        self.ready = False
        self.heard: ConnectionLedger | None = None

    @property
    def arrived(self) -> list[keys.Key]:
        """What the emulator has read. TCP keeps the order, so it is a beginning of what was written."""
        return self.written[: self.heard.messages] if self.heard is not None else []


class Wire:
    """All connections of a session.

    Args:
        heard_by: gives the emulator's account of the connection that came last; see `Proxy.heard`.
        tell: takes a line about whatever happens.
        dialler: what really dials; the self-test brings one that loses messages.
    """

    def __init__(self, heard_by, tell, dialler=dial) -> None:
        self.lines: list[Line] = []
        self.dials = 0
        self._heard_by = heard_by
        self._tell = tell
        self._dialler = dialler

    async def __call__(self, address, config, receiver):
        self.dials += 1
        line = Line(len(self.lines) + 1)
        transport = await self._dialler(address, config, _NotingReceiver(receiver, line, self._tell))
        line.heard = self._heard_by()
        self.lines.append(line)
        self._tell(f"line {line.number} stands")
        return _NotingTransport(transport, line, self._tell)

    @property
    def opened(self) -> list[Line]:
        """Those on which the client was allowed to speak."""
        return [line for line in self.lines if line.ready]


class _NotingTransport:
    def __init__(self, transport, line: Line, tell) -> None:
        self._transport = transport
        self._line = line
        self._tell = tell
        self.wait_closed = transport.wait_closed

    def write(self, frame) -> None:
        key = keys.of_payload(message_of(frame))
        if key is not None:
            self._line.written.append(key)
        self._transport.write(frame)

    def ping(self, payload: bytes) -> None:
        self._tell(f"ping {payload!r}, {len(self._line.written)} written")
        self._transport.ping(payload)

    async def close(self, code: int, timeout_s: float) -> None:
        self._tell(f"closes with {code}, {len(self._line.written)} written")
        await self._transport.close(code, timeout_s)

    def abort(self) -> None:
        self._tell("aborts")
        self._transport.abort()


class _NotingReceiver:
    def __init__(self, receiver, line: Line, tell) -> None:
        self._receiver = receiver
        self._line = line
        self._tell = tell
        self.life_sign = receiver.life_sign
        self.writing_paused = receiver.writing_paused
        self.writing_resumed = receiver.writing_resumed

    def pong_received(self, payload: bytes) -> None:
        self._tell(f"pong {payload!r}")
        self._receiver.pong_received(payload)

    def connection_lost(self, failure) -> None:
        self._tell(repr(failure))
        self._receiver.connection_lost(failure)

    def message_received(self, raw: bytes) -> None:
        if raw.startswith(_READY):
            self._line.ready = True
        if _UPDATE in raw:
            self._note_update(raw)
        self._receiver.message_received(raw)

    def _note_update(self, raw: bytes) -> None:
        with contextlib.suppress(ValueError, TypeError, KeyError):  # nonsense of the network's
            update = json.loads(raw)["sessionResumptionUpdate"]
            if update.get("resumable") and isinstance(update["newHandle"], str):
                index = update.get("lastConsumedClientMessageIndex")
                self._line.updates.append((len(self._line.written), None if index is None else int(index)))
