"""How well the resampler filters: signal-to-noise ratio, ripple, stop-band and delay, measured from outside.

``pytest tests/test_resampler_quality.py -s`` prints the table of docs/audio.md. SciPy filters with coefficients that
are computed here, in double precision and at once; soxr, another design, says what there is to hear.
"""

from __future__ import annotations

import re
from functools import cache
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soxr
from scipy.signal import upfirdn

from gemini_live._core import Resampler

TO_16_KHZ = [48_000, 44_100, 32_000, 24_000, 22_050, 12_000, 11_025, 8_000]
RATIOS = [*((rate_hz, 16_000) for rate_hz in TO_16_KHZ), *((24_000, rate_hz) for rate_hz in (48_000, 44_100, 8_000))]
AWKWARD = [(47_999, 16_000), (192_000, 16_000), (16_000, 44_101), (8_000, 192_000)]

FULL_SCALE = 32_768


def resampled(signal, rate_in_hz, rate_out_hz):
    """Floats at full scale ±1 in, 16 bits out, on the same scale."""
    resampler = Resampler(rate_in_hz, rate_out_hz)
    return np.frombuffer(resampler.feed(signal) + resampler.flush(), "<i2") / FULL_SCALE


def band_hz(rate_in_hz, rate_out_hz):
    """Where the pass-band ends and the stop-band begins, as documented."""
    nyquist_hz = min(rate_in_hz, rate_out_hz) / 2
    return nyquist_hz - 2.0625 / min(16.5 / nyquist_hz, 0.00287), nyquist_hz


def tone(frequency_hz, rate_hz, seconds=0.25):
    return 0.9 * np.sin(2 * np.pi * frequency_hz / rate_hz * np.arange(round(seconds * rate_hz)))


def fitted(signal, frequency_hz, rate_hz):
    """The tone of this frequency that is closest to a signal, and what is left of it."""
    phase = 2 * np.pi * frequency_hz / rate_hz * np.arange(len(signal))
    basis = np.stack([np.sin(phase), np.cos(phase)], axis=1)
    factors = np.linalg.lstsq(basis, signal, rcond=None)[0]
    return factors, signal - basis @ factors


def db(ratio):
    return 20 * np.log10(max(ratio, 1e-9))


class Measured(NamedTuple):
    snr_db: float
    ripple_db: float
    stop_db: float
    delay_ms: float
    soxr_ms: float


