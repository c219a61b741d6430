from __future__ import annotations

import asyncio
import gc
import math
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import gemini_live as live
from conftest import on_fake_clock
from gemini_live.pause import Pause
from test_session import connect, manual_vad, network  # noqa: F401 - the fixture

SILENCE = np.zeros(320, np.int16)


def jump(seconds):
    """The loop is busy for so long."""
    asyncio.get_running_loop()._jumping.now += seconds


@on_fake_clock
async def test_it_is_told_once_after_the_last_that_was_heard():
    loop = asyncio.get_running_loop()
    told = []
    pause = Pause(loop, 1.0, lambda: told.append(loop.time()))
    for _ in range(50):
        pause.heard()
        await asyncio.sleep(0.1)
    assert told == []
    await asyncio.sleep(10)
    assert told == [pytest.approx(4.9 + 1)]
    pause.heard()
    await asyncio.sleep(10)
    assert told[1:] == [pytest.approx(15 + 1)]


@on_fake_clock
async def test_nothing_is_told_after_a_cancel_until_something_is_heard_again():
    loop = asyncio.get_running_loop()
    told = []
    pause = Pause(loop, 1.0, lambda: told.append(loop.time()))
    pause.heard()
    pause.cancel()
    await asyncio.sleep(0.5)
    pause.heard()
    await asyncio.sleep(0.2)
    pause.cancel()
    await asyncio.sleep(5)
    assert told == []
    pause.heard()
    await asyncio.sleep(5)
    assert len(told) == 1


@on_fake_clock
async def test_a_busy_loop_is_no_pause_of_the_speaker():
    told = []
    pause = Pause(asyncio.get_running_loop(), 1.0, lambda: told.append(True))
    pause.heard()
    await asyncio.sleep(0.2)
    jump(3)
    await asyncio.sleep(0.05)
    pause.heard()
    await asyncio.sleep(0.9)
    assert told == []
    await asyncio.sleep(0.2)
    assert told == [True]


@on_fake_clock
async def test_what_another_thread_says_at_the_last_moment_is_followed_by_a_pause_of_its_own():
    loop = asyncio.get_running_loop()
    told, interjected = [], []
    pause = Pause(loop, 1.0, lambda: told.append(loop.time()))
    pause.heard()

    def just_then():
        """The other thread is heard while the loop looks at its watch."""
        now = loop.time()
        if now >= 1.0 and not interjected:
            interjected.append(now)
            pause.heard()
        return now

    await asyncio.sleep(0.9)
    pause._loop = SimpleNamespace(time=just_then, call_at=loop.call_at, call_soon_threadsafe=loop.call_soon_threadsafe)
    await asyncio.sleep(5)
    assert told[-1] == pytest.approx(2.0, abs=0.1)


@on_fake_clock
async def test_other_threads_are_heard():
    told = []
    pause = Pause(asyncio.get_running_loop(), 1.0, lambda: told.append(True))
    thread = threading.Thread(target=pause.heard)
    thread.start()
    thread.join()
    await asyncio.sleep(2)
    assert told == [True]


async def test_a_closed_loop_is_no_error():
    loop = asyncio.new_event_loop()
    pause = Pause(loop, 1.0, lambda: None)
    loop.close()
    pause.heard()


def kinds(network):  # noqa: F811
    return [
        "audio" if "audio" in one["realtimeInput"] else next(iter(one["realtimeInput"])) for one in network.last.said
    ]


@pytest.mark.parametrize("feed", [False, True])
@on_fake_clock
async def test_a_session_says_that_the_stream_ends_after_its_last_sample(network, feed):  # noqa: F811
    async with connect() as session:
        for _ in range(3):
            if feed:
                session.feed_audio(SILENCE[:200])
            else:
                await session.send_audio(SILENCE[:200])
            await asyncio.sleep(0.9)
        assert "audioStreamEnd" not in kinds(network)
        await asyncio.sleep(0.2)
        assert kinds(network) == ["audio", "audio", "audioStreamEnd"]
        assert network.last.said[-1] == {"realtimeInput": {"audioStreamEnd": True}}
        await asyncio.sleep(10)
        assert len(network.last.said) == 3
        await session.send_audio(SILENCE)
        await asyncio.sleep(2)
        assert kinds(network)[3:] == ["audio", "audioStreamEnd"]
    assert session.stats.by_kind["audio_stream_end"].accepted == 2


@on_fake_clock
async def test_whoever_says_it_himself_is_not_repeated(network):  # noqa: F811
    async with connect() as session:
        await session.send_audio(SILENCE)
        await session.audio_stream_end()
        await asyncio.sleep(5)
    assert kinds(network) == ["audio", "audioStreamEnd"]


