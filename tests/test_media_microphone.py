"""The microphone, by a stand-in for sounddevice; `test_media_sound_server.py` has the real one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading

import numpy as np
import pytest

import gemini_live as live
from fake_sounddevice import Sounddevice
from gemini_live import emulator
from gemini_live.media import Microphone, portaudio


class Sink:
    def __init__(self):
        self.blocks = []
        self.rate_hz = 0
        self.open = True

    def feed_audio(self, block, *, rate_hz):
        self.blocks.append(np.array(block))
        self.rate_hz = rate_hz
        return self.open


@pytest.fixture
def sounddevice(monkeypatch):
    return Sounddevice().plug(monkeypatch)


def block(value=0.1, frames=960, channels=1):
    return np.full((frames, channels), value, np.float32)


async def started(sounddevice):
    """The stream, once it runs."""
    while not (sounddevice.streams and sounddevice.streams[-1].running):
        await asyncio.sleep(0.005)
    return sounddevice.streams[-1]


async def ended(streaming):
    async with asyncio.timeout(5):
        await asyncio.wait([streaming])


async def test_what_it_hears_goes_straight_to_the_session_at_its_own_rate(sounddevice):
    sink = Sink()
    streaming = asyncio.create_task(Microphone().stream_to(sink))
    stream = await started(sounddevice)
    assert stream.options["samplerate"] == 48_000
    assert stream.options["blocksize"] == 960
    for value in (0.1, 0.2, 0.3):
        stream.hear(block(value))
    assert [float(one[0, 0]) for one in sink.blocks] == pytest.approx([0.1, 0.2, 0.3])
    assert sink.rate_hz == 48_000
    streaming.cancel()
    await ended(streaming)
    assert not stream.running
    assert stream.closed


async def test_rate_channels_and_block_are_the_users_choice(sounddevice):
    async with Microphone("USB", rate_hz=16_000, channels=2, block_ms=10):
        options = sounddevice.streams[0].options
        assert (options["samplerate"], options["channels"], options["blocksize"]) == (16_000, 2, 160)
        assert options["device"] == "USB"


@pytest.mark.parametrize("arguments", [{"channels": (1, 2)}, {"stereo_only": True}])
async def test_a_device_is_opened_with_the_channels_that_it_has(monkeypatch, arguments):
    sounddevice = Sounddevice(**arguments).plug(monkeypatch)
    async with Microphone(channels=1 if arguments.get("stereo_only") else 2):
        assert sounddevice.streams[-1].channels == (2 if arguments.get("stereo_only") else 1)


async def test_a_function_of_the_users_sees_each_block_first(sounddevice):
    sink = Sink()
    seen = []

    def halve(samples):
        seen.append(threading.current_thread().name)
        return samples[:0] if samples[0, 0] > 0.5 else samples / 2

    streaming = asyncio.create_task(Microphone(process=halve).stream_to(sink))
    stream = await started(sounddevice)
    stream.hear(block(0.4))
    stream.hear(block(0.6))  # it may keep a block back
    assert [float(one[0, 0]) for one in sink.blocks] == pytest.approx([0.2])
    assert seen == ["PortAudio"] * 2
    streaming.cancel()
    await ended(streaming)


async def test_what_that_function_raises_is_raised_by_the_stream(sounddevice):
    streaming = asyncio.create_task(Microphone(process=lambda _block: 1 / 0).stream_to(Sink()))
    (await started(sounddevice)).hear(block())
    await ended(streaming)
    assert isinstance(streaming.exception(), ZeroDivisionError)
    assert sounddevice.streams[0].closed


async def test_an_unplugged_microphone_is_named(sounddevice):
    sink = Sink()
    streaming = asyncio.create_task(Microphone().stream_to(sink))
    stream = await started(sounddevice)
    stream.hear(block())
    stream.unplug()
    await ended(streaming)
    with pytest.raises(live.DeviceLost, match="USB input: has stopped") as caught:
        streaming.result()
    assert caught.value.device == "USB input"
    assert stream.closed


async def test_a_microphone_that_falls_silent_is_given_up(sounddevice):
    """As Core Audio does it: nobody says a word."""
    streaming = asyncio.create_task(Microphone(patience_s=0.5).stream_to(Sink()))
    stream = await started(sounddevice)
    for _ in range(16):
        stream.hear(block())
        await asyncio.sleep(0.05)
    assert not streaming.done()
    await ended(streaming)
    with pytest.raises(live.DeviceLost, match=r"no sound for 0\.5 s"):
        streaming.result()


async def test_one_that_never_gave_a_block_is_an_error(sounddevice):
    with pytest.raises(live.DeviceError, match="no sound") as caught:
        await Microphone(patience_s=0.1).stream_to(Sink())
    assert not isinstance(caught.value, live.DeviceLost)


async def test_one_that_gives_nan_only_is_an_error(sounddevice):
    streaming = asyncio.create_task(Microphone(patience_s=0.2).stream_to(Sink()))
    stream = await started(sounddevice)
    async with asyncio.timeout(5):
        while not streaming.done():
            stream.hear(block(np.nan)) if stream.running else None
            await asyncio.sleep(0.02)
    with pytest.raises(live.DeviceError, match="NaN"):
        streaming.result()


async def test_a_little_nan_is_silence_to_the_service(sounddevice):
    async with emulator.Emulator() as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="key") as session:
            streaming = asyncio.create_task(session.stream(Microphone(rate_hz=16_000)))
            stream = await started(sounddevice)
            stream.hear(block(np.nan, 320))
            stream.hear(block(0.5, 320))
            streaming.cancel()
            await ended(streaming)
        assert server.ledger.sessions[0].audio.tolist() == [0] * 320 + [16_384] * 320


async def test_a_session_that_ends_ends_the_stream(sounddevice):
    async with emulator.serve() as url, live.connect("gemini-3.8-live", endpoint=url, auth="key") as session:
        streaming = asyncio.create_task(session.stream(Microphone()))
        stream = await started(sounddevice)
        stream.hear(block())
        await session.close()
        stream.hear(block())
        await ended(streaming)
        assert streaming.result() is None
        assert stream.closed


async def test_overflows_are_counted(sounddevice):
    microphone = Microphone()
    streaming = asyncio.create_task(microphone.stream_to(Sink()))
    stream = await started(sounddevice)
    for overflow in (True, False, True):
        stream.hear(block(), overflow=overflow)
    assert microphone.overflows == 2
    streaming.cancel()
    await ended(streaming)


async def test_a_stream_that_is_cancelled_can_begin_again(sounddevice):
    async with Microphone() as microphone:
        for _ in range(2):
            sink = Sink()
            streaming = asyncio.create_task(microphone.stream_to(sink))
            stream = await started(sounddevice)
            stream.hear(block())
            streaming.cancel()
            await ended(streaming)
            assert len(sink.blocks) == 1
            assert not stream.closed
    assert len(sounddevice.streams) == 1


async def test_one_microphone_is_streamed_once_at_a_time(sounddevice):
    async with Microphone() as microphone:
        streaming = asyncio.create_task(microphone.stream_to(Sink()))
        await started(sounddevice)
        with pytest.raises(live.ConfigError, match="already"):
            await microphone.stream_to(Sink())
        streaming.cancel()
        await ended(streaming)


async def test_one_that_is_still_being_opened_is_streamed_once_too(sounddevice):
    microphone = Microphone()
    streaming = asyncio.create_task(microphone.stream_to(Sink()))
    await asyncio.sleep(0)
    with pytest.raises(live.ConfigError, match="already"):
        await microphone.stream_to(Sink())
    assert (await started(sounddevice)).running
    streaming.cancel()
    await ended(streaming)


async def test_what_is_opened_for_nobody_any_more_is_closed(sounddevice, monkeypatch):
    """Whoever gave up waiting must not keep the device from the next one."""
    find, found = threading.Event(), sounddevice.query_devices
    monkeypatch.setattr(sounddevice, "query_devices", lambda *given: find.wait(5) and found(*given))
    opening = asyncio.create_task(Microphone().stream_to(Sink()))
    await asyncio.sleep(0.05)
    opening.cancel()
    await asyncio.sleep(0.05)
    find.set()
    await ended(opening)
    assert opening.cancelled()
    async with asyncio.timeout(5):
        while not (sounddevice.streams and sounddevice.streams[0].closed):
            await asyncio.sleep(0.01)


async def test_a_rate_that_the_device_refuses_is_answered_with_its_own(sounddevice):
    with pytest.raises(live.DeviceError, match=r"Invalid sample rate.*its own is 48,000 Hz"):
        async with Microphone(rate_hz=96_000):
            pass


async def test_the_end_of_a_file_in_that_function_is_an_error_and_no_end(sounddevice):
    def fail(_block):
        raise EOFError

    streaming = asyncio.create_task(Microphone(process=fail).stream_to(Sink()))
    (await started(sounddevice)).hear(block())
    await ended(streaming)
    assert isinstance(streaming.exception(), EOFError)


async def test_a_device_that_is_not_there_is_refused_with_how_to_find_one(sounddevice):
    with pytest.raises(live.DeviceError, match="python -m sounddevice"):
        async with Microphone("Bluetooth"):
            pass


async def test_a_device_that_only_plays_is_no_microphone(monkeypatch):
    Sounddevice(channels=(0, 2)).plug(monkeypatch)
    with pytest.raises(live.DeviceError, match="has no input"):
        async with Microphone():
            pass


async def test_a_device_that_refuses_to_start_says_why(sounddevice):
    sounddevice.refuses_to_start = True
    with pytest.raises(live.DeviceError, match="USB input: Device unavailable"):
        await Microphone().stream_to(Sink())
    assert sounddevice.streams[0].closed


async def test_a_driver_that_hangs_is_left_behind(sounddevice, monkeypatch):
    monkeypatch.setattr("gemini_live.media.portaudio._STARTING_S", 0.1)
    hanging = threading.Event()
    monkeypatch.setattr(sounddevice, "query_devices", lambda *_: hanging.wait(5))
    with pytest.raises(live.DeviceError, match=r"does not answer within 0\.1 s"):
        await Microphone().stream_to(Sink())
    hanging.set()


async def test_one_that_waits_for_another_that_hangs_is_not_blamed(sounddevice, monkeypatch):
    monkeypatch.setattr(portaudio, "_STARTING_S", 0.05)
    monkeypatch.setattr(portaudio, "_GOODBYE_S", 0.05)
    hanging = threading.Lock()
    monkeypatch.setattr(portaudio, "_one_at_a_time", hanging)
    with hanging, pytest.raises(live.DeviceError, match="waits for another sound device, which does not answer"):
        await Microphone().stream_to(Sink())


class Turns:
    """A lock that the last to come gets first, once it is open."""

    def __init__(self):
        self.changed, self.waiting = threading.Condition(), []
        self.is_open, self.is_held = False, False

    def __enter__(self):
        me = object()
        with self.changed:
            self.waiting.append(me)
            self.changed.wait_for(lambda: self.is_open and not self.is_held and self.waiting[-1] is me, 20)
            self.waiting.remove(me)
            self.is_held = True

    def __exit__(self, *_):
        self.set(is_held=False)

    def set(self, **changes):
        with self.changed:
            vars(self).update(changes)
            self.changed.notify_all()


@pytest.mark.parametrize("opened", [False, True])
async def test_what_was_given_up_before_its_turn_is_not_done_afterwards(sounddevice, monkeypatch, opened):
    """A device that is opened, or started, after it was closed would be so for ever."""
    turns = Turns()
    monkeypatch.setattr(portaudio, "_GOODBYE_S", 0.05)
    monkeypatch.setattr(portaudio, "_one_at_a_time", turns)
    async with contextlib.AsyncExitStack() as stack:
        microphone = Microphone()
        if opened:
            turns.set(is_open=True)
            await stack.enter_async_context(microphone)
            turns.set(is_open=False)
        streaming = asyncio.create_task(microphone.stream_to(Sink()))
        while not turns.waiting:
            await asyncio.sleep(0.01)
        streaming.cancel()
        await ended(streaming)
    turns.set(is_open=True)
    async with asyncio.timeout(5):
        while turns.waiting or turns.is_held:
            await asyncio.sleep(0.01)
    assert len(sounddevice.streams) == opened
    assert all(stream.closed and not stream.running for stream in sounddevice.streams)


async def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "gemini-live\[audio\]"'):
        await Microphone().stream_to(Sink())


async def test_without_portaudio_the_error_names_debians_package(monkeypatch):
    def missing(_name):
        raise OSError("PortAudio library not found")

    monkeypatch.setattr("gemini_live.media.extras.import_module", missing)
    with pytest.raises(live.DeviceError, match="apt-get install libportaudio2"):
        await Microphone().stream_to(Sink())


@pytest.mark.parametrize(
    "arguments", [{"block_ms": 0}, {"rate_hz": 4_000}, {"rate_hz": 0}, {"channels": 0}, {"channels": 65}]
)
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(live.ConfigError) as caught:
        Microphone(**arguments)
    assert caught.value.path == next(iter(arguments))
