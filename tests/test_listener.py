from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gemini_live as live
from gemini_live.config import SpeechPolicy
from gemini_live.listener import Listener
from gemini_live.speech import Speech
from test_session import connect
from test_speech import samples


def loud(chunk):
    return bool(np.abs(chunk).max() > 1_000)


def levels(*chunks):
    """Chunks of 20 ms, each of one value."""
    return np.repeat(np.array(chunks, np.int16), 320)


class Heard:
    """What a listener hands on: the first value of each chunk, and the marks."""

    def __init__(self):
        self.all = []
        self.seconds = 0.0

    def take(self, frame, duration_s):
        self.all.append(int(samples(frame)[0]))
        self.seconds += duration_s

    def mark(self, kind):
        self.all.append(kind.removeprefix("activity_"))

    @property
    def both(self):
        return self.take, self.mark


def listener(detector=loud, preroll_ms=40, hangover_ms=60, chunk_ms=20):
    return Listener(chunk_ms, SpeechPolicy(detector=detector, preroll_ms=preroll_ms, hangover_ms=hangover_ms))


def test_speech_is_marked_and_sent_from_the_preroll_to_the_end_of_the_hangover():
    heard, ears = Heard(), listener()
    ears.feed(levels(1, 2, 3, 4, 5_000, 5_001, 6, 7, 5_002, 8, 9, 10, 11, 12), 16_000, *heard.both)
    assert heard.all == ["start", 3, 4, 5_000, 5_001, 6, 7, 5_002, 8, 9, 10, "end"]
    ears.feed(levels(13, 14, 5_003), 16_000, *heard.both)
    assert heard.all[11:] == ["end", "start", 13, 14, 5_003][0:]
    ears.finish(*heard.both)
    assert heard.all[-1] == "end"
    ears.finish(*heard.both)
    assert heard.all.count("end") == heard.all.count("start") == 2


def test_without_preroll_speech_begins_with_the_chunk_that_was_noticed():
    heard, ears = Heard(), listener(preroll_ms=0, hangover_ms=0)
    ears.feed(levels(1, 5_000, 2, 5_001), 16_000, *heard.both)
    assert heard.all == ["start", 5_000, 2, "end", "start", 5_001]


