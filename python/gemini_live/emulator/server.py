"""The emulator itself: the port, the upgrade with its paths and keys, and the commands of a test."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from typing import TYPE_CHECKING, Any, Final, Self, cast

import msgspec
import trustme
from aiohttp import WSCloseCode, web

from gemini_live.emulator.connection import CLOSE_TIMEOUT_S, Connection
from gemini_live.emulator.control import PREFIX, Control
from gemini_live.emulator.faults import Faults
from gemini_live.emulator.ledger import ConnectionLedger, Ledger
from gemini_live.emulator.listening import Port
from gemini_live.emulator.profiles import PROFILES, Pace, Profile
from gemini_live.emulator.replay import read_recording
from gemini_live.emulator.script import Rule, Script, load
from gemini_live.emulator.sessions import Sessions
from gemini_live.emulator.tokens import Pass, Tokens
from gemini_live.emulator.wire import Refusal, SurfaceName
from gemini_live.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["Emulator", "serve"]

_PATHS: Final[tuple[tuple[SurfaceName, re.Pattern[str]], ...]] = (
    (
        "dev",
        re.compile(
            r"/+ws/google\.ai\.generativelanguage\.(v1|v1beta|v1alpha)\.GenerativeService"
            r"\.BidiGenerateContent(Constrained)?"
        ),
    ),
    ("vertex", re.compile(r"/+ws/google\.cloud\.aiplatform\.(v1|v1beta1)\.LlmBidiService/BidiGenerateContent()")),
)
_BAD_KEY: Final = Refusal(1007, "API key not valid. Please pass a valid API key.")
_NOBODY: Final = Refusal(
    1008,
    "Method doesn't allow unregistered callers (callers without established identity). "
    "Please use API Key or other form of API consumer identity to call this API.",
)
_FULL: Final = Refusal(1011, "RESOURCE_EXHAUSTED: Maximum concurrent sessions exceeded.")
_TOKENS: Final = re.compile(r"/+(v1alpha|v1beta)/auth_tokens")
_HTTP_STATUS: Final = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED"}
_MAX_MESSAGE: Final = 64 << 20
_LAST_PORT: Final = 65_535
_GOODBYE_S: Final = 0.03
"""How long leaving waits for clients to answer a close frame."""


class Emulator:
    """A Live server. The path of the upgrade says whose API a client speaks, ``profile`` which model answers.

    It takes the same arguments as `serve`. Its ``async with`` block gets the emulator itself.

    ::

        async with Emulator(compress_time=True) as emu:
            where = {"endpoint": emu.url, "auth": "any key"}
            async with live.connect("gemini-3.8-live", **where) as session:
                await session.send_text("hello")
                async for event in session:
                    if isinstance(event, live.TurnComplete):
                        break
                await emu.go_away(time_left_s=5)  # the session moves by itself
            assert emu.ledger.sessions[0].texts == ["hello"]

    Attributes:
        profile: as in use.
        ledger: what got across.
        tokens: the ephemeral tokens that were made here. ``tokens.clock``, a function without arguments that gives
            seconds since the epoch, may be set, so that a token expires at once.
        ca_pem: the certificate authority that clients must trust, PEM; ``b""`` without TLS.
    """

    def __init__(  # noqa: PLR0913 - keywords, all with defaults
        self,
        *,
        profile: str | Profile = "3.8",
        faults: Faults | None = None,
        tls: bool = False,
        api_key: str | None = None,
        compress_time: bool = False,
        text_frames: bool = False,
        script: Script | Sequence[Rule | Mapping[str, Any]] | str | Path | None = None,
        replay: str | Path | None = None,
        record: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        if isinstance(profile, str):
            if profile not in PROFILES:
                raise ConfigError(f"no profile {profile!r}; there are {', '.join(PROFILES)}", path="profile")
            profile = PROFILES[profile]
        if not 0 <= port <= _LAST_PORT:
            raise ConfigError(
                f"there is no port {port}; they go from 0, which lets the system choose, to {_LAST_PORT}", path="port"
            )
        self.profile = msgspec.structs.replace(profile, pace=Pace.compressed()) if compress_time else profile
        self.ledger = Ledger()
        self.tokens = Tokens()
        self.ca_pem = b""
        self._script = None if script is None else load(script)
        self._recording = None if replay is None else read_recording(replay)
        self._faults_since = self._upgrades = 0
        self.faults = Faults() if faults is None else faults
        self._tls = tls
        self._api_key = api_key
        self._text_frames = text_frames
        self._host, self._port = host, port
        self._tell: Callable[[str], None] = tell or (lambda _line: None)
        self._sessions = Sessions(self.ledger, keep=record)
        self._connections: set[Connection] = set()
        self._running: tuple[web.AppRunner, Port] | None = None
        self._url = ""

    # --- life ---

    async def start(self) -> str:
        """Listens, and returns the URL.

        Raises:
            OSError: the port is in use or the host is not this machine's.
        """
        if self._running is not None:
            raise RuntimeError("the emulator is already running")
        app = web.Application()
        app.router.add_route("*", PREFIX + "{what}", Control(self).answer)
        app.router.add_get("/{path:.*}", self._upgrade)
        app.router.add_post("/{path:.*}", self._make_token)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_GOODBYE_S)
        await runner.setup()
        try:
            entrance = Port(cast("Callable[[], asyncio.Protocol]", runner.server))  # there is one after setup
            host, port = await entrance.open(self._host, self._port, self._server_tls() if self._tls else None)
        except BaseException:
            await runner.cleanup()
            raise
        self._running = runner, entrance
        self._url = f"{'wss' if self._tls else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}"
        return self._url

    async def stop(self) -> None:
        """Closes all connections with 1001 and the port; may be called twice."""
        running, self._running = self._running, None
        if running is None:
            return
        runner, entrance = running
        try:
            await entrance.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await self.close_connections(WSCloseCode.GOING_AWAY)
        finally:
            for connection in self.connections:
                connection.cut("at the end")
            try:
                await runner.cleanup()
            finally:
                await entrance.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.stop()

    def _server_tls(self) -> ssl.SSLContext:
        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate = authority.issue_cert("localhost", "127.0.0.1", "::1")
        certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType] - it may be OpenSSL's own
        self.ca_pem = authority.cert_pem.bytes()
        return context

    # --- what a test sees and does ---

    @property
    def url(self) -> str:
        """``ws://host:port`` or ``wss://host:port``, without a path; ``""`` until it listens."""
        return self._url

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The open connections, oldest first.

        Each has ``go_away``, ``close``, ``cut``, ``stall``, ``interrupt``, ``poison`` and ``send`` for itself, its
        `ConnectionLedger` as ``ledger``, and as ``surface`` whose API it speaks, ``"dev"`` or ``"vertex"``.
        """
        return tuple(sorted(self._connections, key=lambda connection: connection.ledger.number))

    @property
    def faults(self) -> Faults:
        """For the connections that come from now on; setting it starts the count of ``Faults.connections`` again."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        if not isinstance(faults, Faults):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"faults are a Faults, not {type(faults).__name__}", path="faults")
        self._faults, self._faults_since = faults, self._upgrades

    def client_ssl_context(self) -> ssl.SSLContext:
        """What a client of this emulator must use: it trusts this emulator's authority and nobody else.

        Raises:
            RuntimeError: the emulator does not run with TLS.
        """
        if not self.ca_pem:
            raise RuntimeError("the emulator runs without TLS, or does not run yet")
        return ssl.create_default_context(cadata=self.ca_pem.decode())

    async def go_away(self, time_left_s: float | None = None) -> None:
        """Sends goAway on every open connection; when the time is over, closes each with ``Faults.go_away_code``.

        Args:
            time_left_s: by default what a planned one leaves, see ``Faults.go_away_time_left_s``.

        Raises:
            ConfigError: not a time.
        """
        for connection in self.connections:
            await connection.go_away(time_left_s)

    def cut(self, *, mid_frame: bool = False) -> None:
        """Ends every open TCP connection without a close frame.

        Args:
            mid_frame: leaves the first half of a frame on the wire.
        """
        for connection in self.connections:
            connection.cut(mid_frame=mid_frame)

    def stall(self) -> None:
        """No open connection is read or written any more; all of them stay open."""
        for connection in self.connections:
            connection.stall()

    def interrupt(self) -> None:
        """On every connection, as if the user had cut in; while the model is silent, ``interrupted`` for no reason."""
        for connection in self.connections:
            connection.interrupt()

    def poison(self) -> None:
        """The sessions of all connections go on to transcribe, and never answer any more."""
        for connection in self.connections:
            connection.poison()

    def send(self, message: dict[str, Any]) -> None:
        """Sends a server message of any content on every open connection.

        Raises:
            ConfigError: JSON cannot hold it.
        """
        for connection in self.connections:
            connection.send(message)

    async def close_connections(self, code: int = 1011, reason: str = "") -> None:
        """Closes every open connection with a close frame, and waits until it is done.

        A client that does not answer in 1 s is cut off.

        Args:
            code: any code that a close frame may hold.
            reason: cut to 123 bytes of UTF-8.

        Raises:
            ConfigError: no close frame can hold this code.
        """
        connections = self.connections
        for connection in connections:
            connection.close(code, reason)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                for connection in connections:
                    await connection.gone.wait()
        except TimeoutError:
            for connection in connections:
                connection.cut("for want of an answer")

    # --- the upgrade ---

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        if self._running is None:  # uvloop had let it in, but had not shaken hands when the others were sent away
            raise web.HTTPServiceUnavailable(headers={"Connection": "close"})
        surface, version, constrained = self._route(request)
        self._upgrades += 1
        faults = self._faults
        if faults.connections is not None and self._upgrades - self._faults_since > faults.connections:
            faults = Faults()
        if faults.http_status is not None:
            self._tell(f"upgrade refused with {faults.http_status}")
            return web.Response(status=faults.http_status)
        refusal, permit = self._authenticate(request, surface, constrained=constrained)
        served = sum(connection.served for connection in self._connections)
        if faults.max_connections is not None and served >= faults.max_connections:
            if faults.max_connections_status:
                self._tell("upgrade refused with 429")
                return web.Response(status=429)
            refusal = refusal or _FULL
        socket = web.WebSocketResponse(
            autoping=False, autoclose=False, compress=False, max_msg_size=_MAX_MESSAGE, timeout=1.0
        )
        try:
            await socket.prepare(request)
        except ConnectionError:
            return web.Response()  # the client is gone already; aiohttp would close the socket, which is not prepared
        transport = request.transport
        if transport is None:
            return socket  # likewise
        ledger = ConnectionLedger(len(self.ledger.connections) + 1)
        self.ledger.connections.append(ledger)
        connection = Connection(
            socket=socket,
            transport=transport,
            surface=surface,
            version=version,
            profile=self.profile,
            faults=faults,
            sessions=self._sessions,
            ledger=ledger,
            refusal=refusal,
            permit=permit,
            script=self._script,
            player=None
            if self._recording is None or refusal is not None
            else self._recording.player(ledger.number - 1, self.profile.pace.waits),
            text_frames=self._text_frames,
            tell=self._tell,
        )
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
        return socket

    def _route(self, request: web.Request) -> tuple[SurfaceName, str, bool]:
        for surface, path in _PATHS:
            match = path.fullmatch(request.path)
            if match is not None and self.profile.surface in (None, surface):
                return surface, match[1], bool(match[2])
        raise web.HTTPNotFound

    def _authenticate(
        self, request: web.Request, surface: SurfaceName, *, constrained: bool
    ) -> tuple[Refusal | None, Pass | None]:
        """Who may come in: the Developer API upgrades first and then closes (E2), Vertex AI answers 401 (E3)."""
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        key = request.query.get("key") or request.headers.get("x-goog-api-key", "")
        if surface == "vertex":
            bearer = credential.strip() if scheme.lower() == "bearer" else ""
            if not self._is_valid(bearer or key or ""):
                self._tell("upgrade refused with 401")
                raise web.HTTPUnauthorized
            return None, None
        if constrained:
            token = request.query.get("access_token") or (credential.strip() if scheme.lower() == "token" else "")
            permit = self.tokens.find(token)
            # where any key will do, so will any token: it allows everything
            known = permit is not None or (token.startswith("auth_tokens/") and self._api_key is None)
            return None if known else _NOBODY, permit
        if not key or key.startswith("auth_tokens/"):
            return _NOBODY, None
        return None if self._is_valid(key) else _BAD_KEY, None

    async def _make_token(self, request: web.Request) -> web.Response:
        """``POST auth_tokens``: on the Developer API only (E49)."""
        if _TOKENS.fullmatch(request.path) is None or self.profile.surface == "vertex":
            raise web.HTTPNotFound
        try:
            self._check_key(request.query.get("key") or request.headers.get("x-goog-api-key") or "")
            name = self.tokens.make(await request.read())
        except Refusal as refusal:
            error = {"code": refusal.code, "message": refusal.reason, "status": _HTTP_STATUS[refusal.code]}
            return web.json_response({"error": error}, status=refusal.code)
        self._tell("made a token")
        return web.json_response({"name": name})

    def _check_key(self, key: str) -> None:
        if not key or key.startswith("auth_tokens/"):
            raise Refusal(403, _NOBODY.reason)
        if not self._is_valid(key):
            raise Refusal(400, _BAD_KEY.reason)

    def _is_valid(self, credential: str) -> bool:
        return bool(credential) if self._api_key is None else credential == self._api_key


