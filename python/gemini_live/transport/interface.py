"""What a runner needs of a connection, and what it is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gemini_live.auth import Address
    from gemini_live.config import TransportConfig
    from gemini_live.failures import Failure

__all__ = [
    "GOODBYE",
    "HIGH_WATER",
    "LOW_WATER",
    "MAX_MESSAGE",
    "DialError",
    "Dialler",
    "Receiver",
    "Transport",
    "words_of",
]

# Speech that waits behind more than this is not fresh any more: 16 KiB are 340 ms of it.
HIGH_WATER = 16 * 1024
LOW_WATER = 4 * 1024
# A frame as long as the sender likes would fill the memory; the service's largest messages are some 60 kB.
MAX_MESSAGE = 64 * 1024 * 1024
# The payload of the ping before our close frame: whoever answers it has read everything, whoever closes by himself at
# that moment has not.
GOODBYE = b"goodbye"


class Receiver(Protocol):
    """Whoever is told what a connection does. Every method returns at once and raises nothing."""

    def message_received(self, raw: bytes) -> None:
        """A whole message, text or binary."""

    def pong_received(self, payload: bytes) -> None:
        """The answer to a ping."""

    def life_sign(self) -> None:
        """Something else came in."""

    def writing_paused(self) -> None:
        """What was written waits for the network; better not to add to it."""

    def writing_resumed(self) -> None:
        """The network has caught up."""

    def connection_lost(self, failure: Failure) -> None:
        """The socket is closed. The last call."""


class Transport(Protocol):
    """One connection, from its opening on."""

    def write(self, frame: bytes, /) -> None:
        """Send a whole message, as `codec.frame` has framed it; never blocks, and keeps the order."""

    def ping(self, payload: bytes) -> None:
        """Send a WebSocket ping, behind everything that was written before."""

    async def close(self, code: int, timeout_s: float) -> None:
        """Say goodbye behind everything that was written, wait for the echo, close the socket.

        What still arrives meanwhile is handed on; `Receiver.connection_lost` has been called when this returns.
        """

    def abort(self) -> None:
        """Drop the socket at once, without a word to the other side; the receiver is told nothing more."""

    async def wait_closed(self) -> None:
        """Wait until nothing is left of the connection."""


class Dialler(Protocol):
    """Opens connections."""

    async def __call__(self, address: Address, config: TransportConfig, receiver: Receiver) -> Transport:
        """Open one. The receiver is told nothing before this has returned.

        Raises:
            DialError: it could not be had.
        """
        ...


class DialError(Exception):
    """A connection could not be opened."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def words_of(error: BaseException) -> str:
    """What an operating system's or a library's error says, without its number."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
