# A program that draws one picture.
# ruff: noqa: ANN001, ANN201, D103, INP001
"""Draws docs/resampler.png: what becomes of a tone of each frequency, beside soxr; needs the dependency group ``soak``.

Measured from outside, tone by tone, through everything: what is drawn is what is sent.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import soxr
from matplotlib import pyplot as plt

from gemini_live._core import Resampler

mpl.use("Agg")

OURS, THEIRS, EDGE = "#1a5fb4", "#e66100", "#9a9996"


def tone(frequency_hz, rate_hz):
    return 0.9 * np.sin(2 * np.pi * frequency_hz / rate_hz * np.arange(rate_hz // 10))


def level_db(signal):
    inner = signal[len(signal) // 5 : -len(signal) // 5]
    return 20 * np.log10(np.sqrt(2) * np.std(inner) / 0.9 + 1e-6)


def ours(signal, rate_in_hz, rate_out_hz):
    resampler = Resampler(rate_in_hz, rate_out_hz)
    return np.frombuffer(resampler.feed(signal) + resampler.flush(), "<i2") / 32_768


def theirs(signal, rate_in_hz, rate_out_hz):
    return np.rint(soxr.resample(signal, rate_in_hz, rate_out_hz, quality="HQ") * 32_768) / 32_768


def main():
    figure, ((whole, edge), (telephone, delay)) = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained")

    for axes, rate_in_hz, most_hz in ((whole, 48_000, 24_000), (telephone, 24_000, 12_000)):
        rate_out_hz = 16_000 if axes is whole else 8_000
        frequencies_hz = np.linspace(50, most_hz * 0.998, 400)
        for name, resample, colour in (("soxr HQ", theirs, THEIRS), ("gemini-live", ours, OURS)):
            levels = [level_db(resample(tone(one, rate_in_hz), rate_in_hz, rate_out_hz)) for one in frequencies_hz]
            axes.plot(frequencies_hz / 1000, levels, color=colour, lw=1.4, label=name)
        axes.axvline(rate_out_hz / 2000, color=EDGE, lw=0.8, ls="--")
        axes.axhline(-80, color=EDGE, lw=0.8, ls=":")
        axes.set(
            ylim=(-115, 5),
            title=f"{rate_in_hz // 1000} → {rate_out_hz // 1000} kHz: what a tone leaves, aliases included",
        )
        axes.annotate(
            "folding edge", (rate_out_hz / 2000, -8), xytext=(6, 0), textcoords="offset points", color="#5e5c64"
        )
    whole.annotate("−80 dB", (21.5, -78.5), color="#5e5c64")

    for rate_in_hz, style in ((48_000, "-"), (44_100, "--"), (22_050, ":")):
        frequencies_hz = np.linspace(200, 7_600, 300)
        levels = [level_db(ours(tone(one, rate_in_hz), rate_in_hz, 16_000)) for one in frequencies_hz]
        edge.plot(frequencies_hz / 1000, levels, color=OURS, ls=style, lw=1.4, label=f"{rate_in_hz / 1000:g} → 16 kHz")
    edge.axhspan(-0.1, 0.1, color=EDGE, alpha=0.25, lw=0)
    edge.axvline(7, color=EDGE, lw=0.8, ls="--")
    edge.set(ylim=(-1, 0.3), title="The pass-band, and ±0.1 dB to 7 kHz")

    rates_hz = [48_000, 44_100, 32_000, 24_000, 22_050, 8_000]
    places = np.arange(len(rates_hz))
    block_ms = 20
    for offset, name, colour in ((0.2, "soxr HQ", THEIRS), (-0.2, "gemini-live", OURS)):
        held = [hold_back_ms(name, rate_hz, block_ms) for rate_hz in rates_hz]
        bars = delay.barh(places + offset, held, 0.38, color=colour, label=name)
        delay.bar_label(bars, [f"{one:.0f}" if one > 10 else f"{one:.1f}" for one in held], padding=3)
    delay.set_yticks(places, [f"{rate_hz / 1000:g} → 16 kHz" for rate_hz in rates_hz])
    delay.invert_yaxis()
    delay.set(xlim=(0, 72), title="Held back, mean in ms, in blocks of 20 ms", xlabel="ms")

    for axes in (whole, edge, telephone):
        axes.set(xlabel="frequency of the tone, kHz", ylabel="level, dB")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left")
    delay.legend(loc="center right")
    figure.savefig(Path(__file__).with_name("resampler.png"), dpi=110)


def hold_back_ms(name, rate_hz, block_ms):
    block = np.zeros(rate_hz * block_ms // 1000, np.int16)
    if name == "soxr HQ":
        stream = soxr.ResampleStream(rate_hz, 16_000, 1, dtype="int16", quality="HQ")
        given = [len(stream.resample_chunk(block)) for _ in range(500)]
    else:
        resampler = Resampler(rate_hz, 16_000)
        given = [len(resampler.feed(block)) // 2 for _ in range(500)]
    fed_s = np.arange(1, 501) * len(block) / rate_hz
    return float(np.mean((fed_s - np.cumsum(given) / 16_000)[50:]) * 1000)


if __name__ == "__main__":
    main()
