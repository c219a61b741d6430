"""The compiled core against NumPy, pybase64 and json, which know nothing of it."""

import contextlib
import ctypes
import gc
import itertools
import json
import math
import mmap
import sys
from array import array
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from io import BytesIO

import numpy as np
import pybase64
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gemini_live import _core
from gemini_live._core import AudioEncoder

# --- the oracle -----------------------------------------------------------------------------------------------------

SILENCE = {"u1": 128.0, "u2": 32_768.0, "u4": 2.0**31}
SCALE = {
    "i1": 256.0,
    "i2": 1.0,
    "i4": 1 / 65_536,
    "u1": 256.0,
    "u2": 1.0,
    "u4": 1 / 65_536,
    "f2": 32_768.0,
    "f4": 32_768.0,
    "f8": 32_768.0,
}
DTYPES = [order + kind for order in "<>" for kind in sorted(SCALE)]


def oracle(block):
    """The PCM of a block, how many of its samples are NaN, and how many are beyond full scale."""
    columns = block.astype(np.float64).reshape(len(block), -1)
    kind = block.dtype.str[1:]
    with np.errstate(all="ignore"):
        total = columns[:, 0]
        for column in columns.T[1:]:  # from left to right; np.sum adds pairwise
            total = total + column
        value = (total / columns.shape[1] - SILENCE.get(kind, 0.0)) * SCALE[kind]
        nan = np.isnan(value)
        clipped = int(np.count_nonzero(np.abs(value) > 32_768))
        pcm = np.clip(np.rint(np.where(nan, 0.0, value)), -32_768, 32_767).astype("<i2")
    return pcm.tobytes(), int(np.count_nonzero(nan)), clipped


def payload(frame):
    """The PCM of a frame's message, of which everything else is as it must be."""
    value = json.loads(_core.unmask(frame))
    text = value["realtimeInput"]["audio"].pop("data")
    assert value == {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000"}}}
    return pybase64.b64decode(text, validate=True)


def everything(encoder, blocks):
    """What comes out for some blocks, the rest included."""
    frames = [frame for block in blocks for frame in encoder.encode(block)]
    assert all(len(frame) == encoder.frame_bytes for frame in frames)
    assert all(len(payload(frame)) == 2 * encoder.chunk_samples for frame in frames)
    last = encoder.flush()
    return b"".join(payload(frame) for frame in [*frames, *([] if last is None else [last])])


# --- layouts --------------------------------------------------------------------------------------------------------


def unaligned(block):
    memory = np.zeros(block.nbytes + 1, np.uint8)
    moved = np.frombuffer(memory.data[1:], block.dtype).reshape(block.shape)
    moved[...] = block
    return moved


def every_third(block):
    spread = np.zeros((3 * len(block), *block.shape[1:]), block.dtype)
    spread[1::3] = block
    return spread[1::3]


def channels_apart(block):
    if block.ndim == 1:
        return np.repeat(block, 2)[::2]
    return np.repeat(block, 2, axis=1)[:, ::2]


LAYOUTS = {
    "contiguous": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "transposed": lambda block: np.ascontiguousarray(block.T).T,
    "reversed": lambda block: np.ascontiguousarray(block[::-1])[::-1],
    "channels reversed": lambda block: block if block.ndim == 1 else np.ascontiguousarray(block[:, ::-1])[:, ::-1],
    "strided": every_third,
    "channels apart": channels_apart,
    "unaligned": unaligned,
    "read-only": lambda block: np.frombuffer(block.tobytes(), block.dtype).reshape(block.shape),
    "memoryview": lambda block: memoryview(np.ascontiguousarray(block)),
}

SPECIAL = [0.0, -0.0, 1.0, -1.0, 1.0000001, -1.0000001, 0.99999, math.nan, math.inf, -math.inf, 1e300, 5e-324]
HALVES = st.integers(-70_000, 70_000).map(lambda half: half / 65_536)


def items(dtype):
    if dtype[1] == "f":
        width = 8 * int(dtype[2])
        with np.errstate(over="ignore"):
            special = st.sampled_from([float(np.dtype(dtype).type(min(value, 3e38))) for value in SPECIAL])
        return special | HALVES.map(np.dtype(dtype).type) | st.floats(width=width)
    return st.sampled_from([np.iinfo(dtype).min, np.iinfo(dtype).max, 0, 1]) | st.integers(
        np.iinfo(dtype).min, np.iinfo(dtype).max
    )


@st.composite
def blocks(draw, max_samples=60):
    dtype = draw(st.sampled_from(DTYPES))
    samples = draw(st.integers(1, max_samples))
    channels = draw(st.none() | st.integers(1, 5) | st.just(64))
    shape = (samples,) if channels is None else (samples, channels)
    return draw(hnp.arrays(dtype, shape, elements=items(dtype)))


# --- samples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@given(block=blocks(), chunk_samples=st.integers(1, 40))
def test_samples_are_those_of_numpy_in_every_layout(layout, block, chunk_samples):
    encoder = AudioEncoder(16_000, chunk_samples)
    pcm, nan, clipped = oracle(block)
    assert everything(encoder, [LAYOUTS[layout](block)]) == pcm
    assert (encoder.nan_samples, encoder.clipped_samples) == (nan, clipped)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 64])
