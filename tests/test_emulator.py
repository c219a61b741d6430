"""The emulator over real sockets, seen by a plain aiohttp client. E-numbers: the list of behaviours of the service."""

import argparse
import ast
import asyncio
import base64
import contextlib
import json
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
import pytest

from gemini_live import config, emulator, messages
from gemini_live.emulator import command, schema
from gemini_live.emulator.schema import MESSAGES
from gemini_live.emulator.wire import close_reason, read

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
def _nothing_goes_wrong_inside(caplog):
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

    async def speak(self, *pieces, rate=16_000, ms=20):
        block = np.concatenate(pieces)
        size = rate * ms // 1000
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


# --- transport -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["/", "//"])
@pytest.mark.parametrize(
    ("path", "model"),
    [(DEV.replace("v1beta", version), DEV_MODEL) for version in ("v1", "v1beta", "v1alpha")]
    + [(VERTEX.replace("v1", version), VERTEX_MODEL) for version in ("v1", "v1beta1")],
)
async def test_e1_paths_of_both_surfaces(path, model, slash):
    async with emulator.serve(compress_time=True) as url, dial(url, slash + path[1:]) as client:
        await client.set_up(model)


async def test_e1_constrained_takes_any_token():
    path = DEV + "Constrained"
    async with emulator.serve(compress_time=True) as url:
        async with dial(url, f"{path}?access_token=auth_tokens/1", key="") as client:
            await client.set_up()
        async with dial(url, path, key="", Authorization="Token auth_tokens/1") as client:
            await client.set_up()
        async with dial(url, path) as client:
            assert (await client.closed())[0] == 1008


@pytest.mark.parametrize("path", ["/", "/ws/other", DEV.replace("v1beta", "v2"), VERTEX + "Constrained", DEV + "/"])
async def test_e1_other_paths_are_not_found(path):
    async with emulator.serve() as url:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await dial(url, path).__aenter__()
        assert refused.value.status == 404


async def test_e1_vertex_profile_serves_vertex_paths_only():
    async with emulator.serve(profile="vertex", compress_time=True) as url:
        async with dial(url, VERTEX) as client:
            await client.set_up(VERTEX_MODEL)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await dial(url, DEV).__aenter__()


async def test_e2_dev_key():
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


async def test_e3_vertex_bearer():
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
async def test_e4_frames(text):
    async with emulator.serve(text_frames=text, compress_time=True) as url, dial(url) as client:
        await client.ws.send_bytes(json.dumps({"setup": {"model": DEV_MODEL}}).encode())
        answer = await client.ws.receive()
        assert answer.type is (aiohttp.WSMsgType.TEXT if text else aiohttp.WSMsgType.BINARY)


async def test_e5_answers_pings_late_if_told_to():
    async with emulator.serve(faults=emulator.Faults(pong_delay_s=0.05)) as url, dial(url) as client:
        before = time.monotonic()
        await client.ws.ping(b"there?")
        answer = await client.ws.receive()
        assert (answer.type, bytes(answer.data)) == (aiohttp.WSMsgType.PONG, b"there?")
        assert 0.05 <= time.monotonic() - before < 1


def test_e6_reason_is_cut_between_characters():
    assert close_reason("x" * 122 + "é") == b"x" * 122
    assert close_reason("x" * 121 + "é").decode() == "x" * 121 + "é"
    assert close_reason("a\ud800") == b"a?"


async def test_e6_long_reason_on_the_wire():
    async with talk() as (emu, client):
        await asyncio.gather(emu.close_connections(4000, "ß" * 100), answer_close(client, (4000, "ß" * 61)))


async def answer_close(client, expected):
    assert await client.closed() == expected
    await client.ws.close()


async def test_e7_echoes_a_close_and_frees_the_session():
    async with talk(setup={"sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        before = time.monotonic()
        assert await client.ws.close(code=1000)
        assert time.monotonic() - before < 0.1
        assert client.ws.close_code == 1000
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})
        assert emu.ledger.connections[0].code == 1000


# --- decoding --------------------------------------------------------------------------------------------------------


async def test_e8_both_spellings_at_every_depth():
    setup = {
        "model": DEV_MODEL,
        "generation_config": {"responseModalities": ["AUDIO"], "speech_config": {"voiceConfig": {"voice": "Kore"}}},
        "realtimeInputConfig": {"automatic_activity_detection": {"silenceDurationMs": 100, "prefix_padding_ms": 20}},
        "output_audio_transcription": {},
    }
    async with emulator.serve(compress_time=True) as url, dial(url) as client:
        await client.say(setup=setup)
        assert await client.get() == {"setupComplete": {}}
        await client.say(
            client_content={"turns": [{"role": "user", "parts": [{"text": "hello"}]}], "turnComplete": True}
        )
        assert said(await client.until("serverContent", "turnComplete")) == "hello"
        data = base64.urlsafe_b64encode(tone(0.2).tobytes()).decode().rstrip("=")
        await client.say(realtime_input={"audio": {"mime_type": "audio/pcm;rate=16000", "data": data}})
        await client.say(realtimeInput={"audio_stream_end": True})
        assert said(await client.until("serverContent", "turnComplete")) == "utterance 1, 0.2 s"


@pytest.mark.parametrize("data", ["+/8=", "-_8=", "+/8", "-_8", "-/8="])
def test_e9_base64(data):
    assert read(json.dumps({"realtimeInput": {"video": {"data": data}}}), "dev")[1]["video"]["data"] == b"\xfb\xff"


@pytest.mark.parametrize("data", ["A", "AAAAA", "AA A", "AA\n==", "A=A=", "é===", "AAA*"])
async def test_e9_bad_base64_closes(data):
    async with talk() as (_, client):
        await client.say(realtimeInput={"audio": {"mimeType": "audio/pcm", "data": data}})
        assert await client.closed() == (1007, "Request contains an invalid argument.")


@pytest.mark.parametrize(
    ("field", "given", "taken"),
    [
        ("responseModalities", ["audio"], ["AUDIO"]),
        ("responseModalities", [3], ["AUDIO"]),
        ("mediaResolution", "media_resolution_low", "MEDIA_RESOLUTION_LOW"),
        ("seed", "7", 7),
        ("seed", 7.0, 7),
        ("temperature", 1, 1.0),
        ("seed", None, None),
    ],
)
def test_e10_lenient_values(field, given, taken):
    _, setup = read(json.dumps({"setup": {"generationConfig": {field: given}}}), "dev")
    assert next(iter(setup["generation_config"].values()), None) == taken


