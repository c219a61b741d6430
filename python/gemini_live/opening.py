"""How a session comes about: from what the caller says to a connection that the service has confirmed."""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING, Any, cast

import msgspec

from gemini_live.auth import (
    GeminiApi,
    NoAuth,
    VertexAi,
    auth_from,
    check_pair,
    endpoint_for,
    endpoint_from,
    origin_of,
    resolve,
)
from gemini_live.capabilities import check_setup, modality_of
from gemini_live.codec import encode_setup
from gemini_live.config import OutboxLimits, ReconnectPolicy, SessionConfig, SpeechPolicy, TransportConfig
from gemini_live.errors import ConfigError
from gemini_live.fanout import Fanout
from gemini_live.functions import tools_from
from gemini_live.interop import setup_and_functions_from, setup_from, struct_from
from gemini_live.protocol import Protocol
from gemini_live.recorder import Recorder, Recording
from gemini_live.runner import Runner
from gemini_live.session import Session
from gemini_live.setup_message import SessionResumptionConfig
from gemini_live.snapshot import Snapshot
from gemini_live.tools import Tools
from gemini_live.transport import check_proxy, dial

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Buffer

    from gemini_live.auth import Auth, Endpoint
    from gemini_live.functions import Function
    from gemini_live.interop import SupportsModelDump
    from gemini_live.setup_message import Setup, Tool
    from gemini_live.transport import Dialler

__all__ = ["Connecting", "connect"]

# For how long the service keeps a session that nobody is connected to: 2 h on the Developer API. For Vertex AI the
# documentation names 24 h in one place and minutes in another, so there the service must say when it is too late.
_KEPT_S = 2 * 3_600.0
_KEPT_BY_OTHERS_S = 24 * 3_600.0


class Connecting:
    """What `connect` returns: to be awaited, or entered with ``async with``."""

    def __init__(  # noqa: PLR0913 - what `connect` was told
        self,
        config: SessionConfig,
        endpoint: Endpoint,
        auth: Auth,
        dialler: Dialler,
        *,
        snapshot: Snapshot | None,
        functions: Sequence[Function],
        recording: Recording | None,
    ) -> None:
        self._config = config
        self._endpoint = endpoint
        self._auth = auth
        self._dialler = dialler
        self._snapshot = snapshot
        self._functions = functions
        self._recording = recording
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
        recorder = self._recorder()
        dialler = self._dialler if recorder is None else recorder.wrap(self._dialler)
        protocol = Protocol(self._config, self._config.setup, random.random)
        # not a lambda: that would hold us, and we hold the session, which must be able to go while the runner is there
        address = functools.partial(resolve, self._endpoint, self._auth)
        runner = Runner(protocol, self._config.transport, address, dialler, fanout)
        tools = Tools(runner, fanout, self._config.setup)
        for function in self._functions:
            tools.attach(function)
        session = Session(runner, self._config, self._endpoint, fanout, tools=tools, recorder=recorder)
        if self._snapshot is not None:
            protocol.take_over(runner.now(), self._snapshot.unsent_by_now(), self._snapshot.pending_calls)
        runner.start()
        if recorder is not None:
            recorder.end_with(runner.wait_closed())
        try:
            await runner.wait_until_open()
        except GeneratorExit:
            raise  # dropped, so nothing can be awaited; and nobody holds the session any more, so it closes itself
        except BaseException:
            await session.close()
            raise
        if self._snapshot is not None:
            tools.take_over(self._snapshot.pending_calls)
        return session

    def _recorder(self) -> Recorder | None:
        if self._recording is None:
            return None
        credential = NoAuth() if callable(self._auth) else self._auth
        return Recorder(self._recording, model=self._config.setup.model, url=self._endpoint.url(credential))


