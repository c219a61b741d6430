"""The kinds of messages that there are, read from the official SDK's types, and which of them a run has seen.

A kind is a member of a message, such as ``tool_call``; realtimeInput and serverContent count by their own members.
Nothing here is a list of ours, so that a kind which the SDK learns tomorrow is missing tomorrow.
"""

from __future__ import annotations

from google.genai import types

CLIENT = frozenset(
    [f"realtime_input.{name}" for name in types.LiveClientRealtimeInput.model_fields]
    + [name for name in types.LiveClientMessage.model_fields if name != "realtime_input"]
)
SERVER = frozenset(
    [f"server_content.{name}" for name in types.LiveServerContent.model_fields]
    + [name for name in types.LiveServerMessage.model_fields if name != "server_content"]
)

SURFACES = {"dev": "Developer API", "vertex": "Vertex AI"}
DIRECTIONS = {
    **{f"official client → emulator, {surface}": CLIENT for surface in SURFACES.values()},
    **{f"emulator → official client, {surface}": SERVER for surface in SURFACES.values()},
    "our client → official SDK's types": CLIENT,
    "our client → official protobuf messages": CLIENT,
    "official types → our client": SERVER,
}
NOT_TO_BE_COVERED = {
    ("our client → official SDK's types", "realtime_input.media_chunks"): "deprecated, and refused by 3.x models",
    ("our client → official protobuf messages", "realtime_input.media_chunks"): "deprecated, and refused by 3.x models",
    ("our client → official protobuf messages", "context_update"): "younger than the package",
}
COVERED: dict[str, set[str]] = {direction: set() for direction in DIRECTIONS}


def to_emulator(surface):
    return f"official client → emulator, {SURFACES[surface]}"


def to_official_client(surface):
    return f"emulator → official client, {SURFACES[surface]}"


def cover(direction, *kinds):
    """Note that these kinds were understood at the other end."""
    assert set(kinds) <= DIRECTIONS[direction], "no such kind"
    COVERED[direction].update(kinds)


def wanted(direction):
    return {kind for kind in DIRECTIONS[direction] if (direction, kind) not in NOT_TO_BE_COVERED}


def of_client_message(message):
    """The kinds in a client message as JSON, in whichever spelling."""
    found = set()
    for name, value in message.items():
        kind = snake_case(name)
        inner = [f"{kind}.{snake_case(member)}" for member in value] if kind == "realtime_input" else [kind]
        found.update(inner)
    return found


def of_server_message(message):
    """The kinds in a message that the official client has read."""
    found = {name for name in type(message).model_fields if getattr(message, name) is not None} - {"server_content"}
    content = message.server_content
    if content is not None:
        names = type(content).model_fields
        found |= {f"server_content.{name}" for name in names if getattr(content, name) is not None}
    return found


def snake_case(name):
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def account(*, whole):
    """One line for each direction; of a part of the folder it says nothing about what is missing."""
    for direction, covered in COVERED.items():
        due = wanted(direction)
        missing = f"; missing: {', '.join(sorted(due - covered))}" if whole and due - covered else ""
        left_out = sorted(kind for where, kind in NOT_TO_BE_COVERED if where == direction)
        beside = f" (left out, with a reason: {', '.join(left_out)})" if left_out else ""
        yield f"{direction}: {len(due & covered)} of {len(due)}{beside}{missing}"
