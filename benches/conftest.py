"""What the files of pytest-benchmark share."""

from __future__ import annotations

import pytest

from gemini_live import _core
from rig.alternate import ratio
from rig.goals import GOALS


def pytest_configure() -> None:
    if _core.BUILD_PROFILE != "release":
        pytest.exit("a debug build is not what users have: build with `make`", returncode=1)


def pytest_benchmark_update_json(output_json):
    """Leave out the times of every single round: 50 MB that nobody reads."""
    for benchmark in output_json["benchmarks"]:
        benchmark["stats"].pop("data", None)


@pytest.fixture
def goal(benchmark):
    """``goal(key, ours, theirs, calls=…)`` measures the two in turn for a goal of the table, and keeps the figure.

    For a figure that is measured otherwise: ``goal.keep(key, spread)``. With ``--benchmark-disable`` nothing is timed.
    """
    return _Keeper(benchmark)


class _Keeper:
    def __init__(self, benchmark):
        self._benchmark = benchmark

    def __call__(self, key, ours, theirs, *, calls):
        """Compare CPU times; the figure is theirs over ours where more is better, ours over theirs where less is."""
        if not self._benchmark.enabled:
            ours(), theirs()
        elif GOALS[key].at_least:
            self.keep(key, ratio(theirs, ours, calls=calls))
        else:
            self.keep(key, ratio(ours, theirs, calls=calls))

    def keep(self, key, figure):
        """Keep a figure, a `Spread`, of a goal."""
        assert key in GOALS, key
        self._benchmark.extra_info.setdefault("goals", {})[key] = figure._asdict()
