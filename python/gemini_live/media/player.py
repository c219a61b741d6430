"""The playout queue: answers in, faster than real time, and what a loudspeaker's callback asks for out.

No device and no clock: time is what has been read. `Speaker` reads it from a loudspeaker; a telephone bridge reads it
itself, a frame every 20 ms.
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gemini_live import _core
from gemini_live.errors import ConfigError
from gemini_live.events import GenerationComplete, Interrupted, ModelAudio, TurnComplete
from gemini_live.media.source import to_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

    import numpy.typing as npt
    from typing_extensions import Buffer

    from gemini_live.events import Event

__all__ = ["Player", "PlayerStats"]

MODEL_RATE_HZ = 24_000
_BYTES_PER_SAMPLE = 2
# as the buffer protocol writes it; ctypes always says the byte order
_NATIVE_16_BIT = frozenset({"h", "@h", "=h", "<h" if sys.byteorder == "little" else ">h"})


class PlayerStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a player has done so far.

    Attributes:
        played_s: seconds of answers that were read.
        discarded_s: seconds that `Player.clear` took away unheard.
        underruns: how often an answer went on too late, so that a gap was heard.
        underrun_s: how long these gaps were altogether.
    """

    played_s: float = 0.0
    discarded_s: float = 0.0
    underruns: int = 0
    underrun_s: float = 0.0


class _Piece:
    """Samples of one answer in the device's format, and how far they have been read."""

    __slots__ = ("answer", "data", "start")

    def __init__(self, answer: int, data: memoryview) -> None:
        self.answer = answer
        self.data = data
        self.start = 0


