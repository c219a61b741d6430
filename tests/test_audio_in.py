"""Any samples in, 16 kHz out: every dtype, layout, encoding and rate, against NumPy and the standard library."""

from __future__ import annotations

import ctypes
import json
import warnings
from array import array

import numpy as np
import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemini_live import _core
from gemini_live._core import AudioEncoder, Resampler

random = np.random.default_rng(16)
speech = (np.cumsum(random.normal(0, 900, 6_000)) % 40_000 - 20_000).astype(np.int16)


def pcm(frame):
    audio = json.loads(_core.unmask(frame))["realtimeInput"]["audio"]
    assert audio["mimeType"] == "audio/pcm;rate=16000"
    return pybase64.b64decode(audio["data"])


def encoded(blocks, rate_hz=16_000, *how, chunk_samples=320):
    """The samples that blocks are sent as."""
    encoder = AudioEncoder(rate_hz, chunk_samples)
    frames = [frame for block in blocks for frame in encoder.encode(block, *how)]
    assert all(len(pcm(frame)) == 2 * chunk_samples for frame in frames)
    last = encoder.flush()
    return np.frombuffer(b"".join(map(pcm, [*frames, *([last] if last else [])])), "<i2")


def resampled(block, rate_hz):
    resampler = Resampler(rate_hz, 16_000)
    return np.frombuffer(resampler.feed(block) + resampler.flush(), "<i2")


# --- what samples mean ----------------------------------------------------------------------------------------------

# The same signal in every accepted dtype that has 16 bits for it.
AS = {
    "int16": speech,
    "int32": speech.astype(np.int32) * 65_536,
    "uint16": (speech.astype(np.int32) + 32_768).astype(np.uint16),
    "uint32": ((speech.astype(np.int64) + 32_768) * 65_536).astype(np.uint32),
    "float32": speech.astype(np.float32) / 32_768,
    "float64": speech / 32_768,
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", AS)
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_every_dtype_in_either_byte_order_means_the_same(dtype, order, rate_hz):
    block = AS[dtype].astype(np.dtype(dtype).newbyteorder(order))
    expected = speech if rate_hz == 16_000 else resampled(speech, rate_hz)
    for block_in_layout in (block, np.repeat(block, 2)[::2], block[::-1].copy()[::-1]):
        assert np.array_equal(encoded([block_in_layout], rate_hz), expected)


@pytest.mark.parametrize(
    ("dtype", "silence", "scale"), [("int8", 0, 256), ("uint8", 128, 256), (">f2", 0, 32_768), ("<f2", 0, 32_768)]
)
def test_dtypes_of_fewer_bits(dtype, silence, scale):
    items = np.arange(2**16, dtype=np.uint16).view("<f2") if dtype.endswith("f2") else np.arange(256, dtype=np.uint8)
    block = items.astype(dtype) if dtype.endswith("f2") else items.view(dtype)
    with np.errstate(all="ignore"):
        value = (block.astype(np.float64) - silence) * scale
    expected = np.clip(np.rint(np.nan_to_num(value, nan=0.0, posinf=1e9, neginf=-1e9)), -32_768, 32_767)
    assert np.array_equal(encoded([block]), expected)


def test_halves_are_what_numpy_says_to_the_last_denormal():
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
    encoder = AudioEncoder(16_000, 1)
    signs = np.concatenate([halves, -halves])
    sent = np.concatenate([np.frombuffer(pcm(frame), "<i2") for frame in encoder.encode(signs)])
    assert np.array_equal(sent, np.clip(np.rint(signs.astype(np.float64) * 32_768), -32_768, 32_767))
    assert encoder.nan_samples == 0


def test_g711_is_that_of_audioop():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="gone from the standard library with Python 3.13")
    codes = bytes(range(256))
    for encoding, decode in (("mulaw", audioop.ulaw2lin), ("alaw", audioop.alaw2lin)):
        expected = np.frombuffer(decode(codes, 2), "<i2")
        for block in (codes, bytearray(codes), memoryview(codes), np.frombuffer(codes, np.uint8), array("B", codes)):
            assert np.array_equal(encoded([block], 16_000, "channels_last", encoding), expected)


