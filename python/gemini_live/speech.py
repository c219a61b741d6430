"""One stream of speech: blocks of samples in, whole messages out, with the rest of a block carried to the next.

Shared by the loop and by microphone threads: the order in which blocks are taken is that in which their messages go on.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeAlias

from gemini_live import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from typing_extensions import Buffer

    # NumPy's stubs know the buffer protocol from Python 3.12 on only
    Samples: TypeAlias = Buffer | npt.NDArray[Any]
    # takes a message and the seconds of audio in it
    Take: TypeAlias = Callable[[bytes, float], object]

__all__ = ["NATIVE_RATE_HZ", "Speech"]

NATIVE_RATE_HZ = 16_000
"""The rate that the service works with; it resamples others."""


class Speech:
    """Cuts speech into chunks.

    Args:
        chunk_ms: length of one message.
    """

    def __init__(self, chunk_ms: int) -> None:
        self._chunk_ms = chunk_ms
        self._encoder = self._encoder_for(NATIVE_RATE_HZ)
        self._lock = threading.Lock()

    def feed(self, block: Samples, rate_hz: int, take: Take) -> None:
        """Hand the chunks that a block completes to ``take``, oldest first.

        Raises:
            TypeError: not samples of an accepted kind.
            ValueError: an impossible shape or rate, an empty block, an odd number of bytes. Nothing was taken.
        """
        with self._lock:
            encoder = self._encoder
            if rate_hz != encoder.rate_hz:
                successor = self._encoder_for(rate_hz)
                messages = successor.encode(block)
                self._flush(take)  # what is left at the old rate cannot be joined to the new
                self._encoder = encoder = successor
            else:
                messages = encoder.encode(block)
            for message in messages:
                take(message, encoder.chunk_samples / rate_hz)

    def flush(self, take: Take) -> None:
        """Hand on what does not fill a chunk, because nothing will follow that belongs to it."""
        with self._lock:
            self._flush(take)

    def _flush(self, take: Take) -> None:
        duration_s = self._encoder.pending_samples / self._encoder.rate_hz
        rest = self._encoder.flush()
        if rest is not None:
            take(rest, duration_s)

    def _encoder_for(self, rate_hz: int) -> _core.AudioEncoder:
        return _core.AudioEncoder(rate_hz, max(1, round(rate_hz * self._chunk_ms / 1000)))
