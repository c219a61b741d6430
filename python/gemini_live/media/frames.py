"""What gives pictures: a thread of its own that asks for them, encodes the ones that are due, and hands them on.

The library of a camera blocks, now and then for ever; so it is only ever called there, and watched from the loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gemini_live.errors import ConfigError, DeviceError, DeviceLost
from gemini_live.media.source import OpenedOnDemand, in_thread, to_loop
from gemini_live.media.video import INTERVAL_S, Jpeg

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from gemini_live.media.source import Sink
    from gemini_live.media.video import PixelOrder

    Frame = npt.NDArray[Any]

__all__ = ["FrameSource"]

_LOOK_S = 0.1
_SETTLING_S = 0.1
_GOODBYE_S = 1.0
"""How long a device may take to let go; one that hangs is left behind with its thread."""


class _Errand(NamedTuple):
    """One stream, as its thread is given it: whole, because the thread may still be with the one before."""

    sink: Sink
    halt: threading.Event
    streamed: asyncio.Future[None]


class FrameSource(OpenedOnDemand):
    """The part that all sources of pictures share.

    Args:
        name: of the device, for messages.
        fps: pictures a second to be sent.
        jpeg: how they are encoded.
        process: is given each picture that is due, in the source's thread, and returns what is sent instead.
        patience_s: a device that does not answer for so long is given up.
    """

    kind: Literal["video"] = "video"
    order: PixelOrder = "bgr"
    _live = True
    """Whether a picture that is not taken is gone, as with a camera and not with a file."""

    def __init__(
        self,
        name: str,
        *,
        fps: float,
        jpeg: Jpeg | None,
        process: Callable[[Frame], Frame] | None,
        patience_s: float,
    ) -> None:
        if not 0 < fps <= 60:
            raise ConfigError(f"pictures are sent up to 60 times a second, not {fps}; 1 is enough", path="fps")
        self.name = name
        self._interval_s = INTERVAL_S / fps
        self._jpeg = jpeg or Jpeg()
        self._process = process
        self._patience_s = patience_s
        self._thread: threading.Thread | None = None
        self._closing = False
        self._go = threading.Event()
        self._halt = threading.Event()  # of what the thread is doing
        self._errand: _Errand | None = None
        self._asked_at: float | None = None  # when the device was asked something that it has not answered
        self._opened: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    # --- for the kinds of source, in the source's thread ---

    @abstractmethod
    def _open_device(self) -> None:
        """Open it.

        Raises:
            DeviceError: it cannot be opened.
        """

    @abstractmethod
    def _next_frame(self, position_s: float, due_at: float) -> Frame | None:
        """The next picture to be sent, as soon as it is due; ``None`` at the end.

        Args:
            position_s: how long this stream has lasted by then; 0.0 begins it.
            due_at: when that is, on the monotonic clock.

        Raises:
            DeviceLost: the device gives nothing any more.
        """

    @abstractmethod
    def _close_device(self) -> None:
        """Release it; also when it was never quite open."""

    def _wait_until(self, moment: float) -> bool:
        """Sleep, but not beyond the end of the stream. Returns whether that has come."""
        self._asked_at = None
        halted = self._halt.wait(max(0.0, moment - time.monotonic()))
        self._asked_at = time.monotonic()
        return halted

    # --- the thread ---

    def _run(self, tell: Callable[[asyncio.Future[None] | None, BaseException | None], None]) -> None:
        error: BaseException | None = None
        self._asked_at = time.monotonic()
        try:
            self._open_device()
            first = self._first_frame()
            self._asked_at = None
            tell(self._opened, None)
            while self._go.wait() and not self._closing:
                self._go.clear()
                errand = self._errand
                if errand is not None:
                    self._halt = errand.halt
                    if not errand.halt.is_set():  # or it was given up before it began
                        self._send_frames(errand, None if self._live else first)
                        first = None
                    errand.halt.set()
                    tell(errand.streamed, None)
                    errand = None  # which holds its session
        except StopIteration as caught:  # which no future takes
            error = RuntimeError("a function of this source raised StopIteration")
            error.__cause__ = caught
        except BaseException as caught:  # noqa: BLE001 - raised again by whoever waits
            error = caught
        finally:
            try:
                self._close_device()
            except Exception as caught:  # noqa: BLE001 - it must not hide what was before, nor keep anybody waiting
                error = error or caught
            for future in (self._opened, self._ended):
                tell(future, error)

    def _first_frame(self) -> Frame | None:
        try:
            frame = self._next_frame(0.0, time.monotonic())
        except DeviceLost as lost:  # which it was not, as it has never been there
            raise DeviceError(self.name, lost.reason) from None
        if frame is None and not self._closing:
            raise DeviceError(self.name, "has no picture that can be read")
        return frame

    def _send_frames(self, errand: _Errand, frame: Frame | None) -> None:
        started_at = due_at = time.monotonic()
        if frame is None:
            # for the pictures that the driver has kept since the device was opened
            settling_s = _SETTLING_S if self._live else 0.0
            due_at += settling_s
            frame = self._ask(settling_s, due_at)
        while frame is not None and not errand.halt.is_set():
            if self._process is not None:
                frame = self._process(frame)
            jpeg = self._jpeg.encode(frame, order=self.order)
            if errand.halt.is_set() or not errand.sink.feed_video(jpeg):  # it was given up while that took its time
                return
            # what took too long is not made up for
            due_at = max(due_at + self._interval_s, time.monotonic())
            frame = self._ask(due_at - started_at, due_at)

    def _ask(self, position_s: float, due_at: float) -> Frame | None:
        self._asked_at = time.monotonic()
        frame = self._next_frame(position_s, due_at)
        self._asked_at = None  # what follows is not the device's doing
        return frame

    # --- the loop ---

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()

        def settle(future: asyncio.Future[None] | None, error: BaseException | None) -> None:
            if future is None or future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                future.exception()  # nobody may be left who asks

        def tell(future: asyncio.Future[None] | None, error: BaseException | None) -> None:
            to_loop(loop, settle, future, error)

        await self._let_go()
        self._closing = False
        self._go.clear()
        self._halt.clear()
        self._opened, self._ended = loop.create_future(), loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(tell,), name=f"gemini-live {self.name}", daemon=True)
        self._thread.start()
        try:
            async with asyncio.timeout(self._patience_s):
                await asyncio.shield(self._opened)
        except TimeoutError:
            await self._close()
            raise DeviceError(self.name, f"gives no picture within {self._patience_s:g} s") from None
        except BaseException:
            await self._close()
            raise

    async def _let_go(self) -> None:
        """Wait for the thread of the last time; two would release each other's device.

        Raises:
            DeviceError: it hangs.
        """
        thread = self._thread
        if thread is not None and thread.is_alive():
            await in_thread(lambda: thread.join(_GOODBYE_S), 2 * _GOODBYE_S)
            if thread.is_alive():
                raise DeviceError(self.name, "hangs since it was last used; plug it in anew, or use another one")

    async def _close(self) -> None:
        self._closing = True
        self._halt.set()
        self._go.set()
        if self._ended is not None:
            await asyncio.wait([self._ended], timeout=_GOODBYE_S)

    async def stream_to(self, sink: Sink) -> None:
        """Send pictures until there are no more, or the session has ended."""
        with self._streamed_alone(self.name):
            async with self:
                await self._stream_to(sink)

    async def _stream_to(self, sink: Sink) -> None:
        if self._ended is not None and self._ended.done():  # by what the last stream raised
            await self._open()
        assert self._ended is not None  # noqa: S101 - it is open
        streamed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ends = streamed, self._ended
        halt = threading.Event()  # its own: one that was halted stays so, however late its thread looks
        self._errand = _Errand(sink, halt, streamed)
        self._go.set()
        try:
            await self._watch(ends)
        finally:
            self._errand = None
            halt.set()
            await asyncio.wait(ends, timeout=_GOODBYE_S, return_when=asyncio.FIRST_COMPLETED)

    async def _watch(self, ends: tuple[asyncio.Future[None], ...]) -> None:
        """Wait for the end of the stream or of its thread, and raise what that has raised."""
        while not any(end.done() for end in ends):
            await asyncio.wait(ends, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            asked_at = self._asked_at
            silent_s = 0.0 if asked_at is None else time.monotonic() - asked_at
            if silent_s > self._patience_s and not any(end.done() for end in ends):
                raise DeviceLost(self.name, f"has given no picture for {silent_s:.1f} s")
        next(end for end in ends if end.done()).result()
