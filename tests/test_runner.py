from __future__ import annotations

import asyncio
import logging

import pytest

from conftest import on_fake_clock
from gemini_live import events
from gemini_live.auth import Address
from gemini_live.codec import frame
from gemini_live.config import ReconnectPolicy, SessionConfig, TransportConfig
from gemini_live.errors import AuthenticationError, ConfigError, ConnectError, ConnectTimeout, SetupError
from gemini_live.events import CloseKind, SessionStatus
from gemini_live.failures import Failure
from gemini_live.fanout import Fanout
from gemini_live.protocol import Protocol
from gemini_live.runner import Runner
from gemini_live.setup_message import SessionResumptionConfig, Setup
from memory_transport import MemoryNetwork

GO_AWAY = b'{"goAway":{"timeLeft":"50s"}}'


async def no_address():
    return Address("ws://memory", {})


class Rig:
    def __init__(self, network, *, address=no_address, **config):
        setup = Setup(model="models/m", session_resumption=SessionResumptionConfig())
        config = SessionConfig(setup=setup, **config)
        self.network = network
        self.fanout = Fanout()
        self.events = self.fanout.join()
        self.runner = Runner(Protocol(config, setup, lambda: 1.0), config.transport, address, network, self.fanout)

    async def open(self):
        self.runner.start()
        await self.runner.wait_until_open()
        return self

    async def until(self, kind):
        async for event in self.events:
            if isinstance(event, kind):
                return event
        raise AssertionError(f"the stream ended without {kind.__name__}")

    async def close(self):
        self.runner.close()
        await self.runner.wait_closed()


def others():
    return asyncio.all_tasks() - {asyncio.current_task()}


@on_fake_clock
async def test_it_opens_writes_and_leaves_nothing_behind():
    rig = await Rig(MemoryNetwork()).open()
    rig.runner.submit("text", frame(b'{"a":1}'))
    assert rig.network.last.said == [{"a": 1}]
    await rig.close()
    assert rig.network.last.closed == 1000
    assert not others()
    assert rig.runner._timer is None


@on_fake_clock
async def test_a_lost_connection_is_dialled_again_after_the_back_off():
    rig = await Rig(MemoryNetwork(None, Failure(reason="no route"), Failure(reason="no route"), None)).open()
    await asyncio.sleep(10.0)
    rig.network.last.lose()
    reconnected = await rig.until(events.Reconnected)
    assert rig.network.dials == pytest.approx([0.0, 10.5, 11.5, 13.5])
    assert reconnected.gap_s == pytest.approx(3.5)
    assert reconnected.attempts == 3
    await rig.close()


@on_fake_clock
async def test_a_planned_move_closes_the_old_socket_first_and_dials_at_once():
    rig = await Rig(MemoryNetwork()).open()
    await asyncio.sleep(1.0)
    old = rig.network.last
    old.say(GO_AWAY)
    reconnected = await rig.until(events.Reconnected)
    assert old.closed == 1000
    assert reconnected.gap_s == pytest.approx(0.01)
    assert reconnected.context_restored
    await rig.close()


@on_fake_clock
async def test_a_move_does_not_wait_for_an_echo_for_ever():
    network = MemoryNetwork()
    network.echoes_close = False
    rig = await Rig(network).open()
    network.last.say(GO_AWAY)
    reconnected = await rig.until(events.Reconnected)
    assert reconnected.gap_s == pytest.approx(1.0)
    network.echoes_close = True
    await rig.close()


@on_fake_clock
async def test_a_silent_line_is_pinged_and_then_replaced():
    rig = await Rig(MemoryNetwork()).open()
    first = rig.network.last
    await rig.until(events.Reconnected)
    assert first.pings == [b"0"]
    assert first.aborted
    assert rig.network.dials[1] == pytest.approx(60.5)
    await rig.close()


@on_fake_clock
async def test_a_server_that_never_answers_the_setup_is_given_up_in_time():
    network = MemoryNetwork()
    network.answers_setup = False
    with pytest.raises(ConnectTimeout) as caught:
        await Rig(network, transport=TransportConfig(connect_timeout_s=3.0)).open()
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)
    assert isinstance(caught.value, TimeoutError)
    assert network.last.aborted
    await asyncio.sleep(0)
    assert not others()


@on_fake_clock
async def test_a_dial_that_never_ends_is_given_up_in_time():
    with pytest.raises(ConnectTimeout):
        await Rig(MemoryNetwork(delay_s=1e6), transport=TransportConfig(connect_timeout_s=3.0)).open()
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure(code=401), AuthenticationError),
        (Failure(code=404), SetupError),
        (Failure(code=503), ConnectError),
        (Failure(kind=CloseKind.NETWORK, reason="DNS: no address for nowhere"), ConnectError),
    ],
)
def test_a_failed_first_dial_is_a_typed_error(failure, error):
    @on_fake_clock
    async def run():
        rig = Rig(MemoryNetwork(failure))
        with pytest.raises(error) as caught:
            await rig.open()
        assert type(caught.value) is error
        assert caught.value.code == failure.code
        assert caught.value.closed.phase is events.Phase.DIAL

    run()


