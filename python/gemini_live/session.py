"""What users hold: a session that they speak into and listen to, whatever the network does meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from gemini_live import codec
from gemini_live.audio_input import AudioInput
from gemini_live.auth import VertexAi, origin_of
from gemini_live.capabilities import check_responses
from gemini_live.errors import ConfigError, NotResumable, SessionClosed
from gemini_live.events import CloseKind, SessionStatus
from gemini_live.functions import Function
from gemini_live.image import encode_image, hand_in, is_pixels
from gemini_live.interop import contents_from, responses_from, struct_from
from gemini_live.messages import ClientContent, Content, ContextUpdate, RealtimeInput, ToolResponse
from gemini_live.protocol import ENDING, State
from gemini_live.setup_message import Tool
from gemini_live.snapshot import Snapshot, setup_hash
from gemini_live.speech import NATIVE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self, TypeVar

    import numpy.typing as npt
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from typing_extensions import Buffer

    from gemini_live.auth import Endpoint
    from gemini_live.config import SessionConfig
    from gemini_live.events import Event
    from gemini_live.fanout import Cursor, Fanout
    from gemini_live.interop import SupportsModelDump
    from gemini_live.media.source import Source
    from gemini_live.media.video import PixelOrder, VideoFeed
    from gemini_live.messages import Blob, FunctionResponse, Part
    from gemini_live.outbox import Kind
    from gemini_live.recorder import Recorder
    from gemini_live.runner import Runner
    from gemini_live.speech import Encoding, Layout, Samples
    from gemini_live.stats import SessionStats
    from gemini_live.telemetry import Telemetry
    from gemini_live.tool_ledger import ToolStats
    from gemini_live.tools import Tools

    AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

__all__ = ["Session"]

# What the session itself keeps for an iteration that may never come: the newest so many events.
_KEPT_FOR_LATER = 1_024


class Session:
    """A conversation with the service, made by `connect`.

    It is shared freely between the tasks of one event loop, and is an asynchronous iterator of its events: one
    task iterates it directly, every further consumer takes a cursor of its own from `events`.

    The ``send_*`` coroutines normally complete without suspending: what cannot leave now waits in the outbox, in order,
    also while the session reconnects. They wait only when messages that must not be lost fill the outbox. After the
    session has ended they raise `SessionClosed`.

    From another event loop they raise ``RuntimeError``, and so they do in the child of a fork, where a session must not
    be used at all; `hand_over` moves it to another process.

    A session that nobody holds any more closes itself.
    """

    def __init__(  # noqa: PLR0913 - what `connect` has made of its arguments
        self,
        runner: Runner,
        config: SessionConfig,
        endpoint: Endpoint,
        fanout: Fanout,
        *,
        tools: Tools,
        recorder: Recorder | None,
    ) -> None:
        self._runner = runner
        self._protocol = runner.protocol
        self._config = config
        self._endpoint = endpoint
        self._fanout = fanout
        self._own_events = fanout.join(max_unread_before_start=_KEPT_FOR_LATER)
        self._audio = AudioInput(runner, config)
        self._tools = tools
        self._recorder = recorder
        self._telemetry: Telemetry | None = None
        self._video_feed: VideoFeed | None = None
        self._turn = asyncio.Lock()  # of whoever sends what never expires
        # the runner knows nothing of the session, so the session's end of life can end the runner
        self._loop = asyncio.get_running_loop()
        abandon = functools.partial(runner.close, CloseKind.ABANDONED)
        finalizer = weakref.finalize(self, runner.call_soon_threadsafe, abandon)  # in whatever thread collects it
        finalizer.atexit = False

    # --- live input ---

    async def send_audio(
        self,
        block: Samples | Blob | SupportsModelDump,
        *,
        rate_hz: float = NATIVE_RATE_HZ,
        layout: Layout = "channels_last",
        encoding: Encoding = "pcm",
    ) -> None:
        """Send a block of speech of any length; it is cut into chunks, and what does not fill one waits for the next.

        Args:
            block: samples of shape ``(n,)`` or ``(n, channels)`` in any memory layout, of ``float32``, ``float64`` or
                ``float16`` (full scale ±1), ``int8``, ``int16`` or ``int32``, ``uint8``, ``uint16`` or ``uint32``
                (silence in the middle); channels are averaged. Plain ``bytes`` are 16-bit little-endian mono. What is
                beyond full scale saturates, NaN becomes silence. A `Blob` of such bytes, ours or the official SDK's,
                says its rate itself.
            rate_hz: samples per second, a whole number from 8,000 to 192,000, though it may be a float, as PortAudio
                has it. What is not 16,000 is resampled here, with a delay below 3 ms; ``int16`` mono at 16,000 is sent
                as it is. Another rate than before begins a new stream.
            layout: ``"channels_first"`` for blocks of shape ``(channels, n)``.
            encoding: ``"mulaw"`` or ``"alaw"`` for bytes of ITU-T G.711, as from the telephone.

        Raises:
            TypeError: not samples of an accepted kind, or a detector that says neither true nor false.
            ValueError: an impossible shape or rate, an empty block, an odd number of bytes. Nothing was taken.
            Exception: what a detector of your own raises; the block was taken.
            SessionClosed: the session has ended.
        """
        self._check_open()
        self._audio.feed(block, rate_hz, layout, encoding)

    def feed_audio(
        self,
        block: Samples | Blob | SupportsModelDump,
        *,
        rate_hz: float = NATIVE_RATE_HZ,
        layout: Layout = "channels_last",
        encoding: Encoding = "pcm",
    ) -> bool:
        """`send_audio` for callbacks: from any thread, without waiting and without a task.

        In the loop's own thread it leaves at once; that is the cheapest way for a program that serves many sessions
        from one timer. What other threads feed goes in when the loop comes round, in order; too old by then, it expires
        and is reported like everything else that waited too long.

        Returns:
            Whether it was taken; false once the session is closing or has ended.

        Raises:
            TypeError: not samples of an accepted kind, or a detector that says neither true nor false.
            ValueError: an impossible shape or rate, an empty block, an odd number of bytes. Nothing was taken.
            Exception: what a detector of your own raises; the block was taken.
        """
        if self._protocol.state in ENDING:
            return False
        if not self._runner.is_here():
            return self._audio.hand_in(block, rate_hz, layout, encoding)
        self._audio.feed(block, rate_hz, layout, encoding)
        return True

    def feed_video(
        self,
        image: Buffer | npt.NDArray[Any] | Blob | SupportsModelDump,
        *,
        mime_type: str | None = None,
        order: PixelOrder = "rgb",
    ) -> bool:
        """`send_video` for camera threads: from any thread, without waiting and without a task.

        Of pixels the newest are sent once a second; the bytes of a file go out as they come: feed one a second.

        Returns:
            Whether it was taken; false once the session is closing or has ended.

        Raises:
            TypeError, ValueError, ModuleNotFoundError: as `send_video`.
        """
        if self._is_closing():
            return False
        if is_pixels(image):
            return self._pixels().put(image, order)
        return self._runner.inbox.put("video", encode_image(image, mime_type))

    async def send_video(
        self,
        image: Buffer | npt.NDArray[Any] | Blob | SupportsModelDump,
        *,
        mime_type: str | None = None,
        order: PixelOrder = "rgb",
    ) -> None:
        """Send one image. The service looks at one a second at most; of several that wait, the newest stays.

        Pixels may come at any rate: the newest are taken once a second, or when something is asked, made smaller if
        need be, and encoded in a thread. For another size or quality encode them with `media.Jpeg`. The bytes of a file
        go out as they come: send one a second.

        Args:
            image: pixels, ``uint8`` of shape ``(height, width)``, ``(height, width, 3)`` or ``(height, width, 4)``, of
                which transparency is left out; or the bytes of a JPEG (what the service documents) or PNG file; or a
                `Blob` of such bytes, ours or the official SDK's.
            mime_type: for bytes of another kind than these.
            order: of the colours of pixels: ``"rgb"``, or ``"bgr"`` as OpenCV has it.

        Raises:
            TypeError: neither bytes nor ``uint8`` pixels.
            ValueError: an empty image, a shape that is no picture's, or neither JPEG nor PNG and no ``mime_type``.
            ModuleNotFoundError: pixels, and the extra is missing: ``pip install "gemini-live[video]"``.
            SessionClosed: the session has ended.
        """
        self._check_open()
        if is_pixels(image):
            self._pixels().put(image, order)
        else:
            self._runner.submit("video", encode_image(image, mime_type))

    async def send_text(self, text: str) -> None:
        """Say something in writing: it counts as the user's activity and is answered.

        Raises:
            ValueError: the text is empty.
            ConfigError: it is no text.
            SessionClosed: the session has ended.
        """
        if not text:
            raise ValueError("the text is empty")
        message = struct_from(RealtimeInput, {"text": text}, "message")
        await self._send("text", message, asked=self._runner.user_asked)

    async def activity_start(self) -> None:
        """Mark the beginning of speech; only with the service's voice activity detection disabled.

        Right after it goes what was heard just before, `SpeechPolicy.preroll_ms` of it.

        Raises:
            ConfigError: it is not disabled in the setup, or a detector of your own marks activity.
            SessionClosed: the session has ended.
        """
        self._check_vad(disabled=True, instead="the service finds the beginning of speech by itself")
        self._check_no_detector()
        await self._send("activity_start", RealtimeInput(activity_start={}), before=self._audio.flush)
        self._audio.resume()

    async def activity_end(self) -> None:
        """Mark the end of speech, which asks for the answer; only with voice activity detection disabled.

        Raises:
            ConfigError: it is not disabled in the setup, or a detector of your own marks activity.
            SessionClosed: the session has ended.
        """
        self._check_vad(disabled=True, instead="send audio_stream_end() when the microphone pauses")
        self._check_no_detector()
        await self._send(
            "activity_end", RealtimeInput(activity_end={}), before=self._audio.hold, asked=self._runner.user_asked
        )

    async def audio_stream_end(self) -> None:
        """Say that the microphone pauses (for more than a second), so that the service need not wait for silence.

        If you do not, the session does so after `SpeechPolicy.stream_end_after_ms`.

        Raises:
            ConfigError: voice activity detection is disabled in the setup; `activity_end` is meant then.
            SessionClosed: the session has ended.
        """
        self._check_vad(disabled=False, instead="send activity_end() instead")
        await self._send("audio_stream_end", RealtimeInput(audio_stream_end=True), before=self._audio.end_stream)

    async def stream(self, source: Source) -> None:
        """Send what a microphone, a camera, a screen or a file gives, in real time, until it ends or `close` is called.

        Several run at once, each as a task of its own; to stop one, cancel its task. Behind the end of audio the
        service is told that nothing follows: by `audio_stream_end`, or, where a detector of your own marks activity, by
        the end of what was being said; only where you mark it yourself, that is left to you. A source that is not open
        yet is open for as long as this takes.

        Args:
            source: one of `gemini_live.media`, or an object of your own like them (`media.Source`).

        Raises:
            TypeError: not a source.
            ConfigError: what it gives cannot be sent, such as a file that is no WAV file; or it is being streamed
                already.
            OSError: a file that cannot be read.
            DeviceLost: the device stopped in the middle: it was unplugged, say.
            DeviceError: the device cannot be used, or gives nothing.
            ModuleNotFoundError: the device's extra is missing; the error names it.
            SessionClosed: the session has ended, and not by being closed under the running stream.
        """
        self._check_open()
        if isinstance(source, type) or not (hasattr(source, "kind") and callable(getattr(source, "stream_to", None))):
            raise TypeError(
                "stream takes a source, such as WavSource(path) or Microphone(), or an object of your own with `kind` "
                f"and `stream_to`, not {source!r:.80}"
            )
        try:
            await source.stream_to(self)
            self._check_open()
        except SessionClosed as error:
            # it may also be of another session, which the source listens to
            if self._is_closing() and error.closed.kind in (CloseKind.REQUESTED, CloseKind.HANDED_OVER):
                return
            raise
        if source.kind != "audio":
            return
        if self._audio.has_detector:
            self._audio.finish()
        elif not self._config.has_manual_vad:
            await self.audio_stream_end()

    # --- everything else ---

    async def send_client_content(
        self,
        turns: str
        | Content
        | Part
        | Mapping[str, Any]
        | SupportsModelDump
        | Sequence[str | Content | Mapping[str, Any] | SupportsModelDump] = (),
        *,
        turn_complete: bool = True,
    ) -> None:
        """Append turns to the history, in order; interrupts a running answer.

        Args:
            turns: one or several, the official SDK's objects too; a string is a turn of the user.
            turn_complete: true asks for an answer, false adds and waits.

        Raises:
            ConfigError: a field that does not exist or a wrong value.
            SessionClosed: the session has ended.
        """
        content = ClientContent(turns=contents_from(turns) or (), turn_complete=turn_complete)
        await self._send("client_content", content, asked=self._runner.user_asked if turn_complete else None)

    async def send_tool_response(
        self,
        responses: FunctionResponse
        | Mapping[str, Any]
        | SupportsModelDump
        | Sequence[FunctionResponse | Mapping[str, Any] | SupportsModelDump],
    ) -> None:
        """Answer tool calls; each answer repeats the ``id`` and ``name`` of its call.

        Raises:
            ConfigError: nothing to send, a field that does not exist, a wrong value, or no ``id`` where one is needed.
            SessionClosed: the session has ended.
        """
        answers = responses_from(responses)
        if not answers:
            raise ConfigError("there is no response to send", path="responses")
        if self._config.check_capabilities:
            check_responses(answers, self._endpoint, self._config.setup.model)
        for index, answer in enumerate(answers):
            if not isinstance(self._endpoint, VertexAi) and not answer.id:
                raise ConfigError(
                    f"responses[{index}] has no id; repeat that of the call, call.id", path=f"responses[{index}].id"
                )
        spoken = any(answer.scheduling != "SILENT" for answer in answers)
        await self._send(
            "tool_response", ToolResponse(function_responses=answers), asked=self._runner.asked if spoken else None
        )
        for answer in answers:
            if not answer.will_continue:
                self._protocol.conversation.pending_calls.pop(answer.id, None)
        self._tools.answered_by_hand(answers)

    def tool(self, function: AnyFunction) -> AnyFunction:
        """Run this typed function, sync or async, whenever the model calls it; a decorator.

        The setup declares functions, once, so it must declare one of this name; ``connect(…, tools=[function])``
        declares and attaches in one. Options are those of `tool`, as a decorator below this one.

        Raises:
            ConfigError: the setup declares no such function, another one implements it, or it cannot be called by its
                hints.
        """
        self._tools.attach(Function(function))
        return function

    @property
    def tools(self) -> ToolStats:
        """The calls of functions that run themselves: which are pending, and what became of the others."""
        return self._tools.stats

    async def update_context(
        self,
        *,
        system_instruction: str | Content | Mapping[str, Any] | SupportsModelDump | None = None,
        tools: Sequence[Tool | Mapping[str, Any] | SupportsModelDump] | None = None,
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
        instruction = (
            None if system_instruction is None else struct_from(Content, system_instruction, "system_instruction")
        )
        if tools is not None and not isinstance(tools, Sequence):
            raise ConfigError(f"tools is a list, not {type(tools).__name__}", path="tools")
        new = [struct_from(Tool, one, f"tools[{index}]") for index, one in enumerate(tools or ())]
        await self._send(
            "context_update",
            ContextUpdate(
                system_instruction=instruction, tools=None if tools is None else {"tools": new} if new else {}
            ),
        )

    async def send_raw(self, message: bytes | str | Mapping[str, Any]) -> None:
        """Send a message of your own making: one JSON object, as it is. It is kept and counted like every other.

        Raises:
            ConfigError: not a JSON object.
            SessionClosed: the session has ended.
        """
        if isinstance(message, bytes | str):
            try:
                raw = message.encode() if isinstance(message, str) else bytes(message)
                msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
                raw.decode()  # msgspec does not look into what it leaves as it is
            except RecursionError:
                raise ConfigError("not a JSON object: it is nested too deep", path="message") from None
            except (msgspec.DecodeError, ValueError) as error:
                raise ConfigError(f"not a JSON object: {error}", path="message") from None
        else:
            try:
                raw = codec.encode_raw(message)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"not JSON: {error}", path="message") from None
        await self._send_encoded("raw", raw)

    # --- listening ---

    def events(self) -> Cursor:
        """A consumer of its own: an asynchronous iterator over everything from now on, until the session has ended.

        It misses no event but audio: what lies more than five minutes behind, with a `Lagged` that counts it, and what
        `Interrupted` makes stale. It keeps the session alive. Close it, or let go of it, when you stop reading.

        If nobody iterates the session itself yet, audio is no longer kept for that iteration until it begins.
        """
        self._own_events.keep_no_audio()
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
        defects = self._audio.defects()
        return msgspec.structs.replace(
            self._runner.stats(), nan_samples=defects["nan"], clipped_samples=defects["clipped"]
        )

    def instrument(
        self,
        *,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
        attributes: Mapping[str, str | bool | int | float] | None = None,
    ) -> None:
        """Report the session to OpenTelemetry from now to its end: what it counts as metrics, its turns as spans.

        Args:
            meter_provider: takes the metrics; by default OpenTelemetry's global one.
            tracer_provider: takes the spans; by default the global one. They are children of the current span.
            attributes: to be added to every measurement and span; few values each, or the metrics become many.

        Raises:
            ModuleNotFoundError: the extra is missing: ``pip install "gemini-live[otel]"``.
            ConfigError: the session is instrumented already.
            SessionClosed: the session has ended.
        """
        from gemini_live.telemetry import Telemetry, semantic_attributes  # noqa: PLC0415 - an extra

        self._check_open()
        if self._telemetry is not None:
            raise ConfigError("the session is instrumented already", path="instrument")
        self._telemetry = Telemetry(
            self._fanout.join(),
            self._runner.stats,  # not the session's, which must be able to go
            {**semantic_attributes(self._endpoint, self._config.setup.model), **(attributes or {})},
            meter_provider=meter_provider,
            tracer_provider=tracer_provider,
        )
        self._runner.when_user_asked = self._telemetry.user_asked

    async def drain(self) -> None:
        """Wait until nothing waits any more: everything was handed to a connection, or has expired.

        Raises:
            SessionClosed: the session ended first.
        """
        if self._video_feed is not None:
            await self._video_feed.flush()
        self._runner.inbox.drain()
        await self._runner.wait_until(lambda: not self._protocol.outbox.waiting)
        if self._protocol.outbox.waiting:
            raise self._session_closed()

    # --- moving to another process ---

    def snapshot(self) -> Snapshot:
        """Pack up what another process needs to go on from here, by ``connect(setup, resume=snapshot)``.

        The service resumes a session for nobody while it still has a connection, so this one must be closed before the
        other process connects; `hand_over` does both in the right order.

        Raises:
            NotResumable: the service has given no handle for this state; it does so after each turn at the latest.
        """
        handle = self._protocol.handle
        if handle is None:
            raise NotResumable(
                "the service has given no handle that would resume this session"
                if self._config.reconnect.enabled
                else "the session was opened with reconnect.enabled=False, so resumption was not asked for"
            )
        self._runner.inbox.drain()
        return self._pack(handle)

    def _pack(self, handle: str) -> Snapshot:
        setup = self._protocol.setup
        return Snapshot(
            endpoint=origin_of(self._endpoint),
            model=setup.model,
            setup_hash=setup_hash(setup),
            handle=handle,
            taken_at=time.time(),
            pending_calls=list(self._protocol.conversation.pending_calls.values()),
            unsent=self._protocol.outbox.unsent(self._runner.now()),
        )

    async def hand_over(self, *, patience_s: float = 0.0) -> Snapshot:
        """Close the session so that another process can go on with it at once.

        Args:
            patience_s: wait so long for a safe point: no answer under way, no tool call pending, a handle that contains
                what was said. Without one the session is handed over as it is.

        Raises:
            NotResumable: there is no handle even then; the session stays open.
            SessionClosed: the session has ended.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._runner.wait_until(self._protocol.at_rest)
        self._check_open()
        handle = self.snapshot().handle
        await self._close(CloseKind.HANDED_OVER)
        # the goodbye may bring a newer handle, or withdraw this one: the best that is left then
        return self._pack(self._protocol.handle or handle)

    # --- the end ---

    async def close(self) -> None:
        """Send what waits, say goodbye, and wait until no task, timer or socket is left.

        A second call waits for the same. A reconnect that is under way is given up at once.
        """
        await self._close(CloseKind.REQUESTED)

    async def _close(self, kind: CloseKind) -> None:
        if self._protocol.state is not State.CLOSED:
            self._runner.check_loop()
        if self._video_feed is not None and not self._is_closing():
            try:
                await self._video_feed.flush()
            except asyncio.CancelledError:
                if kind is CloseKind.REQUESTED:  # as it would be a moment later; but who hands over needs the snapshot
                    self._begin_to_close(kind)
                raise
        self._begin_to_close(kind)
        await self._runner.wait_closed()
        await self._tools.wait_closed()
        if self._recorder is not None:
            await self._recorder.wait_closed()
        if self._telemetry is not None:
            await self._telemetry.wait_closed()

    def _begin_to_close(self, kind: CloseKind) -> None:
        if not self._is_closing():
            if self._video_feed is not None:
                self._video_feed.close()
            self._audio.finish()
        self._tools.close()
        self._runner.close(kind)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Session {self.status.value} model={self._config.setup.model!r}>"

    # --- inside ---

    def _pixels(self) -> VideoFeed:
        if self._video_feed is None:
            from gemini_live.media.video import VideoFeed  # noqa: PLC0415 - an extra

            self._video_feed = VideoFeed(self._loop, functools.partial(hand_in, self._runner.inbox))
        return self._video_feed

    def _is_closing(self) -> bool:
        return self._protocol.state in ENDING

    def _check_open(self) -> None:
        self._runner.check_loop()
        if self._is_closing():
            raise self._session_closed()

    def _session_closed(self) -> SessionClosed:
        return SessionClosed(self._protocol.end)

    def _check_no_detector(self) -> None:
        if self._audio.has_detector:
            raise ConfigError(
                "the detector of SpeechPolicy marks activity; leave it out to mark it yourself", path="speech.detector"
            )

    def _check_vad(self, *, disabled: bool, instead: str) -> None:
        if self._config.has_manual_vad is not disabled:
            raise ConfigError(
                f"the setup {'does not disable' if disabled else 'disables'} automatic_activity_detection: {instead}",
                path="setup.realtime_input_config.automatic_activity_detection.disabled",
            )

    async def _send(
        self,
        kind: Kind,
        message: codec.ClientMessage,
        *,
        before: Callable[[], None] | None = None,
        asked: Callable[[], None] | None = None,
    ) -> None:
        """Send what never expires.

        Args:
            kind: what it is counted as.
            message: what the service is told.
            before: is called right before it, in one with it.
            asked: is called right after it, because it is answered.
        """
        try:
            raw = codec.encode(message)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the message holds something that JSON cannot: {error}", path=kind) from None
        if asked is not None and self._video_feed is not None:
            await self._video_feed.flush()  # what was shown before is likely what is asked about
        await self._send_encoded(kind, raw, before=before)
        if asked is not None:
            asked()

    async def _send_encoded(self, kind: Kind, raw: bytes, *, before: Callable[[], None] | None = None) -> None:
        self._check_open()
        outbox = self._protocol.outbox
        async with self._turn:  # who waits for room is not overtaken by who needs less of it
            self._check_open()
            while not outbox.room(len(raw)):
                await self._runner.wait_until(lambda: outbox.room(len(raw)))
                self._check_open()
            if before is not None:
                before()
            self._runner.submit(kind, codec.frame(raw))
