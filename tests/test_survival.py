"""How a session survives: one section for each thing that can happen to it, on a network in memory and a jumping clock.

The decisions behind these are tested one by one in ``test_protocol.py``; here a whole session lives through them.
"""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from types import SimpleNamespace

import pytest

import gemini_live as live
from conftest import on_fake_clock
from gemini_live import opening
from gemini_live.failures import Failure
from memory_transport import MemoryNetwork

AUDIO = b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAAA"}}]}}}'
TURN_COMPLETE = b'{"serverContent":{"turnComplete":true}}'
TOOL_CALL = b'{"toolCall":{"functionCalls":[{"id":"c1","name":"f"}]}}'
CHUNK = b"\0\0" * 320


def go_away(time_left):
    return b'{"goAway":{"timeLeft":"%s"}}' % time_left.encode()


def update(handle, index=None):
    fields = {"newHandle": handle, "resumable": True}
    if index is not None:
        fields["lastConsumedClientMessageIndex"] = str(index)
    return json.dumps({"sessionResumptionUpdate": fields}).encode()


@pytest.fixture
def network(monkeypatch):
    network = MemoryNetwork()
    monkeypatch.setattr(opening, "dial", network)
    monkeypatch.setattr(opening, "random", SimpleNamespace(random=lambda: 1.0))
    return network


def connect(**options):
    return live.connect("gemini-3.8-live", auth="key", **options)


def on_vertex(**options):
    return live.connect("gemini-3.8-live", endpoint=live.VertexAi(project="p"), auth=live.BearerToken("t"), **options)


def now():
    return asyncio.get_running_loop().time()


async def until(session, kind):
    async for event in session:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the stream ended without {kind.__name__}")


def handle_of(connection):
    return json.loads(connection.written[0])["setup"].get("sessionResumption", {}).get("handle")


# --- goAway -----------------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_go_away_is_a_timer_that_needs_no_further_word_of_the_service(network):
    async with connect() as session:
        network.last.say(AUDIO, go_away("60s"))  # and then nothing: the turn never ends
        await until(session, live.GoAway)
        started = now()
        await until(session, live.Reconnected)
        assert now() - started == pytest.approx(55.0, abs=0.1)


@on_fake_clock
async def test_go_away_hands_over_at_the_first_safe_point(network):
    async with connect() as session:
        old = network.last
        old.say(AUDIO, TOOL_CALL, go_away("60s"))
        await until(session, live.GoAway)
        old.say(TURN_COMPLETE)
        await asyncio.sleep(1.0)
        assert network.last is old, "a tool call is pending"
        await session.send_tool_response({"id": "c1", "name": "f"})
        old.say(b"{}")
        reconnected = await until(session, live.Reconnected)
        assert reconnected.context_restored
        assert handle_of(network.last) == "h-1"


@pytest.mark.parametrize("before_setup_complete", [False, True])
@on_fake_clock
async def test_a_server_that_sends_everybody_away_is_not_stormed(network, before_setup_complete):
    ready, handle = network.greeting
    goodbye = go_away("0s")
    network.greeting = (goodbye, ready, handle) if before_setup_complete else (ready, handle, goodbye)
    async with connect() as session:
        await asyncio.sleep(60.0)
        pauses = [after - before for before, after in pairwise(network.dials)]
        assert pauses[:6] == pytest.approx([0.0, 0.5, 1.0, 2.0, 4.0, 5.0], abs=0.05)
        assert min(pauses[6:]) == pytest.approx(5.0, abs=0.05)
        network.greeting = (ready, handle)
        await until(session.events(), live.Reconnected)
        await asyncio.sleep(10.0)
        network.last.say(goodbye)
        await until(session.events(), live.GoAway)
        left_at = now()
        await until(session.events(), live.Reconnected)
        assert now() - left_at < 0.05, "this one had held"


