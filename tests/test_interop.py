from __future__ import annotations

import collections.abc
import enum
import types
import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemini_live.config import (
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
from gemini_live.errors import ConfigError
from gemini_live.interop import SupportsModelDump, contents_from, setup_from, struct_from
from gemini_live.messages import Blob, Content, FunctionCall, FunctionResponse, Part

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
        "responseModalities": ("AUDIO",),
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


def test_objects_where_anything_goes():
    given = {"model": "m", "tools": [{"google_search": Dumpable(time_range_filter={}), "urlContext": Dumpable()}]}
    assert setup_from(given).tools == [Tool(google_search={"time_range_filter": {}}, url_context={})]


def test_enumerations_of_other_libraries():
    class Modality(str, enum.Enum):  # noqa: UP042 - as the official SDK writes them
        AUDIO = "AUDIO"

    setup = setup_from({"model": "m", "generation_config": {"response_modalities": [Modality.AUDIO]}})
    assert setup.generation_config.response_modalities == ["AUDIO"]
    assert msgspec.json.encode(setup) == b'{"model":"m","generationConfig":{"responseModalities":["AUDIO"]}}'


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
        (Part(text="hi"), "turns"),
        (["hi"], "turns[0]"),
        ([TURN, None], "turns[1]"),
        ([TURN, {"role": "system"}], "turns[1].role"),
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
        ({"generation_config": 5}, "setup.generation_config", "object"),
        ({"generation_config": Dumpable(top_p="x")}, "setup.generation_config.top_p", "float"),
        (
            {"generation_config": {"response_modalities": "AUDIO"}},
            "setup.generation_config.response_modalities",
            "array",
        ),
        (
            {"generation_config": {"responseModalities": ["TEXT", "SMELL"]}},
            "setup.generation_config.responseModalities[1]",
            "SMELL",
        ),
        ({"generation_config": {"max_output_tokens": True}}, "setup.generation_config.max_output_tokens", "int"),
        ({"explicit_vad_signal": "yes"}, "setup.explicit_vad_signal", "bool"),
        ({"tools": {}}, "setup.tools", "array"),
        ({"tools": [{"function_declarations": [{"name": 5}]}]}, "setup.tools[0].function_declarations[0].name", "str"),
        ({"tools": [{"function_declarations": [{}]}]}, "setup.tools[0].function_declarations[0]", "name"),
        ({"system_instruction": "Be brief."}, "setup.system_instruction", "object"),
        ({"systemInstruction": {"parts": "abc"}}, "setup.systemInstruction.parts", "array"),
        (
            {"system_instruction": {"parts": [{"inline_data": {"mime_type": "a", "data": "?"}}]}},
            "setup.system_instruction.parts[0].inline_data.data",
            "base64",
        ),
        ({"labels": {"a": 1}}, "setup.labels[...]", "str"),
        ({"labels": {1: "a"}}, "setup.labels", "str"),
        ({"labels": []}, "setup.labels", "object"),
    ],
)
def test_a_wrong_type_is_named_in_the_callers_spelling(given, path, expected):
    with pytest.raises(ConfigError) as caught:
        setup_from({"model": "m", **given})
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")
    assert expected in str(caught.value)
    assert "$" not in str(caught.value)


@pytest.mark.parametrize("given", [5, None, [], b"m", {1, 2}, object()])
def test_what_cannot_be_a_setup_at_all(given):
    with pytest.raises(ConfigError, match=f"setup must be Setup or a mapping, not {type(given).__name__}") as caught:
        setup_from(given)
    assert caught.value.path == "setup"


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
