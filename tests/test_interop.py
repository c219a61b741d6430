from __future__ import annotations

import collections.abc
import datetime as dt
import enum
import json
import types
import typing

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemini_live.errors import ConfigError
from gemini_live.interop import (
    SupportsModelDump,
    blob_from,
    contents_from,
    pcm_from,
    responses_from,
    setup_and_functions_from,
    setup_from,
    struct_from,
)
from gemini_live.messages import Blob, Content, FunctionCall, FunctionResponse, Part
from gemini_live.setup_message import (
    AudioTranscriptionConfig,
    AutomaticActivityDetection,
    FunctionDeclaration,
    GenerationConfig,
    PrebuiltVoiceConfig,
    RealtimeInputConfig,
    Setup,
    SpeechConfig,
    Tool,
    VoiceConfig,
)

PARAMETERS = {"type": "OBJECT", "properties": {"item_id": {"type": "STRING"}, "itemName": {}}, "required": ["item_id"]}

SETUP = Setup(
    model="gemini-3.8-live",
    generation_config=GenerationConfig(
        response_modalities=["AUDIO"],
        top_p=0.5,
        speech_config=SpeechConfig(
            voice_config=VoiceConfig(prebuilt_voice_config=PrebuiltVoiceConfig(voice_name="Kore"))
        ),
    ),
    system_instruction=Content(parts=[Part(text="Be brief.")]),
    tools=[
        Tool(
            function_declarations=[FunctionDeclaration(name="look_up", parameters=PARAMETERS, behavior="NON_BLOCKING")]
        ),
        Tool(google_search={"time_range_filter": {"startTime": "x"}}),
    ],
    realtime_input_config=RealtimeInputConfig(
        automatic_activity_detection=AutomaticActivityDetection(silence_duration_ms=500)
    ),
    output_audio_transcription=AudioTranscriptionConfig(),
    labels={"safety_identifier": "a", "camelCase": "b"},
)

SNAKE = {
    "model": "gemini-3.8-live",
    "generation_config": {
        "response_modalities": ["AUDIO"],
        "top_p": 0.5,
        "speech_config": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}},
    },
    "system_instruction": {"parts": [{"text": "Be brief."}]},
    "tools": [
        {"function_declarations": [{"name": "look_up", "parameters": PARAMETERS, "behavior": "NON_BLOCKING"}]},
        {"google_search": {"time_range_filter": {"startTime": "x"}}},
    ],
    "realtime_input_config": {"automatic_activity_detection": {"silence_duration_ms": 500}},
    "output_audio_transcription": {},
    "labels": {"safety_identifier": "a", "camelCase": "b"},
}

CAMEL = {
    "model": "gemini-3.8-live",
    "generationConfig": {
        "responseModalities": ["AUDIO"],
        "topP": 0.5,
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    },
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "tools": [
        {"functionDeclarations": [{"name": "look_up", "parameters": PARAMETERS, "behavior": "NON_BLOCKING"}]},
        {"googleSearch": {"time_range_filter": {"startTime": "x"}}},
    ],
    "realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": 500}},
    "outputAudioTranscription": {},
    "labels": {"safety_identifier": "a", "camelCase": "b"},
}

# as the official SDK mixes them
MIXED = {
    **SNAKE,
    "generation_config": {
        "responseModalities": ["AUDIO"],
        "top_p": 0.5,
        "speechConfig": {"voice_config": {"prebuiltVoiceConfig": {"voice_name": "Kore"}}},
    },
    "tools": [
        {"functionDeclarations": [{"name": "look_up", "parameters": PARAMETERS, "behavior": "NON_BLOCKING"}]},
        Tool(google_search={"time_range_filter": {"startTime": "x"}}),
    ],
}


class Dumpable:
    """As much of pydantic as we look at."""

    def __init__(self, **fields):
        self.fields = fields

    def model_dump(self, *, exclude_none):
        assert exclude_none
        return self.fields


# --- what is accepted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [SNAKE, CAMEL, MIXED, Dumpable(**SNAKE)], ids=["snake", "camel", "mixed", "object"])
def test_a_setup_in_every_spelling(given):
    assert setup_from(given) == SETUP


def test_a_struct_is_returned_as_it_is():
    assert setup_from(SETUP) is SETUP
    content = Content()
    assert contents_from([content])[0] is content


