"""``gemini-live send``: what is sent, what is shown and kept, and what is said of files that cannot be used."""

# ruff: noqa: S603 - the programs that are run are those that are tested

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest

import emulator_client
import gemini_live as live
from command_line import COMMAND, JPEG, PNG, RATE_HZ, closed_port, in_terminal, run, served, tone, wav
from conftest import needs_opencv
from gemini_live import codec, emulator
from gemini_live.cli.display import JsonLines
from gemini_live.cli.talk import Talk
from gemini_live.cli.transcript import line_about

no_errors_inside = emulator_client.no_errors_inside
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")

linux = pytest.mark.skipif(sys.platform != "linux", reason="a folder that not even root may write")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEMINI_API_KEY", "right")
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)


def samples_of(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


# --- what is sent ---


def test_a_first_conversation_without_a_key(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("GEMINI_API_KEY")
    code, out, err = run(capsys, "send", "--emulator", "--fast", "--text", "Hello there")
    assert (code, out) == (0, "model: Hello there\n")
    assert re.fullmatch(r"\d\.\d s of answer in answer\.wav\n", err)
    assert len(samples_of(tmp_path / "answer.wav")) > 2_400


@pytest.mark.parametrize("kind", ["u1", "i2", "i3", "i4", "f4", "f8"])
@pytest.mark.parametrize("layout", [(16_000, 1, False), (44_100, 2, True), (8_000, 1, True), (48_000, 6, False)])
def test_a_wav_file_of_any_kind_arrives_as_it_is(kind, layout, tmp_path, capsys):
    rate_hz, channels, extensible = layout
    mono = tone(0.5, rate_hz)
    samples = mono if channels == 1 else np.stack([mono] * channels, axis=1)
    path = wav(tmp_path / "me.wav", samples, rate_hz=rate_hz, kind=kind, extensible=extensible)
    with served() as emu:
        code, out, _ = run(capsys, "send", path, "--fast", "--endpoint", emu.url)
    assert code == 0
    assert out.startswith("you:   utterance 1, 0.")
    heard = emu.ledger.sessions[0].audio
    if rate_hz == RATE_HZ:
        assert len(heard) == len(mono)
        assert np.abs(heard - mono * 32_767).max() <= (256 if kind == "u1" else 1)
    else:
        assert len(heard) == pytest.approx(RATE_HZ / 2, abs=RATE_HZ / 50)
        middle = heard[1_000:6_333] / 32_768  # a hundred periods
        assert np.argmax(np.abs(np.fft.rfft(middle))) == 100
        assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.3, rel=0.01)


def test_speech_is_answered_and_the_answer_kept(tmp_path, capsys):
    path = wav(tmp_path / "me.wav", tone(0.6))
    with served() as emu:
        code, out, err = run(capsys, "send", path, "--fast", "--endpoint", emu.url, "--output", "told.wav")
    assert (code, out) == (0, "you:   utterance 1, 0.6 s\nmodel: utterance 1, 0.6 s\n")
    answer = samples_of(tmp_path / "told.wav")
    assert len(answer) / 24_000 == pytest.approx(0.6, abs=0.1)
    assert err == f"{len(answer) / 24_000:.1f} s of answer in told.wav\n"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["me.wav", "told.wav"]
    assert emu.ledger.connections[0].code == 1000


def test_speech_takes_as_long_as_it_lasts(tmp_path, capsys):
    path = wav(tmp_path / "me.wav", tone(0.5))
    code, out, _ = run(capsys, "send", path, "--json", "--emulator")
    events = [json.loads(line) for line in out.splitlines()]
    heard = next(event for event in events if event["event"] == "InputTranscription")
    ready = next(event for event in events if event["event"] == "SetupComplete")
    assert code == 0
    assert heard["t"] - ready["t"] > 0.4


def test_texts_are_said_one_after_the_other(capsys):
    with served() as emu:
        code, out, _ = run(
            capsys, "send", "--text", "one", "--text", "two", "--endpoint", emu.url, "--system", "Be brief."
        )
    assert (code, out) == (0, "model: one\nmodel: two\n")
    assert emu.ledger.sessions[0].texts == ["one", "two"]


def test_pictures_come_before_the_question(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.jpg").write_bytes(JPEG)
    with served() as emu:
        code, out, _ = run(capsys, "send", "a.png", "b.jpg", "--text", "What is it?", "--fast", "--endpoint", emu.url)
    assert (code, out) == (0, "model: What is it?\n")
    assert [len(image) for image in emu.ledger.sessions[0].images] == [len(PNG), len(JPEG)]


def film(path, seconds=3, rate=10):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, (1600, 900))
    for number in range(seconds * rate):
        writer.write(np.full((900, 1600, 3), number * 8 % 256, np.uint8))
    writer.release()
    return path


def test_of_a_film_one_image_a_second_is_sent(tmp_path, capsys):
    cv2 = pytest.importorskip("cv2")
    film(tmp_path / "film.mp4")
    wav(tmp_path / "film.wav", tone(0.5))
    with served() as emu:
        code, _, _ = run(capsys, "send", "film.mp4", "film.wav", "--fast", "--endpoint", emu.url)
    assert code == 0
    images = [cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) for image in emu.ledger.sessions[0].images]
    assert [image.shape for image in images] == [(432, 768, 3)] * 3
    assert [round(float(image.mean()) / 8) for image in images] == [0, 10, 20]


