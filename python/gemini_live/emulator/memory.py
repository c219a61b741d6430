"""What a session remembers between connections, and what a handle restores."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from gemini_live.emulator.ear import Ear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemini_live.emulator.ledger import Log, Samples
    from gemini_live.emulator.script import Reply

__all__ = ["Ask", "Call", "Checkpoint", "Memory"]


class Ask(NamedTuple):
    """Something that the model is to answer."""

    text: str
    """What the answer's transcription will say."""
    utterance: Samples | None = None
    """What the user said, 16 kHz, and the answer will repeat; ``None`` lets the emulator hum."""
    may_call: bool = False
    """Functions that the text names are called before it is answered."""
    reply: tuple[Reply, ...] | None = None
    """What a script answers instead."""
    by_user: bool = False
    """It is the user's turn, not the answer to a call."""


class Call(NamedTuple):
    """A function call that waits for its answer."""

    name: str
    blocking: bool
    args: Mapping[str, Any] = {}


class Memory:
    """The state of one session. Holds no time and no connection.

    Attributes:
        log: everything that the user got across.
        ear: the audio stream: position, speech so far.
        history: pairs of role and text; only ever grows.
        tokens: by modality, of all that was said; audio that came in is counted by the ear.
        utterances: spoken turns of the user.
        answers: answers spoken to their end.
        interruptions: answers cut short.
        calls: pending function calls by id.
        results: answers to calls whose siblings are still pending.
        issued: function calls so far.
        waiting: what is to be answered after the present answer, where the user may not interrupt.
        seeded: the initial history is complete.
        instruction: the system instruction in force.
        forgotten: tokens that the sliding window has dropped.
        given_up: calls that the user has interrupted since his last turn.
        fired: how often each rule of a script has fired.
        mute: it will never answer any more (a poisoned session).
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self.ear = Ear()
        self.history: list[tuple[str, str]] = []
        self.tokens: Counter[str] = Counter()
        self.utterances = 0
        self.answers = 0
        self.interruptions = 0
        self.calls: dict[str, Call] = {}
        self.results: list[str] = []
        self.issued = 0
        self.waiting: list[Ask] = []
        self.seeded = False
        self.instruction = ""
        self.forgotten = 0
        self.given_up: list[Call] = []
        self.fired: Counter[int] = Counter()
        self.mute = False
        self._said = 0  # how much of the history a mark contains

    def mark(self) -> Memory:
        """This state as it is now, to be kept; `branch` makes it live again.

        Shares what only ever grows, because each turn of a session may leave a mark.
        """
        return self._copy(self.log.mark(), self.ear.mark(), self.history)

    def branch(self) -> Memory:
        """A state that starts from this mark and goes its own way."""
        log = self.log.branch()
        return self._copy(log, self.ear.branch(log), self.history[: self._said])

    def _copy(self, log: Log, ear: Ear, history: list[tuple[str, str]]) -> Memory:
        other = Memory(log)
        other.ear = ear
        other.history, other._said = history, len(self.history)
        other.tokens = self.tokens.copy()
        other.calls, other.results, other.waiting = self.calls.copy(), self.results.copy(), self.waiting.copy()
        other.utterances, other.answers, other.interruptions = self.utterances, self.answers, self.interruptions
        other.issued, other.seeded = self.issued, self.seeded
        other.instruction, other.forgotten, other.mute = self.instruction, self.forgotten, self.mute
        other.given_up, other.fired = self.given_up.copy(), self.fired.copy()
        return other


class Checkpoint(NamedTuple):
    """A state, and the last message of its connection that it contains."""

    memory: Memory
    last_message: int
    """Its number on that connection, counted from 1; 0 if there was none."""
