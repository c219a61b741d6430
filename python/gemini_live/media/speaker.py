"""A loudspeaker, by way of PortAudio: its callback reads the playout queue."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, TypeVar

from gemini_live.errors import ConfigError, DeviceLost
from gemini_live.media.player import MODEL_RATE_HZ, Player
from gemini_live.media.portaudio import SoundStream
from gemini_live.media.source import OpenedOnDemand

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Coroutine

    from gemini_live.events import Event

    _Result = TypeVar("_Result")

__all__ = ["Speaker"]


class Speaker(Player, OpenedOnDemand):
    """A loudspeaker of this machine: a `Player` that is heard for as long as the ``async with`` block lasts.

    What nobody has heard at the end of the block is discarded; the loudspeaker may be opened again.

    ::

        async with Speaker() as speaker:
            async for event in speaker.follow(session):
                ...
            await speaker.wait_played()

    Args:
        device: its number or a part of its name, as ``python -m sounddevice`` lists them; by default the system's.
        rate_hz: samples per second; by default the device's own, to which answers are resampled.
        channels: to be opened; each plays the same.
        block_ms: how much sound each callback asks for, 1 to 500 ms.
        fade_ms: as of a `Player`.
        patience_s: a loudspeaker that asks for nothing for so long is given up.

    Raises:
        ConfigError: an argument out of range.
        DeviceError: when it is opened: there is no such device.
        DeviceLost: from `follow` and `wait_played`: it was unplugged, or stopped.
        ModuleNotFoundError: the extra is missing: ``pip install "gemini-live[audio]"``.
    """

    def __init__(  # noqa: PLR0913 - keywords, all with defaults
        self,
        device: int | str | None = None,
        *,
        rate_hz: int | None = None,
        channels: int = 1,
        block_ms: float = 10.0,
        fade_ms: float = 5.0,
        patience_s: float = 2.0,
    ) -> None:
        if not 1 <= block_ms <= 500:
            raise ConfigError(f"a block is 1 to 500 ms long, not {block_ms}", path="block_ms")
        super().__init__(MODEL_RATE_HZ if rate_hz is None else rate_hz, channels=channels, fade_ms=fade_ms)
        self._device = device
        self._rate_asked_hz = rate_hz
        self._block_ms = block_ms
        self._patience_s = patience_s
        self._stream: SoundStream | None = None
        self._watching: asyncio.Task[str] | None = None
        self._callbacks = 0

    @property
    def name(self) -> str:
        """The device's name, once it is open."""
        return "loudspeaker" if self._stream is None else self._stream.name

    @property
    def silent_s(self) -> float:
        """For how long nothing has been heard; 0.0 while something is, infinity before anything ever was.

        Infinity as well where the loudspeaker is closed, or gone: what waits then is not heard.
        """
        watching = self._watching
        return math.inf if watching is None or watching.done() else super().silent_s

    async def _open(self) -> None:
        self._stream = stream = SoundStream(
            "output",
            self._device,
            rate_hz=self._rate_asked_hz,
            channels=self.channels,
            block_ms=self._block_ms,
            callback=self._asked,
        )
        await stream.open()
        try:
            self.set_device(stream.rate_hz, stream.channels)
            await stream.start()
        except BaseException:
            await stream.close()
            raise
        self.latency_s = stream.latency_s
        self._watching = asyncio.create_task(self._watch(stream), name="gemini-live loudspeaker")

    async def _close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        try:
            if self._stream is not None:
                await self._stream.close()
        finally:  # also where this is cancelled
            self._cut(fade_bytes=0)

    def _asked(self, out: Any, _status: object) -> None:  # noqa: ANN401 - a buffer of the library's
        self._callbacks += 1
        self.read_into(out)

    async def _watch(self, stream: SoundStream) -> str:
        """Wait for the end of the stream, and say what happened."""
        while True:
            before = self._callbacks
            await asyncio.wait([stream.ended], timeout=self._patience_s)
            if stream.failure is not None:
                return f"was stopped by {stream.failure!r}"
            if stream.ended.done():
                return "has stopped; it was unplugged, or another program took it"
            if self._callbacks == before:
                return f"has played nothing for {self._patience_s:g} s"

    async def wait_played(self) -> None:
        """Wait until everything that was given has been heard, or was cleared.

        Raises:
            DeviceLost: it never will be.
            ConfigError: the loudspeaker is not open, or was closed meanwhile.
        """
        await self._unless_lost(super().wait_played())

    async def follow(self, events: AsyncIterable[Event]) -> AsyncIterator[Event]:
        """Every event of a session, after `Player.handle` has seen to it: iterate this instead of the session.

        Raises:
            DeviceLost: the loudspeaker is gone.
            ConfigError: it is not open, or was closed meanwhile.
        """
        iterator = aiter(events)

        async def next_event() -> Event | None:
            return await anext(iterator, None)

        while (event := await self._unless_lost(next_event())) is not None:
            self.handle(event)
            yield event

    async def _unless_lost(self, doing: Coroutine[Any, Any, _Result]) -> _Result:
        """Do something that may take long, but not longer than the loudspeaker lives."""
        watching = self._watching
        if watching is None:
            doing.close()
            raise ConfigError("the loudspeaker is not open: use it in an `async with` block", path="speaker")
        task = asyncio.create_task(doing)
        try:
            await asyncio.wait([task, watching], return_when=asyncio.FIRST_COMPLETED)
        finally:
            done = task.done()
            if not done:
                task.cancel()
                await asyncio.wait([task])
        if done:
            return task.result()
        if watching.cancelled():
            raise ConfigError("the loudspeaker was closed meanwhile", path="speaker")
        raise DeviceLost(self.name, watching.result())
