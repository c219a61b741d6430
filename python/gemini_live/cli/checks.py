"""What `doctor` finds on this machine: Python, the package, its extras, and audio devices."""

from __future__ import annotations

import importlib
import platform
import re
from collections.abc import Sequence
from enum import Enum
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gemini_live import __version__, _core
from gemini_live.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["PURPOSES", "Check", "Status", "audio_devices", "extras", "package", "python"]

_PACKAGE: Final = "gemini-live"
PURPOSES: Final[Mapping[str, str]] = {
    "cli": "the moving display, shell completion, and all of emulator",
    "emulator": "demo, emulator, replay and whatever has --emulator",
    "camera": "cameras; videos, for send and record",
    "video": "pictures from arrays of pixels",
    "screen": "pictures of the screen",
    "audio": "microphone and loudspeaker",
    "echo": "echo cancellation",
    "devices": "all of audio, camera, screen and echo",
    "fast": "TLS at half the cost",
    "socks": "SOCKS proxies",
    "vertex": "Google Cloud credentials, for --endpoint vertex",
    "otel": "metrics and traces by OpenTelemetry",
}
"""What each extra is for."""
_REQUIREMENT: Final = re.compile(r"""([\w.-]+)(?:\[([\w, -]+)\])?.*;.*extra == ["']([\w.-]+)["']""")


class Status(Enum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, but it may be what somebody looks for."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Cannot be known while an earlier one fails."""


class Check(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        found: what is so, in a few words.
        mend: what to do about it, where there is something to be done.
        details: more about it, a line each.
        code: what the command returns if this is the first that failed.
        elapsed_ms: how long it took, where that says something.
    """

    name: str
    status: Status
    found: str
    mend: str = ""
    details: Sequence[str] = ()
    code: Exit = Exit.OK
    elapsed_ms: float | None = None


def python() -> Check:
    """The interpreter; with one that is too old nobody comes this far."""
    return Check("Python", Status.OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def package() -> Check:
    """The package, and whether its compiled part is what users should have."""
    if _core.BUILD_PROFILE != "release":
        return Check(
            "package",
            Status.NOTE,
            f"{__version__}, {_core.BUILD_PROFILE} build",
            "it is many times slower than a release build; install a wheel, or build with --release",
        )
    return Check("package", Status.OK, f"{__version__}, {_core.BUILD_PROFILE} build")


def extras() -> Check:
    """Which extras are there, and what the others would bring. None is needed by everybody."""
    try:
        requirements = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return Check("extras", Status.NOTE, "not known: this is a copied tree and no installed package")
    packages: dict[str, set[str]] = {}
    included: dict[str, set[str]] = {}
    for line in requirements:
        match = _REQUIREMENT.fullmatch(line)
        if match is not None:
            name, inner, extra = match.groups()
            packages.setdefault(extra, set())
            if name == _PACKAGE:
                included.setdefault(extra, set()).update(re.split(r"\s*,\s*", inner))
            else:
                packages[extra].add(name)

    def is_there(extra: str) -> bool:
        return all(map(_is_installed, packages[extra])) and all(map(is_there, included.get(extra, ())))

    there = [extra for extra in packages if is_there(extra)]
    missing = [extra for extra in packages if extra not in there]
    details = [f'{extra}: {PURPOSES.get(extra, "")}; pip install "{_PACKAGE}[{extra}]"' for extra in missing]
    if missing:
        details.insert(0, "not installed:")
    return Check("extras", Status.NOTE if missing else Status.OK, ", ".join(there) or "none", details=details)


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def audio_devices() -> Check:
    """Microphone and loudspeaker."""
    name = "audio devices"
    try:
        sounddevice = importlib.import_module("sounddevice")
    except ModuleNotFoundError:
        return Check(
            name, Status.NOTE, "not looked for: sounddevice is not installed", f'pip install "{_PACKAGE}[audio]"'
        )
    except OSError:
        return Check(
            name,
            Status.FAILED,
            "sounddevice does not find the PortAudio library",
            "install it, such as by: apt install libportaudio2; on a machine without sound: --headless",
            code=Exit.DEVICE,
        )
    found = dict(_defaults(sounddevice))
    missing = [what for what, device in found.items() if device is None]
    shown = ", ".join(f"{what}: {device or 'none'}" for what, device in found.items())
    if missing:
        return Check(
            name,
            Status.FAILED,
            f"no {' and no '.join(missing)}" if len(missing) == len(found) else shown,
            "plug one in or choose it as default, and see to it that this user may use it (on Linux: group audio; in a "
            "container: --device /dev/snd); on a machine without sound: --headless",
            code=Exit.DEVICE,
        )
    return Check(name, Status.OK, shown)


def _defaults(sounddevice: Any) -> Iterator[tuple[str, str | None]]:  # noqa: ANN401 - it has no types
    for what, kind in (("microphone", "input"), ("loudspeaker", "output")):
        try:
            device: Mapping[str, Any] = sounddevice.query_devices(kind=kind)
        except (sounddevice.PortAudioError, ValueError):
            yield what, None
        else:
            yield what, str(device["name"])
