"""Every program and every command on every page is run, or held against what it names; `pages.py` says how."""

from __future__ import annotations

import argparse
import ast
import asyncio
import codeop
import re
import shlex
import subprocess
import sys
import threading
import time
import tomllib
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import trustme

from gemini_live import media
from gemini_live.cli import parser
from gemini_live.emulator import Faults
from gemini_live.emulator.script import load
from pages import ROOT, Block, Stage, blocks, compiled, pages

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


class SoundDevice:
    """In place of sounddevice: a card whose callbacks come from a thread of its own."""

    class InputStream:
        block = staticmethod(lambda: np.full((480, 1), 0.5, np.float32))

        def __init__(self, rate_hz, *, channels, dtype, callback):
            self.ended = threading.Event()
            self.thread = threading.Thread(target=self.run, args=(callback,))

        def run(self, callback):
            for number in range(400):
                block = self.block()
                if number > 100:
                    block[:] = 0  # and silence, which ends the speech
                callback(block, 480, None, None)
                if self.ended.wait(0.001):
                    return

        def __enter__(self):
            self.thread.start()

        def __exit__(self, *error):
            self.ended.set()
            self.thread.join()

    class OutputStream(InputStream):
        block = staticmethod(lambda: np.zeros((480, 1), np.int16))


def camera(_index):
    """In place of cv2.VideoCapture: a camera that sees the same all day, at 100 frames a second."""

    def read():
        time.sleep(0.01)
        return True, np.zeros((48, 64, 3), np.uint8)

    return SimpleNamespace(read=read, release=lambda: None)


class Speaker:
    """In place of `media.Speaker`, for whoever has no loudspeaker."""

    played_ms = 0.0

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        pass

    async def follow(self, session):
        async for event in session:
            yield event


class Microphone:
    """In place of `media.Microphone`: it hears a text."""

    kind = "audio"

    async def stream_to(self, sink):
        await sink.send_text("Hello!")


class Caller:
    """Somebody on the telephone, who says something, listens to the answer, and hangs up."""

    def __init__(self):
        self.heard, self.over, self.answered = 0, False, asyncio.Event()
        self.blocks = self.flushed = 0

    def next_block(self):
        self.blocks += 1
        return np.full(160, 8_000 if self.blocks < 50 else 0, np.int16)  # a second of speech, then silence

    def play(self, pcm):
        self.heard += len(pcm)
        self.answered.set()

    def flush(self):
        self.flushed += 1

    def hang_up(self):
        self.over = True

    async def __aiter__(self):
        for number in range(150):
            yield bytes(np.full(160, 8_000 if number < 50 else 0, np.int16))  # a second of speech, two of silence
        await self.answered.wait()


