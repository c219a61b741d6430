"""What of a message is kept where not all of it can be read; mostly seen in what `codec.decode` makes of it."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemini_live import codec, piecewise
from gemini_live.events import (
    GoAway,
    InputTranscription,
    Interrupted,
    ModelAudio,
    ModelText,
    SetupComplete,
    ToolCall,
    TranscribedWord,
    TurnComplete,
    Unknown,
)
from gemini_live.messages import FunctionCall
from gemini_live.server_messages import ServerMessage
from test_codec import ANY_JSON, END, NAMES, SAME_EVERY_TIME, VALID, ZEROES

# --- names that are not known ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "understood", "fields"),
    [
        ('{"somethingNew":{}}', [], ["somethingNew"]),
        ('{"somethingNew":{"a":1},"serverContent":{}}', [], ["somethingNew"]),
        ('{"somethingNew":{},"serverContent":{"turnComplete":true}}', [TurnComplete()], ["somethingNew"]),
        (
            '{"serverContent":{"somethingNew":1,"turnComplete":true},"other":0}',
            [TurnComplete()],
            ["serverContent.somethingNew", "other"],
        ),
        (
            '{"serverContent":{"modelTurn":{"parts":[{"somethingNew":1},{"text":"a"}]}}}',
            [ModelText(text="a")],
            ["serverContent.modelTurn.parts[0].somethingNew"],
        ),
        (
            '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAAA","x":1}}]}}}',
            [ModelAudio(data=ZEROES)],
            ["serverContent.modelTurn.parts[0].inlineData.x"],
        ),
        (
            '{"serverContent":{"inputTranscription":{"text":"a","words":[{"word":"a"},{"word":"b","x":1}],"y":{}}}}',
            [InputTranscription(text="a", words=(TranscribedWord(word="a"), TranscribedWord(word="b")))],
            ["serverContent.inputTranscription.words[1].x", "serverContent.inputTranscription.y"],
        ),
        (
            '{"goAway":{"timeLeft":"5s","somethingNew":[]}}',
            [GoAway(time_left_s=5.0)],
            ["goAway.somethingNew"],
        ),
        (
            '{"toolCall":{"functionCalls":[{"id":"1","name":"f","args":{"anything":{}},"x":1}]}}',
            [ToolCall(calls=[FunctionCall(id="1", name="f", args={"anything": {}})])],
            ["toolCall.functionCalls[0].x"],
        ),
        ('{"setupComplete":{"x":1}}', [SetupComplete()], ["setupComplete.x"]),
    ],
)
def test_a_name_that_is_not_known_is_passed_on_behind_what_is(raw, understood, fields):
    raw = raw.encode()
    assert codec.decode(raw) == [*understood, Unknown(raw=raw, fields=tuple(fields))]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"somethingNew":null}',
        b'{"serverContent":{"x":null},"toolCall":{"x":null}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"x":null}]}}}',
    ],
)
def test_a_name_without_a_value_says_nothing(raw):
    assert codec.decode(raw) == []


# --- values that cannot be read --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "understood", "place"),
    [
        (f'{{"serverContent":{{{END},"outputTranscription":5}}}}', [], "serverContent.outputTranscription"),
        (f'{{"serverContent":{{{END},"generationComplete":"yes"}}}}', [], "serverContent.generationComplete"),
        (f'{{"serverContent":{{{END},"groundingMetadata":[]}}}}', [], "serverContent.groundingMetadata"),
        (f'{{"serverContent":{{{END},"modelTurn":{{"parts":{{}}}}}}}}', [], "serverContent.modelTurn.parts"),
        (
            f'{{"serverContent":{{{END},"modelTurn":{{"parts":[{{"text":5}},null,{{"text":"a"}}]}}}}}}',
            [ModelText(text="a")],
            "serverContent.modelTurn.parts[0]",
        ),
        # nothing that is not JSON either, as long as its end can be found
        (f'{{"serverContent":{{{END},"groundingMetadata":{{"n":1e999}}}}}}', [], "serverContent.groundingMetadata"),
        (f'{{"serverContent":{{{END}}},"usageMetadata":{{"promptTokenCount":"many"}}}}', [], "usageMetadata"),
        (f'{{"serverContent":{{{END}}},"toolCallCancellation":5}}', [], "toolCallCancellation"),
        (
            f'{{"serverContent":{{{END}}},"goAway":{{"timeLeft":5}}}}',
            [GoAway()],
            "goAway.timeLeft",
        ),
        (
            f'{{"serverContent":{{{END}}},"setupComplete":{{"sessionId":5}}}}',
            [SetupComplete()],
            "setupComplete.sessionId",
        ),
        # a function is not called with half of its arguments
        (
            f'{{"serverContent":{{{END}}},"toolCall":{{"functionCalls":[{{"name":"f","args":[]}},{{"name":"g"}}]}}}}',
            [ToolCall(calls=[FunctionCall(name="g")])],
            "toolCall.functionCalls[0]",
        ),
        (
            f'{{"serverContent":{{{END}}},"toolCall":{{"functionCalls":[{{"name":"f","args":[]}}]}}}}',
            [],
            "toolCall.functionCalls[0]",
        ),
    ],
)
def test_one_wrong_value_takes_nothing_else_with_it(raw, understood, place):
    raw = raw.encode()
    first, *rest, unknown = codec.decode(raw)
    assert first == Interrupted()
    assert [event for event in rest if event != TurnComplete()] == understood
    assert TurnComplete() in rest
    assert unknown.raw == raw
    assert unknown.problem.startswith(place)
    assert unknown.fields == ()


def test_of_many_problems_each_has_its_place():
    """And what only `codec` finds stands behind."""
    raw = b'{"voiceActivity":{"type":"X"},"new":1,"goAway":5,"toolCall":{"functionCalls":[5,{"name":5}],"new":1}}'
    (unknown,) = codec.decode(raw)
    places = [problem.partition(": ")[0] for problem in unknown.problem.split("; ")]
    assert places == ["goAway", "toolCall.functionCalls[0]", "toolCall.functionCalls[1]", "voiceActivity"]
    assert unknown.fields == ("new", "toolCall.new")


# --- the whole and its pieces ----------------------------------------------------------------------------------------


def check(raw):
    """Read in both ways: what the strict one takes is the same in pieces, and nothing raises."""
    pieces = piecewise.read(raw)
    try:
        whole = msgspec.json.decode(raw, type=ServerMessage)
    except piecewise.UNREADABLE:
        assert pieces.message is None or type(pieces.message) is ServerMessage
        assert pieces.message is not None or pieces.problems
    else:
        assert pieces == (whole, [], [])


@pytest.mark.parametrize("raw", VALID)
def test_what_can_be_read_whole_is_the_same_in_pieces(raw):
    assert piecewise.read(raw) == (msgspec.json.decode(raw, type=ServerMessage), [], [])


@settings(SAME_EVERY_TIME, max_examples=300)
@given(
    st.binary(max_size=60)
    | st.dictionaries(st.sampled_from(NAMES), ANY_JSON, max_size=3).map(json.dumps).map(str.encode)
)
def test_whatever_comes_nothing_raises(raw):
    check(raw)


@settings(SAME_EVERY_TIME, max_examples=300)
@given(st.sampled_from(VALID), st.data())
def test_any_damage_is_taken(raw, data):
    at = data.draw(st.integers(0, len(raw)))
    end = min(len(raw), at + data.draw(st.integers(0, 6)))
    check(
        raw[:at] + data.draw(st.sampled_from([b"", b'"', b"{", b"}", b"null", b",", b"5", b"\\", b"\xff"])) + raw[end:]
    )


@pytest.mark.parametrize(
    "start", [b"[", b'{"a":', b'{"serverContent":', b'{"toolCall":{"functionCalls":[{"args":{"a":[']
)
@pytest.mark.parametrize("depth", [100, 50_000])
def test_any_depth_is_taken(start, depth):
    assert piecewise.read(start * depth).problems
