"""The screen, by way of mss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gemini_live.errors import DeviceError, DeviceLost
from gemini_live.media.extras import require
from gemini_live.media.frames import FrameSource

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from gemini_live.media.video import Jpeg

    Frame = npt.NDArray[Any]

__all__ = ["Screen"]


class Screen(FrameSource):
    """What a monitor shows.

    Args:
        monitor: its number, counted from 1; 0 is all of them together.
        fps: pictures a second to be sent, above 0 and up to 60; the service looks at 1.
        jpeg: how they are encoded. Small print needs more than the 768 pixels of the default.
        process: is given each picture (``uint8`` of shape ``(height, width, 4)``: blue, green, red and one without
            meaning), in the source's thread, and returns the one that is sent instead, of 3 or 4 channels in the same
            order. It is read-only: copy it to draw on it.
        patience_s: a screen that gives no picture for so long is given up.

    Raises:
        ConfigError: ``fps`` out of range.
        DeviceError: when it is opened: there is no such monitor, or no screen at all.
        DeviceLost: while it is streamed: the screen is gone.
        ModuleNotFoundError: the extra is missing: ``pip install "gemini-live[screen]"``.
    """

    def __init__(
        self,
        monitor: int = 1,
        *,
        fps: float = 1.0,
        jpeg: Jpeg | None = None,
        process: Callable[[Frame], Frame] | None = None,
        patience_s: float = 5.0,
    ) -> None:
        super().__init__(f"monitor {monitor}", fps=fps, jpeg=jpeg, process=process, patience_s=patience_s)
        self._monitor = monitor
        self._mss: Any = None
        self._failures: type[Exception] = Exception

    def _open_device(self) -> None:
        mss = require("mss", "screen")
        self._failures = require("mss.exception", "screen").ScreenShotError
        try:
            self._mss = mss.MSS()
        except self._failures as error:
            raise DeviceError(self.name, f"there is no screen: {error}") from None
        monitors = len(self._mss.monitors) - 1
        if not 0 <= self._monitor <= monitors:
            raise DeviceError(self.name, f"there are {monitors} monitors, counted from 1; 0 is all of them together")

    def _next_frame(self, position_s: float, due_at: float) -> Frame | None:
        del position_s
        if self._wait_until(due_at):
            return None
        try:
            shot = self._mss.grab(self._mss.monitors[self._monitor])
        except self._failures as error:
            raise DeviceLost(self.name, f"cannot be seen any more: {error}") from None
        return np.frombuffer(shot.bgra, np.uint8).reshape(shot.height, shot.width, 4)

    def _close_device(self) -> None:
        if self._mss is not None:
            self._mss.close()
            self._mss = None
