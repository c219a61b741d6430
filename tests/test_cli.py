"""The command line: what it says, what it returns, what it does without its extras."""

# ruff: noqa: S603 - the programs that are run are those that are tested

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gemini_live as live
from gemini_live.cli import main

COMMAND = [sys.executable, "-W", "error", "-X", "dev", "-m", "gemini_live"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def test_version_is_that_of_the_crate(capsys):
    crate = tomllib.loads((Path(__file__).parent.parent / "Cargo.toml").read_text())
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gemini-live {crate['package']['version']}\n"


def test_the_module_is_the_command(capsys):
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=False)
    assert main(["--version"]) == 0
    assert (done.returncode, done.stdout, done.stderr) == (0, capsys.readouterr().out, "")


@pytest.mark.parametrize("command", [[], ["demo"], ["emulator"]])
def test_help_teaches(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "\nexamples:\n  gemini-live " in out
    assert "\nexit codes:\n  0 " in out
    assert max(map(len, out[out.index("\nexamples:") :].splitlines())) <= 80


def test_help_is_quick_because_it_needs_no_extra():
    program = (
        "import sys; from gemini_live.cli import main; main(['--help']); main(['demo', '--help']);"
        "sys.exit(not {'rich', 'soxr', 'trustme', 'pybase64', 'gemini_live.emulator'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "arguments", [[], ["sing"], ["demo", "--loud"], ["demo", "--wav"], ["emulator", "--port", "x"]]
)
def test_bad_usage_is_2(arguments, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: gemini-live")


@pytest.mark.parametrize(
    ("command", "extra"),
    [("demo", "rich"), *itertools.product(["demo", "emulator"], ["soxr", "pybase64", "trustme"])],
)
def test_a_missing_extra_is_named_with_its_mend(command, extra, monkeypatch, capsys):
    for module in [
        name for name in sys.modules if name.startswith(("gemini_live.demo", "gemini_live.emulator", extra))
    ]:
        monkeypatch.delitem(sys.modules, module)
    for parent, child in ((live, "demo"), (live, "emulator")):
        monkeypatch.delattr(parent, child, raising=False)
    monkeypatch.setitem(sys.modules, extra, None)
    assert main([command]) == 2
    assert capsys.readouterr() == ("", f'gemini-live: {extra} is not installed; pip install "gemini-live[cli]"\n')


def test_another_missing_module_is_not_disguised(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("gemini_live.demo")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "wave", None)
    with pytest.raises(ModuleNotFoundError, match="wave"):
        main(["demo"])


@posix
def test_a_reader_that_has_seen_enough(tmp_path):
    with subprocess.Popen(
        [*COMMAND, "demo", "--fast"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@posix
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_the_emulator_serves_until_it_is_told_to_stop(ending):
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("emulator", "--port", "0", "--compress-time"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    url = (await process.stdout.readline()).decode().strip()
    assert url.startswith("ws://127.0.0.1:")
    async with live.connect("gemini-3.8-live", endpoint=url, auth="any key") as session:
        await session.send_text("hello")
        async for event in session:
            if isinstance(event, live.TurnComplete):
                break
    process.send_signal(ending)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
