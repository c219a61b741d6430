"""Libraries that not everyone needs: imported when they are, and named with the extra that brings them when missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gemini_live.errors import DeviceError

__all__ = ["require"]


def require(module: str, extra: str, system_package: str = "") -> Any:  # noqa: ANN401 - whatever the library offers
    """Import a library of an extra.

    Raises:
        ModuleNotFoundError: it is not installed.
        DeviceError: it is, and lacks a library of the operating system.
    """
    top = module.partition(".")[0]
    try:
        import_module(top)
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != top:
            raise
        raise ModuleNotFoundError(
            f'{top} is not installed; get it with: pip install "gemini-live[{extra}]"', name=top
        ) from None
    except OSError as error:  # what a wheel without the library itself raises, such as sounddevice on Linux
        instead = (
            f"install it, on Debian with: apt-get install {system_package}" if system_package else "see its manual"
        )
        raise DeviceError(top, f"{error}; {instead}") from error
