from __future__ import annotations

import base64
import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gemini_live import _core, codec, events, server_messages
from gemini_live.events import (
    Error,
    GenerationComplete,
    GoAway,
    Grounding,
    InputTranscription,
    Interrupted,
    ModalityTokenCount,
    ModelAudio,
    ModelPart,
    ModelText,
    OutputTranscription,
    SessionResumption,
    SetupComplete,
    SpeechState,
    Thought,
    ToolCall,
    ToolCallCancellation,
    TranscribedWord,
    TurnComplete,
    Unknown,
    UrlContext,
    Usage,
    VadSignal,
    VoiceActivity,
    WaitingForInput,
)
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
    Part,
    RealtimeInput,
    ToolResponse,
)
from gemini_live.setup_message import (
    AudioTranscriptionConfig,
    ContextWindowCompression,
    FunctionDeclaration,
    GenerationConfig,
    HistoryConfig,
    PrebuiltVoiceConfig,
    SessionResumptionConfig,
    Setup,
    SlidingWindow,
    SpeechConfig,
    Tool,
    VoiceConfig,
)

SAME_EVERY_TIME = settings(derandomize=True, deadline=None)
ZEROES = b"\0\0\0"  # AAAA

# --- in: the exchanges of the protocol, server side ------------------------------------------------------------------

TEXT_TURN = [
    ('{"setupComplete":{}}', [SetupComplete()]),
    (
        '{"serverContent":{"modelTurn":{"parts":[{"text":"**Greeting**","thought":true}]}}}',
        [Thought(text="**Greeting**")],
    ),
    ('{"serverContent":{"outputTranscription":{"text":"Hello"}}}', [OutputTranscription(text="Hello")]),
    (
        '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAAA"}}]}}}',
        [ModelAudio(data=ZEROES)],
    ),
    ('{"serverContent":{"outputTranscription":{"text":" there."}}}', [OutputTranscription(text=" there.")]),
    ('{"serverContent":{"generationComplete":true}}', [GenerationComplete()]),
    (
        (
            '{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":12,"responseTokenCount":21,'
            '"totalTokenCount":33,"promptTokensDetails":[{"modality":"TEXT","tokenCount":12}],'
            '"responseTokensDetails":[{"modality":"AUDIO","tokenCount":21}],"thoughtsTokenCount":18}}'
        ),
        [
            Usage(
                prompt_token_count=12,
                response_token_count=21,
                total_token_count=33,
                thoughts_token_count=18,
                prompt_tokens_details=(ModalityTokenCount(modality="TEXT", token_count=12),),
                response_tokens_details=(ModalityTokenCount(modality="AUDIO", token_count=21),),
            ),
            TurnComplete(),
        ],
    ),
]


def usage(prompt, response, total, **more):
    return Usage(prompt_token_count=prompt, response_token_count=response, total_token_count=total, **more)


VOICE_TURN = [
    (
        '{"sessionResumptionUpdate":{"newHandle":"0f9c2a2e-6f0b-4d0a-9c55-1b1f7f1f0001","resumable":true}}',
        [SessionResumption(handle="0f9c2a2e-6f0b-4d0a-9c55-1b1f7f1f0001", resumable=True)],
    ),
    (
        '{"serverContent":{},"voiceActivity":{"type":"ACTIVITY_START","audioOffset":"0.160s"}}',
        [VoiceActivity(type="ACTIVITY_START", audio_offset_s=0.16)],
    ),
    (
        '{"serverContent":{"inputTranscription":{"text":"What time is it?"}}}',
        [InputTranscription(text="What time is it?")],
    ),
    (
        '{"serverContent":{},"voiceActivity":{"type":"ACTIVITY_END","audioOffset":"1.900s"}}',
        [VoiceActivity(type="ACTIVITY_END", audio_offset_s=1.9)],
    ),
    (
        (
            '{"serverContent":{"modelTurn":{"role":"model","parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000",'
            '"data":"AAAA"}}]},"outputTranscription":{"text":"It is"}}}'
        ),
        [OutputTranscription(text="It is"), ModelAudio(data=ZEROES)],
    ),
    ("{}", []),
    (
        (
            '{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":300,"responseTokenCount":40,'
            '"totalTokenCount":340}}'
        ),
        [usage(300, 40, 340), TurnComplete()],
    ),
]

BARGE_IN = [
    ('{"serverContent":{"interrupted":true}}', [Interrupted()]),
    (
        (
            '{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":520,"responseTokenCount":33,'
            '"totalTokenCount":553}}'
        ),
        [usage(520, 33, 553), TurnComplete()],
    ),
]

TOOLS = [
    (
        '{"toolCall":{"functionCalls":[{"id":"call_360228","name":"order","args":{"item":"tea"}}]}}',
        [ToolCall(calls=[FunctionCall(id="call_360228", name="order", args={"item": "tea"})])],
    ),
    (
        '{"toolCall":{"functionCalls":[{"id":"a","name":"f","args":{"n":5}},{"id":"b","name":"g"}]}}',
        [ToolCall(calls=[FunctionCall(id="a", name="f", args={"n": 5}), FunctionCall(id="b", name="g")])],
    ),
    # Vertex AI historically sent no id
    ('{"toolCall":{"functionCalls":[{"name":"f","args":null}]}}', [ToolCall(calls=[FunctionCall(name="f")])]),
    # what a tool is called with may look like anything
    (
        '{"toolCall":{"functionCalls":[{"id":"a","name":"f","args":{"serverContent":{"interrupted":true},"data":"x"}}]}}',
        [ToolCall(calls=[FunctionCall(id="a", name="f", args={"serverContent": {"interrupted": True}, "data": "x"})])],
    ),
    ('{"toolCallCancellation":{"ids":["a","b"]}}', [ToolCallCancellation(ids=["a", "b"])]),
]

