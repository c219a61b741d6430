from __future__ import annotations

import json

import msgspec
import pytest

from gemini_live import messages
from gemini_live.messages import (
    Blob,
    ClientContent,
    CodeExecutionResult,
    Content,
    ContextUpdate,
    ExecutableCode,
    FileData,
    FunctionCall,
    FunctionResponse,
    FunctionResponsePart,
    Part,
    RealtimeInput,
    ToolResponse,
    Wire,
)

STRUCTS = [
    thing
    for name in messages.__all__
    if isinstance(thing := getattr(messages, name), type) and issubclass(thing, msgspec.Struct)
]

# every field of every message, as it must stand on the wire
WHOLE = [
    (
        Blob(mime_type="audio/pcm;rate=16000", data=b"\xfb\xff", display_name="n"),
        '{"mimeType":"audio/pcm;rate=16000","data":"+/8=","displayName":"n"}',
    ),
    (
        FileData(file_uri="u", mime_type="m", display_name="n"),
        '{"fileUri":"u","mimeType":"m","displayName":"n"}',
    ),
    (
        FunctionCall(name="f", id="1", args={"an_arg": 5}, partial_args=[{"jsonPath": "$.a"}], will_continue=True),
        '{"name":"f","id":"1","args":{"an_arg":5},"partialArgs":[{"jsonPath":"$.a"}],"willContinue":true}',
    ),
    (
        FunctionResponsePart(
            inline_data=Blob(mime_type="m", data=b""),
            file_data=FileData(file_uri="u"),
            media_processing="M",
            media_resolution={"a_b": 1},
            video_metadata={"a_b": 2},
            document_metadata={"a_b": 3},
            spreadsheet_metadata={"a_b": 4},
            audio_metadata={"a_b": 5},
        ),
        (
            '{"inlineData":{"mimeType":"m","data":""},"fileData":{"fileUri":"u"},"mediaProcessing":"M",'
            '"mediaResolution":{"a_b":1},"videoMetadata":{"a_b":2},"documentMetadata":{"a_b":3},'
            '"spreadsheetMetadata":{"a_b":4},"audioMetadata":{"a_b":5}}'
        ),
    ),
    (
        FunctionResponse(
            name="f",
            id="1",
            response={"output": "x", "snake_case": None},
            scheduling="WHEN_IDLE",
            will_continue=False,
            parts=[
                FunctionResponsePart(inline_data=Blob(mime_type="image/png", data=b"")),
                FunctionResponsePart(file_data=FileData(file_uri="u")),
            ],
        ),
        (
            '{"name":"f","id":"1","response":{"output":"x","snake_case":null},"scheduling":"WHEN_IDLE",'
            '"willContinue":false,"parts":[{"inlineData":{"mimeType":"image/png","data":""}},{"fileData":{"fileUri":"u"}}]}'
        ),
    ),
    (ExecutableCode(code="1+1", language="PYTHON", id="1"), '{"code":"1+1","language":"PYTHON","id":"1"}'),
    (
        CodeExecutionResult(outcome="OUTCOME_OK", output="2", id="1"),
        '{"outcome":"OUTCOME_OK","output":"2","id":"1"}',
    ),
    (
        Part(
            text="",
            thought=True,
            thought_signature=b"\0",
            inline_data=Blob(mime_type="m", data=b""),
            file_data=FileData(file_uri="u"),
            function_call=FunctionCall(name="f"),
            function_response=FunctionResponse(name="f"),
            executable_code=ExecutableCode(),
            code_execution_result=CodeExecutionResult(),
            tool_call={"a_b": 1},
            tool_response={"a_b": 2},
            media_processing="M",
            media_resolution={"a_b": 3},
            video_metadata={"a_b": 4},
            part_metadata={"a_b": 5},
            audio_transcription={"a_b": 6},
            speech_metadata={"a_b": 7},
            document_metadata={"a_b": 8},
            spreadsheet_metadata={"a_b": 9},
            audio_metadata={"a_b": 10},
        ),
        (
            '{"text":"","thought":true,"thoughtSignature":"AA==","inlineData":{"mimeType":"m","data":""},'
            '"fileData":{"fileUri":"u"},"functionCall":{"name":"f"},"functionResponse":{"name":"f"},'
            '"executableCode":{},"codeExecutionResult":{},"toolCall":{"a_b":1},"toolResponse":{"a_b":2},'
            '"mediaProcessing":"M","mediaResolution":{"a_b":3},"videoMetadata":{"a_b":4},"partMetadata":{"a_b":5},'
            '"audioTranscription":{"a_b":6},"speechMetadata":{"a_b":7},"documentMetadata":{"a_b":8},'
            '"spreadsheetMetadata":{"a_b":9},"audioMetadata":{"a_b":10}}'
        ),
    ),
    (Content(parts=[Part(text="a")], role="model"), '{"parts":[{"text":"a"}],"role":"model"}'),
    (
        ClientContent(turns=[Content(parts=[Part(text="a")], role="user")], turn_complete=True),
        '{"turns":[{"parts":[{"text":"a"}],"role":"user"}],"turnComplete":true}',
    ),
    (
        RealtimeInput(
            audio=Blob(mime_type="a", data=b""),
            video=Blob(mime_type="v", data=b""),
            text="",
            audio_stream_end=True,
            activity_start={},
            activity_end={},
        ),
        (
            '{"audio":{"mimeType":"a","data":""},"video":{"mimeType":"v","data":""},"text":"","audioStreamEnd":true,'
            '"activityStart":{},"activityEnd":{}}'
        ),
    ),
    (ToolResponse(function_responses=[FunctionResponse(name="f")]), '{"functionResponses":[{"name":"f"}]}'),
    (
        ContextUpdate(system_instruction=Content(parts=[Part(text="a")]), tools={"tools": [{"googleSearch": {}}]}),
        '{"systemInstruction":{"parts":[{"text":"a"}]},"tools":{"tools":[{"googleSearch":{}}]}}',
    ),
]


