"""The README's program is run as it stands there, and its output compared with what stands below it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_first_program_is_twelve_lines_and_does_what_it_says(tmp_path):
    program = blocks("python")[0]
    assert len([line for line in program.splitlines() if line]) == 12
    script = tmp_path / "program.py"
    script.write_text(program)
    run = subprocess.run(  # noqa: S603 - the README's own program
        [sys.executable, "-X", "dev", script], capture_output=True, text=True, timeout=20, check=False
    )
    assert run.stderr == ""
    # the handle comes by a timer of its own, anywhere among the rest
    assert sorted(run.stdout.splitlines()) == sorted(blocks("text")[0].splitlines())


def test_the_other_programs_are_python():
    for program in blocks("python"):
        compile(program, "README.md", "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def test_the_two_commands_exist():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    for command in re.findall(r"^make (\w+)", blocks("sh")[1], re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)