def test_long_blocks(dtype, channels):
    """Longer than any scratch memory, so that its seams would show."""
    random = np.random.default_rng(7)
    if dtype[1] == "f":
        block = random.normal(0, 0.5, (5_000, channels)).astype(dtype)
    else:
        bounds = np.iinfo(dtype)
        block = random.integers(bounds.min, bounds.max, (5_000, channels), dtype[1:], endpoint=True).astype(dtype)
    for layout in (block, block[::-1], np.asfortranarray(block)):
        encoder = AudioEncoder(16_000, 1_999)
        pcm, nan, clipped = oracle(layout)
        assert everything(encoder, [layout]) == pcm
        assert (encoder.nan_samples, encoder.clipped_samples) == (nan, clipped)


def test_sixteen_bits_pass_through_bit_for_bit():
    block = np.arange(-32_768, 32_768).astype(np.int16)
    assert everything(AudioEncoder(), [block]) == block.astype("<i2").tobytes()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rounding_is_exact_around_every_tie(dtype):
    """Against exact fractions, whose `round` is ties to even."""
    quarters = np.arange(-2_000, 2_000)
    block = (quarters / 4 / 32_768).astype(dtype)
    expected = np.array([round(Fraction(int(quarter), 4)) for quarter in quarters], "<i2")
    assert everything(AudioEncoder(), [block]) == expected.tobytes()


def test_full_scale_is_not_beyond_full_scale():
    encoder = AudioEncoder(16_000, 6)
    (frame,) = encoder.encode(np.array([1.0, -1.0, 1.5, -1.5, math.inf, -math.inf], np.float32))
    assert np.frombuffer(payload(frame), "<i2").tolist() == [32_767, -32_768] * 3
    assert encoder.clipped_samples == 4
    assert encoder.nan_samples == 0


def test_opposite_infinities_and_nan_in_one_channel_are_silence():
    encoder = AudioEncoder(16_000, 3)
    (frame,) = encoder.encode(np.array([[math.inf, -math.inf], [math.nan, 1], [math.inf, 1]]))
    assert np.frombuffer(payload(frame), "<i2").tolist() == [0, 0, 32_767]
    assert (encoder.nan_samples, encoder.clipped_samples) == (2, 1)


def test_integers_never_clip():
    encoder = AudioEncoder(16_000, 2)
    (frame,) = encoder.encode(np.array([2**31 - 1, -(2**31)], np.int32))
    assert np.frombuffer(payload(frame), "<i2").tolist() == [32_767, -32_768]
    assert encoder.clipped_samples == 0


RAW = bytes(range(256)) * 3


@pytest.mark.parametrize(
    "raw",
    [
        RAW,
        bytearray(RAW),
        memoryview(RAW),
        memoryview(bytearray(RAW)),
        memoryview(b"x" + RAW)[1:],
        memoryview(bytes(2 * len(RAW)))[::2],
        memoryview(RAW[::-1])[::-1],
        memoryview(memoryview(RAW)),
        memoryview(RAW).cast("h"),
    ],
    ids=lambda raw: type(raw).__name__,
)
def test_raw_bytes_are_little_endian_sixteen_bit_samples(raw):
    assert everything(AudioEncoder(16_000, 7), [raw]) == bytes(raw)


def mapped(raw):
    memory = mmap.mmap(-1, len(raw))
    memory[:] = raw
    return memory


