"""What a message of the service may hold: a struct for each object of it, field by field as on the wire.

Field names and their meaning are those of the Live API reference; what the service was seen to send beyond it is
accepted as well. Every field may be absent or null (proto3 JSON), and a name that does not stand here is refused. Bytes
arrive as base64 text and stay that: msgspec's own decoding takes neither the URL-safe alphabet nor missing padding, and
the service is free to use both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gemini_live.messages import Wire

__all__ = [
    "CodeExecutionResult",
    "Error",
    "ExecutableCode",
    "FileData",
    "FunctionCall",
    "GoAway",
    "InlineData",
    "ModelTurn",
    "Part",
    "Sent",
    "ServerContent",
    "ServerMessage",
    "SessionResumptionUpdate",
    "SetupComplete",
    "TokenCount",
    "ToolCall",
    "ToolCallCancellation",
    "Transcription",
    "UsageMetadata",
    "VadSignal",
    "VoiceActivity",
    "VoiceConsentSignature",
    "Word",
]


class Sent(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message of the service, or an object in one."""


class InlineData(Sent, frozen=True, kw_only=True):
    """Bytes with their MIME type."""

    mime_type: str | None = None
    data: str | None = None
    display_name: str | None = None


class FileData(Sent, frozen=True, kw_only=True):
    """Bytes that lie elsewhere, by their URI."""

    file_uri: str | None = None
    mime_type: str | None = None
    display_name: str | None = None


class ExecutableCode(Sent, frozen=True, kw_only=True):
    """Code that the model wrote for the service to run."""

    code: str | None = None
    language: str | None = None
    id: str | None = None


class CodeExecutionResult(Sent, frozen=True, kw_only=True):
    """What came of such code."""

    outcome: str | None = None
    output: str | None = None
    id: str | None = None


class FunctionCall(Sent, frozen=True, kw_only=True):
    """A function to be called, or a piece of its arguments."""

    name: str | None = None
    id: str | None = None
    args: Mapping[str, Any] | None = None
    partial_args: Sequence[Mapping[str, Any]] | None = None
    will_continue: bool | None = None


class Part(Sent, frozen=True, kw_only=True):
    """One part of a turn: a kind of content, and what belongs to it."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: InlineData | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    executable_code: ExecutableCode | None = None
    code_execution_result: CodeExecutionResult | None = None
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


class ModelTurn(Sent, frozen=True, kw_only=True):
    """What the model says, in parts."""

    parts: Sequence[Part] | None = None
    role: str | None = None


class Word(Sent, frozen=True, kw_only=True):
    """A word of a transcription, and when it was said."""

    word: str | None = None
    start_offset: str | None = None
    end_offset: str | None = None


class Transcription(Sent, frozen=True, kw_only=True):
    """What was said, as text."""

    text: str | None = None
    finished: bool | None = None
    language_code: str | None = None
    speaker_label: str | None = None
    words: Sequence[Word] | None = None
    start_offset: str | None = None
    end_offset: str | None = None


class ServerContent(Sent, frozen=True, kw_only=True):
    """What there is of a turn."""

    model_turn: ModelTurn | None = None
    turn_complete: bool | None = None
    interrupted: bool | None = None
    generation_complete: bool | None = None
    waiting_for_input: bool | None = None
    input_transcription: Transcription | None = None
    interim_input_transcription: Transcription | None = None
    output_transcription: Transcription | None = None
    grounding_metadata: Mapping[str, Any] | None = None
    url_context_metadata: Mapping[str, Any] | None = None
    turn_complete_reason: str | None = None
    interaction_status: str | None = None
    speech_state: str | None = None


class VoiceConsentSignature(Sent, frozen=True, kw_only=True):
    """Proof of consent to a replicated voice."""

    signature: str | None = None


class SetupComplete(Sent, frozen=True, kw_only=True):
    """The setup was accepted."""

    session_id: str | None = None
    voice_consent_signature: VoiceConsentSignature | None = None


class ToolCall(Sent, frozen=True, kw_only=True):
    """Functions that the client is to call."""

    function_calls: Sequence[FunctionCall] | None = None


class ToolCallCancellation(Sent, frozen=True, kw_only=True):
    """Calls that nobody waits for any more."""

    ids: Sequence[str] | None = None


class GoAway(Sent, frozen=True, kw_only=True):
    """The service will soon close this connection."""

    time_left: str | None = None


class SessionResumptionUpdate(Sent, frozen=True, kw_only=True):
    """What this session can be resumed with."""

    new_handle: str | None = None
    resumable: bool | None = None
    # int64 is a string in proto3 JSON; numbers are allowed in
    last_consumed_client_message_index: str | int | None = None


class VoiceActivity(Sent, frozen=True, kw_only=True):
    """The service heard speech begin or end."""

    type: str | None = None
    audio_offset: str | None = None


class VadSignal(Sent, frozen=True, kw_only=True):
    """An older form of `VoiceActivity`."""

    vad_signal_type: str | None = None


class TokenCount(Sent, frozen=True, kw_only=True):
    """Tokens of one modality."""

    modality: str | None = None
    token_count: int | None = None


class UsageMetadata(Sent, frozen=True, kw_only=True):
    """Tokens that were used."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    response_token_count: int | None = None
    candidates_token_count: int | None = None  # Vertex AI's name for the one above
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: Sequence[TokenCount] | None = None
    cache_tokens_details: Sequence[TokenCount] | None = None
    response_tokens_details: Sequence[TokenCount] | None = None
    candidates_tokens_details: Sequence[TokenCount] | None = None
    tool_use_prompt_tokens_details: Sequence[TokenCount] | None = None
    traffic_type: str | None = None
    service_tier: str | None = None


class Error(Sent, frozen=True, kw_only=True):
    """A failure that the service tells in a message, not in a close."""

    code: int | None = None
    status: str | None = None
    message: str | None = None
    details: Sequence[Any] | None = None


class ServerMessage(Sent, frozen=True, kw_only=True):
    """A whole message."""

    setup_complete: SetupComplete | None = None
    server_content: ServerContent | None = None
    tool_call: ToolCall | None = None
    tool_call_cancellation: ToolCallCancellation | None = None
    go_away: GoAway | None = None
    session_resumption_update: SessionResumptionUpdate | None = None
    usage_metadata: UsageMetadata | None = None
    voice_activity: VoiceActivity | None = None
    voice_activity_detection_signal: VadSignal | None = None
    error: Error | None = None
