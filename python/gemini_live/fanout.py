"""Who has read what: every consumer of a session's events has a place of its own.

Events that steer a conversation are never lost. Audio is bounded for each consumer: one that falls too far behind loses
the oldest and is told (`Lagged`). When `Interrupted` arrives, audio that a consumer has not read yet is taken away from
it before it can be played.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import TYPE_CHECKING

from gemini_live.events import Closed, Event, Interrupted, Lagged, ModelAudio

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Cursor", "Fanout"]

# Answers arrive several times faster than they are played, so an unread backlog of some minutes is normal: five of them
# at 24 kHz. Counted in bytes, as nothing need be worked out for that.
MAX_AUDIO_BYTES = 300 * 2 * 24_000


class Cursor:
    """One consumer's place in the stream of events: an asynchronous iterator that ends after `Closed`.

    One task reads it at a time. It begins at the moment it was made. Leaving it unread costs memory: close it, or hold
    it in an ``async with`` block.
    """

    __slots__ = (
        "__weakref__",
        "_audio_bytes",
        "_ended",
        "_fanout",
        "_lagged",
        "_max_unread",
        "_owner",
        "_unread",
        "_waiter",
    )

    def __init__(self, fanout: Fanout, owner: object = None, *, max_unread_before_start: int | None = None) -> None:
        self._fanout = fanout
        self._owner = owner
        self._max_unread = max_unread_before_start
        self._unread: deque[Event] = deque()
        self._audio_bytes = 0
        self._lagged = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event.

        Raises:
            StopAsyncIteration: the session has closed for good and everything was read.
            RuntimeError: another task is waiting at this cursor; give each its own with ``session.events()``.
        """
        if self._max_unread is not None:
            self._max_unread = None
            self._fanout.spare_no_audio(self)
        while True:
            event = self.next_now()
            if event is not None:
                return event
            if self._ended:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("two tasks read the same events; give each a cursor of its own: session.events()")
            loop = asyncio.get_running_loop()
            if self._fanout.loop not in (loop, None):
                raise RuntimeError("the session belongs to another event loop, and its events are read there")
            self._waiter = loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def keep_no_audio(self) -> None:
        """Keep none until the first read, if that has not been: a megabyte a minute, for what may never come."""
        if self._max_unread is not None:
            self._fanout.spare_audio(self)

    def next_now(self) -> Event | None:
        """The next event if there is one already."""
        if self._lagged:
            count, self._lagged = self._lagged, 0
            return Lagged(count=count)
        if not self._unread:
            return None
        event = self._unread.popleft()
        if type(event) is ModelAudio:
            self._audio_bytes -= len(event.data)
        return event

    def close(self) -> None:
        """Stop listening; what was not read is gone."""
        self._fanout.leave(self)
        self._owner = None  # nothing more is expected of the session
        self._unread.clear()
        self._audio_bytes = 0
        self._lagged = 0
        self.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    # --- for the fan-out ---

    def put(self, event: Event) -> None:
        """Add an event that is no audio, and wake the reader."""
        if isinstance(event, Interrupted):
            self._unread = deque(kept for kept in self._unread if not isinstance(kept, ModelAudio))
            self._audio_bytes = 0
        self._add(event)

    def put_audio(self, audio: ModelAudio) -> None:
        """Add a piece of audio, and wake the reader."""
        self._audio_bytes += len(audio.data)
        if self._max_unread is not None:
            self._add(audio)
        else:  # what nearly always is to be done
            self._unread.append(audio)
            if self._waiter is not None:
                self._wake()
        while self._audio_bytes > MAX_AUDIO_BYTES:
            self._skip_oldest_audio()

    def _add(self, event: Event) -> None:
        self._unread.append(event)
        if self._max_unread is not None and len(self._unread) > self._max_unread:
            oldest = self._unread.popleft()
            if isinstance(oldest, ModelAudio):
                self._audio_bytes -= len(oldest.data)
            self._lagged += 1
        if self._waiter is not None:
            self._wake()

    def _skip_oldest_audio(self) -> None:
        oldest = next(event for event in self._unread if isinstance(event, ModelAudio))
        self._unread.remove(oldest)
        self._audio_bytes -= len(oldest.data)
        self._lagged += 1

    def end(self) -> None:
        """Nothing will be added any more."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Fanout:
    """Hands every event to every cursor that somebody still holds."""

    __slots__ = ("_cursors", "_ended", "_without_audio", "loop")

    def __init__(self) -> None:
        # weakly: a consumer that went away without a word costs nothing, and does not keep its session alive
        self._cursors: list[weakref.ref[Cursor]] = []
        self._without_audio: list[weakref.ref[Cursor]] = []
        self._ended = False
        self.loop: asyncio.AbstractEventLoop | None = None  # where events are published, once that is known

    def publish(self, event: Event) -> None:
        """Add an event for everybody; after `Closed` there is nothing more to add."""
        if isinstance(event, ModelAudio):
            self.publish_audio(event)
            return
        for cursor in self._held():
            cursor.put(event)
        if isinstance(event, Closed):
            self._ended = True
            for cursor in self._held():
                cursor.end()

    def publish_audio(self, audio: ModelAudio) -> None:
        """`publish` for what nearly all events are."""
        for held in self._cursors:
            if (cursor := held()) is not None:
                cursor.put_audio(audio)

    def join(self, owner: object = None, *, max_unread_before_start: int | None = None) -> Cursor:
        """Make a cursor that begins now.

        Args:
            owner: is kept alive for as long as the cursor is.
            max_unread_before_start: for a cursor that may never be read: until its first read it keeps no more than so
                many events, the newest.
        """
        cursor = Cursor(self, owner, max_unread_before_start=max_unread_before_start)
        if self._ended:
            cursor.end()
        else:
            self._cursors = [*_alive(self._cursors), weakref.ref(cursor)]
        return cursor

    def leave(self, cursor: Cursor) -> None:
        """Forget a cursor."""
        self._cursors = _without(cursor, self._cursors)
        self._without_audio = _without(cursor, self._without_audio)

    def spare_audio(self, cursor: Cursor) -> None:
        """Give a cursor no audio until further notice."""
        if any(held() is cursor for held in self._cursors):
            self._cursors = _without(cursor, self._cursors)
            self._without_audio.append(weakref.ref(cursor))

    def spare_no_audio(self, cursor: Cursor) -> None:
        """Give a cursor everything again."""
        if any(held() is cursor for held in self._without_audio):
            self._without_audio = _without(cursor, self._without_audio)
            self._cursors.append(weakref.ref(cursor))

    def _held(self) -> list[Cursor]:
        return [cursor for held in (*self._cursors, *self._without_audio) if (cursor := held()) is not None]


def _alive(cursors: list[weakref.ref[Cursor]]) -> list[weakref.ref[Cursor]]:
    return [held for held in cursors if held() is not None]


def _without(cursor: Cursor, cursors: list[weakref.ref[Cursor]]) -> list[weakref.ref[Cursor]]:
    return [held for held in _alive(cursors) if held() is not cursor]
