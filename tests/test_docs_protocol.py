"""docs/protocol.md says what the structs say, of every field of every message."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from docs import generate_protocol

from gemini_live import codec, events, messages, setup_message

PAGE = generate_protocol.PAGE.read_text(encoding="utf-8")
STRUCTS = [
    kind
    for room in (setup_message, messages)
    for name in room.__all__
    if name != "Wire" and isinstance(kind := getattr(room, name), type) and issubclass(kind, msgspec.Struct)
]


def test_the_page_is_what_the_structs_say():
    assert generate_protocol.page() == PAGE, "run: python -m docs.generate_protocol"


def section(name):
    return re.split(r"\n##", PAGE.partition(f"### {name}\n")[2], maxsplit=1)[0]


@pytest.mark.parametrize("kind", STRUCTS)
def test_every_struct_has_a_table_with_a_meaning_for_every_field(kind):
    rows = [line.split(" | ") for line in section(kind.__name__).splitlines() if line.startswith("| `")]
    assert [row[0].strip("| `") for row in rows] == list(kind.__struct_encode_fields__)
    for row in rows:
        assert len(row[2].strip(" |")) > 5, row
        assert row[1] != "any"


@pytest.mark.parametrize("kind", STRUCTS)
def test_no_docstring_explains_a_field_that_is_not_there(kind):
    assert generate_protocol.attributes(kind).keys() <= set(kind.__struct_fields__)


def test_every_field_of_the_service_leads_to_an_event():
    fields = dict(generate_protocol.server_fields())
    assert generate_protocol.SERVER.keys() <= fields.keys()
    assert {path for path in fields if generate_protocol.event_of(path) is None} == {
        "serverContent",
        "serverContent.modelTurn",
        "serverContent.modelTurn.parts[]",
        "serverContent.modelTurn.role",
    } - {"serverContent.modelTurn.parts[]"}


PCM, PNG = (
    {"mimeType": kind, "data": "AAAA", "displayName": "a name"} for kind in ("audio/pcm;rate=24000", "image/png")
)
PART = "serverContent.modelTurn.parts[]"


@pytest.mark.parametrize(
    ("part", "event", "not_in_it"),
    [
        ({"text": "yes"}, events.ModelText, ()),
        ({"text": "yes", "thoughtSignature": "AAAA"}, events.ModelText, ()),
        ({"text": "hm", "thought": True, "thoughtSignature": "AAAA"}, events.Thought, ()),
        ({"inlineData": PCM}, events.ModelAudio, (".inlineData.displayName",)),
        ({"inlineData": PNG, "thought": True, "thoughtSignature": "AAAA"}, events.ModelPart, ()),
        ({"executableCode": {"code": "1", "language": "PYTHON", "id": "a"}}, events.ModelPart, ()),
    ],
)
def test_the_page_names_the_event_that_a_part_becomes(part, event, not_in_it):
    found = codec.decode(json.dumps({"serverContent": {"modelTurn": {"parts": [part]}}}).encode())
    assert [type(one) for one in found] == [event]
    for path, _ in generate_protocol.server_fields():
        inside = path.removeprefix(f"{PART}.")
        if inside != path and inside.partition(".")[0] in part:
            named = f"`{event.__name__}`" in generate_protocol.where_to(path)
            assert named is (path.removeprefix(PART) not in not_in_it), path


def test_the_page_says_what_is_read_and_not_passed_on():
    """All that a client cannot find in an event stands there as such."""
    word = "a word of its own"
    for path in ("serverContent.modelTurn.role", "error.details"):
        assert generate_protocol.where_to(path) == "not passed on"
    found = codec.decode(json.dumps({"serverContent": {"modelTurn": {"role": word}}}).encode())
    found += codec.decode(
        json.dumps({"error": {"code": 13, "message": "a fault", "details": [{"why": word}]}}).encode()
    )
    assert [type(one) for one in found] == [events.Error]
    assert word not in repr(found)
    others = [path for path in dict(generate_protocol.server_fields()) if not generate_protocol.where_to(path)]
    assert others == ["serverContent", "serverContent.modelTurn"]


def test_events_hold_bytes_and_the_wire_base64():
    assert "- `data` (bytes): " in section("ModelAudio")
    assert "| `data` | bytes (base64) |" in section("Blob")


def test_every_link_leads_to_a_section_of_the_page():
    titles = {title.lower() for title in re.findall(r"^#+ (\w+)$", PAGE, re.MULTILINE)}
    targets = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert set(targets) <= titles
    assert len(set(targets)) > 50


def test_every_event_of_the_service_stands_on_the_page():
    of_the_session = {
        "Closed", "DeliveryUncertain", "InputDropped", "Lagged", "Reconnected", "Reconnecting", "Stalled", "Unknown",
    }  # fmt: skip
    kinds = [getattr(events, name) for name in events.__all__]
    names = {kind.__name__ for kind in kinds if issubclass(kind, events.Event) and kind is not events.Event}
    assert {event.__name__ for event in generate_protocol.SERVER.values()} == names - of_the_session


def test_every_message_of_a_client_stands_on_the_page():
    assert generate_protocol.CLIENT.keys() == {"setup", *codec._ENVELOPE.values()}
