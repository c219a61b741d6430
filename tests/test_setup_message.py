from __future__ import annotations

import collections.abc
import json
import types
import typing

import msgspec
import pytest

from gemini_live import setup_message
from gemini_live.messages import Content, Part, Wire
from gemini_live.setup_message import (
    AudioTranscriptionConfig,
    ContextWindowCompression,
    FunctionDeclaration,
    GenerationConfig,
    ProactivityConfig,
    SessionResumptionConfig,
    Setup,
    SlidingWindow,
    Tool,
)

STRUCTS = [getattr(setup_message, name) for name in setup_message.__all__]

# Every path below `setup`, by what it begins with, from the API reference and the official SDK; a list is written [].
# Content stands in the tests of the messages, and what the service takes as a free-form object ends here.
_TRANSCRIPTION = """
    languageCodes[] languageAuto languageHints.languageCodes[] customVocabulary[] adaptationPhrases[] wordTimestamp
    diarization mode sourceText
"""
BY_PREFIX = {
    "": """
        model systemInstruction explicitVadSignal labels
        sessionResumption.handle sessionResumption.transparent
        contextWindowCompression.triggerTokens contextWindowCompression.slidingWindow.targetTokens
        proactivity.proactiveAudio proactivity.proactiveVideo
        historyConfig.initialHistoryInClientContent
        avatarConfig.avatarName avatarConfig.audioBitrateBps avatarConfig.videoBitrateBps
        avatarConfig.customizedAvatar.imageMimeType avatarConfig.customizedAvatar.imageData
        safetySettings[].category safetySettings[].threshold safetySettings[].method
    """,
    "inputAudioTranscription.": _TRANSCRIPTION,
    "outputAudioTranscription.": _TRANSCRIPTION,
    "generationConfig.audioTranscriptionConfig.": _TRANSCRIPTION,
    "generationConfig.": """
        responseModalities[] temperature topP topK maxOutputTokens seed candidateCount presencePenalty
        frequencyPenalty mediaResolution enableAffectiveDialog enableEnhancedCivicAnswers
        thinkingConfig.includeThoughts thinkingConfig.thinkingBudget thinkingConfig.thinkingLevel
        translationConfig.targetLanguageCode translationConfig.echoTargetLanguage
        modelSelectionConfig.featureSelectionPreference
        speechConfig.languageCode
    """,
    "generationConfig.speechConfig.voiceConfig.": """
        voice prebuiltVoiceConfig.voiceName
        replicatedVoiceConfig.mimeType replicatedVoiceConfig.voiceSampleAudio replicatedVoiceConfig.consentAudio
        replicatedVoiceConfig.voiceConsentSignature.signature
    """,
    "realtimeInputConfig.": """
        automaticActivityDetection.disabled automaticActivityDetection.prefixPaddingMs
        automaticActivityDetection.silenceDurationMs automaticActivityDetection.startOfSpeechSensitivity
        automaticActivityDetection.endOfSpeechSensitivity
        activityHandling turnCoverage interimTranscriptTimestampEnabled
    """,
    "tools[].": """
        googleSearch googleSearchRetrieval codeExecution urlContext googleMaps computerUse fileSearch mcpServers[]
        retrieval enterpriseWebSearch parallelAiSearch exaAiSearch
    """,
    "tools[].functionDeclarations[].": """
        name description behavior parameters parametersJsonSchema response responseJsonSchema
    """,
}
PATHS = {prefix + path for prefix, paths in BY_PREFIX.items() for path in paths.split()}

# every value of the enumerations that are spelled out, from the same sources
VALUES = {
    "generationConfig.responseModalities[]": {"TEXT", "AUDIO", "VIDEO", "IMAGE"},
    "generationConfig.mediaResolution": {f"MEDIA_RESOLUTION_{size}" for size in ("LOW", "MEDIUM", "HIGH")},
    "generationConfig.thinkingConfig.thinkingLevel": {"MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"},
    "generationConfig.audioTranscriptionConfig.mode": {"VERBATIM", "SMART"},
    "inputAudioTranscription.mode": {"VERBATIM", "SMART"},
    "outputAudioTranscription.mode": {"VERBATIM", "SMART"},
    "tools[].functionDeclarations[].behavior": {"BLOCKING", "NON_BLOCKING"},
    "realtimeInputConfig.automaticActivityDetection.startOfSpeechSensitivity": {
        "START_SENSITIVITY_HIGH",
        "START_SENSITIVITY_LOW",
    },
    "realtimeInputConfig.automaticActivityDetection.endOfSpeechSensitivity": {
        "END_SENSITIVITY_HIGH",
        "END_SENSITIVITY_LOW",
    },
    "realtimeInputConfig.activityHandling": {"START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"},
    "realtimeInputConfig.turnCoverage": {
        "TURN_INCLUDES_ONLY_ACTIVITY",
        "TURN_INCLUDES_ALL_INPUT",
        "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
    },
    "safetySettings[].method": {"SEVERITY", "PROBABILITY"},
}


