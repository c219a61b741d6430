"""What a microphone hears of the loudspeaker beside it, and two ways to keep the model from hearing itself.

Without either the service takes its own voice for the user's, and interrupts itself. Headphones need neither.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from gemini_live.errors import ConfigError
from gemini_live.media.extras import require

if TYPE_CHECKING:
    import numpy.typing as npt

    from gemini_live.media.player import Player

    Block = npt.NDArray[Any]

__all__ = ["EchoCanceller", "HalfDuplex"]


class HalfDuplex:
    """Mutes the microphone while the loudspeaker sounds: simple and certain, but nobody can cut in.

    ::

        Microphone(process=HalfDuplex(speaker))

    The service gets silence meanwhile, and not nothing, so that it goes on hearing where speech ends.

    Args:
        player: the loudspeaker.
        tail_ms: milliseconds to stay muted after the loudspeaker has fallen silent, 0 to 5,000: the room goes on
            sounding.

    Raises:
        ConfigError: ``tail_ms`` out of range.
    """

    def __init__(self, player: Player, *, tail_ms: float = 300.0) -> None:
        if not 0 <= tail_ms <= 5_000:
            raise ConfigError(f"a room sounds for 0 to 5,000 ms, not {tail_ms}", path="tail_ms")
        self._player = player
        self._tail_s = tail_ms / 1000
        self._silence: Block | None = None

    def __call__(self, block: Block) -> Block:
        """Pass a block on, or silence of the same length."""
        if self._player.silent_s >= self._tail_s:
            return block
        if self._silence is None or len(self._silence) < len(block):
            self._silence = np.zeros_like(block)
        return self._silence[: len(block)]


class EchoCanceller:
    """Takes out of the microphone's sound what the loudspeaker plays, so that the user can cut in.

    ::

        Microphone(rate_hz=16_000, process=EchoCanceller(speaker, rate_hz=16_000))

    The work is done by the audio processing of WebRTC as it comes with LiveKit's SDK, in about 0.1 ms for each 10 ms of
    sound, in the devices' threads.

    Args:
        player: the loudspeaker; it can have one canceller.
        rate_hz: of the microphone: a multiple of 100.
        noise_suppression: take steady noise away as well.
        gain_control: level loud and soft voices.

    Raises:
        ConfigError: a rate that has no whole number of samples in 10 ms.
        ModuleNotFoundError: the extra is missing: ``pip install "gemini-live[echo]"``.
    """

    def __init__(
        self, player: Player, *, rate_hz: int, noise_suppression: bool = False, gain_control: bool = False
    ) -> None:
        self._near = _Frames("microphone", rate_hz, 1)
        self._far = _Frames("loudspeaker", player.rate_hz, player.channels)
        self._rtc = require("livekit.rtc", "echo")
        self._processing = self._rtc.AudioProcessingModule(
            echo_cancellation=True,
            noise_suppression=noise_suppression,
            auto_gain_control=gain_control,
            high_pass_filter=True,  # the canceller works better without hum
        )
        self._player = player
        self._delay_ms = -1
        self._lock = threading.Lock()  # the two devices have a thread each
        player.tap = self._played

    def _played(self, samples: memoryview) -> None:
        """In the loudspeaker's thread: this is about to be heard."""
        if (self._far.rate_hz, self._far.channels) != (self._player.rate_hz, self._player.channels):
            self._far = _Frames(
                "loudspeaker", self._player.rate_hz, self._player.channels
            )  # it was opened since, perhaps anew
        for frame in self._far.cut(samples):
            with self._lock:
                self._processing.process_reverse_stream(self._frame(frame, self._far))

    def __call__(self, block: Block) -> Block:
        """In the microphone's thread: take a block, return what is clean by now, ``int16`` of shape ``(n,)``.

        Args:
            block: ``float32`` or ``int16``, of shape ``(n,)`` or ``(n, channels)``.
        """
        delay_ms = round(self._player.latency_s * 1000)
        if delay_ms != self._delay_ms:
            self._delay_ms = delay_ms
            self._processing.set_stream_delay_ms(delay_ms)  # a first guess; it finds the rest by itself
        mono = block if block.ndim == 1 else block.mean(axis=1)
        if mono.dtype != np.int16:
            # the mean of integers is as large as they are; NaN is silence, as it is for a session
            scale = 1 if block.dtype == np.int16 else 32_768
            mono = np.clip(np.rint(np.nan_to_num(mono) * scale), -32_768, 32_767).astype(np.int16)
        clean: list[Block] = []
        for samples in self._near.cut(np.ascontiguousarray(mono).data.cast("B")):
            frame = self._frame(samples, self._near)
            with self._lock:
                self._processing.process_stream(frame)
            clean.append(np.frombuffer(frame.data, np.int16))  # in place, but of a copy in some versions
        return np.concatenate(clean) if clean else np.empty(0, np.int16)

    def _frame(self, samples: bytearray, of: _Frames) -> Any:  # noqa: ANN401 - the library's
        return self._rtc.AudioFrame(samples, of.rate_hz, of.channels, of.rate_hz // 100)


class _Frames:
    """Blocks of any size → pieces of 10 ms; the rest waits for the next.

    Raises:
        ConfigError: a rate that has no whole number of samples in 10 ms.
    """

    def __init__(self, device: str, rate_hz: int, channels: int) -> None:
        if rate_hz <= 0 or rate_hz % 100:
            raise ConfigError(f"10 ms of the {device}'s {rate_hz} Hz are no whole number of samples", path="rate_hz")
        self.rate_hz = rate_hz
        self.channels = channels
        self._size = rate_hz // 100 * channels * 2
        self._rest = bytearray()

    def cut(self, samples: memoryview) -> list[bytearray]:
        self._rest += samples
        whole = len(self._rest) // self._size * self._size
        frames = [self._rest[start : start + self._size] for start in range(0, whole, self._size)]
        del self._rest[:whole]
        return frames
