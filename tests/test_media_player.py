"""The playout queue, read as a device would read it."""

from __future__ import annotations

import array
import asyncio
import ctypes
import threading

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import gemini_live as live
from conftest import on_fake_clock
from gemini_live.media import Player

MS = 24  # samples


def ramp(samples, start=1):
    return np.arange(start, start + samples, dtype=np.int16)


def audio(samples, turn=1, rate_hz=24_000):
    return live.ModelAudio(data=np.asarray(samples, np.int16).tobytes(), rate_hz=rate_hz, turn=turn)


def read(player, samples):
    return np.frombuffer(player.read(samples), np.int16)


# --- playing --------------------------------------------------------------------------------------------------------


def test_it_is_silent_before_anything_came():
    player = Player()
    assert not read(player, 480).any()
    assert player.played_ms == 0
    assert player.silent_s == float("inf")
    assert not player.playing
    assert player.stats.underruns == 0


@given(pieces=st.lists(st.integers(0, 700), max_size=12), callback=st.integers(1, 900), channels=st.integers(1, 3))
def test_what_came_is_read_in_order_whatever_the_sizes(pieces, callback, channels):
    player = Player(channels=channels)
    whole = ramp(sum(pieces))
    start = 0
    for count in pieces:
        player.play(audio(whole[start : start + count]))
        start += count
    assert player.queued_s == pytest.approx(len(whole) / 24_000)
    heard = [read(player, callback) for _ in range(len(whole) // callback + 1)]
    frames = np.concatenate(heard).reshape(-1, channels)
    assert (frames[: len(whole)] == whole[:, None]).all()
    assert not frames[len(whole) :].any()
    assert player.queued_s == 0
    assert player.played_ms == pytest.approx(len(whole) / MS)


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, lambda raw: np.frombuffer(raw, np.int16)])
def test_plain_samples_are_taken_in_any_form(form):
    player = Player()
    player.play(form(ramp(100).tobytes()))
    assert (read(player, 100) == ramp(100)).all()


def test_strided_samples_are_taken_and_are_the_players_own():
    player = Player()
    block = ramp(200)
    player.play(block[::2])
    block[:] = 0
    assert (read(player, 100) == ramp(200)[::2]).all()


def test_ten_minutes_at_once_are_kept():
    player = Player()
    second = ramp(24_000)
    for _ in range(600):
        player.play(audio(second))
    assert player.queued_s == 600
    for _ in range(600):
        assert (read(player, 24_000) == second).all()
    assert player.queued_s == 0


def test_half_a_sample_of_the_service_is_left_out():
    player = Player()
    player.play(live.ModelAudio(data=b"\1\0\2"))
    assert read(player, 2).tolist() == [1, 0]


@pytest.mark.parametrize("given", [live.ModelAudio(data=b""), live.ModelAudio(data=b"\1"), b""])
def test_nothing_of_the_service_is_nothing(given):
    """Also where it would be resampled: one empty message must not end the conversation."""
    player = Player(48_000, channels=2)
    player.play(given)
    assert player.queued_s == 0
    player.play(audio(ramp(100)))
    player.play(given)
    player.finish()
    assert player.queued_s == pytest.approx(100 / 24_000)


@pytest.mark.parametrize(
    ("samples", "error", "words"),
    [
        (np.zeros(4, np.float32), TypeError, "int16"),
        (array.array("f", bytes(16)), TypeError, "format 'f'"),
        (np.zeros(4, np.uint8), TypeError, "uint8"),
        (np.zeros(4, ">i2"), TypeError, "int16"),
        ("text", TypeError, "bytes-like"),
        (b"\0\0\0", ValueError, "whole number"),
        (np.zeros((4, 2), np.int16), ValueError, "mono"),
    ],
)
def test_what_is_no_mono_16_bit_audio_is_refused(samples, error, words):
    player = Player()
    with pytest.raises(error, match=words):
        player.play(samples)
    assert player.queued_s == 0


