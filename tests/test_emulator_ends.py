"""goAway, cuts, closes and limits (E45 to E48)."""

import asyncio
import contextlib
import json
import ssl

import aiohttp
import numpy as np
import pytest

import emulator_client
from emulator_client import (
    DEV,
    DEV_MODEL,
    TOOLS,
    VERTEX,
    blob,
    contents,
    dial,
    profile,
    said,
    silence,
    speech,
    talk,
    tone,
)
from gemini_live import emulator
from gemini_live.errors import ConfigError

no_errors_inside = emulator_client.no_errors_inside


EXPIRED = (1011, "Deadline expired before operation could complete.")


async def test_e45_go_away_on_command():
    async with talk() as (emu, client):
        await emu.go_away(time_left_s=0.05)
        assert await client.get() == {"goAway": {"timeLeft": "0.050s"}}
        await client.say(realtimeInput={"text": "x"})  # still served
        await client.until("serverContent", "turnComplete")
        assert await client.closed() == EXPIRED
        await client.ws.close()


async def test_e45_go_away_then_silent():
    async with talk(faults=emulator.Faults(go_away_silent=True)) as (emu, client):
        await emu.go_away(time_left_s=0.1)
        assert await client.get() == {"goAway": {"timeLeft": "0.100s"}}
        await client.say(realtimeInput={"text": "x"})
        message = await client.ws.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert (message.data, message.extra) == EXPIRED


@pytest.mark.parametrize(
    ("faults", "set_up"),
    [
        (emulator.Faults(cut_at_setup=True), False),
        (emulator.Faults(cut_after_messages=2), True),
    ],
)
async def test_e46_cut_without_a_close_frame(faults, set_up):
    async with emulator.Emulator(faults=faults, compress_time=True) as emu, dial(emu.url) as client:
        await client.say(setup={"model": DEV_MODEL})
        if set_up:
            await client.get()
            for text in ("one", "two", "three"):
                await client.say(realtimeInput={"text": text})
        assert await client.closed() == (1006, "")
        if set_up:
            assert emu.ledger.sessions[0].texts == ["one", "two"]
            assert emu.ledger.connections[0].messages == 2


async def test_e46_cut_at_an_age():
    async with talk_without_setup(emulator.Faults(cut_after_s=0.02)) as client:
        assert await client.closed() == (1006, "")


@pytest.mark.parametrize("tls", [False, True])
async def test_e46_cut_on_command(tls):
    emu = emulator.Emulator(tls=tls, compress_time=True)
    async with emu, dial(emu.url, tls=emu.client_ssl_context() if tls else True) as client:
        await client.set_up()
        emu.cut()
        assert await client.closed() == (1006, "")


@pytest.mark.parametrize(
    "faults",
    [
        emulator.Faults(close_at_setup=True, close_code=1008, close_reason="no"),
        emulator.Faults(close_after_messages=1, close_code=1008, close_reason="no"),
        emulator.Faults(close_after_s=0.02, close_code=1008, close_reason="no"),
    ],
)
async def test_e46_close_with_any_code(faults):
    async with emulator.serve(faults=faults, compress_time=True) as url, dial(url) as client:
        await client.say(setup={"model": DEV_MODEL})
        await client.say(realtimeInput={"text": "x"})
        assert await client.closed() == (1008, "no")


async def test_e46_close_reaches_a_client_that_keeps_sending():
    async with talk() as (emu, client):
        for _ in range(200):
            await client.say(realtimeInput={"audio": blob(silence(0.1))})
        closing = asyncio.create_task(emu.close_connections(1011, "now"))
        assert await client.closed() == (1011, "now")
        await client.ws.close()
        await closing


async def test_e48_status_at_the_upgrade_for_the_first_connections_only():
    faults = emulator.Faults(http_status=429, connections=1)
    async with emulator.Emulator(faults=faults, compress_time=True) as emu:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await dial(emu.url).__aenter__()
        assert refused.value.status == 429
        async with dial(emu.url) as client:
            await client.set_up()
        emu.faults = faults  # counts from here again
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await dial(emu.url).__aenter__()


