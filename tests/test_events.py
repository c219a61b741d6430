from __future__ import annotations

import copy
import pickle

import msgspec
import numpy as np
import pytest

from gemini_live import events, stats
from gemini_live.events import Closed, CloseKind, Event, ModelAudio, Phase, SessionStatus

STRUCTS = [
    thing
    for room in (events, stats)
    for name in room.__all__
    if isinstance(thing := getattr(room, name), type) and issubclass(thing, msgspec.Struct)
]
EXAMPLES = {
    "data": b"\1\2",
    "text": "t",
    "part": None,
    "calls": (),
    "ids": (),
    "metadata": {},
    "handle": None,
    "type": "ACTIVITY_START",
    "state": "SPEECH",
    "raw": b"",
    "attempt": 1,
    "delay_s": 0.0,
    "kind": CloseKind.NETWORK,
    "gap_s": 0.0,
    "attempts": 1,
    "context_restored": True,
    "count": 1,
    "kinds": {},
    "silent_s": 1.0,
}


def example(kind):
    """One of this kind with nothing but what it must have."""
    missing = [
        field.name
        for field in msgspec.structs.fields(kind)
        if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    ]
    return kind(**{name: EXAMPLES[name] for name in missing})


# --- all events -----------------------------------------------------------------------------------------------------


def test_the_list_of_events_is_the_documented_one():
    """Nouns or past participles, without prefix."""
    names = {kind.__name__ for kind in STRUCTS if issubclass(kind, Event) and kind is not Event}
    assert names == {
        "SetupComplete",
        "ModelAudio",
        "ModelText",
        "ModelPart",
        "Thought",
        "InputTranscription",
        "OutputTranscription",
        "GenerationComplete",
        "TurnComplete",
        "Interrupted",
        "WaitingForInput",
        "ToolCall",
        "ToolCallCancellation",
        "Grounding",
        "UrlContext",
        "SessionResumption",
        "GoAway",
        "Usage",
        "VoiceActivity",
        "VadSignal",
        "SpeechState",
        "Error",
        "Unknown",
        "Reconnecting",
        "Reconnected",
        "InputDropped",
        "DeliveryUncertain",
        "Lagged",
        "Stalled",
        "Closed",
    }


@pytest.mark.parametrize("kind", STRUCTS)
def test_it_cannot_be_changed(kind):
    event = example(kind)
    for name in kind.__struct_fields__ or ("anything",):
        with pytest.raises(AttributeError):
            setattr(event, name, None)


@pytest.mark.parametrize("kind", STRUCTS)
def test_it_is_a_value(kind):
    """Equal to its like, in another process too, and to nothing else."""
    event = example(kind)
    assert event == example(kind)
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301
    assert copy.deepcopy(event) == event
    assert event != object()


@pytest.mark.parametrize("kind", STRUCTS)
def test_it_takes_names_only(kind):
    """So that a field can be added in the middle."""
    if kind.__struct_fields__:
        with pytest.raises(TypeError):
            kind(None)


@pytest.mark.parametrize("kind", STRUCTS)
def test_it_has_no_place_for_a_secret(kind):
    nouns = {name.rsplit("_", 1)[-1] for name in kind.__struct_fields__}
    assert not nouns & {"key", "token", "secret", "credential", "auth", "headers", "url", "address", "password"}


@pytest.mark.parametrize("kind", [SessionStatus, Phase, CloseKind])
def test_an_enumeration_is_spelled_as_its_values(kind):
    assert {member.name.lower() for member in kind} == {member.value for member in kind}


def test_a_session_begins_with_empty_accounts():
    empty = stats.SessionStats()
    assert empty.accepted == empty.waiting + empty.written + empty.acknowledged + empty.expired == 0
    assert empty.round_trip_s is None


# --- audio ----------------------------------------------------------------------------------------------------------


