"""What users hold: a session that they speak into and listen to, whatever the network does meanwhile."""

from __future__ import annotations

import asyncio
import random
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from gemini_live import _core, codec
from gemini_live.auth import VertexAi, auth_from, check_pair, endpoint_from, resolve
from gemini_live.config import SessionConfig, SessionResumptionConfig
from gemini_live.errors import ConfigError, SessionClosed
from gemini_live.events import CloseKind, SessionStats, SessionStatus
from gemini_live.fanout import Fanout
from gemini_live.interop import contents_from, setup_from, struct_from
from gemini_live.messages import ClientContent, Content, ContextUpdate, FunctionResponse, RealtimeInput, ToolResponse
from gemini_live.protocol import Protocol, State
from gemini_live.runner import Runner
from gemini_live.transport import dial

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    import numpy.typing as npt
    from typing_extensions import Buffer

    from gemini_live.auth import Auth, Endpoint
    from gemini_live.config import OutboxLimits, ReconnectPolicy, Setup, TransportConfig
    from gemini_live.events import Event
    from gemini_live.fanout import Cursor
    from gemini_live.interop import SupportsModelDump
    from gemini_live.outbox import Kind
    from gemini_live.transport import Dialler

    # NumPy's stubs know the buffer protocol from Python 3.12 on only
    Samples: TypeAlias = Buffer | npt.NDArray[Any]

__all__ = ["Session", "connect"]

_NATIVE_RATE_HZ = 16_000
# What the session itself keeps for an iteration that may never come: enough to see how it began.
_KEPT_FOR_LATER = 1_024
_SIGNATURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


