"""How the generations of Live models differ, and how fast the emulator goes: data, nothing else."""

from __future__ import annotations

from math import inf
from typing import Annotated, Final, Literal

import msgspec

from gemini_live.emulator.knobs import check_fields, knob
from gemini_live.errors import ConfigError

__all__ = ["AUDIO_MODELS", "ELSEWHERE", "PROFILES", "TEXT_MODELS", "TRANSCRIBE_MODELS", "VOICES", "Pace", "Profile"]

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

ELSEWHERE: Final = {
    "dev": frozenset({"gemini-live-2.5-flash-native-audio"}),
    "vertex": frozenset(model for model in AUDIO_MODELS if model.startswith("gemini-2.5-")),
}
"""Models that only the other API has: 2.5 goes by other names there (model pages)."""

TRANSCRIBE_MODELS: Final = (
    "gemini-3.5-transcribe-live",
    "gemini-3.5-transcribe",
    "gemini-3.5-transcribe-live-preview",
)
"""Models that only transcribe."""

TEXT_MODELS: Final = (*TRANSCRIBE_MODELS, "gemini-robotics-er-2-streaming-preview")
"""Models whose sessions have the modality ``TEXT`` (model pages)."""

VOICES: Final = (
    "Zephyr Puck Charon Kore Fenrir Leda Orus Aoede Callirrhoe Autonoe Enceladus Iapetus Umbriel Algieba Despina "
    "Erinome Algenib Rasalgethi Laomedeia Achernar Alnilam Schedar Gacrux Pulcherrima Achird Zubenelgenubi "
    "Vindemiatrix Sadachbia Sadaltager Sulafat"
)
"""The prebuilt voices (capabilities guide)."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long things take. The defaults are what was measured on gemini-3.8-live.

    Raises:
        ConfigError: a negative number, a speed of 0, or no time between two updates.
    """

    setup_s: Annotated[
        float, knob("pace", "from the setup to setupComplete; 0.22 to 0.34 s was measured", option="pace-setup")
    ] = 0.25
    think_s: Annotated[
        float,
        knob("pace", "from the end of the user's turn to the first audio, after the silence", option="pace-think"),
    ] = 0.5
    speed: Annotated[
        float, knob("pace", "times faster than real time that speech is sent; inf is at once", option="pace-speed")
    ] = 5.0
    hold: Annotated[
        float,
        knob("pace", "turnComplete comes at the first audio plus this many times its duration", option="pace-hold"),
    ] = 1.0
    first_update_s: Annotated[
        float, knob("pace", "from setupComplete to the first sessionResumptionUpdate", option="pace-first-update")
    ] = 0.1
    update_every_s: Annotated[
        float, knob("pace", "between two updates, for models that send them all the time", option="pace-update-every")
    ] = 1.2
    update_after_turn_s: Annotated[
        float,
        knob(
            "pace", "from turnComplete to the update, for those that send one a turn", option="pace-update-after-turn"
        ),
    ] = 0.05
    refuse_s: Annotated[
        float, knob("pace", "from the setup to the close of a refused resume; 0.5 to 1.6 s", option="pace-refuse")
    ] = 0.5
    waits: Annotated[
        float, knob("pace", "waits of scripts and replays take this many times as long", option="pace-waits")
    ] = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "pace")
        if self.speed == 0:
            raise ConfigError("speed 0 would never say anything", path="pace.speed")
        if self.update_every_s == 0:
            raise ConfigError("update_every_s 0 would never say anything else", path="pace.update_every_s")

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
            waits=0,
        )


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a generation of models does. The path of the upgrade says whose API is spoken; see `Emulator`.

    The defaults are gemini-3.8-live's.

    Attributes:
        name: for people.
        surface: ``"vertex"`` serves the Vertex AI paths only; ``None``, the default, those of both APIs.
        pace: how long things take; by default ``Pace()``.
        models: model ids, without ``models/``, that exist besides the service's own; by default none.
    """

    name: str
    surface: Literal["vertex"] | None = None

    several_fields: Annotated[
        bool, knob("model", "one message may hold audio and its transcription (3.x), or one field each (2.5)")
    ] = True
    whole_sentences: Annotated[
        bool, knob("model", "the input is transcribed as one sentence (3.x), or word by word (2.5)")
    ] = True
    voice_activity: Annotated[
        bool, knob("model", "send voiceActivity unasked; Vertex AI sends it if explicitVadSignal asks")
    ] = True
    role: Annotated[bool, knob("model", "say the role in a model turn (3.x, and all of Vertex AI)")] = True
    updates: Annotated[
        Literal["once", "periodic", "turns"],
        knob("model", "when sessionResumptionUpdate comes; on Vertex AI it is always after turns"),
    ] = "once"
    media_chunks: Annotated[bool, knob("model", "still take realtimeInput.mediaChunks")] = False
    content_after_first_turn: Annotated[
        bool, knob("model", "take clientContent all session, not only before the model's first turn")
    ] = True
    thoughts: Annotated[
        Literal["never", "asked", "unasked"],
        knob(
            "model", "begin an answer with a thought: never (3.8), if includeThoughts asks, or unless it is off (2.5)"
        ),
    ] = "never"
    steps: Annotated[
        int, knob("model", "turnComplete comes so often with IN_PROGRESS before it comes with IDLE; 0 says neither")
    ] = 0
    transcribes: Annotated[
        bool, knob("model", "only transcribe, with interim results; transcribe models do so by themselves")
    ] = False

    behavior: Annotated[
        Literal["BLOCKING", "NON_BLOCKING"],
        knob("model", "what a function is whose declaration does not say (measured on 3.8; documented elsewhere)"),
    ] = "NON_BLOCKING"
    other_behavior: Annotated[
        Literal["taken", "ignored", "refused"], knob("model", "what becomes of a declaration that says the other one")
    ] = "taken"
    scheduling: Annotated[bool, knob("model", "heed the scheduling of answers; extended thinking does not")] = True
    cancels_calls: Annotated[
        bool, knob("model", "interrupting a pending call sends toolCallCancellation (2.x; never seen on 3.8)")
    ] = False
    reissues_calls: Annotated[
        bool, knob("model", "call again, with a new id, when the user has interrupted a call (seen on 3.8)")
    ] = False
    call_ids: Annotated[bool, knob("model", "give calls an id; Vertex AI once did not")] = True
    lifetime_s: Annotated[
        float, knob("model", "how long a connection lasts: 58:00 was measured on 3.8, 10 min is documented")
    ] = 3_480.0

    pace: Pace = Pace()
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, "profile")


PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile(name="3.8"),
        Profile(
            name="3.8-extended-thinking",
            thoughts="asked",
            steps=1,
            other_behavior="refused",
            scheduling=False,
        ),
        Profile(
            name="3.1",
            updates="periodic",
            content_after_first_turn=False,
            thoughts="asked",
            behavior="BLOCKING",
            other_behavior="ignored",
            lifetime_s=600.0,
        ),
        Profile(
            name="2.5",
            several_fields=False,
            whole_sentences=False,
            voice_activity=False,
            role=False,
            updates="periodic",
            media_chunks=True,
            thoughts="unasked",
            behavior="BLOCKING",
            cancels_calls=True,
            lifetime_s=600.0,
        ),
        Profile(name="vertex", surface="vertex", updates="turns", lifetime_s=600.0),
    )
}
"""The profiles by name: ``3.8``, ``3.8-extended-thinking``, ``3.1``, ``2.5`` and ``vertex``.

``msgspec.structs.replace(PROFILES["3.1"], call_ids=False)`` makes another one.
"""
