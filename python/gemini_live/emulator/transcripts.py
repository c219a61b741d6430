"""A transcription as the client asked for it: its language, its words with their times, its speaker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gemini_live.emulator.replies import duration

if TYPE_CHECKING:
    from gemini_live.emulator.replies import Message

__all__ = ["Transcript"]


class Transcript:
    """One direction's transcription.

    Args:
        config: the setup's, names in snake_case; ``None`` if it was not asked for.

    Attributes:
        wanted: whether it was asked for (E28).
    """

    def __init__(self, config: dict[str, Any] | None) -> None:
        self.wanted = config is not None
        config = config or {}
        hints = config.get("language_hints", {})
        codes = config.get("language_codes") or hints.get("language_codes") or ()
        # the emulator understands nothing: it takes the first language that was named for the one that was spoken
        self._language = codes[0] if codes else "en-US" if "language_auto" in config else ""
        self._words = config.get("word_timestamp", False)
        self._speaker = config.get("diarization", False)

    def fields(self, text: str, start_s: float = 0.0, length_s: float = 0.0) -> Message:
        """A ``Transcription`` with the sub-fields that were asked for.

        Args:
            text: as it is to be appended.
            start_s: where its speech begins in the stream.
            length_s: how long it lasts; the words are spread over it evenly.
        """
        if not text:
            return {}
        fields: Message = {"text": text}
        if self._language:
            fields["languageCode"] = self._language
        if self._speaker:
            fields["speakerLabel"] = "1"
        if self._words:
            found = list(re.finditer(r"\S+", text))
            fields["words"] = [
                {
                    "word": word[0],
                    "startOffset": duration(start_s + length_s * word.start() / len(text)),
                    "endOffset": duration(start_s + length_s * word.end() / len(text)),
                }
                for word in found
            ]
        return fields
