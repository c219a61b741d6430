from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
import traceback

import pytest
from aiohttp import web

import gemini_live as live
from gemini_live import emulator
from gemini_live.auth import Address, ApiKey, BearerToken, EphemeralToken, GeminiApi, VertexAi, resolve
from gemini_live.config import TransportConfig
from gemini_live.errors import ConfigError, TokenError, TokenRefused
from gemini_live.minting import mint_token, token_provider
from tcp_server import tcp_server

KEY = "AIza-made-up-0123456789"
TOKEN = "auth_tokens/made-up-secret"  # noqa: S105 - it is not
SETUP = {
    "model": "gemini-3.8-live",
    "response_modalities": ["AUDIO"],
    "system_instruction": "Be brief.",
    "session_resumption": {},
    "labels": {"safety_identifier": "a"},
}


@pytest.fixture(autouse=True)
def no_keys_in_the_environment(monkeypatch):
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)


@contextlib.asynccontextmanager
async def service(status=200, body=None):
    """A service that answers so; yields its URL and the requests that it got."""
    got = []

    async def answer(request):
        got.append((request.path, dict(request.headers), json.loads(await request.read())))
        return web.Response(status=status, body=json.dumps({"name": TOKEN}) if body is None else body)

    async with served(answer) as url:
        yield url, got


@contextlib.asynccontextmanager
async def served(answer):
    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


async def body_of(**options):
    async with service() as (url, got):
        token = await mint_token(auth=KEY, endpoint=url, **options)
    assert token == EphemeralToken(TOKEN)
    ((path, headers, body),) = got
    assert path == "/v1beta/auth_tokens"
    assert headers["x-goog-api-key"] == KEY
    assert headers["Content-Type"] == "application/json"
    return body


def seconds_ahead(stamp):
    return (dt.datetime.fromisoformat(stamp) - dt.datetime.now(dt.UTC)).total_seconds()


# --- the request -----------------------------------------------------------------------------------------------------


async def test_a_token_without_constraints():
    body = await body_of()
    assert body.keys() == {"uses", "expireTime", "newSessionExpireTime"}
    assert body["uses"] == 1
    assert seconds_ahead(body["expireTime"]) == pytest.approx(1_800, abs=10)
    assert seconds_ahead(body["newSessionExpireTime"]) == pytest.approx(60, abs=10)


async def test_what_can_be_said_of_a_token():
    body = await body_of(uses=0, expires_in_s=71_999, new_session_in_s=600)
    assert body["uses"] == 0
    assert seconds_ahead(body["expireTime"]) == pytest.approx(71_999, abs=10)
    assert seconds_ahead(body["newSessionExpireTime"]) == pytest.approx(600, abs=10)


async def test_a_setup_travels_under_its_own_name_and_locks_everything():
    body = await body_of(setup=SETUP)
    assert body["bidiGenerateContentSetup"] == {
        "model": "models/gemini-3.8-live",
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "systemInstruction": {"parts": [{"text": "Be brief."}], "role": "user"},
        "sessionResumption": {},
        "labels": {"safety_identifier": "a"},
    }
    assert "fieldMask" not in body


async def test_a_bare_name_is_not_left_to_the_servers_defaults():
    """Locked without a modality, native-audio models close for it; without resumption, no session can be resumed."""
    body = await body_of(setup="gemini-3.8-live")
    assert body["bidiGenerateContentSetup"]["generationConfig"] == {"responseModalities": ["AUDIO"]}
    assert body["bidiGenerateContentSetup"]["sessionResumption"] == {}


async def test_what_is_not_locked_is_left_to_the_client():
    body = await body_of(setup="gemini-3.8-live", lock=["temperature"])
    assert "sessionResumption" not in body["bidiGenerateContentSetup"]
    assert body["fieldMask"] == "model,generationConfig.responseModalities,generationConfig.temperature"


@pytest.mark.parametrize(
    ("lock", "more"),
    [
        ([], []),
        (["temperature", "tools"], ["generationConfig.temperature", "tools"]),
        (["generation_config.topK", "realtimeInputConfig"], ["generationConfig.topK", "realtimeInputConfig"]),
        (["model", "responseModalities"], []),
    ],
)
async def test_what_is_locked(lock, more):
    mask = (await body_of(setup=SETUP, lock=lock))["fieldMask"].split(",")
    assert mask == [
        "model",
        "generationConfig.responseModalities",
        "systemInstruction.parts",
        "systemInstruction.role",
        "sessionResumption",
        "labels.safety_identifier",
        *more,
    ]


