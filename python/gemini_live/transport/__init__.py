"""The client's only network code: one connection, dialled with aiohttp, that carries whole messages.

`Transport` is what a runner needs of a connection; tests bring one of their own. aiohttp does the handshake, with its
proxies and its TLS. Afterwards the connection is taken over (`stream`): whole frames are written to it, and what comes
in is taken apart in Rust, one call for each read. Where aiohttp does not let go of it, its own WebSocket serves
(`fallback`).
"""

from __future__ import annotations

from gemini_live.transport.dialling import check_proxy, dial, post
from gemini_live.transport.interface import DialError, Dialler, Receiver, Transport
from gemini_live.transport.proxies import environment_proxy

__all__ = ["DialError", "Dialler", "Receiver", "Transport", "check_proxy", "dial", "environment_proxy", "post"]
