"""What makes a message recognisable on its way: a key, read from what the client wrote and from what the emulator has.

The harness reads the JSON by itself; the client's codec and the emulator's are what is under test.
"""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

import numpy as np

CHUNK = 320
"""Samples: 20 ms at 16 kHz."""
JPEG = b"\xff\xd8\xff\xe0"
FUNCTION = "look_up"
_BASE = 100  # three digits of it in the first samples are too quiet to be taken for speech
_SPEECH = (6_000 * np.sin(np.arange(CHUNK) * 2 * np.pi * 300 / 16_000)).astype(np.int16)
_SILENCE = np.zeros(CHUNK, np.int16)


class Key(NamedTuple):
    """One message. Marks of activity have no content, so theirs are all alike."""

    kind: str
    """As the emulator's ledger calls it."""
    number: int = 0


def chunk(number: int, *, loud: bool) -> np.ndarray:
    """20 ms of sound that carry a number below 1,000,000."""
    samples = (_SPEECH if loud else _SILENCE).copy()
    samples[:3] = number % _BASE, number // _BASE % _BASE, number // _BASE**2
    return samples


def image(number: int, size: int) -> bytes:
    """What begins like a JPEG and goes on with a number."""
    return JPEG + b"%08d" % number + b"\0" * size


def text(number: int, words: str = "") -> str:
    """A text that carries a number."""
    return f"#{number:06d} {words}"


def _number_of_samples(data: bytes) -> int:
    low, middle, high = (int(digit) for digit in np.frombuffer(data[:6], "<i2"))
    return low + middle * _BASE + high * _BASE**2


def _number_of_text(words: str) -> int:
    return int(words[1:7])


def _number_of_image(data: bytes) -> int:
    return int(data[4:12])


def of_payload(payload: bytes) -> Key | None:
    """The key of a message as the client writes it; ``None`` for the setup."""
    [(kind, fields)] = json.loads(payload).items()
    match kind, fields:
        case "setup", _:
            return None
        case "realtimeInput", {"audio": blob}:
            return Key("audio", _number_of_samples(base64.b64decode(blob["data"][:8])))
        case "realtimeInput", {"video": blob}:
            return Key("video", _number_of_image(base64.b64decode(blob["data"][:16])))
        case "realtimeInput", {"text": words}:
            return Key("text", _number_of_text(words))
        case "realtimeInput", {"audioStreamEnd": _}:
            return Key("audio_stream_end")
        case "realtimeInput", {"activityStart": _}:
            return Key("activity_start")
        case "realtimeInput", {"activityEnd": _}:
            return Key("activity_end")
        case "clientContent", {"turns": [turn]}:
            return Key("client_content", _number_of_text(turn["parts"][0]["text"]))
        case "toolResponse", {"functionResponses": [answer]}:
            return Key("tool_response", _number_of_text(answer["response"]["output"]))
        case "contextUpdate", {"systemInstruction": instruction}:
            return Key("context_update", _number_of_text(instruction["parts"][0]["text"]))
    raise AssertionError(f"nobody here says {payload[:100]!r}")


def of_entry(kind: str, content: Any) -> Key:
    """The key of an entry in the emulator's ledger."""
    match kind:
        case "audio":
            return Key(kind, _number_of_samples(content[:3].astype("<i2").tobytes()))
        case "video":
            return Key(kind, _number_of_image(content))
        case "text":
            return Key(kind, _number_of_text(content))
        case "client_content":
            return Key(kind, _number_of_text(content["turns"][0]["parts"][0]["text"]))
        case "tool_response":
            return Key(kind, _number_of_text(content["function_responses"][0]["response"]["output"]))
        case "context_update":
            return Key(kind, _number_of_text(content["system_instruction"]["parts"][0]["text"]))
        case _:
            return Key(kind)
