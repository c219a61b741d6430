"""How a conversation is shown: moving on a terminal, as plain lines elsewhere, as JSON lines for scripts.

Words go to standard output, everything about them to standard error.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import msgspec

import gemini_live as live
from gemini_live.cli.streams import json_text
from gemini_live.cli.transcript import Transcript, line_about
from gemini_live.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from gemini_live.cli.screen import Screen

__all__ = ["JsonLines", "PlainLines", "screen_or_lines"]


class PlainLines:
    """For pipes, files, and terminals that cannot move their cursor; a context manager, as the others are."""

    def __init__(self) -> None:
        self._transcript = Transcript(self._finished)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._transcript.end()

    def progress(self, done_s: float, total_s: float) -> None:
        """Nothing: a file wants no progress."""

    def event(self, event: live.Event) -> None:
        """A line for each sentence, and for what went otherwise than planned."""
        self._transcript.take(event)
        line = line_about(event)
        if line:
            self.note(line)

    def note(self, line: str) -> None:
        """Something about the conversation."""
        sys.stderr.write(f"{line}\n")

    def done(self, line: str, fields: dict[str, Any]) -> None:  # noqa: ARG002 - one signature for all displays
        """The conversation is over, and this came out of it."""
        self._transcript.end()
        self.note(line)

    def _finished(self, who: str, text: str) -> None:
        sys.stdout.write(f"{who + ':':<7}{text}\n")
        sys.stdout.flush()


class JsonLines:
    """One JSON object for each event: ``{"t": 1.2, "event": "OutputTranscription", "text": "…"}``.

    ``t`` is in seconds. Audio is given by its length; handles and other proofs are left out.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._redaction = Redaction(by_hash=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        pass

    def progress(self, done_s: float, total_s: float) -> None:
        """Nothing: a script asks the clock."""

    def event(self, event: live.Event) -> None:
        """One line."""
        self._write(type(event).__name__, self._fields_of(event))

    def done(self, line: str, fields: dict[str, Any]) -> None:  # noqa: ARG002 - one signature for all displays
        """The last line."""
        self._write("Summary", fields)

    def _fields_of(self, event: live.Event) -> dict[str, Any]:
        """What is said in an event, without what is as it always is, as JSON can hold it."""
        defaults = {field.name: field.default for field in msgspec.structs.fields(event)}
        given = msgspec.structs.asdict(event)
        fields = {name: _plain(value) for name, value in given.items() if value not in (defaults[name], (), {})}
        for name in ("handle", "voice_consent_signature"):  # they open a door to whoever reads this
            fields.pop(name, None)
        match event:
            case live.ModelAudio():
                fields["data"] = len(event.data)
                fields["duration_s"] = round(event.duration_s, 6)
            case live.Unknown():
                raw = self._redaction.read(event.raw)  # whatever the service says may stand in it, a handle too
                fields["raw"] = raw if isinstance(raw, str) else json_text(raw)
            case _:
                pass
        return fields

    def _write(self, name: str, fields: dict[str, Any]) -> None:
        line = {"t": round(time.monotonic() - self._start, 3), "event": name, **fields}
        sys.stdout.write(json_text(line) + "\n")
        sys.stdout.flush()


def _plain(value: object) -> Any:  # noqa: ANN401 - any JSON
    """Structs in our own spelling, where msgspec would give them that of the wire; bytes as base64."""
    match value:
        case msgspec.Struct():
            return {name: _plain(inner) for name, inner in msgspec.structs.asdict(value).items() if inner is not None}
        case Mapping():
            return {name: _plain(inner) for name, inner in cast("Mapping[str, object]", value).items()}
        case list() | tuple():
            return [_plain(inner) for inner in cast("Sequence[object]", value)]
        case _:
            return msgspec.to_builtins(value)


def screen_or_lines() -> Screen | PlainLines:
    """What suits this terminal, if it is one."""
    if not sys.stderr.isatty() or not find_spec("rich") or os.environ.get("TERM", "") in ("dumb", "unknown"):
        return PlainLines()
    # words that go through a pipe may come to the same terminal, where a bar would get in between them
    if not sys.stdout.isatty() and not stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
        return PlainLines()
    from gemini_live.cli.screen import Screen  # noqa: PLC0415 - the extra

    return Screen()
