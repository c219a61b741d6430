"""A voice activity detector of one's own, in the place of the service's: here the simplest there is, by loudness.

python examples/energy_vad.py speech.wav [--endpoint ws://…]

The file has 16-bit samples, of any rate from 8 kHz on and any number of channels.
"""

import argparse
import asyncio
import sys
import wave

import numpy as np
import numpy.typing as npt

import gemini_live as live

MANUAL = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}


class Loudness:
    """Somebody speaks where it is 12 dB louder than the quietest that was lately heard, and louder than a whisper."""

    def __init__(self) -> None:
        self._floor = 1_000.0

    def __call__(self, chunk: npt.NDArray[np.int16], /) -> bool:
        """Judge 20 ms."""
        level = float(np.sqrt(np.mean(np.square(chunk, dtype=np.float64))))
        self._floor = min(self._floor * 1.01 + 0.1, max(level, 10.0))  # it rises slowly, and falls at once
        return level > max(4 * self._floor, 100)


async def main(path: str, endpoint: str | None) -> None:
    """Play a file to the session, ten times as fast as it is, and say what becomes of it."""
    policy = live.SpeechPolicy(detector=Loudness(), preroll_ms=200, hangover_ms=400)
    with wave.open(path) as file:
        if file.getsampwidth() != 2:
            sys.exit(f"{path} has no 16-bit samples: ffmpeg -i {path} -c:a pcm_s16le speech.wav")
        rate_hz = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
    async with live.connect("gemini-3.8-live", MANUAL, speech=policy, endpoint=endpoint) as session:
        for start in range(0, len(samples), rate_hz // 50):
            await session.send_audio(samples[start : start + rate_hz // 50], rate_hz=rate_hz)
            await asyncio.sleep(0.002)
    said, none = session.stats.by_kind, live.KindStats()  # now: the end also ends what was being said
    chunks, activities = said.get("audio", none).accepted, said.get("activity_end", none).accepted
    sys.stdout.write(f"{activities} activities, {chunks * 0.02:.2f} of {len(samples) / rate_hz:.2f} s sent\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wav")
    parser.add_argument("--endpoint")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.wav, arguments.endpoint))
