"""That docs/emulator.md is true: its requests are answered, its tables are complete; `test_pages` runs its programs."""

import ast
import inspect
import re
import shlex
import textwrap

import aiohttp
import pytest

import emulator_client
import gemini_live
from emulator_client import DEV, VERTEX, dial, talk
from gemini_live import emulator
from gemini_live.emulator import Reply, Rule, When
from gemini_live.emulator.control import COMMANDS
from pages import ROOT, blocks

no_errors_inside = emulator_client.no_errors_inside

PAGE = ROOT / "docs" / "emulator.md"


def lines(program):
    return [line for block in blocks(PAGE, "sh") for line in block.text.splitlines() if line.startswith(program)]


async def test_its_paths_are_served():
    paths = set(re.findall(r"/ws/[\w./]+", PAGE.read_text(encoding="utf-8")))
    assert paths == {DEV, VERTEX}
    async with emulator.serve() as url:
        for path in paths:
            async with dial(url, path):
                pass


@pytest.mark.parametrize("line", lines("curl"))
async def test_its_requests_are_answered(line):
    words = shlex.split(line)[1:]
    method = "POST" if words[:2] == ["-X", "POST"] else "GET"
    data = words[words.index("-d") + 1] if "-d" in words else None
    (target,) = [word for word in words if word.startswith("localhost:8080/")]
    async with talk() as (emu, _), aiohttp.ClientSession() as http:
        url = emu.url.replace("ws", "http", 1) + target.removeprefix("localhost:8080")
        async with http.request(method, url, data=data) as answer:
            assert answer.status == 200
            assert await answer.json()
        emu.cut()  # one that stalls would not answer the goodbye


def test_nothing_is_left_out():
    page = PAGE.read_text(encoding="utf-8")
    requests = " ".join(lines("curl"))
    for name in (*COMMANDS, "faults", "ledger"):
        assert f"/_emulator/{name}" in requests
    for struct in (When, Reply):
        for name in struct.__struct_fields__:
            assert f"`{name}`" in page, name
    assert set(Rule.__struct_fields__) == {"when", "reply", "times"}
    for name in emulator.PROFILES:
        assert f"| `{name}` |" in page


async def test_the_example_in_the_docstring():
    _, _, rest = inspect.getdoc(emulator.Emulator).partition("::\n")
    program = textwrap.dedent(rest.partition("Attributes:")[0])
    assert "emu.ledger" in program
    code = compile(program, "Emulator", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, {"live": gemini_live, "Emulator": emulator.Emulator})  # noqa: S307 - our own words
