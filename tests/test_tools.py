from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import gc
import itertools
import json
import logging
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import gemini_live as live
from conftest import on_fake_clock
from gemini_live import emulator
from gemini_live import opening as opening_module
from gemini_live.failures import Failure
from memory_transport import GREETING, MemoryNetwork
from tool_examples import FAST, Colour, Opaque, Place, connect, order


@pytest.fixture
def network(monkeypatch):
    """Sessions in memory: `connect` dials this."""
    network = MemoryNetwork()
    monkeypatch.setattr(opening_module, "dial", network)
    return network


def tool_call(name="f", call_id="c1", **args):
    return json.dumps({"toolCall": {"functionCalls": [{"id": call_id, "name": name, "args": args}]}}).encode()


def answers(network):
    """All answers that were written, on whatever connection."""
    return [
        answer
        for connection in network.connections
        for message in connection.said
        for answer in message.get("toolResponse", {}).get("functionResponses", ())
    ]


async def answered(network, count=1):
    while len(answers(network)) < count:
        await asyncio.sleep(0.01)
    return answers(network)


async def outcome(network, function, **args):
    """Call this one function; give what the model gets to hear."""
    async with connect(function):
        network.last.say(tool_call(function.__name__, **args))
        return (await answered(network))[0]["response"]


def warnings_of(caplog):
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


# --- calls ----------------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_arguments_become_what_the_hints_say(network):
    async def f(count: int, ratio: float, place: Place, table: dict[int, Colour], left: str = "x"):
        return repr((count, ratio, place, table, left))

    given = {
        "count": 3.0,
        "ratio": 2.0,
        "place": {"name": "hall", "floor": 1.0},
        "table": {"1": "red"},
    }
    expected = (3, 2.0, Place("hall", 1), {1: Colour.RED}, "x")
    assert await outcome(network, f, **given) == {"output": repr(expected)}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"count": 1}, "missing required field `item`"),
        ({"item": "tea", "count": "two"}, "Expected `int`, got `str` - at `$.count`"),
        ({"item": "tea", "count": 2.5}, "Expected `int`, got `float` - at `$.count`"),
        ({"item": "tea", "count": True}, "Expected `int`, got `bool` - at `$.count`"),
        ({"item": 7, "count": 1}, "Expected `str`, got `int` - at `$.item`"),
        ({"item": "tea", "count": 1, "colour": "green"}, "Invalid enum value 'green' - at `$.colour`"),
        ({"item": "tea", "count": 1, "flavour": "mint"}, "unknown field `flavour`"),
    ],
)
def test_the_model_is_told_what_is_wrong_with_its_arguments(network, args, words):
    @on_fake_clock
    async def run():
        response = await outcome(network, order, **args)
        assert response["error"].startswith("wrong arguments: ")
        assert words in response["error"]

    run()


class Receipt:
    """Read as a pydantic model is."""

    def __init__(self, **fields):
        self.fields = fields

    def model_dump(self, *, exclude_none):
        assert exclude_none
        return self.fields


MEASURED = {"mean": 0.5, "each": [0, 1], "of": [{"n": 2}]}


@pytest.mark.parametrize(
    ("value", "response"),
    [
        ("seven", {"output": "seven"}),
        (None, {"output": None}),
        ([1, 2.5], {"output": [1, 2.5]}),
        ({"temperature": 7}, {"temperature": 7}),
        (Place("hall"), {"output": {"name": "hall", "floor": 0}}),
        (Receipt(total=np.float64(1.5)), {"output": {"total": 1.5}}),
        ({"mean": np.float32(0.5), "each": np.arange(2), "of": [Receipt(n=np.int64(2))]}, MEASURED),
    ],
)
def test_what_is_returned_is_the_output_and_a_mapping_is_itself(network, value, response):
    @on_fake_clock
    async def run():
        async def f():
            return value

        assert await outcome(network, f) == response

    run()


def circle():
    circle = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize("value", [Opaque(), {"x": Opaque()}, {(1, 2): 3}, "\ud800", circle(), np.full(2, np.nan)])
def test_what_json_cannot_hold_is_an_error_response(network, caplog, value):
    @on_fake_clock
    async def run():
        async def f():
            return value

        response = await outcome(network, f)
        assert response["error"].startswith("TypeError: the result is not JSON: ")

    run()
    assert "the tool f returned what JSON cannot hold" in caplog.text


