"""What a caller gives instead of our structs → our structs: mappings in either spelling, and other libraries' objects.

A mapping may be written in snake_case or camelCase, freely mixed at every depth, as the service itself allows. An
object with ``model_dump()``, such as the official SDK's configuration, is read through that method; its flat layout,
with the generation's settings beside the session's, is understood as well. A name that does not exist is an error that
names the closest one that does, and so is a value of the wrong type, also in a struct that was built by hand.
"""

from __future__ import annotations

import difflib
import math
import re
import types
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cache, partial
from typing import Any, Protocol, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints, runtime_checkable

import msgspec

from gemini_live.config import VoiceDetector
from gemini_live.errors import ConfigError
from gemini_live.messages import Blob, Content, FunctionResponse, Part, Wire, plain
from gemini_live.setup_message import FunctionDeclaration, GenerationConfig, Setup, Tool

__all__ = [
    "SupportsModelDump",
    "blob_from",
    "contents_from",
    "pcm_from",
    "responses_from",
    "setup_and_functions_from",
    "setup_from",
    "struct_from",
]

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_Reader: TypeAlias = Callable[[object, str], object]
"""Reads a value, given the path that an error calls it by."""

_SCREAMING = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)

_LEAVES = frozenset({str, int, bool, type(None)})

# Names that the official SDK's objects have and the Live API does not take: Live API reference, `generationConfig`.
_ELSEWHERE = {
    "http_options": "give endpoint=GeminiApi(version=…, base_url=…) and transport=TransportConfig(headers=…) instead",
    "multi_speaker_voice_config": "a Live session has one voice: give voice_config",
    **dict.fromkeys(
        (
            "audio_timestamp",
            "logprobs",
            "response_json_schema",
            "response_logprobs",
            "response_mime_type",
            "response_schema",
            "routing_config",
            "stop_sequences",
        ),
        "the Live API does not take it: leave it out",
    ),
}


@runtime_checkable
class SupportsModelDump(Protocol):
    """A pydantic model, or anything that can be read like one."""

    def model_dump(self, *, exclude_none: bool) -> dict[str, Any]:
        """Return the fields that are set, by name."""
        ...


def setup_from(
    given: str | Setup | Mapping[str, Any] | SupportsModelDump,
    config: Mapping[str, Any] | SupportsModelDump | None = None,
    *,
    modality: str = "AUDIO",
) -> Setup:
    """Read a setup without functions that are to be run; see `setup_and_functions_from`."""
    setup, functions = setup_and_functions_from(given, config, modality=modality)
    if functions:
        raise ConfigError("Python functions have no place here; declare them", path="setup.tools")
    return setup


def setup_and_functions_from(
    given: str | Setup | Mapping[str, Any] | SupportsModelDump,
    config: Mapping[str, Any] | SupportsModelDump | None = None,
    *,
    modality: str = "AUDIO",
) -> tuple[Setup, list[Callable[..., Any]]]:
    """Read a setup, and the Python functions among its tools, which the official SDK allows there.

    Args:
        given: a setup, or the model's name.
        config: everything but the model, if ``given`` is its name; in the layout of a setup or in the flat one.
        modality: what is asked for if only the name of the model is given and ``config`` does not say.

    Raises:
        ConfigError: no model, an unknown field or a value of the wrong type, with its path.
    """
    if config is not None and not isinstance(given, str):
        raise ConfigError("config goes with the name of a model; here a whole setup is given already", path="config")
    if not isinstance(given, str):
        setup, functions = _setup(given, "setup")
    else:
        if isinstance(config, Setup):  # which no type checker lets pass, but names like theirs suggest it
            raise ConfigError(
                "config is everything but the model: give the Setup alone, it names the model", path="config"
            )
        fields = _fields_of({} if config is None else config, "config")
        if fields.get("model") is not None:
            raise ConfigError("the model is named twice, in config as well", path="config.model")
        setup, functions = _setup({**fields, "model": given}, "setup" if config is None else "config")
        generation = setup.generation_config or GenerationConfig()
        if not generation.response_modalities:
            # what an unset modality means is the server's guess, and native-audio models refuse the guess
            generation = msgspec.structs.replace(generation, response_modalities=(modality,))
            setup = msgspec.structs.replace(setup, generation_config=generation)
    if not setup.model.strip():
        raise ConfigError("the setup names no model", path="setup.model")
    if "://" in setup.model:
        # not shown: it may hold a password
        raise ConfigError(
            "the model is a URL: name the model first, and give the URL as endpoint=…", path="setup.model"
        )
    return setup, functions


