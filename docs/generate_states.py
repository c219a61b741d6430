"""Draws docs/states.svg, the states of a session and what leads from one to another, from the table in `protocol`.

Run ``python -m docs.generate_states`` after a change of the table; a test holds the picture against it. Where a state
stands and how an arrow bends is decided here, what there is to draw is not.
"""

from __future__ import annotations

import math
from collections import defaultdict
from html import escape
from pathlib import Path
from typing import NamedTuple

from gemini_live.protocol import TRANSITIONS, State

PICTURE = Path(__file__).parent / "states.svg"
WIDTH, HEIGHT = 940, 500
BOX_WIDTH, BOX_HEIGHT = 122, 44
ROW_HEIGHT = 16


class Point(NamedTuple):
    """In pixels, from the upper left."""

    x: float
    y: float


PLACES = {
    State.NEW: Point(80, 70),
    State.DIALLING: Point(300, 70),
    State.SETTING_UP: Point(560, 70),
    State.OPEN: Point(840, 70),
    State.WAITING: Point(300, 240),
    State.MOVING: Point(840, 240),
    State.CLOSED: Point(300, 430),
    State.CLOSING: Point(700, 430),
}
# How far an arrow bends to its left, in pixels, so that those that would cross or cover each other do not; and where on
# it the words stand, from 0 to 1.
BENDS = {
    (State.NEW, State.CLOSED): (70, 0.45),
    (State.DIALLING, State.WAITING): (-34, 0.5),
    (State.WAITING, State.DIALLING): (-34, 0.5),
    (State.DIALLING, State.CLOSED): (120, 0.4),
    (State.SETTING_UP, State.WAITING): (0, 0.35),
    (State.SETTING_UP, State.CLOSED): (-60, 0.62),
    (State.SETTING_UP, State.CLOSING): (0, 0.66),
    (State.OPEN, State.WAITING): (-30, 0.28),
    (State.OPEN, State.CLOSED): (-50, 0.66),
    (State.OPEN, State.CLOSING): (30, 0.6),
    (State.MOVING, State.DIALLING): (-40, 0.6),
    (State.MOVING, State.CLOSING): (-26, 0.5),
}
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1b1f24; text-anchor: middle; dominant-baseline: central }
.state { font-weight: 600; font-size: 14px }
.word { paint-order: stroke; stroke: white; stroke-width: 5px; stroke-linejoin: round }
rect { fill: #eef4ff; stroke: #3b6fb6; stroke-width: 1.5 }
.lives rect { fill: #e6f6ea; stroke: #2f855a }
.ends rect { fill: #f4f4f5; stroke: #71717a }
path { fill: none; stroke: #52606d; stroke-width: 1.4 }
marker path { fill: #52606d; stroke: none }
"""


class Arrow(NamedTuple):
    """From border to border: a curve that leaves its first point for its second and ends at its third."""

    way: tuple[State, State]
    curve: tuple[Point, Point, Point]
    words: list[str]
    center: Point
    """Of the words, which stand below each other."""

    def at(self, where: float) -> Point:
        """A point of the curve, from 0 to 1."""
        return _on_curve(self.curve, where)


def arrows() -> list[Arrow]:
    """All of them; those from one state to the same other one are one arrow with several words."""
    words = defaultdict[tuple[State, State], list[str]](list)
    for state, ways in TRANSITIONS.items():
        for trigger, target in ways.items():
            words[state, target].append(trigger.value)
    return [_arrow(way, triggers) for way, triggers in words.items()]


def picture() -> str:
    """The whole picture."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>The states of a session</title>",
        f"<style>\n{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">',
        '<path d="M0 0L10 5L0 10z"/></marker></defs>',
    ]
    drawn = arrows()
    lines += [_line(arrow) for arrow in drawn]
    lines += [_state(state) for state in TRANSITIONS]
    lines += [_words(arrow) for arrow in drawn]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _state(state: State) -> str:
    x, y = PLACES[state]
    kind = {State.OPEN: "lives", State.CLOSED: "ends"}.get(state, "between")
    corner = f'x="{x - BOX_WIDTH / 2:g}" y="{y - BOX_HEIGHT / 2:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="9"'
    return f'<g class="{kind}"><rect {corner}/><text class="state" x="{x}" y="{y}">{escape(state.value)}</text></g>'


def _arrow(way: tuple[State, State], words: list[str]) -> Arrow:
    a, b = PLACES[way[0]], PLACES[way[1]]
    bend, at = BENDS.get(way, (0, 0.5))
    length = math.dist(a, b)
    middle = Point((a.x + b.x) / 2 + 2 * bend * (a.y - b.y) / length, (a.y + b.y) / 2 + 2 * bend * (b.x - a.x) / length)
    curve = (_border(a, middle), middle, _border(b, middle))
    return Arrow(way, curve, words, _on_curve(curve, at))


def _line(arrow: Arrow) -> str:
    tail, middle, tip = arrow.curve
    path = f"M{tail.x:.1f} {tail.y:.1f}Q{middle.x:.1f} {middle.y:.1f} {tip.x:.1f} {tip.y:.1f}"
    return f'<path d="{path}" marker-end="url(#tip)"/>'


def _words(arrow: Arrow) -> str:
    x, y = arrow.center
    rows = [
        f'<tspan x="{x:.1f}" dy="{ROW_HEIGHT if row else 0}">{escape(word)}</tspan>'
        for row, word in enumerate(arrow.words)
    ]
    top = y - ROW_HEIGHT / 2 * (len(arrow.words) - 1)
    return f'<text class="word" x="{x:.1f}" y="{top:.1f}">{"".join(rows)}</text>'


def _border(center: Point, towards: Point) -> Point:
    """Where a line from the centre of a box leaves it."""
    dx, dy = towards.x - center.x, towards.y - center.y
    scale = min(
        (BOX_WIDTH / 2 + 3) / abs(dx) if dx else math.inf,
        (BOX_HEIGHT / 2 + 3) / abs(dy) if dy else math.inf,
    )
    return Point(center.x + dx * scale, center.y + dy * scale)


def _on_curve(curve: tuple[Point, Point, Point], at: float) -> Point:
    a, b, c = curve
    left = 1 - at
    return Point(
        left * left * a.x + 2 * left * at * b.x + at * at * c.x, left * left * a.y + 2 * left * at * b.y + at * at * c.y
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
