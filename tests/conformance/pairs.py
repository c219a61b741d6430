"""Which of our structs stands for which of the official SDK's types. Where nothing is said, both have the same name."""

from __future__ import annotations

from google.genai import types

from gemini_live import messages, setup_message
from gemini_live.messages import Wire

RENAMED = {
    "ClientContent": types.LiveClientContent,
    "ContextUpdate": types.LiveClientContextUpdate,
    "ContextWindowCompression": types.ContextWindowCompressionConfig,
    "RealtimeInput": types.LiveClientRealtimeInput,
    "Setup": types.LiveClientSetup,
    "ToolResponse": types.LiveClientToolResponse,
}
# The SDK has two types for what is one struct here: parts of its answers are `Blob` and `FileData` by other names.
ALSO = {
    types.FunctionResponseBlob: messages.Blob,
    types.FunctionResponseFileData: messages.FileData,
    types.LiveConnectConfig: setup_message.Setup,
}
# The SDK's own `LiveClientSetup` forgot what its `connect` sends.
ELSEWHERE = {("Setup", "realtime_input_config"): types.LiveConnectConfig}

STRUCTS = [
    struct
    for room in (setup_message, messages)
    for name in room.__all__
    if isinstance(struct := getattr(room, name), type) and issubclass(struct, Wire) and struct is not Wire
]


def official(struct):
    """The SDK's type for this struct."""
    return RENAMED.get(struct.__name__) or getattr(types, struct.__name__)


OURS = {official(struct): struct for struct in STRUCTS} | ALSO