def _setup(given: object, path: str) -> tuple[Setup, list[Callable[..., Any]]]:
    if isinstance(given, Setup):
        return struct_from(Setup, given, path), []
    fields: Mapping[Any, object] = _fields_of(given, path, Setup)
    functions: list[Callable[..., Any]] = []
    tools = fields.get("tools")
    if isinstance(tools, list | tuple):
        items = cast("Sequence[object]", tools)
        functions = [item for item in items if callable(item)]
        if functions:
            fields = {**fields, "tools": cast("object", [item for item in items if not callable(item)])}
    # the flat layout: what belongs to the generation stands beside what belongs to the session
    ours, generations = _plan(Setup), _plan(GenerationConfig)
    flat = {name: value for name, value in fields.items() if name in generations and name not in ours}
    values = _values(Setup, {name: value for name, value in fields.items() if name not in flat}, path, also=generations)
    beside = _values(GenerationConfig, flat, path)
    if beside:
        inside = cast("GenerationConfig", values.get("generation_config") or GenerationConfig())
        for name in beside:
            if getattr(inside, name) != getattr(GenerationConfig(), name):
                raise ConfigError(
                    f"{path} gives {name!r} twice, also in generation_config", path=f"{path}.generation_config.{name}"
                )
        values["generation_config"] = msgspec.structs.replace(inside, **beside)
    return _build(Setup, values, path), functions


def contents_from(
    given: str | Content | Part | Mapping[str, Any] | SupportsModelDump | Sequence[Any],
) -> list[Content]:
    """Read turns: one or several; a string or a part is a turn of the user.

    Raises:
        ConfigError: an unknown field or a value of the wrong type, with its path.
    """
    turns: object = [given] if isinstance(given, str | Content | Part | Mapping | SupportsModelDump) else given
    if not isinstance(turns, Sequence) or isinstance(turns, bytes):
        raise ConfigError(
            f"turns must be Content, a mapping or a list of them, not {type(given).__name__}", path="turns"
        )
    items = cast("Sequence[object]", turns)
    return [struct_from(Content, item, f"turns[{index}]") for index, item in enumerate(items)]


def responses_from(given: object) -> list[FunctionResponse]:
    """Read answers to tool calls: one or several.

    Raises:
        ConfigError: an unknown field or a value of the wrong type, with its path.
    """
    one = _is_a(given, FunctionResponse, Mapping, SupportsModelDump)
    answers: object = [given] if one else given
    if not isinstance(answers, Sequence) or isinstance(answers, str | bytes):
        raise ConfigError(
            f"responses must be FunctionResponse, a mapping or a list of them, not {type(given).__name__}",
            path="responses",
        )
    items = cast("Sequence[object]", answers)
    return [struct_from(FunctionResponse, item, f"responses[{index}]") for index, item in enumerate(items)]


def blob_from(given: object, path: str) -> Blob | None:
    """Read a blob where plain data are taken as well; ``None`` if it is not one.

    Raises:
        ConfigError: a blob with an unknown field or a value of the wrong type, with its path.
    """
    if _is_a(given, Blob, dict) or hasattr(given, "mime_type"):
        return struct_from(Blob, given, path)
    return None


def pcm_from(blob: Blob, path: str) -> tuple[bytes, int]:
    """The samples of an audio blob, and their rate; 16 kHz where the MIME type does not say, as the service has it.

    Raises:
        ConfigError: not PCM, not mono, or a rate that is no number: taken for another, it would sound, and wrongly.
    """
    kind, *parameters = blob.mime_type.lower().split(";")
    said = {name.strip(): value.strip(' "') for name, _, value in (one.partition("=") for one in parameters)}
    rate = said.get("rate", "16000")
    wrong = ""
    if kind.strip() != "audio/pcm":
        wrong = f"speech is sent as audio/pcm;rate=…, not {blob.mime_type!r}"
    elif not re.fullmatch("[0-9]{1,9}", rate):
        wrong = f"the rate in {blob.mime_type!r} is no whole number"
    elif said.get("channels", "1") != "1":
        wrong = f"bytes are mono, not {blob.mime_type!r}; send an array of shape (n, channels)"
    if wrong:
        raise ConfigError(f"{path}.mime_type: {wrong}", path=f"{path}.mime_type")
    return blob.data, int(rate)


