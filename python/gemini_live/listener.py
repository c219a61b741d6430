"""Lets a voice activity detector of the user's own say what is sent, and marks where speech begins and ends."""

from __future__ import annotations

import math
import threading
from collections import Counter
from typing import TYPE_CHECKING, Literal, TypeAlias

from gemini_live import _core
from gemini_live.speech import NATIVE_RATE_HZ, Defect, Speech, defects_of, whole_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from gemini_live.config import SpeechPolicy
    from gemini_live.speech import Encoding, Layout, Samples, Take

    # takes the marks, in order with the frames
    Mark: TypeAlias = Callable[["ActivityMark"], object]

__all__ = ["ActivityMark", "Listener"]

ActivityMark: TypeAlias = Literal["activity_start", "activity_end"]

_SAMPLE_BYTES = 2


class Listener:
    """Hears all speech at 16 kHz, chunk by chunk, and hands on what the detector takes for speech.

    That begins with the pre-roll, and ends with the pause that must follow before it is over.

    Args:
        chunk_ms: length of one chunk, also of what the detector is given.
        policy: whose detector.
    """

    def __init__(self, chunk_ms: int, policy: SpeechPolicy) -> None:
        assert policy.detector is not None  # noqa: S101 - for the type checkers; who makes a listener has looked
        import numpy as np  # noqa: PLC0415 - slow to import, and only those need it who have a detector

        self._detector = policy.detector
        self._truths = bool, np.bool_
        self._samples_of: Callable[[bytes], npt.NDArray[np.int16]] = lambda chunk: np.frombuffer(chunk, "<i2")
        self._speech = Speech(chunk_ms, preroll_ms=policy.preroll_ms)
        self._speech.hold()
        self._chunk_bytes = NATIVE_RATE_HZ * chunk_ms // 1000 * _SAMPLE_BYTES
        self._patience = max(1, math.ceil(policy.hangover_ms / chunk_ms))
        self._resampler = _core.Resampler(NATIVE_RATE_HZ, NATIVE_RATE_HZ)
        self._past_defects = Counter[Defect]()  # of resamplers for other rates
        self._rest = b""
        self._is_active = False
        self._is_forgotten = False
        self._silent_chunks = 0
        self._lock = threading.Lock()

    def feed(  # noqa: PLR0913, PLR0917 - a block, what describes it, and where it goes
        self,
        block: Samples,
        rate_hz: float,
        take: Take,
        mark: Mark,
        layout: Layout = "channels_last",
        encoding: Encoding = "pcm",
    ) -> None:
        """Hand on what a block completes: frames to ``take``, the marks around them to ``mark``.

        Raises:
            TypeError: not samples of an accepted kind.
            ValueError: an impossible shape or rate, an empty block, an odd number of bytes. Nothing was taken.
            Exception: the detector's own. Its chunk goes the way of the one before it, what follows waits for the next
                call.
        """
        with self._lock:
            if rate_hz == self._resampler.rate_in_hz:
                pcm = self._rest + self._resampler.feed(block, layout, encoding)
            else:
                successor = _core.Resampler(whole_rate(rate_hz), NATIVE_RATE_HZ)
                begun = successor.feed(block, layout, encoding)
                pcm = self._rest + self._resampler.flush() + begun
                past, self._resampler = self._resampler, successor
                self._past_defects += defects_of(past)
            heard = 0
            try:
                while len(pcm) - heard >= self._chunk_bytes:
                    start, heard = heard, heard + self._chunk_bytes
                    self._hear(pcm[start:heard], take, mark)
            finally:
                self._rest = pcm[heard:]

    def forget(self) -> None:
        """The service does not know of an activity that has begun: if it goes on, it is marked anew.

        Without the lock, which is held for as long as a detector takes; so it is done with the next chunk.
        """
        self._is_forgotten = True

    def _catch_up(self) -> None:
        if self._is_forgotten:
            self._is_forgotten = self._is_active = False
            self._speech.hold()

    def _hear(self, chunk: bytes, take: Take, mark: Mark) -> None:
        self._catch_up()
        try:
            somebody_speaks = self._verdict(chunk)
        except BaseException:
            self._speech.feed(chunk, NATIVE_RATE_HZ, take)
            raise
        if somebody_speaks:
            self._silent_chunks = 0
            if not self._is_active:
                self._is_active = True
                mark("activity_start")
                self._speech.resume(take)
        else:
            self._silent_chunks += 1
        self._speech.feed(chunk, NATIVE_RATE_HZ, take)
        if self._is_active and self._silent_chunks >= self._patience:
            self._end(mark)

    def _verdict(self, chunk: bytes) -> bool:
        verdict: object = self._detector(self._samples_of(chunk))
        if isinstance(verdict, self._truths):
            return bool(verdict)
        # a probability would always be true, and what a forgotten `return` gives never
        raise TypeError(f"the detector must return True or False, not {type(verdict).__name__} {verdict!r}")

    def _end(self, mark: Mark) -> None:
        self._is_active = False
        self._speech.hold()
        mark("activity_end")

    def defects(self) -> Counter[Defect]:
        """How many samples could not be heard as they were, so far.

        Without the lock, which is held for as long as a detector takes.
        """
        return self._past_defects + defects_of(self._resampler)

    def finish(self, take: Take, mark: Mark) -> None:
        """Nothing more comes: what is being said ends here."""
        with self._lock:
            self._catch_up()
            rest, self._rest = self._rest + self._resampler.flush(), b""
            if self._is_active:
                if rest:
                    self._speech.feed(rest, NATIVE_RATE_HZ, take)
                    self._speech.flush(take)
                self._end(mark)
