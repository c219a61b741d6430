"""The compiled hot path. It knows two shapes: ``realtimeInput`` with one blob going out, model audio coming in.

What goes out are whole WebSocket frames, masked as RFC 6455 wants it of a client, with keys from the operating system's
generator. What comes in is taken apart by `FrameReader`.
"""

from typing import Any, Literal, TypeAlias, final

import numpy.typing as npt
from typing_extensions import Buffer

# NumPy's stubs know the buffer protocol from Python 3.12 on only
_Samples: TypeAlias = Buffer | npt.NDArray[Any]
_Layout: TypeAlias = Literal["channels_last", "channels_first"]
_Encoding: TypeAlias = Literal["pcm", "mulaw", "alaw"]

__all__ = [
    "BUILD_PROFILE",
    "VERSION",
    "AudioEncoder",
    "Close",
    "FrameReader",
    "Ping",
    "Pong",
    "Resampler",
    "Violation",
    "decode_audio",
    "decode_base64",
    "encode_frame",
    "encode_video",
    "unmask",
]

VERSION: str
"""The version of the package, as Cargo.toml has it."""

BUILD_PROFILE: str
"""``"release"`` or ``"debug"``; benchmarks refuse a debug build."""

@final
class AudioEncoder:
    """Brings sample blocks to 16 kHz mono and cuts them into chunks, each a ``realtimeInput`` message in a frame.

    The part of a block that does not fill a chunk is carried over to the next block. Blocks of another rate go through
    a `Resampler`; those of 16 kHz ``int16`` mono go out as they are, bit for bit. Safe to share between threads; each
    call is atomic, and `encode` lets other threads run meanwhile if a block has 48,000 samples or more.

    Args:
        rate_hz: samples per second of the blocks, 8,000 to 192,000.
        chunk_samples: of one chunk, at 16 kHz, 1 to 16,000.

    Raises:
        ValueError: a rate or a chunk size out of range.
    """

    def __new__(cls, rate_hz: int = 16_000, chunk_samples: int = 320) -> AudioEncoder: ...
    @property
    def rate_hz(self) -> int: ...
    @property
    def chunk_samples(self) -> int: ...
    @property
    def frame_bytes(self) -> int:
        """Exact length of the frame of a whole chunk, in bytes."""
    @property
    def pending_samples(self) -> int:
        """Samples, at 16 kHz, that `flush` would send: less than a chunk, and up to 3 ms in the resampler."""
    @property
    def delay_s(self) -> float:
        """How long the resampler holds a sample back, in seconds; 0 where there is none."""
    @property
    def nan_samples(self) -> int:
        """How many samples were NaN after the downmix, hence replaced by silence, since the beginning."""
    @property
    def clipped_samples(self) -> int:
        """How many samples were beyond full scale before they were rounded, hence saturated, since the beginning.

        Floats beyond ±1 are; and, where there is a resampler, what its filter makes of steps at full scale.
        """
    def encode(
        self, block: _Samples, layout: _Layout = "channels_last", encoding: _Encoding = "pcm", /
    ) -> tuple[bytes, ...]:
        """Take a block; return the frames of the chunks that it completes, oldest first.

        Args:
            block: samples of shape ``(n,)`` or ``(n, channels)`` in any memory layout and byte order; up to 64 channels
                are averaged to mono. ``int16`` is taken as it is, ``int8`` and ``int32`` are scaled to it; ``uint8``,
                ``uint16`` and ``uint32`` are the same with silence in the middle; ``float16``, ``float32`` and
                ``float64`` have full scale at ±1. ``bytes``, and other memory of bytes that belongs to no array of them
                (``bytearray``, ``mmap``, a ``memoryview`` of either), are 16-bit little-endian mono.
                Everything is rounded once, after downmix and resampling, to the nearest, ties to even, and saturates at
                -32,768 and 32,767; NaN becomes 0, and no value disturbs others for longer than the filter is.
            layout: of a block with two dimensions, ``"channels_last"`` or ``"channels_first"``, ``(channels, n)``.
            encoding: ``"pcm"``, or ``"mulaw"`` or ``"alaw"`` (ITU-T G.711) for bytes or ``uint8``, a sample each.

        Raises:
            TypeError: not a buffer, or a dtype that is not accepted: 64-bit integers have no full scale in audio.
            ValueError: no dimension, or more than two, zero channels or more than 64, an empty block, an odd number of
                raw bytes, or an unknown layout or encoding. After any error the encoder is as it was before.
            OSError: the operating system gives no random numbers to mask with.
        """
    def encode_into(
        self, block: _Samples, out: Buffer, layout: _Layout = "channels_last", encoding: _Encoding = "pcm", /
    ) -> int:
        """Like `encode`, but write the frames back to back into ``out`` and return how many there are.

        Each is ``frame_bytes`` long. Allocates nothing.

        Raises:
            BufferError: ``out`` is read-only, not contiguous bytes, too small, or shares memory with ``block``; the
                block was then not taken.
            TypeError, ValueError, OSError: as from `encode`; a TypeError also if ``out`` is not a buffer.
        """
    def flush(self) -> bytes | None:
        """Return the frame of all that is pending, or ``None`` if nothing is, and start anew.

        It holds ``pending_samples``, which may be up to 3 ms more than a chunk.

        Raises:
            OSError: as from `encode`; everything is then as it was.
        """

