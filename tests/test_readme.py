"""The README: its first program's length, and what it prints; and its voice loop where there is no microphone.

`test_pages` runs all of its programs.
"""

from __future__ import annotations

import asyncio

import pytest

import gemini_live as live
from pages import ROOT, Stage, blocks, compiled, run_alone

README = ROOT / "README.md"


def test_the_first_program_is_twelve_lines_and_does_what_it_says(tmp_path):
    program = blocks(README, "python")[0].text
    assert len([line for line in program.splitlines() if line]) == 12
    printed = run_alone(program, tmp_path)
    # the handle comes by a timer of its own, anywhere among the rest
    assert sorted(printed.splitlines()) == sorted(blocks(README, "text")[0].text.splitlines())


class NoMicrophone:
    kind = "audio"

    async def stream_to(self, sink):
        raise live.DeviceError("microphone", "there is none")


class Speaker:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    def follow(self, session):
        return session


async def test_the_voice_loop_says_that_there_is_no_microphone(monkeypatch):
    """And does not wait for ever for what nobody can say."""
    (loop,) = (block for block in blocks(README, "python") if block.section == "A voice loop")
    names = {"asyncio": asyncio, "live": live, "Microphone": NoMicrophone, "Speaker": Speaker}
    async with Stage(names, monkeypatch) as stage:
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(5):
                await eval(compiled(README, loop), stage.space)  # noqa: S307 - our own page
    assert caught.group_contains(live.DeviceError)
