"""What `make docs` cannot see: that every public name stands in the reference, and that the picture is the table's."""

from __future__ import annotations

import re

import msgspec
import pytest
from docs import generate_protocol, generate_states, public_names

import gemini_live
from gemini_live import emulator, media
from gemini_live.protocol import TRANSITIONS, State
from pages import ROOT

DOCS = ROOT / "docs"
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
DIRECTIVE = re.compile(r"^\.\. public-names:: (.+)\n((?: +:\w+: \S+\n)*)", re.MULTILINE)


def documented():
    """Package and name, for each name that a page of the reference documents."""
    for page in REFERENCE:
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


def test_the_picture_of_the_states_is_that_of_the_table():
    assert generate_states.PICTURE.read_text(encoding="utf-8") == generate_states.picture(), (
        "run: python -m docs.generate_states"
    )


def test_every_state_and_every_way_is_in_the_picture():
    picture = generate_states.PICTURE.read_text(encoding="utf-8")
    for state in State:
        assert f">{state.value}</text>" in picture
    ways = {(state, target) for state, triggers in TRANSITIONS.items() for target in triggers.values()}
    assert picture.count('marker-end="url(#tip)"') == len(ways)
    assert picture.count("<tspan ") == sum(map(len, TRANSITIONS.values()))
    assert set(generate_states.BENDS) <= ways


def test_no_word_of_the_picture_lies_on_another_arrow_or_state():
    drawn = generate_states.arrows()
    for arrow in drawn:
        x, y = arrow.center
        # at 13 px no letter of these words is wider than 8 px; the rest is a little air
        wide, high = max(map(len, arrow.words)) * 4 + 3, len(arrow.words) * 8 + 2
        for other in drawn:
            if other is not arrow:
                assert not any(
                    abs(point.x - x) < wide and abs(point.y - y) < high
                    for point in (other.at(step / 200) for step in range(201))
                ), f"{arrow.words} lies on {other.way}"
        for state, place in generate_states.PLACES.items():
            apart = abs(place.x - x) >= wide + generate_states.BOX_WIDTH / 2
            assert apart or abs(place.y - y) >= high + generate_states.BOX_HEIGHT / 2, f"{arrow.words} lies on {state}"


def test_pages_link_to_what_exists():
    """Within the site Sphinx looks; this is for whoever reads the files as they are."""
    for page in [
        *DOCS.rglob("*.md"),
        *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")),
    ]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:\s]+?)(?:#[\w-]*)?\)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_page_hides_from_the_contents():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^([\w/-]+)$", index, re.MULTILINE)
    for page in DOCS.rglob("*.md"):
        name = str(page.relative_to(DOCS).with_suffix(""))
        assert name == "index" or name in listed, f"give docs/{name}.md a line in docs/index.md"