@final
class Resampler:
    """Converts a stream of samples from one rate to another, with a delay below 3 ms.

    A polyphase FIR of linear phase whose delay is taken out: output ``k`` is the signal at the time ``k / rate_out_hz``
    after the first sample. With ``f`` half the lower rate, it is flat within 0.1 dB to 7/8 of ``f`` (from 16 kHz on;
    to 3.28 kHz at 8 kHz) and at least 80 dB down from ``f`` on. Between equal rates the samples pass through as they
    are. The result is the same, bit for bit, however the stream is cut into blocks. Safe to share between threads;
    each call is atomic, and `feed` lets other threads run meanwhile if a block has 48,000 samples or more.

    Args:
        rate_in_hz: samples per second of the blocks, 8,000 to 192,000.
        rate_out_hz: samples per second of what is returned, in the same range.

    Raises:
        ValueError: a rate out of range.
    """

    def __new__(cls, rate_in_hz: int, rate_out_hz: int) -> Resampler: ...
    @property
    def rate_in_hz(self) -> int: ...
    @property
    def rate_out_hz(self) -> int: ...
    @property
    def delay_s(self) -> float:
        """How long a sample is held back, in seconds of the signal: what comes after it is needed to compute it."""
    @property
    def nan_samples(self) -> int:
        """How many samples were NaN after the downmix, hence replaced by silence, since the beginning."""
    @property
    def clipped_samples(self) -> int:
        """How many samples were beyond full scale before they were rounded, hence saturated, since the beginning."""
    def feed(self, block: _Samples, layout: _Layout = "channels_last", encoding: _Encoding = "pcm", /) -> bytes:
        """Take a block; return the samples that it completes, 16-bit little-endian mono.

        Args:
            block: as for `AudioEncoder.encode`: ``int16`` mono, or anything else that is accepted there.
            layout: as there.
            encoding: as there.

        Raises:
            TypeError, ValueError: as from `AudioEncoder.encode`; the block was then not taken.
        """
    def flush(self) -> bytes:
        """Return what is held back, as if silence followed, and start anew.

        With it, ``n`` samples have given ``ceil(n * rate_out_hz / rate_in_hz)`` in all.
        """

def encode_video(image: Buffer, mime_type: str, /) -> bytes:
    """Write an encoded image as a ``realtimeInput`` message, framed.

    Args:
        image: contiguous bytes, JPEG or PNG by ``mime_type``.
        mime_type: such as ``image/jpeg``; ASCII letters, digits and ``!#$&^_.+-/;=`` only.

    Raises:
        TypeError: not a buffer of bytes in one dimension (pixels are to be encoded first).
        ValueError: an empty image or an impossible MIME type.
        OSError: the operating system gives no random numbers to mask with.
    """

def encode_frame(opcode: int, payload: Buffer, /) -> bytes:
    """Write a masked WebSocket frame that is a whole message or a control frame.

    Args:
        opcode: 1 text, 2 binary, 8 close, 9 ping, 10 pong (RFC 6455 5.2).
        payload: as it is; for text the caller sees to it that it is UTF-8.

    Raises:
        ValueError: another opcode, or more than 125 bytes in a control frame.
        TypeError: not a buffer of bytes.
        OSError: the operating system gives no random numbers to mask with.
    """

def unmask(frame: Buffer, /) -> bytes:
    """The payload of a frame that this module has written.

    Raises:
        ValueError: not exactly one whole masked frame.
        TypeError: not a buffer of bytes.
    """

@final
class Ping:
    """A ping of the other side, to be answered by a pong with the same payload."""

    @property
    def payload(self) -> bytes: ...

@final
class Pong:
    """The answer to a ping."""

    @property
    def payload(self) -> bytes: ...

@final
class Close:
    """The other side's close frame. Nothing comes after it."""

    @property
    def code(self) -> int | None:
        """``None`` if the frame was empty."""
    @property
    def reason(self) -> str: ...

@final
class Violation:
    """The other side has broken the rules of RFC 6455. Nothing comes after it."""

    @property
    def code(self) -> int:
        """What to close the connection with: 1002, 1007 or 1009."""
    @property
    def reason(self) -> str: ...

@final
class FrameReader:
    """Takes the stream of a server's frames apart, in whatever pieces it arrives. Safe to share between threads.

    Args:
        max_message_bytes: a longer message is a violation (1009), told as soon as its header is there.
    """

    def __new__(cls, max_message_bytes: int) -> FrameReader: ...
    def feed(self, buffer: Buffer, size: int, /) -> list[bytes | Ping | Pong | Close | Violation]:
        """Take the first ``size`` bytes of ``buffer``; return what they complete, oldest first.

        A message, text or binary, is ``bytes``; fragments are put together. Nothing of ``buffer`` is needed afterwards.
        What the other side sends never raises.

        Raises:
            TypeError: not a buffer of bytes.
            ValueError: it is shorter than ``size``.
        """

def decode_audio(message: Buffer, /) -> tuple[bytes, int] | None:
    """Recognise a server message that holds one piece of model audio and nothing else.

    ``{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"…"}}]}}}``, with
    white space between tokens, ``mimeType`` and ``data`` in either order, an optional ``"role":"model"`` on either side
    of ``parts``, base64 of the standard or the URL-safe alphabet, padded or not, ``=``, ``+`` and ``/`` also as JSON
    escapes.

    Returns:
        The samples as bytes and their rate in Hz (24,000 where the MIME type has none), or ``None`` for every other
        input whatsoever, which the caller then parses in full.

    Raises:
        TypeError: not a buffer of bytes.
    """

def decode_base64(text: bytes | str, /) -> bytes | None:
    """Decode base64 of the standard or the URL-safe alphabet, padded or not; ``None`` if it is neither.

    Padding, where present, must be right; bits beyond the last byte must be zero; the alphabets must not be mixed.

    Raises:
        TypeError: neither ``bytes`` nor ``str``.
    """
