"""Skips the folder where the official packages are absent; says at the end which kinds of messages were covered."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OFFICIAL = {"google.genai": "google-genai", "google.ai.generativelanguage_v1beta": "google-ai-generativelanguage"}
LAST = "test_all_kinds.py"
PARTIAL = pytest.StashKey[bool]()


def _is_absent(module):
    try:
        importlib.import_module(module)
    except ModuleNotFoundError:
        return True
    return False


ABSENT = [package for module, package in OFFICIAL.items() if _is_absent(module)]


class _Skipped(pytest.Module):
    def collect(self):
        pytest.skip(f"needs {' and '.join(ABSENT)}: pip install --group conformance", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """A test file that is not even imported where what it needs is absent."""
    return _Skipped.from_parent(parent, path=module_path) if ABSENT and module_path.parent == HERE else None


def pytest_deselected(items):
    for item in items:
        if item.path.parent == HERE:
            item.config.stash[PARTIAL] = True


def pytest_collection_modifyitems(config, items):
    """What counts runs after what is counted, and only if all of it runs."""
    last = [item for item in items if item.path == HERE / LAST]
    others = [item for item in items if item.path != HERE / LAST]
    items[:] = [*others, *last]
    collected = {item.path for item in items if item.path.parent == HERE}
    is_shared = hasattr(config, "workerinput")  # by pytest-xdist, among processes that count each for itself
    if is_shared or collected != set(HERE.glob("test_*.py")) or any("::" in argument for argument in config.args):
        config.stash[PARTIAL] = True


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    """The official client takes keys, projects and proxies from the environment too."""
    for name in os.environ:
        if name.startswith(("GOOGLE_", "GEMINI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def whole_folder(request):
    """For tests that mean something only after all others have run."""
    if request.config.stash.get(PARTIAL, False):
        pytest.skip("only a part of the conformance tests runs")


def pytest_terminal_summary(terminalreporter, config):
    if ABSENT:
        return
    from conformance import kinds  # noqa: PLC0415 - it needs the official packages

    if any(kinds.COVERED.values()):
        whole = not config.stash.get(PARTIAL, False)
        terminalreporter.section(
            f"conformance: kinds of messages covered{'' if whole else ' by this part of the tests'}"
        )
        for line in kinds.account(whole=whole):
            terminalreporter.line(line)
