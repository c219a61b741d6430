"""The loudspeaker, by a stand-in for sounddevice; `test_media_sound_server.py` has the real one."""

from __future__ import annotations

import asyncio
import sys
import threading

import numpy as np
import pytest

import gemini_live as live
from fake_sounddevice import Sounddevice
from gemini_live.media import HalfDuplex, Speaker


@pytest.fixture
def sounddevice(monkeypatch):
    return Sounddevice(rate_hz=24_000).plug(monkeypatch)


def audio(samples, turn=1):
    return live.ModelAudio(data=np.asarray(samples, np.int16).tobytes(), turn=turn)


async def endless(*given):
    for event in given:
        yield event
    await asyncio.Event().wait()


async def test_answers_are_heard_from_the_device(sounddevice):
    async with Speaker() as speaker:
        (stream,) = sounddevice.streams
        assert stream.running
        assert speaker.name == "USB output"
        speaker.play(audio(np.arange(1, 481)))
        heard = np.concatenate([stream.play() for _ in range(3)])[:, 0]
        assert (heard[:480] == np.arange(1, 481)).all()
        assert not heard[480:].any()
        assert speaker.latency_s == 0.03
        assert speaker.played_ms == pytest.approx(0)  # 10 ms of silence behind 20 ms of sound, of 30 under way
        stream.play()
        assert speaker.played_ms == pytest.approx(10)
    assert stream.closed


@pytest.mark.parametrize("latency_s", [-0.02, float("inf"), float("nan")])
async def test_a_latency_that_no_device_has_counts_as_unknown(monkeypatch, latency_s):
    sounddevice = Sounddevice(rate_hz=24_000, latency_s=latency_s).plug(monkeypatch)
    async with Speaker() as speaker:
        (stream,) = sounddevice.streams
        assert speaker.latency_s == 0
        speaker.play(audio(np.ones(240)))
        stream.play()
        stream.play()  # a gap
        speaker.play(audio(np.ones(240)))
        stream.play()
        assert stream.running
        assert speaker.played_ms == pytest.approx(20)
        await asyncio.wait_for(speaker.wait_played(), 5)
        stream.play()
        assert speaker.silent_s == pytest.approx(0.01)


async def test_answers_are_resampled_to_the_device_and_put_on_each_channel(monkeypatch):
    sounddevice = Sounddevice(rate_hz=48_000, stereo_only=True).plug(monkeypatch)
    async with Speaker() as speaker:
        assert (speaker.rate_hz, speaker.channels) == (48_000, 2)
        speaker.play(audio(np.full(24_000, 1_000)))
        heard = np.concatenate([sounddevice.streams[0].play() for _ in range(20)])
        assert (heard[:, 0] == heard[:, 1]).all()
        assert np.abs(heard[2_000:, 0] - 1_000).max() <= 2


async def test_follow_plays_what_the_session_says(sounddevice):
    async with Speaker(fade_ms=0) as speaker:
        queued = []
        given = (
            audio(np.ones(480)),
            live.Interrupted(),
            live.TurnComplete(),
            live.Closed(kind=live.CloseKind.REQUESTED),
        )

        async def events():
            for event in given:
                yield event

        seen = []
        async for event in speaker.follow(events()):
            seen.append(event)
            queued.append(speaker.queued_s)
        assert seen == list(given)
        assert queued == [0.02, 0, 0, 0]


@pytest.mark.parametrize("how", ["unplugged", "silent"])
async def test_a_loudspeaker_that_is_gone_is_named_while_nobody_says_anything(sounddevice, how):
    async with Speaker(patience_s=0.2) as speaker:
        listening = asyncio.create_task(anext(aiter(speaker.follow(endless()))))
        speaker.play(audio(np.ones(48_000)))
        played = asyncio.create_task(speaker.wait_played())
        await asyncio.sleep(0)
        if how == "unplugged":
            sounddevice.streams[0].unplug()
        async with asyncio.timeout(5):
            await asyncio.wait([listening, played])
        for task in (listening, played):
            with pytest.raises(live.DeviceLost, match="USB output") as caught:
                task.result()
            assert caught.value.device == "USB output"


@pytest.mark.parametrize("lost", [False, True])
async def test_one_that_is_closed_or_gone_does_not_sound(sounddevice, lost):
    """A gate that waited for its end would keep the microphone mute for ever."""
    block = np.full((480, 1), 0.5, np.float32)
    async with Speaker() as speaker:
        gate = HalfDuplex(speaker)
        speaker.play(audio(np.ones(2_400)))
        sounddevice.streams[0].play()
        assert speaker.playing
        assert not gate(block).any()
        if lost:
            sounddevice.streams[0].unplug()
            with pytest.raises(live.DeviceLost):
                await speaker.wait_played()
            assert not speaker.playing
            assert gate(block).all()
    assert not speaker.playing
    assert gate(block).all()


async def test_a_break_of_the_loop_does_not_lose_an_event(sounddevice):
    events = endless(live.SetupComplete(), live.TurnComplete())
    async with Speaker() as speaker:
        async for event in speaker.follow(events):
            assert event == live.SetupComplete()
            break
        assert await anext(events) == live.TurnComplete()


