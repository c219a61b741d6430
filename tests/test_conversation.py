from __future__ import annotations

import pytest

from gemini_live import events
from gemini_live.conversation import Conversation
from gemini_live.messages import FunctionCall

AUDIO = events.ModelAudio(data=b"\0\0")
IN_PROGRESS = events.TurnComplete(interaction_status="IN_PROGRESS")


def place(audio):
    return None if audio is None else (audio.turn, audio.sequence)


def hear(talk, *given, now=0.0):
    """Tell events in order; return the places of the audio that may be heard."""
    places = []
    for event in given:
        if isinstance(event, events.ModelAudio):
            places.append(place(talk.audio_received(now, event.data, event.rate_hz)))
        else:
            talk.event_received(now, event)
    return places


def test_pieces_are_numbered_within_turns():
    talk = Conversation()
    done = events.TurnComplete()
    assert hear(talk, AUDIO, AUDIO, events.GenerationComplete(), done, AUDIO) == [(1, 1), (1, 2), (2, 1)]


def test_an_extended_thinking_turn_goes_on():
    talk = Conversation()
    assert hear(talk, AUDIO, IN_PROGRESS, AUDIO, events.TurnComplete(interaction_status="IDLE"), AUDIO) == [
        (1, 1),
        (1, 2),
        (2, 1),
    ]


def test_extended_thinking_runs_also_before_anything_is_said():
    talk = Conversation()
    talk.answer_asked_for(1.0)
    hear(talk, IN_PROGRESS)
    assert talk.turn_running, "so a planned move waits for it"
    hear(talk, events.TurnComplete(interaction_status="IDLE"))
    assert not talk.turn_running


def test_what_an_extended_thinking_model_says_after_an_interruption_is_heard():
    talk = Conversation()
    assert hear(talk, AUDIO, events.Interrupted(), AUDIO, IN_PROGRESS, AUDIO) == [(1, 1), None, (2, 1)]
    assert talk.connection_opened(9.0, resumed=True), "and missed"


def test_late_audio_of_an_interrupted_answer_is_not_heard():
    talk = Conversation()
    assert hear(talk, AUDIO, events.Interrupted(), AUDIO, AUDIO, events.TurnComplete(), AUDIO) == [
        (1, 1),
        None,
        None,
        (2, 1),
    ]
    assert talk.audio_discarded == 2


def test_an_interruption_of_nothing_silences_nothing():
    talk = Conversation()
    assert hear(talk, AUDIO, events.TurnComplete(), events.Interrupted(), AUDIO) == [(1, 1), (2, 1)]


def test_an_interruption_whose_end_never_comes_does_not_silence_the_next_answer():
    talk = Conversation()
    hear(talk, AUDIO, events.Interrupted())
    assert hear(talk, AUDIO, now=1.9) == [None]
    assert hear(talk, AUDIO, now=2.0) == [(2, 1)]


@pytest.mark.parametrize(
    "event",
    [
        AUDIO,
        events.ModelText(text="x"),
        events.Thought(text="x"),
        events.OutputTranscription(text="x"),
        events.ToolCall(calls=[]),
        events.WaitingForInput(),
        events.GenerationComplete(),
        events.TurnComplete(),
        events.Interrupted(),
    ],
)
def test_any_answer_settles_what_is_owed(event):
    talk = Conversation()
    talk.answer_asked_for(1.0)
    assert talk.owed_since == 1.0
    hear(talk, event)
    assert talk.owed_since is None


@pytest.mark.parametrize("event", [events.SetupComplete(), events.Usage(), events.Unknown(raw=b"{}")])
def test_what_is_no_answer_does_not(event):
    talk = Conversation()
    talk.answer_asked_for(1.0)
    hear(talk, event)
    assert talk.owed_since == 1.0


@pytest.mark.parametrize("event", [events.InputTranscription(text="x"), events.VoiceActivity(type="ACTIVITY_END")])
def test_speech_that_was_heard_is_owed_an_answer_unless_one_is_running(event):
    talk = Conversation()
    hear(talk, event, now=3.0)
    assert talk.owed_since == 3.0
    hear(talk, AUDIO, event, now=4.0)
    assert talk.owed_since is None


def test_a_transcription_that_comes_after_the_answer_asks_for_no_other():
    talk = Conversation()
    hear(talk, events.VoiceActivity(type="ACTIVITY_START"), AUDIO, events.TurnComplete())
    hear(talk, events.InputTranscription(text="late"), events.VoiceActivity(type="ACTIVITY_END"))
    assert talk.owed_since is None
    hear(talk, events.VoiceActivity(type="ACTIVITY_START"), events.InputTranscription(text="new"), now=5.0)
    assert talk.owed_since == 5.0


def test_what_is_said_right_after_a_turn_is_owed_an_answer():
    talk = Conversation()
    hear(talk, AUDIO, events.TurnComplete())
    hear(talk, events.VoiceActivity(type="ACTIVITY_START"), now=0.5)
    hear(talk, events.VoiceActivity(type="ACTIVITY_END"), now=1.5)
    assert talk.owed_since == 1.5


def test_tool_calls_are_pending_until_they_are_cancelled():
    talk = Conversation()
    hear(talk, events.ToolCall(calls=[FunctionCall(name="f", id="1"), FunctionCall(name="g", id="2")]))
    assert list(talk.pending_calls) == ["1", "2"]
    hear(talk, events.ToolCallCancellation(ids=["1", "never seen"]))
    assert list(talk.pending_calls) == ["2"]


def test_calls_without_an_id_cannot_be_waited_for():
    talk = Conversation()
    hear(talk, events.ToolCall(calls=[FunctionCall(name="f")]))
    assert not talk.pending_calls


@pytest.mark.parametrize("resumed", [True, False])
def test_a_new_connection_does_not_go_on_with_the_answer_that_was_cut(resumed):
    talk = Conversation()
    hear(talk, events.ToolCall(calls=[FunctionCall(name="f", id="1")]), AUDIO)
    talk.answer_asked_for(1.0)
    talk.connection_opened(9.0, resumed=resumed)
    assert not talk.turn_running
    assert talk.owed_since == 9.0
    assert bool(talk.pending_calls) is resumed
    assert hear(talk, AUDIO) == [(2, 1)]


COMPLETE = events.GenerationComplete()
CALL = events.ToolCall(calls=[FunctionCall(name="f", id="1")])


@pytest.mark.parametrize(
    ("said", "cut"),
    [
        ([], False),
        ([AUDIO], True),
        ([events.OutputTranscription(text="It")], True),
        ([AUDIO, COMPLETE], False),  # turnComplete comes when it would have been played, but all of it is here
        ([AUDIO, COMPLETE, events.TurnComplete(), AUDIO], True),
        ([AUDIO, events.Interrupted()], False),  # nobody wants to hear the rest
        ([AUDIO, COMPLETE, IN_PROGRESS], True),  # the model would have gone on by itself
    ],
)
def test_an_answer_is_cut_if_some_of_it_had_not_come(said, cut):
    talk = Conversation()
    hear(talk, *said)
    assert talk.connection_opened(9.0, resumed=True) is cut
    assert talk.connection_opened(10.0, resumed=True) is False


@pytest.mark.parametrize("resumed", [True, False])
def test_an_answer_that_waits_for_a_call_goes_on_where_the_call_is_still_known(resumed):
    talk = Conversation()
    hear(talk, AUDIO, CALL)
    assert talk.connection_opened(9.0, resumed=resumed) is not resumed
