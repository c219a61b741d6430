"""Ctrl-C, and what ends a command like it, at whatever moment."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

__all__ = ["ended_as_by_ctrl_c", "run"]

_T = TypeVar("_T")

_AT_ONCE_S: Final = 0.5
_OTHERS: Final = (signal.SIGTERM,) if sys.platform == "win32" else (signal.SIGTERM, signal.SIGHUP)


class _LikeCtrlC:
    """Handles other signals as SIGINT is handled."""

    def __init__(self, received: list[int]) -> None:
        self.received = received
        self.end_loop: Callable[[int, Any], object] | None = None

    def __call__(self, number: int, frame: Any) -> None:  # noqa: ANN401 - signal's own type
        self.received.append(number)
        if self.end_loop is not None:
            self.end_loop(number, frame)
        elif signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            raise KeyboardInterrupt
        else:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def ended_as_by_ctrl_c(received: list[int]) -> Generator[None, None, None]:
    """SIGTERM and a terminal that is closed clear up as Ctrl-C does; ``received`` gets their numbers."""
    numbers = _OTHERS if _is_main_thread() else ()
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]  # nohup ignores SIGHUP
    for number in taken:
        signal.signal(number, _LikeCtrlC(received))
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run`, for which a Ctrl-C that comes twice at once is one, and which SIGTERM ends in any case.

    It comes twice where a terminal sends it to everybody and whoever has started us passes it on. asyncio raises the
    second one wherever the loop just is; that may lose the wake-up of a task, whose end is then awaited for ever.
    A shell's job in the background ignores it, and then asyncio does not learn how to be ended.
    """
    if not _is_main_thread():
        return asyncio.run(main)
    before = signal.getsignal(signal.SIGINT)
    others = [signal.getsignal(number) for number in _OTHERS]
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what asyncio replaces by its own
    try:
        return asyncio.run(_ended_once(main, ignored=before is signal.SIG_IGN))
    finally:
        signal.signal(signal.SIGINT, before)
        for handler in others:
            if isinstance(handler, _LikeCtrlC):
                handler.end_loop = None


async def _ended_once(main: Coroutine[Any, Any, _T], *, ignored: bool) -> _T:
    end_loop = signal.getsignal(signal.SIGINT)
    if callable(end_loop) and end_loop is not signal.default_int_handler:
        once = _once(end_loop)
        signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else once)
        for handler in map(signal.getsignal, _OTHERS):
            if isinstance(handler, _LikeCtrlC):
                handler.end_loop = once
    return await main


def _once(end_loop: Callable[[int, Any], object]) -> Callable[[int, Any], None]:
    heard_at = -math.inf

    def handle(number: int, frame: Any) -> None:  # noqa: ANN401 - signal's own type
        nonlocal heard_at
        now = time.monotonic()
        if now - heard_at >= _AT_ONCE_S:
            heard_at = now
            end_loop(number, frame)

    return handle


def _is_main_thread() -> bool:
    """No other one may deal with signals."""
    return threading.current_thread() is threading.main_thread()
