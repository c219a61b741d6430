"""WAV files of every kind that is taken, and the refusal of the rest."""

from __future__ import annotations

import asyncio
import os
import struct
import threading
import tracemalloc
import wave

import numpy as np
import pytest

import gemini_live as live
from conftest import on_fake_clock
from gemini_live.media import WavSource
from gemini_live.media import wav as wav_module


def wav_bytes(samples, rate_hz=16_000, *, tag=1, bits=None, extra=b"", declared=None):  # noqa: PLR0913
    """A file written by hand, so that what reads it is not held against itself."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    bits = bits or samples.dtype.itemsize * 8
    data = samples.tobytes()
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block, block, bits) + extra
    size = len(data) if declared is None else declared
    return (
        b"RIFF" + struct.pack("<I", (36 + size) & 0xFFFF_FFFF) + b"WAVE"
        b"LIST" + struct.pack("<I", 3) + b"abc\0"  # of odd length, hence padded
        b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + data
    )  # fmt: skip


def packed_24(samples):
    """The upper three bytes of each 32-bit sample."""
    return samples.astype("<i4").view(np.uint8).reshape(-1, 4)[:, 1:].reshape(-1)


class Sink:
    def __init__(self):
        self.blocks = []
        self.moments = []
        self.rates = set()

    async def send_audio(self, block, *, rate_hz):
        self.blocks.append(block)
        self.rates.add(rate_hz)
        self.moments.append(asyncio.get_running_loop().time())

    @property
    def samples(self):
        return np.concatenate(self.blocks)


@pytest.fixture
def at_once(monkeypatch):
    """Files are read without a thread, which the clock that jumps knows nothing of."""

    async def call(function, *arguments):
        return function(*arguments)

    monkeypatch.setattr(wav_module.asyncio, "to_thread", call)


@pytest.fixture
def streamed(at_once, tmp_path):
    """What a session is given of a file."""

    def stream(data):
        (tmp_path / "a.wav").write_bytes(data)
        sink = Sink()
        on_fake_clock(WavSource(tmp_path / "a.wav").stream_to)(sink)
        return sink

    return stream


FULL = np.array([-(2**31), -(2**24), 0, 2**16, 2**31 - 2**8], np.int32)
EXTENSIBLE = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (wav_bytes(np.array([0, 128, 255], np.uint8)), np.array([0, 128, 255], np.uint8)),
        (wav_bytes(np.array([-32_768, 0, 5], np.int16)), np.array([-32_768, 0, 5], np.int16)),
        (wav_bytes(packed_24(FULL), bits=24), FULL),
        (wav_bytes(FULL), FULL),
        (wav_bytes(np.array([-1, 0.5], np.float32), tag=3), np.array([-1, 0.5], np.float32)),
        (wav_bytes(np.array([-1, 0.5], np.float64), tag=3), np.array([-1, 0.5], np.float64)),
        (wav_bytes(np.array([7, 8], np.int16), tag=0xFFFE, extra=EXTENSIBLE), np.array([7, 8], np.int16)),
    ],
    ids=["8", "16", "24", "32", "float", "double", "extensible"],
)
def test_every_kind_of_sample_is_read_as_it_is(streamed, data, expected):
    samples = streamed(data).samples
    assert samples.dtype == expected.dtype
    assert samples.shape == (len(expected), 1)
    assert (samples[:, 0] == expected).all()


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.005, 1.0, 2.37])
def test_it_is_spoken_in_real_time_in_pieces_of_20_ms(streamed, rate_hz, seconds):
    samples = np.random.default_rng(1).integers(-99, 99, (round(rate_hz * seconds), 2), np.int16)
    sink = streamed(wav_bytes(samples, rate_hz))
    assert (sink.samples == samples).all()
    assert sink.rates == {rate_hz}
    ends = np.cumsum([len(block) for block in sink.blocks]) / rate_hz
    late = np.array(sink.moments) - ends
    assert late.min() > -0.001, "a microphone gives nothing that has not been said yet"
    assert late.max() < 0.021
    assert all(abs(len(block) - rate_hz / 50) <= 1 for block in sink.blocks[:-1])


def test_a_file_that_ends_too_soon_is_spoken_as_far_as_it_goes(streamed):
    whole = wav_bytes(np.arange(1_000, dtype=np.int16))
    assert len(streamed(whole[:-501]).samples) == 749


def test_a_stream_that_does_not_know_its_length_is_spoken_to_its_end(streamed):
    assert len(streamed(wav_bytes(np.arange(1_000, dtype=np.int16), declared=0xFFFF_FFFF)).samples) == 1_000


def test_of_a_file_of_64_bits_what_follows_is_no_sound_either(streamed):
    """EBU Tech 3306: the sizes stand in a chunk of their own."""
    samples = np.arange(1, 801, dtype=np.int16)
    data = wav_bytes(samples, declared=0xFFFF_FFFF)
    sizes = b"ds64" + struct.pack("<IQQQI", 28, len(data) + 50, 1_600, 800, 0)
    data = b"RF64\xff\xff\xff\xffWAVE" + sizes + data[12:]
    assert np.array_equal(streamed(data + b"LIST" + struct.pack("<I", 6) + b"noise\0").samples[:, 0], samples)
    unsaid = data.replace(struct.pack("<Q", 1_600), b"\xff" * 8)
    assert np.array_equal(streamed(unsaid).samples[:, 0], samples)


def test_what_follows_the_samples_is_no_sound(streamed):
    data = wav_bytes(np.arange(100, dtype=np.int16)) + b"LIST" + struct.pack("<I", 4) + b"abcd"
    assert len(streamed(data).samples) == 100
    assert streamed(wav_bytes(np.empty(0, np.int16)) + b"LIST\4\0\0\0abcd").blocks == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a WAV file"),
        (b"ID3" + bytes(99), "ffmpeg"),
        (wav_bytes(np.zeros(4, np.int16))[:30], "ends before"),
        (wav_bytes(np.zeros(4, np.int16), tag=2), "kind 2"),
        (wav_bytes(np.zeros(4, np.int16), bits=12), "12-bit"),
        (wav_bytes(np.zeros((4, 0), np.int16)), "0 channels"),
        (wav_bytes(np.zeros(4, np.int16), rate_hz=0), "0 samples per second"),
        (wav_bytes(np.zeros(4, np.int16), rate_hz=4_000), "4,000 samples per second.*8,000 to 192,000"),
        (wav_bytes(np.zeros(4, np.int16), rate_hz=400_000), "400,000 samples per second"),
        (wav_bytes(np.zeros((4, 65), np.int16)), "65 channels.*1 to 64"),
        (wav_bytes(np.zeros(4, np.uint8), tag=7), "kind 7.*ffmpeg"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", "what its samples are"),
        (b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff", "ends before"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\xff", "ends before"),
    ],
)
async def test_what_is_no_such_file_is_refused_with_what_is_one(tmp_path, data, words):
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(live.ConfigError, match=words):
        await WavSource(tmp_path / "a.wav").stream_to(Sink())


async def test_a_damaged_length_costs_no_memory(tmp_path):
    """Four bytes of a file must not be able to ask for four gigabytes."""
    (tmp_path / "a.wav").write_bytes(b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff" + bytes(1_000))
    tracemalloc.start()
    try:
        with pytest.raises(live.ConfigError):
            await WavSource(tmp_path / "a.wav").stream_to(Sink())
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


async def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        async with WavSource(tmp_path / "none.wav"):
            pass


async def test_an_open_file_tells_its_format(tmp_path):
    source = WavSource(tmp_path / "a.wav")
    with pytest.raises(live.ConfigError, match="not open"):
        _ = source.format
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(bytes(400))
    async with source:
        assert (source.format.rate_hz, source.format.channels, source.format.frames) == (44_100, 2, 100)


@on_fake_clock
async def test_many_files_share_one_timer(at_once, tmp_path):
    """As many wake-ups for a hundred files as for one."""
    (tmp_path / "a.wav").write_bytes(wav_bytes(np.zeros(16_000, np.int16)))
    loop = asyncio.get_running_loop()
    timers = []
    call_later = loop.call_later
    loop.call_later = lambda *given, **options: (timers.append(given), call_later(*given, **options))[1]
    await asyncio.gather(*(WavSource(tmp_path / "a.wav").stream_to(Sink()) for _ in range(100)))
    assert 48 <= len(timers) <= 55


@on_fake_clock
async def test_a_task_that_is_cancelled_does_not_hold_up_the_others(at_once, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(np.zeros(16_000, np.int16)))
    sinks = [Sink(), Sink()]
    tasks = [asyncio.create_task(WavSource(tmp_path / "a.wav").stream_to(sink)) for sink in sinks]
    await asyncio.sleep(0.5)
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert tasks[0].cancelled()
    assert len(sinks[0].samples) < 9_000
    assert len(sinks[1].samples) == 16_000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of POSIX")
async def test_a_pipe_that_gives_nothing_does_not_hold_up_the_loop_when_it_is_given_up(tmp_path):
    """Closing a file waits for whoever reads it."""
    path = tmp_path / "a.wav"
    os.mkfifo(path)
    source, sink = WavSource(path), Sink()
    streaming = asyncio.create_task(source.stream_to(sink))
    pipe = await asyncio.to_thread(path.open, "wb")
    rescue = threading.Timer(5, pipe.close)
    try:
        pipe.write(wav_bytes(np.zeros(16_000 * 60, np.int16))[:32_044])
        pipe.flush()
        while not source._being_read:
            await asyncio.sleep(0.01)
        (file,) = source._being_read
        rescue.start()
        streaming.cancel()
        await asyncio.wait([streaming])
        assert not pipe.closed
    finally:
        rescue.cancel()
        pipe.close()
    while not file.closed:
        await asyncio.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of POSIX")
async def test_a_pipe_whose_second_stream_was_given_up_as_well_does_not_hold_up_the_loop(tmp_path):
    """The read of the first goes on beside that of the second, and may end before."""
    path = tmp_path / "a.wav"
    os.mkfifo(path)
    source, sink = WavSource(path), Sink()
    written = wav_bytes(np.zeros(16_000 * 60, np.int16))
    opening = asyncio.create_task(source.__aenter__())
    pipe = await asyncio.to_thread(path.open, "wb")
    rescue = threading.Timer(5, pipe.close)
    try:
        pipe.write(written[:1_000])
        pipe.flush()
        await opening
        for reads in (1, 2):
            streaming = asyncio.create_task(source.stream_to(sink))
            while len(source._being_read) < reads:
                await asyncio.sleep(0.01)
            streaming.cancel()
            await asyncio.wait([streaming])
        pipe.write(written[1_000:33_000])
        pipe.flush()
        while len(source._being_read) > 1:
            await asyncio.sleep(0.01)
        rescue.start()
        await source.__aexit__()
        assert not pipe.closed
    finally:
        rescue.cancel()
        pipe.close()
