"""The setup and its answer (E13 to E16)."""

import time

import pytest

import emulator_client
from emulator_client import BOTH, DEV, DEV_MODEL, VERTEX, VERTEX_MODEL, dial, profile, said, talk
from gemini_live import emulator

no_errors_inside = emulator_client.no_errors_inside


ORDER = (1007, "setup must be the first message and only the first")


async def test_e13_setup_first_and_once():
    async with emulator.serve(compress_time=True) as url:
        async with dial(url) as client:
            await client.say(realtimeInput={"text": "hello"})
            assert await client.closed() == ORDER
        async with dial(url) as client:
            await client.set_up()
            await client.say(setup={"model": DEV_MODEL})
            assert await client.closed() == ORDER


@BOTH
async def test_e14_setup_complete(path, model):
    async with emulator.serve() as url, dial(url, path) as client:
        before = time.monotonic()
        complete = await client.set_up(model)
        assert 0.24 <= time.monotonic() - before < 1
        assert list(complete) == ([] if path == DEV else ["sessionId"])


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (DEV, "models/gemini-9"),
        (DEV, "gemini-3.8-live"),
        (DEV, ""),
        (DEV, VERTEX_MODEL),
        (VERTEX, DEV_MODEL),
        # what each API calls its 2.5, the other has not
        (DEV, "models/gemini-live-2.5-flash-native-audio"),
        (VERTEX, "publishers/google/models/gemini-2.5-flash-native-audio-latest"),
    ],
)
async def test_e15_unknown_model(path, model):
    async with emulator.serve() as url, dial(url, path) as client:
        await client.say(setup={"model": model})
        code, reason = await client.closed()
        assert code == 1008
        assert reason.startswith(f"{model} is not found for API version {'v1beta' if path == DEV else 'v1'}, or"[:123])


async def test_e15_models_of_a_profile():
    async with emulator.serve(profile=profile(models=("mine",))) as url, dial(url) as client:
        await client.set_up("models/mine")


@pytest.mark.parametrize(
    ("generation", "reason"),
    [
        (
            {"responseModalities": ["TEXT"]},
            "The requested combination of response modalities (TEXT) is not supported by the model.",
        ),
        (
            {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "alloy"}}}},
            "No matching speaker voice found for name: alloy",
        ),
        ({"thinkingConfig": {}}, "Request contains an invalid argument."),
        ({"enableAffectiveDialog": True}, "Request contains an invalid argument."),
    ],
)
@BOTH
async def test_e15_values_that_the_model_does_not_take(path, model, generation, reason):
    async with emulator.serve() as url, dial(url, path) as client:
        await client.say(setup={"model": model, "generationConfig": generation})
        assert await client.closed() == (1007, reason)


async def test_e15_proactive_audio_cannot_be_switched_off():
    async with emulator.serve() as url, dial(url) as client:
        await client.say(setup={"model": DEV_MODEL, "proactivity": {"proactiveAudio": False}})
        assert (await client.closed())[0] == 1007


@pytest.mark.parametrize("voice", ["Kore", "kore", "en-us-tavi"])
async def test_e15_voices(voice):
    config_ = {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}}
    async with talk(setup={"generationConfig": config_}):
        pass


async def test_e16_initial_history():
    setup = {"historyConfig": {"initialHistoryInClientContent": True}, "outputAudioTranscription": {}}
    async with talk(setup=setup) as (emu, client):
        await client.say(realtimeInput={"text": "too early"})
        turns = [
            {"role": "user", "parts": [{"text": "I am Ada."}]},
            {"role": "model", "parts": [{"text": "Hello Ada."}]},
        ]
        await client.say(clientContent={"turns": turns, "turnComplete": True})
        await client.say(realtimeInput={"text": "now"})
        assert said(await client.until("serverContent", "turnComplete")) == "now"
        session = emu.ledger.sessions[0]
        assert session.history == [("user", "I am Ada."), ("model", "Hello Ada."), ("user", "now"), ("model", "now")]
        assert (session.ignored, session.texts) == (1, ["now"])
