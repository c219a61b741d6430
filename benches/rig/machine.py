"""What the figures were taken on: nothing that names the machine, everything that moves the figures."""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
import sys
from importlib import metadata

PACKAGES = (
    "aiofastnet",
    "aiohttp",
    "google-genai",
    "numpy",
    "orjson",
    "picows",
    "pybase64",
    "soxr",
    "uvloop",
    "websockets",
)


def describe() -> dict[str, str]:
    """By what is described."""
    return {
        "commit": _commit(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}"
        + ("" if getattr(sys, "_is_gil_enabled", lambda: True)() else ", free-threaded"),
        "TLS": ssl.OPENSSL_VERSION,
        "Rust": _output("rustc", "--version") or "unknown",
        "packages": ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name))),
    }


def _commit() -> str:
    commit = _output("git", "rev-parse", "--short=12", "HEAD") or "unknown"
    return f"{commit}, with changes" if _output("git", "status", "--porcelain", "--untracked-files=no") else commit


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - no file of ours
            facts = dict(line.rstrip("\n").split("\t: ", 1) for line in file if "\t: " in line)
        features = [name for name in ("avx2", "avx512vbmi") if name in facts.get("flags", "").split()]
        return " ".join([facts["model name"], *features])
    except (OSError, KeyError):
        return platform.processor() or "unknown"


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - ours
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
