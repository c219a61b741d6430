"""The eight exchanges, with our client: it says each line of the client's, and tells each line of the service's.

The service is a server that is not ours, and reads the lines out.
"""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

import gemini_live as live
from conformance.exchanges import (
    CHUNKS,
    CONSTRAINED,
    EXCHANGES,
    TOKEN,
    USED_UP,
    WITH_TOKEN,
    Answers,
    Closes,
    Leaves,
    Lost,
    Says,
)
from conformance.peer import listening

ENDPOINTS = {
    "dev": lambda url: (live.GeminiApi(base_url=url), live.ApiKey("key")),
    "vertex": lambda url: (live.VertexAi(project="p", base_url=url), live.BearerToken("token")),
}


def shortened(message):
    """A message with its chunks of speech as the examples have them."""
    text = json.dumps(message)
    for short, block in CHUNKS.items():
        text = text.replace(base64.b64encode(block.tobytes()).decode(), short)
    return json.loads(text)


class Replay:
    """Plays the service to one session of ours."""

    def __init__(self, peer, connecting):
        self.peer = peer
        self.connecting = connecting
        self.session = None

    async def step(self, step):
        match step:
            case Says(message, call):
                if call is not None:
                    await call(self.session)
                assert shortened(await self.peer.hear()) == message
            case Answers(message, events):
                await self.peer.say(message)
                await self.told(events)
            case Lost(events):
                self.peer.cut()
                await self.told(events)
            case Closes(code, reason, events):
                await self.peer.close(code, reason)
                await self.told(events)
            case Leaves(events):
                await self.told(events)
                connection = self.peer.connections[-1]
                await connection.wait_closed()
                assert connection.close_code == 1000

    async def told(self, events):
        if self.session is None:
            self.session = await self.connecting
        for expected in events:
            event = await asyncio.wait_for(self.session.next_event(), 5)
            if isinstance(expected, type):
                assert isinstance(event, expected)
            else:
                assert event == expected


@pytest.mark.parametrize("name", EXCHANGES)
async def test_our_client_keeps_to_the_exchange(name):
    exchange = EXCHANGES[name]
    async with listening(greeting=None) as peer:
        endpoint, auth = ENDPOINTS[exchange.surface](peer.url)
        if exchange is WITH_TOKEN:
            auth = live.EphemeralToken(TOKEN)
        policy = live.ReconnectPolicy(base_s=0, cap_s=0, enabled=exchange.resumes)
        connecting = asyncio.ensure_future(
            _opened(live.connect(exchange.setup, endpoint=endpoint, auth=auth, reconnect=policy))
        )
        replay = Replay(peer, connecting)
        try:
            for step in (*exchange.before, *exchange.steps):
                await replay.step(step)
            assert peer.heard_nothing_else
        finally:
            connecting.cancel()
            if replay.session is not None:
                await replay.session.close()


async def _opened(connecting):
    return await connecting


async def test_our_client_shows_a_token_where_the_example_does():
    async with listening() as peer:
        async with live.connect("gemini-3.8-live", endpoint=live.GeminiApi(base_url=peer.url), auth=TOKEN):
            request = peer.connections[0].request
        assert request.path == CONSTRAINED
        # not in the URL, where proxies keep it
        assert request.headers["Authorization"] == f"Token {TOKEN}"


async def test_our_client_says_that_a_token_is_used_up():
    async with listening(greeting=None) as peer:
        policy = live.ReconnectPolicy(enabled=False)
        endpoint = live.GeminiApi(base_url=peer.url)
        connecting = asyncio.ensure_future(_opened(live.connect("m", endpoint=endpoint, auth=TOKEN, reconnect=policy)))
        await peer.hear()
        await peer.close(*USED_UP)
        with pytest.raises(live.ConnectError) as caught:
            await connecting
        assert caught.value.closed.kind is live.CloseKind.TOKEN_EXPIRED