def test_e10_int64_as_number_or_string():
    for given in (25_000, "25000"):
        _, setup = read(json.dumps({"setup": {"contextWindowCompression": {"triggerTokens": given}}}), "dev")
        assert setup["context_window_compression"]["trigger_tokens"] == 25_000


@pytest.mark.parametrize(
    ("setup", "name", "where"),
    [
        ({"sessionResumption": {"transparent": True}}, "transparent", "setup.session_resumption"),
        ({"colour": 1}, "colour", "setup"),
        ({"tools": [{}, {"functionDeclarations": [{"nam": ""}]}]}, "nam", "setup.tools[1].function_declarations[0]"),
        ({"generationConfig": {"voice_Config": {}}}, "voice_Config", "setup.generation_config"),
    ],
)
async def test_e11_unknown_field_on_dev(setup, name, where):
    async with emulator.serve() as url, dial(url) as client:
        await client.say(setup={"model": DEV_MODEL, **setup})
        reason = f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
        assert await client.closed() == (1007, reason[:123])


async def test_e11_vertex_knows_transparent():
    async with emulator.serve(compress_time=True) as url, dial(url, VERTEX) as client:
        await client.set_up(VERTEX_MODEL, sessionResumption={"transparent": True})


async def test_e11_unknown_field_after_the_setup():
    async with talk() as (_, client):
        await client.say(realtimeInput={"audio": {"rate": 1}})
        code, reason = await client.closed()
        assert code == 1007
        assert "Unknown name \"rate\" at 'realtime_input.audio'" in reason


def test_e11_every_field_of_the_client_is_known():
    """Two tables written apart: a name that only one of them has is misspelt in one of them."""
    structs = {
        "Setup": config.Setup,
        "SessionResumption": config.SessionResumptionConfig,
        "Proactivity": config.ProactivityConfig,
    }
    for message, fields in MESSAGES.items():
        struct = structs.get(message) or getattr(config, message, None) or getattr(messages, message, None)
        if struct is not None:
            assert set(struct.__struct_fields__) <= fields.keys(), message
            assert set(struct.__struct_encode_fields__) <= schema_spellings(message), message
    assert all(name in MESSAGES or name in schema.ENUMS or name.islower() for name in field_types())


def field_types():
    return {kind.removesuffix("[]") for fields in MESSAGES.values() for kind in fields.values()}


def schema_spellings(message):
    split = (name.split("_") for name in MESSAGES[message])
    return {first + "".join(word.capitalize() for word in rest) for first, *rest in split}


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "[]",
        "null",
        "1",
        "{}",
        '{"setup":[]}',
        '{"setup":null}',
        '{"setup":{},"realtimeInput":{}}',
        "[" * 100_000,
        '{"setup":{"model":1}}',
        '{"setup":{"model":"a","model":"b","tools":{}}}',
        '{"setup":{"generationConfig":{"seed":' + "9" * 5000 + "}}}",
        '{"setup":{"generationConfig":{"seed":1.5}}}',
        '{"setup":{"generationConfig":{"seed":true}}}',
        '{"setup":{"generationConfig":{"temperature":"x"}}}',
        '{"setup":{"generationConfig":{"response_modalities":["SMELL"]}}}',
        '{"setup":{"generationConfig":{},"generation_config":{}}}',
        b"\xff\xfe{}",
    ],
)
async def test_e12_not_one_message(data):
    async with emulator.serve() as url, dial(url) as client:
        await (client.ws.send_bytes(data) if isinstance(data, bytes) else client.ws.send_str(data))
        assert await client.closed() == (1007, "Request contains an invalid argument.")


# --- handshake -------------------------------------------------------------------------------------------------------

ORDER = (1007, "setup must be the first message and only the first")


async def test_e13_setup_first_and_once():
    async with emulator.serve(compress_time=True) as url:
        async with dial(url) as client:
            await client.say(realtimeInput={"text": "hello"})
            assert await client.closed() == ORDER
        async with dial(url) as client:
            await client.set_up()
            await client.say(setup={"model": DEV_MODEL})
            assert await client.closed() == ORDER


@BOTH
async def test_e14_setup_complete(path, model):
    async with emulator.serve() as url, dial(url, path) as client:
        before = time.monotonic()
        complete = await client.set_up(model)
        assert 0.24 <= time.monotonic() - before < 1
        assert list(complete) == ([] if path == DEV else ["sessionId"])


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (DEV, "models/gemini-9"),
        (DEV, "gemini-3.8-live"),
        (DEV, ""),
        (DEV, VERTEX_MODEL),
        (VERTEX, DEV_MODEL),
    ],
)
async def test_e15_unknown_model(path, model):
    async with emulator.serve() as url, dial(url, path) as client:
        await client.say(setup={"model": model})
        code, reason = await client.closed()
        assert code == 1008
        assert reason.startswith(f"{model} is not found for API version {'v1beta' if path == DEV else 'v1'}, or"[:123])


async def test_e15_models_of_a_profile():
    async with emulator.serve(profile=profile(models=("mine",))) as url, dial(url) as client:
        await client.set_up("models/mine")


@pytest.mark.parametrize(
    ("generation", "reason"),
    [
        (
            {"responseModalities": ["TEXT"]},
            "The requested combination of response modalities (TEXT) is not supported by the model.",
        ),
        (
            {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "alloy"}}}},
            "No matching speaker voice found for name: alloy",
        ),
        ({"thinkingConfig": {}}, "Request contains an invalid argument."),
        ({"enableAffectiveDialog": True}, "Request contains an invalid argument."),
    ],
)
@BOTH
async def test_e15_values_that_the_model_does_not_take(path, model, generation, reason):
    async with emulator.serve() as url, dial(url, path) as client:
        await client.say(setup={"model": model, "generationConfig": generation})
        assert await client.closed() == (1007, reason)


async def test_e15_proactive_audio_cannot_be_switched_off():
    async with emulator.serve() as url, dial(url) as client:
        await client.say(setup={"model": DEV_MODEL, "proactivity": {"proactiveAudio": False}})
        assert (await client.closed())[0] == 1007


@pytest.mark.parametrize("voice", ["Kore", "kore", "en-us-tavi"])
async def test_e15_voices(voice):
    config_ = {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}}
    async with talk(setup={"generationConfig": config_}):
        pass


