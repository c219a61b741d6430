from __future__ import annotations

import math
import ssl
from types import MappingProxyType

import msgspec
import pytest

from gemini_live import config
from gemini_live.config import OutboxLimits, ReconnectPolicy, SessionConfig, TransportConfig
from gemini_live.errors import ConfigError
from gemini_live.setup_message import Setup

STRUCTS = [getattr(config, name) for name in config.__all__ if name != "VoiceDetector"]  # that is for functions


@pytest.mark.parametrize("kind", STRUCTS)
def test_it_cannot_be_changed_and_takes_names_only(kind):
    assert kind.__struct_config__.frozen
    with pytest.raises(TypeError):
        kind("x")


def test_the_defaults_are_the_documented_ones():
    assert msgspec.structs.asdict(ReconnectPolicy()) == {
        "enabled": True,
        "base_s": 0.5,
        "cap_s": 5.0,
        "max_attempts": 10,
        "when_stalled": False,
    }
    assert msgspec.structs.asdict(OutboxLimits()) == {
        "audio_ms": 2_000,
        "control_bytes": 1_048_576,
        "replay_bytes": 16_777_216,
    }
    assert msgspec.structs.asdict(TransportConfig()) == {
        "connect_timeout_s": 15.0,
        "close_timeout_s": 1.0,
        "ping_after_s": 15.0,
        "lost_after_s": 45.0,
        "stalled_after_s": 15.0,
        "headers": {},
        "proxy": None,
        "ssl": None,
    }
    session = SessionConfig(setup=Setup(model="m"))
    assert session.chunk_ms == 20
    assert (session.transport, session.reconnect, session.outbox) == (
        TransportConfig(),
        ReconnectPolicy(),
        OutboxLimits(),
    )


NAN = math.nan


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: ReconnectPolicy(base_s=-0.1), "reconnect.base_s"),
        (lambda: ReconnectPolicy(base_s=NAN), "reconnect.base_s"),
        (lambda: ReconnectPolicy(base_s=6.0), "reconnect.base_s"),
        (lambda: ReconnectPolicy(cap_s=NAN), "reconnect.base_s"),
        (lambda: ReconnectPolicy(max_attempts=0), "reconnect.max_attempts"),
        (lambda: ReconnectPolicy(max_attempts=-1), "reconnect.max_attempts"),
        (lambda: OutboxLimits(audio_ms=-1), "outbox.audio_ms"),
        (lambda: OutboxLimits(control_bytes=-1), "outbox.control_bytes"),
        (lambda: OutboxLimits(replay_bytes=-1), "outbox.replay_bytes"),
        (lambda: OutboxLimits(audio_ms=NAN), "outbox.audio_ms"),
        (lambda: OutboxLimits(control_bytes=NAN), "outbox.control_bytes"),
        (lambda: ReconnectPolicy(max_attempts=NAN), "reconnect.max_attempts"),
        (lambda: TransportConfig(connect_timeout_s=0.0), "transport.connect_timeout_s"),
        (lambda: TransportConfig(close_timeout_s=-1.0), "transport.close_timeout_s"),
        (lambda: TransportConfig(ping_after_s=0), "transport.ping_after_s"),
        (lambda: TransportConfig(lost_after_s=NAN), "transport.lost_after_s"),
        (lambda: TransportConfig(headers=None), "transport.headers"),
        (lambda: TransportConfig(headers=[("x-trace", "1")]), "transport.headers"),
        (lambda: TransportConfig(ssl="ca.pem"), "transport.ssl"),
        (lambda: TransportConfig(ssl=False), "transport.ssl"),
        (lambda: SessionConfig(setup=Setup(model="m"), transport={}), "transport"),
        (lambda: SessionConfig(setup=Setup(model="m"), reconnect={"enabled": False}), "reconnect"),
        (lambda: SessionConfig(setup=Setup(model="m"), outbox=TransportConfig()), "outbox"),
        (lambda: SessionConfig(setup=Setup(model="m"), speech={"preroll_ms": 0}), "speech"),
        (lambda: SessionConfig(setup=Setup(model="m"), chunk_ms=9), "chunk_ms"),
        (lambda: SessionConfig(setup=Setup(model="m"), chunk_ms=101), "chunk_ms"),
    ],
)
def test_a_wrong_value_is_named(make, path):
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.path == path
    assert path.rsplit(".", 1)[-1] in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-trace": 5},
        {"x-trace": b"secret"},
        {"x-trace": "secret\r\nx-more: 1"},
        {"x-trace": "secret\n"},
        {"x-trace": "sec\0ret"},
        {b"x-trace": "secret"},
        {"x-trace\r\nx-more": "secret"},
        {"x trace": "secret"},
        {"x-trace:": "secret"},
        {"": "secret"},
    ],
)
def test_a_header_that_no_request_may_carry_is_refused_before_any_io(headers):
    with pytest.raises(ConfigError, match="header") as caught:
        TransportConfig(headers=headers)
    assert caught.value.path == "transport.headers"
    assert "sec" not in str(caught.value)  # it may be a credential


@pytest.mark.parametrize(
    "make",
    [
        lambda: TransportConfig(headers={"x-trace": "a\tb, ü", "Sec-Something_1.2": ""}),
        lambda: TransportConfig(headers=MappingProxyType({"x-trace": "1"}), ssl=ssl.create_default_context()),
        lambda: ReconnectPolicy(base_s=0.0, cap_s=0.0, max_attempts=1),
        lambda: ReconnectPolicy(base_s=5.0, max_attempts=None),
        lambda: OutboxLimits(audio_ms=0, control_bytes=0, replay_bytes=0),
        lambda: TransportConfig(connect_timeout_s=math.inf, close_timeout_s=1e-9),
        lambda: SessionConfig(setup=Setup(model="m"), chunk_ms=10),
        lambda: SessionConfig(setup=Setup(model="m"), chunk_ms=100),
    ],
)
def test_the_bounds_themselves_are_accepted(make):
    make()


@pytest.mark.parametrize(
    ("attempt", "ceiling_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 5.0), (10, 5.0), (100_000, 5.0)]
)
def test_the_ceiling_of_the_wait_doubles_up_to_the_cap(attempt, ceiling_s):
    assert ReconnectPolicy().ceiling_s(attempt) == ceiling_s


def test_a_policy_without_a_cap_does_not_overflow():
    assert math.isfinite(ReconnectPolicy(cap_s=math.inf).ceiling_s(10**6))


def test_no_wait_at_all():
    assert ReconnectPolicy(base_s=0.0).ceiling_s(50) == 0.0
