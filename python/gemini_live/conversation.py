"""Whose turn it is: what the service's events mean for the talk, as far as a connection must know. Pure.

It numbers the pieces of each answer, holds back what comes of an answer after its interruption, and knows whether a
turn is running, which tool calls wait for their answer, and whether the service owes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemini_live import events

if TYPE_CHECKING:
    from gemini_live.messages import FunctionCall

__all__ = ["Conversation"]

# Late audio of an interrupted answer ends with its turnComplete, milliseconds later. Should that never come, the next
# answer must not be taken for it.
_LATE_AUDIO_S = 2.0
# What was said may be transcribed, and found to have ended, only after it was answered.
_LATE_HEARD_S = 2.0


class Conversation:
    """The state of the talk.

    Attributes:
        turn_running: the model is answering.
        owed_since: since when the service owes an answer, on the caller's clock; ``None`` if it does not.
        pending_calls: tool calls without an answer, by id, oldest first.
        audio_discarded: pieces of interrupted answers that were held back.
        interrupted_at: when the running answer was interrupted, on the caller's clock; ``None`` if it was not.
    """

    __slots__ = (
        "_all_has_come",
        "_sequence",
        "_turn",
        "_turn_over_at",
        "audio_discarded",
        "interrupted_at",
        "owed_since",
        "pending_calls",
        "turn_running",
    )

    def __init__(self) -> None:
        self.turn_running = False
        self.owed_since: float | None = None
        self.pending_calls: dict[str, FunctionCall] = {}
        self.audio_discarded = 0
        self.interrupted_at: float | None = None
        self._turn = 1
        self._sequence = 0
        self._all_has_come = False  # of the answer; its turnComplete follows when it would have been played
        self._turn_over_at: float | None = None  # and no speech was heard since

    def audio_received(self, now: float, data: bytes, rate_hz: int) -> events.ModelAudio | None:
        """Number a piece of audio; ``None`` for one that nobody must hear any more."""
        if self.interrupted_at is not None:
            if now - self.interrupted_at < _LATE_AUDIO_S:
                self.audio_discarded += 1
                return None
            self._turn_over(now)
        self.turn_running = True
        self.owed_since = None
        self._sequence += 1
        return events.ModelAudio(data=data, rate_hz=rate_hz, turn=self._turn, sequence=self._sequence)

    def event_received(self, now: float, event: events.Event) -> None:
        """Take note of anything else."""
        match event:
            case events.VoiceActivity(type="ACTIVITY_START"):
                self._turn_over_at = None
                return
            case events.InputTranscription() | events.VoiceActivity(type="ACTIVITY_END"):
                if not self.turn_running and not self._comes_late(now):
                    self.owed_since = now
                return
            case events.ModelText() | events.ModelPart() | events.Thought() | events.OutputTranscription():
                self.turn_running = True
            case events.TurnComplete(interaction_status=status):
                if status == "IN_PROGRESS":  # an extended-thinking model goes on by itself
                    if self.interrupted_at is not None:
                        self._turn_over(now)  # what was cut has ended, and what follows is to be heard
                    self.turn_running = True
                    self._all_has_come = False
                else:
                    self._turn_over(now)
            case events.Interrupted():
                if self.turn_running:
                    self.interrupted_at = now
            case events.ToolCall(calls=calls):
                self.pending_calls.update((call.id, call) for call in calls if call.id)
            case events.ToolCallCancellation(ids=ids):
                for call_id in ids:
                    self.pending_calls.pop(call_id, None)
                return
            case events.GenerationComplete():
                self._all_has_come = True
            case events.WaitingForInput():
                pass
            case _:
                return  # it is no answer
        self.owed_since = None

    def _comes_late(self, now: float) -> bool:
        """Transcriptions keep no order with answers: what is heard right after a turn belongs to it."""
        return self._turn_over_at is not None and now - self._turn_over_at < _LATE_HEARD_S

    def answer_asked_for(self, now: float) -> None:
        """What the user has just sent is answered, unless the service has stalled or the model chooses silence."""
        self.owed_since = now

    def connection_opened(self, now: float, *, resumed: bool) -> bool:
        """A new connection: it does not go on with an answer that was cut, and counts its silence from now.

        Args:
            now: this moment.
            resumed: the service still knows the conversation, and with it the calls.

        Returns:
            Whether some of an answer is missing that the user should have heard. While a call is pending that the
            service still knows nothing is: the model goes on once it has the call's answer.
        """
        if not resumed:
            self.pending_calls.clear()
        cut = self.turn_running and not self._all_has_come and self.interrupted_at is None and not self.pending_calls
        if self.turn_running:
            self._turn_over(now)
        if self.owed_since is not None:
            self.owed_since = now
        return cut

    def _turn_over(self, now: float) -> None:
        self.turn_running = False
        self._all_has_come = False
        self._turn_over_at = now
        self.interrupted_at = None
        self._turn += 1
        self._sequence = 0
