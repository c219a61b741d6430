"""A knob: one field of a struct with the line that describes it, and the command-line options made from those lines.

The structs are the only table. `gemini-live emulator --help` is generated from it, so a knob cannot be missing there.
"""

from __future__ import annotations

import argparse
import math
from functools import cache, partial
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from gemini_live.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Knob", "add_options", "check_fields", "given", "knob", "knobs"]

AnyStruct = TypeVar("AnyStruct", bound=msgspec.Struct)


def knob(group: str, text: str, *, option: str = "") -> msgspec.Meta:
    """The second half of a field's annotation: ``Annotated[bool, …]``.

    Args:
        group: the heading under which ``--help`` lists it.
        text: what it does, in one line.
        option: its option, without the dashes, where the field's own name would say too little.
    """
    return msgspec.Meta(description=text, extra={"group": group, "option": option})


class Knob(msgspec.Struct, frozen=True):
    """A described field.

    Attributes:
        name: of the field.
        group: the heading it belongs to.
        text: what it does.
        option: ``--cut-after`` for ``cut_after_s``: a unit is said by the placeholder instead.
        kind: ``bool``, ``int``, ``float`` or ``str``.
        choices: the only values, if there are only some.
        default: without the option.
    """

    name: str
    group: str
    text: str
    option: str
    kind: type[Any]
    choices: tuple[str, ...]
    default: Any


def knobs(struct: type[msgspec.Struct]) -> Iterator[Knob]:
    """The described fields of a struct, in its order."""
    hints = _hints(struct)
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        plain, meta = get_args(hint)
        members = [kind for kind in get_args(plain) if kind is not NoneType] if _is_union(plain) else [plain]
        (kind,) = members
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        option = meta.extra["option"] or field.name.removesuffix("_s").replace("_", "-")
        yield Knob(
            name=field.name,
            group=meta.extra["group"],
            text=meta.description.replace("``", ""),  # for the reference
            option=f"--{option}",
            kind=str if choices else kind,
            choices=choices,
            default=field.default,
        )


def _is_union(hint: object) -> bool:
    return isinstance(hint, UnionType)


def check_fields(struct: msgspec.Struct, path: str) -> None:
    """Refuses what no knob can mean, where it is said and not where it would strike.

    Raises:
        ConfigError: a value is of another type, or a number is negative or not a number.
    """
    for name, hint in _hints(type(struct)).items():
        value: object = getattr(struct, name)
        try:
            # numpy's float64 is a float to Python, but not to msgspec
            msgspec.convert(float(value) if isinstance(value, float) else value, hint)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{name} cannot be {value!r}: {error}", path=f"{path}.{name}") from None
        if isinstance(value, int | float) and (math.isnan(value) or value < 0):
            raise ConfigError(f"{name} cannot be {value}", path=f"{path}.{name}")


@cache
def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)


def add_options(
    parser: argparse.ArgumentParser, struct: type[msgspec.Struct], *, said: dict[str, str], varies: bool = False
) -> None:
    """Declares an option for each knob of a struct, under its group's heading.

    Args:
        parser: gets them.
        struct: has them.
        said: for the groups' headings, a sentence about each group that needs one.
        varies: what is changed may not have the struct's defaults, so there are no defaults to tell, and a switch has
            both positions.
    """
    groups: dict[str, argparse._ArgumentGroup] = {}  # pyright: ignore[reportPrivateUsage] - argparse has no public name
    for one in knobs(struct):
        if one.group not in groups:
            groups[one.group] = parser.add_argument_group(one.group, said.get(one.group))
        add = partial(
            groups[one.group].add_argument, one.option, dest=_key(struct, one.name), default=argparse.SUPPRESS
        )
        text = one.text.replace("%", "%%")
        if one.kind is bool and varies:
            add(action=argparse.BooleanOptionalAction, help=text)
        elif one.kind is bool:
            add(action="store_true", help=text)
        else:
            default = "" if varies or one.default in {None, ""} else f" (default: {one.default})"
            unit = "S" if one.name.endswith("_s") else {int: "N", float: "X", str: "TEXT"}[one.kind]
            add(
                type=one.kind,
                choices=one.choices or None,
                metavar=None if one.choices else unit,
                help=text + default,
            )


def given(options: argparse.Namespace, start: AnyStruct) -> AnyStruct:
    """A struct with what the options say, and otherwise as ``start``.

    Raises:
        ConfigError: a value that the struct does not take.
    """
    kind = type(start)
    said = {one.name: getattr(options, _key(kind, one.name)) for one in knobs(kind) if _is_said(options, kind, one)}
    return msgspec.structs.replace(start, **said)


def _is_said(options: argparse.Namespace, struct: type[msgspec.Struct], one: Knob) -> bool:
    return hasattr(options, _key(struct, one.name))


def _key(struct: type[msgspec.Struct], name: str) -> str:
    return f"{struct.__name__}.{name}"
