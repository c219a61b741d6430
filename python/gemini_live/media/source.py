"""What a session can stream from: the agreement, and what all our own sources have in common."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from gemini_live.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Self

    import numpy.typing as npt
    from typing_extensions import Buffer

__all__ = ["OpenedOnDemand", "Sink", "Source", "Ticker", "in_thread", "to_loop"]

_Result = TypeVar("_Result")

TICK_S = 0.020
"""How often a file is looked at: as often as a chunk is due."""


class Sink(Protocol):
    """What a source needs of a session, and what `Session` has: the methods of the same names, which say more."""

    async def send_audio(self, block: Buffer | npt.NDArray[Any], /, *, rate_hz: int = 16_000) -> None:
        """Send a block of sound; for a source that runs in the session's event loop."""
        ...

    def feed_audio(self, block: Buffer | npt.NDArray[Any], /, *, rate_hz: int = 16_000) -> bool:
        """Send a block of sound from any thread, without waiting; false when the session has ended."""
        ...

    def feed_video(self, image: Buffer | npt.NDArray[Any], /) -> bool:
        """Send a picture from any thread, without waiting; false when the session has ended."""
        ...


class Source(Protocol):
    """Anything that `Session.stream` can send. Write one of your own for a device that is not here."""

    @property
    def kind(self) -> Literal["audio", "video"]:
        """What it gives; the end of ``"audio"`` is told to the service."""
        ...

    async def stream_to(self, sink: Sink) -> None:
        """Send everything, in real time, and return at its end, or soon after ``feed_…`` has returned false.

        Raises:
            DeviceLost: the device is gone.
        """
        ...


class OpenedOnDemand(ABC):
    """An asynchronous context manager that may be entered several times; the last to leave closes it.

    Whoever comes while it is being opened, or closed, waits until that is done.
    """

    _entered = 0  # by so many, the waiting ones included
    _is_open = False
    _is_streamed = False
    _door: asyncio.Lock | None = None
    _door_of: asyncio.AbstractEventLoop | None = None  # the only one that may wait at it

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._door is None or self._door_of is not loop:
            self._door, self._door_of = asyncio.Lock(), loop
        self._entered += 1
        try:
            async with self._door:
                if not self._is_open:
                    await self._open()
                    self._is_open = True
        except BaseException:
            self._entered -= 1
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._entered -= 1
        assert self._door is not None  # noqa: S101 - it was entered
        async with self._door:
            if self._entered == 0 and self._is_open:
                self._is_open = False
                await self._close()

    @contextlib.contextmanager
    def _streamed_alone(self, name: str) -> Generator[None]:
        """Keep a second stream away, from before the source is opened.

        Raises:
            ConfigError: there is one already, which would get what the other should have had.
        """
        if self._is_streamed:
            raise ConfigError(f"{name} is being streamed already; one at a time", path="source")
        self._is_streamed = True
        try:
            yield
        finally:
            self._is_streamed = False

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def _close(self) -> None: ...


def to_loop(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: object) -> None:
    """Call something in an event loop, from any thread; in one that is closed there is nobody left to be told.

    To ask the loop first would not do: it may be closed in between.
    """
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)


async def in_thread(function: Callable[[], _Result], patience_s: float) -> _Result:
    """Call a device's library, which may take its time, or never come back.

    Raises:
        TimeoutError: it has not come back in ``patience_s``. Its thread is left behind, and is no hindrance at the
            program's end.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def settle(result: _Result | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type] # the function's own
        else:
            done.set_exception(error)

    def call() -> None:
        result, caught = None, None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            caught = error
        to_loop(loop, settle, result, caught)

    threading.Thread(target=call, name="gemini-live device", daemon=True).start()
    async with asyncio.timeout(patience_s):
        return await done


class Ticker:
    """One timer for all files that an event loop streams, because waking up costs more than what is done then.

    ::

        await Ticker.of_this_loop().until(moment)
    """

    _tickers: ClassVar = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, "Ticker"]()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # which holds this one
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._ticking = False

    @classmethod
    def of_this_loop(cls) -> Ticker:
        """The one that everybody in this loop shares."""
        loop = asyncio.get_running_loop()
        return cls._tickers.setdefault(loop, cls(loop))

    async def until(self, moment: float) -> None:
        """Wait for the first tick at or after a moment on the loop's clock; does not wait if it has passed."""
        loop = asyncio.get_running_loop()
        if loop.time() >= moment:
            return
        waking = loop.create_future()
        self._sleepers.append((moment, waking))
        if not self._ticking:
            self._ticking = True
            loop.call_later(TICK_S, self._tick)
        await waking

    def _tick(self) -> None:
        loop = self._loop()
        if loop is None:
            return
        now = loop.time()
        asleep: list[tuple[float, asyncio.Future[None]]] = []
        for moment, waking in self._sleepers:
            if waking.done():  # cancelled
                continue
            if moment <= now:
                waking.set_result(None)
            else:
                asleep.append((moment, waking))
        self._sleepers = asleep
        self._ticking = bool(asleep)
        if self._ticking:
            loop.call_later(TICK_S, self._tick)
