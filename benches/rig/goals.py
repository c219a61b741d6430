"""The goals, as data: what is measured, against whom, and what counts as met. A bench names the goal it measures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rig.statistics import Spread

__all__ = ["GOALS", "Goal", "write"]

_NO_BREAK = "\N{NO-BREAK SPACE}"  # a goal stands in a narrow column


class Goal(NamedTuple):
    """One row of the table."""

    what: str
    against: str
    bound: float
    at_least: bool
    unit: str = "×"

    def met(self, figure: float) -> bool:
        return figure >= self.bound if self.at_least else figure <= self.bound

    def __str__(self) -> str:
        sign = f"≥{_NO_BREAK}" if self.at_least else f"≤{_NO_BREAK}" if self.bound else ""
        return f"{sign}{self.bound:g}{_spaced(self.unit)}"

    def show(self, figure: Spread) -> str:
        """A measured figure with its spread, to three significant digits."""
        spread = f" ({_shown(figure.low)} to {_shown(figure.high)})" if figure.low != figure.high else ""
        return f"{_shown(figure.median)}{_spaced(self.unit)}{spread}"


def _shown(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _spaced(unit: str) -> str:
    return unit if unit in ("", "×") else f"{_NO_BREAK}{unit}"


_DUPLEX = "sessions per core with `[fast]`, 50 chunks/s up and 25 down each, TLS"
_CPU = "CPU time of the duplex with `[fast]`"
_AIOHTTP = "aiohttp + orjson + pybase64, a task per session"
_RAW = "the raw transport: prebuilt frames out, bytes discarded, same loop and pacing"
_CRATE = "the Rust crate gemini-live 0.1.8"
_CONCATENATION = "pybase64 + concatenation, which neither frames nor masks"

GOALS = {
    "official_push": Goal(f"{_DUPLEX}; pushed from one tick", "the official SDK", 8, at_least=True),
    "official_task": Goal(f"{_DUPLEX}; a task per session", "the official SDK", 6, at_least=True),
    "aiohttp_push": Goal(f"{_DUPLEX}; pushed from one tick", _AIOHTTP, 2, at_least=True),
    "aiohttp_task": Goal(f"{_DUPLEX}; a task per session", _AIOHTTP, 2, at_least=True),
    "raw_push": Goal(f"{_CPU}; pushed from one tick", _RAW, 1.2, at_least=False),
    "raw_task": Goal(f"{_CPU}; a task per session", _RAW, 1.2, at_least=False),
    "encode_chunk": Goal("encode a 20 ms chunk to a masked frame: time", _CONCATENATION, 0.6, at_least=False),
    "encode_resampled": Goal(
        "encode 20 ms of 48 kHz stereo float32 (downmix, resample, frame): speed",
        "the same in NumPy + soxr + pybase64",
        5,
        at_least=True,
    ),
    "encode_image": Goal("encode a 100 KB JPEG to a masked frame: time", _CONCATENATION, 1.0, at_least=False),
    "decode_message": Goal("decode a 40 ms message: speed", "orjson + pybase64", 5, at_least=True),
    "crate_encode": Goal("the codec alone, 20 ms to a masked frame: speed", f"{_CRATE} (no frame)", 2, at_least=True),
    "crate_decode": Goal("the codec alone, a 40 ms message: speed", _CRATE, 2, at_least=True),
    "crate_push": Goal(f"{_CPU}; pushed from one tick", _CRATE, 1.3, at_least=False),
    "crate_task": Goal(f"{_CPU}; a task per session", _CRATE, 1.3, at_least=False),
    "resampler_delay_48": Goal("resampler delay, 48 to 16 kHz: shorter", "soxr HQ, streaming", 10, at_least=True),
    "resampler_delay_8": Goal("resampler delay, 8 to 16 kHz: shorter", "soxr HQ, streaming", 10, at_least=True),
    "resampler_delay_ms": Goal("resampler delay, the longer of the two", "", 3, at_least=False, unit="ms"),
    "resampler_stop_band": Goal("resampler, stop-band attenuation", "", 80, at_least=True, unit="dB"),
    "latency": Goal(
        "chunk in → with the kernel, 100 sessions on one loop with `[fast]`, p99", "", 1, at_least=False, unit="ms"
    ),
    "blocked": Goal(
        "longest callback of the loop, 100 sessions with `[fast]`, CPU time without the garbage collector's",
        "",
        1,
        at_least=False,
        unit="ms",
    ),
    "video_stall": Goal(
        "send a 720p picture: how long the loop stands still", "Pillow on the loop", 0.5, at_least=False
    ),
    "stalled": Goal(
        "stalled network: unsent audio that has left the outbox and cannot expire", "", 400, at_least=False, unit="ms"
    ),
    "planned_move": Goal(
        "planned move (goAway): chunks out of order, lost or repeated", "", 0, at_least=False, unit=""
    ),
    "import_time": Goal("import time", "the official SDK", 0.5, at_least=False),
}


def write(path: Path, goals: Mapping[str, Spread], details: Mapping[str, Any]) -> None:
    """Keep what a program has measured: goals by their key, and whatever else there is to know.

    Raises:
        KeyError: there is no such goal.
    """
    for key in goals:
        GOALS[key]  # a misspelt key would only be missed in the table
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {"goals": {key: figure._asdict() for key, figure in goals.items()}, **details}
    path.write_text(json.dumps(kept, indent=1) + "\n")