async def test_one_that_is_not_open_says_so(sounddevice):
    speaker = Speaker()
    with pytest.raises(live.ConfigError, match="async with"):
        await speaker.wait_played()
    async with speaker:
        await speaker.wait_played()
    with pytest.raises(live.ConfigError, match="async with"):
        await anext(aiter(speaker.follow(endless())))


async def test_a_fault_in_the_callback_ends_it_and_is_told(sounddevice):
    async with Speaker() as speaker:
        speaker.tap = lambda _samples: 1 / 0
        sounddevice.streams[0].play()
        with pytest.raises(live.DeviceLost, match="ZeroDivisionError"):
            await anext(aiter(speaker.follow(endless())))


async def test_a_device_that_refuses_to_start_is_closed_again(sounddevice):
    sounddevice.refuses_to_start = True
    with pytest.raises(live.DeviceError, match="Device unavailable"):
        async with Speaker():
            pass
    assert sounddevice.streams[0].closed


async def test_what_was_played_too_early_is_refused_and_not_played_too_fast(monkeypatch):
    Sounddevice(rate_hz=48_000).plug(monkeypatch)
    speaker = Speaker()
    speaker.play(audio(np.ones(480)))
    with pytest.raises(live.ConfigError, match="after opening"):
        async with speaker:
            pass


async def test_one_that_was_lost_is_opened_again_without_what_nobody_heard(monkeypatch):
    sounddevice = Sounddevice(rate_hz=24_000).plug(monkeypatch)
    speaker = Speaker(fade_ms=5)
    async with speaker:
        speaker.play(audio(np.ones(24_000)))
        for _ in range(20):
            sounddevice.streams[0].play()
        sounddevice.streams[0].unplug()
        with pytest.raises(live.DeviceLost):
            await speaker.wait_played()
    assert speaker.stats.played_s == pytest.approx(0.2)
    assert speaker.stats.discarded_s == pytest.approx(0.8)
    assert speaker.queued_s == 0
    # the next one is another device
    sounddevice.rate_hz, sounddevice.stereo_only = 48_000, True
    async with speaker:
        assert (speaker.rate_hz, speaker.channels) == (48_000, 2)
        assert speaker.played_ms == pytest.approx(170), "30 ms were under way"
        assert not sounddevice.streams[-1].play().any()
        speaker.play(audio(np.full(4_800, 1_000), turn=2))
        speaker.finish()
        assert speaker.queued_s == pytest.approx(0.2, abs=0.001)
        assert speaker.stats.played_s == pytest.approx(0.2)
        assert speaker.stats.discarded_s == pytest.approx(0.8)


async def test_one_whose_closing_is_cancelled_is_closed_and_empty_all_the_same(sounddevice, monkeypatch):
    """Ctrl-C, say, where another error has begun to end it."""
    speaker = Speaker()
    await speaker.__aenter__()
    (stream,) = sounddevice.streams
    speaker.play(audio(np.ones(2_400)))
    close, began, go_on = stream.close, asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(stream, "close", lambda: (loop.call_soon_threadsafe(began.set), go_on.wait(20), close()))
    closing = asyncio.create_task(speaker.__aexit__(None, None, None))
    await began.wait()
    closing.cancel()
    await asyncio.wait([closing])
    go_on.set()
    assert speaker.queued_s == 0
    while not stream.closed:
        await asyncio.sleep(0.01)


async def test_one_that_is_cancelled_as_it_begins_to_close_is_closed(sounddevice):
    speaker = Speaker()
    await speaker.__aenter__()
    (stream,) = sounddevice.streams
    closing = asyncio.create_task(speaker.__aexit__(None, None, None))
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    while not stream.closed:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    with pytest.raises(live.ConfigError, match="not open"):
        await speaker.wait_played()


@pytest.mark.parametrize("wait", [Speaker.wait_played, lambda speaker: anext(aiter(speaker.follow(endless())))])
async def test_closing_it_is_no_cancellation_of_those_who_still_listen(sounddevice, wait):
    """Whoever awaited such a task would take it for the end of their own."""
    async with Speaker() as speaker:
        speaker.play(audio(np.ones(480)))
        listening = asyncio.create_task(wait(speaker))
        await asyncio.sleep(0.01)
    with pytest.raises(live.ConfigError, match="closed meanwhile"):
        await listening


async def test_one_that_cannot_be_used_as_it_is_is_closed_again(monkeypatch):
    sounddevice = Sounddevice(rate_hz=48_000).plug(monkeypatch)
    speaker = Speaker()
    speaker.play(audio(np.ones(480)))  # at 24 kHz
    with pytest.raises(live.ConfigError, match="after opening"):
        async with speaker:
            pass
    assert sounddevice.streams[0].closed


async def test_what_was_played_too_early_is_heard_if_the_device_is_as_expected(sounddevice):
    speaker = Speaker()
    speaker.play(audio(np.ones(240)))
    async with speaker:
        assert sounddevice.streams[0].play().all()


async def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "gemini-live\[audio\]"'):
        async with Speaker():
            pass
