"""Recordings, played back."""

import base64
import json

import aiohttp
import pytest

import emulator_client
import gemini_live as live
from emulator_client import DEV_MODEL, VERTEX, blob, dial, tone
from gemini_live import emulator
from gemini_live.emulator.replay import read_recording
from gemini_live.emulator.script import Close
from gemini_live.errors import ConfigError
from gemini_live.recorder import Recording

no_errors_inside = emulator_client.no_errors_inside

HEAD = {"format": "gemini-live-recording", "version": 1, "model": DEV_MODEL}
SETUP = {"setup": {"model": DEV_MODEL}}
DONE = {"setupComplete": {}}
TEXT = {"realtimeInput": {"text": "hello"}}
AUDIO = {"realtimeInput": {"audio": blob(tone(0.02))}}


def write(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in (HEAD, *lines)))
    return path


def line(t, dir_, data, kind="text", **more):
    return {"t": t, "dir": dir_, "kind": kind, "data": data, **more}


def opened(t=0.0):
    return {"t": t, "dir": "", "kind": "open"}


CALL = [
    opened(),
    line(0.1, ">", SETUP),
    line(0.4, "<", DONE, "binary"),
    line(0.5, "<", {"sessionResumptionUpdate": {"newHandle": "handle-1", "resumable": True}}),
    *(line(1 + number / 50, ">", AUDIO) for number in range(50)),
    {"t": 1.2, "dir": "<", "kind": "ping", "data": ""},
    line(2.5, "<", {"serverContent": {}, "somethingNew": 1}, "binary"),
    line(3.0, ">", TEXT),
    line(3.5, "<", {"serverContent": {"turnComplete": True}}, "binary"),
    line(3.6, "<", {"t": 3.6, "dir": "<"}, "text"),
    {"t": 4.0, "dir": "<", "kind": "close", "code": 1011, "reason": "Deadline expired"},
    {"t": 4.1, "dir": "", "kind": "close", "reason": "given up"},
    opened(5.0),
    line(5.1, ">", SETUP),
    line(5.2, "<", base64.b64encode(b"\xff no JSON").decode(), "binary"),
    {"t": 6.0, "dir": "", "kind": "close"},
]


async def test_the_server_says_again_what_it_said(tmp_path):
    emu = emulator.Emulator(replay=write(tmp_path / "call.jsonl", *CALL), compress_time=True)
    async with emu, dial(emu.url) as client:
        await client.say(setup={"model": "models/quite-another"})  # whatever is said
        assert await client.get() == DONE
        assert "sessionResumptionUpdate" in await client.get()
        for _ in range(3):
            await client.say(**AUDIO)
        assert await client.get() == {"serverContent": {}, "somethingNew": 1}
        await client.say(anything=True)
        assert await client.get() == {"serverContent": {"turnComplete": True}}
        assert await client.get() == {"t": 3.6, "dir": "<"}
        assert await client.closed() == (1011, "Deadline expired")
        assert emu.ledger.connections[0].messages == 4
    # the second connection has a recording of its own, and after the last the first comes again


async def test_connections_one_after_the_other(tmp_path):
    emu = emulator.Emulator(replay=write(tmp_path / "call.jsonl", *CALL), compress_time=True)
    async with emu:
        for _ in range(2):
            async with dial(emu.url) as first:
                await first.say(**SETUP)
                assert await first.get() == DONE
            async with dial(emu.url, VERTEX) as second:
                await second.say(**SETUP)
                message = await second.ws.receive()
                assert (message.type, message.data) == (aiohttp.WSMsgType.BINARY, b"\xff no JSON")
                assert await second.closed() == (1006, "")


SPEECH = {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "AAAA"}}]}}}
CALLED = {"toolCall": {"functionCalls": [{"id": "1", "name": "f"}]}}
FAILED = (1008, "no")


@pytest.mark.parametrize(
    ("faults", "heard", "end"),
    [
        ({"cut_at_setup": True}, [], (1006, "")),
        ({"close_at_setup": True}, [], FAILED),
        ({"cut_at_speech": 2}, [DONE, SPEECH, SPEECH], (1006, "")),
        ({"close_at_speech": 1}, [DONE, SPEECH], FAILED),
        ({"cut_at_call": True}, [DONE, SPEECH, SPEECH, CALLED], (1006, "")),
        ({"close_at_call": True}, [DONE, SPEECH, SPEECH, CALLED], FAILED),
    ],
)
async def test_faults_strike_in_a_replay_too(tmp_path, faults, heard, end):
    said = [line(0.2, "<", message) for message in (DONE, SPEECH, SPEECH, CALLED, DONE)]
    path = write(tmp_path / "call.jsonl", opened(), line(0.1, ">", SETUP), *said)
    failing = emulator.Faults(close_code=FAILED[0], close_reason=FAILED[1], **faults)
    async with emulator.serve(replay=path, faults=failing, compress_time=True) as url, dial(url) as client:
        await client.say(**SETUP)
        assert [await client.get() for _ in heard] == heard
        assert await client.closed() == end


