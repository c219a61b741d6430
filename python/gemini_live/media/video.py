"""Pixels → JPEG, and how many of them are worth sending.

The service looks at one image a second at most, at 768 × 768 or so; whatever is beyond that costs the uplink, on which
speech waits behind it. So of the frames that come the newest is taken once a second, and only that one is encoded, in
a thread: neither resizing nor compressing holds up the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import numpy as np

from gemini_live.errors import ConfigError
from gemini_live.media.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Pixels: TypeAlias = npt.NDArray[np.uint8]

__all__ = ["Jpeg", "PixelOrder", "VideoFeed", "checked_pixels"]

_log = logging.getLogger("gemini_live")

PixelOrder: TypeAlias = Literal["rgb", "bgr"]

INTERVAL_S = 1.0
"""Between two images; the service takes no more notice of others."""

_FALLING_QUALITY = (80, 65, 50, 35, 20)
_SMALLEST_BUDGET = 8_192  # any picture of 64 × 64 fits, noise at quality 20 included


class Jpeg(msgspec.Struct, frozen=True, kw_only=True):
    """How pictures are encoded.

    Attributes:
        longest_side: a larger picture is made smaller, to so many pixels, 16 to 8,192; the service recommends 768.
        quality: of the JPEG, 1 to 95, if the budget allows.
        max_bytes: the budget of a picture, 8,192 at least: its quality falls until it fits, and then its size. 100 KB
            travel as 133 KB of base64, which take 213 ms of an uplink of 5 Mbit/s.

    Raises:
        ConfigError: a value out of range.
    """

    longest_side: int = 768
    quality: int = 80
    max_bytes: int = 100_000

    def __post_init__(self) -> None:
        if not 16 <= self.longest_side <= 8_192:
            raise ConfigError(f"longest_side is 16 to 8,192 pixels, not {self.longest_side:,}", path="longest_side")
        if not 1 <= self.quality <= 95:
            raise ConfigError(f"the quality of a JPEG is 1 to 95, not {self.quality}", path="quality")
        if self.max_bytes < _SMALLEST_BUDGET:
            raise ConfigError(
                f"max_bytes is at least {_SMALLEST_BUDGET:,}, not {self.max_bytes:,}; no picture may fit less",
                path="max_bytes",
            )

    def encode(self, pixels: npt.NDArray[Any], *, order: PixelOrder = "rgb") -> bytes:
        """Make a JPEG of a picture, in some milliseconds of this thread; the interpreter is free meanwhile.

        Args:
            pixels: ``uint8`` of shape ``(height, width)`` for gray, or ``(height, width, channels)`` with 1 channel for
                gray, 3 for colour, or 4 for colour and transparency, which is left out. In any memory layout.
            order: of the channels: OpenCV has ``"bgr"``, almost everybody else ``"rgb"``.

        Raises:
            TypeError, ValueError: not such pixels; the message says what is accepted.
            ModuleNotFoundError: the extra is missing: ``pip install "gemini-live[video]"``.
        """
        cv2 = require("cv2", "video")
        picture = np.ascontiguousarray(checked_pixels(pixels, order))
        side = self.longest_side
        while True:
            picture = _shrunk(cv2, picture, side)
            # the colours are put right when there are few pixels left
            ready = _bgr(cv2, picture, order)
            for quality in (self.quality, *(lower for lower in _FALLING_QUALITY if lower < self.quality)):
                encoded: Pixels
                _, encoded = cv2.imencode(".jpg", ready, [cv2.IMWRITE_JPEG_QUALITY, quality])
                if len(encoded) <= self.max_bytes:
                    return encoded.tobytes()
            side = max(picture.shape[:2]) * 3 // 4


def checked_pixels(pixels: npt.NDArray[Any], order: PixelOrder) -> Pixels:
    """The same pixels, if a JPEG can be made of them.

    Raises:
        TypeError: not ``uint8``.
        ValueError: not the shape of a picture, or no such order.
    """
    if order not in ("rgb", "bgr"):
        raise ValueError(f"the order of colours is 'rgb' or 'bgr', not {order!r}")
    pixels = np.asarray(pixels)  # what others call an array
    if pixels.dtype != np.uint8:
        scale = ": multiply by 255 and convert" if pixels.dtype.kind == "f" else ""
        raise TypeError(f"the pixels of an image are uint8, 0 to 255, not {pixels.dtype}{scale}")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        first = pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4)
        raise ValueError(
            f"an image has the shape (height, width) or (height, width, 1, 3 or 4), not {pixels.shape}"
            + ("; bring the channels to the end with .transpose(1, 2, 0)" if first else "")
        )
    if 0 in pixels.shape:
        raise ValueError(f"an image of shape {pixels.shape} has no pixels")
    return pixels


def _shrunk(cv2: Any, picture: Pixels, longest_side: int) -> Pixels:  # noqa: ANN401 - a module
    height, width = picture.shape[:2]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk: Pixels = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return shrunk


def _bgr(cv2: Any, picture: Pixels, order: PixelOrder) -> Pixels:  # noqa: ANN401 - a module
    """As OpenCV wants it."""
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    match channels, order:
        case 3, "rgb":
            change = cv2.COLOR_RGB2BGR
        case 4, "rgb":
            change = cv2.COLOR_RGBA2BGR
        case 4, "bgr":
            change = cv2.COLOR_BGRA2BGR
        case _:
            return picture
    changed: Pixels = cv2.cvtColor(picture, change)
    return changed


class VideoFeed:
    """Takes pictures at any rate, from any thread; encodes the newest once in an interval, and hands it on.

    Args:
        loop: whose timer and whose threads it uses.
        hand_on: takes a JPEG, and how many older pictures it has taken the place of; called in a worker's thread.
        jpeg: how to encode.
        interval_s: between two pictures.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        hand_on: Callable[[bytes, int], object],
        *,
        jpeg: Jpeg | None = None,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._loop = loop
        self._hand_on = hand_on
        self._jpeg = jpeg or Jpeg()
        self._interval_s = interval_s
        self._lock = threading.Lock()  # held for as long as it takes to swap two references
        self._newest: tuple[Pixels, PixelOrder] | None = None
        self._superseded = 0
        self._due_at = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._encoding: asyncio.Future[None] | None = None
        self._closed = False

    def put(self, pixels: npt.NDArray[Any], order: PixelOrder = "rgb") -> bool:
        """Take a picture. It is copied, so that its memory may be used for the next one at once.

        Returns:
            Whether there is still a loop that can take it.

        Raises:
            TypeError, ValueError: as `Jpeg.encode`.
            ModuleNotFoundError: the extra is missing.
        """
        require("cv2", "video")
        picture = checked_pixels(pixels, order).copy()
        with self._lock:
            if self._newest is not None:
                self._superseded += 1
            first = self._newest is None
            self._newest = (picture, order)
        if first or self._loop.is_closed():  # which may have been before it came round
            try:
                self._loop.call_soon_threadsafe(self._look)
            except RuntimeError:  # the loop is closed
                return False
        return True

    def _look(self) -> None:
        """In the loop: encode what has come, if it is time and nothing else is being encoded."""
        if self._newest is None or self._encoding is not None or self._timer is not None or self._closed:
            return
        now = self._loop.time()
        if now < self._due_at:
            self._timer = self._loop.call_at(self._due_at, self._due)
            return
        self._due_at = now + self._interval_s
        self._encoding = self._loop.run_in_executor(None, self._encode_newest)
        self._encoding.add_done_callback(self._encoded)

    def _due(self) -> None:
        self._timer = None
        self._due_at = self._loop.time()  # a timer may fire a tick of the clock early
        self._look()

    def _encode_newest(self) -> None:
        with self._lock:
            newest, self._newest = self._newest, None
            superseded, self._superseded = self._superseded, 0
        if newest is not None:
            picture, order = newest
            self._hand_on(self._jpeg.encode(picture, order=order), superseded)

    def _encoded(self, encoding: asyncio.Future[None]) -> None:
        self._encoding = None
        if not encoding.cancelled() and (error := encoding.exception()) is not None:
            _log.error("a picture could not be encoded", exc_info=error)
        self._look()

    async def flush(self) -> None:
        """Hand on what has come, without waiting for its time: what is said next may be about it."""
        # not what comes meanwhile: from a camera that is faster than the encoder there would always be one more
        left = 1 if self._encoding is None else 2
        while left and not self._closed and (self._newest is not None or self._encoding is not None):
            left -= 1
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._encoding is None:
                self._due_at = self._loop.time()
                self._look()
            if self._encoding is not None:
                await asyncio.wait([self._encoding])

    def close(self) -> None:
        """Take nothing on any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
