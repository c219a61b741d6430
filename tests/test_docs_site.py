"""What `make docs` cannot see: that the picture of the states is the table's, and that links and contents are whole."""

from __future__ import annotations

import re

from docs import generate_states

from gemini_live.protocol import TRANSITIONS, State
from pages import ROOT

DOCS = ROOT / "docs"


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