# --- arguments that cannot work --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"uses": -1}, "uses"),
        ({"expires_in_s": 72_000}, "expires_in_s"),
        ({"expires_in_s": 0}, "expires_in_s"),
        ({"expires_in_s": float("nan")}, "expires_in_s"),
        ({"new_session_in_s": 72_000.0}, "new_session_in_s"),
        ({"lock": []}, "lock"),
        ({"setup": SETUP, "lock": ["temprature"]}, "lock[0]"),
        ({"setup": {"model": "m", "temprature": 1}}, "setup.temprature"),
        ({"setup": {"model": "gemini-3.8-live", "thinking_config": {}}}, "setup.generation_config.thinking_config"),
        ({"setup": {"model": "m", "tools": [print]}}, "setup.tools"),
        ({"setup": {"model": "m", "system_instruction": "\ud800"}}, "setup"),
        ({"endpoint": VertexAi(project="p")}, "endpoint"),
        ({"endpoint": "wss://h.test/whole/url"}, "endpoint"),
        ({"transport": {"close_timeout_s": 0}}, "transport.close_timeout_s"),
        ({"transport": "http://proxy.test"}, "transport"),
        ({"auth": EphemeralToken(TOKEN)}, "auth"),
        ({"auth": BearerToken("x")}, "auth"),
        ({"auth": None}, "auth"),
    ],
)
def test_a_mistake_is_found_before_any_io(options, path):
    with pytest.raises(ConfigError) as caught:
        token_provider(**{"auth": KEY, **options})
    assert caught.value.path == path


def test_the_check_of_capabilities_can_be_switched_off():
    setup = {"model": "gemini-3.8-live", "thinking_config": {}}
    token_provider(setup, auth=KEY, check_capabilities=False)


# --- answers that are no token ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, '{"error":{"message":"expire_time is too far in the future."}}', TokenRefused, "too far in the future"),
        (403, '{"error":{"message":"no\\nnot you"}}', TokenRefused, "HTTP 403: no not you"),
        (404, "<html>", TokenRefused, "no reason was given"),
        (429, "{}", TokenError, "429"),
        (503, "", TokenError, "503"),
        (200, "{}", TokenError, "no token"),
        (200, '{"name":5}', TokenError, "no token"),
        (200, '{"name":""}', TokenError, "no token"),
        (200, f'{{"name":"{TOKEN}"', TokenError, "no token"),
        (302, "", TokenError, "302"),
    ],
)
async def test_a_refusal_is_typed(status, body, kind, words, caplog):
    caplog.set_level(logging.DEBUG)
    async with service(status, body) as (url, _):
        with pytest.raises(TokenError) as caught:
            await mint_token(auth=KEY, endpoint=url)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert words in str(caught.value)
    assert isinstance(caught.value, PermissionError) is (kind is TokenRefused)
    said = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert KEY not in said
    assert TOKEN not in said


async def test_the_scheme_may_be_in_capitals():
    async with service() as (url, got):
        base = url.replace("ws://127.0.0.1", "WS://localhost")
        assert await mint_token(auth=KEY, endpoint=GeminiApi(base_url=f"{base}/news")) == EphemeralToken(TOKEN)
    assert got[0][0] == "/news/v1beta/auth_tokens"


async def test_an_answer_that_comes_in_pieces():
    body = json.dumps({"name": TOKEN}).encode()

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in body:
            writer.write(b"1\r\n%c\r\n" % byte)
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async with tcp_server(answer) as port:
        assert await mint_token(auth=KEY, endpoint=f"ws://127.0.0.1:{port}") == EphemeralToken(TOKEN)


async def test_an_answer_that_would_be_compressed_if_that_were_asked_for():
    async def answer(_request):
        response = web.Response(body=json.dumps({"name": TOKEN}))
        response.enable_compression()  # with what the client accepts
        return response

    async with served(answer) as url:
        assert await mint_token(auth=KEY, endpoint=url) == EphemeralToken(TOKEN)


