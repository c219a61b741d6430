"""What `make docs` cannot see: that every public name stands in the reference, and that the picture is the table's."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from docs import generate_states

import gemini_live
from gemini_live import emulator, media
from gemini_live.protocol import TRANSITIONS, State
from pages import ROOT

DOCS = ROOT / "docs"
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
DIRECTIVE = re.compile(r"^\.\. public-names:: (.+)\n(?: +:package: (\S+)\n)?", re.MULTILINE)


def rooms():
    """Package and room, for each room that a page of the reference documents."""
    for page in REFERENCE:
        for found in DIRECTIVE.finditer(page.read_text(encoding="utf-8")):
            for room in found[1].split():
                yield found[2] or "gemini_live", room


@pytest.mark.parametrize("package", [gemini_live, emulator, media], ids=lambda package: package.__name__)
def test_every_public_name_stands_in_the_reference_once(package):
    name = package.__name__
    documented = [one for of, room in rooms() if of == name for one in import_module(f"{name}.{room}").__all__]
    offered = set(package.__all__) - {"__version__"}
    missing = offered - set(documented)
    assert not missing, f"name the rooms of {missing} behind a public-names:: in docs/reference/"
    assert len([one for one in documented if one in offered]) == len(offered)


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