def g711(bits):
    """ITU-T G.711 in integers: segments of a line through 0, or beside it."""
    code = np.arange(256)
    flipped = code ^ (0xFF if bits == 14 else 0x55)
    exponent, mantissa = flipped >> 4 & 7, flipped & 15
    if bits == 14:
        magnitude = ((2 * mantissa + 33) << exponent) - 33
        return np.where(flipped & 0x80, -magnitude, magnitude) * 4
    magnitude = np.where(exponent > 0, (2 * mantissa + 33) << np.maximum(exponent, 1) - 1, 2 * mantissa + 1)
    return np.where(flipped & 0x80, magnitude, -magnitude) * 8


@pytest.mark.parametrize(("encoding", "bits"), [("mulaw", 14), ("alaw", 13)])
def test_g711_is_that_of_the_recommendation(encoding, bits):
    codes = np.arange(256, dtype=np.uint8)
    assert np.array_equal(encoded([codes], 16_000, "channels_last", encoding), g711(bits))


def test_a_telephone_call_is_decoded_and_resampled_in_one():
    codes = random.bytes(8_000)
    linear = g711(14)[np.frombuffer(codes, np.uint8)].astype(np.int16)
    sent = encoded([codes[place : place + 160] for place in range(0, 8_000, 160)], 8_000, "channels_last", "mulaw")
    assert np.array_equal(sent, resampled(linear, 8_000))
    stereo = np.frombuffer(codes, np.uint8).reshape(-1, 2)
    with_byte_order = (ctypes.c_uint8 * len(codes))(*codes)  # in its format
    assert np.array_equal(encoded([with_byte_order], 8_000, "channels_last", "mulaw"), sent)
    mixed = encoded([stereo], 16_000, "channels_last", "mulaw")
    assert np.array_equal(mixed, np.rint(linear.reshape(-1, 2).mean(axis=1)))


# --- shapes ---------------------------------------------------------------------------------------------------------


@given(channels=st.integers(1, 5), rate_hz=st.sampled_from([16_000, 48_000, 8_000]), dtype=st.sampled_from([*AS]))
def test_channels_first_is_channels_last_on_its_side(channels, rate_hz, dtype):
    block = AS[dtype][: 1_000 * channels].reshape(1_000, channels)
    expected = encoded([block], rate_hz)
    for sideways in (block.T, np.ascontiguousarray(block.T)):
        assert np.array_equal(encoded([sideways], rate_hz, "channels_first"), expected)


def test_one_dimension_has_no_layout():
    assert np.array_equal(encoded([speech], 16_000, "channels_first"), speech)
    assert np.array_equal(encoded([speech.tobytes()], 16_000, "channels_first"), speech)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.sampled_from([16_000, 44_100]))
def test_channels_may_come_and_go(numbers, rate_hz):
    """Each block is downmixed by itself, and the stream of mono samples goes on: here it is that of one channel."""
    pieces = np.array_split(speech[:3_000], len(numbers))
    blocks = [np.repeat(piece, number).reshape(-1, number) for piece, number in zip(pieces, numbers, strict=True)]
    assert np.array_equal(encoded(blocks, rate_hz), encoded([speech[:3_000]], rate_hz))


# --- rates ----------------------------------------------------------------------------------------------------------


