"""What several rooms' tests share."""

from __future__ import annotations

import asyncio
import functools
import logging
import selectors
import signal
from importlib.util import find_spec

import pytest
from hypothesis import settings

from gemini_live.transport import dialling, takeover

# A run of the suite proves the same each time; what chance finds is for `make fuzz` and `make chaos`.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# So asyncio, which debugs under test, begins its remark on a callback of more than 0.1 s. On a busy machine any may
# take so long, which says nothing of a program and would fail each test of what is written down.
_SLOW_CALLBACK = "Executing <"

needs_opencv = pytest.mark.skipif(not find_spec("cv2"), reason="needs the extra: gemini-live[video]")

TAKE_OVER, HASTEN = takeover.take_over, dialling.hasten  # as they are, whatever this run makes of them


def pytest_addoption(parser):
    group = parser.getgroup("gemini-live", "the ways a connection may be driven")
    group.addoption(
        "--connection",
        choices=["taken-over", "aiofastnet", "aiohttp"],
        default="taken-over",
        help="taken over from aiohttp on asyncio's transports, on aiofastnet's, or left to aiohttp's own WebSocket",
    )
    group.addoption("--uvloop", action="store_true", help="run everything on uvloop")


def pytest_configure(config):
    logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith(_SLOW_CALLBACK))
    connection = config.getoption("--connection")
    if connection == "aiofastnet":
        import aiofastnet  # noqa: F401, PLC0415 - it must be there, or the run would prove nothing
    else:
        dialling.hasten = lambda _connector: None  # as if it were not installed
    if connection == "aiohttp":
        takeover.take_over = lambda _connection: None
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # so a shell starts what it runs in the background, and the programs that are to be interrupted would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--uvloop"):
        config.pluginmanager.register(_OnUvloop())


class _OnUvloop:
    def pytest_asyncio_loop_factories(self):
        import uvloop  # noqa: PLC0415 - only where it is asked for

        class Loop(uvloop.Loop):
            """Ends the programs that a failed test has left: uvloop's would wait for them, for ever."""

            def __init__(self):
                super().__init__()
                self._programs = []

            async def subprocess_exec(self, *args, **options):
                transport, protocol = await super().subprocess_exec(*args, **options)
                self._programs.append(transport)
                return transport, protocol

            def close(self):
                for program in self._programs:
                    if program.get_returncode() is None:
                        program.kill()
                super().close()

        return {"uvloop": Loop}


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


def without_slow_callbacks(stderr: str) -> str:
    """What a program in Python's development mode wrote, but for asyncio's remarks on slow callbacks."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not line.startswith(_SLOW_CALLBACK))
