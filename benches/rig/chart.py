"""The picture of a run: CPU time of a session, latency, and the codec, each with its spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from rig.statistics import Spread

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

_COLOURS = {"raw": "0.65", "rust": "C1", "ours": "C0", "aiohttp": "C2", "official": "C3"}
_CODEC = {
    "encode 20 ms of bytes": "bytes to a message, 20 ms",
    "encode 20 ms of float32 stereo": "stereo float32 to a message, 20 ms",
    "encode an image of 100 KB": "JPEG of 100 KB to a message",
    "decode 40 ms": "message to samples, 40 ms",
}


def draw(results: Mapping[str, Any], path: Path, caption: str) -> None:
    """Draw what there are results of: ``duplex``, ``latency``, ``python``."""
    figure = plt.figure(figsize=(13, 11), constrained_layout=True)
    grid = figure.add_gridspec(2, 2, height_ratios=[1.25, 1])
    if "duplex" in results:
        _duplex(figure.add_subplot(grid[0, :]), results["duplex"])
    if "latency" in results:
        _latency(figure.add_subplot(grid[1, 0]), results["latency"])
    if "python" in results:
        _codec(figure.add_subplot(grid[1, 1]), results["python"])
    figure.supxlabel(caption, fontsize=8, color="0.4")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _tidy(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="x", color="0.9")
    axes.set_axisbelow(True)


def _errors(spreads: list[Spread]) -> list[list[float]]:
    return [[one.median - one.low for one in spreads], [one.high - one.median for one in spreads]]


def _duplex(axes: Axes, duplex: Mapping[str, Any]) -> None:
    costs = {name: Spread.of(rounds) for name, rounds in duplex["us_per_session_second"].items()}
    names = sorted(costs, key=lambda name: costs[name].median, reverse=True)
    spreads = [costs[name] for name in names]
    medians = [one.median for one in spreads]
    colours = [_COLOURS[name.split("-")[0]] for name in names]
    bars = axes.barh(names, medians, xerr=_errors(spreads), color=colours, ecolor="0.2", capsize=3)
    labels = [f"  {1e6 / median:,.0f} a core" for median in medians]
    axes.bar_label(bars, labels, fontsize=9)
    axes.set_xlim(0, max(one.high for one in spreads) * 1.12)
    axes.set_xlabel("CPU time for a second of a session, µs (median, 10th to 90th percentile of the rounds)")
    most = max(duplex["sessions"].values())
    _tidy(axes, f"Duplex over TLS, 50 chunks/s up and 25 messages/s down; {most} sessions (the official SDK: fewer)")


def _latency(axes: Axes, latency: Mapping[str, Any]) -> None:
    for sessions, rows in latency["percentiles_us"].items():
        row = rows["send_audio to kernel"]
        points = [name for name in row if name != "100"]
        values = [row[name] / 1e3 for name in points]
        axes.plot(points, values, marker="o", label=f"{sessions} session{'s' if sessions != '1' else ''}")
    axes.axhline(1.0, color="0.5", ls="--", lw=1)
    axes.text(0, 1.0, "goal for p99 of 100 sessions", va="bottom", color="0.4", fontsize=9)
    axes.set_yscale("log")
    axes.set_ylabel("ms (log)")
    axes.set_xlabel("percentile")
    axes.legend()
    _tidy(axes, "From send_audio to the kernel")
    axes.grid(visible=True, axis="y", color="0.9")


def _codec(axes: Axes, python: Mapping[str, Any]) -> None:
    place, ticks, labels = 0.0, [], []
    for group, title in reversed(_CODEC.items()):
        rows = sorted(
            (one for one in python["benchmarks"] if one["group"] == group), key=lambda one: -one["stats"]["median"]
        )
        for row in rows:
            stats, contender = row["stats"], row["params"]["contender"]
            median = 1e6 * stats["median"]
            errors = [[median - 1e6 * stats["q1"]], [1e6 * stats["q3"] - median]]
            colour = "C0" if contender.startswith("core") else "C3" if contender.startswith("official") else "C2"
            axes.barh(place, median, xerr=errors, color=colour, ecolor="0.2", capsize=2)
            ticks.append(place)
            labels.append(contender)
            place += 1
        axes.text(
            0.99, place - 0.45, title, transform=axes.get_yaxis_transform(), ha="right", fontsize=9, weight="bold"
        )
        place += 1
    axes.set_yticks(ticks, labels, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("µs a call (log; median, quartiles)")
    _tidy(axes, "The codec; only the core's messages are framed and masked")
