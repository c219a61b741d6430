"""What a session is told before it starts: the setup message, field by field, and how to behave when the network fails.

The `Wire` structs are the ``setup`` message of the protocol; `SessionConfig` and its parts stay on this side.
Enumerations are plain strings, so that a value which the service learns tomorrow can be sent today.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit

import msgspec

from gemini_live.errors import ConfigError
from gemini_live.messages import Content, Wire

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "AudioTranscriptionConfig",
    "AutomaticActivityDetection",
    "AvatarConfig",
    "ContextWindowCompression",
    "CustomizedAvatar",
    "FunctionDeclaration",
    "GenerationConfig",
    "HistoryConfig",
    "LanguageHints",
    "ModelSelectionConfig",
    "OutboxLimits",
    "PrebuiltVoiceConfig",
    "ProactivityConfig",
    "RealtimeInputConfig",
    "ReconnectPolicy",
    "ReplicatedVoiceConfig",
    "SafetySetting",
    "SessionConfig",
    "SessionResumptionConfig",
    "Setup",
    "SlidingWindow",
    "SpeechConfig",
    "SpeechPolicy",
    "ThinkingConfig",
    "Tool",
    "TranslationConfig",
    "TransportConfig",
    "VoiceConfig",
    "VoiceConsentSignature",
    "VoiceDetector",
]


# --- the setup message -----------------------------------------------------------------------------------------------


class PrebuiltVoiceConfig(Wire, frozen=True, kw_only=True):
    """One of the service's voices, such as ``Kore``.

    Attributes:
        voice_name: not checked here: the service has regional names beside its thirty.
    """

    voice_name: str


class VoiceConsentSignature(Wire, frozen=True, kw_only=True):
    """Proof, given by the service, that the owner of a voice agreed to its replication.

    Attributes:
        signature: opaque.
    """

    signature: str


class ReplicatedVoiceConfig(Wire, frozen=True, kw_only=True):
    """A voice made from a sample (allow-listed accounts). ``mime_type`` is ``audio/wav``.

    Attributes:
        mime_type: ``audio/wav``.
        voice_sample_audio: what the voice is made from.
        consent_audio: its owner agreeing, recorded.
        voice_consent_signature: in place of the recording, once the service has given one.
    """

    mime_type: str = ""
    voice_sample_audio: bytes | None = None
    consent_audio: bytes | None = None
    voice_consent_signature: VoiceConsentSignature | None = None


class VoiceConfig(Wire, frozen=True, kw_only=True):
    """The voice of the answers: one of the three.

    Attributes:
        prebuilt_voice_config: one of the service's voices, by its name.
        replicated_voice_config: a voice made from a sample.
        voice: the newer form of ``prebuilt_voice_config``.
    """

    prebuilt_voice_config: PrebuiltVoiceConfig | None = None
    replicated_voice_config: ReplicatedVoiceConfig | None = None
    voice: str | None = None


class SpeechConfig(Wire, frozen=True, kw_only=True):
    """How answers sound. Native-audio models choose the language themselves and ignore ``language_code``.

    Attributes:
        voice_config: which voice speaks; the service chooses one if there is none.
        language_code: such as ``de-DE``.
    """

    voice_config: VoiceConfig | None = None
    language_code: str | None = None


class ThinkingConfig(Wire, frozen=True, kw_only=True):
    """2.5 models take a budget (0 is off), 3.1 and extended-thinking models a level, 3.8-live neither.

    Attributes:
        include_thoughts: asks for `Thought` events.
        thinking_budget: tokens; 0 is off. 2.5 models.
        thinking_level: 3.1 and extended-thinking models; the latter take LOW, MEDIUM and HIGH.
    """

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"] | None = None


class TranslationConfig(Wire, frozen=True, kw_only=True):
    """Live translation. ``echo_target_language`` also voices what is already in the target language.

    Attributes:
        target_language_code: such as ``de-DE``.
        echo_target_language: also voices what is already in the target language.
    """

    target_language_code: str | None = None
    echo_target_language: bool | None = None


class AudioTranscriptionConfig(Wire, frozen=True, kw_only=True):
    """Transcription; the empty struct switches it on. Most fields are known to some models only.

    Attributes:
        language_codes: what may be spoken, such as ``de-DE``: hints.
        language_auto: the deprecated way to leave it open.
        language_hints: the deprecated form of ``language_codes``.
        custom_vocabulary: words to expect; 3.8 models on Vertex AI and transcription models.
        adaptation_phrases: the deprecated form of ``custom_vocabulary``.
        word_timestamp: fills the ``words`` of a transcription.
        diarization: fills the ``speaker_label`` of a transcription.
        mode: word for word, or tidied up; transcription models.
        source_text: known to the official SDK only.
    """

    language_codes: Sequence[str] = ()
    language_auto: Mapping[str, Any] | None = None
    language_hints: LanguageHints | None = None
    custom_vocabulary: Sequence[str] = ()
    adaptation_phrases: Sequence[str] = ()
    word_timestamp: bool | None = None
    diarization: bool | None = None
    mode: Literal["VERBATIM", "SMART"] | None = None
    source_text: str | None = None


class LanguageHints(Wire, frozen=True, kw_only=True):
    """The deprecated form of ``AudioTranscriptionConfig.language_codes``.

    Attributes:
        language_codes: such as ``de-DE``.
    """

    language_codes: Sequence[str] = ()


class ModelSelectionConfig(Wire, frozen=True, kw_only=True):
    """What to prefer when the service chooses a model variant.

    Attributes:
        feature_selection_preference: known to the official SDK only.
    """

    feature_selection_preference: str | None = None


class GenerationConfig(Wire, frozen=True, kw_only=True):
    """How the model answers.

    Attributes:
        response_modalities: one for each session; 2.5 and 3.x models that speak take AUDIO only.
        temperature: how freely words are chosen.
        top_p: words are chosen among the likeliest that make up this probability.
        top_k: words are chosen among so many.
        max_output_tokens: of one answer.
        seed: makes choices repeatable.
        candidate_count: how many answers are generated.
        presence_penalty: against words that were used before.
        frequency_penalty: against words by how often they were used.
        media_resolution: tokens spent on an image: about 64, 256, or more.
        speech_config: how answers sound.
        thinking_config: how long the model thinks, and whether it shows it.
        enable_affective_dialog: reacts to the tone of voice; 2.5 models only, on the Developer API in v1alpha.
        translation_config: of live translation.
        audio_transcription_config: how transcription models write.
        model_selection_config: what to prefer among the variants of a model.
        enable_enhanced_civic_answers: Developer API only.
    """

    response_modalities: Sequence[Literal["TEXT", "AUDIO", "VIDEO", "IMAGE"]] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    seed: int | None = None
    candidate_count: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    media_resolution: Literal["MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_MEDIUM", "MEDIA_RESOLUTION_HIGH"] | None = None
    speech_config: SpeechConfig | None = None
    thinking_config: ThinkingConfig | None = None
    enable_affective_dialog: bool | None = None
    translation_config: TranslationConfig | None = None
    audio_transcription_config: AudioTranscriptionConfig | None = None
    model_selection_config: ModelSelectionConfig | None = None
    enable_enhanced_civic_answers: bool | None = None


class AutomaticActivityDetection(Wire, frozen=True, kw_only=True):
    """The service's voice activity detection (VAD). Disabled, the client must mark activity itself.

    Attributes:
        disabled: true means that the client sends ``activityStart`` and ``activityEnd``.
        start_of_speech_sensitivity: how readily speech is taken to begin; by default HIGH on the Developer API, LOW on
            Vertex AI.
        prefix_padding_ms: for how long somebody must speak before that is a beginning, in milliseconds.
        end_of_speech_sensitivity: how readily speech is taken to end; by default HIGH on the Developer API, LOW on
            Vertex AI.
        silence_duration_ms: for how long nobody must speak before that is the end, in milliseconds.
    """

    disabled: bool | None = None
    start_of_speech_sensitivity: Literal["START_SENSITIVITY_HIGH", "START_SENSITIVITY_LOW"] | None = None
    prefix_padding_ms: int | None = None
    end_of_speech_sensitivity: Literal["END_SENSITIVITY_HIGH", "END_SENSITIVITY_LOW"] | None = None
    silence_duration_ms: int | None = None


class RealtimeInputConfig(Wire, frozen=True, kw_only=True):
    """How live input becomes turns.

    Attributes:
        automatic_activity_detection: how the service hears speech begin and end.
        activity_handling: whether speech interrupts the answer; by default it does.
        turn_coverage: what of the input belongs to a turn; by default speech only on 2.5 models, all video too on later
            ones.
        interim_transcript_timestamp_enabled: times in interim transcriptions.
    """

    automatic_activity_detection: AutomaticActivityDetection | None = None
    activity_handling: Literal["START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"] | None = None
    turn_coverage: (
        Literal["TURN_INCLUDES_ONLY_ACTIVITY", "TURN_INCLUDES_ALL_INPUT", "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO"]
        | None
    ) = None
    interim_transcript_timestamp_enabled: bool | None = None


class SessionResumptionConfig(Wire, frozen=True, kw_only=True):
    """Asks for resumption; the session sets it by itself when it may reconnect.

    Attributes:
        handle: resumes that session.
        transparent: Vertex AI only: the service says which client messages its state contains, so that the rest can be
            replayed exactly.
    """

    handle: str | None = None
    transparent: bool | None = None


class SlidingWindow(Wire, frozen=True, kw_only=True):
    """Cuts the context down to ``target_tokens`` (the service's default is half of the trigger).

    Attributes:
        target_tokens: what is kept.
    """

    target_tokens: int | None = None


class ContextWindowCompression(Wire, frozen=True, kw_only=True):
    """Lifts the session's time limit. A mechanism must be chosen: at least ``sliding_window=SlidingWindow()``.

    Attributes:
        trigger_tokens: compress from here on; by default 80 % of the model's window.
        sliding_window: the only mechanism there is.
    """

    trigger_tokens: int | None = None
    sliding_window: SlidingWindow | None = None


class ProactivityConfig(Wire, frozen=True, kw_only=True):
    """Lets the model decide not to answer. 2.5 models opt in, 3.8 models always have it.

    Attributes:
        proactive_audio: the model may leave what it hears unanswered; false is an error on 3.8 models.
        proactive_video: the model may leave what it sees unanswered.
    """

    proactive_audio: bool | None = None
    proactive_video: bool | None = None


class HistoryConfig(Wire, frozen=True, kw_only=True):
    """``initial_history_in_client_content``: client content up to the first complete turn is history, no question.

    Attributes:
        initial_history_in_client_content: client content up to the first complete turn is history, no question.
    """

    initial_history_in_client_content: bool | None = None


class CustomizedAvatar(Wire, frozen=True, kw_only=True):
    """A portrait, 9:16 and at least 704×1280, that the avatar is made from.

    Attributes:
        image_mime_type: of the image.
        image_data: the file's bytes.
    """

    image_mime_type: str = ""
    image_data: bytes | None = None


class AvatarConfig(Wire, frozen=True, kw_only=True):
    """A talking face as video output (documented on Vertex AI only).

    Attributes:
        avatar_name: one of the service's faces.
        customized_avatar: a face of your own.
        audio_bitrate_bps: bits per second.
        video_bitrate_bps: bits per second.
    """

    avatar_name: str | None = None
    customized_avatar: CustomizedAvatar | None = None
    audio_bitrate_bps: int | None = None
    video_bitrate_bps: int | None = None


class SafetySetting(Wire, frozen=True, kw_only=True):
    """One harm category and what is blocked in it. ``method`` is for Vertex AI only.

    Attributes:
        category: such as ``HARM_CATEGORY_HARASSMENT``.
        threshold: ``BLOCK_LOW_AND_ABOVE``, ``BLOCK_MEDIUM_AND_ABOVE``, ``BLOCK_ONLY_HIGH``, ``BLOCK_NONE`` or ``OFF``.
        method: what is compared with the threshold; Vertex AI only.
    """

    category: str
    threshold: str
    method: Literal["SEVERITY", "PROBABILITY"] | None = None


class FunctionDeclaration(Wire, frozen=True, kw_only=True):
    """A function that the model may call: a name, and its parameters as a Schema or as JSON Schema.

    Attributes:
        name: a letter or _, then letters, digits and _ . : -, 128 at most.
        description: what it does and when to call it, for the model.
        parameters: the API's Schema, whose types are upper-case names such as ``OBJECT``.
        parameters_json_schema: ordinary JSON Schema instead.
        response: the API's Schema of the answer.
        response_json_schema: ordinary JSON Schema instead.
        behavior: whether the model waits for the answer; which is the default depends on the model.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None
    parameters_json_schema: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    response_json_schema: Mapping[str, Any] | None = None
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None


class Tool(Wire, frozen=True, kw_only=True):
    """Functions, or tools that the service runs itself; which of those a model has depends on the model.

    Attributes:
        function_declarations: functions of the client, 512 at most in a setup.
        google_search: search the web; all current models.
        google_search_retrieval: its older form.
        code_execution: run Python; not on models that speak.
        url_context: read pages; not on 3.8 models.
        google_maps: search places; not on 3.8 models.
        computer_use: operate a screen; not documented for Live.
        file_search: search uploaded files; not documented for Live.
        mcp_servers: call MCP servers; not documented for Live.
        retrieval: search your own data.
        enterprise_web_search: search the web within an enterprise's rules.
        parallel_ai_search: search with Parallel.
        exa_ai_search: search with Exa.
    """

    function_declarations: Sequence[FunctionDeclaration] = ()
    google_search: Mapping[str, Any] | None = None
    google_search_retrieval: Mapping[str, Any] | None = None
    code_execution: Mapping[str, Any] | None = None
    url_context: Mapping[str, Any] | None = None
    google_maps: Mapping[str, Any] | None = None
    computer_use: Mapping[str, Any] | None = None
    file_search: Mapping[str, Any] | None = None
    mcp_servers: Sequence[Mapping[str, Any]] = ()
    retrieval: Mapping[str, Any] | None = None
    enterprise_web_search: Mapping[str, Any] | None = None
    parallel_ai_search: Mapping[str, Any] | None = None
    exa_ai_search: Mapping[str, Any] | None = None


class Setup(Wire, frozen=True, kw_only=True):
    """The first message of a connection. Everything but ``model`` may be left out.

    Attributes:
        model: a short id such as ``gemini-3.8-live``, or the full resource name.
        generation_config: how the model answers.
        system_instruction: text parts only.
        tools: what the model may call.
        realtime_input_config: how live input becomes turns.
        session_resumption: asks for resumption; `connect` sets it, unless reconnecting is switched off.
        context_window_compression: lifts the session's time limit.
        input_audio_transcription: asks for the user's words as text.
        output_audio_transcription: asks for the model's words as text.
        proactivity: whether the model may leave something unanswered.
        explicit_vad_signal: asks for `VoiceActivity` events; Vertex AI only.
        history_config: whether the conversation begins with a history.
        avatar_config: a talking face as video output.
        safety_settings: what is blocked, for each category of harm.
        labels: such as ``safety_identifier``; keys and values of lower-case letters, digits, _ and -, 63 at most, and a
            key begins with a letter.
    """

    model: str
    generation_config: GenerationConfig | None = None
    system_instruction: Content | None = None
    tools: Sequence[Tool] = ()
    realtime_input_config: RealtimeInputConfig | None = None
    session_resumption: SessionResumptionConfig | None = None
    context_window_compression: ContextWindowCompression | None = None
    input_audio_transcription: AudioTranscriptionConfig | None = None
    output_audio_transcription: AudioTranscriptionConfig | None = None
    proactivity: ProactivityConfig | None = None
    explicit_vad_signal: bool | None = None
    history_config: HistoryConfig | None = None
    avatar_config: AvatarConfig | None = None
    safety_settings: Sequence[SafetySetting] = ()
    labels: Mapping[str, str] = {}


# --- this side of the wire -------------------------------------------------------------------------------------------


class ReconnectPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When and how often to dial again after a connection was lost.

    Attempt *n* waits a random time between 0 and ``min(cap_s, base_s × 2^(n−1))`` ("full jitter": clients that were cut
    off together do not come back together). A session that was up resets the count. A planned move, which the service
    announces by ``goAway``, waits not at all.

    Attributes:
        enabled: false ends the session with the first lost connection.
        base_s: the longest wait before the first attempt, in seconds; it doubles with each further one.
        cap_s: no wait is longer than this, in seconds.
        max_attempts: dials in a row that may fail before the session gives up; ``None`` never gives up.
        when_stalled: also move to a new connection when the service owes an answer and says nothing (`Stalled`).
    """

    enabled: bool = True
    base_s: float = 0.5
    cap_s: float = 5.0
    max_attempts: int | None = 10
    when_stalled: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.base_s <= self.cap_s:
            raise ConfigError(f"need 0 <= base_s <= cap_s, got {self.base_s} and {self.cap_s}", path="reconnect.base_s")
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ConfigError(
                f"max_attempts is at least 1, got {self.max_attempts}; enabled=False switches reconnecting off",
                path="reconnect.max_attempts",
            )

    def ceiling_s(self, attempt: int) -> float:
        """The longest wait before this attempt, counted from 1, in seconds."""
        # ldexp-like growth without the overflow of 2.0**1024, for policies that never give up
        return min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 64))


class OutboxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much may wait while the network is slow or down.

    Attributes:
        audio_ms: speech that has waited for so many milliseconds expires, and `InputDropped` reports it.
        control_bytes: text, content, tool answers and activity marks never expire; above this size senders wait.
        replay_bytes: how much is kept for an exact replay where the service acknowledges messages (Vertex AI).
    """

    audio_ms: int = 2_000
    control_bytes: int = 1 << 20
    replay_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} cannot be negative", path=f"outbox.{name}")


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    return re.sub("//.*@", "//…@", url)


