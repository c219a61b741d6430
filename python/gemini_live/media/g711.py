"""The samples of telephone lines: 8 kHz, companded to 8 bits by ITU-T G.711.

What a line says goes into `Session.send_audio` as it comes; this is the way back.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from gemini_live import _core
from gemini_live.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Buffer

    from gemini_live.events import ModelAudio

__all__ = ["Companding", "PhoneEncoder", "encode_g711"]

Companding: TypeAlias = Literal["mulaw", "alaw"]

PHONE_RATE_HZ = 8_000


def encode_g711(samples: Buffer | npt.NDArray[np.int16], law: Companding = "mulaw") -> bytes:
    """Compand samples: one byte for each. It does not resample, as `PhoneEncoder` does.

    Args:
        samples: 16-bit mono, at 8,000 Hz for a telephone: little-endian bytes, or an ``int16`` array of shape ``(n,)``.
        law: µ-law of North America and Japan (PCMU), or A-law of everywhere else (PCMA).

    Raises:
        ConfigError: no such law.
        TypeError: an array of something else.
        ValueError: half a sample.
    """
    if law not in ("mulaw", "alaw"):
        raise ConfigError(f"a telephone line has 'mulaw' or 'alaw', not {law!r}", path="law")
    return _table(law)[_bits(samples)].tobytes()


def _bits(samples: Buffer | npt.NDArray[np.int16]) -> npt.NDArray[np.uint16]:
    accepted = "samples are little-endian bytes or int16 of shape (n,)"
    if isinstance(samples, np.ndarray):
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise TypeError(f"{accepted}, not {samples.dtype} of shape {samples.shape}")
        return samples.astype(np.uint16)
    name = type(samples).__name__
    try:
        view = memoryview(samples)
    except TypeError:
        raise TypeError(f"{accepted}, not {name}") from None
    if view.format not in ("B", "b", "c", "h"):
        raise TypeError(f"{accepted}, not {name} of format {view.format!r}")
    if view.nbytes % 2:
        raise ValueError(f"{accepted}: 16-bit samples, but {view.nbytes} is an odd number of bytes")
    return np.frombuffer(view, np.uint16)


@cache
def _table(law: Companding) -> npt.NDArray[np.uint8]:
    """The code of each of the 65,536 samples, by its bits."""
    samples = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
    return _mulaw(samples) if law == "mulaw" else _alaw(samples)


def _mulaw(samples: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    # 14 bits, of which the magnitude gets a bias of 33
    biased = np.minimum(np.abs(samples >> 2), 8_158) + 33
    segment = np.floor(np.log2(biased)).astype(np.int32) - 5
    step = (biased >> (segment + 1)) & 0x0F
    codes: npt.NDArray[np.uint8] = (~(np.where(samples < 0, 0x80, 0) | segment << 4 | step) & 0xFF).astype(np.uint8)
    return codes


def _alaw(samples: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    # 13 bits; negative values are mirrored about -1/2, and every other bit is inverted
    magnitude = np.where(samples < 0, ~samples, samples) >> 3
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 4, 0)
    step = (magnitude >> np.maximum(segment, 1)) & 0x0F
    codes: npt.NDArray[np.uint8] = ((np.where(samples < 0, 0, 0x80) | segment << 4 | step) ^ 0x55).astype(np.uint8)
    return codes


class PhoneEncoder:
    """Answers → what a telephone line takes, piece by piece.

    Args:
        law: µ-law or A-law.

    Raises:
        ConfigError: no such law.
    """

    def __init__(self, law: Companding = "mulaw") -> None:
        encode_g711(b"", law)  # says what is wrong with the law, if anything
        self._law: Companding = law
        self._rate_hz = 0
        self._resampler: _core.Resampler | None = None

    def feed(self, audio: ModelAudio) -> bytes:
        """What a piece of an answer becomes, companded at 8 kHz; a millisecond or so is held back for the next."""
        before = b""
        if audio.rate_hz != self._rate_hz:
            before, self._rate_hz = self.flush(), audio.rate_hz
        samples = audio.samples
        if audio.rate_hz == PHONE_RATE_HZ or not len(samples):
            return before + encode_g711(samples, self._law)
        if self._resampler is None:
            self._resampler = _core.Resampler(audio.rate_hz, PHONE_RATE_HZ)
        return before + encode_g711(self._resampler.feed(samples), self._law)

    def flush(self) -> bytes:
        """What was held back of an answer that is over."""
        resampler, self._resampler = self._resampler, None
        return b"" if resampler is None else encode_g711(resampler.flush(), self._law)

    def clear(self) -> None:
        """Forget what was held back: the user has cut in."""
        self._resampler = None