VERTEX = [
    (
        '{"setupComplete":{"sessionId":"5b1c0a52-7c1e-4a55-8c86-2f2b9d3f0001"}}',
        [SetupComplete(session_id="5b1c0a52-7c1e-4a55-8c86-2f2b9d3f0001")],
    ),
    (
        '{"sessionResumptionUpdate":{"newHandle":"h-1","resumable":true,"lastConsumedClientMessageIndex":"1"}}',
        [SessionResumption(handle="h-1", resumable=True, last_consumed_client_message_index=1)],
    ),
    (
        '{"sessionResumptionUpdate":{"newHandle":"h-1","resumable":true,"lastConsumedClientMessageIndex":42}}',
        [SessionResumption(handle="h-1", resumable=True, last_consumed_client_message_index=42)],
    ),
    (
        (
            '{"sessionResumptionUpdate":{"newHandle":"h-1","resumable":true,'
            '"lastConsumedClientMessageIndex":"9223372036854775807"}}'
        ),
        [SessionResumption(handle="h-1", resumable=True, last_consumed_client_message_index=2**63 - 1)],
    ),
    ('{"goAway":{"timeLeft":"30s"}}', [GoAway(time_left_s=30.0)]),
    ('{"serverContent":{"outputTranscription":{}}}', [OutputTranscription(text="")]),
    ('{"serverContent":{"outputTranscription":{"finished":true}}}', [OutputTranscription(text="", finished=True)]),
    (
        '{"serverContent":{"modelTurn":{"role":"model","parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAAA"}}]}}}',
        [ModelAudio(data=ZEROES)],
    ),
    (
        (
            '{"serverContent":{"turnComplete":true,"groundingMetadata":{}},"usageMetadata":{"promptTokenCount":5,'
            '"candidatesTokenCount":7,"totalTokenCount":12,"candidatesTokensDetails":[{"modality":"AUDIO"}],'
            '"trafficType":"ON_DEMAND"}}'
        ),
        [
            usage(
                5,
                7,
                12,
                response_tokens_details=(ModalityTokenCount(modality="AUDIO", token_count=0),),
                traffic_type="ON_DEMAND",
            ),
            TurnComplete(),
        ],
    ),
]

# --- in: every field -------------------------------------------------------------------------------------------------

