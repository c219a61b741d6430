"""aiofastnet under aiohttp, for our own connections only: TLS at half the cost, and the user's loop as it was.

aiohttp asks its loop for connections. From version 4 on it asks aiofastnet itself where that is installed; before, our
connectors are given a loop that does.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    import asyncio

__all__ = ["hasten", "seals_ahead"]

# What is sealed and not sent counts in no `get_write_buffer_size`, so it would never pause us. By default it may be
# 256 KiB, 5.5 s of speech (`benches/stalled.py`); this is the least that aiofastnet takes.
_SEALED_BYTES = 16 * 1024


class _FastLoop:
    """The loop, but for what opens connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fastnet: Any) -> None:  # noqa: ANN401 - a module that may not be there
        self._loop = loop
        self._fastnet = fastnet

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a loop has
        return getattr(self._loop, name)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Leave out what whoever dials is told anyway.

        A connection that is reset in the middle of the handshake fails the dial. asyncio says no more than that;
        aiofastnet 1.2 reports it as unhandled too, with the exception's class in place of an instance.
        """
        if context.get("exception") is not ConnectionResetError:
            self._loop.call_exception_handler(context)

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the loop's own signature
        if kwargs.get("ssl"):
            kwargs["ssl_outgoing_bio_size"] = _SEALED_BYTES
        return await self._fastnet.create_connection(self, *args, **kwargs)

    async def start_tls(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the loop's own signature
        return await self._fastnet.start_tls(self, *args, ssl_outgoing_bio_size=_SEALED_BYTES, **kwargs)


def seals_ahead(wire: asyncio.Transport) -> bool:
    """Whether a transport is aiofastnet's TLS, which holds as much as may wait behind what it counts."""
    return type(wire).__module__.startswith("aiofastnet.") and wire.get_extra_info("sslcontext") is not None


def hasten(connector: aiohttp.BaseConnector | None) -> None:
    """Have a connector open its connections with aiofastnet, if that is installed and aiohttp does not do so itself."""
    loop = getattr(connector, "_loop", None)
    if loop is None or not aiohttp.__version__.startswith("3.") or sys.platform == "win32":
        return  # on Windows aiofastnet only wraps the loop's own transports
    try:
        fastnet = importlib.import_module("aiofastnet")
    except ImportError:  # the extra [fast]
        return
    connector._loop = _FastLoop(loop, fastnet)  # type: ignore[union-attr] # noqa: SLF001 - see above
