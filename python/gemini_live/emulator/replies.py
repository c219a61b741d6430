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
    "input_transcription",
    "interrupted",
    "output_transcription",
    "setup_complete",
    "speech",
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
    part = {"inlineData": {"mimeType": mime_type, "data": pybase64.b64encode(data).decode()}}
    return {"serverContent": {"modelTurn": ({"role": "model"} if role else {}) | {"parts": [part]}}}


def output_transcription(text: str, *, finished: bool = False) -> Message:
    """What the model says; a delta."""
    fields = ({"text": text} if text else {}) | ({"finished": True} if finished else {})
    return {"serverContent": {"outputTranscription": fields}}


def input_transcription(text: str) -> Message:
    """What the user said; a delta."""
    return {"serverContent": {"inputTranscription": {"text": text}}}


def generation_complete() -> Message:
    """All of the answer was produced."""
    return {"serverContent": {"generationComplete": True}}


def interrupted() -> Message:
    """The user cut in."""
    return {"serverContent": {"interrupted": True}}


def turn_complete(usage_metadata: Message, surface: SurfaceName, *, reason: str = "") -> Message:
    """The end of a turn, and its usage in the same message; Vertex AI adds empty grounding metadata."""
    content: Message = {"turnComplete": True}
    if reason:
        content["turnCompleteReason"] = reason
    if surface == "vertex":
        content["groundingMetadata"] = {}
    return {"serverContent": content, "usageMetadata": usage_metadata}


def usage(prompt: Mapping[str, int], response: Mapping[str, int], surface: SurfaceName) -> Message:
    """Token counts by modality; Vertex AI says ``candidates`` where the Developer API says ``response``."""
    answer = "candidates" if surface == "vertex" else "response"
    counts = {"promptTokenCount": sum(prompt.values()), f"{answer}TokenCount": sum(response.values())}
    counts["totalTokenCount"] = sum(counts.values())
    fields: Message = {name: count for name, count in counts.items() if count}
    for name, details in (("promptTokensDetails", prompt), (f"{answer}TokensDetails", response)):
        listed = [{"modality": modality, "tokenCount": count} for modality, count in details.items() if count]
        if listed:
            fields[name] = listed
    if surface == "vertex":
        fields["trafficType"] = "ON_DEMAND"
    return fields


def voice_activity(kind: str, offset_s: float) -> Message:
    """Beside an empty ``serverContent``, as observed."""
    return {"serverContent": {}, "voiceActivity": {"type": kind, "audioOffset": f"{offset_s:.3f}s"}}


def tool_call(calls: Iterable[tuple[str, str]]) -> Message:
    """Calls as pairs of id and name, without arguments."""
    return {"toolCall": {"functionCalls": [{"id": call, "name": name, "args": {}} for call, name in calls]}}


def tool_call_cancellation(ids: Iterable[str]) -> Message:
    """These calls must not be answered any more."""
    return {"toolCallCancellation": {"ids": list(ids)}}


def update(handle: str, index: int | None) -> Message:
    """A handle to resume from; with the index of the last message that its state contains, counted from 1."""
    fields: Message = {"newHandle": handle, "resumable": True}
    if index:
        fields["lastConsumedClientMessageIndex"] = str(index)
    return {"sessionResumptionUpdate": fields}


def go_away(time_left_s: float) -> Message:
    """The connection will be closed."""
    return {"goAway": {"timeLeft": duration(time_left_s)}}