@on_fake_clock
async def test_it_may_be_later_or_never(network):  # noqa: F811
    async with connect(speech=live.SpeechPolicy(stream_end_after_ms=3_000)) as session:
        await session.send_audio(SILENCE)
        await asyncio.sleep(2.9)
        assert kinds(network) == ["audio"]
        await asyncio.sleep(0.2)
        assert kinds(network) == ["audio", "audioStreamEnd"]
    async with connect(speech=live.SpeechPolicy(stream_end_after_ms=None)) as session:
        await session.send_audio(SILENCE)
        await asyncio.sleep(60)
        assert kinds(network) == ["audio"]


@on_fake_clock
async def test_with_manual_vad_it_is_not_said(network):  # noqa: F811
    async with connect(manual_vad()) as session:
        await session.activity_start()
        await session.send_audio(SILENCE)
        await asyncio.sleep(60)
    assert kinds(network) == ["activityStart", "audio"]


@pytest.mark.parametrize("feed", [False, True])
@on_fake_clock
async def test_what_a_detector_took_for_speech_ends_when_nothing_comes(network, feed):  # noqa: F811
    """A microphone that is switched off in the middle of a word brings no silence for the detector to notice."""
    policy = live.SpeechPolicy(detector=lambda chunk: bool(chunk.any()), preroll_ms=0)
    async with connect(manual_vad(), speech=policy) as session:
        for _ in range(2):
            said_before = len(network.last.said)
            if feed:
                thread = threading.Thread(target=session.feed_audio, args=[np.ones(400, np.int16)])
                thread.start()
                thread.join()
            else:
                await session.send_audio(np.ones(400, np.int16))
            await asyncio.sleep(0.9)
            assert kinds(network)[said_before:] == ["activityStart", "audio"]
            await asyncio.sleep(0.2)
            assert kinds(network)[said_before:] == ["activityStart", "audio", "audio", "activityEnd"]
            await asyncio.sleep(10)
            assert len(network.last.said) == said_before + 4
        await session.send_audio(SILENCE)
        await asyncio.sleep(10)
        assert len(network.last.said) == 8
    assert session.stats.by_kind["activity_end"].accepted == 2


@on_fake_clock
async def test_a_session_with_a_detector_goes_with_its_last_user(network):  # noqa: F811
    session = await connect(manual_vad(), speech=live.SpeechPolicy(detector=lambda _: True))
    await session.send_audio(SILENCE)
    gone = weakref.ref(session)
    del session
    gc.collect()
    assert gone() is None
    await asyncio.sleep(5)
    assert kinds(network) == ["activityStart", "audio"]


@on_fake_clock
async def test_no_timer_outlives_the_session(network):  # noqa: F811
    async with connect() as session:
        await session.send_audio(SILENCE)
    assert not [one for one in asyncio.get_running_loop()._scheduled if not one.cancelled()]


@on_fake_clock
async def test_a_pause_while_the_line_is_down_is_told_after_the_audio_before_it(network):  # noqa: F811
    async with connect(outbox=live.OutboxLimits(audio_ms=60_000)) as session:
        network.last.lose()
        await session.wait_for_status(live.SessionStatus.RECONNECTING)
        await session.send_audio(SILENCE)
        await session.wait_for_status(live.SessionStatus.CONNECTED)
        await asyncio.sleep(5)
        assert kinds(network) == ["audio", "audioStreamEnd"]


async def asynchronous(_):
    return False


class Asynchronous:
    async def __call__(self, _):
        return False


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stream_end_after_ms": 0}, "stream_end_after_ms must be 1 or more, or None, got 0"),
        ({"preroll_ms": -1}, "preroll_ms must be 0 to 10000, got -1"),
        ({"hangover_ms": 60_001}, "hangover_ms must be 0 to 60000, got 60001"),
        ({"detector": "webrtc"}, "detector must be callable.*not str"),
        ({"detector": asynchronous}, "detector must say at once.*async"),
        ({"detector": Asynchronous()}, "detector must say at once.*async"),
        ({"stream_end_after_ms": math.nan}, "stream_end_after_ms must be a whole number.*not nan"),
        ({"stream_end_after_ms": "1000"}, "stream_end_after_ms must be a whole number.*not '1000'"),
        ({"preroll_ms": None}, "preroll_ms must be a whole number.*not None"),
        ({"preroll_ms": 0.5}, "preroll_ms must be a whole number.*not 0.5"),
        ({"hangover_ms": "500"}, "hangover_ms must be a whole number.*not '500'"),
    ],
)
def test_wrong_policies(wrong, message):
    with pytest.raises(live.ConfigError, match=message):
        live.SpeechPolicy(**wrong)
