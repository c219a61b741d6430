"""What a session tells its user: the service's messages as typed events, and what the session did about the network.

An event is an immutable struct. One message of the service may give several; `Interrupted` then comes first, so that a
loudspeaker falls silent before anything else is handled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gemini_live.messages import Discreet, FunctionCall, Part, Shown, Wire

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "CloseKind",
    "Closed",
    "DeliveryUncertain",
    "Error",
    "Event",
    "GenerationComplete",
    "GoAway",
    "Grounding",
    "InputDropped",
    "InputTranscription",
    "Interrupted",
    "Lagged",
    "ModalityTokenCount",
    "ModelAudio",
    "ModelPart",
    "ModelText",
    "OutputTranscription",
    "Phase",
    "Reconnected",
    "Reconnecting",
    "SessionResumption",
    "SessionStatus",
    "SetupComplete",
    "SpeechState",
    "Stalled",
    "Thought",
    "ToolCall",
    "ToolCallCancellation",
    "TranscribedWord",
    "TurnComplete",
    "Unknown",
    "UrlContext",
    "Usage",
    "VadSignal",
    "VoiceActivity",
    "WaitingForInput",
]


class SessionStatus(Enum):
    """What a session is doing; `Session.status` shows it, `Session.wait_for_status` awaits it."""

    CONNECTING = "connecting"
    """The first connection is being made."""
    CONNECTED = "connected"
    """The service has confirmed the setup: what is sent goes out."""
    RECONNECTING = "reconnecting"
    """The connection was lost or is being moved: what is sent waits."""
    CLOSED = "closed"
    """The session has ended for good."""


class Phase(Enum):
    """How far a connection had come when it failed."""

    DIAL = "dial"
    """DNS, TCP, TLS, proxy or the HTTP upgrade."""
    SETUP = "setup"
    """The setup message was sent, its answer had not come."""
    OPEN = "open"
    """The session was usable."""


class CloseKind(Enum):
    """Why a connection ended, as far as code, reason and phase tell."""

    REQUESTED = "requested"
    """``close()`` was called."""
    PLANNED = "planned"
    """The service's connection limit, announced or not."""
    NETWORK = "network"
    """DNS, TCP or TLS failed, or the line went dead."""
    TIMEOUT = "timeout"
    """The connection was not usable in ``connect_timeout_s``."""
    SERVER = "server"
    """The service had a fault or is overloaded."""
    QUOTA = "quota"
    """Too many requests, tokens or sessions."""
    CREDENTIALS = "credentials"
    """A key or token is missing, wrong or leaked, or the function that gives it raised."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a name, not a secret
    """An ephemeral token is used up; a new one continues the session."""
    HANDLE = "handle"
    """The session that was to be resumed is gone."""
    SETUP = "setup"
    """The service does not accept the setup or a message; retrying cannot help."""
    RECONNECT_DISABLED = "reconnect_disabled"
    """The connection was lost and the policy says not to dial again."""
    RECONNECT_EXHAUSTED = "reconnect_exhausted"
    """As many dials failed in a row as the policy allows."""
    HANDED_OVER = "handed_over"
    """``hand_over()`` was called; the session goes on in another process."""
    ABANDONED = "abandoned"
    """Nobody holds the session any more."""
    INTERNAL = "internal"
    """A fault of this package."""


class Event(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """The base of all events."""


# --- from the service ------------------------------------------------------------------------------------------------


class SetupComplete(Discreet, Event, frozen=True, kw_only=True):
    """A connection is usable. Vertex AI names the session.

    Attributes:
        session_id: the service's name for the session; Vertex AI only.
        voice_consent_signature: proof of consent to a replicated voice, to be sent instead of the recorded consent.
    """

    session_id: str | None = None
    voice_consent_signature: str | None = None

    _discreet = frozenset({"voice_consent_signature"})


class ModelAudio(Discreet, Event, frozen=True, kw_only=True, gc=False):  # bytes and numbers can be no part of a cycle
    """A piece of the answer: 16-bit little-endian mono PCM, usually 24 kHz and faster than real time.

    Attributes:
        data: the samples as bytes.
        rate_hz: samples per second; 24,000 where the service does not say.
        turn: which answer of the session it belongs to, counted from 1, across reconnects.
        sequence: which piece of that answer it is, counted from 1.
    """

    data: bytes
    rate_hz: int = 24_000
    turn: int = 0
    sequence: int = 0

    def _shown(self) -> list[tuple[str, Any]]:
        place = [("turn", self.turn), ("sequence", self.sequence)] if self.turn else []
        return [("data", Shown(f"<{len(self.data)} bytes>")), ("rate_hz", self.rate_hz), *place]

    @property
    def samples(self) -> npt.NDArray[np.int16]:
        """The samples as a read-only int16 array of shape ``(n,)`` that shares this event's memory.

        An odd byte at the end, which the service was never seen to send, is half a sample and is left out.
        """
        import numpy as np  # noqa: PLC0415 - most programs never need it here, and it is slow to import

        return np.frombuffer(self.data, dtype="<i2", count=len(self.data) // 2)

    @property
    def duration_s(self) -> float:
        """How long it takes to play, in seconds."""
        return len(self.data) / 2 / self.rate_hz


class ModelText(Event, frozen=True, kw_only=True):
    """A piece of the answer as text, from models that answer so.

    Attributes:
        text: the piece, blanks included.
        thought_signature: opaque; belongs to the text when it is given back to the service.
    """

    text: str
    thought_signature: bytes | None = None


class Thought(Event, frozen=True, kw_only=True):
    """A piece of the model's reasoning, if ``include_thoughts`` asked for it.

    Attributes:
        text: the piece, blanks included.
        thought_signature: opaque; belongs to the text when it is given back to the service.
    """

    text: str
    thought_signature: bytes | None = None


class ModelPart(Event, frozen=True, kw_only=True):
    """A part of the answer that is neither audio, text nor thought: code, a result of it, an image, a video.

    What the service says about a piece of audio or text, such as its speaker, comes so as well, right behind the piece.

    Attributes:
        part: as the service gives it.
    """

    part: Part


class TranscribedWord(msgspec.Struct, frozen=True, kw_only=True):
    """One word and its place, if ``word_timestamp`` asked for it.

    Attributes:
        word: as it is spelt in the text.
        start_offset_s: where it begins, in seconds from the beginning of the audio.
        end_offset_s: where it ends, in seconds from the beginning of the audio.
    """

    word: str = ""
    start_offset_s: float | None = None
    end_offset_s: float | None = None


class InputTranscription(Event, frozen=True, kw_only=True):
    """What the user said. Pieces are appended as they are, blanks included.

    Attributes:
        text: the piece.
        finished: the last piece, where the service says so.
        interim: a quick guess that replaces the former one and is not to be appended.
        language_code: what was spoken, such as ``de-DE``.
        speaker_label: who spoke, if ``diarization`` asked for it.
        words: each word with its time, if ``word_timestamp`` asked for it.
        start_offset_s: where the piece begins, in seconds from the beginning of the audio.
        end_offset_s: where the piece ends, in seconds from the beginning of the audio.
    """

    text: str
    finished: bool = False
    interim: bool = False
    language_code: str | None = None
    speaker_label: str | None = None
    words: Sequence[TranscribedWord] = ()
    start_offset_s: float | None = None
    end_offset_s: float | None = None


class OutputTranscription(Event, frozen=True, kw_only=True):
    """What the model says, as text. After an interruption it may hold words that were never played.

    Pieces are appended as they are, blanks included.

    Attributes:
        text: the piece.
        finished: the last piece, where the service says so.
        language_code: what is spoken, such as ``de-DE``.
        speaker_label: who speaks, if ``diarization`` asked for it.
        words: each word with its time, if ``word_timestamp`` asked for it.
        start_offset_s: where the piece begins, in seconds from the beginning of the audio.
        end_offset_s: where the piece ends, in seconds from the beginning of the audio.
    """

    text: str
    finished: bool = False
    language_code: str | None = None
    speaker_label: str | None = None
    words: Sequence[TranscribedWord] = ()
    start_offset_s: float | None = None
    end_offset_s: float | None = None


class GenerationComplete(Event, frozen=True, kw_only=True):
    """All of the answer was produced; it may still be playing."""


class TurnComplete(Event, frozen=True, kw_only=True):
    """The turn is over, about when its audio has been played.

    Attributes:
        reason: why an empty or cut turn ended, such as ``NEED_MORE_INPUT``; values unknown here are passed on.
        interaction_status: ``IN_PROGRESS`` means that an extended-thinking model will go on by itself.
    """

    reason: str | None = None
    interaction_status: str | None = None


class Interrupted(Event, frozen=True, kw_only=True):
    """The user cut in: stop playing, and forget what waits to be played."""


class WaitingForInput(Event, frozen=True, kw_only=True):
    """The model says nothing because it expects the user to go on."""


class ToolCall(Event, frozen=True, kw_only=True):
    """The model asks for functions; answer each with `Session.send_tool_response`.

    Those that the session runs itself (``connect(…, tools=[function])``) it answers itself.

    Attributes:
        calls: one or several, each with its ``id``, ``name`` and ``args``.
    """

    calls: Sequence[FunctionCall]


class ToolCallCancellation(Event, frozen=True, kw_only=True):
    """These calls must not be answered any more.

    Attributes:
        ids: those of the calls.
    """

    ids: Sequence[str]


class Grounding(Event, frozen=True, kw_only=True):
    """Where an answer comes from.

    Attributes:
        metadata: the service's ``groundingMetadata``, as it is.
    """

    metadata: Mapping[str, Any]


class UrlContext(Event, frozen=True, kw_only=True):
    """Which pages were read for an answer.

    Attributes:
        metadata: the service's ``urlContextMetadata``, as it is.
    """

    metadata: Mapping[str, Any]


class SessionResumption(Discreet, Event, frozen=True, kw_only=True):
    """The service's offer to resume from here. The session uses it by itself.

    Attributes:
        handle: ``None`` when the session cannot be resumed at this point.
        resumable: whether it can.
        last_consumed_client_message_index: the last message of this connection that the handle's state contains,
            counted from 1; Vertex AI with ``transparent`` only.
    """

    handle: str | None
    resumable: bool = False
    last_consumed_client_message_index: int | None = None

    def _shown(self) -> list[tuple[str, Any]]:
        # a handle opens a conversation, so it is nothing for a log
        index = self.last_consumed_client_message_index
        last = [] if index is None else [("last_consumed_client_message_index", index)]
        return [("handle", self.handle and Shown()), ("resumable", self.resumable), *last]


class GoAway(Event, frozen=True, kw_only=True):
    """The service will close this connection. The session moves by itself.

    Attributes:
        time_left_s: seconds until then, if the service says.
    """

    time_left_s: float | None = None


class ModalityTokenCount(Wire, frozen=True, kw_only=True):
    """Tokens of one modality.

    Attributes:
        modality: ``TEXT``, ``AUDIO``, ``IMAGE``, ``VIDEO`` or ``DOCUMENT``.
        token_count: how many; 0 where the service does not say.
    """

    modality: str = ""
    token_count: int = 0


class Usage(Event, frozen=True, kw_only=True):
    """Tokens, once for each turn. A count that the service does not give is 0.

    Attributes:
        prompt_token_count: of the whole context, which is counted again in each turn.
        cached_content_token_count: of the prompt, those that were cached.
        response_token_count: of the answer.
        tool_use_prompt_token_count: of the prompt that tools of the service were used with.
        thoughts_token_count: of the model's reasoning.
        total_token_count: as the service adds them up.
        prompt_tokens_details: ``prompt_token_count`` by modality.
        cache_tokens_details: ``cached_content_token_count`` by modality.
        response_tokens_details: ``response_token_count`` by modality.
        tool_use_prompt_tokens_details: ``tool_use_prompt_token_count`` by modality.
        traffic_type: such as ``ON_DEMAND`` or ``PROVISIONED_THROUGHPUT``, where the service says.
        service_tier: ``flex``, ``standard`` or ``priority``, where the service says.
    """

    prompt_token_count: int = 0
    cached_content_token_count: int = 0
    response_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    thoughts_token_count: int = 0
    total_token_count: int = 0
    prompt_tokens_details: Sequence[ModalityTokenCount] = ()
    cache_tokens_details: Sequence[ModalityTokenCount] = ()
    response_tokens_details: Sequence[ModalityTokenCount] = ()
    tool_use_prompt_tokens_details: Sequence[ModalityTokenCount] = ()
    traffic_type: str | None = None
    service_tier: str | None = None


class VoiceActivity(Event, frozen=True, kw_only=True):
    """The service heard speech begin or end.

    Attributes:
        type: which of the two.
        audio_offset_s: where, in seconds of audio that the service has received in this session, across reconnects.
    """

    type: Literal["ACTIVITY_START", "ACTIVITY_END"]
    audio_offset_s: float | None = None


class VadSignal(Event, frozen=True, kw_only=True):
    """An older form of `VoiceActivity`, for allow-listed accounts (``voiceActivityDetectionSignal``).

    Attributes:
        type: ``VAD_SIGNAL_TYPE_SOS``, the start of speech, or ``VAD_SIGNAL_TYPE_EOS``, its end.
    """

    type: str


class SpeechState(Event, frozen=True, kw_only=True):
    """Whether the service hears speech; documented on Vertex AI, where `VoiceActivity` replaces it.

    Attributes:
        state: ``SPEECH`` or ``NON_SPEECH``.
    """

    state: str


class Error(Event, frozen=True, kw_only=True):
    """The service reported an error inside the stream, without closing.

    Attributes:
        code: the service's number for it, if it gives one.
        status: the service's name for it.
        message: the service's words.
    """

    code: int | None = None
    status: str = ""
    message: str = ""


class Unknown(Discreet, Event, frozen=True, kw_only=True):
    """A message, or a part of one, that this version does not understand. Nothing is lost and nothing breaks.

    What was understood of the message comes before it, as the events that it always is.

    Attributes:
        raw: the whole message as it came.
        problem: what was wrong with it; ``""`` if it is sound JSON with names that are not known here.
        fields: the names that are not known here, with their place, such as ``serverContent.somethingNew``.
    """

    raw: bytes
    problem: str = ""
    fields: Sequence[str] = ()

    # whatever the service says may stand in it, a handle too
    _discreet = frozenset({"raw"})


# --- from the session ------------------------------------------------------------------------------------------------


class Reconnecting(Event, frozen=True, kw_only=True):
    """The connection is gone, or about to be moved, and another dial follows.

    Attributes:
        attempt: counted from 1 since a connection last held for 2 s.
        delay_s: seconds until that dial; 0 for a planned move.
        kind: why.
        code: the close code or HTTP status, if the other side gave one.
        reason: the other side's words, or the operating system's.
    """

    attempt: int
    delay_s: float
    kind: CloseKind
    code: int | None = None
    reason: str = ""


class Reconnected(Event, frozen=True, kw_only=True):
    """The session is up again.

    Attributes:
        gap_s: seconds for which nothing could be sent.
        attempts: dials since a connection last held for 2 s, as `Reconnecting` counts them.
        context_restored: false means that the service has forgotten the conversation.
        replayed: messages that were sent again because the service's state did not contain them yet.
        answer_cut: the model was in the middle of an answer, and does not go on with it: ask again. False if all of
            the answer had come, if the user had cut in, while a tool call is pending, after whose answer the model goes
            on, and if the question was sent again (Vertex AI), so that it is answered anew.
    """

    gap_s: float
    attempts: int
    context_restored: bool
    replayed: int = 0
    answer_cut: bool = False


class InputDropped(Event, frozen=True, kw_only=True):
    """Input was given up: audio that waited too long, oldest first, or an image that a newer one replaced.

    Attributes:
        kind: which of the two.
        count: messages.
        duration_s: seconds of audio in them; 0 for video.
    """

    kind: Literal["audio", "video"]
    count: int
    duration_s: float = 0.0


class DeliveryUncertain(Event, frozen=True, kw_only=True):
    """Messages were on their way when the connection was lost, and the service does not say whether they arrived.

    They are not sent again by themselves: a text that is heard twice is worse than one that is asked for again.

    Attributes:
        kinds: how many of each kind, such as ``{"text": 1}``.
    """

    kinds: Mapping[str, int]


class Stalled(Event, frozen=True, kw_only=True):
    """The service owes an answer and says nothing: it heard the user end, or was asked, and has been silent since.

    Some models may choose not to answer; then this says no more than that.

    Attributes:
        silent_s: for how long.
    """

    silent_s: float


class Lagged(Event, frozen=True, kw_only=True):
    """This consumer was too slow: more than five minutes of audio lay unread, and the oldest was skipped for it.

    Only the session's own iterator, as long as nobody has begun to read it, may skip other events as well.

    Attributes:
        count: pieces that were skipped.
    """

    count: int


class Closed(Event, frozen=True, kw_only=True):
    """The session has ended for good; nothing follows.

    Attributes:
        kind: why.
        phase: how far the last connection had come.
        code: the close code or HTTP status, if the other side gave one.
        reason: the other side's words, or the operating system's.
        hint: what to do about it, in one sentence; ``""`` if nothing is known.
        undelivered: messages that were accepted and never written.
        attempts: dials in a row at the end that failed, or whose connection did not hold for 2 s.
    """

    kind: CloseKind
    phase: Phase = Phase.OPEN
    code: int | None = None
    reason: str = ""
    hint: str = ""
    undelivered: int = 0
    attempts: int = 0

    def describe(self) -> str:
        """One line for people."""
        what = f"{self.kind.value.replace('_', ' ')} ({self.phase.value})"
        code = "" if self.code is None else f", code {self.code}"
        said = " ".join(self.reason.split())  # the other side's words: a line end in them would forge a line of a log
        reason = f": {said}" if said else ""
        hint = f"{'' if said.endswith('.') else '.'} {self.hint}" if self.hint else ""
        return f"{what}{code}{reason}{hint}"
