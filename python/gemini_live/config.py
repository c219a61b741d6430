"""How this side behaves: how the service is reached, what waits while it cannot be, and when speech begins and ends.

No message of the protocol holds any of this. `SessionConfig` is where it and the setup come together.
"""

from __future__ import annotations

import inspect
import numbers
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

import msgspec

from gemini_live.errors import ConfigError
from gemini_live.setup_message import Setup

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "OutboxLimits",
    "ReconnectPolicy",
    "SessionConfig",
    "SpeechPolicy",
    "TransportConfig",
    "VoiceDetector",
]


class ReconnectPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When and how often to dial again after a connection was lost.

    Attempt *n* waits a random time between 0 and ``min(cap_s, base_s × 2^(n−1))`` ("full jitter": clients that were cut
    off together do not come back together). A connection that held for 2 s resets the count; one that did not counts as
    a dial that failed. A planned move, which the service announces by ``goAway``, waits not at all.

    Attributes:
        enabled: false ends the session with the first lost connection.
        base_s: the longest wait before the first attempt, in seconds; it doubles with each further one.
        cap_s: no wait is longer than this, in seconds.
        max_attempts: dials in a row that may fail before the session gives up; ``None`` never gives up.
        when_stalled: also move to a new connection when the service owes an answer and says nothing (`Stalled`).
    """

    enabled: bool = True
    base_s: float = 0.5
    cap_s: float = 5.0
    max_attempts: int | None = 10
    when_stalled: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.base_s <= self.cap_s:
            raise ConfigError(f"need 0 <= base_s <= cap_s, got {self.base_s} and {self.cap_s}", path="reconnect.base_s")
        if self.max_attempts is not None and not self.max_attempts >= 1:
            raise ConfigError(
                f"max_attempts is at least 1, got {self.max_attempts}; enabled=False switches reconnecting off",
                path="reconnect.max_attempts",
            )

    def ceiling_s(self, attempt: int) -> float:
        """The longest wait before this attempt, counted from 1, in seconds."""
        # ldexp-like growth without the overflow of 2.0**1024, for policies that never give up
        return min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 64))


class OutboxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much may wait while the network is slow or down.

    Attributes:
        audio_ms: speech that has waited for so many milliseconds expires, and `InputDropped` reports it.
        control_bytes: text, content, tool answers and activity marks never expire; above this size senders wait.
        replay_bytes: how much is kept for an exact replay where the service acknowledges messages (Vertex AI).
    """

    audio_ms: int = 2_000
    control_bytes: int = 1 << 20
    replay_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must be 0 or more, got {getattr(self, name)}", path=f"outbox.{name}")


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    return re.sub("//.*@", "//…@", url, flags=re.DOTALL)


def _is_proxy(url: str) -> bool:
    if not re.match(r"(https?|socks4a?|socks5h?)://", url, re.IGNORECASE):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is only read now
    except ValueError:
        return False
    return bool(parts.hostname)


def _check_headers(headers: object) -> None:
    """Refuse what would only fail at the first dial, or smuggle another header in. No value is shown: it may be secret.

    Raises:
        ConfigError: which one, and why.
    """
    if not isinstance(headers, Mapping):
        raise ConfigError(
            f"headers must be a mapping of names to values, not {type(headers).__name__}", path="transport.headers"
        )
    for name, value in cast("Mapping[object, object]", headers).items():
        # RFC 9110 5.6.2 and 5.5
        if not isinstance(name, str) or not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
            raise ConfigError("the name of one of the headers is none that HTTP allows", path="transport.headers")
        if not isinstance(value, str):
            raise ConfigError(f"header {name!r} must have a str, not {type(value).__name__}", path="transport.headers")
        if re.search(r"[\0-\x08\n-\x1f\x7f]", value):
            raise ConfigError(
                f"header {name!r} holds characters that no header may carry; is there a line end in it?",
                path="transport.headers",
            )


class TransportConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the service.

    Attributes:
        connect_timeout_s: one deadline over DNS, TCP, TLS, upgrade and setup, for each dial.
        close_timeout_s: how long to wait for the other side's closing words before the socket is dropped.
        ping_after_s: silence after which the line is probed.
        lost_after_s: further silence after which it counts as lost. Pongs that take 30 s are normal under load.
        stalled_after_s: silence of the service, while it owes an answer, after which `Stalled` says so.
        headers: extra headers for the upgrade request.
        proxy: ``http://…``, or ``socks5://…`` with the extra ``[socks]`` (the proxy then resolves the host's name);
            ``user:password@`` stands before the host if it asks for them; ``None`` follows the environment:
            ``WSS_PROXY``, then, but not to this machine, ``HTTPS_PROXY``, and ``NO_PROXY``.
        ssl: an ``ssl.SSLContext`` of your own, for a private certificate authority.
    """

    connect_timeout_s: float = 15.0
    close_timeout_s: float = 1.0
    ping_after_s: float = 15.0
    lost_after_s: float = 45.0
    stalled_after_s: float = 15.0
    headers: Mapping[str, str] = {}
    proxy: str | None = None
    ssl: Any = None

    def __post_init__(self) -> None:
        for name in ("connect_timeout_s", "close_timeout_s", "ping_after_s", "lost_after_s", "stalled_after_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}", path=f"transport.{name}")
        if self.proxy is not None and not _is_proxy(self.proxy):
            # not shown: it may hold a password
            raise ConfigError(
                "proxy is no http, https, socks4 or socks5 URL with a host; "
                "in a password write # / ? @ as %23 %2F %3F %40",
                path="transport.proxy",
            )
        _check_headers(self.headers)
        if self.ssl is not None:
            from ssl import SSLContext  # noqa: PLC0415 - this room needs no network

            if not isinstance(self.ssl, SSLContext):
                raise ConfigError(
                    f"ssl must be an ssl.SSLContext, not {type(self.ssl).__name__}; for a file of certificates give "
                    "ssl.create_default_context(cafile=…)",
                    path="transport.ssl",
                )

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self._shown()]
        return f"TransportConfig({', '.join(shown)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Keep `rich` from showing what the ``repr`` does not."""
        return self._shown()

    def _shown(self) -> list[tuple[str, Any]]:
        """What is not the default, without credentials."""
        shown: list[tuple[str, Any]] = []
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if field.name == "headers" and value:
                shown.append(("headers", sorted(value)))
            elif field.name == "proxy" and value:
                shown.append(("proxy", without_password(value)))
            elif field.name != "headers" and value != field.default:
                shown.append((field.name, value))
        return shown


