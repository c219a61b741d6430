"""Fixtures for users' own tests: an emulator, a session on it, and a marker that says what the emulator does.

pytest finds this module by itself wherever the package is installed. The fixtures are asynchronous and run by
pytest-asyncio, in both of its modes; anyio's runner is not supported.
"""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, Any, Final

import pytest

import gemini_live as live

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator

    from pluggy import Result

    from gemini_live.emulator import Emulator

__all__ = ["live_emulator", "live_session"]

_MARKER = (
    "live(profile=, script=, faults=, …, setup=): what the fixtures live_emulator and live_session are made with; "
    "`setup` is the session's, everything else is an argument of gemini_live.emulator.Emulator."
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for --strict-markers."""
    config.addinivalue_line("markers", _MARKER)


_LOOP: Final = pytest.StashKey[asyncio.AbstractEventLoop]()
"""What the test's emulator runs on."""
_IDLE: Final = (
    "live_emulator served nobody in this test, because its loop did not run. A test that talks to it is async, and its "
    "loop_scope is that of asyncio_default_fixture_loop_scope."
)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Result[None], None]:
    """Tell a failing test whose emulator stood still: to its client it looks like a service that does not answer."""
    loop = item.stash.get(_LOOP, None)
    ran: list[str] = []
    if loop is not None and not loop.is_closed():
        loop.call_soon_threadsafe(ran.append, item.nodeid)
    outcome = yield
    if loop is not None and outcome.excinfo is not None and not ran:
        item.add_report_section("call", "live_emulator", _IDLE)


def _fixture(function: Callable[..., AsyncIterator[Any]]) -> Any:  # noqa: ANN401 - pytest's own types are private
    """An asynchronous fixture, or where nothing can run one, a fixture that says what is missing."""
    if importlib.util.find_spec("pytest_asyncio") is not None:
        import pytest_asyncio  # noqa: PLC0415 - users of the package need not have it

        return pytest_asyncio.fixture(function)

    def missing() -> None:
        pytest.fail(f"the fixture {function.__name__} needs pytest-asyncio: pip install pytest-asyncio", pytrace=False)

    return pytest.fixture(missing, name=function.__name__)


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments of the closest marker."""
    marker = request.node.get_closest_marker("live")
    if marker is None:
        return {}
    if marker.args:
        pytest.fail("@pytest.mark.live takes keyword arguments only", pytrace=False)
    return dict(marker.kwargs)


@_fixture
async def live_emulator(request: pytest.FixtureRequest) -> AsyncIterator[Emulator]:
    """A running `Emulator` of this test's own, in which nothing waits: connect to its ``url`` with any key.

    ``@pytest.mark.live(…)`` gives its arguments. Afterwards its ``ledger`` says what got across.
    """
    if request.node.get_closest_marker("anyio") is not None:
        pytest.fail("live_emulator runs on pytest-asyncio's loop: mark the test asyncio, not anyio", pytrace=False)
    from gemini_live import emulator  # noqa: PLC0415 - it is slow to import, and most tests need none

    options: dict[str, Any] = {"compress_time": True, **_marked(request)}
    options.pop("setup", None)
    try:
        made = emulator.Emulator(**options)
    except TypeError as error:
        pytest.fail(f"@pytest.mark.live: {str(error).removeprefix('Emulator.__init__() ')}", pytrace=False)
    async with made as running:
        request.node.stash[_LOOP] = asyncio.get_running_loop()
        yield running


@_fixture
async def live_session(request: pytest.FixtureRequest, live_emulator: Emulator) -> AsyncIterator[live.Session]:
    """A session on the test's `live_emulator`, connected; ``@pytest.mark.live(setup=…)`` gives its setup."""
    options = _marked(request)
    transport = live.TransportConfig(ssl=live_emulator.client_ssl_context() if live_emulator.ca_pem else None)
    endpoint: live.GeminiApi | live.VertexAi = live.GeminiApi(base_url=live_emulator.url)
    credential = options.get("api_key") or "any"
    auth: live.ApiKey | live.BearerToken = live.ApiKey(credential)
    if live_emulator.profile.surface == "vertex":
        endpoint = live.VertexAi(project="test", base_url=live_emulator.url)
        auth = live.BearerToken(credential)
    setup = options.get("setup", "gemini-3.8-live")
    async with live.connect(setup, endpoint=endpoint, auth=auth, transport=transport) as session:
        yield session