@on_fake_clock
async def test_an_exception_of_the_credential_provider_is_chained_and_not_quoted():
    async def address():
        raise RuntimeError("could not refresh sk-secret")

    with pytest.raises(AuthenticationError) as caught:
        await Rig(MemoryNetwork(), address=address).open()
    assert "RuntimeError" in str(caught.value)
    assert "sk-secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


@on_fake_clock
async def test_the_credential_is_asked_for_before_every_dial():
    asked = []

    async def address():
        asked.append(1)
        return Address("ws://memory", {})

    rig = await Rig(MemoryNetwork(), address=address).open()
    rig.network.last.lose()
    await rig.until(events.Reconnected)
    assert len(asked) == 2
    await rig.close()


@on_fake_clock
async def test_a_provider_that_fails_for_a_moment_does_not_end_a_session():
    answers = [Address("ws://memory", {}), OSError("no route"), TimeoutError(), Address("ws://memory", {})]

    async def address():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    rig = await Rig(MemoryNetwork(), address=address).open()
    rig.network.last.lose()
    tries = [await rig.until(events.Reconnecting) for _ in range(3)]
    await rig.until(events.Reconnected)
    assert [event.kind for event in tries] == [CloseKind.NETWORK, CloseKind.CREDENTIALS, CloseKind.CREDENTIALS]
    assert "no route" not in tries[1].reason
    assert answers == []
    await rig.close()


@pytest.mark.parametrize("error", [ConfigError("wrong"), PermissionError("withdrawn")])
def test_a_provider_that_says_no_ends_it(error):
    @on_fake_clock
    async def run():
        answers = [Address("ws://memory", {})]

        async def address():
            if answers:
                return answers.pop()
            raise error

        rig = await Rig(MemoryNetwork(), address=address).open()
        rig.network.last.lose()
        closed = await rig.until(events.Closed)
        assert closed.kind is CloseKind.CREDENTIALS
        await rig.close()

    run()


@on_fake_clock
async def test_a_token_that_is_used_up_is_given_up_after_two_more_dials():
    network = MemoryNetwork()
    rig = await Rig(network, reconnect=ReconnectPolicy(max_attempts=None)).open()
    network.greeting = ()
    network.last.lose(Failure(code=1011, reason="auth token has expired"))
    for dial in (2, 3):
        await rig.until(events.Reconnecting)
        while len(network.connections) < dial or not network.last.written:
            await asyncio.sleep(0.01)
        network.last.lose(Failure(code=1011, reason="Token has expired"))
    closed = await rig.until(events.Closed)
    assert closed.kind is CloseKind.TOKEN_EXPIRED
    assert len(network.dials) == 3
    await rig.close()


@on_fake_clock
async def test_cancelling_the_wait_for_the_session_leaves_the_runner_usable():
    rig = Rig(MemoryNetwork(delay_s=1.0))
    rig.runner.start()
    waiting = asyncio.create_task(rig.runner.wait_until_open())
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await rig.runner.wait_until_open()
    await rig.close()
    assert not others()


@pytest.mark.parametrize("moment_s", [0.0, 0.25, 1.0, 1.75, 2.0, 5.0])
def test_close_at_any_moment_of_a_reconnect_ends_at_once(moment_s):
    @on_fake_clock
    async def run():
        rig = await Rig(MemoryNetwork(None, delay_s=1.0), reconnect=ReconnectPolicy(base_s=0.5, cap_s=0.5)).open()
        rig.network.last.lose()
        await asyncio.sleep(moment_s)
        before = asyncio.get_running_loop().time()
        await rig.close()
        assert asyncio.get_running_loop().time() - before < 0.02
        assert (await rig.until(events.Closed)).kind is CloseKind.REQUESTED
        assert not others()

    run()


@on_fake_clock
async def test_a_close_between_the_decision_to_dial_and_the_dial_is_heeded(caplog):
    rig = await Rig(MemoryNetwork()).open()
    rig.network.last.lose()
    asyncio.get_running_loop().call_at(rig.runner.protocol.deadline(), rig.runner.close)
    await rig.runner.wait_closed()
    assert len(rig.network.dials) == 1
    assert not caplog.records


@on_fake_clock
async def test_a_close_while_the_old_socket_is_still_going_is_heeded(caplog):
    rig = await Rig(MemoryNetwork(), transport=TransportConfig(ping_after_s=1.0, lost_after_s=1.0)).open()

    async def slowly():
        await asyncio.sleep(30.0)

    rig.network.last.wait_closed = slowly
    await rig.until(events.Reconnecting)
    await asyncio.sleep(1.0)
    await rig.close()
    assert len(rig.network.dials) == 1
    assert not caplog.records


