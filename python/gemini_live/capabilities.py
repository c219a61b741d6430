"""What a surface or a model refuses, as data: found before any I/O, with what to do instead.

The rows are the official SDK's refusals for each surface, the Live API reference, and what the model pages say. A model
that is not known here is not checked, so that a new one works on its first day; and since the service may change before
this package does, ``connect(check_capabilities=False)`` skips the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from gemini_live.auth import GeminiApi, VertexAi
from gemini_live.errors import ConfigError

if TYPE_CHECKING:
    from gemini_live.auth import Endpoint
    from gemini_live.messages import FunctionResponse
    from gemini_live.setup_message import Setup

__all__ = ["Model", "Surface", "check_responses", "check_setup", "modality_of", "model_of", "surface_of"]


class Surface(Enum):
    """Where a setup goes."""

    DEVELOPER = "the Developer API"
    VERTEX = "Vertex AI"


class Model(Enum):
    """Models that differ in what they take; the value begins the ids of a family, its longest match decides."""

    LIVE_3_8 = "gemini-3.8-live"
    LIVE_3_8_THINKING = "gemini-3.8-live-extended-thinking"
    FLASH_LIVE_3_1 = "gemini-3.1-flash-live"
    NATIVE_AUDIO_2_5 = "gemini-2.5-flash-native-audio"
    NATIVE_AUDIO_2_5_VERTEX = "gemini-live-2.5-flash-native-audio"
    TRANSCRIBE = "gemini-3.5-transcribe"
    TRANSLATE = "gemini-3.5-live-translate"
    ROBOTICS = "gemini-robotics-er-2-streaming"


_Where: TypeAlias = Surface | Model
_3_8 = (Model.LIVE_3_8, Model.LIVE_3_8_THINKING)
_2_5 = (Model.NATIVE_AUDIO_2_5, Model.NATIVE_AUDIO_2_5_VERTEX)
_SPOKEN = (*_3_8, Model.FLASH_LIVE_3_1, *_2_5)
_WRITTEN = (Model.TRANSCRIBE, Model.ROBOTICS)

_ANYTHING = object()


class _Refusal(msgspec.Struct, frozen=True):
    where: tuple[_Where, ...]
    path: str
    """Below the setup, ``[]`` for each item of a list, in the spelling of our structs."""
    mend: str
    values: tuple[object, ...] = (_ANYTHING,)
    """What is refused there; by default whatever is set."""

    @property
    def is_about_all(self) -> bool:
        """Whether it makes no difference what is set there."""
        return self.values[0] is _ANYTHING

    def refuses(self, value: object) -> bool:
        return self.is_about_all or value in self.values


_DEV, _VERTEX = (Surface.DEVELOPER,), (Surface.VERTEX,)
_VOICE = "generation_config.speech_config.voice_config.replicated_voice_config"
_FUNCTION = "tools[].function_declarations[]"
_LEAVE = "leave it out"
_ONLY_VERTEX = "leave it out, or use endpoint=VertexAi(…)"
_ONLY_DEV = "leave it out, or use endpoint=GeminiApi()"

REFUSALS: tuple[_Refusal, ...] = (
    # surfaces: the official SDK's converters
    _Refusal(_DEV, "session_resumption.transparent", _ONLY_VERTEX, (True,)),
    _Refusal(_DEV, "explicit_vad_signal", "leave it out: 3.8 models send VoiceActivity without being asked"),
    _Refusal(_DEV, "safety_settings[].method", _ONLY_VERTEX),
    _Refusal(_DEV, "tools[].google_search.blocking_confidence", _ONLY_VERTEX),
    _Refusal(_DEV, "tools[].google_search.exclude_domains", _ONLY_VERTEX),
    _Refusal(_DEV, "tools[].google_maps.grounding_types", _ONLY_VERTEX),
    *(
        _Refusal(_DEV, f"tools[].google_maps.auth_config.{way}", "give api_key, or use endpoint=VertexAi(…)")
        for way in (
            "auth_type",
            "api_key_config",
            "google_service_account_config",
            "http_basic_auth_config",
            "oauth_config",
            "oidc_config",
        )
    ),
    _Refusal(_DEV, "tools[].retrieval", _ONLY_VERTEX),
    _Refusal(_DEV, "tools[].enterprise_web_search", _ONLY_VERTEX),
    _Refusal(_DEV, "tools[].parallel_ai_search", _ONLY_VERTEX),
    _Refusal(_DEV, "tools[].exa_ai_search", _ONLY_VERTEX),
    _Refusal(_VERTEX, "tools[].file_search", _ONLY_DEV),
    _Refusal(_VERTEX, "tools[].mcp_servers", _ONLY_DEV),
    _Refusal(_VERTEX, "generation_config.enable_enhanced_civic_answers", _ONLY_DEV),
    _Refusal(_VERTEX, f"{_VOICE}.consent_audio", _ONLY_DEV),
    _Refusal(_VERTEX, f"{_VOICE}.voice_consent_signature", _ONLY_DEV),
    # models: their pages, and the closes that users have met
    _Refusal((Model.LIVE_3_8,), "generation_config.thinking_config", "leave it out: this model takes no such setting"),
    _Refusal(
        (Model.LIVE_3_8_THINKING,),
        "generation_config.thinking_config.thinking_level",
        "take LOW, MEDIUM or HIGH",
        ("MINIMAL", "XHIGH"),
    ),
    _Refusal(
        (*_3_8, Model.FLASH_LIVE_3_1),
        "generation_config.enable_affective_dialog",
        "leave it out: only 2.5 models have it",
        (True,),
    ),
    _Refusal(_3_8, "proactivity.proactive_audio", "leave it out: it is always on", (False,)),
    _Refusal((Model.FLASH_LIVE_3_1,), "proactivity", "leave it out: 2.5 and 3.8 models have it"),
    _Refusal(
        _SPOKEN,
        "generation_config.response_modalities[]",
        'take ["AUDIO"], and output_audio_transcription=AudioTranscriptionConfig() for the text of it',
        ("TEXT", "IMAGE"),
    ),
    _Refusal(
        _WRITTEN, "generation_config.response_modalities[]", 'take ["TEXT"]: this model does not speak', ("AUDIO",)
    ),
    _Refusal(
        (Model.LIVE_3_8_THINKING,),
        f"{_FUNCTION}.behavior",
        "take NON_BLOCKING: this model never waits for a function",
        ("BLOCKING",),
    ),
    _Refusal(_SPOKEN, "tools[].code_execution", _LEAVE),
    _Refusal(_3_8, "tools[].url_context", "leave it out: of the service's own tools this model has google_search"),
    _Refusal(_3_8, "tools[].google_maps", "leave it out: of the service's own tools this model has google_search"),
)

# preview features of the 2.5 models, which on the Developer API only one version knows
_PREVIEW = ("generation_config.enable_affective_dialog", "proactivity.proactive_audio")

# Live API reference: FunctionDeclaration.name; labels as of the Vertex AI reference
_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}", re.ASCII)
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}", re.ASCII)
_MOST_FUNCTIONS = 512


def surface_of(endpoint: Endpoint) -> Surface | None:
    """The surface that an endpoint leads to, if that is known."""
    match endpoint:
        case GeminiApi():
            return Surface.DEVELOPER
        case VertexAi():
            return Surface.VERTEX
        case _:
            return None


def model_of(name: str) -> Model | None:
    """The family of a model, by its short or its full name; ``None`` if it is not known here."""
    short = name.rpartition("/")[2]
    families = [family for family in Model if re.fullmatch(rf"{re.escape(family.value)}(-[\w.-]+)?", short)]
    family = max(families, key=lambda one: len(one.value), default=None)
    # gemini-3.8-live-something-else may be another model; a date, a number or a state of release is none
    if family is Model.LIVE_3_8 and not re.fullmatch(r"(-(\d+|preview|latest))*", short.removeprefix(family.value)):
        return None
    return family


def modality_of(name: str) -> str:
    """How a model answers."""
    return "TEXT" if model_of(name) in _WRITTEN else "AUDIO"


def check_setup(setup: Setup, endpoint: Endpoint) -> None:
    """Refuse what the service would refuse.

    Raises:
        ConfigError: names the field, who refuses it, and the mend.
    """
    _check_limits(setup)
    places: list[_Where | None] = [surface_of(endpoint), model_of(setup.model)]
    for place in places:
        for row in REFUSALS:
            if place is None or place not in row.where:
                continue
            for path, value in _found(setup, row.path):
                if row.refuses(value):
                    raise _refused(path, value, place, setup, row)
    _check_combinations(setup, endpoint)


def _refused(path: str, value: object, place: _Where, setup: Setup, row: _Refusal) -> ConfigError:
    who = place.value if isinstance(place, Surface) else setup.model.rpartition("/")[2]
    said = "" if row.is_about_all else f" = {value!r}"
    return ConfigError(
        f"setup.{path}{said} is not accepted by {who}: {row.mend} (check_capabilities=False sends it all the same)",
        path=f"setup.{path}",
    )


def _check_combinations(setup: Setup, endpoint: Endpoint) -> None:
    model = model_of(setup.model)
    compression = setup.context_window_compression
    if compression is not None and compression.sliding_window is None:
        raise ConfigError(
            "setup.context_window_compression chooses no mechanism: add sliding_window=SlidingWindow()",
            path="setup.context_window_compression.sliding_window",
        )
    if model not in _2_5:
        return
    if isinstance(endpoint, GeminiApi) and endpoint.version != "v1alpha":
        for path in _PREVIEW:
            if any(value for _, value in _found(setup, path)):
                raise ConfigError(
                    f"setup.{path} is a preview feature of this model: use endpoint=GeminiApi(version='v1alpha')",
                    path=f"setup.{path}",
                )
    tools = [tool for tool in setup.tools if tool.google_search is not None]
    if tools and any(tool.function_declarations for tool in setup.tools):
        raise ConfigError(
            "setup.tools: 2.5 models take google_search or functions, not both; 3.8 models take both",
            path="setup.tools",
        )


def _check_limits(setup: Setup) -> None:
    names = [
        (f"setup.tools[{at}].function_declarations[{index}].name", declaration.name)
        for at, tool in enumerate(setup.tools)
        for index, declaration in enumerate(tool.function_declarations)
    ]
    if len(names) > _MOST_FUNCTIONS:
        raise ConfigError(
            f"setup.tools declares {len(names)} functions; the service takes {_MOST_FUNCTIONS}", path="setup.tools"
        )
    for path, name in names:
        if not _FUNCTION_NAME.fullmatch(name):
            raise ConfigError(
                f"{path}: {name!r} is no name that the service takes: a letter or _, then letters, digits and _ . : -, "
                "128 at most",
                path=path,
            )
    for key, value in setup.labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise ConfigError(
                f"setup.labels: {key!r}: {value!r} is no label that the service takes: lower-case letters, digits, _ "
                "and -, 63 at most, and a key begins with a letter",
                path=f"setup.labels.{key}",
            )


def check_responses(responses: Iterable[FunctionResponse], endpoint: Endpoint, model: str) -> None:
    """Refuse answers to tool calls that the service would refuse.

    Raises:
        ConfigError: names the field, who refuses it, and the mend.
    """
    for index, response in enumerate(responses):
        if response.will_continue and surface_of(endpoint) is Surface.VERTEX:
            raise ConfigError(
                f"responses[{index}].will_continue is not accepted by Vertex AI: send one complete answer",
                path=f"responses[{index}].will_continue",
            )
        if response.scheduling is not None and model_of(model) is Model.LIVE_3_8_THINKING:
            raise ConfigError(
                f"responses[{index}].scheduling is not accepted by {model.rpartition('/')[2]}: leave it out",
                path=f"responses[{index}].scheduling",
            )


def _found(value: object, path: str) -> Iterator[tuple[str, Any]]:
    """Everything that is set at a path, with the place of each."""
    step, _, rest = path.partition(".")
    name = step.removesuffix("[]")
    if isinstance(value, Mapping):  # a free-form object, in whichever spelling the caller chose
        fields = cast("Mapping[str, object]", value)
        camel = re.sub(r"_(\w)", lambda found: found[1].upper(), name)
        inner = fields.get(name, fields.get(camel))
    elif isinstance(value, msgspec.Struct):
        inner = getattr(value, name)
    else:
        return  # a free-form object may hold anything where another is expected
    if inner is None or inner == ():
        return
    items: Sequence[tuple[str, object]] = [(name, inner)]
    if step.endswith("[]"):
        items = [(f"{name}[{index}]", item) for index, item in enumerate(cast("Sequence[object]", inner))]
    for place, item in items:
        if not rest:
            yield place, item
        else:
            yield from ((f"{place}.{deeper}", found) for deeper, found in _found(item, rest))
