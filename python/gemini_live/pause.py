"""Notices that speech has paused: the service, which finds its end by listening, must be told when nothing comes."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Pause"]

# If the loop was busy when the time came, then perhaps so was who would have spoken in it: a little more time to do so.
_GRACE_S = 0.1


class Pause:
    """Calls `then` once nothing has been heard for a while, after something was.

    The timer is not moved with each chunk of audio, of which there are many: when it fires, it looks when the last one
    was, and waits for the rest of the time.

    Args:
        loop: its clock, and where `then` is called.
        after_s: the while.
        then: must not raise.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, after_s: float, then: Callable[[], None]) -> None:
        self._loop = loop
        self._after_s = after_s
        self._then = then
        self._heard_at = 0.0
        self._is_awaited = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # uvloop's handles do not say when they are due

    def heard(self) -> None:
        """Something was heard; from any thread."""
        self._heard_at = self._loop.time()
        if not self._is_awaited:
            self._is_awaited = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._look)

    def cancel(self) -> None:
        """Forget what was heard; in the loop's thread."""
        self._is_awaited = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        expected_at = -math.inf  # by `heard`: at once
        if self._timer is not None:
            expected_at = self._timer_at
            self._timer.cancel()
            self._timer = None
        if not self._is_awaited:
            return
        self._is_awaited = False  # before looking: another thread that is heard too late to be seen has it look again
        now, due_at = self._loop.time(), self._heard_at + self._after_s
        if now < due_at:
            self._look_again(due_at)
        elif now > expected_at + _GRACE_S / 2:
            self._look_again(now + _GRACE_S)
        else:
            self._then()

    def _look_again(self, at: float) -> None:
        self._is_awaited = True
        self._timer = self._loop.call_at(at, self._look)
        self._timer_at = at
