"""When the connection is disturbed: in the middle of a sentence, and at a moment that proves something.

The service gives a handle to resume from after each turn. So the first sentence is left in peace, and the best moment
is one at which the user speaks while every earlier question is answered: what has to be said again then is exactly
what was not answered yet. The emulator's own ear, which works on samples and not on time, tells beforehand where the
sentences are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import gemini_live as live
from gemini_live.emulator.ear import Ear
from gemini_live.emulator.vad import RATE_HZ

if TYPE_CHECKING:
    from gemini_live.demo.scene import Scene
    from gemini_live.demo.wav import Speech
    from gemini_live.emulator import Emulator
    from gemini_live.emulator.vad import Activity

__all__ = ["Saboteur", "Sentence", "sentences_in"]

_FROM, _LAST_CHANCE, _TO = 0.35, 0.65, 0.92
"""The middle of a sentence, as parts of its length."""
_REST_S = 0.25
_NOTICE_S = 50.0


class Sentence(NamedTuple):
    """A stretch of speech that the service will answer, in samples of the file."""

    start: int
    end: int
    noticed: int
    """How much the service must have been given to know that it is over."""


def sentences_in(speech: Speech) -> list[Sentence]:
    """Find the sentences: what the emulator will take for turns."""
    ear = Ear()
    found: list[Sentence] = []
    started = given = 0
    to_file = speech.rate_hz / RATE_HZ

    def heard(activities: list[Activity]) -> None:
        nonlocal started
        for activity in activities:
            if activity.type == "ACTIVITY_START":
                started = activity.position - ear.vad.start_ms * RATE_HZ // 1000
            else:
                end = started + len(activity.utterance)
                found.append(Sentence(round(started * to_file), round(end * to_file), given))

    # piece by piece, as it will be, because a resampler holds some of it back
    for block in speech.blocks():
        mono = speech.mono[given : given + len(block)]
        given += len(block)
        heard(ear.hear(mono, speech.rate_hz, 0))
    heard(ear.flush())
    return found


class Saboteur:
    """Strikes twice: a goAway, then a cable that is cut."""

    STRIKES: Final = 2

    def __init__(self, emulator: Emulator, scene: Scene, sentences: list[Sentence]) -> None:
        self._emulator = emulator
        self._scene = scene
        self._sentences = sentences
        self._struck: list[Sentence | None] = []
        self._at_rest_from: int | None = None

    @property
    def done(self) -> int:
        """How often it has struck."""
        return len(self._struck)

    @property
    def ready(self) -> bool:
        """The session has overcome all that was done to it, and could be disturbed again."""
        scene = self._scene
        return scene.stats.reconnects == self.done and scene.status is live.SessionStatus.CONNECTED and scene.has_handle

    async def consider(self) -> None:
        """Strike if this is a good moment; to be called before each block."""
        position = self._scene.sent_samples
        at_rest = self._has_rested(position)
        place = next((n for n, one in enumerate(self._sentences) if one.start <= position < one.end), None)
        if place is None or self.done == self.STRIKES or not self.ready:
            return
        sentence = self._sentences[place]
        share = (position - sentence.start) / (sentence.end - sentence.start)
        left = len(self._sentences) - 1 - place
        last_chance = left < self.STRIKES - self.done and share >= _LAST_CHANCE
        if sentence not in self._struck and _FROM <= share < _TO and (at_rest or last_chance):
            await self.strike(sentence)

    def _has_rested(self, position: int) -> bool:
        """Whether nothing was open for a while of speech, which is then what must be said again."""
        if not self._scene.at_rest:
            self._at_rest_from = None
        elif self._at_rest_from is None:
            self._at_rest_from = position
        began = self._at_rest_from
        return began is not None and position - began >= _REST_S * self._scene.speech.rate_hz

    async def strike(self, sentence: Sentence | None = None) -> None:
        """Do it now."""
        where = "in silence" if sentence is None else "in mid-sentence"
        self._struck.append(sentence)
        if self.done == 1:
            self._scene.disturbed("goAway", f"says goAway {where}")
            await self._emulator.go_away(_NOTICE_S)
        else:
            self._scene.disturbed("cut", f"cuts the line {where}")
            self._emulator.cut()
