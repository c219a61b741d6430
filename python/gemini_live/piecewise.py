"""Reads a message piece by piece: a value that cannot be read, or a name that is not known, spoils only its own place.

`codec` first reads a message strictly, in one go. Where that fails, because of a name that is not known here or a value
of another type than the reference says, it is read again in this way, which is slower and keeps what is understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from gemini_live.server_messages import GoAway, ModelTurn, Sent, ServerContent, ServerMessage, SetupComplete, ToolCall

__all__ = ["UNREADABLE", "Pieces", "read"]

UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What msgspec raises when it cannot read something."""

# Of these, a field that cannot be read leaves the others standing. All others are taken whole or not at all: a function
# must not be called with half of its arguments.
_IN_PIECES = frozenset({ServerMessage, ServerContent, SetupComplete, ModelTurn, ToolCall, GoAway})

_AnySent = TypeVar("_AnySent", bound=Sent)
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class Pieces(NamedTuple):
    """What could be read of a message, and what could not.

    Attributes:
        message: what could be read; ``None`` if it is no JSON object.
        problems: of the values that could not be read, each with its place.
        unknown: the places of the names that are not known here.
    """

    message: ServerMessage | None
    problems: list[str]
    unknown: list[str]


def read(raw: bytes) -> Pieces:
    """Read as much of a message as can be read. Never raises."""
    reader = _Reader()
    message = reader.struct(ServerMessage, raw, "")
    return Pieces(message, reader.problems, reader.unknown)


class _Field(msgspec.Struct, frozen=True):
    name: str
    hint: Any
    inner: type[Sent] | None
    """The struct in it, if there is one."""
    many: bool


@cache
def _fields(kind: type[Sent]) -> dict[str, _Field]:
    """The fields of a message by their names on the wire."""
    hints = get_type_hints(kind)
    fields: dict[str, _Field] = {}
    for name, wire_name in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        value = next(part for part in get_args(hints[name]) if part is not type(None))  # X of X | None
        many = get_origin(value) is Sequence
        inner: Any = get_args(value)[0] if many else value
        if not (isinstance(inner, type) and issubclass(inner, Sent)):
            inner = None
        fields[wire_name] = _Field(name, hints[name], inner, many)
    return fields


class _Reader:
    """One reading of a message, and what it could not read."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.unknown: list[str] = []

    def struct(self, kind: type[_AnySent], raw: bytes | msgspec.Raw, place: str) -> _AnySent | None:
        """A message, or a part of one, of this kind; ``None`` if it cannot be read."""
        try:
            if kind not in _IN_PIECES:
                return msgspec.convert(self._known(kind, msgspec.json.decode(raw), place), kind)
            members = _members_decoder.decode(raw)
        except UNREADABLE as error:
            self.problems.append(_problem(place, error))
            return None
        fields = _fields(kind)
        values: dict[str, Any] = {}
        for wire_name, member in members.items():
            inside = f"{place}.{wire_name}" if place else wire_name
            if bytes(member) == b"null":
                continue  # as good as absent
            if wire_name not in fields:
                self.unknown.append(inside)
                continue
            field = fields[wire_name]
            values[field.name] = self._value(field, member, inside)
        return kind(**values)

    def _value(self, field: _Field, raw: msgspec.Raw, place: str) -> object:
        try:
            if field.inner is None:
                return msgspec.json.decode(raw, type=field.hint)
            if not field.many:
                return self.struct(field.inner, raw, place)
            items = _items_decoder.decode(raw)
        except UNREADABLE as error:
            self.problems.append(_problem(place, error))
            return None
        kind = field.inner
        structs = (self.struct(kind, item, f"{place}[{index}]") for index, item in enumerate(items))
        return [struct for struct in structs if struct is not None]

    def _known(self, kind: type[Sent], value: object, place: str) -> object:
        """The value without the names that are not known here, which are noted."""
        if not isinstance(value, dict):
            return value
        fields = _fields(kind)
        known: dict[str, object] = {}
        for wire_name, member in cast("dict[str, object]", value).items():
            field, inside = fields.get(wire_name), f"{place}.{wire_name}"
            if field is None:
                if member is not None:
                    self.unknown.append(inside)
            elif field.inner is None:
                known[wire_name] = member
            elif field.many and isinstance(member, list):
                items = cast("list[object]", member)
                inner = field.inner
                known[wire_name] = [self._known(inner, item, f"{inside}[{at}]") for at, item in enumerate(items)]
            else:
                known[wire_name] = self._known(field.inner, member, inside)
        return known


def _problem(place: str, error: Exception) -> str:
    words = str(error) or type(error).__name__
    return f"{place}: {words}" if place else words