async def test_e16_initial_history():
    setup = {"historyConfig": {"initialHistoryInClientContent": True}, "outputAudioTranscription": {}}
    async with talk(setup=setup) as (emu, client):
        await client.say(realtimeInput={"text": "too early"})
        turns = [
            {"role": "user", "parts": [{"text": "I am Ada."}]},
            {"role": "model", "parts": [{"text": "Hello Ada."}]},
        ]
        await client.say(clientContent={"turns": turns, "turnComplete": True})
        await client.say(realtimeInput={"text": "now"})
        assert said(await client.until("serverContent", "turnComplete")) == "now"
        session = emu.ledger.sessions[0]
        assert session.history == [("user", "I am Ada."), ("model", "Hello Ada."), ("user", "now"), ("model", "now")]
        assert (session.ignored, session.texts) == (1, ["now"])


# --- input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
async def test_e17_any_declared_rate(rate):
    async with talk(setup={"inputAudioTranscription": {}}) as (emu, client):
        block = np.concatenate([tone(1, rate), silence(1, rate)])
        await client.speak(block, rate=rate)
        got = await client.until("serverContent", "turnComplete")
        seconds = float(said(got, "inputTranscription").split()[-2])
        assert seconds == pytest.approx(1.0, abs=0.11)
        assert len(speech(got)) == pytest.approx(24_000, abs=2_400)
        await client.flushed()
        assert np.array_equal(emu.ledger.sessions[0].audio, block)


async def test_e17_sixteen_kilohertz_where_none_is_said():
    async with talk(setup={"inputAudioTranscription": {}}) as (_, client):
        await client.say(realtimeInput={"audio": blob(tone(1)) | {"mimeType": "audio/pcm"}})
        await client.say(realtimeInput={"audioStreamEnd": True})
        assert said(await client.until("serverContent", "turnComplete"), "inputTranscription") == "utterance 1, 1.0 s"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"audio": {"mimeType": "audio/webm", "data": "AAAA"}}, "Cannot extract voices from a non-audio request"),
        ({"audio": {"mimeType": "image/jpeg", "data": "AAAA"}}, "Cannot extract voices from a non-audio request"),
        ({"audio": {"data": "AAAA"}}, "Cannot extract voices from a non-audio request"),
        ({"audio": {"mimeType": "audio/pcm;rate=0", "data": "AAAA"}}, "Request contains an invalid argument."),
        ({"audio": {"mimeType": "audio/pcm", "data": "AAAA"}}, "Request contains an invalid argument."),  # 3 bytes
        ({"video": {"mimeType": "audio/pcm", "data": "AAAA"}}, "Request contains an invalid argument."),
    ],
)
async def test_e17_wrong_kind_of_data(fields, reason):
    async with talk() as (_, client):
        await client.say(realtimeInput=fields)
        assert await client.closed() == (1007, reason)


async def test_e17_images():
    async with talk() as (emu, client):
        await client.say(realtimeInput={"video": {"mimeType": "image/jpeg", "data": "/9j/"}})
        await client.flushed()
        assert emu.ledger.sessions[0].images == [b"\xff\xd8\xff"]


async def test_e18_speech_and_silence_make_a_turn():
    async with talk(setup={"inputAudioTranscription": {}}) as (emu, client):
        await client.speak(silence(0.5), tone(1.0), silence(1.0))
        got = await client.until("serverContent", "turnComplete")
        assert [message["voiceActivity"] for message in got if "voiceActivity" in message] == [
            {"type": "ACTIVITY_START", "audioOffset": "0.660s"},
            {"type": "ACTIVITY_END", "audioOffset": "2.200s"},
        ]
        assert said(got, "inputTranscription") == "utterance 1, 1.0 s"
        await client.flushed()
        assert emu.ledger.sessions[0].audio_samples == 40_000


async def test_e18_without_silent_audio_the_turn_stays_open():
    async with talk() as (emu, client):
        await client.speak(tone(1.0))
        assert "voiceActivity" in await client.get()
        await client.flushed()
        assert emu.ledger.sessions[0].history == []
        await client.say(realtimeInput={"audioStreamEnd": True})
        got = await client.until("serverContent", "turnComplete")
        assert got[0]["voiceActivity"] == {"type": "ACTIVITY_END", "audioOffset": "1.000s"}


@pytest.mark.parametrize(("detection", "end"), [({"silenceDurationMs": 100}, "0.600s"), ({}, "1.200s")])
async def test_e18_silence_duration(detection, end):
    async with talk(setup={"realtimeInputConfig": {"automaticActivityDetection": detection}}) as (_, client):
        await client.speak(tone(0.5), silence(1.0))
        got = await client.until("serverContent", "turnComplete")
        assert [message["voiceActivity"]["audioOffset"] for message in got if "voiceActivity" in message][-1] == end


MANUAL = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}


async def test_e19_marked_activity():
    async with talk(setup={**MANUAL, "inputAudioTranscription": {}}) as (emu, client):
        await client.speak(tone(0.2))  # outside: dropped
        await client.say(realtimeInput={"audioStreamEnd": True})  # no effect
        await client.say(realtimeInput={"activityStart": {}})
        await client.speak(tone(0.3), silence(2.0), tone(0.2))
        await client.say(realtimeInput={"activityEnd": {}})
        got = await client.until("serverContent", "turnComplete")
        assert said(got, "inputTranscription") == "utterance 1, 2.5 s"
        assert [message["voiceActivity"] for message in got if "voiceActivity" in message] == [
            {"type": "ACTIVITY_START", "audioOffset": "0.200s"},
            {"type": "ACTIVITY_END", "audioOffset": "2.700s"},
        ]
        assert emu.ledger.sessions[0].ignored == 10


@pytest.mark.parametrize("mark", ["activityStart", "activityEnd"])
async def test_e19_marks_are_refused_with_detection(mark):
    async with talk() as (_, client):
        await client.say(realtimeInput={mark: {}})
        reason = "Explicit activity control is not supported when automatic activity detection is enabled."
        assert await client.closed() == (1007, reason)


async def test_e19_empty_activity_needs_more_input():
    async with talk(setup=MANUAL) as (_, client):
        await client.say(realtimeInput={"activityStart": {}, "activityEnd": {}})
        got = await client.until("serverContent", "turnComplete")
        assert got[-1]["serverContent"]["turnCompleteReason"] == "NEED_MORE_INPUT"
        assert len(speech(got)) == 0


