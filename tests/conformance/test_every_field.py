"""Every field of every struct: set, encoded, and parsed by the official SDK's model, it has the same value."""

from __future__ import annotations

import enum
import typing

import msgspec
import pydantic
import pytest

from conformance import pairs
from conformance.values import Maker, models_in, plain

FIELDS = [(struct, name) for struct in pairs.STRUCTS for name in struct.__struct_fields__]


def model_of(struct, name):
    return pairs.ELSEWHERE.get((struct.__name__, name)) or pairs.official(struct)


def of_struct(struct, maker, only=None):
    """A struct with all fields set, or with only this one and those that must be."""
    names = [field.name for field in msgspec.structs.fields(struct) if only in (None, field.name) or field.required]
    return struct(**{name: of_field(struct, name, maker) for name in names})


def of_field(struct, name, maker):
    hint = typing.get_type_hints(struct)[name]
    official = model_of(struct, name).model_fields[name].annotation
    inner = next(iter(models_in(official)), None)
    free_form = "Mapping[" in str(hint) and inner not in (None, *pairs.OURS)
    if free_form:  # the official type knows what may stand in it
        return pydantic.TypeAdapter(official).dump_python(
            maker.value(official, name), by_alias=True, exclude_none=True, mode="json"
        )
    if (struct_in := next((part for part in parts_of(hint) if is_struct(part)), None)) is not None:
        value = of_struct(struct_in, maker)
        return [value] if "Sequence[" in str(hint) else value
    names = next((part for part in parts_of(official) if isinstance(part, type) and issubclass(part, enum.Enum)), None)
    if names is not None and hint in (str, str | None):  # an enumeration that is a plain string here
        return list(names)[-1].value
    return maker.value(hint, name)


def parts_of(hint):
    yield hint
    for part in typing.get_args(hint):
        yield from parts_of(part)


def is_struct(part):
    return isinstance(part, type) and issubclass(part, msgspec.Struct)


@pytest.mark.parametrize(("struct", "name"), FIELDS, ids=[f"{struct.__name__}.{name}" for struct, name in FIELDS])
def test_a_field_arrives_as_it_was_set(struct, name):
    ours = of_struct(struct, Maker(), only=name)
    value = plain(getattr(parsed(ours, name), name))
    assert value == as_official(getattr(ours, name), value)
    assert value not in (None, [], ""), "nothing was tested"


def parsed(ours, name):
    """What the official model makes of our JSON; unknown names and values are errors there."""
    sent = msgspec.json.decode(msgspec.json.encode(ours))
    if (type(ours).__name__, name) in pairs.ELSEWHERE:
        del sent["model"]
    return model_of(type(ours), name).model_validate_json(msgspec.json.encode(sent))


def as_official(value, like):
    """A free-form mapping is compared by what the official type makes of it: names in snake_case."""
    ours = plain(value)
    return ours if ours == like else respelled(ours)


def respelled(value):
    match value:
        case dict():
            return {pydantic.alias_generators.to_snake(key): respelled(item) for key, item in value.items()}
        case list():
            return [respelled(item) for item in value]
        case _:
            return value


@pytest.mark.parametrize("struct", pairs.STRUCTS, ids=lambda struct: struct.__name__)
def test_a_field_that_is_not_set_is_not_sent(struct):
    required = [field for field in msgspec.structs.fields(struct) if field.required]
    least = struct(**{field.name: of_field(struct, field.name, Maker()) for field in required})
    assert list(msgspec.json.decode(msgspec.json.encode(least))) == [field.encode_name for field in required]
