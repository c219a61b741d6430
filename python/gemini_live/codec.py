"""Bytes ↔ values. Nothing that the service sends raises past this room: what is not understood becomes `Unknown`.

The hot message, one piece of model audio and nothing else, is recognised in Rust; every other one is parsed in full by
msgspec. The two ways give equal results on every input. Field names and their meaning are those of the Live API
reference; what the service was seen to send beyond it is accepted as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from gemini_live import _core, events
from gemini_live.messages import (
    Blob,
    ClientContent,
    CodeExecutionResult,
    ContextUpdate,
    ExecutableCode,
    FileData,
    FunctionCall,
    Part,
    RealtimeInput,
    ToolResponse,
    Wire,
)

if TYPE_CHECKING:
    from gemini_live.config import Setup

__all__ = ["ClientMessage", "decode", "encode", "encode_setup"]

ClientMessage: TypeAlias = ClientContent | RealtimeInput | ToolResponse | ContextUpdate
"""What a client says after the setup."""

# the one key of the object that each message travels in
_ENVELOPE: dict[type[Wire], str] = {
    ClientContent: "clientContent",
    RealtimeInput: "realtimeInput",
    ToolResponse: "toolResponse",
    ContextUpdate: "contextUpdate",
}

_DEFAULT_RATE_HZ = 24_000
_RATE = re.compile(r"(?:^|;)\s*rate=(\d{1,7})\s*(?:;|$)", re.ASCII)
_encoder = msgspec.json.Encoder()


# --- out -------------------------------------------------------------------------------------------------------------


def encode(message: ClientMessage) -> bytes:
    """Write a message of the client as JSON."""
    return _encoder.encode({_ENVELOPE[type(message)]: message})


def encode_setup(setup: Setup, *, handle: str | None = None, again: bool = False) -> bytes:
    """Write the first message of a connection.

    Args:
        setup: as the user gave it, with the full model name.
        handle: of the session to resume, in place of one in the setup.
        again: not the first connection of this session. The history was given on the first one; asked for again, the
            service would wait for it and hear nothing else.
    """
    if setup.session_resumption is not None:
        asked = msgspec.structs.replace(setup.session_resumption, handle=handle)
        setup = msgspec.structs.replace(setup, session_resumption=asked)
    if again and setup.history_config is not None:
        setup = msgspec.structs.replace(setup, history_config=None)
    return _encoder.encode({"setup": setup})


# --- in --------------------------------------------------------------------------------------------------------------
# Every field may be absent or null (proto3 JSON). Audio arrives as base64 text: msgspec's own decoding of bytes takes
# neither the URL-safe alphabet nor missing padding, which the service is free to send.


class _InlineData(Wire, frozen=True, kw_only=True):
    mime_type: str | None = None
    data: str | None = None


class _Part(Wire, frozen=True, kw_only=True):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: _InlineData | None = None
    file_data: FileData | None = None
    executable_code: ExecutableCode | None = None
    code_execution_result: CodeExecutionResult | None = None


class _ModelTurn(Wire, frozen=True, kw_only=True):
    parts: Sequence[_Part] | None = None
    role: str | None = None


class _Transcription(Wire, frozen=True, kw_only=True):
    text: str | None = None
    finished: bool | None = None
    language_code: str | None = None
    speaker_label: str | None = None
    words: Sequence[events.TranscribedWord] | None = None


class _ServerContent(Wire, frozen=True, kw_only=True):
    model_turn: _ModelTurn | None = None
    turn_complete: bool | None = None
    interrupted: bool | None = None
    generation_complete: bool | None = None
    waiting_for_input: bool | None = None
    input_transcription: _Transcription | None = None
    interim_input_transcription: _Transcription | None = None
    output_transcription: _Transcription | None = None
    grounding_metadata: Mapping[str, Any] | None = None
    url_context_metadata: Mapping[str, Any] | None = None
    turn_complete_reason: str | None = None
    interaction_status: str | None = None


class _SetupComplete(Wire, frozen=True, kw_only=True):
    session_id: str | None = None


class _FunctionCall(Wire, frozen=True, kw_only=True):
    name: str | None = None
    id: str | None = None
    args: Mapping[str, Any] | None = None


class _ToolCall(Wire, frozen=True, kw_only=True):
    function_calls: Sequence[_FunctionCall] | None = None


class _ToolCallCancellation(Wire, frozen=True, kw_only=True):
    ids: Sequence[str] | None = None


class _GoAway(Wire, frozen=True, kw_only=True):
    time_left: str | None = None


class _SessionResumptionUpdate(Wire, frozen=True, kw_only=True):
    new_handle: str | None = None
    resumable: bool | None = None
    # int64 is a string in proto3 JSON; numbers are allowed in
    last_consumed_client_message_index: str | int | None = None


class _VoiceActivity(Wire, frozen=True, kw_only=True):
    type: str | None = None
    audio_offset: str | None = None


class _TokenCount(Wire, frozen=True, kw_only=True):
    modality: str | None = None
    token_count: int | None = None


class _UsageMetadata(Wire, frozen=True, kw_only=True):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    response_token_count: int | None = None
    candidates_token_count: int | None = None  # Vertex AI's name for the one above
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: Sequence[_TokenCount] | None = None
    cache_tokens_details: Sequence[_TokenCount] | None = None
    response_tokens_details: Sequence[_TokenCount] | None = None
    candidates_tokens_details: Sequence[_TokenCount] | None = None
    tool_use_prompt_tokens_details: Sequence[_TokenCount] | None = None
    traffic_type: str | None = None
    service_tier: str | None = None


class _Error(Wire, frozen=True, kw_only=True):
    code: int | None = None
    status: str | None = None
    message: str | None = None


class _ServerMessage(Wire, frozen=True, kw_only=True):
    setup_complete: _SetupComplete | None = None
    server_content: _ServerContent | None = None
    tool_call: _ToolCall | None = None
    tool_call_cancellation: _ToolCallCancellation | None = None
    go_away: _GoAway | None = None
    session_resumption_update: _SessionResumptionUpdate | None = None
    usage_metadata: _UsageMetadata | None = None
    voice_activity: _VoiceActivity | None = None
    error: _Error | None = None


_message_decoder = msgspec.json.Decoder(_ServerMessage)
_object_decoder = msgspec.json.Decoder(dict[str, Any])
_KNOWN = frozenset(_ServerMessage.__struct_encode_fields__)
_KNOWN_IN_CONTENT = frozenset(_ServerContent.__struct_encode_fields__)
_KNOWN_IN_PART = frozenset(_Part.__struct_encode_fields__)


def decode(raw: bytes) -> list[events.Event]:
    """Turn one message of the service into events, `Interrupted` first. Never raises.

    An empty message, a sign of life, gives none.
    """
    audio = _core.decode_audio(raw)
    if audio is not None:
        return [events.ModelAudio(data=audio[0], rate_hz=audio[1])]
    return _decode_in_full(raw)


def _decode_in_full(raw: bytes) -> list[events.Event]:
    try:
        message = _message_decoder.decode(raw)
        found: list[events.Event] = []
        _read(message, found, raw)
        unknown = not found and _has_unknown_names(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return [events.Unknown(raw=raw, problem=str(error) or type(error).__name__)]
    return [events.Unknown(raw=raw)] if unknown else found


def _has_unknown_names(raw: bytes) -> bool:
    """Whether a message that said nothing to us may have said something, rather than being a sign of life."""
    message = _object_decoder.decode(raw)
    # of these types, or the message would not have been read
    content = cast("dict[str, Any]", message.get("serverContent") or {})
    turn = cast("dict[str, Any]", content.get("modelTurn") or {})
    parts = cast("list[dict[str, Any]]", turn.get("parts") or [])
    return bool(
        message.keys() - _KNOWN
        or content.keys() - _KNOWN_IN_CONTENT
        or any(part.keys() - _KNOWN_IN_PART for part in parts)
    )


def _read(message: _ServerMessage, found: list[events.Event], raw: bytes) -> None:
    content = message.server_content
    if content is not None and content.interrupted:
        found.append(events.Interrupted())
    if message.setup_complete is not None:
        found.append(events.SetupComplete(session_id=message.setup_complete.session_id))
    if message.session_resumption_update is not None:
        found.append(_resumption(message.session_resumption_update))
    if message.voice_activity is not None:
        found.append(_voice_activity(message.voice_activity, raw))
    if content is not None:
        _read_content(content, found)
    if message.tool_call is not None:
        calls = [
            FunctionCall(name=call.name or "", id=call.id or "", args=call.args or {})
            for call in message.tool_call.function_calls or ()
        ]
        found.append(events.ToolCall(calls=calls))
    if message.tool_call_cancellation is not None:
        found.append(events.ToolCallCancellation(ids=message.tool_call_cancellation.ids or ()))
    if message.usage_metadata is not None:
        found.append(_usage(message.usage_metadata))
    if content is not None and content.turn_complete:
        found.append(
            events.TurnComplete(reason=content.turn_complete_reason, interaction_status=content.interaction_status)
        )
    if message.go_away is not None:
        found.append(events.GoAway(time_left_s=_seconds(message.go_away.time_left)))
    if message.error is not None:
        error = message.error
        found.append(events.Error(code=error.code, status=error.status or "", message=error.message or ""))


def _read_content(content: _ServerContent, found: list[events.Event]) -> None:
    if content.interim_input_transcription is not None:
        found.append(_input_transcription(content.interim_input_transcription, interim=True))
    if content.input_transcription is not None:
        found.append(_input_transcription(content.input_transcription, interim=False))
    if content.output_transcription is not None:
        said = content.output_transcription
        found.append(
            events.OutputTranscription(
                text=said.text or "",
                finished=bool(said.finished),
                language_code=said.language_code,
                words=said.words or (),
            )
        )
    if content.model_turn is not None:
        found.extend(event for part in content.model_turn.parts or () if (event := _part(part)) is not None)
    if content.grounding_metadata:  # Vertex AI sends an empty one with each turn
        found.append(events.Grounding(metadata=content.grounding_metadata))
    if content.url_context_metadata:
        found.append(events.UrlContext(metadata=content.url_context_metadata))
    if content.waiting_for_input:
        found.append(events.WaitingForInput())
    if content.generation_complete:
        found.append(events.GenerationComplete())


def _part(part: _Part) -> events.Event | None:
    inline = part.inline_data
    mime_type = "" if inline is None else inline.mime_type or ""
    data = b"" if inline is None else _base64(inline.data or "")
    if mime_type.partition(";")[0].rstrip() == "audio/pcm":
        return events.ModelAudio(data=data, rate_hz=_rate_hz(mime_type))
    if part.text is not None:
        return events.Thought(text=part.text) if part.thought else events.ModelText(text=part.text)
    found = Part(
        thought_signature=_base64(part.thought_signature) if part.thought_signature else None,
        inline_data=None if inline is None else Blob(mime_type=mime_type, data=data),
        file_data=part.file_data,
        executable_code=part.executable_code,
        code_execution_result=part.code_execution_result,
    )
    if found == Part():
        return None  # kinds of parts that are not known here are to be ignored
    return events.ModelPart(part=msgspec.structs.replace(found, thought=bool(part.thought)))


def _base64(text: str) -> bytes:
    data = _core.decode_base64(text)
    if data is None:
        raise ValueError("not base64")
    return data


def _rate_hz(mime_type: str) -> int:
    found = _RATE.search(mime_type)
    rate_hz = int(found[1]) if found else 0
    return rate_hz or _DEFAULT_RATE_HZ


def _input_transcription(heard: _Transcription, *, interim: bool) -> events.InputTranscription:
    return events.InputTranscription(
        text=heard.text or "",
        finished=bool(heard.finished),
        interim=interim,
        language_code=heard.language_code,
        speaker_label=heard.speaker_label,
        words=heard.words or (),
    )


def _resumption(update: _SessionResumptionUpdate) -> events.SessionResumption:
    index = update.last_consumed_client_message_index
    handle = update.new_handle or None
    return events.SessionResumption(
        handle=handle,
        resumable=bool(update.resumable and handle),
        last_consumed_client_message_index=None if index is None else int(index),
    )


def _voice_activity(activity: _VoiceActivity, raw: bytes) -> events.Event:
    if activity.type not in ("ACTIVITY_START", "ACTIVITY_END"):
        # it rides along with other news, which must not be lost for it
        return events.Unknown(raw=raw, problem=f"voice activity of type {activity.type!r}")
    return events.VoiceActivity(
        type="ACTIVITY_START" if activity.type == "ACTIVITY_START" else "ACTIVITY_END",
        audio_offset_s=_seconds(activity.audio_offset),
    )


def _usage(usage: _UsageMetadata) -> events.Usage:
    def details(counts: Sequence[_TokenCount] | None) -> Sequence[events.ModalityTokenCount]:
        return tuple(
            events.ModalityTokenCount(modality=count.modality or "", token_count=count.token_count or 0)
            for count in counts or ()
        )

    return events.Usage(
        prompt_token_count=usage.prompt_token_count or 0,
        cached_content_token_count=usage.cached_content_token_count or 0,
        response_token_count=usage.response_token_count or usage.candidates_token_count or 0,
        tool_use_prompt_token_count=usage.tool_use_prompt_token_count or 0,
        thoughts_token_count=usage.thoughts_token_count or 0,
        total_token_count=usage.total_token_count or 0,
        prompt_tokens_details=details(usage.prompt_tokens_details),
        cache_tokens_details=details(usage.cache_tokens_details),
        response_tokens_details=details(usage.response_tokens_details or usage.candidates_tokens_details),
        tool_use_prompt_tokens_details=details(usage.tool_use_prompt_tokens_details),
        traffic_type=usage.traffic_type,
        service_tier=usage.service_tier,
    )


def _seconds(duration: str | None) -> float | None:
    """A protobuf duration, decimal seconds and ``s``, as a number that can be slept for; ``None`` if it is not one."""
    if duration is None or not re.fullmatch(r"-?\d{1,12}(\.\d{1,9})?s", duration, re.ASCII):
        return None
    return float(duration[:-1])