@dataclasses.dataclass
class Guard:
    level: int

    def __post_init__(self):
        raise KeyError("no such level")


async def guarded(guard: Guard):
    pass


async def nested(value: Any):
    pass


class Crooked(collections.UserDict):
    def __getitem__(self, key):
        raise KeyError(key)


async def crooked():
    return Crooked(a=1)


@on_fake_clock
async def test_an_exception_is_an_error_response_and_its_traceback_stays_here(network, caplog):
    async def f():
        raise ValueError("no such city")

    assert await outcome(network, f) == {"error": "ValueError: no such city"}
    (record,) = warnings_of(caplog)
    assert record.levelno == logging.WARNING
    assert record.exc_info[0] is ValueError


class PanicException(BaseException):
    pass


class Wordless(Exception):  # noqa: N818 - named like the state
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        KeyError("\ud800"),
        ValueError("x" * 5_000),
        asyncio.CancelledError(),
        PanicException("a Rust extension panics"),
        Wordless(),
    ],
)
def test_every_exception_can_be_told(network, error):
    @on_fake_clock
    async def run():
        async def f():
            raise error

        said = (await outcome(network, f))["error"]
        assert said.startswith(type(error).__name__)
        assert len(said) < 1_100

    run()


@pytest.mark.parametrize("error", [StopIteration(), PanicException()])
async def test_so_can_those_that_do_not_leave_a_thread_by_themselves(network, error):
    def f():
        raise error

    assert type(error).__name__ in (await outcome(network, f))["error"]


@pytest.mark.parametrize(
    ("function", "args", "words"),
    [
        (guarded, {"guard": {"level": 1}}, "KeyError: 'no such level'"),  # raised while the arguments are read
        pytest.param(
            nested,
            {"value": functools.reduce(lambda inner, _: [inner], range(900), [])},
            "RecursionError",
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="C may go deeper there: it succeeds"),
        ),
        (crooked, {}, "the result is not JSON: 'a'"),  # raised while the result is read
    ],
)
def test_whatever_goes_wrong_around_a_call_it_is_answered(network, caplog, function, args, words):
    @on_fake_clock
    async def run():
        assert words in (await outcome(network, function, **args))["error"]

    run()
    assert warnings_of(caplog)[0].message.startswith(f"the tool {function.__name__} ")


@on_fake_clock
async def test_a_function_that_hangs_is_answered_for_and_cancelled(network, caplog):
    ended = []

    @live.tool(timeout_s=7)
    async def f():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(asyncio.get_running_loop().time())

    async with connect(f) as session:
        start = asyncio.get_running_loop().time()
        network.last.say(tool_call())
        await asyncio.sleep(6.9)
        assert [call.name for call in session.tools.pending] == ["f"]
        assert answers(network) == []
        await asyncio.sleep(0.2)
        assert [answer["response"] for answer in answers(network)] == [{"error": "TimeoutError: no result within 7 s"}]
        assert ended[0] - start == pytest.approx(7, abs=0.1)
        assert session.tools == live.ToolStats(calls=1, answered=1, failed=1)
    assert "did not answer within 7 s" in caplog.text


@on_fake_clock
async def test_the_deadline_is_a_minute_or_none(network):
    async def by_default():
        await asyncio.Event().wait()

    @live.tool(timeout_s=None)
    async def patient():
        await asyncio.sleep(3_600)

    patience = live.TransportConfig(lost_after_s=10_000)
    async with connect(by_default, patient, transport=patience):
        network.last.say(tool_call("by_default", "1"), tool_call("patient", "2"))
        await asyncio.sleep(59.9)
        assert answers(network) == []
        await asyncio.sleep(0.2)
        assert [answer["name"] for answer in answers(network)] == ["by_default"]
        await asyncio.sleep(3_600)
        assert [answer["response"] for answer in answers(network)][1] == {"output": None}


