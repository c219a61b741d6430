"""What is in a wheel: everything that a user needs, nothing that was left lying about, and no path of the builder."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 3_000_000
NEEDED = (
    r"gemini_live/__init__\.py",
    r"gemini_live/_core\.pyi",
    r"gemini_live/_core\.(abi3\.so|pyd|cpython-\w+-[\w-]+\.so|cp\w+-win\w*\.pyd)",
    r"gemini_live/py\.typed",
    r"gemini_live/demo/speech\.wav",
    r"gemini_live/emulator/__init__\.py",
    r"gemini_live-[^/]+\.dist-info/METADATA",
    r"gemini_live-[^/]+\.dist-info/RECORD",
    r"gemini_live-[^/]+\.dist-info/WHEEL",
    r"gemini_live-[^/]+\.dist-info/entry_points\.txt",
    r"gemini_live-[^/]+\.dist-info/licenses/LICENSE",
    r"gemini_live-[^/]+\.dist-info/licenses/THIRD-PARTY-LICENSES\.md",
)
ALLOWED = (
    *NEEDED,
    r"gemini_live/([a-z0-9_]+/)?[a-z0-9_]+\.py",
    r"gemini_live/demo/README\.md",
    r"gemini_live-[^/]+\.dist-info/sboms/[\w-]+\.cyclonedx\.json",
)


def faults(wheel: Path, *, builder: str = "") -> list[str]:
    """One line for each thing that is wrong with this wheel.

    Args:
        wheel: the file.
        builder: the folder in which it was built, which the compiled module must not name.
    """
    wrong = []
    size = wheel.stat().st_size
    if size >= MAX_BYTES:
        wrong.append(f"{size:,} bytes, which is not under {MAX_BYTES:,}")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        wrong += [f"missing: {needed}" for needed in NEEDED if not any(re.fullmatch(needed, name) for name in names)]
        wrong += [
            f"does not belong: {name}" for name in names if not any(re.fullmatch(pattern, name) for pattern in ALLOWED)
        ]
        compiled = [name for name in names if name.endswith((".so", ".pyd"))]
        wrong += [
            f"{name} names the folder in which it was built, {builder}"
            for name in compiled
            if builder and builder.encode() in archive.read(name)
        ]
    return wrong
