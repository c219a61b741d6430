"""What nobody should do to a session, and what comes of it: an error that says so, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

import gemini_live as live
from conftest import FakeClockLoop, on_fake_clock
from gemini_live import emulator, opening
from memory_transport import MemoryNetwork

MODEL = "gemini-3.8-live"
CHUNK = b"\0\0" * 320
AUDIO = (
    b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAAAAA=="}}]}}}'
)
OVER = b'{"serverContent":{"turnComplete":true}}'


@pytest.fixture
def network(monkeypatch):
    network = MemoryNetwork()
    monkeypatch.setattr(opening, "random", SimpleNamespace(random=lambda: 1.0))
    monkeypatch.setattr(opening, "dial", network)
    return network


def connect(**options):
    return live.connect(MODEL, **{"auth": "key", **options})


def others():
    return asyncio.all_tasks() - {asyncio.current_task()}


def check_balance(stats):
    assert stats.accepted == stats.waiting + stats.written + stats.acknowledged + stats.expired
    for fates in stats.by_kind.values():
        assert fates.accepted == fates.waiting + fates.written + fates.acknowledged + fates.expired


# --- cancelled at every await ---------------------------------------------------------------------------------------


class CancelledAt:
    """Awaits a coroutine, and has the task cancelled at chosen suspensions of it, counted from 1."""

    def __init__(self, coroutine, *moments):
        self._coroutine = coroutine
        self._moments = moments
        self.suspended = 0

    def __await__(self):
        act = self._coroutine.send
        given = None
        while True:
            try:
                awaited = act(given)
            except StopIteration as finished:
                return finished.value
            self.suspended += 1
            if self.suspended in self._moments:
                asyncio.current_task().cancel()  # the loop cancels what is awaited as soon as it gets it
            try:
                given = yield awaited
                act = self._coroutine.send
            except BaseException as thrown:  # noqa: BLE001 - handed on
                given = thrown
                act = self._coroutine.throw


async def life(network, sessions):
    """A session with everything in it that takes time."""
    async with connect(outbox=live.OutboxLimits(control_bytes=100)) as session:
        sessions.append(session)
        reader = session.events()
        for _ in range(3):
            await session.send_audio(CHUNK)
        await session.send_text("Hello")
        network.last.say(AUDIO, AUDIO, OVER)
        async for event in reader:
            if isinstance(event, live.TurnComplete):
                break
        await asyncio.sleep(3.0)
        network.last.lose()
        await session.wait_for_status(live.SessionStatus.RECONNECTING)
        await session.send_text("x" * 80)
        await session.send_text("y" * 80)  # has to wait for room
        await session.drain()
        network.last.say(b'{"goAway":{"timeLeft":"4s"}}')
        while not isinstance(await session.next_event(), live.Reconnected):
            pass
        while not isinstance(await session.next_event(), live.Reconnected):
            pass
        await session.send_text("Bye")


def live_through(network, *moments):
    """Live a life that is cancelled at these suspensions; how many there were, and whether it came to its end."""
    complaints = []
    sessions = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        cancelled = CancelledAt(life(network, sessions), *moments)
        living = asyncio.create_task(_await(cancelled))
        await asyncio.wait([living])
        await asyncio.sleep(60.0)  # a close that was cancelled goes on by itself
        assert not others()
        assert not [timer for timer in loop._scheduled if not timer.cancelled()]
        return living.cancelled() or living.result(), cancelled.suspended

    with asyncio.Runner(debug=True, loop_factory=FakeClockLoop) as runner:
        was_cancelled, suspended = runner.run(main())
    assert not complaints
    assert all(connection._gone.is_set() for connection in network.connections), "a socket is left"
    for session in sessions:
        assert session.status is live.SessionStatus.CLOSED
        check_balance(session.stats)
    return was_cancelled is True, suspended


async def _await(awaitable):
    await awaitable


def test_a_life_that_nobody_disturbs(network):
    was_cancelled, suspended = live_through(network)
    assert not was_cancelled
    assert suspended >= 8
    assert len(network.connections) == 3


@pytest.mark.parametrize("distance", [None, 1, 2, 3], ids=["once", "again at once", "again soon", "again later"])
def test_cancelled_at_every_await(monkeypatch, distance):
    """Once, and a second time in the middle of the clearing up."""
    monkeypatch.setattr(opening, "random", SimpleNamespace(random=lambda: 1.0))
    for moment in itertools.count(1):
        network = MemoryNetwork(delay_s=0.05)
        monkeypatch.setattr(opening, "dial", network)
        was_cancelled, suspended = live_through(network, moment, *([] if distance is None else [moment + distance]))
        if suspended < moment:
            break
        assert was_cancelled, f"the cancellation at the {moment}. suspension was swallowed"
    gc.collect()
    assert moment > 8


async def test_cancelled_at_every_await_over_a_real_socket():
    """The same where there are tasks and sockets of others."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with emulator.Emulator(compress_time=True) as server:

        async def talk():
            reconnect = live.ReconnectPolicy(base_s=0.001, cap_s=0.002)
            async with live.connect(MODEL, endpoint=server.url, auth="k", reconnect=reconnect) as session:
                await session.send_text("Hello")
                async for event in session:
                    if isinstance(event, live.TurnComplete):
                        break
                server.cut()
                async for event in session:
                    if isinstance(event, live.Reconnected):
                        break
                await session.send_audio(CHUNK)
                await session.drain()

        before = others()
        for moment in itertools.count(1):
            cancelled = CancelledAt(talk(), moment)
            talking = asyncio.create_task(_await(cancelled))
            await asyncio.wait([talking])
            async with asyncio.timeout(10):
                while [task for task in others() - before if task.get_name().startswith("gemini-live")]:
                    await asyncio.sleep(0.001)
            if cancelled.suspended < moment:
                break
            assert talking.cancelled()
        talking.result()
    assert moment > 5
    assert not complaints
    gc.collect()


