"""How it is shown: a live display for terminals, plain lines for everything else, and the account at the end."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.console import Group
from rich.constrain import Constrain
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import gemini_live as live
from gemini_live.demo.scene import QUIETEST_DBFS

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import numpy.typing as npt
    from rich.console import Console, ConsoleOptions, RenderResult

    from gemini_live.demo.report import Report
    from gemini_live.demo.scene import Note, Scene

__all__ = ["Screen", "account", "line", "verdict"]

_FRAMES_PER_S: Final = 12
_ROWS: Final = 10
"""Of the two lists; with all the rest this fits 24 lines."""
_WIDEST: Final = 120
_BARS: Final = " ▁▂▃▄▅▆▇█"
_STYLES: Final = {"good": "green", "plain": "", "warning": "yellow", "bad": "bold red"}
_STATUS: Final = {
    live.SessionStatus.CONNECTING: ("◌ connecting", "yellow"),
    live.SessionStatus.CONNECTED: ("● connected", "bold green"),
    live.SessionStatus.RECONNECTING: ("◌ reconnecting", "bold red"),
    live.SessionStatus.CLOSED: ("○ closed", "dim"),
}


def line(note: Note) -> str:
    """A note as a plain line."""
    return f"{note.at_s:6.2f} s  {note.who:<8}  {note.text}"


class Screen:
    """The live display; a context manager that leaves its last picture, and the terminal as it was."""

    def __init__(self, scene: Scene, console: Console) -> None:
        self._live = Live(_Picture(scene), console=console, auto_refresh=False, redirect_stdout=False)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._live.stop()

    async def keep_drawing(self) -> None:
        """Draw until cancelled."""
        while True:
            self._live.refresh()
            await asyncio.sleep(1 / _FRAMES_PER_S)


class _Picture:
    """Draws itself anew, from the scene as it is, each time it is asked."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._envelope: list[int] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST)
        inside = max(20, width - 4)
        speaker = Group(self._status(inside), *self._waveform(inside))
        lists = Table.grid(expand=True)
        lists.add_column(ratio=31)
        lists.add_column(ratio=49)
        lists.add_row(_boxed("conversation", self._conversation()), _boxed("network", self._network()))
        yield Constrain(Group(_boxed("gemini-live demo", speaker), lists, self._counters()), width)

    # --- the speaker ---

    def _status(self, width: int) -> Text:
        scene = self._scene
        words, style = _STATUS[scene.status]
        speech = scene.speech
        text = Text(words.ljust(16), style)
        text.append(f"{scene.sent_samples / speech.rate_hz:5.1f} of {speech.duration_s:.1f} s spoken", "default")
        meter = max(8, min(24, width - 60))
        loud = round((scene.level_dbfs - QUIETEST_DBFS) / -QUIETEST_DBFS * meter)
        text.append("   level ", "dim")
        text.append("━" * loud, "green")
        text.append("━" * (meter - loud), "bright_black")
        text.append(f"{scene.level_dbfs:4.0f} dB", "dim")
        return text

    def _waveform(self, width: int) -> list[Text]:
        """The whole speech in two rows, as far as it was spoken in colour, and below it what happened where."""
        scene = self._scene
        total = len(scene.speech.samples)
        if len(self._envelope) != width:
            self._envelope = _envelope(scene.speech.mono, width)
        column = width / total
        spoken = int(scene.sent_samples * column)
        down = {n for start, end in scene.down for n in range(int(start * column), int(end * column) + 1)}
        upper, lower = Text(), Text()
        for n, height in enumerate(self._envelope):
            style = "bright_black" if n >= spoken else "red" if n in down else "cyan"
            upper.append(_BARS[max(0, height - 8)], style)
            lower.append(_BARS[min(8, height)], style)
        marks = Text()
        for mark in scene.marks:
            label = f"▲ {mark.text}"
            at = min(int(mark.position * column), width - len(label))
            marks.append(" " * max(0, at - len(marks)))
            marks.append(label, "yellow")
        return [upper, lower, marks]

    # --- the two lists ---

    def _conversation(self) -> Text:
        rows: list[Text] = []
        for turn in self._scene.turns:
            rows.append(Text.assemble(("you    ", "dim"), turn.question))
            answer = Text(turn.answer) if turn.answered else Text(f"{turn.answer} …".strip(), "dim")
            rows.append(Text.assemble(("model  ", "cyan"), answer))
        return _last(rows)

    def _network(self) -> Text:
        rows: list[Text] = []
        for note in self._scene.notes:
            if note.who not in ("you", "model"):
                who = "" if note.who == "session" else f"{note.who} "
                rows.append(Text.assemble((f"{note.at_s:5.1f}  ", "dim"), (who + note.text, _STYLES[note.tone])))
        return _last(rows)

    # --- the accounts ---

    def _counters(self) -> Text:
        stats = self._scene.stats
        text = Text(" accepted ", no_wrap=True, overflow="ellipsis")
        text.append(f"{stats.accepted}", "bold")
        for sign, name in (("=", "acknowledged"), ("+", "written"), ("+", "waiting"), ("+", "expired")):
            value: int = getattr(stats, name)
            text.append(f" {sign} {name} ", "dim")
            text.append(f"{value}", "bold red" if name == "expired" and value else "bold")
        text.append("\n replayed ", "dim")
        text.append(f"{stats.replayed}", "bold")
        text.append("   reconnects ", "dim")
        text.append(f"{stats.reconnects}", "bold")
        text.append("   longest gap ", "dim")
        text.append(f"{stats.longest_gap_s * 1000:.0f} ms", "bold")
        text.append("   events ", "dim")
        text.append(f"{self._scene.events.total()}", "bold")
        return text


