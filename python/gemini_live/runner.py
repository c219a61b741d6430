"""Carries out what the protocol decides: one task for each session, and the only room that knows the time.

What arrives is handled in the call that brings it, so nothing waits for a task switch; the task itself is only for what
takes time: dialling and saying goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from threading import get_ident
from typing import TYPE_CHECKING, assert_never

from gemini_live import events, protocol
from gemini_live.errors import AuthenticationError, ConfigError, ConnectError, ConnectTimeout, SetupError
from gemini_live.events import CloseKind, SessionStatus
from gemini_live.failures import Failure
from gemini_live.inbox import Inbox
from gemini_live.stats import SessionStats
from gemini_live.transport import DialError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gemini_live.auth import Address
    from gemini_live.config import TransportConfig
    from gemini_live.fanout import Fanout
    from gemini_live.inbox import Batch
    from gemini_live.outbox import Kind
    from gemini_live.pause import Pause
    from gemini_live.transport import Dialler, Transport

__all__ = ["Runner"]

_log = logging.getLogger("gemini_live")

# How often this process has come about by a fork: what is older belongs to another one.
_forks = 0


def _forked() -> None:
    global _forks  # noqa: PLW0603 - of the process, as forks are
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

_CONNECT_ERRORS: dict[CloseKind, type[ConnectError]] = {
    CloseKind.CREDENTIALS: AuthenticationError,
    CloseKind.TOKEN_EXPIRED: AuthenticationError,
    CloseKind.SETUP: SetupError,
    CloseKind.HANDLE: SetupError,
    CloseKind.TIMEOUT: ConnectTimeout,
}


class Runner:
    """Connects a protocol to a network and to its consumers.

    Args:
        decide: the session's protocol.
        config: timeouts, proxy and TLS for the dialler.
        address: is asked before every dial, so that credentials may change.
        dial: opens connections.
        fanout: takes the events.
    """

    __slots__ = (
        "_address",
        "_cause",
        "_changed",
        "_chore",
        "_chore_given",
        "_config",
        "_dial",
        "_dialling",
        "_dropped",
        "_express",
        "_fanout",
        "_forks",
        "_loop",
        "_outbox",
        "_task",
        "_thread",
        "_timer",
        "_timer_at",
        "_transport",
        "inbox",
        "pause",
        "protocol",
        "when_forgotten",
        "when_user_asked",
    )

    def __init__(
        self,
        decide: protocol.Protocol,
        config: TransportConfig,
        address: Callable[[], Awaitable[Address]],
        dial: Dialler,
        fanout: Fanout,
    ) -> None:
        self.protocol = decide
        self._outbox = decide.outbox
        self._config = config
        self._address = address
        self._dial = dial
        self._fanout = fanout
        self._loop = fanout.loop = asyncio.get_running_loop()
        self._thread, self._forks = get_ident(), _forks
        self.inbox = Inbox(self._loop, self._take_handed, decide.outbox.limits.audio_ms / 1000)
        self.pause: Pause | None = None  # the session's, which ends with it
        self.when_forgotten: Callable[[], None] | None = None  # an activity, by the service; must not raise
        self.when_user_asked: Callable[[], None] | None = None  # must not raise
        self._transport: Transport | None = None
        self._express: Callable[[bytes], None] | None = None  # writes audio that nothing else goes before
        self._dropped: Transport | None = None  # given up, not quite gone
        self._dialling: asyncio.Timeout | None = None
        self._chore: protocol.Dial | protocol.HangUp | None = None
        self._chore_given = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # uvloop's handles do not say when they are due
        self._cause: BaseException | None = None  # of the last failed dial
        self._changed: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    # --- for the session ---

    def start(self) -> None:
        """Begin; `wait_until_open` tells how it went."""
        self._task = self._loop.create_task(self._run(), name="gemini-live session")
        self.protocol.start(self._loop.time())
        self._carry_out()

    def now(self) -> float:
        """This moment, on the clock that the protocol is told."""
        return self._loop.time()

    def call_soon_threadsafe(self, action: Callable[[], object]) -> None:
        """Do something in the session's loop, from any thread, after what was handed in before."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(action)

    def is_here(self) -> bool:
        """Whether the caller is called by the session's loop.

        `asyncio.get_running_loop` would say the same, with a system call before Python 3.12.
        """
        return get_ident() == self._thread and self._loop.is_running() and self._forks == _forks

    def check_loop(self) -> None:
        """What is called from another loop would come to another thread's sockets, or wait for ever.

        Raises:
            RuntimeError: this is not the loop that the session was opened in.
        """
        if not self.is_here():
            raise RuntimeError(
                "the session belongs to another event loop; from there use feed_audio() and feed_video(), or "
                "asyncio.run_coroutine_threadsafe() with the loop that it was opened in"
            )

    def stats(self) -> SessionStats:
        """The session's accounts at this moment."""
        decide = self.protocol
        outbox = decide.outbox
        handed_in = self.inbox.waiting
        counts = outbox.counts
        since = outbox.waiting_since()
        waiting_s = 0.0 if since is None else max(0.0, self.now() - since)
        return SessionStats(
            accepted=counts.accepted + handed_in,
            waiting=counts.waiting + handed_in,
            written=counts.written,
            acknowledged=counts.acknowledged,
            expired=counts.expired,
            replayed=counts.replayed,
            uncertain=counts.uncertain,
            by_kind=outbox.counts_by_kind,
            bytes_written=outbox.bytes_written,
            bytes_received=decide.bytes_received,
            messages_received=decide.messages_received,
            unknown_received=decide.unknown_received,
            audio_discarded=decide.conversation.audio_discarded,
            waiting_s=waiting_s,
            longest_wait_s=max(outbox.longest_wait_s, waiting_s),
            reconnects=decide.reconnects.total(),
            reconnects_by_cause=dict(decide.reconnects),
            gaps_s=tuple(decide.gaps_s),
            longest_gap_s=decide.longest_gap_s,
            round_trip_s=decide.round_trip_s,
        )

    async def wait_until_open(self) -> None:
        """Wait for the first ``setupComplete``.

        Raises:
            ConnectError: the session ended before it was usable.
        """
        await self.wait_until(lambda: self.protocol.status is not SessionStatus.CONNECTING)
        closed = self.protocol.closed
        if closed is not None:
            raise _CONNECT_ERRORS.get(closed.kind, ConnectError)(closed) from self._cause

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds that messages, time or the user can bring about, or the session has ended."""
        while not condition() and self.protocol.closed is None:
            self.check_loop()
            changed = self._loop.create_future()
            self._changed.append(changed)
            await changed

    def submit(self, kind: Kind, payload: bytes, duration_s: float = 0.0) -> None:
        """Take a message and send it at once if that is possible."""
        if self.inbox.waiting:
            self.inbox.drain()  # the order is that of the calls, from whatever thread
        self.protocol.submit(self._loop.time(), kind, payload, duration_s)
        self._carry_out()

    def submit_audio(self, payload: bytes, duration_s: float) -> None:
        """`submit` for a chunk of audio, of which there are many: mostly straight to the connection."""
        write = self._express
        if write is None or self.inbox.waiting:
            self.submit("audio", payload, duration_s)
        else:
            self._outbox.write_through(payload, duration_s)
            write(payload)

    def _take_handed(self, batch: Batch) -> None:
        outbox = self.protocol.outbox
        outbox.accept_expired("audio", batch.expired, batch.expired_s)
        outbox.accept_expired("video", batch.superseded)
        for one in batch.handed:
            if self.protocol.state in protocol.ENDING:
                if one.kind in ("audio", "video"):  # handed in at the very moment of the close
                    outbox.accept_expired(one.kind, 1, one.duration_s)
            else:
                self.protocol.submit(self.now(), one.kind, one.payload, one.duration_s, accepted_at=one.at)
        self._carry_out()

    def asked(self) -> None:
        """The service has been sent something that it answers: an answer is awaited from here on."""
        self.protocol.conversation.answer_asked_for(self.now())

    def user_asked(self) -> None:
        """`asked`, and these were the user's last words."""
        self.asked()
        if self.when_user_asked is not None:
            self.when_user_asked()

    def close(self, kind: CloseKind = CloseKind.REQUESTED) -> None:
        """Begin to end the session."""
        self.inbox.drain()
        self.protocol.close(self._loop.time(), kind)
        self._carry_out()

    async def wait_closed(self) -> None:
        """Wait until nothing of the session is left: no task, no timer, no socket."""
        if self._task is not None and not self._task.done():
            self.check_loop()
            await asyncio.wait([self._task])

    # --- the task ---

    async def _run(self) -> None:
        try:
            while self.protocol.closed is None or self._chore is not None:
                await self._chore_given.wait()
                self._chore_given.clear()
                chore, self._chore = self._chore, None
                match chore:
                    case protocol.Dial():
                        await self._open()
                    case protocol.HangUp(code=code):
                        await self._hang_up(code)
                    case None:
                        pass
        except Exception:  # noqa: BLE001 - logged with its traceback, and told to the user as Closed
            _log.exception("a session ended by a fault of gemini-live; please report it")
            self._dialling = None  # if it was a dial that broke, it has been left
            self._end_now(CloseKind.INTERNAL)
        finally:
            # else the loop was closed without a word, and this is the collector: there is nothing left to tidy up with
            if not isinstance(sys.exception(), GeneratorExit):
                await self._tidy_up()

    async def _tidy_up(self) -> None:
        self._dialling = None  # likewise, if it was cancelled
        self._end_now(CloseKind.ABANDONED)  # the loop is being shut down under us
        if self._timer is not None:
            self._timer.cancel()
        if self.pause is not None:
            self.pause.cancel()
        if self._transport is not None:
            self._drop(self._transport)
        await self._wait_for_old_socket()

    def _end_now(self, kind: CloseKind) -> None:
        if self.protocol.closed is None:
            self.protocol.close(self._loop.time(), kind)
            self.protocol.connection_lost(self._loop.time(), Failure())
            self._carry_out()

    async def _open(self) -> None:
        failure: Failure | None = None
        cause: BaseException | None = None
        transport: Transport | None = None
        self._dialling = scope = asyncio.timeout(None)
        try:
            async with scope:
                await self._wait_for_old_socket()
                transport = await self._dial(await self._ask_for_address(), self._config, self)
        except DialError as error:
            failure, cause = error.failure, error.__cause__
        except TimeoutError:
            failure = Failure(kind=CloseKind.NETWORK, reason="the dial timed out")
        if self._dialling is not scope:  # given up by the protocol while we were at it
            if transport is not None:
                self._drop(transport)
            return
        self._dialling, self._transport, self._cause = None, transport, cause
        if failure is None:
            self.protocol.dialled(self._loop.time())
        else:
            self.protocol.connection_lost(self._loop.time(), failure)
        self._carry_out()

    async def _ask_for_address(self) -> Address:
        """Where and with which credential to dial; whatever a credential provider raises is a failed dial."""
        try:
            return await self._address()
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # it is we who are cancelled, not something that the provider awaited
            # its words may hold the credential, so only its type is told; the exception itself is chained
            reason = f"the credential could not be had: {type(error).__name__}"
            # A provider fails like any other network service, except when it says that it is not going to work.
            passing = not isinstance(error, ConfigError | PermissionError)
            raise DialError(Failure(kind=CloseKind.CREDENTIALS, reason=reason, passing=passing)) from error

    async def _hang_up(self, code: int) -> None:
        if self._transport is not None:
            await self._transport.close(code, self._config.close_timeout_s)

    def _drop(self, transport: Transport) -> None:
        transport.abort()
        self._dropped = transport

    async def _wait_for_old_socket(self) -> None:
        """The service refuses a second connection of the same session, so the first must be gone."""
        if self._dropped is not None:
            await self._dropped.wait_closed()
            self._dropped = None

    # --- facts ---

    def message_received(self, raw: bytes) -> None:
        """A whole message came in."""
        now = self._loop.time()
        audio = self.protocol.audio_received(now, raw)
        if audio is not None:
            self._fanout.publish_audio(audio)
        else:
            self.protocol.message_received(now, raw)
            self._carry_out()

    def pong_received(self, payload: bytes) -> None:
        """A ping was answered."""
        self.protocol.pong_received(self._loop.time(), payload)
        self._carry_out()

    def life_sign(self) -> None:
        """Something else came in."""
        self.protocol.life_sign(self._loop.time())

    def writing_paused(self) -> None:
        """The connection has enough to do."""
        self._express = None
        self.protocol.writing_paused()

    def writing_resumed(self) -> None:
        """The connection takes messages again."""
        self.protocol.writing_resumed(self._loop.time())
        self._carry_out()

    def connection_lost(self, failure: Failure) -> None:
        """The socket is closed."""
        self._transport = None
        self.protocol.connection_lost(self._loop.time(), failure)
        self._carry_out()

    def _time_passed(self, due_at: float) -> None:
        self._timer = None
        # a timer may fire a tick of the clock early, and then nothing would be due
        self.protocol.time_passed(max(due_at, self._loop.time()))
        self._carry_out()

    # --- decisions ---

    def _carry_out(self) -> None:
        self._express = None
        while decisions := self.protocol.decisions():
            for decision in decisions:
                self._carry_out_one(decision)
            self.protocol.batch_written(self._loop.time())
        self._set_timer()
        # With nothing unconfirmed there is no timer yet for its confirmation: that one chunk goes the long way.
        if self._transport is not None and self.protocol.passes_through and self._outbox.unacknowledged:
            self._express = self._transport.write
        if self._changed:
            changed, self._changed = self._changed, []
            for future in changed:
                if not future.done():
                    future.set_result(None)

    def _carry_out_one(self, decision: protocol.Decision) -> None:
        match decision:
            case protocol.Write(payload=payload):
                if self._transport is not None:
                    self._transport.write(payload)
            case protocol.Emit(event=event):
                self._fanout.publish(event)
                if isinstance(event, events.Closed):
                    self._chore_given.set()
            case protocol.MarkAnew():
                if self.when_forgotten is not None:
                    self.when_forgotten()
            case protocol.Ping(payload=payload):
                if self._transport is not None:
                    self._transport.ping(payload)
            case protocol.Dial() | protocol.HangUp():
                self._chore = decision
                self._chore_given.set()
            case protocol.Abort():
                self._chore = None  # a dial that was decided and not yet begun
                if self._dialling is not None:
                    self._dialling.reschedule(self._loop.time())
                    self._dialling = None
                if self._transport is not None:
                    self._drop(self._transport)
                    self._transport = None
            case _:
                assert_never(decision)

    def _set_timer(self) -> None:
        """Wake up at the protocol's deadline.

        Deadlines mostly move back, with each message. A timer that is too early does no harm but to look again, so it
        is only set anew when it would be too late.
        """
        deadline = self.protocol.deadline()
        if deadline is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None or deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._time_passed, deadline)
            self._timer_at = deadline