@pytest.mark.parametrize(
    "memory",
    [
        pytest.param(lambda: mapped(RAW), id="mmap"),
        pytest.param(lambda: BytesIO(RAW).getbuffer(), id="BytesIO.getbuffer()"),
        pytest.param(lambda: memoryview(np.frombuffer(RAW, np.int16)).cast("B"), id="an array as bytes"),
        pytest.param(lambda: memoryview(array("h", RAW)).cast("B"), id="an array.array as bytes"),
    ],
)
def test_memory_that_does_not_say_what_is_in_it_is_raw_bytes(memory):
    """As what the callback of a ``sounddevice.RawInputStream`` is given: the same format as an array of ``uint8``."""
    assert everything(AudioEncoder(16_000, 7), [memory()]) == RAW


def test_subclasses_of_bytes_are_raw_bytes():
    class Pcm(bytes):
        __slots__ = ()

    assert everything(AudioEncoder(), [Pcm(RAW)]) == RAW


def test_unsigned_bytes_of_an_array_are_samples():
    """The same format as raw bytes, told apart by who owns them."""
    expected = np.array([-32_768, 0, 32_512], "<i2").tobytes()
    block = np.array([0, 128, 255], np.uint8)
    for samples in (block, memoryview(block), array("B", block.tolist()), (ctypes.c_uint8 * 3)(*block.tolist())):
        assert everything(AudioEncoder(), [samples]) == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (array("h", [1, -2]), [1, -2]),
        (array("i", [65_536, -131_072]), [1, -2]),
        (array("f", [0.5, -0.25]), [16_384, -8_192]),
        (array("d", [0.5, -0.25]), [16_384, -8_192]),
        ((ctypes.c_int16 * 2)(1, -2), [1, -2]),
        ((ctypes.c_int32 * 2)(65_536, -131_072), [1, -2]),
        ((ctypes.c_float * 2)(0.5, -0.25), [16_384, -8_192]),
        (((ctypes.c_double * 2) * 2)((0.5, 0.25), (-1, 0)), [12_288, -16_384]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_blocks_need_not_be_of_numpy(block, expected):
    """ctypes states the byte order in its formats, the others do not."""
    assert everything(AudioEncoder(), [block]) == np.array(expected, "<i2").tobytes()


def test_a_broadcast_block():
    block = np.broadcast_to(np.float32(0.5), (500, 2))
    assert everything(AudioEncoder(), [block]) == np.full(500, 16_384, "<i2").tobytes()


@pytest.mark.parametrize(
    ("take", "samples"),
    [
        (AudioEncoder(16_000, 320).encode, 2**60),
        (AudioEncoder(16_000, 320).encode, 2**62),  # the frames have more bytes than an object can have
        (AudioEncoder(16_000, 1).encode, 2**62),  # and here more than a number of 64 bits
        (_core.Resampler(16_000, 16_000).feed, 2**60),
        (_core.Resampler(8_000, 16_000).feed, 2**62 + 28),  # as few as 18 more than that
    ],
)
def test_what_does_not_fit_into_memory_is_a_memory_error(take, samples):
    """What is broadcast, or mapped from a file, may be longer than that."""
    with pytest.raises(MemoryError):
        take(np.broadcast_to(np.int8(0), (samples,)))
    take(b"\0\0")


# --- chunks ---------------------------------------------------------------------------------------------------------


@given(block=blocks(max_samples=200), cuts=st.lists(st.integers(1, 199)), chunk_samples=st.integers(1, 50))
def test_any_split_gives_the_same_stream(block, cuts, chunk_samples):
    pieces = [piece for piece in np.split(block, sorted(cut for cut in cuts if cut < len(block))) if len(piece)]
    whole, split = AudioEncoder(16_000, chunk_samples), AudioEncoder(16_000, chunk_samples)
    assert everything(split, pieces) == everything(whole, [block]) == oracle(block)[0]
    assert (split.nan_samples, split.clipped_samples) == (whole.nan_samples, whole.clipped_samples)


@given(sizes=st.lists(st.integers(1, 100), min_size=1), chunk_samples=st.integers(1, 30))
def test_encode_into_writes_what_encode_returns(sizes, chunk_samples):
    one, other = AudioEncoder(16_000, chunk_samples), AudioEncoder(16_000, chunk_samples)
    for size in sizes:
        block = np.arange(size, dtype=np.int16)
        pending = one.pending_samples
        frames = one.encode(block)
        assert len(frames) == (pending + size) // chunk_samples
        assert one.pending_samples == (pending + size) % chunk_samples
        length = other.frame_bytes
        out = bytearray(b"?" * (len(frames) * length + 5))
        assert other.encode_into(block, out) == len(frames)
        written = [bytes(out[start : start + length]) for start in range(0, len(frames) * length, length)]
        assert [_core.unmask(frame) for frame in written] == [_core.unmask(frame) for frame in frames]
        assert out[len(frames) * length :] == b"?????"
    ends = [encoder.flush() for encoder in (one, other)]
    assert ends == [None, None] or payload(ends[0]) == payload(ends[1])


def test_encode_returns_a_tuple_of_bytes_that_is_empty_until_a_chunk_is_complete():
    encoder = AudioEncoder(16_000, 4)
    assert encoder.encode(b"\1\0") == ()
    assert encoder.pending_samples == 1
    (frame,) = encoder.encode(b"\2\0" * 3)
    assert type(frame) is bytes
    assert payload(frame) == b"\1\0\2\0\2\0\2\0"
    assert encoder.pending_samples == 0


def test_flush_returns_the_rest_once():
    encoder = AudioEncoder(16_000, 4)
    assert encoder.flush() is None
    encoder.encode(b"\1\0\2\0\3\0\4\0\5\0")
    assert payload(encoder.flush()) == b"\5\0"
    assert encoder.pending_samples == 0
    assert encoder.flush() is None


def test_messages_are_literally_as_documented():
    encoder = AudioEncoder(rate_hz=16_000, chunk_samples=1)
    (frame,) = encoder.encode(b"\1\2")
    assert _core.unmask(frame) == b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"AQI="}}}'
    assert encoder.frame_bytes == len(frame)