@on_fake_clock
async def test_a_function_that_does_not_heed_its_deadline_is_answered_for_all_the_same(network):
    @live.tool(timeout_s=1)
    async def f():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(3)
        return "late"

    async with connect(f) as session:
        network.last.say(tool_call())
        await asyncio.sleep(1.1)
        assert len(answers(network)) == 1
        await asyncio.sleep(10)
        assert len(answers(network)) == 1
        assert session.tools.answered == 1


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 brought them")
@on_fake_clock
async def test_a_function_that_is_done_before_its_task_is_known_has_no_deadline(network, caplog):
    """Eager tasks run up to their first await in the call that makes them."""

    @live.tool(timeout_s=1)
    async def f(n: int):
        return n

    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    async with connect(f) as session:
        network.last.say(tool_call(n=1))
        network.last.say(
            b'{"toolCall":{"functionCalls":[{"id":"2","name":"f","args":{"n":2}},{"id":"3","name":"f","args":{"n":3}}]}}'
        )
        await asyncio.sleep(10)
        assert [answer["response"] for answer in answers(network)] == [{"output": n} for n in (1, 2, 3)]
        assert session.tools == live.ToolStats(calls=3, answered=3)
        assert not [name for task in asyncio.all_tasks() if "tool f" in (name := task.get_name())]
    assert not warnings_of(caplog)


@on_fake_clock
async def test_calls_run_at_the_same_time_and_events_go_on(network):
    async def slow(seconds: float):
        await asyncio.sleep(seconds)
        return seconds

    async with connect(slow) as session:
        network.last.say(
            b'{"toolCall":{"functionCalls":[{"id":"1","name":"slow","args":{"seconds":3}},'
            b'{"id":"2","name":"slow","args":{"seconds":1}}]}}'
        )
        while not isinstance(event := await session.next_event(), live.ToolCall):
            pass
        assert [call.id for call in event.calls] == ["1", "2"]
        await asyncio.sleep(0.5)
        pending = session.tools.pending
        assert [(call.id, call.name) for call in pending] == [("1", "slow"), ("2", "slow")]
        assert [call.age_s for call in pending] == pytest.approx([0.5, 0.5], abs=0.1)
        await answered(network, 2)
    assert [answer["id"] for answer in answers(network)] == ["2", "1"]


async def test_a_sync_function_runs_in_a_thread(network):
    threads = []
    release = threading.Event()

    def f():
        threads.append(threading.current_thread())
        release.wait(5)
        return "done"

    async with connect(f) as session:
        network.last.say(tool_call())
        while not threads:
            await asyncio.sleep(0)
        assert threads[0] is not threading.main_thread()
        assert len(session.tools.pending) == 1
        release.set()
        await answered(network)
    assert answers(network)[0]["response"] == {"output": "done"}


async def test_functions_that_block_hold_up_neither_one_another_nor_the_threads_that_connections_need(network):
    release = threading.Event()

    def slow():
        release.wait(10)

    def quick():
        return "done"

    async with connect(slow, quick):
        try:
            network.last.say(*(tool_call("slow", f"c{index}") for index in range(40)), tool_call("quick", "q"))
            async with asyncio.timeout(5):
                assert (await answered(network))[0]["name"] == "quick"
                await asyncio.to_thread(int)  # asked for with each dial
        finally:
            release.set()
        await answered(network, 41)


@on_fake_clock
async def test_an_answer_says_when_it_is_to_be_spoken_about(network):
    @live.tool(behavior="NON_BLOCKING", scheduling="INTERRUPT")
    async def f():
        return 1

    async with connect(f):
        network.last.say(tool_call())
        assert await answered(network) == [
            {"name": "f", "id": "c1", "response": {"output": 1}, "scheduling": "INTERRUPT"}
        ]


@on_fake_clock
async def test_a_call_without_an_id_is_answered_by_its_name(network):
    async def f():
        return 1

    endpoint = live.VertexAi(project="p")
    async with live.connect("m", endpoint=endpoint, auth=live.BearerToken("t"), tools=[f]) as session:
        network.last.say(tool_call(call_id=""), tool_call(call_id=""))
        await answered(network, 2)
        assert session.tools.answered == 2
    assert answers(network) == [{"name": "f", "response": {"output": 1}}] * 2


# --- by hand --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [{"willContinue": True}, {"partialArgs": [{"jsonPath": "$.a", "numberValue": 1}]}])
def test_no_function_is_called_with_half_of_its_arguments(network, rest):
    @on_fake_clock
    async def run():
        async def f(a: int = 0):
            raise AssertionError

        async with connect(f) as session:
            call = {"id": "c1", "name": "f", **rest}
            network.last.say(json.dumps({"toolCall": {"functionCalls": [call]}}).encode())
            while not isinstance(event := await session.next_event(), live.ToolCall):
                pass
            await asyncio.sleep(0.1)
            assert event.calls[0].id == "c1"
            assert (answers(network), session.tools) == ([], live.ToolStats())

    run()