WEATHER = """
[[rule]]
when = { text = "weather" }
reply = [{ tool_call = { name = "get_weather", args = { city = "Paris" }, blocking = true } }, { say = "Sunny." }]

[[rule]]
when = { text = "pizza" }
reply = [{ tool_call = { name = "order", args = { item = "pizza" } } }]
"""
# What a page's reader has, and what the service says to that page.
NAMES = {
    "docs/camera.md": {"SimpleNamespace": SimpleNamespace, "Mock": Mock},
    "docs/many-sessions.md": {"Caller": Caller, "Faults": Faults},
    "README.md": {"Speaker": Speaker, "Microphone": Microphone},
}
# What a page defines and leaves to its reader to call.
AFTERWARDS = {
    "docs/camera.md": """
await watch_for_hours(cv2.VideoCapture(0))
for session in stage.emulator.ledger.sessions:
    shown = [entry.kind for entry in session.log.entries if entry.kind in ("video", "text")]
    assert shown[:2] == ["video", "text"], "asked before anything was shown"
    assert session.answers == 1
fails = SimpleNamespace(read=Mock(side_effect=[cv2.VideoCapture(0).read(), (False, None)]))
try:
    await watch_for_hours(fails)
except* OSError:
    pass
else:
    raise AssertionError("nobody noticed that the camera gives nothing any more")
camera = SimpleNamespace(stop=Mock())
async with live.connect("gemini-3.8-live") as session:
    arrived(session, camera, b"\\xff\\xd8\\xff\\xe0")
    assert not camera.stop.called
arrived(session, camera, b"\\xff\\xd8\\xff\\xe0")
assert camera.stop.called
""",
    "docs/many-sessions.md": """
callers = [Caller(), Caller()]
await asyncio.wait_for(serve(callers), 10)
assert all(caller.heard and caller.over for caller in callers)
stage.emulator.faults = Faults(max_connections=1)
callers = [Caller(), Caller()]
await asyncio.wait_for(serve(callers), 10)
assert sum(bool(caller.heard) for caller in callers) == 1, "a call that failed ended another one"
assert all(caller.over for caller in callers)
stage.emulator.faults = Faults()
await (await open_one()).close()
caller = Caller()
async with live.connect(SETUP) as session, asyncio.timeout(10):
    calls = [(session, session.events(), caller)]
    while not caller.heard:
        tick(calls)
        await asyncio.sleep(0.001)
    stage.emulator.interrupt()
    while not caller.flushed:
        tick(calls)
        await asyncio.sleep(0.001)
""",
    "docs/handing-over.md": """
import os
import stat

session = await live.connect("gemini-3.8-live")
await session.send_text("My name is Ada.")
async for event in session:
    if isinstance(event, live.TurnComplete):
        break
await leave(session, store)
if os.name == "posix":
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
session = await go_on_in_french(store)
assert not session.stats.reconnects
await session.close()
""",
    "docs/microphone.md": """
import numpy as np

player = Player()
async with live.connect("gemini-3.8-live", PUSH_TO_TALK) as session:
    await push_to_talk(session, player, np.full(16_000, 8_000, np.int16))
assert player.queued_s > 0.5, "the answer was not waited for"
async with live.connect("gemini-3.8-live") as session:
    await paused(session)
""",
    "docs/proxies-and-vertex.md": """
await token_for_a_browser()
await with_our_own_authority()
await over_a_slow_line()
""",
}
# What lies in the folder of its reader.
FILES = {"docs/proxies-and-vertex.md": {"company.pem": trustme.CA().cert_pem.bytes()}}
OPTIONS = {"docs/tools.md": {"script": WEATHER}}


def stage(page, monkeypatch, **options):
    name = str(page.relative_to(ROOT))
    return Stage(NAMES.get(name, {}), monkeypatch, **OPTIONS.get(name, {}), **options)


