"""THIRD-PARTY-LICENSES.md: the licences of the crates that are linked into the compiled module.

``python -m release.licences`` writes it anew, from what cargo says; a test keeps it in step with Cargo.lock.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "THIRD-PARTY-LICENSES.md"
HEADER = """\
# Licences of others

*Written by `python -m release.licences` from Cargo.lock; do not edit it.*

The compiled module of a wheel contains the following crates, and parts of the standard library of Rust (© The Rust
Project contributors; MIT or Apache-2.0, https://github.com/rust-lang/rust). The licence that is taken of each, and its
text, as its authors ship it:
"""
# What is taken where a crate leaves the choice, in this order.
CHOICE = ("MIT", "Apache-2.0")


# Those of the wheels, as cargo calls them.
TARGETS = (
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
)


def page() -> str:
    """The whole page."""
    return "\n".join([HEADER, *map(_section, linked())])


def linked() -> list[dict[str, Any]]:
    """The crates that end up in the binary on some platform: neither macros, nor build scripts, nor tests."""
    platforms = [word for target in TARGETS for word in ("--filter-platform", target)]
    told = _cargo("metadata", "--locked", "--format-version", "1", "--features", "python,abi3", *platforms)
    metadata = json.loads(told)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting, found = [metadata["resolve"]["root"]], set[str]()
    while waiting:
        package = packages[waiting.pop()]
        if package["id"] in found or any("proc-macro" in target["kind"] for target in package["targets"]):
            continue
        found.add(package["id"])
        waiting += [
            dependency["pkg"]
            for dependency in nodes[package["id"]]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
    return sorted((packages[one] for one in found if packages[one]["source"]), key=lambda package: package["name"])


def _section(package: dict[str, Any]) -> str:
    offered = package["license"]
    taken = next((one for one in CHOICE if one in offered), offered)
    folder = Path(package["manifest_path"]).parent
    text = (folder / _text_of(folder, taken)).read_text(encoding="utf-8")
    lines = "\n".join(f"    {line.rstrip()}".rstrip() for line in text.strip().splitlines())
    return f"## {package['name']}\n\n{offered}; taken: {taken}\n\n{lines}\n"


def _text_of(folder: Path, taken: str) -> str:
    """The file with the text: ``LICENSE-MIT`` where there are several, else the only one."""
    names = sorted(path.name for path in folder.iterdir() if path.name.upper().startswith(("LICENSE", "LICENCE")))
    if not names:
        sys.exit(f"{folder} ships no text of its licence, {taken}; it must be had from its authors")
    ending = taken.partition("-")[0].upper()
    return next((name for name in names if name.upper().endswith(ending)), names[0])


def _cargo(*arguments: str) -> str:
    return subprocess.run(["cargo", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603, S607 - our own


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
