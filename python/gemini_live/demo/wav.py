"""WAV files: reading speech, and writing the reply."""

from __future__ import annotations

import os
import stat
import wave
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gemini_live.emulator.resampling import resample
from gemini_live.errors import ConfigError
from gemini_live.media.wav import read_format, read_samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["Speech", "UnusableFileError", "check_writable", "read_speech", "write_reply"]

_BLOCKS_PER_S: Final = 50
_RATE_HZ: Final = 16_000


class UnusableFileError(Exception):
    """A file that cannot be read or written; one line that names it and says what to do."""


@dataclass(frozen=True)
class Speech:
    """Speech from a file.

    Attributes:
        name: of the file.
        samples: shape ``(n,)`` or ``(n, channels)``; uint8, int16, int32 for 24 and 32 bits, or floats of full scale 1.
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
        match self.samples.dtype.kind, self.samples.dtype.itemsize:
            case "f", _:
                wide = np.nan_to_num(wide * 32_768, nan=0.0)
            case _, 1:
                wide = (wide - 128) * 256
            case _, 4:
                wide /= 65_536
            case _:
                pass
        if wide.ndim == 2:
            wide = wide.mean(axis=1)
        return np.clip(np.rint(wide), -32_768, 32_767).astype(np.int16)


def read_speech(path: Path) -> Speech:
    """Read a WAV file of integers of 8 to 32 bits or of floats, of any number of channels and almost any rate.

    Raises:
        UnusableFileError: it cannot be read, or there is nothing in it.
    """
    try:
        with path.open("rb") as file:
            layout = read_format(file, str(path))
            samples = read_samples(file, layout)
    except OSError as error:
        raise UnusableFileError(f"cannot read {path}: {_words(error)}; give --wav a file that exists") from None
    except ConfigError as error:
        mend = "" if "ffmpeg" in str(error) else f"; convert it: ffmpeg -i {path} converted.wav"
        raise UnusableFileError(f"{error}{mend}") from None
    if len(samples) == 0:
        raise UnusableFileError(f"{path} holds no samples; record something into it first")
    return Speech(path.name, samples.reshape(-1) if layout.channels == 1 else samples, layout.rate_hz)


def check_writable(path: Path, speech: Path | None) -> None:
    """See to it that the reply can be written, before the work is done and not after.

    Args:
        path: of the reply.
        speech: which must not be overwritten by it.

    Raises:
        UnusableFileError: it cannot.
    """
    try:
        problem = _problem(path, speech)
    except OSError as error:  # not even that is known
        raise _unwritable(path, error) from None
    if problem:
        raise UnusableFileError(problem)


def _problem(path: Path, speech: Path | None) -> str:
    there, folder = _status(path), _status(path.parent)
    if there is not None and stat.S_ISDIR(there.st_mode):
        return f"{path} is a folder; give --out a file in it, such as {path / 'reply.wav'}"
    if folder is None or not stat.S_ISDIR(folder.st_mode):
        return f"cannot write {path}: there is no folder {path.parent}; create it first"
    if not os.access(path.parent if there is None else path, os.W_OK):
        return f"cannot write {path}: permission denied; give --out a file elsewhere"
    spoken = None if speech is None else _status(speech)
    if there is not None and spoken is not None and os.path.samestat(there, spoken):
        return f"--out {path} would overwrite the speech of --wav; give it another name"
    return ""


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - as the command line has it
    except (FileNotFoundError, NotADirectoryError):
        return None


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
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> UnusableFileError:
    return UnusableFileError(f"cannot write {path}: {_words(error)}; give --out a file elsewhere")


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