def test_the_length_of_a_20_ms_frame():
    encoder = AudioEncoder()
    assert (encoder.rate_hz, encoder.chunk_samples, encoder.frame_bytes) == (16_000, 320, 937)
    assert repr(encoder) == "AudioEncoder(rate_hz=16000, chunk_samples=320)"


@pytest.mark.parametrize("value", [8_000, 192_000, np.int64(44_100)])
def test_rates_in_range(value):
    assert AudioEncoder(value).rate_hz == value


@pytest.mark.parametrize("value", [1, 16_000, np.int64(320), True])
def test_chunks_in_range(value):
    assert AudioEncoder(16_000, value).chunk_samples == value


@pytest.mark.parametrize("value", [0, -1, 192_001, 2**32, 2**64, -(2**70)])
@pytest.mark.parametrize(("name", "range_"), [("rate_hz", "8000 to 192000"), ("chunk_samples", "1 to 16000")])
def test_sizes_out_of_range(name, range_, value):
    with pytest.raises(ValueError, match=rf"{name} must be {range_}"):
        AudioEncoder(**{name: value})


@pytest.mark.parametrize("value", [1.0, "320", None])
def test_sizes_that_are_not_integers(value):
    with pytest.raises(TypeError):
        AudioEncoder(value)


def test_an_encoder_is_opaque():
    encoder = AudioEncoder()
    with pytest.raises(AttributeError):
        encoder.rate_hz = 1
    with pytest.raises(AttributeError):
        encoder.anything = 1
    with pytest.raises(TypeError):
        encoder.encode(block=b"\0\0")
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Subclass", (AudioEncoder,), {})


# --- what is refused ------------------------------------------------------------------------------------------------

released = memoryview(b"\0\0")
released.release()

