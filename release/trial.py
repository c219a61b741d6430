"""A wheel on a machine of a user: a clean environment, no Rust toolchain, nothing of the tree but its tests.

``python -m release.trial [pytest's arguments]`` takes the wheel of ``dist/`` that fits the running interpreter,
installs it, runs the demo and then the tests. It needs nothing but the standard library, so any interpreter can run it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from release import group

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
EXTRAS = "cli,socks,vertex,otel"
# The tests read pages, programs and tables; what they must not find is the package itself, and what was built of it.
LEFT_OUT = {".git", ".venv", "build", "dist", "python", "rust", "target"}
BUILT = shutil.ignore_patterns(".*cache", "*.so", "*.pyd", "__pycache__", "target")
TOOLCHAIN = ("cargo", "rustc", "rustup", "maturin")


def without_rust(path: str) -> str:
    """A PATH without the folders that hold a piece of a Rust toolchain."""
    folders = [folder for folder in path.split(os.pathsep) if folder]
    return os.pathsep.join(
        folder for folder in folders if not any(shutil.which(tool, path=folder) for tool in TOOLCHAIN)
    )


def main(arguments: list[str]) -> None:
    """Install, demonstrate, test."""
    with tempfile.TemporaryDirectory() as folder:
        _try(Path(folder).resolve(), arguments)


def _try(folder: Path, arguments: list[str]) -> None:
    builders = ("PYTHON", "CARGO", "RUST")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(builders)}
    home = folder / "environment"
    venv.create(home, with_pip=True)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    environment["PATH"] = os.pathsep.join([str(programs), without_rust(os.environ["PATH"])])
    python = str(programs / "python")

    def run(*command: str, cwd: Path = folder) -> None:
        if code := subprocess.run(command, cwd=cwd, env=environment, check=False).returncode:  # noqa: S603 - our own
            sys.exit(code)

    for tool in TOOLCHAIN:
        if found := shutil.which(tool, path=environment["PATH"]):
            sys.exit(f"{found} is still on the PATH, so this would prove nothing")
    run(python, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1")
    # out of this folder only: pip picks the wheel that fits, or says that none does
    chosen = folder / "wheel"
    only = ["--no-index", "--no-deps", "--only-binary", ":all:", "--find-links", str(DIST), "--dest", str(chosen)]
    run(python, "-m", "pip", "download", "--quiet", *only, "gemini-live")
    (wheel,) = chosen.iterdir()
    sys.stdout.write(f"{wheel.name} on {sys.version}\n")
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[{EXTRAS}]")
    run(python, "-m", "pip", "install", "--quiet", "--group", f"{ROOT / 'pyproject.toml'}:{group.chosen()}")

    sys.stdout.write("the demo, from the wheel:\n")
    sys.stdout.flush()
    run(str(programs / "gemini-live"), "demo", "--fast")

    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=_left_out)
    where = f"import gemini_live, sys; sys.exit(not gemini_live.__file__.startswith({str(home)!r}))"
    run(python, "-c", where, cwd=tree)
    run(python, "-m", "pytest", "--ignore", "tests/conformance", *arguments, cwd=tree)


def _left_out(folder: str, names: list[str]) -> set[str]:
    return BUILT(folder, names) | (LEFT_OUT if Path(folder) == ROOT else set())


if __name__ == "__main__":
    main(sys.argv[1:])
