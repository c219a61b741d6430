"""A wheel for this machine, built from the source distribution alone: no network, no crate of the user's own cache.

``python -m release.wheel [--musl]`` builds the wheel of the running interpreter into ``dist/`` and looks it over. On
Linux zig links it, so that it runs on any system since glibc 2.17 or, with ``--musl``, since musl 1.2.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from release import contents, files

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
UNPACKED = ROOT / "build" / "wheel"
# As old as the oldest macOS that each architecture of a stable Rust supports; rustc's own defaults, said aloud.
MACOS = {"x86_64": "10.12", "arm64": "11.0"}


def build(*, musl: bool) -> Path:
    """Build one wheel."""
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    out = ROOT / "build" / "made"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--out", str(out)]
    command += ["--interpreter", sys.executable]
    command += ["--features", "python" if free_threaded else "python,abi3"]
    if sys.platform == "linux":
        libc = "musl" if musl else "gnu"
        command += ["--zig", "--target", f"{platform.machine()}-unknown-linux-{libc}"]
        command += ["--compatibility", "musllinux_1_2" if musl else "manylinux2014"]
    source = _unpack()
    with tempfile.TemporaryDirectory() as empty:
        subprocess.run(command, cwd=source, env=_environment(source, Path(empty)), check=True)  # noqa: S603 - our own
    (wheel,) = out.glob("*.whl")
    return Path(shutil.move(wheel, DIST / wheel.name))


def _unpack() -> Path:
    """The source distribution, in a folder of its own."""
    archives = list(DIST.glob("*.tar.gz"))
    if len(archives) != 1:
        sys.exit(f"{DIST} must hold one source distribution, not {len(archives)}: make sdist")
    shutil.rmtree(UNPACKED, ignore_errors=True)
    with tarfile.open(archives[0]) as archive:
        archive.extractall(UNPACKED, filter="data")
    (source,) = UNPACKED.iterdir()
    return source


def _environment(source: Path, cargo_home: Path) -> dict[str, str]:
    environment = {
        **os.environ,
        "CARGO_HOME": str(cargo_home),
        "CARGO_NET_OFFLINE": "true",
        "CARGO_TARGET_DIR": str(ROOT / "target" / "wheel"),
        "CARGO_ZIGBUILD_PYTHON_PATH": sys.executable,
        "RUSTFLAGS": f"--remap-path-prefix={source}=.",
    }
    if sys.platform == "darwin":
        environment["MACOSX_DEPLOYMENT_TARGET"] = MACOS[platform.machine()]
    return environment


def check(wheel: Path) -> None:
    """Look at the name, at what is inside, and at what the compiled module needs of the system and of CPython."""
    wrong = contents.faults(wheel, builder=str(UNPACKED))
    wrong += [line for line in files.faults([wheel.name], files.version()) if line.startswith("unexpected")]
    for line in wrong:
        sys.stderr.write(f"{wheel.name}: {line}\n")
    if wrong:
        sys.exit(1)
    if "manylinux" in wheel.name or "musllinux" in wheel.name:
        audit = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
        told = subprocess.run(audit, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 - our own
        if not any(f'"{tag}"' in told for tag in wheel.stem.split("-")[-1].split(".")):
            sys.exit(f"{wheel.name} does not run where its name says:\n{told}")
    if "-abi3-" in wheel.name:
        subprocess.run([sys.executable, "-m", "abi3audit", "--strict", "--summary", str(wheel)], check=True)  # noqa: S603


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m release.wheel", description=__doc__)
    parser.add_argument("--musl", action="store_true", help="for Alpine and other systems on musl")
    made = build(musl=parser.parse_args().musl)
    check(made)
    sys.stdout.write(f"{made.relative_to(ROOT)}: {made.stat().st_size:,} bytes\n")