def whole(hint):
    """A value of this type in which everything is set."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return whole(next(argument for argument in arguments if argument is not type(None)))
    if origin is typing.Literal:
        return arguments[0]
    if origin is collections.abc.Sequence:
        return [whole(arguments[0])]
    if origin is collections.abc.Mapping:
        return {"free": "form"}
    if hint is Content:
        return Content(parts=[Part(text="a")])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = typing.get_type_hints(hint)
        return hint(**{name: whole(hints[name]) for name in hint.__struct_fields__})
    return {str: "x", bytes: b"\0", bool: True, int: 1, float: 0.5}[hint]


def paths_in(value, path=""):
    if isinstance(value, list):
        return {found for item in value for found in paths_in(item, f"{path}[]")}
    if isinstance(value, dict) and "free" not in value and "parts" not in value:
        return {found for name, inner in value.items() for found in paths_in(inner, f"{path}.{name}" if path else name)}
    return {path}


def choices_in(hint, path=""):
    """The spelled-out enumerations below a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from choices_in(argument, path)
    elif origin is typing.Literal:
        yield path, set(arguments)
    elif origin is collections.abc.Sequence:
        yield from choices_in(arguments[0], f"{path}[]")
    elif isinstance(hint, type) and issubclass(hint, Wire) and hint is not Content:
        hints = typing.get_type_hints(hint)
        for name, wire_name in zip(hint.__struct_fields__, hint.__struct_encode_fields__, strict=True):
            yield from choices_in(hints[name], f"{path}.{wire_name}" if path else wire_name)


def test_every_field_of_the_setup_and_no_other():
    found = paths_in(json.loads(msgspec.json.encode(whole(Setup))))
    assert found == PATHS


def test_every_value_of_the_enumerations():
    assert dict(choices_in(Setup)) == VALUES


def test_the_whole_setup_is_read_back():
    setup = whole(Setup)
    assert msgspec.json.decode(msgspec.json.encode(setup), type=Setup) == setup


def test_what_is_not_set_is_not_sent():
    assert msgspec.json.encode(Setup(model="m")) == b'{"model":"m"}'


@pytest.mark.parametrize("kind", STRUCTS)
def test_only_what_must_be_set_has_no_default(kind):
    required = {
        field.name
        for field in msgspec.structs.fields(kind)
        if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    }
    expected = {
        "Setup": {"model"},
        "PrebuiltVoiceConfig": {"voice_name"},
        "VoiceConsentSignature": {"signature"},
        "SafetySetting": {"category", "threshold"},
        "FunctionDeclaration": {"name"},
    }
    assert required == expected.get(kind.__name__, set())
    if not required:
        assert msgspec.json.encode(kind()) == b"{}"


@pytest.mark.parametrize(
    ("setup", "json"),
    [
        # an empty object switches a thing on
        (Setup(model="m", output_audio_transcription=AudioTranscriptionConfig()), '"outputAudioTranscription":{}'),
        (Setup(model="m", session_resumption=SessionResumptionConfig()), '"sessionResumption":{}'),
        (
            Setup(model="m", context_window_compression=ContextWindowCompression(sliding_window=SlidingWindow())),
            '"contextWindowCompression":{"slidingWindow":{}}',
        ),
        (Setup(model="m", tools=[Tool(google_search={})]), '"tools":[{"googleSearch":{}}]'),
        # false and 0 are said where they differ from saying nothing
        (
            Setup(model="m", proactivity=ProactivityConfig(proactive_audio=False)),
            '"proactivity":{"proactiveAudio":false}',
        ),
        (
            Setup(model="m", generation_config=GenerationConfig(temperature=0.0, seed=0)),
            '"generationConfig":{"temperature":0.0,"seed":0}',
        ),
        # what the user named stays as it is
        (
            Setup(
                model="m",
                tools=[
                    Tool(
                        function_declarations=[
                            FunctionDeclaration(
                                name="my_function", parameters={"type": "OBJECT", "properties": {"my_item": {}}}
                            )
                        ]
                    )
                ],
                labels={"safety_identifier": "a_b"},
            ),
            (
                '"tools":[{"functionDeclarations":[{"name":"my_function","parameters":{"type":"OBJECT",'
                '"properties":{"my_item":{}}}}]}],"labels":{"safety_identifier":"a_b"}'
            ),
        ),
    ],
)
def test_on_the_wire(setup, json):
    assert msgspec.json.encode(setup).decode() == f'{{"model":"m",{json}}}'


def test_a_value_that_the_service_learns_tomorrow_can_be_sent_today():
    """Structs are not checked when they are made; the service is the judge of its enumerations."""
    setup = Setup(model="m", generation_config=GenerationConfig(media_resolution="MEDIA_RESOLUTION_ULTRA"))
    assert b'"MEDIA_RESOLUTION_ULTRA"' in msgspec.json.encode(setup)


@pytest.mark.parametrize("kind", STRUCTS)
def test_it_cannot_be_changed_and_takes_names_only(kind):
    assert kind.__struct_config__.frozen
    with pytest.raises(TypeError):
        kind("x")


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (SessionResumptionConfig(handle="secret"), "SessionResumptionConfig(handle=…)"),
        (SessionResumptionConfig(transparent=True), "SessionResumptionConfig(transparent=True)"),
        (setup_message.VoiceConsentSignature(signature="secret"), "VoiceConsentSignature(signature=…)"),
        (
            setup_message.ReplicatedVoiceConfig(mime_type="audio/wav", consent_audio=b"secret"),
            "ReplicatedVoiceConfig(mime_type='audio/wav', consent_audio=<6 bytes>)",
        ),
        (setup_message.CustomizedAvatar(image_data=b"secret"), "CustomizedAvatar(image_data=<6 bytes>)"),
        (
            Tool(google_search={}, google_maps={"authConfig": {"apiKeyConfig": {"apiKeyString": "secret"}}}),
            "Tool(google_search={}, google_maps=…)",
        ),
        (Tool(mcp_servers=[{"streamableHttpTransport": {"headers": {"a": "secret"}}}]), "Tool(mcp_servers=…)"),
        (Tool(google_maps={}), "Tool(google_maps={})"),
    ],
)
def test_what_opens_a_door_is_not_shown(part, shown):
    assert repr(part) == shown
    pretty = pytest.importorskip("rich.pretty")  # which has a protocol of its own for what to print
    assert pretty.pretty_repr(part, max_width=200) == shown