def middle(signal):
    return signal[len(signal) // 8 : -len(signal) // 8]


@cache
def measure(rate_in_hz, rate_out_hz):
    pass_hz, stop_hz = band_hz(rate_in_hz, rate_out_hz)

    def response(frequency_hz):
        output = middle(resampled(tone(frequency_hz, rate_in_hz), rate_in_hz, rate_out_hz))
        (sine, cosine), rest = fitted(output, frequency_hz, rate_out_hz)
        return np.hypot(sine, cosine) / 0.9, np.sqrt(2) * np.std(rest) / 0.9

    gain, noise = response(1_000)
    snr_db = db(gain / noise)
    gains = [response(frequency_hz)[0] for frequency_hz in np.linspace(50, pass_hz, 40)]
    ripple_db = max(abs(db(gain)) for gain in gains)
    if rate_out_hz < rate_in_hz:  # what is above folds down, and the highest lobes are right behind the edge
        behind = np.linspace(stop_hz, min(1.25 * stop_hz, rate_in_hz / 2), 400)
        beyond = np.concatenate([behind, np.linspace(stop_hz, rate_in_hz / 2 * 0.999, 40)])
        outputs = (middle(resampled(tone(one, rate_in_hz), rate_in_hz, rate_out_hz)) for one in beyond)
        stop_db = max(db(np.sqrt(2) * np.std(output) / 0.9) for output in outputs)
    else:  # what is below has images above; those of the highest tones are right behind the edge
        stop_db = max(db(response(one)[1]) for one in np.linspace(50, stop_hz * 0.999, 400))
    return Measured(snr_db, ripple_db, stop_db, *(1_000 * one for one in hold_backs_s(rate_in_hz, rate_out_hz)))


def hold_backs_s(rate_in_hz, rate_out_hz):
    """What is missing after each 20 ms of a stream, on average: ours, and soxr's."""
    block = np.zeros(rate_in_hz // 50, np.int16)
    ours = Resampler(rate_in_hz, rate_out_hz)
    other = soxr.ResampleStream(rate_in_hz, rate_out_hz, 1, dtype="int16", quality="HQ")
    for give in (lambda: len(ours.feed(block)) // 2, lambda: len(other.resample_chunk(block))):
        given = np.cumsum([give() for _ in range(500)])
        fed = np.arange(1, 501) * len(block)
        yield float(np.mean((fed / rate_in_hz - given / rate_out_hz)[50:]))


@pytest.mark.parametrize("ratio", [*RATIOS, *AWKWARD], ids=str)
def test_the_figures_that_are_promised(ratio):
    measured = measure(*ratio)
    assert measured.snr_db >= 80
    assert measured.ripple_db <= 0.1
    assert measured.stop_db <= -80
    assert measured.delay_ms < 3
    assert Resampler(*ratio).delay_s < 0.003
    assert abs(measured.delay_ms / 1_000 - Resampler(*ratio).delay_s) <= 1 / min(ratio)


def test_speech_is_flat_to_7_khz_from_every_rate_that_has_it():
    for rate_hz in (22_050, 24_000, 32_000, 44_100, 48_000, 96_000):
        assert band_hz(rate_hz, 16_000)[0] >= 7_000


@pytest.mark.parametrize("ratio", [(48_000, 16_000), (8_000, 16_000)], ids=str)
def test_the_delay_is_a_tenth_of_soxrs(ratio):
    measured = measure(*ratio)
    assert measured.soxr_ms >= 10 * measured.delay_ms


@pytest.mark.parametrize("ratio", RATIOS, ids=str)
def test_scipy_gives_the_same_to_the_last_bit_but_one(ratio):
    """The whole design over again, in double precision."""
    rate_in_hz, rate_out_hz = ratio
    divisor = gcd(*ratio)
    up, down = rate_out_hz // divisor, rate_in_hz // divisor
    nyquist_hz = min(ratio) / 2
    half_s = min(16.5 / nyquist_hz, 0.00287)
    reach = int(half_s * rate_in_hz * up) + 1
    seconds = np.arange(-reach, reach + 1) / (rate_in_hz * up)
    place = np.clip(1 - (seconds / half_s) ** 2, 0, None)
    window = np.where(place > 1e-8, np.i0(7.954 * np.sqrt(place)), 0)
    cutoff_hz, lift_hz = nyquist_hz - 1.28 / half_s, nyquist_hz - 1.695 / half_s
    sinc = cutoff_hz * np.sinc(2 * cutoff_hz * seconds)
    taps = window * (sinc + 0.04 / half_s * np.cos(2 * np.pi * lift_hz * seconds))
    for phase in range(up):  # a constant has a gain of one in each
        taps[phase::up] /= taps[phase::up].sum()
    signal = np.random.default_rng(2).uniform(-0.5, 0.5, 4_000)
    expected = upfirdn(taps, signal, up, 1)[reach::down]
    ours = resampled(signal, *ratio)
    assert np.abs(ours - expected[: len(ours)]).max() <= 0.51 / FULL_SCALE


@pytest.mark.parametrize("ratio", RATIOS, ids=str)
def test_soxr_hears_no_difference(ratio):
    """Noise in the pass-band through both: within a few hundredths of a dB, and nothing is shifted."""
    rate_in_hz, _ = ratio
    pass_hz, _ = band_hz(*ratio)
    spectrum = np.fft.rfft(np.random.default_rng(3).normal(0, 0.1, rate_in_hz))
    spectrum[int(pass_hz * 0.9) :] = 0
    signal = np.fft.irfft(spectrum)
    ours, other = resampled(signal, *ratio), soxr.resample(signal, *ratio, quality="VHQ")
    length = min(len(ours), len(other))
    difference = middle(ours[:length] - other[:length])
    assert db(np.std(difference) / np.std(other)) < -45


def table():
    head = "| from → to, kHz | SNR at 1 kHz | ripple, to | stop-band, from | delay | delay of soxr HQ |"
    rows = []
    for rate_in_hz, rate_out_hz in RATIOS:
        measured = measure(rate_in_hz, rate_out_hz)
        pass_hz, stop_hz = band_hz(rate_in_hz, rate_out_hz)
        cells = (
            f"{rate_in_hz / 1000:g} → {rate_out_hz / 1000:g}",
            f"{measured.snr_db:.0f} dB",
            f"{measured.ripple_db:.2f} dB, {pass_hz / 1000:.2f} kHz",
            f"{measured.stop_db:.0f} dB, {stop_hz / 1000:g} kHz",
            f"{measured.delay_ms:.1f} ms",
            f"{measured.soxr_ms:.0f} ms",
        )
        # a unit stays with its number
        row = " | ".join(re.sub(r" (?=[dkm])", "\N{NO-BREAK SPACE}", cell) for cell in cells)
        rows.append(f"| {row} |")
    return "\n".join([head, "|---" * head.count(" |") + "|", *rows])


def test_the_table_of_the_page_is_what_is_measured():
    page = (Path(__file__).parent.parent / "docs" / "audio.md").read_text()
    print(f"\n{table()}")  # noqa: T201 - what -s is for
    assert table() in page
