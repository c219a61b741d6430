"""Ephemeral tokens: what ``POST auth_tokens`` takes, and what a token allows (ephemeral-tokens guide; E49, E50)."""

from __future__ import annotations

import math
import secrets
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gemini_live.emulator.schema import MESSAGES
from gemini_live.emulator.wire import INVALID_ARGUMENT, Refusal, parse, read_message, snake_case

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pass", "Tokens"]

_LIFETIME_S: Final = 30 * 60.0
_NEW_SESSION_S: Final = 60.0
_MAX_S: Final = 20 * 3600.0
_TEXT_REFUSED: Final = "The requested combination of response modalities (TEXT) is not supported by the model."


class _Token:
    """One token that was made here."""

    def __init__(self, fields: dict[str, Any], now: float) -> None:
        self.uses: int = fields.get("uses", 1)
        self.expires_at = _time(fields, "expire_time", now + _LIFETIME_S)
        self.no_new_session_after = _time(fields, "new_session_expire_time", now + _NEW_SESSION_S)
        self.setup: dict[str, Any] | None = fields.get("bidi_generate_content_setup")
        self.mask = _mask(fields.get("field_mask", ""))
        self.used = 0


class Pass(NamedTuple):
    """A connection's right to be there.

    Attributes:
        token: that the client showed.
        tokens: whose clock counts, as it is when it is asked.
    """

    token: _Token
    tokens: Tokens

    @property
    def left_s(self) -> float:
        """How long the token is still good."""
        return max(0.0, self.token.expires_at - self.tokens.clock())

    def use(self, setup: dict[str, Any]) -> dict[str, Any]:
        """The setup that is in force: what the token locks overrides the client's without a word.

        Args:
            setup: the client's, names in snake_case.

        Raises:
            Refusal: 1011 for a token that is used up or too old, in the words that were measured.
        """
        token, now = self.token, self.tokens.clock()
        if now >= token.expires_at:
            raise Refusal(1011, "Token has expired")
        handle = setup.get("session_resumption", {}).get("handle")
        if not handle:  # resuming is no use of the token
            if now >= token.no_new_session_after:
                raise Refusal(1011, "Token has expired")
            if token.uses and token.used >= token.uses:
                raise Refusal(1011, "Token has been used too many times")
            token.used += 1
        return self._locked(setup, handle)

    def _locked(self, setup: dict[str, Any], handle: str | None) -> dict[str, Any]:
        ours, mask = self.token.setup, self.token.mask
        if not mask:
            if ours is None:
                return setup
            merged: dict[str, Any] = _copy(ours)
            if not merged.get("generation_config", {}).get("response_modalities"):
                raise Refusal(1007, _TEXT_REFUSED)  # what is locked and not set has the server's default: measured
        else:
            merged = _copy(setup)
            for first, second in mask:
                _lock(merged, ours or {}, first, second)
        if handle:  # which session it is, is not for the token to say
            merged["session_resumption"] = merged.get("session_resumption", {}) | {"handle": handle}
        return merged


def _copy(value: Any) -> Any:  # noqa: ANN401 - any JSON, with bytes
    """The same, with objects and lists of its own."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_copy(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _lock(merged: dict[str, Any], ours: dict[str, Any], first: str, second: str) -> None:
    if second:
        inner: dict[str, Any] = merged.setdefault(first, {})
        merged, ours, first = inner, ours.get(first, {}), second
    if first in ours:
        merged[first] = _copy(ours[first])
    else:
        merged.pop(first, None)


class Tokens:
    """All tokens of an emulator.

    Attributes:
        clock: gives seconds since the epoch; a test may set it.
    """

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.time
        self._made: dict[str, _Token] = {}

    def make(self, body: bytes) -> str:
        """Makes a token; the name is the secret.

        Args:
            body: of the request, JSON.

        Raises:
            Refusal: 400 with the service's words.
        """
        try:
            fields = self._fields(body)
            now = self.clock()
            token = _Token(fields, now)
        except Refusal as refusal:
            raise Refusal(400, refusal.reason) from None
        for name, at in (("expire_time", token.expires_at), ("new_session_expire_time", token.no_new_session_after)):
            if at - now > _MAX_S:
                raise Refusal(400, f"{name} is too far in the future. Maximum lifetime is 20h")
        if token.uses < 0:
            raise Refusal(400, INVALID_ARGUMENT)
        name = f"auth_tokens/{secrets.token_hex(16)}"
        self._made[name] = token
        return name

    def _fields(self, body: bytes) -> dict[str, Any]:
        try:
            message = parse(body or b"{}")
        except (ValueError, RecursionError):
            raise Refusal(400, "Invalid JSON payload received.") from None
        return read_message(message, "AuthToken", "dev")

    def find(self, name: str) -> Pass | None:
        """The right that comes with a token; ``None`` if it was not made here."""
        token = self._made.get(name)
        return None if token is None else Pass(token, self)


def _time(fields: dict[str, Any], name: str, default: float) -> float:
    if name not in fields:
        return default
    try:
        at = datetime.fromisoformat(fields[name])
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not math.isfinite(at.timestamp()):
        raise Refusal(400, INVALID_ARGUMENT)
    return at.timestamp()


def _mask(text: str) -> list[tuple[str, str]]:
    """Paths of at most two steps, spelt in either case (as the SDK sends them)."""
    found: list[tuple[str, str]] = []
    for path in filter(None, (path.strip() for path in text.split(","))):
        first, _, second = (snake_case(step) for step in path.partition("."))
        message = MESSAGES["Setup"].get(first, "")
        if not message or (second and second not in MESSAGES.get(message, {})):
            raise Refusal(400, f"Invalid JSON payload received. Unknown name \"{path}\" at 'field_mask'.")
        found.append((first, second))
    return found
