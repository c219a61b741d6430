"""What `doctor` finds on the way to the service: each step of a connection by itself, the first fault named.

The steps up to TLS are made one by one, because a dial as a whole does not tell them apart as well. From the upgrade on
it is a real session, whose own recording says how long what took.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

import gemini_live as live
from gemini_live.auth import is_loopback
from gemini_live.cli.checks import Check, Status
from gemini_live.cli.exits import CommandError, Exit, exit_of, said
from gemini_live.cli.transcript import printable
from gemini_live.config import without_password
from gemini_live.errors import ConfigError, ConnectError, GeminiLiveError
from gemini_live.transport import check_proxy, environment_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from gemini_live.auth import Auth, Endpoint
    from gemini_live.config import TransportConfig
    from gemini_live.transport.proxies import EnvironmentProxy

__all__ = ["Line", "examine", "probing"]

_PATIENCE_S: Final = 8.0
"""For each of DNS, TCP and TLS."""
_PING_AFTER_S: Final = 0.05
_PONG_WITHIN_S: Final = 5.0
_PROXY_AUTH: Final = 407
_PROXY_PORTS: Final = {"http": 80, "https": 443}
"""Where the URL names none; that of SOCKS is 1080."""
_PROXY_MEND: Final = "are its host and port right, and does it run?"
_GOOD_HTTP: Final = range(200, 300)
_NO_LIVE_SERVER: Final = (
    "something answers there, but not as a Live server: is the URL right, and does what stands between, such as a "
    "firewall or a login page, let WebSockets through?"
)
_AFTER_TLS: Final = ("HTTP upgrade", "key accepted", "model", "setup", "ping")


class Line:
    """The way to the service.

    Args:
        model: to be asked for.
        endpoint: to be dialled.
        key: gives the credential, or raises what is wrong with it, and says where it comes from.
        transport: how to dial.
    """

    def __init__(
        self, model: str, endpoint: Endpoint, key: Callable[[], tuple[Auth, str]], transport: TransportConfig
    ) -> None:
        self.model = model
        self.endpoint = endpoint
        self.key = key
        self.transport = transport
        parts = urlsplit(endpoint.url(live.NoAuth()))
        self.host = parts.hostname or ""
        self.encrypted = parts.scheme == "wss"
        self.port = (443 if self.encrypted else 80) if parts.port is None else parts.port
        self.scheme = parts.scheme


def probing(transport: TransportConfig) -> TransportConfig:
    """The same, but with a ping almost at once."""
    return msgspec.structs.replace(transport, ping_after_s=_PING_AFTER_S)


async def examine(line: Line) -> AsyncIterator[Check]:
    """The checks, one after the other; what a failed one keeps us from is skipped."""
    proxy = await asyncio.to_thread(environment_proxy, line.endpoint.url(live.NoAuth()))
    check = _proxy(line, proxy)
    yield check
    failed = check.name if check.status is Status.FAILED else ""
    there = urlsplit(proxy.url) if proxy and not failed else None
    host = (there.hostname or "") if there else line.host
    port = (there.port or _PROXY_PORTS.get(there.scheme, 1080)) if there else line.port
    of_proxy = f"this is the proxy of {proxy.source}: {_PROXY_MEND}" if proxy and there else ""
    steps: dict[str, Callable[[], Awaitable[Check]]] = {
        "DNS": lambda: _dns(host, port, of_proxy),
        "TCP": lambda: _tcp(host, port, of_proxy),
        "TLS": lambda: _tls(line, host, port, through_proxy=there is not None),
    }
    if _is_address(host):
        del steps["DNS"]
        yield Check("DNS", Status.OK, f"not needed for {host}")
    for name, step in steps.items():
        check = _skipped(name, failed) if failed else await _timed(step())
        yield check
        failed = failed or (name if check.status is Status.FAILED else "")
    key, auth = _key(line)
    yield key
    failed = failed or ("" if auth is not None else key.name)
    if auth is None or failed:
        for name in _AFTER_TLS:
            yield _skipped(name, failed)
        return
    for check in await _session(line, auth):
        yield check


def _skipped(name: str, failed: str) -> Check:
    return Check(name, Status.SKIPPED, f"not tried, see {failed}")


async def _timed(step: Awaitable[Check]) -> Check:
    clock = asyncio.get_running_loop().time
    start = clock()
    check = await step
    if check.status is not Status.OK:
        return check
    return Check(check.name, check.status, check.found, elapsed_ms=round(1000 * (clock() - start), 1) or None)


# --- proxy, DNS, TCP, TLS ---


def _proxy(line: Line, proxy: EnvironmentProxy | None) -> Check:
    if proxy is not None:
        try:
            check_proxy(msgspec.structs.replace(line.transport, proxy=proxy.url))
        except ConfigError as error:
            found, mend = _halves(said(str(error)))
            return Check("proxy", Status.FAILED, f"{proxy.source}: {found}", mend, code=Exit.USAGE)
        return Check("proxy", Status.OK, f"{without_password(proxy.url)} (from {proxy.source})")
    others = [
        name
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
        if os.environ.get(name) or os.environ.get(name.lower())
    ]
    if others and not _bypasses_proxy(line.host):
        own = f"{line.scheme.upper()}_PROXY"
        mend = (
            f"this machine is reached without it; set {own} if it should be reached by a proxy"
            if is_loopback(line.host)
            else f"set {own} too if this network needs a proxy"
        )
        return Check("proxy", Status.NOTE, f"none, although {others[0]} is set", mend)
    return Check("proxy", Status.OK, "none")


def _bypasses_proxy(host: str) -> bool:
    bypass: Callable[[str], bool] = urllib.request.proxy_bypass
    return bypass(host)


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


async def _dns(host: str, port: int, of_proxy: str) -> Check:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        return Check(
            "DNS",
            Status.FAILED,
            f"no address for {host}: {_words(error)}",
            of_proxy
            or "is the name right, and is this machine on the network? Where only a proxy resolves names, set "
            "HTTPS_PROXY",
            code=Exit.NETWORK,
        )
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    more = f" and {len(addresses) - 2} more" if len(addresses) > 2 else ""
    return Check("DNS", Status.OK, f"{host} is {', '.join(addresses[:2])}{more}")


async def _tcp(host: str, port: int, of_proxy: str) -> Check:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Check(
            "TCP",
            Status.FAILED,
            f"{host}, port {port}: no answer within {_PATIENCE_S:g} s",
            of_proxy
            or "a firewall may drop it: ask for this port to be opened, or set HTTPS_PROXY to the proxy of this "
            "network",
            code=Exit.NETWORK,
        )
    except OSError as error:
        return Check(
            "TCP",
            Status.FAILED,
            f"{host}, port {port}: {_words(error)}",
            of_proxy
            or (
                "nothing listens there: is the port right, and does the server run?"
                if isinstance(error, ConnectionRefusedError)
                else "is this machine on the network?"
            ),
            code=Exit.NETWORK,
        )
    writer.close()
    return Check("TCP", Status.OK, f"{host}, port {port}")


async def _tls(line: Line, host: str, port: int, *, through_proxy: bool) -> Check:
    if not line.encrypted:
        return Check("TLS", Status.NOTE, "not used: the URL begins with ws://")
    if through_proxy:
        return Check("TLS", Status.NOTE, "through the proxy, so it shows with the upgrade")
    context = line.transport.ssl or ssl.create_default_context()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        return Check(
            "TLS",
            Status.FAILED,
            f"the certificate of {host} is not trusted: {error.verify_message}",
            _mend_for_certificate(error),
            code=Exit.NETWORK,
        )
    except (OSError, TimeoutError) as error:
        return Check(
            "TLS",
            Status.FAILED,
            f"{host}, port {port}: {_words(error)}",
            "is it ws:// rather than wss://, or the port of something else?",
            code=Exit.NETWORK,
        )
    found = _certificate(writer.get_extra_info("ssl_object"), host)
    writer.transport.abort()  # nobody waits for a goodbye
    return Check("TLS", Status.OK, found)


# OpenSSL's X509_V_ERR_…
_EXPIRED: Final = 10
_NOT_YET: Final = 9
_OTHER_HOST: Final = frozenset({62, 64})


def _mend_for_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in (_EXPIRED, _NOT_YET):
        return "is this machine's clock right? If it is, the server needs a new certificate"
    if error.verify_code in _OTHER_HOST:
        return "the server is not who the URL says; is the host's name in --endpoint right?"
    return (
        "if a certificate authority of your own, or a proxy that looks into TLS, has issued it, give its PEM file: "
        "--ca-file FILE, or SSL_CERT_FILE in the environment; in Python TransportConfig(ssl=…)"
    )


def _certificate(tls: Any, host: str) -> str:  # noqa: ANN401 - ssl.SSLObject, if there is one
    certificate: dict[str, Any] = tls.getpeercert() or {}
    issuer = {name: value for group in certificate.get("issuer", ()) for name, value in group}
    by = issuer.get("organizationName") or issuer.get("commonName") or "unknown"
    return f"{tls.version()}, certificate of {host} by {by}, valid until {certificate.get('notAfter', 'unknown')}"


def _words(error: BaseException) -> str:
    """What the system says, without Python's decoration."""
    match error:
        case TimeoutError():
            return f"no answer within {_PATIENCE_S:g} s"
        case UnicodeError():
            return "not a host name"
        case ssl.SSLError(reason=str() as reason):
            return reason.lower().replace("_", " ")
        case socket.gaierror():
            return str(error.strerror or error).lower()
        case OSError(errno=int() as number) if number > 0:
            return os.strerror(number).lower()
        case _:
            return str(error) or type(error).__name__


