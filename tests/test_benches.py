"""The benches' own machinery: what is wrong is caught, figures become the right table, every program says what it does.

What needs the packages of `--group bench` is skipped without them; `make bench-smoke` runs it with them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gemini_live import _core

ROOT = Path(__file__).parent.parent
BENCHES = ROOT / "benches"
sys.path.insert(0, str(BENCHES))

import instructions  # noqa: E402 - after the line above
import report  # noqa: E402
from rig import client, goals, wire  # noqa: E402
from rig.statistics import Spread, ratios  # noqa: E402

PROGRAMS = ["duplex", "imports", "instructions", "latency", "moves", "report", "stalled"]


def run(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(BENCHES)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603


# --- what a client hears ---


def down(session, sequence):
    whole = json.loads(wire.message(session, sequence))
    data = whole["serverContent"]["modelTurn"]["parts"][0]["inlineData"]["data"]
    return importlib.import_module("base64").b64decode(data)


def heard(*messages):
    tally = wire.Tally()
    ear = wire.Ear(3, tally)
    for pcm in messages:
        ear.hear(pcm)
    return tally


def test_right_messages_are_right():
    tally = heard(*(down(3, sequence) for sequence in range(10)))
    assert (tally.received, tally.wrong, tally.errors) == (10, 0, [])


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([down(3, 0), down(3, 0)], "got message 0 of session 3 in place of 1"),
        ([down(3, 0), down(3, 2)], "got message 2 of session 3 in place of 1"),
        ([down(3, 1), down(3, 0)], "got message 1 of session 3 in place of 0"),
        ([down(4, 0)], "got message 0 of session 4 in place of 0"),
        ([down(3, 0)[:-2]], "got 1918 bytes that are not message 0"),
        ([down(3, 0) + b"\x00\x00"], "got 1922 bytes that are not message 0"),
        ([down(3, 0)[:-1] + b"?"], "got 1920 bytes that are not message 0"),
    ],
    ids=["repeated", "missing", "swapped", "foreign", "short", "long", "altered"],
)
def test_a_wrong_message_is_caught(messages, told):
    tally = heard(*messages)
    assert tally.wrong
    assert told in tally.errors[0]


async def test_what_does_not_come_is_missed():
    tally = wire.Tally()
    tally.expect(2)
    ear = wire.Ear(0, tally)
    ear.hear(down(0, 0))
    await tally.wait_complete(0)
    assert tally.errors == ["+1 messages are missing"]


async def test_what_comes_too_often_is_too_much():
    tally = wire.Tally()
    tally.expect(1)
    ear = wire.Ear(0, tally)
    for sequence in range(2):
        ear.hear(down(0, sequence))
    await tally.wait_complete(0)
    assert tally.errors == ["1 messages too many"]


async def test_nothing_is_waited_for_when_all_has_come():
    tally = wire.Tally()
    tally.expect(1)
    wire.Ear(0, tally).hear(down(0, 0))
    async with asyncio.timeout(1):
        await tally.wait_complete(3_600)
    assert not tally.errors


# --- what the server hears ---


@pytest.fixture
def server():
    for needed in ("picows", "orjson", "uvloop"):
        pytest.importorskip(needed)
    return importlib.import_module("rig.server")


def up(sequence, *, session=3):
    return wire.audio_message(wire.chunk(session, sequence, 0, 10))


def account_of(server, *payloads):
    class Speaker:
        def speak(self, line, messages):
            spoken.append(messages)

    spoken = []
    account = server.Account()
    line = server.Line({}, Speaker())
    for payload in payloads:
        line._hear(payload, account)
    return account, spoken


def test_the_server_answers_right_chunks(server):
    account, spoken = account_of(server, up(0), up(1), up(2))
    assert (account.received, account.wrong, spoken) == (3, 0, [5])


def test_the_server_reads_the_official_spelling(server):
    pcm = wire.chunk(3, 0, 0, 10)
    data = importlib.import_module("base64").urlsafe_b64encode(pcm).decode()
    official = {"realtime_input": {"audio": {"data": data, "mime_type": "audio/pcm;rate=16000"}}}
    assert account_of(server, json.dumps(official).encode())[0].wrong == 0


@pytest.mark.parametrize(
    "payloads",
    [
        [up(0), up(0)],
        [up(0), up(2)],
        [up(1), up(0)],
        [up(0), up(1, session=4)],
        [wire.audio_message(wire.chunk(3, 0, 0, 10)[:-2])],
        [wire.audio_message(wire.chunk(3, 0, 0, 10)[:-1] + b"?")],
        [up(0).replace(b"16000", b"24000")],
        [up(0).replace(b"realtimeInput", b"clientContent")],
        [b"nonsense"],
    ],
    ids=["repeated", "missing", "swapped", "foreign", "short", "altered", "rate", "kind", "nonsense"],
)
def test_the_server_catches_a_wrong_chunk(server, payloads):
    account, _ = account_of(server, *payloads)
    assert account.wrong
    assert account.errors


@pytest.mark.timeout(90)
def test_the_duplex_fails_for_broken_contenders(server):
    broken = [f"broken-{fault}-stock" for fault in ("wrong", "missing", "repeated", "swapped")]
    names = ",".join(["raw-task-stock", *broken])
    ran = run(str(BENCHES / "duplex.py"), "--sessions=2", "--seconds=0.2", "--rounds=1", f"--contenders={names}")
    assert ran.returncode == 1, ran.stderr
    blamed = {line.split(": ")[1] for line in ran.stdout.splitlines() if line.startswith("wrong: ")}
    assert blamed == set(broken)


# --- frames and names ---


@pytest.mark.parametrize("size", [0, 125, 126, 929, 65_535])
def test_prebuilt_frames_are_frames(size):
    payload = bytes(range(256)) * 256
    assert _core.unmask(wire.client_frame(payload[:size])) == payload[:size]


@pytest.mark.parametrize("name", ["", "ours-push", "ours-push-slow", "ours-run-fast", "theirs-push-fast", "a-b-c-d"])
def test_an_unknown_contender_is_refused(name):
    with pytest.raises(ValueError, match="no contender"):
        client.stack(name)


def test_a_contender_without_packages_is_found():
    assert client.stack("broken-missing-stock").__name__ == "Broken"


# --- figures ---


def test_the_ratio_is_taken_within_a_round():
    noisy = ratios([10, 20, 40], [5, 10, 20])
    assert noisy == Spread(2, 2, 2)


def test_a_spread_leaves_outliers_out():
    spread = Spread.of([*range(1, 10), 1_000])
    assert spread.median == 5.5
    assert 1 < spread.low < 5.5 < spread.high < 1_000


@pytest.mark.parametrize(("figure", "at_least", "at_most"), [(1.9, False, True), (2.0, True, True), (2.1, True, False)])
def test_a_goal_is_met_on_its_own_side(figure, at_least, at_most):
    assert goals.Goal("a", "b", 2, at_least=True).met(figure) is at_least
    assert goals.Goal("a", "b", 2, at_least=False).met(figure) is at_most


def test_every_goal_has_a_row_whether_it_was_measured_or_not():
    reached = {"official_push": Spread(8.5, 8.1, 9.0)._asdict(), "latency": Spread(1.5, 1.5, 1.5)._asdict()}
    rows = report.goals_table(reached).splitlines()[2:]
    assert len(rows) == len(goals.GOALS)
    by_key = dict(zip(goals.GOALS, rows, strict=True))
    assert by_key["official_push"].endswith("| ≥\N{NO-BREAK SPACE}8× | 8.5× (8.1 to 9) | yes |")
    assert by_key["latency"].endswith(
        "| – | ≤\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}ms | 1.5\N{NO-BREAK SPACE}ms | **no** |"
    )
    assert by_key["import_time"].endswith("| not measured | – |")


def test_a_misspelt_goal_is_refused(tmp_path):
    with pytest.raises(KeyError):
        goals.write(tmp_path / "x.json", {"speed": Spread(1, 1, 1)}, {})


def test_results_become_figures(tmp_path):
    goals.write(
        tmp_path / "duplex.json",
        {"raw_push": Spread(1.1, 1, 1.2)},
        {
            "sessions": {"raw-push-fast": 100},
            "us_per_session_second": {"raw-push-fast": [1_000.0, 2_000.0, 3_000.0]},
            "did_not_keep_up": ["raw-push-fast"],
        },
    )
    goal = {"goals": {"encode_chunk": Spread(0.5, 0.4, 0.6)._asdict()}}
    (tmp_path / "python.json").write_text(json.dumps({"benchmarks": [{"extra_info": goal}, {"extra_info": {}}]}))
    found = report.figures(report.gather(tmp_path))
    assert found["goals"].keys() == {"raw_push", "encode_chunk"}
    assert "| `raw-push-fast` | 100, did not keep up | 2,000 (1,200 to 2,800) | 500 |" in report.tables(found)
    assert found["machine"]["commit"]


def test_the_table_of_latencies_says_what_its_rows_are():
    lines = report.latency_table({"100": {"send_audio to kernel": {"50": 26.4, "99.9": 1_130.0, "100": 3_610.0}}})
    assert lines.splitlines()[0] == "| sessions | what, in µs | p50 | p99.9 | max |"
    assert lines.splitlines()[2] == "| 100 | send_audio to kernel | 26 | 1,130 | 3,610 |"


def test_the_page_shows_the_figures_that_stand_beside_it():
    page = report.PAGE.read_text(encoding="utf-8")
    figures = json.loads(report.FIGURES.read_text(encoding="utf-8"))
    assert report.published(page, report.tables(figures)) == page, "run: make bench-publish"
    assert report.PICTURE.exists()


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="measured"):
        report.published("a page", "a table")


# --- instructions ---


def counts(**own):
    return instructions.Counts("1.0.0", "here", own, dict.fromkeys(own, 0.0))


@pytest.mark.parametrize(
    ("now", "before", "sound", "told"),
    [
        ({"a": 1_029.0}, {"a": 1_000.0}, True, "+2.9%"),
        ({"a": 1_031.0}, {"a": 1_000.0}, False, "TOO MANY"),
        ({"a": 900.0}, {"a": 1_000.0}, True, "fewer: renew"),
        ({"a": 1.0, "b": 1.0}, {"a": 1.0}, False, "b                            is new"),
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}, False, "b                            is gone"),
    ],
)
def test_more_instructions_than_before_are_a_failure(now, before, sound, told):
    lines, verdict = instructions.compare(counts(**now), counts(**before))
    assert verdict is sound
    assert told in "\n".join(lines)


def test_self_costs_are_told_apart_by_binary():
    profile = """\
