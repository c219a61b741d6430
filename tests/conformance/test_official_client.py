"""E51: the official client connects to the emulator, sends each kind of message that it has, and reads each kind.

Nothing of it is patched. It insists on TLS, so the emulator serves a certificate that the client is told to trust.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from google.genai import _live_converters, errors, types

from conformance import kinds
from conformance.official import EXPERIMENTAL, client_of, talk
from emulator_client import silence, tone
from gemini_live import emulator
from gemini_live.emulator import Reply, Rule, When

SURFACES = pytest.mark.parametrize("surface", kinds.SURFACES)
MODEL = {
    "dev": "models/gemini-3.8-live",
    "vertex": "projects/p/locations/us-central1/publishers/google/models/gemini-3.8-live",
}
SPEECH = np.concatenate([tone(0.5), silence(1)])
JPEG = b"\xff\xd8\xff\xfb\xef\xbe"  # its base64 differs in the URL-safe alphabet, which this client uses
IMAGE = types.Blob(data=JPEG, mime_type="image/jpeg")
NO_WAITING = emulator.Pace.compressed()
# speech comes at once, and its turn stays open until something ends it
HOLDING = msgspec.structs.replace(NO_WAITING, hold=1000.0)


def profile(name="3.8", pace=NO_WAITING, **changes):
    return msgspec.structs.replace(emulator.PROFILES[name], pace=pace, **changes)


def pcm(samples, rate=16_000):
    return types.Blob(data=samples.astype("<i2").tobytes(), mime_type=f"audio/pcm;rate={rate}")


@SURFACES
async def test_e51_the_official_client_connects(surface):
    async with emulator.Emulator(tls=True, compress_time=True) as emu, talk(emu, surface) as official:
        assert official.session.setup_complete is not None
        assert (official.session.session_id is not None) == (surface == "vertex")
        assert emu.ledger.sessions[0].model == MODEL[surface]
        kinds.cover(kinds.to_emulator(surface), "setup")


@SURFACES
async def test_e51_the_official_client_is_told_why_it_may_not_connect(surface):
    async with emulator.Emulator(tls=True, compress_time=True) as emu:
        with pytest.raises(errors.APIError, match="is not found for API version") as caught:
            async with talk(emu, surface, model="gemini-0"):
                pass
        assert caught.value.code == 1008


# --- what it sends ---------------------------------------------------------------------------------------------------


class Send(NamedTuple):
    """A call of the official session, and what the emulator must have understood."""

    kind: str
    call: object
    heard: list
    config: dict | None = None
    profile: str = "3.8"


BY_HAND = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
ANSWER = types.FunctionResponse(
    id="call-1",
    name="light",
    response={"output": {"on": True, "level": 0.5}},
    scheduling="WHEN_IDLE",
    parts=[types.FunctionResponsePart(inline_data=types.FunctionResponseBlob(mime_type="image/jpeg", data=JPEG))],
)

SENDS = [
    Send("realtime_input.audio", lambda s: s.send_realtime_input(audio=pcm(SPEECH)), [("audio", SPEECH, 16_000)]),
    Send(
        "realtime_input.video",
        lambda s: s.send_realtime_input(video=IMAGE),
        [("video", JPEG)],
    ),
    Send("realtime_input.text", lambda s: s.send_realtime_input(text="Grüße"), [("text", "Grüße")]),
    Send(
        "realtime_input.audio_stream_end",
        lambda s: s.send_realtime_input(audio_stream_end=True),
        [("audio_stream_end", None)],
    ),
    Send(
        "realtime_input.activity_start",
        lambda s: s.send_realtime_input(activity_start=types.ActivityStart()),
        [("activity_start", None)],
        BY_HAND,
    ),
    Send(
        "realtime_input.activity_end",
        lambda s: s.send_realtime_input(activity_end=types.ActivityEnd()),
        [("activity_end", None)],
        BY_HAND,
    ),
    Send(  # deprecated; only older models take it
        "realtime_input.media_chunks",
        lambda s: s.send_realtime_input(media=pcm(SPEECH, 8_000)),
        [("audio", SPEECH, 8_000)],
        profile="2.5",
    ),
    Send(
        "client_content",
        lambda s: s.send_client_content(
            turns=[
                types.Content(role="user", parts=[types.Part(text="Look")]),
                types.Content(role="model", parts=[types.Part(inline_data=IMAGE)]),
            ],
            turn_complete=False,
        ),
        [
            (
                "client_content",
                {
                    "turns": [
                        {"role": "user", "parts": [{"text": "Look"}]},
                        {"role": "model", "parts": [{"inline_data": {"mime_type": "image/jpeg", "data": JPEG}}]},
                    ],
                    "turn_complete": False,
                },
            )
        ],
    ),
    Send("client_content", lambda s: s.send_client_content(), [("client_content", {"turn_complete": True})]),
    Send(
        "tool_response",
        lambda s: s.send_tool_response(function_responses=[ANSWER]),
        [
            (
                "tool_response",
                {
                    "function_responses": [
                        {
                            "id": "call-1",
                            "name": "light",
                            "response": {"output": {"on": True, "level": 0.5}},
                            "scheduling": "WHEN_IDLE",
                            "parts": [{"inline_data": {"mime_type": "image/jpeg", "data": JPEG}}],
                        }
                    ]
                },
            )
        ],
    ),
    Send(
        "context_update",
        lambda s: s.send_context_update(
            system_instruction="Be brief.", tools=[{"function_declarations": [{"name": "light"}]}]
        ),
        [
            (
                "context_update",
                {
                    "system_instruction": {"role": "user", "parts": [{"text": "Be brief."}]},
                    "tools": {"tools": [{"function_declarations": [{"name": "light"}]}]},
                },
            )
        ],
    ),
    Send(
        "context_update",
        lambda s: s.send_context_update(tools=[]),
        [("context_update", {"tools": {"tools": []}})],
    ),
]


@SURFACES
@pytest.mark.parametrize("send", SENDS, ids=lambda send: send.kind)
async def test_e51_the_official_client_sends(send, surface):
    async with emulator.Emulator(tls=True, profile=profile(send.profile)) as emu:
        async with talk(emu, surface, config=send.config) as official:
            await send.call(official.session)
            await heard(emu, 1)
        [ours] = emu.ledger.sessions
        for entry, expected in zip(ours.log.entries, send.heard, strict=True):
            assert entry.kind == expected[0]
            np.testing.assert_equal(entry.content, expected[1])
            assert entry.rate_hz == (expected[2] if len(expected) > 2 else 0)
        kinds.cover(kinds.to_emulator(surface), send.kind)


async def heard(emu, messages):
    """Wait until the emulator has heard so many messages on its last connection."""
    async with asyncio.timeout(5):
        while emu.ledger.connections[-1].messages < messages:
            assert emu.ledger.connections[-1].code is None, emu.ledger.connections[-1].reason
            await asyncio.sleep(0.001)


@SURFACES
async def test_e51_the_official_client_resumes_with_a_handle(surface):
    config = {"session_resumption": {}}
    async with emulator.Emulator(tls=True, compress_time=True) as emu:
        async with talk(emu, surface, config=config) as official:
            await official.session.send_realtime_input(text="remember this")
            await official.read("server_content.turn_complete", "session_resumption_update")
        updates = [message.session_resumption_update for message in official.got]
        handle = next(update.new_handle for update in updates if update is not None)
        async with talk(emu, surface, config={"session_resumption": {"handle": handle}}) as official:
            await official.session.send_realtime_input(text="and that")
            await official.read("server_content.turn_complete")
        assert [session.texts for session in emu.ledger.sessions] == [["remember this", "and that"]]
        assert [connection.resumed for connection in emu.ledger.connections] == [False, True]


# --- what it reads ---------------------------------------------------------------------------------------------------


class Scene(NamedTuple):
    """Something that makes the emulator send these kinds.

    Attributes:
        vertex: what the configuration must hold besides on Vertex AI.
    """

    kinds: set
    act: object
    profile: str = "3.8"
    config: dict | None = None
    vertex: dict | None = None
    model: str = "gemini-3.8-live"
    changes: dict | None = None
    script: list | None = None


async def say_hello(official, emu):
    await official.session.send_realtime_input(text="hello")


async def say_search(official, emu):
    await official.session.send_realtime_input(text="search for tea")


async def call_light(official, emu):
    await official.session.send_realtime_input(text="light")


async def say_nothing(official, emu):
    await official.session.send_client_content(turns={"role": "user", "parts": [{"text": ""}]})


async def speak(official, emu):
    for start in range(0, len(SPEECH), 320):
        await official.session.send_realtime_input(audio=pcm(SPEECH[start : start + 320]))


async def interrupt(official, emu):
    await official.session.send_realtime_input(text="a long story")
    await official.read("server_content.model_turn")
    await official.session.send_realtime_input(text="stop")


async def interrupt_call(official, emu):
    await call_light(official, emu)
    await official.read("tool_call")
    await official.session.send_realtime_input(text="stop")


async def announce_the_end(official, emu):
    await emu.go_away(time_left_s=50)


def content(*names):
    return {f"server_content.{name}" for name in names}


LIGHT = {"tools": [{"function_declarations": [{"name": "light"}]}]}
TRANSCRIBED = {"input_audio_transcription": {}, "output_audio_transcription": {}}

SCENES = {
    "a turn": Scene(
        content("model_turn", "generation_complete", "turn_complete", "output_transcription") | {"usage_metadata"},
        say_hello,
        config=TRANSCRIBED,
    ),
    "a turn of a 2.5 model, with thoughts": Scene(
        content("model_turn", "generation_complete", "turn_complete", "output_transcription") | {"usage_metadata"},
        say_hello,
        profile="2.5",
        model="gemini-2.5-flash-native-audio-latest",
        config=TRANSCRIBED,
    ),
    "speech": Scene(
        content("input_transcription", "output_transcription", "turn_complete") | {"voice_activity"},
        speak,
        config=TRANSCRIBED,
        vertex={"explicit_vad_signal": True},
    ),
    "an interruption": Scene(
        content("interrupted", "turn_complete"), interrupt, changes={"pace": HOLDING}, config=TRANSCRIBED
    ),
    "a search": Scene(content("grounding_metadata"), say_search, config={"tools": [{"google_search": {}}]}),
    "an empty question": Scene(content("turn_complete_reason"), say_nothing),
    "extended thinking": Scene(
        content("interaction_status"),
        say_hello,
        profile="3.8-extended-thinking",
        model="gemini-3.8-live-extended-thinking",
        config={"thinking_config": {"include_thoughts": True, "thinking_level": "LOW"}},
    ),
    "transcription only": Scene(
        content("interim_input_transcription", "input_transcription"),
        speak,
        model="gemini-3.5-transcribe-live",
        config={"response_modalities": ["TEXT"], "input_audio_transcription": {"word_timestamp": True}},
    ),
    "a call": Scene({"tool_call"}, call_light, config=LIGHT),
    "a call that is cancelled": Scene(
        {"tool_call", "tool_call_cancellation"},
        interrupt_call,
        profile="2.5",
        model="gemini-2.5-flash-native-audio-latest",
        config=LIGHT,
    ),
    "an announced end": Scene({"go_away"}, announce_the_end),
    "resumption": Scene({"session_resumption_update"}, say_hello, config={"session_resumption": {}}),
    # the emulator never sends these by itself: the service was seen to send none of them to everybody
    "rare fields": Scene(
        content("url_context_metadata", "waiting_for_input") | {"voice_activity_detection_signal"},
        say_hello,
        script=[
            Rule(
                when=When(text="hello"),
                reply=(
                    Reply(
                        raw={
                            "serverContent": {
                                "urlContextMetadata": {
                                    "urlMetadata": [
                                        {
                                            "retrievedUrl": "https://example.org/",
                                            "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS",
                                        }
                                    ]
                                }
                            }
                        }
                    ),
                    Reply(raw={"serverContent": {"waitingForInput": True}}),
                    Reply(raw={"voiceActivityDetectionSignal": {"vadSignalType": "VAD_SIGNAL_TYPE_SOS"}}),
                ),
            )
        ],
    ),
}


ON_VERTEX = {"gemini-2.5-flash-native-audio-latest": "gemini-live-2.5-flash-native-audio"}
"""What Vertex AI calls a model that goes by another name there."""


@contextlib.asynccontextmanager
async def playing(scene, surface):
    """The emulator and the official client, as the scene wants them."""
    model = ON_VERTEX.get(scene.model, scene.model) if surface == "vertex" else scene.model
    what = (scene.config or {}) | ((scene.vertex or {}) if surface == "vertex" else {})
    chosen = profile(scene.profile, **(scene.changes or {}))
    async with (
        emulator.Emulator(tls=True, profile=chosen, script=scene.script) as emu,
        talk(emu, surface, model=model, config=what) as official,
    ):
        yield official, emu


@SURFACES
@pytest.mark.parametrize("name", SCENES)
async def test_e51_the_official_client_reads(name, surface):
    scene = SCENES[name]
    async with playing(scene, surface) as (official, emu):
        await scene.act(official, emu)
        await official.read(*scene.kinds)


class Tap:
    """Keeps what comes through. The official client drops fields that it does not know, and says nothing."""

    def __init__(self, ws):
        self._ws = ws
        self.messages = []

    def __getattr__(self, name):
        return getattr(self._ws, name)

    async def recv(self, **options):
        raw = await self._ws.recv(**options)
        self.messages.append(json.loads(raw))
        return raw


@SURFACES
@pytest.mark.parametrize("name", SCENES)
async def test_e51_the_official_client_drops_nothing_of_it(name, surface):
    scene = SCENES[name]
    async with playing(scene, surface) as (official, emu):
        official.session._ws = tap = Tap(official.session._ws)
        await scene.act(official, emu)
        await official.read(*scene.kinds)
    for message in tap.messages:
        rename = getattr(_live_converters, f"_LiveServerMessage_from_{'vertex' if surface == 'vertex' else 'mldev'}")
        renamed = rename(message)
        assert renamed.keys() == {kinds.snake_case(name) for name in message}
        types.LiveServerMessage.model_validate(renamed)  # which takes no field that it does not know


PARTS = {
    "text": {"text": "Hi"},
    "thought": {"text": "Hm", "thought": True, "thoughtSignature": "+/8="},
    "audio": {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "+/8="}},
    "file": {"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/image.png"}},
    "code": {"executableCode": {"language": "PYTHON", "code": "1 + 1", "id": "c-1"}},
    "result": {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2", "id": "c-1"}},
}


@SURFACES
async def test_e51_the_official_client_reads_each_part_of_a_model_turn(surface):
    turn = {"serverContent": {"modelTurn": {"role": "model", "parts": list(PARTS.values())}, "turnComplete": True}}
    async with emulator.Emulator(tls=True, compress_time=True) as emu, talk(emu, surface) as official:
        emu.send(turn)
        await official.read("server_content.turn_complete")
        parts = official.got[-1].server_content.model_turn.parts
        assert [part.model_dump(by_alias=True, exclude_none=True, mode="json") for part in parts] == [
            {**part, "thoughtSignature": "-_8="} if "thoughtSignature" in part else part
            for part in (
                {**part, "inlineData": part["inlineData"] | {"data": "-_8="}} if "inlineData" in part else part
                for part in PARTS.values()
            )
        ]


@pytest.mark.parametrize("name", ["empty messages", "text frames"])
async def test_e51_the_official_client_takes_the_service_s_habits(name):
    habits = {
        "empty messages": {"faults": emulator.Faults(empty_messages=True)},
        "text frames": {"text_frames": True},
    }
    async with emulator.Emulator(tls=True, compress_time=True, **habits[name]) as emu, talk(emu) as official:
        await official.session.send_realtime_input(text="hello")
        await official.read("server_content.turn_complete")


# --- tokens ----------------------------------------------------------------------------------------------------------


@EXPERIMENTAL
@pytest.mark.parametrize("version", ["v1alpha", "v1beta"])
async def test_e51_the_official_client_makes_a_token_and_talks_with_it(version):
    constraints = types.LiveConnectConstraints(
        model="gemini-3.8-live",
        config=types.LiveConnectConfig(response_modalities=["AUDIO"], system_instruction="locked"),
    )
    async with emulator.Emulator(tls=True, compress_time=True, api_key="the key") as emu:
        async with client_of(emu, key="the key", api_version=version) as client:
            token = await client.auth_tokens.create(
                config=types.CreateAuthTokenConfig(uses=1, live_connect_constraints=constraints)
            )
        async with client_of(emu, key=token.name, api_version=version) as client:
            async with client.live.connect(
                model="gemini-3.8-live", config=types.LiveConnectConfig(system_instruction="of my own")
            ):
                assert emu.ledger.sessions[0].system_instruction == "locked"
            with pytest.raises(errors.APIError, match="Token has been used too many times"):
                async with client.live.connect(model="gemini-3.8-live"):
                    pass


@EXPERIMENTAL
@pytest.mark.parametrize("locked", [None, [], ["temperature", "tools"]], ids=["all", "what is set", "and more"])
async def test_e51_the_emulator_takes_each_way_of_locking(locked):
    config = types.CreateAuthTokenConfig(
        uses=0,
        expire_time="2030-01-01T00:00:00Z",
        new_session_expire_time="2030-01-01T00:00:00Z",
        live_connect_constraints=types.LiveConnectConstraints(
            model="gemini-3.8-live",
            config=types.LiveConnectConfig(
                response_modalities=["AUDIO"],
                system_instruction="locked",
                session_resumption=types.SessionResumptionConfig(),
                realtime_input_config=types.RealtimeInputConfig(activity_handling="NO_INTERRUPTION"),
            ),
        ),
        lock_additional_fields=locked,
    )
    async with emulator.Emulator(tls=True, compress_time=True) as emu:
        emu.tokens.clock = lambda: 1893456000 - 3600  # an hour before
        async with client_of(emu, api_version="v1alpha") as client:
            token = await client.auth_tokens.create(config=config)
        async with (
            client_of(emu, key=token.name, api_version="v1alpha") as client,
            client.live.connect(model="gemini-3.8-live"),
        ):
            assert emu.ledger.sessions[0].system_instruction == "locked"
