"""What ``import gemini_live`` gives, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import types
from importlib import import_module
from pathlib import Path

import pytest

import gemini_live
import gemini_live.media

ROOMS_WITH_PUBLIC_NAMES = [
    "auth",
    "config",
    "errors",
    "events",
    "fanout",
    "functions",
    "messages",
    "minting",
    "opening",
    "recorder",
    "session",
    "setup_message",
    "snapshot",
    "stats",
    "tool_ledger",
]

# Other rooms need these names; users do not.
NOT_FOR_USERS = {
    "auth": {
        "Address",  # what a dialler gets
        "auth_from",
        "check_pair",
        "endpoint_for",
        "endpoint_from",
        "is_loopback",
        "origin_of",
        "resolve",
    },
    "snapshot": {"setup_hash"},
    "recorder": {"Recorder"},  # a session has one; its users hold what it wrote
    "functions": {"Function", "declarations", "tools_from"},  # what a session makes of them
    "tool_ledger": {"Cancel", "Decision", "Run", "Send", "ToolLedger"},  # what it decides by
    "fanout": {"Fanout"},  # a session has one; its users hold cursors
    "messages": {
        # what a session's methods make of their arguments
        "ClientContent",
        "ContextUpdate",
        "RealtimeInput",
        "ToolResponse",
        "Discreet",  # how structs keep what no log may show
        "Shown",
        "Scheduling",  # an alias, for annotations
        "Wire",  # the base of the structs
    },
}


def test_the_list_is_sorted_and_has_no_private_name():
    names = gemini_live.__all__
    assert names == sorted(names)
    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith("_")] == ["__version__"]


@pytest.mark.parametrize("name", [name for name in gemini_live.__all__ if name != "__version__"])
def test_a_public_name_is_documented(name):
    thing = getattr(gemini_live, name)
    if isinstance(thing, types.UnionType):
        return  # an alias, for annotations; its comment stands where it is made
    assert thing.__doc__
    assert thing.__doc__.strip()
    assert thing.__doc__ != type(thing).__doc__
    if isinstance(thing, type):
        # its own sentence, not one that it inherits
        assert all(thing.__doc__ != parent.__doc__ for parent in thing.__mro__[1:])


@pytest.mark.parametrize("name", gemini_live.__all__)
def test_a_public_class_documents_its_methods(name):
    thing = getattr(gemini_live, name)
    if isinstance(thing, type):
        silent = [
            method
            for method, member in vars(thing).items()
            if not method.startswith("_")
            and isinstance(member, types.FunctionType | property | classmethod | staticmethod)
            and not member.__doc__
        ]
        assert not silent


def test_the_public_names_are_those_of_the_rooms():
    offered = {
        room: set(import_module(f"gemini_live.{room}").__all__) - NOT_FOR_USERS.get(room, set())
        for room in ROOMS_WITH_PUBLIC_NAMES
    }
    assert set().union(*offered.values()) | {"__version__"} == set(gemini_live.__all__)
    assert sum(map(len, offered.values())) == len(set().union(*offered.values())), "two rooms offer the same name"


def test_every_exception_to_that_still_exists():
    for room, names in NOT_FOR_USERS.items():
        assert names <= set(import_module(f"gemini_live.{room}").__all__)


@pytest.mark.parametrize(
    "room",
    [
        *ROOMS_WITH_PUBLIC_NAMES,
        "codec",
        "failures",
        "interop",
        "outbox",
        "piecewise",
        "protocol",
        "server_messages",
    ],
)
def test_each_room_lists_what_it_offers_in_order(room):
    module = import_module(f"gemini_live.{room}")
    names = module.__all__
    # ruff's order: SCREAMING, Classes, functions, each sorted
    kinds = {name: 0 if name.isupper() else 1 if name[0].isupper() else 2 for name in names}
    assert names == sorted(names, key=lambda name: (kinds[name], name))
    assert all(hasattr(module, name) for name in names)


def test_importing_is_silent_and_takes_no_more_than_it_needs():
    """NumPy and the emulator's libraries are slow to import; who never uses them does not wait for them."""
    program = "import sys, json, gemini_live; json.dump(sorted(sys.modules), sys.stderr)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)  # noqa: S603 - our own program
    assert run.stdout == ""
    loaded = set(json.loads(run.stderr))
    assert "gemini_live.session" in loaded
    unwanted = {"numpy", "rich", "soxr", "pybase64", "trustme", "pydantic", "google", "gemini_live.emulator"}
    assert not loaded & {*unwanted, "gemini_live.cli", "gemini_live.demo", "gemini_live.media"}


def test_media_imports_no_library_of_a_device():
    program = "import sys, json, gemini_live.media; json.dump(sorted(sys.modules), sys.stderr)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)  # noqa: S603 - our own program
    loaded = set(json.loads(run.stderr))
    assert "gemini_live.media.microphone" in loaded
    assert not loaded & {"cv2", "livekit", "mss", "sounddevice"}


@pytest.mark.parametrize("name", gemini_live.media.__all__)
def test_each_name_of_media_is_documented(name):
    thing = getattr(gemini_live.media, name)
    assert thing.__doc__
    members = vars(thing).items() if isinstance(thing, type) else ()
    silent = [
        method
        for method, member in members
        if not method.startswith("_")
        and isinstance(member, types.FunctionType | property | classmethod | staticmethod)
        and not member.__doc__
    ]
    assert not silent


def test_importing_warns_of_nothing():
    program = "import gemini_live"
    run = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-W", "error", "-X", "dev", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_version_is_that_of_the_crate():
    cargo = tomllib.loads((Path(__file__).parent.parent / "Cargo.toml").read_text(encoding="utf-8"))
    assert gemini_live.__version__ == cargo["package"]["version"]


def test_the_package_is_typed():
    assert (Path(gemini_live.__file__).parent / "py.typed").exists()