# --- whoever raises -------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_a_consumer_that_raises_ends_its_session_and_nobody_elses(network):
    async def consume(session):
        async for event in session.events():
            if isinstance(event, live.TurnComplete):
                raise ZeroDivisionError

    async with connect() as other:
        seen = other.events()
        sessions = []

        async def use():
            async with connect_beside(network) as session:
                sessions.append(session)
                network.last.say(OVER)
                await consume(session)

        with pytest.raises(ZeroDivisionError):
            await use()
        (session,) = sessions
        assert session.status is live.SessionStatus.CLOSED
        assert other.status is live.SessionStatus.CONNECTED
        assert seen.next_now() is None
    assert not others()


def connect_beside(network):
    """A second connection in a network that suspects every one of being the old one."""
    network.connections.clear()
    return connect()


@on_fake_clock
async def test_a_consumer_that_raises_does_not_disturb_the_others(network):
    async with connect() as session:
        good, bad = session.events(), session.events()

        async def count(cursor, most):
            found = 0
            async for _ in cursor:
                found += 1
                if found > most:
                    raise ZeroDivisionError
            return found

        failing = asyncio.create_task(count(bad, 1))
        counting = asyncio.create_task(count(good, 1_000))
        for _ in range(10):
            network.last.say(OVER)
        await asyncio.wait([failing])
        assert isinstance(failing.exception(), ZeroDivisionError)
        del bad
        await session.close()
        assert await counting > 10


async def hang():
    await asyncio.get_running_loop().create_future()


def raising(error):
    def provider():
        raise error

    return provider


async def raising_later():
    await asyncio.sleep(0.1)
    raise LookupError("sk-secret")


async def cancelled_inside():
    """The vault's own task was cancelled, not we."""
    asking = asyncio.create_task(asyncio.sleep(10))
    asyncio.get_running_loop().call_later(0.1, asking.cancel)
    await asking


