"""What models say differently: thoughts, steps, transcriptions, grounding, and how it is spelt (E26 to E33)."""

import base64
import json

import numpy as np
import pytest

import emulator_client
from emulator_client import (
    HOLDING,
    TOOLS,
    VERTEX,
    VERTEX_MODEL,
    audio,
    contents,
    converse,
    dial,
    names,
    profile,
    run,
    said,
    silence,
    talk,
    tone,
)
from gemini_live import emulator
from gemini_live.emulator import Faults, replies
from gemini_live.emulator.wire import Refusal

no_errors_inside = emulator_client.no_errors_inside

ASKED = {"text": "hello"}


def messages_of(said_):
    return [message for _, message in said_]


def statuses(said_):
    return [
        content["interactionStatus"]
        for content in (message.get("serverContent", {}) for message in messages_of(said_))
        if "turnComplete" in content
    ]


def thoughts(said_):
    return [
        part
        for message in messages_of(said_)
        for part in message.get("serverContent", {}).get("modelTurn", {}).get("parts", [])
        if part.get("thought")
    ]


async def test_e26_interrupting_what_is_said_but_still_played():
    async with talk(profile=profile(pace=HOLDING)) as (emu, client):
        await client.say(realtimeInput={"text": "a long story"})
        await client.until("serverContent", "generationComplete")
        emu.interrupt()
        assert contents(await client.until("serverContent", "turnComplete")) == ["interrupted", "turnComplete"]


@pytest.mark.parametrize(
    ("name", "thinking", "thinks"),
    [
        ("2.5", {}, True),
        ("2.5", {"thinking_budget": 0}, False),
        ("2.5", {"include_thoughts": False}, False),
        ("3.1", {}, False),
        ("3.1", {"include_thoughts": True}, True),
        ("3.8-extended-thinking", {"include_thoughts": True}, True),
        ("3.8", {"include_thoughts": True}, False),
    ],
)
def test_e30_a_thought_comes_first(name, thinking, thinks):
    conversation = converse(name=name, setup={"generation_config": {"thinking_config": thinking}})
    conversation.receive("realtime_input", ASKED, 0.0)
    got = run(conversation)
    assert len(thoughts(got)) == thinks
    if thinks:
        assert got[0][1]["serverContent"]["modelTurn"]["parts"] == thoughts(got)
    usage = got[-1][1]["usageMetadata"]
    assert ("thoughtsTokenCount" in usage) == thinks
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["responseTokenCount"]


def test_e31_the_offset_counts_all_audio_of_the_session():
    conversation = converse()
    for _ in range(2):
        conversation.receive("realtime_input", audio(np.concatenate([tone(1.0), silence(1.0)])), 0.0)
    activities = [message["voiceActivity"] for message in messages_of(run(conversation)) if "voiceActivity" in message]
    assert [(activity["type"], activity["audioOffset"]) for activity in activities] == [
        ("ACTIVITY_START", "0.160s"),
        ("ACTIVITY_END", "1.700s"),
        ("ACTIVITY_START", "2.160s"),
        ("ACTIVITY_END", "3.700s"),
    ]


@pytest.mark.parametrize("steps", [1, 2])
def test_e32_in_progress_until_idle(steps):
    conversation = converse(name="3.8-extended-thinking", model={"steps": steps})
    conversation.receive("realtime_input", ASKED, 0.0)
    got = run(conversation)
    assert statuses(got) == ["IN_PROGRESS"] * steps + ["IDLE"]
    assert names(got).count("generationComplete") == steps + 1
    assert conversation.memory.answers == 1
    assert conversation.idle


def test_e32_an_interruption_is_the_end():
    conversation = converse(name="3.8-extended-thinking")
    conversation.receive("realtime_input", ASKED, 0.0)
    assert statuses(run(conversation, until=0.8)) == []
    conversation.receive("realtime_input", ASKED, 0.8)
    assert statuses(run(conversation, until=0.8)) == ["IDLE"]


def test_e32_a_call_is_in_progress():
    tools = [{"function_declarations": [{"name": "light"}]}]
    conversation = converse(name="3.8-extended-thinking", setup={"tools": tools}, model={"steps": 1})
    conversation.receive("realtime_input", {"text": "light"}, 0.0)
    assert statuses(run(conversation)) == ["IN_PROGRESS"]
    (call_id,) = conversation.memory.calls
    conversation.receive("tool_response", {"function_responses": [{"id": call_id, "name": "light"}]}, 9.0)
    assert statuses(run(conversation)) == ["IN_PROGRESS", "IDLE"]


