"""Audio in: any declared rate becomes 16 kHz, and 16 kHz becomes utterances, by detection or by the client's marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gemini_live.emulator.resampling import Resampler
from gemini_live.emulator.vad import RATE_HZ, Activity, Vad

if TYPE_CHECKING:
    from gemini_live.emulator.ledger import Log, Samples

__all__ = ["Ear"]


class Ear:
    """Hears one session, across its connections.

    Attributes:
        vad: the detection, and the position in the stream.
        manual: the client marks activity itself (``automaticActivityDetection.disabled``).
    """

    def __init__(self) -> None:
        self.vad = Vad()
        self.manual = False
        self._window: list[Samples] | None = None
        self._stream: Resampler | None = None
        self._rate_hz = RATE_HZ
        self._since: int | None = None  # where in the log the resampler began

    def mark(self) -> Ear:
        """This ear as it is now, to be kept; `branch` makes it live again, for a resampler cannot be copied."""
        return self._copy(None)

    def branch(self, log: Log) -> Ear:
        """An ear that starts from this mark and goes its own way.

        Its resampler hears again what the old one had heard: the log's entries since it was made. Without a recording
        it starts afresh.
        """
        return self._copy(log)

    def _copy(self, log: Log | None) -> Ear:
        other = Ear()
        other.vad, other.manual = self.vad.copy(), self.manual
        other._window = None if self._window is None else self._window.copy()
        other._rate_hz, other._since = self._rate_hz, self._since
        if log is not None and self._since is not None:
            other._stream = Resampler(self._rate_hz, RATE_HZ)
            for entry in log.entries[self._since : log.counts.total()]:
                if entry.kind == "audio":
                    other._stream.feed(entry.content)
        return other

    def hear(self, samples: Samples, rate_hz: int, entry: int) -> list[Activity]:
        """Takes one chunk; ``entry`` is its place in the log."""
        activities: list[Activity] = []
        if rate_hz != self._rate_hz:
            activities += self._flush_resampler()
            self._rate_hz = rate_hz
        if rate_hz != RATE_HZ and self._stream is None:
            self._stream, self._since = Resampler(rate_hz, RATE_HZ), entry
        return activities + self._take(samples if self._stream is None else self._stream.feed(samples))

    def _take(self, samples: Samples) -> list[Activity]:
        if not self.manual:
            return self.vad.feed(samples)
        self.vad.position += len(samples)
        if self._window is not None:
            self._window.append(samples)
        return []

    def _flush_resampler(self) -> list[Activity]:
        stream, self._stream, self._since = self._stream, None, None
        return [] if stream is None else self._take(stream.flush())

    def flush(self) -> list[Activity]:
        """The stream pauses (``audioStreamEnd``)."""
        return self._flush_resampler() + self.vad.flush()

    @property
    def open(self) -> bool:
        """Whether the client has marked a start without an end."""
        return self._window is not None

    def start(self) -> Activity:
        """The client marks the start of activity."""
        self._flush_resampler()
        self._window = self._window or []
        return Activity("ACTIVITY_START", self.vad.position, np.empty(0, np.int16))

    def end(self) -> list[Activity]:
        """The client marks the end of activity; gives nothing if none had started."""
        if self._window is None:
            return []
        self._flush_resampler()
        utterance = np.concatenate([np.empty(0, np.int16), *self._window])
        self._window = None
        return [Activity("ACTIVITY_END", self.vad.position, utterance)]
