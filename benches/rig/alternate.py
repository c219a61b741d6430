"""Two ways to do the same, called in turn: the ratio of their CPU times, round by round."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rig.statistics import Spread, ratios

if TYPE_CHECKING:
    from collections.abc import Callable


def ratio(one: Callable[[], object], other: Callable[[], object], *, calls: int, rounds: int = 51) -> Spread:
    """How many times the CPU time of the other the one takes.

    A round is so many calls of each, one behind the other, so that noise hits both alike; the first is dropped.
    """
    above, below = [], []
    for _ in range(rounds + 1):
        above.append(_cpu_s(one, calls))
        below.append(_cpu_s(other, calls))
    return ratios(above[1:], below[1:])


def _cpu_s(action: Callable[[], object], calls: int) -> float:
    began_at = time.process_time()
    for _ in range(calls):
        action()
    return time.process_time() - began_at
