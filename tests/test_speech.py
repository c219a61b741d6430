from __future__ import annotations

import base64
import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gemini_live._core import unmask
from gemini_live.speech import Speech


def samples(message):
    return np.frombuffer(base64.b64decode(json.loads(unmask(message))["realtimeInput"]["audio"]["data"]), "<i2")


class Taker:
    def __init__(self):
        self.messages = []
        self.seconds = []

    def __call__(self, message, duration_s):
        self.messages.append(message)
        self.seconds.append(duration_s)

    @property
    def audio(self):
        return np.concatenate([samples(message) for message in self.messages])


def test_chunks_come_out_whole_and_the_rest_at_the_flush():
    speech, take = Speech(20), Taker()
    block = np.arange(700, dtype=np.int16)
    speech.feed(block, 16_000, take)
    assert take.seconds == [0.02, 0.02]
    speech.flush(take)
    assert take.seconds[-1] == pytest.approx(60 / 16_000)
    assert np.array_equal(take.audio, block)
    speech.flush(take)
    assert len(take.messages) == 3


def tone(rate_hz, seconds):
    return (np.sin(np.arange(int(rate_hz * seconds)) * (2 * np.pi * 300 / rate_hz)) * 8_000).astype(np.int16)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 48_000])
def test_any_rate_becomes_16_khz_and_chunks_stay_as_long(rate_hz):
    speech, take = Speech(20), Taker()
    speech.feed(tone(rate_hz, 1), rate_hz, take)
    assert set(take.seconds) == {0.02}
    speech.flush(take)
    assert sum(take.seconds) == pytest.approx(1)
    error = take.audio[40:-40] - tone(16_000, 1)[40:-40]
    assert np.abs(error).max() < 80  # the filter's ripple


def test_another_rate_flushes_the_old_to_its_last_sample_and_keeps_the_order():
    speech, take = Speech(20), Taker()
    speech.feed(tone(48_000, 0.05), 48_000, take)
    speech.feed(np.full(800, 8_000, np.int16), 16_000, take)
    speech.feed(tone(8_000, 0.05), 8_000, take)
    speech.flush(take)
    lengths = [len(samples(message)) for message in take.messages]
    assert lengths == [320, 320, 160, 320, 320, 160, 320, 320, 160]
    assert np.array_equal(take.audio[800:1_600], np.full(800, 8_000))
    assert sum(take.seconds) == pytest.approx(0.15)


def test_channels_may_change_within_a_chunk():
    speech, take = Speech(20), Taker()
    speech.feed(np.full(100, 7, np.int16), 16_000, take)
    speech.feed(np.full((120, 2), 7, np.int16), 16_000, take)
    speech.feed(np.full((3, 100), 7, np.int16), 16_000, take, "channels_first")
    assert take.seconds == [0.02]
    assert np.array_equal(take.audio, np.full(320, 7))


def test_telephone_bytes():
    speech, take = Speech(20), Taker()
    speech.feed(b"\xff\x7f" * 80, 8_000, take, "channels_last", "mulaw")
    speech.flush(take)
    assert np.array_equal(take.audio, np.zeros(320))


@pytest.mark.parametrize(("block", "rate_hz"), [(b"\0", 16_000), (b"\0\0", 0), (None, 8_000), (b"", 8_000)])
def test_what_is_refused_disturbs_nothing(block, rate_hz):
    speech, take = Speech(20), Taker()
    speech.feed(np.full(100, 1, np.int16), 16_000, take)
    with pytest.raises((TypeError, ValueError)):
        speech.feed(block, rate_hz, take)
    speech.feed(np.full(220, 1, np.int16), 16_000, take)
    assert [len(samples(message)) for message in take.messages] == [320]


@pytest.mark.parametrize("rate_hz", [48_000.0, np.float64(48_000), np.float32(48_000), np.int64(48_000)])
def test_a_rate_may_be_a_float_as_portaudio_gives_it(rate_hz):
    speech, take = Speech(20), Taker()
    for _ in range(3):
        speech.feed(np.zeros(960, np.int16), rate_hz, take)
    speech.feed(np.zeros(960, np.int16), 48_000, take)
    speech.flush(take)
    assert sum(take.seconds) == pytest.approx(0.08)
    assert len(take.seconds) == 4  # one stream, of which nothing was flushed in between


@pytest.mark.parametrize(
    ("rate_hz", "error", "message"),
    [
        (44_100.5, ValueError, "rate_hz must be a whole number from 8000 to 192000, not 44100.5"),
        (float("nan"), ValueError, "whole number.*not nan"),
        (float("inf"), ValueError, "whole number.*not inf"),
        (7_999, ValueError, "rate_hz must be a whole number from 8000 to 192000, not 7999"),
        (192_001.0, ValueError, "8000 to 192000, not 192001"),
        (-1, ValueError, "8000 to 192000, not -1"),
        (2**70, ValueError, "8000 to 192000, not 1180591620717411303424"),
        ("48000", TypeError, "rate_hz must be a whole number from 8000 to 192000, not str"),
        (None, TypeError, "8000 to 192000, not NoneType"),
    ],
)
def test_a_rate_that_is_refused_is_told_what_is_accepted(rate_hz, error, message):
    speech, take = Speech(20), Taker()
    speech.feed(np.full(100, 1, np.int16), 16_000, take)
    with pytest.raises(error, match=message):
        speech.feed(np.zeros(960, np.int16), rate_hz, take)
    speech.feed(np.full(220, 1, np.int16), 16_000, take)
    assert [len(samples(message)) for message in take.messages] == [320]


def test_samples_that_cannot_be_sent_as_they_are_are_counted_over_all_rates():
    speech = Speech(20)
    assert not speech.defects()
    one_and_two = np.array([0.5, math.nan, 1.5, 1, -1.25], np.float32)
    speech.feed(one_and_two, 16_000, Taker())
    assert speech.defects() == {"nan": 1, "clipped": 2}
    speech.feed(np.zeros(480, np.float32), 24_000, Taker())
    speech.feed(one_and_two, 16_000, Taker())
    assert speech.defects() == {"nan": 2, "clipped": 4}


def test_blocks_of_many_threads_stay_whole():
    speech, take = Speech(20), Taker()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: speech.feed(np.full(320, number, np.int16), 16_000, take), range(400)))
    assert sorted({int(samples(message)[0]) for message in take.messages}) == list(range(400))
    assert all(np.ptp(samples(message)) == 0 for message in take.messages)