def test_samples_are_a_read_only_view():
    event = ModelAudio(data=b"\x01\x00\xff\xff\x00\x80")
    assert event.samples.tolist() == [1, -1, -32_768]
    assert event.samples.dtype == np.int16
    assert event.samples.shape == (3,)
    assert not event.samples.flags.writeable
    assert np.shares_memory(event.samples, np.frombuffer(event.data, dtype=np.uint8))


def test_no_bytes_are_no_samples():
    samples = ModelAudio(data=b"").samples
    assert samples.shape == (0,)
    assert samples.dtype == np.int16


def test_half_a_sample_at_the_end_is_none():
    """The codec passes on what the service sends, so a consumer must not stumble over an odd number of bytes."""
    event = ModelAudio(data=b"\x01\x00\x02")
    assert event.samples.tolist() == [1]
    assert ModelAudio(data=b"\x02").samples.tolist() == []
    assert event.data == b"\x01\x00\x02"


@pytest.mark.parametrize(
    ("size", "rate_hz", "duration_s"), [(0, 24_000, 0.0), (1_920, 24_000, 0.04), (640, 16_000, 0.02)]
)
def test_duration(size, rate_hz, duration_s):
    assert ModelAudio(data=bytes(size), rate_hz=rate_hz).duration_s == pytest.approx(duration_s)


def test_audio_is_at_24_khz_unless_said():
    assert ModelAudio(data=b"").rate_hz == 24_000


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closed", "line"),
    [
        (Closed(kind=CloseKind.REQUESTED), "requested (open)"),
        (Closed(kind=CloseKind.NETWORK, phase=Phase.DIAL, reason="DNS: no address"), "network (dial): DNS: no address"),
        (Closed(kind=CloseKind.SERVER, code=1011), "server (open), code 1011"),
        (Closed(kind=CloseKind.SERVER, code=0), "server (open), code 0"),
        (Closed(kind=CloseKind.RECONNECT_EXHAUSTED, hint="try later"), "reconnect exhausted (open). try later"),
        (
            Closed(kind=CloseKind.QUOTA, phase=Phase.SETUP, code=429, reason="too many", hint="wait"),
            "quota (setup), code 429: too many. wait",
        ),
        # the service's sentences end with a full stop
        (
            Closed(
                kind=CloseKind.CREDENTIALS,
                phase=Phase.SETUP,
                code=1007,
                reason="API key not valid. Please pass a valid API key.",
                hint="check the API key",
            ),
            "credentials (setup), code 1007: API key not valid. Please pass a valid API key. check the API key",
        ),
        # the other side's words cannot begin a line of a log
        (Closed(kind=CloseKind.SERVER, reason="a\r\nERROR b\t"), "server (open): a ERROR b"),
    ],
)
def test_a_close_is_described_in_one_line(closed, line):
    assert closed.describe() == line


def test_a_description_is_one_line_whatever_the_reason():
    closed = Closed(kind=CloseKind.SERVER, reason="\x0b\x1c\u2028\x85 \n.", hint="a hint")
    assert len(closed.describe().splitlines()) == 1


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (events.SessionResumption(handle="secret", resumable=True), "SessionResumption(handle=…, resumable=True)"),
        (
            events.SessionResumption(handle=None, last_consumed_client_message_index=7),
            "SessionResumption(handle=None, resumable=False, last_consumed_client_message_index=7)",
        ),
        (events.SetupComplete(voice_consent_signature="secret"), "SetupComplete(voice_consent_signature=…)"),
        (events.SetupComplete(session_id="s"), "SetupComplete(session_id='s')"),
        (
            events.Unknown(raw=b'{"sessionResumptionUpdate":{"newHandle":"secret","new":1}}', fields=("new",)),
            "Unknown(raw=<58 bytes>, fields=('new',))",
        ),
        (ModelAudio(data=b"secret"), "ModelAudio(data=<6 bytes>, rate_hz=24000)"),
    ],
)
def test_what_opens_a_door_and_what_is_said_aloud_is_not_shown(event, shown):
    assert repr(event) == shown
    pretty = pytest.importorskip("rich.pretty")  # which has a protocol of its own for what to print
    assert pretty.pretty_repr(event, max_width=200) == shown
