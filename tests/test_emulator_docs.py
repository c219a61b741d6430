"""That docs/emulator.md is true: its snippets run, its options and commands exist, its tables are complete."""

import argparse
import ast
import inspect
import re
import shlex
from pathlib import Path

import aiohttp
import pytest

import emulator_client
from emulator_client import talk
from gemini_live import emulator
from gemini_live.emulator import Reply, Rule, When, command
from gemini_live.emulator.control import COMMANDS
from gemini_live.emulator.script import load

no_errors_inside = emulator_client.no_errors_inside

PAGE = (Path(__file__).parent.parent / "docs" / "emulator.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def lines(program):
    return [line for block in blocks("sh") for line in block.splitlines() if line.startswith(program)]


async def test_its_programs_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for toml in blocks("toml"):
        name = re.match(r"# (\S+\.toml)\n", toml)[1]
        (tmp_path / name).write_text(toml)
        load(tmp_path / name)
    space = {}
    programs = blocks("python")
    assert len(programs) >= 8
    for program in programs:
        code = compile(program, "docs/emulator.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        made = eval(code, space)  # noqa: S307 - our own page
        if inspect.iscoroutine(made):
            await made


def test_its_commands_have_these_options():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    found = lines("gemini-live emulator")
    assert len(found) >= 7
    for line in found:
        parser.parse_args(shlex.split(line)[2:])


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
    requests = " ".join(lines("curl"))
    for name in (*COMMANDS, "faults", "ledger"):
        assert f"/_emulator/{name}" in requests
    for struct in (When, Reply):
        for name in struct.__struct_fields__:
            assert f"`{name}`" in PAGE, name
    assert set(Rule.__struct_fields__) == {"when", "reply", "times"}
    for name in emulator.PROFILES:
        assert f"| `{name}` |" in PAGE