class Player:
    """Plays answers one after the other, and is silent in between. Safe to share between threads.

    It takes whatever comes, minutes of it at once: nothing is dropped but by `clear`.

    ::

        async for event in player.follow(session):  # plays, and clears when the user cuts in
            ...

    Args:
        rate_hz: of what is read, 8,000 to 192,000; answers are resampled to it.
        channels: of what is read; each gets the same samples.
        fade_ms: how long `clear` lets the sound die away, because one that is cut off clicks.
        latency_s: how long after it is read a sample is heard.

    Attributes:
        tap: is given everything that was read, silence included, in the reader's thread; for an `EchoCanceller`.

    Raises:
        ConfigError: an argument out of range.
    """

    def __init__(
        self,
        rate_hz: int = MODEL_RATE_HZ,
        *,
        channels: int = 1,
        fade_ms: float = 5.0,
        latency_s: float = 0.0,
    ) -> None:
        if not 0 <= fade_ms <= 100:
            raise ConfigError(f"a fade takes 0 to 100 ms, not {fade_ms}", path="fade_ms")
        if not 0 <= latency_s < math.inf:
            raise ConfigError(f"a latency is 0 s or more, not {latency_s}", path="latency_s")
        self._fade_ms = fade_ms
        self.latency_s = latency_s
        self.tap: Callable[[memoryview], None] | None = None
        # Whoever feeds holds `_feeding` for as long as resampling takes. The callback needs `_lock` only, which is
        # never held for longer than it takes to copy what one callback asks for.
        self._feeding = threading.Lock()
        self._lock = threading.Lock()
        self._resampler: _core.Resampler | None = None
        self._rate_in_hz = 0
        self._turn_in = 0  # of the last piece that came in
        self._answer_in = 0  # its number here: plain samples have no turn, and a turn can be cut
        self._pieces: deque[_Piece] = deque()
        self._queued = 0  # bytes, as all that is counted here
        self._answer = 0  # of the last piece that was read
        self._read = 0  # of that answer
        self._silent = 0  # since then
        self._position = 0  # in all that was ever read, silence included
        self._gaps: deque[tuple[int, int]] = deque()  # within that answer: where each ends, and its length
        self._finished = True  # nothing more of the last answer is to come
        self._dry = False  # and yet the queue is empty
        self._read_before = 0  # of other answers
        self._discarded = 0
        self._gap = 0  # what was read as silence since the queue ran dry
        self._underruns = 0
        self._underrun = 0
        self._zeros = memoryview(b"")
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.rate_hz = MODEL_RATE_HZ
        self.channels = 1
        self._bytes_per_s = MODEL_RATE_HZ * _BYTES_PER_SAMPLE
        self.set_device(rate_hz, channels)

    def set_device(self, rate_hz: int, channels: int) -> None:
        """Say what will be read, before anything is played.

        Raises:
            ConfigError: a value out of range, or something waits to be played as it was said before.
        """
        if not 8_000 <= rate_hz <= 192_000:
            raise ConfigError(
                f"a loudspeaker takes 8,000 to 192,000 samples per second, not {rate_hz:,}", path="rate_hz"
            )
        if not 1 <= channels <= 64:
            raise ConfigError(f"a loudspeaker has 1 to 64 channels, not {channels}", path="channels")
        bytes_per_frame = channels * _BYTES_PER_SAMPLE
        bytes_per_s = rate_hz * bytes_per_frame
        if (rate_hz, channels) != (self.rate_hz, self.channels):
            if self._queued:
                raise ConfigError("something waits to be played at another rate; play it after opening", path="rate_hz")
            self._recount(bytes_per_s / self._bytes_per_s)
            self._resampler = None
        self.rate_hz = rate_hz
        self.channels = channels
        self._bytes_per_frame = bytes_per_frame
        self._bytes_per_s = bytes_per_s
        self._fade_bytes = round(rate_hz * self._fade_ms / 1000) * self._bytes_per_frame

    def _recount(self, scale: float) -> None:
        """Bytes of one device as bytes of another: they are the same time."""
        with self._lock:
            self._read = round(self._read * scale)
            self._read_before = round(self._read_before * scale)
            self._silent = round(self._silent * scale)
            self._position = round(self._position * scale)
            self._gaps = deque((round(end * scale), round(size * scale)) for end, size in self._gaps)
            self._discarded = round(self._discarded * scale)
            self._underrun = round(self._underrun * scale)

    # --- in ---

    def play(self, audio: ModelAudio | Buffer | npt.NDArray[np.int16], *, rate_hz: int = MODEL_RATE_HZ) -> None:
        """Append a piece of an answer.

        Args:
            audio: the event as it came, or 16-bit mono samples: bytes (little-endian) or an ``int16`` array.
            rate_hz: of plain samples; an event knows its own.

        Raises:
            TypeError: not 16-bit samples.
            ValueError: half a sample, more than one channel, or a rate below 8,000 or above 192,000.
        """
        turn = 0
        if isinstance(audio, ModelAudio):
            samples, rate_hz, turn = memoryview(audio.data[: len(audio.data) & ~1]), audio.rate_hz, audio.turn
        else:
            samples = _pcm(audio)
        with self._feeding:
            if self._finished or turn != self._turn_in:
                self._finish()
                self._answer_in += 1
                self._turn_in = turn
                self._finished = False
            self._append(self._at_device_rate(samples, rate_hz))

    def finish(self) -> None:
        """Nothing more of this answer is to come: what follows is another one, and silence is no gap."""
        with self._feeding:
            self._finish()

    def _finish(self) -> None:
        if self._resampler is not None:
            self._append(self._resampler.flush())
            self._resampler = None
        with self._lock:
            self._finished = True
            self._dry = False  # what was silent since then was no gap, but the end

    def _at_device_rate(self, samples: memoryview, rate_hz: int) -> Buffer:
        if rate_hz != self._rate_in_hz and self._resampler is not None:
            self._append(self._resampler.flush())
            self._resampler = None
        self._rate_in_hz = rate_hz
        if rate_hz == self.rate_hz or not samples:
            return samples
        if self._resampler is None:
            self._resampler = _core.Resampler(rate_hz, self.rate_hz)
        return self._resampler.feed(samples)

    def _append(self, mono: Buffer) -> None:
        data = memoryview(mono).cast("B")
        if not data:
            return
        if self.channels > 1:
            data = np.frombuffer(data, np.int16).repeat(self.channels).data.cast("B")
        with self._lock:
            self._pieces.append(_Piece(self._answer_in, data))
            self._queued += len(data)
            if self._dry:
                self._dry = False
                self._underruns += 1
                self._underrun += self._gap

    def clear(self) -> None:
        """Fall silent at once, and forget what waits: the user has cut in.

        What was read of the answer stays in `played_ms` until another one begins.
        """
        self._cut(self._fade_bytes)

    def _cut(self, fade_bytes: int) -> None:
        with self._feeding:
            self._resampler = None  # what it holds back belongs to what is forgotten
            with self._lock:
                self._discarded += self._queued
                if self._pieces and self._answer and self._silent > self.latency_s * self._bytes_per_s:
                    self._begin(self._pieces[0].answer)  # it is the one that is cut, and not the one before
                rest = self._take(min(fade_bytes, self._queued)) if self._is_sounding() else b""
                self._pieces.clear()
                if rest:
                    self._pieces.append(_Piece(self._answer, self._faded(rest).data.cast("B")))
                self._queued = len(rest)
                self._discarded -= len(rest)
                self._finished = True
                self._dry = False
                if not self._queued:
                    self._wake()

    def _is_sounding(self) -> bool:
        """Whether the next piece goes on with what was read last, so that its absence would click."""
        return bool(self._pieces) and self._pieces[0].answer == self._answer and self._silent == 0

    def _take(self, size: int) -> bytes:
        """The next ``size`` bytes of the queue, without counting them as read."""
        taken = bytearray()
        for piece in self._pieces:
            taken += piece.data[piece.start : piece.start + size - len(taken)]
            if len(taken) == size:
                break
        return bytes(taken)

    def _faded(self, sounding: bytes) -> npt.NDArray[np.int16]:
        frames = np.frombuffer(sounding, np.int16).reshape(-1, self.channels)
        falling = np.linspace(1, 0, len(frames), endpoint=False, dtype=np.float32)[:, None]
        faded: npt.NDArray[np.int16] = np.rint(frames * falling).astype(np.int16)
        return faded

    # --- out ---

    def read_into(self, out: Buffer | npt.NDArray[np.int16]) -> int:
        """Fill ``out`` with what is to be heard next, and with silence behind that; for a device's callback.

        It copies and counts, and waits for nothing but a lock that is held for microseconds.

        Args:
            out: writable and contiguous: an ``int16`` array of shape ``(n,)`` or ``(n, channels)``, or the bytes of
                16-bit samples, interleaved if there are several channels.

        Returns:
            How many bytes are not silence.

        Raises:
            TypeError: other samples than ``int16``, in which these would be noise.
            ValueError: another number of channels than the player's, or half a sample.
        """
        target = self._bytes_of(out)
        size = len(target)
        if size % self._bytes_per_frame:
            raise ValueError(f"{size} bytes are no whole number of frames of {self.channels} 16-bit samples")
        filled = 0
        with self._lock:
            while filled < size and self._pieces:
                filled += self._read_piece(target, filled)
            if filled < size:
                if len(self._zeros) < size:
                    self._zeros = memoryview(bytes(size))
                target[filled:] = self._zeros[filled:size]
                self._silent += size - filled
                self._gap += size - filled
                self._position += size - filled
        if self.tap is not None:
            self.tap(target)
        return filled

    def _bytes_of(self, out: Buffer | npt.NDArray[np.int16]) -> memoryview:
        if isinstance(out, np.ndarray):
            if out.dtype != np.int16:
                raise TypeError(
                    f"a player gives 16-bit samples: open the loudspeaker with dtype='int16', not {out.dtype}"
                )
            if out.ndim == 2 and out.shape[1] != self.channels:
                raise ValueError(
                    f"a block of shape {out.shape} is for another number of channels than the player's "
                    f"{self.channels}: make it with Player(channels={out.shape[1]})"
                )
            return out.data.cast("B")
        view = memoryview(out)
        if view.itemsize != 1 and view.format not in _NATIVE_16_BIT:
            raise TypeError(f"a player gives 16-bit samples: take int16 or bytes, not items of format {view.format!r}")
        return np.frombuffer(view, np.uint8).data  # `cast` knows no format of two letters, such as that of ctypes

    def _read_piece(self, target: memoryview, filled: int) -> int:
        piece = self._pieces[0]
        count = min(len(piece.data) - piece.start, len(target) - filled)
        end = piece.start + count
        target[filled : filled + count] = piece.data[piece.start : end]
        if piece.answer != self._answer:
            self._begin(piece.answer)
        elif self._silent:
            self._end_gap()
        self._read += count
        self._position += count
        self._silent = 0
        self._queued -= count
        piece.start = end
        if end == len(piece.data):
            self._pieces.popleft()
            if not self._pieces:
                self._dry = not self._finished
                self._gap = 0
                self._wake()
        return count

    def _begin(self, answer: int) -> None:
        if answer != self._answer:
            self._answer = answer
            self._read_before += self._read
            self._read = 0
            self._gaps.clear()

    def _end_gap(self) -> None:
        """Keep its place for as long as the device may hold a part of it."""
        self._gaps.append((self._position, self._silent))
        heard = self._position - self.latency_s * self._bytes_per_s
        while self._gaps[0][0] < heard:
            self._gaps.popleft()

    def _under_way(self) -> float:
        """Bytes of the answer that the device has read and not played yet."""
        held = self.latency_s * self._bytes_per_s
        heard = self._position - held
        silence = float(self._silent)
        for end, size in self._gaps:
            silence += max(0.0, end - max(heard, end - size))
        return max(0.0, held - silence)

    def read(self, samples: int) -> bytes:
        """The next so many samples per channel, as bytes; silence where there is nothing to play."""
        out = bytearray(samples * self._bytes_per_frame)
        self.read_into(out)
        return bytes(out)

    # --- how far it is ---

    @property
    def played_ms(self) -> float:
        """How much was heard of the answer that sounds, or sounded last, in milliseconds.

        What the device has read and not played yet (``latency_s``) does not count. After `Interrupted` this is where
        the user cut in.
        """
        with self._lock:
            return max(0.0, self._read - self._under_way()) / self._bytes_per_s * 1000

    @property
    def queued_s(self) -> float:
        """Seconds that wait to be read."""
        return self._queued / self._bytes_per_s

    @property
    def playing(self) -> bool:
        """Whether anything waits to be read, or was read and may still be heard."""
        return self.silent_s == 0.0

    @property
    def silent_s(self) -> float:
        """For how long nothing has been heard; 0.0 while something is, infinity before anything ever was."""
        with self._lock:
            if self._queued:
                return 0.0
            if self._answer == 0:
                return float("inf")
            return max(0.0, self._silent / self._bytes_per_s - self.latency_s)

    @property
    def stats(self) -> PlayerStats:
        """The player's accounts at this moment."""
        with self._lock:
            return PlayerStats(
                played_s=(self._read_before + self._read) / self._bytes_per_s,
                discarded_s=self._discarded / self._bytes_per_s,
                underruns=self._underruns,
                underrun_s=self._underrun / self._bytes_per_s,
            )

    async def wait_played(self) -> None:
        """Wait until everything that was given has been heard, or was cleared."""
        self.finish()
        drained = asyncio.Event()
        waiter = asyncio.get_running_loop(), drained
        with self._lock:
            if not self._queued:
                drained.set()
            else:
                self._waiting.append(waiter)
        try:
            await drained.wait()
        finally:
            with self._lock:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
        await asyncio.sleep(max(0.0, self.latency_s - self._silent / self._bytes_per_s))

    def _wake(self) -> None:
        """Somebody may wait for the queue to be empty; at most once for each wait, from the callback's thread."""
        waiting, self._waiting = self._waiting, []
        for loop, drained in waiting:
            to_loop(loop, drained.set)

    # --- with a session ---

    def handle(self, event: Event) -> None:
        """Do what an event means for what is played: play, clear, or finish. Other events mean nothing here."""
        match event:
            case ModelAudio():
                self.play(event)
            case Interrupted():
                self.clear()
            case GenerationComplete() | TurnComplete():
                self.finish()
            case _:
                pass

    async def follow(self, events: AsyncIterable[Event]) -> AsyncIterator[Event]:
        """Every event of a session, after `Player.handle` has seen to it: iterate this instead of the session.

        Args:
            events: a session, or a cursor from ``session.events()``.
        """
        async for event in events:
            self.handle(event)
            yield event


def _pcm(samples: Buffer | npt.NDArray[np.int16]) -> memoryview:
    if isinstance(samples, np.ndarray):
        if samples.dtype != np.int16:
            raise TypeError(f"a player takes 16-bit samples as bytes or as an int16 array, not {samples.dtype}")
        if samples.ndim != 1 and not (samples.ndim == 2 and samples.shape[1] == 1):
            raise ValueError(
                f"a player takes mono samples of shape (n,), not {samples.shape}; average the channels first"
            )
        return memoryview(samples.tobytes())
    view = memoryview(samples)
    if view.itemsize != 1 and view.format not in _NATIVE_16_BIT:
        raise TypeError(f"a player takes 16-bit samples as int16 or bytes, not items of format {view.format!r}")
    # what waits may wait for minutes: the caller's memory must not change it
    data = memoryview(view.tobytes())
    if len(data) % _BYTES_PER_SAMPLE:
        raise ValueError(f"{len(data)} bytes are no whole number of 16-bit samples")
    return data
