"""``gemini-live completion``: the shells themselves complete with it, where they are installed."""

# ruff: noqa: S603 - the programs that are run are those that are tested

from __future__ import annotations

import shutil
import subprocess

import pytest

from command_line import run

SHELLS = {shell: shutil.which(shell) for shell in ("bash", "zsh", "fish")}


@pytest.fixture
def script(request, tmp_path, capsys):
    code, out, err = run(capsys, "completion", request.param)
    assert (code, err) == (0, "")
    path = tmp_path / "completion"
    path.write_text(out)
    return SHELLS[request.param], path


def needs(*shells):
    return pytest.mark.parametrize(
        "script",
        [pytest.param(shell, marks=pytest.mark.skipif(not SHELLS[shell], reason="not installed")) for shell in shells],
        indirect=True,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_all_commands_and_options_are_in_it(shell, capsys):
    _, out, _ = run(capsys, "completion", shell)
    for word in ("send", "record", "replay", "doctor", "demo", "emulator", "key-file", "headless", "go-away-after"):
        assert word in out


@needs(*SHELLS)
def test_the_shell_takes_it(script):
    shell, path = script
    assert subprocess.run([shell, "-n", path], capture_output=True, check=False).stderr == b""


@needs("bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["do"], {"doctor"}),
        (["send", "--en"], {"--endpoint"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["record", "--audio", ""], {"whole", "hash"}),
        (["emulator", "--profile", "ver"], {"vertex"}),
        (["send", "quest"], {"question.wav"}),
        (["replay", "rec"], {"recording.jsonl"}),
        (["send", "--key-file", "ke"], {"key"}),
    ],
)
def test_bash_completes(script, words, completed, tmp_path):
    shell, path = script
    for name in ("question.wav", "recording.jsonl", "key"):
        (tmp_path / name).touch()
    program = (
        'source "$1"; shift; COMP_WORDS=(gemini-live "$@"); COMP_CWORD=$#;'
        '_shtab_gemini_live; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [shell, "-c", program, "bash", path, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert {*done.stdout.split()} == completed


@needs("fish")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("do", {"doctor"}),
        ("send --en", {"--endpoint"}),
        ("completion ", {"bash", "zsh", "fish"}),
        ("replay rec", {"recording.jsonl"}),
    ],
)
def test_fish_completes(script, line, completed, tmp_path):
    shell, path = script
    (tmp_path / "recording.jsonl").touch()
    done = subprocess.run(
        [shell, "--no-config", "-c", 'source $argv[1]; complete -C "gemini-live $argv[2]"', path, line],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {row.split("\t")[0] for row in done.stdout.splitlines()} == completed
