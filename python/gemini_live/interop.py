"""What a caller gives instead of our structs → our structs: mappings in either spelling, and other libraries' objects.

A mapping may be written in snake_case or camelCase, freely mixed at every depth, as the service itself allows. An
object with ``model_dump()``, such as the official SDK's configuration, is read through that method. A name that does
not exist is an error that names the closest one that does.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints, runtime_checkable

import msgspec

from gemini_live.config import GenerationConfig, Setup
from gemini_live.errors import ConfigError
from gemini_live.messages import Content, Part

__all__ = ["SupportsModelDump", "contents_from", "setup_from", "struct_from"]

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


@runtime_checkable
class SupportsModelDump(Protocol):
    """A pydantic model, or anything that can be read like one."""

    def model_dump(self, *, exclude_none: bool) -> dict[str, Any]:
        """Return the fields that are set, by name."""
        ...


def setup_from(given: str | Setup | Mapping[str, Any] | SupportsModelDump) -> Setup:
    """Read a setup; a bare model name asks for spoken answers.

    Raises:
        ConfigError: no model, an unknown field or a value of the wrong type, with its path.
    """
    if isinstance(given, str):
        # AUDIO is all that native-audio and 3.x Live models answer with, and an unset modality is the server's guess
        given = Setup(model=given, generation_config=GenerationConfig(response_modalities=("AUDIO",)))
    setup = struct_from(Setup, given, "setup")
    if not setup.model.strip():
        raise ConfigError("the setup names no model", path="setup.model")
    return setup


def contents_from(
    given: str | Content | Mapping[str, Any] | SupportsModelDump | Sequence[Content | Mapping[str, Any]],
) -> list[Content]:
    """Read turns: one or several; a string is a turn of the user.

    Raises:
        ConfigError: an unknown field or a value of the wrong type, with its path.
    """
    if isinstance(given, str):
        return [Content(role="user", parts=[Part(text=given)])]
    turns: object = [given] if isinstance(given, Content | Mapping | SupportsModelDump) else given
    if not isinstance(turns, Sequence):
        raise ConfigError(
            f"turns must be Content, a mapping or a list of them, not {type(given).__name__}", path="turns"
        )
    items = typing.cast("Sequence[object]", turns)
    return [struct_from(Content, turn, f"turns[{index}]") for index, turn in enumerate(items)]


def struct_from(kind: type[_Struct], given: object, path: str) -> _Struct:
    """Read ``given`` as a struct of this kind; one that is already is returned as it is.

    Args:
        kind: what it should become.
        given: a struct, a mapping, or an object with ``model_dump()``.
        path: how an error calls it.

    Raises:
        ConfigError: an unknown field or a value of the wrong type, with its path.
    """
    if isinstance(given, kind):
        return given
    given = _plain(given)
    if not isinstance(given, Mapping):
        raise ConfigError(f"{path} must be {kind.__name__} or a mapping, not {type(given).__name__}", path=path)
    mapping = typing.cast("Mapping[object, object]", given)
    try:
        return msgspec.convert(_rename(kind, mapping, path), kind)
    except msgspec.ValidationError as error:
        # msgspec ends its message with the place, as `$.wireName[0]`, where $ stands for the struct
        message, _, where = str(error).partition(" - at ")
        place = path + _as_given(mapping, where.removeprefix("`key` in ").strip("`$"))
        raise ConfigError(f"{place}: {message}", path=place) from None


def _plain(value: object) -> object:
    return value.model_dump(exclude_none=True) if isinstance(value, SupportsModelDump) else value


def _as_given(given: object, where: str) -> str:
    """A place like ``.generationConfig.topP``, spelled as the caller spelled it."""
    spelled = ""
    for step in re.findall(r"\.\w+|\[[^]]*\]", where):
        here, given = _plain(given), None
        if isinstance(here, Mapping):
            fields = typing.cast("Mapping[object, object]", here)
            name = next((key for key in fields if isinstance(key, str) and _snake(key) == _snake(step[1:])), step[1:])
            given = fields.get(name)
            spelled += f".{name}" if step.startswith(".") else step
        else:
            if isinstance(here, Sequence) and step[1:-1].isdecimal():
                given = typing.cast("Sequence[object]", here)[int(step[1:-1])]
            spelled += step
    return spelled


def _rename(kind: type[msgspec.Struct], given: Mapping[object, object], path: str) -> dict[str, object]:
    """Spell every name as on the wire, following the structs' types, so that free-form mappings stay as they are."""
    names = _spellings(kind)
    renamed: dict[str, object] = {}
    for key, value in given.items():
        if not isinstance(key, str) or key not in names:
            near = difflib.get_close_matches(_snake(str(key)), names, n=1, cutoff=0.6)
            did_you_mean = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"{path} has no field {key!r}{did_you_mean}",
                path=f"{path}.{key}",
                suggestion=near[0] if near else None,
            )
        wire_name, inner = names[key]
        if value is None:
            continue  # as in proto3 JSON
        if wire_name in renamed:
            raise ConfigError(f"{path} gives {key!r} twice, in two spellings", path=f"{path}.{key}")
        renamed[wire_name] = _rename_value(inner, value, f"{path}.{key}")
    return renamed


def _rename_value(inner: type[msgspec.Struct] | None, value: object, path: str) -> object:
    value = _plain(value)
    if inner is None:
        return value
    if isinstance(value, Mapping):
        return _rename(inner, typing.cast("Mapping[object, object]", value), path)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        items = typing.cast("Sequence[object]", value)
        return [_rename_value(inner, item, f"{path}[{index}]") for index, item in enumerate(items)]
    return value


@cache
def _spellings(kind: type[msgspec.Struct]) -> dict[str, tuple[str, type[msgspec.Struct] | None]]:
    """Both spellings of each field → its name on the wire and the struct inside it, if there is one."""
    hints = get_type_hints(kind)
    spellings: dict[str, tuple[str, type[msgspec.Struct] | None]] = {}
    for name, wire_name in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        spellings[name] = spellings[wire_name] = (wire_name, _struct_in(hints[name]))
    return spellings


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - a type expression has no better type
    """The struct in ``X``, ``X | None`` or ``Sequence[X]``."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    if get_origin(hint) in (typing.Union, types.UnionType, Sequence):
        return next((found for part in get_args(hint) if (found := _struct_in(part))), None)
    return None


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
