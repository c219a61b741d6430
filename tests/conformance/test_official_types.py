"""Each message that our client sends is one that the official types can read: the protobuf messages and the SDK's.

The messages are those that a real session writes, caught by a server that is not ours.
"""

from __future__ import annotations

import json
import re

import msgspec
import numpy as np
import pytest
from google.ai import generativelanguage_v1beta as protobuf
from google.genai import types
from google.protobuf import json_format

import gemini_live as live
from conformance import kinds, pairs
from conformance.peer import listening
from conformance.test_every_field import FIELDS, of_struct
from conformance.values import Maker
from gemini_live.setup_message import Setup

JPEG = b"\xff\xd8\xff\xfb\xef\xbe"
BLOCK = np.arange(-160, 160, dtype="<i2")  # 20 ms: one message
BY_HAND = live.RealtimeInputConfig(automatic_activity_detection=live.AutomaticActivityDetection(disabled=True))
LIGHT = live.Tool(function_declarations=[live.FunctionDeclaration(name="light", parameters={"type": "OBJECT"})])
TURN = live.Content(
    role="user",
    parts=[live.Part(text="Look"), live.Part(inline_data=live.Blob(mime_type="image/jpeg", data=JPEG))],
)

# each way to send something; the last of what it makes is looked at
CALLS = {
    "audio": lambda s: s.send_audio(BLOCK),
    "audio of another kind": lambda s: s.send_audio(np.zeros((320, 2), np.float32)),
    "video": lambda s: s.send_video(JPEG),
    "text": lambda s: s.send_text("Grüße 👋"),
    "audio_stream_end": lambda s: s.audio_stream_end(),
    "activity_start": lambda s: s.activity_start(),
    "activity_end": lambda s: s.activity_end(),
    "client_content": lambda s: s.send_client_content([TURN, live.Content(role="model", parts=[live.Part(text="!")])]),
    "client_content, a text": lambda s: s.send_client_content("Look", turn_complete=False),
    "client_content, nothing": lambda s: s.send_client_content(),
    "tool_response": lambda s: s.send_tool_response(
        live.FunctionResponse(id="1", name="light", response={"output": {"on": True}}, scheduling="SILENT")
    ),
    "tool_response, several": lambda s: s.send_tool_response(
        [{"id": "1", "name": "light", "response": {"output": 1}}, {"id": "2", "name": "light", "response": {}}]
    ),
    "tool_response, the first of several": lambda s: s.send_tool_response(
        [live.FunctionResponse(id="1", name="light", response={"n": 1.5}, will_continue=True)]
    ),
    "context_update": lambda s: s.update_context(
        system_instruction="Be brief.", tools=[{"functionDeclarations": [{"name": "light"}]}]
    ),
    "context_update, no tools": lambda s: s.update_context(tools=[]),
    "raw": lambda s: s.send_raw({"realtimeInput": {"text": "as it is"}}),
}
ENDPOINTS = {
    "dev": lambda url: (live.GeminiApi(base_url=url), live.ApiKey("key")),
    "vertex": lambda url: (live.VertexAi(project="p", base_url=url), live.BearerToken("token")),
}


ONLY_DEV = {"tool_response, the first of several"}


async def sent(call, surface, setup, **more):
    """What our client sends: the setup, and what the call makes."""
    async with listening() as peer:
        endpoint, auth = ENDPOINTS[surface](peer.url)
        async with live.connect(setup, endpoint=endpoint, auth=auth, **more) as session:
            said = await peer.hear()
            if call is not None:
                await call(session)
                said = await peer.hear()
        assert peer.heard_nothing_else
    return said


def read_by_the_sdk(message):
    message = json.loads(json.dumps(message))
    elsewhere = {}
    for (struct, name), model in pairs.ELSEWHERE.items():
        wire_name = model.model_fields[name].alias
        assert struct == "Setup"
        if wire_name in message.get("setup", {}):
            elsewhere = {wire_name: message["setup"].pop(wire_name)}
            model.model_validate_json(json.dumps(elsewhere))
    types.LiveClientMessage.model_validate_json(json.dumps(message))


def read_by_protobuf(message):
    """The message parsed, without the fields that the package does not have; and the places of those."""
    known, unknown = known_to(protobuf.BidiGenerateContentClientMessage.pb().DESCRIPTOR, message)
    parsed = json_format.Parse(json.dumps(known), protobuf.BidiGenerateContentClientMessage.pb()())
    return parsed, known, unknown


