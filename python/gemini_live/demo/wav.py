"""WAV files: reading speech of any PCM or float kind, and writing the reply."""

from __future__ import annotations

import os
import struct
import wave
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gemini_live.emulator.resampling import resample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["Speech", "UnusableFileError", "check_writable", "read_speech", "write_reply"]

_BLOCKS_PER_S: Final = 50
_RATE_HZ: Final = 16_000
_EXTENSIBLE: Final = 0xFFFE
_SLOWEST_HZ, _FASTEST_HZ = 4_000, 384_000
"""What the emulator takes for speech."""


class UnusableFileError(Exception):
    """A file that cannot be read or written; one line that names it and says what to do."""


@dataclass(frozen=True)
class Speech:
    """Speech from a file.

    Attributes:
        name: of the file.
        samples: shape ``(n,)`` or ``(n, channels)``; uint8, int16, int32 for 24 and 32 bits, float32 or float64.
        rate_hz: samples per second.
    """

    name: str
    samples: npt.NDArray[Any]
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """How long it takes to say."""
        return len(self.samples) / self.rate_hz

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        """Pieces of 20 ms, as a microphone would give them, also at rates of which 20 ms are no whole number."""
        start = 0
        while start < len(self.samples):
            # from the beginning each time, so that roundings do not add up
            end = round((round(start * _BLOCKS_PER_S / self.rate_hz) + 1) * self.rate_hz / _BLOCKS_PER_S)
            yield self.samples[start:end]
            start = end

    def at_the_rate_of_the_service(self) -> Speech:
        """The same at 16 kHz, mono if it has another rate now.

        By soxr: what arrives is compared with it sample by sample, and the session's own resampler rounds otherwise.
        """
        if self.rate_hz == _RATE_HZ:
            return self
        return Speech(self.name, resample(self.mono, self.rate_hz, _RATE_HZ), _RATE_HZ)

    @cached_property
    def mono(self) -> npt.NDArray[np.int16]:
        """What has to arrive at the service: 16-bit, channels averaged, rounded once, ties to even.

        Calculated without the package's own encoder, so that it can be held against it.
        """
        wide = self.samples.astype(np.float64)
        match self.samples.dtype.str:
            case "|u1":
                wide = (wide - 128) * 256
            case "<i4":
                wide /= 65_536
            case "<f4" | "<f8":
                wide *= 32_768
            case _:
                pass
        if wide.ndim == 2:
            wide = wide.mean(axis=1)
        wide = np.where(np.isnan(wide), 0.0, wide)
        return np.clip(np.rint(wide), -32_768, 32_767).astype(np.int16)


def read_speech(path: Path) -> Speech:
    """Read a WAV file of 8, 16, 24 or 32 bits, or of floats, of any number of channels and almost any rate.

    Raises:
        UnusableFileError: it cannot be read, or there is nothing in it.
    """
    try:
        layout, data = _chunks(path.read_bytes())
        samples = _samples(data, layout)
    except OSError as error:
        raise UnusableFileError(f"cannot read {path}: {_words(error)}; give a file that exists") from None
    except (ValueError, struct.error) as error:
        raise UnusableFileError(
            f"{path} is not a PCM WAV file ({error}); convert it: ffmpeg -i {path} -c:a pcm_s16le {path.stem}-pcm.wav"
        ) from None
    if not _SLOWEST_HZ <= layout.rate_hz <= _FASTEST_HZ:
        raise UnusableFileError(
            f"{path} has {layout.rate_hz:,} samples per second, speech has {_SLOWEST_HZ:,} to {_FASTEST_HZ:,}; "
            f"convert it: sox {path} -r 16000 out.wav"
        )
    if len(samples) == 0:
        raise UnusableFileError(f"{path} holds no samples; record something into it first")
    return Speech(path.name, samples, layout.rate_hz)


class _Layout(NamedTuple):
    """What the ``fmt`` chunk says."""

    tag: int
    channels: int
    rate_hz: int
    bits: int


def _chunks(file: bytes) -> tuple[_Layout, bytes]:
    """The layout and the samples of a RIFF file; its other chunks are skipped.

    The standard library's ``wave`` takes neither floats nor, before Python 3.12, the extensible header with which most
    programs write 24 bits.

    Raises:
        ValueError: why this is no WAV file that can be read.
        struct.error: it ends too soon.
    """
    if file[:4] != b"RIFF" or file[8:12] != b"WAVE":
        raise ValueError("it does not begin with RIFF … WAVE" if file else "it is empty")
    layout, at = None, 12
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
        case (1, 16):
            samples = np.frombuffer(whole, "<i2")
        case (1, 24):
            # the three bytes become the upper ones of four
            wide = np.zeros((len(whole) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(whole, np.uint8).reshape(-1, 3)
            samples = wide.view("<i4").reshape(-1)
        case (1, 32):
            samples = np.frombuffer(whole, "<i4")
        case (3, 32 | 64):
            samples = np.frombuffer(whole, f"<f{width}")
        case _:
            raise ValueError(f"format {layout.tag} with {layout.bits} bits")
    return samples if layout.channels == 1 else samples.reshape(-1, layout.channels)


def check_writable(path: Path, speech: Path | None) -> None:
    """See to it that the reply can be written, before the work is done and not after.

    Args:
        path: of the reply.
        speech: which must not be overwritten by it.

    Raises:
        UnusableFileError: it cannot.
    """
    folder = path.parent
    if path.is_dir():
        problem = f"{path} is a folder; give --out a file in it, such as {path / 'reply.wav'}"
    elif not folder.is_dir():
        problem = f"cannot write {path}: there is no folder {folder}; create it first"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        problem = f"cannot write {path}: permission denied; give --out a file elsewhere"
    elif speech is not None and path.exists() and speech.exists() and path.samefile(speech):
        problem = f"--out {path} would overwrite the speech of --wav; give it another name"
    else:
        return
    raise UnusableFileError(problem)


def write_reply(path: Path, pcm: bytes, rate_hz: int) -> None:
    """Write 16-bit little-endian mono PCM as a WAV file; one that exists is replaced.

    Raises:
        UnusableFileError: the disk is full, or the like.
    """
    try:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(pcm)
    except OSError as error:
        raise UnusableFileError(f"cannot write {path}: {_words(error)}; give --out a file elsewhere") from None


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