def test_a_bare_model_name_asks_for_spoken_answers():
    assert setup_from("m") == Setup(model="m", generation_config=GenerationConfig(response_modalities=("AUDIO",)))


def test_structs_and_objects_inside_a_mapping():
    given = {
        "model": "m",
        "generation_config": Dumpable(top_p=0.5, speech_config=Dumpable(language_code="de-DE")),
        "systemInstruction": Content(parts=[Part(text="a")]),
        "tools": [Dumpable(google_search={}), Tool(url_context={}), {"function_declarations": [Dumpable(name="f")]}],
    }
    assert setup_from(given) == Setup(
        model="m",
        generation_config=GenerationConfig(top_p=0.5, speech_config=SpeechConfig(language_code="de-DE")),
        system_instruction=Content(parts=[Part(text="a")]),
        tools=[
            Tool(google_search={}),
            Tool(url_context={}),
            Tool(function_declarations=[FunctionDeclaration(name="f")]),
        ],
    )


@pytest.mark.parametrize(
    "declaration", [FunctionDeclaration(name="f"), {"name": "f"}, {"description": "d", "name": "f"}]
)
def test_a_declaration_is_no_tool_by_itself(declaration):
    with pytest.raises(ConfigError, match=r"setup\.tools\[0\] .*\{'function_declarations': \[…\]\}"):
        setup_from({"model": "m", "tools": [declaration]})


def test_objects_where_anything_goes():
    given = {"model": "m", "tools": [{"google_search": Dumpable(time_range_filter={}), "urlContext": Dumpable()}]}
    assert setup_from(given).tools == [Tool(google_search={"time_range_filter": {}}, url_context={})]


def test_enumerations_of_other_libraries():
    class Modality(str, enum.Enum):  # noqa: UP042 - as the official SDK writes them
        AUDIO = "AUDIO"

    setup = setup_from({"model": "m", "generation_config": {"response_modalities": [Modality.AUDIO]}})
    assert setup.generation_config.response_modalities == ["AUDIO"]
    assert msgspec.json.encode(setup) == b'{"model":"m","generationConfig":{"responseModalities":["AUDIO"]}}'


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (np.float64(1.5), 1.5),  # a float, which msgspec does not take for one
        (np.float32(1.5), 1.5),
        (np.int64(2), 2),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (np.str_("a"), "a"),
        ([Dumpable(x=np.int8(1))], [{"x": 1}]),
    ],
)
def test_what_other_libraries_calculate(value, read):
    (answer,) = responses_from({"name": "f", "response": {"output": value}})
    assert msgspec.json.encode(answer.response) == msgspec.json.encode({"output": read})


def test_any_mapping_will_do():
    given = types.MappingProxyType({"model": "m", "generationConfig": types.MappingProxyType({"topK": 3})})
    assert setup_from(given) == Setup(model="m", generation_config=GenerationConfig(top_k=3))


def test_none_is_as_good_as_nothing():
    """As in proto3 JSON, and in a mapping that somebody made of a model with unset fields."""
    given = {
        "model": "m",
        "generation_config": {"topP": None, "response_modalities": None},
        "tools": None,
        "labels": None,
    }
    assert setup_from(given) == Setup(model="m", generation_config=GenerationConfig())


def test_what_the_user_named_is_left_alone():
    setup = setup_from(SNAKE)
    assert setup.labels == SNAKE["labels"]
    assert setup.tools[0].function_declarations[0].parameters == PARAMETERS
    assert setup.tools[1].google_search == {"time_range_filter": {"startTime": "x"}}
    call = struct_from(FunctionCall, {"name": "f", "args": {"mime_type": 1, "mimeType": 2, "x": None}}, "call")
    assert call.args == {"mime_type": 1, "mimeType": 2, "x": None}
    answer = struct_from(FunctionResponse, {"name": "f", "response": {"function_call": {"fileUri": None}}}, "answer")
    assert answer.response == {"function_call": {"fileUri": None}}


@pytest.mark.parametrize("data", [b"\xfb\xff", bytearray(b"\xfb\xff"), memoryview(b"\xfb\xff"), "+/8="])
def test_bytes_may_be_given_as_they_are_or_as_on_the_wire(data):
    blob = struct_from(Blob, {"mime_type": "image/png", "data": data}, "blob")
    assert blob == Blob(mime_type="image/png", data=b"\xfb\xff")


