"""One WebSocket: the handshake, what happens at which age, and the talk over a session.

Two tasks: one hears the client and never waits for the other, which speaks: it alone sends, so that nothing overtakes.
What is to be said at a certain time stands in an agenda; the conversation brings its own times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import uuid
from typing import TYPE_CHECKING, Any, Final

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from gemini_live.emulator import agenda, answers, replies
from gemini_live.emulator.admission import admit
from gemini_live.emulator.conversation import Conversation, Outgoing
from gemini_live.emulator.faults import DEADLINE_EXPIRED
from gemini_live.emulator.replay import is_speech, message_of
from gemini_live.emulator.script import Close
from gemini_live.emulator.wire import Refusal, close_reason, is_close_code, read
from gemini_live.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemini_live.emulator.faults import Faults
    from gemini_live.emulator.ledger import ConnectionLedger
    from gemini_live.emulator.memory import Checkpoint
    from gemini_live.emulator.profiles import Profile
    from gemini_live.emulator.replay import Player
    from gemini_live.emulator.script import Script
    from gemini_live.emulator.sessions import Session, Sessions
    from gemini_live.emulator.tokens import Pass
    from gemini_live.emulator.wire import SurfaceName

__all__ = ["CLOSE_TIMEOUT_S", "Connection"]

_INTERNAL: Final = "Internal error encountered."
_STALE: Final = {
    "session": Refusal(1008, "BidiGenerateContent session not found"),
    "entity": Refusal(1008, "Requested entity was not found."),
    "handle": Refusal(1007, "Invalid session handle"),
}
_HANDLE_VALID_S: Final = {"dev": 2 * 3600.0, "vertex": 24 * 3600.0}
"""After the last connection of a session (session guides)."""
_TIME_LEFT_S: Final = {"dev": 50.0, "vertex": 30.0}
"""What goAway says (measured)."""
_LOOK_EVERY_S: Final = 0.25
"""How often a token's age is looked at; the service takes up to 1 s (measured)."""
CLOSE_TIMEOUT_S: Final = 1.0
"""How long a client may take to answer a close frame."""


_EXPIRED: Final = agenda.Close(1011, "auth token has expired")

