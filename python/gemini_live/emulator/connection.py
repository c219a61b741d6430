"""One WebSocket: the handshake, what happens at which age, and the talk over a session.

Two tasks: one hears the client and never waits for the other, which speaks: it alone sends, so that nothing overtakes.
What is to be said at a certain time stands in an agenda; the conversation brings its own times.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import json
import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiohttp import WSCloseCode, WSMsgType, web

from gemini_live.emulator import replies
from gemini_live.emulator.admission import admit
from gemini_live.emulator.conversation import Conversation, Outgoing
from gemini_live.emulator.wire import Refusal, close_reason, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemini_live.emulator.faults import Faults
    from gemini_live.emulator.ledger import ConnectionLedger
    from gemini_live.emulator.memory import Checkpoint
    from gemini_live.emulator.profiles import Profile
    from gemini_live.emulator.sessions import Session, Sessions
    from gemini_live.emulator.wire import SurfaceName

__all__ = ["CLOSE_TIMEOUT_S", "Connection"]

_DEADLINE_EXPIRED = "Deadline expired before operation could complete."
_INTERNAL = "Internal error encountered."
_NOT_FOUND = "BidiGenerateContent session not found"
CLOSE_TIMEOUT_S: Final = 1.0
"""How long a client may take to answer a close frame."""


class _Say(NamedTuple):
    message: replies.Message


class _Pong(NamedTuple):
    data: bytes


class _Open(NamedTuple):
    """setupComplete."""


class _Update(NamedTuple):
    checkpoint: Checkpoint | None
    every_s: float | None


class _GoAway(NamedTuple):
    time_left_s: float
    silent: bool


class _Close(NamedTuple):
    code: int
    reason: str


_Action = _Say | _Pong | _Open | _Update | _GoAway | _Close


class Connection:
    """One client on one WebSocket. `Emulator` makes it and shows it.

    Attributes:
        surface: whose API the client speaks.
        ledger: what came in here.
        session: that it is on; ``None`` until a setup was accepted.
        gone: set when nothing of it is left.
    """

    def __init__(  # noqa: PLR0913 - everything a connection knows
        self,
        *,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        surface: SurfaceName,
        version: str,
        profile: Profile,
        faults: Faults,
        sessions: Sessions,
        ledger: ConnectionLedger,
        refusal: Refusal | None,
        text_frames: bool,
        tell: Callable[[str], None],
    ) -> None:
        self.surface: SurfaceName = surface
        self.ledger = ledger
        self.session: Session | None = None
        self._socket = socket
        self._transport = transport
        self._version = version
        self._profile = profile
        self._faults = faults
        self._sessions = sessions
        self._refusal = refusal
        self._text_frames = text_frames
        self.gone = asyncio.Event()
        self._tell: Callable[[str], None] = lambda line: tell(f"connection {ledger.number}: {line}")
        self._conversation: Conversation | None = None
        self._wants_updates = False
        self._transparent = False
        self._open = False
        self._silent = False
        self._ending = False
        self._agenda: list[tuple[float, int, _Action]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

    # --- from outside ---

    async def go_away(self, time_left_s: float) -> None:
        """Announces the end, which then comes with 1011 when the time is over."""
        with contextlib.suppress(ConnectionError):
            await self._perform(_GoAway(time_left_s, self._faults.go_away_silent))

    def close(self, code: int, reason: str) -> None:
        """Closes with a close frame; `gone` says when it is done."""
        self._at(0, _Close(code, reason))

    def cut(self, why: str = "on command") -> None:
        """Aborts the TCP connection at once, without a close frame."""
        if not self._ending:
            self._leave(clean=False)
            self._tell(f"cut {why}")
        self._transport.abort()

    # --- the two tasks ---

    async def run(self) -> None:
        """Serves the client until either side ends it. Leaves no task behind."""
        faults, number = self._faults, self.ledger.number
        for age, action in (
            (faults.go_away_after_s, _GoAway(faults.go_away_time_left_s, faults.go_away_silent)),
            (faults.close_after_s, _Close(faults.close_code, faults.close_reason)),
        ):
            if age is not None:
                self._at(age, action)
        cutting = None
        if faults.cut_after_s is not None:  # not in the agenda: it must come even if the client stops reading
            cutting = asyncio.get_running_loop().call_later(
                faults.cut_after_s, self.cut, f"after {faults.cut_after_s} s"
            )
        if self._refusal is not None:
            self.close(self._refusal.code, self._refusal.reason)
        hearing = asyncio.create_task(self._hear(), name=f"emulator connection {number} hears")
        speaking = asyncio.create_task(self._speak(), name=f"emulator connection {number} speaks")
        try:
            await asyncio.wait((hearing, speaking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if cutting is not None:
                cutting.cancel()
            self._leave(clean=False)
            hearing.cancel()
            speaking.cancel()
            heard, said = await asyncio.gather(hearing, speaking, return_exceptions=True)
            answered = await self._say_goodbye(said) if isinstance(said, _Close) else heard is True
            if not answered:
                self._transport.abort()  # a client that does not read would keep it open
            self.gone.set()
        for outcome in (heard, said):
            if isinstance(outcome, Exception):
                raise outcome  # a fault of the emulator, to be seen in the log

    async def _hear(self) -> bool:
        """Reads until the end; true if the client closed and was answered."""
        while True:
            message = await self._socket.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    if not self._ending:
                        self._received(message.data)
                case WSMsgType.PING:
                    self._at(self._faults.pong_delay_s, _Pong(bytes(message.data)))
                case WSMsgType.PONG:
                    pass
                case WSMsgType.CLOSE:
                    # the session is free before the client can see the echo: it may resume at once (E7)
                    self._closed_by(message.data, message.extra or "")
                    await self._socket.close(code=message.data or WSCloseCode.OK, drain=False)
                    return True
                case _:
                    return False

    async def _speak(self) -> _Close | None:
        """Sends what is due until the end, and gives the closing words if there are any."""
        try:
            while True:
                self._wake.clear()
                action, due = self._next()
                if action is None:
                    await self._wait_until(due)
                elif isinstance(action, _Close):
                    self._leave(clean=True)
                    return action
                else:
                    await self._perform(action)
        except ConnectionError:
            return None  # the client is gone

    async def _wait_until(self, due: float | None) -> None:
        alarm = None if due is None else asyncio.get_running_loop().call_at(due, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    def _at(self, delay_s: float, action: _Action) -> None:
        heapq.heappush(self._agenda, (self._clock() + delay_s, next(self._order), action))
        self._wake.set()

    def _next(self) -> tuple[_Action | None, float | None]:
        """What is to be done now, or when to look again."""
        now = self._clock()
        if self._agenda and self._agenda[0][0] <= now:
            return heapq.heappop(self._agenda)[2], None
        times = [self._agenda[0][0]] if self._agenda else []
        if self._conversation is not None and self._open and not self._silent:
            if (out := self._conversation.due(now)) is not None:
                return self._said(out), None
            if (due := self._conversation.deadline()) is not None:
                times.append(due)
        return None, min(times, default=None)

    async def _perform(self, action: _Action) -> None:
        match action:
            case _Say(message):
                await self._send(message)
            case _Pong(data):
                await self._socket.pong(data)
            case _Open():
                await self._send(replies.setup_complete(str(uuid.uuid4()) if self.surface == "vertex" else None))
                self._open = True
            case _Update(checkpoint, every_s):
                await self._update(checkpoint, every_s)
            case _GoAway(time_left_s, silent):
                self._at(time_left_s, _Close(1011, _DEADLINE_EXPIRED))
                self._silent |= silent
                self._tell(f"goAway, {time_left_s:g} s left")
                await self._send(replies.go_away(time_left_s))
            case _Close():
                raise AssertionError("closing is the speaker's last action")

    async def _send(self, message: replies.Message) -> None:
        text = json.dumps(message, separators=(",", ":"))
        await (self._socket.send_str(text) if self._text_frames else self._socket.send_bytes(text.encode()))

    async def _say_goodbye(self, close: _Close) -> bool:
        """The closing handshake, which reads on until the client answers; false if it did not.

        A socket that is closed with unread bytes is reset, and then the client might never see why.
        """
        text = close_reason(close.reason)
        self.ledger.code, self.ledger.reason = close.code, text.decode()
        self._tell(f"closed with {close.code} {text.decode()}".rstrip())
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=close.code, message=text)
        except TimeoutError:
            return False
        return self._socket.close_code != WSCloseCode.ABNORMAL_CLOSURE

    # --- what is heard ---

    def _received(self, data: str | bytes) -> None:
        ledger = self.ledger
        ledger.bytes += len(data)
        if self._refusal is not None:
            return
        try:
            kind, fields = read(data, self.surface)
            if self._conversation is None:
                self._set_up(kind, fields)
                return
            ledger.messages += 1
            ledger.early_messages += not self._open
            self._conversation.receive(kind, fields, self._clock())
        except Refusal as refusal:
            self._refusal = refusal
            self._agenda.clear()
            self.close(refusal.code, refusal.reason)
            return
        if self._conversation.deadline() is not None:
            self._wake.set()
        faults = self._faults
        if ledger.messages == faults.cut_after_messages:
            self.cut(f"after {ledger.messages} messages")
        if ledger.messages == faults.close_after_messages:
            self.close(faults.close_code, faults.close_reason)

    def _set_up(self, kind: str, setup: dict[str, Any]) -> None:
        if kind != "setup":
            raise Refusal(1007, "setup must be the first message and only the first")
        faults, pace = self._faults, self._profile.pace
        if faults.cut_at_setup:
            self.cut("at the setup")
            return
        if faults.close_at_setup:
            raise Refusal(faults.close_code, faults.close_reason)
        admit(setup, self.surface, self._version, self._profile)
        resumption = setup.get("session_resumption", {})
        self._wants_updates = "session_resumption" in setup
        self._transparent = resumption.get("transparent", False)
        session = self._session(setup["model"], resumption.get("handle", ""))
        if session is None:
            self._at(pace.refuse_s, _Close(1011, _INTERNAL))
            self._refusal = Refusal(1011, _INTERNAL)
            return
        session.occupant = self
        session.lost_idle_at = None
        session.ledger.connections.append(self.ledger.number)
        self.session, self.ledger.session = session, session.ledger.number
        self._tell(f"{'resumed' if self.ledger.resumed else 'new'} session {session.ledger.number}, {setup['model']}")
        self._conversation = Conversation(
            session.memory,
            setup,
            self._profile,
            self.surface,
            self._clock(),
            checkpoints=self._wants_updates and self._cadence == "turns",
            empty_messages=faults.empty_messages,
        )
        self._at(pace.setup_s, _Open())
        if session.model != setup["model"]:
            self._at(pace.setup_s, _Close(1011, _INTERNAL))
        elif self._wants_updates and self._cadence == "once":
            self._at(pace.setup_s + pace.first_update_s, _Update(None, None))
        elif self._wants_updates and self._cadence == "periodic":
            self._at(pace.setup_s + pace.first_update_s, _Update(None, pace.update_every_s))

    @property
    def _cadence(self) -> str:
        return "turns" if self.surface == "vertex" else self._profile.updates

    def _session(self, model: str, handle: str) -> Session | None:
        """A fresh session, or the one of the handle; ``None`` if that is refused because it is still in use (E42)."""
        if not handle:
            return self._sessions.create(model)
        found = self._sessions.find(handle, self.surface)
        if found is None:
            raise Refusal(1008, _NOT_FOUND)
        session, checkpoint = found
        lost_at = session.lost_idle_at
        settling = lost_at is not None and self._clock() - lost_at < self._faults.refuse_resume_s
        if session.occupant is not None or settling:
            return None
        session.restore(checkpoint)
        self.ledger.resumed = True
        return session

    # --- what is said ---

    def _said(self, out: Outgoing) -> _Action:
        if out.ends_turn:
            self._tell(f"turn complete: {out.text}" if out.text else "turn complete, nothing said")
            if out.checkpoint is not None:
                self._at(self._profile.pace.update_after_turn_s, _Update(out.checkpoint, None))
        return _Say(out.message)

    async def _update(self, checkpoint: Checkpoint | None, every_s: float | None) -> None:
        if self.session is None or self._silent:
            return
        handle = self._sessions.issue(self.session, self.surface, checkpoint)
        with_index = checkpoint is not None and self._transparent and not self._faults.omit_index
        await self._send(
            replies.update(handle, checkpoint.last_message if checkpoint is not None and with_index else None)
        )
        if every_s is not None:
            self._at(every_s, _Update(None, every_s))

    # --- the end ---

    def _closed_by(self, code: int | None, reason: str) -> None:
        if self._ending:
            return
        self._tell(f"client closed with {code or 1005} {reason}".rstrip())
        self.ledger.code, self.ledger.reason = code, reason
        self._leave(clean=True)

    def _leave(self, *, clean: bool) -> None:
        """The session is free for another connection. What was being said is not continued there (E41)."""
        if self._ending:
            return
        self._ending = self._silent = True
        session, conversation = self.session, self._conversation
        if session is None or conversation is None or session.occupant is not self:
            return
        session.occupant = None
        if not clean and conversation.idle:
            session.lost_idle_at = self._clock()
