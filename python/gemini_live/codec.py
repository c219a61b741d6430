"""Bytes ↔ values. Nothing that the service sends raises past this room: what is not understood becomes `Unknown`.

The hot message, one piece of model audio and nothing else, is recognised in Rust; every other one is parsed in full by
msgspec. The two ways give equal results on every input. Field names and their meaning are those of the Live API
reference; what the service was seen to send beyond it is accepted as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints

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

__all__ = ["ClientMessage", "decode", "decode_audio", "encode", "encode_setup", "frame", "message_of"]

ClientMessage: TypeAlias = ClientContent | RealtimeInput | ToolResponse | ContextUpdate
"""What a client says after the setup."""

# the one key of the object that each message travels in
_ENVELOPE: dict[type[Wire], str] = {
    ClientContent: "clientContent",
    RealtimeInput: "realtimeInput",
    ToolResponse: "toolResponse",
    ContextUpdate: "contextUpdate",
}

_TEXT = 1  # RFC 6455 5.2
_DEFAULT_RATE_HZ = 24_000
_RATE = re.compile(r"(?:^|;)\s*rate=(\d{1,7})\s*(?:;|$)", re.ASCII)
_encoder = msgspec.json.Encoder()


# --- out -------------------------------------------------------------------------------------------------------------


def encode(message: ClientMessage) -> bytes:
    """Write a message of the client as JSON.

    Raises:
        TypeError: it holds something that JSON cannot.
        ValueError: likewise.
    """
    raw = _encoder.encode({_ENVELOPE[type(message)]: message})
    if b"null" in raw:  # what msgspec makes of NaN and infinity; a result that became nothing would mislead the model
        _refuse_infinite(msgspec.to_builtins(message), "")
    return raw


def _refuse_infinite(value: object, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place.removeprefix('.')} is {value}")
    if isinstance(value, dict):
        for key, inner in cast("dict[str, object]", value).items():
            _refuse_infinite(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(cast("Sequence[object]", value)):
            _refuse_infinite(inner, f"{place}[{index}]")


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


def frame(message: bytes) -> bytes:
    """Put a message into a WebSocket frame of its own, as a connection writes it; audio and video come in one."""
    return _core.encode_frame(_TEXT, message)


def message_of(framed: bytes) -> bytes:
    """The message in a frame of `frame`, or of the encoders."""
    return _core.unmask(framed)


# --- in --------------------------------------------------------------------------------------------------------------
# Every field may be absent or null (proto3 JSON). Audio arrives as base64 text: msgspec's own decoding of bytes takes
# neither the URL-safe alphabet nor missing padding, which the service is free to send.
#
# A message is first read strictly, which costs nothing. Where that fails, because of a name that is not known here or a
# value of another type than the reference says, it is read again piece by piece, so that what is understood is kept.


class _Sent(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message of the service, or a part of one."""


class _InlineData(_Sent, frozen=True, kw_only=True):
    mime_type: str | None = None
    data: str | None = None
    display_name: str | None = None


class _FileData(_Sent, frozen=True, kw_only=True):
    file_uri: str | None = None
    mime_type: str | None = None
    display_name: str | None = None


class _ExecutableCode(_Sent, frozen=True, kw_only=True):
    code: str | None = None
    language: str | None = None
    id: str | None = None


class _CodeExecutionResult(_Sent, frozen=True, kw_only=True):
    outcome: str | None = None
    output: str | None = None
    id: str | None = None


class _FunctionCall(_Sent, frozen=True, kw_only=True):
    name: str | None = None
    id: str | None = None
    args: Mapping[str, Any] | None = None
    partial_args: Sequence[Mapping[str, Any]] | None = None
    will_continue: bool | None = None


class _Part(_Sent, frozen=True, kw_only=True):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: _InlineData | None = None
    file_data: _FileData | None = None
    function_call: _FunctionCall | None = None
    executable_code: _ExecutableCode | None = None
    code_execution_result: _CodeExecutionResult | None = None
    tool_call: Mapping[str, Any] | None = None
    tool_response: Mapping[str, Any] | None = None
    media_processing: str | None = None
    media_resolution: Mapping[str, Any] | None = None
    video_metadata: Mapping[str, Any] | None = None
    part_metadata: Mapping[str, Any] | None = None
    audio_transcription: Mapping[str, Any] | None = None
    speech_metadata: Mapping[str, Any] | None = None
    document_metadata: Mapping[str, Any] | None = None
    spreadsheet_metadata: Mapping[str, Any] | None = None
    audio_metadata: Mapping[str, Any] | None = None