BAD_BLOCKS = [
    ([0, 1], TypeError, "NumPy array or bytes, not list.*What is accepted: int8, int16.*float64, or bytes of 16-bit"),
    (None, TypeError, "not NoneType"),
    ("text", TypeError, "not str"),
    (1.0, TypeError, "not float"),
    (released, TypeError, "not memoryview: operation forbidden on released memoryview"),
    (np.zeros(4, bool), TypeError, "bool samples are not accepted.*int16.*int32.*uint8.*float32.*float64.*bytes"),
    (np.zeros(4, np.int64), TypeError, "int64 samples have no full scale"),
    (np.zeros(4, np.uint64), TypeError, "uint64 samples have no full scale"),
    (np.zeros(4, np.longdouble), TypeError, "longdouble samples are not accepted"),
    (np.zeros(4, np.complex64), TypeError, "complex64 samples are not accepted"),
    (np.zeros(4, np.complex128), TypeError, "complex128 samples are not accepted"),
    (np.zeros(4, object), TypeError, "object samples are not accepted"),
    (np.zeros(4, [("left", "i2"), ("right", "i2")]), TypeError, "structured samples are not accepted"),
    (np.zeros(4, "U1"), TypeError, "samples are not accepted"),
    (np.zeros(4, "M8[s]"), TypeError, "cannot include dtype 'M' in a buffer.*What is accepted: int8, int16"),
    (np.zeros(4, ">c8"), TypeError, "complex64 samples are not accepted"),
    (memoryview(b"\0\0").cast("c"), TypeError, "single-character samples are not accepted"),
    (np.int16(1), ValueError, r"single value.*\(n,\), \(n, channels\), or \(channels, n\)"),
    (np.zeros((), np.float32), ValueError, r"single value.*\(n,\), \(n, channels\), or \(channels, n\)"),
    (np.zeros((2, 2, 2), np.int16), ValueError, r"\(n,\), \(n, channels\), or.*channels_first.*has 3 dimensions"),
    (np.zeros((2, 480), np.float32), ValueError, "480 channels of 2 samples.*64 channels are the most.*channels_first"),
    (np.zeros((480, 0), np.float32), ValueError, "zero channels of 480 samples"),
    (np.zeros(0, np.int16), ValueError, "the block is empty"),
    (np.zeros((0, 2), np.int16), ValueError, "the block is empty"),
    (b"", ValueError, "the block is empty"),
    (bytearray(), ValueError, "the block is empty"),
    (b"\0\0\0", ValueError, "16-bit samples, but 3 is an odd number of bytes"),
    (memoryview(bytes(8)).cast("B", (2, 4)), ValueError, "raw bytes must have one dimension, not 2"),
]


@pytest.mark.parametrize(("block", "error", "words"), BAD_BLOCKS, ids=[words for _, _, words in BAD_BLOCKS])
def test_bad_blocks_are_refused_and_change_nothing(block, error, words):
    encoder = AudioEncoder(16_000, 2)
    encoder.encode(np.array([math.nan, 2, 1], np.float32))
    out = bytearray(1_000)
    with pytest.raises(error, match=words):
        encoder.encode(block)
    with pytest.raises(error, match=words):
        encoder.encode_into(block, out)
    assert (encoder.pending_samples, encoder.nan_samples, encoder.clipped_samples) == (1, 1, 1)
    assert out == bytes(1_000)


def read_only(size):
    out = np.zeros(size, np.uint8)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (bytes(1_000), BufferError, "out is read-only: bytes"),
        (memoryview(bytes(1_000)), BufferError, "out is read-only: memoryview"),
        (read_only(1_000), BufferError, "out is read-only: ndarray"),
        (np.zeros(1_000, np.int16), BufferError, "contiguous bytes, such as a bytearray"),
        (np.zeros(2_000, np.uint8)[::2], BufferError, "contiguous bytes"),
        (np.zeros((50, 40), np.uint8).T, BufferError, "contiguous bytes"),
        (bytearray(), BufferError, "out is too small: 174 bytes are needed, but there is room for 0"),
        (bytearray(173), BufferError, "out is too small: 174 bytes are needed, but there is room for 173"),
        ([0] * 1_000, TypeError, "out must be a buffer.*not list"),
    ],
)
def test_bad_outs_are_refused_before_the_block_is_taken(out, error, words):
    encoder = AudioEncoder(16_000, 2)
    encoder.encode(b"\1\0")
    with pytest.raises(error, match=words):
        encoder.encode_into(np.array([2, 3, 4], np.int16), out)
    assert encoder.pending_samples == 1
    assert payload(encoder.flush()) == b"\1\0"


def test_out_may_be_of_any_size_while_no_chunk_is_complete():
    assert AudioEncoder().encode_into(b"\0\0", bytearray()) == 0


def test_out_may_be_an_array_of_bytes_in_any_shape():
    encoder = AudioEncoder(16_000, 2)
    out = np.zeros((4, 25), np.uint8)
    assert encoder.encode_into(b"\1\0\2\0", out) == 1
    assert payload(out.tobytes()[: encoder.frame_bytes]) == b"\1\0\2\0"


@pytest.mark.parametrize("shared", [slice(None), slice(0, 4), slice(-4, None), slice(None, None, -1)])
def test_out_must_not_be_the_memory_of_the_block(shared):
    memory = np.zeros(1_000, np.uint8)
    encoder = AudioEncoder(16_000, 2)
    with pytest.raises(BufferError, match="share memory"):
        encoder.encode_into(memory[shared], memory)
    assert encoder.pending_samples == 0


