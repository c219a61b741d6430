"""What the emulator's model hears and says, without sockets and with numbers as time."""

import base64
import contextlib
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator_client import audio, converse, names, run, silence, tone
from gemini_live.emulator import PROFILES, Pace, voice
from gemini_live.emulator.conversation import Conversation
from gemini_live.emulator.ledger import Log
from gemini_live.emulator.memory import Memory
from gemini_live.emulator.replies import duration
from gemini_live.emulator.resampling import Resampler
from gemini_live.emulator.schema import CLIENT_KINDS, ENUMS, MESSAGES
from gemini_live.emulator.vad import FRAME, Vad
from gemini_live.emulator.wire import Refusal, read


def times(said, name):
    return [now for now, message in said if name in message.get("serverContent", {})]


def speech_s(said):
    parts = [m["serverContent"]["modelTurn"]["parts"][0] for _, m in said if "modelTurn" in m.get("serverContent", {})]
    return sum(len(base64.b64decode(part["inlineData"]["data"])) for part in parts) / 48_000


def text_of(said):
    found = [m["serverContent"]["outputTranscription"]["text"] for _, m in said if "outputTranscription" in str(m)]
    return "".join(found)


def test_e24_e25_speech_is_sent_five_times_faster_and_the_turn_ends_when_it_was_played():
    conversation = converse()
    conversation.receive("realtime_input", audio(np.concatenate([tone(6.21), silence(0.8)])), 10.0)
    said = run(conversation)
    first, *_, last = times(said, "modelTurn")
    (generated,), (complete,) = times(said, "generationComplete"), times(said, "turnComplete")
    assert first == pytest.approx(10.5)
    assert 4 <= speech_s(said) / (last - first) <= 6
    assert generated == last
    assert complete == pytest.approx(first + 6.22, abs=0.03)
    assert said[-1][1]["usageMetadata"]["responseTokenCount"] == round(6.22 * 25)


@pytest.mark.parametrize("at", [10.1, 10.6, 11.0, 12.0, 13.4])
def test_e20_e26_interrupting_at_any_point_ends_the_turn_at_once(at):
    conversation = converse()
    conversation.receive("realtime_input", audio(np.concatenate([tone(3.0), silence(0.7)])), 10.0)
    before = run(conversation, until=at)
    assert "turnComplete" not in names(before)
    conversation.receive("realtime_input", audio(tone(0.2)), at)
    after = run(conversation, until=at + 0.02)
    assert [list(message) for _, message in after] == [
        ["serverContent", "voiceActivity"],
        ["serverContent"],
        ["serverContent", "usageMetadata"],
    ]
    assert names(after) == ["interrupted", "turnComplete"]
    assert run(conversation) == []


@pytest.mark.parametrize("chunk", [1, 100, 319, 320, 321, 5_000, 100_000])
def test_e18_activity_does_not_depend_on_how_the_audio_is_cut(chunk):
    block = np.concatenate([silence(0.1), tone(0.4), silence(0.3), tone(0.3), silence(1.0), tone(0.1), silence(0.2)])
    vad = Vad()
    found = [activity for at in range(0, len(block), chunk) for activity in vad.feed(block[at : at + chunk])]
    assert [(activity.type, activity.position) for activity in found] == [
        ("ACTIVITY_START", 4_160),
        ("ACTIVITY_END", 28_800),
    ]
    assert np.array_equal(found[1].utterance, block[1_600:17_600])


def test_e18_a_pause_ends_speech_and_counts_what_was_left_over():
    vad = Vad()
    block = np.concatenate([tone(0.4), tone(0.0101)])
    assert [activity.type for activity in vad.feed(block)] == ["ACTIVITY_START"]
    (end,) = vad.flush()
    assert (end.type, end.position) == ("ACTIVITY_END", len(block))
    assert np.array_equal(end.utterance, block)
    assert vad.flush() == []
    vad.feed(tone(0.1))
    assert vad.flush() == []  # too short to be speech
    assert vad.position == len(block) + 1_600


