"""Writes docs/protocol.md from the structs, their docstrings and the table of refusals.

A test compares the page with what this gives, so the page cannot drift from the code.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from gemini_live import capabilities, events, messages, server_messages, setup_message

PAGE = Path(__file__).with_name("protocol.md")

HEADER = """\
# The protocol, field by field

<!-- Written by `python -m docs.generate_protocol` from the structs; do not edit it, edit their docstrings. -->

One JSON object travels in each WebSocket message. What is unset is not sent; `null` is as good as unset. In Python the
names are snake_case (`turn_complete`), on the wire lowerCamelCase (`turnComplete`). Enumerations are strings; the
values named here are those that are known, and one that the service learns later can be sent as it is. What a service
(the Developer API or Vertex AI) or a model is known to refuse is found by `connect` before any I/O.
"""

# what a client says: one of these in each message, by the key that holds it
CLIENT: dict[str, tuple[type[msgspec.Struct], str]] = {
    "setup": (setup_message.Setup, "first, and once for each connection"),
    "clientContent": (messages.ClientContent, "`Session.send_client_content`"),
    "realtimeInput": (
        messages.RealtimeInput,
        "`send_audio`, `send_video`, `send_text`, `audio_stream_end`, `activity_start`, `activity_end`",
    ),
    "toolResponse": (messages.ToolResponse, "`Session.send_tool_response`"),
    "contextUpdate": (messages.ContextUpdate, "`Session.update_context`"),
}

# where each field of a message of the service goes: the event, and its field if it has another name
SERVER: dict[str, type[events.Event]] = {
    "setupComplete": events.SetupComplete,
    "serverContent.modelTurn.parts[]": events.ModelPart,
    "serverContent.modelTurn.parts[].text": events.ModelText,
    "serverContent.modelTurn.parts[].thought": events.Thought,
    "serverContent.modelTurn.parts[].inlineData": events.ModelAudio,
    "serverContent.turnComplete": events.TurnComplete,
    "serverContent.turnCompleteReason": events.TurnComplete,
    "serverContent.interactionStatus": events.TurnComplete,
    "serverContent.interrupted": events.Interrupted,
    "serverContent.generationComplete": events.GenerationComplete,
    "serverContent.waitingForInput": events.WaitingForInput,
    "serverContent.inputTranscription": events.InputTranscription,
    "serverContent.interimInputTranscription": events.InputTranscription,
    "serverContent.outputTranscription": events.OutputTranscription,
    "serverContent.groundingMetadata": events.Grounding,
    "serverContent.urlContextMetadata": events.UrlContext,
    "serverContent.speechState": events.SpeechState,
    "toolCall": events.ToolCall,
    "toolCallCancellation": events.ToolCallCancellation,
    "goAway": events.GoAway,
    "sessionResumptionUpdate": events.SessionResumption,
    "usageMetadata": events.Usage,
    "voiceActivity": events.VoiceActivity,
    "voiceActivityDetectionSignal": events.VadSignal,
    "error": events.Error,
}

# where more than the field decides: what its row says instead
DEPENDS = {
    "serverContent.modelTurn.role": "not passed on",
    "serverContent.modelTurn.parts[].text": "{ModelText}, or {Thought} where `thought` is true",
    "serverContent.modelTurn.parts[].thought": "{Thought} with `text`, else {ModelPart}",
    "serverContent.modelTurn.parts[].thoughtSignature": "{ModelText} or {Thought} with `text`, else {ModelPart}",
    "serverContent.modelTurn.parts[].inlineData": "{ModelAudio} if it is `audio/pcm`, else {ModelPart}",
    "serverContent.modelTurn.parts[].inlineData.displayName": "{ModelPart}",
    "error.details": "not passed on",
}

_NAMES = {bool: "bool", int: "integer", float: "number", str: "string", bytes: "bytes"}
_ON_THE_WIRE = {**_NAMES, bytes: "bytes (base64)"}


def page() -> str:
    """The whole page."""
    return "\n".join([HEADER, *_client(), *_server(), *_refusals()]).rstrip() + "\n"


def sections(*, of_client: bool) -> list[type[msgspec.Struct]]:
    """The structs that have a section, in order: what one side says, and what is in that and has none yet."""
    waiting = [kind for kind, _ in CLIENT.values()] if of_client else list(dict.fromkeys(SERVER.values()))
    before = [] if of_client else sections(of_client=True)
    found: list[type[msgspec.Struct]] = []
    while waiting:
        kind = waiting.pop(0)
        if kind not in found and kind not in before:
            found.append(kind)
            waiting[:0] = _inside(kind)
    return found


def _client() -> Iterator[str]:
    yield "## What a client says\n"
    for name, (kind, how) in CLIENT.items():
        yield f'- `{{"{name}": …}}`: a {_link(kind)}; {how}.'
    yield ""
    for kind in sections(of_client=True):
        yield from _table(kind)


def _table(kind: type[msgspec.Struct]) -> Iterator[str]:
    yield f"### {kind.__name__}\n"
    yield _plain(_intro(kind)) + "\n"
    yield "| field | type | meaning |\n|---|---|---|"
    hints, meant = get_type_hints(kind), attributes(kind)
    for field in msgspec.structs.fields(kind):
        inner = _struct_in(hints[field.name])
        meaning = meant.get(field.name) or (_first_sentence(inner) if inner else "")
        needed = " **Required.**" if field.required else ""
        yield f"| `{field.encode_name}` | {_type(hints[field.name], _ON_THE_WIRE)} | {_plain(meaning)}{needed} |"
    yield ""


def _server() -> Iterator[str]:
    yield "## What the service says\n"
    yield (
        "A message may hold several fields. `Interrupted` comes first, whatever else the message holds. A name that\n"
        "does not stand here gives an `Unknown` behind the events of what does.\n"
    )
    yield "| field | type | event |\n|---|---|---|"
    for path, hint in server_fields():
        yield f"| `{path}` | {_type(hint, _ON_THE_WIRE)} | {where_to(path)} |"
    yield ""
    for event in sections(of_client=False):
        yield f"### {event.__name__}\n"
        yield _plain(_intro(event)) + "\n"
        meant, hints = attributes(event), get_type_hints(event)
        for field in msgspec.structs.fields(event):
            meaning = f": {_plain(meant[field.name])}" if field.name in meant else ""
            yield f"- `{field.name}` ({_type(hints[field.name], _NAMES)}){meaning}"
        yield ""


def server_fields(kind: type[msgspec.Struct] | None = None, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field that is read of a message of the service: its path on the wire, and its type."""
    kind = kind or server_messages.ServerMessage
    hints = get_type_hints(kind)
    for name, wire_name in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        many = "Sequence[" in str(hints[name]) and _struct_in(hints[name]) is not None
        place = f"{path}.{wire_name}" if path else wire_name
        place += "[]" if many else ""
        yield place, hints[name]
        inner = _struct_in(hints[name])
        if inner is not None:
            yield from server_fields(inner, place)


