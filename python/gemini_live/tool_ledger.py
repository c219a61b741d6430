"""Which tool calls are live, and who was answered. Pure: facts go in, decisions come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from gemini_live.messages import FunctionCall

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Cancel", "Decision", "PendingCall", "Run", "Send", "ToolLedger", "ToolStats"]

# Answers that are remembered, in case their call comes again.
_REMEMBERED = 1_024


class Run(msgspec.Struct, frozen=True):
    """Call the function, then report `ToolLedger.answered`."""

    key: str
    call: FunctionCall


class Cancel(msgspec.Struct, frozen=True):
    """Stop the call; what becomes of it is not to be reported."""

    key: str


class Send(msgspec.Struct, frozen=True):
    """Hand this message, which answers the calls with these ids, to the session.

    Attributes:
        asks: the model will say something about it.
    """

    payload: bytes
    ids: tuple[str, ...]
    asks: bool = True


Decision: TypeAlias = Run | Cancel | Send


class PendingCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that has not been answered yet.

    Attributes:
        id: of the call; ``""`` where the service gives none.
        name: of the function.
        age_s: for how long it has been waiting for its answer.
    """

    id: str
    name: str
    age_s: float


class ToolStats(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts of a session's own tool calls: ``calls == len(pending) + answered + cancelled + dropped``.

    Calls of functions without an implementation are the user's, and not counted.

    Attributes:
        calls: that came; one that comes again counts once.
        pending: those without an answer, oldest first.
        answered: those whose answer was handed over, by hand as well.
        failed: of those, the answers that report an error.
        cancelled: by the service, by an interruption, or by the end of the session.
        dropped: because the service has forgotten the conversation that they belonged to.
        repeated: answers that were sent once more, because the service asked once more.
    """

    calls: int = 0
    pending: Sequence[PendingCall] = ()
    answered: int = 0
    failed: int = 0
    cancelled: int = 0
    dropped: int = 0
    repeated: int = 0


class _Call(msgspec.Struct):
    call: FunctionCall
    since: float
    forgotten_when_interrupted: bool
    answer: Send | None = None  # as long as there is no connection to send it on
    failed: bool = False


class ToolLedger:
    """Which calls are live, and who was answered. Pure: no I/O, no asyncio; the clock is an argument.

    * A call is run once, however often it comes; one that comes again after its answer is answered again.
    * A call gets one answer, or it is cancelled or dropped and gets none.
    * Answers wait for a connection here. A conversation that the service has forgotten takes them along.
    * An answer that was handed over is the outbox's: it keeps it until it has arrived, on whatever connection.
    """

    def __init__(self) -> None:
        self._live: dict[str, _Call] = {}
        self._answered: dict[str, Send | None] = {}  # the latest calls that are over; None gets no answer any more
        self._connected = True
        self._closed = False
        self._unnamed = 0
        self._stats = ToolStats()

    def stats(self, now: float) -> ToolStats:
        """The balance at this moment."""
        pending = [
            PendingCall(id=live.call.id, name=live.call.name, age_s=max(0.0, now - live.since))
            for live in self._live.values()
        ]
        return msgspec.structs.replace(self._stats, pending=tuple(pending))

    def _count(self, **more: int) -> None:
        now = {name: getattr(self._stats, name) + count for name, count in more.items()}
        self._stats = msgspec.structs.replace(self._stats, **now)

    # --- facts: calls ---

    def called(self, now: float, call: FunctionCall, *, forgotten_when_interrupted: bool) -> list[Decision]:
        """The model calls a function that can be run."""
        if self._closed or call.id in self._live:
            return []
        if call.id in self._answered:
            # the service would not ask again if it had the answer, and the id makes a second one safe
            answer = self._answered[call.id]
            self._count(repeated=int(answer is not None))
            return [] if answer is None else [answer]
        key = call.id
        if not key:
            self._unnamed += 1
            key = f"without id, {self._unnamed}"
        self._live[key] = _Call(call, now, forgotten_when_interrupted)
        self._count(calls=1)
        return [Run(key, call)]

    def answered(self, key: str, answer: Send, *, failed: bool = False) -> list[Decision]:
        """The function has returned, or failed, and this says so."""
        live = self._live.get(key)
        if live is None or live.answer is not None:
            return []
        live.answer = answer
        live.failed = failed
        return [*self._send(key, live)] if self._connected else []

    def expired(self, key: str, answer: Send) -> list[Decision]:
        """The function has not returned in time, and this says so."""
        return [Cancel(key), *self.answered(key, answer, failed=True)]

    def answered_by_hand(self, answer: Send, final: Iterable[str]) -> list[Cancel]:
        """The user has sent this; the answers to the calls in ``final`` are complete."""
        over = [key for key in final if key in self._live]
        for key in over:
            self._remember(key, answer)
        self._count(answered=len(over))
        return [Cancel(key) for key in over]

    def _send(self, key: str, live: _Call) -> list[Send]:
        answer = live.answer
        if answer is None:
            return []
        self._remember(key, answer)
        self._count(answered=1, failed=int(live.failed))
        return [answer]

    def _remember(self, key: str, answer: Send | None) -> None:
        """A call is over."""
        del self._live[key]
        self._answered[key] = answer
        while len(self._answered) > _REMEMBERED:
            del self._answered[next(iter(self._answered))]

    # --- facts: what ends a call ---

    def cancelled(self, ids: Iterable[str]) -> list[Cancel]:
        """The service does not want these answers any more."""
        return self._cancel([key for key in ids if key in self._live])

    def interrupted(self) -> list[Cancel]:
        """The user has cut in, and the turn is over."""
        return self._cancel([key for key, live in self._live.items() if live.forgotten_when_interrupted])

    def closing(self) -> list[Decision]:
        """The user ends the session: what is answered goes into its accounts, what is not ends here."""
        self._closed = True
        return [*self._send_what_waits(), *self._cancel(list(self._live))]

    def closed(self) -> list[Cancel]:
        """The session has ended, and takes nothing any more."""
        self._closed = True
        return self._cancel(list(self._live))

    def _cancel(self, keys: Sequence[str]) -> list[Cancel]:
        for key in keys:
            self._remember(key, None)
        self._count(cancelled=len(keys))
        return [Cancel(key) for key in keys]

    # --- facts: the connection ---

    def reconnecting(self) -> None:
        """There is no connection; answers wait."""
        self._connected = False

    def reconnected(self, *, calls_known: bool) -> list[Decision]:
        """There is a connection again, to a conversation that contains the calls so far, or to a new one."""
        self._connected = True
        if not calls_known:
            keys = list(self._live)
            self._live.clear()
            self._answered.clear()  # another conversation may use the same ids
            self._count(dropped=len(keys))
            return [Cancel(key) for key in keys]
        return [*self._send_what_waits()]

    def _send_what_waits(self) -> list[Send]:
        return [answer for key, live in list(self._live.items()) for answer in self._send(key, live)]
