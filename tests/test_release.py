"""What a release is made of: the list of its files, the contents of its wheels, the licences of what is linked in."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
import tomllib
import zipfile

import pytest
from release import contents, files, group, licences, trial

VERSION = "1.2.3"


@pytest.fixture
def complete():
    return files.expected(VERSION)


def test_a_complete_release_has_no_fault(complete):
    assert files.faults(complete, VERSION) == []
    assert len(complete) == 15


def test_each_missing_file_is_named(complete):
    for name in complete:
        assert files.faults(complete - {name}, VERSION) == [f"missing: {name}"]


def test_what_does_not_belong_is_named(complete):
    stray = f"gemini_live-{VERSION}-cp311-cp311-manylinux_2_34_x86_64.whl"
    assert files.faults(complete | {stray}, VERSION) == [f"unexpected: {stray}"]
    older = {name.replace(VERSION, "1.2.2") for name in complete}
    assert len(files.faults(older, VERSION)) == 2 * len(complete)


def test_the_order_of_the_platforms_in_a_name_is_the_tools_affair(complete):
    (name,) = [name for name in complete if "cp311" in name and "manylinux" in name and "x86_64" in name]
    other = name.replace("manylinux2014_x86_64.manylinux_2_17_x86_64", "manylinux_2_17_x86_64.manylinux2014_x86_64")
    assert other != name
    assert files.faults(complete - {name} | {other}, VERSION) == []


def test_the_program_fails_where_a_file_is_missing(tmp_path, capsys):
    for name in files.expected(files.version()):
        (tmp_path / name).touch()
    assert files.main([str(tmp_path), "--tag", f"v{files.version()}"]) == 0
    (tmp_path / f"gemini_live-{files.version()}.tar.gz").unlink()
    assert files.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"missing: gemini_live-{files.version()}.tar.gz\n"


def test_the_program_fails_where_the_tag_is_of_another_version(tmp_path, capsys):
    for name in files.expected(files.version()):
        (tmp_path / name).touch()
    assert files.main([str(tmp_path), "--tag", "v9.9.9"]) == 1
    assert capsys.readouterr().err == f"the tag is v9.9.9, the version of Cargo.toml is {files.version()}\n"


# --- a wheel ---------------------------------------------------------------------------------------------------------

INFO = f"gemini_live-{VERSION}.dist-info"
GOOD = {
    "gemini_live/__init__.py": "",
    "gemini_live/_core.pyi": "",
    "gemini_live/_core.abi3.so": "compiled in ./rust/lib.rs",
    "gemini_live/py.typed": "",
    "gemini_live/codec.py": "",
    "gemini_live/media/g711.py": "",
    "gemini_live/demo/speech.wav": "",
    "gemini_live/emulator/__init__.py": "",
    f"{INFO}/METADATA": "",
    f"{INFO}/RECORD": "",
    f"{INFO}/WHEEL": "",
    f"{INFO}/entry_points.txt": "",
    f"{INFO}/licenses/LICENSE": "",
    f"{INFO}/licenses/THIRD-PARTY-LICENSES.md": "",
    f"{INFO}/sboms/gemini-live-core.cyclonedx.json": "",
}


def wheel_of(tmp_path, entries):
    path = tmp_path / "some.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_a_good_wheel_has_no_fault(tmp_path):
    assert contents.faults(wheel_of(tmp_path, GOOD), builder="/home/me") == []


@pytest.mark.parametrize(
    "compiled",
    [
        "_core.pyd",
        "_core.cpython-314t-x86_64-linux-gnu.so",
        "_core.cpython-314t-darwin.so",
        "_core.cp314t-win_amd64.pyd",
    ],
)
def test_the_compiled_module_has_the_name_that_its_system_gives_it(tmp_path, compiled):
    entries = {name: text for name, text in GOOD.items() if not name.endswith(".so")}
    assert contents.faults(wheel_of(tmp_path, {**entries, f"gemini_live/{compiled}": ""})) == []


@pytest.mark.parametrize("name", ["gemini_live/py.typed", f"{INFO}/licenses/LICENSE", "gemini_live/_core.abi3.so"])
def test_what_a_wheel_lacks_is_named(tmp_path, name):
    (fault,) = contents.faults(wheel_of(tmp_path, {key: GOOD[key] for key in GOOD if key != name}))
    assert fault.startswith("missing: ")


@pytest.mark.parametrize(
    "name", ["gemini_live/notes.txt", "tests/test_core.py", "gemini_live/codec.py.orig", "gemini_live/libzig.so.1"]
)
def test_what_was_left_lying_about_is_named(tmp_path, name):
    assert contents.faults(wheel_of(tmp_path, {**GOOD, name: ""})) == [f"does not belong: {name}"]


def test_a_wheel_must_stay_small_and_keep_the_builder_to_itself(tmp_path):
    big = wheel_of(tmp_path, {**GOOD, "gemini_live/demo/speech.wav": os.urandom(contents.MAX_BYTES)})
    (fault,) = contents.faults(big)
    assert "not under 3,000,000" in fault
    path = wheel_of(tmp_path, {**GOOD, "gemini_live/_core.abi3.so": "/home/me/gemini/rust/lib.rs"})
    (fault,) = contents.faults(path, builder="/home/me")
    assert fault == "gemini_live/_core.abi3.so names the folder in which it was built, /home/me"


# --- a trial ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "chosen", "left_out"),
    [
        ({"HOST_GNU_TYPE": "x86_64-pc-linux-gnu"}, "test", set()),
        ({"HOST_GNU_TYPE": "x86_64-pc-linux-gnu", "Py_GIL_DISABLED": 1}, "test-free-threaded", {"opencv"}),
        ({"HOST_GNU_TYPE": "aarch64-linux-musl"}, "test-anywhere", {"opencv", "livekit", "mss", "sounddevice"}),
        ({}, "test", set()),  # Windows
    ],
)
def test_nothing_is_tested_with_that_has_no_wheel(monkeypatch, build, chosen, left_out):
    monkeypatch.setattr(sysconfig, "get_config_var", build.get)
    assert group.chosen() == chosen
    assert {"opencv", "livekit", "mss", "sounddevice"} - installed(chosen) == left_out


def installed(name):
    """The first words of the requirements of a dependency group."""
    groups = tomllib.loads((trial.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    found = set()
    for entry in groups[name]:
        found |= installed(entry["include-group"]) if isinstance(entry, dict) else {re.match(r"\w+", entry)[0]}
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="programs are made by a mode here")
def test_a_trial_sees_no_rust(tmp_path):
    for folder, program in [("rust", "cargo"), ("plain", "sh")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / program).touch(mode=0o755)
    path = os.pathsep.join([str(tmp_path / "rust"), str(tmp_path / "plain"), ""])
    assert trial.without_rust(path) == str(tmp_path / "plain")


# --- licences --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo knows what is linked in")
def test_the_licences_of_all_that_is_linked_in_are_there():
    assert licences.page() == licences.PAGE.read_text(encoding="utf-8"), "run: python -m release.licences"


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo knows what is linked in")
def test_every_crate_that_is_linked_in_may_be():
    for crate in licences.linked():
        assert any(licence in crate["license"] for licence in licences.CHOICE), crate["name"]