def struct_from(kind: type[_Struct], given: object, path: str) -> _Struct:
    """Read ``given`` as a struct of this kind; one that is already, and is right, is returned as it is.

    Args:
        kind: what it should become.
        given: a struct, a mapping, or an object with ``model_dump()``.
        path: how an error calls it.

    Raises:
        ConfigError: an unknown field or a value of the wrong type, with its path.
    """
    if isinstance(given, kind):
        # what stays on this side judges its values itself, and may hold more than JSON: an infinite time, say
        return _checked(given, path) if issubclass(kind, Wire) else given
    if kind is Content and (parts := _parts_of(given)) is not None:
        given = {"parts": parts, "role": "user"}  # as the official SDK has it
    elif kind is Part and isinstance(given, str):
        given = {"text": given}
    return _build(kind, _values(kind, _fields_of(given, path, kind), path), path)


# --- structs ---------------------------------------------------------------------------------------------------------


def _checked(given: _Struct, path: str) -> _Struct:
    """A struct that somebody built by hand, which checks no types."""
    changed: dict[str, object] = {}
    for name, (_, reader) in _plan(type(given)).items():
        value = getattr(given, name, None)  # a wire name has none
        if value is None or (_is_a(value, tuple) and not value):
            continue
        read = reader(value, f"{path}.{name}")
        if read is not value:
            changed[name] = read
    return msgspec.structs.replace(given, **changed) if changed else given


def _build(kind: type[_Struct], values: dict[str, Any], path: str) -> _Struct:
    missing = [name for name in _required(kind) if name not in values]
    if missing:
        raise ConfigError(f"{path}: missing required field `{missing[0]}`", path=f"{path}.{missing[0]}")
    return kind(**values)


def _values(
    kind: type[msgspec.Struct], given: Mapping[object, object], path: str, also: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """The fields that a mapping gives, read, by their names here; ``also`` are other names worth suggesting."""
    plan = _plan(kind)
    values: dict[str, Any] = {}
    for key, value in given.items():
        place = f"{path}.{key}"
        if not isinstance(key, str) or key not in plan:
            if kind is Tool and key in _plan(FunctionDeclaration):
                raise _no_tool(path)
            raise _no_field(key, path, [*plan, *(also or ())])
        if value is None and issubclass(kind, Wire):
            continue  # as in proto3 JSON
        name, reader = plan[key]
        if name in values:
            raise ConfigError(f"{path} gives {key!r} twice, in two spellings", path=place)
        values[name] = reader(value, place)
    return values


def _no_field(key: object, path: str, names: Sequence[str]) -> ConfigError:
    name = _snake(str(key))
    if name in _ELSEWHERE:
        return ConfigError(f"{path} has no field {key!r}: {_ELSEWHERE[name]}", path=f"{path}.{key}")
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    did_you_mean = f"; did you mean {near[0]!r}?" if near else ""
    return ConfigError(
        f"{path} has no field {key!r}{did_you_mean}", path=f"{path}.{key}", suggestion=near[0] if near else None
    )


def _no_tool(path: str) -> ConfigError:
    return ConfigError(
        f"{path} is the declaration of a function: give {{'function_declarations': […]}} with it", path=path
    )


def _fields_of(given: object, path: str, kind: type[msgspec.Struct] | None = None) -> Mapping[Any, object]:
    given = _dumped(given)
    if not isinstance(given, Mapping):
        if kind is Tool and isinstance(given, FunctionDeclaration):
            raise _no_tool(path)
        expected = "" if kind is None else f"{kind.__name__} or "
        raise ConfigError(f"{path} must be {expected}a mapping, not {type(given).__name__}", path=path)
    return cast("Mapping[Any, object]", given)


def _dumped(value: object) -> object:
    # looked up by name: isinstance with a protocol takes microseconds, and this runs for every value of an answer
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True) if callable(dump) else value


def _parts_of(given: object) -> object:
    """The parts that stand for a whole content, or ``None``: a string, a part, or a list of these."""
    if isinstance(given, str | Part):
        return [given]
    if isinstance(given, list | tuple):
        return cast("object", given)
    dumped = _dumped(given)
    if not _is_a(dumped, Mapping):
        return None
    names = cast("Mapping[object, object]", dumped).keys()
    return [dumped] if names and names <= _plan(Part).keys() else None


def _is_a(value: object, *kinds: type) -> bool:
    """`isinstance`, without narrowing ``object`` to a type whose contents are unknown."""
    return isinstance(value, kinds)


# --- values ----------------------------------------------------------------------------------------------------------


@cache
def _plan(kind: type[msgspec.Struct]) -> dict[str, tuple[str, _Reader]]:
    """Both spellings of each field → its name here, and how its value is read."""
    hints = get_type_hints(kind)
    plan: dict[str, tuple[str, _Reader]] = {}
    for name, wire_name in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        plan[name] = plan[wire_name] = (name, _reader(hints[name], for_json=issubclass(kind, Wire)))
    return plan


@cache
def _required(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(kind) if field.required)


