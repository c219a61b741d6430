"""Audio out: the emulator's voice, 24 kHz 16-bit mono (capabilities guide), and the pieces in which it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from gemini_live.emulator.resampling import resample
from gemini_live.emulator.vad import RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemini_live.emulator.ledger import Samples

__all__ = ["VOICE_RATE_HZ", "Piece", "echo", "padded", "pieces", "tone"]

VOICE_RATE_HZ: Final = 24_000

_UNIT: Final = 480  # samples, 960 bytes: all pieces seen were multiples of it
_FIRST: Final = 2_400  # 4,800 bytes, 100 ms
_TYPICAL: Final = 7_680  # 15,360 bytes, 320 ms


class Piece(NamedTuple):
    """One message's worth of speech."""

    start_s: float
    """How much speech comes before it."""
    data: bytes
    """16-bit little-endian mono PCM at 24 kHz."""
    text: str
    """The words that belong to it; blanks included, so that all of them joined give the whole text."""


def echo(utterance: Samples) -> Samples:
    """What the user said, 16 kHz, as the emulator says it, 24 kHz and a whole number of 20 ms units."""
    return padded(resample(utterance, RATE_HZ, VOICE_RATE_HZ))


def tone(text: str) -> Samples:
    """A hum of 60 ms for each letter of a text, silent in its blanks, between 0.3 s and 6 s long."""
    letters = text[:100].ljust(5, "-")
    envelope = np.repeat([0.0 if letter.isspace() else 1.0 for letter in letters], VOICE_RATE_HZ * 60 // 1000)
    wave = np.sin(2 * np.pi * 220 / VOICE_RATE_HZ * np.arange(len(envelope)))
    return padded((8_000 * envelope * wave).astype(np.int16))


def padded(samples: Samples) -> Samples:
    """Silence is added up to a whole number of 20 ms units."""
    return np.concatenate([samples, np.zeros(-len(samples) % _UNIT, np.int16)])


def pieces(samples: Samples, text: str) -> Iterator[Piece]:
    """Cuts speech as the service does: a short piece first, then 320 ms each, the words spread over them."""
    starts = [0, *range(_FIRST, len(samples), _TYPICAL)]
    ends = [*starts[1:], len(samples)]
    words = [word if index == 0 else f" {word}" for index, word in enumerate(text.split(" "))]
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        share = words[index * len(words) // len(starts) : (index + 1) * len(words) // len(starts)]
        yield Piece(start / VOICE_RATE_HZ, samples[start:end].astype("<i2").tobytes(), "".join(share))
