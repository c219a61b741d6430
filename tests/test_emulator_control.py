"""Commands while it runs, from another process; and the knobs, from Python and from the command line."""

import argparse
import asyncio
import contextlib
import json
import re

import aiohttp
import msgspec
import pytest

import emulator_client
from emulator_client import DEV, DEV_MODEL, VERTEX, VERTEX_MODEL, dial, talk
from gemini_live import emulator
from gemini_live.emulator import Faults, Pace, Profile, command
from gemini_live.emulator.control import COMMANDS
from gemini_live.emulator.knobs import given, knobs
from gemini_live.errors import ConfigError

no_errors_inside = emulator_client.no_errors_inside


async def post(emu, what, body=None, method="POST", **headers):
    url = emu.url.replace("ws", "http", 1) + f"/_emulator/{what}"
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as http, http.request(method, url, data=data, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_go_away():
    async with talk() as (emu, client):
        assert await post(emu, "go_away", {"timeLeftS": 0.02}) == (200, {"connections": [1]})
        assert await client.get() == {"goAway": {"timeLeft": "0.020s"}}
        assert (await client.closed())[0] == 1011


@pytest.mark.parametrize(
    ("path", "model", "faults", "left"),
    [
        (DEV, DEV_MODEL, None, "50s"),
        (VERTEX, VERTEX_MODEL, None, "30s"),
        (VERTEX, VERTEX_MODEL, Faults(go_away_time_left_s=60), "60s"),
    ],
)
async def test_go_away_leaves_the_time_that_a_planned_one_does(path, model, faults, left):
    async with talk(path, model, faults=faults) as (emu, client):
        await emu.go_away()
        assert (await client.until("goAway"))[-1] == {"goAway": {"timeLeft": left}}
        await post(emu, "go_away")
        assert (await client.until("goAway"))[-1] == {"goAway": {"timeLeft": left}}


@pytest.mark.parametrize("body", [None, {}, {"midFrame": True}, {"mid_frame": False, "connection": 1}])
async def test_cut(body):
    async with talk() as (emu, client):
        status, _ = await post(emu, "cut", body)
        if body and "mid_frame" in body:
            assert status == 400  # the endpoint has one spelling
            return
        assert status == 200
        assert await client.closed() == (1006, "")


async def test_close_one_of_two():
    async with talk() as (emu, first), dial(emu.url) as second:
        await second.set_up()
        body = {"code": 1008, "reason": "enough", "connection": 2}
        assert await post(emu, "close", body) == (200, {"connections": [2]})
        assert await second.closed() == (1008, "enough")
        await first.flushed()
        assert await post(emu, "close", {"connection": 9}) == (200, {"connections": []})


async def test_interrupt_poison_stall_and_send():
    async with talk() as (emu, client):
        await post(emu, "interrupt")
        assert await client.get() == {"serverContent": {"interrupted": True}}
        await post(emu, "send", {"message": {"somethingNew": {"a": 1}}})
        assert await client.get() == {"somethingNew": {"a": 1}}
        await post(emu, "poison")
        await client.say(realtimeInput={"text": "x"})
        await client.flushed()
        assert emu.ledger.sessions[0].answers == 0
        await post(emu, "stall")
        await client.ws.ping(b"?")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.ws.receive()
        emu.cut()


async def test_faults_are_for_those_who_come():
    async with talk() as (emu, client):
        body = {"httpStatus": 503, "connections": 1}
        status, faults = await post(emu, "faults", body)
        assert status == 200
        assert faults["httpStatus"] == 503
        assert (await post(emu, "faults", method="GET"))[1] == faults
        await client.flushed()
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await dial(emu.url).__aenter__()
        async with dial(emu.url) as second:
            await second.set_up()
        assert (await post(emu, "faults", {}))[1]["httpStatus"] is None  # what is not said is as it was at first


async def test_ledger():
    async with talk() as (emu, client):
        await client.say(realtimeInput={"text": "hello"})
        await client.say(realtimeInput={"video": {"mimeType": "image/jpeg", "data": "/9j/"}})
        part = {"inlineData": {"mimeType": "image/png", "data": "_-8"}}
        await client.say(clientContent={"turns": [{"parts": [part, {"text": "\ud800"}]}]})
        await client.flushed()
        status, ledger = await post(emu, "ledger", method="GET")
        (session,) = ledger["sessions"]
        assert status == 200
        assert (session["model"], session["texts"], session["images"]) == (DEV_MODEL, ["hello"], 1)
        assert session["contents"][0]["parts"][0]["inline_data"]["data"] == "/+8="
        assert session["messagesByKind"] == {"text": 1, "video": 1, "client_content": 1}
        assert ledger["connections"][0]["messages"] == 3


@pytest.mark.parametrize(
    ("what", "body", "words"),
    [
        ("go_away", {"timeLeft": 5}, "unknown field `timeLeft`"),
        ("go_away", {"timeLeftS": "5"}, "Expected `float | null`, got `str`"),
        ("go_away", {"timeLeftS": -5}, "Expected `float` >= 0"),
        ("close", {"code": 1006}, "1006"),
        ("close", {"code": 1006, "connection": 99}, "1006"),  # though nobody is there
        ("faults", {"cutAfter": 1}, "unknown field `cutAfter`"),
        ("faults", {"cutAfterS": -1}, "cut_after_s cannot be -1"),
        ("send", {}, "missing required field `message`"),
        ("cut", b"{", "JSON"),
        ("cut", b"\xff", "JSON"),
        ("send", b'{"message": {"x": NaN}}', "JSON"),
        ("send", b'{"message": ' + b"[" * 100_000, "JSON"),
        ("go_away", b'{"timeLeftS": 1e999}', "JSON"),
        ("cut", [], "Expected `object`, got `array`"),
    ],
)
async def test_what_is_wrong_with_a_command(what, body, words):
    async with talk() as (emu, client):
        status, answer = await post(emu, what, body)
        assert status == 400
        assert words in answer["error"]
        await client.flushed()


async def test_what_there_is():
    async with emulator.Emulator() as emu:
        status, answer = await post(emu, "nothing")
        assert status == 404
        for name in ("GET ledger", "POST faults", *(f"POST {name}" for name in COMMANDS)):
            assert name in answer["error"]


async def test_not_from_a_web_page():
    async with talk() as (emu, client):
        assert (await post(emu, "cut", {}, Origin="https://example.com"))[0] == 403
        await client.flushed()


async def test_not_from_another_machine(monkeypatch):
    async with talk() as (emu, client):
        for remote, allowed in (("192.0.2.1", False), ("::ffff:127.0.0.1", True), ("::1", True), ("", False)):
            monkeypatch.setattr("aiohttp.web.BaseRequest.remote", remote)
            assert ((await post(emu, "ledger", method="GET"))[0] == 200) == allowed
        await client.flushed()


async def test_other_rooms_commands_from_python():
    async with talk() as (emu, client):
        emu.send({"x": 1})
        assert await client.get() == {"x": 1}
        emu.cut(mid_frame=True)
        assert (await client.closed())[0] == 1006


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "command",
    [
        lambda emu: emu.send({"x": NAN}),
        lambda emu: emu.send({"x": b"bytes"}),
        lambda emu: emu.connections[0].send({"x": object()}),
        lambda emu: emu.close_connections(1005),
        lambda emu: emu.connections[0].close(70_000, ""),
        lambda emu: emu.go_away(NAN),
        lambda emu: emu.go_away(INF),
        lambda emu: emu.connections[0].go_away(-1),
    ],
)
async def test_commands_that_cannot_be_done_fail_at_once(command):
    async with talk() as (emu, client):
        with pytest.raises(ConfigError):
            await _done(command, emu)
        await client.flushed()