# what a `Part` holds beside text, audio and thoughts, and takes over as it is
_AS_GIVEN = (
    "tool_call",
    "tool_response",
    "media_processing",
    "media_resolution",
    "video_metadata",
    "part_metadata",
    "audio_transcription",
    "speech_metadata",
    "document_metadata",
    "spreadsheet_metadata",
    "audio_metadata",
)


class _ModelTurn(_Sent, frozen=True, kw_only=True):
    parts: Sequence[_Part] | None = None
    role: str | None = None


class _Word(_Sent, frozen=True, kw_only=True):
    word: str | None = None
    start_offset: str | None = None
    end_offset: str | None = None


class _Transcription(_Sent, frozen=True, kw_only=True):
    text: str | None = None
    finished: bool | None = None
    language_code: str | None = None
    speaker_label: str | None = None
    words: Sequence[_Word] | None = None
    start_offset: str | None = None
    end_offset: str | None = None


class _ServerContent(_Sent, frozen=True, kw_only=True):
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
    speech_state: str | None = None


class _VoiceConsentSignature(_Sent, frozen=True, kw_only=True):
    signature: str | None = None


class _SetupComplete(_Sent, frozen=True, kw_only=True):
    session_id: str | None = None
    voice_consent_signature: _VoiceConsentSignature | None = None


class _ToolCall(_Sent, frozen=True, kw_only=True):
    function_calls: Sequence[_FunctionCall] | None = None


class _ToolCallCancellation(_Sent, frozen=True, kw_only=True):
    ids: Sequence[str] | None = None


class _GoAway(_Sent, frozen=True, kw_only=True):
    time_left: str | None = None


class _SessionResumptionUpdate(_Sent, frozen=True, kw_only=True):
    new_handle: str | None = None
    resumable: bool | None = None
    # int64 is a string in proto3 JSON; numbers are allowed in
    last_consumed_client_message_index: str | int | None = None


class _VoiceActivity(_Sent, frozen=True, kw_only=True):
    type: str | None = None
    audio_offset: str | None = None


class _VadSignal(_Sent, frozen=True, kw_only=True):
    vad_signal_type: str | None = None


class _TokenCount(_Sent, frozen=True, kw_only=True):
    modality: str | None = None
    token_count: int | None = None


class _UsageMetadata(_Sent, frozen=True, kw_only=True):
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


class _Error(_Sent, frozen=True, kw_only=True):
    code: int | None = None
    status: str | None = None
    message: str | None = None
    details: Sequence[Any] | None = None


class _ServerMessage(_Sent, frozen=True, kw_only=True):
    setup_complete: _SetupComplete | None = None
    server_content: _ServerContent | None = None
    tool_call: _ToolCall | None = None
    tool_call_cancellation: _ToolCallCancellation | None = None
    go_away: _GoAway | None = None
    session_resumption_update: _SessionResumptionUpdate | None = None
    usage_metadata: _UsageMetadata | None = None
    voice_activity: _VoiceActivity | None = None
    voice_activity_detection_signal: _VadSignal | None = None
    error: _Error | None = None


_AnySent = TypeVar("_AnySent", bound=_Sent)
_message_decoder = msgspec.json.Decoder(_ServerMessage)
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])
# Of these, a field that cannot be read leaves the others standing. All others are taken whole or not at all: a function
# must not be called with half of its arguments.
_IN_PIECES = frozenset({_ServerMessage, _ServerContent, _SetupComplete, _ModelTurn, _ToolCall, _GoAway})
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)


decode_audio = _core.decode_audio
"""The samples of the hot message, and their rate; ``None`` for every other."""


def decode(raw: bytes) -> list[events.Event]:
    """Turn one message of the service into events, `Interrupted` first. Never raises.

    An empty message, a sign of life, gives none. What is not understood comes last, as one `Unknown`.
    """
    audio = _core.decode_audio(raw)
    if audio is not None:
        return [events.ModelAudio(data=audio[0], rate_hz=audio[1])]
    return _decode_in_full(raw)


def _decode_in_full(raw: bytes) -> list[events.Event]:
    reading = _Reading()
    try:
        message: _ServerMessage | None = _message_decoder.decode(raw)
    except _UNREADABLE:
        message = _Pieces(reading).struct(_ServerMessage, raw, "")
    if message is not None:
        reading.message(message)
    if reading.problems or reading.unknown:
        reading.found.append(
            events.Unknown(raw=raw, problem="; ".join(reading.problems), fields=tuple(reading.unknown))
        )
    return reading.found


class _Field(msgspec.Struct, frozen=True):
    name: str
    hint: Any
    inner: type[_Sent] | None
    """The struct in it, if there is one."""
    many: bool