CUTTING_IN = pytest.mark.parametrize(
    ("cut_in", "echoed"),
    [
        ({"realtimeInput": {"text": "stop"}}, "stop"),
        (
            {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "stop"}]}], "turnComplete": True}},
            "stop",
        ),
        ({"realtimeInput": {"audio": blob(np.concatenate([tone(0.2), silence(0.7)]))}}, "utterance 1, 0.2 s"),
    ],
    ids=["text", "content", "speech"],
)


@CUTTING_IN
async def test_e20_cutting_in(cut_in, echoed):
    async with talk(profile=profile(pace=HOLDING), setup={"outputAudioTranscription": {}}) as (emu, client):
        await client.say(realtimeInput={"text": "a long story"})
        await client.until("serverContent", "generationComplete")
        await client.say(**cut_in)
        got = await client.until("serverContent", "turnComplete")  # E26: between generationComplete and turnComplete
        assert contents(got) == ["interrupted", "turnComplete"]
        assert "usageMetadata" in got[-1]
        assert said(await client.until("serverContent", "generationComplete")) == echoed
        assert emu.ledger.sessions[0].interruptions == 1


@CUTTING_IN
async def test_e20_no_interruption(cut_in, echoed):
    pace = msgspec.structs.replace(NO_WAITING, hold=0.2)
    setup = {"outputAudioTranscription": {}, "realtimeInputConfig": {"activityHandling": "NO_INTERRUPTION"}}
    async with talk(profile=profile(pace=pace), setup=setup) as (emu, client):
        await client.say(realtimeInput={"text": "a long story"})
        await client.until("serverContent", "generationComplete")
        await client.say(**cut_in)
        first = await client.until("serverContent", "turnComplete")
        assert "interrupted" not in contents(first)
        assert said(await client.until("serverContent", "turnComplete")) == echoed
        assert (emu.ledger.sessions[0].interruptions, emu.ledger.sessions[0].answers) == (0, 2)


async def test_e21_content_is_answered_when_it_is_complete():
    async with talk(setup={"outputAudioTranscription": {}}) as (emu, client):
        await client.say(clientContent={"turns": [{"parts": [{"text": "one"}, {"text": " two"}]}]})
        await client.flushed()
        assert emu.ledger.sessions[0].answers == 0
        await client.say(clientContent={"turnComplete": True})
        assert said(await client.until("serverContent", "turnComplete")) == "one two"
        assert emu.ledger.sessions[0].contents == [{"parts": [{"text": "one"}, {"text": " two"}]}]


async def test_e21_content_after_the_first_turn():
    content = {"turns": [{"role": "user", "parts": [{"text": "x"}]}], "turnComplete": True}
    for name, closes in (("3.8", False), ("3.1", True)):
        async with talk(profile=profile(name)) as (_, client):
            await client.say(clientContent=content)
            await client.until("serverContent", "turnComplete")
            await client.say(clientContent=content)
            if closes:
                assert await client.closed() == (1007, "Request contains an invalid argument.")
            else:
                await client.until("serverContent", "turnComplete")


async def test_e21_function_parts_are_refused():
    async with talk() as (_, client):
        await client.say(clientContent={"turns": [{"parts": [{"functionCall": {"name": "f"}}]}]})
        assert (await client.closed())[0] == 1007


async def test_e22_media_chunks():
    async with talk(profile=profile("3.8")) as (_, client):
        await client.say(realtimeInput={"mediaChunks": [blob(tone(0.1))]})
        reason = "realtime_input.media_chunks is deprecated. Use audio, video, or text instead."
        assert await client.closed() == (1007, reason)
    async with talk(profile=profile("2.5")) as (emu, client):
        await client.say(realtimeInput={"mediaChunks": [blob(tone(0.1)), {"mimeType": "image/png", "data": "AAAA"}]})
        await client.flushed()
        assert emu.ledger.sessions[0].messages_by_kind == {"audio": 1, "video": 1}


async def test_e23_context_update_replaces_and_clears_tools():
    setup = {"tools": [{"functionDeclarations": [{"name": "light"}]}]}
    async with talk(setup=setup) as (_, client):
        for update, called in [
            ({"systemInstruction": {"parts": [{"text": "be brief"}]}}, True),
            ({"tools": {}}, False),
            ({"tools": {"tools": [{"functionDeclarations": [{"name": "light"}]}]}}, True),
        ]:
            await client.say(contextUpdate=update)
            await client.say(realtimeInput={"text": "light"})
            got = await client.get()
            assert ("toolCall" in got) == called
            await client.say(realtimeInput={"text": "never mind"})
            await client.until("serverContent", "turnComplete")
            await client.until("serverContent", "turnComplete")


# --- output ----------------------------------------------------------------------------------------------------------


@BOTH
async def test_e24_speech_comes_in_pieces(path, model):
    async with talk(path, model) as (_, client):
        await client.speak(tone(1.0), silence(0.7))
        got = await client.until("serverContent", "turnComplete")
        parts = [part for message in got for part in message["serverContent"].get("modelTurn", {}).get("parts", [])]
        sizes = [len(base64.b64decode(part["inlineData"]["data"])) for part in parts]
        assert sizes == [4_800, 15_360, 15_360, 12_480]
        assert all(size % 960 == 0 for size in sizes)
        mime_type = "audio/pcm;rate=24000" if path == DEV else "audio/pcm"
        assert {part["inlineData"]["mimeType"] for part in parts} == {mime_type}
        assert np.corrcoef(speech(got)[:24_000], tone(1.0, 24_000))[0, 1] > 0.99


@BOTH
async def test_e25_turn_complete_brings_the_usage(path, model):
    async with talk(path, model) as (_, client):
        await client.say(realtimeInput={"text": "1234"})
        first = (await client.until("serverContent", "turnComplete"))[-1]
        answer = "response" if path == DEV else "candidates"
        usage = first["usageMetadata"]
        assert usage["promptTokenCount"] == 1
        assert usage[f"{answer}TokensDetails"] == [{"modality": "AUDIO", "tokenCount": usage[f"{answer}TokenCount"]}]
        assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage[f"{answer}TokenCount"]
        assert ("trafficType" in usage) == (path == VERTEX)
        assert ("groundingMetadata" in first["serverContent"]) == (path == VERTEX)
        await client.say(realtimeInput={"text": "1234"})
        second = (await client.until("serverContent", "turnComplete"))[-1]["usageMetadata"]
        assert second["promptTokenCount"] == usage["totalTokenCount"] + 1  # the whole context is counted again


