"""What files hold, by their first bytes and not by their names: speech, a picture, or a film."""

from __future__ import annotations

import io
import os
import shlex
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

from gemini_live.cli.exits import CommandError, Exit
from gemini_live.errors import ConfigError
from gemini_live.media.extras import require
from gemini_live.media.video import Jpeg
from gemini_live.media.wav import read_format, read_samples

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
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
# What people have besides, and ffmpeg's options for it.
_TO_WAV: Final = ("Ogg", "FLAC", "MP3", "AAC", "M4A", "AIFF")
_TO_JPEG: Final = {"HEIC": "", "WebP": "", "GIF": "-frames:v 1 "}
_MAGIC: Final = (
    (b"\xff\xd8\xff", "JPEG image"),
    (b"\x89PNG\r\n\x1a\n", "PNG image"),
    (b"\x1aE\xdf\xa3", "video"),  # Matroska and WebM
    (b"OggS", "Ogg"),
    (b"fLaC", "FLAC"),
    (b"ID3", "MP3"),
    *((bytes([0xFF, second]), "MP3") for second in (0xFB, 0xFA, 0xF3, 0xF2)),
    *((bytes([0xFF, second]), "AAC") for second in (0xF1, 0xF9)),
    (b"GIF8", "GIF"),
)
# In containers, by what stands at the eighth byte; of the rest of MP4 and QuickTime nobody knows all.
_RIFF: Final[Mapping[bytes, str]] = {b"WAVE": "WAV file", b"AVI ": "video", b"WEBP": "WebP"}
_MP4: Final[Mapping[bytes, str]] = {
    **dict.fromkeys((b"M4A ", b"M4B "), "M4A"),
    **dict.fromkeys((b"heic", b"heix", b"mif1", b"avif"), "HEIC"),
}


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
            return _read_from(file, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        match error:
            case IsADirectoryError():
                mend = "give a file in it"
            case PermissionError():
                mend = "let this user read it"
            case _:
                mend = "give a file that exists"
        raise CommandError(f"cannot read {path}: {reason}; {mend}", Exit.FILE) from None


def _read_from(file: BinaryIO, path: Path) -> Source:
    start = file.read(4_096)
    kind = _kind(start)
    named = _NAMED.get(path.suffix.lower())
    name = shlex.quote(str(path))
    if not start:
        raise CommandError(f"{path} is empty; give a file that holds something", Exit.FILE)
    if kind in _USUAL and named not in (None, kind):
        raise CommandError(
            f"{path} is a {kind} and no {named}; rename it: mv {name} {_renamed(path, _USUAL[kind])}", Exit.FILE
        )
    is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    match kind:
        case "WAV file":
            return _speech(_from_its_beginning(file, start), path)
        case "JPEG image" | "PNG image":
            return Picture(path.name, _from_its_beginning(file, start).read())
        case "video" if not is_file:
            raise CommandError(f"{path} is a video in a pipe; put it into a file first", Exit.FILE)
        case "video":
            return _film(path)
        case "text":
            raise CommandError(
                f'{path} holds text{f" and no {named}" if named else ""}; say it with --text "$(cat {name})"', Exit.FILE
            )
        case _ if kind in _TO_WAV:
            mend = f"convert it: ffmpeg -i {name} {_renamed(path, '.wav')}"
            raise CommandError(f"{path} is {kind} and not WAV; {mend}", Exit.FILE)
        case _ if kind in _TO_JPEG:
            mend = f"convert it: ffmpeg -i {name} {_TO_JPEG[kind]}{_renamed(path, '.jpg')}"
            raise CommandError(f"{path} is {kind} and not JPEG; {mend}", Exit.FILE)
        case _:
            raise CommandError(
                f"{path} is no {named or 'WAV, JPEG, PNG or video file'}; what it is ffmpeg may know: ffprobe {name}",
                Exit.FILE,
            )


def _from_its_beginning(file: BinaryIO, start: bytes) -> BinaryIO:
    """A pipe cannot be wound back."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return io.BytesIO(start + file.read())
    file.seek(0)
    return file


def _renamed(path: Path, suffix: str) -> str:
    """For a shell: the path with another suffix, and never the path itself."""
    other = path.with_suffix(suffix)
    return shlex.quote(str(other if other != path else path.with_name(f"{path.stem}-converted{suffix}")))


def _kind(start: bytes) -> str:
    if start[:4] in (b"RIFF", b"RF64"):
        return _RIFF.get(start[8:12], "")
    if start[4:8] == b"ftyp":
        return _MP4.get(start[8:12], "video")
    if start[:4] == b"FORM":
        return "AIFF"
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # otherwise a character that was cut in two
            return ""
        text = start[: error.start].decode()
    return "text" if all(one.isprintable() or one.isspace() for one in text) else ""


def _speech(file: BinaryIO, path: Path) -> Speech:
    try:
        layout = read_format(file, str(path))
    except ConfigError as error:
        convert = f"ffmpeg -i {shlex.quote(str(path))} converted.wav"
        mend = "" if "ffmpeg" in str(error) else f"; if it can be played, convert it: {convert}"
        raise CommandError(f"{error}{mend}", Exit.FILE) from None
    samples = read_samples(file, layout)
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
                f"{path} begins like a video, but no image in it can be decoded; convert it: ffmpeg -i "
                f"{shlex.quote(str(path))} {_renamed(path.with_name(path.stem + '-h264'), '.mp4')}, or if it is sound: "
                f"ffmpeg -i {shlex.quote(str(path))} {_renamed(path, '.wav')}",
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