@on_fake_clock
async def test_functions_without_an_implementation_are_left_to_the_user(network):
    setup = {"model": "m", "tools": [{"function_declarations": [{"name": "by_hand"}]}]}
    async with connect(order, setup=setup) as session:
        network.last.say(tool_call("by_hand", "c9"))
        while not isinstance(event := await session.next_event(), live.ToolCall):
            pass
        await session.send_tool_response({"id": event.calls[0].id, "name": "by_hand", "response": {"output": 1}})
        assert session.tools == live.ToolStats()
    assert [answer["id"] for answer in answers(network)] == ["c9"]


@on_fake_clock
async def test_an_implementation_is_attached_to_what_the_setup_declares(network):
    setup = {"model": "m", "tools": [{"function_declarations": [{"name": "f", "behavior": "BLOCKING"}]}]}
    async with connect(setup=setup) as session:

        @session.tool
        async def f(x: int = 1):
            return x

        network.last.say(tool_call(x=5))
        await answered(network)
        assert answers(network)[0]["response"] == {"output": 5}
        with pytest.raises(live.ConfigError, match="has an implementation already"):
            session.tool(f)
        with pytest.raises(live.ConfigError, match=r"declares no such function.*connect\(…, tools="):
            session.tool(order)
        with pytest.raises(live.ConfigError, match="declares behavior 'BLOCKING'"):
            session.tool(live.tool(name="f", behavior="NON_BLOCKING")(generator_free))


def generator_free():
    pass


@on_fake_clock
async def test_an_answer_by_hand_ends_the_function(network):
    cancelled = []

    async def f():
        try:
            await asyncio.sleep(50)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with connect(f) as session:
        network.last.say(tool_call())
        await asyncio.sleep(1)
        await session.send_tool_response({"id": "c1", "name": "f", "response": {"output": "mine"}})
        await asyncio.sleep(10)
        assert session.tools == live.ToolStats(calls=1, answered=1)
    assert cancelled
    assert [answer["response"] for answer in answers(network)] == [{"output": "mine"}]


# --- calls that end before their answer -----------------------------------------------------------------------------


def hanging(behavior=None, *, cancel_on_interrupt=None):
    @live.tool(behavior=behavior, cancel_on_interrupt=cancel_on_interrupt)
    async def f():
        await asyncio.sleep(5)
        return "done"

    return f


@on_fake_clock
async def test_the_service_cancels_a_call(network):
    async with connect(hanging()) as session:
        network.last.say(tool_call(), b'{"toolCallCancellation":{"ids":["c1","unknown"]}}')
        await asyncio.sleep(10)
        assert session.tools == live.ToolStats(calls=1, cancelled=1)
        network.last.say(tool_call())  # the same again: it is over
        await asyncio.sleep(10)
    assert answers(network) == []


@pytest.mark.parametrize(
    ("model", "behavior", "option", "goes_on"),
    [
        ("gemini-3.8-live", "BLOCKING", None, False),
        ("gemini-3.8-live", "NON_BLOCKING", None, True),
        ("gemini-3.8-live", None, None, True),
        ("gemini-3.1-flash-live-preview", None, None, False),
        ("gemini-2.5-flash-native-audio-latest", None, None, False),
        ("gemini-3.8-live", "BLOCKING", False, True),
        ("gemini-3.8-live", "NON_BLOCKING", True, False),
    ],
)
def test_an_interruption_ends_what_the_service_forgets(network, model, behavior, option, goes_on):
    @on_fake_clock
    async def run():
        async with connect(hanging(behavior, cancel_on_interrupt=option), setup=model) as session:
            network.last.say(tool_call(), b'{"serverContent":{"interrupted":true}}')
            await asyncio.sleep(10)
            assert session.tools.answered == goes_on
            assert session.tools.cancelled == (not goes_on)
        assert len(answers(network)) == goes_on

    run()