def _is_proxy(url: str) -> bool:
    if not re.match(r"(https?|socks4a?|socks5h?)://", url, re.IGNORECASE):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is only read now
    except ValueError:
        return False
    return bool(parts.hostname)


class TransportConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the service.

    Attributes:
        connect_timeout_s: one deadline over DNS, TCP, TLS, upgrade and setup, for each dial.
        close_timeout_s: how long to wait for the other side's closing words before the socket is dropped.
        ping_after_s: silence after which the line is probed.
        lost_after_s: further silence after which it counts as lost. Pongs that take 30 s are normal under load.
        stalled_after_s: silence of the service, while it owes an answer, after which `Stalled` says so.
        headers: extra headers for the upgrade request.
        proxy: ``http://…``, or ``socks5://…`` with the extra ``[socks]`` (the proxy then resolves the host's name);
            ``user:password@`` stands before the host if it asks for them; ``None`` follows the environment:
            ``WSS_PROXY``, then, but not to this machine, ``HTTPS_PROXY``, and ``NO_PROXY``.
        ssl: an ``ssl.SSLContext`` of your own, for a private certificate authority.
    """

    connect_timeout_s: float = 15.0
    close_timeout_s: float = 1.0
    ping_after_s: float = 15.0
    lost_after_s: float = 45.0
    stalled_after_s: float = 15.0
    headers: Mapping[str, str] = {}
    proxy: str | None = None
    ssl: Any = None

    def __post_init__(self) -> None:
        for name in ("connect_timeout_s", "close_timeout_s", "ping_after_s", "lost_after_s", "stalled_after_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}", path=f"transport.{name}")
        if self.proxy is not None and not _is_proxy(self.proxy):
            # not shown: it may hold a password
            raise ConfigError(
                "proxy is no http, https, socks4 or socks5 URL with a host; "
                "in a password write # / ? @ as %23 %2F %3F %40",
                path="transport.proxy",
            )

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self._shown()]
        return f"TransportConfig({', '.join(shown)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Keep `rich` from showing what the ``repr`` does not."""
        return self._shown()

    def _shown(self) -> list[tuple[str, Any]]:
        """What is not the default, without credentials."""
        shown: list[tuple[str, Any]] = []
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if field.name == "headers" and value:
                shown.append(("headers", sorted(value)))
            elif field.name == "proxy" and value:
                shown.append(("proxy", without_password(value)))
            elif field.name != "headers" and value != field.default:
                shown.append((field.name, value))
        return shown


