"""What a session does with a source, and what sources share."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import wave
import weakref
from pathlib import Path

import numpy as np
import pytest

import gemini_live as live
from conftest import on_fake_clock
from gemini_live import emulator
from gemini_live.media import WavSource
from gemini_live.media.source import OpenedOnDemand, Ticker, in_thread


@pytest.fixture
def speech(tmp_path):
    """A quarter of a second."""
    with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((8_000 * np.sin(np.arange(4_000) / 8)).astype(np.int16).tobytes())
    return tmp_path / "speech.wav"


class Pictures:
    """A source of the user's own."""

    kind = "video"

    async def stream_to(self, sink):
        for _ in range(3):
            assert sink.feed_video(b"\xff\xd8\xff" + bytes(50))
            await asyncio.sleep(0.05)


# --- in a session ---------------------------------------------------------------------------------------------------


async def test_a_file_is_heard_whole_and_its_end_is_told(speech):
    async with emulator.Emulator() as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="key") as session:
            await session.stream(WavSource(speech))
        heard = server.ledger.sessions[0]
        assert len(heard.audio) == 4_000
        assert heard.log.entries[-1].kind == "audio_stream_end"


async def test_a_file_that_ends_in_the_middle_of_a_word_is_answered(speech):
    """Also where a detector marks the activity: nothing comes any more that it could take for silence."""
    manual = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
    policy = live.SpeechPolicy(detector=lambda chunk: bool(chunk.any()), stream_end_after_ms=None)
    async with emulator.Emulator(compress_time=True) as server:
        async with live.connect("gemini-3.8-live", manual, speech=policy, endpoint=server.url, auth="key") as session:
            await session.stream(WavSource(speech))
            async for event in session:
                if isinstance(event, live.TurnComplete):
                    break
        heard = server.ledger.sessions[0]
        assert len(heard.audio) == 4_000
        assert heard.log.entries[-1].kind == "activity_end"


@pytest.mark.parametrize(
    "no_source", ["speech.wav", Path("speech.wav"), b"\0\0", np.zeros(320, np.int16), WavSource, None]
)
async def test_what_is_no_source(no_source):
    async with emulator.serve() as url, live.connect("gemini-3.8-live", endpoint=url, auth="key") as session:
        with pytest.raises(TypeError, match=r"stream takes a source, such as WavSource\(path\) or Microphone\(\)"):
            await session.stream(no_source)
        assert session.status is live.SessionStatus.CONNECTED


async def test_with_marks_of_ones_own_no_end_is_told(speech):
    setup = {
        "model": "gemini-3.8-live",
        "realtime_input_config": {"automatic_activity_detection": {"disabled": True}},
    }
    async with emulator.Emulator() as server:
        async with live.connect(setup, endpoint=server.url, auth="key") as session:
            await session.activity_start()
            await session.stream(WavSource(speech))
            await session.activity_end()
        kinds = [entry.kind for entry in server.ledger.sessions[0].log.entries]
        assert kinds[-1] == "activity_end"
        assert "audio_stream_end" not in kinds


async def test_several_sources_run_at_once(speech):
    async with emulator.Emulator() as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="key") as session:
            await asyncio.gather(session.stream(WavSource(speech)), session.stream(Pictures()))
        counts = server.ledger.sessions[0].messages_by_kind
        assert counts["video"] == 3
        assert counts["audio"] == 13
        assert counts["audio_stream_end"] == 1


async def test_a_file_is_streamed_once_at_a_time(speech):
    """Two sessions that share one would each hear half of it."""
    source = WavSource(speech)
    async with emulator.Emulator() as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="key") as session:
            streaming = asyncio.create_task(session.stream(source))
            await asyncio.sleep(0)
            with pytest.raises(live.ConfigError, match=r"speech\.wav is being streamed already"):
                await session.stream(source)
            await streaming
        assert len(server.ledger.sessions[0].audio) == 4_000


async def test_a_session_that_has_ended_takes_no_source(speech):
    async with emulator.serve() as url, live.connect("gemini-3.8-live", endpoint=url, auth="key") as session:
        streaming = asyncio.create_task(session.stream(WavSource(speech)))
        await asyncio.sleep(0.1)
        await session.close()
        assert await streaming is None, "being closed is no error"
        with pytest.raises(live.SessionClosed):
            await session.stream(WavSource(speech))


async def test_a_source_that_listens_to_another_session_does_not_hide_that_one_s_end():
    class Answers:
        kind = "audio"

        def __init__(self, other):
            self.other = other

        async def stream_to(self, _session):
            while True:
                await self.other.next_event()

    async with emulator.serve() as url, live.connect("gemini-3.8-live", endpoint=url, auth="key") as session:
        async with live.connect("gemini-3.8-live", endpoint=url, auth="key") as other:
            pass
        with pytest.raises(live.SessionClosed):
            await session.stream(Answers(other))


async def test_a_session_that_breaks_breaks_its_streams(speech):
    policy = live.ReconnectPolicy(enabled=False)
    async with emulator.Emulator() as server:
        session = await live.connect("gemini-3.8-live", endpoint=server.url, auth="key", reconnect=policy)
        streaming = asyncio.create_task(session.stream(WavSource(speech)))
        await asyncio.sleep(0.1)
        server.cut()
        with pytest.raises(live.SessionClosed) as caught:
            await streaming
        assert caught.value.closed.kind is live.CloseKind.RECONNECT_DISABLED


