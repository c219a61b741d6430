"""One stream of speech: blocks of samples at any rate in, whole frames of 16 kHz out, the rest of a block carried on.

Shared by the loop and by microphone threads: the order in which blocks are taken is that in which their frames go on.
"""

from __future__ import annotations

import math
import numbers
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from gemini_live import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from typing_extensions import Buffer

    # NumPy's stubs know the buffer protocol from Python 3.12 on only
    Samples: TypeAlias = Buffer | npt.NDArray[Any]
    # takes a frame and the seconds of audio in it
    Take: TypeAlias = Callable[[bytes, float], object]

__all__ = ["NATIVE_RATE_HZ", "Defect", "Encoding", "Layout", "Speech", "defects_of", "whole_rate"]

NATIVE_RATE_HZ = 16_000
"""The rate that the service works with, and the only one that it is sent."""

_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 8_000, 192_000

Layout: TypeAlias = Literal["channels_last", "channels_first"]
"""Of a block with two dimensions: ``(n, channels)`` or ``(channels, n)``."""

Encoding: TypeAlias = Literal["pcm", "mulaw", "alaw"]
"""What bytes mean: 16-bit samples, or one sample each as in ITU-T G.711."""

Defect: TypeAlias = Literal["nan", "clipped"]
"""Of a sample: no number, so silence is sent; beyond full scale, so full scale is sent."""


def whole_rate(rate_hz: float) -> int:
    """A rate as the resampler takes it. PortAudio gives whole numbers as floats.

    Raises:
        TypeError: no number.
        ValueError: a fraction, or out of range.
    """
    accepted = f"rate_hz must be a whole number from {_LOWEST_RATE_HZ} to {_HIGHEST_RATE_HZ}"
    if not isinstance(rate_hz, numbers.Real):
        raise TypeError(f"{accepted}, not {type(rate_hz).__name__}")
    if not _LOWEST_RATE_HZ <= rate_hz <= _HIGHEST_RATE_HZ or rate_hz % 1:
        raise ValueError(f"{accepted}, not {rate_hz}")
    return int(rate_hz)


def defects_of(core: _core.AudioEncoder | _core.Resampler) -> Counter[Defect]:
    """How many of its samples could not be sent as they were."""
    return Counter[Defect]({"nan": core.nan_samples, "clipped": core.clipped_samples})


class Speech:
    """Brings speech to 16 kHz and cuts it into chunks.

    Args:
        chunk_ms: length of one chunk.
        preroll_ms: how much of the newest is kept while speech is held.
    """

    __slots__ = ("_chunk_s", "_chunk_samples", "_encoder", "_is_held", "_lock", "_past_defects", "_preroll", "_rate_hz")

    def __init__(self, chunk_ms: int, *, preroll_ms: int = 0) -> None:
        self._chunk_samples = NATIVE_RATE_HZ * chunk_ms // 1000
        self._chunk_s = self._chunk_samples / NATIVE_RATE_HZ
        self._rate_hz = NATIVE_RATE_HZ  # of the blocks so far
        self._encoder = _core.AudioEncoder(NATIVE_RATE_HZ, self._chunk_samples)
        self._past_defects = Counter[Defect]()  # of encoders for other rates
        self._preroll = deque[tuple[bytes, float]](maxlen=math.ceil(preroll_ms / chunk_ms))
        self._is_held = False
        self._lock = threading.Lock()

    def feed(
        self,
        block: Samples,
        rate_hz: float,
        take: Take,
        layout: Layout = "channels_last",
        encoding: Encoding = "pcm",
    ) -> None:
        """Hand the chunks that a block completes to ``take``, oldest first.

        Blocks may change their number of channels at any time. Another rate begins a stream of its own: what is left at
        the old one goes on first, to its last sample.

        Raises:
            TypeError: not samples of an accepted kind.
            ValueError: an impossible shape or rate, an empty block, an odd number of bytes. Nothing was taken.
        """
        with self._lock:
            if rate_hz == self._rate_hz:
                frames = self._encoder.encode(block, layout, encoding)
            else:
                rate_hz = whole_rate(rate_hz)
                successor = _core.AudioEncoder(rate_hz, self._chunk_samples)
                frames = successor.encode(block, layout, encoding)
                self._flush(self._keep if self._is_held else take)
                self._past_defects += defects_of(self._encoder)
                self._encoder, self._rate_hz = successor, rate_hz
            if self._is_held:
                self._preroll.extend((frame, self._chunk_s) for frame in frames)
                return
            for frame in frames:
                take(frame, self._chunk_s)

    def flush(self, take: Take) -> None:
        """Hand on what does not fill a chunk, because nothing will follow that belongs to it."""
        with self._lock:
            if not self._is_held:
                self._flush(take)

    def hold(self, take: Take | None = None) -> None:
        """Hand nothing on from here, but keep the newest; what came before goes on to ``take`` to its last sample."""
        with self._lock:
            if take is not None and not self._is_held:
                self._flush(take)
            self._is_held = True

    def resume(self, take: Take) -> None:
        """Hand on what was kept, and what comes from here on."""
        with self._lock:
            self._is_held = False
            while self._preroll:
                take(*self._preroll.popleft())

    def defects(self) -> Counter[Defect]:
        """How many samples could not be sent as they were, so far."""
        with self._lock:
            return self._past_defects + defects_of(self._encoder)

    def _keep(self, frame: bytes, duration_s: float) -> None:
        self._preroll.append((frame, duration_s))

    def _flush(self, take: Take) -> None:
        duration_s = self._encoder.pending_samples / NATIVE_RATE_HZ
        rest = self._encoder.flush()
        if rest is not None:
            take(rest, duration_s)
