"""The soak's picture: one panel for each thing that must stay flat, all on the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from .soak import Sample
    from .trend import Trend

_MIB = 2**20


def plot(samples: list[Sample], judged_from_s: float, line: Trend, path: Path, sessions: int) -> None:
    """Draw it."""
    minutes = [sample.time_s / 60 for sample in samples]
    ends = judged_from_s / 60, minutes[-1]
    figure, panels = plt.subplots(5, 1, figsize=(10, 13), sharex=True, constrained_layout=True)
    figure.suptitle(f"{sessions} sessions, 50 chunks/s each, {samples[-1].reconnects:,} reconnects")
    for panel in panels:
        panel.axvspan(0, ends[0], color="0.93", lw=0)
        panel.grid(visible=True, color="0.9")
        panel.spines[["top", "right"]].set_visible(False)
    memory, counts, threads, waits, lags = panels

    memory.plot(minutes, [sample.rss / _MIB for sample in samples], color="C0", lw=1, label="client")
    fitted = [line.at(60 * end) / _MIB for end in ends]
    label = f"slope {60 * line.slope / 1024:+.1f} KiB/min"
    memory.plot(ends, fitted, color="C3", lw=2, label=label)
    judged = [sample.rss / _MIB for sample in samples if sample.time_s >= judged_from_s]
    room = max(1.0, max(judged) - min(judged))
    memory.set_ylim(min(judged) - 2 * room, max(judged) + 2 * room)
    memory.set_ylabel("memory (RSS), MiB")
    memory.legend(loc="upper right", ncols=2)
    memory.text(0.005, 0.95, "warm-up, not judged", transform=memory.transAxes, va="top", color="0.4")

    counts.plot(minutes, [sample.tasks for sample in samples], lw=1, label="tasks")
    counts.plot(minutes, [sample.fds for sample in samples], lw=1, label="file descriptors")
    counts.set_ylim(0, 1.3 * max(sample.tasks for sample in samples))
    counts.set_ylabel("count")
    counts.legend(loc="upper right", ncols=2)

    threads.plot(minutes, [sample.away for sample in samples], lw=1, label="sessions reconnecting")
    threads.plot(minutes, [sample.threads for sample in samples], lw=1, label="threads")
    threads.set_ylim(0, 1.3 * max(max(sample.threads, sample.away) for sample in samples))
    threads.set_ylabel("count")
    threads.legend(loc="upper right", ncols=2)

    waits.plot(minutes, [sample.waiting_s for sample in samples], lw=1)
    waits.axhline(2.0, color="0.5", ls="--", lw=1)
    waits.text(ends[1], 2.0, "audio expires", ha="right", va="bottom", color="0.4")
    waits.set_ylim(0, 2.4)
    waits.set_ylabel("oldest waiting message, s")

    lags.semilogy(minutes, [max(0.1, sample.lag_ms) for sample in samples], lw=1)
    lags.set_ylabel("longest loop lag, ms")
    lags.set_xlabel("minutes")
    lags.set_xlim(0, minutes[-1])
    figure.savefig(path, dpi=100)
    plt.close(figure)