def known_to(descriptor, message, place=""):
    """A message without the fields that the descriptor does not have, and their places."""
    if not isinstance(message, dict) or descriptor.full_name.startswith("google.protobuf."):
        return message, set()
    fields = {field.json_name: field for field in descriptor.fields}
    known, unknown, chosen = {}, set(), set()
    for name, value in message.items():
        inside = f"{descriptor.name}.{name}"
        field = fields.get(name)
        if field is None:
            unknown.add(inside)
        elif field.containing_oneof is not None and field.containing_oneof.name in chosen:
            continue  # of these a message holds one; each is tested by itself
        elif field.enum_type is not None:
            values = value if isinstance(value, list) else [value]
            strange = [one for one in values if one not in field.enum_type.values_by_name]
            unknown.update(f"{inside}={one}" for one in strange)
            if not strange:
                known[name] = value
        elif field.message_type is None or field.message_type.GetOptions().map_entry:
            known[name] = value
        elif isinstance(value, list):
            pieces = [known_to(field.message_type, item, inside) for item in value]
            known[name] = [piece for piece, _ in pieces]
            unknown.update(*(more for _, more in pieces))
        else:
            known[name], more = known_to(field.message_type, value, inside)
            unknown |= more
        if field is not None and field.containing_oneof is not None:
            chosen.add(field.containing_oneof.name)
    return known, unknown


@pytest.mark.parametrize(
    ("name", "surface"),
    [(name, surface) for name in CALLS for surface in ENDPOINTS if surface == "dev" or name not in ONLY_DEV],
)
async def test_what_the_session_sends_is_read_by_the_official_types(name, surface):
    by_hand = BY_HAND if name.startswith("activity") else None
    setup = live.Setup(model="gemini-3.8-live", tools=[LIGHT], realtime_input_config=by_hand)
    message = await sent(CALLS[name], surface, setup)
    found = kinds.of_client_message(message)
    assert len(found) == 1, "the service takes one at a time"

    read_by_the_sdk(message)
    kinds.cover("our client → official SDK's types", *found)

    if not name.startswith("context_update"):
        parsed, known, unknown = read_by_protobuf(message)
        assert unknown == set()
        assert json_format.MessageToDict(parsed) == known
        kinds.cover("our client → official protobuf messages", *found)


# --- the setup, with all of its fields -------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", ENDPOINTS)
async def test_a_setup_with_every_field_is_read_by_the_official_types(surface):
    setup = of_struct(Setup, Maker())
    # with a handle it would be the setup of a second connection, which leaves the history out
    setup = msgspec.structs.replace(setup, session_resumption=live.SessionResumptionConfig(transparent=True))
    # no surface takes all of it
    message = await sent(None, surface, setup, check_capabilities=False)
    assert set(message["setup"]) == set(Setup.__struct_encode_fields__)
    read_by_the_sdk(message)
    kinds.cover("our client → official SDK's types", "setup")
    read_by_protobuf(message)
    kinds.cover("our client → official protobuf messages", "setup")


# --- each field of each struct ---------------------------------------------------------------------------------------

