from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import json
import logging
import os
import stat
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import gemini_live as live
from gemini_live import emulator
from gemini_live import opening as opening_module
from gemini_live import recorder as recorder_module
from gemini_live.failures import Failure
from memory_transport import GREETING, READY, MemoryNetwork

FAST = live.ReconnectPolicy(base_s=0.01, cap_s=0.02)
HEAD = {
    "format": "gemini-live-recording",
    "version": 1,
    "created": "2026-10-10T12:00:00Z",
    "model": "models/m",
    "url": "wss://x",
}


@pytest.fixture
def network(monkeypatch):
    """Sessions in memory: `connect` dials this."""
    network = MemoryNetwork()
    monkeypatch.setattr(opening_module, "dial", network)
    return network


@pytest.fixture
def file(tmp_path):
    return tmp_path / "call.jsonl"


def connect(record, setup="gemini-3.8-live", **options):
    return live.connect(setup, **{"auth": "made-up-key", "reconnect": FAST, "record": record, **options})


def recorders():
    return [thread for thread in threading.enumerate() if thread.name == "gemini-live recorder"]


async def record(file, network, *said, setup="m", greeting=GREETING, audio="whole"):
    """A session in which the service says this; the messages that were recorded."""
    network.greeting = greeting
    async with connect(live.Recording(file, audio=audio), setup):
        network.last.say(*said)
        await asyncio.sleep(0.01)
    return [frame.data for frame in live.read_recording(file).frames if frame.kind in ("text", "binary")]


# --- what is written ------------------------------------------------------------------------------------------------


async def test_every_frame_with_time_and_direction(network, file):
    start = datetime.now(UTC)
    async with connect(str(file)) as session:
        await session.send_text("Hello")
        network.last.receiver.pong_received(network.last.pings[0])
        network.last.say(b'{"serverContent":{"turnComplete":true}}', b"not JSON")
        await asyncio.sleep(0.05)
    recording = live.read_recording(file)
    assert abs(recording.created - start) < timedelta(seconds=5)
    assert recording.model == "models/gemini-3.8-live"
    assert recording.url.startswith("wss://generativelanguage.googleapis.com/ws/google.ai")
    frames = recording.frames
    assert [(frame.direction, frame.kind) for frame in frames] == [
        ("", "open"),
        (">", "text"),
        ("<", "binary"),
        ("<", "binary"),
        (">", "text"),
        (">", "ping"),
        ("<", "pong"),
        ("<", "binary"),
        ("<", "binary"),
        (">", "close"),
        ("<", "close"),
    ]
    assert frames[4].data == {"realtimeInput": {"text": "Hello"}}
    assert frames[5].data == frames[6].data == base64.b64encode(b"1").decode()
    assert frames[8].data == f"sha256:{hashlib.sha256(b'not JSON').hexdigest()}:8"
    assert (frames[9].code, frames[10].code) == (1000, 1000)
    times = [frame.time_s for frame in frames]
    assert times == sorted(times)
    assert times[0] >= 0
    assert 0.05 <= times[-1] - times[4] < 5


async def test_the_session_does_not_notice(network, file):
    async with connect(file) as session:
        network.last.receiver.writing_paused()
        await session.send_text("Hello")
        assert session.stats.waiting == 1
        network.last.receiver.life_sign()
        network.last.receiver.writing_resumed()
        assert session.stats.waiting == 0
        recorded = network.last.said
    assert recorded == [{"realtimeInput": {"text": "Hello"}}]


async def test_the_lines_are_those_of_the_format(network, file):
    async with connect(file):
        pass
    head, opened, setup, *_ = map(json.loads, file.read_text().splitlines())
    assert head.keys() == HEAD.keys()
    assert (head["format"], head["version"]) == ("gemini-live-recording", 1)
    assert opened == {"t": opened["t"], "dir": "", "kind": "open"}
    assert setup.keys() == {"t", "dir", "kind", "data"}


