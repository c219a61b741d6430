"""What to say where the compiled module is not there, or does not load."""

from __future__ import annotations

import platform
import sysconfig
from pathlib import Path

__all__ = ["core_missing"]

_WHEELS = (
    "Wheels exist for CPython 3.11 and later on 64-bit Linux (x86_64, aarch64; glibc 2.17 or musl 1.2), macOS (x86_64, "
    "arm64) and Windows (x86_64); elsewhere pip builds from source, which needs Rust 1.89 (https://rustup.rs)"
)


def core_missing(error: ImportError, package: Path = Path(__file__).parent) -> ImportError:
    """Make of Python's error one that says what to install.

    Args:
        error: what ``import gemini_live._core`` raised.
        package: the folder of the package.
    """
    here = (
        f"{platform.python_implementation()} {platform.python_version()} "
        f"({sysconfig.get_config_var('EXT_SUFFIX')}) on {sysconfig.get_platform()}"
    )
    found = sorted(path.name for path in package.glob("_core.*") if path.suffix in (".so", ".pyd"))
    if found:
        what = f"gemini_live is installed for another system: {', '.join(found)} does not load in {here}: {error}"
    else:
        what = f"gemini_live is not built: {package} holds no _core for {here}"
    if (package.parent.parent / "Cargo.toml").exists():
        mend = (
            "This is a source tree: build it with: pip install --editable . (which needs Rust 1.89, https://rustup.rs)"
        )
    else:
        mend = f"Install it anew, on this system: pip install --force-reinstall gemini-live. {_WHEELS}"
    return ImportError(f"{what}. {mend}", name="gemini_live._core", path=error.path)