# --- E33: the mapping of proto3 to JSON ---


def test_e33_int64_is_a_string():
    assert replies.update("h", 7)["sessionResumptionUpdate"]["lastConsumedClientMessageIndex"] == "7"


def test_e33_bytes_are_standard_base64():
    data = b"\xfb\xff\xbf" * 5 + b"\xfb"
    for surface in ("dev", "vertex"):
        (part,) = replies.speech(data, surface, role=True)["serverContent"]["modelTurn"]["parts"]
        assert part["inlineData"]["data"] == base64.b64encode(data).decode()
        assert set("+/=") <= set(part["inlineData"]["data"])


def test_e33_what_is_false_zero_or_empty_is_left_out():
    got = []
    for surface in ("dev", "vertex"):
        setup = {"explicit_vad_signal": True, "realtime_input_config": {"automatic_activity_detection": {}}}
        conversation = converse(surface=surface, setup=setup)
        conversation.receive("realtime_input", audio(np.concatenate([tone(0.5), silence(1.0)])), 0.0)
        got += messages_of(run(conversation))
    got += [replies.update("", None), replies.update("h", 0), replies.usage({}, {}, "dev")]

    def check(value):
        assert value is not None
        assert value is not False
        assert value not in (0, "", [])
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(inner)

    for message in got:
        check(message)
    assert replies.update("", None) == {"sessionResumptionUpdate": {}}


def test_e33_durations_are_seconds():
    assert [replies.duration(seconds) for seconds in (50, 0.16, 59.5)] == ["50s", "0.160s", "59.500s"]


def test_usage_may_lack_counts_on_vertex():
    assert replies.usage({"TEXT": 1}, {}, "vertex")["candidatesTokensDetails"] == [{"modality": "AUDIO"}]
    assert "responseTokensDetails" not in replies.usage({"TEXT": 1}, {}, "dev")


# --- what was asked for ---


def test_transcriptions_have_the_fields_that_were_asked_for():
    config = {"language_codes": ["de-DE"], "word_timestamp": True, "diarization": True}
    conversation = converse(setup={"input_audio_transcription": config, "output_audio_transcription": config})
    conversation.receive("realtime_input", audio(np.concatenate([silence(1.0), tone(1.0), silence(1.0)])), 0.0)
    got = [message["serverContent"] for message in messages_of(run(conversation))]
    (heard,) = [content["inputTranscription"] for content in got if "inputTranscription" in content]
    assert (heard["text"], heard["languageCode"], heard["speakerLabel"]) == ("utterance 1, 1.0 s", "de-DE", "1")
    assert [word["word"] for word in heard["words"]] == ["utterance", "1,", "1.0", "s"]
    spoken = [content["outputTranscription"] for content in got if "outputTranscription" in content]
    words = [word for fields in spoken for word in fields["words"]]
    assert [word["word"] for word in words] == ["utterance", "1,", "1.0", "s"]
    times = [float(word[edge][:-1]) for word in words for edge in ("startOffset", "endOffset")]
    assert times == sorted(times)
    assert times[-1] <= 1.0


async def test_transcribe_models_only_transcribe():
    setup = {"generationConfig": {"responseModalities": ["TEXT"]}, "inputAudioTranscription": {"mode": "VERBATIM"}}
    async with talk(model="models/gemini-3.5-transcribe-live", setup=setup) as (_, client):
        await client.speak(tone(1.2), silence(0.7))
        got = []
        while not (got and got[-1].get("voiceActivity", {}).get("type") == "ACTIVITY_END"):
            got.append(await client.get())
        assert got[0]["voiceActivity"]["type"] == "ACTIVITY_START"
        assert contents(got) == [
            "interimInputTranscription",
            "interimInputTranscription",
            "inputTranscription",
            "generationComplete",
        ]
        assert said(got, "inputTranscription") == "utterance 1, 1.2 s"
        await client.flushed()


async def test_models_that_write():
    setup = {"generationConfig": {"responseModalities": ["TEXT"]}}
    async with talk(model="models/gemini-robotics-er-2-streaming-preview", setup=setup) as (_, client):
        await client.say(realtimeInput={"text": "two words"})
        got = await client.until("serverContent", "turnComplete")
        parts = [part for message in got for part in message["serverContent"].get("modelTurn", {}).get("parts", [])]
        assert "".join(part["text"] for part in parts) == "two words"


