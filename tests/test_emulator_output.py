"""What the emulator says (E24 to E33)."""

import base64
import time

import msgspec
import numpy as np
import pytest

import emulator_client
from emulator_client import (
    BOTH,
    DEV,
    NO_WAITING,
    VERTEX,
    VERTEX_MODEL,
    contents,
    profile,
    said,
    silence,
    speech,
    talk,
    tone,
)
from gemini_live import emulator

no_errors_inside = emulator_client.no_errors_inside


@BOTH
async def test_e24_speech_comes_in_pieces(path, model):
    async with talk(path, model) as (_, client):
        await client.speak(tone(1.0), silence(0.7))
        got = await client.until("serverContent", "turnComplete")
        parts = [part for message in got for part in message["serverContent"].get("modelTurn", {}).get("parts", [])]
        sizes = [len(base64.b64decode(part["inlineData"]["data"])) for part in parts]
        assert sizes == [4_800, 15_360, 15_360, 12_480]
        assert all(size % 960 == 0 for size in sizes)
        mime_type = "audio/pcm;rate=24000" if path == DEV else "audio/pcm"
        assert {part["inlineData"]["mimeType"] for part in parts} == {mime_type}
        assert np.corrcoef(speech(got)[:24_000], tone(1.0, 24_000))[0, 1] > 0.99


@BOTH
async def test_e25_turn_complete_brings_the_usage(path, model):
    async with talk(path, model) as (_, client):
        await client.say(realtimeInput={"text": "1234"})
        first = (await client.until("serverContent", "turnComplete"))[-1]
        answer = "response" if path == DEV else "candidates"
        usage = first["usageMetadata"]
        assert usage["promptTokenCount"] == 1
        assert usage[f"{answer}TokensDetails"] == [{"modality": "AUDIO", "tokenCount": usage[f"{answer}TokenCount"]}]
        assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage[f"{answer}TokenCount"]
        assert ("trafficType" in usage) == (path == VERTEX)
        assert ("groundingMetadata" in first["serverContent"]) == (path == VERTEX)
        await client.say(realtimeInput={"text": "1234"})
        second = (await client.until("serverContent", "turnComplete"))[-1]["usageMetadata"]
        assert second["promptTokenCount"] == usage["totalTokenCount"] + 1  # the whole context is counted again


async def test_e25_turn_complete_is_held_until_the_speech_is_over():
    pace = msgspec.structs.replace(NO_WAITING, hold=1.0, speed=5.0)
    async with talk(profile=profile(pace=pace)) as (_, client):
        await client.say(realtimeInput={"text": "1234"})
        await client.until("serverContent", "modelTurn")
        began = time.monotonic()
        await client.until("serverContent", "generationComplete")
        generated = time.monotonic() - began
        await client.until("serverContent", "turnComplete")
        assert generated < 0.2
        assert 0.27 <= time.monotonic() - began < 0.6  # 0.3 s of speech


@pytest.mark.parametrize(("name", "most"), [("3.8", 2), ("3.1", 2), ("2.5", 1)])
async def test_e27_fields_per_message(name, most):
    async with talk(profile=profile(name), setup={"outputAudioTranscription": {}}) as (_, client):
        await client.say(realtimeInput={"text": "one two three"})
        got = await client.until("serverContent", "turnComplete")
        assert max(len(message["serverContent"]) for message in got) == most
        assert said(got) == "one two three"


@pytest.mark.parametrize("wanted", [False, True])
async def test_e28_transcriptions_only_if_asked_for(wanted):
    setup = {"inputAudioTranscription": {}, "outputAudioTranscription": {}} if wanted else {}
    async with talk(setup=setup) as (_, client):
        await client.speak(tone(0.5), silence(0.7))
        got = await client.until("serverContent", "turnComplete")
        names = contents(got)
        assert ("inputTranscription" in names, "outputTranscription" in names) == (wanted, wanted)
        if wanted:
            assert names.index("inputTranscription") < names.index("modelTurn")
            assert said(got) == said(got, "inputTranscription") == "utterance 1, 0.5 s"


@pytest.mark.parametrize(("name", "messages_"), [("3.8", 1), ("2.5", 4)])
async def test_e28_input_by_sentence_or_by_word(name, messages_):
    async with talk(profile=profile(name), setup={"inputAudioTranscription": {}}) as (_, client):
        await client.speak(tone(0.5), silence(0.7))
        got = await client.until("serverContent", "turnComplete")
        assert contents(got).count("inputTranscription") == messages_
        assert said(got, "inputTranscription") == "utterance 1, 0.5 s"


async def test_e28_vertex_frames_the_transcription():
    async with talk(VERTEX, VERTEX_MODEL, setup={"outputAudioTranscription": {}}) as (_, client):
        await client.say(realtimeInput={"text": "hello"})
        got = await client.until("serverContent", "turnComplete")
        words = [
            message["serverContent"]["outputTranscription"]
            for message in got
            if "outputTranscription" in contents([message])
        ]
        assert (words[0], words[-1]) == ({}, {"finished": True})


async def test_e29_empty_messages():
    async with talk(faults=emulator.Faults(empty_messages=True)) as (_, client):
        await client.say(realtimeInput={"text": "hello"})
        got = await client.until("serverContent", "turnComplete")
        assert {} in got
        assert {"serverContent": {}} in got


@pytest.mark.parametrize("wanted", [False, True])
async def test_e31_vertex_announces_activity_if_asked(wanted):
    async with talk(VERTEX, VERTEX_MODEL, setup={"explicitVadSignal": wanted}) as (_, client):
        await client.speak(tone(0.5), silence(0.7))
        got = await client.until("serverContent", "turnComplete")
        assert any("voiceActivity" in message for message in got) == wanted