@pytest.mark.parametrize("page", PAGES)
async def test_the_programs_of_a_page_run_in_order(page, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sounddevice", SoundDevice)
    monkeypatch.setattr(media, "Microphone", Microphone)
    monkeypatch.setattr(media, "Speaker", Speaker)
    text = page.read_text(encoding="utf-8")
    if "import cv2" in text or "Jpeg(" in text:
        monkeypatch.setattr(pytest.importorskip("cv2", reason="no picture without it"), "VideoCapture", camera)
    for name, content in FILES.get(str(page.relative_to(ROOT)), {}).items():
        (tmp_path / name).write_bytes(content)
    for block in blocks(page, "toml"):
        name = re.match(r"# (\S+\.toml)\n", block.text)[1]
        (tmp_path / name).write_text(block.text, encoding="utf-8")
        load(tmp_path / name)
    async with stage(page, monkeypatch) as around:
        for block in blocks(page, "python", ""):
            await around.run(page, block, tmp_path)
            if (shown := printed_below(page, block)) is not None:
                assert capsys.readouterr().out == shown, block.line
            capsys.readouterr()
        if program := AFTERWARDS.get(str(page.relative_to(ROOT))):
            around.space["stage"] = around
            await around.run(page, Block("python", "", program, 0, "afterwards"), tmp_path)


def printed_below(page, program):
    """The output that a page shows right below a program, but for whole programs, which have tests of their own."""
    ends = program.line + program.text.count("\n") + 1
    outputs = [block for block in blocks(page, "text") if block.line == ends + 2]
    return outputs[0].text if outputs and "asyncio.run(" not in program.text else None


@pytest.mark.parametrize("page", PAGES)
def test_the_tests_of_a_page_pass(page, tmp_path):
    files = [block for block in blocks(page, "python") if block.kind.endswith(".py")]
    for block in files:
        (tmp_path / block.kind).write_text(block.text, encoding="utf-8")
    for block in blocks(page, "ini"):
        (tmp_path / re.match(r"# (\S+\.ini)\n", block.text)[1]).write_text(block.text, encoding="utf-8")
    if not any(block.kind.startswith("test_") for block in files):
        return
    run = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "pytest",
            "-q",
            "--strict-markers",
            "-o",
            "asyncio_default_fixture_loop_scope=function",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=25,
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_program_is_of_a_kind_that_is_run(page):
    for block in blocks(page, "python"):
        compiled(page, block)
        assert block.kind in {"", "theirs", "ours", "ours vertex"} or block.kind.endswith(".py"), block
    for block in blocks(page, "py"):
        pytest.fail(f"line {block.line}: a program is marked python, so that it is run")


PASTED = [
    pytest.param(page, id=str(page.relative_to(ROOT)))
    for page in pages()
    if "`python -m asyncio`" in page.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("page", PASTED)
def test_what_is_pasted_into_a_prompt_is_taken_line_by_line(page):
    """A prompt ends a block at its first empty line, and only there."""
    taken = codeop.CommandCompiler()
    taken.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for block in blocks(page, "python", ""):
        if "asyncio.run(" in block.text:
            continue  # a program that is started
        entered = []
        for number, line in enumerate([*block.text.splitlines(), ""], block.line + 1):
            entered.append(line)
            try:
                if taken("\n".join(entered), "<prompt>", "single") is not None:
                    entered.clear()
            except SyntaxError as error:
                pytest.fail(f"line {number}: {error.msg}")
        assert not entered, f"the program of line {block.line} is never complete"


# --- commands --------------------------------------------------------------------------------------------------------


def commands():
    for page in pages():
        for block in [*blocks(page, "sh"), *blocks(page, "console"), *blocks(page, "bash")]:
            for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
                if line.strip() and not line.startswith("#"):
                    yield pytest.param(line.strip(), id=f"{page.relative_to(ROOT)}:{block.line} {line.strip()[:40]}")


@pytest.mark.parametrize("line", list(commands()))
def test_a_command_names_what_exists(line):
    if ours := re.search(r"(?:^|\| )gemini-live ([^>|&]*)", line):
        parses(shlex.split(ours[1], comments=True))
        return
    words = shlex.split(line, comments=True)
    while "=" in words[0]:  # a variable for this command
        words.pop(0)
    match words:
        case ["pip" | "python" | "python3", *rest] if "install" in rest:
            for word in rest:
                if extras := re.match(r"gemini-live\[(.*)\]", word):
                    assert set(extras[1].split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
        case ["make", *rest]:
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            for word in rest:
                assert "=" in word or re.search(rf"^{word}:", makefile, re.MULTILINE), f"make {word}"
        case ["python" | ".venv/bin/python" | "pytest" | ".venv/bin/pytest", *rest]:
            named(rest)
        case ["curl", *_]:
            pass  # asked by tests/test_emulator_docs.py
        case ["git" | "cd" | "export" | "cargo" | "source" | "mkdir", *_]:
            pass
        case _:
            pytest.fail(f"nobody holds this command against anything: {line}")


def parses(arguments):
    """The command line takes these arguments; what it would do is for its own tests."""
    if "--help" in arguments or "--version" in arguments:
        return
    try:
        parser(with_emulator=True).parse_args(arguments)
    except (SystemExit, argparse.ArgumentError):
        pytest.fail(f"gemini-live does not take {arguments}")


def named(rest):
    """The modules and the files of a command are there."""
    if rest[:1] == ["-m"]:
        place = ROOT / rest[1].replace(".", "/")
        candidates = [place.with_suffix(".py"), place, ROOT / "tests" / rest[1]]
        assert any(one.exists() for one in candidates) or rest[1] in {"asyncio", "pip", "venv", "pytest"}, rest
    elif rest and rest[0].endswith(".py"):
        assert (ROOT / rest[0]).exists() or "/" not in rest[0], rest


def test_all_is_looked_at():
    """A test that finds nothing passes for ever."""
    found = {str(page.relative_to(ROOT)) for page in pages() if blocks(page, "python")}
    assert {"README.md", "docs/emulator.md", "docs/tools.md", "docs/testing-your-app.md"} <= found
    assert len(list(commands())) >= 20
