"""Whatever the service sends: documented results, and never an exception. `make fuzz` does the same to the Rust core.

Other values with each run; what fails is printed with what it takes to fail again.
"""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gemini_live import codec, events, server_messages
from gemini_live.config import SessionConfig
from gemini_live.protocol import Protocol, State
from gemini_live.setup_message import SessionResumptionConfig, Setup

SEEDS = [
    *(path.read_bytes() for path in sorted((Path(__file__).parent.parent / "fuzz/corpus/decode").iterdir())),
    b'{"setupComplete":{"sessionId":"s"}}',
    b'{"serverContent":{"interrupted":true,"turnComplete":true,"turnCompleteReason":"NEED_MORE_INPUT"}}',
    b'{"serverContent":{"inputTranscription":{"text":"a","words":[{"word":"a","startOffset":"1.250s"}]}}}',
    b'{"toolCallCancellation":{"ids":["1","2"]},"goAway":{"timeLeft":"9.5s"}}',
    b'{"sessionResumptionUpdate":{"newHandle":"h","resumable":true,"lastConsumedClientMessageIndex":"7"}}',
    b'{"usageMetadata":{"promptTokenCount":3,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":3}]}}',
    b'{"voiceActivity":{"type":"ACTIVITY_END","audioOffset":"3s"},"error":{"code":13,"message":"m"}}',
]
NAMES = sorted(
    {
        name
        for kind in vars(server_messages).values()
        if isinstance(kind, type) and issubclass(kind, server_messages.Sent)
        for name in kind.__struct_encode_fields__
    }
)
RANDOM = settings(
    max_examples=250, deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)

# JSON as text rather than as values: a serialiser would never write these
STRINGS = st.sampled_from(
    [
        '"AQI="',
        '"5s"',
        '"-0.000000001s"',
        '"999999999999s"',
        '"audio/pcm;rate=16000"',
        '"ACTIVITY_START"',
        '"7"',
        r'"\ud800"',
        r'"\udfff\ud800"',
        r'"\ud83d\ude00"',
        r'"\u0000"',
        '"\x00"',
        '"\t"',
        '"\\',
        '"',
        r'"\x"',
        '"é"',
        '"\U0001f600"',
    ]
)
NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "01",
        "1.",
        "1e5",
        "1e400",
        "-1e400",
        "1e-400",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "1" * 400,
        "1" * 5_000,  # more than int() takes
        "0." + "1" * 400,
        "NaN",
        "Infinity",
        "-",
    ]
)
WORDS = st.sampled_from(["null", "true", "false", "nul", "", "{}", "[]", "{", "]", ","])
KEYS = st.sampled_from([f'"{name}"' for name in NAMES]) | STRINGS


def text_of(inner):
    members = st.lists(st.tuples(KEYS, inner), max_size=4)  # names may repeat
    return members.map(lambda found: "{" + ",".join(f"{key}:{value}" for key, value in found) + "}") | st.lists(
        inner, max_size=3
    ).map(lambda found: "[" + ",".join(found) + "]")


JSON_TEXT = st.recursive(STRINGS | NUMBERS | WORDS, text_of, max_leaves=15)


def check(raw):
    """Decode in both ways; what comes out is documented."""
    found = codec.decode(raw)
    assert found == codec._decode_in_full(raw)
    assert type(found) is list
    assert all(isinstance(event, events.Event) for event in found)
    assert all(type(event) is not events.Interrupted for event in found[1:])
    for event in found:
        repr(event)
        match event:
            case events.Unknown():
                assert event.raw == raw
            case events.ModelAudio():
                assert event.rate_hz > 0
                assert event.samples.size == len(event.data) // 2
            case events.GoAway(time_left_s=seconds) | events.VoiceActivity(audio_offset_s=seconds):
                assert seconds is None or math.isfinite(seconds)
            case _:
                pass
    return found


@RANDOM
@given(st.binary(max_size=200))
def test_any_bytes(raw):
    check(raw)


