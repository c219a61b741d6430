"""What the emulator hears (E17 to E23)."""

import msgspec
import numpy as np
import pytest

import emulator_client
from emulator_client import HOLDING, NO_WAITING, blob, contents, profile, said, silence, speech, talk, tone

no_errors_inside = emulator_client.no_errors_inside


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
async def test_e17_any_declared_rate(rate):
    async with talk(setup={"inputAudioTranscription": {}}) as (emu, client):
        block = np.concatenate([tone(1, rate), silence(1, rate)])
        await client.speak(block, rate=rate)
        got = await client.until("serverContent", "turnComplete")
        seconds = float(said(got, "inputTranscription").split()[-2])
        assert seconds == pytest.approx(1.0, abs=0.11)
        assert len(speech(got)) == pytest.approx(24_000, abs=2_400)
        await client.flushed()
        assert np.array_equal(emu.ledger.sessions[0].audio, block)


async def test_e17_sixteen_kilohertz_where_none_is_said():
    async with talk(setup={"inputAudioTranscription": {}}) as (_, client):
        await client.say(realtimeInput={"audio": blob(tone(1)) | {"mimeType": "audio/pcm"}})
        await client.say(realtimeInput={"audioStreamEnd": True})
        assert said(await client.until("serverContent", "turnComplete"), "inputTranscription") == "utterance 1, 1.0 s"


@pytest.mark.parametrize(
    "mime_type",
    [
        "audio/pcm;rate=48000",
        "audio/pcm; rate=48000; channels=1",
        "audio/pcm;channels=1;rate=48000",
        "AUDIO/PCM ;Rate=48000",
    ],
)
async def test_e17_the_rate_wherever_it_stands(mime_type):
    async with talk(setup={"inputAudioTranscription": {}}) as (_, client):
        await client.say(realtimeInput={"audio": blob(tone(1, 48_000)) | {"mimeType": mime_type}})
        await client.say(realtimeInput={"audioStreamEnd": True})
        assert said(await client.until("serverContent", "turnComplete"), "inputTranscription") == "utterance 1, 1.0 s"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"audio": {"mimeType": "audio/webm", "data": "AAAA"}}, "Cannot extract voices from a non-audio request"),
        ({"audio": {"mimeType": "image/jpeg", "data": "AAAA"}}, "Cannot extract voices from a non-audio request"),
        ({"audio": {"data": "AAAA"}}, "Cannot extract voices from a non-audio request"),
        ({"audio": {"mimeType": "audio/pcm;rate=0", "data": "AAA="}}, "Request contains an invalid argument."),
        ({"audio": {"mimeType": "audio/pcm;rate=", "data": "AAA="}}, "Request contains an invalid argument."),
        ({"audio": {"mimeType": "audio/pcm;rate=48k", "data": "AAA="}}, "Request contains an invalid argument."),
        ({"audio": {"mimeType": "audio/pcm;rate=1600000", "data": "AAA="}}, "Request contains an invalid argument."),
        (
            {"audio": {"mimeType": "audio/pcm16;rate=16000", "data": "AAA="}},
            "Cannot extract voices from a non-audio request",
        ),
        ({"audio": {"mimeType": "audio/pcm", "data": "AAAA"}}, "Request contains an invalid argument."),  # 3 bytes
        ({"video": {"mimeType": "audio/pcm", "data": "AAAA"}}, "Request contains an invalid argument."),
    ],
)
async def test_e17_wrong_kind_of_data(fields, reason):
    async with talk() as (_, client):
        await client.say(realtimeInput=fields)
        assert await client.closed() == (1007, reason)


async def test_e17_images():
    async with talk() as (emu, client):
        await client.say(realtimeInput={"video": {"mimeType": "image/jpeg", "data": "/9j/"}})
        await client.flushed()
        assert emu.ledger.sessions[0].images == [b"\xff\xd8\xff"]