# --- goAway: as it should be, silent, or not at all ---


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, ""), (1008, "The operation was aborted.")])
async def test_e45_other_closes_after_go_away(code, reason):
    faults = emulator.Faults(go_away_after_s=0, go_away_time_left_s=0.02, go_away_code=code, go_away_reason=reason)
    async with talk_without_setup(faults) as client:
        assert await client.get() == {"goAway": {"timeLeft": "0.020s"}}
        assert await client.closed() == (code, reason)


async def test_e45_no_go_away_at_all():
    faults = emulator.Faults(go_away_after_s=0.01, go_away_time_left_s=0.02, go_away_missing=True)
    async with talk_without_setup(faults) as client:
        message = await client.ws.receive()
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, *EXPIRED)


async def test_e45_connections_last_as_long_as_the_model_has_it():
    lifetime = profile("3.1", lifetime_s=0.05)
    faults = emulator.Faults(go_away_time_left_s=0.03)
    async with talk_without_setup(faults, profile=lifetime) as client:
        assert await client.get() == {"goAway": {"timeLeft": "0.030s"}}
        assert await client.closed() == EXPIRED


@pytest.mark.parametrize(("path", "left"), [(DEV, "50s"), (VERTEX, "30s")])
async def test_e45_how_much_is_left_depends_on_the_surface(path, left):
    emu = emulator.serve(faults=emulator.Faults(go_away_after_s=0), compress_time=True)
    async with emu as url, dial(url, path) as client:
        assert await client.get() == {"goAway": {"timeLeft": left}}


async def test_e45_a_connection_that_lasts_for_less_than_go_away_announces():
    async with talk_without_setup(None, profile=profile(lifetime_s=0.03)) as client:
        assert await client.get() == {"goAway": {"timeLeft": "0.030s"}}
        assert await client.closed() == EXPIRED
    faults = emulator.Faults(go_away_missing=True)
    async with talk_without_setup(faults, profile=profile(lifetime_s=0.03)) as client:
        assert await client.closed() == EXPIRED


@contextlib.asynccontextmanager
async def talk_without_setup(faults, **options):
    """For what comes at an age, which may be before a busy machine has set anything up."""
    async with emulator.serve(faults=faults, compress_time=True, **options) as url, dial(url) as client:
        yield client


# --- cuts and closes at every point ---


@pytest.mark.parametrize("end", ["cut", "close"])
async def test_e46_mid_audio(end):
    faults = emulator.Faults(**{f"{end}_at_speech": 2}, close_code=1008, close_reason="no")
    async with talk(faults=faults) as (emu, client):
        await client.say(realtimeInput={"text": "a long story"})
        got = []
        with contextlib.suppress(AssertionError):
            while True:
                got.append(await client.get())
        assert len(speech(got)) <= 2_400 + 7_680
        assert "generationComplete" not in contents(got)
        if end == "close":
            assert len(speech(got)) == 2_400 + 7_680
            assert emu.ledger.connections[0].code == 1008


