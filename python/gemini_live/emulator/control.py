"""Commands for an emulator in another process: HTTP on its own port, from this machine only.

::

    curl -X POST localhost:8080/_emulator/go_away -d '{"timeLeftS": 5}'

Bodies and answers are JSON with camelCase names; an empty body is ``{}``. ``connection`` in a body is the number of the
one connection that is meant; without it all open ones are.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import pybase64
from aiohttp import web

from gemini_live.emulator.faults import Faults
from gemini_live.emulator.wire import is_close_code, parse
from gemini_live.errors import ConfigError

if TYPE_CHECKING:
    from gemini_live.emulator.connection import Connection
    from gemini_live.emulator.ledger import ConnectionLedger, Ledger, SessionLedger
    from gemini_live.emulator.server import Emulator

__all__ = ["COMMANDS", "PREFIX", "Control", "ledger_as_json"]

PREFIX: Final = "/_emulator/"


class _Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    connection: int | None = None


class _GoAway(_Body, frozen=True, kw_only=True):
    """Announces the end of connections, and ends them when the time is over."""

    time_left_s: Annotated[float, msgspec.Meta(ge=0)] | None = None


class _Cut(_Body, frozen=True, kw_only=True):
    """Ends TCP connections without a close frame; ``midFrame`` leaves half a frame behind."""

    mid_frame: bool = False


class _Close(_Body, frozen=True, kw_only=True):
    """Closes connections with a close frame."""

    code: int = 1011
    reason: str = ""

    def __post_init__(self) -> None:
        if not is_close_code(self.code):
            raise ValueError(f"no close frame can hold {self.code}")


class _Stall(_Body, frozen=True, kw_only=True):
    """Connections neither read nor write any more, and stay open."""


class _Interrupt(_Body, frozen=True, kw_only=True):
    """As if the user had cut in."""


class _Poison(_Body, frozen=True, kw_only=True):
    """Sessions transcribe, and never answer any more."""


class _Send(_Body, frozen=True, kw_only=True):
    """Sends a server message of any content."""

    message: dict[str, Any]


COMMANDS: Final[dict[str, type[_Body]]] = {
    "go_away": _GoAway,
    "cut": _Cut,
    "close": _Close,
    "stall": _Stall,
    "interrupt": _Interrupt,
    "poison": _Poison,
    "send": _Send,
}
"""What can be posted, besides ``faults``."""


class Control:
    """The endpoint of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def answer(self, request: web.Request) -> web.Response:
        """Answers a request; what is wrong with it stands in ``error``."""
        if not _is_from_here(request):
            return _json({"error": "from this machine only, by its address or as localhost, and from no web page"}, 403)
        what = request.match_info["what"]
        try:
            match request.method, what:
                case "GET", "ledger":
                    return _json(ledger_as_json(self._emulator.ledger))
                case "GET", "faults":
                    pass
                case "POST", "faults":
                    self._emulator.faults = msgspec.convert(await _body(request), Faults)
                case "POST", _ if what in COMMANDS:
                    done = await self._do(msgspec.convert(await _body(request), COMMANDS[what]))
                    return _json({"connections": done})
                case _:
                    known = ", ".join(["GET ledger", "GET faults", *(f"POST {name}" for name in ("faults", *COMMANDS))])
                    return _json({"error": f"there are {known}"}, 404)
        except (msgspec.ValidationError, ConfigError, ValueError) as error:
            return _json({"error": str(error)}, 400)
        return _json(msgspec.to_builtins(self._emulator.faults))

    async def _do(self, body: _Body) -> list[int]:
        """Does it, and gives the numbers of the connections that it was done to."""
        meant = [one for one in self._emulator.connections if body.connection in (None, one.ledger.number)]
        numbers = [one.ledger.number for one in meant]
        for one in meant:
            await _do_to(one, body)
        return numbers


async def _do_to(one: Connection, body: _Body) -> None:
    match body:
        case _GoAway(time_left_s=time_left_s):
            await one.go_away(time_left_s)
        case _Cut(mid_frame=mid_frame):
            one.cut(mid_frame=mid_frame)
        case _Close(code=code, reason=reason):
            one.close(code, reason)
        case _Stall():
            one.stall()
        case _Interrupt():
            one.interrupt()
        case _Poison():
            one.poison()
        case _Send(message=message):
            one.send(message)
        case _:
            raise AssertionError(body)


def _is_from_here(request: web.Request) -> bool:
    """Whether a program of this machine asks, and no page that a browser shows here.

    A page says where it comes from, by ``Origin``, or, if its server's name was made to point to this machine, by that
    name.
    """
    address = _address(request.remote or "")
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped is None or not mapped.is_loopback or "Origin" in request.headers:
        return False
    name = re.sub(r":[0-9]+$", "", request.headers.get("Host", "")).lower()
    return re.fullmatch(r"(.+\.)?localhost", name) is not None or _address(name.strip("[]")) is not None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


async def _body(request: web.Request) -> Any:  # noqa: ANN401 - any JSON
    try:
        return parse(await request.read() or b"{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the body is no JSON: {error}") from None


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)


def ledger_as_json(ledger: Ledger) -> dict[str, Any]:
    """The ledger as plain JSON: sessions without their audio and images, of which it holds the number."""
    return {
        "sessions": [_session(session) for session in ledger.sessions],
        "connections": [_connection(connection) for connection in ledger.connections],
    }


def _session(session: SessionLedger) -> dict[str, Any]:
    return {
        "number": session.number,
        "model": session.model,
        "connections": session.connections,
        "systemInstruction": session.system_instruction,
        "history": [{"role": role, "text": text} for role, text in session.history],
        "answers": session.answers,
        "interruptions": session.interruptions,
        "texts": session.texts,
        "contents": _plain(session.contents),
        "toolResponses": _plain(session.tool_responses),
        "audioSamples": session.audio_samples,
        "audioChunks": session.audio_chunks,
        "images": len(session.images),
        "messagesByKind": session.messages_by_kind,
        "ignored": session.ignored,
    }


def _connection(connection: ConnectionLedger) -> dict[str, Any]:
    return {
        "number": connection.number,
        "session": connection.session,
        "resumed": connection.resumed,
        "messages": connection.messages,
        "earlyMessages": connection.early_messages,
        "bytes": connection.bytes,
        "code": connection.code,
        "reason": connection.reason,
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON, with bytes
    """Bytes become base64, as on the wire."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list():
            return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case bytes():
            return pybase64.b64encode(value).decode()
        case _:
            return value