@cache
def _fields(kind: type[_Sent]) -> dict[str, _Field]:
    """The fields of a message by their names on the wire."""
    hints = get_type_hints(kind)
    fields: dict[str, _Field] = {}
    for name, wire_name in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        value = next(part for part in get_args(hints[name]) if part is not type(None))  # X of X | None
        many = get_origin(value) is Sequence
        inner: Any = get_args(value)[0] if many else value
        if not (isinstance(inner, type) and issubclass(inner, _Sent)):
            inner = None
        fields[wire_name] = _Field(name, hints[name], inner, many)
    return fields


class _Pieces:
    """Reads as much of a message as can be read."""

    def __init__(self, reading: _Reading) -> None:
        self._reading = reading

    def struct(self, kind: type[_AnySent], raw: bytes | msgspec.Raw, place: str) -> _AnySent | None:
        """A message, or a part of one, of this kind; ``None`` if it cannot be read."""
        try:
            if kind not in _IN_PIECES:
                return msgspec.convert(self._known(kind, msgspec.json.decode(raw), place), kind)
            members = _members_decoder.decode(raw)
        except _UNREADABLE as error:
            self._reading.problems.append(_problem(place, error))
            return None
        fields = _fields(kind)
        values: dict[str, Any] = {}
        for wire_name, member in members.items():
            inside = f"{place}.{wire_name}" if place else wire_name
            if bytes(member) == b"null":
                continue  # as good as absent
            if wire_name not in fields:
                self._reading.unknown.append(inside)
                continue
            field = fields[wire_name]
            values[field.name] = self._value(field, member, inside)
        return kind(**values)

    def _value(self, field: _Field, raw: msgspec.Raw, place: str) -> object:
        try:
            if field.inner is None:
                return msgspec.json.decode(raw, type=field.hint)
            if not field.many:
                return self.struct(field.inner, raw, place)
            items = _items_decoder.decode(raw)
        except _UNREADABLE as error:
            self._reading.problems.append(_problem(place, error))
            return None
        kind = field.inner
        read = (self.struct(kind, item, f"{place}[{index}]") for index, item in enumerate(items))
        return [item for item in read if item is not None]

    def _known(self, kind: type[_Sent], value: object, place: str) -> object:
        """The value without the names that are not known here, which are noted."""
        if not isinstance(value, dict):
            return value
        fields = _fields(kind)
        known: dict[str, object] = {}
        for wire_name, member in cast("dict[str, object]", value).items():
            field, inside = fields.get(wire_name), f"{place}.{wire_name}"
            if field is None:
                if member is not None:
                    self._reading.unknown.append(inside)
            elif field.inner is None:
                known[wire_name] = member
            elif field.many and isinstance(member, list):
                items = cast("list[object]", member)
                inner = field.inner
                known[wire_name] = [self._known(inner, item, f"{inside}[{at}]") for at, item in enumerate(items)]
            else:
                known[wire_name] = self._known(field.inner, member, inside)
        return known


def _problem(place: str, error: Exception) -> str:
    words = str(error) or type(error).__name__
    return f"{place}: {words}" if place else words