def test_the_buffers_are_given_back():
    """Whatever the outcome: a bytearray that is lent out cannot grow."""
    encoder = AudioEncoder()
    block, out = bytearray(640), bytearray(10)
    encoder.encode(block)
    with pytest.raises(BufferError):
        encoder.encode_into(block, out)
    with pytest.raises(ValueError, match="odd"):
        encoder.encode(bytearray(3))
    _core.decode_audio(block)
    block.append(0)
    out.append(0)


# --- steady state ---------------------------------------------------------------------------------------------------


def heap_growth(action, calls):
    turns = itertools.repeat(None, calls)
    gc.collect()  # empties free lists, which the first calls then fill again
    gc.disable()
    try:
        action()
        action()
        before = sys.getallocatedblocks()
        for _ in turns:
            action()
        return sys.getallocatedblocks() - before
    finally:
        gc.enable()


def grown(action, calls=10_000):
    """By how many blocks each call grows Python's heap, less what counting itself takes.

    To a hundredth, because the interpreter's own blocks are one more or less at times.
    """
    return round((heap_growth(action, calls) - heap_growth(lambda: None, calls)) / calls, 2)


STEADY = [np.zeros(400, np.int16), np.zeros((400, 2), np.float32), bytes(640), memoryview(bytes(640))]


@pytest.mark.parametrize("block", STEADY, ids=lambda block: type(block).__name__)
def test_a_steady_stream_does_not_grow_the_heap(block):
    encoder = AudioEncoder()
    out = bytearray(4 * encoder.frame_bytes)
    encoder.encode_into(block, out)
    assert grown(lambda: encoder.encode_into(block, out)) == 0
    assert grown(lambda: encoder.encode(block)) == 0


def test_encode_makes_what_it_returns_and_nothing_else():
    """Of which the tuple and the frames are one block each, up to 512 bytes."""
    encoder = AudioEncoder(16_000, 2)
    block = np.zeros(8, np.int16)
    kept = [None] * 1_000
    places = itertools.count()
    growth = grown(lambda: kept.__setitem__(next(places), encoder.encode(block)), 900)
    assert growth == 5


def refused(encoder, out, block):
    with contextlib.suppress(TypeError, ValueError):
        encoder.encode(block)
    with contextlib.suppress(BufferError):
        encoder.encode_into(b"\0\0" * 320, out)


@pytest.mark.parametrize("block", [[], b"\0", np.zeros(2, np.float16), np.zeros((2, 480), np.int16), released])
def test_errors_leak_nothing(block):
    encoder, out = AudioEncoder(), bytearray(1)
    references = sys.getrefcount(block), sys.getrefcount(out), sys.getrefcount(encoder)
    assert grown(lambda: refused(encoder, out, block), 1_000) == 0
    assert (sys.getrefcount(block), sys.getrefcount(out), sys.getrefcount(encoder)) == references


def test_an_encoder_is_shared_between_threads():
    """No sample is lost, doubled, or torn out of its block."""
    encoder = AudioEncoder(16_000, 100)
    sizes = [1 + index % 250 for index in range(4_000)]

    def feed(worker):
        pieces = []
        for index, size in enumerate(sizes):
            pieces += encoder.encode(np.full(size, worker * len(sizes) + index, np.int32) << 16)
        return pieces

    with ThreadPoolExecutor(8) as pool:
        frames = [frame for frames in pool.map(feed, range(8)) for frame in frames]
    rest = encoder.flush()
    pcm = b"".join(payload(frame) for frame in [*frames, *([rest] if rest else [])])
    found = np.bincount(np.frombuffer(pcm, "<u2"), minlength=8 * len(sizes))
    assert found.tolist() == sizes * 8


# --- video ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda image: np.frombuffer(image, np.uint8)])
@pytest.mark.parametrize("size", [1, 2, 3, 100, 10_000])
def test_an_image_is_one_message(kind, size):
    image = bytes(range(256)) * 40
    frame = _core.encode_video(kind(image[:size]), "image/jpeg")
    text = pybase64.b64encode(image[:size])
    assert _core.unmask(frame) == b'{"realtimeInput":{"video":{"mimeType":"image/jpeg","data":"' + text + b'"}}}'


def test_an_image_of_an_old_imencode_is_a_column():
    frame = _core.encode_video(np.array([[0xFF], [0xD8]], np.uint8), "image/jpeg")
    assert b'"/9g="' in _core.unmask(frame)