@on_fake_clock
async def test_a_server_that_sends_everybody_away_in_time_is_left_in_time(network):
    network.greeting = (*network.greeting, go_away("60s"))
    async with connect():
        await asyncio.sleep(150.0)
        pauses = [after - before for before, after in pairwise(network.dials)]
        assert pauses == pytest.approx([0.0, 55.0, 0.0, 55.0, 0.0], abs=0.05)


@on_fake_clock
async def test_go_away_waits_for_the_echo_of_the_old_socket_no_longer_than_a_second(network):
    async with connect() as session:
        network.echoes_close = False
        network.last.say(go_away("60s"))
        assert (await until(session, live.Reconnected)).gap_s == pytest.approx(1.0, abs=0.01)
        network.echoes_close = True


# --- connection lost --------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_connection_lost_backs_off_and_a_success_resets_it(network):
    async with connect() as session:
        await asyncio.sleep(10.0)
        network.failures = [Failure(reason="no route")] * 4
        network.last.lose()
        assert (await until(session, live.Reconnected)).gap_s == pytest.approx(0.5 + 1 + 2 + 4 + 5)
        await asyncio.sleep(10.0)
        network.last.lose()
        assert (await until(session, live.Reconnecting)).delay_s == 0.5


# --- resume refused ---------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_resume_refused_tries_the_same_handle_after_a_pause_and_then_starts_fresh(network):
    refused = Failure(code=1011, reason="Internal error encountered.")
    async with connect() as session:
        await asyncio.sleep(10.0)
        network.answers_setup = False
        network.last.lose()
        for _ in range(2):
            attempts = len(network.connections)
            while len(network.connections) == attempts:
                await asyncio.sleep(0.1)
            assert handle_of(network.last) == "h-1"
            started = now()
            network.last.lose(refused)
        network.answers_setup = True
        reconnected = await until(session, live.Reconnected)
        assert network.dials[-2] >= started - 0.2
        assert network.dials[-2] - network.dials[-3] >= 1.5
        assert handle_of(network.last) is None
        assert not reconnected.context_restored


# --- stale handle -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1008, "BidiGenerateContent session not found"),
        (1008, "Requested entity was not found."),
        (1007, "Invalid session handle"),
    ],
)
def test_stale_handle_is_dropped_and_the_session_starts_fresh_once(network, code, reason):
    @on_fake_clock
    async def run():
        async with connect() as session:
            network.answers_setup = False
            network.last.lose()
            while len(network.connections) < 2:
                await asyncio.sleep(0.1)
            network.answers_setup = True
            network.last.lose(Failure(code=code, reason=reason))
            reconnected = await until(session, live.Reconnected)
            assert handle_of(network.last) is None
            assert not reconnected.context_restored
            assert len(network.connections) == 3

    run()


# --- fatal ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(code=1007, reason="Request contains an invalid argument."), live.CloseKind.SETUP),
        (Failure(code=1008, reason="Your API key was reported as leaked."), live.CloseKind.CREDENTIALS),
        (Failure(code=1007, reason="Invalid JSON payload received. Unknown name"), live.CloseKind.SETUP),
    ],
)
def test_fatal_closes_are_not_retried_and_say_what_to_do(network, failure, kind):
    @on_fake_clock
    async def run():
        async with connect() as session:
            network.last.lose(failure)
            closed = await until(session, live.Closed)
            assert (closed.kind, closed.code, closed.reason) == (kind, failure.code, failure.reason)
            assert closed.phase is live.Phase.OPEN
            assert closed.hint
            await asyncio.sleep(100.0)
            assert len(network.connections) == 1

    run()


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_fatal_http_status_on_a_reconnect(network, status):
    @on_fake_clock
    async def run():
        async with connect() as session:
            network.failures = [Failure(code=status)]
            network.last.lose()
            closed = await until(session, live.Closed)
            assert closed.code == status
            assert closed.phase is live.Phase.DIAL

    run()