@pytest.mark.parametrize(
    "form",
    [
        lambda count: np.zeros((count, 1), np.int16),
        lambda count: np.zeros(count, np.int16),
        lambda count: array.array("h", bytes(2 * count)),
        lambda count: bytearray(2 * count),
        lambda count: memoryview(bytearray(2 * count)),
        lambda count: (ctypes.c_char * (2 * count))(),
        lambda count: (ctypes.c_int16 * count)(),
    ],
)
def test_a_buffer_of_16_bit_samples_or_of_bytes_is_filled(form):
    player = Player()
    player.play(audio(ramp(100)))
    out = form(100)
    assert player.read_into(out) == 200
    assert bytes(out) == ramp(100).tobytes()


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (np.ones((480, 1), np.float32), TypeError, "dtype='int16'.*not float32"),
        (np.ones((480, 1), np.int32), TypeError, "not int32"),
        (np.ones((480, 1), np.uint8), TypeError, "not uint8"),
        (np.ones(480, ">i2"), TypeError, "not >i2"),
        (array.array("f", bytes(16)), TypeError, "format 'f'"),
        ((ctypes.c_uint16.__ctype_be__ * 8)(), TypeError, "format '>H'"),
        (np.ones((480, 2), np.int16), ValueError, "Player.*channels=2"),
        (bytearray(7), ValueError, "7 bytes are no whole number of frames"),
    ],
)
def test_a_buffer_in_which_samples_would_be_noise_is_refused(out, error, words):
    """A loudspeaker that is opened for something else would play what sounds like a broken line, and say nothing."""
    player = Player()
    player.play(audio(ramp(2_000)))
    before = bytes(out)
    with pytest.raises(error, match=words):
        player.read_into(out)
    assert bytes(out) == before
    assert player.queued_s == pytest.approx(2_000 / 24_000), "nothing is lost to a refusal"


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"rate_hz": 4_000}, "rate_hz"),
        ({"channels": 0}, "channels"),
        ({"fade_ms": -1.0}, "fade_ms"),
        ({"latency_s": -0.01}, "latency_s"),
        ({"latency_s": float("nan")}, "latency_s"),
    ],
)
def test_an_impossible_device_is_refused(arguments, path):
    with pytest.raises(live.ConfigError) as caught:
        Player(**arguments)
    assert caught.value.path == path


# --- other rates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_answers_are_resampled_to_the_device(rate_hz):
    player = Player(rate_hz)
    tone = (10_000 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)).astype(np.int16)
    for start in range(0, 24_000, 960):
        player.play(audio(tone[start : start + 960]))
    player.finish()
    assert player.queued_s == pytest.approx(1.0, abs=0.01)
    heard = read(player, rate_hz).astype(float)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(rate_hz)))
    assert spectrum.argmax() == 440  # one bin for each Hz
    middle = heard[rate_hz // 4 : -rate_hz // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(10_000 / np.sqrt(2), rel=0.02)


def test_played_ms_counts_time_and_not_samples():
    player = Player(48_000, channels=2)
    player.play(audio(ramp(100 * MS)))
    player.read(48 * 30)
    assert player.played_ms == pytest.approx(30)


def test_a_rate_that_changes_in_the_middle_is_no_loss():
    player = Player(48_000)
    player.play(audio(ramp(24_000)))
    player.play(audio(ramp(16_000), rate_hz=16_000))
    player.finish()
    assert player.queued_s == pytest.approx(2.0, abs=0.01)


# --- cutting in -----------------------------------------------------------------------------------------------------


def test_clear_fades_and_is_silent_within_milliseconds():
    player = Player(fade_ms=5)
    player.play(audio(np.full(1_000 * MS, 8_000)))
    player.read(100 * MS)
    player.clear()
    assert player.queued_s == pytest.approx(0.005)
    heard = read(player, 20 * MS)
    steps = np.abs(np.diff(heard.astype(int), prepend=8_000))
    assert steps.max() <= 8_000 / (5 * MS) + 1, "a step this large clicks"
    assert not heard[5 * MS :].any()
    assert player.played_ms == pytest.approx(105)
    assert player.stats.discarded_s == pytest.approx(0.895)


def test_clear_plays_nothing_of_what_had_not_begun():
    player = Player()
    player.play(audio(np.full(1_000, 8_000)))
    player.clear()
    assert not read(player, 1_000).any()
    assert player.stats.discarded_s == pytest.approx(1_000 / 24_000)


def test_played_ms_is_of_the_answer_that_sounds():
    player = Player()
    player.play(audio(ramp(100 * MS), turn=1))
    player.play(audio(ramp(100 * MS), turn=2))
    player.read(60 * MS)
    assert player.played_ms == pytest.approx(60)
    player.read(60 * MS)
    assert player.played_ms == pytest.approx(20)
    player.clear()
    assert player.played_ms == pytest.approx(20), "an interruption must find where the answer stopped"
    player.play(audio(ramp(100 * MS), turn=3))
    player.read(10 * MS)
    assert player.played_ms == pytest.approx(5)  # behind the fade
    assert player.stats.played_s == pytest.approx(0.130)


def test_what_the_device_holds_has_not_been_played():
    player = Player(latency_s=0.040)
    player.play(audio(ramp(100 * MS)))
    player.read(30 * MS)
    assert player.played_ms == 0
    player.read(70 * MS)
    assert player.played_ms == pytest.approx(60)
    assert player.playing
    player.read(30 * MS)  # silence, under which the rest is heard
    assert player.played_ms == pytest.approx(90)
    assert player.playing
    player.read(30 * MS)
    assert player.played_ms == pytest.approx(100)
    assert not player.playing
    assert player.silent_s == pytest.approx(0.020)


def test_what_the_device_holds_is_counted_over_gaps_too():
    """It never goes back: what was heard has been heard."""
    player = Player(latency_s=0.050)
    player.play(audio(ramp(100 * MS)))
    heard = []
    for step, more in enumerate([0] * 12 + [10, 0, 10, 10, 0, 0, 0, 0, 0, 0]):
        if more:
            player.play(audio(ramp(more * MS)))
        player.read(10 * MS)
        heard.append(round(player.played_ms))
        assert heard[-1] >= (heard[-2] if step else 0)
    # 100 ms, a gap of 20, 10 ms, a gap of 10, 20 ms: each 50 ms after it was read
    assert heard[:5] == [0] * 5
    assert heard[5:] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100, 100, 110, 110, 120, 130, 130]