@pytest.mark.parametrize(
    ("image", "mime_type", "error", "words"),
    [
        (b"", "image/jpeg", ValueError, "the image is empty"),
        (
            np.zeros((4, 4, 3), np.uint8),
            "image/jpeg",
            TypeError,
            "contiguous bytes in one dimension.*3 dim",
        ),
        (np.zeros(4, np.int16), "image/jpeg", TypeError, 'image must be contiguous bytes.*format "h"'),
        (np.zeros(8, np.uint8)[::2], "image/jpeg", TypeError, "contiguous bytes"),
        ([1], "image/jpeg", TypeError, "image must be a buffer.*not list"),
        (b"x", "", ValueError, "MIME type such as image/jpeg is wanted"),
        (b"x", "jpeg", ValueError, "MIME type"),
        (b"x", 'image/"', ValueError, "MIME type"),
        (b"x", "image/\\", ValueError, "MIME type"),
        (b"x", "image/jpeg\n", ValueError, "MIME type"),
        (b"x", "image/jpég", ValueError, "MIME type"),
        (b"x", "image/\ud800", ValueError, "surrogates not allowed"),
        (b"x", b"image/jpeg", TypeError, "mime_type"),
    ],
)
def test_bad_images(image, mime_type, error, words):
    with pytest.raises(error, match=words):
        _core.encode_video(image, mime_type)


@given(st.text('abz09!#$&^_.+-/;="\\ \0é', max_size=12))
def test_a_mime_type_that_is_taken_needs_no_escape(mime_type):
    try:
        frame = _core.encode_video(b"x", mime_type)
    except ValueError:
        return
    assert json.loads(_core.unmask(frame)) == {"realtimeInput": {"video": {"mimeType": mime_type, "data": "eA=="}}}


# --- base64 ---------------------------------------------------------------------------------------------------------


def url_safe(text):
    return text.replace("+", "-").replace("/", "_")


@given(st.binary(max_size=300))
@example(bytes(range(256)))
def test_base64_of_either_alphabet_padded_or_not(data):
    text = pybase64.b64encode(data).decode()
    for spelling in {text, text.rstrip("="), url_safe(text), url_safe(text).rstrip("=")}:
        assert _core.decode_base64(spelling) == data
        assert _core.decode_base64(spelling.encode()) == data


def base64_oracle(text):
    """Decode leniently, and see whether encoding gives the text again."""
    for alphabet in (lambda text: text, url_safe):
        symbols = text.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
        try:
            data = pybase64.b64decode(symbols + "=" * (-len(symbols) % 4))
        except ValueError:
            return None
        again = alphabet(pybase64.b64encode(data).decode())
        if text in (again, again.rstrip("=")):
            return data
    return None


@given(st.text("Aw/+_-=9 ", max_size=8) | st.text(max_size=8) | st.from_regex(r"[A-Za-z0-9+/]{64,80}[=\n_]{0,3}"))
@example("QQ=")
@example("QR==")
@example("QQ===")
@example("\ud800")
def test_what_is_not_base64_is_none(text):
    assert _core.decode_base64(text) == base64_oracle(text)


@pytest.mark.parametrize("text", [None, 1, bytearray(b"QQ=="), memoryview(b"QQ==")])
def test_base64_comes_as_bytes_or_str(text):
    with pytest.raises(TypeError, match="text must be bytes or str, not"):
        _core.decode_base64(text)


# --- model audio ----------------------------------------------------------------------------------------------------

WHITE_SPACE = st.text(" \t\r\n", max_size=2)


def escapes(text, draw):
    """Write some of ``= + /`` in one of the ways that JSON knows."""
    spellings = {
        "=": ["=", r"\u003d", r"\u003D"],
        "+": ["+", r"\u002b", r"\u002B"],
        "/": ["/", r"\/", r"\u002f", r"\u002F"],
    }
    return "".join(draw(st.sampled_from(spellings.get(character, [character]))) for character in text)


@st.composite
def model_audio(draw):
    """A message of the accepted shape, its samples and its rate."""
    pcm = draw(st.binary(max_size=200))
    rate = draw(st.none() | st.integers(1, 768_000))
    text = pybase64.b64encode(pcm).decode()
    text = draw(st.sampled_from([text, text.rstrip("="), url_safe(text)]))
    mime_type = "audio/pcm" if rate is None else f"audio/pcm;rate={rate}"
    members = [
        ['"mimeType"', ":", f'"{escapes(mime_type, draw)}"'],
        ['"data"', ":", f'"{escapes(text, draw)}"'],
    ]
    first, second = draw(st.permutations(members))
    parts = ['"parts"', *":[{", '"inlineData"', *":{", *first, ",", *second, *"}}]"]
    role = ['"role"', ":", '"model"']
    turn = draw(st.sampled_from([parts, [*role, ",", *parts], [*parts, ",", *role]]))
    tokens = ["{", '"serverContent"', *":{", '"modelTurn"', *":{", *turn, *"}}}"]
    spaced = "".join(draw(WHITE_SPACE) + token for token in tokens) + draw(WHITE_SPACE)
    return spaced.encode(), pcm, rate or 24_000