@pytest.mark.parametrize(("tools", "grounded"), [([{"googleSearch": {}}], True), ([], False)])
async def test_grounding_when_search_is_declared_and_asked_for(tools, grounded):
    async with talk(setup={"tools": tools}) as (_, client):
        for text, expected in (("Search the news", grounded), ("hello", False)):
            await client.say(realtimeInput={"text": text})
            got = await client.until("serverContent", "turnComplete")
            found = [m["serverContent"]["groundingMetadata"] for m in got if "groundingMetadata" in m["serverContent"]]
            assert len(found) == expected
            if expected:
                assert found[0]["webSearchQueries"] == [text]
                assert found[0]["groundingChunks"][0]["web"]["uri"].startswith("https://")


async def test_empty_grounding_on_vertex():
    async with talk(VERTEX, VERTEX_MODEL) as (_, client):
        await client.say(realtimeInput={"text": "hello"})
        got = await client.until("serverContent", "turnComplete")
        assert got[-1]["serverContent"]["groundingMetadata"] == {}


async def test_labels_and_safety_settings_are_taken():
    setup = {
        "labels": {"safety_identifier": "u-1"},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    }
    async with talk(setup=setup):
        pass
    async with emulator.serve() as url, dial(url) as client:
        await client.say(setup={"model": "models/gemini-3.8-live", "labels": {"Not Good": "x"}})
        assert await client.closed() == (1007, "Request contains an invalid argument.")


async def test_code_execution_is_refused():
    async with emulator.serve() as url, dial(url) as client:
        await client.say(setup={"model": "models/gemini-3.8-live", "tools": [{"codeExecution": {}}]})
        assert await client.closed() == (1007, "Code Execution tool is not supported for this model")


async def test_every_profile_talks():
    for name in emulator.PROFILES:
        path, model = (VERTEX, VERTEX_MODEL) if name == "vertex" else (emulator_client.DEV, emulator_client.DEV_MODEL)
        async with talk(path, model, setup=TOOLS, profile=profile(name, other_behavior="taken")) as (_, client):
            await client.say(realtimeInput={"text": "hello"})
            got = await client.until("serverContent", "turnComplete")
            assert json.dumps(got)


# --- E48, as far as it is a matter of counting ---


def conversation_total(conversation):
    """What was said in all, forgotten or not."""
    return sum(conversation.memory.tokens.values())


def test_e48_a_full_context_is_refused_and_a_sliding_one_forgets():
    faults = Faults(context_tokens=100)
    full = converse(faults=faults)
    for second in range(4):
        full.receive("realtime_input", audio(tone(1.0)), float(second))  # 25 tokens a second
    with pytest.raises(Refusal) as refused:
        full.receive("realtime_input", audio(tone(1.0)), 4.0)
    assert (refused.value.code, refused.value.reason) == (1007, "Request contains an invalid argument.")

    sliding = converse(
        faults=faults,
        setup={"context_window_compression": {"trigger_tokens": 60, "sliding_window": {"target_tokens": 30}}},
    )
    counts = []
    for number in range(10):
        sliding.receive("realtime_input", {"text": "x" * 40}, 100.0 * number)
        counts.append(run(sliding)[-1][1]["usageMetadata"]["promptTokenCount"])
    assert max(counts) <= 60 + 10
    assert conversation_total(sliding) > 60


@pytest.mark.parametrize(
    ("config", "language"),
    [
        ({}, None),
        ({"language_auto": {}}, "en-US"),
        ({"language_hints": {"language_codes": ["fr-FR"]}}, "fr-FR"),
        ({"language_codes": ["de-DE", "en-US"], "language_hints": {"language_codes": ["fr-FR"]}}, "de-DE"),
    ],
)
def test_the_language_is_the_first_that_was_named(config, language):
    conversation = converse(setup={"output_audio_transcription": config})
    conversation.receive("realtime_input", ASKED, 0.0)
    content = [message.get("serverContent", {}) for message in messages_of(run(conversation))]
    spoken = [one["outputTranscription"] for one in content if "outputTranscription" in one]
    assert {fields.get("languageCode") for fields in spoken} == {language}


def test_e47_a_mute_session_leaves_its_call_unanswered():
    tools = [{"function_declarations": [{"name": "light", "behavior": "BLOCKING"}]}]
    conversation = converse(setup={"tools": tools})
    conversation.receive("realtime_input", {"text": "light"}, 0.0)
    run(conversation)
    conversation.memory.mute = True
    (call_id,) = conversation.memory.calls
    conversation.receive("tool_response", {"function_responses": [{"id": call_id, "name": "light"}]}, 1.0)
    assert run(conversation) == []