@on_fake_clock
async def test_a_forgotten_call_does_not_keep_the_session_from_moving(network):
    async with connect(hanging("BLOCKING")) as session:
        network.last.say(tool_call(), b'{"serverContent":{"interrupted":true}}', b'{"goAway":{"timeLeft":"50s"}}')
        await asyncio.sleep(1)
        network.last.say(b'{"serverContent":{"turnComplete":true}}')
        await asyncio.sleep(1)
        assert session.stats.reconnects == 1


@on_fake_clock
async def test_the_end_of_the_session_ends_its_tools(network):
    ended = []

    async def f():
        try:
            await asyncio.sleep(50)
        finally:
            await asyncio.sleep(0.5)  # it has something to clear up
            ended.append(True)

    async with connect(f) as session:
        network.last.say(tool_call())
        await asyncio.sleep(1)
    assert ended
    assert session.tools == live.ToolStats(calls=1, cancelled=1)
    assert answers(network) == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@on_fake_clock
async def test_a_session_that_the_service_ends_ends_its_tools(network):
    async with connect(hanging()) as session:
        network.last.say(tool_call())
        await asyncio.sleep(1)
        network.last.lose(Failure(code=1007, reason="Request contains an invalid argument."))
        await asyncio.sleep(0.1)
        assert session.status is live.SessionStatus.CLOSED
        assert session.tools.cancelled == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}


@on_fake_clock
async def test_a_stubborn_function_holds_the_end_up_for_seconds_only(network, caplog):
    release = asyncio.Event()

    async def f():
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with connect(f):
        network.last.say(tool_call())
        await asyncio.sleep(1)
        start = asyncio.get_running_loop().time()
    assert 5 <= asyncio.get_running_loop().time() - start < 6
    assert "does not heed its cancellation" in caplog.text
    release.set()
    await asyncio.sleep(0.1)


@on_fake_clock
async def test_a_tool_may_end_its_own_session(network):
    after = []

    async with connect() as dummy:
        pass
    assert dummy.status is live.SessionStatus.CLOSED

    async def hang_up():
        """End the call."""
        await sessions[0].close()
        after.append(sessions[0].status)

    async with connect(hang_up) as session:
        sessions = [session]
        network.last.say(tool_call("hang_up"))
        async for event in session:
            last = event
    assert isinstance(last, live.Closed)
    await asyncio.sleep(0.1)
    assert after == [live.SessionStatus.CLOSED]


@on_fake_clock
async def test_tools_do_not_keep_a_session_that_nobody_holds(network):
    session = await connect(hanging())
    gone = weakref.ref(session)
    network.last.say(tool_call())
    await asyncio.sleep(0.1)
    del session
    gc.collect()
    assert gone() is None
    await asyncio.sleep(2)
    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- bad networks ---------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_a_call_that_is_seen_again_is_not_run_twice(network):
    ran = []

    async def f():
        ran.append(True)
        await asyncio.sleep(1)
        return len(ran)

    async with connect(f) as session:
        network.last.say(tool_call(), tool_call())
        await answered(network)
        network.last.say(tool_call())  # the service has not got the answer
        await answered(network, 2)
        assert session.tools == live.ToolStats(calls=1, answered=1, repeated=1)
    assert len(ran) == 1
    assert [answer["response"] for answer in answers(network)] == [{"output": 1}] * 2


@on_fake_clock
async def test_an_answer_that_comes_while_the_session_is_down_follows(network):
    network.failures = [None, Failure(reason="no route"), None]
    async with connect(hanging(), outbox=live.OutboxLimits()) as session:
        network.last.say(tool_call())
        await asyncio.sleep(4.99)
        network.delay_s = 3
        network.last.lose()
        await asyncio.sleep(1)
        assert session.status is live.SessionStatus.RECONNECTING
        assert len(session.tools.pending) == 1
        await answered(network)
        assert session.tools == live.ToolStats(calls=1, answered=1)
    assert [len(connection.said) for connection in network.connections] == [0, 1]


@on_fake_clock
async def test_an_answer_that_may_be_lost_is_sent_again(network):
    async def f(x: int):
        return x

    async with connect(f) as session:
        network.last.say(tool_call(call_id="1", x=1))
        await answered(network)
        network.last.receiver.pong_received(network.last.pings[-1])  # it has arrived for certain
        network.last.say(tool_call(call_id="2", x=2))
        await answered(network, 2)
        network.last.lose()
        await answered(network, 3)
        await asyncio.sleep(30)
        assert session.tools == live.ToolStats(calls=2, answered=2)
    assert [answer["id"] for answer in answers(network)] == ["1", "2", "2"]


