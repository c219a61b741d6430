"""A microphone, by way of PortAudio: its callback hands samples straight to the session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from gemini_live.errors import ConfigError, DeviceError, DeviceLost
from gemini_live.media.portaudio import SoundStream
from gemini_live.media.source import OpenedOnDemand

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from gemini_live.media.source import Sink

    Block = npt.NDArray[np.float32]

__all__ = ["Microphone"]


class _SessionEnded(Exception):  # noqa: N818 - it is none
    """Takes the news out of the device's thread."""


class Microphone(OpenedOnDemand):
    """A microphone of this machine.

    Args:
        device: its number or a part of its name, as ``python -m sounddevice`` lists them; by default the system's.
        rate_hz: samples per second, 8,000 to 192,000; by default the device's own, which the session resamples.
        channels: to be opened, 1 to 64; they are averaged.
        block_ms: how much sound each callback brings, 1 to 500 ms.
        process: is given each block, ``float32`` (full scale ±1) of shape ``(n, channels)``, in the device's thread,
            and returns what is sent instead, of the same rate and of any length: an `EchoCanceller`, a `HalfDuplex`
            gate, or a function of your own. It may return whatever `Session.feed_audio` takes, such as ``float32`` or
            ``int16`` of shape ``(n,)`` or ``(n, channels)``; of an empty array nothing is sent.
        patience_s: a microphone that is silent to the point of giving no samples for so long is given up.

    Attributes:
        overflows: how often the machine was too busy to take what the device had.

    Raises:
        ConfigError: ``rate_hz``, ``channels`` or ``block_ms`` out of range.
        DeviceError: when it is opened: there is no such device. While it is streamed: it gives nothing.
        DeviceLost: while it is streamed: it was unplugged, or stopped.
        ModuleNotFoundError: the extra is missing: ``pip install "gemini-live[audio]"``.
    """

    kind: Literal["audio"] = "audio"

    def __init__(  # noqa: PLR0913 - keywords, all with defaults
        self,
        device: int | str | None = None,
        *,
        rate_hz: int | None = None,
        channels: int = 1,
        block_ms: float = 20.0,
        process: Callable[[Block], npt.NDArray[Any]] | None = None,
        patience_s: float = 2.0,
    ) -> None:
        if not 1 <= block_ms <= 500:
            raise ConfigError(f"a block is 1 to 500 ms long, not {block_ms}", path="block_ms")
        if rate_hz is not None and not 8_000 <= rate_hz <= 192_000:
            raise ConfigError(
                f"a microphone gives 8,000 to 192,000 samples per second, not {rate_hz:,}", path="rate_hz"
            )
        if not 1 <= channels <= 64:
            raise ConfigError(f"a microphone has 1 to 64 channels, not {channels}", path="channels")
        self._device = device
        self._rate_hz = rate_hz
        self._channels = channels
        self._block_ms = block_ms
        self._process = process
        self._patience_s = patience_s
        self._stream: SoundStream | None = None
        self._sink: Sink | None = None
        self._blocks = 0
        self._blocks_of_nan = 0
        self.overflows = 0

    @property
    def name(self) -> str:
        """The device's name, once it is open."""
        return "microphone" if self._stream is None else self._stream.name

    @property
    def rate_hz(self) -> int:
        """Samples per second, once it is open."""
        return self._rate_hz or 0 if self._stream is None else self._stream.rate_hz

    async def _open(self) -> None:
        self._stream = SoundStream(
            "input",
            self._device,
            rate_hz=self._rate_hz,
            channels=self._channels,
            block_ms=self._block_ms,
            callback=self._heard,
        )
        await self._stream.open()

    async def _close(self) -> None:
        if self._stream is not None:
            await self._stream.close()

    def _heard(self, block: Block, status: Any) -> None:  # noqa: ANN401 - the library's
        """In the device's thread. What it raises ends the stream, and is raised again by `stream_to`."""
        self._blocks += 1
        if status.input_overflow:
            self.overflows += 1
        if block[0, 0] != block[0, 0]:  # NaN; the session makes silence of it
            self._blocks_of_nan += 1
        sink = self._sink
        if sink is None:
            return
        sent: npt.NDArray[Any] = block if self._process is None else self._process(block)
        if len(sent) and not sink.feed_audio(sent, rate_hz=self.rate_hz):
            self._sink = None
            raise _SessionEnded

    async def stream_to(self, sink: Sink) -> None:
        """Send what is heard, until the session has ended."""
        with self._streamed_alone(self.name):
            async with self:
                stream = self._stream
                assert stream is not None  # noqa: S101 - it is open
                self._sink = sink
                try:
                    await stream.start()
                    await self._watch(stream)
                finally:
                    self._sink = None
                    await stream.stop()

    async def _watch(self, stream: SoundStream) -> None:
        began = False
        while True:
            blocks, of_nan = self._blocks, self._blocks_of_nan
            await asyncio.wait([stream.ended], timeout=self._patience_s)
            if stream.ended.done():
                if isinstance(stream.failure, _SessionEnded):
                    return
                if stream.failure is not None:
                    raise stream.failure
                raise DeviceLost(self.name, "has stopped; it was unplugged, or another program took it")
            came = self._blocks - blocks
            if came == 0:
                kind = DeviceLost if began else DeviceError
                raise kind(self.name, f"has given no sound for {self._patience_s:g} s")
            began = True
            if self._blocks_of_nan - of_nan == came:
                raise DeviceError(self.name, "gives NaN instead of samples; choose another device, rate or driver")