async def _done(command, emu):
    if (doing := command(emu)) is not None:
        await doing


async def test_what_is_sent_is_what_it_was_then():
    async with talk() as (emu, client):
        emu.send(message := {"x": [1]})
        message["x"].append(2)
        assert await client.get() == {"x": [1]}


async def test_a_stalled_connection_says_nothing_on_command():
    async with talk() as (emu, client):
        emu.stall()
        await emu.go_away(5)
        emu.send({"x": 1})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.ws.receive()
        emu.cut()


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80", "app.localhost", "LOCALHOST"])
async def test_names_of_this_machine(host):
    async with talk() as (emu, client):
        assert (await post(emu, "ledger", method="GET", Host=host))[0] == 200
        await client.flushed()


async def test_no_name_that_somebody_made_point_here():
    """A browser that is led to find evil.example on this machine shows its page, and then says no Origin."""
    async with talk() as (emu, client):
        for host in ("evil.example", "evil.example:80", "localhost.evil.example", "", "[", "127.0.0.1.evil.example"):
            assert (await post(emu, "ledger", method="GET", Host=host))[0] == 403
        await client.flushed()
    async with emulator.Emulator(host="localhost") as emu:
        assert (await post(emu, "ledger", method="GET"))[0] == 200


# --- the knobs ---


