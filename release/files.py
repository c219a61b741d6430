"""The files of a release, by name: what must be there, and nothing else.

``python -m release.files [--tag v1.2.3] [FOLDER]`` fails when one is missing or unexpected in ``dist/`` or ``FOLDER``,
or when the tag names another version than Cargo.toml.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent.parent
NAME = "gemini_live"
# One wheel serves CPython 3.11 and all later ones; a build without the global lock has no stable ABI and needs its own.
PYTHONS = ("cp311-abi3", "cp314-cp314t")
PLATFORMS = (
    "manylinux2014_x86_64.manylinux_2_17_x86_64",
    "manylinux2014_aarch64.manylinux_2_17_aarch64",
    "musllinux_1_2_x86_64",
    "musllinux_1_2_aarch64",
    "macosx_10_12_x86_64",
    "macosx_11_0_arm64",
    "win_amd64",
)


def version() -> str:
    """The version of the tree, from the one place that has it."""
    return str(tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"])


def expected(release: str) -> set[str]:
    """The names of all files of this release."""
    wheels = {f"{NAME}-{release}-{python}-{platform}.whl" for python in PYTHONS for platform in PLATFORMS}
    return wheels | {f"{NAME}-{release}.tar.gz"}


def faults(names: Iterable[str], release: str) -> list[str]:
    """One line for each file that is missing, and for each that does not belong."""
    found, wanted = {_sorted_platforms(name) for name in names}, expected(release)
    missing = [f"missing: {name}" for name in sorted(wanted - found)]
    return missing + [f"unexpected: {name}" for name in sorted(found - wanted)]


def _sorted_platforms(name: str) -> str:
    """The same file whatever the order in which its tool lists the platforms."""
    if not name.endswith(".whl"):
        return name
    *rest, platforms = name.removesuffix(".whl").split("-")
    return "-".join([*rest, ".".join(sorted(platforms.split(".")))]) + ".whl"


def main(arguments: list[str]) -> int:
    """Say what is wrong; the exit code is 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python -m release.files", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", metavar="FOLDER")
    parser.add_argument("--tag", help="must be v and the version of Cargo.toml")
    asked = parser.parse_args(arguments)
    release = version()
    wrong = faults((path.name for path in asked.folder.glob("*")), release)
    if asked.tag is not None and asked.tag != f"v{release}":
        wrong.append(f"the tag is {asked.tag}, the version of Cargo.toml is {release}")
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    if not wrong:
        sys.stdout.write(f"all {len(expected(release))} files of {release} are there\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