# --- turns -----------------------------------------------------------------------------------------------------------

TURN = Content(role="user", parts=[Part(text="hi")])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("hi", [TURN]),
        (TURN, [TURN]),
        ({"role": "user", "parts": [{"text": "hi"}]}, [TURN]),
        (Dumpable(role="user", parts=[{"text": "hi"}]), [TURN]),
        (Part(text="hi"), [TURN]),
        ({"text": "hi"}, [TURN]),
        (Dumpable(text="hi"), [TURN]),
        (["hi", Part(text="hi"), ["hi"]], [TURN, TURN, TURN]),
        ({"parts": ["hi"]}, [Content(parts=[Part(text="hi")])]),
        ({"role": "SYSTEM", "parts": []}, [Content(role="system", parts=[])]),
        ([TURN, {"role": "user", "parts": [{"text": "hi"}]}], [TURN, TURN]),
        ((TURN,), [TURN]),
        ((), []),
    ],
)
def test_turns(given, expected):
    assert contents_from(given) == expected


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (None, "turns"),
        (5, "turns"),
        (b"hi", "turns"),
        ([5], "turns[0]"),
        ([TURN, None], "turns[1]"),
        ([TURN, [5]], "turns[1].parts[0]"),
        ([TURN, {"role": "robot"}], "turns[1].role"),
        ([Content(parts=[Part(text=5)])], "turns[0].parts[0].text"),
        ([Content(parts="abc")], "turns[0].parts"),
        ({"part": []}, "turns[0].part"),
    ],
)
def test_wrong_turns(given, path):
    with pytest.raises(ConfigError) as caught:
        contents_from(given)
    assert caught.value.path == path
    assert str(caught.value).startswith(path.rsplit(".", 1)[0])


# --- what is not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "path", "suggestion"),
    [
        ({"generation_config": {"temprature": 1}}, "setup.generation_config.temprature", "temperature"),
        ({"generationConfig": {"temprature": 1}}, "setup.generationConfig.temprature", "temperature"),
        ({"generationConfig": {"speechConfg": {}}}, "setup.generationConfig.speechConfg", "speech_config"),
        ({"tools": [{}, {"gogle_search": {}}]}, "setup.tools[1].gogle_search", "google_search"),
        ({"tools": [Dumpable(gogle_search={})]}, "setup.tools[0].gogle_search", "google_search"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parametrs": {}}]}]},
            "setup.tools[0].functionDeclarations[0].parametrs",
            "parameters",
        ),
        ({"system_instructions": {}}, "setup.system_instructions", "system_instruction"),
        ({"qqq": 1}, "setup.qqq", None),
        ({5: 1}, "setup.5", None),
    ],
)
def test_an_unknown_field_is_named_with_the_closest_known_one(given, path, suggestion):
    with pytest.raises(ConfigError) as caught:
        setup_from({"model": "m", **given})
    assert caught.value.path == path
    assert caught.value.suggestion == suggestion
    parent, name = path.rsplit(".", 1)
    assert str(caught.value).startswith(f"{parent} has no field ")
    assert name in str(caught.value)
    assert (f"did you mean {suggestion!r}?" in str(caught.value)) is (suggestion is not None)


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ({"generation_config": {"temperature": "hot"}}, "setup.generation_config.temperature", "float"),
        ({"generationConfig": {"topP": "x"}}, "setup.generationConfig.topP", "float"),
        ({"generation_config": {"top_p": "x"}}, "setup.generation_config.top_p", "float"),
        ({"generation_config": 5}, "setup.generation_config", "GenerationConfig"),
        ({"generation_config": Dumpable(top_p="x")}, "setup.generation_config.top_p", "float"),
        (
            {"generation_config": {"response_modalities": "AUDIO"}},
            "setup.generation_config.response_modalities",
            "array",
        ),
        (
            {"generation_config": {"responseModalities": ["TEXT", "smell"]}},
            "setup.generation_config.responseModalities[1]",
            "smell",
        ),
        ({"generation_config": {"max_output_tokens": True}}, "setup.generation_config.max_output_tokens", "int"),
        ({"explicit_vad_signal": "yes"}, "setup.explicit_vad_signal", "bool"),
        ({"tools": {}}, "setup.tools", "array"),
        ({"tools": [{"function_declarations": [{"name": 5}]}]}, "setup.tools[0].function_declarations[0].name", "str"),
        ({"tools": [{"function_declarations": [{}]}]}, "setup.tools[0].function_declarations[0].name", "missing"),
        ({"system_instruction": 5}, "setup.system_instruction", "Content"),
        ({"system_instruction": {"parts": [5]}}, "setup.system_instruction.parts[0]", "Part"),
        ({"systemInstruction": {"parts": "abc"}}, "setup.systemInstruction.parts", "array"),
        (
            {"system_instruction": {"parts": [{"inline_data": {"mime_type": "a", "data": "?"}}]}},
            "setup.system_instruction.parts[0].inline_data.data",
            "base64",
        ),
        ({"labels": {"a": 1}}, "setup.labels.a", "str"),
        ({"labels": {1: "a"}}, "setup.labels", "str"),
        ({"labels": []}, "setup.labels", "object"),
    ],
)
def test_a_wrong_type_is_named_in_the_callers_spelling(given, path, expected):
    with pytest.raises(ConfigError) as caught:
        setup_from({"model": "m", **given})
    assert caught.value.path == path
    assert str(caught.value).startswith(path.removesuffix(".name"))
    assert expected in str(caught.value)
    assert "$" not in str(caught.value)


