"""The resampler as an object: streams, refusals, threads. How well it filters is measured in test_resampler_quality."""

from __future__ import annotations

import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemini_live._core import Resampler

RATES_HZ = [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 47_999, 48_000, 96_000, 192_000]
noise = np.random.default_rng(6).integers(-32_768, 32_767, 9_000, np.int16, endpoint=True)


def everything(resampler, blocks):
    return b"".join([resampler.feed(block) for block in blocks] + [resampler.flush()])


@given(
    rate_in_hz=st.sampled_from(RATES_HZ) | st.integers(8_000, 192_000),
    rate_out_hz=st.sampled_from(RATES_HZ) | st.integers(8_000, 192_000),
    sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=6),
)
def test_any_split_gives_the_same_bytes_and_as_many_as_the_ratio_says(rate_in_hz, rate_out_hz, sizes):
    signal = np.resize(noise, sum(sizes))
    whole = everything(Resampler(rate_in_hz, rate_out_hz), [signal])
    assert len(whole) == 2 * -(-len(signal) * rate_out_hz // rate_in_hz)
    assert everything(Resampler(rate_in_hz, rate_out_hz), np.split(signal, np.cumsum(sizes)[:-1])) == whole


def test_one_sample_at_a_time():
    signal = noise[:2_000]
    samples = [signal[place : place + 1] for place in range(len(signal))]
    for rates_hz in [(48_000, 16_000), (44_100, 16_000), (8_000, 16_000), (47_999, 16_000)]:
        assert everything(Resampler(*rates_hz), samples) == everything(Resampler(*rates_hz), [signal])


def test_a_flush_starts_anew():
    resampler = Resampler(48_000, 16_000)
    first = everything(resampler, [noise])
    assert everything(resampler, [noise]) == first
    assert resampler.flush() == b""


def test_nothing_comes_later_than_the_delay_says():
    for rate_in_hz in RATES_HZ:
        for rate_out_hz in RATES_HZ:
            resampler = Resampler(rate_in_hz, rate_out_hz)
            assert 0 <= resampler.delay_s < 0.003
            fed_s = given_s = 0.0
            for size in [1, 7, 480, 960, 2_000]:
                given_s += len(resampler.feed(noise[:size])) / 2 / rate_out_hz
                fed_s += size / rate_in_hz
                assert fed_s - given_s <= resampler.delay_s + 1e-9


def test_it_takes_what_an_encoder_takes():
    resampler = Resampler(48_000, 16_000)
    expected = everything(resampler, [noise])
    for same in (
        noise.tobytes(),
        bytearray(noise.tobytes()),
        noise.astype(np.int32) * 65_536,
        noise.astype(np.float32) / 32_768,
        noise.astype(np.float64) / 32_768,
        np.repeat(noise, 2).reshape(-1, 2),
        np.repeat(noise, 2)[::2],
        memoryview(noise.tobytes()[::-1])[::-1],
    ):
        assert everything(resampler, [same]) == expected


@pytest.mark.parametrize(
    ("block", "error", "message"),
    [
        (None, TypeError, "not NoneType"),
        (np.zeros(4, bool), TypeError, "bool samples are not accepted"),
        (b"\0", ValueError, "odd number of bytes"),
        (b"", ValueError, "empty"),
    ],
)
def test_what_is_refused_disturbs_nothing(block, error, message):
    resampler = Resampler(48_000, 16_000)
    start = resampler.feed(noise[:1_000])
    with pytest.raises(error, match=message):
        resampler.feed(block)
    assert start + everything(resampler, [noise[1_000:]]) == everything(resampler, [noise])


@pytest.mark.parametrize("rate_hz", [0, 7_999, 192_001, -1, 2**40])
@pytest.mark.parametrize("name", ["rate_in_hz", "rate_out_hz"])
def test_rates_out_of_range(name, rate_hz):
    with pytest.raises(ValueError, match=rf"{name} must be 8000 to 192000"):
        Resampler(**{"rate_in_hz": 16_000, "rate_out_hz": 16_000, name: rate_hz})


def test_a_resampler_says_what_it_is():
    resampler = Resampler(48_000, 16_000)
    assert repr(resampler) == "Resampler(rate_in_hz=48000, rate_out_hz=16000)"
    assert (resampler.rate_in_hz, resampler.rate_out_hz) == (48_000, 16_000)
    with pytest.raises(AttributeError):
        resampler.delay_s = 0.0


@pytest.fixture
def no_switching():
    """Another thread gets in when this one gives up the GIL, and not before."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize(("samples", "runs"), [(960, False), (5_000_000, True)])
def test_others_run_while_a_long_block_is_filtered(no_switching, samples, runs):
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("there is no GIL to give up")
    block, resampler = np.resize(noise, samples), Resampler(44_100, 16_000)
    gate, ran = threading.Lock(), threading.Event()
    gate.acquire()

    def other():
        with gate:
            ran.set()

    thread = threading.Thread(target=other)
    thread.start()
    gate.release()
    resampler.feed(block)
    has_run = ran.is_set()
    thread.join()
    assert has_run is runs


def test_calls_of_many_threads_stay_whole():
    resampler = Resampler(48_000, 16_000)
    silence = np.zeros(960, np.int16)
    with ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(resampler.feed, [silence] * 400))
    assert sum(map(len, pieces)) + len(resampler.flush()) == 400 * 640


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_what_is_no_sample_or_too_loud_is_counted(rate_hz):
    resampler = Resampler(rate_hz, rate_hz)
    resampler.feed(np.array([math.nan, 0.5, 1.5, -2], np.float32))
    resampler.flush()
    assert (resampler.nan_samples, resampler.clipped_samples) == (1, 2)