async def test_e18_speech_and_silence_make_a_turn():
    async with talk(setup={"inputAudioTranscription": {}}) as (emu, client):
        await client.speak(silence(0.5), tone(1.0), silence(1.0))
        got = await client.until("serverContent", "turnComplete")
        assert [message["voiceActivity"] for message in got if "voiceActivity" in message] == [
            {"type": "ACTIVITY_START", "audioOffset": "0.660s"},
            {"type": "ACTIVITY_END", "audioOffset": "2.200s"},
        ]
        assert said(got, "inputTranscription") == "utterance 1, 1.0 s"
        await client.flushed()
        assert emu.ledger.sessions[0].audio_samples == 40_000


async def test_e18_without_silent_audio_the_turn_stays_open():
    async with talk() as (emu, client):
        await client.speak(tone(1.0))
        assert "voiceActivity" in await client.get()
        await client.flushed()
        assert emu.ledger.sessions[0].history == []
        await client.say(realtimeInput={"audioStreamEnd": True})
        got = await client.until("serverContent", "turnComplete")
        assert got[0]["voiceActivity"] == {"type": "ACTIVITY_END", "audioOffset": "1.000s"}


@pytest.mark.parametrize(("detection", "end"), [({"silenceDurationMs": 100}, "0.600s"), ({}, "1.200s")])
async def test_e18_silence_duration(detection, end):
    async with talk(setup={"realtimeInputConfig": {"automaticActivityDetection": detection}}) as (_, client):
        await client.speak(tone(0.5), silence(1.0))
        got = await client.until("serverContent", "turnComplete")
        assert [message["voiceActivity"]["audioOffset"] for message in got if "voiceActivity" in message][-1] == end


MANUAL = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}


async def test_e19_marked_activity():
    async with talk(setup={**MANUAL, "inputAudioTranscription": {}}) as (emu, client):
        await client.speak(tone(0.2))  # outside: dropped
        await client.say(realtimeInput={"audioStreamEnd": True})  # no effect
        await client.say(realtimeInput={"activityStart": {}})
        await client.speak(tone(0.3), silence(2.0), tone(0.2))
        await client.say(realtimeInput={"activityEnd": {}})
        got = await client.until("serverContent", "turnComplete")
        assert said(got, "inputTranscription") == "utterance 1, 2.5 s"
        assert [message["voiceActivity"] for message in got if "voiceActivity" in message] == [
            {"type": "ACTIVITY_START", "audioOffset": "0.200s"},
            {"type": "ACTIVITY_END", "audioOffset": "2.700s"},
        ]
        assert emu.ledger.sessions[0].ignored == 10


@pytest.mark.parametrize("mark", ["activityStart", "activityEnd"])
async def test_e19_marks_are_refused_with_detection(mark):
    async with talk() as (_, client):
        await client.say(realtimeInput={mark: {}})
        reason = "Explicit activity control is not supported when automatic activity detection is enabled."
        assert await client.closed() == (1007, reason)


async def test_e19_empty_activity_needs_more_input():
    async with talk(setup=MANUAL) as (_, client):
        await client.say(realtimeInput={"activityStart": {}, "activityEnd": {}})
        got = await client.until("serverContent", "turnComplete")
        assert got[-1]["serverContent"]["turnCompleteReason"] == "NEED_MORE_INPUT"
        assert len(speech(got)) == 0


CUTTING_IN = pytest.mark.parametrize(
    ("cut_in", "echoed"),
    [
        ({"realtimeInput": {"text": "stop"}}, "stop"),
        (
            {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "stop"}]}], "turnComplete": True}},
            "stop",
        ),
        ({"realtimeInput": {"audio": blob(np.concatenate([tone(0.2), silence(0.7)]))}}, "utterance 1, 0.2 s"),
    ],
    ids=["text", "content", "speech"],
)


@CUTTING_IN
async def test_e20_cutting_in(cut_in, echoed):
    async with talk(profile=profile(pace=HOLDING), setup={"outputAudioTranscription": {}}) as (emu, client):
        await client.say(realtimeInput={"text": "a long story"})
        await client.until("serverContent", "generationComplete")
        await client.say(**cut_in)
        got = await client.until("serverContent", "turnComplete")  # E26: between generationComplete and turnComplete
        assert contents(got) == ["interrupted", "turnComplete"]
        assert "usageMetadata" in got[-1]
        assert said(await client.until("serverContent", "generationComplete")) == echoed
        assert emu.ledger.sessions[0].interruptions == 1