@on_fake_clock
async def test_a_service_that_has_forgotten_all_gets_no_old_answers(network):
    network.greeting = GREETING[:1]  # no handle
    async with connect(hanging()) as session:
        network.last.say(tool_call(call_id="old"))
        await asyncio.sleep(1)
        network.last.lose()
        while session.stats.reconnects == 0:
            await asyncio.sleep(0.1)
        assert session.tools == live.ToolStats(calls=1, dropped=1)
        network.last.say(tool_call(call_id="old"))  # the same id, in another conversation
        await asyncio.sleep(30)
        assert session.tools == live.ToolStats(calls=2, dropped=1, answered=1)
    assert len(answers(network)) == 1


@on_fake_clock
async def test_a_call_of_another_conversation_is_not_answered_by_what_is_left_of_an_old_one(network):
    network.greeting = GREETING[:1]  # no handle
    runs = itertools.count(1)

    @live.tool(timeout_s=30)
    async def f():
        run = next(runs)
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            await asyncio.sleep(5)  # does not heed it
        return run

    async with connect(f) as session:
        network.last.say(tool_call(call_id="same"))
        await asyncio.sleep(1)
        network.last.lose()
        while session.stats.reconnects == 0:
            await asyncio.sleep(0.1)
        network.last.say(tool_call(call_id="same"))
        await answered(network)
    assert [answer["response"] for answer in answers(network)] == [{"output": 2}]


@on_fake_clock
async def test_a_successor_runs_what_its_predecessor_left(network):
    slow = hanging()
    session = await connect(slow)
    network.last.say(tool_call())
    await asyncio.sleep(1)
    snapshot = await session.hand_over()
    assert [call.id for call in snapshot.pending_calls] == ["c1"]
    assert answers(network) == []
    async with connect(slow, resume=snapshot) as successor:
        await answered(network)
        assert successor.tools == live.ToolStats(calls=1, answered=1)


# --- on the emulator ------------------------------------------------------------------------------------------------

WEATHER = """
[[rule]]
when = { text = "weather" }
reply = [
    { tool_call = { name = "get_weather", args = { city = "Paris", days = 2 }, blocking = true } },
    { say = "Sunny." },
]
"""


def get_weather(city: str, days: int = 1) -> dict[str, object]:
    """Tell the weather.

    Args:
        city: Where.
        days: For how many days.
    """
    return {"city": city, "days": days, "sky": "clear"}


async def test_the_emulator_calls_and_hears_the_answer():
    server = emulator.serve(compress_time=True, script=WEATHER)
    async with server as url, live.connect("gemini-3.8-live", endpoint=url, auth="k", tools=[get_weather]) as session:
        await session.send_text("How is the weather?")
        while not isinstance(await session.next_event(), live.TurnComplete):
            pass
        assert session.tools == live.ToolStats(calls=1, answered=1)
    (answer,) = server.ledger.sessions[0].tool_responses
    assert answer["response"] == {"city": "Paris", "days": 2, "sky": "clear"}


async def test_a_call_in_flight_when_the_connection_is_cut_is_answered_once_on_the_next():
    begun, finish = asyncio.Event(), asyncio.Event()

    async def lookup() -> str:
        """Look it up."""
        begun.set()
        await finish.wait()
        return "seven"

    server = emulator.Emulator(compress_time=True)
    async with (
        server,
        live.connect("gemini-3.8-live", endpoint=server.url, auth="k", tools=[lookup], reconnect=FAST) as session,
    ):
        events = session.events()
        while not isinstance(await session.next_event(), live.SessionResumption):
            pass
        await session.send_text("please lookup")
        await begun.wait()
        server.cut()
        while not isinstance(event := await anext(events), live.Reconnected):
            pass
        assert event.context_restored
        finish.set()
        while not isinstance(await anext(events), live.TurnComplete):
            pass
        assert session.tools == live.ToolStats(calls=1, answered=1)
    assert [answer["response"] for answer in server.ledger.sessions[0].tool_responses] == [{"output": "seven"}]