@pytest.mark.parametrize("given", [5, None, [], b"m", {1, 2}, object()])
def test_what_cannot_be_a_setup_at_all(given):
    with pytest.raises(ConfigError, match=f"setup must be Setup or a mapping, not {type(given).__name__}") as caught:
        setup_from(given)
    assert caught.value.path == "setup"


def test_a_setup_names_its_model_itself():
    with pytest.raises(ConfigError, match="give the Setup alone, it names the model") as caught:
        setup_from("m", Setup(model="m"))
    assert caught.value.path == "config"


def test_an_object_that_dumps_something_else():
    class Odd:
        def model_dump(self, *, exclude_none):
            return [exclude_none]

    with pytest.raises(ConfigError, match="not list"):
        setup_from(Odd())


@pytest.mark.parametrize("given", ["", " ", {"model": ""}, {"model": "\t"}, Setup(model="")])
def test_a_setup_needs_a_model(given):
    with pytest.raises(ConfigError) as caught:
        setup_from(given)
    assert caught.value.path == "setup.model"


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8080", "wss://user:secret@h.test/path", "https://h.test?key=secret"])
def test_a_url_is_no_model(url):
    for setup in (url, {"model": url}, Setup(model=url)):
        with pytest.raises(ConfigError, match="endpoint=") as caught:
            setup_from(setup)
        assert caught.value.path == "setup.model"
        assert "secret" not in str(caught.value)  # nor anything else of it


def test_a_setup_without_a_model_says_so():
    with pytest.raises(ConfigError, match="missing required field `model`"):
        setup_from({"generation_config": {}})


@pytest.mark.parametrize(
    "given",
    [
        {"generation_config": {"top_p": 1, "topP": 1}},
        {"generation_config": {"topP": 1, "top_p": 1}},
    ],
)
def test_one_field_in_both_spellings_is_an_error(given):
    with pytest.raises(ConfigError, match=r"setup.generation_config gives '(topP|top_p)' twice, in two spellings"):
        setup_from({"model": "m", **given})


def test_the_error_does_not_drag_msgspec_along():
    with pytest.raises(ConfigError) as caught:
        setup_from({"model": 5})
    assert caught.value.__suppress_context__


def test_the_protocol_of_objects():
    assert isinstance(Dumpable(), SupportsModelDump)
    assert not isinstance({}, SupportsModelDump)


# --- numbers that JSON does not have ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("kind", "make", "path"),
    [
        (Setup, lambda x: {"model": "m", "generation_config": {"temperature": x}}, "it.generation_config.temperature"),
        (Setup, lambda x: Setup(model="m", generation_config=GenerationConfig(top_p=x)), "it.generation_config.top_p"),
        (FunctionResponse, lambda x: {"name": "f", "response": {"a": [1, {"b": x}]}}, "it.response.a[1].b"),
        (FunctionResponse, lambda x: FunctionResponse(name="f", response={"a": (x,)}), "it.response.a[0]"),
    ],
)
def test_a_number_that_json_has_not_is_an_error(kind, make, path, number):
    with pytest.raises(ConfigError) as caught:
        struct_from(kind, make(number), "it")
    assert caught.value.path == path
    assert str(number) in str(caught.value)