def _reader(hint: Any, *, for_json: bool = True) -> _Reader:  # noqa: ANN401 - a type expression has no better type
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        reader = _reader(next(part for part in get_args(hint) if part is not type(None)), for_json=for_json)
        return reader if for_json or type(None) not in get_args(hint) else partial(_or_none, reader)
    if origin is typing.Literal:
        return partial(_choice, get_args(hint))
    if origin is Sequence:
        return partial(_list, _reader(get_args(hint)[0]))
    if origin is Mapping:
        return partial(_mapping, _anything if get_args(hint)[1] is Any else _reader(get_args(hint)[1]))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return partial(struct_from, hint)
    if hint in {Any, VoiceDetector}:
        return _as_it_is
    if hint is bytes:
        return _bytes
    return partial(_scalar if for_json else _converted, hint)


def _or_none(reader: _Reader, value: object, path: str) -> object:
    return None if value is None else reader(value, path)


def _choice(choices: Sequence[str], value: object, path: str) -> str:
    if isinstance(value, Enum):
        value = value.value
    if not isinstance(value, str):
        raise ConfigError(f"{path}: expected one of {', '.join(choices)}, not {type(value).__name__}", path=path)
    if value in choices:
        return value
    said = value.upper()
    for choice in choices:
        if choice.upper() == said:
            return choice
    loud = [choice.upper() for choice in choices]
    near = [*difflib.get_close_matches(said, loud, n=1), *(one for one in loud if said and one.endswith(f"_{said}"))]
    closest = choices[loud.index(near[0])] if near else None
    did_you_mean = f"; did you mean {closest!r}?" if closest else ""
    if _SCREAMING.fullmatch(value) and _SCREAMING.fullmatch(choices[0]):
        # the service learns new values before this package does
        warnings.warn(f"{path}: {value!r} is not known here and goes as it is{did_you_mean}", stacklevel=2)
        return value
    raise ConfigError(f"{path}: {value!r} is none of {', '.join(choices)}{did_you_mean}", path=path, suggestion=closest)


def _list(reader: _Reader, value: object, path: str) -> object:
    if not _is_a(value, Sequence) or _is_a(value, str, bytes, bytearray, memoryview):
        raise ConfigError(f"{path}: expected a list (an array in JSON), not {type(value).__name__}", path=path)
    items = cast("Sequence[object]", value)
    read = [reader(item, f"{path}[{index}]") for index, item in enumerate(items)]
    same = _is_a(value, list, tuple) and all(new is old for new, old in zip(read, items, strict=True))
    return value if same else read


def _mapping(reader: _Reader, value: object, path: str) -> object:
    value = _dumped(value)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path}: expected a mapping (an object in JSON), not {type(value).__name__}", path=path)
    given = cast("Mapping[object, object]", value)
    read: dict[str, object] = {}
    for key, inner in given.items():
        if not isinstance(key, str):
            raise ConfigError(f"{path}: keys are str, not {type(key).__name__}", path=path)
        read[key] = reader(inner, f"{path}.{key}")
    same = all(new is given[key] for key, new in read.items())
    return given if same and _is_a(given, dict) else read


def _as_it_is(value: object, _path: str) -> object:
    """An object of the caller's, such as a function: the struct judges it."""
    return value


def _anything(value: object, path: str) -> object:
    """Whatever JSON can hold."""
    try:
        return _json(value, path)
    except RecursionError:
        raise ConfigError(f"{path}: it is nested too deep, or holds itself", path=path) from None


def _json(value: object, path: str) -> object:
    if type(value) in _LEAVES:
        return value
    value = _dumped(value)
    if _is_a(value, Mapping):
        return _mapping(_json, value, path)
    if _is_a(value, list, tuple):
        return _list(_json, value, path)
    match value:
        case Enum():
            return cast("object", value.value)
        case bytes() | msgspec.Struct():
            return value
        case float():
            return _finite(float(value), path)
        case _:
            try:
                return cast("object", msgspec.to_builtins(value, str_keys=True, enc_hook=plain))
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{path}: JSON cannot hold it: {error}", path=path) from None


def _finite(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise ConfigError(f"{path}: JSON has no {value}", path=path)
    return value


def _bytes(value: object, path: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if _is_a(value, bytearray, memoryview):
        return bytes(cast("bytearray", value))
    return cast("bytes", _scalar(bytes, value, path))  # base64


def _scalar(kind: type[object], value: object, path: str) -> object:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float):
        _finite(value, path)
    return _converted(kind, value, path)


def _converted(kind: type[object], value: object, path: str) -> object:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}", path=path) from None


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
