"""The first program of the README: its length, and what it prints; `test_pages` runs it and the others too."""

from __future__ import annotations

from pages import ROOT, blocks, run_alone

README = ROOT / "README.md"


def test_the_first_program_is_twelve_lines_and_does_what_it_says(tmp_path):
    program = blocks(README, "python")[0].text
    assert len([line for line in program.splitlines() if line]) == 12
    printed = run_alone(program, tmp_path)
    # the handle comes by a timer of its own, anywhere among the rest
    assert sorted(printed.splitlines()) == sorted(blocks(README, "text")[0].text.splitlines())
