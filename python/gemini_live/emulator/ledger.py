"""What got across: for each session what its state contains, for each connection what came in.

A test compares this with what its client believes. Both are kept apart on purpose: a message that arrived on a
connection is no longer in the session's state when the session was resumed from an older point.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from gemini_live.emulator.memory import Memory

__all__ = ["ConnectionLedger", "Entry", "Ledger", "Log", "Samples", "SessionLedger"]

Samples = npt.NDArray[np.int16]
"""Mono samples, shape ``(n,)``."""


class Entry(NamedTuple):
    """One thing that the user got across."""

    kind: str
    """``audio``, ``video``, ``text``, ``audio_stream_end``, ``activity_start``, ``activity_end``,
    ``client_content``, ``tool_response`` or ``context_update``."""
    content: Any
    """Samples, bytes of an image, a text, or the message's fields in snake_case."""
    rate_hz: int = 0
    """Of audio."""


class Log:
    """Entries in order. Only ever grows, so that a copy of its present state is a length.

    Args:
        keep: whether contents are kept, or only counted.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self.keep = keep
        self.entries: list[Entry] = []
        self.counts: Counter[str] = Counter()
        self.audio_samples = 0
        self.ignored = 0

    def append(self, entry: Entry) -> None:
        """Adds an entry at the end."""
        self.counts[entry.kind] += 1
        if entry.kind == "audio":
            self.audio_samples += len(entry.content)
        if self.keep:
            self.entries.append(entry)

    def mark(self) -> Log:
        """This log as it is now: shares the entries, which stay; `branch` makes it independent."""
        copy = Log(keep=self.keep)
        copy.entries = self.entries
        copy.counts = self.counts.copy()
        copy.audio_samples, copy.ignored = self.audio_samples, self.ignored
        return copy

    def branch(self) -> Log:
        """A log that starts with what this one contained when it was marked, and grows by itself."""
        copy = self.mark()
        copy.entries = self.entries[: self.counts.total()]
        return copy


class SessionLedger:
    """What one session's state contains, across all its connections.

    After a resume this is what the restored state contains; what had to be sent again is in it once.

    Attributes:
        number: counted from 1, in the order of the first setups.
        model: as the client named it.
        connections: the numbers of the connections that were used.
    """

    def __init__(self, number: int, model: str, memory: Memory) -> None:
        self.number = number
        self.model = model
        self.connections: list[int] = []
        self.memory = memory

    @property
    def log(self) -> Log:
        """All of it, in order: ``log.entries`` is a list of `Entry`, ``log.counts`` how many there are of each kind."""
        return self.memory.log

    def _contents(self, kind: str) -> list[Any]:
        return [entry.content for entry in self.log.entries if entry.kind == kind]

    @property
    def history(self) -> list[tuple[str, str]]:
        """What was said, as pairs of role (``user`` or ``model``) and text; a cut answer as far as it was sent."""
        return list(self.memory.history)

    @property
    def system_instruction(self) -> str:
        """The one in force: the setup's, or that of the last contextUpdate."""
        return self.memory.instruction

    @property
    def answers(self) -> int:
        """Answers that were spoken to their end."""
        return self.memory.answers

    @property
    def interruptions(self) -> int:
        """Answers that the user cut short."""
        return self.memory.interruptions

    @property
    def audio(self) -> Samples:
        """All audio, ``int16`` of shape ``(n,)``, at the rate at which it came; empty if nothing is recorded."""
        return np.concatenate([np.empty(0, np.int16), *self._contents("audio")])

    @property
    def audio_samples(self) -> int:
        """How many samples came, at whatever rate."""
        return self.log.audio_samples

    @property
    def audio_chunks(self) -> int:
        """In how many messages."""
        return self.log.counts["audio"]

    @property
    def texts(self) -> list[str]:
        """The texts of ``realtimeInput.text``."""
        return self._contents("text")

    @property
    def contents(self) -> list[dict[str, Any]]:
        """The turns of all clientContent, names in snake_case."""
        return [turn for content in self._contents("client_content") for turn in content.get("turns", ())]

    @property
    def tool_responses(self) -> list[dict[str, Any]]:
        """The function responses, names in snake_case, also those that nobody had asked for."""
        return [answer for message in self._contents("tool_response") for answer in message["function_responses"]]

    @property
    def images(self) -> list[bytes]:
        """Video frames, still encoded."""
        return self._contents("video")

    @property
    def messages_by_kind(self) -> dict[str, int]:
        """How many of each `Entry.kind`; kinds that never came are absent."""
        return dict(self.log.counts)

    @property
    def ignored(self) -> int:
        """Inputs that came and had no effect: audio outside a marked activity, or before the initial history."""
        return self.log.ignored


class ConnectionLedger:
    """What came in on one connection, whatever became of it.

    Attributes:
        number: counted from 1.
        session: the number of its session; ``None`` if it never had one.
        resumed: whether it came with a handle that was good.
        messages: client messages after the setup.
        early_messages: those of them that came before setupComplete was sent, which clients must not do.
        bytes: payload bytes of all client messages, the setup included.
        code: the close code that the client sent, or that the emulator sent first; ``None`` if there was none.
        reason: that close frame's text.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.session: int | None = None
        self.resumed = False
        self.messages = 0
        self.early_messages = 0
        self.bytes = 0
        self.code: int | None = None
        self.reason = ""


class Ledger:
    """What got across since the emulator started.

    Attributes:
        sessions: a list of `SessionLedger`, in the order of their first setups.
        connections: a list of `ConnectionLedger`, in the order in which they came.
    """

    def __init__(self) -> None:
        self.sessions: list[SessionLedger] = []
        self.connections: list[ConnectionLedger] = []