class VoiceDetector(Protocol):
    """Says of each chunk of audio whether somebody speaks: any function that is called as ``detector(chunk) -> bool``.

    ``chunk`` is the next ``SessionConfig.chunk_ms`` of mono at 16 kHz, an ``int16`` array of shape ``(n,)``. The call
    comes in the thread that the audio comes from.
    """

    def __call__(self, chunk: npt.NDArray[np.int16], /) -> bool:
        """Whether somebody speaks in this chunk."""
        ...


class SpeechPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How the service learns where the user's speech begins and ends.

    Attributes:
        stream_end_after_ms: where the service finds that out itself: say ``audioStreamEnd`` when no audio was given for
            so long, because it waits for silence, which is audio too. ``None`` leaves that to you.
        preroll_ms: where its detection is disabled: how much of the newest audio is kept before `activity_start`, to be
            sent right after it, since a beginning is noticed late. Earlier audio is not sent; the service would discard
            it. With 0 everything is sent as it comes.
        detector: your own voice activity detector; the session then calls `activity_start` and `activity_end` itself.
        hangover_ms: how long the detector must be silent before that is the end.
    """

    stream_end_after_ms: int | None = 1_000
    preroll_ms: int = 300
    detector: VoiceDetector | None = None
    hangover_ms: int = 500

    def __post_init__(self) -> None:
        if self.stream_end_after_ms is not None and self.stream_end_after_ms < 1:
            raise ConfigError(
                f"stream_end_after_ms must be 1 or more, or None, got {self.stream_end_after_ms}",
                path="speech.stream_end_after_ms",
            )
        for name, most in (("preroll_ms", 10_000), ("hangover_ms", 60_000)):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must be 0 to {most}, got {getattr(self, name)}", path=f"speech.{name}")
        if self.detector is not None and not callable(self.detector):
            raise ConfigError(
                f"detector must be callable with a chunk of samples, not {type(self.detector).__name__}",
                path="speech.detector",
            )


_PARTS = {"transport": TransportConfig, "reconnect": ReconnectPolicy, "outbox": OutboxLimits, "speech": SpeechPolicy}


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All of it together: what is said to the service, how it is reached, and what happens when it cannot be.

    Attributes:
        setup: what the service is told.
        transport: how the service is reached.
        reconnect: when and how often to dial again.
        outbox: how much may wait while the network is slow or down.
        speech: how the service learns where speech begins and ends.
        chunk_ms: length of one audio message, 10 to 100; the service recommends 20 to 40, longer ones delay its ear.
        check_capabilities: refuse at once what the service (Developer API or Vertex AI) or the model is known to
            refuse.

    Raises:
        ConfigError: a value out of range, or a part of another type; only `connect` itself reads mappings.
    """

    setup: Setup
    transport: TransportConfig = TransportConfig()
    reconnect: ReconnectPolicy = ReconnectPolicy()
    outbox: OutboxLimits = OutboxLimits()
    speech: SpeechPolicy = SpeechPolicy()
    chunk_ms: int = 20
    check_capabilities: bool = True

    @property
    def has_manual_vad(self) -> bool:
        """Whether the service's own voice activity detection is disabled, so that the client marks activity."""
        realtime = self.setup.realtime_input_config
        detection = realtime and realtime.automatic_activity_detection
        return bool(detection and detection.disabled)

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            part: object = getattr(self, name)
            if not isinstance(part, kind):
                raise ConfigError(f"{name} must be {kind.__name__}, not {type(part).__name__}", path=name)
        if self.speech.detector is not None and not self.has_manual_vad:
            raise ConfigError(
                "a detector of your own needs the service's disabled: "
                "realtime_input_config={'automatic_activity_detection': {'disabled': True}}",
                path="speech.detector",
            )
        if not 10 <= self.chunk_ms <= 100:
            raise ConfigError(f"chunk_ms must be 10 to 100, got {self.chunk_ms}", path="chunk_ms")
