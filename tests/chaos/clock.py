"""An event loop on which waiting is cheap and work is not.

While the loop has something to do its clock runs as always. When it would sleep, the clock runs `speed` times faster:
back-offs, quotas of a minute and pongs that come after 25 s take milliseconds, with the real time constants of the
client. It is not the jumping clock of the other tests, because there are real sockets and real threads here, and they
need real time to do their part.
"""

from __future__ import annotations

import asyncio
import selectors
import time

# epoll cannot sleep for less than a millisecond, so shorter sleeps are saved up.
_LEAST_SLEEP_S = 0.001


class _CheapSleep(selectors.DefaultSelector):
    """Sleeps for a fraction of what is asked, and keeps the clock that says otherwise."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed
        self._saved_s = 0.0
        # real time, this clock's time at that moment, and how fast it runs since; replaced as a whole, for the threads
        self._anchor = (time.monotonic(), 0.0, 1.0)

    def now(self) -> float:
        real, mine, speed = self._anchor
        return mine + (time.monotonic() - real) * speed

    def select(self, timeout=None):
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        start = self.now()
        if timeout is not None:
            self._saved_s += timeout / self._speed
            if self._saved_s < _LEAST_SLEEP_S:
                self._anchor = (time.monotonic(), start + timeout, 1.0)
                return []
        began = time.monotonic()
        self._anchor = (began, start, self._speed)
        ready = super().select(None if timeout is None else self._saved_s)
        ended = time.monotonic()
        slept_s = ended - began
        passed_s = slept_s * self._speed if timeout is None or ready else timeout
        if timeout is not None:
            self._saved_s = max(0.0, self._saved_s - slept_s)
            passed_s = min(passed_s, timeout)
        self._anchor = (ended, start + passed_s, 1.0)
        return ready


class CheapSleepLoop(asyncio.SelectorEventLoop):
    """A loop for `asyncio.Runner`.

    Args:
        speed: how many seconds of waiting take one.
    """

    def __init__(self, speed: float = 50.0) -> None:
        self.sleeper = _CheapSleep(speed)
        super().__init__(self.sleeper)

    def time(self) -> float:
        return self.sleeper.now()