def test_what_json_can_hold_in_some_way_is_taken():
    class Colour(enum.Enum):
        RED = "red"

    when = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    answer = struct_from(FunctionResponse, {"name": "f", "response": {"a": when, "b": Colour.RED, "c": {1}}}, "it")
    assert answer.response == {"a": "2026-01-02T03:04:05Z", "b": "red", "c": [1]}


@pytest.mark.parametrize(
    ("response", "path"),
    [({"a": object()}, "it.response.a"), ({"a": {1: 2}}, "it.response.a"), ({"a": [lambda: 0]}, "it.response.a[0]")],
)
def test_what_json_cannot_hold_is_named(response, path):
    with pytest.raises(ConfigError) as caught:
        struct_from(FunctionResponse, {"name": "f", "response": response}, "it")
    assert caught.value.path == path


# --- structs built by hand -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setup", "path"),
    [
        (Setup(model=5), "setup.model"),
        (Setup(model="m", generation_config={"top_p": "x"}), "setup.generation_config.top_p"),
        (
            Setup(model="m", generation_config=GenerationConfig(temperature="hot")),
            "setup.generation_config.temperature",
        ),
        (Setup(model="m", tools=Tool()), "setup.tools"),
        (
            Setup(model="m", tools=[Tool(function_declarations=[FunctionDeclaration(name=5)])]),
            "setup.tools[0].function",
        ),
        (Setup(model="m", tools=[Tool(google_search=True)]), "setup.tools[0].google_search"),
        (
            Setup(model="m", generation_config=GenerationConfig(temperature=np.float32(1))),
            "setup.generation_config.temperature",
        ),
        (Setup(model="m", tools=[Tool(google_search=np.arange(2))]), "setup.tools[0].google_search"),
        (Setup(model="m", explicit_vad_signal=1), "setup.explicit_vad_signal"),
        (Setup(model="m", labels={"a": None}), "setup.labels.a"),
    ],
)
def test_a_struct_is_checked_where_it_is_used(setup, path):
    """Python checks no types when a struct is made, and the service would close for it."""
    with pytest.raises(ConfigError) as caught:
        setup_from(setup)
    assert caught.value.path.startswith(path)


def test_a_struct_may_hold_what_can_be_read_as_one():
    setup = setup_from(
        Setup(
            model="m", system_instruction="Be brief.", generation_config={"topP": 0.5}, tools=({"google_search": {}},)
        )
    )
    assert setup == Setup(
        model="m",
        system_instruction=Content(role="user", parts=[Part(text="Be brief.")]),
        generation_config=GenerationConfig(top_p=0.5),
        tools=[Tool(google_search={})],
    )


# --- enumerations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["audio", "Audio", "AUDIO", "aUDIO"])
def test_an_enumeration_in_any_case(value):
    setup = setup_from({"model": "m", "response_modalities": [value]})
    assert setup.generation_config.response_modalities == ["AUDIO"]
    assert setup_from(Setup(model="m", generation_config=GenerationConfig(response_modalities=[value]))) == setup


def detection(**fields):
    return {"model": "m", "realtime_input_config": {"automatic_activity_detection": fields}}


@pytest.mark.parametrize(
    ("given", "suggestion"),
    [
        ({"model": "m", "response_modalities": ["audoi"]}, "AUDIO"),
        ({"model": "m", "media_resolution": "low"}, "MEDIA_RESOLUTION_LOW"),
        (detection(start_of_speech_sensitivity="high"), "START_SENSITIVITY_HIGH"),
        (
            {"model": "m", "tools": [{"function_declarations": [{"name": "f", "behavior": "nonblocking"}]}]},
            "NON_BLOCKING",
        ),
        ({"model": "m", "response_modalities": ["qqq"]}, None),
    ],
)
def test_an_unknown_value_is_named_with_the_closest_known_one(given, suggestion):
    with pytest.raises(ConfigError) as caught:
        setup_from(given)
    assert caught.value.suggestion == suggestion
    assert "is none of" in str(caught.value)


