"""What files hold, by their first bytes and not by their names: speech, a picture, or a film."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gemini_live.cli.exits import CommandError, Exit
from gemini_live.errors import ConfigError
from gemini_live.media.extras import require
from gemini_live.media.video import Jpeg
from gemini_live.media.wav import read_format, samples_from

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["FRAMES_PER_S", "Film", "Picture", "Source", "Sources", "Speech", "read_sources"]

FRAMES_PER_S: Final = 1
"""The service looks at no more."""
_BLOCKS_PER_S: Final = 50
"""What a session takes."""

_NAMED: Final = {
    ".wav": "WAV file",
    ".jpg": "JPEG image",
    ".jpeg": "JPEG image",
    ".png": "PNG image",
    ".mp4": "video",
    ".m4v": "video",
    ".mov": "video",
    ".mkv": "video",
    ".webm": "video",
    ".avi": "video",
}
_USUAL: Final = {"WAV file": ".wav", "JPEG image": ".jpg", "PNG image": ".png", "video": ".mp4"}
_TO_CONVERT: Final = ("Ogg", "FLAC", "MP3")


@dataclass(frozen=True)
class Speech:
    """A WAV file.

    Attributes:
        samples: shape ``(n, channels)``, of a type that `Session.send_audio` takes.
        rate_hz: samples per second.
    """

    samples: npt.NDArray[Any]
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """How long it takes to say."""
        return len(self.samples) / self.rate_hz

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        """Pieces of 20 ms, as a microphone would give them, also at rates of which 20 ms are no whole number."""
        start = number = 0
        while start < len(self.samples):
            number += 1
            end = round(number * self.rate_hz / _BLOCKS_PER_S)
            yield self.samples[start:end]
            start = end


@dataclass(frozen=True)
class Picture:
    """A JPEG or PNG file.

    Attributes:
        data: the file, as it is sent.
    """

    name: str
    data: bytes

    @property
    def duration_s(self) -> float:
        """How long it is looked at."""
        return 1 / FRAMES_PER_S

    def frames(self) -> Iterator[bytes]:
        """The one image."""
        yield self.data


@dataclass(frozen=True)
class Film:
    """A video, of which one image a second is sent; its sound is not read.

    Attributes:
        path: of the file.
        duration_s: how long it takes to show.
    """

    path: Path
    duration_s: float

    def frames(self) -> Iterator[bytes]:
        """JPEG files, one for each second.

        Raises:
            CommandError: the video breaks off.
        """
        cv2 = _opencv()
        jpeg = Jpeg()
        video = cv2.VideoCapture(str(self.path))
        try:
            rate = video.get(cv2.CAP_PROP_FPS) or FRAMES_PER_S
            number = shown = 0
            while video.grab():
                if number * FRAMES_PER_S >= shown * rate:
                    there, image = video.retrieve()
                    if there:
                        yield jpeg.encode(image, order="bgr")
                        shown += 1
                number += 1
        finally:
            video.release()
        if not shown:
            raise CommandError(f"{self.path} holds no image that can be decoded; convert it with ffmpeg", Exit.FILE)


Source: TypeAlias = Speech | Picture | Film


@dataclass(frozen=True)
class Sources:
    """What is to be sent: speech and pictures are two lanes that start together."""

    speech: Sequence[Speech]
    pictures: Sequence[Picture | Film]

    @property
    def duration_s(self) -> float:
        """Of the longer lane."""
        return max(sum(one.duration_s for one in self.speech), sum(one.duration_s for one in self.pictures))


def read_sources(paths: Sequence[Path]) -> Sources:
    """Open the files.

    Raises:
        CommandError: one of them cannot be read, or is not what its name says, or nothing that can be sent.
    """
    found = [_read(path) for path in paths]
    return Sources(
        [one for one in found if isinstance(one, Speech)], [one for one in found if not isinstance(one, Speech)]
    )


def _read(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            start = file.read(4_096)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot read {path}: {reason}; give a file that exists", Exit.FILE) from None
    kind = _kind(start)
    named = _NAMED.get(path.suffix.lower())
    if not start:
        raise CommandError(f"{path} is empty", Exit.FILE)
    if kind in _USUAL and named not in (None, kind):
        raise CommandError(
            f"{path} is a {kind} and no {named}; rename it: mv {path} {path.with_suffix(_USUAL[kind])}", Exit.FILE
        )
    match kind:
        case "WAV file":
            return _speech(path)
        case "JPEG image" | "PNG image":
            return Picture(path.name, path.read_bytes())
        case "video":
            return _film(path)
        case "text":
            raise CommandError(
                f'{path} holds text{f" and no {named}" if named else ""}; say it with --text "$(cat {path})"', Exit.FILE
            )
        case _ if kind in _TO_CONVERT:
            raise CommandError(
                f"{path} is {kind} and not WAV; convert it: ffmpeg -i {path} {path.with_suffix('.wav')}", Exit.FILE
            )
        case _:
            raise CommandError(
                f"{path} is no {named or 'WAV, JPEG, PNG or video file'}; what it is ffmpeg may know: ffprobe {path}",
                Exit.FILE,
            )


def _kind(start: bytes) -> str:
    if start[:4] == b"RIFF":
        return {b"WAVE": "WAV file", b"AVI ": "video"}.get(start[8:12], "")
    if start[4:8] == b"ftyp" or start[:4] == b"\x1aE\xdf\xa3":  # MP4 and QuickTime; Matroska and WebM
        return "video"
    for magic, kind in (
        (b"\xff\xd8\xff", "JPEG image"),
        (b"\x89PNG\r\n\x1a\n", "PNG image"),
        (b"OggS", "Ogg"),
        (b"fLaC", "FLAC"),
        (b"ID3", "MP3"),
        (b"\xff\xfb", "MP3"),
    ):
        if start.startswith(magic):
            return kind
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # otherwise a character that was cut in two
            return ""
        text = start[: error.start].decode()
    return "text" if all(one.isprintable() or one.isspace() for one in text) else ""


def _speech(path: Path) -> Speech:
    with path.open("rb") as file:
        try:
            layout = read_format(file, str(path))
        except ConfigError as error:
            mend = (
                "" if "ffmpeg" in str(error) else f"; if it can be played, convert it: ffmpeg -i {path} converted.wav"
            )
            raise CommandError(f"{error}{mend}", Exit.FILE) from None
        # a file that was cut off has less than it says, and one that was written into a pipe does not say
        data = file.read() if layout.frames is None else file.read(layout.frames * layout.bytes_per_frame)
    samples = samples_from(data[: len(data) - len(data) % layout.bytes_per_frame], layout)
    if len(samples) == 0:
        raise CommandError(f"{path} holds no samples; record something into it first", Exit.FILE)
    return Speech(samples, layout.rate_hz)


def _film(path: Path) -> Film:
    cv2 = _opencv()
    video = cv2.VideoCapture(str(path))
    try:
        images, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
        if not video.isOpened() or not video.grab():
            raise CommandError(
                f"{path} begins like a video, but no image in it can be decoded; convert it: ffmpeg -i {path} "
                f"{path.with_name(path.stem + '-h264.mp4')}",
                Exit.FILE,
            )
    finally:
        video.release()
    return Film(path, max(1.0, images / rate) if rate > 0 else 1.0)


def _opencv() -> Any:  # noqa: ANN401 - a module that may not be there: the extra
    # what it and FFmpeg think of a broken file is ours to say
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    return require("cv2", "camera")