FIELDS = [
    # the end of a turn
    (
        '{"serverContent":{"turnComplete":true,"turnCompleteReason":"NEED_MORE_INPUT"}}',
        [TurnComplete(reason="NEED_MORE_INPUT")],
    ),
    (
        '{"serverContent":{"turnComplete":true,"turnCompleteReason":"SOMETHING_NEW","interactionStatus":"IN_PROGRESS"}}',
        [TurnComplete(reason="SOMETHING_NEW", interaction_status="IN_PROGRESS")],
    ),
    ('{"serverContent":{"waitingForInput":true}}', [WaitingForInput()]),
    # parts
    ('{"serverContent":{"modelTurn":{"parts":[{"text":"Hi"}]}}}', [ModelText(text="Hi")]),
    ('{"serverContent":{"modelTurn":{"parts":[{"text":""}]}}}', [ModelText(text="")]),
    (
        (
            '{"serverContent":{"modelTurn":{"parts":[{"text":"a"},{"text":"b","thought":true},'
            '{"inlineData":{"mimeType":"audio/pcm;rate=16000","data":"AQI"}}]}}}'
        ),
        [ModelText(text="a"), Thought(text="b"), ModelAudio(data=b"\1\2", rate_hz=16_000)],
    ),
    (
        (
            '{"serverContent":{"modelTurn":{"parts":[{"executableCode":{"language":"PYTHON","code":"1+1","id":"x"}},'
            '{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"2","id":"x"}}]}}}'
        ),
        [
            ModelPart(part=Part(executable_code=ExecutableCode(language="PYTHON", code="1+1", id="x"))),
            ModelPart(part=Part(code_execution_result=CodeExecutionResult(outcome="OUTCOME_OK", output="2", id="x"))),
        ],
    ),
    # a thought need not be text
    (
        '{"serverContent":{"modelTurn":{"parts":[{"executableCode":{"code":"1"},"thought":true}]}}}',
        [ModelPart(part=Part(executable_code=ExecutableCode(code="1"), thought=True))],
    ),
    (
        (
            '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"image/png","data":"-_8"}},'
            '{"fileData":{"fileUri":"u","mimeType":"m"}},{"thoughtSignature":"-_8="}]}}}'
        ),
        [
            ModelPart(part=Part(inline_data=Blob(mime_type="image/png", data=b"\xfb\xff"))),
            ModelPart(part=Part(file_data=FileData(file_uri="u", mime_type="m"))),
            ModelPart(part=Part(thought_signature=b"\xfb\xff")),
        ],
    ),
    # a signature belongs to its text; what else is said about a piece follows it
    (
        '{"serverContent":{"modelTurn":{"parts":[{"text":"a","thoughtSignature":"-_8="}]}}}',
        [ModelText(text="a", thought_signature=b"\xfb\xff")],
    ),
    (
        '{"serverContent":{"modelTurn":{"parts":[{"text":"a","thought":true,"thoughtSignature":""}]}}}',
        [Thought(text="a", thought_signature=b"")],
    ),
    (
        (
            '{"serverContent":{"modelTurn":{"parts":[{"text":"a","speechMetadata":{"speaker":"1"}},'
            '{"inlineData":{"mimeType":"audio/pcm","data":"AAAA"},"thoughtSignature":"-_8="}]}}}'
        ),
        [
            ModelText(text="a"),
            ModelPart(part=Part(speech_metadata={"speaker": "1"})),
            ModelAudio(data=ZEROES),
            ModelPart(part=Part(thought_signature=b"\xfb\xff")),
        ],
    ),
    # tools of the service
    (
        (
            '{"serverContent":{"modelTurn":{"parts":[{"toolCall":{"id":"1"}},{"toolResponse":{"id":"1"}},'
            '{"functionCall":{"name":"f","args":{"a":1}}}]}}}'
        ),
        [
            ModelPart(part=Part(tool_call={"id": "1"})),
            ModelPart(part=Part(tool_response={"id": "1"})),
            ModelPart(part=Part(function_call=FunctionCall(name="f", args={"a": 1}))),
        ],
    ),
    # other audio is not PCM
    (
        (
            '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/opus","data":"AAAA"}},'
            '{"inlineData":{"mimeType":"audio/pcmu;rate=8000","data":"AAAA"}},{"inlineData":{"data":"AAAA"}}]}}}'
        ),
        [
            ModelPart(part=Part(inline_data=Blob(mime_type="audio/opus", data=ZEROES))),
            ModelPart(part=Part(inline_data=Blob(mime_type="audio/pcmu;rate=8000", data=ZEROES))),
            ModelPart(part=Part(inline_data=Blob(mime_type="", data=ZEROES))),
        ],
    ),
    # transcriptions
    (
        '{"serverContent":{"interimInputTranscription":{"text":"Wha","languageCode":"en","speakerLabel":"1"}}}',
        [InputTranscription(text="Wha", interim=True, language_code="en", speaker_label="1")],
    ),
    (
        (
            '{"serverContent":{"inputTranscription":{"text":"a","finished":true,"languageCode":"de","speakerLabel":"1",'
            '"words":[{"word":"a","startOffset":"0.1s","endOffset":"0.2s"},{}],"startOffset":"0.5s","endOffset":"1.25s"}}}'
        ),
        [
            InputTranscription(
                text="a",
                finished=True,
                language_code="de",
                speaker_label="1",
                words=(TranscribedWord(word="a", start_offset_s=0.1, end_offset_s=0.2), TranscribedWord()),
                start_offset_s=0.5,
                end_offset_s=1.25,
            )
        ],
    ),
    (
        (
            '{"serverContent":{"outputTranscription":{"text":"a","languageCode":"de","speakerLabel":"2",'
            '"words":[{"word":"a","startOffset":"soon"}],"startOffset":"0s","endOffset":"0.5s"}}}'
        ),
        [
            OutputTranscription(
                text="a",
                language_code="de",
                speaker_label="2",
                words=(TranscribedWord(word="a"),),
                start_offset_s=0.0,
                end_offset_s=0.5,
            )
        ],
    ),
    # where it comes from
    (
        '{"serverContent":{"groundingMetadata":{"webSearchQueries":["q"],"snake_case":1}}}',
        [Grounding(metadata={"webSearchQueries": ["q"], "snake_case": 1})],
    ),
    (
        '{"serverContent":{"urlContextMetadata":{"urlMetadata":[{"retrievedUrl":"u"}]}}}',
        [UrlContext(metadata={"urlMetadata": [{"retrievedUrl": "u"}]})],
    ),
    # older forms of voice activity
    (
        '{"voiceActivityDetectionSignal":{"vadSignalType":"VAD_SIGNAL_TYPE_SOS"}}',
        [VadSignal(type="VAD_SIGNAL_TYPE_SOS")],
    ),
    ('{"serverContent":{"speechState":"NON_SPEECH"}}', [SpeechState(state="NON_SPEECH")]),
    # a replicated voice
    (
        '{"setupComplete":{"voiceConsentSignature":{"signature":"x"}}}',
        [SetupComplete(voice_consent_signature="x")],
    ),
    # arguments that are still being written
    (
        (
            '{"toolCall":{"functionCalls":[{"id":"1","name":"f","partialArgs":[{"jsonPath":"$.a","stringValue":"x"}],'
            '"willContinue":true}]}}'
        ),
        [
            ToolCall(
                calls=[
                    FunctionCall(
                        id="1", name="f", partial_args=[{"jsonPath": "$.a", "stringValue": "x"}], will_continue=True
                    )
                ]
            )
        ],
    ),
    # resumption
    ('{"sessionResumptionUpdate":{}}', [SessionResumption(handle=None)]),
    ('{"sessionResumptionUpdate":{"newHandle":"h"}}', [SessionResumption(handle="h")]),
    ('{"sessionResumptionUpdate":{"newHandle":"","resumable":true}}', [SessionResumption(handle=None)]),
    ('{"sessionResumptionUpdate":{"resumable":false}}', [SessionResumption(handle=None)]),
    # the end
    ('{"goAway":{}}', [GoAway()]),
    ('{"goAway":{"timeLeft":"59.5s"}}', [GoAway(time_left_s=59.5)]),
    (
        '{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[]}}',
        [Error(code=429, message="quota", status="RESOURCE_EXHAUSTED")],
    ),
    ('{"error":{}}', [Error()]),
    # usage, alone, in full
    (
        (
            '{"usageMetadata":{"promptTokenCount":1,"cachedContentTokenCount":2,"responseTokenCount":3,'
            '"toolUsePromptTokenCount":4,"thoughtsTokenCount":5,"totalTokenCount":6,'
            '"promptTokensDetails":[{"modality":"TEXT","tokenCount":7}],"cacheTokensDetails":[{"modality":"IMAGE"}],'
            '"responseTokensDetails":[{"tokenCount":8}],"toolUsePromptTokensDetails":[{}],'
            '"trafficType":"ON_DEMAND","serviceTier":"flex"}}'
        ),
        [
            Usage(
                prompt_token_count=1,
                cached_content_token_count=2,
                response_token_count=3,
                tool_use_prompt_token_count=4,
                thoughts_token_count=5,
                total_token_count=6,
                prompt_tokens_details=(ModalityTokenCount(modality="TEXT", token_count=7),),
                cache_tokens_details=(ModalityTokenCount(modality="IMAGE"),),
                response_tokens_details=(ModalityTokenCount(token_count=8),),
                tool_use_prompt_tokens_details=(ModalityTokenCount(),),
                traffic_type="ON_DEMAND",
                service_tier="flex",
            )
        ],
    ),
]


