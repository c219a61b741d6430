"""Bytes ↔ values. Nothing that the service sends raises past this room: what is not understood becomes `Unknown`.

The hot message, one piece of model audio and nothing else, is recognised in Rust; every other one is parsed in full by
msgspec. The two ways give equal results on every input.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from gemini_live import _core, events, piecewise, server_messages
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
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemini_live.setup_message import Setup

__all__ = ["ClientMessage", "decode", "decode_audio", "encode", "encode_raw", "encode_setup", "frame", "message_of"]

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
_encoder = msgspec.json.Encoder(enc_hook=plain)


# --- out -------------------------------------------------------------------------------------------------------------


def encode(message: ClientMessage) -> bytes:
    """Write a message of the client as JSON.

    Raises:
        TypeError: it holds something that JSON cannot.
        ValueError: likewise.
    """
    return _encode({_ENVELOPE[type(message)]: message}, message)


def encode_raw(message: Mapping[str, object]) -> bytes:
    """Write a message that is not one of ours as JSON.

    Raises:
        TypeError: it holds something that JSON cannot.
        ValueError: likewise.
    """
    whole = dict(message)
    return _encode(whole, whole)


def _encode(whole: object, message: object) -> bytes:
    raw = _written(whole)
    if b"null" in raw:  # what msgspec makes of NaN and infinity; a result that became nothing would mislead the model
        _refuse_infinite(msgspec.to_builtins(message, enc_hook=plain), "")
    return raw


def _written(whole: object) -> bytes:
    try:
        return _encoder.encode(whole)
    except RecursionError:
        raise ValueError("it is nested too deep, or holds itself") from None


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

    Raises:
        TypeError: it holds something that JSON cannot.
        ValueError: likewise.
    """
    if setup.session_resumption is not None:
        asked = msgspec.structs.replace(setup.session_resumption, handle=handle)
        setup = msgspec.structs.replace(setup, session_resumption=asked)
    if again and setup.history_config is not None:
        setup = msgspec.structs.replace(setup, history_config=None)
    return _written({"setup": setup})


def frame(message: bytes) -> bytes:
    """Put a message into a WebSocket frame of its own, as a connection writes it; audio and video come in one."""
    return _core.encode_frame(_TEXT, message)


def message_of(framed: bytes) -> bytes:
    """The message in a frame of `frame`, or of the encoders."""
    return _core.unmask(framed)


# --- in --------------------------------------------------------------------------------------------------------------
# A message is first read strictly, which costs nothing. Where that fails it is read again, piece by piece, so that what
# is understood is kept.

_message_decoder = msgspec.json.Decoder(server_messages.ServerMessage)

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
        message: server_messages.ServerMessage | None = _message_decoder.decode(raw)
    except piecewise.UNREADABLE:
        message, reading.problems, reading.unknown = piecewise.read(raw)
    if message is not None:
        reading.message(message)
    if reading.problems or reading.unknown:
        reading.found.append(
            events.Unknown(raw=raw, problem="; ".join(reading.problems), fields=tuple(reading.unknown))
        )
    return reading.found


class _Reading:
    """The events of one message, and what of it was not understood."""

    def __init__(self) -> None:
        self.found: list[events.Event] = []
        self.problems: list[str] = []
        self.unknown: list[str] = []

    def message(self, message: server_messages.ServerMessage) -> None:
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

    def _connection(self, message: server_messages.ServerMessage) -> None:
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

    def _content(self, content: server_messages.ServerContent) -> None:
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
            for index, part in enumerate(content.model_turn.parts or ()):
                self._part(part, f"serverContent.modelTurn.parts[{index}]")
        if content.grounding_metadata:  # Vertex AI sends an empty one with each turn
            found.append(events.Grounding(metadata=content.grounding_metadata))
        if content.url_context_metadata:
            found.append(events.UrlContext(metadata=content.url_context_metadata))
        if content.waiting_for_input:
            found.append(events.WaitingForInput())
        if content.generation_complete:
            found.append(events.GenerationComplete())

    def _part(self, part: server_messages.Part, place: str) -> None:
        signature: bytes | None = None
        blob: Blob | None = None
        try:
            signature = None if part.thought_signature is None else _base64(part.thought_signature)
        except ValueError as error:
            self.problems.append(f"{place}.thoughtSignature: {error}")
        try:
            blob = None if part.inline_data is None else _blob(part.inline_data)
        except ValueError as error:
            self.problems.append(f"{place}.inlineData: {error}")
        if blob is not None and blob.mime_type.partition(";")[0].rstrip() == "audio/pcm":
            self.found.append(events.ModelAudio(data=blob.data, rate_hz=_rate_hz(blob.mime_type)))
            blob = None
        if part.text is not None:
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

    def _resumption(self, update: server_messages.SessionResumptionUpdate) -> None:
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

    def _voice_activity(self, activity: server_messages.VoiceActivity) -> None:
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


def _blob(inline: server_messages.InlineData) -> Blob:
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


def _function_call(call: server_messages.FunctionCall) -> FunctionCall:
    return FunctionCall(
        name=call.name or "",
        id=call.id or "",
        args=call.args or {},
        partial_args=call.partial_args or (),
        will_continue=call.will_continue,
    )


def _file_data(file: server_messages.FileData | None) -> FileData | None:
    if file is None:
        return None
    return FileData(file_uri=file.file_uri or "", mime_type=file.mime_type or "", display_name=file.display_name)


def _executable_code(code: server_messages.ExecutableCode | None) -> ExecutableCode | None:
    if code is None:
        return None
    return ExecutableCode(code=code.code or "", language=code.language or "", id=code.id or "")


def _code_execution_result(result: server_messages.CodeExecutionResult | None) -> CodeExecutionResult | None:
    if result is None:
        return None
    return CodeExecutionResult(outcome=result.outcome or "", output=result.output or "", id=result.id or "")


def _words(words: Sequence[server_messages.Word] | None) -> Sequence[events.TranscribedWord]:
    return tuple(
        events.TranscribedWord(
            word=word.word or "", start_offset_s=_seconds(word.start_offset), end_offset_s=_seconds(word.end_offset)
        )
        for word in words or ()
    )


def _input_transcription(heard: server_messages.Transcription, *, interim: bool) -> events.InputTranscription:
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


def _usage(usage: server_messages.UsageMetadata) -> events.Usage:
    def details(counts: Sequence[server_messages.TokenCount] | None) -> Sequence[events.ModalityTokenCount]:
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
