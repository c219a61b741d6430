"""The emulator is an extra: without it the error says so."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("library", ["pybase64", "soxr"])
def test_a_missing_library_is_named_with_the_extra(library):
    program = f"import sys; sys.modules[{library!r}] = None\nfrom gemini_live import emulator"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=20)  # noqa: S603 - our own
    assert run.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: the emulator needs {library}, which is not installed: "
        'pip install "gemini-live[emulator]"'
    )


def test_a_fault_of_our_own_is_not_taken_for_that():
    program = "import sys; sys.modules['gemini_live.emulator.wire'] = None\nfrom gemini_live import emulator"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=20)  # noqa: S603 - our own
    assert "gemini_live.emulator.wire" in run.stderr.splitlines()[-1]
    assert "pip install" not in run.stderr