class _Served(Emulator):
    """The same, for whom the URL is enough."""

    async def __aenter__(self) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return await self.start()


def serve(  # noqa: PLR0913 - keywords, all with defaults
    *,
    profile: str | Profile = "3.8",
    faults: Faults | None = None,
    tls: bool = False,
    api_key: str | None = None,
    compress_time: bool = False,
    text_frames: bool = False,
    script: Script | Sequence[Rule | Mapping[str, Any]] | str | Path | None = None,
    replay: str | Path | None = None,
    record: bool = True,
    host: str = "127.0.0.1",
    port: int = 0,
    tell: Callable[[str], None] | None = None,
) -> _Served:
    """An emulator that listens while its ``async with`` block runs, and gives its URL to the block.

    ::

        async with emulator.serve() as url: ...

        server = emulator.serve(profile="vertex", compress_time=True)
        async with server as url:
            ...
            assert server.ledger.sessions[0].audio_samples == 16_000

    Args:
        profile: ``"3.8"``, ``"3.8-extended-thinking"``, ``"3.1"``, ``"2.5"``, ``"vertex"``, or a `Profile`.
        faults: what goes wrong; nothing by default.
        tls: serves ``wss://`` with a certificate for localhost, 127.0.0.1 and ::1 that only
            `Emulator.client_ssl_context` trusts.
        api_key: the key, or bearer token, that clients must have; ``None`` takes any that is not empty.
        compress_time: nothing waits: setupComplete, speech and turnComplete come at once. Faults keep their times.
        text_frames: sends JSON in text frames instead of binary ones.
        script: what is answered otherwise than usual: a `Script`, a list of rules, a TOML file, or TOML.
        replay: a recording, whose server says again what it said; then it does not matter what clients say.
        record: keeps all that clients send for the `Ledger`. Off, it counts, and keeps the texts of the history only.
        host: an address of this machine.
        port: 0 lets the kernel choose.
        tell: is called with one readable line for each connection, turn and fault.

    Returns:
        An `Emulator`, with all that it has; only its ``async with`` block gets the URL instead of the emulator.

    Raises:
        ConfigError: there is no such profile, or a mistake in the script or the recording.
        OSError: on entering, if the port is in use.
    """
    return _Served(
        profile=profile,
        faults=faults,
        tls=tls,
        api_key=api_key,
        compress_time=compress_time,
        text_frames=text_frames,
        script=script,
        replay=replay,
        record=record,
        host=host,
        port=port,
        tell=tell,
    )