class Session:
    """A conversation with the service, made by `connect`.

    It is shared freely between the tasks of one event loop, and is an asynchronous iterator of its events: one
    task iterates it directly, every further consumer takes a cursor of its own from `events`.

    The ``send_*`` coroutines normally complete without suspending: what cannot leave now waits in the outbox, in order,
    also while the session reconnects. They wait only when messages that must not be lost fill the outbox. After the
    session has ended they raise `SessionClosed`.

    A session that nobody holds any more closes itself.
    """

    def __init__(self, runner: Runner, config: SessionConfig, *, needs_call_ids: bool, fanout: Fanout) -> None:
        self._runner = runner
        self._protocol = runner.protocol
        self._config = config
        self._needs_call_ids = needs_call_ids
        self._fanout = fanout
        self._own_events = fanout.join(max_unread_before_start=_KEPT_FOR_LATER)
        self._encoder = self._encoder_for(_NATIVE_RATE_HZ)
        # the runner knows nothing of the session, so the session's end of life can end the runner
        finalizer = weakref.finalize(self, _abandon, asyncio.get_running_loop(), runner)
        finalizer.atexit = False

    # --- live input ---

    async def send_audio(self, block: Samples, *, rate_hz: int = _NATIVE_RATE_HZ) -> None:
        """Send a block of speech of any length; it is cut into chunks, and what does not fill one waits for the next.

        Args:
            block: samples of shape ``(n,)`` or ``(n, channels)``, of ``int16``, ``int32``, ``float32`` or ``float64``
                (full scale ±1) or ``uint8`` (silence at 128), in any memory layout; channels are averaged. Plain
                ``bytes`` are 16-bit little-endian mono. Float samples are rounded to the nearest and saturate, NaN
                becomes silence.
            rate_hz: samples per second; the service resamples what is not 16,000.

        Raises:
            TypeError: not samples of an accepted kind.
            ValueError: an impossible shape or rate, an empty block, an odd number of bytes.
            SessionClosed: the session has ended.
        """
        self._check_open()
        encoder = self._encoder
        if rate_hz != encoder.rate_hz:
            successor = self._encoder_for(rate_hz)
            self._flush_audio()
            self._encoder = encoder = successor
        for message in encoder.encode(block):
            self._runner.submit("audio", message, encoder.chunk_samples / rate_hz)

    async def send_video(self, image: Buffer, *, mime_type: str | None = None) -> None:
        """Send one encoded image. The service looks at one a second at most; of several that wait, the newest stays.

        Args:
            image: the bytes of a JPEG (what the service documents) or PNG file.
            mime_type: for another kind of image than these.

        Raises:
            TypeError: not bytes; an array of pixels must be encoded first.
            ValueError: an empty image, or neither JPEG nor PNG and no ``mime_type``.
            SessionClosed: the session has ended.
        """
        self._check_open()
        view = memoryview(image)
        if view.ndim != 1 or view.itemsize != 1:
            raise TypeError(f"an image is given as JPEG or PNG bytes, not as an array of shape {view.shape}")
        kind = mime_type or next(
            (kind for start, kind in _SIGNATURES.items() if bytes(view[:8]).startswith(start)), None
        )
        if kind is None:
            raise ValueError("these bytes begin neither a JPEG nor a PNG; give mime_type for another kind of image")
        if not kind.startswith("image/"):
            raise ValueError(f"the MIME type of an image begins with image/, not {kind!r}")
        self._runner.submit("video", _core.encode_video(image, kind))

    async def send_text(self, text: str) -> None:
        """Say something in writing: it counts as the user's activity and is answered.

        Raises:
            ValueError: the text is empty.
            SessionClosed: the session has ended.
        """
        if not text:
            raise ValueError("the text is empty")
        await self._send("text", RealtimeInput(text=text))

    async def activity_start(self) -> None:
        """Mark the beginning of speech; only with the service's voice activity detection disabled.

        Raises:
            ConfigError: it is not disabled in the setup.
            SessionClosed: the session has ended.
        """
        self._check_vad(disabled=True, instead="the service finds the beginning of speech by itself")
        await self._send("activity_start", RealtimeInput(activity_start={}), after_audio=True)

    async def activity_end(self) -> None:
        """Mark the end of speech, which asks for the answer; only with voice activity detection disabled.

        Raises:
            ConfigError: it is not disabled in the setup.
            SessionClosed: the session has ended.
        """
        self._check_vad(disabled=True, instead="send audio_stream_end() when the microphone pauses")
        await self._send("activity_end", RealtimeInput(activity_end={}), after_audio=True)

    async def audio_stream_end(self) -> None:
        """Say that the microphone pauses (for more than a second), so that the service need not wait for silence.

        Raises:
            ConfigError: voice activity detection is disabled in the setup; `activity_end` is meant then.
            SessionClosed: the session has ended.
        """
        self._check_vad(disabled=False, instead="send activity_end() instead")
        await self._send("audio_stream_end", RealtimeInput(audio_stream_end=True), after_audio=True)

    # --- everything else ---

    async def send_client_content(
        self,
        turns: str | Content | Mapping[str, Any] | Sequence[Content | Mapping[str, Any]] = (),
        *,
        turn_complete: bool = True,
    ) -> None:
        """Append turns to the history, in order; interrupts a running answer.

        Args:
            turns: one or several; a string is a turn of the user.
            turn_complete: true asks for an answer, false adds and waits.

        Raises:
            ConfigError: a field that does not exist or a wrong value.
            SessionClosed: the session has ended.
        """
        content = ClientContent(turns=contents_from(turns) or (), turn_complete=turn_complete)
        await self._send("client_content", content)

    async def send_tool_response(
        self,
        responses: FunctionResponse | Mapping[str, Any] | Sequence[FunctionResponse | Mapping[str, Any]],
    ) -> None:
        """Answer tool calls; each answer repeats the ``id`` and ``name`` of its call.

        Raises:
            ConfigError: nothing to send, a field that does not exist, a wrong value, or no ``id`` where one is needed.
            SessionClosed: the session has ended.
        """
        given = [responses] if isinstance(responses, FunctionResponse) or hasattr(responses, "keys") else responses
        answers = [struct_from(FunctionResponse, one, f"responses[{index}]") for index, one in enumerate(given)]
        if not answers:
            raise ConfigError("there is no response to send", path="responses")
        for index, answer in enumerate(answers):
            if self._needs_call_ids and not answer.id:
                raise ConfigError(
                    f"responses[{index}] has no id; repeat that of the call, call.id", path=f"responses[{index}].id"
                )
        await self._send("tool_response", ToolResponse(function_responses=answers))
        for answer in answers:
            if not answer.will_continue:
                self._protocol.tool_answered(answer.id)

    async def update_context(
        self,
        *,
        system_instruction: str | Content | Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Replace instructions or tools in mid-session (documented on Vertex AI).

        Args:
            system_instruction: the new one; ``None`` leaves it as it is.
            tools: the new ones; an empty list clears all, ``None`` leaves them as they are.

        Raises:
            ConfigError: neither was given, or a wrong value.
            SessionClosed: the session has ended.
        """
        if system_instruction is None and tools is None:
            raise ConfigError("give system_instruction, tools, or both", path="update_context")
        instruction = None if system_instruction is None else contents_from(system_instruction)[0]
        await self._send(
            "context_update",
            ContextUpdate(
                system_instruction=instruction, tools=None if tools is None else {"tools": list(tools)} if tools else {}
            ),
        )

    async def send_raw(self, message: bytes | str | Mapping[str, Any]) -> None:
        """Send a message of your own making: one JSON object, as it is. It is kept and counted like every other.

        Raises:
            ConfigError: not a JSON object.
            SessionClosed: the session has ended.
        """
        if isinstance(message, bytes | str):
            raw = message.encode() if isinstance(message, str) else bytes(message)
            try:
                msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            except (msgspec.DecodeError, ValueError) as error:
                raise ConfigError(f"not a JSON object: {error}", path="message") from None
        else:
            try:
                raw = msgspec.json.encode(dict(message))
            except (TypeError, ValueError) as error:
                raise ConfigError(f"not JSON: {error}", path="message") from None
        await self._send_encoded("raw", raw)

    # --- listening ---

    def events(self) -> Cursor:
        """A consumer of its own: an asynchronous iterator over everything from now on, until the session has ended.

        It misses no event but audio, and of that only what lies more than five minutes behind, with a `Lagged` that
        counts it. It keeps the session alive. Close it, or let go of it, when you stop reading.
        """
        return self._fanout.join(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self._own_events.__anext__()

    async def next_event(self) -> Event:
        """Wait for one event, for those who do not iterate.

        Raises:
            SessionClosed: the session has ended and everything was read.
        """
        try:
            return await self._own_events.__anext__()
        except StopAsyncIteration:
            raise self._session_closed() from None

    # --- state ---

    @property
    def status(self) -> SessionStatus:
        """What the session is doing now."""
        return self._protocol.status

    async def wait_for_status(self, status: SessionStatus) -> None:
        """Wait until the session is in this status; returns at once if it is.

        Raises:
            SessionClosed: it has ended, so it never will be.
        """
        await self._runner.wait_until(lambda: self._protocol.status is status)
        if self._protocol.status is not status:
            raise self._session_closed()

    @property
    def stats(self) -> SessionStats:
        """The session's accounts at this moment."""
        counts = self._protocol.outbox.counts
        return SessionStats(
            accepted=counts.accepted,
            waiting=counts.waiting,
            written=counts.written,
            acknowledged=counts.acknowledged,
            expired=counts.expired,
            replayed=counts.replayed,
            uncertain=counts.uncertain,
            reconnects=self._protocol.reconnects,
            longest_gap_s=self._protocol.longest_gap_s,
            messages_received=self._protocol.messages_received,
            round_trip_s=self._protocol.round_trip_s,
        )

    async def drain(self) -> None:
        """Wait until nothing waits any more: everything was handed to a connection, or has expired.

        Raises:
            SessionClosed: the session ended first.
        """
        await self._runner.wait_until(lambda: self._protocol.outbox.counts.waiting == 0)
        if self._protocol.outbox.counts.waiting:
            raise self._session_closed()

    # --- the end ---

    async def close(self) -> None:
        """Send what waits, say goodbye, and wait until no task, timer or socket is left. Again: returns when it is so.

        A reconnect that is under way is given up at once.
        """
        if self._protocol.state is State.OPEN:
            self._flush_audio()
        self._runner.close()
        await self._runner.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Session {self.status.value} model={self._config.setup.model!r}>"

    # --- inside ---

    def _encoder_for(self, rate_hz: int) -> _core.AudioEncoder:
        return _core.AudioEncoder(rate_hz, max(1, round(rate_hz * self._config.chunk_ms / 1000)))

    def _flush_audio(self) -> None:
        """Send what does not fill a chunk, because nothing will follow that belongs to it."""
        duration_s = self._encoder.pending_samples / self._encoder.rate_hz
        rest = self._encoder.flush()
        if rest is not None:
            self._runner.submit("audio", rest, duration_s)

    def _check_open(self) -> None:
        if self._protocol.state in (State.CLOSING, State.CLOSED):
            raise self._session_closed()

    def _session_closed(self) -> SessionClosed:
        return SessionClosed(self._protocol.end)

    def _check_vad(self, *, disabled: bool, instead: str) -> None:
        realtime = self._config.setup.realtime_input_config
        detection = realtime and realtime.automatic_activity_detection
        if bool(detection and detection.disabled) is not disabled:
            raise ConfigError(
                f"the setup {'does not disable' if disabled else 'disables'} automatic_activity_detection: {instead}",
                path="setup.realtime_input_config.automatic_activity_detection.disabled",
            )

    async def _send(
        self,
        kind: Kind,
        message: codec.ClientMessage,
        *,
        after_audio: bool = False,
    ) -> None:
        try:
            raw = codec.encode(message)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the message holds something that JSON cannot: {error}", path=kind) from None
        await self._send_encoded(kind, raw, after_audio=after_audio)

    async def _send_encoded(self, kind: Kind, raw: bytes, *, after_audio: bool = False) -> None:
        self._check_open()
        outbox = self._protocol.outbox
        while not outbox.room(len(raw)):
            await self._runner.wait_until(lambda: outbox.room(len(raw)))
            self._check_open()
        if after_audio:
            self._flush_audio()
        self._runner.submit(kind, raw)


def _abandon(loop: asyncio.AbstractEventLoop, runner: Runner) -> None:
    """The last user is gone; from whatever thread the garbage collector runs in."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(runner.close, CloseKind.ABANDONED)


class _Connecting:
    """What `connect` returns: to be awaited, or entered with ``async with``."""

    def __init__(self, config: SessionConfig, endpoint: Endpoint, auth: Auth, dialler: Dialler) -> None:
        self._config = config
        self._endpoint = endpoint
        self._auth = auth
        self._dialler = dialler
        self._session: Session | None = None

    def __await__(self) -> Generator[Any, None, Session]:
        return self._open().__await__()

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def _open(self) -> Session:
        fanout = Fanout()
        protocol = Protocol(self._config, self._full_setup(), random.random)
        runner = Runner(
            protocol, self._config.transport, lambda: resolve(self._endpoint, self._auth), self._dialler, fanout
        )
        session = Session(runner, self._config, needs_call_ids=not isinstance(self._endpoint, VertexAi), fanout=fanout)
        runner.start()
        try:
            await runner.wait_until_open()
        except BaseException:
            await session.close()
            raise
        return session

    def _full_setup(self) -> Setup:
        """The setup with the model's resource name, asking for resumption if the session may need it."""
        setup = self._config.setup
        resumption = setup.session_resumption
        if resumption is None and self._config.reconnect.enabled:
            # Only Vertex AI knows `transparent`; the Developer API refuses the whole setup for it.
            resumption = SessionResumptionConfig(transparent=True if isinstance(self._endpoint, VertexAi) else None)
        return msgspec.structs.replace(
            setup, model=self._endpoint.model_name(setup.model), session_resumption=resumption
        )


def connect(  # noqa: PLR0913 - each is one thing a user may want to say
    setup: str | Setup | Mapping[str, Any] | SupportsModelDump | SessionConfig,
    /,
    *,
    endpoint: Endpoint | str | None = None,
    auth: Auth | str | None = None,
    transport: TransportConfig | None = None,
    reconnect: ReconnectPolicy | None = None,
    outbox: OutboxLimits | None = None,
    chunk_ms: int | None = None,
) -> _Connecting:
    """Open a session: enter the result with ``async with``, or await it and close the session yourself.

    The session is usable when it is there: the service has confirmed the setup.

    Args:
        setup: a model name, a `Setup`, a mapping in either spelling, an object with ``model_dump()``, or a whole
            `SessionConfig`. A bare name asks for spoken answers.
        endpoint: `GeminiApi` (the default), `VertexAi`, `Custom`, or a URL: without a path the base of a Developer API
            look-alike such as the emulator, with a path complete.
        auth: a credential, a function that returns one (asked before every dial), or a string, which is an API key or
            an ephemeral token. By default ``GEMINI_API_KEY``, then ``GOOGLE_API_KEY``.
        transport: timeouts, proxy, TLS and headers.
        reconnect: when to dial again.
        outbox: how much may wait while the network is slow or down.
        chunk_ms: length of one audio message, 10 to 100.

    Raises:
        ConfigError: at once, for arguments that cannot work.
        ConnectError: when awaited or entered: no usable session came about; its subclasses say why.
    """
    where = endpoint_from(endpoint)
    credential = auth_from(auth, where)
    if not callable(credential):
        check_pair(where, credential)
    parts: dict[str, Any] = {"transport": transport, "reconnect": reconnect, "outbox": outbox, "chunk_ms": chunk_ms}
    given = {name: part for name, part in parts.items() if part is not None}
    if isinstance(setup, SessionConfig):
        if given:
            raise ConfigError(f"a SessionConfig already holds {', '.join(given)}", path=next(iter(given)))
        config = setup
    else:
        config = SessionConfig(setup=setup_from(setup), **given)
    return _Connecting(config, where, credential, dial)
