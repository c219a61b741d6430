"""What waits, what was written, what is acknowledged, what expired. Pure: no I/O, no clock, no asyncio.

Each accepted message is exactly one of *waiting · written · acknowledged · expired*, and the four counts always add up
to what was accepted. The order is that of the calls; it survives reconnects.

Two ways lead to *acknowledged*. Where the service reports the index of the last message that its resumable state
contains (`acknowledge_index`), written messages are kept until then and can be replayed exactly. Elsewhere a proof that
the other side has read the stream up to a message (`acknowledge`: an answered ping, a completed close) settles it.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from gemini_live.codec import frame, message_of
from gemini_live.events import DeliveryUncertain, InputDropped
from gemini_live.stats import KindStats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemini_live.config import OutboxLimits

__all__ = ["Kind", "Outbox", "Unsent"]

Kind: TypeAlias = Literal[
    "audio",
    "video",
    "text",
    "client_content",
    "tool_response",
    "context_update",
    "activity_start",
    "activity_end",
    "audio_stream_end",
    "raw",
]

# Written messages that nobody has acknowledged are remembered for the report at a loss; beyond this many the oldest
# are only counted. 4,096 chunks of 20 ms are 82 s, longer than a dead line goes unnoticed.
_REMEMBERED = 4_096
# Audio may wait for so long whatever the limit, lest with none at all what leaves in the same moment be too late.
_NO_WAIT_S = 0.001
# Of what was written on a connection that is gone: no confirmation of another one reaches it.
_NO_INDEX = sys.maxsize


class Unsent(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way to another process.

    Attributes:
        payload: the message; its frame is the other process's to make.
        age_s: how long ago it was accepted.
        replayed: it was written, and the service's state does not contain it: it does not expire.
    """

    kind: Kind
    payload: bytes
    duration_s: float = 0.0
    age_s: float = 0.0
    replayed: bool = False


class _Entry:
    __slots__ = ("accepted_at", "count", "doubtful", "duration_s", "index", "kind", "payload", "replayed", "waiting")

    def __init__(self, kind: Kind, payload: bytes, duration_s: float, now: float) -> None:
        self.kind: Kind = kind
        self.payload = payload
        self.duration_s = duration_s
        self.accepted_at = now
        self.waiting = True
        self.index = 0
        # messages of one kind, written one after the other, that only count: the last of them has the index
        self.count = 1
        self.replayed = False
        self.doubtful = False  # the resumable state may or may not contain it


class _Fates:
    """How many messages of each kind have met which fate."""

    __slots__ = ("accepted", "acknowledged", "expired", "replayed", "uncertain", "waiting", "written")

    def __init__(self) -> None:
        self.accepted = Counter[str]()
        self.waiting = Counter[str]()
        self.written = Counter[str]()
        self.acknowledged = Counter[str]()
        self.expired = Counter[str]()
        self.replayed = Counter[str]()
        self.uncertain = Counter[str]()


