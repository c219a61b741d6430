"""docs/coming-from-google-genai.md: our snippets run on the emulator, theirs compile and name what exists."""

from __future__ import annotations

import ast
import contextlib
import re
import types
from pathlib import Path

import msgspec
import numpy as np
import pytest

import gemini_live as live
from gemini_live import emulator

PAGE = (Path(__file__).parent.parent / "docs" / "coming-from-google-genai.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)


def blocks(kind):
    return [
        pytest.param(program, id=f"{title} {index}")
        for title, text in SECTIONS
        for index, program in enumerate(re.findall(rf"^```python {kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    ]


OURS, VERTEX, THEIRS = blocks("ours"), blocks("ours vertex"), blocks("theirs")


def compiled(program):
    return compile(program, "coming-from-google-genai.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


class Speaker:
    def __init__(self):
        self.played = 0

    def play(self, pcm):
        self.played += len(pcm)

    def flush(self):
        pass


def package_for(emu):
    """The package, as if the emulator were the service and the key stood in the environment."""

    def here(options):
        endpoint = options.get("endpoint") or live.GeminiApi()
        options["endpoint"] = msgspec.structs.replace(endpoint, base_url=emu.url)
        return {"auth": "key", **options}

    names = {name: getattr(live, name) for name in live.__all__}
    package = types.SimpleNamespace(**names)
    package.connect = lambda *args, **options: live.connect(*args, **here(options))
    package.mint_token = lambda *args, **options: live.mint_token(*args, **here(options))
    return package


async def run(program, *, surface, session_of=None):
    async with emulator.Emulator(profile=surface, compress_time=True) as emu, contextlib.AsyncExitStack() as stack:
        package = package_for(emu)
        space = {
            "live": package,
            "pcm": bytes(640),
            "stereo": np.zeros((960, 2), np.float32),
            "jpeg": b"\xff\xd8\xff\xe0",
            "speaker": Speaker(),
        }
        if "connect(" not in program and "live.Setup(" not in program:
            space["session"] = session = await stack.enter_async_context(package.connect("gemini-3.8-live"))
            if "async for" in program:
                await session.send_text("Say something.")
        await eval(compiled(program.replace("import gemini_live as live\n", "")), space)  # noqa: S307 - our own page
        if "speaker" in program:
            assert space["speaker"].played > 0
        return emu


@pytest.mark.parametrize("program", OURS)
async def test_our_snippets_run(program):
    await run(program, surface="3.8")


@pytest.mark.parametrize("program", VERTEX)
async def test_our_snippets_for_vertex_ai_run(program):
    await run(program.replace("ya29…", "ya29.made-up"), surface="vertex")


@pytest.mark.parametrize("program", THEIRS)
def test_their_snippets_compile_and_name_what_exists(program):
    tree = ast.parse(program)
    compiled(program)
    sdk = pytest.importorskip("google.genai.types", reason="google-genai is not installed")
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "types"
        ):
            fields = getattr(sdk, node.func.attr).model_fields
            assert {keyword.arg for keyword in node.keywords} <= set(fields)


def test_every_subject_has_both():
    for title, text in SECTIONS:
        if title != "What is different":
            assert "```python theirs" in text, title
            assert "```python ours" in text, title
    assert len(SECTIONS) == 13
    assert len(OURS) + len(VERTEX) >= 14


def test_names_on_the_page_exist():
    for name in re.findall(r"`live\.(\w+)", PAGE):
        assert hasattr(live, name)
