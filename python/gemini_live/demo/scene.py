"""What can be seen of the session at any moment: the speaker, the conversation, the network, the accounts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

import gemini_live as live

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import numpy.typing as npt

    from gemini_live.demo.wav import Speech

__all__ = ["QUIETEST_DBFS", "Mark", "Note", "Scene", "Tone", "Turn"]

QUIETEST_DBFS: Final = -60.0

Tone: TypeAlias = Literal["good", "plain", "warning", "bad"]


@dataclass(frozen=True)
class Note:
    """Something that happened.

    Attributes:
        at_s: seconds since the beginning.
        who: ``you``, ``model``, ``emulator`` or ``session``.
    """

    at_s: float
    who: str
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Mark:
    """Where in the speech something was done to the connection."""

    position: int
    text: str


@dataclass
class Turn:
    """Something that the user said, and the answer to it."""

    question: str
    answer: str = ""
    audio: list[bytes] = field(default_factory=list[bytes])
    answered: bool = False

    def begin_again(self) -> None:
        """Forget an answer that will be given once more."""
        self.answer, self.answered = "", False
        self.audio.clear()


class Scene:
    """The state that the stage changes and the screen shows.

    Attributes:
        speech: what is said.
        sentences: how many turns there are in it.
        sent_samples: how much of it was given to the session.
        level_dbfs: of the last block.
        down: stretches of the speech, as pairs of samples, that were spoken while there was no connection.
        turns: the conversation.
        notes: everything worth a line.
        has_handle: the session can be resumed.
        settled: the newest handle contains everything that was said and answered.
        forgotten: the service did not remember the session after a reconnect.
        leaving: the session is being closed; what is not acknowledged then, the emulator's ledger knows.
        rate_hz: of the reply.
        closed: the session's last word.
    """

    def __init__(self, speech: Speech, sentences: int, tell: Callable[[Note], None]) -> None:
        self.speech = speech
        self.sentences = sentences
        self.sent_samples = 0
        self.level_dbfs = QUIETEST_DBFS
        self.down: list[tuple[int, int]] = []
        self.marks: list[Mark] = []
        self.turns: list[Turn] = []
        self.notes: list[Note] = []
        self.events = Counter[str]()
        self.status = live.SessionStatus.CONNECTING
        self.stats = live.SessionStats()
        self.has_handle = self.settled = False
        self.forgotten = self.leaving = False
        self.rate_hz = 24_000
        self.closed: live.Closed | None = None
        self._tell = tell
        self._clock: Callable[[], float] = lambda: 0.0
        self._began_at = 0.0

    # --- time ---

    def begin(self, clock: Callable[[], float]) -> None:
        """From now on time is counted."""
        self._clock, self._began_at = clock, clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._began_at

    # --- what happens ---

    def note(self, who: str, text: str, tone: Tone = "plain") -> None:
        """Write a line."""
        note = Note(self.elapsed_s, who, text, tone)
        self.notes.append(note)
        self._tell(note)

    def spoken(self, block: npt.NDArray[Any], mono: npt.NDArray[np.int16]) -> None:
        """A block was given to the session."""
        start, self.sent_samples = self.sent_samples, self.sent_samples + len(block)
        energy = float(np.square(mono, dtype=np.float64).mean())
        self.level_dbfs = max(QUIETEST_DBFS, 10 * np.log10(max(energy, 1.0)) - 20 * np.log10(32_768))
        if self.status is not live.SessionStatus.CONNECTED:
            self.down.append((start, self.sent_samples))

    def disturbed(self, text: str, note: str) -> None:
        """Something was done to the connection."""
        self.marks.append(Mark(self.sent_samples, text))
        self.note("emulator", note, "warning")

    def take(self, event: live.Event) -> None:
        """The session said something."""
        self.events[type(event).__name__] += 1
        match event:
            case live.InputTranscription(text=text):
                self._heard(text)
            case live.ModelAudio(data=data, rate_hz=rate_hz) if self._open is not None:
                self._open.audio.append(data)
                self.rate_hz = rate_hz
            case live.OutputTranscription(text=text) if self._open is not None:
                self._open.answer += text
            case live.TurnComplete() if self._open is not None:
                self.note("model", self._open.answer)
                self._open.answered = True
                self.settled = False
            case live.SessionResumption(resumable=resumable):
                self.has_handle = resumable
                self.settled = resumable and self._open is None
            case _:
                self._about_the_connection(event)

    def _heard(self, text: str) -> None:
        # The emulator numbers what it hears, and a resumed session goes back to an earlier number: what it hears again
        # after that is no new turn, and its answer takes the place of the first.
        again = next((turn for turn in self.turns if turn.question == text), None)
        if again is None:
            self.turns.append(Turn(text))
            self.note("you", text)
        else:
            again.begin_again()

    def _about_the_connection(self, event: live.Event) -> None:
        match event:
            case live.GoAway(time_left_s=time_left_s):
                left = "soon" if time_left_s is None else f"within {time_left_s:.0f} s"
                self.note("session", f"told to leave {left}", "warning")
            case live.Reconnecting(kind=live.CloseKind.PLANNED):
                self._forget_unfinished_answer()
                self.note("session", "moving to a new connection", "warning")
            case live.Reconnecting(attempt=attempt, delay_s=delay_s, kind=kind):
                self._forget_unfinished_answer()
                self.note("session", f"lost ({kind.value}), dial {attempt} in {delay_s * 1000:.0f} ms", "bad")
            case live.Reconnected(gap_s=gap_s, replayed=replayed, context_restored=restored):
                self.forgotten |= not restored
                self.note("session", f"back after {gap_s * 1000:.0f} ms, {replayed} sent again", "good")
            case live.InputDropped(count=count, kind=kind):
                self.note("session", f"{count} messages of {kind} have expired", "bad")
            case live.DeliveryUncertain(kinds=kinds) if not self.leaving:
                self.note("session", f"may not have arrived: {dict(kinds)}", "bad")
            case live.Closed():
                self.closed = event
            case _:
                pass

    def _forget_unfinished_answer(self) -> None:
        if self._open is not None:
            self._open.begin_again()

    # --- what has been reached ---

    @property
    def _open(self) -> Turn | None:
        """The turn that is to be answered next."""
        return next((turn for turn in self.turns if not turn.answered), None)

    @property
    def answered(self) -> int:
        """How many turns were answered to their end."""
        return sum(turn.answered for turn in self.turns)

    @property
    def at_rest(self) -> bool:
        """Everything that was asked is answered, and the session can be resumed from here."""
        return self._open is None and self.settled

    @property
    def reply(self) -> bytes:
        """All answers, one behind the other."""
        return b"".join(piece for turn in self.turns for piece in turn.audio)