# --- opened on demand -----------------------------------------------------------------------------------------------


class Device(OpenedOnDemand):
    def __init__(self, *, broken=False):
        self.broken = broken
        self.calls = []

    async def _open(self):
        self.calls.append("open")
        if self.broken:
            raise OSError("broken")

    async def _close(self):
        self.calls.append("close")


async def test_it_is_open_from_the_first_that_enters_to_the_last_that_leaves():
    device = Device()
    async with device:
        async with device:
            pass
        assert device.calls == ["open"]
    assert device.calls == ["open", "close"]
    async with device:
        pass
    assert device.calls == ["open", "close"] * 2


async def test_one_that_cannot_be_opened_can_be_tried_again():
    device = Device(broken=True)
    with pytest.raises(OSError, match="broken"):
        await device.__aenter__()
    device.broken = False
    async with device:
        assert device.calls == ["open", "open"]


class Slow(OpenedOnDemand):
    """Takes as long to open and to close as a test wants."""

    def __init__(self):
        self.calls = []
        self.go = asyncio.Event()

    async def _open(self):
        self.calls.append("opening")
        await self.go.wait()
        self.calls.append("open")

    async def _close(self):
        self.calls.append("closing")
        await self.go.wait()
        self.calls.append("closed")


async def enter(device, seen):
    async with device:
        seen.append(device.calls[-1])


async def test_whoever_comes_while_it_is_being_opened_waits_until_it_is():
    device, seen = Slow(), []
    entering = [asyncio.create_task(enter(device, seen)) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert seen == []
    device.go.set()
    await asyncio.gather(*entering)
    assert seen == ["open"] * 3
    assert device.calls == ["opening", "open", "closing", "closed"]


async def test_whoever_comes_while_it_is_being_closed_opens_it_again_afterwards():
    device, seen = Slow(), []
    device.go.set()
    await device.__aenter__()
    device.go.clear()
    leaving = asyncio.create_task(device.__aexit__())
    await asyncio.sleep(0.01)
    entering = asyncio.create_task(enter(device, seen))
    await asyncio.sleep(0.01)
    device.go.set()
    await asyncio.gather(leaving, entering)
    assert device.calls == ["opening", "open", "closing", "closed"] * 2


def test_it_may_be_used_in_one_loop_after_the_other():
    """As by several calls of `asyncio.run`, each of which opens it for several."""

    class Yielding(Device):
        async def _open(self):
            await asyncio.sleep(0)
            await super()._open()

    device = Yielding()

    async def hold():
        async with device:
            pass

    async def several():
        await asyncio.gather(hold(), hold(), hold())

    for _ in range(2):
        asyncio.run(several())
    assert device.calls == ["open", "close"] * 2


async def test_one_who_waits_and_gives_up_leaves_it_to_the_others():
    device, seen = Slow(), []
    first, second = (asyncio.create_task(enter(device, seen)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    device.go.set()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert device.calls == ["opening", "opening", "open", "closing", "closed"]
    async with device:
        pass
    assert device.calls[5:] == device.calls[1:5]


# --- in a thread ----------------------------------------------------------------------------------------------------


async def test_a_call_gives_its_result_or_raises():
    assert await in_thread(lambda: threading.current_thread().daemon, 5) is True
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0, 5)


async def test_a_call_that_never_comes_back_is_left_behind():
    came_back = threading.Event()
    began_at = time.monotonic()
    with pytest.raises(TimeoutError):
        await in_thread(lambda: came_back.wait(5), 0.05)
    assert time.monotonic() - began_at < 2
    came_back.set()
    await asyncio.sleep(0.05)  # what it brings now is nobody's


def test_a_call_that_comes_back_as_the_loop_is_closed_complains_of_nothing():
    loop = asyncio.new_event_loop()
    loop.is_closed = lambda: False  # when it looked, it was not
    come_back = threading.Event()
    with pytest.raises(TimeoutError):
        loop.run_until_complete(in_thread(lambda: come_back.wait(5), 0.01))
    (device,) = [thread for thread in threading.enumerate() if thread.name == "gemini-live device"]
    loop.close()
    come_back.set()
    device.join()  # and pytest fails for what it has raised
    del loop.is_closed


# --- the timer ------------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_a_sleeper_wakes_within_a_tick_and_never_early():
    loop = asyncio.get_running_loop()
    ticker = Ticker.of_this_loop()
    for moment in (0.0, 0.005, 0.1, 0.123, 0.2):
        await ticker.until(moment)
        assert moment <= loop.time() <= moment + 0.0201


@on_fake_clock
async def test_one_that_is_cancelled_leaves_the_timer_to_the_others():
    ticker = Ticker.of_this_loop()
    tasks = [asyncio.create_task(ticker.until(moment)) for moment in (0.1, 0.3)]
    await asyncio.sleep(0.05)
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert tasks[0].cancelled()
    assert asyncio.get_running_loop().time() == pytest.approx(0.3, abs=0.021)


def test_a_loop_that_is_gone_is_not_kept():
    async def one_tick():
        await Ticker.of_this_loop().until(asyncio.get_running_loop().time() + 0.01)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(one_tick())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
