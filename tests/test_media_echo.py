"""The gate, and the canceller on a room that is computed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import gemini_live as live
from gemini_live.media import EchoCanceller, HalfDuplex, Player


def decibels(signal, reference):
    return 10 * np.log10(np.mean(np.square(signal, dtype=float)) / np.mean(np.square(reference, dtype=float)) + 1e-12)


# --- half duplex ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(240,), (240, 1), (240, 2)])
def test_the_microphone_is_mute_while_the_player_plays_and_a_little_longer(shape):
    player = Player(latency_s=0.020)
    gate = HalfDuplex(player, tail_ms=50)
    block = np.full(shape, 0.5, np.float32)

    def passes():
        out = gate(block)
        assert out.shape == shape
        assert out.dtype == np.float32
        assert out.all() or not out.any()
        return bool(out.all())

    assert passes(), "nothing was ever played"
    player.play(bytes(2 * 480))
    assert not passes(), "it is about to sound"
    open_at = []
    for ten_ms in range(1, 15):
        player.read(240)
        if passes():
            open_at.append(ten_ms)
    # 20 ms of sound, 20 ms of latency, 50 ms of tail
    assert open_at == [9, 10, 11, 12, 13, 14]
    assert (block == 0.5).all(), "the device's memory is not ours"


def test_an_impossible_tail_is_refused():
    with pytest.raises(live.ConfigError) as caught:
        HalfDuplex(Player(), tail_ms=-1)
    assert caught.value.path == "tail_ms"


# --- the canceller --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def livekit():
    return pytest.importorskip("livekit.rtc", reason="needs the extra: gemini-live[echo]")


def speech(seconds, rate_hz, seed):
    """Noise in syllables."""
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return noise * np.maximum(np.sin(2 * np.pi * 2.3 * time + seed), 0) * 2_500


@pytest.mark.parametrize(("near_hz", "far_hz", "channels"), [(16_000, 16_000, 1), (48_000, 24_000, 2)])
def test_the_echo_goes_and_the_user_stays(livekit, near_hz, far_hz, channels):
    player = Player(far_hz, channels=channels)
    canceller = EchoCanceller(player, rate_hz=near_hz)
    seconds = 8
    said = speech(seconds, far_hz, 1)
    player.play(said.astype(np.int16), rate_hz=far_hz)
    # the room: 55 ms later, weaker, with a reflection
    at_near_rate = np.interp(np.arange(seconds * near_hz) / near_hz, np.arange(len(said)) / far_hz, said)
    echo = np.zeros(len(at_near_rate))
    for delay_s, gain in ((0.055, 0.4), (0.075, 0.15)):
        delay = int(delay_s * near_hz)
        echo[delay:] += gain * at_near_rate[:-delay]
    user = np.zeros(len(echo))
    user[5 * near_hz :] = speech(3, near_hz, 2)
    heard = []
    for start in range(0, len(echo), near_hz // 50):
        player.read(far_hz // 50)
        stop = start + near_hz // 50
        block = ((echo + user)[start:stop] / 32_768).astype(np.float32)[:, None]
        heard.append(canceller(block))
    clean = np.concatenate(heard).astype(float)
    assert len(clean) == len(echo)
    alone, both = slice(3 * near_hz, 5 * near_hz), slice(5 * near_hz, 8 * near_hz)
    assert decibels(clean[alone], echo[alone]) < -25, "of the echo too much is left"
    # while both speak it takes some 10 dB of the user as well
    assert decibels(clean[both], user[both]) > -15
    assert decibels(clean[both], clean[alone]) > 20, "a barge-in must stand out of what is left"


def test_blocks_of_any_size_will_do(livekit):
    player = Player(24_000)
    canceller = EchoCanceller(player, rate_hz=16_000)
    sizes = [1, 100, 159, 160, 161, 512, 7]
    out = [len(canceller(np.zeros((size, 1), np.float32))) for size in sizes]
    assert all(size % 160 == 0 for size in out)
    assert sum(sizes) - 160 < sum(out) <= sum(sizes)
    assert np.array_equal(canceller(np.full((320, 1), np.nan, np.float32)).shape, (320,))


@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_16_bits_will_do_as_floats_do(livekit, channels):
    """As a stream of one's own gives them, of shape (n, channels)."""
    wave = np.random.default_rng(1).integers(-9_000, 9_000, (1_600, channels)).astype(np.int16)
    heard = [EchoCanceller(Player(), rate_hz=16_000)(block) for block in (wave, (wave / 32_768).astype(np.float32))]
    assert np.abs(heard[0].astype(int) - heard[1]).max() <= 2


def test_a_loudspeaker_that_is_opened_later_is_followed(livekit):
    """Its rate is known only then; samples that were taken for those of another would cancel nothing."""
    player = Player(24_000)
    canceller = EchoCanceller(player, rate_hz=16_000)
    player.read(240)
    player.set_device(48_000, 2)
    frames = []
    process = canceller._processing.process_reverse_stream
    canceller._processing.process_reverse_stream = lambda frame: (frames.append(frame), process(frame))
    player.read(480)
    assert [(frame.sample_rate, frame.num_channels, frame.samples_per_channel) for frame in frames] == [
        (48_000, 2, 480)
    ]


@pytest.mark.parametrize("rates", [(11_025, 24_000), (16_000, 22_050)])
def test_a_rate_without_whole_10_ms_is_refused(rates):
    near_hz, far_hz = rates
    with pytest.raises(live.ConfigError, match="10 ms of the"):
        EchoCanceller(Player(far_hz), rate_hz=near_hz)


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "livekit"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "livekit", None)
    with pytest.raises(ModuleNotFoundError, match=r"gemini-live\[echo\]"):
        EchoCanceller(Player(), rate_hz=16_000)
