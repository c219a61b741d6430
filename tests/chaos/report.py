"""What a run has shown, for people and for programs."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from .move import Moves
    from .run import Result

_FATES = ("delivered", "uncertain, delivered", "uncertain, lost", "expired", "undelivered", "replayed", "LOST")
_MOST_SHOWN = 40


def summary(result: Result) -> dict[str, Any]:
    """Everything as plain data."""
    outcomes = result.outcomes
    gaps = sorted(gap for one in outcomes for gap in one.gaps_s)
    fates = sum((one.fates for one in outcomes), Counter())
    messages: dict[str, dict[str, int]] = {}
    for (kind, fate), count in sorted(fates.items()):
        messages.setdefault(kind, {})[fate] = count
    return {
        "seed": result.seed,
        "seconds": round(result.seconds, 1),
        "sessions": len(outcomes),
        "faults": result.faults.total(),
        "faultsByName": dict(result.faults.most_common()),
        "reconnects": dict(sum((one.reconnects for one in outcomes), Counter()).most_common()),
        "ends": dict(sum((one.ends for one in outcomes), Counter()).most_common()),
        "messages": messages,
        "gapsS": _gaps(gaps),
        "hangs": sum("hangs" in sentence for one in outcomes for sentence in one.broken),
        "unhandled": len(result.unhandled),
        "left": result.left,
        "broken": result.broken,
    }


def _gaps(gaps: list[float]) -> dict[str, float]:
    if len(gaps) < 2:
        return {}
    cuts = statistics.quantiles(gaps, n=100)
    return {"p50": round(cuts[49], 3), "p99": round(cuts[98], 3), "max": round(gaps[-1], 3)}


def as_json(result: Result, moves: Moves) -> str:
    """For a program."""
    return json.dumps(summary(result) | {"moves": msgspec.to_builtins(moves)}, indent=2)


def table(result: Result, moves: Moves | None = None) -> str:
    """For a terminal."""
    told = summary(result)
    lines = [f"{told['faults']} faults in {told['sessions']} sessions, {told['seconds']} s, seed {told['seed']}", ""]
    lines += [f"  {count:7,}  {name}" for name, count in told["faultsByName"].items()]
    lines += ["", "reconnects by cause"]
    lines += [f"  {count:7,}  {name}" for name, count in told["reconnects"].items()]
    if told["gapsS"]:
        lines.append(
            "  gaps in s, on the run's own clock: " + ", ".join(f"{k} {v:g}" for k, v in told["gapsS"].items())
        )
    lines += ["", "messages         " + "".join(f"{fate:>22}" for fate in _FATES)]
    for kind, fates in told["messages"].items():
        lines.append(f"  {kind:<15}" + "".join(f"{fates.get(fate, 0):22,}" for fate in _FATES))
    left = ", ".join(f"{count} {what}" for what, count in told["left"].items())
    lines += ["", f"hangs {told['hangs']}, unhandled exceptions {told['unhandled']}, left: {left}"]
    if moves is not None:
        lines += ["", moves.describe()]
    broken = told["broken"]
    lines += ["", "all rules hold" if not broken else f"{len(broken)} rules are broken"]
    lines += [f"  {sentence}" for sentence in broken[:_MOST_SHOWN]]
    return "\n".join([*lines, f"seed {told['seed']}"])