@pytest.mark.parametrize(("message", "expected"), WHOLE, ids=lambda value: type(value).__name__)
def test_every_field_on_the_wire(message, expected):
    assert msgspec.json.encode(message).decode() == expected
    assert len(json.loads(expected)) == len(message.__struct_fields__)


def test_every_message_was_looked_at():
    assert {type(message) for message, _ in WHOLE} | {Wire} == set(STRUCTS)


@pytest.mark.parametrize(("message", "expected"), WHOLE, ids=lambda value: type(value).__name__)
def test_reading_it_back(message, expected):
    assert msgspec.json.decode(expected, type=type(message)) == message


@pytest.mark.parametrize(
    "empty",
    [
        ExecutableCode(),
        CodeExecutionResult(),
        Part(),
        Content(),
        ClientContent(),
        RealtimeInput(),
        ToolResponse(),
        ContextUpdate(),
        FunctionResponsePart(),
    ],
)
def test_what_is_not_set_is_not_sent(empty):
    assert msgspec.json.encode(empty) == b"{}"


def test_clearing_all_tools_is_not_the_same_as_leaving_them():
    assert msgspec.json.encode(ContextUpdate(tools={})) == b'{"tools":{}}'


def test_bytes_travel_as_standard_base64_with_padding():
    assert msgspec.json.encode(Blob(mime_type="m", data=b"\xfb\xef\xff\xfe")) == b'{"mimeType":"m","data":"++///g=="}'


@pytest.mark.parametrize("kind", STRUCTS)
def test_it_cannot_be_changed(kind):
    assert kind.__struct_config__.frozen
    assert kind.__struct_config__.omit_defaults


@pytest.mark.parametrize("message", [message for message, _ in WHOLE], ids=lambda value: type(value).__name__)
def test_it_takes_names_only(message):
    with pytest.raises(TypeError):
        type(message)("x")


def test_an_unknown_field_of_the_service_does_no_harm():
    assert msgspec.json.decode(b'{"text":"a","somethingNew":{"speaker":"1"}}', type=Part) == Part(text="a")


def test_a_blob_does_not_print_its_bytes():
    assert repr(Blob(mime_type="m", data=b"secret")) == "Blob(mime_type='m', data=<6 bytes>)"
    assert repr(Blob(mime_type="m", data=b"", display_name="n")).endswith(", display_name='n')")


def test_a_context_update_does_not_print_what_its_tools_prove_themselves_with():
    update = ContextUpdate(tools={"tools": [{"googleMaps": {"authConfig": {"apiKey": "secret"}}}]})
    assert repr(update) == "ContextUpdate(tools=…)"
    assert repr(ContextUpdate(tools={})) == "ContextUpdate(tools={})"


def test_what_is_shown_does_not_hang_on_annotations():
    """To read them costs a hundred times what the rest does, and fails for names that only type checkers import."""

    class Odd(messages.Discreet, Wire, frozen=True, kw_only=True):
        hidden: OnlyForTypeCheckers = None  # noqa: F821
        name: str = ""

        _discreet = frozenset({"hidden"})

    assert repr(Odd(hidden="x", name="n")) == "Odd(hidden=…, name='n')"
    assert repr(Odd()) == "Odd()"


def test_rich_prints_no_more():
    """It has a protocol of its own for what to print, also for the locals of a traceback."""
    pretty = pytest.importorskip("rich.pretty")
    update = ContextUpdate(tools={"tools": [{"mcpServers": [{"headers": {"a": "secret"}}]}]})
    for message in (Blob(mime_type="m", data=b"secret"), update):
        assert pretty.pretty_repr(message) == repr(message)
