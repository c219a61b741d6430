"""That docs/audio.md is true: its programs run, and every accepted kind of sample stands in it."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from gemini_live._core import AudioEncoder

PAGE = (Path(__file__).parent.parent / "docs" / "audio.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


async def test_its_programs_run_in_order():
    space = {}
    assert len(PROGRAMS) == 3
    for program in PROGRAMS:
        made = eval(compile(program, "docs/audio.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), space)  # noqa: S307
        if inspect.iscoroutine(made):
            await made


@pytest.mark.parametrize("dtype", sorted({np.dtype(code).name for code in np.typecodes["All"]} - {"bytes"}))
def test_it_names_the_dtypes_that_are_accepted_and_no_others(dtype):
    named = f"`{dtype}`" in PAGE.partition("| shape |")[0]
    try:
        AudioEncoder().encode(np.zeros(4, dtype))
    except TypeError:
        assert not named
    else:
        assert named


def test_its_pictures_and_links_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (Path(__file__).parent.parent / "docs" / target).exists(), target
