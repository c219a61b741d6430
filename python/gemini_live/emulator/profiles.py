"""How the generations of Live models differ, and how fast the emulator goes: data, nothing else."""

from __future__ import annotations

from math import inf
from typing import Final, Literal

import msgspec

__all__ = ["AUDIO_MODELS", "PROFILES", "TEXT_MODELS", "VOICES", "Pace", "Profile"]

AUDIO_MODELS: Final = (
    "gemini-3.8-live",
    "gemini-3.8-live-extended-thinking",
    "gemini-3.1-flash-live-preview",
    "gemini-2.5-flash-native-audio-latest",
    "gemini-2.5-flash-native-audio-preview-09-2025",
    "gemini-2.5-flash-native-audio-preview-12-2025",
    "gemini-live-2.5-flash-native-audio",
    "gemini-3.5-live-translate-preview",
)
"""Models that answer with ``AUDIO`` only (model pages)."""

TEXT_MODELS: Final = (
    "gemini-3.5-transcribe-live",
    "gemini-3.5-transcribe",
    "gemini-3.5-transcribe-live-preview",
    "gemini-robotics-er-2-streaming-preview",
)
"""Models whose sessions have the modality ``TEXT`` (model pages)."""

VOICES: Final = (
    "Zephyr Puck Charon Kore Fenrir Leda Orus Aoede Callirrhoe Autonoe Enceladus Iapetus Umbriel Algieba Despina "
    "Erinome Algenib Rasalgethi Laomedeia Achernar Alnilam Schedar Gacrux Pulcherrima Achird Zubenelgenubi "
    "Vindemiatrix Sadachbia Sadaltager Sulafat"
)
"""The prebuilt voices (capabilities guide)."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long things take, in seconds. The defaults are what was measured on gemini-3.8-live.

    Attributes:
        setup_s: from the setup message to setupComplete.
        think_s: from the end of the user's turn to the first audio; with 0.7 s of silence this makes 1.2 s.
        speed: how many times faster than real time audio is sent; ``inf`` sends all of it at once.
        hold: turnComplete comes at the first audio plus this many times the audio's duration; 1 is the service.
        first_update_s: from setupComplete to the first sessionResumptionUpdate.
        update_every_s: between two updates, for profiles that send them all the time.
        update_after_turn_s: from turnComplete to the update, for profiles that send one for each turn.
        refuse_s: from the setup to the close, when a resume is refused.
    """

    setup_s: float = 0.25
    think_s: float = 0.5
    speed: float = 5.0
    hold: float = 1.0
    first_update_s: float = 0.1
    update_every_s: float = 1.2
    update_after_turn_s: float = 0.05
    refuse_s: float = 0.5

    @classmethod
    def compressed(cls) -> Pace:
        """No waiting at all, except for what must come later to mean anything: refusals and periodic updates, 50 ms."""
        return cls(
            setup_s=0,
            think_s=0,
            speed=inf,
            hold=0,
            first_update_s=0,
            update_every_s=0.05,
            update_after_turn_s=0,
            refuse_s=0.05,
        )


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a generation of models does. The path of the upgrade says whose API is spoken; see `Emulator`.

    Attributes:
        name: for people.
        surface: ``"vertex"`` serves the Vertex AI paths only; ``None`` serves both.
        several_fields: one message may hold audio and its transcription (3.x); otherwise one field each (2.5).
        whole_sentences: the input transcription comes as one sentence (3.x) instead of word by word (2.5).
        voice_activity: sends ``voiceActivity`` unasked. Vertex AI sends it when ``explicitVadSignal`` asks.
        role: says ``"role": "model"`` in a model turn (3.x, and all of Vertex AI).
        updates: the cadence of sessionResumptionUpdate on the Developer API; on Vertex AI it is always ``"turns"``.
        media_chunks: still takes ``realtimeInput.mediaChunks``.
        content_after_first_turn: takes clientContent all session, not only before the model's first turn.
        cancels_calls: interrupting a pending tool call sends toolCallCancellation.
        pace: how long things take.
        models: model ids, without ``models/``, that exist besides the service's own.
    """

    name: str
    surface: Literal["vertex"] | None = None
    several_fields: bool = True
    whole_sentences: bool = True
    voice_activity: bool = True
    role: bool = True
    updates: Literal["once", "periodic", "turns"] = "once"
    media_chunks: bool = False
    content_after_first_turn: bool = True
    cancels_calls: bool = False
    pace: Pace = Pace()
    models: tuple[str, ...] = ()


PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile(name="3.8"),
        Profile(name="3.1", updates="periodic", content_after_first_turn=False),
        Profile(
            name="2.5",
            several_fields=False,
            whole_sentences=False,
            voice_activity=False,
            role=False,
            updates="periodic",
            media_chunks=True,
            cancels_calls=True,
        ),
        Profile(name="vertex", surface="vertex", updates="turns"),
    )
}
"""The profiles by name; ``msgspec.structs.replace`` makes others from them."""
