"""How much the model can keep in mind, and what happens when that is full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemini_live.emulator.vad import RATE_HZ
from gemini_live.emulator.wire import INVALID_ARGUMENT, Refusal

if TYPE_CHECKING:
    from collections import Counter

    from gemini_live.emulator.memory import Memory

__all__ = ["TOKENS_PER_IMAGE", "TOKENS_PER_S", "Window", "prompt", "text_tokens"]

TOKENS_PER_S: Final = 25  # of audio, in and out (session guide)
TOKENS_PER_IMAGE: Final = 258


def text_tokens(text: str) -> int:
    """Some four letters to a token; a choice of ours."""
    return -(-len(text) // 4)


def prompt(memory: Memory) -> Counter[str]:
    """What a session keeps in mind, in tokens by modality; what it has forgotten came first, so speech goes first."""
    counts = memory.tokens.copy()
    counts["AUDIO"] += memory.ear.vad.position * TOKENS_PER_S // RATE_HZ
    forgotten = memory.forgotten
    for modality in ("AUDIO", "VIDEO", "TEXT"):
        gone = min(forgotten, counts[modality])
        counts[modality] -= gone
        forgotten -= gone
    return counts


class Window:
    """The context window: slides if the setup asks for it, else it is full one day (E48).

    Args:
        setup: names in snake_case.
        size: in tokens.

    Attributes:
        slides: whether the session forgets, and so may last for ever.
    """

    def __init__(self, setup: dict[str, Any], size: int) -> None:
        compression = setup.get("context_window_compression", {})
        # a mechanism must be chosen: without slidingWindow, triggerTokens alone compresses nothing
        self.slides = "sliding_window" in compression
        self._size = size
        self._trigger = compression.get("trigger_tokens") or size * 8 // 10
        self._target = compression.get("sliding_window", {}).get("target_tokens") or self._trigger // 2

    def slide(self, memory: Memory) -> None:
        """Forgets down to the target, at the start of a user's turn."""
        total = prompt(memory).total()
        if self.slides and total > self._trigger:
            memory.forgotten += max(0, total - self._target)

    def check(self, memory: Memory) -> None:
        """Refuses what does not fit.

        Raises:
            Refusal: 1007, in the service's words for everything.
        """
        if prompt(memory).total() > self._size and not self.slides:
            raise Refusal(1007, INVALID_ARGUMENT)
