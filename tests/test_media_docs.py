"""That docs/media.md is true: its programs run, against the emulator and devices that are stand-ins."""

from __future__ import annotations

import ast
import asyncio
import re
import tomllib
import wave
from pathlib import Path

import numpy as np
import pytest

import gemini_live as live
from fake_sounddevice import Sounddevice
from gemini_live import emulator, media

cv2 = pytest.importorskip("cv2", reason="needs the extra: gemini-live[devices]")
pytest.importorskip("livekit.rtc", reason="needs the extra: gemini-live[devices]")

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "media.md").read_text(encoding="utf-8")
HUM = (0.25 * np.sin(np.arange(320) / 8)).astype(np.float32)[:, None]


@pytest.fixture
def page():
    """What the page's programs define, run in their order."""
    space = {}
    for program in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(program, "docs/media.md", "exec", dont_inherit=True), space)  # noqa: S102 - our own page
    return space


async def until(condition):
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


async def test_programs_run_as_they_stand(page):
    assert 7_900 < len(page["codes"]) <= 8_000, "a second, less what the resampler holds back"
    assert page["jpeg"].startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize("program", ["talk", "talk_without_headphones", "talk_in_turns"])
async def test_a_voice_loop_hears_and_is_heard(page, monkeypatch, capsys, program):
    sounddevice = Sounddevice(rate_hz=16_000).plug(monkeypatch)
    async with emulator.Emulator(compress_time=True) as server:
        session = await live.connect("gemini-3.8-live", endpoint=server.url, auth="key")
        talking = asyncio.create_task(page[program](session))
        await until(lambda: len(sounddevice.streams) == 2 and all(stream.running for stream in sounddevice.streams))
        speaker, microphone = sounddevice.streams
        heard = []
        for number in range(400):
            await asyncio.to_thread(microphone.hear, HUM if number < 40 else 0 * HUM)
            heard.append(await asyncio.to_thread(speaker.play))
            await asyncio.sleep(0)
            if np.abs(heard[-1]).max() > 1_000:
                break
        assert np.abs(heard[-1]).max() > 1_000, "the answer never came out of the loudspeaker"
        await session.close()
        await until(lambda: microphone.closed or microphone.hear(HUM))
        async with asyncio.timeout(10):
            await talking


async def test_sources_of_pictures_are_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    writer.write(np.full((48, 64, 3), 99, np.uint8))
    writer.release()
    async with emulator.Emulator() as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="key") as session:
            for name in ("Camera", "Screen"):
                monkeypatch.setitem(page, name, lambda **_: media.VideoFileSource("clip.avi"))
            await page["show"](session)
            await page["film"](session, [np.full((48, 64, 3), shade, np.uint8) for shade in (10, 20, 30)])
        log = server.ledger.sessions[0].log
        assert log.counts["video"] >= 2
        assert [entry.kind for entry in log.entries][-2:] == ["video", "text"]


async def test_what_is_said_arrives(page, tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(3_200))
    async with emulator.Emulator() as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="key") as session:
            await page["say"](session, tmp_path / "a.wav")
            await page["from_the_line"](session, b"\xff" * 800)
            await page["hum"](session)
        heard = server.ledger.sessions[0]
        assert heard.audio_samples == pytest.approx(1_600 + 1_600 + 16_000, abs=1)
        assert heard.log.counts["audio_stream_end"] == 2


async def test_after_a_lost_microphone_comes_the_next_one(page, monkeypatch, capsys):
    sounddevice = Sounddevice(rate_hz=16_000).plug(monkeypatch)
    async with emulator.serve() as url:
        session = await live.connect("gemini-3.8-live", endpoint=url, auth="key")
        talking = asyncio.create_task(page["talk_whatever_happens"](session, ["USB", "nobody has one", None]))
        for number in (1, 2):
            await until(lambda: len(sounddevice.streams) == number and sounddevice.streams[-1].running)  # noqa: B023
            sounddevice.streams[-1].hear(HUM)
            if number == 1:
                sounddevice.streams[-1].unplug()
        await session.close()
        sounddevice.streams[-1].hear(HUM)
        async with asyncio.timeout(10):
            await talking
    out = capsys.readouterr().out
    assert "USB input: has stopped" in out
    assert "nobody has one" in out


async def test_without_any_microphone_it_does_not_try_for_ever(page, monkeypatch):
    Sounddevice().plug(monkeypatch)
    async with emulator.serve() as url, live.connect("gemini-3.8-live", endpoint=url, auth="key") as session:
        with pytest.raises(LookupError):
            await asyncio.wait_for(page["talk_whatever_happens"](session, ["no such device"]), 10)


def test_every_name_and_every_extra_is_on_the_page():
    for name in set(media.__all__) - {"PlayerStats", "Sink", "WavFormat"}:  # types of what others give
        assert re.search(rf"\b{name}\b", PAGE), name
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = set(re.findall(r"gemini-live\[(\w+)\]", PAGE))
    assert named == {"audio", "video", "camera", "screen", "echo", "devices"}
    assert named <= set(extras)


def test_names_that_the_page_uses_exist():
    programs = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    for node in ast.walk(ast.parse(programs)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "live":
            assert hasattr(live, node.attr), node.attr
