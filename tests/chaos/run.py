"""Many sessions at once, until enough faults have struck; then nothing may be left of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random

import msgspec

from .clock import CheapSleepLoop
from .scene import Outcome, Scene

# So many faults strike in one session on average.
_ROUNDS = 20
# Where Linux and macOS list what is open; Windows has no such place.
_OPEN = Path("/dev/fd")


class Result(msgspec.Struct):
    """A run.

    Attributes:
        unhandled: exceptions that nobody has handled, and complaints of asyncio and of the client in the log.
        left: tasks, file descriptors and threads that are left.
    """

    seed: int
    seconds: float = 0.0
    outcomes: list[Outcome] = msgspec.field(default_factory=list)
    unhandled: list[str] = msgspec.field(default_factory=list)
    left: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def faults(self) -> Counter[str]:
        return sum((outcome.faults for outcome in self.outcomes), Counter[str]())

    @property
    def broken(self) -> list[str]:
        """Every rule that does not hold, with the session to look at."""
        broken = [f"session {one.number}: {sentence}" for one in self.outcomes for sentence in one.broken]
        broken += [f"unhandled: {sentence}" for sentence in self.unhandled]
        return broken + [f"left: {count} {what}" for what, count in self.left.items() if count]


class _Ears(logging.Handler):
    """Whatever asyncio, aiohttp or the client has to complain about."""

    def __init__(self, take) -> None:
        super().__init__(logging.ERROR)
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        if "Cannot write to closing transport" in str(record.exc_info):
            return  # the emulator's, when a client is gone before its upgrade is answered
        self._take(f"{record.name}: {self.format(record)}")


def run(seed: int, faults: int, *, at_once: int = 32, only_session: int | None = None, **scene) -> Result:
    """Inject so many faults.

    Args:
        seed: of everything.
        faults: at least so many strike.
        at_once: sessions.
        only_session: just this one of the run, to look at it.
        scene: for each `Scene`.
    """
    result = Result(seed=seed)
    ears = _Ears(result.unhandled.append)
    loggers = [logging.getLogger(name) for name in ("asyncio", "aiohttp", "gemini_live")]
    for logger in loggers:
        logger.addHandler(ears)
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = lambda info: result.unhandled.append(f"unraisable: {info.exc_value!r} in {info.object!r}")
    threading.excepthook = lambda info: result.unhandled.append(f"in a thread: {info.exc_value!r}")
    began = time.monotonic()
    try:
        with warnings.catch_warnings(), asyncio.Runner(loop_factory=CheapSleepLoop) as runner:
            warnings.simplefilter("error")
            runner.run(_run(result, faults, at_once, only_session, scene))
    finally:
        sys.unraisablehook, threading.excepthook = hooks
        for logger in loggers:
            logger.removeHandler(ears)
    result.seconds = time.monotonic() - began
    return result


async def _run(result: Result, faults: int, at_once: int, only_session: int | None, scene) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: _note(result, context))
    await Scene(0, 0, **scene | {"prepare": None, "dialler": None}).play(0)  # whatever is made once is made now
    before = await _census()
    dice = Random(result.seed)  # noqa: S311 - to be thrown again
    seeds = iter(lambda: dice.getrandbits(64), None)
    numbers = iter(range(1, sys.maxsize))
    struck = Counter[str]()

    async def play_on() -> None:
        while struck.total() < faults:
            number, seed = next(numbers), next(seeds)
            if only_session is not None and number != only_session:
                if number > only_session:
                    return
                continue
            one = Scene(number, seed, struck=struck, enough=float("inf") if only_session else faults, **scene)
            result.outcomes.append(await one.play(one.rng.randint(1, 2 * _ROUNDS)))

    await asyncio.gather(*(play_on() for _ in range(1 if only_session else at_once)))
    result.left = {what: count - before[what] for what, count in (await _census()).items()}


async def _census() -> dict[str, int]:
    loop = asyncio.get_running_loop()
    await loop.shutdown_default_executor()
    loop._executor_shutdown_called = False  # it may be used again
    loop._default_executor = None
    await asyncio.sleep(1.0)  # transports close in the loop's own time
    gc.collect()
    await asyncio.sleep(0)
    return {
        "tasks": len(asyncio.all_tasks()),
        "file descriptors": _descriptors(),
        "threads": threading.active_count(),
    }


def _descriptors() -> int:
    return len(list(_OPEN.iterdir())) if _OPEN.exists() else 0


def _note(result: Result, context) -> None:
    # what asyncio says in debug mode of a server's TLS handshake that was cut; nobody can handle it
    if "transport creation for incoming connection" not in context["message"]:
        result.unhandled.append(f"{context['message']}: {context.get('exception')!r}")