def test_a_value_that_the_service_learns_tomorrow_goes_as_it_is_with_a_warning():
    with pytest.warns(
        UserWarning, match="'NON_BLOKING' is not known here and goes as it is; did you mean 'NON_BLOCKING'"
    ):
        declaration = struct_from(FunctionDeclaration, {"name": "f", "behavior": "NON_BLOKING"}, "it")
    assert declaration.behavior == "NON_BLOKING"
    with pytest.warns(UserWarning, match="SMELL"):
        setup = setup_from(Setup(model="m", generation_config=GenerationConfig(response_modalities=["SMELL"])))
    assert setup.generation_config.response_modalities == ["SMELL"]


# --- the layout of the official SDK ----------------------------------------------------------------------------------

FLAT = {
    "response_modalities": ["AUDIO"],
    "temperature": 0.5,
    "speechConfig": {"language_code": "de-DE"},
    "system_instruction": "Be brief.",
    "output_audio_transcription": {},
    "tools": [{"google_search": {}}],
}
READ_FLAT = Setup(
    model="m",
    generation_config=GenerationConfig(
        response_modalities=["AUDIO"], temperature=0.5, speech_config=SpeechConfig(language_code="de-DE")
    ),
    system_instruction=Content(role="user", parts=[Part(text="Be brief.")]),
    output_audio_transcription=AudioTranscriptionConfig(),
    tools=[Tool(google_search={})],
)


@pytest.mark.parametrize("config", [FLAT, Dumpable(**FLAT)], ids=["mapping", "object"])
def test_the_flat_layout_beside_the_models_name(config):
    assert setup_from("m", config) == READ_FLAT


def test_the_flat_layout_with_the_model_in_it():
    assert setup_from({"model": "m", **FLAT}) == READ_FLAT


def test_both_layouts_in_one():
    setup = setup_from({"model": "m", "temperature": 1, "generation_config": {"top_p": 0.5}})
    assert setup.generation_config == GenerationConfig(temperature=1.0, top_p=0.5)


def test_the_modality_of_a_name_is_a_default_only():
    assert setup_from("m", {"temperature": 0}).generation_config.response_modalities == ("AUDIO",)
    assert setup_from("m", {"response_modalities": ["TEXT"]}).generation_config.response_modalities == ["TEXT"]
    assert setup_from("m", modality="TEXT").generation_config.response_modalities == ("TEXT",)
    assert setup_from({"model": "m", "temperature": 0}).generation_config.response_modalities == ()


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        (("m", {"temprature": 1}), "config.temprature", "did you mean 'temperature'"),
        (({"model": "m", "temprature": 1},), "setup.temprature", "did you mean 'temperature'"),
        (("m", {"temperature": "hot"}), "config.temperature", "float"),
        (("m", {"model": "n"}), "config.model", "twice"),
        (("m", 5), "config", "mapping"),
        (({"model": "m"}, {"temperature": 1}), "config", "name of a model"),
        (
            ("m", {"temperature": 1, "generation_config": {"temperature": 2}}),
            "config.generation_config.temperature",
            "twice",
        ),
        (("m", {"http_options": {"api_version": "v1alpha"}}), "config.http_options", "GeminiApi(version=…"),
        (("m", {"response_schema": {}}), "config.response_schema", "leave it out"),
        (
            ("m", {"speech_config": {"multiSpeakerVoiceConfig": {}}}),
            "config.speech_config.multiSpeakerVoiceConfig",
            "one",
        ),
    ],
)
def test_mistakes_in_a_config(given, path, words):
    with pytest.raises(ConfigError) as caught:
        setup_from(*given)
    assert caught.value.path == path
    assert words in str(caught.value)


def test_functions_among_the_tools_are_handed_out():
    def look_up():
        """Look."""

    setup, functions = setup_and_functions_from("m", {"tools": [look_up, {"google_search": {}}]})
    assert functions == [look_up]
    assert setup.tools == [Tool(google_search={})]
    with pytest.raises(ConfigError, match="Python functions"):
        setup_from("m", {"tools": [look_up]})


