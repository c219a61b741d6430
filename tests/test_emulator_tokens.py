"""Ephemeral tokens, and the way of the official SDK (E49 to E51)."""

import contextlib
import json
from datetime import UTC, datetime

import aiohttp
import pytest

import emulator_client
from emulator_client import DEV, DEV_MODEL, dial, talk
from gemini_live import emulator

no_errors_inside = emulator_client.no_errors_inside

CONSTRAINED = DEV + "Constrained"
NOW = 1_800_000_000.0
USED_UP = (1011, "Token has been used too many times")
TOO_OLD = (1011, "Token has expired")


def at(seconds, zone="Z"):
    """A time so long from now, as RFC 3339."""
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat().replace("+00:00", zone)


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@contextlib.asynccontextmanager
async def minting(**options):
    """An emulator whose tokens know another time, and a function that asks it for a token."""
    options.setdefault("compress_time", True)
    async with emulator.Emulator(**options) as emu, aiohttp.ClientSession() as http:
        emu.tokens.clock = clock = Clock()

        async def mint(body=None, version="v1beta", key="key", **query):
            url = emu.url.replace("ws", "http", 1) + f"/{version}/auth_tokens"
            headers = {"x-goog-api-key": key} if key else {}
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            async with http.post(url, headers=headers, data=data, params=query) as answer:
                text = await answer.text()
                return answer.status, json.loads(text) if text.startswith("{") else text

        yield emu, mint, clock


@contextlib.asynccontextmanager
async def enter(emu, token, **setup):
    """A connection with a token, its setup sent."""
    async with dial(emu.url, f"{CONSTRAINED}?access_token={token}", key="") as client:
        await client.say(setup={"model": DEV_MODEL, **setup})
        yield client


@pytest.mark.parametrize("version", ["v1alpha", "v1beta"])
async def test_e49_a_token_from_nothing_at_all(version):
    async with minting() as (emu, mint, _):
        for body in (None, {}, {"uses": None}):
            status, answer = await mint(body, version)
            assert status == 200
            assert list(answer) == ["name"]
            assert answer["name"].startswith("auth_tokens/")
        async with enter(emu, answer["name"]) as client:
            assert await client.get() == {"setupComplete": {}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"liveConnectConstraints": {}}, 'Unknown name "liveConnectConstraints": Cannot find field.'),
        ({"lockAdditionalFields": []}, 'Unknown name "lockAdditionalFields": Cannot find field.'),
        ({"bidiGenerateContentSetup": {"x": 1}}, "Unknown name \"x\" at 'bidi_generate_content_setup'"),
        ({"expireTime": at(20 * 3600 + 1)}, "expire_time is too far in the future. Maximum lifetime is 20h"),
        (
            {"newSessionExpireTime": at(20 * 3600 + 1)},
            "new_session_expire_time is too far in the future. Maximum lifetime is 20h",
        ),
        ({"expireTime": "tomorrow"}, "invalid argument"),
        ({"expireTime": "2026-10-10T12:00:00"}, "invalid argument"),  # no zone
        ({"expireTime": 5}, "invalid argument"),
        ({"uses": -1}, "invalid argument"),
        ({"uses": "many"}, "invalid argument"),
        ({"fieldMask": "colour"}, "colour"),
        ({"fieldMask": "generationConfig.colour"}, "generationConfig.colour"),
        ([], "invalid argument"),
        (b"{", "Invalid JSON payload received."),
        (b"\xff", "Invalid JSON payload received."),
        (b'{"uses": NaN}', "Invalid JSON payload received."),
    ],
)
async def test_e49_bodies_that_are_refused(body, reason):
    async with minting() as (_, mint, _):
        status, answer = await mint(body)
        assert status == 400
        assert answer["error"]["code"] == 400
        assert answer["error"]["status"] == "INVALID_ARGUMENT"
        assert reason in answer["error"]["message"]


async def test_e49_both_spellings_and_zones_are_taken():
    async with minting() as (_, mint, _):
        body = {"expire_time": at(60, "+00:00"), "newSessionExpireTime": at(20 * 3600), "uses": "2"}
        assert (await mint(body))[0] == 200


