"""Every message that the emulator sends, as plain JSON objects spelt by hand after the Live API reference.

What is false, 0 or empty is left out and 64-bit integers are strings, as in proto3 JSON (E33).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pybase64

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gemini_live.emulator.wire import SurfaceName

__all__ = [
    "Message",
    "duration",
    "generation_complete",
    "go_away",
    "grounding",
    "input_transcription",
    "interim_transcription",
    "interrupted",
    "output_transcription",
    "setup_complete",
    "speech",
    "text",
    "thought",
    "tool_call",
    "tool_call_cancellation",
    "turn_complete",
    "update",
    "usage",
    "voice_activity",
]

Message = dict[str, Any]
"""One server message."""


def duration(seconds: float) -> str:
    """A Duration of proto3 JSON: decimal seconds with at most nine places, such as ``0.160s`` or ``50s``."""
    whole = round(seconds * 1_000)
    return f"{whole // 1_000}s" if whole % 1_000 == 0 else f"{whole / 1_000:.3f}s"


def setup_complete(session_id: str | None) -> Message:
    """Vertex AI names the session."""
    return {"setupComplete": {} if session_id is None else {"sessionId": session_id}}


def speech(data: bytes, surface: SurfaceName, *, role: bool) -> Message:
    """A piece of the answer as ``serverContent``."""
    mime_type = "audio/pcm" if surface == "vertex" else "audio/pcm;rate=24000"
    return _turn({"inlineData": {"mimeType": mime_type, "data": pybase64.b64encode(data).decode()}}, role=role)


def thought(words: str, *, role: bool) -> Message:
    """What the model thinks, which is not part of the answer (E30)."""
    return _turn({"text": words, "thought": True}, role=role)


def text(words: str, *, role: bool) -> Message:
    """A piece of a written answer, on models that write."""
    return _turn({"text": words}, role=role)


def _turn(part: Message, *, role: bool) -> Message:
    return {"serverContent": {"modelTurn": ({"role": "model"} if role else {}) | {"parts": [part]}}}


def output_transcription(fields: Message) -> Message:
    """What the model says; a delta."""
    return {"serverContent": {"outputTranscription": fields}}


def input_transcription(fields: Message) -> Message:
    """What the user said; a delta."""
    return {"serverContent": {"inputTranscription": fields}}


def interim_transcription(fields: Message) -> Message:
    """What the user seems to be saying; each replaces the one before it."""
    return {"serverContent": {"interimInputTranscription": fields}}


def grounding(query: str, answer: str) -> Message:
    """Where the answer is said to come from, as with the tool googleSearch."""
    metadata = {
        "groundingChunks": [{"web": {"uri": "https://example.com/1", "title": "example.com", "domain": "example.com"}}],
        "groundingSupports": [{"segment": {"endIndex": len(answer), "text": answer}, "groundingChunkIndices": [0]}],
        "webSearchQueries": [query],
        "searchEntryPoint": {"renderedContent": "<div>example.com</div>"},
    }
    return {"serverContent": {"groundingMetadata": metadata}}


def generation_complete() -> Message:
    """All of the answer was produced."""
    return {"serverContent": {"generationComplete": True}}


def interrupted() -> Message:
    """The user cut in."""
    return {"serverContent": {"interrupted": True}}


def turn_complete(usage_metadata: Message, surface: SurfaceName, *, reason: str = "", status: str = "") -> Message:
    """The end of a turn, and its usage in the same message; Vertex AI adds empty grounding metadata."""
    content: Message = {"turnComplete": True}
    if reason:
        content["turnCompleteReason"] = reason
    if status:
        content["interactionStatus"] = status
    if surface == "vertex":
        content["groundingMetadata"] = {}
    return {"serverContent": content, "usageMetadata": usage_metadata}


def usage(prompt: Mapping[str, int], response: Mapping[str, int], surface: SurfaceName, thoughts: int = 0) -> Message:
    """Token counts by modality.

    Vertex AI says ``candidates`` where the Developer API says ``response``, and lists AUDIO there without a count if
    nothing was spoken. Thoughts are not part of the total (both as recorded).
    """
    answer = "candidates" if surface == "vertex" else "response"
    counts = {"promptTokenCount": sum(prompt.values()), f"{answer}TokenCount": sum(response.values())}
    counts["totalTokenCount"] = sum(counts.values())
    fields: Message = {name: count for name, count in counts.items() if count}
    for name, details in (("promptTokensDetails", prompt), (f"{answer}TokensDetails", response)):
        listed = [{"modality": modality, "tokenCount": count} for modality, count in details.items() if count]
        if not listed and surface == "vertex" and name.startswith("candidates"):
            fields[name] = [{"modality": "AUDIO"}]
        if listed:
            fields[name] = listed
    if thoughts:
        fields["thoughtsTokenCount"] = thoughts
    if surface == "vertex":
        fields["trafficType"] = "ON_DEMAND"
    return fields


def voice_activity(kind: str, offset_s: float) -> Message:
    """Beside an empty ``serverContent``, as observed."""
    return {"serverContent": {}, "voiceActivity": {"type": kind, "audioOffset": f"{offset_s:.3f}s"}}


def tool_call(calls: Iterable[tuple[str, str, Mapping[str, Any]]]) -> Message:
    """Calls as triples of id, name and arguments; an empty id is left out."""
    return {
        "toolCall": {
            "functionCalls": [
                ({"id": call} if call else {}) | {"name": name, "args": args} for call, name, args in calls
            ]
        }
    }


def tool_call_cancellation(ids: Iterable[str]) -> Message:
    """These calls must not be answered any more."""
    return {"toolCallCancellation": {"ids": list(ids)}}


def update(handle: str, index: int | None) -> Message:
    """A handle to resume from; with the index of the last message that its state contains, counted from 1.

    Without a handle the session cannot be resumed from here.
    """
    fields: Message = {"newHandle": handle, "resumable": True} if handle else {}
    if index:
        fields["lastConsumedClientMessageIndex"] = str(index)
    return {"sessionResumptionUpdate": fields}


def go_away(time_left_s: float) -> Message:
    """The connection will be closed."""
    return {"goAway": {"timeLeft": duration(time_left_s)}}
