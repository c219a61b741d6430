"""What a session decides. Pure: no I/O, no asyncio; the clock and the dice are arguments.

Facts go in (`start`, `dialled`, `message_received`, `connection_lost`, `time_passed`, `close` …), decisions come out of
`decisions`, to be carried out in order, and `deadline` says when `time_passed` is wanted. Every change of state is a
row of `TRANSITIONS`; there is no other.

Invariants:

* No message of the user leaves before ``setupComplete``.
* A handle is kept only while the service says that the session can be resumed.
* The old socket is gone before the new one is dialled: the service refuses to resume a session that still has one.
* After ``Closed`` nothing is decided any more.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from gemini_live import codec, events
from gemini_live.conversation import Conversation
from gemini_live.events import CloseKind, Phase, SessionStatus
from gemini_live.failures import Failure, Next, Verdict, judge
from gemini_live.outbox import Kind, Outbox, Unsent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemini_live.config import SessionConfig
    from gemini_live.messages import FunctionCall
    from gemini_live.setup_message import Setup

__all__ = [
    "ENDING",
    "TRANSITIONS",
    "Abort",
    "Decision",
    "Dial",
    "Emit",
    "HangUp",
    "MarkAnew",
    "Ping",
    "Protocol",
    "State",
    "Trigger",
    "Write",
]

# A connection that lived this long was a success, and the count of failures starts anew. Refused resumes end within
# 1.6 s of their setup (measured on the service).
_STABLE_S = 2.0
# After a resume was refused the service needs 1.5 s to forget the old connection; twice refused, the handle is dead.
_REFUSED_WAIT_S = 1.5
_REFUSED_MOST = 2
# An announced close is anticipated by this much, or by a quarter of a shorter notice.
_MOVE_MARGIN_S = 5.0
_NOTICE_S = 10.0  # where the announcement says no time
# Written speech is confirmed by a ping every so often; control messages ask for one at once.
_RECEIPT_S = 5.0

# Gaps that the statistics remember one by one.
_GAPS = 100
# As much is decided to be written before the connection is asked whether it takes more.
_BATCH = 16 * 1024

_NORMAL_CLOSURE = 1000


class State(Enum):
    """What a session is doing, in the terms of its connection."""

    NEW = "new"
    DIALLING = "dialling"
    SETTING_UP = "setting up"
    OPEN = "open"
    MOVING = "moving"
    """The old connection is being closed in an orderly way; the next dial follows at once."""
    WAITING = "waiting"
    """There is no connection; the next dial follows after the back-off."""
    CLOSING = "closing"
    CLOSED = "closed"


ENDING = State.CLOSING, State.CLOSED
"""The states in which nothing more is taken."""


class Trigger(Enum):
    """What makes a session go from one state to another."""

    START = "start"
    DIALLED = "dialled"
    READY = "ready"
    FAILED = "failed"
    """The connection is gone and another dial is worth it."""
    HOPELESS = "hopeless"
    """The connection is gone and another dial is not worth it."""
    MOVE = "move"
    """The service will close the connection, so it is time to go."""
    GONE = "gone"
    """The socket that we were closing is closed."""
    DUE = "due"
    """The back-off is over."""
    CLOSE = "close"
    """The user closes while there is a socket to be closed."""
    CLOSE_AT_ONCE = "close at once"
    """The user closes while there is none."""


_S, _T = State, Trigger
TRANSITIONS: dict[State, dict[Trigger, State]] = {
    _S.NEW: {_T.START: _S.DIALLING, _T.CLOSE_AT_ONCE: _S.CLOSED},
    _S.DIALLING: {
        _T.DIALLED: _S.SETTING_UP,
        _T.FAILED: _S.WAITING,
        _T.HOPELESS: _S.CLOSED,
        _T.CLOSE_AT_ONCE: _S.CLOSED,
    },
    _S.SETTING_UP: {
        _T.READY: _S.OPEN,
        _T.FAILED: _S.WAITING,
        _T.HOPELESS: _S.CLOSED,
        _T.CLOSE: _S.CLOSING,
    },
    _S.OPEN: {
        _T.MOVE: _S.MOVING,
        _T.FAILED: _S.WAITING,
        _T.HOPELESS: _S.CLOSED,
        _T.CLOSE: _S.CLOSING,
    },
    _S.MOVING: {_T.GONE: _S.DIALLING, _T.CLOSE: _S.CLOSING},
    _S.WAITING: {_T.DUE: _S.DIALLING, _T.CLOSE_AT_ONCE: _S.CLOSED},
    _S.CLOSING: {_T.GONE: _S.CLOSED},
    _S.CLOSED: {},
}

_CONNECTED = frozenset({State.SETTING_UP, State.OPEN, State.MOVING, State.CLOSING})
_PHASES = {State.DIALLING: Phase.DIAL, State.SETTING_UP: Phase.SETUP}


# --- decisions -------------------------------------------------------------------------------------------------------


class Dial(msgspec.Struct, frozen=True):
    """Open a connection, then report `Protocol.dialled`, or `Protocol.connection_lost`."""


class Write(msgspec.Struct, frozen=True):
    """Hand this message, in its frame, to the connection."""

    payload: bytes


class Ping(msgspec.Struct, frozen=True):
    """Send a WebSocket ping with this payload."""

    payload: bytes


class HangUp(msgspec.Struct, frozen=True):
    """Close the connection in an orderly way, wait a while for the echo, then report `Protocol.connection_lost`."""

    code: int = _NORMAL_CLOSURE


class Abort(msgspec.Struct, frozen=True):
    """Drop the connection, or the attempt at one, at once; nothing is to be reported."""


class Emit(msgspec.Struct, frozen=True):
    """Tell the user."""

    event: events.Event


class MarkAnew(msgspec.Struct, frozen=True):
    """Have an activity that goes on marked once more: the service does not know that it has begun."""


Decision: TypeAlias = Dial | Write | Ping | HangUp | Abort | Emit | MarkAnew


class Protocol:
    """One session, from its first dial to its end.

    Args:
        config: what the user wants.
        setup: the setup message, with the full model name.
        dice: gives numbers from 0 to 1, for the jitter.
    """

    # Beyond 30 attributes each instance has a hash table of its own (CPython's `SHARED_KEYS_MAX_SIZE`). With a hundred
    # sessions that is memory which has gone cold between two messages, so whatever each of them touches has slots.
    __slots__ = (
        "_attempts",
        "_by_index",
        "_close_kind",
        "_config",
        "_decisions",
        "_dice",
        "_down_at",
        "_down_because",
        "_due_at",
        "_ever_open",
        "_handle",
        "_handle_is_current",
        "_hasty_moves",
        "_heard_at",
        "_move_at",
        "_move_not_before",
        "_open_at",
        "_paused",
        "_ping",
        "_pinged_at",
        "_refused",
        "_replay_from_start",
        "_resuming",
        "_same_kind",
        "bytes_received",
        "closed",
        "conversation",
        "gaps_s",
        "longest_gap_s",
        "messages_received",
        "outbox",
        "reconnects",
        "round_trip_s",
        "setup",
        "state",
        "unknown_received",
    )

    def __init__(self, config: SessionConfig, setup: Setup, dice: Callable[[], float]) -> None:
        self._config = config
        self.setup = setup
        self._dice = dice
        resumption = setup.session_resumption
        self._by_index = bool(resumption and resumption.transparent)
        self.outbox = Outbox(config.outbox, replayable=self._by_index)
        self.conversation = Conversation()
        self.state = State.NEW
        self.closed: events.Closed | None = None
        self._decisions: list[Decision] = []
        self._handle = resumption.handle if resumption else None
        self._handle_is_current = True  # resuming by it loses no answer that was given
        self._resuming = False  # the current connection's setup carried a handle
        # Until the service first says what its state contains, that is nothing: a fresh session that hears all of it
        # again is in the same state. Afterwards only a handle can restore it.
        self._replay_from_start = self._by_index and self._handle is None
        self._ever_open = False
        self._paused = False  # the connection does not want to be written to
        self._close_kind = CloseKind.REQUESTED
        # times, on the caller's clock
        self._due_at: float | None = None  # the end of the back-off, or of the patience with a dial
        self._open_at = 0.0
        self._down_at = 0.0
        self._heard_at = 0.0
        self._move_at: float | None = None
        self._move_not_before = 0.0  # this connection is used for so long, whatever the service announces
        self._pinged_at = 0.0
        # the ping that was not answered yet: its payload is the index of the last message before it
        self._ping: bytes | None = None
        # failures in a row, and moves away from connections that had hardly begun
        self._attempts = 0
        self._hasty_moves = 0
        self._refused = 0
        self._same_kind: tuple[CloseKind | None, int] = (None, 0)
        # for the statistics
        self.reconnects = Counter[str]()
        self.gaps_s = deque[float](maxlen=_GAPS)
        self.longest_gap_s = 0.0
        self.messages_received = 0
        self.unknown_received = 0
        self.bytes_received = 0
        self.round_trip_s: float | None = None
        self._down_because = CloseKind.PLANNED

    # --- what the caller reads ---

    def decisions(self) -> list[Decision]:
        """Hand out what is to be done, in order; the next call has only what came after."""
        decisions, self._decisions = self._decisions, []
        return decisions

    def deadline(self) -> float | None:
        """When `time_passed` is wanted at the latest, unless something else happens before."""
        if self.state is State.OPEN:
            earliest = self._silent_at()
            for moment in (self._receipt_at(), self._stalled_at(), self._move_at, self.outbox.next_expiry()):
                if moment is not None and moment < earliest:
                    earliest = moment
            return earliest
        moments = [moment for moment in (self._due_at, self.outbox.next_expiry()) if moment is not None]
        return min(moments, default=None) if self.state is not State.CLOSED else None

    @property
    def end(self) -> events.Closed:
        """Why the session has ended, or is about to."""
        return self.closed or events.Closed(kind=self._close_kind)

    @property
    def status(self) -> SessionStatus:
        """The state in the user's terms."""
        match self.state:
            case State.OPEN:
                return SessionStatus.CONNECTED
            case State.CLOSED:
                return SessionStatus.CLOSED
            case State.CLOSING:
                return SessionStatus.CONNECTED if self._ever_open else SessionStatus.CONNECTING
            case _:
                return SessionStatus.RECONNECTING if self._ever_open else SessionStatus.CONNECTING

    # --- facts: the user ---

    def start(self, now: float) -> None:
        """Begin the first connection."""
        self._go(Trigger.START)
        self._dial(now)

    def submit(
        self, now: float, kind: Kind, payload: bytes, duration_s: float = 0.0, *, accepted_at: float | None = None
    ) -> None:
        """Take a message of the user; it leaves at once if the connection takes it.

        Args:
            now: this moment.
            kind: what it is.
            payload: the whole message in its frame.
            duration_s: of audio.
            accepted_at: when the user gave it, if that was not just now.
        """
        self.outbox.accept(now if accepted_at is None else accepted_at, kind, payload, duration_s)
        self._flush(now)
        if kind not in ("audio", "video") and self._wants_receipt():
            self._send_ping(now)
        self._report_dropped()

    @property
    def passes_through(self) -> bool:
        """Whether nothing stands between a message and the connection: audio may be written, and counted, directly."""
        return self.state is State.OPEN and not self._paused and not self.outbox.waiting and not self._decisions

    def take_over(self, now: float, unsent: Sequence[Unsent], pending_calls: Sequence[FunctionCall]) -> None:
        """Go on where another process stopped; before `start`."""
        self.outbox.take_over(now, unsent)
        self.conversation.pending_calls.update((call.id, call) for call in pending_calls)

    @property
    def resuming(self) -> bool:
        """Whether the latest connection asked for a state that the service has kept, and so knows the calls in it."""
        return self._resuming

    @property
    def handle(self) -> str | None:
        """Of the state that the service can resume, if there is one."""
        return self._handle

    def close(self, now: float, kind: CloseKind = CloseKind.REQUESTED) -> None:
        """End the session: write what waits if there is a connection, then close it. Again: no effect."""
        if self.state in ENDING:
            return
        self._close_kind = kind
        match self.state:
            case State.OPEN:
                self._paused = False  # what waits goes into the socket's own buffer: there is no later
                self._flush(now, sys.maxsize)
                self._decisions.append(HangUp())
            case State.SETTING_UP:
                self._decisions.append(HangUp())
            case State.DIALLING:
                self._decisions.append(Abort())
            case _:
                pass
        if self.state in (State.NEW, State.DIALLING, State.WAITING):
            self._go(Trigger.CLOSE_AT_ONCE)
            self._end(kind, Failure())
        else:
            self._go(Trigger.CLOSE)
        self._due_at = None

    # --- facts: the connection ---

    def dialled(self, now: float) -> None:
        """The connection stands; the setup goes first."""
        self._go(Trigger.DIALLED)
        self._resuming = self._handle is not None
        self._heard_at = self._pinged_at = now
        self._move_at = None  # what was announced was the end of another connection
        self._paused = False
        self._ping = None
        again = self._handle is not None or (self._ever_open and not self._replay_from_start)
        setup = codec.encode_setup(self.setup, handle=self._handle, again=again)
        self._decisions.append(Write(codec.frame(setup)))

    def message_received(self, now: float, raw: bytes) -> None:
        """A whole message came in."""
        if self.state not in _CONNECTED:
            return  # from a connection that has been given up
        self._heard_at = now
        self.messages_received += 1
        self.bytes_received += len(raw)
        for event in codec.decode(raw):
            self._event_received(now, event)
        if self._move_at is not None and now >= self._move_not_before and self.state is State.OPEN and self.at_rest():
            self._move(now, "the service said goAway")

    def audio_received(self, now: float, raw: bytes) -> events.ModelAudio | None:
        """`message_received` for a piece of audio in mid-answer, which is what nearly all messages are.

        Returns:
            What is to be published at once, and is all there is to do; ``None`` if the message was not taken.
        """
        talk = self.conversation
        if self.state is not State.OPEN or self._move_at is not None:
            return None
        if not talk.turn_running or talk.interrupted_at is not None:  # it may begin an answer, or be one's late rest
            return None
        hot = codec.decode_audio(raw)
        if hot is None:
            return None
        self._heard_at = now
        self.messages_received += 1
        self.bytes_received += len(raw)
        return talk.audio_received(now, *hot)

    def pong_received(self, now: float, payload: bytes) -> None:
        """The other side answered a ping, so it has read everything that was written before it."""
        self._heard_at = now
        if payload != self._ping:
            return
        self._ping = None
        self.round_trip_s = now - self._pinged_at
        if not self._by_index:
            self.outbox.acknowledge(int(payload))

    def life_sign(self, now: float) -> None:
        """Anything at all came in."""
        self._heard_at = now

    def batch_written(self, now: float) -> None:
        """All decisions were carried out, and the connection has not asked for a pause."""
        self._flush(now)

    def writing_paused(self) -> None:
        """The connection has enough to do."""
        self._paused = True

    def writing_resumed(self, now: float) -> None:
        """The connection takes messages again."""
        self._paused = False
        self._flush(now)
        self._report_dropped()

    def connection_lost(self, now: float, failure: Failure) -> None:
        """The socket is gone, or could not be had; whose wish it was follows from the state."""
        # the echo of our close was sent after everything before it had been read; whether the state that a handle
        # restores contains it, only the index says
        at_the_end = self.state is State.CLOSING and self._close_kind is not CloseKind.HANDED_OVER
        if failure.clean and (at_the_end or not self._by_index):
            self.outbox.acknowledge(self.outbox.last_written)
        match self.state:
            case State.MOVING:
                self._settle_in_flight()
                self._go(Trigger.GONE)
                self._dial(now)
            case State.CLOSING:
                self._go(Trigger.GONE)
                self._end(self._close_kind, failure)
            case State.DIALLING | State.SETTING_UP | State.OPEN:
                self._failed(now, failure)
            case _:
                pass  # an echo of something that has been dealt with

    # --- facts: time ---

    def time_passed(self, now: float) -> None:
        """Look whether something is due."""
        self.outbox.expire(now)
        self._report_dropped()
        if self._due_at is not None and now >= self._due_at:
            self._due(now)
        elif self.state is State.OPEN:
            if now >= self._silent_at():
                self._silence(now)
            elif self._move_at is not None and now >= self._move_at:
                self._move(now, "the service said goAway")
            elif (stalled_at := self._stalled_at()) is not None and now >= stalled_at:
                self._stalled(now, now - stalled_at + self._config.transport.stalled_after_s)
            elif (receipt_at := self._receipt_at()) is not None and now >= receipt_at:
                self._send_ping(now)

    def _due(self, now: float) -> None:
        self._due_at = None
        if self.state is State.WAITING:
            self._go(Trigger.DUE)
            self._dial(now)
        else:
            self._decisions.append(Abort())
            patience = self._config.transport.connect_timeout_s
            stage = "the service did not answer the setup" if self.state is State.SETTING_UP else "no connection"
            self._failed(now, Failure(kind=CloseKind.TIMEOUT, reason=f"{stage} within {patience:g} s"))

    # --- a connection's life ---

    def _go(self, trigger: Trigger) -> None:
        self.state = TRANSITIONS[self.state][trigger]

    def _dial(self, now: float) -> None:
        self._due_at = now + self._config.transport.connect_timeout_s
        self._decisions.append(Dial())

    def _ready(self, now: float) -> None:
        self._go(Trigger.READY)
        self._due_at = None
        self._open_at = self._move_not_before = now
        if self._hasty_moves:  # a server that shuts down may say goAway to everybody who comes
            self._move_not_before += self._config.reconnect.ceiling_s(self._hasty_moves)
        if self._move_at is not None:
            self._move_at = max(self._move_at, self._move_not_before)
        answer_cut = self.conversation.connection_opened(now, resumed=self._resuming)
        if not self._ever_open:
            self._ever_open = True
            self.outbox.connection_opened()
        else:
            restored = self._resuming or self._replay_from_start
            if not self._resuming:
                self._settle_in_flight(resumable=restored, calls_known=False)
            gap_s = now - self._down_at
            self.reconnects[self._down_because.value] += 1
            self.gaps_s.append(gap_s)
            self.longest_gap_s = max(self.longest_gap_s, gap_s)
            replayed = self.outbox.connection_opened()
            marks = self.outbox.counts_by_kind.get("activity_start")
            if marks is not None and not marks.waiting and not restored:  # the latest was written, and is forgotten
                self._decisions.append(MarkAnew())
            self._decisions.append(
                Emit(
                    events.Reconnected(
                        gap_s=gap_s,
                        attempts=self._attempts or 1,
                        context_restored=restored,
                        replayed=replayed,
                        # what is replayed exactly is, with the question, answered anew
                        answer_cut=answer_cut and not (self._by_index and replayed),
                    )
                )
            )
        self.outbox.expire(now)
        self._report_dropped()
        self._flush(now)

    def _failed(self, now: float, failure: Failure) -> None:
        phase = _PHASES.get(self.state, Phase.OPEN)
        verdict = judge(failure, phase, resuming=self._resuming and phase is not Phase.DIAL)
        if phase is Phase.OPEN:
            self._down_at = now
            self._down_because = verdict.kind
            self._move_at = None
            if now - self._open_at >= _STABLE_S:
                self._attempts = self._refused = 0
                self._same_kind = (None, 0)
            self._settle_in_flight()
        verdict = self._after_refusals(now, verdict, phase)
        kind, count = self._same_kind
        self._same_kind = (verdict.kind, count + 1 if verdict.kind is kind else 1)
        end = self._end_of_patience(verdict)
        if end is not None:
            self._go(Trigger.HOPELESS)
            self._end(end, failure, phase, verdict.hint)
            return
        if verdict.next is Next.FRESH:
            self._handle = None
        self._attempts += 1
        delay_s = max(verdict.wait_s, self._dice() * self._config.reconnect.ceiling_s(self._attempts))
        self._due_at = now + delay_s
        self._go(Trigger.FAILED)
        self._decisions.append(
            Emit(
                events.Reconnecting(
                    attempt=self._attempts,
                    delay_s=delay_s,
                    kind=verdict.kind,
                    code=failure.code,
                    reason=failure.reason,
                )
            )
        )

    def _after_refusals(self, now: float, verdict: Verdict, phase: Phase) -> Verdict:
        """A resume that is refused needs a pause first, and a fresh session when it is refused again."""
        soon_after = phase is Phase.SETUP or (phase is Phase.OPEN and now - self._open_at < _STABLE_S)
        refused = self._resuming and soon_after and verdict.kind in (CloseKind.SERVER, CloseKind.PLANNED)
        if not refused:
            return verdict
        self._refused += 1
        if self._refused < _REFUSED_MOST:
            return msgspec.structs.replace(verdict, wait_s=_REFUSED_WAIT_S)
        self._refused = 0
        return msgspec.structs.replace(verdict, next=Next.FRESH)

    def _end_of_patience(self, verdict: Verdict) -> CloseKind | None:
        """Why the session ends here, if it does."""
        policy = self._config.reconnect
        if verdict.next is Next.STOP or not self._ever_open:
            return verdict.kind
        if not policy.enabled:
            return CloseKind.RECONNECT_DISABLED
        if verdict.most is not None and self._same_kind[1] > verdict.most:
            return verdict.kind
        if policy.max_attempts is not None and self._attempts >= policy.max_attempts:
            return CloseKind.RECONNECT_EXHAUSTED
        return None

    def _move(self, now: float, reason: str) -> None:
        """Leave before the service closes; there is nothing to wait for, so no back-off."""
        self._go(Trigger.MOVE)
        self._hasty_moves = self._hasty_moves + 1 if now < self._move_not_before + _STABLE_S else 0
        self._move_at = None
        self._down_at = now
        self._down_because = CloseKind.PLANNED
        self._attempts = 0
        moving = events.Reconnecting(attempt=1, delay_s=0.0, kind=CloseKind.PLANNED, reason=reason)
        self._decisions.extend((Emit(moving), HangUp()))

    def _settle_in_flight(self, *, resumable: bool | None = None, calls_known: bool = True) -> None:
        """Report what was written and can neither be confirmed nor be repeated."""
        if self.outbox.has_forgotten:
            self._replay_from_start = False  # the beginning is gone
        if resumable is None:
            resumable = self._handle is not None or self._replay_from_start
        uncertain = self.outbox.connection_lost(resumable=resumable, calls_known=calls_known)
        if uncertain is not None:
            self._decisions.append(Emit(uncertain))

    def _end(self, kind: CloseKind, failure: Failure, phase: Phase = Phase.OPEN, hint: str = "") -> None:
        # what a successor will replay is not uncertain
        self._settle_in_flight(resumable=kind is CloseKind.HANDED_OVER)
        self._report_dropped()
        self._due_at = None
        self.closed = events.Closed(
            kind=kind,
            phase=phase,
            code=failure.code,
            reason=failure.reason,
            hint=hint,
            undelivered=self.outbox.waiting,
            attempts=self._attempts,
        )
        self._decisions.append(Emit(self.closed))

    # --- what the messages mean for the connection ---

    def _event_received(self, now: float, event: events.Event) -> None:
        if isinstance(event, events.ModelAudio):
            audio = self.conversation.audio_received(now, event.data, event.rate_hz)
            if audio is not None:
                self._decisions.append(Emit(audio))
            return
        self._decisions.append(Emit(event))
        match event:
            case events.Unknown():
                self.unknown_received += 1
            case events.SetupComplete() if self.state is State.SETTING_UP:
                self._ready(now)
            case events.SessionResumption(handle=handle, resumable=resumable):
                self._handle = handle if resumable else None
                self._handle_is_current = resumable
                self._replay_from_start = False
                index = event.last_consumed_client_message_index
                if self._by_index and resumable:
                    if index is None:  # it may come without, and then nothing says what the state contains
                        self.outbox.doubt_written()
                    else:
                        self.outbox.acknowledge(index)
            case events.GoAway(time_left_s=time_left_s) if self._config.reconnect.enabled:
                notice_s = max(0.0, _NOTICE_S if time_left_s is None else time_left_s)
                self._move_at = max(self._move_not_before, now + notice_s - min(_MOVE_MARGIN_S, notice_s / 4))
            case _:
                self.conversation.event_received(now, event)
                if isinstance(event, events.TurnComplete) and self._by_index:
                    self._handle_is_current = False  # it restores a state from before this turn

    def at_rest(self) -> bool:
        """Whether this is a point at which moving, or being handed over, loses nothing that the service would say."""
        talk = self.conversation
        # an answer that is owed or under way is not taken up again by a resumed session
        busy = talk.turn_running or talk.owed_since is not None or talk.pending_calls
        return not busy and self._handle is not None and self._handle_is_current

    # --- writing ---

    def _flush(self, now: float, most_bytes: int = _BATCH) -> None:
        """Write what waits, in portions: between them the connection may say that it is enough."""
        if not self.outbox.waiting or self._paused or self.state is not State.OPEN:
            return
        self.outbox.expire(now)
        while most_bytes > 0 and (payload := self.outbox.next_to_write(now)) is not None:
            most_bytes -= len(payload)
            self._decisions.append(Write(payload))

    def _report_dropped(self) -> None:
        if dropped := self.outbox.dropped():
            self._decisions.extend(Emit(event) for event in dropped)

    # --- is it answering? ---

    def _stalled_at(self) -> float | None:
        owed_since = self.conversation.owed_since
        return None if owed_since is None else owed_since + self._config.transport.stalled_after_s

    def _stalled(self, now: float, silent_s: float) -> None:
        self.conversation.owed_since = None  # said once; what the user says next counts anew
        self._decisions.append(Emit(events.Stalled(silent_s=silent_s)))
        if self._config.reconnect.when_stalled and self._config.reconnect.enabled:
            self._move(now, f"the service owed an answer for {silent_s:.0f} s")

    # --- is anybody there? ---

    def _silent_at(self) -> float:
        """When silence is next worth an act: a ping first, then the end."""
        transport = self._config.transport
        probe_at = self._heard_at + transport.ping_after_s
        return probe_at if self._ping is None else max(probe_at, self._pinged_at) + transport.lost_after_s

    def _silence(self, now: float) -> None:
        if self._ping is None:
            self._send_ping(now)
            return
        self._decisions.append(Abort())
        self._failed(
            now,
            Failure(
                kind=CloseKind.NETWORK, reason=f"nothing was heard for {now - self._heard_at:.0f} s, not even a pong"
            ),
        )

    def _wants_receipt(self) -> bool:
        """Whether something was written that only a pong can confirm, and none is on its way."""
        return self.state is State.OPEN and self._ping is None and not self._by_index and self.outbox.unacknowledged

    def _receipt_at(self) -> float | None:
        return self._pinged_at + _RECEIPT_S if self._wants_receipt() else None

    def _send_ping(self, now: float) -> None:
        self._pinged_at = now
        self._ping = b"%d" % self.outbox.last_written
        self._decisions.append(Ping(self._ping))
