"""``gemini-live record`` and ``gemini-live replay``."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import wave

import pytest

import emulator_client
import gemini_live as live
from command_line import COMMAND, PNG, closed_port, in_terminal, run, served, tone, wav

no_errors_inside = emulator_client.no_errors_inside
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEMINI_API_KEY", "secret-of-mine")


@pytest.fixture
def recording(tmp_path, capsys):
    wav(tmp_path / "me.wav", tone(0.5))
    (tmp_path / "a.png").write_bytes(PNG)
    with served() as emu:
        code, out, err = run(capsys, "record", "me.wav", "a.png", "--text", "Good bye", "--fast", "--endpoint", emu.url)
    assert (code, out) == (0, "you:   utterance 1, 0.5 s\nmodel: utterance 1, 0.5 s\nmodel: Good bye\n")
    assert re.fullmatch(r"\d+ frames in recording\.jsonl\n", err)
    return tmp_path / "recording.jsonl"


# --- record ---


def test_every_frame_is_recorded_and_no_key(recording):
    frames = live.read_recording(recording).frames
    assert frames[0].kind == "open"
    assert sum("realtimeInput" in (frame.data or {}) for frame in frames if frame.direction == ">") == 25 + 1 + 1 + 1
    assert "secret-of-mine" not in recording.read_text()
    assert sorted(one.name for one in recording.parent.iterdir()) == ["a.png", "me.wav", "recording.jsonl"]


def test_json_ends_with_where_it_is(capsys):
    code, out, err = run(capsys, "record", "--text", "x", "--emulator", "--fast", "--json", "-o", "x.jsonl")
    assert (code, err) == (0, "")
    summary = json.loads(out.splitlines()[-1])
    assert summary["event"] == "Summary"
    assert (summary["output"], summary["frames"]) == ("x.jsonl", len(live.read_recording("x.jsonl").frames))


def test_a_recording_that_exists_is_kept(recording, capsys):
    before = recording.read_bytes()
    code, _, err = run(capsys, "record", "--text", "x", "--emulator", "--fast")
    assert code == 6
    assert "recording.jsonl exists; give --force to replace it" in err
    assert recording.read_bytes() == before


def test_an_attempt_leaves_nothing(tmp_path, capsys):
    with closed_port() as port:
        code, _, _ = run(capsys, "record", "--text", "x", "--endpoint", f"ws://127.0.0.1:{port}")
    assert code == 3
    with served(api_key="right") as emu:
        code, _, _ = run(capsys, "record", "--text", "x", "--endpoint", emu.url)
    assert code == 4
    assert list(tmp_path.iterdir()) == []


@posix
def test_after_ctrl_c_it_is_complete_up_to_there(tmp_path, capsys):
    wav(tmp_path / "me.wav", tone(20))
    code, output = in_terminal(
        ["record", "me.wav", "--emulator"], tmp_path, send=(signal.SIGINT, b"of 20.0 s sent"), NO_COLOR=""
    )
    assert code == 130
    assert "frames in recording.jsonl" in output
    assert sorted(one.name for one in tmp_path.iterdir()) == ["me.wav", "recording.jsonl"]
    last = live.read_recording("recording.jsonl").frames[-1]
    assert (last.kind, last.code) == ("close", 1000)


# --- replay ---


def test_the_conversation_is_shown(recording, capsys):
    code, out, err = run(capsys, "replay", recording, "--show")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, models/gemini-3\.8-live, ws://127\.0\.0\.1:\d+/ws/.*", lines[0]
    )
    said = [re.fullmatch(r" +\d+\.\d\d s  (.*)", line)[1].strip() for line in lines[1:]]
    assert said == [
        "connected",
        "setting up",
        "ready",
        "you    [0.5 s of speech, 1 image]",
        "you    utterance 1, 0.5 s",
        "model  utterance 1, 0.5 s [0.5 s]",
        "you    Good bye",
        "model  Good bye [0.5 s]",
        "closing with 1000",
        "closed with 1000",
    ]
    times = [float(line.split()[0]) for line in lines[1:]]
    assert times == sorted(times)


def test_all_kinds_of_frames_are_shown(tmp_path, capsys):
    lines = [
        {"format": "gemini-live-recording", "version": 1, "created": "2026-10-10T12:00:00Z", "model": "m", "url": "u"},
        {"t": 0, "dir": "", "kind": "close", "reason": "refused"},
        {"t": 1, "dir": "", "kind": "open"},
        {"t": 1, "dir": ">", "kind": "text", "data": {"setup": {"sessionResumption": {"handle": "handle-1"}}}},
        {"t": 2, "dir": ">", "kind": "text", "data": {"clientContent": {"turns": [{"parts": [{"text": "How\nso?"}]}]}}},
        {"t": 3, "dir": "<", "kind": "binary", "data": {"toolCall": {"functionCalls": [{"name": "f", "id": "1"}]}}},
        {
            "t": 4,
            "dir": ">",
            "kind": "text",
            "data": {"toolResponse": {"functionResponses": [{"name": "f", "response": {"a": 1}}]}},
        },
        {"t": 5, "dir": ">", "kind": "text", "data": {"realtimeInput": "of my own making"}},
        {
            "t": 6,
            "dir": ">",
            "kind": "text",
            "data": {
                "realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=8000", "data": f"sha256:{'0' * 64}:16000"}}
            },
        },
        {"t": 7, "dir": "<", "kind": "binary", "data": "/w=="},
        {"t": 8, "dir": "<", "kind": "binary", "data": {"serverContent": {"interrupted": True}}},
        {"t": 9, "dir": "<", "kind": "close", "code": 1011, "reason": "Deadline\x1b expired"},
        {"t": 9, "dir": "", "kind": "stop", "reason": "disk full"},
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, out, _ = run(capsys, "replay", "r.jsonl", "--show")
    assert code == 0
    said = [line[11:].strip() for line in out.splitlines()[1:]]
    assert said.pop(7).startswith("not understood: ")
    assert said == [
        "closed: refused",
        "connected",
        "resuming",
        "you    How so?",
        "the model calls f",
        "answer of f: {'a': 1}",
        "you    [1.0 s of speech]",
        "the model was interrupted",
        "closed with 1011: Deadline� expired",
        "the recording stops here: disk full",
    ]


def test_the_answer_is_written_as_sound(recording, tmp_path, capsys):
    code, out, err = run(capsys, "replay", recording, "-o", "answer.wav")
    assert (code, out) == (0, "")
    assert re.fullmatch(r"1\.\d s of answer in answer\.wav\n", err)
    audio = [
        event.data
        for frame in live.read_recording(recording).frames
        if frame.direction == "<" and isinstance(frame.data, dict)
        for event in live_events(frame.data)
    ]
    with wave.open(str(tmp_path / "answer.wav")) as file:
        assert file.readframes(file.getnframes()) == b"".join(audio)
    code, _, err = run(capsys, "replay", recording, "-o", "answer.wav")
    assert code == 6
    assert "answer.wav exists" in err


def test_a_recording_is_not_overwritten_by_its_sound(recording, capsys):
    before = recording.read_bytes()
    code, _, err = run(capsys, "replay", recording, "-o", recording, "--force")
    assert code == 6
    assert err == f"gemini-live replay: {recording} is the recording; give --output another name\n"
    assert recording.read_bytes() == before


def live_events(message):
    from gemini_live.codec import decode  # noqa: PLC0415 - for this test only

    return [event for event in decode(json.dumps(message).encode()) if isinstance(event, live.ModelAudio)]


def test_sound_of_which_only_the_hash_was_kept(tmp_path, capsys):
    run(capsys, "record", "--text", "x", "--emulator", "--fast", "--audio", "hash")
    code, _, err = run(capsys, "replay", "recording.jsonl", "-o", "answer.wav")
    assert code == 6
    assert "the model's sound is not in this recording; it may have been made with --audio hash" in err
    assert not (tmp_path / "answer.wav").exists()


@posix
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_programs_can_hear_it_again(ending, recording):
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("replay", str(recording), "--fast"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    url = (await process.stdout.readline()).decode().strip()
    said = ""
    async with live.connect("gemini-3.8-live", endpoint=url, auth="any key") as session:
        await session.audio_stream_end()
        await session.send_text("whatever")
        async for event in session:
            match event:
                case live.OutputTranscription(text=text):
                    said += text
                case live.TurnComplete():
                    break
    process.send_signal(ending)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert said == "utterance 1, 0.5 s"


def test_a_recording_whose_name_begins_with_a_dash(recording, capsys):
    recording.rename(recording.with_name("-r.jsonl"))
    with served() as emu:  # which has the port, so that no server is left running
        code, _, err = run(capsys, "replay", "--port", emu.url.rpartition(":")[2], "--", "-r.jsonl")
    assert code == 3, err
    assert "cannot listen there: " in err


@posix
def test_a_recording_in_a_pipe_is_shown_and_not_served(recording):
    """The server would read it a second time, and wait for ever for somebody who writes it."""
    for options, code in (["--show"], 0), ([], 6):
        done = subprocess.run(  # noqa: S603
            [*COMMAND, "replay", "/dev/stdin", *options], input=recording.read_bytes(), capture_output=True, check=False
        )
        assert done.returncode == code, done.stderr
    assert done.stderr == b"gemini-live replay: /dev/stdin is a pipe; to be served it must be in a file\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "cannot read none.jsonl: No such file"),
        ("a.jsonl", b"", "a.jsonl, line 1: Input data was truncated; is it a recording?"),
        ("a.jsonl", PNG, "; is it a recording?"),
        (
            "a.jsonl",
            b'{"format":"gemini-live-recording","version":2,"created":"2026-10-10T12:00:00Z","model":"m","url":"u"}',
            "version 2, is not known here; read it with the gemini-live that wrote it",
        ),
        (
            "a.jsonl",
            b'{"format":"gemini-live-recording","version":1,"created":"2026-10-10T12:00:00Z","model":"m","url":"u"}\n{"t\n',
            "a.jsonl, line 2: Input data was truncated; without it and what follows it can be read",
        ),
        (
            "a.jsonl",
            b'{"format":"x","version":1,"created":"2026-10-10T12:00:00Z","model":"m","url":"u"}',
            "is not known",
        ),
    ],
)
def test_files_that_are_no_recording(name, content, message, tmp_path, capsys):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for options in ([], ["--show"]):
        code, out, err = run(capsys, "replay", name, *options)
        assert (code, out) == (6, "")
        assert message in err


def test_a_recording_that_ends_within_a_line_is_shown_and_not_replayed(recording, capsys):
    """As that of a process which was killed. What is missing may be the answer that somebody's test waits for."""
    whole = recording.read_bytes()
    recording.write_bytes(whole.rstrip(b"\n")[:-5])
    code, out, err = run(capsys, "replay", recording, "--show")
    assert (code, err) == (0, "")
    assert "the file ends within a line" in out
    code, out, err = run(capsys, "replay", recording)
    assert (code, out) == (6, "")
    assert "; without it and what follows it can be replayed" in err


def test_a_port_that_is_taken(recording, capsys):
    with served() as emu:
        code, _, err = run(capsys, "replay", recording, "--port", emu.url.rpartition(":")[2])
    assert code == 3
    assert "cannot listen there: " in err
    assert "choose another --port" in err
