"""What the command's exit codes mean: one table for all commands, and for what may be raised in them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from gemini_live.cli.transcript import printable
from gemini_live.errors import ConfigError, ConnectError, DeviceError, GeminiLiveError, SessionClosed
from gemini_live.events import CloseKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemini_live.events import Closed

__all__ = ["MEANINGS", "CommandError", "Exit", "exit_of", "said"]


class Exit(IntEnum):
    """What the process returns."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NETWORK = 3
    CREDENTIALS = 4
    SETUP = 5
    FILE = 6
    DEVICE = 7
    INTERRUPTED = 130
    """128 and the number of SIGINT, as shells have it; likewise the next."""
    BROKEN_PIPE = 141


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.OK: "all went well",
    Exit.FAILED: "it did not, and the output says why",
    Exit.USAGE: "called in a way that cannot work, or an extra is not installed",
    Exit.NETWORK: "network: DNS, TCP, TLS, proxy, or a port that is taken",
    Exit.CREDENTIALS: "credentials: no key or token, or a wrong one",
    Exit.SETUP: "the service does not take the model or the setup",
    Exit.FILE: "a file cannot be read, used or written",
    Exit.DEVICE: "audio devices",
    Exit.INTERRUPTED: "Ctrl-C",
    Exit.BROKEN_PIPE: "whoever read the output has gone",
}

_OF_KIND: Final[Mapping[CloseKind, Exit]] = {
    CloseKind.NETWORK: Exit.NETWORK,
    CloseKind.TIMEOUT: Exit.NETWORK,
    CloseKind.RECONNECT_EXHAUSTED: Exit.NETWORK,
    CloseKind.CREDENTIALS: Exit.CREDENTIALS,
    CloseKind.TOKEN_EXPIRED: Exit.CREDENTIALS,
    CloseKind.SETUP: Exit.SETUP,
}
# Where an argument stands says what it is about.
_OF_PLACE: Final[Mapping[str, Exit]] = {
    "auth": Exit.CREDENTIALS,
    "setup": Exit.SETUP,
    "model": Exit.SETUP,
    "generation_config": Exit.SETUP,
    "record": Exit.FILE,
    "replay": Exit.FILE,
    "script": Exit.FILE,
    "path": Exit.FILE,
}
# The library's hints speak Python.
_AS_OPTIONS: Final[Mapping[str, str]] = {
    "GEMINI_API_KEY or auth=ApiKey(…)": "GEMINI_API_KEY or --key-file",
    "give TransportConfig(ssl=…)": "give --ca-file",
    "give it as auth=…, it then travels in a header": "give it in GEMINI_API_KEY or by --key-file",
    ": VertexAi(project=…), or GOOGLE_CLOUD_PROJECT in the environment; or": "; put GOOGLE_CLOUD_PROJECT into the "
    "environment, or",
    "express mode key as auth=ApiKey(…)": "express mode key into --key-file",
}


class CommandError(Exception):
    """Ends a command: one line that names the fault and the mend, and the exit code."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


def exit_of(error: GeminiLiveError | CloseKind) -> Exit:
    """The exit code for an error of the package, or for the reason why a session ended."""
    match error:
        case CloseKind():
            return _OF_KIND.get(error, Exit.FAILED)
        case ConnectError(closed=closed) | SessionClosed(closed=closed):
            return exit_of(closed.kind)
        case DeviceError():
            return Exit.DEVICE
        case ConfigError(path=path):
            return _OF_PLACE.get(path.partition(".")[0], Exit.USAGE)
        case _:
            return Exit.FAILED


def said(text: str | Closed) -> str:
    """A message of the package, or why a session ended, with what to do about it in the command line's words."""
    message = text if isinstance(text, str) else text.describe()
    for python, option in _AS_OPTIONS.items():
        message = message.replace(python, option)
    return printable(message)  # the words of the other side may be in it