@pytest.mark.parametrize(("raw", "expected"), [*TEXT_TURN, *VOICE_TURN, *BARGE_IN, *TOOLS, *VERTEX, *FIELDS])
def test_a_message_of_the_service(raw, expected):
    assert codec.decode(raw.encode()) == expected


def test_every_event_of_the_service_was_looked_at():
    seen = {
        type(event)
        for _, expected in [*TEXT_TURN, *VOICE_TURN, *BARGE_IN, *TOOLS, *VERTEX, *FIELDS]
        for event in expected
    }
    of_the_session = {"Reconnecting", "Reconnected", "InputDropped", "DeliveryUncertain", "Stalled", "Lagged", "Closed"}
    of_the_service = {
        kind
        for name in events.__all__
        if isinstance(kind := getattr(events, name), type)
        and issubclass(kind, events.Event)
        and kind is not events.Event
        and name not in of_the_session
    }
    assert seen | {Unknown} == of_the_service


def test_interrupted_comes_before_everything_else_of_its_message():
    raw = (
        '{"setupComplete":{},"sessionResumptionUpdate":{},"goAway":{},"usageMetadata":{},"toolCall":{"functionCalls":[{}]},'
        '"toolCallCancellation":{},"voiceActivity":{"type":"ACTIVITY_START"},"error":{},'
        '"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAAA"}},{"text":"a"}]},'
        '"turnComplete":true,"generationComplete":true,"inputTranscription":{},"outputTranscription":{},'
        '"interimInputTranscription":{},"waitingForInput":true,"groundingMetadata":{"a":1},'
        '"urlContextMetadata":{"a":1},"interrupted":true}}'
    )
    found = codec.decode(raw.encode())
    assert found[0] == Interrupted()
    kinds = [type(event) for event in found]
    assert len(kinds) == 19
    # who stops reading at the end of a turn has seen what belongs to it
    end = kinds.index(TurnComplete)
    for kind in (ModelAudio, ModelText, OutputTranscription, GenerationComplete, Usage, ToolCall):
        assert kinds.index(kind) < end


def test_a_part_with_audio_and_text_gives_both():
    raw = (
        b'{"serverContent":{"modelTurn":{"parts":[{"text":"a","thoughtSignature":"AA==",'
        b'"inlineData":{"mimeType":"audio/pcm","data":"AAAA"}}]}}}'
    )
    assert codec.decode(raw) == [ModelAudio(data=b"\0\0\0"), ModelText(text="a", thought_signature=b"\0")]


def test_several_fields_in_one_message():
    raw = (
        b'{"serverContent":{"modelTurn":{"parts":[{"text":"a"}]},"outputTranscription":{"text":"b"},'
        b'"generationComplete":true,"turnComplete":true}}'
    )
    assert codec.decode(raw) == [
        OutputTranscription(text="b"),
        ModelText(text="a"),
        GenerationComplete(),
        TurnComplete(),
    ]


# --- in: nothing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b" {\n} ",
        b'{"serverContent":{}}',
        b'{"serverContent":null}',
        b'{"serverContent":{"turnComplete":false,"interrupted":false,"generationComplete":false}}',
        b'{"serverContent":{"modelTurn":null,"groundingMetadata":null,"inputTranscription":null}}',
        b'{"serverContent":{"modelTurn":{"role":"model"}}}',
        b'{"serverContent":{"modelTurn":{"parts":null}}}',
        b'{"serverContent":{"modelTurn":{"parts":[]}}}',
        b'{"serverContent":{"modelTurn":{"parts":[{}]}}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"thought":true}]}}}',
        b'{"serverContent":{"groundingMetadata":{},"urlContextMetadata":{}}}',
        b'{"serverContent":{"interactionStatus":"IDLE"}}',
        b'{"setupComplete":null,"toolCall":null,"goAway":null,"usageMetadata":null,"voiceActivity":null,"error":null}',
    ],
)
def test_a_sign_of_life_gives_nothing(raw):
    assert codec.decode(raw) == []


@pytest.mark.parametrize("field", sorted(server_messages.ServerContent.__struct_encode_fields__))
def test_null_is_absent_in_the_content(field):
    raw = json.dumps({"serverContent": {field: None, "waitingForInput": True}})
    if field == "waitingForInput":
        raw = '{"serverContent":{"waitingForInput":null}}'
        assert codec.decode(raw.encode()) == []
    else:
        assert codec.decode(raw.encode()) == [WaitingForInput()]


