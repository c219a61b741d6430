"""WAV files as they are found: integers of 8 to 32 bits and floats, of any rate and number of channels."""

from __future__ import annotations

import asyncio
import struct
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import msgspec
import numpy as np

from gemini_live.errors import ConfigError
from gemini_live.media.source import OpenedOnDemand, Ticker

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

    from gemini_live.media.source import Sink

__all__ = ["WavFormat", "WavSource", "read_format", "read_samples", "samples_from"]

_INTEGER, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE  # of mmreg.h
_FORMAT_BYTES = 40  # the longest kind of format
_BLOCKS_PER_S = 50
_PIECE_BYTES = 2**20


class WavFormat(msgspec.Struct, frozen=True, kw_only=True):
    """What a WAV file holds.

    Attributes:
        rate_hz: samples per second.
        channels: side by side in each frame.
        width: bytes of a sample.
        floats: whether they are floating point.
        frames: how many there are; ``None`` if the file does not say, being a stream.
    """

    rate_hz: int
    channels: int
    width: int
    floats: bool
    frames: int | None

    @property
    def bytes_per_frame(self) -> int:
        """Of all channels."""
        return self.channels * self.width


def read_format(file: BinaryIO, name: str) -> WavFormat:
    """Read the head of a WAV file, up to the first sample.

    Raises:
        ConfigError: not a WAV file, or one of samples that are not taken; the message says what is.
    """
    riff = file.read(12)
    if len(riff) < 12 or riff[:4] not in (b"RIFF", b"RF64") or riff[8:] != b"WAVE":
        raise ConfigError(f"{name} is not a WAV file; convert it: ffmpeg -i {name} speech.wav", path="path")
    kind: tuple[int, int, int, int] | None = None
    size_64 = 0  # of the samples, where a file has room for more than 32 bits: EBU Tech 3306
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise ConfigError(f"{name} ends before its first sample", path="path")
        mark, size = head[:4], int.from_bytes(head[4:], "little")
        if mark == b"data":
            break
        body = file.read(min(size, _FORMAT_BYTES))
        _skip(file, size + size % 2 - len(body))  # chunks are padded to even lengths
        if mark == b"ds64" and len(body) >= 16:
            (size_64,) = struct.unpack_from("<Q", body, 8)
        if mark == b"fmt " and len(body) >= 16:
            tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", body)
            if tag == _EXTENSIBLE and len(body) >= 26:
                (tag,) = struct.unpack_from("<H", body, 24)  # where the real one begins
            kind = tag, channels, rate_hz, bits
    if kind is None:
        raise ConfigError(f"{name} does not say what its samples are", path="path")
    tag, channels, rate_hz, bits = kind
    if (tag, bits) not in {(_INTEGER, 8), (_INTEGER, 16), (_INTEGER, 24), (_INTEGER, 32), (_FLOAT, 32), (_FLOAT, 64)}:
        raise ConfigError(
            f"{name} has {bits}-bit samples of kind {tag}; taken are integers of 8, 16, 24 and 32 bits and floats of "
            f"32 and 64: ffmpeg -i {name} -c:a pcm_s16le speech.wav",
            path="path",
        )
    if not 8_000 <= rate_hz <= 192_000:
        raise ConfigError(
            f"{name} has {rate_hz:,} samples per second, speech has 8,000 to 192,000; convert it: "
            f"ffmpeg -i {name} -ar 16000 speech.wav",
            path="path",
        )
    if not 1 <= channels <= 64:
        raise ConfigError(
            f"{name} has {channels} channels, speech has 1 to 64; convert it: ffmpeg -i {name} -ac 1 speech.wav",
            path="path",
        )
    width = bits // 8
    return WavFormat(
        rate_hz=rate_hz,
        channels=channels,
        width=width,
        floats=tag == _FLOAT,
        frames=_frames(size, size_64, channels * width),
    )


def _frames(size: int, size_64: int, bytes_per_frame: int) -> int | None:
    """Of so many bytes; a stream does not say how many, nor does a file that was never finished."""
    if size != 0xFFFF_FFFF:
        return size // bytes_per_frame
    return size_64 // bytes_per_frame if 0 < size_64 < 2**64 - 1 else None