async def test_an_answer_without_an_end_is_given_up():
    sent = 0

    async def answer(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()

    # a megabyte is read, the rest is left
    async with tcp_server(answer) as port:
        with pytest.raises(TokenError, match="no token"):
            await mint_token(auth=KEY, endpoint=f"ws://127.0.0.1:{port}")
    assert sent < 32 * 1024 * 1024


async def test_a_service_that_is_not_there():
    with pytest.raises(TokenError) as caught:
        await mint_token(auth=KEY, endpoint="ws://127.0.0.1:1")
    assert caught.value.status is None
    assert type(caught.value) is TokenError


async def test_a_service_that_does_not_answer():
    async with service() as (url, _):
        with pytest.raises(TokenError, match="no answer within 1e-06 s"):
            await mint_token(auth=KEY, endpoint=url, transport=TransportConfig(connect_timeout_s=1e-6))


# --- on the emulator -------------------------------------------------------------------------------------------------


async def test_a_client_connects_with_a_token_and_is_held_to_it():
    async with emulator.Emulator(compress_time=True, api_key=KEY) as emu:
        token = await mint_token(SETUP, auth=ApiKey(KEY), endpoint=emu.url)
        assert token.value not in repr(token)
        async with live.connect("gemini-3.8-live", endpoint=emu.url, auth=token) as session:
            await session.send_text("hello")
            async for event in session:
                if isinstance(event, live.TurnComplete):
                    break
        with pytest.raises(live.AuthenticationError, match="too many times"):
            await live.connect("gemini-3.8-live", endpoint=emu.url, auth=token)


async def test_a_session_of_a_token_for_a_model_survives_its_connection():
    """One use, and everything locked: what `connect` asks for by itself must be locked with it."""
    async with emulator.Emulator(compress_time=True, api_key=KEY) as emu:
        token = await mint_token("gemini-3.8-live", auth=KEY, endpoint=emu.url)
        soon = live.ReconnectPolicy(base_s=0.01)
        async with live.connect("gemini-3.8-live", endpoint=emu.url, auth=token, reconnect=soon) as session:
            while not isinstance(await session.next_event(), live.SessionResumption):
                pass
            emu.cut()
            while not isinstance(event := await session.next_event(), live.Reconnected):
                pass
            assert event.context_restored


async def test_a_provider_makes_a_token_for_each_dial():
    async with service() as (url, got):
        provider = token_provider(auth=KEY, endpoint=url)
        assert got == []
        for _ in range(2):
            address = await resolve(GeminiApi(base_url=url), provider)
            assert isinstance(address, Address)
            assert address.headers == {"Authorization": f"Token {TOKEN}"}
            assert address.url.endswith("Constrained")
        assert len(got) == 2


async def test_a_session_on_tokens_of_its_own():
    async with emulator.Emulator(compress_time=True, api_key=KEY) as emu:
        provider = token_provider(auth=KEY, endpoint=emu.url)
        for _ in range(2):
            async with live.connect("gemini-3.8-live", endpoint=emu.url, auth=provider) as session:
                assert session.status is live.SessionStatus.CONNECTED


async def test_a_wrong_key():
    async with emulator.Emulator(compress_time=True, api_key="another") as emu:
        with pytest.raises(TokenRefused, match="API key not valid"):
            await mint_token(auth=KEY, endpoint=emu.url)


def frames_of_ours(error):
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    found = [frame for frame in told.stack if "gemini_live" in frame.filename]
    assert found
    return " ".join(f"{name}={shown}" for frame in found for name, shown in (frame.locals or {}).items())


async def test_local_variables_of_ours_show_no_key_and_no_handle():
    """Those of a traceback, which `rich` and services that collect errors print."""
    given = {"auth": KEY, "endpoint": "ws://127.0.0.1:1", "transport": {"headers": {"x-tenant": KEY}}}
    with pytest.raises(TokenError) as unreachable:
        await mint_token("gemini-3.8-live", **given)
    with pytest.raises(ConfigError) as wrong_lock:
        token_provider("gemini-3.8-live", lock=["no such field"], **given)
    with pytest.raises(ConfigError) as wrong_setup:
        live.connect({"model": "gemini-3.8-live", "no such field": 1}, **given)
    snapshot = live.Snapshot(endpoint="h.test", model="m", setup_hash="", handle=KEY, taken_at=0.0)
    with pytest.raises(ConfigError) as too_old:
        live.connect("gemini-3.8-live", **given, resume=snapshot.to_json())
    for caught in (unreachable, wrong_lock, wrong_setup, too_old):
        assert KEY not in frames_of_ours(caught.value)
