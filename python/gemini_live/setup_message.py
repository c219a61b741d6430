"""What a session is told before it starts: the setup message, field by field.

Each struct is the ``setup`` message of the protocol or a part of it. Enumerations are plain strings, so that a value
which the service learns tomorrow can be sent today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from gemini_live.messages import Content, Discreet, Wire

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
    "PrebuiltVoiceConfig",
    "ProactivityConfig",
    "RealtimeInputConfig",
    "ReplicatedVoiceConfig",
    "SafetySetting",
    "SessionResumptionConfig",
    "Setup",
    "SlidingWindow",
    "SpeechConfig",
    "ThinkingConfig",
    "Tool",
    "TranslationConfig",
    "VoiceConfig",
    "VoiceConsentSignature",
]


class PrebuiltVoiceConfig(Wire, frozen=True, kw_only=True):
    """One of the service's voices, such as ``Kore``.

    Attributes:
        voice_name: not checked here: the service has regional names beside its thirty.
    """

    voice_name: str


class VoiceConsentSignature(Discreet, Wire, frozen=True, kw_only=True):
    """Proof, given by the service, that the owner of a voice agreed to its replication.

    Attributes:
        signature: opaque.
    """

    signature: str

    _discreet = frozenset({"signature"})


class ReplicatedVoiceConfig(Discreet, Wire, frozen=True, kw_only=True):
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

    _discreet = frozenset({"voice_sample_audio", "consent_audio"})


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


class SessionResumptionConfig(Discreet, Wire, frozen=True, kw_only=True):
    """Asks for resumption; the session sets it by itself when it may reconnect.

    Attributes:
        handle: resumes that session.
        transparent: Vertex AI only: the service says which client messages its state contains, so that the rest can be
            replayed exactly.
    """

    handle: str | None = None
    transparent: bool | None = None

    _discreet = frozenset({"handle"})


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


class CustomizedAvatar(Discreet, Wire, frozen=True, kw_only=True):
    """A portrait, 9:16 and at least 704×1280, that the avatar is made from.

    Attributes:
        image_mime_type: of the image.
        image_data: the file's bytes.
    """

    image_mime_type: str = ""
    image_data: bytes | None = None

    _discreet = frozenset({"image_data"})


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


class Tool(Discreet, Wire, frozen=True, kw_only=True):
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

    # what they prove themselves with stands in there, at places that only the service knows
    _discreet = frozenset({"google_maps", "mcp_servers", "retrieval", "parallel_ai_search", "exa_ai_search"})


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
