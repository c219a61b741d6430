"""One stream of PortAudio, by way of sounddevice, so that nothing it does can hold up or crash the loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from typing import TYPE_CHECKING, Any, Literal

from gemini_live.errors import DeviceError
from gemini_live.media.extras import require
from gemini_live.media.source import in_thread, to_loop

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SoundStream"]

_STARTING_S = 10.0  # Bluetooth takes its time
_GOODBYE_S = 1.0
_LATENCY: dict[str, str | float] = {
    "input": "low",
    "output": 0.05,  # less is a risk, because the callback waits for the interpreter, and more delays a barge-in
}

# Opening, starting and closing are not safe in two threads at once, says PortAudio.
_one_at_a_time = threading.Lock()


class SoundStream:
    """A stream from a microphone or to a loudspeaker.

    Args:
        direction: of the sound.
        device: its number, a part of its name, or the system's choice.
        rate_hz: to be asked for; by default the device's own.
        channels: to be asked for; a device that refuses is opened with its own, two at most.
        block_ms: of each callback.
        callback: called in the device's thread with ``float32`` samples of shape ``(n, channels)`` for input, with a
            buffer of 16-bit samples to be filled for output, and with the flags of sounddevice. When it raises, the
            stream ends.

    Attributes:
        name: of the device.
        latency_s: between the callback and the air, as far as the driver knows; 0.0 if it does not.
        ended: is set when the stream has stopped without being told to; of the last `start`.
        failure: what the callback raised, if that is why.
    """

    def __init__(  # noqa: PLR0913 - what a stream is made of
        self,
        direction: Literal["input", "output"],
        device: int | str | None,
        *,
        rate_hz: int | None,
        channels: int,
        block_ms: float,
        callback: Callable[[Any, Any], None],
    ) -> None:
        self._direction: Literal["input", "output"] = direction
        self._device = device
        self._block_ms = block_ms
        self._callback = callback
        self.name = f"sound {direction}" if device is None else str(device)
        self.rate_hz = rate_hz or 0
        self.channels = channels
        self.latency_s = 0.0
        self.failure: Exception | None = None
        self._sounddevice: Any = None
        self._stream: Any = None
        self._running = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()

    async def open(self) -> None:
        """Find and open the device.

        Raises:
            DeviceError: there is no such device, or it cannot be opened so, or the library of the system is missing.
            ModuleNotFoundError: the extra is missing.
        """
        self._sounddevice = require("sounddevice", "audio", system_package="libportaudio2")
        try:
            await self._patiently(self._open, _STARTING_S)
        except BaseException:
            await self.close()  # what is opened for nobody any more would be kept from the next one
            raise

    async def start(self) -> None:
        """Let the callback be called.

        Raises:
            DeviceError: the device refuses.
        """
        self.ended = self._loop.create_future()
        self.failure = None
        self._running = True
        await self._patiently(self._start, _STARTING_S)
        latency = self._stream.latency
        # what drivers say goes into sums: NaN or infinity would keep a gate shut, and a wait waiting, for ever
        self.latency_s = float(latency) if isinstance(latency, int | float) and 0 <= latency < math.inf else 0.0

    async def stop(self) -> None:
        """Stop the callback, at once; a device that hangs is left behind."""
        self._running = False
        with contextlib.suppress(DeviceError):
            await self._patiently(self._abort, _GOODBYE_S)

    async def close(self) -> None:
        """Give the device back, as soon as it has been opened."""
        self._running = False
        self._closed = True
        with contextlib.suppress(DeviceError):
            await self._patiently(self._close, _GOODBYE_S)

    async def _patiently(self, call: Callable[[], None], patience_s: float) -> None:
        began = False

        def alone() -> None:
            nonlocal began
            with _one_at_a_time:
                began = True
                call()

        try:
            await in_thread(alone, patience_s)
        except TimeoutError:
            why = "does not answer" if began else "waits for another sound device, which does not answer"
            raise DeviceError(self.name, f"{why} within {patience_s:g} s") from None
        except self._sounddevice.PortAudioError as error:
            raise DeviceError(self.name, str(error)) from error

    # --- in threads, which may get their turn in another order than they came, and when nobody waits any more ---

    def _open(self) -> None:
        if self._closed:
            return
        try:
            found = self._sounddevice.query_devices(self._device, self._direction)
        except (ValueError, self._sounddevice.PortAudioError) as error:
            raise DeviceError(self.name, f"{error}; `python -m sounddevice` lists the devices") from None
        self.name = found["name"]
        self.rate_hz = self.rate_hz or round(found["default_samplerate"])
        most = int(found[f"max_{self._direction}_channels"])
        if not most:
            raise DeviceError(self.name, f"has no {self._direction}; `python -m sounddevice` lists the devices")
        try:
            self._stream = self._made_with(min(self.channels, most), min(2, most))
        except self._sounddevice.PortAudioError as error:
            own_hz = round(found["default_samplerate"])
            if self.rate_hz == own_hz:
                raise
            raise DeviceError(
                self.name, f"{error}; asked for {self.rate_hz:,} Hz, while its own is {own_hz:,} Hz"
            ) from error
        self.channels = self._stream.channels

    def _start(self) -> None:
        if self._running:
            self._stream.start()

    def _abort(self) -> None:
        if not self._closed:  # which ends it as well, and leaves nothing that could be called
            self._stream.abort()

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def _made_with(self, channels: int, otherwise: int) -> Any:  # noqa: ANN401 - the library is not typed
        try:
            return self._made(channels)
        except self._sounddevice.PortAudioError:
            if channels == otherwise:
                raise
            return self._made(otherwise)

    def _made(self, channels: int) -> Any:  # noqa: ANN401 - likewise
        recording = self._direction == "input"
        kind = self._sounddevice.InputStream if recording else self._sounddevice.RawOutputStream
        return kind(
            device=self._device,
            samplerate=self.rate_hz,
            channels=channels,
            dtype="float32" if recording else "int16",
            blocksize=round(self.rate_hz * self._block_ms / 1000),
            latency=_LATENCY[self._direction],
            callback=self._called,
            finished_callback=self._finished,
        )

    def _called(self, data: Any, _frames: int, _time: object, status: Any) -> None:  # noqa: ANN401 - the library's
        try:
            self._callback(data, status)
        except Exception as error:  # noqa: BLE001 - raised again by whoever watches
            self.failure = error
            raise self._sounddevice.CallbackAbort from None

    def _finished(self) -> None:
        if self._running:
            to_loop(self._loop, self._end, self.ended)

    def _end(self, ended: asyncio.Future[None]) -> None:
        if not ended.done():
            ended.set_result(None)