async def test_reconnects_and_failed_dials_stay_in_the_same_file(network, file):
    network.failures = [None, Failure(code=503, reason="HTTP 503 at the upgrade"), None, None]
    async with connect(file) as session:
        events = session.events()
        for failure in (Failure(code=1011, reason="Internal error encountered."), Failure(reason="reset")):
            network.last.lose(failure)
            while not isinstance(await anext(events), live.Reconnected):
                pass
    frames = [frame for frame in live.read_recording(file).frames if frame.kind in ("open", "close")]
    assert [(frame.direction, frame.kind, frame.code, frame.reason) for frame in frames] == [
        ("", "open", None, ""),
        ("<", "close", 1011, "Internal error encountered."),
        ("", "close", 503, "HTTP 503 at the upgrade"),
        ("", "open", None, ""),
        ("", "close", None, "reset"),
        ("", "open", None, ""),
        (">", "close", 1000, ""),
        ("<", "close", 1000, ""),
    ]


async def test_a_connection_that_is_given_up_ends(network, file):
    async with connect(file, transport=live.TransportConfig(ping_after_s=0.01, lost_after_s=0.01)) as session:
        while session.stats.reconnects == 0:
            await asyncio.sleep(0.01)
    assert "given up" in {frame.reason for frame in live.read_recording(file).frames}


async def test_no_secret_is_written(network, file):
    setup = {
        "model": "m",
        "session_resumption": {"handle": "made-up-handle-0"},
        "tools": [
            {"google_maps": {"authConfig": {"apiKeyConfig": {"apiKeyString": "made-up-secret"}}, "enableWidget": True}},
            {
                "mcp_servers": [
                    {"name": "n", "streamableHttpTransport": {"headers": {"Authorization": "made-up-secret"}}}
                ]
            },
            {"exa_ai_search": {"api_key": "made-up-secret"}},
            {"function_declarations": [{"name": "f", "parameters": {"properties": {"headers": {"type": "STRING"}}}}]},
        ],
    }
    update = b'{"sessionResumptionUpdate":{"newHandle":"made-up-handle-1","resumable":true}}'
    headers = live.TransportConfig(headers={"x-extra": "made-up-secret"})
    endpoint = live.Custom("wss://host.example/path?tenant=made-up-tenant")
    network.greeting = (READY, update)
    async with connect(file, setup, transport=headers, auth=live.ApiKey("made-up-key"), endpoint=endpoint) as session:
        events = session.events()
        network.last.say(update)
        await asyncio.sleep(0.01)
        network.last.lose()
        while not isinstance(await anext(events), live.Reconnected):
            pass
    assert "made-up" not in file.read_text()
    recording = live.read_recording(file)
    assert recording.url == "wss://host.example/path"
    messages = [frame.data for frame in recording.frames if isinstance(frame.data, dict)]
    handles = [
        (message.get("setup", {}).get("sessionResumption") or message.get("sessionResumptionUpdate") or {})
        for message in messages
    ]
    assert [each.get("handle") or each.get("newHandle") for each in handles if each] == [
        "handle-1",
        "handle-2",
        "handle-2",
        "handle-2",
        "handle-2",
    ]
    assert messages[0]["setup"]["tools"] == [
        {"googleMaps": {"authConfig": "…", "enableWidget": True}},
        {"mcpServers": [{"name": "n", "streamableHttpTransport": {"headers": "…"}}]},
        {"exaAiSearch": {"api_key": "…"}},
        {"functionDeclarations": [{"name": "f", "parameters": {"properties": {"headers": {"type": "STRING"}}}}]},
    ]


async def test_the_file_is_for_its_owner_only(network, file):
    async with connect(file):
        if os.name == "posix":  # Windows has no such modes; a file there has the rights of its folder
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
async def test_so_is_one_that_was_everybodys(network, file):
    file.touch(mode=0o644)
    async with connect(file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
async def test_two_sessions_do_not_write_one_file(network, file):
    async with connect(file) as first:
        await first.send_text("first")
        with pytest.raises(
            live.ConfigError, match=r"another recording is being written there; give each session its own"
        ):
            await connect(file)
        assert len(network.connections) == 1
    assert [frame.data for frame in live.read_recording(file).frames if frame.kind == "text"][-1] == {
        "realtimeInput": {"text": "first"}
    }
    async with connect(file):
        pass


async def test_a_new_recording_replaces_the_old(network, file):
    file.write_text("x" * 100_000)
    await record(file, network)
    assert file.stat().st_size < 10_000


async def test_audio_whole_or_by_hash(network, file):
    pcm = np.arange(1_000, dtype="<i2").tobytes()
    heard = b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"%s"}}]}}}'
    url_safe = base64.urlsafe_b64encode(pcm).rstrip(b"=")
    whole = (await record(file, network, heard % base64.b64encode(pcm)))[-1]
    assert whole == json.loads(heard % base64.b64encode(pcm))
    expected = f"sha256:{hashlib.sha256(pcm).hexdigest()}:2000"
    for form in (base64.b64encode(pcm), url_safe):
        message = (await record(file, network, heard % form, audio="hash"))[-1]
        assert message["serverContent"]["modelTurn"]["parts"] == [
            {"inlineData": {"mimeType": "audio/pcm", "data": expected}}
        ]
    broken = (await record(file, network, heard % b"!!", audio="hash"))[-1]
    assert broken["serverContent"]["modelTurn"]["parts"][0]["inlineData"]["data"].endswith(":2")