events: Ir
ob=(1) /bin/program
fl=(1) a.rs
fn=(1) main
10 100
+2 20
cob=(2) /lib/libc.so
cfn=(2) memcpy
calls=3 50
12 900
* 5
ob=(2)
fn=(2)
50 900
ob=(1)
fn=(3) other
-4 7
"""
    assert instructions.instructions_by_object(profile) == {"/bin/program": 132, "/lib/libc.so": 900}


def test_the_workflow_counts_with_the_compiler_of_the_baseline():
    baseline = json.loads(instructions.BASELINE.read_text(encoding="utf-8"))
    workflow = (ROOT / ".github" / "workflows" / "bench.yml").read_text(encoding="utf-8")
    assert re.search(r'RUSTUP_TOOLCHAIN: "(.*)"', workflow)[1] == baseline["rustc"]


# --- the programs ---


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_says_what_it_does(program):
    if program == "stalled":
        pytest.importorskip("picows")
    ran = run(str(BENCHES / f"{program}.py"), "--help")
    assert ran.returncode == 0, ran.stderr
    assert "usage:" in ran.stdout
    assert len(ran.stdout.splitlines()) > 5


def test_no_program_is_forgotten():
    programs = {path.stem for path in BENCHES.glob("*.py")} - {"conftest"}
    assert {name for name in programs if not name.startswith("bench_")} == set(PROGRAMS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"benches/{name}.py" in makefile for name in PROGRAMS)