def test_nulls_everywhere_else():
    raw = (
        b'{"setupComplete":{"sessionId":null},"goAway":{"timeLeft":null},"toolCallCancellation":{"ids":null},'
        b'"toolCall":{"functionCalls":[{"name":null,"id":null,"args":null}]},'
        b'"sessionResumptionUpdate":{"newHandle":null,"resumable":null,"lastConsumedClientMessageIndex":null},'
        b'"usageMetadata":{"promptTokenCount":null,"promptTokensDetails":[{"modality":null,"tokenCount":null}]},'
        b'"serverContent":{"inputTranscription":{"text":null,"finished":null,"words":null},'
        b'"modelTurn":{"role":null,"parts":[{"text":null,"thought":null,"inlineData":{"mimeType":null,"data":null}}]}}}'
    )
    assert codec.decode(raw) == [
        SetupComplete(),
        SessionResumption(handle=None),
        InputTranscription(text=""),
        ModelPart(part=Part(inline_data=Blob(mime_type="", data=b""))),
        ToolCall(calls=[FunctionCall(name="")]),
        ToolCallCancellation(ids=()),
        usage(0, 0, 0, prompt_tokens_details=(ModalityTokenCount(),)),
        GoAway(),
    ]


# --- in: what is not understood --------------------------------------------------------------------------------------

END = '"turnComplete":true,"interrupted":true'


@pytest.mark.parametrize(
    ("raw", "understood", "place"),
    [
        (f'{{"serverContent":{{{END}}},"voiceActivity":{{"type":"ACTIVITY_SOMETHING_NEW"}}}}', [], "voiceActivity"),
        (f'{{"serverContent":{{{END}}},"voiceActivity":{{"type":null}}}}', [], "voiceActivity"),
        (f'{{"serverContent":{{{END}}},"voiceActivity":{{"type":""}}}}', [], "voiceActivity"),
        (
            f'{{"serverContent":{{{END},"modelTurn":{{"parts":[{{"thoughtSignature":"?"}},{{"text":"a"}}]}}}}}}',
            [ModelText(text="a")],
            "serverContent.modelTurn.parts",
        ),
        (
            f'{{"serverContent":{{{END},"modelTurn":{{"parts":[{{"text":"a","thoughtSignature":"?"}}]}}}}}}',
            [ModelText(text="a")],
            "serverContent.modelTurn.parts[0].thoughtSignature",
        ),
        (
            (
                f'{{"serverContent":{{{END},"modelTurn":{{"parts":[{{}},{{"text":"a","thoughtSignature":"-_8=",'
                '"inlineData":{"mimeType":"image/png","data":"?"}}]}}}'
            ),
            [ModelText(text="a", thought_signature=b"\xfb\xff")],
            "serverContent.modelTurn.parts[1].inlineData",
        ),
        # a handle of which nobody knows what it contains is none
        (
            (
                f'{{"serverContent":{{{END}}},"sessionResumptionUpdate":{{"newHandle":"h","resumable":true,'
                '"lastConsumedClientMessageIndex":"x"}}'
            ),
            [],
            "sessionResumptionUpdate",
        ),
    ],
)
def test_a_value_without_a_meaning_takes_nothing_else_with_it(raw, understood, place):
    """It has the type that it should have; for others see `test_piecewise`."""
    raw = raw.encode()
    *rest, unknown = codec.decode(raw)
    assert rest == [Interrupted(), *understood, TurnComplete()]
    assert isinstance(unknown, Unknown)
    assert unknown.raw == raw
    assert unknown.problem.startswith(place)
    assert unknown.fields == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b'{"serverContent":5}',
        b'{"serverContent":[]}',
        b'{"serverContent":{"turnComplete":"true"}}',
        b'{"serverContent":{"turnComplete":1}}',
        b'{"serverContent":{"modelTurn":{"parts":{}}}}',
        b'{"serverContent":{"modelTurn":{"parts":[null]}}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"text":5}]}}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"A"}}]}}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AB=="}}]}}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AA AA"}}]}}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"\xc3\xa9AAA"}}]}}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"\\ud800"}}]}}}',
        b'{"serverContent":{"modelTurn":{"parts":[{"thoughtSignature":"?"}]}}}',
        b'{"serverContent":{"outputTranscription":"text"}}',
        b'{"setupComplete":true}',
        b'{"toolCall":[]}',
        b'{"toolCall":{"functionCalls":[{"name":"f","args":[]}]}}',
        b'{"toolCall":{"functionCalls":[{"name":"f","args":{"n":1e999}}]}}',
        b'{"toolCallCancellation":{"ids":[5]}}',
        b'{"goAway":{"timeLeft":5}}',
        b'{"goAway":"5s"}',
        b'{"sessionResumptionUpdate":{"newHandle":5}}',
        b'{"sessionResumptionUpdate":{"newHandle":"h","lastConsumedClientMessageIndex":"x"}}',
        b'{"sessionResumptionUpdate":{"newHandle":"h","lastConsumedClientMessageIndex":"%s"}}' % (b"9" * 5_000),
        b'{"sessionResumptionUpdate":{"newHandle":"h","lastConsumedClientMessageIndex":1.5}}',
        b'{"voiceActivity":"ACTIVITY_START"}',
        b'{"usageMetadata":{"promptTokenCount":"many"}}',
        b'{"error":"text"}',
    ],
)
def test_what_is_malformed_is_passed_on_with_the_problem(raw):
    event = codec.decode(raw)[-1]
    assert isinstance(event, Unknown)
    assert event.raw == raw
    assert event.problem


