"""The eight exchanges, with the emulator: for the client's lines it sends messages of the same shape in the same order.

The client is a WebSocket that is not ours, and reads the lines out. What a shape leaves out: the values of ids,
handles, texts, counters and audio; into how many pieces an answer is cut, and how its transcription lies between them;
signs of life; and the role, which some of the examples have and some have not.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from datetime import datetime

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from conformance.exchanges import (
    CONSTRAINED,
    EXCHANGES,
    MADE_AT,
    TOKEN_REQUEST,
    USED_UP,
    WITH_TOKEN,
    Answers,
    Closes,
    Leaves,
    Lost,
    Says,
)
from gemini_live import emulator

PATHS = {
    "dev": "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=key",
    "vertex": "/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent",
}
HEADERS = {"dev": {}, "vertex": {"Authorization": "Bearer token"}}
COUNTS = {"promptTokenCount", "responseTokenCount", "totalTokenCount"}
# names whose values are part of the shape
MEANT = {"type", "name", "args", "mimeType", "modality"}


def shape(message, usage):
    """What is compared of a message; ``None`` for a sign of life."""
    if message in ({}, {"serverContent": {}}):
        return None
    content = message.get("serverContent", {})
    parts = content.get("modelTurn", {}).get("parts", [{}])
    if message.keys() == {"serverContent"} and content.keys() <= {"modelTurn", "outputTranscription"} and content:
        said = {"outputTranscription"} & content.keys()
        if "text" not in parts[0]:
            return {"speech": said | {part["inlineData"]["mimeType"] for part in parts if part}}
    return outline(message, usage)


def outline(value, usage, name=""):
    match value:
        case dict() if name == "usageMetadata":
            return {key: ... for key in value if key in COUNTS | usage}
        case dict():
            return {key: outline(item, usage, key) for key, item in value.items() if key != "role"}
        case list():
            return [outline(item, usage, name) for item in value]
        case str() | int() if name not in MEANT and not isinstance(value, bool):
            return ...
        case _:
            return value


def outlines(messages, usage=frozenset()):
    """The shapes of messages; pieces of one answer are one."""
    shapes = []
    for message in messages:
        found = shape(message, usage)
        if found is None:
            continue
        if "speech" in found and shapes and "speech" in shapes[-1]:
            shapes[-1] = {"speech": shapes[-1]["speech"] | found["speech"]}
        else:
            shapes.append(found)
    return shapes


class Replay:
    """Plays the client to the emulator."""

    def __init__(self, emu, exchange, path=None):
        self.emu = emu
        self.exchange = exchange
        self.url = emu.url + (path or PATHS[exchange.surface])
        self.speech = list(exchange.speech)
        self.expected, self.got = [], []
        self.ws = None

    async def step(self, step):
        if not isinstance(step, Answers):
            await self.catch_up()
        match step:
            case Says(message):
                await self.say(message)
            case Answers(message, _, provoke):
                if provoke is not None:
                    await self.catch_up()
                    await provoke(self.emu)
                self.expected.append(message)
            case Lost():
                self.emu.cut()
                with pytest.raises(ConnectionClosed):
                    await self.ws.recv()
                self.ws = None
            case Closes(code, reason):
                with pytest.raises(ConnectionClosed):
                    await self.ws.recv()
                assert (self.ws.close_code, self.ws.close_reason) == (code, reason)
                self.ws = None
                await asyncio.sleep(self.exchange.emulator["faults"].refuse_resume_s)
            case Leaves():
                await self.ws.close(1000)
                self.ws = None

    async def say(self, message):
        if self.ws is None:
            self.ws = await connect(self.url, additional_headers=HEADERS[self.exchange.surface], compression=None)
        message = json.loads(json.dumps(message))
        spoken = message.get("realtimeInput", {}).get("audio")
        if spoken is not None:
            spoken["data"] = base64.b64encode(self.speech.pop(0).tobytes()).decode()
        resumption = message.get("setup", {}).get("sessionResumption", {})
        if "handle" in resumption:
            resumption["handle"] = self.handle
        await self.ws.send(json.dumps(message))

    @property
    def handle(self):
        """The last one that was offered."""
        offers = [message["sessionResumptionUpdate"] for message in self.got if "sessionResumptionUpdate" in message]
        return offers[-1]["newHandle"]

    async def catch_up(self):
        """Read until the emulator has sent what the example has so far, and nothing else."""
        usage = self.exchange.usage
        wanted = outlines(self.expected, usage)
        try:
            async with asyncio.timeout(5):
                while outlines(self.got, usage) != wanted:
                    message = json.loads(await self.ws.recv())
                    if not any(f'"{kind}"' in json.dumps(message) for kind in self.exchange.beside):
                        self.got.append(message)
        except TimeoutError:
            assert outlines(self.got, usage) == wanted
            raise

    async def end(self):
        """Nothing more comes than more of the same speech, if it is the service that has the last word."""
        await self.catch_up()
        if isinstance(self.exchange.steps[-1], Answers):
            await (await self.ws.ping())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    while True:
                        self.got.append(json.loads(await self.ws.recv()))
            await self.catch_up()
        await self.ws.close(1000)


@pytest.mark.parametrize("name", [name for name, exchange in EXCHANGES.items() if exchange is not WITH_TOKEN])
async def test_the_emulator_keeps_to_the_exchange(name):
    exchange = EXCHANGES[name]
    async with emulator.Emulator(**exchange.emulator) as emu:
        replay = Replay(emu, exchange)
        for step in (*exchange.before, *exchange.steps):
            await replay.step(step)
        await replay.end()
        assert replay.speech == []


async def test_the_emulator_keeps_to_the_exchange_about_a_token():
    async with emulator.Emulator(compress_time=True) as emu:
        emu.tokens.clock = datetime.fromisoformat(MADE_AT).timestamp
        url = emu.url.replace("ws://", "http://") + "/v1beta/auth_tokens"
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, json=TOKEN_REQUEST, headers={"x-goog-api-key": "KEY"}) as answer,
        ):
            made = await answer.json()
        assert made.keys() == {"name"}
        assert made["name"].startswith("auth_tokens/")
        path = f"{CONSTRAINED}?access_token={made['name']}"

        replay = Replay(emu, WITH_TOKEN, path)
        for step in WITH_TOKEN.steps:
            await replay.step(step)
        await replay.end()

        async with connect(emu.url + path) as second:
            await second.send(json.dumps(WITH_TOKEN.steps[0].message))
            with contextlib.suppress(ConnectionClosed):
                await second.recv()
            assert (second.close_code, second.close_reason) == USED_UP


async def test_signs_of_life_are_sent_where_the_example_has_them():
    exchange = EXCHANGES["2 voice turn"]
    async with emulator.Emulator(**exchange.emulator) as emu:
        replay = Replay(emu, exchange)
        for step in exchange.steps:
            await replay.step(step)
        await replay.end()
        assert {} in replay.got
