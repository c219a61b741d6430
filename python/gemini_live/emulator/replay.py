"""Plays back a recording of a session: the server's messages come as they came then.

A recording is a file of JSON lines. The first is ``{"format":"gemini-live-recording","version":1,…}``, each other
``{"t": seconds, "dir": ">" or "<", "kind": "text", "binary", "open" or "close", "data": …, "code": …, "reason": …}``,
where ``<`` came from the server, and ``data`` is the JSON message itself, the hash of one that could not be searched
for what must not be kept, or base64 of any other bytes. A close without direction is a connection that was lost. Where
only the hash was kept, audio is played back as silence, and a message as an empty one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
import pybase64

from gemini_live.emulator.script import Close
from gemini_live.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Player", "Recording", "is_speech", "message_of", "read_recording"]

_AUDIO: Final = frozenset({"audio", "mediaChunks", "media_chunks"})
_HASHED: Final = re.compile(r"sha256:[0-9a-f]{64}:(\d{1,9})")
_MAX_SILENCE: Final = 1 << 24


class _Line(msgspec.Struct, frozen=True):
    """One line. Fields that a later recorder adds are of no concern here."""

    t: float = 0.0
    dir: Literal[">", "<", ""] = ""
    kind: Literal["text", "binary", "open", "close", "ping", "pong", "stop"] = "text"
    data: Any = None
    code: int | None = None
    reason: str | None = None


class Step(NamedTuple):
    """One thing that the server did.

    Attributes:
        data: a text frame, a binary frame, or the close.
        after: how many messages of the client, audio left out, came before it.
        gap_s: how long it came after what was last before it: such a message, or the server's own.
    """

    data: str | bytes | Close
    after: int
    gap_s: float


class Recording(NamedTuple):
    """What the server did, connection by connection."""

    connections: tuple[tuple[Step, ...], ...]

    def player(self, number: int, scale: float) -> Player:
        """For a connection counted from 0; after the last recorded one the first comes again.

        Args:
            number: of the connection.
            scale: the recorded gaps are multiplied by this.
        """
        return Player(self.connections[number % len(self.connections)], scale)


class Player:
    """Says on one connection what a recording says. No I/O and no clock."""

    def __init__(self, steps: Sequence[Step], scale: float) -> None:
        self._steps = list(steps)
        self._scale = scale
        self._heard = 0
        self._since = 0.0

    def begin(self, now: float) -> None:
        """The client has connected."""
        self._since = now

    def heard(self, data: str | bytes, now: float) -> bool:
        """The client has sent something; gives whether that was a setup."""
        message = _json(data)
        if _is_audio(message):
            return False
        self._heard += 1
        self._since = now
        return isinstance(message, dict) and "setup" in message

    def deadline(self) -> float | None:
        """When `due` has something; ``None`` while the client is to speak, or at the end."""
        if not self._steps or self._steps[0].after > self._heard:
            return None
        return self._since + self._steps[0].gap_s * self._scale

    def due(self, now: float) -> str | bytes | Close | None:
        """What the server says now, if its time has come."""
        deadline = self.deadline()
        if deadline is None or deadline > now:
            return None
        self._since = now
        return self._steps.pop(0).data


def read_recording(source: str | Path) -> Recording:
    """A recording from its file.

    Raises:
        ConfigError: the file, the line and the reason.
    """
    path = Path(source)
    try:
        lines = path.read_text("utf-8").split("\n")  # not splitlines: texts may hold what it takes for line ends
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", path="replay") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8", path="replay") from None
    head: object = _json(lines[0]) if lines else None
    if not isinstance(head, dict) or head.get("format") != "gemini-live-recording":  # pyright: ignore[reportUnknownMemberType]
        raise ConfigError(f"{path}, line 1: not the head of a recording", path="replay")
    if head.get("version") != 1:  # pyright: ignore[reportUnknownMemberType]
        raise ConfigError(f"{path}, line 1: version {head.get('version')!r} is not known", path="replay")  # pyright: ignore[reportUnknownMemberType]
    reading = _Reading()
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            reading.take(msgspec.json.decode(line, type=_Line))
        except (msgspec.MsgspecError, ValueError) as error:
            mend = "without it and what follows it can be replayed"
            raise ConfigError(f"{path}, line {number}: {error}; {mend}", path="replay") from None
    connections = reading.finished()
    if not connections:
        raise ConfigError(f"{path}: the server says nothing in it", path="replay")
    return Recording(connections)


class _Reading:
    def __init__(self) -> None:
        self._connections: list[list[Step]] = []
        self._restart(0.0)

    def _restart(self, at: float) -> None:
        self._steps: list[Step] = []
        self._asked = 0
        self._before = at

    def take(self, line: _Line) -> None:
        if line.kind == "open":
            self._connections.append(self._steps)
            self._restart(line.t)
        elif line.kind == "close":
            if line.dir == "<":
                self._add(line, Close(code=line.code or 1005, reason=line.reason or ""))
            elif not line.dir and (self._steps or self._asked):  # otherwise a dial that failed
                self._add(line, Close(code=1006))
        elif line.kind not in {"text", "binary"}:
            pass
        elif line.dir == "<":
            self._add(line, _frame(line))
        elif not _is_audio(line.data):
            self._asked += 1
            self._before = line.t

    def _add(self, line: _Line, data: str | bytes | Close) -> None:
        self._steps.append(Step(data, self._asked, max(0.0, line.t - self._before)))
        self._before = line.t

    def finished(self) -> tuple[tuple[Step, ...], ...]:
        return tuple(tuple(steps) for steps in [*self._connections, self._steps] if steps)


def _frame(line: _Line) -> str | bytes:
    if isinstance(line.data, str):
        # a message that cannot be searched for secrets is kept as its hash: an empty one stands for it
        data = b"{}" if _HASHED.fullmatch(line.data) else pybase64.b64decode(line.data, validate=True)
        return data if line.kind == "binary" else data.decode()
    text = json.dumps(_sounding(line.data), separators=(",", ":"))
    return text if line.kind == "text" else text.encode()


def _sounding(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same with silence where only a hash was kept."""
    match value:
        case dict():
            return {key: _sounding(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list():
            return [_sounding(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case str() if hashed := _HASHED.fullmatch(value):
            return pybase64.b64encode(bytes(min(int(hashed[1]), _MAX_SILENCE))).decode()
        case _:
            return value


def _json(data: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def message_of(data: str | bytes) -> dict[str, Any]:
    """The server's message in a frame; an empty one where there is none."""
    message = _json(data)
    return message if isinstance(message, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def is_speech(message: dict[str, Any]) -> bool:
    """Whether a server's message holds speech of the model."""
    try:
        parts = message["serverContent"]["modelTurn"]["parts"]
        return any(part.get("inlineData", {}).get("mimeType", "").startswith("audio/") for part in parts)
    except (AttributeError, KeyError, TypeError):
        return False  # a recording may hold anything


def _is_audio(message: Any) -> bool:  # noqa: ANN401 - any JSON
    """Microphones are not clocks: how many chunks came in between says nothing."""
    if not isinstance(message, dict):
        return False
    live: Any = message.get("realtimeInput") or message.get("realtime_input")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return isinstance(live, dict) and not _AUDIO.isdisjoint(live)  # pyright: ignore[reportUnknownArgumentType]
