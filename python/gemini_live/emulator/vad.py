"""Voice activity detection by energy: a stand-in for the service's, with its timing and without its judgement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from gemini_live.emulator.ledger import Samples

__all__ = ["FRAME", "RATE_HZ", "Activity", "Vad"]

RATE_HZ: Final = 16_000
FRAME: Final = 320
"""Samples that are judged together: 20 ms."""

_LOUD_RMS: Final = {"HIGH": 300.0, "LOW": 600.0}
"""Energy that counts as speech, by sensitivity; a choice of ours, some -40 dBFS and -35 dBFS."""


class Activity(NamedTuple):
    """Speech began or ended."""

    type: Literal["ACTIVITY_START", "ACTIVITY_END"]
    position: int
    """Samples received when it was noticed, at 16 kHz, since the start of the session."""
    utterance: Samples
    """At the end: the speech without the silence that ended it, at 16 kHz."""


_NOTHING: Final = np.empty(0, np.int16)


class Vad:
    """Turns a stream of samples into activities. Knows no time but the samples'.

    Speech is committed after ``start_ms`` of loud frames, less one for each quiet frame between them, and ended by
    ``silence_ms`` of quiet frames (measured: start after 150-190 ms, end after about 700 ms).
    """

    def __init__(self) -> None:
        self.start_ms = 160
        self.silence_ms = 700
        self.sensitivity: Literal["HIGH", "LOW"] = "HIGH"
        self.position = 0
        self.speaking = False
        self._rest = _NOTHING
        self._frames: list[Samples] = []
        self._score = 0
        self._silence = 0

    def copy(self) -> Vad:
        """An independent one in the same state."""
        other = Vad()
        other.__dict__ |= self.__dict__ | {"_frames": self._frames.copy()}
        return other

    @property
    def speech_frames(self) -> int:
        """Frames of the speech that is going on, without the silence that may end it."""
        return len(self._frames) - self._silence if self.speaking else 0

    def feed(self, samples: Samples) -> list[Activity]:
        """Takes samples at 16 kHz, however many."""
        samples = np.concatenate([self._rest, samples])
        count = len(samples) // FRAME
        self._rest = samples[count * FRAME :]
        frames = samples[: count * FRAME].reshape(count, FRAME)
        loud = np.square(frames, dtype=np.float32).mean(axis=1) >= _LOUD_RMS[self.sensitivity] ** 2
        found = [self._frame(frame, loud=bool(is_loud)) for frame, is_loud in zip(frames, loud, strict=True)]
        return [activity for activity in found if activity is not None]

    def flush(self) -> list[Activity]:
        """The stream pauses: what is left over is heard, and speech ends here."""
        rest, self._rest = self._rest, _NOTHING
        self.position += len(rest)
        if self.speaking:
            if not self._silence:
                self._frames.append(rest)
            return [self._end()]
        self._frames.clear()
        self._score = 0
        return []

    def _frame(self, frame: Samples, *, loud: bool) -> Activity | None:
        self.position += FRAME
        if self.speaking:
            self._frames.append(frame)
            self._silence = 0 if loud else self._silence + 1
            return self._end() if self._silence * 20 >= self.silence_ms else None
        self._score += 1 if loud else -1
        if self._score <= 0:
            self._score = 0
            self._frames.clear()
            return None
        self._frames.append(frame)
        if self._score * 20 < self.start_ms:
            return None
        self.speaking, self._silence = True, 0
        return Activity("ACTIVITY_START", self.position, _NOTHING)

    def _end(self) -> Activity:
        utterance = np.concatenate(self._frames[: len(self._frames) - self._silence])
        self._frames.clear()
        self.speaking, self._score, self._silence = False, 0, 0
        return Activity("ACTIVITY_END", self.position, utterance)