async def test_e25_turn_complete_is_held_until_the_speech_is_over():
    pace = msgspec.structs.replace(NO_WAITING, hold=1.0, speed=5.0)
    async with talk(profile=profile(pace=pace)) as (_, client):
        await client.say(realtimeInput={"text": "1234"})
        await client.until("serverContent", "modelTurn")
        began = time.monotonic()
        await client.until("serverContent", "generationComplete")
        generated = time.monotonic() - began
        await client.until("serverContent", "turnComplete")
        assert generated < 0.2
        assert 0.27 <= time.monotonic() - began < 0.6  # 0.3 s of speech


@pytest.mark.parametrize(("name", "most"), [("3.8", 2), ("3.1", 2), ("2.5", 1)])
async def test_e27_fields_per_message(name, most):
    async with talk(profile=profile(name), setup={"outputAudioTranscription": {}}) as (_, client):
        await client.say(realtimeInput={"text": "one two three"})
        got = await client.until("serverContent", "turnComplete")
        assert max(len(message["serverContent"]) for message in got) == most
        assert said(got) == "one two three"


@pytest.mark.parametrize("wanted", [False, True])
async def test_e28_transcriptions_only_if_asked_for(wanted):
    setup = {"inputAudioTranscription": {}, "outputAudioTranscription": {}} if wanted else {}
    async with talk(setup=setup) as (_, client):
        await client.speak(tone(0.5), silence(0.7))
        got = await client.until("serverContent", "turnComplete")
        names = contents(got)
        assert ("inputTranscription" in names, "outputTranscription" in names) == (wanted, wanted)
        if wanted:
            assert names.index("inputTranscription") < names.index("modelTurn")
            assert said(got) == said(got, "inputTranscription") == "utterance 1, 0.5 s"


@pytest.mark.parametrize(("name", "messages_"), [("3.8", 1), ("2.5", 4)])
async def test_e28_input_by_sentence_or_by_word(name, messages_):
    async with talk(profile=profile(name), setup={"inputAudioTranscription": {}}) as (_, client):
        await client.speak(tone(0.5), silence(0.7))
        got = await client.until("serverContent", "turnComplete")
        assert contents(got).count("inputTranscription") == messages_
        assert said(got, "inputTranscription") == "utterance 1, 0.5 s"


async def test_e28_vertex_frames_the_transcription():
    async with talk(VERTEX, VERTEX_MODEL, setup={"outputAudioTranscription": {}}) as (_, client):
        await client.say(realtimeInput={"text": "hello"})
        got = await client.until("serverContent", "turnComplete")
        words = [
            message["serverContent"]["outputTranscription"]
            for message in got
            if "outputTranscription" in contents([message])
        ]
        assert (words[0], words[-1]) == ({}, {"finished": True})


async def test_e29_empty_messages():
    async with talk(faults=emulator.Faults(empty_messages=True)) as (_, client):
        await client.say(realtimeInput={"text": "hello"})
        got = await client.until("serverContent", "turnComplete")
        assert {} in got
        assert {"serverContent": {}} in got


@pytest.mark.parametrize("wanted", [False, True])
async def test_e31_vertex_announces_activity_if_asked(wanted):
    async with talk(VERTEX, VERTEX_MODEL, setup={"explicitVadSignal": wanted}) as (_, client):
        await client.speak(tone(0.5), silence(0.7))
        got = await client.until("serverContent", "turnComplete")
        assert any("voiceActivity" in message for message in got) == wanted


# --- tools -----------------------------------------------------------------------------------------------------------

TOOLS = {
    "tools": [{"functionDeclarations": [{"name": "light"}, {"name": "order", "behavior": "NON_BLOCKING"}]}],
    "outputAudioTranscription": {},
}


async def call(client, text):
    await client.say(realtimeInput={"text": text})
    return (await client.until("toolCall"))[-1]["toolCall"]["functionCalls"]


async def answer(client, *answers, **fields):
    responses = [{"id": id_, "name": "f", "response": {"output": output}, **fields} for id_, output in answers]
    await client.say(toolResponse={"functionResponses": responses})


async def test_e34_blocking_call_keeps_the_turn_open():
    async with talk(setup=TOOLS) as (emu, client):
        (function,) = await call(client, "turn the light on")
        assert (function["name"], function["args"]) == ("light", {})
        await client.flushed()
        assert emu.ledger.sessions[0].answers == 0
        await answer(client, (function["id"], "it is on"))
        assert said(await client.until("serverContent", "turnComplete")) == "it is on"
        assert emu.ledger.sessions[0].answers == 1
        assert emu.ledger.sessions[0].tool_responses[0]["response"] == {"output": "it is on"}


async def test_e34_non_blocking_call_ends_the_turn():
    async with talk(setup=TOOLS) as (_, client):
        (function,) = await call(client, "order tea")
        got = await client.until("serverContent", "turnComplete")
        assert contents(got) == ["generationComplete", "turnComplete"]
        await answer(client, (function["id"], "ordered"))
        assert said(await client.until("serverContent", "turnComplete")) == "ordered"


async def test_e35_answers_without_or_with_unknown_id():
    async with talk(setup=TOOLS) as (emu, client):
        await answer(client, ("nobody", "hm"))
        await client.say(realtimeInput={"text": "still there"})
        assert said(await client.until("serverContent", "turnComplete")) == "still there"
        assert len(emu.ledger.sessions[0].tool_responses) == 1
        await client.say(toolResponse={"functionResponses": [{"name": "light", "response": {}}]})
        assert (await client.closed())[0] == 1007
    async with talk(VERTEX, VERTEX_MODEL, setup=TOOLS) as (_, client):
        await call(client, "light")
        await client.say(toolResponse={"functionResponses": [{"name": "light", "response": {"a": 1}}]})
        assert said(await client.until("serverContent", "turnComplete")) == '{"a": 1}'


@pytest.mark.parametrize("inside", [False, True], ids=["beside", "inside"])
async def test_e36_scheduling(inside):
    def responses(id_, scheduling):
        response = {"output": scheduling} | ({"scheduling": scheduling} if inside else {})
        return {"id": id_, "name": "order", "response": response} | ({} if inside else {"scheduling": scheduling})

    pace = msgspec.structs.replace(NO_WAITING, hold=0.1)
    async with talk(profile=profile(pace=pace), setup=TOOLS) as (emu, client):
        ids = []
        for _ in range(3):
            ids += [function["id"] for function in await call(client, "order")]
            await client.until("serverContent", "turnComplete")
        await client.say(toolResponse={"functionResponses": [responses(ids[0], "SILENT")]})
        await client.say(realtimeInput={"text": "talk"})
        assert said(await client.until("serverContent", "generationComplete")) == "talk"
        await client.say(toolResponse={"functionResponses": [responses(ids[1], "WHEN_IDLE")]})
        assert contents(await client.until("serverContent", "turnComplete")) == ["turnComplete"]
        assert said(await client.until("serverContent", "generationComplete")) == "WHEN_IDLE"
        await client.say(toolResponse={"functionResponses": [responses(ids[2], "INTERRUPT")]})
        assert contents(await client.until("serverContent", "turnComplete")) == ["interrupted", "turnComplete"]
        assert said(await client.until("serverContent", "turnComplete")) == "INTERRUPT"
        assert emu.ledger.sessions[0].interruptions == 1


