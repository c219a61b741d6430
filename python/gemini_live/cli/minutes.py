"""A recording as people read it: who said what, and when, with a line for what is no words."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

import gemini_live as live
from gemini_live.cli.transcript import MODEL, YOU, Transcript, line_about, printable
from gemini_live.codec import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["events_of", "lines_of"]

_HASHED: Final = re.compile(r"sha256:[0-9a-f]{64}:(\d+)")
_NATIVE_RATE_HZ: Final = 16_000


class _Wire(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of a client's messages; all else in them is of no concern here."""


class _Blob(_Wire, frozen=True):
    mime_type: str = ""
    data: str = ""


class _Input(_Wire, frozen=True):
    audio: _Blob | None = None
    video: _Blob | None = None
    text: str = ""


class _Part(_Wire, frozen=True):
    text: str = ""


class _Turn(_Wire, frozen=True):
    parts: Sequence[_Part] = ()


class _Content(_Wire, frozen=True):
    turns: Sequence[_Turn] = ()


class _Response(_Wire, frozen=True):
    name: str = "a function"
    response: Any = None


class _Responses(_Wire, frozen=True):
    function_responses: Sequence[_Response] = ()


class _Resumption(_Wire, frozen=True):
    handle: str | None = None


class _Setup(_Wire, frozen=True):
    session_resumption: _Resumption = _Resumption()


class _Sent(_Wire, frozen=True):
    setup: _Setup | None = None
    realtime_input: _Input = _Input()
    client_content: _Content = _Content()
    tool_response: _Responses = _Responses()


def events_of(frame: live.RecordedFrame) -> list[live.Event]:
    """What a frame of the service said; nothing for any other frame."""
    if frame.direction != "<" or frame.kind not in ("text", "binary"):
        return []
    if isinstance(frame.data, str):
        try:
            return decode(base64.b64decode(frame.data, validate=True))
        except binascii.Error:
            return []
    return decode(msgspec.json.encode(frame.data))


def lines_of(recording: live.RecordedSession) -> Iterator[str]:
    """The conversation, from its beginning to its end."""
    yield f"{recording.created:%Y-%m-%d %H:%M} UTC, {printable(recording.model)}, {printable(recording.url)}"
    minutes = _Minutes()
    for frame in recording.frames:
        yield from minutes.take(frame)
    yield from minutes.end()


class _Minutes:
    """Takes down one frame after the other."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._now_s = self._line_s = self._input_s = self._answer_s = 0.0
        self._transcript = Transcript(self._finished)
        # each piece of it would be too much for a line
        self._spoken_s = self._heard_s = 0.0
        self._images = 0

    def take(self, frame: live.RecordedFrame) -> list[str]:
        """The lines that are whole now."""
        self._now_s = frame.time_s
        if frame.direction == ">" and isinstance(frame.data, dict):
            with contextlib.suppress(msgspec.ValidationError):  # a message of the user's own making, by send_raw
                self._sent(msgspec.convert(frame.data, _Sent))
        elif frame.kind in ("open", "close", "stop"):
            self._happened(frame)
        for event in events_of(frame):
            self._said(event)
        return self._ready()

    def end(self) -> list[str]:
        """The lines that were not whole."""
        self._pause()
        return self._ready()

    def _ready(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines

    # --- what came and went ---

    def _happened(self, frame: live.RecordedFrame) -> None:
        self._pause()
        match frame.kind, frame.direction:
            case "open", _:
                self._write(self._now_s, "", "connected")
            case "stop", _:
                self._write(self._now_s, "", f"the recording stops here: {frame.reason}")
            case _, ">":
                self._write(self._now_s, "", f"closing with {frame.code}")
            case _:
                code = "" if frame.code is None else f" with {frame.code}"
                reason = f": {frame.reason}" if frame.reason else ""
                self._write(self._now_s, "", f"closed{code}{reason}")

    def _sent(self, sent: _Sent) -> None:
        spoken, seen = sent.realtime_input.audio, sent.realtime_input.video
        if (spoken or seen) and not self._spoken_s and not self._images:
            self._input_s = self._now_s
        if spoken is not None:
            rate = re.search(r"rate=(\d+)", spoken.mime_type)
            self._spoken_s += _size(spoken.data) / 2 / max(1, int(rate[1]) if rate else _NATIVE_RATE_HZ)
        self._images += seen is not None
        parts = [part.text for turn in sent.client_content.turns for part in turn.parts]
        for text in (sent.realtime_input.text, *parts):
            if text:
                self._pause()
                self._write(self._now_s, YOU, text)
        if sent.setup is not None:
            self._write(self._now_s, "", "resuming" if sent.setup.session_resumption.handle else "setting up")
        for answer in sent.tool_response.function_responses:
            self._pause()
            self._write(self._now_s, "", f"answer of {answer.name}: {answer.response}")

    def _said(self, event: live.Event) -> None:
        match event:
            case live.ModelAudio():
                if not self._heard_s:
                    self._answer_s = self._now_s
                self._heard_s += event.duration_s
            case live.SetupComplete():
                self._write(self._now_s, "", "ready")
            case live.InputTranscription() | live.OutputTranscription() | live.ModelText():
                self._pause_input()
                if self._transcript.who in ("", _other(event)):
                    self._line_s = self._now_s
            case _:
                pass
        self._transcript.take(event)
        about = line_about(event)
        if about:
            self._pause_input()
            self._write(self._now_s, "", about)
        if isinstance(event, live.TurnComplete | live.Interrupted):
            self._pause_answer()

    # --- lines ---

    def _pause(self) -> None:
        """Something else comes: what has gathered is written down."""
        self._transcript.end()
        self._pause_input()
        self._pause_answer()

    def _pause_answer(self) -> None:
        if self._heard_s:
            self._write(self._answer_s, MODEL, f"[{self._heard_s:.1f} s of speech]")
        self._heard_s = 0.0

    def _finished(self, who: str, text: str) -> None:
        if who == MODEL and self._heard_s:
            text = f"{text} [{self._heard_s:.1f} s]"
            self._heard_s = 0.0
        self._write(self._line_s, who, text)

    def _pause_input(self) -> None:
        parts = [f"{self._spoken_s:.1f} s of speech"] if self._spoken_s else []
        parts += [f"{self._images} image{'s' if self._images > 1 else ''}"] if self._images else []
        if parts:
            self._write(self._input_s, YOU, f"[{', '.join(parts)}]")
        self._spoken_s, self._images = 0.0, 0

    def _write(self, time_s: float, who: str, text: str) -> None:
        self._lines.append(f"{time_s:7.2f} s  {who:<6} {printable(' '.join(text.split()))}")


def _other(event: live.Event) -> str:
    """Who spoke before, if this is somebody else's turn to speak."""
    return MODEL if isinstance(event, live.InputTranscription) else YOU


def _size(data: str) -> int:
    """Of a blob, in bytes: of base64, or of what only the hash was kept."""
    hashed = _HASHED.fullmatch(data)
    return int(hashed[1]) if hashed else len(data.rstrip("=")) * 3 // 4
