"""The port, and how it is given up without losing whoever is just being let in."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

__all__ = ["Port", "stop_listening"]


class Port:
    """Where clients come in.

    Args:
        serve: makes what serves one of them.
    """

    def __init__(self, serve: Callable[[], asyncio.Protocol]) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._letting_in: set[asyncio.Task[object]] = set()
        self._inside: WeakKeyDictionary[asyncio.Transport, socket.socket] = WeakKeyDictionary()

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> tuple[str, int]:
        """Listen; the address is the kernel's choice where ``port`` is 0.

        Raises:
            OSError: the port is in use or the host is not this machine's.
        """
        self._server = await asyncio.get_running_loop().create_server(self._let_in, host, port, ssl=tls)
        address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return address

    def _let_in(self) -> asyncio.Protocol:
        protocol = self._serve()
        # asyncio's own task, which shakes hands; uvloop has none, and leaves no socket behind
        if (task := asyncio.current_task()) is not None:
            self._letting_in.add(task)
            task.add_done_callback(functools.partial(self._came_in, protocol))
        return protocol

    def _came_in(self, protocol: asyncio.Protocol, task: asyncio.Task[object]) -> None:
        self._letting_in.discard(task)
        if (transport := getattr(protocol, "transport", None)) is not None:  # else it has not got that far
            self._inside[transport] = transport.get_extra_info("socket")

    async def close(self) -> None:
        """Let nobody in any more, and turn away who is at the door; the others stay."""
        if self._server is not None:
            await stop_listening(self._server)
        for task in self._letting_in:
            task.cancel()
        if self._letting_in:
            await asyncio.wait(self._letting_in)

    async def clear(self) -> None:
        """Cut off whoever is still inside: TLS would wait half a minute for a client to agree to the end."""
        for transport, its_socket in list(self._inside.items()):
            transport.abort()
            # one of TLS that was closed twice, as aiohttp does, has let go of what it would abort
            with contextlib.suppress(OSError):
                its_socket.shutdown(socket.SHUT_RDWR)
        for _ in range(3):  # in which the loop reads the end, gives up the connection, and closes its socket
            await asyncio.sleep(0)


async def stop_listening(server: asyncio.Server) -> None:
    """Close the port; the connections live on.

    asyncio accepts a connection in one turn of its loop and hands it to the server in the next. A server that is closed
    in between fails an assertion, and nobody closes the new socket (https://github.com/python/cpython/issues/109564).
    So nothing more is accepted first, and what has been is given its turn.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        with contextlib.suppress(NotImplementedError):  # on Windows, where both happen in one turn
            loop.remove_reader(listening.fileno())
    try:
        await asyncio.sleep(0)
    finally:
        server.close()