def audio_oracle(message):
    """What a parser of JSON finds, if it is one piece of model audio and nothing else."""
    try:
        value = json.loads(message)
        (content,) = value.values()
        (turn,) = content.values()
        blob = turn["parts"][0]["inlineData"]
        data, mime_type = blob["data"], blob["mimeType"]
        rebuilt = {"parts": [{"inlineData": {"data": data, "mimeType": mime_type}}]}
        turn.setdefault("role", "model")
        if value != {"serverContent": {"modelTurn": {**rebuilt, "role": "model"}}}:
            return None
        kind, _, rate = mime_type.partition(";rate=")
        return (base64_oracle(data), int(rate or 24_000)) if kind == "audio/pcm" else None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


@given(model_audio())
def test_model_audio_is_recognised(case):
    message, pcm, rate_hz = case
    assert _core.decode_audio(message) == (pcm, rate_hz) == audio_oracle(message)
    assert _core.decode_audio(bytearray(message)) == (pcm, rate_hz)
    assert _core.decode_audio(memoryview(b"x" + message)[1:]) == (pcm, rate_hz)


@given(model_audio(), st.data())
def test_a_mutated_message_is_recognised_rightly_or_not_at_all(case, data):
    message = bytearray(case[0])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(message)))
        removed = data.draw(st.integers(0, 3))
        message[at : at + removed] = data.draw(st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"}", b",", b"A"]))
    found = _core.decode_audio(message)
    assert found is None or found == audio_oracle(message)


@given(st.binary(max_size=200))
def test_noise_is_not_model_audio(noise):
    assert _core.decode_audio(noise) is None


HOT = b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AQI="}}]}}}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"}}]}}}", b'}}]},"turnComplete":true}}'),
        (b"}}]}}}", b'}}]}},"usageMetadata":{}}'),
        (b"}}]}}}", b'}},{"text":"x"}]}}}'),
        (b"}}]}}}", b'},"thought":true}]}}}'),
        (b"}}]}}}", b'}}],"role":"user"}}}'),
        (b"}}]}}}", b"}}]}}}{}"),
        (b"audio/pcm", b"image/png"),
        (b"audio/pcm", b"audio/pcmu"),
        (b"rate=24000", b"rate=0"),
        (b"rate=24000", b"rate=768001"),
        (b"rate=24000", b"rate=99999999999999999999"),
        (b"rate=24000", b"rate=2\\u0034000"),
        (b"AQI=", b"AQJ="),
        (b"AQI=", b"AQI=="),
        (b"AQI=", b"AQI\\n="),
        (b"AQI=", b"AQI\xff"),
        (b"serverContent", b"server_content"),
        (b"{", b"\xef\xbb\xbf{"),
    ],
)
def test_anything_beside_model_audio_is_left_to_the_parser(old, new):
    assert _core.decode_audio(HOT) == (b"\1\2", 24_000)
    other = HOT.replace(old, new, 1)
    assert other != HOT
    assert _core.decode_audio(other) is None


def test_every_truncation_is_left_to_the_parser():
    assert [_core.decode_audio(HOT[:end]) for end in range(len(HOT))] == [None] * len(HOT)


@pytest.mark.parametrize("message", [None, "{}", [1], np.zeros(4, np.int16), memoryview(HOT)[::2]])
def test_a_message_comes_as_bytes(message):
    with pytest.raises(TypeError, match="message must be"):
        _core.decode_audio(message)


def test_decoding_does_not_grow_the_heap():
    hot, other = HOT.replace(b"AQI=", b"AQIDBAU\\u003d"), HOT + b"x"
    assert _core.decode_audio(hot) == (bytes([1, 2, 3, 4, 5]), 24_000)
    assert grown(lambda: _core.decode_audio(hot)) == 0
    assert grown(lambda: _core.decode_audio(other)) == 0


# --- the build ------------------------------------------------------------------------------------------------------


def test_the_build_describes_itself():
    assert _core.BUILD_PROFILE in {"release", "debug"}
