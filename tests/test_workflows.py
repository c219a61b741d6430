"""What GitHub runs is what anybody can run: make targets that exist; and nobody else's code but what is pinned."""

from __future__ import annotations

import re

import pytest
from release import files

from pages import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FILES = [pytest.param(path, id=path.name) for path in WORKFLOWS]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))
# That all jobs have succeeded is a question to GitHub, not to the tree.
NOT_MAKE = {"""jq --exit-status 'all(.result == "success")' <<< "$NEEDS\""""}


def text_of(path):
    return path.read_text(encoding="utf-8")


def jobs(path):
    """The text of each job, by name."""
    _, _, after = text_of(path).partition("\njobs:\n")
    parts = re.split(r"^  ([\w-]+):\n", after, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(text):
    """What is run, line by line."""
    for match in re.finditer(r"^( *)(?:- )?run: (.*?)(?: #.*)?\n", text, re.MULTILINE):
        if match[2].strip() not in {"|", ">", ">-", "|-"}:
            yield match[2].strip()
            continue
        for line in text[match.end() :].splitlines():
            if line.strip() and len(line) - len(line.lstrip()) <= len(match[1]):
                break
            if line.strip():
                yield line.strip()


def wrong_commands(text):
    """Commands that are no make target, or one that does not exist."""
    for command in commands(text):
        words = command.split()
        if words[0] != "make" and command not in NOT_MAKE:
            yield command
        elif words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word]
            if not targets or not set(targets) <= TARGETS:
                yield command


@pytest.mark.parametrize("path", FILES)
def test_only_make_targets_that_exist_are_called(path):
    assert list(wrong_commands(text_of(path))) == []


@pytest.mark.parametrize("path", FILES)
def test_every_action_is_pinned_and_says_its_version(path):
    used = re.findall(r"uses: (.*)", text_of(path))
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v[\d.]+", action) or action.startswith("./"), action


def test_one_action_has_one_version():
    pinned = {action for path in WORKFLOWS for action in re.findall(r"uses: ([^.].*)", text_of(path))}
    assert len(pinned) == len({action.partition("@")[0] for action in pinned})


@pytest.mark.parametrize("path", FILES)
def test_rights_are_given_to_jobs_and_time_is_limited(path):
    text = text_of(path)
    assert "\npermissions: {}\n" in text
    assert "pull_request_target" not in text
    assert "\nconcurrency:\n" in text
    for name, job in jobs(path).items():
        assert "    permissions:" in job, name
        assert "timeout-minutes:" in job or "    uses: ./" in job, name


def test_the_last_job_needs_all_others():
    ci = jobs(ROOT / ".github" / "workflows" / "ci.yml")
    needed = re.search(r"needs: \[(.*)\]", ci["check"])[1].split(", ")
    assert set(needed) == ci.keys() - {"check"}
    assert "if: always()" in ci["check"]


def test_what_holds_rights_runs_nothing_of_the_tree():
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            if "id-token: write" in job or "contents: write" in job:
                assert "actions/checkout" not in job, (path.name, name)
                assert not list(commands(job)), (path.name, name)


def test_the_sound_server_is_there_before_the_tests():
    """Without it the tests of the real sound path are skipped, and nothing fails."""
    run = list(commands(jobs(ROOT / ".github" / "workflows" / "ci.yml")["test"]))
    assert run.index("make sound") < run.index("make test-python")


def test_each_platform_of_a_release_has_a_job():
    wheel = jobs(ROOT / ".github" / "workflows" / "ci.yml")["wheel"]
    assert len(re.findall(r"- \{ name: ", wheel)) == len(files.PLATFORMS)
    assert len(re.search(r"python: \[(.*)\]", wheel)[1].split(", ")) == len(files.PYTHONS)


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        ("    - run: make check\n", []),
        ("    - run: make fuzz SECONDS=300\n", []),
        ("    - run: make check # twice\n", []),
        ("    - run: make chekc\n", ["make chekc"]),
        ("    - run: make\n", ["make"]),
        ("    - run: pytest\n", ["pytest"]),
        (
            "    - run: |\n        make check\n        pip install x\n    - run: make nothing\n",
            ["pip install x", "make nothing"],
        ),
    ],
)
def test_a_bad_step_is_found(step, wrong):
    assert list(wrong_commands(step)) == wrong
