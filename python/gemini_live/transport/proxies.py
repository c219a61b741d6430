"""Which proxy a connection goes through, where the caller names none."""

from __future__ import annotations

import os
import urllib.request
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from gemini_live.auth import is_loopback
from gemini_live.config import without_password

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EnvironmentProxy", "environment_proxy", "socks_url"]

_SOCKS_PORT: Final = 1080

_SCHEMES: Final = {"wss": ("wss", "https"), "ws": ("ws",), "https": ("https",), "http": ("http",)}
"""Whose variables count for a URL, the first that is set. Most proxies pass on no ``ws://`` upgrade by HTTP_PROXY."""


class EnvironmentProxy(NamedTuple):
    """A proxy, and who has named it."""

    url: str
    source: str
    """A variable, or the system's settings."""

    def __repr__(self) -> str:
        return f"EnvironmentProxy(url={without_password(self.url)!r}, source={self.source!r})"

    def __rich_repr__(self) -> list[str]:
        """Keep `rich` from showing what the ``repr`` does not."""
        return [without_password(self.url), self.source]


def environment_proxy(url: str) -> EnvironmentProxy | None:
    """The proxy that the environment names for a URL, or the system's settings on macOS and Windows.

    For ``wss://`` it is ``WSS_PROXY``, then ``HTTPS_PROXY``, which is what everybody sets and what curl follows.
    ``NO_PROXY`` takes hosts out. This machine is reached through ``WSS_PROXY`` and ``WS_PROXY`` only: an emulator is no
    business of the proxy by which a network is left.

    It may ask DNS (on Windows), so it belongs into a thread.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    bypasses: Callable[[str], bool] = urllib.request.proxy_bypass
    if bypasses(host):
        return None
    proxies = urllib.request.getproxies()
    for scheme in _SCHEMES[parts.scheme]:
        proxy = proxies.get(scheme, "")
        if not proxy or (scheme in ("https", "http") and is_loopback(host)):
            continue
        name = f"{scheme.upper()}_PROXY"
        is_variable = bool(os.environ.get(name) or os.environ.get(name.lower()))
        return EnvironmentProxy(
            proxy if "://" in proxy else f"http://{proxy}", name if is_variable else "the system's settings"
        )
    return None


def socks_url(proxy: str) -> str:
    """A SOCKS proxy as its library wants it: with a port, and 4a and 5h, which it always speaks, as 4 and 5."""
    parts = urlsplit(proxy)
    port = "" if parts.port else f":{_SOCKS_PORT}"
    return f"{parts.scheme[: len('socks5')]}://{parts.netloc}{port}"
