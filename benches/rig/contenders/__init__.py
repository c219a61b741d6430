"""Those who are compared, a file each; what they have in common is here.

A name is ``stack-pacing-loop``. *Pacing*: ``push`` sends for all sessions from one 20 ms tick, ``task`` has a task for
each session. *Loop*: ``stock`` is asyncio as it comes, ``fast`` the same with aiofastnet's transports, ``uvloop`` is
uvloop with aiofastnet's transports, ``bare`` uvloop with its own.
"""

import ssl
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from rig import wire

PATIENCE_S = 5.0
"""How long the last messages may take."""


class Place(NamedTuple):
    """Where to dial, and as whom."""

    name: str
    port: int
    ca_file: str

    @property
    def path(self) -> str:
        return "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"

    @property
    def url(self) -> str:
        return f"wss://127.0.0.1:{self.port}{self.path}"

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)


class Contender(ABC):
    """So many sessions, all in this process; each slice sends ``count`` chunks on each and hears half as many messages.

    A subclass opens its sessions, makes what may be made before the clock runs, and sends and hears.
    """

    pacings: ClassVar[tuple[str, ...]] = ("push", "task")
    loops: ClassVar[tuple[str, ...]] = ("stock", "fast", "uvloop", "bare")

    def __init__(self, place: Place, sessions: int) -> None:
        _, self.pacing, self.loop = place.name.split("-")
        self.place = place
        self.sessions = sessions
        self.tally = wire.Tally()
        self.ears = [wire.Ear(session, self.tally) for session in range(sessions)]
        self.chunks: list[list[bytes]] = []
        self.late = 0.0
        self._sent = 0

    @abstractmethod
    async def open(self, session: int) -> None:
        """Open this session; they come in order, a few at a time."""

    def prepare(self, count: int) -> None:
        """Make the chunks of the next slice, ``chunks[n][session]``."""
        first = self._sent
        self.chunks = [
            [wire.chunk(session, sequence, first, count) for session in range(self.sessions)]
            for sequence in range(first, first + count)
        ]
        self._sent += count
        self.tally.expect(self.sessions * (count // wire.CHUNKS_PER_MESSAGE))

    @abstractmethod
    async def run(self) -> None:
        """Send the chunks, note in `late` which share of them was, and hear the answers: what is measured."""

    def notes(self) -> dict[str, list[float]]:
        """What else the last slice has shown."""
        return {}

    @abstractmethod
    async def close(self) -> None:
        """End the sessions."""


def sessions_that_fit(name: str, wanted: int) -> int:
    """The official SDK fills a core with some 45 sessions: it gets 20, and all figures are for one session."""
    return min(wanted, 20) if name.startswith("official-") else wanted
