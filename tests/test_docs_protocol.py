"""docs/protocol.md says what the structs say, of every field of every message."""

from __future__ import annotations

import re

import msgspec
import pytest
from docs import generate_protocol

from gemini_live import codec, config, events, messages

PAGE = generate_protocol.PAGE.read_text(encoding="utf-8")
THIS_SIDE = {"OutboxLimits", "ReconnectPolicy", "SessionConfig", "SpeechPolicy", "TransportConfig", "Wire"}
STRUCTS = [
    kind
    for room in (config, messages)
    for name in room.__all__
    if name not in THIS_SIDE and isinstance(kind := getattr(room, name), type) and issubclass(kind, msgspec.Struct)
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


def test_every_event_of_the_service_stands_on_the_page():
    of_the_session = {
        "Closed", "DeliveryUncertain", "InputDropped", "Lagged", "Reconnected", "Reconnecting", "Stalled", "Unknown",
    }  # fmt: skip
    kinds = [getattr(events, name) for name in events.__all__]
    names = {kind.__name__ for kind in kinds if issubclass(kind, events.Event) and kind is not events.Event}
    assert {event.__name__ for event in generate_protocol.SERVER.values()} == names - of_the_session


def test_every_message_of_a_client_stands_on_the_page():
    assert generate_protocol.CLIENT.keys() == {"setup", *codec._ENVELOPE.values()}
