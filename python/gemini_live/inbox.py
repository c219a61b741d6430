"""What other threads hand in: a queue that never makes them wait, and wakes the event loop once for a whole batch."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Batch", "Handed", "Inbox"]

Handable: TypeAlias = Literal["audio", "video", "activity_start", "activity_end"]


class Handed(msgspec.Struct, frozen=True):
    """One message, as another thread handed it in.

    Attributes:
        at: when, on the loop's clock.
        duration_s: of audio.
    """

    at: float
    kind: Handable
    payload: bytes
    duration_s: float


class Batch(msgspec.Struct):
    """What came in since the loop last looked.

    Attributes:
        expired: pieces of audio that got too old here, because the loop was busy, and are gone.
        expired_s: how much audio that was, in seconds.
        superseded: images that a newer one has taken the place of.
    """

    handed: list[Handed] = msgspec.field(default_factory=list[Handed])
    expired: int = 0
    expired_s: float = 0.0
    superseded: int = 0


class Inbox:
    """Messages on their way from any thread into the loop's own.

    It is bounded like the outbox: however long the loop is blocked, no more audio than ``most_s`` and one image wait.

    Args:
        loop: whose thread takes the messages.
        take: is called there with each batch.
        most_s: how old audio may get.
    """

    __slots__ = ("_batch", "_lock", "_loop", "_most_s", "_take", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[Batch], None], most_s: float) -> None:
        self._loop = loop
        self._take = take
        self._most_s = most_s
        self._batch = Batch()
        self._lock = threading.Lock()  # held for as long as an append takes
        self.waiting = 0
        """Messages that the loop has not taken yet."""

    def put(self, kind: Handable, payload: bytes, duration_s: float = 0.0, *, superseded: int = 0) -> bool:
        """Hand a message in, from any thread.

        Args:
            kind: what it is.
            payload: as it will be written.
            duration_s: of audio.
            superseded: of video: so many older images were given up for this one before they were encoded.

        Returns:
            Whether there is still a loop that can take it.
        """
        now = self._loop.time()
        with self._lock:
            batch = self._batch
            first = not batch.handed
            if kind == "video":
                self._supersede_video()
                batch.superseded += superseded
            batch.handed.append(Handed(now, kind, payload, duration_s))
            if now - batch.handed[0].at > self._most_s:
                self._drop_expired(now)
            self.waiting = len(batch.handed)
        if first or self._loop.is_closed():  # which may have been before it came round
            try:
                self._loop.call_soon_threadsafe(self.drain)
            except RuntimeError:  # the loop is closed
                with self._lock:
                    self._batch, self.waiting = Batch(), 0
                return False
        return True

    def _supersede_video(self) -> None:
        kept = [one for one in self._batch.handed if one.kind != "video"]
        self._batch.superseded += len(self._batch.handed) - len(kept)
        self._batch.handed = kept

    def _drop_expired(self, now: float) -> None:
        kept = [one for one in self._batch.handed if one.kind != "audio" or now - one.at <= self._most_s]
        gone = len(self._batch.handed) - len(kept)
        self._batch.expired += gone
        self._batch.expired_s += sum(one.duration_s for one in self._batch.handed) - sum(one.duration_s for one in kept)
        self._batch.handed = kept

    def drain(self) -> None:
        """Take everything, in the loop's thread."""
        with self._lock:
            batch, self._batch, self.waiting = self._batch, Batch(), 0
        if batch.handed:
            self._take(batch)
