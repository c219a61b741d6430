"""The import rules of the house: every arrow points down. The rules are data; the imports are read, not run."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path
from typing import NamedTuple

import pytest

import gemini_live

PACKAGE = Path(gemini_live.__file__).parent

# Floors, from the ground up. A room may import what lies on lower floors, and on its own floor what it names here.
NAMES = {"errors", "messages", "setup_message", "config", "events", "stats"}
TRANSLATE = {"codec", "auth", "failures", "interop", "capabilities"}
BELOW_OUTBOX = NAMES | TRANSLATE
BELOW_DECISIONS = BELOW_OUTBOX | {"outbox", "conversation"}
BELOW_DRIVERS = BELOW_DECISIONS | {"protocol", "transport"}
BELOW_SESSION = BELOW_DRIVERS | {
    "audio_input",
    "fanout",
    "functions",
    "inbox",
    "image",
    "listener",
    "pause",
    "recorder",
    "redaction",
    "runner",
    "snapshot",
    "speech",
    "telemetry",
    "tool_ledger",
    "tools",
}

MAY_IMPORT = {
    # what to say where the ground is missing
    "core_missing": set(),
    # names: frozen values, nothing else
    "errors": set(),
    "messages": set(),
    "setup_message": {"messages"},
    "config": {"errors", "setup_message"},
    "events": {"messages"},
    "stats": set(),
    # translate
    "codec": NAMES | {"_core", "piecewise", "server_messages"},
    # what the service sends, and the reading of it piece by piece: for the codec alone, which lets nothing raise
    "server_messages": {"messages"},
    "piecewise": {"server_messages"},
    "auth": NAMES,
    "failures": NAMES,
    "interop": NAMES,
    "capabilities": NAMES | {"auth"},
    # remember
    "outbox": BELOW_OUTBOX,
    # whose turn it is; decide, and write
    "conversation": NAMES,
    "protocol": BELOW_DECISIONS,
    "transport": BELOW_DECISIONS | {"_core"},
    # drive
    "fanout": BELOW_DRIVERS,
    "inbox": set(),
    "pause": set(),
    "runner": BELOW_DRIVERS | {"fanout", "inbox", "pause"},
    # samples in, messages out
    "speech": {"_core"},
    "listener": {"_core", "config", "speech"},
    "audio_input": BELOW_DRIVERS | {"listener", "pause", "runner", "speech"},
    "image": NAMES | {"_core", "inbox", "interop"},
    # a typed function → a declaration; which calls are live; running them
    "functions": NAMES | {"interop"},
    "tool_ledger": {"messages"},
    "tools": BELOW_DRIVERS | {"fanout", "runner", "functions", "tool_ledger"},
    # a session packed up for another process
    "snapshot": NAMES | {"outbox", "capabilities", "functions", "interop"},
    # every frame on disk, but for what must not be there
    "redaction": set(),
    "recorder": NAMES | {"auth", "codec", "failures", "redaction", "transport"},
    # what OpenTelemetry hears of it
    "telemetry": NAMES | {"auth", "fanout"},
    # microphones, loudspeakers, cameras and files; a session asks for it when it is given one
    "media": NAMES | {"_core"},
    # hold
    "session": BELOW_SESSION | {"media"},
    # tokens for others
    "minting": NAMES | {"auth", "capabilities", "interop", "transport"},
    # how one comes about
    "opening": BELOW_SESSION | {"session"},
    # a second house: shares only names, so that a mistake cannot cancel itself out
    "emulator": NAMES,
    # you
    "__init__": BELOW_SESSION | {"session", "opening", "minting", "_core", "core_missing"},
    "pytest_plugin": {"emulator", "__init__"},
    "demo": BELOW_SESSION | {"media", "session", "opening", "emulator", "_core", "__init__"},
    "cli": BELOW_SESSION | {"media", "session", "opening", "emulator", "demo", "_core", "__init__"},
    "__main__": {"cli"},
}
# A name in an annotation is not an arrow that runs. It points down like every other, but for these.
MAY_NAME = {"errors": {"events"}}

# Who may import a library at all, and which rooms must do without it.
ONLY = {"aiohttp": {"transport", "emulator"}, "websockets": set(), "requests": set(), "httpx": set()}
NEVER = {
    room: {"asyncio", "time", "aiohttp", "random"} for room in ("protocol", "conversation", "outbox", "tool_ledger")
}

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "common", "base", "misc"}


class Import(NamedTuple):
    line: int
    module: str
    """Absolute: ``gemini_live.codec``, ``aiohttp.web``."""
    for_types: bool
    """Under ``if TYPE_CHECKING:``."""


def room_of(path: Path) -> str:
    """``codec.py`` → ``codec``, ``emulator/server.py`` → ``emulator``."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(source: str, path: Path, is_module) -> list[Import]:
    """Every import of a module, wherever it stands in it, with relative ones made absolute.

    ``from package import name`` imports ``package.name`` if that is a module, and ``package`` if it is not.
    """
    package = ["gemini_live", *path.relative_to(PACKAGE).parts[:-1]]
    found = []

    def visit(node, *, for_types):
        match node:
            case ast.Import(names=names):
                found.extend(Import(node.lineno, alias.name, for_types) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                start = package[: len(package) + 1 - level] if level else []
                whole = ".".join([*start, *([module] if module else [])])
                for alias in names:
                    inner = f"{whole}.{alias.name}"
                    found.append(Import(node.lineno, inner if is_module(inner) else whole, for_types))
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                for child in node.body:
                    visit(child, for_types=True)
                for child in node.orelse:
                    visit(child, for_types=for_types)
            case _:
                for child in ast.iter_child_nodes(node):
                    visit(child, for_types=for_types)

    visit(ast.parse(source, str(path)), for_types=False)
    return found


def is_module(name: str) -> bool:
    """Whether this is a module of the package, the compiled one included."""
    head, *inside = name.split(".")
    if head != "gemini_live":
        return False
    place = PACKAGE.joinpath(*inside)
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists() or inside == ["_core"]


def broken_rules(path: Path, source: str) -> list[str]:
    """One line for each import that no rule allows."""
    room = room_of(path)
    where = path.relative_to(PACKAGE)
    if room not in MAY_IMPORT:
        return [f"{where}: the room {room!r} has no row in MAY_IMPORT: say what lies below it"]
    found = []
    for line, module, for_types in imports_of(source, path, is_module):
        top, *inside = module.split(".")
        allowed = MAY_IMPORT[room] | (MAY_NAME.get(room, set()) if for_types else set())
        target = inside[0] if inside else "__init__"
        if top == "gemini_live" and target != room and target not in allowed:
            below = ", ".join(sorted(allowed)) or "nothing of the package"
            found.append(f"{where}:{line}: {room} imports {module}, but it may import {below} only")
        if top in ONLY and room not in ONLY[top]:
            owners = ", ".join(sorted(ONLY[top])) or "nobody"
            found.append(f"{where}:{line}: {room} imports {module}, but {top} is for {owners} only")
        if top in NEVER.get(room, ()):
            found.append(f"{where}:{line}: {room} imports {module}, but {room} is pure: no I/O, no clock, no dice")
    return found


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_arrow_points_down():
    broken = [line for path in modules() for line in broken_rules(path, path.read_text(encoding="utf-8"))]
    assert not broken, "\n" + "\n".join(broken)


def test_all_rooms_are_looked_at():
    """A test that reads no file passes for ever."""
    rooms = {room_of(path) for path in modules()}
    assert {*NAMES, "codec", "auth", "outbox", "protocol", "runner", "session", "emulator", "__init__"} <= rooms
    seen = {
        imported.module
        for path in modules()
        for imported in imports_of(path.read_text(encoding="utf-8"), path, is_module)
    }
    assert {"gemini_live.codec", "gemini_live._core", "aiohttp", "asyncio", "msgspec"} <= seen


def test_the_rules_have_no_circle():
    graph = {room: allowed - {"__init__"} for room, allowed in MAY_IMPORT.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("room", ["cli", "demo", "pytest_plugin", "__main__", "__init__"])
def test_nothing_below_imports_the_top(room):
    higher = {
        "cli": {"__main__"},
        "demo": {"cli"},
        "pytest_plugin": set(),
        "__main__": set(),
        "__init__": {"cli", "demo", "pytest_plugin"},
    }
    assert {other for other, allowed in MAY_IMPORT.items() if room in allowed} == higher[room]


@pytest.mark.parametrize(
    ("file", "source", "line", "imported", "rule"),
    [
        ("codec.py", "from gemini_live.session import connect", 1, "gemini_live.session", "may import"),
        ("codec.py", "from gemini_live import session", 1, "gemini_live.session", "may import"),
        ("codec.py", "import gemini_live.runner as r", 1, "gemini_live.runner", "may import"),
        ("codec.py", "import gemini_live", 1, "gemini_live", "may import"),
        ("codec.py", "from . import outbox", 1, "gemini_live.outbox", "may import"),
        ("codec.py", "from .outbox import Outbox", 1, "gemini_live.outbox", "may import"),
        ("codec.py", "def later():\n    from gemini_live import protocol", 2, "gemini_live.protocol", "may import"),
        ("codec.py", "try:\n    pass\nexcept ValueError:\n    import gemini_live.demo", 4, "demo", "may import"),
        ("codec.py", "if TYPE_CHECKING:\n    from .outbox import Outbox", 2, "gemini_live.outbox", "may import"),
        ("piecewise.py", "from gemini_live.codec import decode", 1, "gemini_live.codec", "server_messages only"),
        ("session.py", "from gemini_live import piecewise", 1, "gemini_live.piecewise", "may import"),
        ("session.py", "from gemini_live import _core", 1, "gemini_live._core", "may import"),
        ("pytest_plugin.py", "from gemini_live.runner import Runner", 1, "runner", "__init__, emulator only"),
        ("protocol.py", "from gemini_live.server_messages import Part", 1, "server_messages", "may import"),
        ("events.py", "from gemini_live import _core", 1, "gemini_live._core", "may import"),
        ("errors.py", "from gemini_live.events import Closed", 1, "gemini_live.events", "nothing of the package"),
        ("errors.py", "if not x:\n    from .events import Closed", 2, "gemini_live.events", "nothing of the package"),
        ("errors.py", "if TYPE_CHECKING:\n    pass\nelse:\n    from .events import E", 4, "events", "nothing of"),
        ("emulator/ear.py", "from gemini_live import codec", 1, "gemini_live.codec", "config, errors, events"),
        ("emulator/ear.py", "from .. import _core", 1, "gemini_live._core", "config, errors, events"),
        ("emulator/ear.py", "from ..protocol import State", 1, "gemini_live.protocol", "config, errors, events"),
        ("runner.py", "import aiohttp.web", 1, "aiohttp.web", "transport only"),
        ("session.py", "from aiohttp import ClientSession", 1, "aiohttp", "transport only"),
        ("protocol.py", "import asyncio", 1, "asyncio", "pure"),
        ("protocol.py", "if TYPE_CHECKING:\n    import asyncio", 2, "asyncio", "pure"),
        ("outbox.py", "async def f():\n    from time import monotonic", 2, "time", "pure"),
        ("outbox.py", "from random import random", 1, "random", "pure"),
        ("session.py", "from gemini_live import cli", 1, "gemini_live", "may import"),
        ("attic.py", "", None, "attic", "has no row"),
    ],
)
def test_a_bad_module_is_found(file, source, line, imported, rule):
    (message,) = broken_rules(PACKAGE / file, source)
    assert message.startswith(file if line is None else f"{file}:{line}:")
    assert imported in message
    assert rule in message


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("errors.py", "if TYPE_CHECKING:\n    from gemini_live.events import Closed"),
        ("errors.py", "if typing.TYPE_CHECKING:\n    from .events import Closed"),
        ("codec.py", "from gemini_live import _core, events\nimport msgspec"),
        ("emulator/ear.py", "from .vad import Vad\nfrom ..errors import ConfigError\nfrom gemini_live import events"),
        ("emulator/ear.py", "from . import vad"),
        ("transport.py", "import aiohttp, asyncio"),
        ("emulator/ear.py", "import aiohttp"),
        ("runner.py", "import asyncio\nfrom gemini_live import events, protocol"),
    ],
)
def test_a_good_module_is_not(file, source):
    assert broken_rules(PACKAGE / file, source) == []


def test_every_file_says_what_it_is():
    names = {path.stem for path in modules()} | {path.parent.name for path in modules()}
    assert not names & NAMES_THAT_SAY_NOTHING
