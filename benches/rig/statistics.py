"""Medians of ratios, and how far the rounds lie apart."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Spread(NamedTuple):
    """A median, between the 10th and the 90th percentile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value or more."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        tenths = statistics.quantiles(values, n=10, method="inclusive")
        return cls(statistics.median(values), tenths[0], tenths[-1])

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f} to {self.high:.2f}]"


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The ratios of what was measured in the same round."""
    return Spread.of([one / other for one, other in zip(above, below, strict=True)])
