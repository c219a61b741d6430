"""How clients may spell what they send (E8 to E12)."""

import base64
import json

import pytest

import emulator_client
from emulator_client import DEV_MODEL, VERTEX, VERTEX_MODEL, dial, said, talk, tone
from gemini_live import emulator, messages, setup_message
from gemini_live.emulator import schema
from gemini_live.emulator.schema import MESSAGES
from gemini_live.emulator.wire import read

no_errors_inside = emulator_client.no_errors_inside


async def test_e08_both_spellings_at_every_depth():
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
def test_e09_base64(data):
    assert read(json.dumps({"realtimeInput": {"video": {"data": data}}}), "dev")[1]["video"]["data"] == b"\xfb\xff"


@pytest.mark.parametrize("data", ["A", "AAAAA", "AA A", "AA\n==", "A=A=", "é===", "AAA*"])
async def test_e09_bad_base64_closes(data):
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
        "Setup": setup_message.Setup,
        "SessionResumption": setup_message.SessionResumptionConfig,
        "Proactivity": setup_message.ProactivityConfig,
    }
    for message, fields in MESSAGES.items():
        struct = structs.get(message) or getattr(setup_message, message, None) or getattr(messages, message, None)
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
        '{"setup":{"generationConfig":{"temperature":NaN}}}',  # which only Python takes for JSON
        '{"setup":{"generationConfig":{"temperature":-Infinity}}}',
        '{"setup":{"generationConfig":{"temperature":1e999}}}',
        '{"setup":{"generationConfig":{"response_modalities":["SMELL"]}}}',
        '{"setup":{"generationConfig":{},"generation_config":{}}}',
        b"\xff\xfe{}",
    ],
)
async def test_e12_not_one_message(data):
    async with emulator.serve() as url, dial(url) as client:
        await (client.ws.send_bytes(data) if isinstance(data, bytes) else client.ws.send_str(data))
        assert await client.closed() == (1007, "Request contains an invalid argument.")
