"""The client's only network code: one connection, dialled with aiohttp, that carries whole messages.

`Transport` is what a runner needs of a connection; tests bring one of their own. Reading and writing never wait for one
another: a reader task hands on what arrives, `write` only queues, and a writer task empties the queue at the speed of
the network.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
import struct
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, cast

import aiohttp
from aiohttp import WSMsgType

from gemini_live.errors import ConfigError
from gemini_live.events import CloseKind
from gemini_live.failures import Failure

if TYPE_CHECKING:
    from types import SimpleNamespace

    from gemini_live.auth import Address
    from gemini_live.config import TransportConfig

__all__ = ["AiohttpTransport", "DialError", "Dialler", "Receiver", "Transport", "check_proxy", "dial", "post"]

# Speech that waits behind more than this is not fresh any more: 16 KiB are 340 ms of it.
_HIGH_WATER = 16 * 1024
_LOW_WATER = 4 * 1024
# A frame as long as the sender likes would fill the memory; the service's largest messages are some 60 kB.
_MAX_MESSAGE = 64 * 1024 * 1024
_MAX_ANSWER = 1024 * 1024
_GOODBYE = b"goodbye"  # the payload of the ping before our close frame
_NO_STATUS_RECEIVED = 1005  # RFC 6455 7.4.1: stands for a close frame without a code


class Receiver(Protocol):
    """Whoever is told what a connection does. Every method returns at once and raises nothing."""

    def message_received(self, raw: bytes) -> None:
        """A whole message, text or binary."""

    def pong_received(self, payload: bytes) -> None:
        """The answer to a ping."""

    def life_sign(self) -> None:
        """Something else came in."""

    def writing_paused(self) -> None:
        """What was written waits for the network; better not to add to it."""

    def writing_resumed(self) -> None:
        """The network has caught up."""

    def connection_lost(self, failure: Failure) -> None:
        """The socket is closed. The last call."""


class Transport(Protocol):
    """One connection, from its opening on."""

    def write(self, message: bytes) -> None:
        """Send a whole message as text; never blocks, keeps the order, and does not alter or need the buffer later."""

    def ping(self, payload: bytes) -> None:
        """Send a WebSocket ping, behind everything that was written before."""

    async def close(self, code: int, timeout_s: float) -> None:
        """Say goodbye behind everything that was written, wait for the echo, close the socket.

        What still arrives meanwhile is handed on; `Receiver.connection_lost` has been called when this returns.
        """

    def abort(self) -> None:
        """Drop the socket at once, without a word to the other side; the receiver is told nothing more."""

    async def wait_closed(self) -> None:
        """Wait until nothing is left of the connection."""


class Dialler(Protocol):
    """Opens connections."""

    async def __call__(self, address: Address, config: TransportConfig, receiver: Receiver) -> Transport:
        """Open one. The receiver is told nothing before this has returned.

        Raises:
            DialError: it could not be had.
        """
        ...


class DialError(Exception):
    """A connection could not be opened."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class _WebSocket(aiohttp.ClientWebSocketResponse):
    """aiohttp's WebSocket, with its transport in reach; `ClientSession` documents the hook."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - aiohttp's own, passed on
        super().__init__(*args, **kwargs)
        connection = self._response.connection
        self._transport = None if connection is None else connection.transport
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=_HIGH_WATER)

    def abort(self) -> None:
        """Drop the socket without flushing what is buffered."""
        if self._transport is not None:
            self._transport.abort()

    def release(self) -> None:
        """Close the socket, flushing what is buffered."""
        self._response.close()


async def dial(address: Address, config: TransportConfig, receiver: Receiver) -> Transport:
    """Open a WebSocket with aiohttp.

    Args:
        address: URL and headers, credential included.
        config: proxy, TLS and timeouts. The deadline over the whole dial is the caller's.
        receiver: is told everything from now on.

    Raises:
        DialError: with what went wrong, as far as it can be told; it holds no header.
    """
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
            max_msg_size=_MAX_MESSAGE,
        )
    except _errors_of_dialling(config) as error:
        await session.close()
        # not chained: aiohttp's exceptions hold the request's headers, and with them the credential
        raise DialError(_failure_of(error)) from None
    except BaseException:
        await session.close()
        raise
    return AiohttpTransport(session, cast("_WebSocket", opened), receiver)


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
    headers = {**config.headers, **address.headers, "Content-Type": "application/json"}
    try:
        async with (
            asyncio.timeout(config.connect_timeout_s),
            _open_session(config) as session,
            session.post(
                address.url,
                data=body,
                headers=headers,
                proxy=None if _is_socks(config) else config.proxy,
                ssl=True if config.ssl is None else config.ssl,
            ) as answer,
        ):
            return answer.status, await answer.content.read(_MAX_ANSWER)
    except TimeoutError:
        reason = f"no answer within {config.connect_timeout_s:g} s"
        raise DialError(Failure(kind=CloseKind.TIMEOUT, reason=reason)) from None
    except _errors_of_dialling(config) as error:
        raise DialError(_failure_of(error)) from None


def _open_session(config: TransportConfig) -> aiohttp.ClientSession:
    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_refuse_redirect)
    return aiohttp.ClientSession(
        connector=_socks().ProxyConnector.from_url(config.proxy) if _is_socks(config) else None,
        ws_response_class=_WebSocket,
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=config.proxy is None,
        trace_configs=[tracing],
        auto_decompress=False,
    )


def check_proxy(config: TransportConfig) -> None:
    """Refuse a SOCKS proxy that cannot be spoken to.

    Raises:
        ConfigError: the library for it is not installed.
    """
    if _is_socks(config):
        _socks()


def _is_socks(config: TransportConfig) -> bool:
    return config.proxy is not None and config.proxy.lower().startswith("socks")


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
        case aiohttp.ClientConnectorCertificateError():
            cause = error.certificate_error
            detail = getattr(cause, "verify_message", "") or type(cause).__name__
            return Failure(
                kind=CloseKind.NETWORK,
                reason=f"TLS: the certificate of {error.host} is not trusted ({detail})",
                hint="for a private certificate authority give TransportConfig(ssl=…)",
            )
        case aiohttp.ClientConnectorDNSError():
            return Failure(kind=CloseKind.NETWORK, reason=f"DNS: no address for {error.host}")
        case aiohttp.ClientSSLError():
            return Failure(
                kind=CloseKind.NETWORK, reason=f"TLS: {_words(error)}", hint="is it ws:// rather than wss://?"
            )
        case aiohttp.ClientConnectorError():
            return Failure(kind=CloseKind.NETWORK, reason=f"{error.host}:{error.port}: {_words(error.os_error)}")
        case aiohttp.InvalidURL() | ValueError():
            return Failure(kind=CloseKind.SETUP, reason="not a URL that can be dialled")
        case ssl.SSLError():
            return Failure(kind=CloseKind.NETWORK, reason=f"TLS: {_words(error)}")
        case _:
            return Failure(kind=CloseKind.NETWORK, reason=_words(error))


def _words(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


class AiohttpTransport:
    """A WebSocket over aiohttp's public interface: whole frames out by ``send_frame``, messages in by ``receive``."""

    def __init__(self, session: aiohttp.ClientSession, socket: _WebSocket, receiver: Receiver) -> None:
        self._session = session
        self._socket = socket
        self._receiver = receiver
        self._outgoing: deque[tuple[bytes, WSMsgType]] = deque()
        self._outgoing_bytes = 0
        self._paused = False
        self._work = asyncio.Event()
        self._goodbye: int | None = None  # the code of the close frame that we have sent
        self._goodbye_read = False
        self._aborted = False
        self._stopped = False  # the other side has ended, or the socket is gone
        self._lost: Failure | None = None
        self._writer = asyncio.create_task(self._write_all(), name="gemini-live writer")
        self._reader = asyncio.create_task(self._read_all(), name="gemini-live reader")

    # --- writing ---

    def write(self, message: bytes) -> None:
        """Queue a message; the writer task sends it as a text frame."""
        self._queue(message, WSMsgType.TEXT)

    def ping(self, payload: bytes) -> None:
        """Queue a ping."""
        self._queue(payload, WSMsgType.PING)

    def _queue(self, payload: bytes, opcode: WSMsgType) -> None:
        self._outgoing.append((payload, opcode))
        self._outgoing_bytes += len(payload)
        self._work.set()
        if self._outgoing_bytes > _HIGH_WATER and not self._paused:
            self._paused = True
            self._receiver.writing_paused()

    async def _write_all(self) -> None:
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                while self._outgoing:
                    payload, opcode = self._outgoing.popleft()
                    self._outgoing_bytes -= len(payload)
                    await self._socket.send_frame(payload, opcode)
                    if opcode is WSMsgType.CLOSE:
                        return
                    if self._paused and self._outgoing_bytes <= _LOW_WATER:
                        self._paused = False
                        self._receiver.writing_resumed()
        except (aiohttp.ClientError, OSError) as error:
            # the reader usually sees the same; whoever is first reports it
            self._lost = self._lost or Failure(code=None, reason=_words(error))
            self._socket.abort()

    # --- reading ---

    async def _read_all(self) -> None:
        try:
            failure = await self._read_until_closed()
        except (aiohttp.ClientError, OSError) as error:
            failure = Failure(reason=_words(error))
        finally:
            # else the loop was closed without a word, and this is the collector: there is nothing left to tidy up with
            if not isinstance(sys.exception(), GeneratorExit):
                self._stop_writing()
                await self._release()
        if not self._aborted:
            self._receiver.connection_lost(failure)

    async def _read_until_closed(self) -> Failure:
        while True:
            message = await self._socket.receive()
            if self._aborted:
                return Failure(reason="aborted")
            match message.type:
                case WSMsgType.BINARY:
                    self._receiver.message_received(bytes(message.data))
                case WSMsgType.TEXT:
                    self._receiver.message_received(message.data.encode())
                case WSMsgType.PONG:
                    self._goodbye_read = self._goodbye_read or bytes(message.data) == _GOODBYE
                    self._receiver.pong_received(bytes(message.data))
                case WSMsgType.PING:
                    self._queue(bytes(message.data), WSMsgType.PONG)
                    self._receiver.life_sign()
                case WSMsgType.CLOSE:
                    self._stop_writing()
                    return await self._answer_close(message.data, message.extra or "")
                case WSMsgType.ERROR:
                    error = message.data
                    code = getattr(error, "code", None)
                    return Failure(code=code, kind=CloseKind.SERVER, reason=f"broken WebSocket stream: {error}")
                case _:  # CLOSED, CLOSING: no close frame came
                    return self._lost or Failure(reason="the connection was reset")

    async def _answer_close(self, code: int | None, reason: str) -> Failure:
        """Echo the other side's close unless we have sent ours; RFC 6455 5.5.1."""
        if self._goodbye is not None:
            # An echo, or a close of their own that has crossed ours and proves nothing? It is an echo if they have
            # read as far as the ping that we sent right before.
            return Failure(code=code, reason=reason, clean=self._goodbye_read)
        self._goodbye = code or _NO_STATUS_RECEIVED  # aiohttp gives 0 for a close frame without a code
        echo = b"" if code in (None, 0, _NO_STATUS_RECEIVED) else struct.pack("!H", code)
        self._queue(echo, WSMsgType.CLOSE)
        await asyncio.wait([self._writer], timeout=1.0)
        return Failure(code=self._goodbye, reason=reason)

    def _stop_writing(self) -> None:
        """Nothing that is written from now on would leave; better that it waits for the next connection."""
        if not self._stopped and not self._paused and not self._aborted:
            self._receiver.writing_paused()
        self._stopped, self._paused = True, False  # and nothing is to be resumed

    async def _release(self) -> None:
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        self._socket.release()
        await self._session.close()

    # --- the end ---

    async def close(self, code: int, timeout_s: float) -> None:
        """Close by handshake; drop the socket when the echo does not come in time."""
        if self._goodbye is None:
            self._goodbye = code
            self._queue(_GOODBYE, WSMsgType.PING)
            self._queue(struct.pack("!H", code), WSMsgType.CLOSE)
        _, late = await asyncio.wait([self._reader], timeout=timeout_s)
        if late:
            self._lost = Failure(reason=f"no answer to our close within {timeout_s:g} s")
            self._socket.abort()
            await asyncio.wait([self._reader])

    def abort(self) -> None:
        """Drop the socket; the reader notices, and clears up."""
        self._aborted = True
        self._writer.cancel()
        self._socket.abort()

    async def wait_closed(self) -> None:
        """Wait for the tasks to end."""
        await asyncio.wait([self._reader])