# --- key, upgrade, setup, ping ---


def _key(line: Line) -> tuple[Check, Auth | None]:
    try:
        auth, where = line.key()  # once, as standard input is gone after that
    except CommandError as error:
        return Check("key", Status.FAILED, *_halves(str(error)), code=error.code), None
    except ConfigError as error:
        return Check("key", Status.FAILED, *_halves(said(str(error))), code=exit_of(error)), None
    return Check("key", Status.OK, where), auth


def _halves(message: str) -> tuple[str, str]:
    """What is wrong and how to mend it; the package's messages have a semicolon or a colon in between."""
    found, _, mend = message.partition(";") if ";" in message else message.partition(":")
    return found.strip(), mend.strip()


async def _session(line: Line, auth: Auth) -> list[Check]:
    with tempfile.TemporaryDirectory(prefix="gemini-live-") as folder:
        recording = live.Recording(Path(folder) / "doctor.jsonl", audio="hash")
        try:
            async with live.connect(
                line.model,
                endpoint=line.endpoint,
                auth=auth,
                transport=line.transport,
                reconnect=live.ReconnectPolicy(enabled=False),
                record=recording,
            ) as session:
                await _first_pong(session)
                round_trip_s = session.stats.round_trip_s
        except ConnectError as error:
            return _refused(error.closed)
        except GeminiLiveError as error:
            found, mend = _halves(said(str(error)))
            code = exit_of(error)
            # nothing was dialled for a model that cannot be one
            failed = Check("model" if code is Exit.SETUP else "HTTP upgrade", Status.FAILED, found, mend, code=code)
            return [failed if name == failed.name else _skipped(name, failed.name) for name in _AFTER_TLS]
        frames = live.read_recording(recording.path).frames
    return _accepted(line, frames, round_trip_s)