@CUTTING_IN
async def test_e20_no_interruption(cut_in, echoed):
    pace = msgspec.structs.replace(NO_WAITING, hold=0.2)
    setup = {"outputAudioTranscription": {}, "realtimeInputConfig": {"activityHandling": "NO_INTERRUPTION"}}
    async with talk(profile=profile(pace=pace), setup=setup) as (emu, client):
        await client.say(realtimeInput={"text": "a long story"})
        await client.until("serverContent", "generationComplete")
        await client.say(**cut_in)
        first = await client.until("serverContent", "turnComplete")
        assert "interrupted" not in contents(first)
        assert said(await client.until("serverContent", "turnComplete")) == echoed
        assert (emu.ledger.sessions[0].interruptions, emu.ledger.sessions[0].answers) == (0, 2)


async def test_e21_content_is_answered_when_it_is_complete():
    async with talk(setup={"outputAudioTranscription": {}}) as (emu, client):
        await client.say(clientContent={"turns": [{"parts": [{"text": "one"}, {"text": " two"}]}]})
        await client.flushed()
        assert emu.ledger.sessions[0].answers == 0
        await client.say(clientContent={"turnComplete": True})
        assert said(await client.until("serverContent", "turnComplete")) == "one two"
        assert emu.ledger.sessions[0].contents == [{"parts": [{"text": "one"}, {"text": " two"}]}]


async def test_e21_content_after_the_first_turn():
    content = {"turns": [{"role": "user", "parts": [{"text": "x"}]}], "turnComplete": True}
    for name, closes in (("3.8", False), ("3.1", True)):
        async with talk(profile=profile(name)) as (_, client):
            await client.say(clientContent=content)
            await client.until("serverContent", "turnComplete")
            await client.say(clientContent=content)
            if closes:
                assert await client.closed() == (1007, "Request contains an invalid argument.")
            else:
                await client.until("serverContent", "turnComplete")


async def test_e21_function_parts_are_refused():
    async with talk() as (_, client):
        await client.say(clientContent={"turns": [{"parts": [{"functionCall": {"name": "f"}}]}]})
        assert (await client.closed())[0] == 1007


async def test_e22_media_chunks():
    async with talk(profile=profile("3.8")) as (_, client):
        await client.say(realtimeInput={"mediaChunks": [blob(tone(0.1))]})
        reason = "realtime_input.media_chunks is deprecated. Use audio, video, or text instead."
        assert await client.closed() == (1007, reason)
    async with talk(profile=profile("2.5")) as (emu, client):
        await client.say(realtimeInput={"mediaChunks": [blob(tone(0.1)), {"mimeType": "image/png", "data": "AAAA"}]})
        await client.flushed()
        assert emu.ledger.sessions[0].messages_by_kind == {"audio": 1, "video": 1}


async def test_e23_context_update_replaces_and_clears_tools():
    setup = {"tools": [{"functionDeclarations": [{"name": "light"}]}]}
    async with talk(setup=setup) as (_, client):
        for update, called in [
            ({"systemInstruction": {"parts": [{"text": "be brief"}]}}, True),
            ({"tools": {}}, False),
            ({"tools": {"tools": [{"functionDeclarations": [{"name": "light"}]}]}}, True),
        ]:
            await client.say(contextUpdate=update)
            await client.say(realtimeInput={"text": "light"})
            got = await client.get()
            assert ("toolCall" in got) == called
            await client.say(realtimeInput={"text": "never mind"})
            await client.until("serverContent", "turnComplete")
            await client.until("serverContent", "turnComplete")


async def test_e23_context_update_replaces_the_instruction():
    async with talk(setup={"systemInstruction": {"parts": [{"text": "be kind"}]}}) as (emu, client):
        (session,) = emu.ledger.sessions
        assert session.system_instruction == "be kind"
        await client.say(contextUpdate={"tools": {}})
        await client.flushed()
        assert session.system_instruction == "be kind"
        await client.say(contextUpdate={"systemInstruction": {"parts": [{"text": "be "}, {"text": "brief"}]}})
        await client.flushed()
        assert session.system_instruction == "be brief"