def parser():
    made = argparse.ArgumentParser(prog="emulator")
    command.add_arguments(made)
    return made


VALUES = {bool: True, int: 1001, float: 1.5, str: "text"}


@pytest.mark.parametrize("struct", [Faults, Pace, Profile])
def test_every_field_is_an_option_with_a_line(struct, monkeypatch):
    plain = {"name", "surface", "pace", "models"} if struct is Profile else set()
    table = list(knobs(struct))
    assert [knob.name for knob in table] == [name for name in struct.__struct_fields__ if name not in plain]
    monkeypatch.setenv("COLUMNS", "2000")  # no line is broken
    help_text = parser().format_help()
    start = emulator.PROFILES["2.5"] if struct is Profile else struct()
    for knob in table:
        assert re.search(rf"{knob.option}[\s,]", help_text)
        assert knob.text in help_text
        value = knob.choices[-1] if knob.choices else 503 if knob.name == "http_status" else VALUES[knob.kind]
        words = [knob.option] if knob.kind is bool else [knob.option, str(value)]
        made = given(parser().parse_args(words), start)
        assert made == msgspec.structs.replace(start, **{knob.name: value})
        if struct is Profile and knob.kind is bool:
            off = given(parser().parse_args([knob.option.replace("--", "--no-", 1)]), start)
            assert off == msgspec.structs.replace(start, **{knob.name: False})
    assert given(parser().parse_args([]), start) == start


@pytest.mark.parametrize("struct", [Faults, Pace, Profile])
def test_every_field_can_be_described(struct):
    for knob in knobs(struct):
        assert knob.text
        assert knob.text[0].islower() or knob.text.startswith("...")
        assert not knob.text.endswith(".")


async def test_the_commands_options_reach_the_emulator(tmp_path, capsys):
    script = tmp_path / "script.toml"
    script.write_text("[[rule]]\nwhen = { text = 'x' }\nreply = []\n")
    words = f"--profile 2.5 --no-cancels-calls --pace-hold 0.5 --cut-after 3 --script {script}".split()
    made = command._emulator(parser().parse_args(words))
    assert (made.profile.name, made.profile.cancels_calls, made.profile.pace.hold) == ("2.5", False, 0.5)
    assert made.faults == Faults(cut_after_s=3)
    fast = command._emulator(parser().parse_args(["--compress-time", "--pace-setup", "0.5"]))
    assert fast.profile.pace == msgspec.structs.replace(Pace.compressed(), setup_s=0.5)


@pytest.mark.parametrize("words", ["--script none.toml", "--replay none.jsonl", "--cut-after -1", "--pace-speed 0"])
async def test_options_that_cannot_work(words):
    with pytest.raises(ConfigError):
        await command.run(parser().parse_args(words.replace(" -1", "=-1").split()))


async def test_a_running_command_is_commanded():
    with contextlib.suppress(ProcessLookupError):
        process = await emulator_client.start_command("--compress-time", "--record")
        url = (await process.stdout.readline()).decode().strip()
        async with dial(url) as client:
            await client.set_up()
            await client.say(realtimeInput={"text": "hello"})
            await client.until("serverContent", "turnComplete")
            other = argparse.Namespace(url=url)
            _, ledger = await post(other, "ledger", method="GET")
            assert ledger["sessions"][0]["texts"] == ["hello"]
            await post(other, "cut")
            assert await client.closed() == (1006, "")
        process.terminate()
        await process.communicate()
