"""The plugin in programs of its users: pytest runs pytest."""

from __future__ import annotations

import os
import tomllib
from importlib import metadata

import pytest

# imported here, because each run forgets what it has imported, and cryptography cannot be imported twice
from gemini_live import emulator  # noqa: F401
from pages import ROOT, blocks

pytest_plugins = ["pytester"]

FILES = {block.kind: block.text for block in blocks(ROOT / "docs" / "testing-your-app.md", "python")}
INI = "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"
HEAD = "import pytest, gemini_live as live\nfrom gemini_live import emulator\n"


# the pytest that runs this has loaded the plugin already, which pytest before 9.2 warns of
PLUGIN = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning", "-p", "gemini_live.pytest_plugin")


@pytest.fixture
def by_name(monkeypatch):
    """Plugins are named, because looking for them takes a second each time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def run(pytester, by_name):
    """Run pytest on these tests in this process, warnings being errors."""

    def run(tests, mode="auto"):
        pytester.makepyfile(HEAD + tests)
        pytester.makeini(f"{INI}asyncio_mode = {mode}\n")
        plugins = ("-p", "pytest_asyncio.plugin", *PLUGIN)
        return pytester.runpytest("--strict-markers", *plugins)

    return run


def test_pytest_finds_the_plugin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {"gemini-live": "gemini_live.pytest_plugin"}
    (entry,) = [entry for entry in metadata.entry_points(group="pytest11") if entry.name == "gemini-live"]
    assert entry.value == "gemini_live.pytest_plugin"


def test_the_test_of_an_app_has_three_lines():
    test = FILES["test_app.py"].partition("async def")[2]
    assert len(test.splitlines()) == 3


def test_each_test_has_an_emulator_of_its_own(run):
    tests = """
async def test_one(live_emulator):
    assert isinstance(live_emulator, emulator.Emulator)
    async with live.connect("gemini-3.8-live", endpoint=live_emulator.url, auth="any"):
        pass
    assert len(live_emulator.ledger.sessions) == 1

async def test_other(live_emulator):
    assert live_emulator.ledger.sessions == []
"""
    run(tests).assert_outcomes(passed=2)


def test_the_session_is_open_and_is_closed_before_its_emulator(run):
    tests = """
seen = []

async def test_one(live_session, live_emulator):
    assert live_session.status is live.SessionStatus.CONNECTED
    assert len(live_emulator.connections) == 1
    seen.extend([live_session, live_emulator])

async def test_other():
    assert seen[0].status is live.SessionStatus.CLOSED
    assert [connection.code for connection in seen[1].ledger.connections] == [1000]
"""
    run(tests).assert_outcomes(passed=2)


def test_the_marker_makes_emulator_and_session(run):
    tests = """
@pytest.mark.live(profile="2.5", api_key="k", faults=emulator.Faults(empty_messages=True))
async def test_arguments(live_emulator, live_session):
    assert live_emulator.profile.name == "2.5"
    assert live_emulator.faults.empty_messages
    assert live_session.status is live.SessionStatus.CONNECTED
    assert live_emulator.profile.pace == emulator.Pace.compressed()

@pytest.mark.live(compress_time=False)
async def test_pace(live_emulator):
    assert live_emulator.profile.pace == emulator.PROFILES["3.8"].pace

@pytest.mark.live(tls=True, setup={"model": "gemini-3.1-flash-live-preview"})
async def test_tls_and_setup(live_emulator, live_session):
    assert live_emulator.url.startswith("wss://")
    assert "gemini-3.1" in repr(live_session)

@pytest.mark.live(profile="vertex")
async def test_vertex(live_session):
    assert "projects/test" in repr(live_session)

@pytest.mark.live(profile="3.1")
class TestClosest:
    @pytest.mark.live(profile="vertex")
    async def test_method(self, live_emulator):
        assert live_emulator.profile.name == "vertex"

    async def test_class(self, live_emulator):
        assert live_emulator.profile.name == "3.1"
"""
    run(tests).assert_outcomes(passed=6)


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("profil='3.1'", "*@pytest.mark.live: got an unexpected keyword argument 'profil'*"),
        ("profile='9'", "*ConfigError: no profile '9'*"),
        ("'3.1'", "*@pytest.mark.live takes keyword arguments only*"),
        ("script='[[rule]]'", "*ConfigError: script, line 1*"),
    ],
)
def test_a_marker_with_a_mistake(run, marker, words):
    result = run(f"@pytest.mark.live({marker})\nasync def test_it(live_emulator):\n    pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([words])


def test_in_strict_mode_too(run):
    tests = """
@pytest.mark.asyncio
async def test_it(live_session):
    await live_session.send_text("Hello")
"""
    run(tests, mode="strict").assert_outcomes(passed=1)


def test_the_marker_is_known(pytester, by_name):
    pytester.makeini(INI)
    result = pytester.runpytest("--markers", "-p", "pytest_asyncio.plugin", *PLUGIN)
    result.stdout.fnmatch_lines(["@pytest.mark.live(*"])


def test_a_test_of_another_runner_is_told(run, pytester):
    pytester.makeconftest('def pytest_configure(config):\n    config.addinivalue_line("markers", "anyio: x")\n')
    result = run("@pytest.mark.anyio\nasync def test_it(live_emulator):\n    pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*mark the test asyncio, not anyio*"])


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("def test_it(live_emulator):\n    asyncio.run(ask(live_emulator))\n", True),
        (
            "@pytest.mark.asyncio(loop_scope='module')\nasync def test_it(live_emulator): await ask(live_emulator)\n",
            True,
        ),
        ("async def test_it(live_emulator):\n    await ask(live_emulator)\n    assert False\n", False),
    ],
    ids=["not async", "another scope", "a failure of its own"],
)
def test_a_test_whose_emulator_does_not_run_is_told_why_it_failed(run, test, told):
    head = """
import asyncio

async def ask(emu):
    async with asyncio.timeout(0.3), live.connect("gemini-3.8-live", endpoint=emu.url, auth="any"):
        pass

"""
    result = run(head + test)
    result.assert_outcomes(failed=1)
    assert ("live_emulator served nobody" in result.stdout.str()) == told


def test_other_tests_may_use_what_an_asynchronous_fixture_got(run):
    tests = """
@pytest.fixture
async def used(live_session):
    await live_session.send_text("Hello")
    while not isinstance(await live_session.next_event(), live.TurnComplete):
        pass

def test_it(used, live_emulator):
    assert live_emulator.ledger.sessions[0].texts == ["Hello"]
"""
    run(tests).assert_outcomes(passed=1)


def test_without_pytest_asyncio_the_fixtures_say_what_is_missing(pytester, monkeypatch, by_name):
    # as if it were not installed: nothing of this name is found
    pytester.makepyfile(
        sitecustomize="""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *args: None if name == "pytest_asyncio" else find(name, *args)
"""
    )
    pytester.makepyfile("def test_one(live_emulator):\n    pass\n\ndef test_two(live_session):\n    pass\n")
    pytester.makeini("[pytest]\n")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(pytester.path), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*live_emulator needs pytest-asyncio: pip install pytest-asyncio*"])
    result.stdout.fnmatch_lines(["*live_session needs pytest-asyncio: pip install pytest-asyncio*"])