def test_a_loop_that_is_shut_down_during_a_dial_still_tells_everybody():
    kept = []

    @on_fake_clock
    async def run():
        rig = await Rig(MemoryNetwork()).open()
        kept.append(rig)
        rig.network.delay_s = 100.0
        rig.network.last.lose()
        await asyncio.sleep(1.0)

    run()
    (rig,) = kept
    told = []
    while (event := rig.events.next_now()) is not None:
        told.append(event)
    assert isinstance(told[-1], events.Closed)
    assert rig.runner._timer is None or rig.runner._timer.cancelled()


@on_fake_clock
async def test_a_provider_whose_own_task_is_cancelled_is_a_failed_dial():
    asked = []

    async def address():
        asked.append(1)
        if len(asked) == 2:
            inner = asyncio.ensure_future(asyncio.sleep(10.0))
            asyncio.get_running_loop().call_soon(inner.cancel)
            await inner
        return Address("ws://memory", {})

    rig = await Rig(MemoryNetwork(), address=address).open()
    rig.network.last.lose()
    await rig.until(events.Reconnected)
    assert len(asked) == 3
    await rig.close()


@on_fake_clock
async def test_two_closes_at_the_same_time_both_return():
    rig = await Rig(MemoryNetwork()).open()
    await asyncio.gather(rig.close(), rig.close())
    assert rig.runner.protocol.status is SessionStatus.CLOSED


@on_fake_clock
async def test_a_fault_of_our_own_ends_the_session_with_a_word(caplog):
    rig = await Rig(MemoryNetwork()).open()

    async def broken(code, timeout_s):
        raise ZeroDivisionError

    rig.network.last.close = broken
    with caplog.at_level(logging.ERROR):
        await rig.close()
    assert (await rig.until(events.Closed)).kind is CloseKind.REQUESTED
    assert "please report" in caplog.text
    assert not others()


@on_fake_clock
async def test_a_dialler_that_breaks_ends_the_session_with_a_word_too(caplog):
    async def broken(address, config, receiver):
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR), pytest.raises(ConnectError):
        await Rig(broken).open()
    assert "please report" in caplog.text
    assert not others()


def test_a_loop_that_is_shut_down_takes_the_session_with_it():
    network = MemoryNetwork()

    @on_fake_clock
    async def run():
        return (await Rig(network).open()).events

    run()
    assert network.last.aborted


@on_fake_clock
async def test_what_still_comes_from_a_given_up_connection_is_ignored():
    rig = await Rig(MemoryNetwork()).open()
    first = rig.network.last
    await rig.until(events.Reconnecting)
    rig.runner.message_received(b'{"serverContent":{"interrupted":true}}')
    assert rig.events.next_now() is None
    await rig.until(events.Reconnected)
    assert first is not rig.network.last
    await rig.close()


@on_fake_clock
async def test_each_message_of_an_interrupted_answer_is_counted_once():
    rig = await Rig(MemoryNetwork()).open()
    before = rig.runner.stats().messages_received
    parts = b'[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAAA"}}]'
    audio = b'{"serverContent":{"modelTurn":{"parts":%s}}}' % parts
    for raw in (audio, audio, b'{"serverContent":{"interrupted":true}}', audio, audio):
        rig.runner.message_received(raw)
    stats = rig.runner.stats()
    assert (stats.audio_discarded, stats.messages_received - before) == (2, 5)
    await rig.close()


@on_fake_clock
async def test_a_connection_that_dies_while_its_greeting_is_under_way():
    network = MemoryNetwork(greeting=())
    rig = Rig(network)
    rig.runner.start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    network.last.lose(Failure(code=1011, reason="Internal error encountered."))
    with pytest.raises(ConnectError) as caught:
        await rig.runner.wait_until_open()
    assert caught.value.closed.phase is events.Phase.SETUP
    await rig.runner.wait_closed()
    assert not others()


@on_fake_clock
async def test_the_timer_is_not_set_anew_for_each_message():
    rig = await Rig(MemoryNetwork()).open()
    timer = rig.runner._timer
    for _ in range(10):
        await asyncio.sleep(0.1)
        rig.runner.message_received(b"{}")
    assert rig.runner._timer is timer
    await rig.close()


@on_fake_clock
async def test_a_timer_that_fires_a_tick_early_does_not_spin():
    rig = await Rig(MemoryNetwork()).open()
    loop = asyncio.get_running_loop()
    loop._jumping.now = rig.runner._timer.when() - 1e-10
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rig.network.last.pings == [b"0"]
    await rig.close()


