"""Dialling with aiohttp: from an address to a connection, or to the reason why there is none."""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
import ssl
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import aiohttp
import msgspec

from gemini_live.auth import is_loopback
from gemini_live.errors import ConfigError
from gemini_live.events import CloseKind
from gemini_live.failures import Failure
from gemini_live.transport.fallback import AiohttpTransport
from gemini_live.transport.fastnet import hasten
from gemini_live.transport.interface import MAX_MESSAGE, DialError, Receiver, Transport, words_of
from gemini_live.transport.proxies import environment_proxy, socks_url
from gemini_live.transport.takeover import WebSocket

if TYPE_CHECKING:
    from types import SimpleNamespace

    from gemini_live.auth import Address
    from gemini_live.config import TransportConfig

__all__ = ["check_proxy", "dial", "post"]

_MAX_ANSWER = 1024 * 1024


async def dial(address: Address, config: TransportConfig, receiver: Receiver) -> Transport:
    """Open a WebSocket with aiohttp.

    Args:
        address: URL and headers, credential included.
        config: proxy, TLS and timeouts. The deadline over the whole dial is the caller's.
        receiver: is told everything from now on.

    Raises:
        DialError: with what went wrong, as far as it can be told; it holds no header.
    """
    config = await _with_proxy(address, config)
    session = _open_session(config)
    try:
        opened = await session.ws_connect(
            address.url,
            headers={**config.headers, **address.headers},
            proxy=None if _is_socks(config) else config.proxy,
            ssl=True if config.ssl is None else config.ssl,
            autoping=False,
            autoclose=False,
            compress=0,  # base64 does not get smaller, and each connection would pay with time and memory
            max_msg_size=MAX_MESSAGE,
        )
    except _errors_of_dialling(config) as error:
        await session.close()
        # not chained: aiohttp's exceptions hold the request's headers, and with them the credential
        raise DialError(_failure_of(error)) from None
    except BaseException:
        await session.close()
        raise
    socket = cast("WebSocket", opened)
    if socket.stream is None:
        return AiohttpTransport(session, socket, receiver)
    socket.stream.start(receiver, functools.partial(_release, session, socket))
    return socket.stream


async def _release(session: aiohttp.ClientSession, socket: WebSocket, error: Exception | None) -> None:
    """Tell aiohttp that a connection which it has not seen the last of is gone."""
    if socket.lost is not None:
        socket.lost(error)
    socket.release()
    await session.close()


async def post(address: Address, body: bytes, config: TransportConfig) -> tuple[int, bytes]:
    """Send JSON by HTTP POST, for what the service does not offer on a WebSocket.

    Args:
        address: URL and headers, credential included.
        body: JSON.
        config: proxy and TLS; ``connect_timeout_s`` covers everything.

    Returns:
        The HTTP status and the body of the answer.

    Raises:
        DialError: there was no answer.
    """
    headers = {
        **config.headers,
        **address.headers,
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",  # aiohttp would ask for gzip, and what comes is not unpacked here
    }
    try:
        async with asyncio.timeout(config.connect_timeout_s):
            config = await _with_proxy(address, config)
            async with (
                _open_session(config) as session,
                session.post(
                    address.url,
                    data=body,
                    headers=headers,
                    proxy=None if _is_socks(config) else config.proxy,
                    ssl=True if config.ssl is None else config.ssl,
                ) as answer,
            ):
                return answer.status, await _body_of(answer)
    except TimeoutError:
        reason = f"no answer within {config.connect_timeout_s:g} s"
        raise DialError(Failure(kind=CloseKind.TIMEOUT, reason=reason)) from None
    except _errors_of_dialling(config) as error:
        raise DialError(_failure_of(error)) from None