@pytest.mark.parametrize("start", [b"[", b'{"a":', b'{"toolCall":{"functionCalls":[{"args":{"a":' + b"["])
def test_deep_nesting_is_no_way_to_kill_a_session(start):
    raw = start * 50_000
    (event,) = codec.decode(raw)
    assert isinstance(event, Unknown)
    closed = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    (event,) = codec.decode(closed)
    assert isinstance(event, Unknown)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ('"0s"', 0.0),
        ('"-1.5s"', -1.5),
        ('"0.000000001s"', 1e-9),
        ('"315576000000s"', 315_576_000_000.0),
        ('"999999999999.999999999s"', 1e12),
        ('"9999999999999s"', None),
        ('"1e400s"', None),
        ('"inf s"', None),
        ('"infs"', None),
        ('"NaNs"', None),
        ('"5"', None),
        ('"5 s"', None),
        ('"s"', None),
        ('""', None),
        ('".5s"', None),
        ('"5.s"', None),
        ('"5s\\n"', None),
        ('"\u0665s"', None),
        ('"--5s"', None),
        ("null", None),
    ],
)
def test_durations(duration, seconds):
    (away,) = codec.decode(f'{{"goAway":{{"timeLeft":{duration}}}}}'.encode())
    assert away == GoAway(time_left_s=None if seconds is None else pytest.approx(seconds))
    (activity,) = codec.decode(f'{{"voiceActivity":{{"type":"ACTIVITY_START","audioOffset":{duration}}}}}'.encode())
    assert activity.audio_offset_s == away.time_left_s


@SAME_EVERY_TIME
@given(st.text("0123456789.-+eEs ", max_size=20) | st.text(max_size=8))
def test_a_duration_is_none_or_a_number_that_can_be_slept_for(duration):
    (event,) = codec.decode(json.dumps({"goAway": {"timeLeft": duration}}).encode())
    assert isinstance(event, GoAway)
    assert event.time_left_s is None or math.isfinite(event.time_left_s)


# --- in: anything ----------------------------------------------------------------------------------------------------

VALID = [raw.encode() for raw, _ in [*TEXT_TURN, *VOICE_TURN, *BARGE_IN, *TOOLS, *VERTEX, *FIELDS]]
NAMES = sorted(
    {
        name
        for kind in vars(server_messages).values()
        if isinstance(kind, type) and issubclass(kind, server_messages.Sent)
        for name in kind.__struct_encode_fields__
    }
)
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "AAAA", "5s", "audio/pcm;rate=24000", "ACTIVITY_END", "\ud83d\ude00", "é"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


def check(raw):
    found = codec.decode(raw)
    assert type(found) is list
    assert all(isinstance(event, events.Event) for event in found)
    assert all(type(event) is not Interrupted for event in found[1:])
    for event in found:
        if isinstance(event, Unknown):
            assert event.raw == raw
        if isinstance(event, ModelAudio):
            assert event.rate_hz > 0
            assert event.samples.size == len(event.data) // 2
            assert math.isfinite(event.duration_s)
    return found


@SAME_EVERY_TIME
@given(st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
def test_any_bytes_are_taken(raw):
    check(raw)


@settings(SAME_EVERY_TIME, max_examples=300)
@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), ANY_JSON, max_size=3) | ANY_JSON)
@example({"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=0", "data": ""}}]}}})
@example({"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=9999999"}}]}}})
def test_any_json_is_taken(value):
    check(json.dumps(value).encode())


@settings(SAME_EVERY_TIME, max_examples=300)
@given(st.sampled_from(VALID), st.data())
def test_any_damage_is_taken(raw, data):
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        end = min(len(raw), at + data.draw(st.integers(0, 6)))
        raw = (
            raw[:at]
            + data.draw(st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"}", b"null", b",", b"\\"]))
            + raw[end:]
        )
    check(raw)


@settings(SAME_EVERY_TIME, max_examples=200)
@given(st.sampled_from(VALID), st.data())
def test_any_value_in_any_place_is_taken(raw, data):
    """A value of another type where the service was never seen to send one."""
    value = json.loads(raw)
    here = value
    while isinstance(here, dict | list) and here:
        place = data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
        if data.draw(st.booleans()) or not isinstance(here[place], dict | list):
            here[place] = data.draw(ANY_JSON)
            break
        here = here[place]
    check(json.dumps(value).encode())


# --- in: the two ways ------------------------------------------------------------------------------------------------

SPACE = st.text(" \t\r\n", max_size=2)
MIME_TYPES = st.sampled_from(["audio/pcm", "audio/pcm;rate=24000", "audio/pcm;rate=16000"]) | st.sampled_from(
    [
        "audio/pcm;rate=1",
        "audio/pcm;rate=768000",
        "audio/pcm;rate=768001",
        "audio/pcm;rate=9999999",
        "audio/pcm;rate=99999999",
        "audio/pcm;rate=0",
        "audio/pcm;rate=007",
        "audio/pcm; rate=24000",
        "audio/pcm;rate=24000;codec=x",
        "audio/pcm;codec=x;rate=8000",
        "audio/pcm;",
        "audio/pcm;rate=",
        "audio/pcm;rate=-1",
        "audio/pcm;rate=1.5",
        "audio/pcmu",
        "audio/pcmu;rate=8000",
        "audio/opus",
        "image/jpeg",
        "",
    ]
)