def test_an_answer_that_is_cut_before_it_sounds_was_heard_for_no_time():
    player = Player(latency_s=0.050)
    player.handle(audio(ramp(100 * MS), turn=1))
    player.handle(live.TurnComplete())
    player.read(200 * MS)
    player.handle(audio(ramp(100 * MS), turn=2))
    player.handle(live.Interrupted())
    assert player.played_ms == 0
    assert player.stats.played_s == pytest.approx(0.100)
    assert not player.playing


def test_an_answer_that_is_still_under_way_is_the_one_that_is_cut():
    player = Player(latency_s=0.050)
    player.handle(audio(ramp(100 * MS), turn=1))
    player.handle(live.TurnComplete())
    player.read(120 * MS)
    player.handle(audio(ramp(100 * MS), turn=2))
    player.handle(live.Interrupted())
    assert player.played_ms == pytest.approx(70)


# --- gaps -----------------------------------------------------------------------------------------------------------


def test_a_gap_within_an_answer_is_counted():
    player = Player()
    player.play(audio(ramp(20 * MS)))
    player.read(50 * MS)
    player.play(audio(ramp(20 * MS)))
    player.read(20 * MS)
    player.finish()
    player.read(100 * MS)
    assert (player.stats.underruns, player.stats.underrun_s) == (1, pytest.approx(0.030))


def test_the_pause_between_answers_is_no_gap():
    player = Player()
    for turn in (1, 2, 3):
        player.handle(audio(ramp(20 * MS), turn))
        player.handle(live.GenerationComplete())
        player.read(50 * MS)
    player.handle(audio(ramp(20 * MS), 4))
    player.handle(live.Interrupted())
    player.read(50 * MS)
    player.handle(audio(ramp(20 * MS), 5))
    assert player.stats.underruns == 0


# --- with a session -------------------------------------------------------------------------------------------------


async def events(*given):
    for event in given:
        yield event


async def test_follow_plays_and_clears_and_passes_everything_on():
    player = Player(fade_ms=0)
    given = (live.SetupComplete(), audio(ramp(480)), live.Interrupted(), live.TurnComplete(), audio(ramp(240), 2))
    queued = [player.queued_s * 24_000 async for _ in player.follow(events(*given))]
    assert queued == pytest.approx([0, 480, 0, 0, 240])
    assert [event async for event in player.follow(events(*given))] == list(given)


@on_fake_clock
async def test_wait_played_waits_for_the_last_sample_and_the_device():
    player = Player(latency_s=0.040)
    loop = asyncio.get_running_loop()
    player.play(audio(ramp(100 * MS)))

    async def device():
        for _ in range(20):
            await asyncio.sleep(0.010)
            player.read(10 * MS)

    playing = asyncio.create_task(device())
    await player.wait_played()
    assert loop.time() == pytest.approx(0.140)
    await player.wait_played()
    assert loop.time() == pytest.approx(0.140, abs=0.011), "there is nothing to wait for"
    await playing


