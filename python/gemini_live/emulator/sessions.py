"""Sessions and the handles under which they can be resumed."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from gemini_live.emulator.ledger import Ledger, Log, SessionLedger
from gemini_live.emulator.memory import Checkpoint, Memory

if TYPE_CHECKING:
    from gemini_live.emulator.wire import SurfaceName

__all__ = ["Session", "Sessions"]


class Session:
    """A session: its memory, and the one connection that may use it.

    Attributes:
        memory: what it remembers now; replaced when an older state is restored.
        occupant: the open connection, if there is one; only asked whether it is the same.
        lost_idle_at: when its last connection was lost without a close frame while nothing was being said.
        began_at: when it was set up first.
        left_at: when its last connection ended; handles are good for some time after that.
    """

    def __init__(self, model: str, memory: Memory, ledger: SessionLedger, now: float) -> None:
        self.began_at = now
        self.left_at = now
        self.model = model
        self.memory = memory
        self.ledger = ledger
        self.occupant: object | None = None
        self.lost_idle_at: float | None = None

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Goes back to a point; ``None`` stays where it is, which is the moment of the drop."""
        if checkpoint is not None:
            self.memory = self.ledger.memory = checkpoint.memory.branch()


class Sessions:
    """All sessions of an emulator.

    Args:
        ledger: gets an entry for each.
        keep: whether the log of a session keeps the contents.
    """

    def __init__(self, ledger: Ledger, *, keep: bool) -> None:
        self._ledger = ledger
        self._keep = keep
        self._handles: dict[tuple[SurfaceName, str], tuple[Session, Checkpoint | None]] = {}

    def create(self, model: str, now: float) -> Session:
        """A fresh session."""
        memory = Memory(Log(keep=self._keep))
        ledger = SessionLedger(len(self._ledger.sessions) + 1, model, memory)
        self._ledger.sessions.append(ledger)
        return Session(model, memory, ledger, now)

    def issue(self, session: Session, surface: SurfaceName, checkpoint: Checkpoint | None) -> str:
        """A new handle. With a checkpoint it restores that, without one whatever the session is when it is resumed."""
        handle = str(uuid.uuid4())
        self._handles[surface, handle] = (session, checkpoint)
        return handle

    def find(self, handle: str, surface: SurfaceName) -> tuple[Session, Checkpoint | None] | None:
        """What a handle stands for; ``None`` if it was never issued here."""
        return self._handles.get((surface, handle))
