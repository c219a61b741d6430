"""How a port is given up without losing whoever is just being let in."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["stop_listening"]


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
