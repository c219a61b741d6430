"""Both clients ask for a token alike, and each of them can use a token that the other has made."""

from __future__ import annotations

import contextlib
import ssl

import pytest
import trustme
from aiohttp import web
from google.genai import types

import gemini_live as live
from conformance.exchanges import TOKEN, TOKEN_REQUEST
from conformance.official import EXPERIMENTAL, client_of
from conformance.test_same_setup import normal
from gemini_live import emulator, minting

CONFIG = types.LiveConnectConfig(
    response_modalities=["AUDIO"],
    temperature=0.5,
    system_instruction=types.Content(role="user", parts=[types.Part(text="locked")]),
    session_resumption=types.SessionResumptionConfig(),
    realtime_input_config=types.RealtimeInputConfig(activity_handling="NO_INTERRUPTION"),
)
OURS = live.Setup(
    model="gemini-3.8-live",
    generation_config=live.GenerationConfig(response_modalities=["AUDIO"], temperature=0.5),
    system_instruction=live.Content(role="user", parts=[live.Part(text="locked")]),
    session_resumption=live.SessionResumptionConfig(),
    realtime_input_config=live.RealtimeInputConfig(activity_handling="NO_INTERRUPTION"),
)

# The official client locks all of a message that has fields, unless it is one that it has made a mapping of before:
# generationConfig and systemInstruction. Ours locks what is set in each, as its rule for those two says.
LOCKED_WHOLE = {"realtimeInputConfig.activityHandling": "realtimeInputConfig"}


class Mint:
    """A server that makes one token again and again, and keeps what it was asked for."""

    def __init__(self):
        self.requests = []
        self._authority = trustme.CA()

    def client_ssl_context(self):
        return ssl.create_default_context(cadata=self._authority.cert_pem.bytes().decode())

    async def _make(self, request):
        self.requests.append((request.path, request.headers["x-goog-api-key"], await request.json()))
        return web.json_response({"name": TOKEN})

    @contextlib.asynccontextmanager
    async def running(self):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        app = web.Application()
        app.router.add_post("/{path:.*}", self._make)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            self.url = f"wss://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()


def ours_at(server):
    return {
        "endpoint": live.GeminiApi(version="v1alpha", base_url=server.url),
        "transport": live.TransportConfig(ssl=server.client_ssl_context()),
    }


def comparable(request):
    path, key, body = request
    body = normal(body)
    for time in ("expireTime", "newSessionExpireTime"):
        assert body.pop(time)
    # spelled in either way, even by one client: response_modalities is generationConfig.responseModalities
    mask = {normal({place: 0}).popitem()[0] for place in body.pop("fieldMask", "").split(",")}
    return path, key, body, {LOCKED_WHOLE.get(place, place) for place in mask}


@EXPERIMENTAL
@pytest.mark.parametrize(
    "lock", [None, [], ["temperature", "top_k", "tools"]], ids=["all", "what is set", "what is set and more"]
)
async def test_both_ask_for_a_token_alike(lock):
    async with Mint().running() as mint:
        async with client_of(mint, key="KEY", api_version="v1alpha") as client:
            await client.auth_tokens.create(
                config=types.CreateAuthTokenConfig(
                    uses=3,
                    expire_time="2030-01-01T00:30:00Z",
                    new_session_expire_time="2030-01-01T00:01:00Z",
                    live_connect_constraints=types.LiveConnectConstraints(model="gemini-3.8-live", config=CONFIG),
                    lock_additional_fields=lock,
                )
            )
        token = await minting.mint_token(OURS, uses=3, lock=lock, auth="KEY", **ours_at(mint))
        assert token == live.EphemeralToken(TOKEN)
        theirs, ours = mint.requests
        assert comparable(ours) == comparable(theirs)


async def test_our_request_is_that_of_the_example():
    setup = live.Setup(model="gemini-3.8-live", generation_config=live.GenerationConfig(response_modalities=["AUDIO"]))
    async with Mint().running() as mint:
        await minting.mint_token(setup, auth="KEY", **ours_at(mint))
        [(_, key, body)] = mint.requests
    assert key == "KEY"
    assert body.keys() == TOKEN_REQUEST.keys()
    assert body["uses"] == TOKEN_REQUEST["uses"]
    assert body["bidiGenerateContentSetup"] == TOKEN_REQUEST["bidiGenerateContentSetup"]


@EXPERIMENTAL
async def test_each_uses_the_token_that_the_other_has_made():
    async with emulator.Emulator(tls=True, compress_time=True) as emu:
        token = await minting.mint_token(OURS, auth="KEY", **ours_at(emu))
        async with (
            client_of(emu, key=token.value, api_version="v1alpha") as client,
            client.live.connect(model="gemini-3.8-live"),
        ):
            pass
        async with client_of(emu, api_version="v1alpha") as client:
            made = await client.auth_tokens.create(
                config=types.CreateAuthTokenConfig(
                    live_connect_constraints=types.LiveConnectConstraints(model="gemini-3.8-live", config=CONFIG)
                )
            )
        async with live.connect("gemini-3.8-live", auth=made.name, **ours_at(emu)):
            pass
        assert [session.system_instruction for session in emu.ledger.sessions] == ["locked", "locked"]