async def _body_of(answer: aiohttp.ClientResponse) -> bytes:
    """All of it, in however many pieces it comes; no more than the beginning of one that is longer than any answer."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _MAX_ANSWER:
            break
    return bytes(body)


def _open_session(config: TransportConfig) -> aiohttp.ClientSession:
    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_refuse_redirect)
    session = aiohttp.ClientSession(
        connector=_socks_connector(config),
        ws_response_class=WebSocket,
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,  # it knows no HTTPS_PROXY for wss://, and would tell the service what a .netrc says
        trace_configs=[tracing],
        auto_decompress=False,
    )
    if not _is_socks(config):
        hasten(session.connector)
    return session


async def _with_proxy(address: Address, config: TransportConfig) -> TransportConfig:
    """The same, with the proxy of the environment where it names none itself.

    Raises:
        DialError: that proxy cannot be used, or would be shown the credential.
    """
    config = await _with_environment(address.url, config)
    there = (config.proxy and urlsplit(config.proxy).hostname) or ""
    # Without TLS the URL is of this machine, or `auth` had refused the credential; but the proxy is not.
    if there and not is_loopback(there) and address.headers and urlsplit(address.url).scheme in ("ws", "http"):
        raise DialError(
            Failure(
                kind=CloseKind.SETUP,
                reason=f"a credential would travel unencrypted through the proxy {there}",
                hint="use wss://, or take the host out of the proxy's reach by NO_PROXY",
            )
        )
    return config


async def _with_environment(url: str, config: TransportConfig) -> TransportConfig:
    if config.proxy is not None:
        return config
    found = await asyncio.to_thread(environment_proxy, url)
    if found is None:
        return config
    try:
        config = msgspec.structs.replace(config, proxy=found.url)
        check_proxy(config)
    except ConfigError as error:
        reason = f"the proxy of {found.source}: {error.args[0]}"
        raise DialError(Failure(kind=CloseKind.SETUP, reason=reason)) from None
    return config


def check_proxy(config: TransportConfig) -> None:
    """Refuse a SOCKS proxy that cannot be spoken to.

    Raises:
        ConfigError: the library for it is not installed.
    """
    if _is_socks(config):
        _socks()


def _is_socks(config: TransportConfig) -> bool:
    return config.proxy is not None and config.proxy.lower().startswith("socks")


def _socks_connector(config: TransportConfig) -> aiohttp.BaseConnector | None:
    if config.proxy is None or not _is_socks(config):
        return None
    connector: aiohttp.BaseConnector = _socks().ProxyConnector.from_url(socks_url(config.proxy))
    return connector


def _socks() -> Any:  # noqa: ANN401 - a module that may not be there
    try:
        return importlib.import_module("aiohttp_socks")
    except ImportError:
        raise ConfigError(
            "SOCKS proxies need aiohttp-socks: pip install 'gemini-live[socks]'", path="transport.proxy"
        ) from None


def _errors_of_dialling(config: TransportConfig) -> tuple[type[Exception], ...]:
    errors: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, ValueError)
    if not _is_socks(config):
        return errors
    socks = _socks()
    return (*errors, socks.ProxyError, socks.ProxyConnectionError, socks.ProxyTimeoutError)


async def _refuse_redirect(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    """A redirect would take the credential to whatever host it names; the service sends none."""
    raise DialError(
        Failure(code=params.response.status, kind=CloseKind.SETUP, reason="the server redirects", hint="check the URL")
    )


def _failure_of(error: Exception) -> Failure:
    """What aiohttp's exception means, without anything of the request in it."""
    match error:
        case aiohttp.WSServerHandshakeError(status=status):
            if status == 101:
                return Failure(kind=CloseKind.SETUP, reason="the answer to the upgrade is not WebSocket")
            return Failure(code=status, reason=f"HTTP {status} at the upgrade")
        case aiohttp.ClientHttpProxyError(status=407):
            return Failure(
                code=407,
                kind=CloseKind.CREDENTIALS,
                reason="the proxy answered 407",
                hint="give its user and password: http://user:password@host:port",
            )
        case aiohttp.ClientHttpProxyError(status=status):
            return Failure(code=status, kind=CloseKind.NETWORK, reason=f"the proxy answered {status}")
        case aiohttp.ClientResponseError():  # its words hold the URL and what came, in several lines
            return Failure(
                kind=CloseKind.NETWORK,
                reason="what answers there does not speak HTTP",
                hint="something answers there, but not as a Live server: is the URL right, and its port?",
            )
        case aiohttp.ClientConnectorCertificateError():
            return _untrusted(error.host, error.certificate_error)
        case aiohttp.ClientOSError(__cause__=ssl.SSLCertVerificationError() as cause):  # through a SOCKS proxy
            return _untrusted("the server", cause)
        case aiohttp.ClientConnectorDNSError():
            return Failure(kind=CloseKind.NETWORK, reason=f"DNS: no address for {error.host}")
        case aiohttp.ClientSSLError():
            return Failure(
                kind=CloseKind.NETWORK, reason=f"TLS: {words_of(error)}", hint="is it ws:// rather than wss://?"
            )
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno  # asyncio's own words for it repeat the address
            words = os.strerror(number).lower() if number else words_of(error.os_error)
            host = f"[{error.host}]" if ":" in error.host else error.host
            return Failure(kind=CloseKind.NETWORK, reason=f"{host}:{error.port}: {words}")
        case aiohttp.ServerDisconnectedError():  # its words may be half an answer, with its cookies
            return Failure(kind=CloseKind.NETWORK, reason="the connection was closed before the answer was there")
        case aiohttp.InvalidURL() | ValueError():
            return Failure(kind=CloseKind.SETUP, reason="not a URL that can be dialled")
        case ssl.SSLError():
            return Failure(kind=CloseKind.NETWORK, reason=f"TLS: {words_of(error)}")
        case _:
            return Failure(kind=CloseKind.NETWORK, reason=words_of(error))


def _untrusted(whose: str, error: Exception) -> Failure:
    detail = getattr(error, "verify_message", "") or type(error).__name__
    return Failure(
        kind=CloseKind.NETWORK,
        reason=f"TLS: the certificate of {whose} is not trusted ({detail})",
        hint="for a private certificate authority give TransportConfig(ssl=…)",
    )
