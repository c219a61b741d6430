"""Ephemeral tokens: short-lived credentials that a server makes for its clients, by ``POST auth_tokens``.

Names, defaults and limits are those of the ephemeral-tokens guide, as measured on the service: the constraints travel
as ``bidiGenerateContentSetup``, not under the names that the official SDK gives them.
"""

from __future__ import annotations

import datetime as dt
import difflib
from typing import TYPE_CHECKING, Any, cast

import msgspec

from gemini_live.auth import ApiKey, EphemeralToken, GeminiApi, auth_from, endpoint_from, resolve
from gemini_live.capabilities import check_setup, modality_of
from gemini_live.config import TransportConfig
from gemini_live.errors import ConfigError, TokenError, TokenRefused
from gemini_live.interop import setup_from, struct_from
from gemini_live.setup_message import GenerationConfig, SessionResumptionConfig, Setup
from gemini_live.transport import DialError, check_proxy, post

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gemini_live.auth import Auth
    from gemini_live.interop import SupportsModelDump

__all__ = ["mint_token", "token_provider"]

# ephemeral-tokens guide: "Maximum lifetime is 20h"
_MAX_S = 20 * 3_600.0
# worth another attempt: too slow, too early, too many
_PASSING = frozenset({408, 425, 429})


async def mint_token(  # noqa: PLR0913 - each is one thing a token may say
    setup: str | Setup | Mapping[str, Any] | SupportsModelDump | None = None,
    *,
    uses: int = 1,
    expires_in_s: float = 1_800.0,
    new_session_in_s: float = 60.0,
    lock: Sequence[str] | None = None,
    auth: Auth | str | None = None,
    endpoint: GeminiApi | str | None = None,
    transport: TransportConfig | Mapping[str, Any] | None = None,
    check_capabilities: bool = True,
) -> EphemeralToken:
    """Make a token that a client may connect with in place of the API key; Developer API only.

    Args:
        setup: what sessions of the token are held to; ``None`` leaves them free. The service silently prefers what is
            locked to what the client says. A bare name asks for what `connect` asks for with it, resumption included.
        uses: how many sessions may begin with it; 0 is as many as one likes. Resuming one does not count.
        expires_in_s: for how long after minting its sessions may last, in seconds, below 20 hours.
        new_session_in_s: for how long after minting a session may begin, in seconds, below 20 hours.
        lock: ``None`` locks the whole setup, also what it leaves out: a `Setup` or a mapping without
            ``session_resumption`` makes sessions that end with their first connection. A list locks what is set, and
            these fields besides, such as ``["temperature", "tools"]``.
        auth: an API key; by default from the environment, as for `connect`.
        endpoint: `GeminiApi`, or the URL of a look-alike such as the emulator.
        transport: timeouts, proxy, TLS and headers.
        check_capabilities: false sends also what the service or the model is known to refuse.

    Raises:
        ConfigError: before any I/O, for arguments that cannot work.
        TokenRefused: the service refused the key or the request.
        TokenError: there was no usable answer; another attempt may succeed.
    """
    mint = token_provider(
        setup,
        uses=uses,
        expires_in_s=expires_in_s,
        new_session_in_s=new_session_in_s,
        lock=lock,
        auth=auth,
        endpoint=endpoint,
        transport=transport,
        check_capabilities=check_capabilities,
    )
    auth = transport = None  # a traceback with local variables would show them as they were given
    return await mint()


def token_provider(  # noqa: PLR0913 - as above
    setup: str | Setup | Mapping[str, Any] | SupportsModelDump | None = None,
    *,
    uses: int = 1,
    expires_in_s: float = 1_800.0,
    new_session_in_s: float = 60.0,
    lock: Sequence[str] | None = None,
    auth: Auth | str | None = None,
    endpoint: GeminiApi | str | None = None,
    transport: TransportConfig | Mapping[str, Any] | None = None,
    check_capabilities: bool = True,
) -> Callable[[], Awaitable[EphemeralToken]]:
    """A function that makes a token each time; ``connect(…, auth=token_provider(…))`` asks it at each dial.

    The arguments are those of `mint_token`, and are checked at once.

    Raises:
        ConfigError: for arguments that cannot work.
    """
    where = endpoint_from(endpoint)
    if not isinstance(where, GeminiApi):
        raise ConfigError("ephemeral tokens are made by the Developer API only: give a GeminiApi", path="endpoint")
    # by the same names: a traceback with local variables would show a str or a mapping as it was given
    auth = key = auth_from(auth, where)
    transport = config = (
        TransportConfig() if transport is None else struct_from(TransportConfig, transport, "transport")
    )
    if not callable(key) and not isinstance(key, ApiKey):
        raise ConfigError(f"a token is made with an ApiKey, not with {type(key).__name__}", path="auth")
    check_proxy(config)
    if uses < 0:
        raise ConfigError(f"uses is 0, for any number, or more; got {uses}", path="uses")
    for name, seconds in (("expires_in_s", expires_in_s), ("new_session_in_s", new_session_in_s)):
        if not 0 < seconds < _MAX_S:
            raise ConfigError(f"{name} must be above 0 and below {_MAX_S:g} (20 hours), got {seconds}", path=name)
    fixed = {"uses": uses, **_constraints(setup, where, lock, check_capabilities=check_capabilities)}

    async def mint() -> EphemeralToken:
        now = dt.datetime.now(dt.UTC)
        body = {
            **fixed,
            "expireTime": now + dt.timedelta(seconds=expires_in_s),
            "newSessionExpireTime": now + dt.timedelta(seconds=new_session_in_s),
        }
        return await _ask(where, key, msgspec.json.encode(body), config)

    return mint


