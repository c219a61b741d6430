from __future__ import annotations

import base64
import json
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


def test_another_rate_flushes_the_old_and_keeps_the_order():
    speech, take = Speech(20), Taker()
    speech.feed(np.full(100, 1, np.int16), 16_000, take)
    speech.feed(np.full(960, 2, np.int16), 48_000, take)
    assert [len(samples(message)) for message in take.messages] == [100, 960]
    assert b"rate=48000" in unmask(take.messages[1])


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 48_000])
def test_a_chunk_is_as_long_at_any_rate(rate_hz):
    speech, take = Speech(20), Taker()
    speech.feed(np.zeros(rate_hz, np.int16), rate_hz, take)
    assert take.seconds[0] == pytest.approx(0.02, rel=0.01)


@pytest.mark.parametrize(("block", "rate_hz"), [(b"\0", 16_000), (b"\0\0", 0), (None, 8_000), (b"", 8_000)])
def test_what_is_refused_disturbs_nothing(block, rate_hz):
    speech, take = Speech(20), Taker()
    speech.feed(np.full(100, 1, np.int16), 16_000, take)
    with pytest.raises((TypeError, ValueError)):
        speech.feed(block, rate_hz, take)
    speech.feed(np.full(220, 1, np.int16), 16_000, take)
    assert [len(samples(message)) for message in take.messages] == [320]


def test_blocks_of_many_threads_stay_whole():
    speech, take = Speech(20), Taker()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: speech.feed(np.full(320, number, np.int16), 16_000, take), range(400)))
    assert sorted({int(samples(message)[0]) for message in take.messages}) == list(range(400))
    assert all(np.ptp(samples(message)) == 0 for message in take.messages)