async def _first_pong(session: live.Session) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PONG_WITHIN_S):
            while session.stats.round_trip_s is None:  # noqa: ASYNC110 - a session has no event for a pong
                await asyncio.sleep(_PING_AFTER_S)


def _accepted(line: Line, frames: Sequence[live.RecordedFrame], round_trip_s: float | None) -> list[Check]:
    opened_s = next(frame.time_s for frame in frames if frame.kind == "open")
    asked_s = next(frame.time_s for frame in frames if frame.direction == ">" and frame.kind == "text")
    answered_s = next(frame.time_s for frame in frames if frame.direction == "<" and frame.kind in ("text", "binary"))
    if round_trip_s is None:
        ping = Check("ping", Status.NOTE, f"no pong within {_PONG_WITHIN_S:g} s", "up to 30 s are normal under load")
    else:
        ping = Check("ping", Status.OK, "answered", elapsed_ms=round(1000 * round_trip_s, 1))
    return [
        Check("HTTP upgrade", Status.OK, "WebSocket", elapsed_ms=round(1000 * opened_s, 1)),
        Check("key accepted", Status.OK, "yes"),
        Check("model", Status.OK, line.model),
        Check("setup", Status.OK, "confirmed", elapsed_ms=round(1000 * (answered_s - asked_s), 1)),
        ping,
    ]


def _refused(closed: live.Closed) -> list[Check]:
    """Which of the steps a failed attempt has come to."""
    of_key = closed.kind in (live.CloseKind.CREDENTIALS, live.CloseKind.TOKEN_EXPIRED) and closed.code != _PROXY_AUTH
    if closed.phase is live.Phase.DIAL and not of_key:
        failing = "HTTP upgrade"
    elif of_key:
        failing = "key accepted"
    else:
        failing = "model" if closed.kind is live.CloseKind.SETUP else "setup"
    place = _AFTER_TLS.index(failing)
    code = "" if closed.code is None else f" ({closed.code})"
    is_another = failing == "HTTP upgrade" and (not closed.hint or closed.code in _GOOD_HTTP)
    passed = {"HTTP upgrade": "the server answers", "key accepted": "not refused", "model": "not refused"}
    return [
        *(Check(name, Status.OK, passed[name]) for name in _AFTER_TLS[:place]),
        Check(
            failing,
            Status.FAILED,
            f"{closed.kind.value.replace('_', ' ')}{code}: {printable(' '.join(closed.reason.split()))}",
            _NO_LIVE_SERVER if is_another else said(closed.hint),
            code=exit_of(closed.kind),
        ),
        *(_skipped(name, failing) for name in _AFTER_TLS[place + 1 :]),
    ]