PROVIDERS = {
    "raises": (raising(LookupError("sk-secret")), "LookupError"),
    "raises later": (raising_later, "LookupError"),
    "hangs": (hang, "within 10 s"),
    "gives nothing": (lambda: None, "ConfigError"),
    "gives a string": (lambda: "sk-secret", "ConfigError"),
    "gives the wrong kind": (lambda: live.BearerToken("sk-secret"), "ConfigError"),
    "gives itself": (lambda: raising, "ConfigError"),
    "is cancelled inside": (cancelled_inside, "CancelledError"),
    "runs out": (raising(StopIteration()), "RuntimeError"),
    "runs out asynchronously": (raising(StopAsyncIteration()), "StopAsyncIteration"),
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_credential_provider_that_fails_at_first(network, name):
    provider, words = PROVIDERS[name]

    @on_fake_clock
    async def run():
        with pytest.raises(live.ConnectError, match=words) as caught:
            await connect(auth=provider, transport=live.TransportConfig(connect_timeout_s=10.0))
        assert "sk-secret" not in str(caught.value)
        assert not others()

    run()


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_credential_provider_that_fails_later(network, name):
    """The session must not hang, and must not die of what a second try may mend."""
    provider, _ = PROVIDERS[name]
    answers = [lambda: live.ApiKey("k"), provider, lambda: live.ApiKey("k")]

    def provide():
        return answers.pop(0)()

    @on_fake_clock
    async def run():
        async with connect(auth=provide, reconnect=live.ReconnectPolicy(max_attempts=3)) as session:
            network.last.lose()
            ended = None
            async for event in session:
                if isinstance(event, live.Reconnected | live.Closed):
                    ended = event
                    break
            assert isinstance(ended, live.Reconnected) or ended.kind is live.CloseKind.CREDENTIALS
            assert "sk-secret" not in repr(ended)
        assert not others()

    run()


@on_fake_clock
async def test_a_tool_that_raises_is_an_answer(network, caplog):
    async def divide(number: int) -> float:
        """Divide by it."""
        return 1 / number

    async with connect(tools=[divide]) as session:
        call = {"functionCalls": [{"id": "1", "name": "divide", "args": {"number": 0}}]}
        network.last.say(json.dumps({"toolCall": call}).encode())
        await asyncio.sleep(0.1)
        (answer,) = network.last.said[-1]["toolResponse"]["functionResponses"]
        assert "ZeroDivisionError" in answer["response"]["error"]
        assert session.status is live.SessionStatus.CONNECTED
    assert not others()


# --- the loop goes ---------------------------------------------------------------------------------------------------


def run_program(program):
    """What a program says on its standard error; it must come to its end."""
    whole = textwrap.dedent(
        """
        import asyncio, gc, threading
        import gemini_live as live
        from gemini_live import emulator

        # the service in a loop of its own, which nobody misuses
        service = asyncio.new_event_loop()
        thread = threading.Thread(target=service.run_forever)
        thread.start()
        server = emulator.Emulator(compress_time=True)

        def serve(coroutine):
            return asyncio.run_coroutine_threadsafe(coroutine, service).result()

        def end():
            serve(server.stop())
            service.call_soon_threadsafe(service.stop)
            thread.join()
            service.close()
            print("end")

        serve(server.start())
        """
    ) + textwrap.dedent(program)
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-W", "error", "-c", whole], check=False, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    assert "end" in done.stdout
    return done.stderr


def test_asyncio_run_ends_while_a_session_is_open():
    said = run_program(
        """
        async def main():
            session = await live.connect("gemini-3.8-live", endpoint=server.url, auth="k")
            await session.send_audio(bytes(640))
            return session

        session = asyncio.run(main())
        assert session.status is live.SessionStatus.CLOSED
        assert not session.feed_audio(bytes(640))
        stats = session.stats
        assert stats.accepted == stats.waiting + stats.written + stats.acknowledged + stats.expired
        del session
        gc.collect()
        end()
        """
    )
    assert not said


def closed_without_a_word(state):
    """The files of ours in what is said when a loop is closed under a session."""
    said = run_program(
        f"""
        async def main():
            session = await live.connect("gemini-3.8-live", endpoint=server.url, auth="k")
            await session.send_audio(bytes(640))
            if {state!r} == "reconnecting":
                server.faults = emulator.Faults(http_status=503)
                await asyncio.to_thread(serve, cut())
                await session.wait_for_status(live.SessionStatus.RECONNECTING)
            if {state!r} == "connecting":
                connecting = asyncio.ensure_future(silent())
                await asyncio.sleep(0.2)
            if {state!r} == "read":
                reading = asyncio.ensure_future(anext(session.events()))
                await asyncio.sleep(0.1)
            return session

        async def cut():
            server.cut()

        async def silent():
            held = []  # a writer that nobody holds closes its connection from Python 3.13 on
            listener = await asyncio.start_server(lambda *streams: held.append(streams), "127.0.0.1", 0)
            port = listener.sockets[0].getsockname()[1]
            await live.connect("gemini-3.8-live", endpoint=f"ws://127.0.0.1:{{port}}", auth="k")

        loop = asyncio.new_event_loop()
        session = loop.run_until_complete(main())
        loop.close()
        session.feed_audio(bytes(640))
        assert not session.feed_audio(bytes(640))
        assert not session.feed_video(b"\\xff\\xd8\\xff")
        repr(session), session.stats, session.status
        del session, loop
        gc.collect()
        end()
        """
    )
    return {Path(path).name for path in re.findall(r'File "(.*?gemini_live/.*?)"', said)}


@on_fake_clock
async def test_a_connect_that_is_dropped_and_not_cancelled(network):
    network.answers_setup = False
    connecting = connect().__await__()
    connecting.send(None)
    await asyncio.sleep(1)  # the setup is on its way
    connecting.close()
    await asyncio.sleep(2)
    assert network.last.closed == 1000
    assert not others()


@pytest.mark.parametrize("state", ["open", "reconnecting", "read", "connecting"])
def test_a_loop_that_is_closed_without_a_word(state):
    """asyncio complains of its tasks, one line each, and aiohttp of its sockets; nothing of ours raises or hangs."""
    assert closed_without_a_word(state) <= {"transport.py"}


def test_a_loop_that_is_closed_without_a_word_over_a_real_socket():
    assert not closed_without_a_word("open")


@on_fake_clock
async def test_a_session_is_collected_in_another_thread(network):
    gc.disable()
    try:
        session = await connect()
        session.itself = session  # only the collector finds it
        gone = weakref.ref(session)
        del session
        thread = threading.Thread(target=gc.collect)
        thread.start()
        thread.join()
        assert gone() is None
        await asyncio.sleep(1.0)
        assert network.last.closed == 1000
        assert not others()
    finally:
        gc.enable()


@on_fake_clock
async def test_a_session_is_collected_as_the_loop_is_closed(network, monkeypatch):
    """Another thread's collector had found the loop open; pytest fails for what a finalizer raises."""

    def closed(*_):
        raise RuntimeError("Event loop is closed")

    session = await connect()
    await session.close()
    gone = weakref.ref(session)
    with monkeypatch.context() as closing:
        closing.setattr(asyncio.get_running_loop(), "call_soon_threadsafe", closed)
        del session
        gc.collect()
    assert gone() is None


# --- another loop ----------------------------------------------------------------------------------------------------

USES = {
    "send_audio": lambda session: session.send_audio(CHUNK),
    "send_video": lambda session: session.send_video(b"\xff\xd8\xff"),
    "send_text": lambda session: session.send_text("x"),
    "send_raw": lambda session: session.send_raw({}),
    "send_client_content": lambda session: session.send_client_content("x"),
    "send_tool_response": lambda session: session.send_tool_response({"id": "1", "name": "f"}),
    "audio_stream_end": lambda session: session.audio_stream_end(),
    "next_event": lambda session: session.next_event(),
    "iterating": anext,
    "a cursor": lambda session: anext(session.events()),
    "wait_for_status": lambda session: session.wait_for_status(live.SessionStatus.RECONNECTING),
    "hand_over": lambda session: session.hand_over(),
    "close": lambda session: session.close(),
}


@pytest.mark.parametrize("name", USES)
async def test_use_from_another_loop_is_an_error_that_says_so(network, name):
    async with connect() as session:
        before = session.stats
        while session._own_events.next_now() is not None:
            pass

        async def use():
            async with asyncio.timeout(5):
                await USES[name](session)

        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, use())
        assert session.status is live.SessionStatus.CONNECTED
        assert session.stats.accepted == before.accepted
        await session.send_text("undisturbed")
        assert network.last.said[-1] == {"realtimeInput": {"text": "undisturbed"}}