# --- what is shown ---


def test_json_lines_say_everything_but_secrets(tmp_path, capsys):
    wav(tmp_path / "me.wav", tone(0.5))
    with served() as emu:
        code, out, err = run(capsys, "send", "me.wav", "--fast", "--json", "--endpoint", emu.url)
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "SetupComplete"
    assert {"InputTranscription", "ModelAudio", "OutputTranscription", "TurnComplete", "SessionResumption"} <= {*names}
    assert all(event["t"] >= 0 for event in events)
    assert "handle" not in out.lower()
    assert "right" not in out
    audio = [event for event in events if event["event"] == "ModelAudio"]
    summary = events[-1]
    assert summary["event"] == "Summary"
    assert summary["output"] == "answer.wav"
    assert sum(event["data"] for event in audio) == 2 * len(samples_of(tmp_path / "answer.wav"))
    assert summary["answer_s"] == pytest.approx(sum(event["duration_s"] for event in audio), abs=0.001)
    usage = next(event for event in events if event["event"] == "Usage")
    assert {"modality", "token_count"} == {*usage["prompt_tokens_details"][0]}


@pytest.mark.parametrize(
    ("heard", "shown"),
    [
        (
            b'{"sessionResumptionUpdate": {"newHandle": "made-up", "new": 1}}',
            '{"sessionResumptionUpdate":{"newHandle":"handle-1","new":1}}',
        ),
        (
            b'{"setupComplete": {"voiceConsentSignature": {"signature": "made-up"}, "new": 1}}',
            '{"setupComplete":{"voiceConsentSignature":{"signature":"…"},"new":1}}',
        ),
        (b"made-up", f"sha256:{hashlib.sha256(b'made-up').hexdigest()}:7"),
    ],
)
def test_nor_does_a_message_that_is_not_understood(capsys, heard, shown):
    lines = JsonLines()
    for event in codec.decode(heard):
        lines.event(event)
    out = capsys.readouterr().out
    assert "made-up" not in out
    assert json.loads(out.splitlines()[-1])["raw"] == shown


@pytest.mark.parametrize("key", ["AIza-mine", "auth_tokens/mine", "ya29." + 300 * "mine"])
def test_a_key_in_the_place_of_its_file_is_not_repeated(key, capsys):
    code, out, err = run(capsys, "send", "--text", "x", "--key-file", key)
    assert code == 6
    assert "mine" not in out + err
    code, out, err = run(capsys, "doctor", "--headless", "--endpoint", "ws://127.0.0.1:1", "--key-file", key)
    assert "mine" not in out + err


