"""Changes the rate of int16 samples, whole or in pieces: the one place that knows soxr.

It computes in float32, because soxr dithers int16, and a test wants the same samples twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import soxr  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]

if TYPE_CHECKING:
    from gemini_live.emulator.ledger import Samples

__all__ = ["Resampler", "resample"]


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """All of a recording."""
    return _int16(soxr.resample(samples.astype(np.float32), from_hz, to_hz))


class Resampler:
    """A stream. Holds back some tens of milliseconds until `flush`."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream: Any = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def feed(self, samples: Samples) -> Samples:
        """Takes a piece and gives what is ready."""
        return _int16(self._stream.resample_chunk(samples.astype(np.float32)))

    def flush(self) -> Samples:
        """Gives the rest; the stream is over."""
        return _int16(self._stream.resample_chunk(np.empty(0, np.float32), last=True))


def _int16(samples: Any) -> Samples:  # noqa: ANN401 - soxr has no types
    rounded: Samples = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return rounded
