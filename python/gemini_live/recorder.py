"""Records every frame of a session, with its time and direction, as JSON lines; wraps a dialler.

The first line says what was recorded::

    {"format":"gemini-live-recording","version":1,"created":"2026-10-10T12:00:00Z","model":"models/…","url":"wss://…"}

and every other line is one frame, or the beginning or end of a connection::

    {"t":1.204,"dir":">","kind":"text","data":{"realtimeInput":{…}}}

What opens a door is left out: headers and the URL's query are not written, and of the messages only what `Redaction`
leaves. Audio and images are kept whole or by their hash. What was said stays readable, so a recording is as private as
the conversation.

The event loop only queues; a thread of its own writes. Recording never ends a session: what cannot be written ends the
recording, with one warning and, if it can be, with a line that says so.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import queue
import stat
import sys
import threading
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

import msgspec

from gemini_live.codec import message_of
from gemini_live.errors import ConfigError
from gemini_live.redaction import Redaction, without_query
from gemini_live.transport import DialError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gemini_live.auth import Address
    from gemini_live.config import TransportConfig
    from gemini_live.failures import Failure
    from gemini_live.transport import Dialler, Receiver, Transport

__all__ = ["RecordedFrame", "RecordedSession", "Recorder", "Recording", "read_recording"]

_log = logging.getLogger("gemini_live")

_FORMAT: Final = "gemini-live-recording"
_VERSION: Final = 1
# Frames that wait for the disk: more than a minute of a busy conversation.
_MOST_WAITING: Final = 8_192
# How long the end of a session waits for the disk.
_PATIENCE_S: Final = 5.0
_Line = TypeVar("_Line")

Direction = Literal[">", "<", ""]
Kind = Literal["text", "binary", "open", "close", "ping", "pong", "stop"]


# --- what a user says and gets ---------------------------------------------------------------------------------------


class Recording(msgspec.Struct, frozen=True):
    """Where and how to record: ``connect(…, record=Recording("call.jsonl", audio="hash"))``.

    Attributes:
        path: of the file, which is written anew; one session each.
        audio: ``"whole"``, or ``"hash"``: audio and images are replaced by ``sha256:DIGEST:BYTES``, which makes a file
            small and still shows which piece is which.
    """

    path: str | os.PathLike[str]
    audio: Literal["whole", "hash"] = "whole"

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | bytes | os.PathLike):
            raise ConfigError(
                f"a recording is written to a file, by its path, not {type(self.path).__name__}", path="record"
            )
        if self.audio not in ("whole", "hash"):
            raise ConfigError(f"audio is 'whole' or 'hash', not {self.audio!r}", path="record.audio")


class RecordedFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a recording.

    Attributes:
        time_s: seconds since the recording began.
        direction: ``>`` sent, ``<`` received, ``""`` for what no frame says.
        kind: ``text`` and ``binary`` are messages. ``open`` and ``close`` begin and end a connection, or a failed
            attempt at one; a ``close`` without direction came without a close frame. ``stop`` is the end of a recording
            that could not go on.
        data: a message, or base64 of what a ping or pong holds. Of a message that cannot be searched for what must not
            be written, because it is no JSON object or nested too deep, ``sha256:DIGEST:BYTES``.
        code: of a close frame, or the HTTP status of a refused upgrade.
        reason: of an end.
    """

    time_s: float = msgspec.field(name="t")
    direction: Direction = msgspec.field(name="dir")
    kind: Kind
    data: dict[str, Any] | str | None = None
    code: int | None = None
    reason: str = ""


class RecordedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A recording, read.

    Attributes:
        created: when it began.
        model: the resource name.
        url: that was dialled, without its query.
        frames: in the order in which they came and went.
    """

    created: datetime
    model: str
    url: str
    frames: Sequence[RecordedFrame] = ()


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    version: int
    created: datetime
    model: str
    url: str


def read_recording(path: str | os.PathLike[str]) -> RecordedSession:
    """Read a file that ``connect(…, record=…)`` has written.

    One that ends within a line, as after a crash or when the disk was full, is read up to there; ``stop`` says so.

    Raises:
        ConfigError: it cannot be read, or is no such file; with the line and the reason.
    """
    try:
        whole = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {os.fspath(path)}: {error.strerror}", path="path") from None
    lines = whole.splitlines()
    cut_off = len(lines) > 1 and not whole.endswith(b"\n") and not _is_json(lines[-1])
    if cut_off:
        lines.pop()
    header = _read_line(path, 1, lines[0] if lines else b"", _Header, "is it a recording?")
    if header.format != _FORMAT or header.version != _VERSION:
        reason = f"format {header.format!r}, version {header.version}, is not known here"
        raise _broken(path, 1, reason, "read it with the gemini-live that wrote it")
    mend = "without it and what follows it can be read"
    frames = [_read_line(path, number, line, RecordedFrame, mend) for number, line in enumerate(lines[1:], 2)]
    if cut_off:
        last_s = frames[-1].time_s if frames else 0.0
        frames.append(RecordedFrame(time_s=last_s, direction="", kind="stop", reason="the file ends within a line"))
    return RecordedSession(created=header.created, model=header.model, url=header.url, frames=frames)


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _read_line(path: str | os.PathLike[str], number: int, line: bytes, kind: type[_Line], mend: str) -> _Line:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _broken(path, number, str(error), mend) from None


def _broken(path: str | os.PathLike[str], number: int, reason: str, mend: str) -> ConfigError:
    return ConfigError(f"{os.fspath(path)}, line {number}: {reason}; {mend}", path="path")


# --- on the event loop -----------------------------------------------------------------------------------------------


class _Noted(NamedTuple):
    """A frame on its way to the writer; one of ours, with text, is still masked."""

    time_s: float
    direction: Direction
    kind: Kind
    payload: bytes = b""
    code: int | None = None
    reason: str = ""


class Recorder:
    """One session's recording.

    Args:
        recording: what the user wants.
        model: for the first line.
        url: for the first line.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(self, recording: Recording, *, model: str, url: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._writer = _Writer(recording, model, url)
        self._ending: asyncio.Task[None] | None = None
        # a program that ends without closing its session does not lose the end of the recording
        self._finish = weakref.finalize(self, self._writer.finish)

    def wrap(self, dial: Dialler) -> Dialler:
        """The same dialler, recorded."""

        async def dial_and_record(address: Address, config: TransportConfig, receiver: Receiver) -> Transport:
            try:
                transport = await dial(address, config, _Ear(receiver, self.note))
            except DialError as error:
                self.note("", "close", code=error.failure.code, reason=error.failure.reason)
                raise
            self.note("", "open")
            return _Mouth(transport, self.note)

        return dial_and_record

    def note(
        self, direction: Direction, kind: Kind, payload: bytes = b"", *, code: int | None = None, reason: str = ""
    ) -> None:
        """Take down a frame; never waits and never raises."""
        self._writer.put(_Noted(self._loop.time() - self._start, direction, kind, payload, code, reason))

    def end_with(self, session: Coroutine[Any, Any, None]) -> None:
        """Complete the file when this is over, whoever ends it."""
        self._ending = self._loop.create_task(self._end_with(session), name="gemini-live recorder")

    async def _end_with(self, session: Coroutine[Any, Any, None]) -> None:
        await session
        await asyncio.to_thread(self._finish)

    async def wait_closed(self) -> None:
        """Wait until the file is complete."""
        if self._ending is not None:
            await asyncio.wait([self._ending])


class _Ear:
    """A receiver that notes what it passes on."""

    def __init__(self, receiver: Receiver, note: Callable[..., None]) -> None:
        self._receiver = receiver
        self._note = note

    def message_received(self, raw: bytes) -> None:
        # the transport does not tell text from binary; the service sends binary frames
        self._note("<", "binary", raw)
        self._receiver.message_received(raw)

    def pong_received(self, payload: bytes) -> None:
        self._note("<", "pong", payload)
        self._receiver.pong_received(payload)

    def life_sign(self) -> None:
        self._receiver.life_sign()

    def writing_paused(self) -> None:
        self._receiver.writing_paused()

    def writing_resumed(self) -> None:
        self._receiver.writing_resumed()

    def connection_lost(self, failure: Failure) -> None:
        said = failure.code is not None
        self._note("<" if said else "", "close", code=failure.code, reason=failure.reason)
        self._receiver.connection_lost(failure)


class _Mouth:
    """A transport that notes what it passes on."""

    def __init__(self, transport: Transport, note: Callable[..., None]) -> None:
        self._transport = transport
        self._note = note

    def write(self, frame: bytes) -> None:
        self._note(">", "text", frame)
        self._transport.write(frame)

    def ping(self, payload: bytes) -> None:
        self._note(">", "ping", payload)
        self._transport.ping(payload)

    async def close(self, code: int, timeout_s: float) -> None:
        self._note(">", "close", code=code)
        await self._transport.close(code, timeout_s)

    def abort(self) -> None:
        self._note("", "close", reason="given up")
        self._transport.abort()

    async def wait_closed(self) -> None:
        await self._transport.wait_closed()


# --- in the thread ---------------------------------------------------------------------------------------------------


class _Writer:
    """Owns the file and the thread. `put` is for the loop's thread, the rest is the writer's own."""

    def __init__(self, recording: Recording, model: str, url: str) -> None:
        self._path = os.fspath(recording.path)
        self._redaction = Redaction(by_hash=recording.audio == "hash")
        self._queue: queue.Queue[_Noted | None] = queue.Queue(_MOST_WAITING)
        self._stopped = False
        self._overflown = False
        created = datetime.now(UTC).replace(microsecond=0)
        header = _Header(format=_FORMAT, version=_VERSION, created=created, model=model, url=without_query(url))
        try:
            self._file = _opened(self._path)
        except (OSError, ValueError) as error:
            raise self._unwritable(error) from None
        try:
            self._write_line(header)
            self._file.flush()
        except OSError as error:
            self._stopped = True
            self._close_file()
            raise self._unwritable(error) from None
        self._thread = threading.Thread(target=self._run, name="gemini-live recorder", daemon=True)
        self._thread.start()

    def _unwritable(self, error: Exception) -> ConfigError:
        reason = getattr(error, "strerror", None) or str(error)
        return ConfigError(f"cannot write the recording {self._path}: {reason}", path="record")

    def put(self, noted: _Noted) -> None:
        if self._stopped or self._overflown:
            return
        try:
            self._queue.put_nowait(noted)
        except queue.Full:
            self._overflown = True

    def finish(self) -> None:
        """Write what waits, and close the file; waits for that, but not for ever."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=_PATIENCE_S)
            self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        last_s = 0.0
        try:
            while (noted := self._queue.get()) is not None:
                if self._stopped:
                    continue
                last_s = noted.time_s
                try:
                    self._write(noted)
                except Exception as error:  # noqa: BLE001 - a frame may hold what nobody has thought of
                    self._stop(last_s, getattr(error, "strerror", None) or str(error))
        finally:
            self._close_file()

    def _write(self, noted: _Noted) -> None:
        self._write_line(
            RecordedFrame(
                time_s=round(noted.time_s, 6),
                direction=noted.direction,
                kind=noted.kind,
                data=self._data(noted) if noted.kind in ("text", "binary", "ping", "pong") else None,
                code=noted.code,
                reason=noted.reason,
            )
        )
        if self._queue.empty():
            self._file.flush()
            if self._overflown:
                raise OSError(0, "the disk is too slow")

    def _data(self, noted: _Noted) -> dict[str, Any] | str:
        payload = noted.payload
        if noted.kind == "text" and noted.direction == ">":
            payload = message_of(payload)
        return self._redaction.read(payload) if noted.kind in ("text", "binary") else base64.b64encode(payload).decode()

    def _stop(self, time_s: float, reason: str) -> None:
        self._stopped = True
        _log.warning("recording to %s has stopped: %s; the session goes on", self._path, reason)
        with contextlib.suppress(OSError):
            self._write_line(RecordedFrame(time_s=time_s, direction="", kind="stop", reason=reason))
            self._file.flush()

    def _write_line(self, line: msgspec.Struct) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")

    def _close_file(self) -> None:
        try:
            _unlock(self._file)
            self._file.close()
        except OSError as error:
            # what the buffer held is lost; the descriptor is closed all the same
            if not self._stopped:
                _log.warning("the end of the recording %s is lost: %s", self._path, error.strerror)


def _opened(path: str) -> IO[bytes]:
    """The file, empty, for its owner only, because a conversation is nobody else's business, and for one recording."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            if sys.platform != "win32":
                _lock(descriptor)
                with contextlib.suppress(PermissionError):  # somebody else's file that we may write
                    os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "wb")


def _lock(descriptor: int) -> None:
    """Keep the file for one recording.

    Raises:
        OSError: another one is being written there.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            words = "another recording is being written there; give each session its own"
            raise OSError(error.errno, words) from None
        except OSError:
            pass  # not every file system has locks


def _unlock(file: IO[bytes]) -> None:
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)  # the child of a fork may still have the file