# --- blobs and answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        Blob(mime_type="audio/pcm;rate=8000", data=b"ab"),
        {"mime_type": "audio/pcm;rate=8000", "data": b"ab"},
        {"mimeType": "audio/pcm;rate=8000", "data": "YWI="},
    ],
)
def test_a_blob(given):
    assert pcm_from(blob_from(given, "block"), "block") == (b"ab", 8_000)


def test_a_blob_of_another_library():
    class Theirs(Dumpable):
        mime_type = "audio/pcm"

    assert pcm_from(blob_from(Theirs(mime_type="audio/pcm", data=b"ab"), "block"), "block") == (b"ab", 16_000)


@pytest.mark.parametrize(
    ("mime_type", "rate_hz"),
    [
        ("audio/pcm", 16_000),
        ("audio/pcm;", 16_000),
        ("audio/pcm; Rate = 48000", 48_000),
        ('audio/pcm;rate="48000"', 48_000),
        ("audio/pcm;channels=1;rate=1920000", 1_920_000),
    ],
)
def test_the_rate_of_a_blob(mime_type, rate_hz):
    """At 16 kHz it would be another pitch, and nothing would say so."""
    assert pcm_from(Blob(mime_type=mime_type, data=b"ab"), "block") == (b"ab", rate_hz)


@pytest.mark.parametrize("given", [b"ab", bytearray(b"ab"), memoryview(b"ab"), [1, 2], None])
def test_what_is_no_blob(given):
    assert blob_from(given, "block") is None


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"data": b""}, "block.mime_type"),
        ({"mime_type": "image/png", "data": b""}, "block.mime_type"),
        ({"mime_type": "audio/wav", "data": b""}, "block.mime_type"),
        ({"mime_type": "audio/pcm;rate=fast", "data": b""}, "block.mime_type"),
        ({"mime_type": "audio/pcm;rate=48000.5", "data": b""}, "block.mime_type"),
        ({"mime_type": "audio/pcm;rate=", "data": b""}, "block.mime_type"),
        ({"mime_type": "audio/pcm;rate=48000;channels=2", "data": b""}, "block.mime_type"),
        ({"mime_type": "audio/pcm", "data": 5}, "block.data"),
        (Blob(mime_type=5, data=b""), "block.mime_type"),
    ],
)
def test_a_wrong_blob(given, path):
    with pytest.raises(ConfigError) as caught:
        pcm_from(blob_from(given, "block"), "block")
    assert caught.value.path == path


@pytest.mark.parametrize(
    "given",
    [
        FunctionResponse(name="f", id="1"),
        {"name": "f", "id": "1"},
        Dumpable(name="f", id="1"),
        [FunctionResponse(name="f", id="1")],
        (Dumpable(name="f", id="1"),),
    ],
)
def test_answers(given):
    assert responses_from(given) == [FunctionResponse(name="f", id="1")]


@pytest.mark.parametrize("given", [None, "f", b"f", 5])
def test_no_answers(given):
    with pytest.raises(ConfigError, match="responses must be FunctionResponse"):
        responses_from(given)


# --- the official SDK itself -----------------------------------------------------------------------------------------


