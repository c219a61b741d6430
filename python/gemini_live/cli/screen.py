"""The live display of a conversation: what is being said, and below it how far we are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gemini_live.cli.transcript import Transcript, line_about, printable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import ConsoleOptions, RenderableType, RenderResult

    import gemini_live as live

__all__ = ["Screen"]

_STYLES: Final = {"you": "cyan", "model": "green"}
_LONGEST_BAR: Final = 40
_FRAMES_PER_S: Final = 12


class Screen:
    """A context manager that leaves the transcript, and the terminal as it was."""

    def __init__(self) -> None:
        # moves on the terminal, whichever of the two it is; words still go where standard output goes
        self._words_are_seen = sys.stdout.isatty()
        self._console = Console(stderr=not self._words_are_seen, highlight=False)
        self._transcript = Transcript(self._finished)
        self._done_s = self._total_s = 0.0
        self._live = Live(
            self, console=self._console, transient=True, redirect_stdout=False, refresh_per_second=_FRAMES_PER_S
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._transcript.end()
        self._live.stop()

    def progress(self, done_s: float, total_s: float) -> None:
        """Move the bar."""
        self._done_s, self._total_s = done_s, total_s

    def event(self, event: live.Event) -> None:
        """Words, and what went otherwise than planned."""
        self._transcript.take(event)
        line = line_about(event)
        if line:
            self.note(line)

    def note(self, line: str) -> None:
        """Something about the conversation."""
        self._console.print(Text(line, "dim"))

    def done(self, line: str, fields: dict[str, Any]) -> None:  # noqa: ARG002 - one signature for all displays
        """The conversation is over, and this came out of it."""
        self._transcript.end()
        self.note(line)

    def _finished(self, who: str, text: str) -> None:
        if self._words_are_seen:
            self._console.print(_spoken(who, text))
        else:
            sys.stdout.write(f"{who + ':':<7}{text}\n")
            sys.stdout.flush()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows: list[RenderableType] = []
        if self._transcript.who:
            rows.append(_spoken(self._transcript.who, printable(" ".join(self._transcript.text.split()))))
        if self._done_s < self._total_s:
            times = f"{self._done_s:.1f} of {self._total_s:.1f} s sent"
            room = options.max_width - len(times) - 1
            bar = ProgressBar(total=self._total_s, completed=self._done_s, width=max(5, min(_LONGEST_BAR, room)))
            row = Table.grid(padding=(0, 1))
            row.add_row(bar, Text(times, "dim", no_wrap=True))
            rows.append(row)
        elif not self._transcript.who:
            rows.append(Text("waiting for an answer …", "dim"))
        yield Group(*rows)


def _spoken(who: str, text: str) -> Table:
    """The speaker in a column of its own, so that long sentences stay clear of it."""
    row = Table.grid(padding=(0, 1))
    row.add_column(width=6, no_wrap=True)
    row.add_column()
    row.add_row(Text(f"{who}:", f"bold {_STYLES[who]}"), Text(text))
    return row
