"""Every field that a client may send, as a table: message, field in snake_case, type.

Written from the Live API reference, not from this package's own structs, so that a misspelt field in the client is
refused here as the service would refuse it. Types: a message's name, ``string bool int32 int64 float bytes struct``,
``enum`` (any name or number) or the names of an enum; ``[]`` marks a repeated field.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CLIENT_KINDS", "ENUMS", "MESSAGES", "VERTEX_ONLY"]

CLIENT_KINDS: Final = ("setup", "client_content", "realtime_input", "tool_response", "context_update")
"""The members of a client message, of which each message has exactly one."""

VERTEX_ONLY: Final = frozenset({("SessionResumption", "transparent")})
"""Fields that the Developer API does not know: measured there as an unknown name."""

ENUMS: Final[dict[str, tuple[str, ...]]] = {
    # the position is the enum's number; number 0 is the unspecified value
    "Modality": ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO"),
    "MediaResolution": (
        "MEDIA_RESOLUTION_UNSPECIFIED",
        "MEDIA_RESOLUTION_LOW",
        "MEDIA_RESOLUTION_MEDIUM",
        "MEDIA_RESOLUTION_HIGH",
    ),
    "ThinkingLevel": ("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"),
    "StartSensitivity": ("START_SENSITIVITY_UNSPECIFIED", "START_SENSITIVITY_HIGH", "START_SENSITIVITY_LOW"),
    "EndSensitivity": ("END_SENSITIVITY_UNSPECIFIED", "END_SENSITIVITY_HIGH", "END_SENSITIVITY_LOW"),
    "ActivityHandling": ("ACTIVITY_HANDLING_UNSPECIFIED", "START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"),
    "TurnCoverage": (
        "TURN_COVERAGE_UNSPECIFIED",
        "TURN_INCLUDES_ONLY_ACTIVITY",
        "TURN_INCLUDES_ALL_INPUT",
        "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
    ),
    "TranscriptionMode": ("MODE_UNSPECIFIED", "VERBATIM", "SMART"),
    "Behavior": ("UNSPECIFIED", "BLOCKING", "NON_BLOCKING"),
    "Scheduling": ("SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT"),
}

MESSAGES: Final[dict[str, dict[str, str]]] = {
    "ClientMessage": {
        "setup": "Setup",
        "client_content": "ClientContent",
        "realtime_input": "RealtimeInput",
        "tool_response": "ToolResponse",
        "context_update": "ContextUpdate",
    },
    # --- setup ---
    "Setup": {
        "model": "string",
        "generation_config": "GenerationConfig",
        "system_instruction": "Content",
        "tools": "Tool[]",
        "realtime_input_config": "RealtimeInputConfig",
        "session_resumption": "SessionResumption",
        "context_window_compression": "ContextWindowCompression",
        "input_audio_transcription": "AudioTranscriptionConfig",
        "output_audio_transcription": "AudioTranscriptionConfig",
        "proactivity": "Proactivity",
        "explicit_vad_signal": "bool",
        "history_config": "HistoryConfig",
        "avatar_config": "AvatarConfig",
        "safety_settings": "SafetySetting[]",
        "labels": "struct",
    },
    "GenerationConfig": {
        "response_modalities": "Modality[]",
        "temperature": "float",
        "top_p": "float",
        "top_k": "float",
        "max_output_tokens": "int32",
        "seed": "int32",
        "candidate_count": "int32",
        "presence_penalty": "float",
        "frequency_penalty": "float",
        "media_resolution": "MediaResolution",
        "speech_config": "SpeechConfig",
        "thinking_config": "ThinkingConfig",
        "enable_affective_dialog": "bool",
        "translation_config": "TranslationConfig",
        "audio_transcription_config": "AudioTranscriptionConfig",
        "model_selection_config": "ModelSelectionConfig",
        "enable_enhanced_civic_answers": "bool",
    },
    "SpeechConfig": {"voice_config": "VoiceConfig", "language_code": "string"},
    "VoiceConfig": {
        "prebuilt_voice_config": "PrebuiltVoiceConfig",
        "replicated_voice_config": "ReplicatedVoiceConfig",
        "voice": "string",
    },
    "PrebuiltVoiceConfig": {"voice_name": "string"},
    "ReplicatedVoiceConfig": {
        "mime_type": "string",
        "voice_sample_audio": "bytes",
        "consent_audio": "bytes",
        "voice_consent_signature": "VoiceConsentSignature",
    },
    "VoiceConsentSignature": {"signature": "string"},
    "ThinkingConfig": {"include_thoughts": "bool", "thinking_budget": "int32", "thinking_level": "ThinkingLevel"},
    "TranslationConfig": {"target_language_code": "string", "echo_target_language": "bool"},
    "ModelSelectionConfig": {"feature_selection_preference": "enum"},
    "RealtimeInputConfig": {
        "automatic_activity_detection": "AutomaticActivityDetection",
        "activity_handling": "ActivityHandling",
        "turn_coverage": "TurnCoverage",
        "interim_transcript_timestamp_enabled": "bool",
    },
    "AutomaticActivityDetection": {
        "disabled": "bool",
        "start_of_speech_sensitivity": "StartSensitivity",
        "prefix_padding_ms": "int32",
        "end_of_speech_sensitivity": "EndSensitivity",
        "silence_duration_ms": "int32",
    },
    "SessionResumption": {"handle": "string", "transparent": "bool"},
    "ContextWindowCompression": {"trigger_tokens": "int64", "sliding_window": "SlidingWindow"},
    "SlidingWindow": {"target_tokens": "int64"},
    "AudioTranscriptionConfig": {
        "language_codes": "string[]",
        "language_auto": "struct",
        "language_hints": "LanguageHints",
        "custom_vocabulary": "string[]",
        "adaptation_phrases": "string[]",
        "word_timestamp": "bool",
        "diarization": "bool",
        "mode": "TranscriptionMode",
        "source_text": "string",
    },
    "LanguageHints": {"language_codes": "string[]"},
    "Proactivity": {"proactive_audio": "bool", "proactive_video": "bool"},
    "HistoryConfig": {"initial_history_in_client_content": "bool"},
    "AvatarConfig": {
        "avatar_name": "string",
        "customized_avatar": "CustomizedAvatar",
        "audio_bitrate_bps": "int32",
        "video_bitrate_bps": "int32",
    },
    "CustomizedAvatar": {"image_mime_type": "string", "image_data": "bytes"},
    "SafetySetting": {"category": "enum", "threshold": "enum", "method": "enum"},
    # --- tools; the service's own tools are taken as they come ---
    "Tool": {
        "function_declarations": "FunctionDeclaration[]",
        "google_search": "struct",
        "google_search_retrieval": "struct",
        "code_execution": "struct",
        "url_context": "struct",
        "google_maps": "struct",
        "computer_use": "struct",
        "file_search": "struct",
        "mcp_servers": "struct[]",
        "retrieval": "struct",
        "enterprise_web_search": "struct",
        "parallel_ai_search": "struct",
        "exa_ai_search": "struct",
    },
    "FunctionDeclaration": {
        "name": "string",
        "description": "string",
        "parameters": "struct",
        "parameters_json_schema": "any",
        "response": "struct",
        "response_json_schema": "any",
        "behavior": "Behavior",
    },
    # --- contents ---
    "Content": {"role": "string", "parts": "Part[]"},
    "Part": {
        "text": "string",
        "thought": "bool",
        "thought_signature": "bytes",
        "inline_data": "Blob",
        "file_data": "FileData",
        "function_call": "FunctionCall",
        "function_response": "FunctionResponse",
        "executable_code": "ExecutableCode",
        "code_execution_result": "CodeExecutionResult",
        "video_metadata": "struct",
        "media_resolution": "struct",
        "part_metadata": "struct",
        # what only the newest reference has is taken as it comes
        "tool_call": "struct",
        "tool_response": "struct",
        "audio_transcription": "struct",
        "media_processing": "string",
        "speech_metadata": "struct",
        "document_metadata": "struct",
        "spreadsheet_metadata": "struct",
        "audio_metadata": "struct",
    },
    "Blob": {"mime_type": "string", "data": "bytes", "display_name": "string"},
    "FileData": {"file_uri": "string", "mime_type": "string", "display_name": "string"},
    "FunctionCall": {
        "id": "string",
        "name": "string",
        "args": "struct",
        "partial_args": "struct[]",
        "will_continue": "bool",
    },
    "ExecutableCode": {"language": "enum", "code": "string", "id": "string"},
    "CodeExecutionResult": {"outcome": "enum", "output": "string", "id": "string"},
    # --- after the setup ---
    "ClientContent": {"turns": "Content[]", "turn_complete": "bool"},
    "RealtimeInput": {
        "media_chunks": "Blob[]",
        "audio": "Blob",
        "audio_stream_end": "bool",
        "video": "Blob",
        "text": "string",
        "activity_start": "Empty",
        "activity_end": "Empty",
    },
    "Empty": {},
    "ToolResponse": {"function_responses": "FunctionResponse[]"},
    "FunctionResponse": {
        "id": "string",
        "name": "string",
        "response": "struct",
        "scheduling": "Scheduling",
        "will_continue": "bool",
        "parts": "FunctionResponsePart[]",
    },
    "FunctionResponsePart": {
        "inline_data": "Blob",
        "file_data": "FileData",
        "video_metadata": "struct",
        "media_resolution": "struct",
        "media_processing": "string",
        "audio_metadata": "struct",
        "document_metadata": "struct",
        "spreadsheet_metadata": "struct",
    },
    "ContextUpdate": {"system_instruction": "Content", "tools": "ToolList"},
    "ToolList": {"tools": "Tool[]"},
    # --- the body of POST auth_tokens, by the names of the wire: liveConnectConstraints is only the SDK's ---
    "AuthToken": {
        "uses": "int32",
        "expire_time": "string",
        "new_session_expire_time": "string",
        "bidi_generate_content_setup": "Setup",
        "field_mask": "string",
    },
}
