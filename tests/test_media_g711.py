"""Telephone samples, held against tables that were written by others."""

from __future__ import annotations

import warnings
from array import array

import numpy as np
import pytest

import gemini_live as live
from gemini_live.media import PhoneEncoder, encode_g711

EVERY_SAMPLE = np.arange(-32_768, 32_768).astype(np.int16)


def expand(codes, law):
    """The decoder of G.711, from the segments and steps of its tables."""
    codes = np.frombuffer(codes, np.uint8).astype(int)
    codes = codes ^ (0xFF if law == "mulaw" else 0x55)
    segment, step = (codes >> 4) & 7, codes & 15
    if law == "mulaw":
        magnitude = (((2 * step + 33) << segment) - 33) << 2
        return np.where(codes & 0x80, -magnitude, magnitude)
    magnitude = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0)) << 3
    return np.where(codes & 0x80, magnitude, -magnitude)


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_every_sample_gets_the_code_that_is_nearest_to_it(law):
    given = EVERY_SAMPLE.astype(int)
    error = np.abs(expand(encode_g711(EVERY_SAMPLE, law), law) - given)
    codes = np.unique(expand(bytes(range(256)), law))
    # half the distance of the codes, of the coarser ones where two segments meet, and a bit of the standard's rounding
    above = np.clip(np.searchsorted(codes, given), 2, len(codes) - 2)
    step = np.maximum(np.maximum(codes[above] - codes[above - 1], codes[above + 1] - codes[above]), 0)
    step = np.maximum(step, codes[above - 1] - codes[above - 2])
    within = np.abs(given) < codes.max()
    assert (error[within] <= step[within] / 2 + 4).all()
    assert len(np.unique(np.frombuffer(encode_g711(EVERY_SAMPLE, law), np.uint8))) >= 255


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_it_is_what_the_standard_library_made(law):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="Python 3.13 has it no more")
    expected = {"mulaw": audioop.lin2ulaw, "alaw": audioop.lin2alaw}[law](EVERY_SAMPLE.tobytes(), 2)
    assert encode_g711(EVERY_SAMPLE, law) == expected
    assert encode_g711(EVERY_SAMPLE.tobytes(), law) == expected


def test_another_law_and_half_a_sample_are_refused():
    with pytest.raises(live.ConfigError) as caught:
        PhoneEncoder("ulaw")
    assert caught.value.path == "law"
    with pytest.raises(ValueError, match="16-bit samples, but 3 is an odd number of bytes"):
        encode_g711(b"abc")


@pytest.mark.parametrize(
    ("samples", "kind"),
    [
        (array("f", [0.5]), "array of format 'f'"),
        (memoryview(array("i", [1])), "memoryview of format 'i'"),
        (np.zeros(2, ">i2"), ">i2 of shape"),
        (np.zeros((2, 2), np.int16), r"int16 of shape \(2, 2\)"),
        ([1, 2], "list"),
        (None, "NoneType"),
    ],
)
def test_other_samples_are_refused_and_not_taken_for_bits(samples, kind):
    with pytest.raises(TypeError, match=f"samples are little-endian bytes or int16 of shape .n,., not .*{kind}"):
        encode_g711(samples)


@pytest.mark.parametrize("samples", [array("h", [0, 8]), memoryview(b"\0\0\x08\0"), bytearray(b"\0\0\x08\0"), b""])
def test_bytes_and_arrays_of_16_bits_will_do(samples):
    assert encode_g711(samples) == encode_g711(bytes(samples))


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000])
def test_an_answer_becomes_telephone_audio(law, rate_hz):
    tone = (8_000 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)).astype(np.int16)
    encoder = PhoneEncoder(law)
    pieces = [
        encoder.feed(live.ModelAudio(data=tone[start : start + 480].tobytes(), rate_hz=rate_hz))
        for start in range(0, rate_hz, 480)
    ]
    line = expand(b"".join([*pieces, encoder.flush()]), law).astype(float)
    assert len(line) == 8_000
    spectrum = np.abs(np.fft.rfft(line * np.hanning(len(line))))
    assert spectrum.argmax() == 440
    noise = line - 8_000 * np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)
    snr = 10 * np.log10(np.mean(line[400:-400] ** 2) / np.mean(noise[400:-400] ** 2))
    assert snr > 30, "8 bits of G.711 give some 37 dB"


def test_after_a_barge_in_nothing_of_the_old_answer_is_heard():
    encoder = PhoneEncoder()
    encoder.feed(live.ModelAudio(data=np.full(2_400, 20_000, np.int16).tobytes()))
    encoder.clear()
    assert encoder.flush() == b""
    silence = expand(encoder.feed(live.ModelAudio(data=bytes(4_800))), "mulaw")
    assert not np.abs(silence).max()


def test_a_rate_that_changes_loses_nothing():
    encoder = PhoneEncoder()
    line = b"".join(
        encoder.feed(live.ModelAudio(data=bytes(2 * rate_hz), rate_hz=rate_hz)) for rate_hz in (24_000, 16_000, 8_000)
    )
    assert len(line + encoder.flush()) == 24_000


def test_an_empty_piece_is_none():
    """A message of the service without a sample must not end the call."""
    encoder = PhoneEncoder()
    assert encoder.feed(live.ModelAudio(data=b"")) == b""
    line = encoder.feed(live.ModelAudio(data=bytes(48_000))) + encoder.feed(live.ModelAudio(data=b"\1"))
    assert len(line + encoder.flush()) == 8_000