def _boxed(title: str, content: Group | Text) -> Panel:
    return Panel(content, title=f"[bold]{title}[/bold]", title_align="left", border_style="bright_black")


def _last(rows: list[Text]) -> Text:
    """The newest rows, filled up to a fixed number."""
    shown = rows[-_ROWS:]
    return Text("\n", no_wrap=True, overflow="ellipsis", end="").join(shown + [Text()] * (_ROWS - len(shown)))


def _envelope(mono: npt.NDArray[np.int16], width: int) -> list[int]:
    """Loudness in so many columns, 1 to 16, relative to the loudest."""
    edges = np.linspace(0, len(mono), width + 1).astype(int)
    rms = [
        float(np.sqrt(np.square(mono[start:end], dtype=np.float64).mean())) if end > start else 0.0
        for start, end in itertools.pairwise(edges)
    ]
    loudest = max(rms) or 1.0
    return [max(1, round(16 * one / loudest)) for one in rms]


# --- the end ---------------------------------------------------------------------------------------------------------


def account(report: Report) -> Table:
    """The summary as a table, 80 columns wide."""
    chunks, heard, turns = report.chunks, report.heard, report.turns
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("speech", f"{report.spoken_s:.1f} of {report.speech_s:.1f} s of {report.speech}")
    table.add_row(
        "messages",
        f"{chunks.accepted} accepted = {chunks.acknowledged} acknowledged + {chunks.written} written "
        f"+ {chunks.waiting} waiting + {chunks.expired} expired",
    )
    table.add_row("", f"{chunks.replayed} replayed, {chunks.uncertain} uncertain")
    table.add_row("network", f"{report.reconnects} reconnects, longest gap {report.longest_gap_ms:.0f} ms")
    if not report.interrupted:
        what = f"all {heard.samples_heard:,}" if heard.equal else f"{heard.samples_heard:,} of {heard.samples_sent:,}"
        equal = "equal, in order, none twice" if heard.equal else "NOT equal"
        table.add_row("heard", f"{what} samples, by the emulator: {equal}")
    table.add_row("sentences", f"{turns.spoken} in the speech, {turns.heard} heard, {turns.answered} answered")
    where = f" in {report.reply_file}" if report.reply_file else ""
    table.add_row("reply", f"{report.reply_s:.1f} s{where}")
    table.add_row("events", ", ".join(f"{count} {kind}" for kind, count in report.events.items()) or "none")
    return table


def verdict(report: Report) -> Text:
    """The last line."""
    if report.interrupted:
        return Text("Interrupted: the account is of what had happened until then.", "yellow")
    if report.ok:
        return Text("Nothing was lost.", "bold green")
    return Text(f"Not as it should be: {'; '.join(report.problems)}.", "bold red")
