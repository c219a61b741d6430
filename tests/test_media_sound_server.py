"""PortAudio for real: a microphone and a loudspeaker of a sound server that needs no hardware."""

from __future__ import annotations

import asyncio
import signal
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soxr

import gemini_live
import sound_server
from gemini_live import emulator

ROOT = Path(__file__).parent.parent
SPEECH = Path(gemini_live.__file__).parent / "demo" / "speech.wav"

pytestmark = [
    pytest.mark.skipif(bool(sound_server.what_is_missing()), reason=sound_server.what_is_missing() or "-"),
    pytest.mark.timeout(90),
]


@pytest.fixture
def server(tmp_path):
    sound = sound_server.SoundServer(tmp_path / "sound")
    yield sound
    sound.end()


def one_utterance():
    """The first of the demonstration: speech up to the first half second of silence."""
    with wave.open(str(SPEECH)) as file:
        rate_hz = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    block = rate_hz // 10
    loud = [np.abs(samples[i : i + block].astype(int)).max() > 500 for i in range(0, len(samples) - block, block)]
    first = loud.index(True)
    last = next(i for i in range(first + 1, len(loud)) if not any(loud[i : i + 5]))
    return samples[first * block : last * block], rate_hz


def likeness(of, within, rate_hz):
    """How much of one signal is found in another: the median over loud pieces of 100 ms, each wherever it fits best.

    Whole signals would not do: where the machine is too busy for its sound card, a gap moves all that follows. The
    pieces must come in their order.
    """
    size = rate_hz // 10
    pieces = [of[start : start + size] for start in range(0, len(of) - size + 1, size)]
    found = [best_fit(piece, within) for piece in pieces if np.abs(piece.astype(int)).max() > 1_000]
    places = [place for place, fit in found if fit > 0.9]
    assert places == sorted(places)
    return float(np.median([fit for _, fit in found]))


def best_fit(of, within):
    """Where the normalised correlation of one signal with a stretch of another is highest: 1 is the same, 0 another."""
    of, within = of.astype(float), within.astype(float)
    size = 1 << (len(of) + len(within)).bit_length()
    products = np.fft.irfft(np.fft.rfft(within, size) * np.conj(np.fft.rfft(of, size)), size)[: len(within) - len(of)]
    energy = np.concatenate([[0.0], np.cumsum(within**2)])
    norms = np.sqrt(np.maximum(energy[len(of) :] - energy[: -len(of)], 1.0))[: len(products)] * np.linalg.norm(of)
    place = int((products / norms).argmax())
    return place, float((products / norms)[place])


async def until(condition, within_s=20):
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.05)


def test_likeness_tells_the_same_from_another():
    one, other = np.random.default_rng(1).standard_normal((2, 5_000)) * 2_000
    assert likeness(one, np.concatenate([other, 0.3 * one, other]), 5_000) == pytest.approx(1)
    assert likeness(one, np.concatenate([one[:2_000], np.zeros(99), one[2_000:]]), 5_000) == pytest.approx(1)
    assert likeness(one, np.concatenate([other, other]), 5_000) < 0.3
    backwards = np.concatenate([one[2_500:], one[:2_500]])
    with pytest.raises(AssertionError):
        likeness(one, backwards, 5_000)


async def test_speech_goes_in_at_the_microphone_and_the_answer_comes_out_of_the_loudspeaker(server):
    said, rate_hz = one_utterance()
    async with emulator.Emulator(compress_time=True) as service:
        with server.recording() as heard:
            program = await asyncio.create_subprocess_exec(
                sys.executable,
                "-X",
                "dev",
                ROOT / "examples" / "microphone.py",
                "--endpoint",
                service.url,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**server.environment, "GEMINI_API_KEY": "any"},
            )
            await until(lambda: service.ledger.sessions and service.ledger.sessions[0].audio_chunks and len(heard()))
            session = service.ledger.sessions[0]
            await asyncio.to_thread(server.speak, said, rate_hz)
            await until(lambda: session.answers)
            await until(lambda: np.abs(heard()[:-1]).any() and not heard()[-sound_server.RATE_HZ :].any())
            program.send_signal(signal.SIGINT)
            out, err = await program.communicate()
        assert program.returncode == 0, err.decode()
        assert b"utterance 1" in out
        (input_rate_hz,) = {entry.rate_hz for entry in session.log.entries if entry.kind == "audio"}
        arrived = soxr.resample(session.audio, input_rate_hz, rate_hz)
        assert likeness(said, arrived, rate_hz) > 0.95
        assert likeness(soxr.resample(said, rate_hz, sound_server.RATE_HZ), heard(), sound_server.RATE_HZ) > 0.9


LISTEN = """
import asyncio, time
import gemini_live as live
from gemini_live.media import Microphone

class Sink:
    def feed_audio(self, block, *, rate_hz):
        print("heard", flush=True)
        return True

async def main():
    try:
        await Microphone().stream_to(Sink())
    except live.DeviceLost as error:
        print("lost", error.device)

asyncio.run(main())
"""

PLAY = """
import asyncio
import gemini_live as live
from gemini_live.media import Speaker

async def main():
    try:
        async with Speaker() as speaker:
            speaker.play(bytes(48_000 * 60))
            print("heard", flush=True)
            await speaker.wait_played()
    except live.DeviceLost as error:
        print("lost", error.device)

asyncio.run(main())
"""


@pytest.mark.parametrize("program", [LISTEN, PLAY], ids=["microphone", "loudspeaker"])
async def test_a_sound_device_that_vanishes_is_named_and_nothing_hangs(server, program):
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=server.environment,
    )
    assert await running.stdout.readline() == b"heard\n"
    await asyncio.sleep(0.3)
    server.end()
    out, err = await asyncio.wait_for(running.communicate(), 20)
    assert out.splitlines()[-1] == b"lost default", err.decode()
    assert running.returncode == 0