async def test_the_sounds_and_pictures_of_a_setup(network, file):
    voice = {
        "mime_type": "audio/wav",
        "voice_sample_audio": b"a voice" * 9,
        "consent_audio": b"a consent" * 9,
        "voice_consent_signature": {"signature": "signed"},
    }
    setup = {
        "model": "m",
        "generation_config": {"speech_config": {"voice_config": {"replicated_voice_config": voice}}},
        "avatar_config": {"customized_avatar": {"image_mime_type": "image/png", "image_data": b"a face" * 9}},
    }
    network.greeting = (b'{"setupComplete":{"voiceConsentSignature":{"signature":"signed too"}}}',)
    async with connect(live.Recording(file, audio="hash"), setup=setup):
        pass
    text = file.read_text()
    assert text.count("sha256:") == 3
    for data in (b"a voice", b"a consent", b"a face"):
        assert base64.b64encode(data * 3).decode() not in text
    assert "signed" not in text  # with it and the sample anybody can speak with that voice


async def test_what_is_said_is_hashed_too_and_words_are_not(network, file):
    async with connect(live.Recording(file, audio="hash")) as session:
        await session.send_audio(b"\1\2" * 320)
        await session.send_video(b"\xff\xd8\xff" + b"\0" * 50)
        await session.send_tool_response({"id": "1", "name": "f", "response": {"data": "word", "mime": "x"}})
    messages = [frame.data for frame in live.read_recording(file).frames if frame.kind == "text"]
    digest = hashlib.sha256(b"\1\2" * 320).hexdigest()
    expected = f"sha256:{digest}:640"
    assert messages[1]["realtimeInput"]["audio"] == {"mimeType": "audio/pcm;rate=16000", "data": expected}
    assert messages[2]["realtimeInput"]["video"]["data"].endswith(":53")
    assert messages[3]["toolResponse"]["functionResponses"][0]["response"] == {"data": "word", "mime": "x"}


@pytest.mark.parametrize("depth", [100, 400, 500, 900])
@pytest.mark.parametrize("audio", ["whole", "hash"])
async def test_what_is_too_deep_to_be_looked_through_is_not_written(network, file, depth, audio):
    tools = "[" * depth + '{"apiKey":"made-up-secret"}' + "]" * depth
    async with connect(live.Recording(file, audio=audio)) as session:
        await session.send_raw(f'{{"contextUpdate":{{"tools":{tools}}}}}')
        await session.send_text("x")
    sent = [frame for frame in live.read_recording(file).frames if frame.direction == ">" and frame.kind == "text"]
    assert len(sent) == 3
    text = file.read_text()
    assert "made-up" not in text
    assert base64.b64encode(b"made-up-secret").decode()[3:-4] not in text
    assert base64.b64encode(b"..made-up-secret").decode()[3:-4] not in text
    assert base64.b64encode(b".made-up-secret").decode()[3:-4] not in text


@pytest.mark.parametrize(
    "heard",
    [
        b'{"sessionResumptionUpdate":{"newHandle":"made-up","resumable":true},"new":1e999}',
        b'{"sessionResumptionUpdate":{"newHandle":"made-up","resumable":true},"new":"\xff"}',
        b'{"sessionResumptionUpdate":{"newHandle":"made-up","resumable":true},"new":"\\ud800"}',
        b'{"sessionResumptionUpdate":{"newHandle":"made-up","resumable":true}}}',
        b'[{"sessionResumptionUpdate":{"newHandle":"made-up","resumable":true}}]',
    ],
)
async def test_what_is_no_sound_json_is_not_written_with_what_it_holds(network, file, heard):
    """Some of it is understood all the same: the session resumes with the first handle."""
    assert (await record(file, network, heard))[-1] == f"sha256:{hashlib.sha256(heard).hexdigest()}:{len(heard)}"