# What the protobuf package, which is older than the SDK, does not have: structs, fields, and values of enumerations.
# A line that is no longer true fails.
NOT_IN_PROTOBUF = {
    "AvatarConfig": "avatars are documented on Vertex AI only",
    "ContextUpdate": "came with version 3 of the SDK",
    "CustomizedAvatar": "part of AvatarConfig",
    "HistoryConfig": "came with the 3.x models",
    "LanguageHints": "part of AudioTranscriptionConfig",
    "ModelSelectionConfig": "Vertex AI's",
    "ProactivityConfig": "v1alpha for 2.5 models, and later",
    "ReplicatedVoiceConfig": "for accounts on a list",
    "TranslationConfig": "came with the translation models",
    "VoiceConsentSignature": "part of ReplicatedVoiceConfig",
    "AudioTranscriptionConfig": "there, and empty: any field of it is an unknown name on old surfaces",
    "Blob.display_name": "Vertex AI's",
    "CodeExecutionResult.id": "younger",
    "ExecutableCode.id": "younger",
    "FileData.display_name": "Vertex AI's",
    "FunctionCall.partial_args": "Vertex AI's streamed arguments",
    "FunctionCall.will_continue": "Vertex AI's streamed arguments",
    "FunctionResponsePart.audio_metadata": "younger",
    "FunctionResponsePart.document_metadata": "younger",
    "FunctionResponsePart.file_data": "Vertex AI's",
    "FunctionResponsePart.media_processing": "younger",
    "FunctionResponsePart.media_resolution": "younger",
    "FunctionResponsePart.spreadsheet_metadata": "younger",
    "FunctionResponsePart.video_metadata": "younger",
    "GenerationConfig.audio_transcription_config": "younger",
    "GenerationConfig.enable_affective_dialog": "v1alpha for 2.5 models, and Vertex AI",
    "GenerationConfig.model_selection_config": "Vertex AI's",
    "GenerationConfig.translation_config": "came with the translation models",
    "Part.audio_metadata": "younger",
    "Part.audio_transcription": "younger",
    "Part.document_metadata": "younger",
    "Part.media_processing": "younger",
    "Part.media_resolution": "younger",
    "Part.speech_metadata": "younger",
    "Part.spreadsheet_metadata": "younger",
    "Part.tool_call": "younger",
    "Part.tool_response": "younger",
    "RealtimeInputConfig.interim_transcript_timestamp_enabled": "came with the transcription models",
    "RealtimeInputConfig.turnCoverage=TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO": "came with the 3.x models",
    "SafetySetting.category=HARM_CATEGORY_IMAGE_SEXUALLY_EXPLICIT": "Vertex AI's",
    "SafetySetting.method": "Vertex AI's",
    "SessionResumptionConfig.transparent": "Vertex AI's",
    "Setup.avatar_config": "documented on Vertex AI only",
    "Setup.explicit_vad_signal": "Vertex AI's",
    "Setup.history_config": "came with the 3.x models",
    "Setup.labels": "documented on Vertex AI only",
    "Setup.proactivity": "v1alpha for 2.5 models, and later",
    "Setup.safety_settings": "younger in this message",
    "ThinkingConfig.thinking_level": "came with the 3.x models",
    "Tool.enterprise_web_search": "Vertex AI's",
    "Tool.exa_ai_search": "Vertex AI's",
    "Tool.mcp_servers": "younger",
    "Tool.parallel_ai_search": "Vertex AI's",
    "Tool.retrieval": "Vertex AI's",
    "VoiceConfig.replicated_voice_config": "for accounts on a list",
    "VoiceConfig.voice": "younger",
}
MESSAGES = {
    **{
        struct.__name__: getattr(protobuf, struct.__name__)
        for struct in pairs.STRUCTS
        if hasattr(protobuf, struct.__name__)
    },
    "ClientContent": protobuf.BidiGenerateContentClientContent,
    "Setup": protobuf.BidiGenerateContentSetup,
    "RealtimeInput": protobuf.BidiGenerateContentRealtimeInput,
    "ToolResponse": protobuf.BidiGenerateContentToolResponse,
    "ContextWindowCompression": protobuf.ContextWindowCompressionConfig,
    "AutomaticActivityDetection": protobuf.RealtimeInputConfig.AutomaticActivityDetection,
    "SlidingWindow": protobuf.ContextWindowCompressionConfig.SlidingWindow,
}


@pytest.mark.parametrize(("struct", "name"), FIELDS, ids=[f"{struct.__name__}.{name}" for struct, name in FIELDS])
def test_a_field_is_read_by_the_protobuf_message_if_it_has_it(struct, name):
    wire_name = next(field.encode_name for field in msgspec.structs.fields(struct) if field.name == name)
    sent = msgspec.json.decode(msgspec.json.encode(of_struct(struct, Maker(), only=name)))
    message = MESSAGES.get(struct.__name__)
    fields = {} if message is None else {field.json_name: field for field in message.pb().DESCRIPTOR.fields}
    if wire_name not in fields:
        assert NOT_IN_PROTOBUF.keys() & {struct.__name__, f"{struct.__name__}.{name}"}
        return
    assert f"{struct.__name__}.{name}" not in NOT_IN_PROTOBUF
    known, unknown = known_to(message.pb().DESCRIPTOR, sent)
    if wire_name not in known:
        assert unknown <= set(NOT_IN_PROTOBUF)
        return
    parsed = json_format.ParseDict(known, message.pb()())
    assert loose(json_format.MessageToDict(parsed)[wire_name]) == loose(known[wire_name])


def test_no_line_is_about_a_field_that_is_not_there():
    fields = {f"{struct.__name__}.{name}" for struct, name in FIELDS} | {struct.__name__ for struct in pairs.STRUCTS}
    assert {place for place in NOT_IN_PROTOBUF if "=" not in place} <= fields


def loose(value):
    """Numbers as numbers and durations as seconds: proto3 JSON writes 64-bit integers and ``0.500s`` as strings."""
    match value:
        case dict():
            return {key: loose(item) for key, item in value.items()}
        case list():
            return [loose(item) for item in value]
        case str() if re.fullmatch(r"-?[0-9.]+s?", value):
            return float(value.removesuffix("s"))
        case _:
            return value