class VoiceDetector(Protocol):
    """Says of each chunk of audio whether somebody speaks: any function that is called as ``detector(chunk) -> bool``.

    ``chunk`` is the next ``SessionConfig.chunk_ms`` of mono at 16 kHz, an ``int16`` array of shape ``(n,)``. The call
    comes in the thread that the audio comes from.
    """

    def __call__(self, chunk: npt.NDArray[np.int16], /) -> bool:
        """Whether somebody speaks in this chunk."""
        ...


class SpeechPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How the service learns where the user's speech begins and ends.

    Attributes:
        stream_end_after_ms: where the service finds that out itself: say ``audioStreamEnd`` when no audio was given for
            so long, because it waits for silence, which is audio too. What a detector of your own took for speech ends
            then as well. ``None`` leaves that to you.
        preroll_ms: where its detection is disabled: how much of the newest audio is kept before `activity_start`, to be
            sent right after it, since a beginning is noticed late. Earlier audio is not sent; the service would discard
            it. With 0 everything is sent as it comes.
        detector: your own voice activity detector; the session then calls `activity_start` and `activity_end` itself.
        hangover_ms: how long the detector must be silent before that is the end.
    """

    stream_end_after_ms: int | None = 1_000
    preroll_ms: int = 300
    detector: VoiceDetector | None = None
    hangover_ms: int = 500

    def __post_init__(self) -> None:
        if self.stream_end_after_ms is not None:
            _check_whole_ms(self.stream_end_after_ms, "speech.stream_end_after_ms")
            if self.stream_end_after_ms < 1:
                raise ConfigError(
                    f"stream_end_after_ms must be 1 or more, or None, got {self.stream_end_after_ms}",
                    path="speech.stream_end_after_ms",
                )
        for name, most in (("preroll_ms", 10_000), ("hangover_ms", 60_000)):
            _check_whole_ms(getattr(self, name), f"speech.{name}")
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must be 0 to {most}, got {getattr(self, name)}", path=f"speech.{name}")
        if self.detector is not None and not callable(self.detector):
            raise ConfigError(
                f"detector must be callable with a chunk of samples, not {type(self.detector).__name__}",
                path="speech.detector",
            )
        if any(map(inspect.iscoroutinefunction, (self.detector, type(self.detector).__call__))):
            raise ConfigError(
                "detector must say at once whether somebody speaks; an async function cannot", path="speech.detector"
            )


def _check_whole_ms(value: object, path: str) -> None:
    """What is built by hand may hold anything, and would fail later, or not at all: NaN is never too large."""
    if not isinstance(value, numbers.Integral):
        name = path.rpartition(".")[2]
        raise ConfigError(f"{name} must be a whole number of milliseconds, not {value!r}", path=path)


_PARTS = {"transport": TransportConfig, "reconnect": ReconnectPolicy, "outbox": OutboxLimits, "speech": SpeechPolicy}


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All of it together: what is said to the service, how it is reached, and what happens when it cannot be.

    Attributes:
        setup: what the service is told.
        transport: how the service is reached.
        reconnect: when and how often to dial again.
        outbox: how much may wait while the network is slow or down.
        speech: how the service learns where speech begins and ends.
        chunk_ms: length of one audio message, 10 to 100; the service recommends 20 to 40, longer ones delay its ear.
        check_capabilities: refuse at once what the service (Developer API or Vertex AI) or the model is known to
            refuse.

    Raises:
        ConfigError: a value out of range, or a part of another type; only `connect` itself reads mappings.
    """

    setup: Setup
    transport: TransportConfig = TransportConfig()
    reconnect: ReconnectPolicy = ReconnectPolicy()
    outbox: OutboxLimits = OutboxLimits()
    speech: SpeechPolicy = SpeechPolicy()
    chunk_ms: int = 20
    check_capabilities: bool = True

    @property
    def has_manual_vad(self) -> bool:
        """Whether the service's own voice activity detection is disabled, so that the client marks activity."""
        realtime = self.setup.realtime_input_config
        detection = realtime and realtime.automatic_activity_detection
        return bool(detection and detection.disabled)

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            part: object = getattr(self, name)
            if not isinstance(part, kind):
                raise ConfigError(f"{name} must be {kind.__name__}, not {type(part).__name__}", path=name)
        if self.speech.detector is not None and not self.has_manual_vad:
            raise ConfigError(
                "a detector of your own needs the service's disabled: "
                "realtime_input_config={'automatic_activity_detection': {'disabled': True}}",
                path="speech.detector",
            )
        _check_whole_ms(self.chunk_ms, "chunk_ms")
        if not 10 <= self.chunk_ms <= 100:
            raise ConfigError(f"chunk_ms must be 10 to 100, got {self.chunk_ms}", path="chunk_ms")
