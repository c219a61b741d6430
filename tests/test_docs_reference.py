"""That the reference holds every public name, with words for all there is to be set, and no name of ours alone."""

from __future__ import annotations

import re

import msgspec
import pytest
from docs import generate_protocol

import gemini_live
from gemini_live import emulator, media
from pages import ROOT

pytest.importorskip("sphinx", reason="`make docs` installs what the reference is written with")

from docs import public_names

DIRECTIVE = re.compile(r"^\.\. public-names:: (.+)\n((?: +:\w+: \S+\n)*)", re.MULTILINE)


def documented():
    """Package and name, for each name that a page of the reference documents."""
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for found in DIRECTIVE.finditer(page.read_text(encoding="utf-8")):
            options = dict(re.findall(r":(\w+): (\S+)", found[2]))
            package = options.pop("package", "gemini_live")
            for room in found[1].split():
                yield from ((package, name) for name in public_names.names_of(package, room, **options))


@pytest.mark.parametrize("package", [gemini_live, emulator, media], ids=lambda package: package.__name__)
def test_every_public_name_stands_in_the_reference_once(package):
    name = package.__name__
    found = [one for of, one in documented() if of == name]
    offered = set(package.__all__) - {"__version__"}
    missing = offered - set(found)
    assert not missing, f"name the rooms of {missing} behind a public-names:: in docs/reference/"
    assert len(found) == len(offered)


@pytest.mark.parametrize("package", [gemini_live, emulator, media], ids=lambda package: package.__name__)
def test_every_field_of_a_struct_has_words(package):
    structs = [thing for name in package.__all__ if _is_struct(thing := getattr(package, name))]
    assert structs
    for struct in set(structs) - {gemini_live.KindStats}:  # which says whose they are
        listed = "\n".join(public_names._described(struct))
        described = {*generate_protocol.attributes(struct), *re.findall(r"\* \*\*(\w+)\*\* ", listed)}
        assert set(struct.__struct_fields__) <= described, struct.__name__


def _is_struct(thing):
    return isinstance(thing, type) and issubclass(thing, msgspec.Struct)


@pytest.mark.parametrize(
    ("kind", "thing", "signature", "expected"),
    [
        ("class", gemini_live.FunctionCall, "(*, args: dict[str, Any]=<factory>)", "(*, args: dict[str, Any]={})"),
        ("class", emulator.Faults, "(*, connections: int | None = None)", ""),
        ("method", gemini_live.Session.send_audio, "(rate_hz: int = NATIVE_RATE_HZ)", "(rate_hz: int = 16_000)"),
        ("function", media.encode_g711, "(law: Companding = 'mulaw')", "(law: Literal['mulaw', 'alaw'] = 'mulaw')"),
        ("function", emulator.serve, "(x: FrameSource)", "(x: FrameSource)"),
    ],
)
def test_a_signature_holds_no_name_that_readers_cannot_find(kind, thing, signature, expected):
    shown, _ = public_names._signature(None, kind, thing.__name__, thing, None, signature, None)
    assert shown == expected
