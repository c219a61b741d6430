"""The source distribution: the tree with its tests, and every crate beside it, so that it builds without a network.

``python -m release.sdist`` writes it to ``dist/``. The crates lie in ``vendor/`` of the archive and are named in its
``.cargo/config.toml``; neither exists in the tree, where cargo fetches them as usual.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
STAGE = ROOT / "build" / "sdist"
# Of 5.7 MB when this was written; a crate that brings a system's whole API along shows here.
MAX_BYTES = 8_000_000
WHERE_THE_CRATES_ARE = """\
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"
"""


def stage(folder: Path) -> None:
    """Lay out in ``folder`` what goes into the archive."""
    shutil.rmtree(folder, ignore_errors=True)
    tracked = _output("git", "ls-files", "-z", cwd=ROOT).split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():  # not one that is about to be removed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    _output("cargo", "vendor", "--quiet", "--locked", "vendor", cwd=folder)
    (folder / ".cargo").mkdir()
    (folder / ".cargo" / "config.toml").write_text(WHERE_THE_CRATES_ARE, encoding="utf-8")


def build() -> Path:
    """Build the archive into ``dist/``; what lay there was made of another source, and goes."""
    stage(STAGE)
    shutil.rmtree(DIST, ignore_errors=True)
    when = _output("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", "maturin", "sdist", "--out", str(DIST)],
        cwd=STAGE,
        env={**os.environ, "SOURCE_DATE_EPOCH": when},
        check=True,
    )
    shutil.rmtree(STAGE)
    (archive,) = DIST.glob("*.tar.gz")
    size = archive.stat().st_size
    if size > MAX_BYTES:
        sys.exit(f"{archive.name} has {size:,} bytes, more than {MAX_BYTES:,}: look at what is in its vendor/")
    return archive


def _output(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 - likewise


if __name__ == "__main__":
    made = build()
    sys.stdout.write(f"{made.relative_to(ROOT)}: {made.stat().st_size:,} bytes\n")
