"""Whether something grows: a robust slope, and what is noise."""

from __future__ import annotations

import statistics
from itertools import combinations
from typing import NamedTuple


class Trend(NamedTuple):
    """A line through points.

    Attributes:
        slope: by Theil and Sen: the median of the slopes of all pairs, which a third of outliers does not move.
        start: the line's value at time 0.
        noise: how far the points are from the line: 1.48 times the median distance, which is a standard deviation if
            the noise is normal.
    """

    slope: float
    start: float
    noise: float

    def at(self, time_s: float) -> float:
        return self.start + self.slope * time_s


def trend(times_s: list[float], values: list[float]) -> Trend:
    """The line through so many points; of more than 400, every n-th is taken, for there is a slope for each pair."""
    step = -(-len(times_s) // 400)
    points = list(zip(times_s[::step], values[::step], strict=True))
    slope = statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2))
    start = statistics.median(value - slope * time_s for time_s, value in points)
    noise = 1.48 * statistics.median(abs(value - start - slope * time_s) for time_s, value in points)
    return Trend(slope, start, noise)
