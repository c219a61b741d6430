"""Makes one table and one picture of what the benches have left in benches/results/.

``--publish`` puts them into docs/performance.md, and the figures that they were made of beside it. A test makes the
table again from those figures, so nobody can edit it by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rig import machine
from rig.goals import GOALS
from rig.statistics import Spread

if TYPE_CHECKING:
    from collections.abc import Mapping

BENCHES = Path(__file__).parent
RESULTS = BENCHES / "results"
CRITERION = BENCHES.parent / "target" / "benches" / "criterion"
DOCS = BENCHES.parent / "docs"
PAGE = DOCS / "performance.md"
FIGURES = DOCS / "performance.json"
PICTURE = DOCS / "performance.png"
BEGIN, END = "<!-- measured: make bench-publish -->", "<!-- /measured -->"


def gather(results: Path) -> dict[str, Any]:
    """What each bench has written, by its name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))}


def figures(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the tables are made of: small enough to stand in git."""
    reached = dict(_reached(results))
    found: dict[str, Any] = {
        "machine": machine.describe(),
        "goals": {key: reached[key] for key in GOALS if key in reached},
    }
    if "duplex" in results:
        duplex = results["duplex"]
        found["duplex"] = {
            name: {
                "sessions": duplex["sessions"][name],
                "us": Spread.of(rounds)._asdict(),
                "kept_up": name not in duplex["did_not_keep_up"],
            }
            for name, rounds in duplex["us_per_session_second"].items()
        }
    if "latency" in results:
        found["latency"] = results["latency"]["percentiles_us"]
    return found


def _reached(results: Mapping[str, Any]) -> list[tuple[str, Any]]:
    reached = [one for result in results.values() for one in result.get("goals", {}).items()]
    for benchmark in results.get("python", {}).get("benchmarks", []):
        reached += benchmark["extra_info"].get("goals", {}).items()
    return reached


def goals_of_criterion(folder: Path) -> dict[str, Spread]:
    """The core against the published crate: ratios of medians, with criterion's intervals of confidence."""
    pairs = {
        "crate_encode": (
            "encode 20 ms of int16/gemini-live crate, no frame",
            "encode 20 ms of int16/core, masked frame",
        ),
        "crate_decode": ("decode 40 ms/gemini-live crate", "decode 40 ms/core"),
    }
    found = {}
    for key, paths in pairs.items():
        medians = []
        for path in paths:
            estimate = json.loads((folder / path / "new" / "estimates.json").read_text())["median"]
            bounds = estimate["confidence_interval"]
            medians.append(Spread(estimate["point_estimate"], bounds["lower_bound"], bounds["upper_bound"]))
        theirs, ours = medians
        found[key] = Spread(theirs.median / ours.median, theirs.low / ours.high, theirs.high / ours.low)
    return found


def tables(found: Mapping[str, Any]) -> str:
    """Markdown: the goals, the duplex, the latency, and what it was measured on."""
    parts = [goals_table(found["goals"])]
    if "duplex" in found:
        parts.append(duplex_table(found["duplex"]))
    if "latency" in found:
        parts.append(latency_table(found["latency"]))
    parts.append("\n".join(f"- {name}: {value}" for name, value in found["machine"].items()))
    return "\n\n".join(parts) + "\n"


def goals_table(reached: Mapping[str, Any]) -> str:
    lines = ["| what | against | goal | measured (spread) | met |", "|---|---|---|---|---|"]
    for key, goal in GOALS.items():
        if key in reached:
            figure = Spread(**reached[key])
            measured, met = goal.show(figure), "yes" if goal.met(figure.median) else "**no**"
        else:
            measured, met = "not measured", "–"
        lines.append(f"| {goal.what} | {goal.against or '–'} | {goal} | {measured} | {met} |")
    return "\n".join(lines)


def duplex_table(duplex: Mapping[str, Any]) -> str:
    """The last columns are ratios of the medians; those of `raw` are the most that anybody can reach."""
    others = [name for name in ("official-task-stock", "aiohttp-task-stock") if name in duplex]
    titles = ["contender", "sessions", "CPU of a session-second, µs (spread)", "sessions per core"]
    lines = [f"| {' | '.join([*titles, *(f'times `{name}`' for name in others)])} |"]
    lines.append(f"|{'---|' * (len(titles) + len(others))}")
    for name, row in sorted(duplex.items(), key=lambda item: item[1]["us"]["median"]):
        cost = Spread(**row["us"])
        late = "" if row["kept_up"] else ", did not keep up"
        spread = f"{cost.median:,.0f} ({cost.low:,.0f} to {cost.high:,.0f})"
        times = [f"{duplex[other]['us']['median'] / cost.median:.2f}" for other in others]
        columns = [f"`{name}`", f"{row['sessions']}{late}", spread, f"{1e6 / cost.median:,.0f}", *times]
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def latency_table(latency: Mapping[str, Any]) -> str:
    first = next(iter(latency.values()))
    columns = list(next(iter(first.values())))
    titles = ["max" if column == "100" else f"p{column}" for column in columns]
    lines = [f"| sessions | what, in µs | {' | '.join(titles)} |", f"|---|---|{'---|' * len(columns)}"]
    for sessions, rows in latency.items():
        for title, row in rows.items():
            shown = [f"{row[column]:,.0f}" if column in row else "" for column in columns]
            lines.append(f"| {sessions} | {title} | {' | '.join(shown)} |")
    return "\n".join(lines)


def published(page: str, text: str) -> str:
    """The page with this between its marks.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} … {END} in the page")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--results", type=Path, default=RESULTS, help="(%(default)s)")
    arguments.add_argument("--publish", action="store_true", help="write docs/performance.md, .json and .png")
    given = arguments.parse_args()
    from rig import chart  # noqa: PLC0415 - matplotlib, which the table does without

    results = gather(given.results)
    results.pop("summary", None)
    if CRITERION.exists():
        results["criterion"] = {"goals": {k: v._asdict() for k, v in goals_of_criterion(CRITERION).items()}}
    if not results:
        arguments.error(f"nothing in {given.results}: make bench")
    found = figures(results)
    (given.results / "summary.json").write_text(json.dumps(found, indent=1) + "\n")
    text = tables(found)
    (given.results / "table.md").write_text(text)
    facts = found["machine"]
    chart.draw(
        results,
        given.results / "chart.png",
        f"{facts['commit']} · {facts['processor']} · {facts['Python']} · {facts['TLS']}",
    )
    print(text)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    if given.publish:
        shutil.copy(given.results / "summary.json", FIGURES)
        shutil.copy(given.results / "chart.png", PICTURE)
        PAGE.write_text(published(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
