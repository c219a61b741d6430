"""Whether a setup is acceptable: the model, and what that model takes (model pages; E15)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gemini_live.emulator.answers import functions
from gemini_live.emulator.profiles import AUDIO_MODELS, ELSEWHERE, TEXT_MODELS, VOICES
from gemini_live.emulator.wire import INVALID_ARGUMENT, Refusal, SurfaceName

if TYPE_CHECKING:
    from gemini_live.emulator.profiles import Profile

__all__ = ["admit"]

_MODEL: Final = {
    "dev": re.compile(r"(?:models|tunedModels)/([^/]+)"),
    "vertex": re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?publishers/google/models/([^/]+)"),
}
_VOICES: Final = frozenset(VOICES.lower().split())
_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_REGIONAL_VOICE: Final = re.compile(r"[a-z]{2,3}-[a-z]{2}-[a-z]+")


def admit(setup: dict[str, Any], surface: SurfaceName, version: str, profile: Profile) -> None:
    """Returns if the service would take this setup.

    Args:
        setup: its fields in snake_case.
        surface: whose API is spoken.
        version: of the API, from the path.
        profile: knows models besides the service's own.

    Raises:
        Refusal: 1008 for an unknown model, 1007 for a value that the model does not take.
    """
    name = setup.get("model", "")
    match = _MODEL[surface].fullmatch(name)
    model = match[1] if match else ""
    here = {*AUDIO_MODELS, *TEXT_MODELS} - ELSEWHERE[surface]
    if model not in here and model not in profile.models:
        raise Refusal(
            1008,
            f"{name} is not found for API version {version}, or is not supported for bidiGenerateContent. "
            "Call ListModels to see the list of available models and their supported methods.",
        )
    generation = setup.get("generation_config", {})
    modalities = generation.get("response_modalities", [])
    if len(modalities) > 1 or (model in AUDIO_MODELS and modalities not in ([], ["AUDIO"], ["VIDEO"])):
        asked = ", ".join(modalities)
        raise Refusal(
            1007, f"The requested combination of response modalities ({asked}) is not supported by the model."
        )
    voice = generation.get("speech_config", {}).get("voice_config", {})
    for spoken in (voice.get("prebuilt_voice_config", {}).get("voice_name"), voice.get("voice")):
        if spoken and spoken.lower() not in _VOICES and not _REGIONAL_VOICE.fullmatch(spoken):
            raise Refusal(1007, f"No matching speaker voice found for name: {spoken}")
    for tool in setup.get("tools", ()):
        if "code_execution" in tool and ("native-audio" in model or model.startswith("gemini-3.")):
            raise Refusal(1007, "Code Execution tool is not supported for this model")
    functions(setup.get("tools", ()), profile)
    labels = setup.get("labels", {})
    if not all(_LABEL.fullmatch(key) and isinstance(value, str) for key, value in labels.items()):
        raise Refusal(1007, INVALID_ARGUMENT)
    if _is_unsupported(model, setup, generation):
        raise Refusal(1007, INVALID_ARGUMENT)


def _is_unsupported(model: str, setup: dict[str, Any], generation: dict[str, Any]) -> bool:
    """Settings that a generation of models no longer takes. The documents name no close code for them."""
    of_3_8 = model.startswith("gemini-3.8-")
    return (
        (model == "gemini-3.8-live" and "thinking_config" in generation)
        or (model.startswith("gemini-3.") and generation.get("enable_affective_dialog", False))
        or (of_3_8 and setup.get("proactivity", {}).get("proactive_audio") is False)
    )