@pytest.mark.parametrize(("name", "cancelled"), [("3.8", False), ("2.5", True)])
async def test_e37_interrupting_a_pending_call(name, cancelled):
    async with talk(profile=profile(name), setup=TOOLS) as (_, client):
        (function,) = await call(client, "light")
        await client.say(realtimeInput={"text": "light, please"})
        got = await client.until("toolCall")
        assert contents(got) == ["interrupted", "turnComplete"]
        ids = [message["toolCallCancellation"]["ids"] for message in got if "toolCallCancellation" in message]
        assert ids == ([[function["id"]]] if cancelled else [])
        assert got[-1]["toolCall"]["functionCalls"][0]["id"] != function["id"]


async def test_e38_parallel_calls_survive_a_resume():
    tools = {"tools": [{"functionDeclarations": [{"name": "light"}, {"name": "heat"}]}], "outputAudioTranscription": {}}
    async with talk(setup={**tools, "sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        light, heat = await call(client, "light and heat")
        await answer(client, (light["id"], "bright"))
        await client.flushed()
        emu.cut()
        assert (await client.closed())[0] == 1006
        async with dial(emu.url) as again:
            await again.set_up(**tools, sessionResumption={"handle": handle})
            await answer(again, (heat["id"], "warm"))
            assert said(await again.until("serverContent", "turnComplete")) == "bright warm"


# --- resumption ------------------------------------------------------------------------------------------------------


async def test_e40_nothing_unless_asked_for():
    for path, model in ((DEV, DEV_MODEL), (VERTEX, VERTEX_MODEL)):
        async with talk(path, model) as (_, client):
            await client.say(realtimeInput={"text": "x"})
            got = await client.until("serverContent", "turnComplete")
            await client.say(realtimeInput={"text": "x"})
            got += await client.until("serverContent", "turnComplete")
            assert not any("sessionResumptionUpdate" in message for message in got)


async def test_e40_once_after_the_setup():
    async with talk(setup={"sessionResumption": {}}) as (_, client):
        update = await client.handle()
        assert update == {"newHandle": update["newHandle"], "resumable": True}
        assert len(update["newHandle"]) == 36
        await client.say(realtimeInput={"text": "x"})
        got = await client.until("serverContent", "turnComplete")
        assert not any("sessionResumptionUpdate" in message for message in got)


async def test_e40_all_the_time():
    async with talk(profile=profile("3.1"), setup={"sessionResumption": {}}) as (_, client):
        assert len({(await client.handle())["newHandle"] for _ in range(3)}) == 3


async def test_e40_after_every_turn_on_vertex():
    async with talk(VERTEX, VERTEX_MODEL, setup={"sessionResumption": {"transparent": True}}) as (_, client):
        for count in (1, 2):
            await client.say(realtimeInput={"text": "x"})
            await client.until("serverContent", "turnComplete")
            update = (await client.get())["sessionResumptionUpdate"]
            assert update["lastConsumedClientMessageIndex"] == str(count)


async def test_e41_resumes_at_the_moment_of_the_drop():
    setup = {"sessionResumption": {}, "inputAudioTranscription": {}}
    async with talk(setup=setup) as (emu, client):
        first = (await client.handle())["newHandle"]
        await client.speak(tone(0.5), silence(0.7), tone(0.3))  # one utterance, and the beginning of another
        await client.until("serverContent", "turnComplete")
        await client.flushed()
        emu.cut()
        async with dial(emu.url) as again:
            await again.set_up(**{**setup, "sessionResumption": {"handle": first}})
            assert (await again.handle())["newHandle"] != first
            await again.speak(tone(0.2), silence(0.7))
            got = await again.until("serverContent", "turnComplete")
            assert said(got, "inputTranscription") == "utterance 2, 0.5 s"
            # E31: the offset counts on
            assert [m["voiceActivity"]["audioOffset"] for m in got if "voiceActivity" in m] == ["2.400s"]
        assert len(emu.ledger.sessions) == 1
        assert emu.ledger.sessions[0].connections == [1, 2]
        assert [connection.resumed for connection in emu.ledger.connections] == [False, True]


async def test_e41_the_cut_turn_is_not_continued():
    async with talk(profile=profile(pace=HOLDING), setup={"sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        await client.say(realtimeInput={"text": "a story"})
        await client.until("serverContent", "generationComplete")
        emu.cut()
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle}, outputAudioTranscription={})
            await again.handle()
            await again.say(realtimeInput={"text": "and now"})
            got = await again.until("serverContent", "generationComplete")
            assert "interrupted" not in contents(got)
            assert said(got) == "and now"


async def test_e41_another_model_is_refused_after_the_setup():
    async with talk(setup={"sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        await client.ws.close()
        async with dial(emu.url) as again:
            await again.set_up("models/gemini-3.1-flash-live-preview", sessionResumption={"handle": handle})
            assert await again.closed() == (1011, "Internal error encountered.")


async def test_e42_refused_while_the_old_socket_is_open():
    async with talk(setup={"sessionResumption": {}}) as (emu, client):
        handle = (await client.handle())["newHandle"]
        async with dial(emu.url) as again:
            before = time.monotonic()
            await again.say(setup={"model": DEV_MODEL, "sessionResumption": {"handle": handle}})
            assert await again.closed() == (1011, "Internal error encountered.")
            assert time.monotonic() - before >= 0.045
        await client.ws.close()
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})
    assert [connection.session for connection in emu.ledger.connections] == [1, None, 1]


async def test_e42_refused_right_after_an_idle_drop():
    faults = emulator.Faults(refuse_resume_s=60)
    async with talk(setup={"sessionResumption": {}}, faults=faults) as (emu, client):
        handle = (await client.handle())["newHandle"]
        emu.cut()  # nothing was being said
        setup = {"model": DEV_MODEL, "sessionResumption": {"handle": handle}}
        async with dial(emu.url) as again:
            await again.say(setup=setup)
            assert await again.closed() == (1011, "Internal error encountered.")
        emu.faults = emulator.Faults()
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})


