"""The demo, as its user meets it: the account, the files, the screen, and Ctrl-C."""

# ruff: noqa: S603 - the programs that are run are those that are tested

from __future__ import annotations

import importlib.resources
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest

from command_line import in_terminal, wav
from conftest import without_slow_callbacks
from gemini_live.cli import main
from gemini_live.demo.report import report_on
from gemini_live.demo.sabotage import sentences_in
from gemini_live.demo.scene import Scene
from gemini_live.demo.wav import read_speech
from gemini_live.emulator import Ledger

if TYPE_CHECKING:
    from pathlib import Path

SPEECH = read_speech(importlib.resources.files("gemini_live.demo") / "speech.wav")
DEMO = [sys.executable, "-W", "error", "-X", "dev", "-m", "gemini_live", "demo"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")


def write_wav(path: Path, data: bytes, *, width: int = 2, channels: int = 1, rate_hz: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate_hz, 0, "NONE", ""))
        file.writeframes(data)
    return path


def demo(*arguments: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    code = main(["demo", "--fast", "--json", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert err == ""
    return code, json.loads(out)


# --- the shipped speech ---


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run([*DEMO, "--fast", "--json"], cwd=folder, capture_output=True, text=True, check=False)
    return done, json.loads(done.stdout), folder / "reply.wav"


def test_nothing_is_lost(played):
    done, account, _ = played
    assert (done.returncode, without_slow_callbacks(done.stderr)) == (0, "")
    assert account["ok"]
    assert account["problems"] == []
    assert account["reconnects"] == 2
    chunks = account["chunks"]
    assert chunks["accepted"] == chunks["acknowledged"] == -(-len(SPEECH.samples) // 320) + 1  # and the stream's end
    assert chunks["waiting"] == chunks["written"] == chunks["expired"] == chunks["uncertain"] == 0
    assert chunks["replayed"] > 0


def test_the_emulator_heard_every_sample_once_and_in_order(played):
    heard = played[1]["heard"]
    assert heard["equal"]
    assert heard["first_difference"] is None
    assert heard["samples_heard"] == heard["samples_sent"] == len(SPEECH.samples)
    assert (heard["sessions"], heard["connections"]) == (1, 3)


def test_every_sentence_is_answered(played):
    account = played[1]
    assert account["turns"] == {"spoken": 4, "heard": 4, "answered": 4}
    assert account["events"]["TurnComplete"] == 4
    assert account["events"]["GoAway"] == 1
    assert account["events"]["Reconnected"] == 2


def test_the_reply_is_what_was_said(played):
    _, account, path = played
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        reply = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    sentences = sentences_in(SPEECH)
    spoken_s = sum(one.end - one.start for one in sentences) / 16_000
    assert account["reply_s"] == pytest.approx(len(reply) / 24_000, abs=1e-3)
    assert spoken_s <= len(reply) / 24_000 < spoken_s + 0.02 * len(sentences)
    at_16_khz = np.interp(np.arange(len(reply) * 2 // 3) * 1.5, np.arange(len(reply)), reply)
    place = 0
    for sentence in sentences:
        said = SPEECH.mono[sentence.start - 320 : sentence.end + 320].astype(float)
        answered = at_16_khz[place : place + sentence.end - sentence.start]
        place += -(-(sentence.end - sentence.start) // 320) * 320
        likeness = np.correlate(said, answered, "valid") / np.linalg.norm(answered) / np.linalg.norm(said)
        assert likeness.max() > 0.95


def test_the_shipped_speech_is_small_and_has_pauses():
    assert len(SPEECH.samples) * 2 < 300_000
    sentences = sentences_in(SPEECH)
    assert len(sentences) == 4
    assert all((b.start - a.end) / 16_000 > 0.9 for a, b in itertools.pairwise(sentences))


# --- speech of one's own ---


@pytest.mark.parametrize(
    "form",
    [(1, 2, 1, 16_000), (2, 1, 1, 11_025), (2, 3, 2, 44_100), (3, 4, 1, 48_000), (1, 2, 3, 22_050)],
)
def test_any_pcm_arrives_as_it_should(form, tmp_path, capsys):
    sentences, width, channels, rate_hz = form
    samples = SPEECH.mono[: sentences_in(SPEECH)[sentences - 1].end].astype(float)
    at = np.arange(len(samples) * rate_hz // 16_000) * 16_000 / rate_hz
    speech = np.interp(at, np.arange(len(samples)), samples) / 32_768
    # every channel another voice, so that a swap or a sum would show
    voices = np.stack([speech * (1 - 0.3 * channel) for channel in range(channels)], axis=1)
    ints = np.clip(np.round(voices * 2 ** (8 * width - 1)), -(2 ** (8 * width - 1)), 2 ** (8 * width - 1) - 1)
    if width == 1:
        data = (ints + 128).astype(np.uint8).tobytes()
    else:
        data = ints.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
    path = write_wav(tmp_path / "me.wav", data, width=width, channels=channels, rate_hz=rate_hz)
    code, account = demo("--wav", path, "--out", tmp_path / "answer.wav", capsys=capsys)
    assert code == 0, account["problems"]
    assert account["reconnects"] == 2
    assert account["heard"]["samples_heard"] == pytest.approx(len(speech) * 16_000 / rate_hz, abs=1)
    assert account["turns"] == {"spoken": sentences, "heard": sentences, "answered": sentences}
    assert read_speech(tmp_path / "answer.wav").rate_hz == 24_000


@pytest.mark.parametrize(("kind", "extensible"), [("i3", True), ("f4", False), ("f4", True), ("f8", False)])
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_what_editors_write_arrives_as_it_should(kind, extensible, rate_hz, tmp_path, capsys):
    """Samples of 24 bits, for which most choose the extensible format, and floats."""
    speech = SPEECH.mono[: sentences_in(SPEECH)[0].end] / 32_768
    at = np.arange(len(speech) * rate_hz // 16_000) * 16_000 / rate_hz
    path = wav(
        tmp_path / "me.wav",
        np.interp(at, np.arange(len(speech)), speech),
        rate_hz=rate_hz,
        kind=kind,
        extensible=extensible,
    )
    code, account = demo("--wav", path, "--out", tmp_path / "answer.wav", capsys=capsys)
    assert code == 0, account["problems"]
    assert account["heard"]["equal"]
    assert account["turns"] == {"spoken": 1, "heard": 1, "answered": 1}


def test_floats_that_are_too_loud_are_cut_off_and_those_that_are_none_silent(tmp_path, capsys):
    speech = SPEECH.mono[: sentences_in(SPEECH)[0].end] / 8_192
    assert np.abs(speech).max() > 1
    speech[5_000] = np.nan
    path = wav(tmp_path / "me.wav", np.stack([speech, speech * 0.5], axis=1), kind="f4")
    code, account = demo("--wav", path, "--out", tmp_path / "answer.wav", capsys=capsys)
    assert code == 0, account["problems"]
    assert account["heard"]["equal"]


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 96_000])
def test_blocks_are_20_ms_without_drift(rate_hz, tmp_path):
    path = write_wav(tmp_path / "long.wav", bytes(2 * 10 * rate_hz), rate_hz=rate_hz)
    speech = read_speech(path)
    blocks = list(speech.blocks())
    assert len(blocks) == 500
    assert sum(map(len, blocks)) == 10 * rate_hz
    assert {len(block) for block in blocks} <= {rate_hz // 50, -(-rate_hz // 50)}


# --- foolish input ---


def first_sentence(path: Path) -> Path:
    return write_wav(path, SPEECH.samples[: sentences_in(SPEECH)[0].end].tobytes())


def silent(path: Path) -> Path:
    return write_wav(path, bytes(32_000))


FOOLISH = {
    "missing": (lambda path: path, "no such file"),
    "not a WAV": (lambda path: path.write_bytes(b"ID3 of an mp3, say") and path, "convert it"),
    "empty file": (lambda path: path.touch() or path, "convert it"),
    "folder": (lambda path: path.mkdir() or path, "is a directory"),
    "no samples": (lambda path: write_wav(path, b""), "no samples"),
    "silence": (silent, "louder"),
    "too slow": (lambda path: write_wav(path, bytes(200), rate_hz=100), "convert it"),
    "ADPCM": (
        lambda path: (
            path.write_bytes(silent(path).read_bytes().replace(b"\x01\0\x01\0\x80", b"\x11\0\x01\0\x80")) and path
        ),
        "taken are integers",
    ),
}


@pytest.mark.parametrize("case", FOOLISH)
def test_speech_that_cannot_be_used(case, tmp_path, capsys):
    make, mend = FOOLISH[case]
    path = make(tmp_path / "me.wav")
    assert main(["demo", "--wav", str(path), "--out", str(tmp_path / "out.wav")]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "me.wav" in err
    assert mend in err
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize(
    ("name", "mend"), [("no/such/reply.wav", "create it"), (".", "a file in it"), ("me.wav", "another name")]
)
def test_a_reply_that_cannot_be_written(name, mend, tmp_path, capsys):
    speech = write_wav(tmp_path / "me.wav", SPEECH.samples.tobytes())
    before = speech.read_bytes()
    assert main(["demo", "--wav", str(speech), "--out", str(tmp_path / name)]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(tmp_path / name) in err
    assert mend in err
    assert speech.read_bytes() == before


@posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")  # noqa: PTH110
def test_a_reply_that_fails_in_the_end_is_a_failure(tmp_path, capsys):
    speech = first_sentence(tmp_path / "me.wav")
    code, account = demo("--wav", speech, "--out", "/dev/full", capsys=capsys)
    assert code == 1
    assert "/dev/full" in account["problems"][0]


# --- the account ---


def test_what_was_lost_is_named():
    scene = Scene(SPEECH, 4, lambda _note: None)
    scene.sent_samples = len(SPEECH.samples)
    report = report_on(scene, Ledger(), reply_file="reply.wav")
    assert not report.ok
    assert report.problems == [
        f"{len(SPEECH.samples):,} samples did not arrive, from sample 0 on",
        "4 of 4 sentences were not answered",
        "the session reconnected 0 times instead of 2",
    ]


# --- plain lines and pictures ---


def test_plain_lines_hold_no_control_characters(tmp_path):
    done = subprocess.run([*DEMO, "--fast"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, without_slow_callbacks(done.stderr)) == (0, "")
    assert not re.search(r"[^\n -~]", done.stdout)
    assert done.stdout.endswith("\nNothing was lost.\n")
    assert done.stdout.count("back after") == 2


@posix
def test_a_terminal_gets_pictures_and_is_left_as_it_was(tmp_path):
    code, output = in_terminal(["demo", "--fast"], tmp_path, NO_COLOR="")
    assert code == 0
    assert "▲ goAway" in output
    assert "▲ cut" in output
    assert "Nothing was lost." in output
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")


@posix
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"NO_COLOR": "", "TERM": "dumb"}])
def test_a_terminal_that_wants_no_colour_gets_plain_lines(environment, tmp_path):
    speech = first_sentence(tmp_path / "me.wav")
    code, output = in_terminal(["demo", "--fast", "--wav", speech], tmp_path, **environment)
    assert code == 0
    assert "\x1b" not in output
    assert "Nothing was lost." in output


# --- Ctrl-C ---


@posix
def test_ctrl_c_in_mid_run(tmp_path):
    with subprocess.Popen(DEMO, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        seen = next(line for line in process.stdout if b"connected" in line)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert seen
    assert process.returncode == 130
    assert without_slow_callbacks(err.decode()) == ""
    assert b"accepted" in out
    assert out.endswith(b"Interrupted: the account is of what had happened until then.\n")
    assert not (tmp_path / "reply.wav").exists()


@posix
def test_ctrl_c_during_a_reconnect_restores_the_terminal(tmp_path):
    code, output = in_terminal(["demo"], tmp_path, send=(signal.SIGINT, b"goAway"), NO_COLOR="")
    assert code == 130
    assert "Traceback" not in output
    assert "Interrupted" in output
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
