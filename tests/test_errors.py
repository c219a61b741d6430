from __future__ import annotations

import copy
import pickle

import pytest

from gemini_live import errors
from gemini_live.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    DeviceError,
    DeviceLost,
    GeminiLiveError,
    NotResumable,
    SessionClosed,
    SetupError,
    TokenError,
    TokenRefused,
)
from gemini_live.events import Closed, CloseKind, Phase

CLOSED = Closed(
    kind=CloseKind.SETUP,
    phase=Phase.SETUP,
    code=1007,
    reason="No matching speaker voice found for name: alloy",
    hint="choose another voice_name, such as Kore",
    attempts=1,
)

# the tree of the module's docstring
PARENTS = {
    GeminiLiveError: (Exception,),
    ConfigError: (GeminiLiveError, ValueError),
    ConnectError: (GeminiLiveError, ConnectionError),
    AuthenticationError: (ConnectError,),
    SetupError: (ConnectError,),
    ConnectTimeout: (ConnectError, TimeoutError),
    TokenError: (GeminiLiveError, ConnectionError),
    TokenRefused: (TokenError, PermissionError),
    DeviceError: (GeminiLiveError, OSError),
    DeviceLost: (DeviceError,),
    SessionClosed: (GeminiLiveError,),
    NotResumable: (GeminiLiveError,),
}
OF_A_CLOSE = [ConnectError, AuthenticationError, SetupError, ConnectTimeout, SessionClosed]


@pytest.mark.parametrize(("error", "parents"), PARENTS.items())
def test_the_hierarchy_is_as_drawn(error, parents):
    assert error.__bases__ == parents


def test_every_error_stands_in_the_tree_and_in_the_list():
    assert {getattr(errors, name) for name in errors.__all__} == set(PARENTS)


def test_a_config_error_says_where_and_what_instead():
    error = ConfigError("no field 'temprature'", path="generation_config.temprature", suggestion="temperature")
    assert str(error) == "no field 'temprature'"
    assert (error.path, error.suggestion) == ("generation_config.temprature", "temperature")


def test_a_config_error_may_be_about_nothing_in_particular():
    error = ConfigError("no")
    assert (error.path, error.suggestion) == ("", None)


@pytest.mark.parametrize("kind", OF_A_CLOSE)
def test_an_error_of_a_close_describes_it(kind):
    error = kind(CLOSED)
    assert str(error).removeprefix("the session has ended: ") == (
        "setup (setup), code 1007: No matching speaker voice found for name: alloy. "
        "choose another voice_name, such as Kore"
    )
    assert error.closed is CLOSED


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (CloseKind.REQUESTED, "close() was called, or its `async with` block was left"),
        (CloseKind.HANDED_OVER, "hand_over() was called"),
        (CloseKind.NETWORK, "network (open): reset"),
    ],
)
def test_who_uses_a_session_that_has_ended_learns_who_ended_it(kind, words):
    code = None if kind is CloseKind.NETWORK else 1000
    error = SessionClosed(Closed(kind=kind, code=code, reason="reset" if code is None else ""))
    assert str(error) == f"the session has ended: {words}"


@pytest.mark.parametrize("kind", OF_A_CLOSE[:-1])
def test_a_connect_error_gives_the_parts_of_the_close(kind):
    error = kind(CLOSED)
    assert (error.code, error.reason, error.hint) == (1007, CLOSED.reason, CLOSED.hint)
    assert error.errno is None  # it is an OSError by way of ConnectionError, but no number belongs to it


@pytest.mark.parametrize("kind", OF_A_CLOSE)
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_an_error_of_a_close_crosses_processes(kind, again):
    """A worker's exception is pickled; one that cannot be restored takes the whole pool down."""
    error = again(kind(CLOSED))
    assert type(error) is kind
    assert error.closed == CLOSED
    assert str(error) == str(kind(CLOSED))


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_a_config_error_crosses_processes(again):
    error = again(ConfigError("no", path="a.b", suggestion="c"))
    assert (str(error), error.path, error.suggestion) == ("no", "a.b", "c")


def test_except_clauses_of_the_standard_library_catch_them():
    with pytest.raises(ValueError, match="no"):
        raise ConfigError("no")
    with pytest.raises(ConnectionError):
        raise SetupError(CLOSED)
    with pytest.raises(TimeoutError):
        raise ConnectTimeout(CLOSED)


@pytest.mark.parametrize("kind", [DeviceError, DeviceLost])
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_a_device_error_names_the_device_and_crosses_processes(kind, again):
    error = again(kind("USB microphone", "was unplugged"))
    assert type(error) is kind
    assert str(error) == "USB microphone: was unplugged"
    assert (error.device, error.reason, error.errno) == ("USB microphone", "was unplugged", None)