async def test_a_raw_message_that_json_takes_and_msgspec_does_not(network, file):
    raw = '{"contextUpdate":{"tools":[{"googleMaps":{"authConfig":"made-up"}}],"new":1e999}}'
    async with connect(file) as session:
        await session.send_raw(raw)
        await session.send_text("x")
    said = [frame.data for frame in live.read_recording(file).frames if frame.direction == ">" and frame.kind == "text"]
    assert said[1] == f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}:{len(raw)}"


async def test_whatever_comes_can_be_written(network, file):
    odd = [
        b"[1]",
        b"",
        b"\xff\xfe",
        b"{" * 100_000,
        b'{"a":"\xe2\x80\xa8"}',
        b'{"sessionResumptionUpdate":7}',
        b'{"\\ud800":1}',
    ]
    lines = await record(file, network, *odd)
    assert len(lines) == 3 + len(odd)
    assert len(file.read_bytes().splitlines()) == len(live.read_recording(file).frames) + 1


# --- whose it is ----------------------------------------------------------------------------------------------------


async def test_nothing_is_left_of_it_after_the_session(network, file):
    session = await connect(file)
    assert len(recorders()) == 1
    await session.close()
    assert recorders() == []
    await session.close()


async def test_a_session_that_is_not_closed_loses_nothing_of_its_recording(network, file):
    session = await connect(file)
    await session.send_text("Hello")
    del session
    gc.collect()
    while recorders():
        await asyncio.sleep(0.01)
        gc.collect()
    assert [frame.code for frame in live.read_recording(file).frames if frame.kind == "close"] == [1000, 1000]


async def test_a_dial_that_fails_for_good_leaves_a_complete_file(network, file):
    network.failures = [Failure(code=401, reason="HTTP 401 at the upgrade")]
    with pytest.raises(live.AuthenticationError):
        await connect(file)
    assert [(frame.kind, frame.code) for frame in live.read_recording(file).frames] == [("close", 401)]
    assert recorders() == []


# --- disks ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")  # noqa: PTH110
async def test_a_full_disk_at_the_beginning(network):
    with pytest.raises(live.ConfigError, match=r"cannot write the recording /dev/full: No space left on device"):
        await connect("/dev/full")
    assert network.dials == []
    assert recorders() == []


@pytest.mark.parametrize("where", ["nowhere/call.jsonl", ".", "nul\0byte"])
async def test_a_path_that_cannot_be_written(network, tmp_path, where):
    with pytest.raises(live.ConfigError, match="cannot write the recording") as caught:
        await connect(f"{tmp_path}/{where}")
    assert caught.value.path == "record"
    assert network.dials == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")  # noqa: PTH110
async def test_a_disk_that_fills_up_ends_the_recording_and_not_the_session(network, file, caplog):
    async with connect(file) as session:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, session._recorder._writer._file.fileno())
        os.close(full)
        for _ in range(3):
            await session.send_text("Hello")
            await asyncio.sleep(0.02)
        assert session.status is live.SessionStatus.CONNECTED
    assert len(network.last.said) == 3
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == [f"recording to {file} has stopped: No space left on device; the session goes on"]
    assert recorders() == []


async def test_a_disk_that_is_too_slow_ends_the_recording_with_a_line_that_says_so(network, file, caplog, monkeypatch):
    monkeypatch.setattr(recorder_module, "_MOST_WAITING", 5)
    slow = threading.Event()
    async with connect(file) as session:
        writer = session._recorder._writer
        write = writer._write
        writer._write = lambda noted: (slow.wait(5), write(noted))
        for number in range(20):
            await session.send_text(f"{number}")
        slow.set()
        while not caplog.records:
            await asyncio.sleep(0.01)
        await session.send_text("not recorded")
    assert len(network.last.said) == 21
    *_, last = live.read_recording(file).frames
    assert (last.direction, last.kind, last.reason) == ("", "stop", "the disk is too slow")
    assert "not recorded" not in file.read_text()
    assert len(caplog.records) == 1


def test_a_recording_is_whole_or_by_hash():
    with pytest.raises(live.ConfigError, match="'whole' or 'hash', not 'none'"):
        live.Recording("x", audio="none")