async def test_e49_who_may_ask():
    async with minting(api_key="good") as (emu, mint, _):
        assert (await mint({}, key=""))[0] == 403
        assert (await mint({}, key="auth_tokens/x"))[0] == 403
        assert (await mint({}, key="bad"))[1]["error"]["message"].startswith("API key not valid")
        assert (await mint({}, key="good"))[0] == 200
        assert (await mint({}, "v1", key="good"))[0] == 404
        async with dial(emu.url, f"{CONSTRAINED}?access_token=auth_tokens/made-up", key="") as client:
            assert (await client.closed())[0] == 1008
    async with minting(profile="vertex") as (_, mint, _):
        assert (await mint({}))[0] == 404


@pytest.mark.parametrize(("uses", "allowed"), [(None, 1), (1, 1), (2, 2), (0, 4)])
async def test_e49_uses(uses, allowed):
    async with minting() as (emu, mint, _):
        token = (await mint({} if uses is None else {"uses": uses}))[1]["name"]
        for number in range(4):
            async with enter(emu, token) as client:
                if number < allowed:
                    assert await client.get() == {"setupComplete": {}}
                else:
                    assert await client.closed() == USED_UP


async def test_e49_a_resume_is_no_use():
    async with minting() as (emu, mint, clock):
        token = (await mint({}))[1]["name"]
        async with enter(emu, token, sessionResumption={}) as client:
            await client.get()
            handle = (await client.handle())["newHandle"]
            await client.ws.close()
        clock.now += 61  # new sessions are over, resumptions are not
        for _ in range(2):
            async with enter(emu, token, sessionResumption={"handle": handle}) as client:
                assert await client.get() == {"setupComplete": {}}
                await client.ws.close()
        clock.now += 1800
        async with enter(emu, token, sessionResumption={"handle": handle}) as client:
            assert await client.closed() == TOO_OLD
        fresh = (await mint({}))[1]["name"]  # a new token resumes what the old one had begun
        async with enter(emu, fresh, sessionResumption={"handle": handle}) as client:
            assert await client.get() == {"setupComplete": {}}


@pytest.mark.parametrize(
    ("body", "later", "end"),
    [
        ({}, 59, None),
        ({}, 61, TOO_OLD),
        ({"newSessionExpireTime": at(120)}, 61, None),
        ({"newSessionExpireTime": at(120), "expireTime": at(30)}, 31, TOO_OLD),
        ({"newSessionExpireTime": at(7200)}, 1799, None),
        ({"newSessionExpireTime": at(7200)}, 1801, TOO_OLD),
    ],
)
async def test_e49_times(body, later, end):
    async with minting() as (emu, mint, clock):
        token = (await mint(body))[1]["name"]
        clock.now += later
        async with enter(emu, token) as client:
            if end is None:
                assert await client.get() == {"setupComplete": {}}
            else:
                assert await client.closed() == end


async def test_e49_a_clock_that_is_set_ends_connections_too():
    async with minting() as (emu, mint, clock):
        token = (await mint({}))[1]["name"]
        async with enter(emu, token) as client:
            assert await client.get() == {"setupComplete": {}}
            emu.tokens.clock = lambda: clock() + 1801
            assert await client.closed() == (1011, "auth token has expired")


async def test_e49_a_clock_may_be_set_between_the_upgrade_and_the_setup():
    async with minting() as (emu, mint, clock):
        token = (await mint({}))[1]["name"]
        async with dial(emu.url, f"{CONSTRAINED}?access_token={token}", key="") as client:
            emu.tokens.clock = lambda: clock() + 61
            await client.say(setup={"model": DEV_MODEL})
            assert await client.closed() == TOO_OLD


async def test_e49_a_token_may_expire_while_connected():
    async with minting() as (emu, mint, _):
        token = (await mint({"expireTime": at(0.05)}))[1]["name"]
        async with enter(emu, token) as client:
            assert await client.get() == {"setupComplete": {}}
            assert await client.closed() == (1011, "auth token has expired")


OURS = {
    "model": "models/gemini-3.1-flash-live-preview",
    "generationConfig": {"responseModalities": ["AUDIO"], "temperature": 0.5},
    "systemInstruction": {"parts": [{"text": "ours"}]},
}
THEIRS = {
    "generationConfig": {"temperature": 9.0, "seed": 4},
    "systemInstruction": {"parts": [{"text": "theirs"}]},
    "outputAudioTranscription": {},
}