async def test_an_ended_session_can_be_closed_from_anywhere(network):
    async with connect() as session:
        pass
    await asyncio.to_thread(asyncio.run, session.close())


# --- a fork ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_fork_leaves_the_parent_its_session_and_the_child_an_error():
    async with (
        emulator.Emulator(compress_time=True) as server,
        live.connect(MODEL, endpoint=server.url, auth="k") as session,
    ):
        child = os.fork()
        if child == 0:  # no return from here
            verdict = 1
            try:
                send = session.send_text("from the child")
                send.send(None)
            except RuntimeError as error:
                verdict = 0 if "loop" in str(error) else 2
            finally:
                os._exit(verdict)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        await session.send_text("from the parent")
        async for event in session:
            if isinstance(event, live.TurnComplete):
                break
        assert server.ledger.sessions[0].texts == ["from the parent"]


# --- many threads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(5))
async def test_eight_threads_feed_while_the_session_reconnects_and_closes(attempt):
    fast = live.ReconnectPolicy(base_s=0.001, cap_s=0.002)
    taken = [0] * 8
    errors = []
    stop = threading.Event()
    async with emulator.Emulator(compress_time=True) as server:
        async with live.connect(MODEL, endpoint=server.url, auth="k", reconnect=fast) as session:

            def feed(number):
                try:
                    while not stop.is_set():
                        if session.feed_audio(CHUNK):
                            taken[number] += 1
                        elif session.status is live.SessionStatus.CLOSED:
                            return
                        time.sleep(0.0005)
                except Exception as error:  # noqa: BLE001 - reported below
                    errors.append(error)

            threads = [threading.Thread(target=feed, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for _ in range(3):
                await asyncio.sleep(0.05)
                server.cut()
                await session.wait_for_status(live.SessionStatus.CONNECTED)
        stop.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await asyncio.sleep(0)
        stats = session.stats
    assert not errors
    check_balance(stats)
    assert sum(taken) > 100
    assert stats.accepted == sum(taken), "what was taken is counted"


@on_fake_clock
async def test_a_session_is_gone_when_its_block_is_left(network):
    """Closed, and with it from memory: whatever ends it, and its runner, must not hold it."""
    async with connect() as session:
        gone = weakref.ref(session)
    del session
    gc.collect()
    assert gone() is None


# --- very many -------------------------------------------------------------------------------------------------------


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("most", "options", "instrumented"),
    [(10_000, {}, False), (1_000, {"tools": [double]}, False), (1_000, {}, True)],
    ids=["plain", "with tools", "instrumented"],
)
def test_ten_thousand_sessions_leave_nothing(network, most, options, instrumented):
    async def open_and_close(count):
        for _ in range(count):
            async with connect(**options) as session:
                if instrumented:
                    session.instrument()
                await session.send_text("x")
            network.connections.clear()
            network.dials.clear()

    with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
        runner.run(open_and_close(200))
        before = held()
        runner.run(open_and_close(most))
        after = held()
    assert after.objects - before.objects < 200
    assert after.blocks - before.blocks < 2_000


class Held(NamedTuple):
    objects: int
    blocks: int


def held():
    for _ in range(2):  # without the global lock, memory is given back one collection later
        gc.collect()
    return Held(len(gc.get_objects()), sys.getallocatedblocks())


CIRCLE: dict = {}
CIRCLE["itself"] = CIRCLE
IN_A_CIRCLE = live.FunctionDeclaration(name="f", parameters_json_schema=CIRCLE)


@pytest.mark.parametrize(
    "setup",
    [
        {"system_instruction": "a\udcff"},  # as Python makes of a byte on the command line that is no UTF-8
        {"tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": {"title": "\ud800"}}]}]},
        {"tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": CIRCLE}]}]},
        live.Setup(model="m", tools=[live.Tool(function_declarations=[IN_A_CIRCLE])]),
    ],
)
def test_a_setup_that_no_message_can_hold(setup):
    given = {"model": "m", **setup} if isinstance(setup, dict) else setup
    with pytest.raises(live.ConfigError, match=r"JSON cannot|nested too deep, or holds itself"):
        live.connect(given, endpoint="ws://127.0.0.1:9", auth="any")