class _Reading:
    """The events of one message, and what of it was not understood."""

    def __init__(self) -> None:
        self.found: list[events.Event] = []
        self.problems: list[str] = []
        self.unknown: list[str] = []

    def message(self, message: _ServerMessage) -> None:
        """Read it all."""
        found = self.found
        content = message.server_content
        if content is not None and content.interrupted:
            found.append(events.Interrupted())
        self._connection(message)
        if content is not None:
            self._content(content)
        if message.tool_call is not None:
            calls = [_function_call(call) for call in message.tool_call.function_calls or ()]
            if calls:
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

    def _connection(self, message: _ServerMessage) -> None:
        found = self.found
        if message.setup_complete is not None:
            done = message.setup_complete
            signature = done.voice_consent_signature
            found.append(
                events.SetupComplete(
                    session_id=done.session_id, voice_consent_signature=signature.signature if signature else None
                )
            )
        if message.session_resumption_update is not None:
            self._resumption(message.session_resumption_update)
        if message.voice_activity is not None:
            self._voice_activity(message.voice_activity)
        if message.voice_activity_detection_signal is not None:
            signal = message.voice_activity_detection_signal.vad_signal_type
            if signal:
                found.append(events.VadSignal(type=signal))

    def _content(self, content: _ServerContent) -> None:
        found = self.found
        if content.speech_state:
            found.append(events.SpeechState(state=content.speech_state))
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
                    speaker_label=said.speaker_label,
                    words=_words(said.words),
                    start_offset_s=_seconds(said.start_offset),
                    end_offset_s=_seconds(said.end_offset),
                )
            )
        if content.model_turn is not None:
            for part in content.model_turn.parts or ():
                self._part(part)
        if content.grounding_metadata:  # Vertex AI sends an empty one with each turn
            found.append(events.Grounding(metadata=content.grounding_metadata))
        if content.url_context_metadata:
            found.append(events.UrlContext(metadata=content.url_context_metadata))
        if content.waiting_for_input:
            found.append(events.WaitingForInput())
        if content.generation_complete:
            found.append(events.GenerationComplete())

    def _part(self, part: _Part) -> None:
        try:
            signature = None if part.thought_signature is None else _base64(part.thought_signature)
            blob = None if part.inline_data is None else _blob(part.inline_data)
        except ValueError as error:
            self.problems.append(f"serverContent.modelTurn.parts: {error}")
            return
        if blob is not None and blob.mime_type.partition(";")[0].rstrip() == "audio/pcm":
            self.found.append(events.ModelAudio(data=blob.data, rate_hz=_rate_hz(blob.mime_type)))
            blob = None
        elif part.text is not None:
            kind = events.Thought if part.thought else events.ModelText
            self.found.append(kind(text=part.text, thought_signature=signature))
            signature = None
        rest = Part(
            thought_signature=signature,
            inline_data=blob,
            file_data=_file_data(part.file_data),
            function_call=None if part.function_call is None else _function_call(part.function_call),
            executable_code=_executable_code(part.executable_code),
            code_execution_result=_code_execution_result(part.code_execution_result),
            **{name: value for name in _AS_GIVEN if (value := getattr(part, name)) is not None},
        )
        if rest != _NOTHING:
            self.found.append(events.ModelPart(part=msgspec.structs.replace(rest, thought=bool(part.thought))))

    def _resumption(self, update: _SessionResumptionUpdate) -> None:
        index: int | None = None
        if update.last_consumed_client_message_index is not None:
            try:
                index = int(update.last_consumed_client_message_index)
            except ValueError as error:
                self.problems.append(f"sessionResumptionUpdate.lastConsumedClientMessageIndex: {error}")
                return  # a state of which nobody knows what it contains
        handle = update.new_handle or None
        self.found.append(
            events.SessionResumption(
                handle=handle, resumable=bool(update.resumable and handle), last_consumed_client_message_index=index
            )
        )

    def _voice_activity(self, activity: _VoiceActivity) -> None:
        if activity.type not in ("ACTIVITY_START", "ACTIVITY_END"):
            self.problems.append(f"voiceActivity: a voice activity of type {activity.type!r}")
            return
        self.found.append(
            events.VoiceActivity(
                type="ACTIVITY_START" if activity.type == "ACTIVITY_START" else "ACTIVITY_END",
                audio_offset_s=_seconds(activity.audio_offset),
            )
        )


_NOTHING = Part()


def _blob(inline: _InlineData) -> Blob:
    return Blob(mime_type=inline.mime_type or "", data=_base64(inline.data or ""), display_name=inline.display_name)


def _base64(text: str) -> bytes:
    data = _core.decode_base64(text)
    if data is None:
        raise ValueError("not base64")
    return data


def _rate_hz(mime_type: str) -> int:
    found = _RATE.search(mime_type)
    rate_hz = int(found[1]) if found else 0
    return rate_hz or _DEFAULT_RATE_HZ


def _function_call(call: _FunctionCall) -> FunctionCall:
    return FunctionCall(
        name=call.name or "",
        id=call.id or "",
        args=call.args or {},
        partial_args=call.partial_args or (),
        will_continue=call.will_continue,
    )


def _file_data(file: _FileData | None) -> FileData | None:
    if file is None:
        return None
    return FileData(file_uri=file.file_uri or "", mime_type=file.mime_type or "", display_name=file.display_name)


def _executable_code(code: _ExecutableCode | None) -> ExecutableCode | None:
    if code is None:
        return None
    return ExecutableCode(code=code.code or "", language=code.language or "", id=code.id or "")


def _code_execution_result(result: _CodeExecutionResult | None) -> CodeExecutionResult | None:
    if result is None:
        return None
    return CodeExecutionResult(outcome=result.outcome or "", output=result.output or "", id=result.id or "")


def _words(words: Sequence[_Word] | None) -> Sequence[events.TranscribedWord]:
    return tuple(
        events.TranscribedWord(
            word=word.word or "", start_offset_s=_seconds(word.start_offset), end_offset_s=_seconds(word.end_offset)
        )
        for word in words or ()
    )


def _input_transcription(heard: _Transcription, *, interim: bool) -> events.InputTranscription:
    return events.InputTranscription(
        text=heard.text or "",
        finished=bool(heard.finished),
        interim=interim,
        language_code=heard.language_code,
        speaker_label=heard.speaker_label,
        words=_words(heard.words),
        start_offset_s=_seconds(heard.start_offset),
        end_offset_s=_seconds(heard.end_offset),
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
