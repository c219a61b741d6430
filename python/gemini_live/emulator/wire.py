"""Reads what clients send: JSON by the rules of proto3, which are lenient with spelling and strict with names.

Field names may be camelCase or snake_case at every depth, bytes standard or URL-safe base64 with or without padding,
enum names in any case or numbers, 64-bit integers numbers or strings; ``null`` means absent (Live API
reference; E8 to E12).
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import Any, Final, Literal, NoReturn, cast

import pybase64

from gemini_live.emulator.schema import CLIENT_KINDS, ENUMS, MESSAGES, VERTEX_ONLY

__all__ = [
    "INVALID_ARGUMENT",
    "Refusal",
    "SurfaceName",
    "close_reason",
    "is_close_code",
    "parse",
    "read",
    "read_message",
    "snake_case",
]

SurfaceName = Literal["dev", "vertex"]
"""Whose API a client speaks: the Gemini Developer API or Vertex AI."""

INVALID_ARGUMENT: Final = "Request contains an invalid argument."

_INT_LIMITS: Final = {"int32": 1 << 31, "int64": 1 << 63}


class Refusal(Exception):  # noqa: N818 - what the service does, not a fault of this program
    """The service closes the connection because of what the client did.

    Attributes:
        code: the WebSocket close code.
        reason: the close reason, not yet cut to size.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


def close_reason(text: str) -> bytes:
    """The text as a close frame can hold it: at most 123 bytes of UTF-8, cut between characters (RFC 6455; E6)."""
    return text.encode(errors="replace")[:123].decode(errors="ignore").encode()


def is_close_code(code: int) -> bool:
    """Whether a close frame can hold it (RFC 6455)."""
    return 1000 <= code <= 4999 and code not in {1004, 1005, 1006, 1015}


def read(data: str | bytes, surface: SurfaceName) -> tuple[str, dict[str, Any]]:
    """One client message as its kind, such as ``realtime_input``, and its fields.

    Names come back in snake_case, bytes decoded, enums as upper-case names, integers as ``int``; absent stays absent.

    Raises:
        Refusal: 1007, with the service's words.
    """
    try:
        message = parse(data)
    except (ValueError, RecursionError):
        raise _invalid() from None
    fields = _message(message, "ClientMessage", "", surface)
    kinds = [kind for kind in CLIENT_KINDS if kind in fields]
    if len(kinds) != 1:
        raise _invalid()
    return kinds[0], cast("dict[str, Any]", fields[kinds[0]])


def parse(data: str | bytes) -> object:
    """JSON as RFC 8259 has it: UTF-8, and without Python's own ``NaN`` and ``Infinity``.

    Raises:
        ValueError: it is no JSON, or has a number that is too large for a double.
        RecursionError: it is nested too deeply.
    """
    # json.loads would guess at UTF-16 and UTF-32 if it were given bytes
    return json.loads(data if isinstance(data, str) else data.decode(), parse_constant=_no_number, parse_float=_double)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _double(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        _no_number(digits)
    return number


def read_message(value: object, message: str, surface: SurfaceName) -> dict[str, Any]:
    """Fields of a message of the schema, from JSON that has been parsed.

    Raises:
        Refusal: 1007, with the service's words.
    """
    return _message(value, message, "", surface)


def snake_case(name: str) -> str:
    """``responseModalities`` as ``response_modalities``; what is spelt so already stays."""
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def _invalid() -> Refusal:
    return Refusal(1007, INVALID_ARGUMENT)


@cache
def _fields(message: str) -> dict[str, tuple[str, str]]:
    """Spelling → (snake_case name, type), for both spellings of each field."""
    table: dict[str, tuple[str, str]] = {}
    for name, kind in MESSAGES[message].items():
        table[name] = table[re.sub("_([a-z0-9])", lambda found: found[1].upper(), name)] = (name, kind)
    return table


def _message(value: object, message: str, path: str, surface: SurfaceName) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid()
    known = _fields(message)
    out: dict[str, Any] = {}
    for spelling, field in cast("dict[str, object]", value).items():
        name, kind = known.get(spelling, ("", ""))
        if not name or (surface == "dev" and (message, name) in VERTEX_ONLY):
            where = f" at '{path}'" if path else ""
            raise Refusal(1007, f'Invalid JSON payload received. Unknown name "{spelling}"{where}: Cannot find field.')
        if field is None:
            continue
        if name in out:
            raise _invalid()  # both spellings of one field
        out[name] = _value(field, kind, f"{path}.{name}" if path else name, surface)
    return out


def _value(value: object, kind: str, path: str, surface: SurfaceName) -> object:
    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise _invalid()
        items = enumerate(cast("list[object]", value))
        return [_value(item, kind[:-2], f"{path}[{index}]", surface) for index, item in items]
    if kind in MESSAGES:
        return _message(value, kind, path, surface)
    if kind in ENUMS:
        return _enum(value, ENUMS[kind])
    match kind, value:
        case ("any", _) | ("string", str()) | ("bool", bool()) | ("struct", dict()):
            return value  # pyright: ignore[reportUnknownVariableType]
        case "bytes", str():
            return _bytes(value)
        case "int32" | "int64", _:
            return _integer(value, _INT_LIMITS[kind])
        case "float", int() | float() if not isinstance(value, bool):
            return float(value)
        case "enum", str():
            return value.upper()
        case "enum", int() if not isinstance(value, bool):
            return str(value)
        case _:
            raise _invalid()


def _bytes(text: str) -> bytes:
    try:
        standard = text.translate(_STANDARD).rstrip("=").encode("ascii")
        return pybase64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are kinds of it
        raise _invalid() from None


_STANDARD: Final = str.maketrans("-_", "+/")


def _integer(value: object, limit: int) -> int:
    is_number = re.fullmatch(r"-?\d{1,20}", value, re.ASCII) if isinstance(value, str) else isinstance(value, float)
    if is_number and isinstance(value, str | float) and float(value).is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -limit <= value < limit:
        raise _invalid()
    return value


def _enum(value: object, names: tuple[str, ...]) -> str:
    if isinstance(value, str) and value.upper() in names:
        return value.upper()
    if isinstance(value, int) and not isinstance(value, bool):
        # proto3 keeps numbers that it does not know
        return names[value] if 0 <= value < len(names) else str(value)
    raise _invalid()
