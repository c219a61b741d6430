"""Stream microphone and camera to the Gemini Live API: a session that survives the network, with its hot path in Rust.

::

    import gemini_live as live

    async with live.connect("gemini-3.8-live") as session:  # GEMINI_API_KEY from the environment
        await session.send_audio(block)  # np.ndarray, int16 or float32, mono or (n, channels); or bytes
        async for event in session:
            match event:
                case live.ModelAudio(data=pcm):
                    speaker.play(pcm)
                case live.Interrupted():
                    speaker.flush()

`connect` opens a `Session`. What a session is told stands in `gemini_live.setup_message` and `gemini_live.messages`,
how it behaves in `gemini_live.config`, what it tells in `gemini_live.events`, what it raises in `gemini_live.errors`.
`gemini_live.emulator` is a service to try all that on, without a key and without a network.
"""

import sys

# pip sees to it, but a copied tree does not, and the compiled part's own words are "undefined symbol: PyType_GetName"
if sys.version_info < (3, 11):  # noqa: UP036
    raise ImportError(
        "gemini-live needs Python 3.11 or later, and this is "
        f"{sys.version_info[0]}.{sys.version_info[1]}; make an environment with a newer one: python3.11 -m venv .venv"
    )

try:
    from gemini_live._core import VERSION as __version__  # noqa: N811 - it is one
except ImportError as error:
    from gemini_live.core_missing import core_missing

    raise core_missing(error) from error
from gemini_live.auth import (
    ApiKey,
    Auth,
    BearerToken,
    Credential,
    Custom,
    Endpoint,
    EphemeralToken,
    GeminiApi,
    GoogleCredentials,
    NoAuth,
    VertexAi,
)
from gemini_live.config import (
    OutboxLimits,
    ReconnectPolicy,
    SessionConfig,
    SpeechPolicy,
    TransportConfig,
    VoiceDetector,
)
from gemini_live.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    DeviceError,
    DeviceLost,
    GeminiLiveError,
    NotResumable,
    SessionClosed,
    SetupError,
    TokenError,
    TokenRefused,
)
from gemini_live.events import (
    Closed,
    CloseKind,
    DeliveryUncertain,
    Error,
    Event,
    GenerationComplete,
    GoAway,
    Grounding,
    InputDropped,
    InputTranscription,
    Interrupted,
    Lagged,
    ModalityTokenCount,
    ModelAudio,
    ModelPart,
    ModelText,
    OutputTranscription,
    Phase,
    Reconnected,
    Reconnecting,
    SessionResumption,
    SessionStatus,
    SetupComplete,
    SpeechState,
    Stalled,
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
from gemini_live.fanout import (
    Cursor,
)
from gemini_live.functions import tool
from gemini_live.messages import (
    Blob,
    CodeExecutionResult,
    Content,
    ExecutableCode,
    FileData,
    FunctionCall,
    FunctionResponse,
    FunctionResponsePart,
    Part,
)
from gemini_live.minting import mint_token, token_provider
from gemini_live.opening import Connecting, connect
from gemini_live.recorder import RecordedFrame, RecordedSession, Recording, read_recording
from gemini_live.session import Session
from gemini_live.setup_message import (
    AudioTranscriptionConfig,
    AutomaticActivityDetection,
    AvatarConfig,
    ContextWindowCompression,
    CustomizedAvatar,
    FunctionDeclaration,
    GenerationConfig,
    HistoryConfig,
    LanguageHints,
    ModelSelectionConfig,
    PrebuiltVoiceConfig,
    ProactivityConfig,
    RealtimeInputConfig,
    ReplicatedVoiceConfig,
    SafetySetting,
    SessionResumptionConfig,
    Setup,
    SlidingWindow,
    SpeechConfig,
    ThinkingConfig,
    Tool,
    TranslationConfig,
    VoiceConfig,
    VoiceConsentSignature,
)
from gemini_live.snapshot import Snapshot
from gemini_live.stats import KindStats, SessionStats
from gemini_live.tool_ledger import PendingCall, ToolStats

__all__ = [
    "ApiKey",
    "AudioTranscriptionConfig",
    "Auth",
    "AuthenticationError",
    "AutomaticActivityDetection",
    "AvatarConfig",
    "BearerToken",
    "Blob",
    "CloseKind",
    "Closed",
    "CodeExecutionResult",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "Connecting",
    "Content",
    "ContextWindowCompression",
    "Credential",
    "Cursor",
    "Custom",
    "CustomizedAvatar",
    "DeliveryUncertain",
    "DeviceError",
    "DeviceLost",
    "Endpoint",
    "EphemeralToken",
    "Error",
    "Event",
    "ExecutableCode",
    "FileData",
    "FunctionCall",
    "FunctionDeclaration",
    "FunctionResponse",
    "FunctionResponsePart",
    "GeminiApi",
    "GeminiLiveError",
    "GenerationComplete",
    "GenerationConfig",
    "GoAway",
    "GoogleCredentials",
    "Grounding",
    "HistoryConfig",
    "InputDropped",
    "InputTranscription",
    "Interrupted",
    "KindStats",
    "Lagged",
    "LanguageHints",
    "ModalityTokenCount",
    "ModelAudio",
    "ModelPart",
    "ModelSelectionConfig",
    "ModelText",
    "NoAuth",
    "NotResumable",
    "OutboxLimits",
    "OutputTranscription",
    "Part",
    "PendingCall",
    "Phase",
    "PrebuiltVoiceConfig",
    "ProactivityConfig",
    "RealtimeInputConfig",
    "ReconnectPolicy",
    "Reconnected",
    "Reconnecting",
    "RecordedFrame",
    "RecordedSession",
    "Recording",
    "ReplicatedVoiceConfig",
    "SafetySetting",
    "Session",
    "SessionClosed",
    "SessionConfig",
    "SessionResumption",
    "SessionResumptionConfig",
    "SessionStats",
    "SessionStatus",
    "Setup",
    "SetupComplete",
    "SetupError",
    "SlidingWindow",
    "Snapshot",
    "SpeechConfig",
    "SpeechPolicy",
    "SpeechState",
    "Stalled",
    "ThinkingConfig",
    "Thought",
    "TokenError",
    "TokenRefused",
    "Tool",
    "ToolCall",
    "ToolCallCancellation",
    "ToolStats",
    "TranscribedWord",
    "TranslationConfig",
    "TransportConfig",
    "TurnComplete",
    "Unknown",
    "UrlContext",
    "Usage",
    "VadSignal",
    "VertexAi",
    "VoiceActivity",
    "VoiceConfig",
    "VoiceConsentSignature",
    "VoiceDetector",
    "WaitingForInput",
    "__version__",
    "connect",
    "mint_token",
    "read_recording",
    "token_provider",
    "tool",
]
