"""One session from its first dial to its end, with an emulator and a network of its own, and faults all the way."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

import gemini_live as live
from gemini_live import emulator
from gemini_live.emulator import Emulator, Faults

from . import accounts, keys
from .driver import Driver
from .faults import CLOSES, FATAL, FAULTS, KNOWN
from .proxy import Proxy
from .wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

_STATUS = live.SessionStatus
# On the loop's cheap clock; beyond this nothing moves any more. A quota alone is 2 × 65 s, and faults may follow it.
_PATIENCE_S = 600.0
_STRIKES_WITHIN_S = 3.0
_NORMAL = 1000
_ENDS = ("close", "close", "close", "close at once", "close while down", "crossing closes", "fatal", "provider")


class Hang(Exception):  # noqa: N818 - what was found, not what went wrong here
    """Something that must happen has not."""


class _Way(msgspec.Struct):
    """Where to dial; a detour leads to nobody."""

    here: str
    now: str = ""


class _DevRoad(live.GeminiApi, frozen=True, kw_only=True):
    way: Any

    def url(self, credential):
        return live.GeminiApi(base_url=self.way.now).url(credential)


class _VertexRoad(live.VertexAi, frozen=True, kw_only=True):
    way: Any

    def url(self, credential):
        return live.VertexAi(project=self.project, base_url=self.way.now).url(credential)


class Outcome(msgspec.Struct):
    """What one scene has shown.

    Attributes:
        broken: rules, as sentences.
        faults: that have struck, by name.
        fates: of messages, by kind and fate.
        story: what happened, line by line, with the time on the run's clock.
    """

    number: int
    broken: list[str] = msgspec.field(default_factory=list)
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    reconnects: Counter[str] = msgspec.field(default_factory=Counter)
    fates: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    ends: Counter[str] = msgspec.field(default_factory=Counter)
    gaps_s: list[float] = msgspec.field(default_factory=list)
    story: list[str] = msgspec.field(default_factory=list)


class Scene:
    """One session.

    Args:
        number: for people.
        seed: of all its choices.
        dialler: instead of the client's own, for the self-test.
        prepare: is shown the session before it begins, for the self-test.
        only: the faults to draw from, by name.
        known: also those that this version is known not to survive.
        tell: takes lines about what happens.
        struck: counts the faults of all scenes.
        enough: so many faults of all scenes, and this one comes to its end.
    """

    def __init__(  # noqa: PLR0913 - keywords, all with defaults
        self,
        number: int,
        seed: int,
        *,
        dialler=None,
        prepare=None,
        only=None,
        known=False,
        tell=None,
        struck=None,
        enough=float("inf"),
    ) -> None:
        self.rng = rng = Random(seed)  # noqa: S311 - dice, to be thrown again
        self.outcome = Outcome(number=number)
        self.vertex = rng.random() < 0.4
        self.tls = rng.random() < 0.12
        self.marks = rng.random() < 0.2
        self.credentials_asked = 0
        self._dialler = dialler
        self._prepare = prepare
        self._only = only
        self.known = known
        self.closes = [close for close in CLOSES if known or close[0] != _NORMAL]
        self._listener = tell or (lambda _line: None)
        self._enough = enough
        self._struck_in_all = Counter() if struck is None else struck
        self._detours = 0
        self._detoured: Callable[[], None] = lambda: None
        self._failures = 0
        self._failed: Callable[[], None] = lambda: None
        self._failure: type[Exception] = OSError
        self._timers: list[asyncio.TimerHandle] = []
        pace = emulator.Pace.compressed() if rng.random() < 0.6 else emulator.Pace()
        profile = msgspec.structs.replace(emulator.PROFILES["vertex" if self.vertex else "3.8"], pace=pace)
        self.emulator = Emulator(profile=profile, tls=self.tls)

    # --- the whole of it ---

    async def play(self, rounds: int) -> Outcome:
        """Live through so many faults."""
        await self.emulator.start()
        self.proxy = Proxy(self.emulator, opaque=self.tls)
        await self.proxy.start()
        self.nobody = _deaf_socket()
        here = f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.proxy.port}"
        self.way = _Way(here, here)
        self.nobody_url = f"ws://127.0.0.1:{self.nobody.getsockname()[1]}"
        self.wire = Wire(self.proxy.heard, self.tell, **({} if self._dialler is None else {"dialler": self._dialler}))
        driver: Driver | None = None
        try:
            async with asyncio.timeout(3 * _PATIENCE_S + 60.0 * rounds):
                if self.rng.random() < 0.15:
                    await self._fail_to_connect()
                self.session = await self._connect()
                driver = Driver(
                    self.session, self.rng, marks=self.marks, vertex=self.vertex, complain=self.complain, tell=self.tell
                )
                for _ in range(rounds):
                    await self._round(driver)
                    if driver.closed is not None or self._struck_in_all.total() >= self._enough:
                        break
                await self._end(driver)
        except (Hang, TimeoutError) as error:
            self.complain(f"hangs: {error or 'the whole scene'}; {self._where()}")
            await self._give_up(driver)
        except Exception as error:  # noqa: BLE001 - one scene's failure is no reason to lose the others'
            self.complain(f"raised: {error!r} in {traceback.format_exc(limit=-1)}; {self._where()}")
            await self._give_up(driver)
        finally:
            for timer in self._timers:
                timer.cancel()
            await self.proxy.stop()
            await self.emulator.stop()
            self.nobody.close()
        if driver is not None and driver.closed is not None:
            self._account(driver)
        return self.outcome

    async def _give_up(self, driver: Driver | None) -> None:
        if driver is not None:
            driver.cancel()
            await asyncio.wait([asyncio.create_task(self.session.close())], timeout=_PATIENCE_S)

    def complain(self, sentence: str) -> None:
        """A rule is broken."""
        self.outcome.broken.append(sentence)
        self.tell(f"BROKEN {sentence}")

    def tell(self, line: str) -> None:
        """Something happens."""
        line = f"{asyncio.get_running_loop().time():9.3f} session {self.outcome.number}: {line}"
        self.outcome.story.append(line)
        self._listener(line)

    def _where(self) -> str:
        protocol = self.session._protocol if hasattr(self, "session") else None
        return "not connected" if protocol is None else f"{protocol.state}, {protocol.outbox.counts}"

    # --- the beginning ---

    async def _connect(self) -> live.Session:
        rng = self.rng
        realtime = live.RealtimeInputConfig(
            automatic_activity_detection=live.AutomaticActivityDetection(disabled=True) if self.marks else None
        )
        setup = live.Setup(
            model="gemini-live-2.5-flash-native-audio" if self.vertex else "gemini-3.8-live",
            realtime_input_config=realtime,
            tools=[live.Tool(function_declarations=[live.FunctionDeclaration(name=keys.FUNCTION)])],
            output_audio_transcription=live.AudioTranscriptionConfig() if rng.random() < 0.5 else None,
        )
        patient = rng.random() < 0.3
        transport = live.TransportConfig(
            connect_timeout_s=15.0 if patient else 2.0,
            ping_after_s=15.0 if patient else rng.choice((0.3, 2.0)),
            lost_after_s=45.0 if patient else rng.choice((1.0, 4.0)),
            ssl=self.emulator.client_ssl_context() if self.tls else None,
        )
        reconnect = live.ReconnectPolicy(
            base_s=rng.choice((0.01, 0.5)),
            cap_s=rng.choice((0.5, 5.0)),
            max_attempts=None,
            when_stalled=rng.random() < 0.3,
        )
        outbox = live.OutboxLimits(
            audio_ms=rng.choice((200, 2_000, 2_000, 60_000)), control_bytes=rng.choice((3_000, 1 << 20))
        )
        road = (
            _VertexRoad(project="p", base_url=self.way.here, way=self.way)
            if self.vertex
            else _DevRoad(base_url=self.way.here, way=self.way)
        )
        connecting = live.connect(
            setup,
            endpoint=road,
            auth=self._credential,
            transport=transport,
            reconnect=reconnect,
            outbox=outbox,
            speech=live.SpeechPolicy(stream_end_after_ms=None),  # all that is accounted for was said here
        )
        connecting._dialler = self.wire
        session = await connecting
        if self._prepare is not None:
            self._prepare(session)
        return session

    async def _credential(self):
        self.credentials_asked += 1
        await asyncio.sleep(self.rng.choice((0, 0, 0.01)))
        if self._failures:
            self._failures -= 1
            self._failed()
            raise self._failure("no credential")
        if self._detours:
            self._detours -= 1
            self._detoured()
        else:
            self.way.now = self.way.here
        name = f"number-{self.credentials_asked}"
        if self.vertex:
            return live.BearerToken(name)
        return live.EphemeralToken(f"auth_tokens/{name}") if self.outcome.number % 2 else live.ApiKey(name)

    async def _fail_to_connect(self) -> None:
        """The first dial fails, and nothing may be left of it."""
        code, reason = self.rng.choice(((1011, "Internal error encountered."), (1000, ""), (1007, "")))
        self.emulator.faults = self.rng.choice(
            (
                Faults(http_status=self.rng.choice((400, 401, 403, 404, 429, 503))),
                Faults(cut_at_setup=True),
                Faults(close_at_setup=True, close_code=code, close_reason=reason),
            )
        )
        try:
            session = await self._connect()
        except live.ConnectError:
            self._struck("the first dial")
        else:
            self.complain("connected in spite of a fault")
            await session.close()
        self.emulator.faults = Faults()
        self.wire.lines.clear()

    # --- the middle ---

    async def _round(self, driver: Driver) -> None:
        name = self._draw()
        await self._strike(name, driver)
        while self.rng.random() < 0.2 and driver.closed is None:
            await self._strike(self._draw(), driver)  # before it has recovered
        if self.rng.random() < 0.85:
            await self._recover(name)
        driver.check_sums()

    def _draw(self) -> str:
        rows = {
            name: fault.weight
            for name, fault in FAULTS.items()
            if (name in self._only if self._only else self.known or name not in KNOWN)
            if fault.where in ("", "open" if not self.tls else "tls") or (fault.where == "vertex" and self.vertex)
        }
        return self.rng.choices(list(rows), list(rows.values()))[0]

    async def _strike(self, name: str, driver: Driver) -> None:
        fault = FAULTS[name]
        struck = asyncio.Event()
        self.tell(f"fault: {name}")

        def has_struck() -> None:
            if not struck.is_set():
                struck.set()
                self._struck(name)

        await fault.strike(self, self.rng, has_struck)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await (driver.act() if fault.act is None else fault.act(driver))
                while self.rng.random() < 0.3:
                    await driver.act()
        except TimeoutError:
            raise Hang(f"the driver, after {name}") from None
        driver.check_sums()
        if not struck.is_set():
            await self.within(_STRIKES_WITHIN_S, struck.wait())

    def _struck(self, name: str) -> None:
        self.outcome.faults[name] += 1
        self._struck_in_all[name] += 1
        self.tell(f"struck: {name}")

    async def _recover(self, name: str) -> None:
        """The session must be up again, and what waits must leave."""
        session = self.session

        def up() -> bool:
            return session.status is _STATUS.CONNECTED and not session.stats.waiting

        try:
            await self.until(lambda: up() or session.status is _STATUS.CLOSED)
        except TimeoutError:
            raise Hang(f"not up again, after {name}") from None

    # --- the end ---

    async def _end(self, driver: Driver) -> None:
        way = self.rng.choice([end for end in _ENDS if self.known or end not in KNOWN])
        if driver.closed is not None or self.session.status is _STATUS.CLOSED:
            self._check_unexpected(driver)
        elif way == "close":
            await self._recover("everything")
            self._calm()
            await self._recover("everything")
            await driver.act()
        elif way == "close at once":
            await driver.act()
        elif way == "close while down":
            self.cut(self.rng)
            await driver.act()
        elif way == "crossing closes":
            await self._recover("everything")
            self.close(1000, {})
            for _ in range(self.rng.randint(0, 3)):
                await asyncio.sleep(0)
            await driver.say()
        else:
            await self._end_badly(way, driver)
        self.outcome.ends[way] += 1
        self.tell(f"the end: {way}")
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self.session.close()
                await driver.finish()
        except TimeoutError:
            raise Hang("closing") from None
        if self.session.status is not _STATUS.CLOSED:
            self.complain("closed, and the status says otherwise")

    def _calm(self) -> None:
        """No fault is under way any more."""
        self.emulator.faults = Faults()
        self.proxy.next_traps.clear()
        for passage in self.proxy.passages:
            passage.traps.clear()
            passage.speed_up()

    async def _end_badly(self, way: str, driver: Driver) -> None:
        """By something that no dial can mend: the session must say so, and end."""
        await self._recover("everything")
        self._calm()
        code, reason, kind = self.rng.choice(FATAL) if way == "fatal" else (0, "a credential is refused", "credentials")
        for _ in range(20):  # the line may be one that nothing comes through any more
            if way == "fatal":
                self.close(code, {code: reason})
            else:
                self.fail_credentials(1, PermissionError, lambda: None)
                self.cut(self.rng)
            await driver.act()
            await self.within(10.0, self.until(lambda: driver.closed is not None))
            if driver.closed is not None:
                break
        else:
            raise Hang("not ended by what cannot be mended")
        self._struck(f"the end: {code} {reason[:40]}")
        self._check_unexpected(driver, kind)

    def _check_unexpected(self, driver: Driver, kind: str = "") -> None:
        closed = driver.closed
        # three refusals in a row for the quota or the token are enough, by design; and this text is fatal at a setup
        at_setup = closed is not None and closed.phase is live.Phase.SETUP and "not implemented" in closed.reason
        if closed is not None and not at_setup and closed.kind.value not in ("quota", "token_expired", kind):
            self.complain(f"ended by {closed.describe()}")

    def _account(self, driver: Driver) -> None:
        stats = self.session.stats
        self.outcome.reconnects.update(stats.reconnects_by_cause)
        self.outcome.gaps_s.extend(stats.gaps_s)
        books = accounts.Books(driver, self.wire, self.emulator.ledger, stats, vertex=self.vertex)
        for sentence in books.broken():
            self.complain(sentence)
        self.outcome.fates.update(books.fates())

    # --- for the faults ---

    def trap(self, trap) -> None:
        """Lay a trap on the present connection, or on the next if there is none."""
        passage = self.proxy.current
        (self.proxy.next_traps if passage is None else passage.traps).append(trap)

    def inject(self, raw: bytes) -> None:
        """Something comes to the client that the emulator has not sent."""
        passage = self.proxy.current
        if passage is not None and self.session.status is _STATUS.CONNECTED:
            passage.send("down", raw)

    def slow_down(self, direction, bytes_per_s: float, rng: Random) -> None:
        """The present connection is slow for a while."""
        passage = self.proxy.current
        if passage is not None and passage.server.transport is not None:
            passage.slow_down(direction, bytes_per_s, rng)
            self.later(rng.choice((0.3, 3.0)), passage.speed_up)

    def later(self, delay_s: float, action) -> None:
        """Do something after a while, if the scene still goes on."""
        self._timers.append(asyncio.get_running_loop().call_later(delay_s, action))

    def cut(self, rng: Random) -> None:
        """The connection is lost, in one of several ways."""
        way = rng.choice(("reset", "end", "cut", "close"))
        passage = self.proxy.current
        match way:
            case "reset" | "end" if passage is not None:
                passage.cut(reset=way == "reset")
            case "close":
                self.close(1001, {})
            case _:
                # over TLS the emulator trips over half a frame for a transport that is closed already
                self.emulator.cut(mid_frame=rng.random() < 0.3 and not self.tls)

    def close(self, code: int, reasons: dict[int, str]) -> None:
        """The server closes."""
        for connection in self.emulator.connections:
            connection.close(code, reasons.get(code, ""))

    async def meet_next(self, rng: Random, *, trap=None, faults=None, struck=None, connections: int = 1) -> None:
        """The next connection meets a fault, and the present one is lost."""
        if faults is not None:
            self.emulator.faults = msgspec.structs.replace(faults, connections=connections)
        if trap is not None:
            self.proxy.next_traps.append(trap)
        dials = self.wire.dials
        await self.settle()
        if self.wire.dials == dials:
            self.cut(rng)
        await self.within(_STRIKES_WITHIN_S, self.until(lambda: self.wire.dials > dials))
        if struck is not None and self.wire.dials > dials:
            struck()

    def detour(self, url: str, dials: int, struck) -> None:
        """The next dials lead to nobody."""
        self.way.now, self._detours, self._detoured = url, dials, struck

    def fail_credentials(self, times: int, failure: type[Exception], struck) -> None:
        """The next dials have no credential."""
        self._failures, self._failure, self._failed = times, failure, struck

    async def settle(self) -> None:
        """Let what is on its way arrive, mostly."""
        await asyncio.sleep(self.rng.choice((0, 0.01, 0.3)))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the session or the network brings about."""
        async with asyncio.timeout(_PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.02)

    async def within(self, most_s: float, work) -> None:
        """Wait for something that may also not come."""
        try:
            async with asyncio.timeout(most_s):
                await work
        except TimeoutError:
            pass


def _deaf_socket() -> socket.socket:
    """A port that nobody listens at, and nobody else can get."""
    deaf = socket.socket()
    deaf.bind(("127.0.0.1", 0))
    return deaf