class Outbox:
    """One first-in-first-out queue for everything a session sends.

    Audio that has waited longer than ``audio_ms`` expires: stale speech is worse than none. The bound is the age, not
    the amount, so that a burst (a file, say) drains at the speed of the network. Of video only the newest image waits.
    Everything else never expires. Audio overtakes an image that waits, and nothing else overtakes anything.

    Args:
        limits: the bounds.
        replayable: the service acknowledges by index, so written messages are kept for a replay.
    """

    __slots__ = (
        "_audio",
        "_audio_s",
        "_booked",
        "_control_bytes",
        "_dropped",
        "_dropped_audio_s",
        "_fates",
        "_index",
        "_overflow",
        "_queue",
        "_replayable",
        "_video",
        "_written",
        "_written_bytes",
        "bytes_written",
        "limits",
        "longest_wait_s",
        "waiting",
    )

    def __init__(self, limits: OutboxLimits, *, replayable: bool = False) -> None:
        self.limits = limits
        self._audio_s = max(limits.audio_ms / 1000, _NO_WAIT_S)
        self._replayable = replayable
        self._queue: deque[_Entry] = deque()  # waiting, with settled ones in between that are skipped
        self._audio: deque[_Entry] = deque()  # the waiting audio that may expire, oldest first
        self._video: _Entry | None = None
        self._written: deque[_Entry] = deque()  # not acknowledged, oldest first
        self._written_bytes = 0
        self._index = 0
        self._booked = 0  # what was written through after this index is audio that the accounts do not know yet
        self._fates = _Fates()
        self._overflow = Counter[str]()  # written on this connection before everything in _written, as numbers only
        self.waiting = 0
        self.bytes_written = 0
        self.longest_wait_s = 0.0
        self._control_bytes = 0
        self._dropped: Counter[Literal["audio", "video"]] = Counter()
        self._dropped_audio_s = 0.0

    # --- in ---

    def accept(self, now: float, kind: Kind, payload: bytes, duration_s: float = 0.0) -> None:
        """Take a message. The caller has seen to it that there is `room` for one that cannot expire.

        Args:
            now: seconds on any clock that does not go backwards.
            kind: what it is, which decides whether it may expire.
            payload: the message in its frame, as it will be written.
            duration_s: of audio.
        """
        self._fates.accepted[kind] += 1
        self._fates.waiting[kind] += 1
        if len(self._queue) > 2 * self.waiting + 64:  # mostly settled ones, in a long outage
            self._queue = deque(entry for entry in self._queue if entry.waiting)
        entry = _Entry(kind, payload, duration_s, now)
        if kind == "audio" and self._is_image_last():
            # an image is a hundred times as long as a chunk, so speech overtakes it; what was said about it does not
            self._queue.insert(len(self._queue) - 1, entry)
        else:
            self._queue.append(entry)
        self.waiting += 1
        if kind == "audio":
            self._audio.append(entry)
            self.expire(now)
        elif kind == "video":
            if self._video is not None:
                self._expire(self._video, now)
            self._video = entry
        else:
            self._control_bytes += len(payload)

    def write_through(self, payload: bytes, duration_s: float) -> None:
        """Take a chunk that leaves in the same moment, because nothing else waits: accepted and written in one.

        Nearly all audio goes this way, so it is only counted here, and booked when somebody looks.
        """
        self._index += 1
        self.bytes_written += len(payload)
        if self._replayable:
            self._book(payload, duration_s)

    def _book(self, payload: bytes = b"", duration_s: float = 0.0) -> None:
        """Enter what was written through into the accounts."""
        count = self._index - self._booked
        if not count:
            return
        self._booked = self._index
        self._fates.accepted["audio"] += count
        self._fates.written["audio"] += count
        entry = _Entry("audio", payload, duration_s, 0.0)  # its age is of no interest: it has not waited
        entry.waiting = False
        entry.count = count
        self._remember(entry)

    def _is_image_last(self) -> bool:
        """Whether an image waits behind everything else that waits."""
        if self._video is None:
            return False
        while not self._queue[-1].waiting:  # it ends at the image, which waits
            self._queue.pop()
        return self._queue[-1] is self._video

    def accept_expired(self, kind: Literal["audio", "video"], count: int, duration_s: float = 0.0) -> None:
        """Take note of messages that were accepted elsewhere and got too old there."""
        if count:
            self._fates.accepted[kind] += count
            self._fates.expired[kind] += count
            self._dropped[kind] += count
            self._dropped_audio_s += duration_s

    def room(self, size: int) -> bool:
        """Whether a control message of ``size`` bytes fits. An empty outbox takes one of any size."""
        return self._control_bytes == 0 or self._control_bytes + size <= self.limits.control_bytes

    # --- out ---

    def next_to_write(self, now: float) -> bytes | None:
        """The oldest waiting message, which counts as written from now on; ``None`` if nothing waits."""
        while self._queue:
            entry = self._queue.popleft()
            if entry.waiting:
                if entry.replayed:
                    entry.payload = frame(message_of(entry.payload))  # each frame has a mask of its own
                payload = entry.payload
                self._wrote(entry, now)
                return payload
        return None

    def _wrote(self, entry: _Entry, now: float) -> None:
        self._book()
        self._stop_waiting(entry, now)
        self._fates.written[entry.kind] += 1
        self.bytes_written += len(entry.payload)
        if entry.kind == "video":
            if self._video is entry:
                self._video = None
        elif entry.kind != "audio":
            self._control_bytes -= len(entry.payload)
        elif not entry.replayed:
            # the oldest waiting message overall is also the oldest waiting audio
            self._audio.popleft()
        self._index += 1
        self._booked = self._index
        if not self._may_be_repeated(entry):
            entry.payload = b""
        self._remember(entry)

    def _remember(self, entry: _Entry) -> None:
        """Keep an entry until it is confirmed; what only counts goes to the one before, if that is of the same kind."""
        entry.index = self._index
        last = self._written[-1] if self._written else None
        if last is not None and last.kind == entry.kind and not last.payload and not entry.payload:
            last.count += entry.count
            last.index = self._index
            return
        self._written.append(entry)
        self._written_bytes += len(entry.payload)
        while self._too_much_to_remember():
            oldest = self._forget_oldest()
            self._overflow[oldest.kind] += oldest.count

    def _may_be_repeated(self, entry: _Entry) -> bool:
        """Whether writing it twice does no harm: the index says if it is needed, or its id makes it safe."""
        return entry.kind == "tool_response" or (self._replayable and not entry.doubtful)

    def _stop_waiting(self, entry: _Entry, now: float) -> None:
        entry.waiting = False
        self.waiting -= 1
        self._fates.waiting[entry.kind] -= 1
        if not entry.replayed:
            self.longest_wait_s = max(self.longest_wait_s, now - entry.accepted_at)

    def _too_much_to_remember(self) -> bool:
        if self._replayable:
            return self._written_bytes > self.limits.replay_bytes
        return len(self._written) > _REMEMBERED

    def _forget_oldest(self) -> _Entry:
        entry = self._written.popleft()
        self._written_bytes -= len(entry.payload)
        return entry

    # --- what became of it ---

    @property
    def last_written(self) -> int:
        """How many messages were written on this connection: the index of the last of them."""
        return self._index

    @property
    def unacknowledged(self) -> bool:
        """Whether anything was written on this connection that nobody has confirmed."""
        return bool(self._written) or self._index > self._booked

    @property
    def has_forgotten(self) -> bool:
        """Whether something written on this connection can neither be confirmed one by one nor be replayed."""
        self._book()
        return bool(self._overflow)

    def acknowledge(self, index: int) -> None:
        """Settle this connection's messages up to ``index``, counted from 1."""
        self._book()
        confirmed = Counter[str]()
        # the overflow was written before whatever is remembered
        overflow_ends_at = self._written[0].index - self._written[0].count if self._written else self._index
        if self._overflow and index >= overflow_ends_at:
            confirmed.update(self._overflow)
            self._overflow.clear()
        while self._written and self._written[0].index <= index:
            entry = self._forget_oldest()
            confirmed[entry.kind] += entry.count
        if self._written and index > (oldest := self._written[0]).index - oldest.count:
            confirmed[oldest.kind] += (count := index - (oldest.index - oldest.count))
            oldest.count -= count
        if confirmed:
            self._fates.written -= confirmed
            self._fates.acknowledged += confirmed

    def doubt_written(self) -> None:
        """The resumable state is now one of which nobody says whether it contains what is written."""
        for entry in self._written:
            entry.doubtful = True

    def connection_lost(self, *, resumable: bool, calls_known: bool = True) -> DeliveryUncertain | None:
        """Keep what a resumed state may lack, if it can be known; count and report the rest as uncertain.

        Without its context a session is told nothing of the old one: what still waits to be replayed, and answers to
        calls that nobody knows any more, are given up as well.

        Args:
            resumable: the next connection may continue from the state that the acknowledgements speak of.
            calls_known: that state may contain the calls that were answered.
        """
        self._book()
        self._index = self._booked = 0
        kinds = Counter[str](self._overflow)
        self._overflow.clear()
        kept = deque[_Entry]()
        for entry in self._written:
            if resumable and self._may_be_repeated(entry) and (calls_known or entry.kind != "tool_response"):
                entry.index = _NO_INDEX
                kept.append(entry)
            else:
                kinds[entry.kind] += entry.count
        self._written = kept
        self._written_bytes = sum(len(entry.payload) for entry in kept)
        if not (resumable and calls_known):
            kinds += self._give_up_waiting(replayed=not resumable)
        self._fates.uncertain += kinds
        return DeliveryUncertain(kinds=dict(kinds)) if kinds else None

    def _give_up_waiting(self, *, replayed: bool) -> Counter[str]:
        """Take out of the queue what makes sense to a session with its context only; it counts as written in vain.

        That is answers to its calls, and what would have been ``replayed``, if that is given up as well.
        """
        given_up = Counter[str]()
        for entry in self._queue:
            if entry.waiting and ((replayed and entry.replayed) or entry.kind == "tool_response"):
                entry.waiting = False
                given_up[entry.kind] += 1
                if entry.kind not in ("audio", "video"):
                    self._control_bytes -= len(entry.payload)
        self.waiting -= given_up.total()
        self._fates.waiting -= given_up
        self._fates.written += given_up
        return given_up

    def connection_opened(self) -> int:
        """Begin a new connection; put what was kept for it back at the front, in order.

        Returns:
            How many messages will be written again.
        """
        self._index = self._booked = 0
        count = len(self._written)
        while self._written:
            entry = self._written.pop()
            self._fates.written[entry.kind] -= 1
            self._fates.waiting[entry.kind] += 1
            self._fates.replayed[entry.kind] += 1
            entry.waiting = True
            entry.replayed = True  # it was in time once: what the state lacks must not expire now
            entry.doubtful = False
            if entry.kind not in ("audio", "video"):
                self._control_bytes += len(entry.payload)
            self._queue.appendleft(entry)
        self._written_bytes = 0
        self.waiting += count
        return count

    # --- moving to another process ---

    def unsent(self, now: float) -> list[Unsent]:
        """What a successor must write: what is written and may have to be replayed, then what waits, in order."""
        kept = [(entry, True) for entry in self._written if self._may_be_repeated(entry)]
        kept += [(entry, entry.replayed) for entry in self._queue if entry.waiting]
        return [
            Unsent(
                kind=entry.kind,
                payload=message_of(entry.payload),
                duration_s=entry.duration_s,
                age_s=now - entry.accepted_at,
                replayed=replayed,
            )
            for entry, replayed in kept
        ]

    def take_over(self, now: float, unsent: Sequence[Unsent]) -> None:
        """Begin with what a predecessor could not send; what has got too old since then expires as usual."""
        for one in unsent:
            self.accept(now - one.age_s, one.kind, frame(one.payload), one.duration_s)
            if one.replayed:
                entry = self._queue[-1]
                entry.replayed = True
                if one.kind == "audio":
                    self._audio.pop()
                elif one.kind == "video":
                    self._video = None

    # --- time ---

    def expire(self, now: float) -> None:
        """Let audio go that is too old to be worth hearing."""
        while self._audio and now >= self._audio[0].accepted_at + self._audio_s:
            self._expire(self._audio.popleft(), now)

    def next_expiry(self) -> float | None:
        """When audio will next be too old, on the caller's clock."""
        return self._audio[0].accepted_at + self._audio_s if self._audio else None

    def _expire(self, entry: _Entry, now: float) -> None:
        self._stop_waiting(entry, now)
        self._fates.expired[entry.kind] += 1
        if entry.kind == "audio":
            self._dropped_audio_s += entry.duration_s
            self._dropped["audio"] += 1
        else:
            self._dropped["video"] += 1
        entry.payload = b""

    def dropped(self) -> list[InputDropped]:
        """What has expired since the last call."""
        if not self._dropped:
            return []
        events = [
            InputDropped(kind=kind, count=count, duration_s=self._dropped_audio_s if kind == "audio" else 0.0)
            for kind, count in self._dropped.items()
        ]
        self._dropped.clear()
        self._dropped_audio_s = 0.0
        return events

    # --- the balance ---

    def waiting_since(self) -> float | None:
        """When the oldest message that waits, and is not a repetition, was accepted."""
        return next((entry.accepted_at for entry in self._queue if entry.waiting and not entry.replayed), None)

    @property
    def counts(self) -> KindStats:
        """Messages by fate, of all kinds."""
        self._book()
        fates = self._fates
        return KindStats(**{name: getattr(fates, name).total() for name in KindStats.__struct_fields__})

    @property
    def counts_by_kind(self) -> dict[str, KindStats]:
        """The same for each kind that there was."""
        self._book()
        fates = self._fates
        return {
            kind: KindStats(**{name: getattr(fates, name)[kind] for name in KindStats.__struct_fields__})
            for kind in fates.accepted
        }