def where_to(path: str) -> str:
    """In words, what becomes of a field of the service."""
    while path:
        if path in DEPENDS:
            return DEPENDS[path].format_map({event.__name__: _link(event) for event in SERVER.values()})
        if path in SERVER:
            return _link(SERVER[path])
        path = path.rpartition(".")[0]
    return ""


def event_of(path: str) -> type[events.Event] | None:
    """The event that tells of a field of the service, itself or as a part of a larger one."""
    while path and path not in SERVER:
        path = path.rpartition(".")[0]
    return SERVER.get(path)


def _refusals() -> Iterator[str]:
    yield "## What is refused\n"
    yield (
        "Fields of the setup that a service or a model refuses, and what to do instead. `connect` says so at once,\n"
        "and `check_capabilities=False` sends them all the same. A model is named by what its ids begin with; one\n"
        "that is not named here is not checked.\n"
    )
    for who in (*capabilities.Surface, *capabilities.Model):
        rows = [row for row in capabilities.REFUSALS if who in row.where]
        if not rows:
            continue
        yield f"By {f'`{who.value}`' if isinstance(who, capabilities.Model) else who.value}:\n"
        for row in rows:
            values = "" if row.is_about_all else " = " + ", ".join(f"`{value!r}`" for value in row.values)
            yield f"- `{row.path}`{values} – {row.mend}"
        yield ""


# --- docstrings and types --------------------------------------------------------------------------------------------


def attributes(kind: type) -> dict[str, str]:
    """The ``Attributes:`` of a docstring, by name."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        begins = re.match(r" {4}(\w+): (.*)", line)
        if begins:
            name = begins[1]
            found[name] = begins[2]
        elif line.strip():
            found[name] += f" {line.strip()}"
    return found


def _intro(kind: type) -> str:
    text, _, _ = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _first_sentence(kind: type) -> str:
    return re.split(r"(?<=\.) ", _intro(kind), maxsplit=1)[0]


def _plain(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _inside(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    hints = get_type_hints(kind)
    return [inner for name in kind.__struct_fields__ if (inner := _struct_in(hints[name])) is not None]


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - a type expression has no better type
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next((found for part in get_args(hint) if (found := _struct_in(part))), None)


def _link(kind: type[msgspec.Struct]) -> str:
    """Its name, which leads to its section of the page."""
    return f"[`{kind.__name__}`](#{kind.__name__.lower()})"


def _type(hint: Any, names: Mapping[type, str]) -> str:  # noqa: ANN401 - likewise
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(part, names) for part in arguments if part is not type(None))
    if origin is typing.Literal:
        return " ".join(f"`{value}`" for value in arguments)
    if origin is Sequence:
        return f"list of {_type(arguments[0], names)}"
    if origin is Mapping:
        return "object" if arguments[1] is Any else f"object of {_type(arguments[1], names)}"
    if hint in names:
        return names[hint]
    if hint is Any:
        return "any"
    return "object" if issubclass(hint, server_messages.Sent) else _link(hint)  # the page has sections of events alone


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