def _constraints(
    given: str | Setup | Mapping[str, Any] | SupportsModelDump | None,
    endpoint: GeminiApi,
    lock: Sequence[str] | None,
    *,
    check_capabilities: bool,
) -> dict[str, object]:
    if given is None:
        if lock is not None:
            raise ConfigError("lock needs a setup: without one nothing is locked", path="lock")
        return {}
    setup = setup_from(given, modality=modality_of(given) if isinstance(given, str) else "")
    if isinstance(given, str) and lock is None:
        # what is locked and left out has the server's default, whatever the client says: no resumption
        setup = msgspec.structs.replace(setup, session_resumption=SessionResumptionConfig())
    if check_capabilities:
        check_setup(setup, endpoint)
    setup = msgspec.structs.replace(setup, model=endpoint.model_name(setup.model))
    try:
        msgspec.json.encode(setup)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the setup holds something that JSON cannot: {error}", path="setup") from None
    constraints: dict[str, object] = {"bidiGenerateContentSetup": setup}
    if lock is not None:
        constraints["fieldMask"] = ",".join(_mask(setup, lock))
    return constraints


def _mask(setup: Setup, lock: Sequence[str]) -> list[str]:
    """What is set, at most two levels deep, and then what else is to be locked."""
    mask: list[str] = []
    for name, value in cast("dict[str, object]", msgspec.to_builtins(setup)).items():
        inner = list(cast("dict[str, object]", value)) if isinstance(value, dict) else []
        mask += [f"{name}.{one}" for one in inner] or [name]
    for index, name in enumerate(lock):
        field = _field(name, f"lock[{index}]")
        if field not in mask:
            mask.append(field)
    return mask


def _field(name: str, path: str) -> str:
    """The wire path of a field that a caller names: ``temperature`` → ``generationConfig.temperature``."""
    whole = _both_spellings(Setup)
    inside = {one: f"generationConfig.{field}" for one, field in _both_spellings(GenerationConfig).items()}
    known = {**inside, **whole}
    field = known.get(name.removeprefix("generation_config.").removeprefix("generationConfig."))
    if field is None:
        near = difflib.get_close_matches(name, known, n=1)
        did_you_mean = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"{path}: {name!r} is no field of a setup{did_you_mean}", path=path, suggestion=near[0] if near else None
        )
    return field


def _both_spellings(kind: type[msgspec.Struct]) -> dict[str, str]:
    pairs = list(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    return {**{name: wire for name, wire in pairs}, **{wire: wire for _, wire in pairs}}  # noqa: C416


async def _ask(endpoint: GeminiApi, key: Auth, body: bytes, config: TransportConfig) -> EphemeralToken:
    address = await resolve(endpoint, key)
    base = "http" + endpoint.base_url.rstrip("/")[len("ws") :]  # the scheme was checked to be ws or wss, in any case
    address = msgspec.structs.replace(address, url=f"{base}/{endpoint.version}/auth_tokens")
    try:
        status, answer = await post(address, body, config)
    except DialError as error:
        raise TokenError(error.failure.reason, error.failure.code) from None
    if status != 200:
        refused = 400 <= status < 500 and status not in _PASSING
        raise (TokenRefused if refused else TokenError)(_words(answer), status)
    try:
        return EphemeralToken(msgspec.json.decode(answer, type=_Made).name)
    except (msgspec.DecodeError, ConfigError):
        # not shown: half of a token may be in it
        raise TokenError("the answer holds no token", status) from None


class _Made(msgspec.Struct):
    name: str


class _Status(msgspec.Struct):
    message: str = ""


class _Refused(msgspec.Struct):
    error: _Status


def _words(answer: bytes) -> str:
    try:
        said = msgspec.json.decode(answer, type=_Refused).error.message
    except msgspec.DecodeError:
        said = ""
    return " ".join(said.split())[:500] or "no reason was given"
