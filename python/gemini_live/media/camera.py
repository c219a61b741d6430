"""Cameras and video files, by way of OpenCV."""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemini_live.errors import DeviceError, DeviceLost
from gemini_live.media.extras import require
from gemini_live.media.frames import FrameSource

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from gemini_live.media.video import Jpeg

    Frame = npt.NDArray[Any]

__all__ = ["Camera", "VideoFileSource"]


class _OpenCvSource(FrameSource):
    _capture: Any = None
    _cv2: Any = None

    def _open_capture(self, where: int | str) -> None:
        self._cv2 = require("cv2", "camera")
        self._capture = self._cv2.VideoCapture(where)
        if not self._capture.isOpened():
            raise DeviceError(self.name, self._why_not())

    @abstractmethod
    def _why_not(self) -> str:
        """What may be the matter where nothing opens."""

    def _retrieved(self) -> Frame | None:
        frame: Frame
        taken, frame = self._capture.retrieve()
        return frame if taken and frame.size else None

    def _close_device(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class Camera(_OpenCvSource):
    """A camera of this machine, or one on the network.

    Args:
        device: its number, counted from 0, or a URL that OpenCV opens, such as ``rtsp://…``.
        width: in pixels, if the camera has a choice; it takes what is closest.
        height: in pixels, as ``width``.
        fps: pictures a second to be sent, above 0 and up to 60; the service looks at 1.
        jpeg: how pictures are encoded.
        process: is given each picture that is to be sent, as OpenCV has it (``uint8`` of shape ``(height, width, 3)``,
            blue first), in the camera's thread, and returns the one that is sent instead, in the same order of colours.
        patience_s: a camera that gives no picture for so long is given up.

    Raises:
        ConfigError: ``fps`` out of range.
        DeviceError: when it is opened: there is no such camera, or it gives nothing.
        DeviceLost: while it is streamed: it was unplugged, or stopped.
        ModuleNotFoundError: the extra is missing: ``pip install "gemini-live[camera]"``.
    """

    def __init__(  # noqa: PLR0913 - keywords, all with defaults
        self,
        device: int | str = 0,
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float = 1.0,
        jpeg: Jpeg | None = None,
        process: Callable[[Frame], Frame] | None = None,
        patience_s: float = 5.0,
    ) -> None:
        # a URL may hold a password
        name = f"camera {device}" if isinstance(device, int) else "network camera"
        super().__init__(name, fps=fps, jpeg=jpeg, process=process, patience_s=patience_s)
        self._device = device
        self._size = (width, height)

    def _why_not(self) -> str:
        if isinstance(self._device, str):
            return "cannot be opened; see that the URL is right, and reached from this machine"
        return "cannot be opened; is it plugged in, does another program use it, may this one?"

    def _open_device(self) -> None:
        self._open_capture(self._device)
        for option, value in zip(
            (self._cv2.CAP_PROP_FRAME_WIDTH, self._cv2.CAP_PROP_FRAME_HEIGHT), self._size, strict=True
        ):
            if value is not None:
                self._capture.set(option, value)

    def _next_frame(self, position_s: float, due_at: float) -> Frame | None:
        """The newest: those that come before it is due are taken out of the driver's queue, and not decoded."""
        del position_s  # it shows what is, not what was recorded
        failing_since: float | None = None
        while not self._halt.is_set():
            asked_at = self._asked_at = time.monotonic()
            taken = self._capture.grab()
            if taken and asked_at >= due_at:
                frame = self._retrieved()
                if frame is not None:
                    return frame
                taken = False
            if taken:
                failing_since = None
            else:
                failing_since = failing_since or asked_at
                if asked_at - failing_since > self._patience_s / 2:
                    raise DeviceLost(self.name, "gives no pictures; it was unplugged, or another program took it")
                self._wait_until(asked_at + 0.05)
        return None


class VideoFileSource(_OpenCvSource):
    """Shows a video file, in real time.

    Args:
        path: of the file.
        fps: pictures a second to be sent, above 0 and up to 60; the service looks at 1.
        jpeg: how they are encoded.
        process: as for a `Camera`.
        patience_s: a file that gives no picture for so long, being on a network that is gone, say, is given up.

    Raises:
        ConfigError: ``fps`` out of range.
        FileNotFoundError: when it is opened: there is none.
        DeviceError: when it is opened: not a video that OpenCV can read.
        DeviceLost: while it is streamed: it has given no picture for ``patience_s``.
        ModuleNotFoundError: the extra is missing: ``pip install "gemini-live[camera]"``.
    """

    _live = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float = 1.0,
        jpeg: Jpeg | None = None,
        process: Callable[[Frame], Frame] | None = None,
        patience_s: float = 5.0,
    ) -> None:
        self._path = Path(path)
        super().__init__(self._path.name, fps=fps, jpeg=jpeg, process=process, patience_s=patience_s)
        self._position = 0  # of the next frame in the file
        self._start = 0  # the frame with which this stream began
        self._frames_per_s = 0.0

    def _why_not(self) -> str:
        return "is not a video that OpenCV can read; convert it with ffmpeg to an mp4 file"

    def _open_device(self) -> None:
        if not self._path.exists():
            raise FileNotFoundError(f"there is no file {self._path}")
        self._open_capture(os.fspath(self._path))
        self._frames_per_s = self._capture.get(self._cv2.CAP_PROP_FPS) or 25.0
        self._position = 0

    def _next_frame(self, position_s: float, due_at: float) -> Frame | None:
        if position_s == 0:
            self._start = self._position
        wanted = self._start + round(position_s * self._frames_per_s)  # the one that is on the screen then
        while self._position <= wanted:
            if not self._capture.grab():
                # the last one stays on the screen for its time
                self._wait_until(due_at - position_s + (self._position - self._start) / self._frames_per_s)
                return None
            self._position += 1
        frame = self._retrieved()
        return None if self._wait_until(due_at) else frame