@pytest.mark.parametrize("end", ["cut", "close"])
async def test_e46_mid_tool(end):
    faults = emulator.Faults(**{f"{end}_at_call": True}, close_code=1008, close_reason="no")
    async with talk(faults=faults, setup={**TOOLS, "sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        await client.say(realtimeInput={"text": "light"})
        assert await client.closed() == ((1006, "") if end == "cut" else (1008, "no"))
        await client.ws.close()
        emu.faults = emulator.Faults()
        (call_id,) = emu.ledger.sessions[0].memory.calls
        async with dial(emu.url) as again:  # the call is pending still
            await again.set_up(**TOOLS, sessionResumption={"handle": handle})
            await again.say(toolResponse={"functionResponses": [{"id": call_id, "name": "light", "response": {}}]})
            await again.until("serverContent", "turnComplete")


@pytest.mark.parametrize("how", ["command", "fault"])
@pytest.mark.parametrize("tls", [False, True])
async def test_e46_in_the_middle_of_a_frame(how, tls):
    """The bytes themselves: a whole answer to the setup, and half of what should follow."""
    faults = emulator.Faults(cut_mid_frame=True, cut_after_messages=1) if how == "fault" else None
    async with emulator.Emulator(faults=faults, compress_time=True, tls=tls) as emu:
        host, port = emu.url.split("//")[1].split(":")
        context = emu.client_ssl_context() if tls else None
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        writer.write(
            f"GET {DEV}?key=k HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        send_frame(writer, {"setup": {"model": DEV_MODEL}})
        head = await reader.readexactly(2)
        assert json.loads(await reader.readexactly(head[1])) == {"setupComplete": {}}
        if how == "fault":
            send_frame(writer, {"realtimeInput": {"text": "x"}})
        else:
            emu.cut(mid_frame=True)
        async with asyncio.timeout(5):
            rest = await reader.read()
        half = rest[rest.index(b"\x82\x7e\x10\x00") :]
        assert 0 < len(half) - 4 < 4_096
        assert emu.ledger.connections[0].code is None
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


def send_frame(writer, message):
    data = json.dumps(message).encode()
    writer.write(b"\x81" + bytes([0x80 | len(data)]) + bytes(4) + data)


async def test_e46_a_half_open_line():
    """Nothing is read or written, the session is still taken, and only the emulator's end ends it."""
    async with talk(setup={"sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        emu.stall()
        await client.say(realtimeInput={"text": "anybody there?"})
        await client.ws.ping(b"?")
        async with dial(emu.url) as again:
            await again.say(setup={"model": DEV_MODEL, "sessionResumption": {"handle": handle}})
            assert await again.closed() == (1011, "Internal error encountered.")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.ws.receive()
        assert emu.ledger.sessions[0].texts == []
        emu.cut()
        assert await client.closed() == (1006, "")
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})


async def test_e46_stalls_at_an_age():
    async with emulator.Emulator(faults=emulator.Faults(stall_after_s=0)) as emu, dial(emu.url) as client:
        await client.say(setup={"model": DEV_MODEL})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.ws.receive()
        emu.cut()


# --- poisoned sessions ---


async def test_e47_transcribes_and_never_answers():
    setup = {"inputAudioTranscription": {}, "sessionResumption": {}}
    async with talk(setup=setup, faults=emulator.Faults(mute_after_turns=1)) as (emu, client):
        handle = (await client.handle())["newHandle"]
        for number in (1, 2):
            await client.speak(tone(0.5), silence(0.7))
            got = await client.until("serverContent", "inputTranscription")
            assert said(got, "inputTranscription") == f"utterance {number}, 0.5 s"
            if number == 1:
                await client.until("serverContent", "turnComplete")
        await client.flushed()
        assert emu.ledger.sessions[0].answers == 1
        await client.ws.close()
        emu.faults = emulator.Faults()  # the session is what is poisoned
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})
            await again.say(realtimeInput={"text": "hello?"})
            await again.flushed()
            assert emu.ledger.sessions[0].answers == 1
        async with dial(emu.url) as fresh:
            await fresh.set_up()
            await fresh.say(realtimeInput={"text": "hello?"})
            await fresh.until("serverContent", "turnComplete")


async def test_e47_poisoned_by_a_resume_or_on_command():
    async with talk(setup={"sessionResumption": {}}, faults=emulator.Faults(mute_resumed=True)) as (emu, client):
        handle = (await client.handle())["newHandle"]
        await client.say(realtimeInput={"text": "x"})
        await client.until("serverContent", "turnComplete")
        await client.ws.close()
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})
            await again.say(realtimeInput={"text": "x"})
            await again.flushed()
            assert emu.ledger.sessions[0].answers == 1
        async with dial(emu.url) as other:
            await other.set_up()
            emu.poison()
            await other.say(realtimeInput={"text": "x"})
            await other.flushed()
            assert emu.ledger.sessions[1].answers == 0


async def test_e47_phantom_interruptions():
    async with talk(faults=emulator.Faults(phantom_interruptions=True)) as (emu, client):
        await client.say(realtimeInput={"text": "x"})
        await client.until("serverContent", "turnComplete")
        assert await client.get() == {"serverContent": {"interrupted": True}}
        assert emu.ledger.sessions[0].interruptions == 0
        emu.interrupt()
        assert await client.get() == {"serverContent": {"interrupted": True}}


# --- limits ---


