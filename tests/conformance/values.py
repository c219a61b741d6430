"""Values for every field, made from its type, and what is compared of a value, whatever it is written in."""

from __future__ import annotations

import datetime as dt
import enum
import types as python_types
import typing
from collections.abc import Mapping, Sequence

import msgspec
import pydantic
from google.genai import types

BYTES = b"\xfb\xef\xbe\xff"  # its base64 differs in the URL-safe alphabet, and needs padding
DEEPEST = 8

# What a type cannot say.
BY_NAME = {
    "top_k": 40.0,  # a float in the SDK, an integer in the protobuf messages
    "mime_type": "audio/pcm",
    "role": "user",
    "start_offset": "0.5s",
    "end_offset": "1.250s",
    "audio_offset": "0.160s",
    "time_left": "50s",
    "interval": "10s",
    "timeout": "10s",
    "sse_read_timeout": "10s",
}


class Maker:
    """Makes values. Strings and numbers are all different, so that each can be found again."""

    def __init__(self):
        self.count = 0

    def model(self, kind, depth=0):
        """A pydantic model with all fields set, as far as its fields end somewhere."""
        return kind(**{name: self.field(kind, name, depth) for name in self.fields(kind, depth)})

    def fields(self, kind, depth):
        hints = kind.model_fields
        return [name for name in hints if depth < DEEPEST and not is_of(hints[name].annotation, kind)]

    def field(self, kind, name, depth=0):
        return self.value(kind.model_fields[name].annotation, name, depth)

    def value(self, hint, name="", depth=0):
        self.count += 1
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            # the SDK's list of tools
            return [self.value(types.Tool, name, depth)]
        if origin in (typing.Union, python_types.UnionType):
            return self.value(arguments[0], name, depth)
        if origin is typing.Literal:
            return arguments[-1]
        if origin in (list, tuple, Sequence):
            return [self.value(arguments[0], name, depth)]
        if origin in (dict, Mapping):
            return {"key": self.value(arguments[1], name, depth)}
        if hint is bytes:
            return BYTES
        if hint is bool:
            return True
        if hint is int:
            return 1000 + self.count
        if hint is float:
            return BY_NAME.get(name) or 1000.5 + self.count
        if hint is typing.Any:
            return {"any": f"any-{self.count}"}
        if hint is str:
            return BY_NAME.get(name, f"{name}-{self.count}")
        if hint is dt.datetime:
            return dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return list(hint)[-1]
        if isinstance(hint, type) and issubclass(hint, pydantic.BaseModel):
            return self.model(hint, depth + 1)
        raise AssertionError(f"no value for {name}: {hint}")


def is_of(hint, kind):
    """Whether values of the type may hold values of this kind directly."""
    return hint is kind or any(is_of(part, kind) for part in typing.get_args(hint))


def models_in(hint):
    """The pydantic models that a type names; the SDK's own annotation hides that a list of tools holds tools."""
    if typing.get_origin(hint) is typing.Annotated:
        return [types.Tool]
    if isinstance(hint, type) and issubclass(hint, pydantic.BaseModel):
        return [hint]
    return [model for part in typing.get_args(hint) for model in models_in(part)]


def reachable(*roots):
    """All models inside these, each once, in the order in which they are met."""
    found: list[type[pydantic.BaseModel]] = []
    waiting = list(roots)
    while waiting:
        model = waiting.pop(0)
        if model not in found:
            found.append(model)
            waiting += [inner for field in model.model_fields.values() for inner in models_in(field.annotation)]
    return found


def paths(model, place=(), seen=(), without=()):
    """Every field that holds no others, as the names that lead there; ``without`` are places not to look into."""
    for name, field in model.model_fields.items():
        inner = [one for one in models_in(field.annotation) if one.model_fields and one not in seen]
        if ".".join((*place, name)) in without or not inner:
            yield (*place, name)
        else:
            yield from paths(inner[0], (*place, name), (*seen, inner[0]), without)


def only(model, path, beside, maker=None):
    """A model in which only this field is set, all of it.

    Args:
        model: a type of the SDK's.
        path: the names that lead to the field.
        beside: what must stand beside a field, by type and name, or beside all fields of a type.
        maker: of the value.
    """
    name, *rest = path
    maker = maker or Maker()
    hint = model.model_fields[name].annotation
    value = only(models_in(hint)[0], rest, beside, maker) if rest else maker.value(hint, name)
    if rest and is_list(hint):
        value = [value]
    others = beside.get(model.__name__, {}) | beside.get((model.__name__, name), {})
    return model(**others | {name: value})


def is_list(hint):
    if typing.get_origin(hint) in (typing.Union, python_types.UnionType):
        return is_list(typing.get_args(hint)[0])  # the others are shorter ways to write it
    return typing.get_origin(hint) in (list, typing.Annotated)


def plain(value):
    """Structs and models as the fields that are set; enums as names, times as on the wire, sequences as lists."""
    match value:
        case enum.Enum():
            return value.value
        case dt.datetime():
            return value.isoformat().replace("+00:00", "Z")
        case pydantic.BaseModel():
            return {name: plain(getattr(value, name)) for name in value.model_fields_set}
        case msgspec.Struct():
            defaults = msgspec.inspect.type_info(type(value)).fields
            return {
                field.name: plain(getattr(value, field.name))
                for field in defaults
                if getattr(value, field.name) != field.default
            }
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value