@st.composite
def audio_messages(draw):
    """A message with one piece of audio, in every form that JSON and base64 leave open."""

    def string(text):
        escapes = {
            "=": ["\\u003d", "\\u003D"],
            "+": ["\\u002b", "\\u002B"],
            "/": ["\\/", "\\u002f"],
            "A": ["\\u0041"],
        }
        how_many = draw(st.sampled_from([0, 0, 1, 10]))
        out = []
        for letter in text:
            if letter in escapes and how_many and draw(st.booleans()):
                how_many -= 1
                out.append(draw(st.sampled_from(escapes[letter])))
            else:
                out.append(letter)
        return f'"{"".join(out)}"'

    def obj(*members):
        inside = ",".join(
            f"{draw(SPACE)}{key}{draw(SPACE)}:{draw(SPACE)}{value}{draw(SPACE)}" for key, value in members
        )
        return f"{{{inside}}}"

    pcm = draw(st.binary(max_size=12))
    text = draw(st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))(pcm).decode()
    text = draw(st.sampled_from([text, text.rstrip("="), text, text + "=", text[:-1]]))
    mime_type = draw(MIME_TYPES)
    blob = obj(*draw(st.permutations([('"mimeType"', string(mime_type)), ('"data"', string(text))])))
    part = obj(('"inlineData"', blob))
    turn = [('"parts"', f"[{part}]")]
    role = draw(st.sampled_from([None, None, '"model"', '"model"', '"user"', "null"]))
    if role:
        turn.insert(draw(st.integers(0, 1)), ('"role"', role))
    raw = obj(('"serverContent"', obj(('"modelTurn"', obj(*turn)))))
    return f"{draw(SPACE)}{raw}{draw(SPACE)}".encode()


@settings(SAME_EVERY_TIME, max_examples=500)
@given(audio_messages())
def test_the_hot_path_and_the_full_one_agree(raw):
    found = check(raw)
    assert found == codec._decode_in_full(raw)


@settings(SAME_EVERY_TIME, max_examples=300)
@given(audio_messages(), st.data())
def test_they_agree_on_damaged_messages(raw, data):
    at = data.draw(st.integers(0, len(raw)))
    raw = raw[:at] + data.draw(st.sampled_from([b"", b" ", b'"', b"A", b"\\", b"}", b"\xc3\xa9"])) + raw[at + 1 :]
    assert check(raw) == codec._decode_in_full(raw)


def test_the_hot_path_is_taken():
    """Else the two would agree by being one."""
    hot = [raw for raw in VALID if _core.decode_audio(raw) is not None]
    assert len(hot) == 2
    for raw in hot:
        (event,) = codec.decode(raw)
        assert isinstance(event, ModelAudio)


@pytest.mark.parametrize(
    ("mime_type", "rate_hz"),
    [
        ("audio/pcm", 24_000),
        ("audio/pcm;rate=16000", 16_000),
        ("audio/pcm; rate=16000", 16_000),
        ("audio/pcm;codec=x;rate=8000", 8_000),
        ("audio/pcm;rate=8000 ;x", 8_000),
        ("audio/pcm;rate=0", 24_000),
        ("audio/pcm;rate=x", 24_000),
        ("audio/pcm;bitrate=8000", 24_000),
    ],
)
def test_rates(mime_type, rate_hz):
    raw = json.dumps(
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": mime_type, "data": "AAAA"}}]}}}
    )
    assert codec.decode(raw.encode()) == [ModelAudio(data=ZEROES, rate_hz=rate_hz)]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("+/8=", b"\xfb\xff"),
        ("-_8=", b"\xfb\xff"),
        ("-_8", b"\xfb\xff"),
        ("\\u002b\\/8\\u003d", b"\xfb\xff"),
        ("AQID", b"\1\2\3"),
        ("", b""),
    ],
)
def test_base64_in_every_dress(text, data):
    raw = (
        f'{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{"mimeType":"audio/pcm","data":"{text}"}}}}]}}}}}}'
    )
    assert codec.decode(raw.encode()) == [ModelAudio(data=data)]
    assert codec._decode_in_full(raw.encode()) == [ModelAudio(data=data)]


# --- out -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "raw"),
    [
        (
            ClientContent(turns=[Content(role="user", parts=[Part(text="Greet me")])], turn_complete=True),
            '{"clientContent":{"turns":[{"parts":[{"text":"Greet me"}],"role":"user"}],"turnComplete":true}}',
        ),
        (ClientContent(turn_complete=True), '{"clientContent":{"turnComplete":true}}'),
        (ClientContent(turns=[Content()]), '{"clientContent":{"turns":[{}]}}'),
        (
            RealtimeInput(audio=Blob(mime_type="audio/pcm;rate=16000", data=ZEROES)),
            '{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"AAAA"}}}',
        ),
        (
            RealtimeInput(video=Blob(mime_type="image/jpeg", data=b"\xff\xd8")),
            '{"realtimeInput":{"video":{"mimeType":"image/jpeg","data":"/9g="}}}',
        ),
        (RealtimeInput(text="Order tea"), '{"realtimeInput":{"text":"Order tea"}}'),
        (RealtimeInput(audio_stream_end=True), '{"realtimeInput":{"audioStreamEnd":true}}'),
        (RealtimeInput(activity_start={}), '{"realtimeInput":{"activityStart":{}}}'),
        (RealtimeInput(activity_end={}), '{"realtimeInput":{"activityEnd":{}}}'),
        (
            ToolResponse(
                function_responses=[
                    FunctionResponse(
                        id="call_360228",
                        name="order",
                        response={"output": "done", "scheduling": "WHEN_IDLE"},
                        scheduling="WHEN_IDLE",
                    )
                ]
            ),
            (
                '{"toolResponse":{"functionResponses":[{"name":"order","id":"call_360228",'
                '"response":{"output":"done","scheduling":"WHEN_IDLE"},"scheduling":"WHEN_IDLE"}]}}'
            ),
        ),
        (
            ContextUpdate(system_instruction=Content(parts=[Part(text="a")])),
            '{"contextUpdate":{"systemInstruction":{"parts":[{"text":"a"}]}}}',
        ),
        (
            ContextUpdate(tools={"tools": [{"google_search": {}}]}),
            '{"contextUpdate":{"tools":{"tools":[{"google_search":{}}]}}}',
        ),
        (ContextUpdate(tools={}), '{"contextUpdate":{"tools":{}}}'),
    ],
)
def test_a_message_of_the_client(message, raw):
    assert codec.encode(message).decode() == raw