async def test_a_replay_is_silent_after_go_away_if_told_to(tmp_path):
    path = write(tmp_path / "call.jsonl", opened(), line(0.1, ">", SETUP), line(0.2, "<", DONE))
    emu = emulator.Emulator(replay=path, faults=emulator.Faults(go_away_silent=True), compress_time=True)
    async with emu, dial(emu.url) as client:
        await client.flushed()
        await emu.go_away(0.05)
        await client.say(**SETUP)
        assert "goAway" in await client.get()
        message = await client.ws.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize("audio", ["whole", "hash"])
async def test_what_the_packages_own_recorder_wrote(audio, tmp_path):
    async def talk(url, **options):
        heard = []
        async with live.connect("gemini-3.8-live", endpoint=url, auth="key", **options) as session:
            for text in ("one", "two"):
                await session.send_text(text)
                async for event in session:
                    heard.append(event)
                    if isinstance(event, live.TurnComplete):
                        break
        return heard

    path = tmp_path / "call.jsonl"
    async with emulator.serve(compress_time=True) as url:
        at_first = await talk(url, record=Recording(path, audio=audio))
    async with emulator.serve(replay=path, compress_time=True) as url:
        again = await talk(url)
    assert [type(event) for event in again] == [type(event) for event in at_first]
    if audio == "whole":
        assert [e.data for e in again if isinstance(e, live.ModelAudio)] == [
            e.data for e in at_first if isinstance(e, live.ModelAudio)
        ]
    assert sum(len(e.data) for e in again if isinstance(e, live.ModelAudio)) > 10_000


@pytest.mark.parametrize(("kind", "empty"), [("text", "{}"), ("binary", b"{}")])
def test_a_message_of_which_only_the_hash_was_kept_says_nothing(tmp_path, kind, empty):
    whole = line(0.1, "<", f"sha256:{'0' * 64}:12", kind)
    player = read_recording(write(tmp_path / "call.jsonl", opened(), whole)).player(0, 0.0)
    player.begin(1.0)
    assert player.due(2.0) == empty


def test_a_line_ends_at_a_line_end_only(tmp_path):
    path = tmp_path / "call.jsonl"
    said = {"realtimeInput": {"text": "a\u2028b\u2029c\x85d"}}
    lines = [HEAD, opened(), line(0.1, ">", SETUP), line(0.2, "<", DONE), line(0.3, ">", said)]
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), "utf-8")
    assert read_recording(path).player(0, 1.0) is not None


def test_gaps_are_kept_and_scaled(tmp_path):
    recording = read_recording(write(tmp_path / "call.jsonl", *CALL))
    for scale in (1.0, 0.5):
        player = recording.player(0, scale)
        player.begin(100.0)
        assert player.deadline() is None
        assert player.heard(json.dumps(SETUP), 100.0)
        times = []
        for _ in range(3):
            times.append(player.deadline())
            assert player.due(times[-1] - 0.01) is None
            assert player.due(times[-1]) is not None
        assert times == pytest.approx([100 + 0.3 * scale, 100 + 0.4 * scale, 100 + 2.4 * scale])
        assert player.deadline() is None
        assert not player.heard(json.dumps(AUDIO), 200.0)
        assert player.deadline() is None
        player.heard(b"\xff", 200.0)
        assert player.deadline() == pytest.approx(200 + 0.5 * scale)


def test_audio_of_which_only_the_hash_was_kept_is_silence(tmp_path):
    part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": f"sha256:{'0' * 64}:960"}}
    said = {"serverContent": {"modelTurn": {"parts": [part]}}}
    recording = read_recording(write(tmp_path / "call.jsonl", opened(), line(0.1, "<", said)))
    (step,) = recording.connections[0]
    (again,) = json.loads(step.data)["serverContent"]["modelTurn"]["parts"]
    assert base64.b64decode(again["inlineData"]["data"]) == bytes(960)


def test_a_recording_without_openings(tmp_path):
    lines = [line(0.1, ">", SETUP), line(0.2, "<", DONE), {"t": 1.0, "dir": "<", "kind": "close"}]
    recording = read_recording(write(tmp_path / "call.jsonl", *lines))
    ((_, end),) = recording.connections
    assert end.data == Close(code=1005)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: not the head of a recording"),
        ("{}\n", "line 1: not the head"),
        ("hello\n", "line 1: not the head"),
        (json.dumps({**HEAD, "version": 9}) + "\n", "line 1: version 9 is not known"),
        (json.dumps(HEAD) + "\n\n", "says nothing"),
        (json.dumps(HEAD) + "\n{", "line 2: "),
        (json.dumps(HEAD) + '\n{"t":0,"dir":"^","kind":"text"}', "line 2: Invalid enum value '^'"),
        (json.dumps(HEAD) + '\n{"t":0,"dir":"<","kind":"text","data":"*"}', "line 2: "),
        (json.dumps(HEAD) + '\n{"t":"x"}', "line 2: Expected `float`"),
    ],
)
def test_mistakes_are_named_with_their_place(text, reason, tmp_path):
    path = tmp_path / "call.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        emulator.serve(replay=path)
    assert str(path) in str(error.value)
    assert reason in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_recording(tmp_path / "none.jsonl")
    (tmp_path / "a.jsonl").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_recording(tmp_path / "a.jsonl")
