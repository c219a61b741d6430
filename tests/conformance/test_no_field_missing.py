"""No field of the official SDK's Live types is missing here without a line that says why.

What the SDK learns tomorrow makes these tests fail with its name; so does a line that is no longer true.
"""

from __future__ import annotations

import enum
import typing

import pytest
from google.genai import types

from conformance import pairs
from conformance.values import models_in, reachable

NOT_IN_LIVE = "documented as not usable in Live"
IN_GENERATION_CONFIG = "a shorthand for generation_config's, which is where it travels"

# Fields of types that have a struct here.
MISSING = {
    "LiveClientRealtimeInput.media_chunks": "deprecated, and refused by 3.x models; audio and video have fields",
    "GenerationConfig.audio_timestamp": NOT_IN_LIVE,
    "GenerationConfig.logprobs": NOT_IN_LIVE,
    "GenerationConfig.response_format": "no documentation for Live; the types come from another API",
    "GenerationConfig.response_json_schema": NOT_IN_LIVE,
    "GenerationConfig.response_logprobs": NOT_IN_LIVE,
    "GenerationConfig.response_mime_type": NOT_IN_LIVE,
    "GenerationConfig.response_schema": NOT_IN_LIVE,
    "GenerationConfig.routing_config": NOT_IN_LIVE,
    "GenerationConfig.stop_sequences": NOT_IN_LIVE,
    "SpeechConfig.multi_speaker_voice_config": "for text-to-speech; the SDK itself refuses it for Live",
    "LiveConnectConfig.http_options": "how to reach the service is said by endpoint= and transport=",
    "LiveConnectConfig.enable_affective_dialog": IN_GENERATION_CONFIG,
    "LiveConnectConfig.max_output_tokens": IN_GENERATION_CONFIG,
    "LiveConnectConfig.media_resolution": IN_GENERATION_CONFIG,
    "LiveConnectConfig.response_modalities": IN_GENERATION_CONFIG,
    "LiveConnectConfig.seed": IN_GENERATION_CONFIG,
    "LiveConnectConfig.speech_config": IN_GENERATION_CONFIG,
    "LiveConnectConfig.temperature": IN_GENERATION_CONFIG,
    "LiveConnectConfig.thinking_config": IN_GENERATION_CONFIG,
    "LiveConnectConfig.top_k": IN_GENERATION_CONFIG,
    "LiveConnectConfig.top_p": IN_GENERATION_CONFIG,
    "LiveConnectConfig.translation_config": IN_GENERATION_CONFIG,
}

FREE_FORM = "a mapping here, in the service's own spelling, so that it needs no release of ours to grow"

# Types that have no struct here. What only they hold is not looked at.
WITHOUT_STRUCT = {
    "LiveClientMessage": "the envelope; `codec.encode` writes it around each message",
    "LiveClientContextUpdateTools": "the wrapper around a list of tools; `Session.update_context` writes it",
    "ActivityStart": "empty",
    "ActivityEnd": "empty",
    "LanguageAuto": "empty, and deprecated",
    "HttpOptions": "no message",
    "File": "a file of the Files API in place of a text; `FileData` names one by its URI",
    "Schema": FREE_FORM,
    "MultiSpeakerVoiceConfig": "see SpeechConfig.multi_speaker_voice_config",
    "GenerationConfigRoutingConfig": "see GenerationConfig.routing_config",
    "ResponseFormat": "see GenerationConfig.response_format",
    **dict.fromkeys(
        [
            "AudioMetadata",
            "ComputerUse",
            "DocumentMetadata",
            "EnterpriseWebSearch",
            "FileSearch",
            "GoogleMaps",
            "GoogleSearch",
            "GoogleSearchRetrieval",
            "McpServer",
            "PartMediaResolution",
            "PartialArg",
            "Retrieval",
            "SpeechMetadata",
            "SpreadsheetMetadata",
            "ToolCall",
            "ToolCodeExecution",
            "ToolExaAiSearch",
            "ToolParallelAiSearch",
            "ToolResponse",
            "Transcription",
            "UrlContext",
            "VideoMetadata",
        ],
        FREE_FORM,
    ),
}


def known():
    """The types that are looked into: those with a struct, and what those hold directly."""
    roots = [types.LiveClientMessage, types.LiveConnectConfig]
    found, waiting = [], list(roots)
    while waiting:
        model = waiting.pop(0)
        if model in found:
            continue
        found.append(model)
        if model in pairs.OURS or model in roots:
            waiting += [inner for field in model.model_fields.values() for inner in models_in(field.annotation)]
    return found


MODELS = known()


@pytest.mark.parametrize("model", [model for model in MODELS if model in pairs.OURS], ids=lambda model: model.__name__)
def test_each_field_of_the_official_type_is_ours_too(model):
    missing = {f"{model.__name__}.{name}" for name in model.model_fields} - {
        f"{model.__name__}.{name}" for name in pairs.OURS[model].__struct_fields__
    }
    assert missing == {place for place in MISSING if place.partition(".")[0] == model.__name__}


def test_each_official_type_has_a_struct():
    assert {model.__name__ for model in MODELS if model not in pairs.OURS} == set(WITHOUT_STRUCT)


def test_shorthands_of_the_configuration_are_fields_of_the_generation_config():
    shorthands = {place.partition(".")[2] for place, reason in MISSING.items() if reason is IN_GENERATION_CONFIG}
    assert shorthands <= set(pairs.OURS[types.GenerationConfig].__struct_fields__)


def test_no_line_is_about_a_type_that_is_not_there():
    assert {place.partition(".")[0] for place in MISSING} <= {model.__name__ for model in MODELS}


@pytest.mark.parametrize("struct", pairs.STRUCTS, ids=lambda struct: struct.__name__)
def test_no_struct_has_a_field_that_the_official_type_has_not(struct):
    ours = set(struct.__struct_fields__)
    elsewhere = {name for owner, name in pairs.ELSEWHERE if owner == struct.__name__}
    assert ours - set(pairs.official(struct).model_fields) == elsewhere


# --- values of enumerations, which are spelled out here for type checkers ---------------------------------------------


def literals_in(hint):
    if typing.get_origin(hint) is typing.Literal:
        yield from typing.get_args(hint)
    for part in typing.get_args(hint):
        yield from literals_in(part)


def enums_in(hint):
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        yield hint
    for part in typing.get_args(hint):
        yield from enums_in(part)


def enumerations():
    for struct in pairs.STRUCTS:
        for name, hint in typing.get_type_hints(struct).items():
            model = pairs.ELSEWHERE.get((struct.__name__, name)) or pairs.official(struct)
            official = {value.value for one in enums_in(model.model_fields[name].annotation) for value in one}
            if official and (values := set(literals_in(hint))):
                yield pytest.param(values, official, id=f"{struct.__name__}.{name}")


@pytest.mark.parametrize(("values", "official"), list(enumerations()))
def test_no_value_of_an_enumeration_is_missing(values, official):
    assert values == {value for value in official if not value.endswith("UNSPECIFIED")}


def test_all_structs_are_used_by_live():
    assert {pairs.official(struct) for struct in pairs.STRUCTS} <= set(
        reachable(types.LiveClientMessage, types.LiveConnectConfig)
    )
