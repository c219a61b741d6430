"""Handles, and what they restore (E40 to E44)."""

import asyncio
import time

import numpy as np
import pytest

import emulator_client
from emulator_client import (
    BOTH,
    DEV,
    DEV_MODEL,
    HOLDING,
    VERTEX,
    VERTEX_MODEL,
    answer_close,
    blob,
    contents,
    dial,
    profile,
    said,
    silence,
    talk,
    tone,
)
from gemini_live import emulator

no_errors_inside = emulator_client.no_errors_inside


async def test_e40_nothing_unless_asked_for():
    for path, model in ((DEV, DEV_MODEL), (VERTEX, VERTEX_MODEL)):
        async with talk(path, model) as (_, client):
            await client.say(realtimeInput={"text": "x"})
            got = await client.until("serverContent", "turnComplete")
            await client.say(realtimeInput={"text": "x"})
            got += await client.until("serverContent", "turnComplete")
            assert not any("sessionResumptionUpdate" in message for message in got)


async def test_e40_once_after_the_setup():
    async with talk(setup={"sessionResumption": {}}) as (_, client):
        update = await client.handle()
        assert update == {"newHandle": update["newHandle"], "resumable": True}
        assert len(update["newHandle"]) == 36
        await client.say(realtimeInput={"text": "x"})
        got = await client.until("serverContent", "turnComplete")
        assert not any("sessionResumptionUpdate" in message for message in got)


async def test_e40_all_the_time():
    async with talk(profile=profile("3.1"), setup={"sessionResumption": {}}) as (_, client):
        assert len({(await client.handle())["newHandle"] for _ in range(3)}) == 3


async def test_e40_after_every_turn_on_vertex():
    async with talk(VERTEX, VERTEX_MODEL, setup={"sessionResumption": {"transparent": True}}) as (_, client):
        for count in (1, 2):
            await client.say(realtimeInput={"text": "x"})
            await client.until("serverContent", "turnComplete")
            update = (await client.get())["sessionResumptionUpdate"]
            assert update["lastConsumedClientMessageIndex"] == str(count)


async def test_e41_resumes_at_the_moment_of_the_drop():
    setup = {"sessionResumption": {}, "inputAudioTranscription": {}}
    async with talk(setup=setup) as (emu, client):
        first = (await client.handle())["newHandle"]
        await client.speak(tone(0.5), silence(0.7), tone(0.3))  # one utterance, and the beginning of another
        await client.until("serverContent", "turnComplete")
        await client.flushed()
        emu.cut()
        async with dial(emu.url) as again:
            await again.set_up(**{**setup, "sessionResumption": {"handle": first}})
            assert (await again.handle())["newHandle"] != first
            await again.speak(tone(0.2), silence(0.7))
            got = await again.until("serverContent", "turnComplete")
            assert said(got, "inputTranscription") == "utterance 2, 0.5 s"
            # E31: the offset counts on
            assert [m["voiceActivity"]["audioOffset"] for m in got if "voiceActivity" in m] == ["2.400s"]
        assert len(emu.ledger.sessions) == 1
        assert emu.ledger.sessions[0].connections == [1, 2]
        assert [connection.resumed for connection in emu.ledger.connections] == [False, True]


async def test_e41_the_cut_turn_is_not_continued():
    async with talk(profile=profile(pace=HOLDING), setup={"sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        await client.say(realtimeInput={"text": "a story"})
        await client.until("serverContent", "generationComplete")
        emu.cut()
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle}, outputAudioTranscription={})
            await again.handle()
            await again.say(realtimeInput={"text": "and now"})
            got = await again.until("serverContent", "generationComplete")
            assert "interrupted" not in contents(got)
            assert said(got) == "and now"


async def test_e41_another_model_is_refused_after_the_setup():
    async with talk(setup={"sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        await client.ws.close()
        async with dial(emu.url) as again:
            await again.set_up("models/gemini-3.1-flash-live-preview", sessionResumption={"handle": handle})
            assert await again.closed() == (1011, "Internal error encountered.")


async def test_e42_refused_while_the_old_socket_is_open():
    async with talk(setup={"sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        async with dial(emu.url) as again:
            before = time.monotonic()
            await again.say(setup={"model": DEV_MODEL, "sessionResumption": {"handle": handle}})
            assert await again.closed() == (1011, "Internal error encountered.")
            assert time.monotonic() - before >= 0.045
        await client.ws.close()
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})
    assert [connection.session for connection in emu.ledger.connections] == [1, None, 1]


async def test_e42_refused_right_after_an_idle_drop():
    faults = emulator.Faults(refuse_resume_s=60)
    async with talk(setup={"sessionResumption": {}}, faults=faults) as (emu, client):
        handle = (await client.handle())["newHandle"]
        emu.cut()  # nothing was being said
        setup = {"model": DEV_MODEL, "sessionResumption": {"handle": handle}}
        async with dial(emu.url) as again:
            await again.say(setup=setup)
            assert await again.closed() == (1011, "Internal error encountered.")
        emu.faults = emulator.Faults()
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})


@pytest.mark.parametrize("by", ["client", "emulator"])
async def test_e42_taken_right_after_a_close(by):
    faults = emulator.Faults(refuse_resume_s=60)
    async with talk(setup={"sessionResumption": {}}, faults=faults) as (emu, client):
        handle = (await client.handle())["newHandle"]
        if by == "client":
            await client.ws.close()
        else:
            await asyncio.gather(emu.close_connections(1000), answer_close(client, (1000, "")))
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})


