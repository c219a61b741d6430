"""That docs/command-line.md is true: its commands run, their output is as shown, its tables are complete."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import emulator_client
from command_line import JPEG, closed_port, run, served, tone, wav
from gemini_live.cli import _COMMANDS, parser
from gemini_live.cli.exits import MEANINGS
from test_cli_doctor import NAMES, sound_devices

no_errors_inside = emulator_client.no_errors_inside

PAGE = (Path(__file__).parent.parent / "docs" / "command-line.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands():
    """Each line's part that is ours, without what a shell does about it."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if "gemini-live " in line]
    found = [re.search(r"(?:^|\| )gemini-live (.*?)(?: > .*)?$", line) for line in lines]
    return [match[1] for match in found if match is not None]


def anonymous(text):
    """Without what differs from run to run."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d|\d+(\.\d+)+|:\d+|port \d+", "#", text)


@pytest.fixture(autouse=True)
def in_a_folder_with_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GEMINI_API_KEY", "a key")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setitem(sys.modules, "sounddevice", sound_devices(input="Built-in mic", output="Headphones"))
    wav(tmp_path / "question.wav", tone(0.3))
    wav(tmp_path / "film.wav", tone(0.3))
    (tmp_path / "photo.jpg").write_bytes(JPEG)
    (tmp_path / ".gemini-key").write_text("a key\n")


def write_film(path):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for _ in range(20):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()


def test_its_commands_run_in_order(tmp_path, monkeypatch, capsys):
    """Those that would dial the service dial the emulator instead."""
    write_film(tmp_path / "film.mp4")
    found = commands()
    assert len(found) >= 20
    with served(tls=True) as emu:
        (tmp_path / "ca.pem").write_bytes(emu.ca_pem)
        instead = ["--endpoint", emu.url, "--ca-file", "ca.pem"]
        for line in found:
            words = [word.replace("~", str(tmp_path)) for word in shlex.split(line)]
            if words[0] == "replay" and "--port" in words:
                parser(with_emulator=False).parse_args(words)  # serves until it is told to end; test_cli_recordings
                continue
            if words[0] in ("send", "record", "doctor") and "--emulator" not in words:
                words = [*words[:1], *instead, *words[1:]]
            if "wss://live.example.com" in words:
                words = words[: words.index("wss://live.example.com") - 1]
            if "-" in words:
                monkeypatch.setattr("sys.stdin.read", lambda: "a key\n", raising=False)
            code, _, err = run(capsys, *words)
            assert code == 0, f"{line}: {err}"
    for name in ("answer.wav", "told.wav", "recording.jsonl", "hello.jsonl", "hello.wav", "reply.wav", "heard.wav"):
        assert (tmp_path / name).stat().st_size > 100


def test_what_send_prints(capsys):
    _, out, err = run(capsys, "send", "--emulator", "--text", "Hello")
    assert out + err == blocks("text")[0]


def test_what_json_looks_like(capsys):
    _, out, _ = run(capsys, "send", "--emulator", "--text", "Hello", "--force", "--json")
    got = {line["event"]: line for line in map(json.loads, out.splitlines())}
    assert len(out.splitlines()) == 9  # as the page says
    for shown in json.loads("[" + re.sub(r"}\n{", "},{", blocks("json")[0]) + "]"):
        assert got[shown["event"]] | {"t": 0} == shown | {"t": 0}


def test_what_replay_shows(capsys):
    run(capsys, "record", "--emulator", "--text", "Hello", "--output", "hello.jsonl")
    _, out, _ = run(capsys, "replay", "hello.jsonl", "--show")
    assert anonymous(re.sub(r"(//[^/]*/)\S+", r"\1…", out)) == anonymous(blocks("text")[1])


def test_what_the_doctor_says(monkeypatch, capsys):
    for name in ("WSS_PROXY", "WS_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with closed_port() as port:
        _, out, _ = run(capsys, "doctor", "--endpoint", f"ws://127.0.0.1:{port}")

    def comparable(text):
        text = re.sub(r"^[✓–]  (Python|extras) .*(\n {18}.*)*", r"\1", text, flags=re.MULTILINE)
        return anonymous(text)

    assert comparable(out) == comparable(blocks("text")[2])


def test_its_tables_are_complete():
    for command in _COMMANDS:
        assert re.search(rf"^\| \[`{command.name}`\]\(.*\) \| \w.*\|$", PAGE, re.MULTILINE)
    listed = PAGE[PAGE.index("| check |") : PAGE.index("What cannot be known")]
    for name in NAMES:
        assert re.search(rf"^\|.*\b{name}\b.*\|", listed, re.MULTILINE), name
    codes = PAGE[PAGE.index("## Exit codes") :]
    for code, meaning in MEANINGS.items():
        assert f"| {code.value} | {meaning} |" in codes


def test_its_links_lead_somewhere():
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.*)", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\((.*?)\)", PAGE):
        file, _, heading = target.partition("#")
        assert not file or (Path(__file__).parent.parent / "docs" / file).exists()
        assert not heading or heading in headings