def test_a_lost_connection_is_told(tmp_path, capsys):
    faults = emulator.Faults(cut_at_speech=1, connections=1)
    with served(faults=faults) as emu:
        code, _, err = run(capsys, "send", "--text", "hello", "--endpoint", emu.url, "--wait", "1")
    assert code == 1  # a text on its way is not repeated, and the session says so
    assert "the connection is gone (network)" in err
    assert "back after" in err
    assert "no answer within 1 s" in err
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("columns", [60, 120])
def test_a_terminal_sees_a_bar_and_the_words(columns, tmp_path):
    wav(tmp_path / "me.wav", tone(1.2))
    code, output = in_terminal(["send", "me.wav", "--emulator"], tmp_path, columns=columns, NO_COLOR="")
    assert code == 0
    assert "of 1.2 s sent" in output
    assert "━" in output
    assert "utterance 1, 1.2 s" in output
    assert "s of answer in answer.wav" in output
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= columns


@posix
def test_no_colour_where_none_is_wanted(tmp_path):
    code, output = in_terminal(["send", "--text", "x", "--fast", "--emulator"], tmp_path, NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", output)
    code, output = in_terminal(["send", "--text", "x", "--fast", "--emulator", "--force"], tmp_path, TERM="dumb")
    assert code == 0
    assert "\x1b" not in output


def test_what_the_service_says_moves_no_cursor(capsys):
    with served() as emu:
        code, out, _ = run(capsys, "send", "--text", "a\x1b[2Jb\r\nc", "--endpoint", emu.url)
    assert (code, out) == (0, "model: a�[2Jb c\n")


def test_nor_does_the_reason_of_a_close(capsys):
    faults = {"close_at_setup": True, "close_code": 1007, "close_reason": "no\x1b[2Jsuch\rthing"}
    with served(faults=emulator.Faults(**faults)) as emu:
        for arguments in ["send", "--text", "x"], ["doctor", "--headless"]:
            code, out, err = run(capsys, *arguments, "--endpoint", emu.url)
            assert code == 5
            assert "\x1b" not in out + err
            assert "no�[2Jsuch thing" in out + err


def test_nor_does_the_name_of_a_function():
    called = live.ToolCall(calls=(live.FunctionCall(id="1", name="a\x1b[2J\nb"),))
    assert line_about(called) == "the model calls a�[2J�b"


# --- bad input: files ---

FOOLISH = {
    "missing": ("none.wav", None, "cannot read none.wav: no such file or directory; give a file that exists"),
    "folder": (".", None, "cannot read .: is a directory; give a file in it"),
    "empty": ("a.wav", b"", "a.wav is empty; give a file that holds something"),
    "PNG called WAV": ("a.wav", PNG, "a.wav is a PNG image and no WAV file; rename it: mv a.wav a.png"),
    "JPEG called PNG": ("a.png", JPEG, "a.png is a JPEG image and no PNG image; rename it: mv a.png a.jpg"),
    "text called MP4": ("a.mp4", "Grüße".encode(), 'a.mp4 holds text and no video; say it with --text "$(cat a.mp4)"'),
    "text": ("a.txt", b"hello", 'a.txt holds text; say it with --text "$(cat a.txt)"'),
    "MP3": ("a.mp3", b"ID3\4\0", "a.mp3 is MP3 and not WAV; convert it: ffmpeg -i a.mp3 a.wav"),
    "MP3 without a head": ("a.mp3", b"\xff\xf3\x50\x80", "a.mp3 is MP3 and not WAV; convert it: ffmpeg -i a.mp3 a.wav"),
    "MP3 called WAV": ("a.wav", b"ID3\4\0", "a.wav is MP3 and not WAV; convert it: ffmpeg -i a.wav a-converted.wav"),
    "a name with a space": (
        "my a.mp3",
        b"ID3",
        "my a.mp3 is MP3 and not WAV; convert it: ffmpeg -i 'my a.mp3' 'my a.wav'",
    ),
    "another one": ("my a.png", JPEG, "my a.png is a JPEG image and no PNG image; rename it: mv 'my a.png' 'my a.jpg'"),
    "a third": ("my a.txt", b"hello", """my a.txt holds text; say it with --text "$(cat 'my a.txt')\""""),
    "memo of a telephone": (
        "a.m4a",
        b"\0\0\0\x18ftypM4A " + bytes(99),
        "a.m4a is M4A and not WAV; convert it: ffmpeg -i a.m4a a.wav",
    ),
    "photo of a telephone": (
        "a.heic",
        b"\0\0\0\x18ftypheic" + bytes(99),
        "a.heic is HEIC and not JPEG; convert it: ffmpeg -i a.heic a.jpg",
    ),
    "WebP": ("a.webp", b"RIFF\0\0\0\0WEBPVP8 ", "a.webp is WebP and not JPEG; convert it: ffmpeg -i a.webp a.jpg"),
    "GIF": ("a.gif", b"GIF89a\0", "a.gif is GIF and not JPEG; convert it: ffmpeg -i a.gif -frames:v 1 a.jpg"),
    "anything": ("a.bin", b"\0\1\xff\xfe" * 9, "a.bin is no WAV, JPEG, PNG or video file; what it is ffmpeg may know"),
    "no fmt": (
        "a.wav",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        "a.wav does not say what its samples are; if it can be played, convert it: ffmpeg -i a.wav",
    ),
    "cut off": (
        "a.wav",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0",
        "a.wav ends before its first sample; if it can be played, convert it: ffmpeg -i a.wav",
    ),
    "too slow": (
        "a.wav",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\1\0\0\0\0\0\0\1\0\x08\0data\4\0\0\0\0\0\0\0",
        "a.wav has 320 samples per second, speech has 8,000 to 192,000; convert it: ffmpeg -i a.wav -ar 16000",
    ),
    "ADPCM": (
        "a.wav",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x11\0\1\0\x40\x1f\0\0\0\0\0\0\1\0\4\0data\4\0\0\0\0\0\0\0",
        "a.wav has 4-bit samples of kind 17; taken are integers of 8, 16, 24 and 32 bits and floats of",
    ),
}


@pytest.mark.parametrize("case", FOOLISH)
def test_a_file_that_cannot_be_used(case, tmp_path, capsys):
    refuses(tmp_path, capsys, *FOOLISH[case])


@needs_opencv
def test_a_video_without_an_image(tmp_path, capsys):
    content = b"\0\0\0\x18ftypmp42" + bytes(99)
    refuses(tmp_path, capsys, "a.mp4", content, "a.mp4 begins like a video, but no image in it can be")


def refuses(tmp_path, capsys, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = run(capsys, "send", name, "--emulator")
    assert (code, out) == (6, "")
    assert err.startswith(f"gemini-live send: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "answer.wav").exists()


def test_a_file_that_may_not_be_read(monkeypatch, capsys):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    code, _, err = run(capsys, "send", "a.wav", "--emulator")
    assert (code, err) == (6, "gemini-live send: cannot read a.wav: permission denied; let this user read it\n")


@pytest.mark.parametrize("claimed", [0x7FFF_FFF0, 0xFFFF_FFFE])
def test_a_wav_file_that_claims_gigabytes_takes_what_it_has(claimed, tmp_path, capsys):
    path = wav(tmp_path / "a.wav", tone(0.5))
    data = path.read_bytes()
    size = data.index(b"data") + 4
    path.write_bytes(data[:size] + claimed.to_bytes(4, "little") + data[size + 4 :])
    tracemalloc.start()
    try:
        code, out, _ = run(capsys, "send", path, "--emulator", "--fast")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (code, out.splitlines()[0]) == (0, "you:   utterance 1, 0.5 s")
    assert most < 100_000_000


def test_a_long_wav_file_of_64_bits(tmp_path, capsys):
    path = wav(tmp_path / "a.wav", tone(0.5))
    path.write_bytes(b"RF64" + path.read_bytes()[4:])
    code, out, _ = run(capsys, "send", path, "--emulator", "--fast")
    assert (code, out.splitlines()[0]) == (0, "you:   utterance 1, 0.5 s")


@posix
def test_speech_and_pictures_come_through_a_pipe(tmp_path):
    path = wav(tmp_path / "a.wav", tone(0.5))
    (tmp_path / "a.png").write_bytes(PNG + bytes(8_000))
    arguments = "gemini_live send /dev/stdin --emulator --fast --text What -o"
    shell = shlex.join([*COMMAND[:-1]])
    for number, file in enumerate((path, tmp_path / "a.png")):
        done = subprocess.run(
            ["sh", "-c", f"cat {file.name} | {shell} {arguments} {number}.wav"],  # noqa: S607
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert ("you:   utterance 1, 0.5 s" in done.stdout) is (file == path)


@posix
def test_a_film_does_not_come_through_a_pipe(tmp_path):
    arguments = ["send", "/dev/stdin", "--emulator", "--text", "x"]
    film = b"\0\0\0\x18ftypmp42" + bytes(9_999)
    done = subprocess.run([*COMMAND, *arguments], cwd=tmp_path, input=film, capture_output=True, check=False)
    assert done.returncode == 6
    assert b"gemini-live send: /dev/stdin is a video in a pipe; put it into a file first" in done.stderr


def test_a_wav_file_of_zero_length(tmp_path, capsys):
    wav(tmp_path / "a.wav", np.empty(0))
    assert run(capsys, "send", "a.wav", "--emulator") == (
        6,
        "",
        "gemini-live send: a.wav holds no samples; record something into it first\n",
    )


def test_silence_is_not_answered(tmp_path, capsys):
    wav(tmp_path / "a.wav", np.zeros(8_000))
    code, out, err = run(capsys, "send", "a.wav", "--emulator", "--fast", "--wait", "0.2")
    assert (code, out) == (1, "")
    assert err == "gemini-live send: no answer within 0.2 s; is there speech in it? --wait gives it more time\n"
    assert [one.name for one in tmp_path.iterdir()] == ["a.wav"]


def test_an_answer_that_exists_is_kept(tmp_path, capsys):
    (tmp_path / "answer.wav").write_bytes(b"precious")
    code, _, err = run(capsys, "send", "--text", "x", "--emulator", "--fast")
    assert code == 6
    assert err == "gemini-live send: answer.wav exists; give --force to replace it, or --output another name\n"
    assert (tmp_path / "answer.wav").read_bytes() == b"precious"
    code, _, _ = run(capsys, "send", "--text", "x", "--emulator", "--fast", "--force")
    assert code == 0
    assert len(samples_of(tmp_path / "answer.wav")) > 0


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("no/such/a.wav", "cannot write no/such/a.wav: there is no folder no/such; create it first"),
        (".", ". is a folder; give --output a file in it, such as answer.wav"),
        pytest.param("/dev/null", "/dev/null is no ordinary file; give --output another one", marks=posix),
        pytest.param("/proc/a.wav", "cannot write /proc/a.wav: ", marks=linux),
    ],
)
def test_an_output_that_cannot_be_written(output, message, capsys):
    code, out, err = run(capsys, "send", "--text", "x", "--emulator", "-o", output)
    assert (code, out) == (6, "")
    assert err.startswith(f"gemini-live send: {message}")


@posix
def test_an_output_of_which_not_even_that_is_known(tmp_path, capsys, monkeypatch):
    """Whether there is a file of that name, in a folder that nobody may look into."""
    (tmp_path / "closed").mkdir()
    stat = os.stat

    def refuse(path, *arguments, **options):
        if Path(path).parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refuse)
    code, _, err = run(capsys, "send", "--text", "x", "--emulator", "-o", "closed/a.wav")
    message = "cannot write closed/a.wav: permission denied; give --output a file elsewhere"
    assert (code, err) == (6, f"gemini-live send: {message}\n")
    code, _, err = run(capsys, "demo", "--fast", "--out", "closed/a.wav")
    message = "cannot write closed/a.wav: permission denied; give --out a file elsewhere"
    assert (code, err) == (6, f"gemini-live demo: {message}\n")


@pytest.mark.parametrize("command", ["send", "record", "demo"])
def test_a_name_that_is_too_long(command, capsys):
    option = ["--fast", "--out"] if command == "demo" else ["--text", "x", "--emulator", "--output"]
    code, _, err = run(capsys, command, *option, "a" * 300)
    assert code == 6
    assert "aaa: file name too long; give --out" in err
    assert err.count("\n") == 1


@posix
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command", ["send", "record"])
def test_an_output_whose_folder_goes_away_meanwhile(command, when, tmp_path, capsys, monkeypatch):
    (tmp_path / "d").mkdir()
    meanwhile(monkeypatch, when, lambda: shutil.rmtree(tmp_path / "d"))
    code, _, err = run(capsys, command, "--text", "x", "--emulator", "--fast", "--output", "d/a")
    assert code == 6
    assert "cannot write d/a: no such file or directory; give --output a file elsewhere" in err


@pytest.mark.parametrize("command", ["send", "record"])
@pytest.mark.parametrize("links", [True, False])
def test_an_output_that_somebody_else_makes_meanwhile(links, command, tmp_path, capsys, monkeypatch):
    """As a second `send` in the same folder does."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    meanwhile(monkeypatch, "after", lambda: (tmp_path / "a").write_bytes(b"precious"))
    arguments = [command, "--text", "x", "--emulator", "--fast", "--output", "a"]
    code, _, err = run(capsys, *arguments)
    assert code == 6
    assert (tmp_path / "a").read_bytes() == b"precious"
    (kept,) = tmp_path.glob(".a.*")
    assert f"a exists by now and is not replaced; what was written is {kept}" in err
    assert kept.stat().st_size > 100
    kept.unlink()
    assert run(capsys, *arguments, "--force")[0] == 0
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def no_links(*_):
    raise PermissionError(1, os.strerror(1))


def meanwhile(monkeypatch, when, do):
    """Do something before or after the conversation, when the output is waited for already."""
    converse = Talk.run

    async def run(*arguments):
        if when == "before":
            do()
        await converse(*arguments)
        if when == "after":
            do()

    monkeypatch.setattr(Talk, "run", run)


@pytest.mark.parametrize("command", ["send", "record"])
def test_what_is_said_is_not_overwritten_by_the_answer(command, tmp_path, capsys):
    before = wav(tmp_path / "answer.wav", tone()).read_bytes()
    (tmp_path / "folder").mkdir()
    name = "folder/../answer.wav"
    code, out, err = run(capsys, command, "answer.wav", "--emulator", "--fast", "--force", "-o", name)
    assert (code, out) == (6, "")
    assert err == f"gemini-live {command}: {name} is what is to be said; give --output another name\n"
    assert (tmp_path / "answer.wav").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], 'there is nothing to say; give a FILE or --text "…"'),
        (["--text", " "], "the --text is empty"),
        (["a.png"], 'a picture asks nothing; add --text "What is this?" or a WAV file'),
    ],
)
def test_what_asks_for_nothing(arguments, message, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(PNG)
    assert run(capsys, "send", *arguments, "--emulator") == (2, "", f"gemini-live send: {message}\n")


# --- bad input: the service ---


def test_a_closed_port(capsys):
    with closed_port() as port:
        code, _, err = run(capsys, "send", "--text", "x", "--endpoint", f"ws://127.0.0.1:{port}")
    assert code == 3
    assert f"127.0.0.1:{port}: connection refused" in err
    assert "`gemini-live doctor` with the same options finds out more" in err


def test_a_wrong_key(monkeypatch, capsys):
    monkeypatch.setenv("GEMINI_API_KEY", "wrong-key-of-mine")
    with served(api_key="right") as emu:
        code, _, err = run(capsys, "send", "--text", "x", "--endpoint", emu.url)
    assert code == 4
    assert "check the API key: GEMINI_API_KEY or --key-file" in err
    assert "wrong-key-of-mine" not in err


def test_a_bad_certificate_and_the_mend(tmp_path, capsys):
    with served(tls=True) as emu:
        code, _, err = run(capsys, "send", "--text", "x", "--endpoint", emu.url)
        assert code == 3
        assert "the certificate of 127.0.0.1 is not trusted" in err
        assert "for a private certificate authority give --ca-file" in err
        (tmp_path / "ca.pem").write_bytes(emu.ca_pem)
        code, _, _ = run(capsys, "send", "--text", "x", "--endpoint", emu.url, "--ca-file", "ca.pem")
    assert code == 0


def test_a_model_that_does_not_exist(capsys):
    code, _, err = run(capsys, "send", "--text", "x", "--emulator", "--model", "gemini-9-live")
    assert code == 5
    assert "the model does not exist, or not for this API version; check its name" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--endpoint", "http://127.0.0.1"], 2, "must be ws or wss; write ws://…"),
        (["--endpoint", "ws://192.0.2.1"], 2, "a credential would travel unencrypted"),
        (["--endpoint", "wss://a..b"], 2, "not a URL: is its host or port misspelled?"),
        (["--endpoint", f"wss://{'a' * 64}.com"], 2, "not a URL: is its host or port misspelled?"),
        (["--endpoint", "wss://h/?key=mine"], 4, "carries a credential; give it in GEMINI_API_KEY or by --key-file"),
        (["--endpoint", "vertex"], 2, "Vertex AI needs a project; put GOOGLE_CLOUD_PROJECT into the environment, or"),
        (["--text", "\udcff"], 2, "--text is not UTF-8; is it the right file, and the right locale?"),
        (["--system", "\udcff"], 2, "--system is not UTF-8; "),
        (["--voice", "\udcff"], 2, "--voice is not UTF-8; "),
        (["--model", "\udcff"], 2, "--model is not UTF-8; "),
        (["--ca-file", "none.pem"], 6, "cannot read none.pem: No such file"),
        (["--ca-file", "junk.pem"], 6, "junk.pem holds no certificate; --ca-file takes PEM"),
        (["--key-file", "none"], 6, "cannot read the file of --key-file: No such file"),
        (["--key-file", "empty"], 4, "there is no key in empty; put nothing but the key into it"),
        (["--key-file", "two"], 4, "holds characters that no header may carry"),
    ],
)
def test_options_that_cannot_work(arguments, code, message, tmp_path, capsys):
    (tmp_path / "junk.pem").write_text("junk")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two").write_text("a key\nand more")
    got, out, err = run(capsys, "send", "--text", "x", *arguments)
    assert (got, out) == (code, "")
    assert message in err


def test_a_token_that_the_upgrade_is_refused_for(capsys):
    with served(profile="vertex") as emu:
        complete = f"{emu.url}/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent"  # hence no key
        code, _, err = run(capsys, "send", "--text", "x", "--endpoint", complete)
    assert code == 4
    assert "HTTP 401" in err


def test_no_key(monkeypatch, capsys):
    monkeypatch.delenv("GEMINI_API_KEY")
    code, _, err = run(capsys, "send", "--text", "x")
    assert code == 4
    assert "or try --emulator, which needs none" in err


def test_a_key_comes_from_a_file_or_from_standard_input(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GEMINI_API_KEY", "wrong")
    (tmp_path / "key").write_text("right\n")
    with served(api_key="right") as emu:
        code, _, _ = run(capsys, "send", "--text", "x", "--endpoint", emu.url, "--key-file", "key")
        assert code == 0
        arguments = ["send", "--text", "x", "--endpoint", emu.url, "--key-file", "-", "--force"]
        done = subprocess.run([*COMMAND, *arguments], input=b"right\n", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"model: x\n")


# --- the end ---


@posix
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_nothing_is_left_behind(number, code, tmp_path):
    wav(tmp_path / "me.wav", np.concatenate([tone(0.5), np.zeros(16_000), tone(20)]))
    with served() as emu:
        got, output = in_terminal(
            ["send", "me.wav", "--endpoint", emu.url], tmp_path, send=(number, b"utterance 1"), NO_COLOR=""
        )
    assert got == code
    assert "Traceback" not in output
    assert [one.name for one in tmp_path.iterdir()] == ["me.wav"]
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
    assert emu.ledger.connections[0].code == 1000


def test_a_disk_that_is_full(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(wave.Wave_write, "writeframesraw", full)
    code, _, err = run(capsys, "send", "--text", "x", "--emulator", "--fast")
    assert code == 6
    assert "cannot write answer.wav: no space left on device; give --output a file elsewhere" in err
    assert list(tmp_path.iterdir()) == []
