"""The official client, pointed at the emulator by its documented options only: a base URL, and whom to trust."""

from __future__ import annotations

import asyncio
import contextlib

import google.auth.credentials
import pytest
from google import genai
from google.genai import types

from conformance import kinds

# All of it is the official client's: its tokens are an experiment, and its HTTP goes over a subclass of aiohttp's.
EXPERIMENTAL = pytest.mark.filterwarnings(
    "ignore:The SDK's token creation implementation is experimental:google.genai._common.ExperimentalWarning",
    "ignore:The SDK's ephemeral token support:google.genai._common.ExperimentalWarning",
    "ignore:Inheritance class AiohttpClientSession:DeprecationWarning",
)


class Credentials(google.auth.credentials.Credentials):
    """Google credentials with a token, and nothing to refresh it from."""

    def __init__(self):
        super().__init__()
        self.token = "a token"  # noqa: S105 - any will do

    def refresh(self, request):
        raise AssertionError("the token is good for the whole test")


def options(server, **more):
    trust = server.client_ssl_context()
    return types.HttpOptions(
        base_url=server.url.replace("wss://", "https://"),
        client_args={"verify": trust},
        async_client_args={"ssl": trust},
        **more,
    )


@contextlib.asynccontextmanager
async def client_of(server, surface="dev", key="key", **more):
    """A client of the emulator, or of another server that runs with TLS, as this SDK speaks nothing else."""
    if surface == "dev":
        client = genai.Client(api_key=key, enterprise=False, http_options=options(server, **more))
    else:
        client = genai.Client(
            enterprise=True,
            project="p",
            location="us-central1",
            credentials=Credentials(),
            http_options=options(server),
        )
    try:
        yield client.aio
    finally:
        await client.aio.aclose()
        client.close()


@contextlib.asynccontextmanager
async def talk(emu, surface="dev", *, model="gemini-3.8-live", config=None):
    """A session of the official client; what it reads counts as covered."""
    async with client_of(emu, surface) as client, client.live.connect(model=model, config=config) as session:
        kinds.cover(kinds.to_official_client(surface), "setup_complete")
        yield Reader(session, surface)


class Reader:
    """The official session, and what it has read."""

    def __init__(self, session, surface):
        self.session = session
        self.surface = surface
        self.got = []
        self.seen = set()

    async def read(self, *wanted):
        """Read until each of these kinds has come."""
        async with asyncio.timeout(5):
            while not self.seen.issuperset(wanted):
                # it ends with each turn
                async with contextlib.aclosing(self.session.receive()) as messages:
                    async for message in messages:
                        self._note(message)
                        if self.seen.issuperset(wanted):
                            return

    def _note(self, message):
        self.got.append(message)
        found = kinds.of_server_message(message)
        kinds.cover(kinds.to_official_client(self.surface), *found)
        self.seen |= found
