"""What of a message may be written down: what was said, and nothing that opens a door."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Redaction", "digest", "without_query"]

# Fields of the service's own tools (googleMaps, mcpServers, exaAiSearch …) that hold credentials.
_CREDENTIALS: Final = frozenset({"apikey", "apikeystring", "apikeyconfig", "authconfig", "authorization", "headers"})
# A blob: bytes beside a MIME type.
_MIME_TYPES: Final = frozenset({"mimeType", "mime_type"})
_DATA: Final = frozenset({"data"})
# The bytes of a setup, of a replicated voice and of an avatar, whose MIME types may be left out.
_DATA_OF_SETUP: Final = frozenset(
    {
        "voiceSampleAudio",
        "voice_sample_audio",
        "consentAudio",
        "consent_audio",
        "imageData",
        "image_data",
    }
)
# Base64 for URLs is taken for base64 too.
_STANDARD: Final = str.maketrans("-_", "+/")


def without_query(url: str) -> str:
    """Where a connection goes, without what may stand there to prove who asks."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def digest(data: bytes) -> str:
    """What is written in place of data: enough to tell one piece from another."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}:{len(data)}"


class Redaction:
    """Leaves out of the messages of one session what must not be kept.

    A handle is replaced by ``handle-1`` and so on, the same each time. The credentials of the service's own tools, and
    the signed consent to a replicated voice, are left out.

    Args:
        by_hash: audio and images are replaced by ``sha256:DIGEST:BYTES``.
    """

    def __init__(self, *, by_hash: bool) -> None:
        self._by_hash = by_hash
        self._pseudonyms: dict[str, str] = {}

    def read(self, raw: bytes) -> dict[str, Any] | str:
        """A message as it may be written down; its `digest`, if it cannot be searched for what must not be.

        That is what is no JSON object, and one that is nested too deep. Whole it is not written even so: half of what
        is no sound JSON may be understood by others, and a handle is as good there.
        """
        try:
            return self.redact(msgspec.json.decode(raw, type=dict[str, Any]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return digest(raw)

    def redact(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message as it may be written down, made of this one, which is used up.

        Raises:
            RecursionError: it is nested too deep to be looked through.
        """
        for part in message.values():
            if isinstance(part, dict):
                fields = cast("dict[str, Any]", part)
                self._hide_handle(fields)  # sessionResumptionUpdate.newHandle
                for inner in fields.values():
                    if isinstance(inner, dict):
                        self._hide_handle(cast("dict[str, Any]", inner))  # setup.sessionResumption.handle
        for kind in ("setup", "contextUpdate", "context_update"):
            if isinstance(message.get(kind), dict) and "tools" in message[kind]:
                message[kind]["tools"] = _without_credentials(message[kind]["tools"])
        for kind in ("setup", "setupComplete", "setup_complete"):
            _hide_signature(message.get(kind))
        if not self._by_hash:
            return message
        return {
            kind: _hashed(part, _DATA_OF_SETUP if kind == "setup" else frozenset()) for kind, part in message.items()
        }

    def _hide_handle(self, fields: dict[str, Any]) -> None:
        for name in ("handle", "newHandle", "new_handle"):
            handle = fields.get(name)
            if isinstance(handle, str) and handle:
                fields[name] = self._pseudonyms.setdefault(handle, f"handle-{len(self._pseudonyms) + 1}")


def _hide_signature(value: object) -> None:
    """Take out the consent to a replicated voice: with it, whoever has a sample can speak with that voice."""
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            if name in {"voiceConsentSignature", "voice_consent_signature"} and isinstance(inner, dict):
                value[name] = {"signature": "…"}
            else:
                _hide_signature(inner)


def _without_credentials(tools: object) -> object:
    """The service's own tools without what they prove themselves with; declared functions are left as they are."""
    if isinstance(tools, list):
        return [_without_credentials(one) for one in cast("list[object]", tools)]
    if isinstance(tools, str):
        return _without_proof(tools)
    if not isinstance(tools, dict):
        return tools
    clean: dict[str, object] = {}
    for name, value in cast("dict[str, object]", tools).items():
        plain = name.replace("_", "").replace("-", "").lower()
        if plain in _CREDENTIALS:
            clean[name] = "…"
        else:
            clean[name] = value if plain == "functiondeclarations" else _without_credentials(value)
    return clean


def _without_proof(text: str) -> str:
    """The URL of an MCP server, say, whose key stands in its query as often as in a header; any other text as it is."""
    if "://" not in text:
        return text
    try:
        return without_query(text)
    except ValueError:
        return "…"


def _hashed(value: object, names: frozenset[str]) -> object:
    """The same with the data of every blob, ``{mimeType, data}``, and of these names replaced by its hash."""
    if isinstance(value, list):
        return [_hashed(item, names) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("Mapping[str, object]", value)
    data = names | _DATA if _MIME_TYPES & fields.keys() else names
    return {
        name: _hash(inner) if name in data and isinstance(inner, str) else _hashed(inner, names)
        for name, inner in fields.items()
    }


def _hash(text: str) -> str:
    try:
        data = base64.b64decode(text.translate(_STANDARD) + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        data = text.encode()
    return digest(data)
