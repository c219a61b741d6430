"""Eight exchanges with the service as data: what the client says, what the service answers, and what ours make of it.

They are the examples of the protocol's description, in which base64 is shortened to tiny values: ``AAAA`` and ``AQAB``
stand for chunks of speech. Some of them begin in the middle of a session; what must come before stands in `before`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np

import gemini_live as live
from emulator_client import silence, tone
from gemini_live import emulator
from gemini_live.emulator import FunctionCall, Reply, Rule, When


class Says(NamedTuple):
    """A message of the client.

    Attributes:
        call: makes our session send it; without one it is sent unasked, such as a setup.
    """

    message: dict[str, Any]
    call: Any = None


class Answers(NamedTuple):
    """A message of the service.

    Attributes:
        events: what our session tells for it; of some only the type is certain.
        provoke: makes the emulator send it, where nothing that the client says does.
    """

    message: dict[str, Any]
    events: tuple[Any, ...] = ()
    provoke: Any = None


class Lost(NamedTuple):
    """TCP is gone."""

    events: tuple[Any, ...]


class Closes(NamedTuple):
    """The service closes."""

    code: int
    reason: str
    events: tuple[Any, ...]


class Leaves(NamedTuple):
    """The client closes the connection, to open another."""

    events: tuple[Any, ...] = ()


class Exchange(NamedTuple):
    """One example.

    Attributes:
        setup: what our client is asked for.
        steps: the example.
        before: what must have come before it.
        surface: ``dev`` or ``vertex``.
        resumes: whether our client may reconnect, and so asks for resumption.
        emulator: the emulator's arguments.
        speech: what the emulator hears instead of the shortened chunks, in their order.
        beside: messages that the emulator sends besides, and why the example has none: kinds of them by reason.
        usage: counts that are compared besides the three that each turn has.
    """

    setup: live.Setup
    steps: tuple[Any, ...]
    before: tuple[Any, ...] = ()
    surface: str = "dev"
    resumes: bool = False
    emulator: dict[str, Any] = {}  # noqa: RUF012 - never changed
    speech: tuple[Any, ...] = ()
    beside: dict[str, str] = {}  # noqa: RUF012 - never changed
    usage: frozenset[str] = frozenset()


CHUNKS = {"AAAA": np.zeros(320, "<i2"), "AQAB": np.ones(320, "<i2")}
"""What our session sends instead of the shortened chunks."""

NO_WAITING = emulator.Pace.compressed()
REAL_TIME = msgspec.structs.replace(NO_WAITING, speed=1.0, hold=1.0)
SPOKEN = live.GenerationConfig(response_modalities=["AUDIO"])
UTTERANCE = np.concatenate([tone(0.3), silence(1)])
HANDLE = "0f9c2a2e-6f0b-4d0a-9c55-1b1f7f1f000{}"


def profile(name="3.8", pace=NO_WAITING, **changes):
    return msgspec.structs.replace(emulator.PROFILES[name], pace=pace, **changes)


def audio(data="AAAA"):
    message = {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": data}}}
    return Says(message, lambda session: session.send_audio(CHUNKS[data]))


def speaks(sequence, turn=1, text=None, role=None):
    """A piece of the answer."""
    part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}}
    content = {"modelTurn": ({"role": role} if role else {}) | {"parts": [part]}}
    events = (live.ModelAudio(data=b"\0\0\0", rate_hz=24_000, turn=turn, sequence=sequence),)
    if text is not None:
        content["outputTranscription"] = {"text": text}
        events = (live.OutputTranscription(text=text), *events)
    return Answers({"serverContent": content}, events)


def hears(kind, offset_s):
    message = {"serverContent": {}, "voiceActivity": {"type": kind, "audioOffset": f"{offset_s:.3f}s"}}
    return Answers(message, (live.VoiceActivity(type=kind, audio_offset_s=offset_s),))


def turn_complete(prompt, response, **more):
    total = prompt + response
    usage = {"promptTokenCount": prompt, "responseTokenCount": response, "totalTokenCount": total, **more}
    event = live.Usage(
        prompt_token_count=prompt,
        response_token_count=response,
        total_token_count=total,
        thoughts_token_count=more.get("thoughtsTokenCount", 0),
        prompt_tokens_details=counts(more.get("promptTokensDetails", ())),
        response_tokens_details=counts(more.get("responseTokensDetails", ())),
    )
    return Answers(
        {"serverContent": {"turnComplete": True}, "usageMetadata": usage},
        (event, live.TurnComplete()),
    )


def counts(details):
    return tuple(
        live.ModalityTokenCount(modality=detail["modality"], token_count=detail["tokenCount"]) for detail in details
    )


def update(handle, index=None):
    message = {"newHandle": handle, "resumable": True}
    if index is not None:
        message["lastConsumedClientMessageIndex"] = str(index)
    event = live.SessionResumption(handle=handle, resumable=True, last_consumed_client_message_index=index)
    return Answers({"sessionResumptionUpdate": message}, (event,))


def calls(call_id, name, args):
    message = {"toolCall": {"functionCalls": [{"id": call_id, "name": name, "args": args}]}}
    return Answers(message, (live.ToolCall(calls=[live.FunctionCall(id=call_id, name=name, args=args)]),))


READY = Answers({"setupComplete": {}}, (live.SetupComplete(),))
GENERATED = Answers({"serverContent": {"generationComplete": True}}, (live.GenerationComplete(),))
INTERRUPTED = Answers({"serverContent": {"interrupted": True}}, (live.Interrupted(),))
ALIVE = Answers({})

# --- 1 ---------------------------------------------------------------------------------------------------------------

TEXT_TURN = Exchange(
    setup=live.Setup(
        model="gemini-2.5-flash-native-audio-latest",
        generation_config=SPOKEN,
        output_audio_transcription=live.AudioTranscriptionConfig(),
    ),
    steps=(
        Says(
            {
                "setup": {
                    "model": "models/gemini-2.5-flash-native-audio-latest",
                    "generationConfig": {"responseModalities": ["AUDIO"]},
                    "outputAudioTranscription": {},
                }
            }
        ),
        READY,
        Says(
            {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Greet me"}]}], "turnComplete": True}},
            lambda session: session.send_client_content("Greet me"),
        ),
        Answers(
            {"serverContent": {"modelTurn": {"parts": [{"text": "**Greeting**", "thought": True}]}}},
            (live.Thought(text="**Greeting**"),),
        ),
        Answers(
            {"serverContent": {"outputTranscription": {"text": "Hello"}}}, (live.OutputTranscription(text="Hello"),)
        ),
        speaks(1),
        Answers(
            {"serverContent": {"outputTranscription": {"text": " there."}}}, (live.OutputTranscription(text=" there."),)
        ),
        GENERATED,
        turn_complete(
            12,
            21,
            promptTokensDetails=[{"modality": "TEXT", "tokenCount": 12}],
            responseTokensDetails=[{"modality": "AUDIO", "tokenCount": 21}],
            thoughtsTokenCount=18,
        ),
    ),
    emulator={"profile": profile("2.5")},
    usage=frozenset({"promptTokensDetails", "responseTokensDetails", "thoughtsTokenCount"}),
)

# --- 2 ---------------------------------------------------------------------------------------------------------------

VOICE_TURN = Exchange(
    setup=live.Setup(
        model="gemini-3.8-live",
        generation_config=live.GenerationConfig(
            response_modalities=["AUDIO"],
            speech_config=live.SpeechConfig(
                voice_config=live.VoiceConfig(prebuilt_voice_config=live.PrebuiltVoiceConfig(voice_name="Kore"))
            ),
        ),
        input_audio_transcription=live.AudioTranscriptionConfig(),
        output_audio_transcription=live.AudioTranscriptionConfig(),
        context_window_compression=live.ContextWindowCompression(sliding_window=live.SlidingWindow()),
    ),
    resumes=True,
    steps=(
        Says(
            {
                "setup": {
                    "model": "models/gemini-3.8-live",
                    "generationConfig": {
                        "responseModalities": ["AUDIO"],
                        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
                    },
                    "inputAudioTranscription": {},
                    "outputAudioTranscription": {},
                    "sessionResumption": {},
                    "contextWindowCompression": {"slidingWindow": {}},
                }
            }
        ),
        READY,
        update(HANDLE.format(1)),
        audio(),
        hears("ACTIVITY_START", 0.160),
        audio(),
        Answers(
            {"serverContent": {"inputTranscription": {"text": "What time is it?"}}},
            (live.InputTranscription(text="What time is it?"),),
        ),
        hears("ACTIVITY_END", 1.900),
        speaks(1, text="It is", role="model"),
        ALIVE,
        speaks(2, text=" noon.", role="model"),
        GENERATED,
        turn_complete(300, 40),
    ),
    emulator={"profile": profile(), "faults": emulator.Faults(empty_messages=True)},
    speech=(tone(0.3), UTTERANCE),
)

# --- 3 ---------------------------------------------------------------------------------------------------------------

PLAIN_SETUP = Says(
    {"setup": {"model": "models/gemini-3.8-live", "generationConfig": {"responseModalities": ["AUDIO"]}}}
)
BARGE_IN = Exchange(
    setup=live.Setup(model="gemini-3.8-live", generation_config=SPOKEN),
    before=(
        PLAIN_SETUP,
        READY,
        Says({"realtimeInput": {"text": "A long story."}}, lambda session: session.send_text("A long story.")),
    ),
    steps=(
        speaks(1),
        audio(),
        hears("ACTIVITY_START", 7.420),
        INTERRUPTED,
        turn_complete(520, 33),
    ),
    emulator={"profile": profile(pace=REAL_TIME)},
    speech=(tone(0.3),),
)

# --- 4 ---------------------------------------------------------------------------------------------------------------

ORDER = {
    "name": "order",
    "description": "Place an order",
    "behavior": "NON_BLOCKING",
    "parameters": {"type": "OBJECT", "properties": {"item": {"type": "STRING"}}, "required": ["item"]},
}
NON_BLOCKING_TOOL = Exchange(
    setup=live.Setup(
        model="gemini-3.8-live",
        generation_config=SPOKEN,
        tools=[live.Tool(function_declarations=[live.FunctionDeclaration(**ORDER)])],
    ),
    steps=(
        Says(
            {
                "setup": {
                    "model": "models/gemini-3.8-live",
                    "generationConfig": {"responseModalities": ["AUDIO"]},
                    "tools": [{"functionDeclarations": [ORDER]}],
                }
            }
        ),
        READY,
        Says({"realtimeInput": {"text": "Order tea"}}, lambda session: session.send_text("Order tea")),
        calls("call_360228", "order", {"item": "tea"}),
        GENERATED,
        turn_complete(90, 14),
        Says(
            {
                "toolResponse": {
                    "functionResponses": [
                        {
                            "id": "call_360228",
                            "name": "order",
                            "response": {"output": "done", "scheduling": "WHEN_IDLE"},
                            "scheduling": "WHEN_IDLE",
                        }
                    ]
                }
            },
            lambda session: session.send_tool_response(
                live.FunctionResponse(
                    id="call_360228",
                    name="order",
                    response={"output": "done", "scheduling": "WHEN_IDLE"},
                    scheduling="WHEN_IDLE",
                )
            ),
        ),
        speaks(1, turn=2),
        GENERATED,
        turn_complete(130, 30),
    ),
    emulator={
        "profile": profile(),
        "script": [
            Rule(
                when=When(text="Order tea"),
                reply=(Reply(tool_call=FunctionCall(name="order", args={"item": "tea"}, id="call_360228")),),
            )
        ],
    },
)

# --- 5 ---------------------------------------------------------------------------------------------------------------

LOOKUP = {"name": "lookup", "behavior": "BLOCKING"}
FIRST_CALL, SECOND_CALL = "fc_14200725817497324105", "fc_55512345678901234567"
BLOCKING_TOOL = Exchange(
    setup=live.Setup(
        model="gemini-3.8-live",
        generation_config=SPOKEN,
        tools=[live.Tool(function_declarations=[live.FunctionDeclaration(**LOOKUP)])],
        input_audio_transcription=live.AudioTranscriptionConfig(),
    ),
    before=(
        Says(
            {
                "setup": {
                    "model": "models/gemini-3.8-live",
                    "generationConfig": {"responseModalities": ["AUDIO"]},
                    "tools": [{"functionDeclarations": [LOOKUP]}],
                    "inputAudioTranscription": {},
                }
            }
        ),
        READY,
        Says({"realtimeInput": {"text": "Find a"}}, lambda session: session.send_text("Find a")),
    ),
    steps=(
        calls(FIRST_CALL, "lookup", {"q": "a"}),
        audio(),
        hears("ACTIVITY_START", 12.080),
        INTERRUPTED,
        turn_complete(410, 9),
        Answers(
            {"serverContent": {"inputTranscription": {"text": "I meant b."}}},
            (live.InputTranscription(text="I meant b."),),
        ),
        calls(SECOND_CALL, "lookup", {"q": "b"}),
        Says(
            {
                "toolResponse": {
                    "functionResponses": [{"id": SECOND_CALL, "name": "lookup", "response": {"output": "x"}}]
                }
            },
            lambda session: session.send_tool_response(
                live.FunctionResponse(id=SECOND_CALL, name="lookup", response={"output": "x"})
            ),
        ),
    ),
    emulator={
        "profile": profile(),
        "script": [
            Rule(
                when=When(text_equals="Find a"),
                reply=(Reply(tool_call=FunctionCall(name="lookup", args={"q": "a"}, id=FIRST_CALL)),),
            ),
            Rule(
                when=When(utterance=1),
                reply=(
                    Reply(heard="I meant b."),
                    Reply(tool_call=FunctionCall(name="lookup", args={"q": "b"}, id=SECOND_CALL)),
                ),
            ),
        ],
    },
    speech=(UTTERANCE,),
    beside={"ACTIVITY_END": "measured right behind the transcription; this example leaves it out"},
)

# --- 6 ---------------------------------------------------------------------------------------------------------------

RESUME = Says(
    {
        "setup": {
            "model": "models/gemini-3.8-live",
            "generationConfig": {"responseModalities": ["AUDIO"]},
            "sessionResumption": {"handle": HANDLE.format(1)},
        }
    }
)
REFUSED_RESUME = Exchange(
    setup=live.Setup(model="gemini-3.8-live", generation_config=SPOKEN),
    resumes=True,
    before=(
        Says(
            {
                "setup": {
                    "model": "models/gemini-3.8-live",
                    "generationConfig": {"responseModalities": ["AUDIO"]},
                    "sessionResumption": {},
                }
            }
        ),
        READY,
        update(HANDLE.format(1)),
    ),
    steps=(
        Lost((live.Reconnecting,)),
        RESUME,
        Closes(1011, "Internal error encountered.", (live.Reconnecting,)),
        RESUME,
        Answers({"setupComplete": {}}, (live.SetupComplete(), live.Reconnected)),
        update(HANDLE.format(2)),
    ),
    emulator={"profile": profile(), "faults": emulator.Faults(refuse_resume_s=0.3)},
)

# --- 7 ---------------------------------------------------------------------------------------------------------------

VERTEX_SETUP = {
    "model": "projects/p/locations/us-central1/publishers/google/models/gemini-3.8-live",
    "generationConfig": {"responseModalities": ["AUDIO"]},
    "sessionResumption": {"transparent": True},
    "explicitVadSignal": True,
}
SESSION_IDS = ("5b1c0a52-7c1e-4a55-8c86-2f2b9d3f0001", "5b1c0a52-7c1e-4a55-8c86-2f2b9d3f0002")
TRANSPARENT_RESUME = Exchange(
    setup=live.Setup(model="gemini-3.8-live", generation_config=SPOKEN, explicit_vad_signal=True),
    surface="vertex",
    resumes=True,
    steps=(
        Says({"setup": VERTEX_SETUP}),
        Answers({"setupComplete": {"sessionId": SESSION_IDS[0]}}, (live.SetupComplete(session_id=SESSION_IDS[0]),)),
        audio("AAAA"),
        audio("AQAB"),
        update("h-1", 1),
        Answers(
            {"goAway": {"timeLeft": "30s"}},
            (live.GoAway(time_left_s=30.0),),
            provoke=lambda emu: emu.go_away(time_left_s=30),
        ),
        Leaves((live.Reconnecting,)),
        Says({"setup": VERTEX_SETUP | {"sessionResumption": {"handle": "h-1", "transparent": True}}}),
        Answers(
            {"setupComplete": {"sessionId": SESSION_IDS[1]}},
            (live.SetupComplete(session_id=SESSION_IDS[1]), live.Reconnected),
        ),
        Says(audio("AQAB").message),  # by itself: the state that was resumed does not contain it
    ),
    emulator={"profile": profile("vertex")},
    speech=(UTTERANCE, silence(0.1), silence(0.1)),
    beside={
        "voiceActivity": "this surface offers a handle at the end of a turn only, and the example has no turn",
        "serverContent": "likewise",
    },
)

# --- 8 ---------------------------------------------------------------------------------------------------------------

TOKEN_REQUEST = {
    "uses": 1,
    "expireTime": "2026-10-10T12:30:00Z",
    "newSessionExpireTime": "2026-10-10T12:02:00Z",
    "bidiGenerateContentSetup": {
        "model": "models/gemini-3.8-live",
        "generationConfig": {"responseModalities": ["AUDIO"]},
    },
}
MADE_AT = "2026-10-10T12:00:00+00:00"
TOKEN = "auth_tokens/abc123"  # noqa: S105 - of an example
CONSTRAINED = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContentConstrained"
USED_UP = (1011, "Token has been used too many times")
WITH_TOKEN = Exchange(
    setup=live.Setup(model="gemini-3.8-live"),
    steps=(Says({"setup": {"model": "models/gemini-3.8-live"}}), READY),
)

EXCHANGES = {
    "1 text turn": TEXT_TURN,
    "2 voice turn": VOICE_TURN,
    "3 barge-in": BARGE_IN,
    "4 non-blocking tool": NON_BLOCKING_TOOL,
    "5 blocking tool": BLOCKING_TOOL,
    "6 refused resume": REFUSED_RESUME,
    "7 transparent resume": TRANSPARENT_RESUME,
    "8 ephemeral token": WITH_TOKEN,
}