_HALF_A_FRAME: Final = b"\x82\x7e\x10\x00" + b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"'
"""The head of a binary frame of 4,096 bytes, and the first 63 of them."""


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
        permit: Pass | None,
        script: Script | None,
        player: Player | None,
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
        self._permit = permit
        self._script = script
        self._player = player
        self._text_frames = text_frames
        self.gone = asyncio.Event()
        self._tell: Callable[[str], None] = lambda line: tell(f"connection {ledger.number}: {line}")
        self._conversation: Conversation | None = None
        self._wants_updates = False
        self._transparent = False
        self._open = False
        self._silent = False
        self._ending = False
        self._stalled = False
        self._freed = asyncio.Event()
        self._speeches = 0
        self._filmed = False
        self._agenda = agenda.Agenda()
        self._wake = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

    # --- from outside ---

    @property
    def served(self) -> bool:
        """Whether it takes a place: it was not refused, and has not begun to end."""
        return self._refusal is None and not self._ending

    async def go_away(self, time_left_s: float | None = None) -> None:
        """Announces the end, which then comes with ``Faults.go_away_code`` when the time is over.

        Args:
            time_left_s: by default what a planned one leaves, see ``Faults.go_away_time_left_s``.

        Raises:
            ConfigError: not a time.
        """
        if time_left_s is None:
            time_left_s = self._time_left_s
        if not 0 <= time_left_s < math.inf:
            raise ConfigError(f"time_left_s cannot be {time_left_s}", path="time_left_s")
        if not self._stalled:
            with contextlib.suppress(ConnectionError):
                await self._perform(agenda.GoAway(time_left_s))

    def close(self, code: int, reason: str) -> None:
        """Closes with a close frame; `gone` says when it is done.

        Raises:
            ConfigError: no close frame can hold this code.
        """
        if not is_close_code(code):
            raise ConfigError(f"no close frame can hold {code}", path="code")
        self._at(0, agenda.Close(code, reason))

    def cut(self, why: str = "on command", *, mid_frame: bool = False) -> None:
        """Ends the TCP connection at once, without a close frame.

        Args:
            why: for the one who watches.
            mid_frame: leaves the first half of a frame on the wire.
        """
        if not self._ending:
            self._leave(clean=False)
            self._tell(f"cut {why}")
            if (mid_frame or self._faults.cut_mid_frame) and not self._transport.is_closing():
                self._transport.write(_HALF_A_FRAME)
                self._transport.close()  # aborting could take back what was written
                asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._transport.abort)
                self._freed.set()
                return
        self._freed.set()
        self._transport.abort()

    def stall(self) -> None:
        """Neither reads nor writes any more, and keeps the TCP connection and the session: a half-open line."""
        if not self._ending:
            self._stalled = True
            self._tell("stalled")

    def interrupt(self) -> None:
        """As if the user had cut in; while the model says nothing, a phantom of that (E47)."""
        if self._conversation is not None:
            self._conversation.interrupt(self._clock())
            self._wake.set()

    def poison(self) -> None:
        """The session goes on to transcribe, and never answers any more (E47)."""
        if self._conversation is not None:
            self._conversation.memory.mute = True

    def send(self, message: replies.Message) -> None:
        """Sends a server message of any content, as it is now.

        Raises:
            ConfigError: JSON cannot hold it.
        """
        try:
            self._at(0, agenda.Say(json.loads(json.dumps(message, allow_nan=False))))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"JSON cannot hold it: {error}", path="message") from None

    # --- the two tasks ---

    async def run(self) -> None:
        """Serves the client until either side ends it. Leaves no task behind."""
        faults, number = self._faults, self.ledger.number
        self._plan_the_end()
        if self._player is not None:
            self._player.begin(self._clock())
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []  # not in the agenda: they must come even if the client stops reading
        if faults.cut_after_s is not None:
            timers.append(loop.call_later(faults.cut_after_s, self.cut, f"after {faults.cut_after_s} s"))
        if faults.stall_after_s is not None:
            timers.append(loop.call_later(faults.stall_after_s, self.stall))
        if self._refusal is not None:
            self.close(self._refusal.code, self._refusal.reason)
        hearing = asyncio.create_task(self._hear(), name=f"emulator connection {number} hears")
        speaking = asyncio.create_task(self._speak(), name=f"emulator connection {number} speaks")
        try:
            await asyncio.wait((hearing, speaking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for timer in timers:
                timer.cancel()
            self._leave(clean=False)
            hearing.cancel()
            speaking.cancel()
            heard, said = await asyncio.gather(hearing, speaking, return_exceptions=True)
            answered = await self._say_goodbye(said) if isinstance(said, agenda.Close) else heard is True
            if not answered:
                self._transport.abort()  # a client that does not read would keep it open
            self.gone.set()
        for outcome in (heard, said):
            if isinstance(outcome, Exception):
                raise outcome  # a fault of the emulator, to be seen in the log

    @property
    def _time_left_s(self) -> float:
        left_s = self._faults.go_away_time_left_s
        return _TIME_LEFT_S[self.surface] if left_s is None else left_s

    def _plan_the_end(self) -> None:
        faults = self._faults
        left_s, away_at = self._time_left_s, faults.go_away_after_s
        if away_at is None:
            left_s = min(left_s, self._profile.lifetime_s)  # or a short life would be prolonged by its announcement
            away_at = self._profile.lifetime_s - left_s
        if faults.go_away_missing:
            self._at(away_at + left_s, agenda.Close(faults.go_away_code, faults.go_away_reason))
        else:
            self._at(away_at, agenda.GoAway(left_s))
        if faults.close_after_s is not None:
            self._at(faults.close_after_s, agenda.Close(faults.close_code, faults.close_reason))

    async def _hear(self) -> bool:
        """Reads until the end; true if the client closed and was answered."""
        while True:
            message = await self._socket.receive()
            if self._stalled:
                await self._freed.wait()
                return False
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    if not self._ending:
                        self._received(message.data)
                case WSMsgType.PING if self._ending:
                    pass  # what came before it was not taken any more, so a pong would lie
                case WSMsgType.PING if self._faults.pong_delay_s > 0:
                    self._at(self._faults.pong_delay_s, agenda.Pong(bytes(message.data)))
                case WSMsgType.PING:
                    # at once, and so before the echo of a close that comes right behind
                    with contextlib.suppress(ConnectionError):
                        await self._socket.pong(message.data)
                case WSMsgType.PONG:
                    pass
                case WSMsgType.CLOSE:
                    # the session is free before the client can see the echo: it may resume at once (E7)
                    self._closed_by(message.data or None, message.extra or "")  # aiohttp says 0 for no code
                    await self._socket.close(code=message.data or WSCloseCode.OK, drain=False)
                    return True
                case WSMsgType.ERROR if isinstance(message.data, WebSocketError) and not self._ending:
                    self._closed(message.data.code)  # for a frame that cannot be; aiohttp has sent the close
                    return False
                case _:
                    return False

    async def _speak(self) -> agenda.Close | None:
        """Sends what is due until the end, and gives the closing words if there are any."""
        try:
            while True:
                self._wake.clear()
                action, due = self._next()
                if action is None:
                    await self._wait_until(due)
                elif isinstance(action, agenda.Close):
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

    def _at(self, delay_s: float, action: agenda.Action) -> None:
        self._agenda.put(self._clock() + delay_s, action)
        self._wake.set()

    def _next(self) -> tuple[agenda.Action | None, float | None]:
        """What is to be done now, or when to look again."""
        if self._stalled:
            return None, None
        now = self._clock()
        if (action := self._agenda.due(now)) is not None:
            return action, None
        times = [] if (due := self._agenda.deadline()) is None else [due]
        if self._conversation is not None and self._open and not self._silent:
            if (out := self._conversation.due(now)) is not None:
                return self._said(out), None
            if (due := self._conversation.deadline()) is not None:
                times.append(due)
        if self._player is not None and not self._silent:
            if (played := self._player.due(now)) is not None:
                return self._played(played), None
            if (due := self._player.deadline()) is not None:
                times.append(due)
        return None, min(times, default=None)

    def _played(self, played: str | bytes | Close) -> agenda.Action:
        if not isinstance(played, Close):
            return agenda.SayText(played)
        # 1006 is a connection without a close frame, 1005 a close frame without a code
        if played.code == 1006:
            return agenda.Cut("as recorded")
        return agenda.Close(1000 if played.code == 1005 else played.code, played.reason)

    async def _perform(self, action: agenda.Action) -> None:
        match action:
            case agenda.Say(message, speech):
                await self._send(message)
                self._sent(message, speech=speech)
            case agenda.SayText(data):
                await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))
                message = message_of(data)
                self._sent(message, speech=is_speech(message))
            case agenda.Pong(data):
                await self._socket.pong(data)
            case agenda.Open():
                await self._send(replies.setup_complete(str(uuid.uuid4()) if self.surface == "vertex" else None))
                self._open = True
            case agenda.Update(checkpoint, every_s):
                await self._update(checkpoint, every_s)
            case agenda.GoAway(time_left_s):
                self._at(time_left_s, agenda.Close(self._faults.go_away_code, self._faults.go_away_reason))
                self._silent |= self._faults.go_away_silent
                self._tell(f"goAway, {time_left_s:g} s left")
                await self._send(replies.go_away(time_left_s))
            case agenda.Limit():
                self._check_age()
            case agenda.Token():
                if self._permit is not None and self._permit.left_s > 0:
                    self._at(_LOOK_EVERY_S, action)
                else:
                    self._at(0, _EXPIRED)
            case agenda.Cut(why):
                self.cut(why)
            case agenda.Close():
                raise AssertionError("closing is the speaker's last action")

    async def _send(self, message: replies.Message) -> None:
        text = json.dumps(message, separators=(",", ":"))
        await (self._socket.send_str(text) if self._text_frames else self._socket.send_bytes(text.encode()))

    def _sent(self, message: replies.Message, *, speech: bool) -> None:
        """Faults that strike once something was said."""
        faults = self._faults
        self._speeches += speech
        called = "toolCall" in message
        if (speech and self._speeches == faults.cut_at_speech) or (called and faults.cut_at_call):
            self.cut("after a toolCall" if called else f"after {self._speeches} messages with speech")
        if (speech and self._speeches == faults.close_at_speech) or (called and faults.close_at_call):
            self.close(faults.close_code, faults.close_reason)

    def _check_age(self) -> None:
        """A session without compression lasts for minutes only (session guide; the close is a choice of ours; E48)."""
        session, conversation, faults = self.session, self._conversation, self._faults
        if session is None or conversation is None or conversation.window.slides:
            return
        limit_s = faults.video_limit_s if self._filmed else faults.session_limit_s
        left_s = session.began_at + limit_s - self._clock()
        if left_s > 0:
            self._at(left_s, agenda.Limit())
        else:
            self.close(1011, DEADLINE_EXPIRED)

    async def _say_goodbye(self, close: agenda.Close) -> bool:
        """The closing handshake, which reads on until the client answers; false if it did not.

        A socket that is closed with unread bytes is reset, and then the client might never see why.
        """
        text = close_reason(close.reason)
        self._closed(close.code, text.decode())
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=close.code, message=text)
        except TimeoutError:
            return False
        return self._socket.close_code != WSCloseCode.ABNORMAL_CLOSURE

    def _closed(self, code: int, reason: str = "") -> None:
        self.ledger.code, self.ledger.reason = code, reason
        self._tell(f"closed with {code} {reason}".rstrip())

    # --- what is heard ---

    def _received(self, data: str | bytes) -> None:
        ledger = self.ledger
        ledger.bytes += len(data)
        if self._refusal is not None:
            return
        try:
            if self._player is not None:
                self._heard_in_replay(self._player, data)
                return
            kind, fields = read(data, self.surface)
            if self._conversation is None:
                self._set_up(kind, fields)
                self._count()
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
        if not self._filmed and self._conversation.memory.log.counts["video"]:
            self._filmed = True
            self._check_age()
        self._count()

    def _heard_in_replay(self, player: Player, data: str | bytes) -> None:
        """A recording answers what is sent, whatever it is."""
        is_setup = player.heard(data, self._clock())
        if is_setup and self._fails_at_setup():
            return
        self.ledger.messages += not is_setup
        self._wake.set()
        self._count()

    def _count(self) -> None:
        ledger, faults = self.ledger, self._faults
        if ledger.messages == faults.cut_after_messages:
            self.cut(f"after {ledger.messages} messages")
        if ledger.messages == faults.close_after_messages:
            self.close(faults.close_code, faults.close_reason)

    def _fails_at_setup(self) -> bool:
        """Whether a cut has answered the setup.

        Raises:
            Refusal: a close is to answer it.
        """
        if self._faults.cut_at_setup:
            self.cut("at the setup")
            return True
        if self._faults.close_at_setup:
            raise Refusal(self._faults.close_code, self._faults.close_reason)
        return False

    def _set_up(self, kind: str, setup: dict[str, Any]) -> None:
        if kind != "setup":
            raise Refusal(1007, "setup must be the first message and only the first")
        if self._fails_at_setup():
            return
        faults, pace = self._faults, self._profile.pace
        if self._permit is not None:
            setup = self._permit.use(setup)
            self._at(self._permit.left_s, _EXPIRED)
            self._at(_LOOK_EVERY_S, agenda.Token())
        admit(setup, self.surface, self._version, self._profile)
        resumption = setup.get("session_resumption", {})
        self._wants_updates = "session_resumption" in setup
        self._transparent = resumption.get("transparent", False)
        session = self._session(setup["model"], resumption.get("handle", ""))
        if session is None:
            self._at(pace.refuse_s, agenda.Close(1011, _INTERNAL))
            self._refusal = Refusal(1011, _INTERNAL)
            return
        session.memory.mute |= faults.mute_resumed and self.ledger.resumed
        self._conversation = Conversation(
            session.memory,
            setup,
            self._profile,
            self.surface,
            self._clock(),
            checkpoints=self._wants_updates and self._cadence == "turns",
            faults=faults,
            script=self._script,
        )
        session.occupant = self
        session.lost_idle_at = None
        session.ledger.connections.append(self.ledger.number)
        self.session, self.ledger.session = session, session.ledger.number
        self._tell(f"{'resumed' if self.ledger.resumed else 'new'} session {session.ledger.number}, {setup['model']}")
        self._filmed = bool(session.memory.log.counts["video"])
        self._at(pace.setup_s, agenda.Open())
        self._check_age()  # behind that: however busy the machine is, what may be set up at once has begun
        if session.model != setup["model"]:
            self._at(pace.setup_s, agenda.Close(1011, _INTERNAL))
        elif self._wants_updates and self._cadence == "once":
            self._at(pace.setup_s + pace.first_update_s, agenda.Update(None, None))
        elif self._wants_updates and self._cadence == "periodic":
            self._at(pace.setup_s + pace.first_update_s, agenda.Update(None, pace.update_every_s))

    @property
    def _cadence(self) -> str:
        return "turns" if self.surface == "vertex" else self._profile.updates

    def _session(self, model: str, handle: str) -> Session | None:
        """A fresh session, or the one of the handle; ``None`` if that is refused because it is still in use (E42)."""
        if not handle:
            return self._sessions.create(model, self._clock())
        found = self._sessions.find(handle, self.surface)
        if found is None:
            raise self._stale()
        session, checkpoint = found
        valid_s = self._faults.handle_valid_s
        valid_s = _HANDLE_VALID_S[self.surface] if valid_s is None else valid_s
        if session.occupant is None and self._clock() - session.left_at >= valid_s:
            raise self._stale()
        lost_at = session.lost_idle_at
        settling = lost_at is not None and self._clock() - lost_at < self._faults.refuse_resume_s
        if session.occupant is not None or settling:
            return None
        session.restore(checkpoint)
        self.ledger.resumed = True
        return session

    def _stale(self) -> Refusal:
        refusal = _STALE[self._faults.handle_refusal]
        return Refusal(refusal.code, refusal.reason)

    # --- what is said ---

    def _said(self, out: Outgoing) -> agenda.Action:
        match out.act:
            case answers.GoAway(time_left_s):
                return agenda.GoAway(time_left_s)
            case answers.Cut():
                return agenda.Cut("by the script")
            case Close(code=code, reason=reason):
                return agenda.Close(code, reason)
            case None:
                pass
        if out.ends_turn:
            self._tell(f"turn complete: {out.text}" if out.text else "turn complete, nothing said")
            if out.checkpoint is not None:
                self._at(self._profile.pace.update_after_turn_s, agenda.Update(out.checkpoint, None))
        return agenda.Say(out.message, speech=out.speech_s > 0)

    async def _update(self, checkpoint: Checkpoint | None, every_s: float | None) -> None:
        if self.session is None or self._silent:
            return
        if every_s is not None:
            self._at(every_s, agenda.Update(None, every_s))
        if self._faults.unresumable:
            await self._send(replies.update("", None))
            return
        handle = self._sessions.issue(self.session, self.surface, checkpoint)
        with_index = checkpoint is not None and self._transparent and not self._faults.omit_index
        await self._send(
            replies.update(handle, checkpoint.last_message if checkpoint is not None and with_index else None)
        )

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
        session.left_at = self._clock()
        if not clean and conversation.idle:
            session.lost_idle_at = session.left_at
        conversation.leave()
