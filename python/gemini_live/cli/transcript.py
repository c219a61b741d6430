"""Who says what, as it comes: piece after piece on one line, a new line when the speaker changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import gemini_live as live

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MODEL", "YOU", "Transcript", "line_about", "printable"]

YOU: Final = "you"
MODEL: Final = "model"


class Transcript:
    """Puts pieces together to lines.

    Args:
        finished: is called with the speaker and each whole line.

    Attributes:
        who: speaks just now; ``""`` if nobody.
        text: what was said so far of the line that is not finished.
    """

    def __init__(self, finished: Callable[[str, str], None]) -> None:
        self.who = ""
        self.text = ""
        self._finished = finished

    def take(self, event: live.Event) -> None:
        """Read an event; those without words end a line at most."""
        match event:
            case live.InputTranscription(text=text, interim=False):
                self._add(YOU, text)
            case live.OutputTranscription(text=text) | live.ModelText(text=text):
                self._add(MODEL, text)
            case live.Interrupted():
                if self.who == MODEL:
                    self.text += " …"
                self.end()
            case live.TurnComplete():
                self.end()
            case _:
                pass

    def _add(self, who: str, text: str) -> None:
        if who != self.who:
            self.end()
            self.who = who
        self.text += text

    def end(self) -> None:
        """The line is whole."""
        text = " ".join(self.text.split())  # what came over the network moves no cursor
        if text:
            self._finished(self.who, printable(text))
        self.who = self.text = ""


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(one if one.isprintable() else "�" for one in text)


def line_about(event: live.Event) -> str:
    """What a user should know of an event besides words; ``""`` for most."""
    match event:
        case live.Interrupted():
            return "the model was interrupted"
        case live.GoAway(time_left_s=left):
            return "the service asks the session to move" + ("" if left is None else f" within {left:.0f} s")
        case live.Reconnecting(kind=live.CloseKind.PLANNED):
            return "moving to a new connection"
        case live.Reconnecting(kind=kind, delay_s=delay_s):
            return f"the connection is gone ({kind.value}); dialling again in {delay_s:.1f} s"
        case live.Reconnected(gap_s=gap_s, context_restored=restored):
            return f"back after {gap_s:.1f} s" + ("" if restored else "; the service has forgotten what was said")
        case live.InputDropped(count=count, kind=kind):
            return f"{count} messages of {kind} waited too long and were given up"
        case live.DeliveryUncertain(kinds=kinds):
            return f"may not have arrived: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"
        case live.ToolCall(calls=calls):
            return f"the model calls {', '.join(printable(call.name) for call in calls)}"
        case live.Stalled(silent_s=silent_s):
            return f"the service has said nothing for {silent_s:.0f} s"
        case live.Error(message=message):
            return f"the service reports an error: {printable(message)}"
        case live.Unknown(fields=fields, problem=problem):
            return f"not understood: {printable(problem or ', '.join(fields))}"
        case _:
            return ""