@pytest.mark.parametrize("by", ["client", "emulator"])
async def test_e42_taken_right_after_a_close(by):
    faults = emulator.Faults(refuse_resume_s=60)
    async with talk(setup={"sessionResumption": {}}, faults=faults) as (emu, client):
        handle = (await client.handle())["newHandle"]
        if by == "client":
            await client.ws.close()
        else:
            await asyncio.gather(emu.close_connections(1000), answer_close(client, (1000, "")))
        async with dial(emu.url) as again:
            await again.set_up(sessionResumption={"handle": handle})


@BOTH
async def test_e43_unknown_handle(path, model):
    async with emulator.serve() as url, dial(url, path) as client:
        await client.say(setup={"model": model, "sessionResumption": {"handle": "nonsense"}})
        assert await client.closed() == (1008, "BidiGenerateContent session not found")


@pytest.mark.parametrize("rate", [16_000, 48_000])
async def test_e44_replaying_what_follows_the_index_is_heard_exactly_once(rate):
    setup = {"sessionResumption": {"transparent": True}, "inputAudioTranscription": {}}
    rng = np.random.default_rng(rate)
    block = np.concatenate([tone(0.5, rate), silence(0.8, rate), tone(0.4, rate), silence(1.0, rate)])
    block += rng.integers(-20, 20, len(block)).astype("<i2")
    chunks = [
        {"realtimeInput": {"audio": blob(block[at : at + rate // 50], rate)}} for at in range(0, len(block), rate // 50)
    ]
    async with talk(VERTEX, VERTEX_MODEL, setup=setup) as (emu, client):
        for chunk in chunks[:80]:  # the second utterance has begun
            await client.say(**chunk)
        update = await client.handle()
        consumed = int(update["lastConsumedClientMessageIndex"])
        assert 60 <= consumed < 80
        await client.flushed()
        session = emu.ledger.sessions[0]
        assert session.audio_chunks == 80
        emu.cut()
        async with dial(emu.url, VERTEX) as again:
            await again.set_up(
                VERTEX_MODEL, **{**setup, "sessionResumption": {"handle": update["newHandle"], "transparent": True}}
            )
            assert session.audio_chunks == consumed
            for chunk in chunks[consumed:]:
                await again.say(**chunk)
            got = await again.until("serverContent", "turnComplete")
            assert said(got, "inputTranscription") == "utterance 2, 0.4 s"
            second = await again.handle()
            assert int(second["lastConsumedClientMessageIndex"]) <= len(chunks) - consumed  # counts from 1 again
            await again.flushed()
        assert np.array_equal(session.audio, block)
        assert [connection.messages for connection in emu.ledger.connections] == [80, len(chunks) - consumed]
        # the handle is still good, and still means the same point
        async with dial(emu.url, VERTEX) as third:
            await third.set_up(VERTEX_MODEL, sessionResumption={"handle": update["newHandle"]})
            assert session.audio_chunks == consumed


async def test_e44_text_that_interrupts_is_not_in_the_state_before_it():
    setup = {"sessionResumption": {"transparent": True}, "outputAudioTranscription": {}}
    async with talk(VERTEX, VERTEX_MODEL, setup=setup, profile=profile(pace=HOLDING)) as (emu, client):
        await client.say(realtimeInput={"text": "first"})
        await client.until("serverContent", "generationComplete")
        await client.say(realtimeInput={"text": "second"})
        update = await client.handle()
        assert update["lastConsumedClientMessageIndex"] == "1"
        emu.cut()
        async with dial(emu.url, VERTEX) as again:
            await again.set_up(
                VERTEX_MODEL, sessionResumption={"handle": update["newHandle"]}, outputAudioTranscription={}
            )
            assert emu.ledger.sessions[0].texts == ["first"]
            await again.say(realtimeInput={"text": "second"})
            assert said(await again.until("serverContent", "generationComplete")) == "second"
        assert emu.ledger.sessions[0].texts == ["first", "second"]


async def test_e44_index_may_be_missing():
    setup = {"sessionResumption": {"transparent": True}}
    async with talk(VERTEX, VERTEX_MODEL, setup=setup, faults=emulator.Faults(omit_index=True)) as (_, client):
        await client.say(realtimeInput={"text": "x"})
        assert "lastConsumedClientMessageIndex" not in await client.handle()


# --- ends and faults -------------------------------------------------------------------------------------------------

EXPIRED = (1011, "Deadline expired before operation could complete.")


async def test_e45_go_away_on_command():
    async with talk() as (emu, client):
        await emu.go_away(time_left_s=0.05)
        assert await client.get() == {"goAway": {"timeLeft": "0.050s"}}
        await client.say(realtimeInput={"text": "x"})  # still served
        await client.until("serverContent", "turnComplete")
        assert await client.closed() == EXPIRED
        await client.ws.close()


async def test_e45_go_away_at_an_age_then_silent():
    faults = emulator.Faults(go_away_after_s=0.02, go_away_time_left_s=0.1, go_away_silent=True)
    async with talk(faults=faults) as (_, client):
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
        (emulator.Faults(cut_after_s=0.05), True),
    ],
)
async def test_e46_cut_without_a_close_frame(faults, set_up):
    async with emulator.Emulator(faults=faults, compress_time=True) as emu, dial(emu.url) as client:
        await client.say(setup={"model": DEV_MODEL})
        if set_up:
            await client.get()
            if faults.cut_after_messages:
                for text in ("one", "two", "three"):
                    await client.say(realtimeInput={"text": text})
        assert await client.closed() == (1006, "")
        if faults.cut_after_messages:
            assert emu.ledger.sessions[0].texts == ["one", "two"]
            assert emu.ledger.connections[0].messages == 2


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


# --- the emulator as a thing -----------------------------------------------------------------------------------------


async def test_serve_gives_a_string_and_an_emulator():
    server = emulator.serve(compress_time=True)
    assert server.url == ""
    async with server as url:
        assert type(url) is str
        assert server.url == url
        assert isinstance(server, emulator.Emulator)
        assert server.connections == ()
    async with emulator.Emulator() as emu:
        assert emu.url.startswith("ws://127.0.0.1:")


async def test_serves_tls_and_nobody_else_trusts_it():
    server = emulator.serve(tls=True, compress_time=True)
    async with server as url:
        assert url.startswith("wss://127.0.0.1:")
        assert server.ca_pem.startswith(b"-----BEGIN CERTIFICATE-----")
        for host in ("127.0.0.1", "localhost"):
            async with dial(url.replace("127.0.0.1", host), tls=server.client_ssl_context()) as client:
                await client.set_up()
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await dial(url).__aenter__()


async def test_client_ssl_context_needs_tls():
    async with emulator.Emulator() as emu:
        with pytest.raises(RuntimeError):
            emu.client_ssl_context()


def test_unknown_profile_names_the_known_ones():
    with pytest.raises(ValueError, match=r"3\.8, 3\.1, 2\.5, vertex"):
        emulator.serve(profile="4")


def test_the_emulator_shares_nothing_but_names_with_the_client():
    names = {"config", "messages", "events", "errors"}
    for path in Path(emulator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = (
                [node.module] if isinstance(node, ast.ImportFrom) else [n.name for n in getattr(node, "names", [])]
            )
            for module in modules if isinstance(node, ast.Import | ast.ImportFrom) else []:
                package, _, room = module.partition(".")
                assert package != "gemini_live" or room.split(".")[0] in names | {"emulator"}, f"{path.name}: {module}"


async def test_leaving_takes_no_time_and_no_tasks_stay():
    before = asyncio.all_tasks()
    async with emulator.Emulator(profile=profile(pace=HOLDING)) as emu, contextlib.AsyncExitStack() as open_:
        clients = [await open_.enter_async_context(dial(emu.url)) for _ in range(20)]
        for number, client in enumerate(clients):
            if number % 2:
                await client.set_up()
                await client.say(realtimeInput={"text": "a long story"})
        assert len(emu.connections) == 20
        left = time.monotonic()
        await emu.stop()
        assert time.monotonic() - left < 0.1
        assert asyncio.all_tasks() == before
        assert all(connection.code == 1001 for connection in emu.ledger.connections)
    await emu.stop()  # once more does no harm


@contextlib.asynccontextmanager
async def deaf_client(emu):
    """A client that asks for more than the socket holds and reads none of it."""
    reader, writer = await asyncio.open_connection(*emu.url.removeprefix("ws://").split(":"))
    writer.write(
        f"GET {DEV}?key=k HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    reader._transport.pause_reading()
    setup = {"model": DEV_MODEL, "realtimeInputConfig": {"activityHandling": "NO_INTERRUPTION"}}
    for message in [{"setup": setup}] + [{"realtimeInput": {"text": "x" * 100}}] * 40:  # 15 MB of answers
        data = json.dumps(message).encode()
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        writer.write(b"\x81" + length + bytes(4) + data)
    await writer.drain()
    while not emu.ledger.sessions or emu.ledger.connections[0].messages < 40:  # noqa: ASYNC110
        await asyncio.sleep(0)
    for _ in range(200):
        await asyncio.sleep(0)
    assert emu.connections[0]._transport.get_write_buffer_size() > 0
    try:
        yield
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_leaving_while_a_client_does_not_read():
    async with emulator.Emulator(compress_time=True) as emu, deaf_client(emu):
        left = time.monotonic()
        await emu.stop()
        assert time.monotonic() - left < 0.1


async def test_a_client_that_does_not_read_is_cut_all_the_same():
    lines = []
    faults = emulator.Faults(cut_after_s=0.3)
    async with emulator.Emulator(compress_time=True, faults=faults, tell=lines.append) as emu, deaf_client(emu):
        (connection,) = emu.connections
        async with asyncio.timeout(5):
            await connection.gone.wait()
        assert emu.connections == ()
    assert lines[-1] == "connection 1: cut after 0.3 s"


@pytest.mark.parametrize(
    "message",
    [
        {"toolResponse": {}},
        {"toolResponse": {"functionResponses": [{"id": "x", "response": {"output": 1, "scheduling": []}}]}},
        {"clientContent": {}},
        {"clientContent": {"turns": [{}], "turnComplete": True}},
        {"contextUpdate": {"tools": {"tools": [{"functionDeclarations": [{}]}]}}},
        {"realtimeInput": {}},
        {"realtimeInput": {"text": ""}},
        {"realtimeInput": {"text": "\ud800"}},
        {"realtimeInput": {"audio": {"mimeType": "audio/pcm"}}},
        {"realtimeInput": {"audioStreamEnd": False}},
    ],
)
async def test_odd_messages_do_no_harm(message):
    async with talk(setup={**TOOLS, "sessionResumption": {}}) as (_, client):
        await client.say(**message)
        await client.say(realtimeInput={"text": "all well"})
        got = []
        while said(got) != "all well":
            got = await client.until("serverContent", "turnComplete")


async def test_counts_messages_that_come_too_early():
    async with emulator.Emulator() as emu, dial(emu.url) as client:
        await client.say(setup={"model": DEV_MODEL})
        await client.say(realtimeInput={"text": "impatient"})
        assert (await client.get()) == {"setupComplete": {}}
        assert emu.ledger.connections[0].early_messages == 1


async def test_without_recording_it_only_counts():
    async with talk(record=False) as (emu, client):
        await client.speak(tone(0.1))
        await client.flushed()
        session = emu.ledger.sessions[0]
        assert (session.audio_samples, session.audio_chunks, len(session.audio)) == (1_600, 5, 0)


# --- the command -----------------------------------------------------------------------------------------------------


async def start_command(*options):
    program = (
        "import argparse, asyncio, sys; from gemini_live.emulator import command; p = argparse.ArgumentParser();"
        "command.add_arguments(p); sys.exit(asyncio.run(command.run(p.parse_args())))"
    )
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_command_serves_until_a_signal(number):
    process = await start_command("--tls", "--compress-time", "--api-key", "k")
    url = (await process.stdout.readline()).decode().strip()
    ca_file = (await process.stdout.readline()).decode().split()[-1]
    trusting = ssl.create_default_context(cafile=ca_file)
    async with dial(url, key="k", tls=trusting) as client:
        await client.set_up()
        assert b"new session 1" in await process.stdout.readline()
        process.send_signal(number)
        assert (await client.closed())[0] == 1001
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"closed with 1001" in out
    with pytest.raises(FileNotFoundError):
        ssl.create_default_context(cafile=ca_file)


async def test_command_says_that_the_port_is_in_use(capsys):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        args = parser.parse_args(["--port", str(taken.getsockname()[1])])
        assert await command.run(args) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "address already in use" in error
