"""What several rooms' tests share."""

from __future__ import annotations

import asyncio
import functools
import selectors

import pytest


class _JumpingSelector(selectors.DefaultSelector):
    """Where a loop would sleep, its clock jumps instead."""

    now = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            pytest.fail("everything waits, and there is no timer: this would hang for ever")
        self.now += timeout
        return []


class FakeClockLoop(asyncio.SelectorEventLoop):
    """A loop on which waiting takes no time."""

    def __init__(self):
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self):
        return self._jumping.now


def on_fake_clock(test):
    """Run a coroutine test on a loop whose clock jumps; nothing outside the process may be waited for."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        with asyncio.Runner(debug=True, loop_factory=FakeClockLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
