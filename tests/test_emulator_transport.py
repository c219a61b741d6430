"""Paths, keys, frames, pings and close frames (E1 to E7)."""

import asyncio
import contextlib
import json
import time

import aiohttp
import pytest

import emulator_client
from emulator_client import DEV, DEV_MODEL, VERTEX, VERTEX_MODEL, answer_close, dial, talk
from gemini_live import emulator
from gemini_live.emulator.wire import close_reason

no_errors_inside = emulator_client.no_errors_inside


@pytest.mark.parametrize("slash", ["/", "//"])
@pytest.mark.parametrize(
    ("path", "model"),
    [(DEV.replace("v1beta", version), DEV_MODEL) for version in ("v1", "v1beta", "v1alpha")]
    + [(VERTEX.replace("v1", version), VERTEX_MODEL) for version in ("v1", "v1beta1")],
)
async def test_e01_paths_of_both_surfaces(path, model, slash):
    async with emulator.serve(compress_time=True) as url, dial(url, slash + path[1:]) as client:
        await client.set_up(model)


async def test_e01_constrained_takes_any_token():
    path = DEV + "Constrained"
    async with emulator.serve(compress_time=True) as url:
        async with dial(url, f"{path}?access_token=auth_tokens/1", key="") as client:
            await client.set_up()
        async with dial(url, path, key="", Authorization="Token auth_tokens/1") as client:
            await client.set_up()
        async with dial(url, path) as client:
            assert (await client.closed())[0] == 1008


@pytest.mark.parametrize("path", ["/", "/ws/other", DEV.replace("v1beta", "v2"), VERTEX + "Constrained", DEV + "/"])
async def test_e01_other_paths_are_not_found(path):
    async with emulator.serve() as url:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await dial(url, path).__aenter__()
        assert refused.value.status == 404


async def test_e01_vertex_profile_serves_vertex_paths_only():
    async with emulator.serve(profile="vertex", compress_time=True) as url:
        async with dial(url, VERTEX) as client:
            await client.set_up(VERTEX_MODEL)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await dial(url, DEV).__aenter__()


async def test_e02_dev_key():
    async with emulator.serve(api_key="good", compress_time=True) as url:
        async with dial(url, key="good") as client:
            await client.set_up()
        async with dial(url, key="", x_goog_api_key="good") as client:
            await client.set_up()
        async with dial(url, key="bad") as client:
            assert await client.closed() == (1007, "API key not valid. Please pass a valid API key.")
        async with dial(url, key="") as client:
            code, reason = await client.closed()
            assert code == 1008
            assert reason.startswith("Method doesn't allow unregistered callers (callers without established identity)")
        async with dial(url, key="", x_goog_api_key="auth_tokens/1") as client:  # a token on the plain method
            assert (await client.closed())[0] == 1008


async def test_e03_vertex_bearer():
    async with emulator.serve(api_key="good", compress_time=True) as url:
        async with dial(url, VERTEX, Authorization="Bearer good") as client:
            await client.set_up(VERTEX_MODEL)
        async with dial(url, VERTEX, Authorization="", x_goog_api_key="good") as client:  # express mode
            await client.set_up("publishers/google/models/gemini-3.8-live")
        for authorization in ("", "Bearer bad", "Bearer", "good"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await dial(url, VERTEX, Authorization=authorization).__aenter__()
            assert refused.value.status == 401


@pytest.mark.parametrize("text", [False, True])
async def test_e04_frames(text):
    async with emulator.serve(text_frames=text, compress_time=True) as url, dial(url) as client:
        await client.ws.send_bytes(json.dumps({"setup": {"model": DEV_MODEL}}).encode())
        answer = await client.ws.receive()
        assert answer.type is (aiohttp.WSMsgType.TEXT if text else aiohttp.WSMsgType.BINARY)


async def test_e05_answers_pings_late_if_told_to():
    async with emulator.serve(faults=emulator.Faults(pong_delay_s=0.05)) as url, dial(url) as client:
        before = time.monotonic()
        await client.ws.ping(b"there?")
        answer = await client.ws.receive()
        assert (answer.type, bytes(answer.data)) == (aiohttp.WSMsgType.PONG, b"there?")
        assert 0.05 <= time.monotonic() - before < 1


def test_e06_reason_is_cut_between_characters():
    assert close_reason("x" * 122 + "é") == b"x" * 122
    assert close_reason("x" * 121 + "é").decode() == "x" * 121 + "é"
    assert close_reason("a\ud800") == b"a?"


async def test_e06_long_reason_on_the_wire():
    async with talk() as (emu, client):
        await asyncio.gather(emu.close_connections(4000, "ß" * 100), answer_close(client, (4000, "ß" * 61)))


async def test_e07_echoes_a_close_and_frees_the_session():
    async with talk(setup={"sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        before = time.monotonic()
        assert await client.ws.close(code=1000)
        assert time.monotonic() - before < 0.1
        assert client.ws.close_code == 1000
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})
        assert emu.ledger.connections[0].code == 1000


@pytest.mark.parametrize(
    ("data", "code"), [(b'{"setup":{"model":"\xff"}}', 1007), (b"x" * ((64 << 20) + 1), 1009)], ids=["UTF-8", "size"]
)
async def test_the_ledger_knows_how_a_broken_frame_ended(data, code):
    async with emulator.Emulator(compress_time=True) as emu, dial(emu.url) as client:
        with contextlib.suppress(ConnectionError):  # it may not wait for the end of what is too long
            await client.ws._writer.send_frame(data, aiohttp.WSMsgType.TEXT)
        assert (await client.closed())[0] == code
        await client.ws.close()
        while emu.connections:
            await asyncio.sleep(0.01)
        assert emu.ledger.connections[0].code == code


async def test_e07_a_close_without_a_code_is_told_from_a_code():
    async with talk() as (emu, client):
        await client.ws._writer.send_frame(b"", aiohttp.WSMsgType.CLOSE)
        assert (await client.closed())[0] == 1000
        assert emu.ledger.connections[0].code is None
