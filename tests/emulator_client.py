"""A plain aiohttp client for the emulator, and what several of its tests say and hear."""

import asyncio
import base64
import contextlib
import json
import sys
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import numpy as np
import pytest

from gemini_live import emulator
from gemini_live.emulator import PROFILES, Pace
from gemini_live.emulator.conversation import Conversation
from gemini_live.emulator.ledger import Log
from gemini_live.emulator.memory import Memory

DEV = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
VERTEX = "/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent"
DEV_MODEL = "models/gemini-3.8-live"
VERTEX_MODEL = "projects/p/locations/us-central1/publishers/google/models/gemini-3.8-live"
BOTH = pytest.mark.parametrize(("path", "model"), [(DEV, DEV_MODEL), (VERTEX, VERTEX_MODEL)], ids=["dev", "vertex"])
NO_WAITING = emulator.Pace.compressed()
HOLDING = msgspec.structs.replace(NO_WAITING, hold=1000.0)
"""Speech comes at once, and its turn stays open until something ends it."""


def profile(name="3.8", pace=NO_WAITING, **changes):
    return msgspec.structs.replace(emulator.PROFILES[name], pace=pace, **changes)


@pytest.fixture(autouse=True)
def no_errors_inside(caplog):
    """Every file that opens the emulator takes this in: the emulator's own faults are only seen in the log."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


class Client:
    """A WebSocket and nothing more."""

    def __init__(self, ws):
        self.ws = ws

    async def say(self, **message):
        await self.ws.send_str(json.dumps(message))

    async def get(self):
        async with asyncio.timeout(5):
            message = await self.ws.receive()
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
        return json.loads(message.data)

    async def until(self, *names):
        """All messages up to the first that holds this field, such as ``serverContent``, ``turnComplete``."""
        got = []
        while True:
            got.append(await self.get())
            if holds(got[-1], *names):
                return got

    async def closed(self):
        """The close code and reason, whatever comes before; code 1006 is a lost connection."""
        async with asyncio.timeout(5):
            while True:
                message = await self.ws.receive()
                if message.type is aiohttp.WSMsgType.CLOSE:
                    return message.data, message.extra
                if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                    return 1006, ""

    async def set_up(self, model=DEV_MODEL, **setup):
        await self.say(setup={"model": model, **setup})
        got = await self.get()
        assert "setupComplete" in got
        return got["setupComplete"]

    async def handle(self):
        return (await self.until("sessionResumptionUpdate"))[-1]["sessionResumptionUpdate"]

    async def speak(self, *pieces, rate=16_000):
        block = np.concatenate(pieces)
        size = rate // 50
        for start in range(0, len(block), size):
            await self.say(realtimeInput={"audio": blob(block[start : start + size], rate)})

    async def flushed(self):
        """Waits until the emulator has heard everything that was sent so far."""
        await self.ws.ping(b"?")
        async with asyncio.timeout(5):
            while (await self.ws.receive()).type is not aiohttp.WSMsgType.PONG:
                pass


def holds(message, *names):
    for name in names:
        if not isinstance(message, dict) or name not in message:
            return False
        message = message[name]
    return True


@contextlib.asynccontextmanager
async def dial(url, path=DEV, key="key", tls=True, **headers) -> AsyncIterator[Client]:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if path.startswith(VERTEX):
        headers.setdefault("Authorization", "Bearer token")
    elif key:
        path += f"?key={key}"
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(
            url + path, headers=headers, autoping=False, autoclose=False, ssl=tls, max_msg_size=1 << 25
        ) as ws,
    ):
        yield Client(ws)


def tone(seconds, rate=16_000):
    return (np.sin(np.arange(round(seconds * rate)) * (2 * np.pi * 400 / rate)) * 8_000).astype("<i2")


def silence(seconds, rate=16_000):
    return np.zeros(round(seconds * rate), "<i2")


def blob(samples, rate=16_000):
    return {"mimeType": f"audio/pcm;rate={rate}", "data": base64.b64encode(samples.tobytes()).decode()}


def speech(got):
    """The samples of all speech in server messages, at 24 kHz."""
    parts = [
        part["inlineData"]
        for message in got
        if holds(message, "serverContent", "modelTurn")
        for part in message["serverContent"]["modelTurn"]["parts"]
    ]
    return np.frombuffer(b"".join(base64.b64decode(part["data"]) for part in parts), "<i2")


def said(got, kind="outputTranscription"):
    texts = [message["serverContent"][kind].get("text", "") for message in got if holds(message, "serverContent", kind)]
    return "".join(texts)


def contents(got):
    """The names of all fields of ``serverContent`` in the order in which they came."""
    return [name for message in got for name in message.get("serverContent", {})]


@contextlib.asynccontextmanager
async def talk(path=DEV, model=DEV_MODEL, setup=None, **options):
    """A fresh emulator with one client that is set up."""
    options.setdefault("compress_time", "profile" not in options)
    async with emulator.Emulator(**options) as emu, dial(emu.url, path) as client:
        await client.set_up(model, **(setup or {}))
        yield emu, client


async def answer_close(client, expected):
    assert await client.closed() == expected
    await client.ws.close()


async def start_command(*options):
    program = (
        "import argparse, asyncio, sys; from gemini_live.emulator import command; p = argparse.ArgumentParser();"
        "command.add_arguments(p); sys.exit(asyncio.run(command.run(p.parse_args())))"
    )
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


TOOLS = {
    "tools": [
        {
            "functionDeclarations": [
                {"name": "light", "behavior": "BLOCKING"},
                {"name": "order", "behavior": "NON_BLOCKING"},
            ]
        }
    ],
    "outputAudioTranscription": {},
}


# --- without sockets, and with numbers as time ---

SETUP = {"model": "models/gemini-3.8-live", "input_audio_transcription": {}, "output_audio_transcription": {}}


def audio(samples, rate=16_000):
    return {"audio": {"mime_type": f"audio/pcm;rate={rate}", "data": samples.tobytes()}}


def converse(memory=None, setup=None, name="3.8", *, pace=None, surface="dev", model=None, **options):  # noqa: PLR0913
    """A conversation that begins at 0; ``model`` holds changes of the profile."""
    changed = msgspec.structs.replace(PROFILES[name], pace=pace or Pace(), **(model or {}))
    return Conversation(memory or Memory(Log()), SETUP | (setup or {}), changed, surface, 0.0, **options)


def run(conversation, until=1e9):
    """All messages up to a time, as pairs of time and message: the clock jumps to each deadline."""
    now, said = 0.0, []
    while (deadline := conversation.deadline()) is not None and deadline <= until:
        now = max(now, deadline)
        while (out := conversation.due(now)) is not None:
            said.append((now, out.message))
    return said


def names(said):
    return [name for _, message in said for name in message.get("serverContent", {})]