@pytest.mark.parametrize(
    ("mask", "model", "instruction", "transcribed"),
    [
        (None, "models/gemini-3.1-flash-live-preview", "ours", False),
        ("model", "models/gemini-3.1-flash-live-preview", "theirs", True),
        ("generationConfig.temperature,system_instruction", DEV_MODEL, "ours", True),
        ("systemInstruction.parts,outputAudioTranscription", DEV_MODEL, "ours", False),
    ],
)
async def test_e50_locked_fields_override_in_silence(mask, model, instruction, transcribed):
    async with minting() as (emu, mint, _):
        body = {"bidiGenerateContentSetup": OURS} | ({"fieldMask": mask} if mask else {})
        token = (await mint(body))[1]["name"]
        async with enter(emu, token, **THEIRS) as client:
            assert await client.get() == {"setupComplete": {}}
            (session,) = emu.ledger.sessions
            assert (session.system_instruction,) == (instruction,)
            await client.say(realtimeInput={"text": "hello"})
            got = await client.until("serverContent", "turnComplete")
            assert ("outputTranscription" in emulator_client.contents(got)) == transcribed
        assert emu.ledger.sessions[0].model == model


async def test_e50_a_lock_without_a_modality_has_the_servers_default():
    async with minting() as (emu, mint, _):
        token = (await mint({"bidiGenerateContentSetup": {"model": DEV_MODEL}}))[1]["name"]
        async with enter(emu, token, generationConfig={"responseModalities": ["AUDIO"]}) as client:
            code, reason = await client.closed()
            assert (code, "(TEXT) is not supported" in reason) == (1007, True)


async def test_e50_a_locked_session_can_be_resumed():
    async with minting() as (emu, mint, _):
        ours = OURS | {"sessionResumption": {}}
        token = (await mint({"bidiGenerateContentSetup": ours}))[1]["name"]
        async with enter(emu, token) as client:
            await client.get()
            handle = (await client.handle())["newHandle"]
            await client.ws.close()
        async with enter(emu, token, sessionResumption={"handle": handle}) as client:
            assert await client.get() == {"setupComplete": {}}
        assert len(emu.ledger.sessions) == 1


async def test_e50_where_a_token_may_stand():
    async with minting(api_key="good") as (emu, mint, _):
        token = (await mint({"uses": 0}, key="good"))[1]["name"]
        async with dial(emu.url, CONSTRAINED, key="", Authorization=f"Token {token}") as client:
            await client.set_up()
        async with dial(emu.url, f"{CONSTRAINED}?access_token={token}", key="") as client:
            await client.set_up()
        for path, headers in (
            (f"{DEV}?access_token={token}", {}),
            (f"{DEV}?key={token}", {}),
            (DEV, {"Authorization": f"Token {token}"}),
            (DEV, {"x_goog_api_key": token}),
        ):
            async with dial(emu.url, path, key="", **headers) as client:
                code, reason = await client.closed()
                assert code == 1008
                assert reason.startswith("Method doesn't allow unregistered callers")


async def test_e51_the_way_of_the_official_sdk():
    """TLS, version v1, a double slash, a header, and cases mixed as that SDK mixes them; itself: tests/conformance."""
    emu = emulator.Emulator(tls=True, compress_time=True, api_key="k")
    path = "/" + DEV.replace("v1beta", "v1")
    async with emu, dial(emu.url, path, key="", tls=emu.client_ssl_context(), x_goog_api_key="k") as client:
        setup = {
            "generationConfig": {"responseModalities": ["AUDIO"]},
            "contextWindowCompression": {"trigger_tokens": 25_600, "sliding_window": {"target_tokens": 12_800}},
            "realtimeInputConfig": {"automatic_activity_detection": {"silence_duration_ms": 100}},
        }
        await client.set_up(**setup)
        turn = {"role": "user", "parts": [{"text": "hello"}]}
        for message in (
            {"realtime_input": {"audio": {"data": "_-8=", "mime_type": "audio/pcm;rate=16000"}}},
            {"realtime_input": {"audioStreamEnd": True}},
            {"client_content": {"turns": [turn], "turnComplete": True}},
            {"tool_response": {"functionResponses": [{"id": "x", "name": "f", "response": {"a": 1}}]}},
            {"contextUpdate": {"tools": {"tools": []}}},
        ):
            await client.say(**message)
        await client.until("serverContent", "turnComplete")
    async with talk() as (_, client):
        await client.flushed()
