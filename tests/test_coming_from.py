"""docs/coming-from-google-genai.md: our snippets run on the emulator, theirs compile and name what exists."""

from __future__ import annotations

import ast
import dataclasses
import re

import numpy as np
import pytest

import gemini_live as live
import pages
from pages import ROOT

PAGE = ROOT / "docs" / "coming-from-google-genai.md"
SECTIONS = list(dict.fromkeys(block.section for block in pages.blocks(PAGE, "python")))


def programs(kind):
    return [pytest.param(block, id=f"{block.section} {block.line}") for block in pages.blocks(PAGE, "python", kind)]


OURS, VERTEX, THEIRS = programs("ours"), programs("ours vertex"), programs("theirs")


class Speaker:
    def __init__(self):
        self.played = 0

    def play(self, pcm):
        self.played += len(pcm)

    def flush(self):
        pass


async def run(block, monkeypatch, *, surface):
    names = {
        "live": live,
        "pcm": bytes(640),
        "stereo": np.zeros((960, 2), np.float32),
        "jpeg": b"\xff\xd8\xff\xe0",
        "speaker": Speaker(),
    }
    async with pages.Stage(names, monkeypatch, profile=surface) as stage:
        if "connect(" not in block.text and "live.Setup(" not in block.text:
            stage.space["session"] = session = await live.connect("gemini-3.8-live")
            if "async for" in block.text:
                await session.send_text("Say something.")
        await stage.run(PAGE, block, ROOT)
        if "speaker" in block.text:
            assert names["speaker"].played > 0


@pytest.mark.parametrize("block", OURS)
async def test_our_snippets_run(block, monkeypatch):
    await run(block, monkeypatch, surface="3.8")


@pytest.mark.parametrize("block", VERTEX)
async def test_our_snippets_for_vertex_ai_run(block, monkeypatch):
    text = block.text.replace("ya29…", "ya29.made-up")
    await run(dataclasses.replace(block, text=text), monkeypatch, surface="vertex")


@pytest.mark.parametrize("block", THEIRS)
def test_their_snippets_name_what_exists(block):
    tree = ast.parse(block.text)
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
    for title in SECTIONS:
        kinds = {block.kind.split()[0] for block in pages.blocks(PAGE, "python") if block.section == title}
        assert kinds == {"theirs", "ours"}, title
    assert len(SECTIONS) == 12
    assert len(OURS) + len(VERTEX) >= 14


def test_names_on_the_page_exist():
    for name in re.findall(r"`live\.(\w+)", PAGE.read_text(encoding="utf-8")):
        assert hasattr(live, name)


def test_every_field_of_their_messages_has_its_row():
    sdk = pytest.importorskip("google.genai.types", reason="google-genai is not installed")
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("What their message holds") : page.index("## Tools")]
    named = set(re.findall(r"`(?:message|part|server_content)?\.?([a-z_]+)`", table))
    fields = {*sdk.LiveServerContent.model_fields, *sdk.LiveServerMessage.model_fields}
    assert named <= {*fields, *sdk.Part.model_fields, "data"}
    assert fields - named == {"server_content", "model_turn"}  # which hold the others


def test_every_method_of_their_session_has_its_row():
    sdk = pytest.importorskip("google.genai.live", reason="google-genai is not installed")
    page = PAGE.read_text(encoding="utf-8")
    table = page[: page.index("## Connect")]
    methods = {name for name in vars(sdk.AsyncSession) if not name.startswith("_")}
    named = {name for name in methods if re.search(rf"\b{name}\(", table)}
    assert methods - named == {"send", "start_stream"}  # deprecated there
