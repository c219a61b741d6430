"""A package without its compiled module says what to install, in a process of its own each time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from release import files

import gemini_live
from pages import ROOT

PACKAGE = Path(gemini_live.__file__).parent
MODULE = f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"


@pytest.fixture
def unbuilt(tmp_path):
    """The package in a folder of its own, all of it but what was compiled."""
    place = tmp_path / "somewhere" / "python" / "gemini_live"
    ignored = shutil.ignore_patterns("_core.*.so", "_core.pyd", "_core.*.pyd", "__pycache__", "emulator", "demo")
    shutil.copytree(PACKAGE, place, ignore=ignored)
    return place


def message_of(package, program="import gemini_live"):
    run = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = [{str(package.parent)!r}]; {program}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert run.returncode == 1
    return run.stderr.splitlines()[-1]


@pytest.mark.parametrize("program", ["import gemini_live", "from gemini_live import codec", "import gemini_live._core"])
def test_a_missing_module_is_named_with_the_mend(unbuilt, program):
    message = message_of(unbuilt, program)
    assert message.startswith("ImportError: gemini_live is not built: ")
    assert f"{unbuilt} holds no _core for {sys.implementation.cache_tag[:1].upper()}" in message
    assert sysconfig.get_platform() in message
    assert "pip install --force-reinstall gemini-live" in message
    assert "https://rustup.rs" in message


def test_in_a_source_tree_the_mend_is_to_build_it(unbuilt):
    (unbuilt.parent.parent / "Cargo.toml").touch()
    message = message_of(unbuilt)
    assert "This is a source tree: build it with: pip install --editable ." in message
    assert "--force-reinstall" not in message


def test_a_module_of_another_system_is_named_with_the_linkers_reason(unbuilt):
    (unbuilt / MODULE).write_bytes(b"not for this machine")
    message = message_of(unbuilt)
    assert message.startswith("ImportError: gemini_live is installed for another system: ")
    assert f"{MODULE} does not load in" in message
    assert "--force-reinstall" in message


def test_the_cause_is_kept(unbuilt):
    program = (
        "\ntry:\n    import gemini_live\nexcept ImportError as error:\n"
        "    print(error.name, type(error.__cause__).__name__, file=sys.stderr)\n    sys.exit(1)"
    )
    assert message_of(unbuilt, program) == "gemini_live._core ModuleNotFoundError"


def test_the_wheels_that_it_names_are_those_of_a_release():
    said = (PACKAGE / "core_missing.py").read_text(encoding="utf-8")
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    needed = f"Rust {cargo['package']['rust-version']}"
    assert said.count(needed) == said.count("needs Rust 1.") == 2
    page = (ROOT / "docs" / "platforms.md").read_text(encoding="utf-8")
    assert f"toolchain of {needed.removeprefix('Rust ')} or later" in page
    systems = {
        ("linux" if "linux" in name else "macos" if "macosx" in name else "windows", name.endswith(("x86_64", "amd64")))
        for name in files.PLATFORMS
    }
    assert systems == {("linux", True), ("linux", False), ("macos", True), ("macos", False), ("windows", True)}
    assert '64-bit Linux (x86_64, aarch64; glibc 2.17 or musl 1.2), macOS (x86_64, "' in said
