"""Each example is run as its docstring says, against the emulator."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

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
