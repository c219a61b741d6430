"""What a connection is about to do, and when."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gemini_live.emulator.memory import Checkpoint
    from gemini_live.emulator.replies import Message

__all__ = [
    "Action",
    "Agenda",
    "Close",
    "Cut",
    "GoAway",
    "Limit",
    "Open",
    "Pong",
    "Say",
    "SayText",
    "Token",
    "Update",
]


class Say(NamedTuple):
    """A message."""

    message: Message
    speech: bool = False


class SayText(NamedTuple):
    """A frame as a recording has it."""

    data: str | bytes


class Cut(NamedTuple):
    """TCP ends without a close frame."""

    why: str


class Pong(NamedTuple):
    """The answer to a ping."""

    data: bytes


class Open(NamedTuple):
    """setupComplete."""


class Update(NamedTuple):
    """sessionResumptionUpdate, once or again and again."""

    checkpoint: Checkpoint | None
    every_s: float | None


class GoAway(NamedTuple):
    """goAway, and the end when the time is over."""

    time_left_s: float


class Limit(NamedTuple):
    """The session may have become too old."""


class Token(NamedTuple):
    """A test may have set the tokens' clock, by which the token is then too old."""


class Close(NamedTuple):
    """A close frame, and the end of what is said."""

    code: int
    reason: str


Action = Say | SayText | Pong | Open | Update | GoAway | Limit | Token | Cut | Close


class Agenda:
    """Actions by their time; those of the same time in the order in which they were put in."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Action]] = []
        self._order = itertools.count()

    def put(self, at: float, action: Action) -> None:
        """Plan an action."""
        heapq.heappush(self._entries, (at, next(self._order), action))

    def due(self, now: float) -> Action | None:
        """Take out the first action whose time has come."""
        return heapq.heappop(self._entries)[2] if self._entries and self._entries[0][0] <= now else None

    def deadline(self) -> float | None:
        """When the next is due."""
        return self._entries[0][0] if self._entries else None

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