@BOTH
async def test_e43_unknown_handle(path, model):
    async with emulator.serve() as url, dial(url, path) as client:
        await client.say(setup={"model": model, "sessionResumption": {"handle": "nonsense"}})
        assert await client.closed() == (1008, "BidiGenerateContent session not found")


@pytest.mark.parametrize("rate", [16_000, 48_000])
async def test_e44_replaying_what_follows_the_index_is_heard_exactly_once(rate):
    setup = {"sessionResumption": {"transparent": True}, "inputAudioTranscription": {}}
    rng = np.random.default_rng(rate)
    block = np.concatenate([tone(0.5, rate), silence(0.8, rate), tone(0.4, rate), silence(1.0, rate)])
    block += rng.integers(-20, 20, len(block)).astype("<i2")
    chunks = [
        {"realtimeInput": {"audio": blob(block[at : at + rate // 50], rate)}} for at in range(0, len(block), rate // 50)
    ]
    async with talk(VERTEX, VERTEX_MODEL, setup=setup) as (emu, client):
        for chunk in chunks[:80]:  # the second utterance has begun
            await client.say(**chunk)
        update = await client.handle()
        consumed = int(update["lastConsumedClientMessageIndex"])
        assert 60 <= consumed < 80
        await client.flushed()
        session = emu.ledger.sessions[0]
        assert session.audio_chunks == 80
        emu.cut()
        async with dial(emu.url, VERTEX) as again:
            await again.set_up(
                VERTEX_MODEL, **{**setup, "sessionResumption": {"handle": update["newHandle"], "transparent": True}}
            )
            assert session.audio_chunks == consumed
            for chunk in chunks[consumed:]:
                await again.say(**chunk)
            got = await again.until("serverContent", "turnComplete")
            assert said(got, "inputTranscription") == "utterance 2, 0.4 s"
            second = await again.handle()
            assert int(second["lastConsumedClientMessageIndex"]) <= len(chunks) - consumed  # counts from 1 again
            await again.flushed()
        assert np.array_equal(session.audio, block)
        assert [connection.messages for connection in emu.ledger.connections] == [80, len(chunks) - consumed]
        # the handle is still good, and still means the same point
        async with dial(emu.url, VERTEX) as third:
            await third.set_up(VERTEX_MODEL, sessionResumption={"handle": update["newHandle"]})
            assert session.audio_chunks == consumed


async def test_e44_text_that_interrupts_is_not_in_the_state_before_it():
    setup = {"sessionResumption": {"transparent": True}, "outputAudioTranscription": {}}
    async with talk(VERTEX, VERTEX_MODEL, setup=setup, profile=profile(pace=HOLDING)) as (emu, client):
        await client.say(realtimeInput={"text": "first"})
        await client.until("serverContent", "generationComplete")
        await client.say(realtimeInput={"text": "second"})
        update = await client.handle()
        assert update["lastConsumedClientMessageIndex"] == "1"
        emu.cut()
        async with dial(emu.url, VERTEX) as again:
            await again.set_up(
                VERTEX_MODEL, sessionResumption={"handle": update["newHandle"]}, outputAudioTranscription={}
            )
            assert emu.ledger.sessions[0].texts == ["first"]
            await again.say(realtimeInput={"text": "second"})
            assert said(await again.until("serverContent", "generationComplete")) == "second"
        assert emu.ledger.sessions[0].texts == ["first", "second"]


async def test_e44_index_may_be_missing():
    setup = {"sessionResumption": {"transparent": True}}
    async with talk(VERTEX, VERTEX_MODEL, setup=setup, faults=emulator.Faults(omit_index=True)) as (_, client):
        await client.say(realtimeInput={"text": "x"})
        assert "lastConsumedClientMessageIndex" not in await client.handle()


@pytest.mark.parametrize(
    ("refusal", "end"),
    [
        ("session", (1008, "BidiGenerateContent session not found")),
        ("entity", (1008, "Requested entity was not found.")),
        ("handle", (1007, "Invalid session handle")),
    ],
)
async def test_e43_expired_handle(refusal, end):
    async with talk(setup={"sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        await client.ws.close()
        emu.faults = emulator.Faults(handle_valid_s=0, handle_refusal=refusal)
        async with dial(emu.url) as again:
            await again.say(setup={"model": DEV_MODEL, "sessionResumption": {"handle": handle}})
            assert await again.closed() == end
        emu.faults = emulator.Faults()  # two hours
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})


async def test_e40_an_update_may_have_no_handle():
    async with talk(setup={"sessionResumption": {}}, faults=emulator.Faults(unresumable=True)) as (_, client):
        assert await client.handle() == {}


async def test_e41_history_keeps_what_was_spoken_before_the_drop():
    faults = emulator.Faults(cut_at_speech=2)
    async with talk(setup={"sessionResumption": {}}, faults=faults) as (emu, client):
        handle = (await client.handle())["newHandle"]
        await client.say(realtimeInput={"text": "one two three four five six"})
        assert (await client.closed())[0] == 1006
        emu.faults = emulator.Faults()
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})
            await again.flushed()
            (_, (role, spoken)) = emu.ledger.sessions[0].history
            assert role == "model"
            assert spoken
            assert "one two three four five six".startswith(spoken)
            assert spoken != "one two three four five six"