@on_fake_clock
async def test_pause_and_resume_reach_the_outbox():
    rig = await Rig(MemoryNetwork()).open()
    rig.runner.writing_paused()
    rig.runner.submit("text", frame(b'{"a":1}'))
    assert rig.network.last.said == []
    rig.runner.writing_resumed()
    assert rig.network.last.said == [{"a": 1}]
    await rig.close()


# --- audio, straight to the connection --------------------------------------------------------------------------------


def numbers(rig):
    """The numbers of the chunks that were written, in order."""
    return [message["n"] for message in rig.network.last.said if "n" in message]


def chunk(number):
    return frame(b'{"n":%d}' % number)


@on_fake_clock
async def test_audio_goes_straight_to_the_connection_and_is_accounted_for():
    rig = await Rig(MemoryNetwork()).open()
    for number in range(100):
        rig.runner.submit_audio(chunk(number), 0.02)
    assert numbers(rig) == list(range(100))
    assert rig.runner._express is not None  # or nothing of this was tested
    stats = rig.runner.stats()
    assert (stats.accepted, stats.written, stats.by_kind["audio"].written) == (100, 100, 100)
    await rig.close()
    assert rig.runner.stats().acknowledged == 100


@on_fake_clock
async def test_audio_waits_behind_what_waits_and_leaves_after_it():
    rig = await Rig(MemoryNetwork()).open()
    rig.runner.submit_audio(chunk(0), 0.02)
    rig.runner.submit_audio(chunk(1), 0.02)
    rig.runner.writing_paused()
    rig.runner.submit("text", chunk(2))
    rig.runner.submit_audio(chunk(3), 0.02)
    assert numbers(rig) == [0, 1]
    rig.runner.writing_resumed()
    rig.runner.submit_audio(chunk(4), 0.02)
    assert numbers(rig) == [0, 1, 2, 3, 4]
    await rig.close()


@on_fake_clock
async def test_a_connection_that_has_enough_in_mid_stream_is_given_no_more():
    rig = await Rig(MemoryNetwork()).open()
    rig.runner.submit_audio(chunk(0), 0.02)
    transport = rig.network.last
    write = transport.write

    def write_and_pause(framed):
        write(framed)
        rig.runner.writing_paused()

    transport.write = write_and_pause
    rig.runner.submit("text", chunk(1))
    rig.runner.submit_audio(chunk(2), 0.02)
    assert numbers(rig) == [0, 1]
    assert rig.runner.stats().waiting == 1
    await rig.close()


@on_fake_clock
async def test_what_other_threads_have_handed_in_goes_first():
    rig = await Rig(MemoryNetwork()).open()
    rig.runner.submit_audio(chunk(0), 0.02)
    rig.runner.submit_audio(chunk(1), 0.02)
    rig.runner.inbox.put("audio", chunk(2), 0.02)
    rig.runner.submit_audio(chunk(3), 0.02)
    assert numbers(rig) == [0, 1, 2, 3]
    await rig.close()


@on_fake_clock
async def test_audio_that_went_straight_is_confirmed_and_what_was_not_is_reported_at_the_loss():
    rig = await Rig(MemoryNetwork()).open()
    for number in range(10):
        rig.runner.submit_audio(chunk(number), 0.02)
    await asyncio.sleep(5.0)  # the ping that asks for a receipt
    rig.runner.pong_received(rig.network.last.pings[-1])
    assert rig.runner.stats().acknowledged == 10
    for number in range(10, 13):
        rig.runner.submit_audio(chunk(number), 0.02)
    rig.network.last.lose()
    assert (await rig.until(events.DeliveryUncertain)).kinds == {"audio": 3}
    rig.runner.submit_audio(chunk(13), 0.02)
    assert rig.runner.stats().waiting == 1
    await rig.until(events.Reconnected)
    assert numbers(rig) == [13]
    await rig.close()


@on_fake_clock
async def test_audio_that_went_straight_is_replayed_where_the_service_says_what_it_has():
    setup = Setup(model="models/m", session_resumption=SessionResumptionConfig(transparent=True))
    rig = Rig(MemoryNetwork())
    rig.runner = Runner(
        Protocol(SessionConfig(setup=setup), setup, lambda: 1.0), TransportConfig(), no_address, rig.network, rig.fanout
    )
    await rig.open()
    for number in range(5):
        rig.runner.submit_audio(chunk(number), 0.02)
    assert rig.runner._express is not None
    first = rig.network.last
    first.say(b'{"sessionResumptionUpdate":{"newHandle":"h","resumable":true,"lastConsumedClientMessageIndex":"2"}}')
    await asyncio.sleep(0.1)
    first.lose()
    assert (await rig.until(events.Reconnected)).replayed == 3
    assert numbers(rig) == [2, 3, 4]
    await rig.close()