@given(st.lists(st.integers(1, 900), max_size=12), st.sampled_from([8_000, 16_000, 44_100, 48_000]))
def test_any_split_is_heard_alike(cuts, rate_hz):
    signal = np.repeat(np.array([0, 0, 9_000, 0, 0, 0, 0, 9_000, 9_000, 0], np.int16), rate_hz // 50)
    whole, split = Heard(), Heard()
    for heard, blocks in ((whole, [signal]), (split, np.split(signal, np.cumsum(cuts)))):
        ears = listener()
        for block in blocks:
            if len(block):
                ears.feed(block, rate_hz, *heard.both)
        ears.finish(*heard.both)
    assert split.all == whole.all
    assert split.seconds == pytest.approx(whole.seconds)


def test_the_detector_sees_what_would_be_sent():
    seen = []
    ears = listener(lambda chunk: seen.append(chunk.copy()) or False, chunk_ms=10)
    ears.feed(np.full((3, 4_800), 0.25, np.float32), 48_000, *Heard().both, "channels_first")
    ears.feed(b"\xff" * 160, 8_000, *Heard().both, "channels_last", "mulaw")
    assert {(chunk.dtype, chunk.shape) for chunk in seen} == {(np.dtype(np.int16), (160,))}
    assert len(seen) == 11
    assert np.array_equal(seen[3], np.full(160, 8_192))
    assert not seen[-1].any()


@pytest.mark.parametrize("rate_hz", [7_999, 44_100.5, "48000"])
def test_a_rate_that_is_refused_is_called_what_the_caller_calls_it(rate_hz):
    ears, heard = listener(), Heard()
    ears.feed(levels(1, 2)[:400], 16_000, *heard.both)
    with pytest.raises((TypeError, ValueError), match=r"^rate_hz must be a whole number from 8000 to 192000, not "):
        ears.feed(levels(3), rate_hz, *heard.both)
    ears.feed(levels(1, 2)[400:], 16_000.0, *heard.both)
    ears.feed(levels(5_000), 16_000, *heard.both)
    assert heard.all == ["start", 1, 2, 5_000]


def test_a_detector_that_fails_is_told_of_and_its_chunk_is_not_lost():
    heard = Heard()

    def detector(chunk):
        if chunk[0] in (2, 4):
            raise RuntimeError("no model")
        return loud(chunk)

    ears = listener(detector)
    with pytest.raises(RuntimeError, match="no model"):
        ears.feed(levels(1, 2, 5_000), 16_000, *heard.both)
    ears.feed(levels(3), 16_000, *heard.both)
    assert heard.all == ["start", 1, 2, 5_000, 3]
    with pytest.raises(RuntimeError, match="no model"):
        ears.feed(levels(4), 16_000, *heard.both)
    ears.feed(levels(5), 16_000, *heard.both)
    assert heard.all[5:] == [4, 5]


@pytest.mark.parametrize(
    ("detector", "verdict"),
    [
        (lambda _: None, "None"),
        (lambda _: 0.03, "0.03"),  # a probability, which would always be true
        (lambda _: np.float32(0.5), "0.5"),
        (lambda _: 1, "1"),
        (lambda _: np.array([False, True]), "array"),
        (lambda _: "no", "'no'"),
    ],
)
def test_a_detector_must_say_true_or_false(detector, verdict):
    heard, ears = Heard(), listener(detector)
    with pytest.raises(TypeError, match=f"the detector must return True or False, not .*{verdict}"):
        ears.feed(levels(1, 2), 16_000, *heard.both)
    assert heard.all == []


@pytest.mark.parametrize("kind", [bool, np.bool_])
def test_the_truth_of_numpy_is_as_good(kind):
    heard, ears = Heard(), listener(lambda chunk: kind(chunk[0] > 1_000))
    ears.feed(levels(1, 5_000), 16_000, *heard.both)
    assert heard.all == ["start", 1, 5_000]


def test_a_long_block_is_heard_in_the_time_that_its_parts_take():
    """To copy what is left after each chunk would take a minute here, and stop the loop for as long."""
    half_an_hour = np.zeros(30 * 60 * 16_000, np.int16)
    ears, began = listener(lambda _: False), time.process_time()
    ears.feed(half_an_hour, 16_000, *Heard().both)
    assert time.process_time() - began < 10


def test_samples_that_cannot_be_heard_as_they_are_are_counted_over_all_rates():
    heard, ears = Heard(), listener()
    one_and_two = np.array([0.5, math.nan, 1.5, 1, -1.25], np.float32)
    ears.feed(one_and_two, 16_000, *heard.both)
    ears.feed(np.zeros(480, np.float32), 24_000, *heard.both)
    ears.feed(one_and_two, 16_000, *heard.both)
    assert ears.defects() == {"nan": 2, "clipped": 4}


def test_threads_are_heard_one_after_the_other():
    heard, ears = Heard(), listener(lambda _: True)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ears.feed(levels(number), 16_000, *heard.both), range(200)))
    assert heard.all[0] == "start"
    assert sorted(heard.all[1:]) == list(range(200))


# --- held speech -----------------------------------------------------------------------------------------------------


def test_held_speech_keeps_the_newest_and_hands_it_on_first():
    speech, heard = Speech(20, preroll_ms=50), Heard()
    speech.hold()
    speech.feed(levels(1, 2, 3, 4, 5)[:-100], 16_000, heard.take)
    speech.flush(heard.take)
    assert heard.all == []
    speech.feed(levels(5, 6)[:100], 16_000, heard.take)
    speech.resume(heard.take)
    assert heard.all == [3, 4, 5]
    speech.feed(levels(7), 16_000, heard.take)
    assert heard.all == [3, 4, 5, 7]


def test_another_rate_while_held_loses_nothing_that_is_kept():
    speech, heard = Speech(20, preroll_ms=100), Heard()
    speech.hold()
    speech.feed(levels(1)[:200], 16_000, heard.take)
    speech.feed(np.full(960, 2, np.int16), 48_000, heard.take)
    speech.resume(heard.take)
    speech.flush(heard.take)
    assert heard.all[0] == 1
    assert heard.seconds == pytest.approx(0.0125 + 0.02)


def test_a_detector_needs_manual_vad():
    with pytest.raises(live.ConfigError, match=r"needs the service's disabled.*'disabled': True"):
        connect(speech=SpeechPolicy(detector=loud))
