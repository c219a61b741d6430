"""A WebSocket on a connection whose handshake is done: whole frames out, one call into Rust for each read.

It knows asyncio's transports and RFC 6455, and nothing of who made the connection. Reading and writing never wait for
one another; a frame is handed to the socket in the call that writes it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from gemini_live import _core
from gemini_live.events import CloseKind
from gemini_live.failures import Failure
from gemini_live.transport.fastnet import seals_ahead
from gemini_live.transport.interface import GOODBYE, HIGH_WATER, LOW_WATER, MAX_MESSAGE, words_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gemini_live.transport.interface import Receiver

__all__ = ["StreamTransport"]

# Two TLS records, or a dozen messages of audio, in one read.
_READ_BYTES = 32 * 1024
# For so long a socket may take to send what was written before it was closed.
_LAST_WORDS_S = 1.0
# RFC 6455 5.2 and 7.4.1
_CLOSE, _PING, _PONG = 8, 9, 10
_NO_STATUS_RECEIVED = 1005  # stands for a close frame without a code


_read_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


def _read_buffer(loop: asyncio.AbstractEventLoop) -> memoryview:
    """What all connections of a loop read into.

    asyncio, uvloop and aiofastnet tell of what they have read in the call that reads it, so nothing stays there between
    two connections; and what all of them use stays in the processor's cache.
    """
    buffer = _read_buffers.get(loop)
    if buffer is None:
        buffer = _read_buffers[loop] = memoryview(bytearray(_READ_BYTES))
    return buffer


class StreamTransport(asyncio.BufferedProtocol):
    """The client's end of a WebSocket.

    Args:
        wire: the connection; reading is paused.
        early: what the other side has sent right behind its handshake.
    """

    def __init__(self, wire: asyncio.Transport, early: bytes) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire = wire
        self._early = early
        self._frames = _core.FrameReader(MAX_MESSAGE)
        self._buffer = _read_buffer(self._loop)
        self._receiver: Receiver | None = None
        self._release: Callable[[Exception | None], Awaitable[None]] | None = None
        self._gone = False  # the socket is closed
        self._error: Exception | None = None  # by this, if by anything
        self._failure: Failure | None = None  # what the receiver will be told of the end
        self._finishing: asyncio.Task[None] | None = None
        self._finished = self._loop.create_future()
        self._impatience: asyncio.TimerHandle | None = None
        self._goodbye: int | None = None  # the code of the close frame that we have sent
        self._goodbye_read = False
        self._aborted = False
        self._paused = False
        self._stopped = False  # nothing that is written leaves any more
        self.write: Callable[[bytes], None] = wire.write
        """Hand a frame to the socket: asyncio's own function, as there is nothing to be added to it."""
        _keep_fresh(wire)

    def start(self, receiver: Receiver, release: Callable[[Exception | None], Awaitable[None]]) -> None:
        """Begin to read, with the next turn of the loop.

        Args:
            receiver: is told everything from then on.
            release: gives back what the connection was made of, once its socket is closed; it is told what closed it.
        """
        self._receiver, self._release = receiver, release
        self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        # first, and only then what came early: if that is a close, TLS waits for the other side's, which must be read
        self._wire.resume_reading()
        early, self._early = self._early, b""
        for start in range(0, len(early), _READ_BYTES):
            piece = early[start : start + _READ_BYTES]
            self._buffer[: len(piece)] = piece
            self.buffer_updated(len(piece))
        if self._gone:
            self._finish()

    # --- writing ---

    def ping(self, payload: bytes) -> None:
        """Send a ping."""
        self.write(_core.encode_frame(_PING, payload))

    def pause_writing(self) -> None:
        """The socket's buffer is full enough (asyncio)."""
        if not self._stopped and self._receiver is not None:
            self._paused = True
            self._receiver.writing_paused()

    def resume_writing(self) -> None:
        """The socket's buffer is nearly empty (asyncio)."""
        if self._paused and self._receiver is not None:
            self._paused = False
            self._receiver.writing_resumed()

    def _stop_writing(self) -> None:
        """Nothing that is written from now on would leave; better that it waits for the next connection."""
        if not self._stopped and not self._paused and not self._aborted and self._receiver is not None:
            self._receiver.writing_paused()
        self._stopped, self._paused = True, False  # and nothing is to be resumed
        self.write = _discard

    # --- reading ---

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the loop is to put what it reads (asyncio)."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read (asyncio)."""
        items = self._frames.feed(self._buffer, nbytes)
        receiver = self._receiver
        if receiver is None or self._aborted:
            return
        if not items:
            receiver.life_sign()
        for item in items:
            if type(item) is bytes:
                receiver.message_received(item)
            else:
                self._control_received(receiver, item)
            if self._aborted:
                return

    def _control_received(self, receiver: Receiver, item: object) -> None:
        match item:
            case _core.Pong(payload=payload):
                self._goodbye_read = self._goodbye_read or payload == GOODBYE
                receiver.pong_received(payload)
            case _core.Ping(payload=payload):
                self.write(_core.encode_frame(_PONG, payload))
                receiver.life_sign()
            case _core.Close(code=code, reason=reason):
                self._close_received(code, reason)
            case _core.Violation(code=code, reason=reason):
                if self._goodbye is None:
                    self._say_goodbye(code)
                self._stop_writing()
                self._hang_up(Failure(code=code, kind=CloseKind.SERVER, reason=f"broken WebSocket stream: {reason}"))
            case _:
                pass

    def _close_received(self, code: int | None, reason: str) -> None:
        """Echo the other side's close unless we have sent ours (RFC 6455 5.5.1)."""
        if self._goodbye is not None:
            # An echo, or a close of their own that has crossed ours and proves nothing? It is an echo if they have
            # read as far as the ping that we sent right before.
            failure = Failure(code=code, reason=reason, clean=self._goodbye_read)
        else:
            self._say_goodbye(code)
            failure = Failure(code=self._goodbye, reason=reason)
        self._stop_writing()
        self._hang_up(failure)

    def eof_received(self) -> bool:
        """The other side writes no more, so neither do we (asyncio)."""
        self._stop_writing()
        self._abort_soon()  # the loop closes the socket, but not before all is written, which may be never
        return False

    # --- the end ---

    def _say_goodbye(self, code: int | None) -> None:
        self._goodbye = _NO_STATUS_RECEIVED if code is None else code
        self.write(_core.encode_frame(_CLOSE, b"" if code is None else code.to_bytes(2)))

    async def close(self, code: int, timeout_s: float) -> None:
        """Close by handshake; drop the socket when the echo does not come in time."""
        if self._goodbye is None:
            self.ping(GOODBYE)
            self._say_goodbye(code)
        _, late = await asyncio.wait([self._finished], timeout=timeout_s)
        if late:
            self._failure = self._failure or Failure(reason=f"no answer to our close within {timeout_s:g} s")
            self._wire.abort()
            await asyncio.wait([self._finished])

    def _hang_up(self, failure: Failure) -> None:
        """Close the socket when what was written has left, but not later than in a while."""
        self._failure = self._failure or failure
        self._wire.close()
        self._abort_soon()

    def _abort_soon(self) -> None:
        if self._impatience is None and not self._gone:
            self._impatience = self._loop.call_later(_LAST_WORDS_S, self._wire.abort)

    def abort(self) -> None:
        """Drop the socket."""
        self._aborted = True
        self._wire.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed (asyncio)."""
        self._gone, self._error = True, exc
        if self._impatience is not None:
            self._impatience.cancel()
        self._failure = self._failure or Failure(reason="the connection was reset" if exc is None else words_of(exc))
        if self._release is not None:
            self._finish()

    def _finish(self) -> None:
        if self._finishing is None:
            self._begin_to_end()

    def _begin_to_end(self) -> None:
        self._finishing = self._loop.create_task(self._end(), name="gemini-live transport")
        self._finishing.add_done_callback(self._ended)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        """Whoever shuts the loop down cancels all tasks, once, also one that has not begun, whose end is waited for."""
        if ending.cancelled() and not self._finished.done():
            self._begin_to_end()

    async def _end(self) -> None:
        self._stop_writing()
        try:
            if self._release is not None:
                await self._release(self._error)
        finally:
            # else the loop was closed without a word, and this is the collector: there is nobody left to be told
            if not isinstance(sys.exception(), GeneratorExit):
                self._tell_the_end()

    def _tell_the_end(self) -> None:
        if self._receiver is not None and self._failure is not None and not self._aborted:
            self._receiver.connection_lost(self._failure)
        if not self._finished.done():
            self._finished.set_result(None)

    async def wait_closed(self) -> None:
        """Wait until the socket is closed and everything was given back."""
        await asyncio.wait([self._finished])


def _discard(_frame: bytes) -> None:
    """In place of `write` when nothing leaves any more."""


def _keep_fresh(wire: asyncio.Transport) -> None:
    """Let little wait where it cannot be taken back: neither in asyncio's buffers nor, unsent, in the kernel's."""
    if seals_ahead(wire):
        wire.set_write_buffer_limits(high=0)
    else:
        wire.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
    # Below asyncio's TLS lies a plain transport with another buffer of 64 KiB, 1.4 s of speech, that has no public
    # name. With a limit of nothing it passes the pause on as soon as the socket is full.
    below = getattr(getattr(wire, "_ssl_protocol", None), "_transport", None)
    if isinstance(below, asyncio.WriteTransport):
        below.set_write_buffer_limits(high=0)
    sock = wire.get_extra_info("socket")
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if sock is not None and option is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, option, HIGH_WATER)