@pytest.mark.parametrize("limit_s", [0, 0.05])  # the first as if the machine had been busy
@pytest.mark.parametrize(("limit", "film"), [("session_limit_s", False), ("video_limit_s", True)])
async def test_e48_a_session_without_compression_ends(limit, film, limit_s):
    faults = emulator.Faults(**{limit: limit_s})
    async with talk(faults=faults, setup={"sessionResumption": {}}) as (_, client):
        if film:
            await client.say(realtimeInput={"video": {"mimeType": "image/jpeg", "data": "/9j/"}})
        assert await client.closed() == EXPIRED
    sliding = {"contextWindowCompression": {"slidingWindow": {}}}
    async with talk(faults=emulator.Faults(session_limit_s=0, video_limit_s=0), setup=sliding) as (_, client):
        await client.say(realtimeInput={"text": "x"})
        await client.until("serverContent", "turnComplete")


@pytest.mark.parametrize("by_status", [False, True])
async def test_e48_too_many_at_once(by_status):
    faults = emulator.Faults(max_connections=1, max_connections_status=by_status)
    async with talk(faults=faults) as (emu, client):
        if by_status:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await dial(emu.url).__aenter__()
            assert refused.value.status == 429
        else:
            async with dial(emu.url) as second:
                code, reason = await second.closed()
                assert (code, reason[:18]) == (1011, "RESOURCE_EXHAUSTED")
        await client.ws.close()
        while emu.connections:
            await asyncio.sleep(0)
        async with dial(emu.url) as second:
            await second.set_up()


async def test_e48_who_was_refused_takes_no_place():
    faults = emulator.Faults(max_connections=1)
    async with (
        emulator.serve(faults=faults, api_key="good", compress_time=True) as url,
        dial(url, key="bad") as stranger,
        dial(url, key="good") as first,
    ):
        await first.set_up()
        async with dial(url, key="good") as second:
            assert (await second.closed())[0] == 1011
        await first.ws.close()
        async with dial(url, key="good") as third:  # the stranger has not even answered its close
            await third.set_up()
        await stranger.closed()


@pytest.mark.parametrize(
    "fields",
    [
        {"close_code": 1006},
        {"go_away_code": 99},
        {"http_status": 200},
        {"cut_after_s": -1},
        {"cut_after_s": "5"},
        {"cut_after_s": True},
        {"cut_after_messages": 1.5},  # it would be waited for for ever
        {"cut_at_speech": 0},
        {"close_at_speech": 0},
        {"go_away_time_left_s": float("inf")},
        {"handle_refusal": "enity"},
        {"close_reason": None},
        {"http_status": "503"},
    ],
    ids=str,
)
def test_faults_that_cannot_be(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))) as error:
        emulator.Faults(**fields)
    assert error.value.path == f"faults.{next(iter(fields))}"


@pytest.mark.parametrize(
    ("struct", "fields"),
    [
        (emulator.Profile, {"updates": "perodic"}),
        (emulator.Profile, {"steps": 0.5}),
        (emulator.Profile, {"models": "my-model"}),  # a text is a tuple of letters to Python
        (emulator.Profile, {"pace": None}),
        (emulator.Pace, {"speed": "fast"}),
        (emulator.Pace, {"hold": float("nan")}),
        (emulator.Pace, {"update_every_s": 0}),
    ],
    ids=str,
)
def test_models_and_paces_that_cannot_be(struct, fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        struct(**({"name": "x"} if struct is emulator.Profile else {}) | fields)


def test_any_float_will_do():
    assert emulator.Faults(cut_after_s=np.float64(1.5), close_after_s=2).cut_after_s == 1.5


@pytest.mark.parametrize("faults", [None, {"http_status": 503}])
async def test_faults_are_faults(faults):
    async with talk() as (emu, client):
        with pytest.raises(ConfigError, match="Faults"):
            emu.faults = faults
        await client.flushed()
    if faults is not None:
        with pytest.raises(ConfigError, match="Faults"):
            emulator.Emulator(faults=faults)


@pytest.mark.parametrize(
    ("faults", "end"),
    [
        (emulator.Faults(cut_after_messages=0), (1006, "")),
        (emulator.Faults(close_after_messages=0, close_code=4000, close_reason="none"), (4000, "none")),
    ],
)
async def test_e46_after_no_message_at_all(faults, end):
    async with emulator.Emulator(faults=faults, compress_time=True) as emu, dial(emu.url) as client:
        await client.say(setup={"model": DEV_MODEL})
        assert await client.closed() == end
        assert (emu.ledger.connections[0].session, emu.ledger.connections[0].messages) == (1, 0)