@RANDOM
@given(JSON_TEXT)
@example(r'{"serverContent":{"modelTurn":{"parts":[{"text":"\ud800"}]}}}')
@example('{"usageMetadata":{"totalTokenCount":1e400}}')
@example('{"usageMetadata":{"totalTokenCount":' + "1" * 5_000 + "}}")
@example('{"sessionResumptionUpdate":{"lastConsumedClientMessageIndex":"' + "1" * 5_000 + '"}}')
@example('{"goAway":{"timeLeft":"5s"},"goAway":{"timeLeft":null}}')
def test_any_text_that_looks_like_json(text):
    check(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("depth", [10, 500, 2_000, 100_000])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("[", "]"),
        ('{"a":', "}"),
        ('{"serverContent":', "}"),
        ('{"groundingMetadata":', "}"),
        ('[{"a":', "}]"),
    ],
)
@pytest.mark.parametrize("place", ["{}", '{{"new":{}}}', '{{"serverContent":{{"groundingMetadata":{}}}}}'])
def test_any_depth(depth, opening, closing, place):
    nested = opening * depth + "0" + closing * depth
    check(place.format(nested).encode())
    check(place.format(opening * depth).encode())


@RANDOM
@given(st.sampled_from(SEEDS), st.sampled_from(NAMES), JSON_TEXT, st.booleans())
def test_a_name_that_stands_there_twice(raw, name, value, first):
    text = raw.decode()
    at = text.index("{") + 1
    body = text[at : text.rindex("}")]
    member = f'"{name}":{value}'
    whole = "{" + (f"{member},{body}" if first else f"{body},{member}") + "}"
    check(whole.encode("utf-8", "surrogatepass"))


# --- by brute force -------------------------------------------------------------------------------------------------

PIECES = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\\",
    b"\\u003d",
    b"null",
    b"1e999",
    b"\xff",
    b"\xed\xa0\x80",
    b"=",
]


def mutated(dice, raw):
    """A message with a few faults of the kind that a fuzzer would try."""
    for _ in range(dice.randint(1, 5)):
        at = dice.randint(0, len(raw))
        end = min(len(raw), at + dice.choice([0, 0, 1, 1, 2, 8, 40]))
        other = dice.choice(SEEDS)
        start = dice.randint(0, len(other))
        new = dice.choice(
            [
                b"",
                dice.choice(PIECES),
                bytes([dice.randint(0, 255)]),
                raw[at:end] * 2,
                other[start : start + dice.randint(0, 40)],
                f'"{dice.choice(NAMES)}":'.encode(),
            ]
        )
        raw = raw[:at] + new + raw[end:]
    return raw


def test_mutations_for_two_seconds():
    seed = time.time_ns()
    dice = random.Random(seed)  # noqa: S311 - a fuzzer's dice
    until = time.monotonic() + 2.0
    tried = recognised = 0
    while time.monotonic() < until:
        raw = mutated(dice, dice.choice(SEEDS))
        try:
            recognised += not isinstance((check(raw) or [events.Unknown(raw=raw)])[0], events.Unknown)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {raw!r}") from error
        tried += 1
    assert tried > 500
    assert recognised > tried / 100, "else only the refusals are tested"


# --- what follows from it -------------------------------------------------------------------------------------------


@RANDOM
@given(st.lists(st.sampled_from(SEEDS) | JSON_TEXT.map(str.encode), max_size=12), st.booleans(), st.randoms())
def test_a_session_outlives_whatever_it_is_told(messages, transparent, dice):
    resumption = SessionResumptionConfig(transparent=True if transparent else None)
    setup = Setup(model="models/m", session_resumption=resumption)
    protocol = Protocol(SessionConfig(setup=setup), setup, dice.random)
    now = 0.0
    protocol.start(now)
    protocol.dialled(now)
    protocol.message_received(now, b'{"setupComplete":{}}')
    assert protocol.state is State.OPEN
    for raw in messages:
        now += 0.1
        protocol.submit(now, "text", b"{}")
        protocol.message_received(now, mutated(dice, raw) if dice.random() < 0.5 else raw)
        protocol.decisions()
        deadline = protocol.deadline()
        assert deadline is None or math.isfinite(deadline)
        counts = protocol.outbox.counts
        assert counts.accepted == counts.waiting + counts.written + counts.acknowledged + counts.expired
        if protocol.state is not State.OPEN:
            assert protocol.state is State.MOVING
            break
    assert protocol.closed is None


def test_the_seeds_are_understood():
    """Else what is made of them would be refused at once."""
    understood = [raw for raw in SEEDS if not any(isinstance(event, events.Unknown) for event in codec.decode(raw))]
    assert len(understood) >= len(SEEDS) - 1
    assert all(json.loads(raw) for raw in SEEDS)
