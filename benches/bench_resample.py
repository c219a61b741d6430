"""48 kHz stereo to a frame of 16 kHz mono, and the resampler alone, against NumPy, soxr and pybase64.

The filters differ, so what is asserted beforehand is that both say the same: the same samples to a hundredth of full
scale where neither cuts anything off, in a stream of 20 ms blocks, once the one that holds more back has caught up.
"""

import json

import numpy as np
import pybase64
import pytest
import soxr

from gemini_live import _core
from rig.statistics import Spread

PREFIX = b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"'
SUFFIX = b'"}}}'
RATES_HZ = (48_000, 44_100, 24_000, 8_000)


def voice(rate_hz, seconds, channels=None):
    """Some harmonics of a low voice, float32, full scale ±1, the same in every channel."""
    at = np.arange(round(rate_hz * seconds)) / rate_hz
    mono = sum(np.sin(2 * np.pi * 110 * number * at) / number for number in range(1, 25)).astype(np.float32) / 4
    return mono if channels is None else np.ascontiguousarray(np.repeat(mono[:, None], channels, axis=1))


class Core:
    """One call."""

    def __init__(self, rate_hz):
        self._encoder = _core.AudioEncoder(rate_hz)

    def __call__(self, block):
        return self._encoder.encode(block)

    def pcm(self, frames):
        messages = [json.loads(_core.unmask(frame)) for frame in frames]
        return b"".join(pybase64.b64decode(one["realtimeInput"]["audio"]["data"]) for one in messages)


def mean(block):
    return block.mean(axis=1)


def product(block):
    """Of a matrix: the fastest downmix that NumPy has."""
    return block @ np.full(block.shape[1], 1 / block.shape[1], np.float32)


class Python:
    """What a good engineer writes; its message is neither cut to 20 ms nor framed."""

    def __init__(self, rate_hz, downmix=mean):
        self._downmix = downmix
        self._stream = soxr.ResampleStream(rate_hz, 16_000, 1, dtype="float32", quality="HQ")

    def __call__(self, block):
        resampled = self._stream.resample_chunk(self._downmix(block) if block.ndim == 2 else block)
        pcm = np.clip(np.rint(resampled * 32_768), -32_768, 32_767).astype(np.int16)
        return PREFIX + pybase64.b64encode(pcm) + SUFFIX

    def pcm(self, message):
        return pybase64.b64decode(json.loads(message)["realtimeInput"]["audio"]["data"])


def checked(rate_hz, channels):
    """Both contenders, after they have said the same for a second."""
    blocks = np.split(voice(rate_hz, 1, channels), 50)
    heard = [
        np.frombuffer(b"".join(one.pcm(one(block)) for block in blocks), "<i2")
        for one in (Core(rate_hz), Python(rate_hz))
    ]
    length = min(map(len, heard))
    assert length > 13_000
    difference = heard[0][:length].astype(int) - heard[1][:length]
    assert np.abs(difference[200:]).max() < 328
    return Core(rate_hz), Python(rate_hz)


@pytest.mark.parametrize("contender", ["core", "NumPy + soxr + pybase64", "with a matrix product"])
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_encode_resampled(benchmark, rate_hz, channels, contender):
    core, python = checked(rate_hz, channels)
    block = voice(rate_hz, 0.02, channels)
    benchmark.group = f"20 ms of {'mono' if channels is None else 'stereo'} float32, {rate_hz / 1000:g} kHz"
    if contender == "with a matrix product":
        python = Python(rate_hz, product)
    benchmark(core if contender == "core" else python, block)


@pytest.mark.parametrize("contender", ["core", "soxr HQ"])
@pytest.mark.parametrize(
    ("rate_in_hz", "rate_out_hz"), [*((rate_hz, 16_000) for rate_hz in RATES_HZ), (24_000, 48_000)]
)
def test_resample(benchmark, rate_in_hz, rate_out_hz, contender):
    block = (voice(rate_in_hz, 0.02) * 32_767).astype(np.int16)
    benchmark.group = f"resample 20 ms of int16, {rate_in_hz / 1000:g} to {rate_out_hz / 1000:g} kHz"
    if contender == "core":
        benchmark(_core.Resampler(rate_in_hz, rate_out_hz).feed, block)
    else:
        benchmark(soxr.ResampleStream(rate_in_hz, rate_out_hz, 1, dtype="int16", quality="HQ").resample_chunk, block)


def test_goal_of_a_resampled_chunk(benchmark, goal):
    core, python = checked(48_000, 2)
    block = voice(48_000, 0.02, 2)
    goal("encode_resampled", lambda: core(block), lambda: python(block), calls=1_000)
    benchmark.group = "goals"
    benchmark(core, block)


def held_back_s(give, rate_in_hz, rate_out_hz):
    """What is missing after each block of a stream, on average."""
    block = np.zeros(rate_in_hz // 50, np.int16)
    given = np.cumsum([give(block) for _ in range(500)])
    fed = np.arange(1, 501) * len(block)
    return float(np.mean((fed / rate_in_hz - given / rate_out_hz)[50:]))


@pytest.mark.parametrize("rate_hz", [48_000, 8_000])
def test_goal_of_the_delay(benchmark, goal, rate_hz):
    ours = _core.Resampler(rate_hz, 16_000)
    other = soxr.ResampleStream(rate_hz, 16_000, 1, dtype="int16", quality="HQ")
    ours_s = held_back_s(lambda block: len(ours.feed(block)) // 2, rate_hz, 16_000)
    other_s = held_back_s(lambda block: len(other.resample_chunk(block)), rate_hz, 16_000)
    assert 0 < ours_s <= ours.delay_s + 1 / 16_000
    goal.keep(f"resampler_delay_{rate_hz // 1000}", Spread.of([other_s / ours_s]))
    if rate_hz == 8_000:  # the longer of the two
        goal.keep("resampler_delay_ms", Spread.of([ours_s * 1_000]))
    benchmark.group = "goals"
    benchmark(ours.feed, np.zeros(rate_hz // 50, np.int16))


def test_goal_of_the_stop_band(benchmark, goal):
    """Tones from the folding edge on: what is left of the loudest."""
    left = []
    # closely where the stop-band begins, which is where most is left
    for frequency_hz in [*np.linspace(8_000, 10_000, 400), *np.linspace(10_000, 23_950, 100)]:
        tone = 0.9 * np.sin(2 * np.pi * frequency_hz / 48_000 * np.arange(9_600))
        resampler = _core.Resampler(48_000, 16_000)
        output = np.frombuffer(resampler.feed(tone), "<i2")[400:-400] / 32_768
        left.append(np.std(output) * np.sqrt(2) / 0.9)
    goal.keep("resampler_stop_band", Spread.of([-20 * float(np.log10(max(left)))]))
    benchmark.group = "goals"
    benchmark(_core.Resampler(48_000, 16_000).feed, np.zeros(960, np.int16))