def test_e18_short_noises_are_no_speech():
    vad = Vad()
    assert vad.feed(np.concatenate([tone(0.1), silence(0.3)] * 20)) == []
    assert vad.feed(silence(1.0) + 100) == []  # an offset of 100 is below the threshold


def test_e18_prefix_padding_and_sensitivity():
    quiet = (tone(0.5) // 14).astype("<i2")  # RMS 400: speech for HIGH, none for LOW
    for sensitivity, starts in (("START_SENSITIVITY_HIGH", 1), ("START_SENSITIVITY_LOW", 0)):
        detection = {"start_of_speech_sensitivity": sensitivity, "prefix_padding_ms": 20}
        conversation = converse(setup={"realtime_input_config": {"automatic_activity_detection": detection}})
        conversation.receive("realtime_input", audio(quiet), 0.0)
        said = [message["voiceActivity"] for _, message in run(conversation)]
        assert said == [{"type": "ACTIVITY_START", "audioOffset": "0.020s"}] * starts


def test_e44_one_message_that_interrupts_and_asks_is_answered_after_a_resume():
    """One long chunk ends a running turn and holds a whole utterance: the state after it must still owe an answer."""
    setup = {"explicit_vad_signal": True}
    conversation = converse(surface="vertex", setup=setup, checkpoints=True)
    conversation.receive("realtime_input", {"text": "a story"}, 0.0)
    run(conversation, until=0.6)
    conversation.receive("realtime_input", audio(np.concatenate([tone(0.5), silence(0.8)])), 0.7)
    outs = [conversation.due(0.7) for _ in range(6)]
    (checkpoint,) = [out.checkpoint for out in outs if out is not None and out.checkpoint is not None]
    assert checkpoint.last_message == 2
    resumed = converse(checkpoint.memory.branch(), surface="vertex")
    said = run(resumed)
    assert speech_s(said) == pytest.approx(0.5, abs=0.03)
    assert names(said)[-2:] == ["turnComplete", "groundingMetadata"]


@st.composite
def conversations(draw):
    """A rate, and client messages: bursts of speech and silence in odd chunks, with texts and pauses between them."""
    rate = draw(st.sampled_from([16_000, 8_000, 48_000]))
    said = []
    for kind, tenths in draw(
        st.lists(st.tuples(st.sampled_from("TSSQQxe"), st.integers(1, 12)), min_size=3, max_size=8)
    ):
        match kind:
            case "x":
                said.append({"text": f"text {len(said)}"})
            case "e":
                said.append({"audio_stream_end": True})
            case _:
                block = (silence if kind in "QT" else tone)(tenths / 10, rate)
                said += [audio(block[at : at + rate // 10], rate) for at in range(0, len(block), rate // 10)]
    return said


@given(said=conversations(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_e44_a_restored_state_goes_on_as_if_nothing_had_happened(said, data):
    """Whatever the point: what is restored there and hears the rest ends up where an undisturbed session ends up."""

    def tell(conversation, messages):
        for message in messages:
            conversation.receive("realtime_input", message, 0.0)
            while conversation.due(0.0) is not None:
                pass

    options = {"surface": "vertex", "pace": Pace.compressed()}
    point = data.draw(st.integers(0, len(said)))
    undisturbed = converse(**options)
    tell(undisturbed, said)
    cut = converse(**options)
    tell(cut, said[:point])
    mark = cut.memory.mark()
    tell(cut, said[point:])  # what the old connection did afterwards must not show
    for _ in range(2):  # nor what an earlier resume of the same handle did
        memory = mark.branch()
        assert memory.log.counts.total() == point
        tell(converse(memory, **options), said[point:])
        assert memory.history == undisturbed.memory.history
        assert memory.ear.vad.position == undisturbed.memory.ear.vad.position
        assert memory.log.counts == undisturbed.memory.log.counts
        assert [entry.kind for entry in memory.log.entries] == [entry.kind for entry in undisturbed.memory.log.entries]
        assert memory.tokens == undisturbed.memory.tokens


def test_a_mark_costs_the_same_late_in_a_session(monkeypatch):
    """Each turn on Vertex AI leaves one, so that a cost that grows with the session would grow with its square."""
    fed = []
    feed = Resampler.feed
    monkeypatch.setattr(Resampler, "feed", lambda self, samples: fed.append(len(samples)) or feed(self, samples))
    sizes = []
    for turns in (10, 1_000):
        memory = Memory(Log())
        memory.history += [("user", "hello"), ("model", "hello")] * turns
        tell = converse(memory)
        for _ in range(10):
            tell.receive("realtime_input", audio(silence(0.1, 48_000), 48_000), 0.0)
        tracemalloc.start()
        marks = [memory.mark() for _ in range(20)]
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(marks[0].branch().history) == 2 * turns
    assert sizes[1] < 2 * sizes[0]
    assert len(fed) == 2 * (10 + 10)  # once when it was heard, and once when it was restored


# --- any input ------------------------------------------------------------------------------------------------------


def values(kind):
    """Wire values of a type, mostly sound ones."""
    if kind.endswith("[]"):
        return st.lists(st.deferred(lambda: values(kind[:-2])), max_size=2)
    if kind in ENUMS:
        return st.sampled_from(ENUMS[kind]) | st.integers(0, 9)
    if kind in MESSAGES:
        fields = MESSAGES[kind]
        if not fields:
            return st.just({})
        return st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True).flatmap(
            lambda names_: st.fixed_dictionaries({name: values(fields[name]) for name in names_})
        )
    return {
        "string": st.sampled_from(
            ["", "f", "call f", "audio/pcm", "audio/pcm;rate=8000", "image/png", "user", "\ud800"]
        ),
        "bool": st.booleans(),
        "bytes": st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()),
        "struct": st.dictionaries(
            st.sampled_from(["output", "error", "scheduling"]), st.sampled_from(["SILENT", 1, []])
        ),
        "float": st.floats(),
        "enum": st.just("X"),
        "any": st.none() | st.integers(),
    }.get(kind, st.integers(-5, 2_000)) | st.sampled_from([None, 1, "x", [], {}])


client_messages = st.sampled_from(CLIENT_KINDS).flatmap(
    lambda kind: values(MESSAGES["ClientMessage"][kind]).map(lambda fields: {kind: fields})
)


@given(
    setup=values("Setup"),
    said=st.lists(client_messages, max_size=6),
    name=st.sampled_from(sorted(PROFILES)),
    surface=st.sampled_from(["dev", "vertex"]),
)
@settings(max_examples=300, deadline=None)
def test_any_input_is_taken_or_refused(setup, said, name, surface):
    """No client can make the emulator fail: it goes on, or closes with a reason."""
    with contextlib.suppress(Refusal):
        _, fields = read(json.dumps({"setup": setup}), surface)
        conversation = Conversation(Memory(Log()), fields, PROFILES[name], surface, 0.0, checkpoints=True)
        for message in said:
            conversation.receive(*read(json.dumps(message), surface), 0.0)
            for _, out in run(conversation):
                json.dumps(out)


# --- small parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 480, 2_400, 2_401, 10_080, 24_000])
def test_e24_pieces_lose_nothing(count):
    samples = voice.echo(tone(count / 24_000)) if count else voice.echo(tone(0))
    text = "one two  three"
    cut = list(voice.pieces(samples, text))
    assert b"".join(piece.data for piece in cut) == samples.astype("<i2").tobytes()
    assert "".join(piece.text for piece in cut) == text
    assert all(len(piece.data) % 960 == 0 for piece in cut)


def test_hum_has_the_length_of_its_text():
    assert len(voice.tone("")) == len(voice.tone("12345")) == 7_200
    assert len(voice.tone("x" * 1_000)) == 144_000
    assert not voice.tone("12 45")[2 * 1_440 : 3 * 1_440].any()


@pytest.mark.parametrize(("seconds", "text"), [(50, "50s"), (0.05, "0.050s"), (59.5, "59.500s"), (0, "0s")])
def test_e33_durations(seconds, text):
    assert duration(seconds) == text


def test_a_frame_is_twenty_milliseconds():
    assert FRAME / 16_000 == 0.02