@given(
    rate_hz=st.sampled_from([8_000, 16_000, 44_100, 47_999, 48_000]) | st.integers(8_000, 192_000),
    cuts=st.lists(st.integers(1, 2_999), max_size=6),
    chunk_samples=st.integers(20, 1_600),
)
def test_any_split_gives_the_same_bytes(rate_hz, cuts, chunk_samples):
    blocks = [block for block in np.split(speech[:3_000], sorted(cuts)) if len(block)]
    sent = encoded(blocks, rate_hz, chunk_samples=chunk_samples)
    assert np.array_equal(sent, resampled(speech[:3_000], rate_hz))
    assert len(sent) == -(-3_000 * 16_000 // rate_hz)


@given(
    bits=st.binary(min_size=64, max_size=4_096),
    dtype=st.sampled_from(["i1", "u1", "<i2", ">i2", "<u2", "<i4", ">u4", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]),
    channels=st.integers(1, 3),
    rate_hz=st.sampled_from([8_000, 16_000, 44_100, 47_999, 192_000]),
    cuts=st.lists(st.integers(1, 4_095), max_size=6),
)
def test_any_bits_are_a_signal_of_which_any_split_gives_the_same_bytes(bits, dtype, channels, rate_hz, cuts):
    """NaN, infinities and denormals among them; and what could not be represented is counted alike."""
    frame_bytes = np.dtype(dtype).itemsize * channels
    signal = np.frombuffer(bits[: len(bits) // frame_bytes * frame_bytes], dtype).reshape(-1, channels)
    whole, split = AudioEncoder(rate_hz, 20), AudioEncoder(rate_hz, 20)
    blocks = [block for block in np.split(signal, sorted(cuts)) if len(block)]
    expected = [*whole.encode(signal), whole.flush()]
    frames = [*(frame for block in blocks for frame in split.encode(block)), split.flush()]
    assert [frame and pcm(frame) for frame in frames] == [frame and pcm(frame) for frame in expected]
    assert (split.nan_samples, split.clipped_samples) == (whole.nan_samples, whole.clipped_samples)


def test_what_is_pending_is_what_a_flush_gives():
    for rate_hz in (8_000, 16_000, 44_100, 48_000):
        encoder = AudioEncoder(rate_hz, 320)
        assert encoder.flush() is None
        for size in (1, 100, 2_000):
            encoder.encode(speech[:size])
            pending = encoder.pending_samples
            assert len(pcm(encoder.flush())) == 2 * pending
            assert encoder.pending_samples == 0
            assert encoder.flush() is None
        assert encoder.delay_s == (0 if rate_hz == 16_000 else Resampler(rate_hz, 16_000).delay_s)


def test_encode_into_writes_what_encode_returns_at_any_rate():
    one, other = AudioEncoder(44_100, 160), AudioEncoder(44_100, 160)
    for size in (1, 441, 882, 5_000):
        frames = one.encode(speech[:size])
        out = bytearray(len(frames) * other.frame_bytes)
        assert other.encode_into(speech[:size], out) == len(frames)
        written = [out[place : place + one.frame_bytes] for place in range(0, len(out), one.frame_bytes)]
        assert [pcm(bytes(frame)) for frame in written] == [pcm(frame) for frame in frames]
    with pytest.raises(BufferError):
        other.encode_into(speech, bytearray(1))
    assert pcm(one.encode(speech[:882])[0]) == pcm(other.encode(speech[:882])[0])


def test_a_long_block_is_sent_like_a_short_one():
    long = np.resize(speech, 200_000)
    for rate_hz in (16_000, 48_000):
        assert np.array_equal(encoded([long], rate_hz), encoded(np.array_split(long, 100), rate_hz))


def test_an_hour_of_callbacks_loses_no_sample():
    """512 samples at 44.1 kHz, as PortAudio delivers them: 310,078 callbacks, all that they hold is sent.

    A sample that went missing, or came twice, would be missing from the sum, and shift the phase of all after it.
    """
    blocks, second = 3_600 * 44_100 // 512, 44_100
    signal = (np.sin(np.arange(second) * (2 * np.pi * 440 / second)) * 12_000).astype(np.int16)
    signal = np.concatenate([signal, signal[:512]])
    encoder, frames, last = AudioEncoder(44_100, 1_600), 0, None
    for number in range(blocks):
        place = number * 512 % second
        for frame in encoder.encode(signal[place : place + 512]):
            frames, last = frames + 1, frame
    samples = frames * 1_600 + encoder.pending_samples
    assert samples == -(-blocks * 512 * 160 // 441)
    # after the hour, the sine is where it must be: to 1/100 of a sample
    sent, at = np.frombuffer(pcm(last), "<i2").astype(float), np.arange(frames * 1_600 - 1_600, frames * 1_600)
    expected = np.exp(2j * np.pi * 440 / 16_000 * at)
    late_samples = np.angle(np.sum(sent * expected) * -1j) / (2 * np.pi * 440 / 16_000)
    assert abs(late_samples) < 0.01


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38])
def test_a_bad_sample_disturbs_a_few_milliseconds_and_no_more(bad):
    block = np.zeros(9_600, np.float32)
    block[4_800] = bad
    encoder = AudioEncoder(48_000, 3_200)
    (frame,) = encoder.encode(np.concatenate([block, block[:960] * 0]))
    sent = np.frombuffer(pcm(frame), "<i2")
    if np.isnan(bad):
        assert not sent.any()
    assert not sent[: 1_600 - 34].any()
    assert not sent[1_600 + 34 :].any()
    assert encoder.nan_samples == int(np.isnan(bad))
    assert (encoder.clipped_samples > 0) is not np.isnan(bad)


def test_what_saturates_after_the_filter_is_counted():
    square = np.where(np.arange(4_800) // 48 % 2, 32_767, -32_768).astype(np.int16)
    encoder = AudioEncoder(48_000, 320)
    encoder.encode(square)
    assert encoder.clipped_samples > 0
    encoder = AudioEncoder(48_000, 320)
    encoder.encode(square // 2)
    assert encoder.clipped_samples == 0


ALL = "int8, int16, int32, uint8, uint16, uint32, float16, float32, float64, or bytes"


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        ("bool", rf"bool samples are not accepted; what is: {ALL}"),
        ("int64", rf"int64 samples have no full scale.*block.astype\(np.int16\).*{ALL}"),
        ("uint64", rf"uint64 samples have no full scale.*{ALL}"),
        (">i8", rf"int64 samples have no full scale.*{ALL}"),
        ("longdouble", rf"longdouble samples are not accepted.*{ALL}"),
        ("complex64", rf"complex64 samples are not accepted.*{ALL}"),
        ("object", rf"object samples are not accepted.*{ALL}"),
        ("U1", rf"samples are not accepted.*{ALL}"),
    ],
)
def test_a_dtype_that_is_refused_is_told_what_is_accepted(dtype, message, layout, rate_hz):
    for shape in [(4,), (4, 2), (2, 4)]:
        with pytest.raises(TypeError, match=message):
            AudioEncoder(rate_hz).encode(np.zeros(shape, dtype), layout)


@pytest.mark.parametrize(
    ("block", "how", "error", "message"),
    [
        (np.zeros((70, 4), "i2"), ("channels_first",), ValueError, "70 channels of 4 samples.*channels_last"),
        (np.zeros((4, 70), "i2"), (), ValueError, "70 channels of 4 samples.*channels_first"),
        (np.zeros((0, 4), "i2"), ("channels_first",), ValueError, "zero channels of 4 samples"),
        (np.zeros((2, 0), "i2"), ("channels_first",), ValueError, "empty"),
        (np.zeros((2, 2, 2), "i2"), (), ValueError, r"\(n, channels\), or \(channels, n\) with layout.*3 dimensions"),
        (np.zeros(4, "i2"), ("mono",), ValueError, "layout must be.*channels_last.*channels_first.*not .mono"),
        (np.zeros(4, "i2"), (None,), TypeError, "layout must be.*channels_last.*channels_first.*not NoneType"),
        (np.zeros(4, "i2"), ("channels_last", "opus"), ValueError, "encoding must be.*pcm.*mulaw.*alaw.*not .opus"),
        (np.zeros(4, "i2"), ("channels_last", b"pcm"), TypeError, "encoding must be.*pcm.*mulaw.*alaw.*not bytes"),
        (np.zeros(4, "i2"), ("channels_last", "mulaw"), TypeError, "bytes, or an array of uint8, not of int16"),
        (np.zeros(4, ">i2"), ("channels_last", "mulaw"), TypeError, "bytes, or an array of uint8, not of int16"),
        (np.zeros(4, "f4"), ("channels_last", "alaw"), TypeError, "not of float32"),
        (np.zeros(4, "i1"), ("channels_last", "alaw"), TypeError, "not of int8"),
        (b"", ("channels_last", "alaw"), ValueError, "empty"),
    ],
)
def test_what_is_refused_disturbs_nothing(block, how, error, message):
    encoder = AudioEncoder(48_000, 100)
    first = encoder.encode(speech[:700])
    with pytest.raises(error, match=message):
        encoder.encode(block, *how)
    rest = encoder.encode(speech[700:])
    sent = np.frombuffer(b"".join(map(pcm, [*first, *rest, encoder.flush()])), "<i2")
    assert np.array_equal(sent, resampled(speech, 48_000))


@pytest.mark.parametrize("rate_hz", [0, -1, 7_999, 192_001, 2**32])
def test_rates_out_of_range(rate_hz):
    with pytest.raises(ValueError, match="rate_hz must be 8000 to 192000"):
        AudioEncoder(rate_hz)