def test_every_message_of_the_client_has_its_envelope():
    assert set(codec._ENVELOPE) == set(codec.ClientMessage.__args__)
    assert set(codec._ENVELOPE.values()) == {"clientContent", "realtimeInput", "toolResponse", "contextUpdate"}


@pytest.mark.parametrize(
    ("setup", "raw"),
    [
        (Setup(model="models/m"), '{"setup":{"model":"models/m"}}'),
        (
            Setup(
                model="models/gemini-2.5-flash-native-audio-latest",
                generation_config=GenerationConfig(response_modalities=["AUDIO"]),
                output_audio_transcription=AudioTranscriptionConfig(),
            ),
            (
                '{"setup":{"model":"models/gemini-2.5-flash-native-audio-latest",'
                '"generationConfig":{"responseModalities":["AUDIO"]},"outputAudioTranscription":{}}}'
            ),
        ),
        (
            Setup(
                model="models/gemini-3.8-live",
                generation_config=GenerationConfig(
                    response_modalities=["AUDIO"],
                    speech_config=SpeechConfig(
                        voice_config=VoiceConfig(prebuilt_voice_config=PrebuiltVoiceConfig(voice_name="Kore"))
                    ),
                ),
                session_resumption=SessionResumptionConfig(),
                context_window_compression=ContextWindowCompression(sliding_window=SlidingWindow()),
                input_audio_transcription=AudioTranscriptionConfig(),
                output_audio_transcription=AudioTranscriptionConfig(),
            ),
            (
                '{"setup":{"model":"models/gemini-3.8-live","generationConfig":{"responseModalities":["AUDIO"],'
                '"speechConfig":{"voiceConfig":{"prebuiltVoiceConfig":{"voiceName":"Kore"}}}},"sessionResumption":{},'
                '"contextWindowCompression":{"slidingWindow":{}},"inputAudioTranscription":{},'
                '"outputAudioTranscription":{}}}'
            ),
        ),
        (
            Setup(
                model="models/gemini-3.8-live",
                tools=[
                    Tool(
                        function_declarations=[
                            FunctionDeclaration(
                                name="order",
                                description="Place an order",
                                behavior="NON_BLOCKING",
                                parameters={
                                    "type": "OBJECT",
                                    "properties": {"item": {"type": "STRING"}},
                                    "required": ["item"],
                                },
                            )
                        ]
                    )
                ],
            ),
            (
                '{"setup":{"model":"models/gemini-3.8-live","tools":[{"functionDeclarations":[{"name":"order",'
                '"description":"Place an order","parameters":{"type":"OBJECT","properties":{"item":{"type":"STRING"}},'
                '"required":["item"]},"behavior":"NON_BLOCKING"}]}]}}'
            ),
        ),
        (
            Setup(
                model="projects/p/locations/us-central1/publishers/google/models/gemini-3.8-live",
                session_resumption=SessionResumptionConfig(transparent=True),
                explicit_vad_signal=True,
            ),
            (
                '{"setup":{"model":"projects/p/locations/us-central1/publishers/google/models/gemini-3.8-live",'
                '"sessionResumption":{"transparent":true},"explicitVadSignal":true}}'
            ),
        ),
    ],
)
def test_a_setup(setup, raw):
    assert codec.encode_setup(setup).decode() == raw


@pytest.mark.parametrize(
    ("resumption", "handle", "written"),
    [
        (SessionResumptionConfig(), "h", '"sessionResumption":{"handle":"h"}'),
        (SessionResumptionConfig(transparent=True), "h", '"sessionResumption":{"handle":"h","transparent":true}'),
        (SessionResumptionConfig(handle="old"), "new", '"sessionResumption":{"handle":"new"}'),
        # a handle that the service has refused is not sent again, wherever it came from
        (SessionResumptionConfig(handle="old"), None, '"sessionResumption":{}'),
    ],
)
def test_a_setup_with_a_handle(resumption, handle, written):
    setup = Setup(model="m", session_resumption=resumption)
    assert codec.encode_setup(setup, handle=handle).decode() == f'{{"setup":{{"model":"m",{written}}}}}'
    assert setup.session_resumption is resumption


def test_without_resumption_no_handle_is_sent():
    assert codec.encode_setup(Setup(model="m"), handle="h") == b'{"setup":{"model":"m"}}'


def test_the_history_is_announced_once():
    setup = Setup(
        model="m",
        history_config=HistoryConfig(initial_history_in_client_content=True),
        session_resumption=SessionResumptionConfig(),
    )
    assert codec.encode_setup(setup) == (
        b'{"setup":{"model":"m","sessionResumption":{},"historyConfig":{"initialHistoryInClientContent":true}}}'
    )
    assert codec.encode_setup(setup, handle="h", again=True) == (
        b'{"setup":{"model":"m","sessionResumption":{"handle":"h"}}}'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_has_not_does_not_become_nothing(number):
    """The model would take a result that is null for a result."""
    answer = ToolResponse(function_responses=[FunctionResponse(name="f", response={"a": [0.5, {"b": number}]})])
    with pytest.raises(ValueError, match=r"^functionResponses\[0\]\.response\.a\[1\]\.b is (nan|inf)$"):
        codec.encode(answer)


def test_null_itself_may_be_sent():
    answer = ToolResponse(function_responses=[FunctionResponse(name="null", response={"a": None, "b": 1.5})])
    assert b'{"a":null,"b":1.5}' in codec.encode(answer)
