"""Each message that the service may send, made of the official types, becomes events of ours that show all of it."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from google.ai import generativelanguage_v1beta as protobuf
from google.genai import types
from google.protobuf import json_format

import gemini_live as live
from conformance import kinds
from conformance.peer import listening
from conformance.values import BYTES, DEEPEST, only, paths, plain
from gemini_live import codec, events

# --- each kind, through a session ------------------------------------------------------------------------------------

EVENTS = {
    "setup_complete": live.SetupComplete,
    "tool_call": live.ToolCall,
    "tool_call_cancellation": live.ToolCallCancellation,
    "usage_metadata": live.Usage,
    "go_away": live.GoAway,
    "session_resumption_update": live.SessionResumption,
    "voice_activity_detection_signal": events.VadSignal,
    "voice_activity": live.VoiceActivity,
    "server_content.model_turn": live.ModelPart,
    "server_content.turn_complete": live.TurnComplete,
    "server_content.interrupted": live.Interrupted,
    "server_content.grounding_metadata": live.Grounding,
    "server_content.generation_complete": live.GenerationComplete,
    "server_content.input_transcription": live.InputTranscription,
    "server_content.output_transcription": live.OutputTranscription,
    "server_content.url_context_metadata": live.UrlContext,
    "server_content.turn_complete_reason": live.TurnComplete,
    "server_content.waiting_for_input": live.WaitingForInput,
    "server_content.interim_input_transcription": live.InputTranscription,
    "server_content.interaction_status": live.TurnComplete,
}

# What stands beside a field because it says nothing alone.
BESIDE = {
    ("LiveServerContent", "turn_complete_reason"): {"turn_complete": True},
    ("LiveServerContent", "interaction_status"): {"turn_complete": True},
    ("LiveServerSessionResumptionUpdate", "resumable"): {"new_handle": "h-1"},
    ("VoiceActivity", "audio_offset"): {"voice_activity_type": "ACTIVITY_START"},
    ("Part", "thought"): {"text": "Hm"},
    ("Blob", "data"): {"mime_type": "image/png"},
}


@pytest.mark.parametrize("kind", sorted(kinds.SERVER))
async def test_a_session_tells_each_kind_of_message_as_an_event(kind):
    message = wire(only(types.LiveServerMessage, tuple(kind.split(".")), BESIDE))
    greeting = message if kind == "setup_complete" else {"setupComplete": {}}
    policy = live.ReconnectPolicy(enabled=False)
    async with listening(greeting) as peer, live.connect("m", endpoint=peer.url, auth="k", reconnect=policy) as session:
        if kind != "setup_complete":
            await peer.say(message)
        async with asyncio.timeout(5):
            while not isinstance(event := await session.next_event(), EVENTS[kind]):
                assert not isinstance(event, live.Unknown | live.Closed)
    kinds.cover("official types → our client", kind)


# --- each field ------------------------------------------------------------------------------------------------------

# What no event shows, and need not.
NOT_SHOWN = {
    "server_content.model_turn.role": "who else would it be",
    "server_content.model_turn.parts.inline_data.mime_type": "audio/pcm becomes ModelAudio; of others it is shown",
}
# What comes as `Unknown`, with its name.
NOT_READ = {"server_content.model_turn.parts.function_response": "a part of what clients say; the service answers none"}


def wire(message):
    """A message of the SDK's as the service writes it."""
    sent = json.loads(message.model_dump_json(by_alias=True, exclude_none=True))
    if "voiceActivity" in sent:  # the SDK gave it another name than it has on the wire, where its reader expects `type`
        activity = sent["voiceActivity"]
        sent["voiceActivity"] = {"type": activity.pop("voiceActivityType")} | activity
    return sent


def leaves(value):
    match value:
        case dict():
            for item in value.values():
                yield from leaves(item)
        case list():
            for item in value:
                yield from leaves(item)
        case bytes():
            yield base64.b64encode(value).decode()
        case str() if value.endswith("s") and value[:-1].replace(".", "").isdecimal():
            yield float(value[:-1])
        case str():
            yield value.translate(str.maketrans("-_", "+/"))  # base64, perhaps
        case _:
            yield value


PATHS = list(paths(types.LiveServerMessage, without=NOT_READ))


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_a_field_is_seen(path):
    place = ".".join(path)
    message = wire(only(types.LiveServerMessage, path, BESIDE))
    found = codec.decode(json.dumps(message).encode())
    unknown = [event for event in found if isinstance(event, events.Unknown)]
    if place in NOT_READ:
        assert unknown[0].fields[0].endswith(types.Part.model_fields[path[-1]].alias)
        return
    assert unknown == []
    shown = {leaf for event in found for leaf in leaves(plain(event))}
    assert found or place in NOT_SHOWN, "no event"
    assert set(leaves(message)) - {True} <= shown or place in NOT_SHOWN


def test_no_line_is_about_a_field_that_is_not_there():
    assert {*NOT_SHOWN, *NOT_READ} <= {".".join(path) for path in PATHS}


# --- the same from the protobuf messages, whose JSON is the service's own --------------------------------------------


def fill(message, depth=0):
    """Set all fields; of a oneof the last stays."""
    for field in message.DESCRIPTOR.fields:
        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.full_name.startswith("google.protobuf."):
            if field.message_type.name == "Struct":
                target["key"] = 1.5
            else:
                target.FromSeconds(50)  # a Duration
        elif field.message_type is not None:
            if depth < DEEPEST:
                fill(target.add() if field.is_repeated else target, depth + 1)
                (target if not field.is_repeated else target[0]).SetInParent()
        elif field.is_repeated:
            target.append(value_for(field))
        else:
            setattr(message, field.name, value_for(field))


def value_for(field):
    match field.cpp_type:
        case field.CPPTYPE_STRING:
            return BYTES if field.type == field.TYPE_BYTES else field.name
        case field.CPPTYPE_BOOL:
            return True
        case field.CPPTYPE_ENUM:
            return field.enum_type.values[-1].number
        case _:
            return 7


MEMBERS = [field.name for field in protobuf.BidiGenerateContentServerMessage.pb().DESCRIPTOR.fields]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_protobuf_message_is_understood(member):
    message = protobuf.BidiGenerateContentServerMessage.pb()()
    inner = getattr(message, member)
    inner.SetInParent()
    fill(inner)
    found = codec.decode(json_format.MessageToJson(message).encode())
    assert found
    assert [event for event in found if isinstance(event, events.Unknown)] == []