def connect(  # noqa: PLR0913 - each is one thing a user may want to say
    setup: str | Setup | Mapping[str, Any] | SupportsModelDump | SessionConfig,
    /,
    config: Mapping[str, Any] | SupportsModelDump | None = None,
    *,
    endpoint: Endpoint | str | None = None,
    auth: Auth | str | None = None,
    transport: TransportConfig | Mapping[str, Any] | None = None,
    reconnect: ReconnectPolicy | Mapping[str, Any] | None = None,
    outbox: OutboxLimits | Mapping[str, Any] | None = None,
    speech: SpeechPolicy | Mapping[str, Any] | None = None,
    chunk_ms: int | None = None,
    resume: Snapshot | Buffer | str | None = None,
    tools: Sequence[Callable[..., Any] | Tool | Mapping[str, Any]] = (),
    record: str | os.PathLike[str] | Recording | None = None,
    check_capabilities: bool | None = None,
) -> Connecting:
    """Open a session: enter the result with ``async with``, or await it and close the session yourself.

    The session is usable when it is there: the service has confirmed the setup. If the first dial
    fails, that is raised and not tried again: reconnecting is for sessions that were open.

    Args:
        setup: a model name, a `Setup`, a mapping in either spelling, an object with ``model_dump()``, or a whole
            `SessionConfig`. A bare name asks for spoken answers, or for text from a model that does not speak.
        config: everything but the model, when ``setup`` is its name: a mapping in the layout of a setup or in the flat
            layout of the official SDK's ``LiveConnectConfig``, or such an object itself.
        endpoint: `GeminiApi` (the default), `VertexAi`, `Custom`, or a URL: without a path the base of a Developer API
            look-alike such as the emulator, with a path complete.
        auth: a credential, a function that returns one (asked before every dial), or a string, which is an API key or
            an ephemeral token. By default ``GEMINI_API_KEY``, then ``GOOGLE_API_KEY``; for Vertex AI Google Cloud's
            application-default credentials.
        transport: timeouts, proxy, TLS and headers. This and the next three may be mappings of their fields.
        reconnect: when to dial again once the session has been open. A first dial that fails is not repeated.
        outbox: how much may wait while the network is slow or down.
        speech: what becomes of pauses, what is kept from before an activity, and a voice activity detector of your own.
        chunk_ms: length of one audio message, 10 to 100.
        resume: goes on with the session of which another process took this snapshot, itself or packed as JSON.
        tools: typed functions, sync or async, that the model may call and the session then runs and answers; options by
            the decorator `tool`. Tools of the service may stand among them.
        record: a file that takes every frame as JSON lines, or a `Recording`; it is written anew.
        check_capabilities: false sends also what the service (Developer API or Vertex AI) or the model is known to
            refuse.

    Raises:
        ConfigError: at once, for arguments that cannot work; when awaited or entered, if the file of ``record`` cannot
            be written.
        ConnectError: when awaited or entered: no usable session came about; its subclasses say why.
    """
    where = endpoint_from(endpoint)
    # by the same names: a traceback with local variables would show str, bytes and mappings as they were given
    auth = auth_from(auth, where)
    transport = None if transport is None else struct_from(TransportConfig, transport, "transport")
    resume = snapshot = _snapshot_from(resume)
    where = endpoint_for(where, auth)
    if not callable(auth):
        check_pair(where, auth)
    parts: dict[str, Any] = {
        "transport": transport,
        "reconnect": None if reconnect is None else struct_from(ReconnectPolicy, reconnect, "reconnect"),
        "outbox": None if outbox is None else struct_from(OutboxLimits, outbox, "outbox"),
        "speech": None if speech is None else struct_from(SpeechPolicy, speech, "speech"),
        "chunk_ms": chunk_ms,
        "check_capabilities": check_capabilities,
    }
    given = {name: part for name, part in parts.items() if part is not None}
    if isinstance(setup, SessionConfig):
        if given or config is not None:
            held = ", ".join([*given, *(["config"] if config is not None else [])])
            raise ConfigError(f"a SessionConfig already holds {held}", path=held.partition(",")[0])
        whole, inner = setup, setup_from(setup.setup)
    else:
        modality = modality_of(setup) if isinstance(setup, str) else ""
        inner, own_functions = setup_and_functions_from(setup, config, modality=modality)
        tools = [*tools, *own_functions] if own_functions else tools
        whole = SessionConfig(setup=inner, **given)
    all_tools, functions = tools_from(tools, inner.tools)
    if tools:
        inner = msgspec.structs.replace(inner, tools=all_tools)
    check_proxy(whole.transport)
    if whole.check_capabilities:
        check_setup(inner, where)
    full = _full_setup(msgspec.structs.replace(whole, setup=inner), where, snapshot)
    if snapshot is not None:
        kept_s = _KEPT_S if isinstance(where, GeminiApi) else _KEPT_BY_OTHERS_S
        snapshot.check(full, origin_of(where), kept_s)
    try:
        encode_setup(full)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the setup holds something that JSON cannot: {error}", path="setup") from None
    whole = msgspec.structs.replace(whole, setup=full)
    recording = record if record is None or isinstance(record, Recording) else Recording(record)
    return Connecting(whole, where, auth, dial, snapshot=snapshot, functions=functions, recording=recording)


def _snapshot_from(given: object) -> Snapshot | None:
    if isinstance(given, bytes | bytearray | memoryview | str):
        return Snapshot.from_json(cast("bytes", given))
    if given is None or isinstance(given, Snapshot):
        return given
    raise ConfigError(f"resume takes a Snapshot, or one that was packed, not {type(given).__name__}", path="resume")


def _full_setup(config: SessionConfig, endpoint: Endpoint, snapshot: Snapshot | None) -> Setup:
    """The setup with the model's resource name, asking for resumption if the session may need it."""
    setup = config.setup
    resumption = setup.session_resumption
    if resumption is None and (config.reconnect.enabled or snapshot is not None):
        # Only Vertex AI knows `transparent`; the Developer API refuses the whole setup for it.
        resumption = SessionResumptionConfig(transparent=True if isinstance(endpoint, VertexAi) else None)
    if snapshot is not None and resumption is not None:
        resumption = msgspec.structs.replace(resumption, handle=snapshot.handle)
    return msgspec.structs.replace(setup, model=endpoint.model_name(setup.model), session_resumption=resumption)