@pytest.mark.parametrize("path", [True, 5, None, object()], ids=["bool", "int", "None", "object"])
def test_a_recording_has_a_path(path):
    with pytest.raises(live.ConfigError, match="a recording is written to a file, by its path, not ") as caught:
        live.Recording(path)
    assert caught.value.path == "record"


def test_what_is_no_recording_is_refused_by_connect_itself():
    with pytest.raises(live.ConfigError, match="not bool"):
        live.connect("gemini-3.8-live", auth="key", record=True)


# --- reading --------------------------------------------------------------------------------------------------------

LINE = {"t": 0.5, "dir": "<", "kind": "text", "data": {"setupComplete": {}}}


@pytest.mark.parametrize(
    ("lines", "number", "reason"),
    [
        ([], 1, "truncated"),
        (["{"], 1, "truncated"),
        ([{"format": "other"}], 1, "missing required field"),
        ([{**HEAD, "format": "other"}], 1, "format 'other', version 1"),
        ([{**HEAD, "version": 2}], 1, "version 2, is not known"),
        ([HEAD, LINE, '{"t":0.5,"di'], 3, "truncated"),
        ([HEAD, ""], 2, "truncated"),
        ([HEAD, {**LINE, "kind": "shout"}], 2, "Invalid enum value 'shout' - at `$.kind`"),
        ([HEAD, {**LINE, "dir": "x"}], 2, "Invalid enum value 'x' - at `$.dir`"),
        ([HEAD, {**LINE, "t": "soon"}], 2, "Expected `float`, got `str` - at `$.t`"),
        ([HEAD, {**LINE, "data": 7}], 2, "at `$.data`"),
        ([HEAD, {"dir": "<", "kind": "text"}], 2, "missing required field `t`"),
    ],
)
def test_a_broken_recording_says_where_and_why(file, lines, number, reason):
    file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    with pytest.raises(live.ConfigError) as caught:
        live.read_recording(file)
    assert str(caught.value).startswith(f"{file}, line {number}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_recording_that_ends_within_a_line(file, cut):
    """As after a crash, or when the disk is full."""
    file.write_text("\n".join(json.dumps(line) for line in (HEAD, LINE, LINE))[:-cut])
    *whole, last = live.read_recording(file).frames
    assert [frame.time_s for frame in whole] == [0.5]
    assert last == live.RecordedFrame(time_s=0.5, direction="", kind="stop", reason="the file ends within a line")


def test_a_last_line_without_an_end_that_is_whole(file):
    file.write_text(f"{json.dumps(HEAD)}\n{json.dumps(LINE)}")
    assert len(live.read_recording(file).frames) == 1
    file.write_text(f"{json.dumps(HEAD)}\n{{}}")
    with pytest.raises(live.ConfigError, match=r"line 2: .*missing required field"):
        live.read_recording(file)


def test_a_recording_that_is_not_text(file):
    file.write_bytes(json.dumps(HEAD).encode() + b'\n{"t":0,"dir":"<","kind":"text","data":"\xff"}\n')
    with pytest.raises(live.ConfigError, match="line 2"):
        live.read_recording(file)


def test_a_recording_that_is_not_there(file):
    with pytest.raises(live.ConfigError, match="No such file"):
        live.read_recording(file)


def test_a_good_recording(file):
    file.write_text(f"{json.dumps(HEAD)}\n{json.dumps(LINE)}\n")
    recording = live.read_recording(file)
    assert recording.created == datetime(2026, 10, 10, 12, tzinfo=UTC)
    assert recording.frames == [live.RecordedFrame(time_s=0.5, direction="<", kind="text", data={"setupComplete": {}})]


# --- with the emulator ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio", ["whole", "hash"])
async def test_the_emulator_plays_it_back(file, audio):
    async def talk(url, **options):
        heard = []
        async with live.connect("gemini-3.8-live", endpoint=url, auth="k", **options) as session:
            await session.send_text("Hello")
            while not isinstance(event := await session.next_event(), live.TurnComplete):
                heard.append(event)
        return [event for event in heard if isinstance(event, live.ModelAudio)]

    async with emulator.serve(compress_time=True) as url:
        first = await talk(url, record=live.Recording(file, audio=audio))
    async with emulator.serve(compress_time=True, replay=file) as url:
        again = await talk(url)
    assert [len(event.data) for event in again] == [len(event.data) for event in first]
    assert (again == first) is (audio == "whole")