def test_the_objects_of_the_official_sdk():
    sdk = pytest.importorskip("google.genai.types", reason="google-genai is not installed")

    def order(item: str) -> str:
        """Order something."""
        return item

    config = sdk.LiveConnectConfig(
        response_modalities=["audio"],
        temperature=0.5,
        top_k=3,
        system_instruction="Be brief.",
        tools=[order, {"function_declarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}],
        speech_config=sdk.SpeechConfig(
            voice_config=sdk.VoiceConfig(prebuilt_voice_config=sdk.PrebuiltVoiceConfig(voice_name="Kore"))
        ),
        realtime_input_config=sdk.RealtimeInputConfig(
            automatic_activity_detection=sdk.AutomaticActivityDetection(
                start_of_speech_sensitivity=sdk.StartSensitivity.START_SENSITIVITY_LOW, silence_duration_ms=500
            )
        ),
        input_audio_transcription=sdk.AudioTranscriptionConfig(),
        session_resumption=sdk.SessionResumptionConfig(handle="h"),
        context_window_compression=sdk.ContextWindowCompressionConfig(sliding_window=sdk.SlidingWindow()),
    )
    setup, functions = setup_and_functions_from("m", config)
    assert functions == [order]
    assert json.loads(msgspec.json.encode(setup)) == {
        "model": "m",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "temperature": 0.5,
            "topK": 3.0,
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
        },
        "systemInstruction": {"parts": [{"text": "Be brief."}], "role": "user"},
        "tools": [{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}],
        "realtimeInputConfig": {
            "automaticActivityDetection": {
                "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
                "silenceDurationMs": 500,
            }
        },
        "sessionResumption": {"handle": "h"},
        "contextWindowCompression": {"slidingWindow": {}},
        "inputAudioTranscription": {},
    }
    assert contents_from(sdk.Part(text="hi")) == [TURN]
    assert contents_from(sdk.Content(role="user", parts=[sdk.Part(text="hi")])) == [TURN]
    assert contents_from(sdk.UserContent("hi")) == [TURN]
    blob = blob_from(sdk.Blob(data=b"ab", mime_type="audio/pcm;rate=8000"), "block")
    assert pcm_from(blob, "block") == (b"ab", 8_000)
    answer = sdk.FunctionResponse(
        id="1", name="f", response={"a": 1}, scheduling=sdk.FunctionResponseScheduling.WHEN_IDLE
    )
    assert responses_from(answer) == [FunctionResponse(id="1", name="f", response={"a": 1}, scheduling="WHEN_IDLE")]
    every = {name for name in sdk.LiveConnectConfig.model_fields if name != "http_options"}
    assert every <= {*Setup.__struct_fields__, *GenerationConfig.__struct_fields__}


# --- there and back --------------------------------------------------------------------------------------------------

FREE = st.dictionaries(
    st.sampled_from(["model", "mime_type", "mimeType", "x_y", "xY", ""]),
    st.recursive(st.none() | st.integers(-9, 9) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)),
    max_size=3,
)


def values(hint, name=""):
    """Any value of a type of ours, `None` where it may be unset."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.none() | st.one_of(*(values(part, name) for part in arguments if part is not type(None)))
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is collections.abc.Sequence:
        # an empty one may be () or []: what is not given stays the default
        return st.just(()) | st.lists(values(arguments[0]), min_size=1, max_size=2)
    if origin is collections.abc.Mapping:
        return st.dictionaries(st.text(max_size=5), st.text(max_size=3), max_size=2) if name == "labels" else FREE
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return structs(hint)
    return {
        str: st.text("abcXYZ_ ", max_size=4),
        bytes: st.binary(max_size=4),
        bool: st.booleans(),
        int: st.integers(-1000, 1000),
        float: st.floats(allow_nan=False) | st.integers(0, 9).map(float),
    }[hint]


def structs(kind):
    """Structs of a kind; few fields are set at a time, each sooner or later."""
    hints = typing.get_type_hints(kind)
    fields = {field.name: values(hints[field.name], field.name) for field in msgspec.structs.fields(kind)}
    required = {
        field.name: fields[field.name]
        for field in msgspec.structs.fields(kind)
        if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    }
    optional = sorted(set(fields) - set(required))
    chosen = st.lists(st.sampled_from(optional), max_size=4, unique=True) if optional else st.just([])
    return chosen.flatmap(
        lambda names: st.fixed_dictionaries({**required, **{name: fields[name] for name in names}}).map(
            lambda given: kind(**given)
        )
    )


def spelled(value, choose):
    """A mapping that says the same, each name in the spelling that `choose` picks."""
    if isinstance(value, msgspec.Struct):
        mapping = {}
        for name, wire_name in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            inner = getattr(value, name)
            if inner is not None and inner != ():
                mapping[choose(name, wire_name)] = spelled(inner, choose)
        return mapping
    if isinstance(value, list):
        return [spelled(item, choose) for item in value]
    return value


@settings(derandomize=True, deadline=None, max_examples=200)
@given(structs(Setup).filter(lambda setup: setup.model.strip()), st.randoms(use_true_random=False))
def test_there_and_back_is_the_identity(setup, dice):
    for choose in (
        lambda snake, _camel: snake,
        lambda _snake, camel: camel,
        lambda snake, camel: dice.choice([snake, camel]),
    ):
        assert setup_from(spelled(setup, choose)) == setup
        assert setup_from(Dumpable(**spelled(setup, choose))) == setup
