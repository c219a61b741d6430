"""Each example is run as its docstring says, against the emulator."""

from __future__ import annotations

import asyncio
import os
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from conftest import without_slow_callbacks
from gemini_live import emulator

EXAMPLES = Path(__file__).parent.parent / "examples"


async def start(name, *arguments, **environment):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-X",
        "dev",
        EXAMPLES / name,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "GEMINI_API_KEY": "any", **environment},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a program could handle")
async def test_handover_goes_on_with_the_same_sessions_after_sigterm(tmp_path):
    async with emulator.Emulator(compress_time=True) as server:
        arguments = ("--sessions", "20", "--state", str(tmp_path / "state"), "--endpoint", server.url)
        first = await start("handover.py", *arguments)
        assert await first.stdout.readline() == b"0 resumed, 20 new\n"
        first.terminate()
        out, err = await first.communicate()
        assert (out, without_slow_callbacks(err.decode()), first.returncode) == (b"20 handed over\n", "", 0)

        second = await start("handover.py", *arguments)
        assert await second.stdout.readline() == b"20 resumed, 0 new\n"
        second.terminate()
        await second.communicate()
        assert len(server.ledger.sessions) == 20


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a program could handle")
async def test_handover_keeps_what_could_not_be_resumed_just_now(tmp_path):
    state = tmp_path / "state"
    async with emulator.Emulator(compress_time=True) as server:
        arguments = ("--sessions", "2", "--state", str(state), "--endpoint", server.url)
        for faults, began, ended in (
            (emulator.Faults(), b"0 resumed, 2 new\n", b"2 handed over\n"),
            (emulator.Faults(http_status=503, connections=2), b"0 resumed, 2 new\n", b"2 handed over\n"),
            (emulator.Faults(), b"4 resumed, 0 new\n", b"4 handed over\n"),
        ):
            server.faults = faults
            run = await start("handover.py", *arguments)
            assert await run.stdout.readline() == began
            run.terminate()
            out, err = await run.communicate()
            assert (out, run.returncode, err.count(b"next start")) == (ended, 0, faults.connections or 0)
        assert len(server.ledger.sessions) == 4
    assert {file.stat().st_mode & 0o777 for file in state.iterdir()} == {0o600}


async def test_energy_vad_sends_what_is_said_with_what_was_just_before(tmp_path):
    """Two words of 300 ms in two seconds of noise: each with 200 ms of pre-roll and 400 ms of hang-over, which meet."""
    noise = np.random.default_rng(5)
    speech = noise.normal(0, 20, 32_000)
    for began in (8_000, 20_800):
        speech[began : began + 4_800] += 6_000 * np.sin(np.arange(4_800) / 6)
    with wave.open(str(tmp_path / "words.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(speech.astype("<i2").tobytes())
    async with emulator.Emulator(compress_time=True) as server:
        run = await start("energy_vad.py", str(tmp_path / "words.wav"), "--endpoint", server.url)
        out, err = await run.communicate()
        told = (out, without_slow_callbacks(err.decode()), run.returncode)
        assert told == (b"2 activities, 1.70 of 2.00 s sent\n", "", 0)
        (session,) = server.ledger.sessions
        assert len(session.audio) == 27_200
        assert np.abs(session.audio[:3_200]).max() < 200
        assert np.abs(session.audio[3_200:3_520]).max() > 5_000


@pytest.mark.parametrize(
    ("loud", "told"),
    [
        (slice(16_000, 32_000), b"1 activities, 1.20 of 2.00 s sent\n"),  # to the end, with 200 ms of pre-roll
        (slice(0), b"0 activities, 0.00 of 2.00 s sent\n"),
    ],
    ids=["to the end", "silence"],
)
async def test_energy_vad_takes_a_file_as_it_is_found(tmp_path, loud, told):
    """Two channels, and nothing behind the last word, or no word at all."""
    speech = np.zeros((32_000, 2))
    speech[loud] = 6_000 * np.sin(np.arange(len(speech[loud])) / 6)[:, np.newaxis]
    with wave.open(str(tmp_path / "words.wav"), "wb") as file:
        file.setparams((2, 2, 16_000, 0, "NONE", ""))
        file.writeframes(speech.astype("<i2").tobytes())
    async with emulator.Emulator(compress_time=True) as server:
        run = await start("energy_vad.py", str(tmp_path / "words.wav"), "--endpoint", server.url)
        out, err = await run.communicate()
    assert (out, without_slow_callbacks(err.decode()), run.returncode) == (told, "", 0)
