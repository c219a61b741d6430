"""Every exception that this package raises of its own accord.

::

    GeminiLiveError
    ├── ConfigError (ValueError)            a wrong argument; `connect` finds it before any I/O
    ├── ConnectError (ConnectionError)      no session: network, quota, service's fault
    │   ├── AuthenticationError             the credentials were refused
    │   ├── SetupError                      the service refused the setup message
    │   └── ConnectTimeout (TimeoutError)   it took longer than connect_timeout_s
    ├── TokenError (ConnectionError)        no ephemeral token could be made
    │   └── TokenRefused (PermissionError)  nor will it be by another attempt
    ├── DeviceError (OSError)               a microphone, a camera … cannot be used
    │   └── DeviceLost                      it was there, and is gone
    ├── SessionClosed                       a send, or a wait, after the session's end
    └── NotResumable                        the service gave no handle for this state

Samples and images that cannot be encoded raise the built-in ``TypeError`` (not a kind of data that is accepted) and
``ValueError`` (the right kind with a wrong shape or value); the message says what is accepted.

No message, ``repr`` or attribute of these ever holds a credential.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from gemini_live.events import Closed

__all__ = [
    "AuthenticationError",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "DeviceError",
    "DeviceLost",
    "GeminiLiveError",
    "NotResumable",
    "SessionClosed",
    "SetupError",
    "TokenError",
    "TokenRefused",
]


class GeminiLiveError(Exception):
    """The base of all errors of this package."""


class ConfigError(GeminiLiveError, ValueError):
    """An argument that cannot work; `connect` finds it before any I/O.

    Attributes:
        path: where it stands, in the caller's spelling, such as
            ``generation_config.temprature`` (misspelled); ``""`` if nowhere.
        suggestion: the closest name that exists, if one is close.
    """

    def __init__(self, message: str, *, path: str = "", suggestion: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.suggestion = suggestion


class ConnectError(GeminiLiveError, ConnectionError):
    """``connect()`` ended without a usable session.

    It is of this class itself when the network failed, a quota is exhausted or the service has a fault.

    Attributes:
        closed: what happened, with the same fields as the event that ends a running session.
    """

    def __init__(self, closed: Closed) -> None:
        super().__init__(closed.describe())
        self.closed = closed

    def __reduce__(self) -> tuple[type[Self], tuple[Closed]]:
        # the inherited one would give the description to __init__, and a pool's worker could not send the error home
        return type(self), (self.closed,)

    @property
    def code(self) -> int | None:
        """The WebSocket close code or the HTTP status, if the other side gave one."""
        return self.closed.code

    @property
    def reason(self) -> str:
        """The other side's words, or the operating system's."""
        return self.closed.reason

    @property
    def hint(self) -> str:
        """What to do about it, in one sentence; ``""`` if nothing is known."""
        return self.closed.hint


class AuthenticationError(ConnectError):
    """The service refused the key or token, or the function that gives it raised."""


class SetupError(ConnectError):
    """The service refused the setup: a model, a field or a value that it does not take.

    Or the conversation that was to be resumed is gone.
    """


class ConnectTimeout(ConnectError, TimeoutError):  # noqa: N818 - named like the built-in it extends
    """DNS, TCP, TLS, upgrade and setup together took longer than ``connect_timeout_s``."""


class TokenError(GeminiLiveError, ConnectionError):
    """No ephemeral token could be made; another attempt may succeed.

    Attributes:
        status: the HTTP status, if there was an answer.
        reason: the service's words, or the operating system's.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason if status is None else f"HTTP {status}: {reason}")
        self.reason = reason
        self.status = status

    def __reduce__(self) -> tuple[type[Self], tuple[str, int | None]]:
        return type(self), (self.reason, self.status)


class TokenRefused(TokenError, PermissionError):  # noqa: N818 - named like the state
    """The service does not make such a token, or not with this key: another attempt is no use."""


class DeviceError(GeminiLiveError, OSError):
    """A device cannot be used: there is none, it cannot be opened, or it gives nothing.

    Attributes:
        device: its name, as the operating system or the caller has it.
        reason: what is wrong with it, and what to do.
    """

    def __init__(self, device: str, reason: str) -> None:
        super().__init__(f"{device}: {reason}")
        self.device = device
        self.reason = reason

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self.device, self.reason)


class DeviceLost(DeviceError):  # noqa: N818 - named like the state
    """A device stopped in the middle: it was unplugged, say, or another program took it."""


class SessionClosed(GeminiLiveError):  # noqa: N818 - a state, not a fault
    """The session has ended, so nothing can be sent or awaited any more.

    Attributes:
        closed: why it ended.
    """

    def __init__(self, closed: Closed) -> None:
        match closed.kind.value:  # by its value, because nothing of the package lies below the errors
            case "requested":
                why = "close() was called, or its `async with` block was left"
            case "handed_over":
                why = "hand_over() was called"
            case _:
                why = closed.describe()
        super().__init__(f"the session has ended: {why}")
        self.closed = closed

    def __reduce__(self) -> tuple[type[Self], tuple[Closed]]:
        return type(self), (self.closed,)


class NotResumable(GeminiLiveError):  # noqa: N818 - a state, not a fault
    """The service has given no handle for the session's present state, so it cannot go on elsewhere just now."""
