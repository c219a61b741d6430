"""A WebSocket by aiohttp's public interface alone, for where its connections cannot be taken over.

A reader task hands on what arrives, `write` only queues, and a writer task empties the queue at the speed of the
network.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
from collections import deque
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import WSMsgType

from gemini_live import _core
from gemini_live.events import CloseKind
from gemini_live.failures import Failure
from gemini_live.transport.interface import GOODBYE, HIGH_WATER, LOW_WATER, words_of

if TYPE_CHECKING:
    from gemini_live.transport.interface import Receiver
    from gemini_live.transport.takeover import WebSocket

__all__ = ["AiohttpTransport"]

_NO_STATUS_RECEIVED = 1005  # RFC 6455 7.4.1: stands for a close frame without a code


class AiohttpTransport:
    """A WebSocket over aiohttp's public interface: whole frames out by ``send_frame``, messages in by ``receive``."""

    def __init__(self, session: aiohttp.ClientSession, socket: WebSocket, receiver: Receiver) -> None:
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
        self._released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer = asyncio.create_task(self._write_all(), name="gemini-live writer")
        self._reader = asyncio.create_task(self._read_all(), name="gemini-live reader")
        self._reader.add_done_callback(self._ended)
        if socket.wire is not None:
            socket.wire.set_write_buffer_limits(high=HIGH_WATER)

    # --- writing ---

    def write(self, frame: bytes) -> None:
        """Queue a message; the writer task has aiohttp frame it anew."""
        self._queue(_core.unmask(frame), WSMsgType.TEXT)

    def ping(self, payload: bytes) -> None:
        """Queue a ping."""
        self._queue(payload, WSMsgType.PING)

    def _queue(self, payload: bytes, opcode: WSMsgType) -> None:
        self._outgoing.append((payload, opcode))
        self._outgoing_bytes += len(payload)
        self._work.set()
        if self._outgoing_bytes > HIGH_WATER and not self._paused and not self._stopped:
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
                    if self._paused and self._outgoing_bytes <= LOW_WATER:
                        self._paused = False
                        self._receiver.writing_resumed()
        except (aiohttp.ClientError, OSError) as error:
            # the reader usually sees the same; whoever is first reports it
            self._lost = self._lost or Failure(code=None, reason=words_of(error))
            self._drop()

    # --- reading ---

    async def _read_all(self) -> None:
        try:
            failure = await self._read_until_closed()
        except (aiohttp.ClientError, OSError) as error:
            failure = Failure(reason=words_of(error))
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
                    self._goodbye_read = self._goodbye_read or bytes(message.data) == GOODBYE
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

    def _ended(self, reader: asyncio.Task[None]) -> None:
        """A reader that was cancelled before it had begun has released nothing."""
        if reader.cancelled() and not self._released.done():
            self._reader = asyncio.create_task(self._release(), name="gemini-live reader")
            self._reader.add_done_callback(self._ended)

    async def _release(self) -> None:
        # Whoever shuts the loop down cancels all tasks, once; each step is then as good as done.
        self._writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self._writer, return_exceptions=True)
        self._socket.release()
        with contextlib.suppress(asyncio.CancelledError):
            await self._session.close()
        if not self._released.done():
            self._released.set_result(None)

    # --- the end ---

    def _drop(self) -> None:
        if self._socket.wire is not None:
            self._socket.wire.abort()

    async def close(self, code: int, timeout_s: float) -> None:
        """Close by handshake; drop the socket when the echo does not come in time."""
        if self._goodbye is None:
            self._goodbye = code
            self._queue(GOODBYE, WSMsgType.PING)
            self._queue(struct.pack("!H", code), WSMsgType.CLOSE)
        _, late = await asyncio.wait([self._released], timeout=timeout_s)
        if late:
            self._lost = Failure(reason=f"no answer to our close within {timeout_s:g} s")
            self._drop()
            await self.wait_closed()

    def abort(self) -> None:
        """Drop the socket; the reader notices, and clears up."""
        self._aborted = True
        self._writer.cancel()
        self._drop()

    async def wait_closed(self) -> None:
        """Wait until everything is given back."""
        await asyncio.wait([self._released])
