"""This package under a lens: when the kernel has a chunk, and how long the loop is kept busy at a time.

Nothing of the package is replaced. The kernel is asked (``TCP_INFO``, Linux) how many bytes of a connection it has been
handed, before and after each `send_audio`; what is not there yet when that returns is waited for, turn by turn of the
loop. Pacing ``timed`` measures something else: on a loop that takes the CPU time of each callback that it runs.
"""

import asyncio
import gc
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

from rig import wire
from rig.contenders import PATIENCE_S
from rig.contenders.ours import Ours

# struct tcp_info of <linux/tcp.h>
_NOT_SENT = struct.Struct("@I"), 144
_SENT = struct.Struct("@QQ"), 200  # bytes_sent, bytes_retrans
_INFO_BYTES = 232
_AT_LEAST = 900
"""A chunk takes more than this on the wire, a ping or a pong less."""


def handed_to_kernel(connection: socket.socket) -> int:
    """Bytes of a TCP connection that its process has written, sent or not."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    (not_sent,) = _NOT_SENT[0].unpack_from(info, _NOT_SENT[1])
    sent, again = _SENT[0].unpack_from(info, _SENT[1])
    return int(sent) - int(again) + int(not_sent)


def connections_to(port: int) -> list[socket.socket]:
    """Duplicates of this process's TCP sockets whose other end is this port."""
    found = []
    for number in _open_sockets():
        connection = socket.socket(fileno=os.dup(number))
        try:
            if connection.family == socket.AF_INET and connection.getpeername()[1] == port:
                found.append(connection)
                continue
        except OSError:
            pass  # not connected
        connection.close()
    return found


def _open_sockets() -> list[int]:
    """All of them, before there are duplicates: those may get the number of what reads the folder."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if entry.readlink().name.startswith("socket:"):
                found.append(int(entry.name))
        except OSError:
            continue  # what reads the folder is gone
    return found


class TimedLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, with the thread's CPU time of each callback, without what the garbage collector took of it."""

    def __init__(self) -> None:
        self.callbacks_us: list[float] = []
        self.collections_us: list[float] = []
        self._collecting_ns = 0
        self._collected_ns = 0
        gc.callbacks.append(self._collect)
        super().__init__()

    def close(self) -> None:
        if self._collect in gc.callbacks:
            gc.callbacks.remove(self._collect)
        super().close()

    def forget(self) -> None:
        self.callbacks_us, self.collections_us = [], []

    def _collect(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_ns = time.thread_time_ns()
        else:
            took_ns = time.thread_time_ns() - self._collecting_ns
            self._collected_ns += took_ns
            self.collections_us.append(took_ns / 1e3)

    def _timed(self, callback: Any, *args: Any) -> None:
        self._collected_ns = 0
        began_ns = time.thread_time_ns()
        try:
            callback(*args)
        finally:
            self.callbacks_us.append((time.thread_time_ns() - began_ns - self._collected_ns) / 1e3)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        return super().call_soon(self._timed, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return super().call_at(when, self._timed, callback, *args, context=context)

    def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        return super()._add_reader(fd, self._timed, callback, *args)  # type: ignore[misc]

    def _add_writer(self, fd: Any, callback: Any, *args: Any) -> Any:
        return super()._add_writer(fd, self._timed, callback, *args)  # type: ignore[misc]


class Probe(Ours):
    """Sessions with tasks of their own, as `Ours` has them."""

    pacings = ("task", "timed")

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._connections: list[Any] = [None] * self.sessions
        self._one_by_one = asyncio.Lock()
        self._call_us: list[float] = []
        self._late_us: list[float] = []

    async def open(self, session: int) -> None:
        async with self._one_by_one:
            known = {connection.getsockname() for connection in self._connections if connection is not None}
            await super().open(session)
            for connection in connections_to(self.place.port):
                if connection.getsockname() in known:
                    connection.close()
                else:
                    self._connections[session] = connection

    async def run(self) -> None:
        self._call_us, self._late_us = [], []
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        speakers = [asyncio.create_task(self._speak(session, began_at)) for session in range(self.sessions)]
        everything = asyncio.gather(*speakers)
        await asyncio.sleep(0)  # the callback that has made chunks and tasks is over, and was the bench's own
        if isinstance(loop, TimedLoop):
            loop.forget()
        await everything
        await self.tally.wait_complete(PATIENCE_S)

    def notes(self) -> dict[str, list[float]]:
        loop = asyncio.get_running_loop()
        if isinstance(loop, TimedLoop):
            return {"callbacks_us": loop.callbacks_us, "collections_us": loop.collections_us}
        return {"call_us": self._call_us, "late_us": self._late_us}

    async def _speak(self, session: int, began_at: float) -> None:
        loop = asyncio.get_running_loop()
        due_at = began_at + wire.CHUNK_S * session / self.sessions
        for chunks in self.chunks:
            await asyncio.sleep(due_at - loop.time())
            if self.pacing == "timed":
                await self._sessions[session].send_audio(chunks[session])
            else:
                late_s = loop.time() - due_at
                self._late_us.append(1e6 * late_s)
                await self._time(self._sessions[session], chunks[session], self._connections[session])
            due_at += wire.CHUNK_S

    async def _time(self, session: Any, chunk: bytes, connection: socket.socket) -> None:
        enough = handed_to_kernel(connection) + _AT_LEAST
        began_ns = time.perf_counter_ns()
        await session.send_audio(chunk)
        done_ns = time.perf_counter_ns()
        while handed_to_kernel(connection) < enough:  # the kernel has no event for it
            await asyncio.sleep(0)
            done_ns = time.perf_counter_ns()
        self._call_us.append((done_ns - began_ns) / 1e3)

    async def close(self) -> None:
        await super().close()
        for connection in self._connections:
            connection.close()
