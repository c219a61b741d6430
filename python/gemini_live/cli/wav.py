"""WAV files of integers and floats, with the plain and with the extensible header.

The standard library's ``wave`` takes neither floats nor, before Python 3.12, the extensible header with which most
programs write 24 bits.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gemini_live.errors import ConfigError

__all__ = ["read_wav"]

_EXTENSIBLE: Final = 0xFFFE


class _Layout(NamedTuple):
    """What the ``fmt`` chunk says."""

    tag: int
    channels: int
    rate_hz: int
    bits: int


def read_wav(file: bytes, name: str) -> tuple[npt.NDArray[Any], int]:
    """Read a whole file.

    Returns:
        The samples, of shape ``(n, channels)`` and of a type that `Session.send_audio` takes (24 bits become 32), and
        their rate in Hz.

    Raises:
        ConfigError: not a WAV file, or of samples that are not taken.
    """
    try:
        layout, data = _chunks(file)
        return _samples(data, layout), layout.rate_hz
    except (ValueError, struct.error) as error:
        raise ConfigError(
            f"{name} is not a PCM WAV file ({error}); convert it: ffmpeg -i {name} -c:a pcm_s16le converted.wav",
            path="path",
        ) from None


def _chunks(file: bytes) -> tuple[_Layout, bytes]:
    layout, at = None, 12  # behind RIFF, size, WAVE
    while at + 8 <= len(file):
        name, size = struct.unpack_from("<4sI", file, at)
        at += 8
        if name == b"fmt ":
            tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", file, at)
            if tag == _EXTENSIBLE:
                (tag,) = struct.unpack_from("<H", file, at + 24)  # the first bytes of its GUID are the real tag
            if not channels:
                raise ValueError("it has no channels")
            layout = _Layout(tag, channels, rate_hz, bits)
        elif name == b"data":
            if layout is None:
                break
            # programs that write into a pipe leave the size open; a file that was cut off has less than it says
            return layout, file[at : at + size]
        at += size + size % 2
    raise ValueError("it has no samples" if layout else "it does not say what its samples are")


def _samples(data: bytes, layout: _Layout) -> npt.NDArray[Any]:
    width = layout.bits // 8
    whole = data[: len(data) // max(1, layout.channels * width) * layout.channels * width]
    match layout.tag, layout.bits:
        case (1, 8):
            samples: npt.NDArray[Any] = np.frombuffer(whole, np.uint8)
        case (1, 24):
            # the three bytes become the upper ones of four
            wide = np.zeros((len(whole) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(whole, np.uint8).reshape(-1, 3)
            samples = wide.view("<i4").reshape(-1)
        case (1, 16 | 32):
            samples = np.frombuffer(whole, f"<i{width}")
        case (3, 32 | 64):
            samples = np.frombuffer(whole, f"<f{width}")
        case _:
            raise ValueError(f"format {layout.tag} with {layout.bits} bits")
    return samples.reshape(-1, layout.channels)