def _skip(file: BinaryIO, size: int) -> None:
    """Read on without keeping it: a pipe cannot be wound, and a damaged file may claim gigabytes."""
    while size > 0 and (passed := len(file.read(min(size, 65_536)))):
        size -= passed


def samples_from(data: bytes, kind: WavFormat) -> npt.NDArray[Any]:
    """Samples of shape ``(n, channels)``, of a type that `Session.send_audio` takes: 24 bits become 32."""
    if kind.width == 3:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4").reshape(-1, kind.channels)
    dtype = f"<f{kind.width}" if kind.floats else "u1" if kind.width == 1 else f"<i{kind.width}"
    return np.frombuffer(data, dtype).reshape(-1, kind.channels)


def read_samples(file: BinaryIO, kind: WavFormat) -> npt.NDArray[Any]:
    """All samples of a file whose head was read, as `samples_from` gives them.

    A file that was cut off has fewer than it says, and a stream does not say how many; so only what is there takes up
    memory.
    """
    left = sys.maxsize if kind.frames is None else kind.frames * kind.bytes_per_frame
    data = bytearray()
    while piece := file.read(min(left, _PIECE_BYTES)):
        data += piece
        left -= len(piece)
    return samples_from(bytes(data[: len(data) - len(data) % kind.bytes_per_frame]), kind)


class WavSource(OpenedOnDemand):
    """Speaks a WAV file in real time.

    Args:
        path: of the file.

    Raises:
        ConfigError: when it is opened: not a WAV file of integers or floats, or of a rate or a number of channels that
            `Session.send_audio` does not take.
        OSError: when it is opened: it cannot be read.
    """

    kind: Literal["audio"] = "audio"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._file: BinaryIO | None = None
        self._format: WavFormat | None = None
        self._left: int | None = None  # frames, if the file says how many
        # Whoever reads one that was closed meanwhile closes it: in the loop that would wait for the end of the read,
        # which of a pipe may never come. It is here once for each read: one that was given up goes on beside the next.
        self._being_read = list[BinaryIO]()

    @property
    def format(self) -> WavFormat:
        """What the file holds; it must be open.

        Raises:
            ConfigError: it is not.
        """
        if self._format is None:
            raise ConfigError(f"{self._path.name} is not open yet: use it in an `async with` block", path="format")
        return self._format

    async def _open(self) -> None:
        await asyncio.to_thread(self._open_file)

    def _open_file(self) -> None:
        file = self._path.open("rb")
        try:
            self._format = read_format(file, self._path.name)
        except BaseException:
            file.close()
            raise
        self._file = file
        self._left = self._format.frames

    async def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None and file not in self._being_read:
            file.close()

    def _read_second(self) -> npt.NDArray[Any]:
        """In a thread: the file may be on a disk that sleeps, or across a network."""
        kind = self.format
        file = self._file
        if file is None:  # it was closed before this began
            return samples_from(b"", kind)
        frames = kind.rate_hz if self._left is None else min(kind.rate_hz, self._left)
        self._being_read.append(file)
        try:
            data = file.read(frames * kind.bytes_per_frame) if self._file is file else b""
        finally:
            self._being_read.remove(file)
            is_open = self._file is file
            if not is_open:
                file.close()
        if is_open and self._left is not None:
            self._left -= len(data) // kind.bytes_per_frame
        return samples_from(data[: len(data) - len(data) % kind.bytes_per_frame], kind)

    async def stream_to(self, sink: Sink) -> None:
        """Send what is left of the file in pieces of 20 ms, each as soon as it would have been spoken."""
        with self._streamed_alone(self._path.name):
            async with self:
                await self._stream_to(sink)

    async def _stream_to(self, sink: Sink) -> None:
        ticker = Ticker.of_this_loop()
        rate_hz = self.format.rate_hz
        # 20 ms are no whole number of samples at every rate
        edges = [round(block * rate_hz / _BLOCKS_PER_S) for block in range(_BLOCKS_PER_S + 1)]
        second_at = asyncio.get_running_loop().time()
        while len(second := await asyncio.to_thread(self._read_second)):
            for start, end in pairwise(edges):
                block = second[start:end]
                if len(block):
                    await ticker.until(second_at + (start + len(block)) / rate_hz)
                    await sink.send_audio(block, rate_hz=rate_hz)
            second_at += 1.0