# --- quota ------------------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_quota_waits_more_than_a_minute_and_at_most_twice(network):
    async with connect() as session:
        await asyncio.sleep(10.0)
        network.failures = [Failure(code=429)] * 3
        network.last.lose()
        events = [event async for event in session]
        delays = [event.delay_s for event in events if isinstance(event, live.Reconnecting)]
        assert delays == [0.5, 65.0, 65.0]
        assert events[-1].kind is live.CloseKind.QUOTA


# --- token expired ----------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_token_expired_asks_the_provider_again_and_keeps_the_handle(network):
    asked = []

    def provider():
        asked.append(1)
        return live.EphemeralToken(f"auth_tokens/{len(asked)}")

    async with live.connect("gemini-3.8-live", auth=provider) as session:
        network.last.lose(Failure(code=1011, reason="auth token has expired"))
        reconnected = await until(session, live.Reconnected)
        assert network.last.address.headers["Authorization"] == "Token auth_tokens/2"
        assert handle_of(network.last) == "h-1"
        assert reconnected.context_restored


# --- half-open --------------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_half_open_is_found_by_silence_after_a_probe(network):
    async with connect() as session:
        reconnecting = await until(session, live.Reconnecting)
        assert now() == pytest.approx(60.0)
        assert reconnecting.kind is live.CloseKind.NETWORK


@pytest.mark.parametrize("delay_s", [8.0, 25.0, 40.0])
def test_half_open_is_not_a_pong_that_comes_late(network, delay_s):
    @on_fake_clock
    async def run():
        async with connect() as session:
            line = network.last
            for _ in range(5):
                while not line.pings:
                    await asyncio.sleep(1.0)
                await asyncio.sleep(delay_s)
                line.receiver.pong_received(line.pings.pop())
            assert network.last is line
            assert session.stats.round_trip_s == pytest.approx(delay_s, abs=1.0)

    run()


@on_fake_clock
async def test_half_open_is_not_a_consumer_that_sleeps(network):
    async with connect() as session:
        line = network.last
        for _ in range(600):
            line.say(AUDIO)
            await asyncio.sleep(0.1)
        assert network.last is line
        assert len([event async for event in _at_most(session, 602)]) == 602


async def _at_most(session, count):
    for _ in range(count):
        yield await session.next_event()


# --- the user speaks while down ---------------------------------------------------------------------------------------


@on_fake_clock
async def test_user_speaks_while_down_is_flushed_in_order_and_what_is_too_old_is_reported(network):
    async with connect(reconnect=live.ReconnectPolicy(base_s=3.0, cap_s=3.0)) as session:
        events = session.events()
        network.last.lose()
        await session.wait_for_status(live.SessionStatus.RECONNECTING)
        for number in range(150):  # three seconds of speech, of which two may wait
            await session.send_audio(number.to_bytes(2, "little") * 320)
            await asyncio.sleep(0.02)
        await session.wait_for_status(live.SessionStatus.CONNECTED)
        await session.send_text("after")
        stats = session.stats
        assert stats.by_kind["audio"].expired == pytest.approx(50, abs=2)
        dropped = [event async for event in _until_text(events) if isinstance(event, live.InputDropped)]
        assert sum(event.count for event in dropped) == stats.by_kind["audio"].expired
        said = network.last.said
        assert "text" in said[-1]["realtimeInput"]
        data = [message["realtimeInput"]["audio"]["data"] for message in said[:-1]]
        import base64  # noqa: PLC0415 - the standard library as the oracle

        numbers = [int.from_bytes(base64.b64decode(one)[:2], "little") for one in data]
        assert numbers == list(range(150 - len(numbers), 150))


async def _until_text(events):
    while (event := events.next_now()) is not None:
        yield event


# --- a tool is answered while down ------------------------------------------------------------------------------------