@on_fake_clock
async def test_wait_played_ends_when_the_user_cuts_in():
    player = Player()
    player.play(audio(ramp(1_000 * MS)))
    waiting = asyncio.create_task(player.wait_played())
    await asyncio.sleep(0)
    player.clear()
    await waiting


async def test_those_who_wait_no_longer_are_forgotten():
    player = Player()
    player.play(audio(ramp(100)))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(player.wait_played(), 0.001)
    assert not player._waiting


# --- any order of calls ---------------------------------------------------------------------------------------------

CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("play"), st.integers(1, 2_000), st.integers(1, 3)),
        st.tuples(st.just("read"), st.integers(1, 1_500)),
        st.tuples(st.just("clear")),
        st.tuples(st.just("finish")),
    ),
    max_size=40,
)


@given(CALLS, st.integers(1, 2))
def test_any_order_of_calls_is_what_a_list_of_samples_would_do(calls, channels):
    player = Player(channels=channels, fade_ms=0)
    waiting, given_samples, played, discarded = [], 0, 0, 0
    for name, *arguments in calls:
        match name, arguments:
            case "play", [count, turn]:
                samples = np.arange(given_samples + 1, given_samples + 1 + count) % 30_000 + 1
                player.play(audio(samples, turn))
                waiting += samples.tolist()
                given_samples += count
            case "read", [count]:
                expected, waiting = waiting[:count], waiting[count:]
                played += len(expected)
                frames = read(player, count).reshape(-1, channels)
                assert frames.shape == (count, channels)
                assert (frames == frames[:, :1]).all()
                assert frames[:, 0].tolist() == expected + [0] * (count - len(expected))
            case "clear", _:
                player.clear()
                discarded += len(waiting)
                waiting = []
            case _:
                player.finish()
        assert round(player.queued_s * 24_000) == len(waiting)
        assert round(player.stats.played_s * 24_000) == played
        assert round(player.stats.discarded_s * 24_000) == discarded
        assert given_samples == played + discarded + len(waiting)
        assert 0 <= player.played_ms * MS <= played + 1e-6


@given(CALLS, st.sampled_from([0, 100, 777, 2_400]))
@example([("play", 500, 1), ("read", 600), ("play", 500, 1), ("read", 300), ("read", 300), ("read", 99)], 777)
def test_played_ms_is_what_was_read_of_the_answer_longer_ago_than_the_latency(calls, held):
    player = Player(latency_s=held / 24_000, fade_ms=0)
    waiting, read_so_far, answers, turn, current, silent = [], [], 0, None, 0, 0
    for name, *arguments in calls:
        match name, arguments:
            case "play", [count, of_turn]:
                answers += of_turn != turn
                turn = of_turn
                waiting += [answers] * count
                player.play(audio(ramp(count), turn))
            case "read", [count]:
                new, waiting = waiting[:count], waiting[count:]
                read_so_far += new + [0] * (count - len(new))
                current = new[-1] if new else current
                silent = count - len(new) + (0 if new else silent)
                player.read(count)
            case "clear", _:
                if waiting and current and silent > held:
                    current = waiting[0]
                waiting, turn = [], None
                player.clear()
            case _:
                turn = None
                player.finish()
        heard = read_so_far[: max(0, len(read_so_far) - held)]
        assert player.played_ms * MS == pytest.approx(heard.count(current) if current else 0)


# --- threads --------------------------------------------------------------------------------------------------------


def test_a_device_reads_while_others_play_and_cut_in():
    """Nothing is read twice, out of order or torn; what was read and discarded adds up to what was given."""
    player = Player(fade_ms=0)
    given = 0
    heard = []
    stop = threading.Event()

    def device():
        buffer = bytearray(2 * 48)
        while not stop.is_set():
            filled = player.read_into(buffer)
            heard.append(np.frombuffer(bytes(buffer[:filled]), np.int16))

    thread = threading.Thread(target=device)
    thread.start()
    cutter = threading.Thread(target=lambda: [player.clear() for _ in range(200)])
    cutter.start()
    for _ in range(100):
        player.play(audio(ramp(300)))
        given += 300
    cutter.join()
    while player.queued_s:
        pass
    stop.set()
    thread.join()
    samples = np.concatenate(heard)
    stats = player.stats
    assert round(stats.played_s * 24_000) == len(samples)
    assert round((stats.played_s + stats.discarded_s) * 24_000) == given
    # it goes on by one, or begins a piece anew
    steps = np.diff(samples.astype(int))
    assert ((steps == 1) | (samples[1:] == 1)).all()