@on_fake_clock
async def test_tool_answered_while_down_is_sent_after_the_resume(network):
    async with connect() as session:
        network.last.say(TOOL_CALL)
        await until(session, live.ToolCall)
        network.last.lose()
        await session.send_tool_response({"id": "c1", "name": "f", "response": {"output": 1}})
        await until(session, live.Reconnected)
        assert network.last.said == [
            {"toolResponse": {"functionResponses": [{"name": "f", "id": "c1", "response": {"output": 1}}]}}
        ]


@on_fake_clock
async def test_tool_answered_and_lost_in_flight_is_answered_again(network):
    async with connect() as session:
        network.last.say(TOOL_CALL)
        await until(session, live.ToolCall)
        await session.send_tool_response({"id": "c1", "name": "f", "response": {"output": 1}})
        network.last.lose()
        await until(session, live.Reconnected)
        assert len(network.last.said) == 1
        assert session.stats.by_kind["tool_response"].replayed == 1


@pytest.mark.parametrize("answered", ["before", "meanwhile", "after"])
@on_fake_clock
async def test_a_fresh_session_that_is_told_everything_again_is_given_no_answer_to_a_call_of_the_old_one(
    network, answered
):
    """It has made no such call, and makes one of its own; the service may end a session for such an answer."""
    network.greeting = network.greeting[:1]  # no handle yet
    takes_s = {"before": 0.0, "meanwhile": 1.2, "after": 3.0}[answered]

    async def f() -> int:
        await asyncio.sleep(takes_s)
        return 1

    async with on_vertex(tools=[f]) as session:
        events = session.events()
        await session.send_text("question")
        network.last.say(TOOL_CALL)
        await asyncio.sleep(1.0)
        if answered == "meanwhile":
            await session.send_tool_response({"id": "of a tool of the user's own", "name": "g", "response": {}})
        network.last.lose()
        if answered == "meanwhile":
            await session.send_tool_response({"id": "of another one", "name": "g", "response": {}})
        assert (await until(events, live.Reconnected)).context_restored
        network.last.say(TOOL_CALL.replace(b"c1", b"c2"))
        await asyncio.sleep(5.0)
        question, answer = network.last.said
        assert question == {"realtimeInput": {"text": "question"}}
        assert answer["toolResponse"]["functionResponses"][0]["id"] == "c2"
        stats = session.stats
        assert stats.accepted == stats.waiting + stats.written + stats.acknowledged + stats.expired


# --- text or content in flight ----------------------------------------------------------------------------------------


@on_fake_clock
async def test_text_in_flight_without_an_index_is_not_repeated_but_reported(network):
    async with connect() as session:
        await session.send_text("buy ten")
        network.last.lose()
        uncertain = await until(session, live.DeliveryUncertain)
        assert uncertain.kinds == {"text": 1}
        await until(session, live.Reconnected)
        assert network.last.said == []


@on_fake_clock
async def test_text_in_flight_with_an_index_is_replayed_exactly(network):
    network.greeting = (b'{"setupComplete":{}}',)
    async with on_vertex() as session:
        for word in ("one", "two", "three"):
            await session.send_text(word)
        network.last.say(update("h-2", 2))
        await until(session, live.SessionResumption)
        network.last.lose()
        reconnected = await until(session, live.Reconnected)
        assert reconnected.replayed == 1
        assert network.last.said == [{"realtimeInput": {"text": "three"}}]
        assert session.stats.uncertain == 0


# --- nothing from the service -----------------------------------------------------------------------------------------


@on_fake_clock
async def test_nothing_from_the_service_that_owes_an_answer_is_reported(network):
    async with connect() as session:
        await session.send_text("Hello?")
        assert (await until(session, live.Stalled)).silent_s == pytest.approx(15.0)
        assert len(network.connections) == 1


@on_fake_clock
async def test_nothing_from_the_service_moves_the_session_if_it_is_told_to(network):
    async with connect(reconnect=live.ReconnectPolicy(when_stalled=True)) as session:
        await session.send_text("Hello?")
        await until(session, live.Stalled)
        assert (await until(session, live.Reconnected)).context_restored
