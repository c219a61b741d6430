"""What a session layer must have, row by row, each against the emulator over a real WebSocket.

A row's tests are named ``test_row_…``; the details of each room are tested in that room's own file.
"""

from __future__ import annotations

import asyncio
import gc

import numpy as np
import pytest

import gemini_live as live
from gemini_live import emulator
from tcp_server import read_for_ever, tcp_server

FAST = live.ReconnectPolicy(base_s=0.01, cap_s=0.02)
MODEL = "gemini-3.8-live"
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 50
SPEECH = (8_000 * np.sin(np.arange(16_000) * 2 * np.pi * 300 / 16_000)).astype(np.int16)
STATUS = live.SessionStatus


class Rig:
    """An emulator and how to reach it."""

    def __init__(self, **options):
        self.emulator = emulator.Emulator(compress_time=True, **options)

    async def __aenter__(self):
        await self.emulator.start()
        return self

    async def __aexit__(self, *_):
        await self.emulator.stop()

    def connect(self, setup=MODEL, **options):
        return live.connect(setup, endpoint=self.emulator.url, auth="key", **{"reconnect": FAST, **options})

    def connect_vertex(self, setup=MODEL, **options):
        endpoint = live.VertexAi(project="p", base_url=self.emulator.url)
        return live.connect(setup, endpoint=endpoint, auth=live.BearerToken("token"), **{"reconnect": FAST, **options})

    @property
    def heard(self):
        """What got across in the first session."""
        return self.emulator.ledger.sessions[0]


async def until(events, kind):
    """Read events up to the first of this kind; return it."""
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the stream ended without {kind.__name__}")


def others():
    return {task for task in asyncio.all_tasks() if task.get_name().startswith("gemini-live")}


# --- SessionConfig --------------------------------------------------------------------------------------------------


async def test_row_session_config_holds_setup_transport_and_reconnect():
    config = live.SessionConfig(
        setup=live.Setup(
            model=MODEL,
            generation_config=live.GenerationConfig(response_modalities=["AUDIO"]),
            output_audio_transcription=live.AudioTranscriptionConfig(),
        ),
        transport=live.TransportConfig(connect_timeout_s=5.0),
        reconnect=FAST,
    )
    async with Rig() as rig, live.connect(config, endpoint=rig.emulator.url, auth="key") as session:
        await session.send_text("Hello")
        assert "Hello" in (await until(session, live.OutputTranscription)).text


# --- ReconnectPolicy ------------------------------------------------------------------------------------------------


def test_row_reconnect_policy_defaults_and_growth():
    policy = live.ReconnectPolicy()
    assert (policy.enabled, policy.base_s, policy.cap_s, policy.max_attempts) == (True, 0.5, 5.0, 10)
    assert [policy.ceiling_s(attempt) for attempt in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert live.ReconnectPolicy(max_attempts=None).ceiling_s(100_000) == 5.0


async def test_row_reconnect_policy_is_followed():
    async with Rig() as rig, rig.connect() as session:
        rig.emulator.faults = emulator.Faults(http_status=503, connections=3)
        rig.emulator.cut()
        assert (await until(session, live.Reconnected)).attempts == 4


# --- SessionStatus --------------------------------------------------------------------------------------------------


async def test_row_session_status_is_observable_and_awaitable():
    async with Rig() as rig:
        async with rig.connect() as session:
            assert session.status is STATUS.CONNECTED
            reconnecting = asyncio.create_task(session.wait_for_status(STATUS.RECONNECTING))
            await asyncio.sleep(0)
            rig.emulator.cut()
            await reconnecting
            await session.wait_for_status(STATUS.CONNECTED)
        assert session.status is STATUS.CLOSED
        await session.wait_for_status(STATUS.CLOSED)


# --- connect --------------------------------------------------------------------------------------------------------


async def test_row_connect_is_usable_when_it_returns():
    async with Rig() as rig, rig.connect() as session:
        await session.send_text("at once")
        await until(session, live.TurnComplete)
        assert rig.heard.texts == ["at once"]


async def test_row_connect_has_one_deadline():
    async with tcp_server(read_for_ever) as port:
        url = f"ws://127.0.0.1:{port}"
        with pytest.raises(live.ConnectTimeout, match=r"within 0\.05 s"):
            await live.connect(MODEL, endpoint=url, auth="key", transport=live.TransportConfig(connect_timeout_s=0.05))
    assert not others()


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (emulator.Faults(http_status=403), live.AuthenticationError),
        (emulator.Faults(http_status=404), live.SetupError),
        (emulator.Faults(http_status=503), live.ConnectError),
        (emulator.Faults(cut_at_setup=True), live.ConnectError),
        (
            emulator.Faults(close_at_setup=True, close_code=1007, close_reason="Request contains an invalid argument."),
            live.SetupError,
        ),
    ],
)
async def test_row_connect_failures_are_typed_errors(faults, error):
    async with Rig(faults=faults) as rig:
        with pytest.raises(error) as caught:
            await rig.connect()
        assert type(caught.value) is error
    assert not others()


# --- sends ----------------------------------------------------------------------------------------------------------


async def test_row_sends_every_kind_gets_across():
    setup = {"model": MODEL, "tools": [{"function_declarations": [{"name": "lookup"}]}]}
    async with Rig() as rig, rig.connect(setup) as session:
        await session.send_audio(SPEECH[:3_200])
        await session.send_video(JPEG)
        await session.audio_stream_end()
        await session.send_text("Hello")
        await session.send_client_content("please lookup it")
        call = (await until(session, live.ToolCall)).calls[0]
        await session.send_tool_response(live.FunctionResponse(id=call.id, name=call.name, response={"output": "7"}))
        await until(session, live.TurnComplete)
        await session.send_raw({"realtimeInput": {"text": "raw"}})
        await until(session, live.TurnComplete)
        kinds = rig.heard.messages_by_kind
        assert np.array_equal(rig.heard.audio, SPEECH[:3_200])
        assert rig.heard.texts == ["Hello", "raw"]
    assert kinds == {
        "audio": 10,
        "video": 1,
        "audio_stream_end": 1,
        "text": 2,
        "client_content": 1,
        "tool_response": 1,
    }


async def test_row_sends_activity_marks():
    setup = {"model": MODEL, "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}
    async with Rig() as rig, rig.connect(setup) as session:
        await session.activity_start()
        await session.send_audio(SPEECH)
        await session.activity_end()
        await until(session, live.TurnComplete)
        assert rig.heard.messages_by_kind == {"activity_start": 1, "audio": 50, "activity_end": 1}


# --- events ---------------------------------------------------------------------------------------------------------


async def test_row_events_are_typed_and_each_consumer_has_a_cursor():
    async with Rig() as rig, rig.connect() as session:
        first, second = session.events(), session.events()
        await session.send_text("Hello")
        one = [type(await anext(first)).__name__ for _ in range(3)]
        two = [type(await anext(second)).__name__ for _ in range(3)]
        assert one == two
        await until(session, live.TurnComplete)


async def test_row_events_a_lag_is_visible(monkeypatch):
    monkeypatch.setattr("gemini_live.fanout.MAX_AUDIO_BYTES", 48_000)
    async with Rig() as rig, rig.connect() as session:
        slow = session.events()
        await session.send_audio(np.tile(SPEECH, 3))
        await session.audio_stream_end()
        await until(session, live.TurnComplete)
        lagged = await until(slow, live.Lagged)
        assert lagged.count > 0
        await until(slow, live.TurnComplete)


async def test_row_events_end_when_the_session_has_closed():
    async with Rig() as rig:
        async with rig.connect() as session:
            reading = asyncio.create_task(until(session.events(), live.Closed))
            await asyncio.sleep(0)
        assert (await reading).kind is live.CloseKind.REQUESTED


# --- cheap sharing --------------------------------------------------------------------------------------------------


async def test_row_cheap_sharing_many_tasks_use_one_session():
    async with Rig() as rig, rig.connect() as session:

        async def talk(number):
            for part in range(10):
                await session.send_client_content(f"{number}.{part}", turn_complete=False)
                await asyncio.sleep(0)

        await asyncio.gather(*(talk(number) for number in range(20)))
        await session.send_text("end")
        await until(session, live.TurnComplete)
        assert rig.heard.messages_by_kind["client_content"] == 200


# --- downtime buffer ------------------------------------------------------------------------------------------------


async def test_row_downtime_buffer_goes_out_after_the_resume_in_order():
    async with Rig() as rig, rig.connect() as session:
        await until(session, live.SessionResumption)
        rig.emulator.cut()
        await session.wait_for_status(STATUS.RECONNECTING)
        for word in ("one", "two", "three"):
            await session.send_client_content(word, turn_complete=False)
        assert session.stats.waiting == 3
        await session.send_text("four")
        await until(session, live.TurnComplete)
        texts = [content["parts"][0]["text"] for content in rig.heard.contents]
        assert texts == ["one", "two", "three"]
        assert rig.heard.texts == ["four"]


async def test_row_downtime_buffer_is_bounded():
    policy = live.ReconnectPolicy(base_s=100.0, cap_s=100.0)
    limits = live.OutboxLimits(audio_ms=50)
    async with Rig() as rig, rig.connect(reconnect=policy, outbox=limits) as session:
        events = session.events()
        rig.emulator.cut()
        await session.wait_for_status(STATUS.RECONNECTING)
        await session.send_audio(SPEECH)
        count, duration_s = 0, 0.0
        while count < 50:  # in one report or, on a slow machine, in several
            dropped = await until(events, live.InputDropped)
            assert dropped.kind == "audio"
            count += dropped.count
            duration_s += dropped.duration_s
        assert duration_s == pytest.approx(1.0)
        stats = session.stats
        assert stats.expired == 50
        assert stats.accepted == stats.waiting + stats.written + stats.acknowledged + stats.expired


@pytest.mark.parametrize("handle_first", [True, False])
async def test_row_downtime_buffer_and_two_cuts_with_an_index_are_exact(handle_first):
    async with Rig(profile="vertex") as rig:
        async with rig.connect_vertex() as session:
            if handle_first:
                await session.send_text("Hello")
                await until(session, live.SessionResumption)
            speech = np.tile(SPEECH, 6)
            for index, start in enumerate(range(0, len(speech), 320)):
                await session.send_audio(speech[start : start + 320])
                if index in (70, 200):
                    rig.emulator.cut()
                    await session.wait_for_status(STATUS.RECONNECTING)
                if index == 120:
                    await session.wait_for_status(STATUS.CONNECTED)
                await asyncio.sleep(0)
            await session.audio_stream_end()
            await until(session, live.TurnComplete)
            await session.drain()
        stats = session.stats
        assert stats.reconnects == 2
        assert (stats.expired, stats.uncertain) == (0, 0)
        # without a handle each connection is a session of its own for the service, and the last has heard everything
        assert np.array_equal(rig.emulator.ledger.sessions[-1].audio, speech)


# --- runner ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text_frames", [True, False])
async def test_row_runner_reads_text_and_binary_frames(text_frames):
    async with Rig(text_frames=text_frames) as rig, rig.connect() as session:
        await session.send_text("Hello")
        await until(session, live.TurnComplete)


async def test_row_runner_reports_what_it_cannot_decode_and_goes_on():
    async with Rig() as rig, rig.connect() as session:
        for connection in rig.emulator.connections:
            await connection._socket.send_bytes(b"\xff not JSON")
            await connection._socket.send_str('{"somethingNew":{"a":1}}')
        broken = await until(session, live.Unknown)
        assert broken.raw == b"\xff not JSON"
        assert broken.problem
        new = await until(session, live.Unknown)
        assert new.raw == b'{"somethingNew":{"a":1}}'
        assert not new.problem
        await session.send_text("still there")
        await until(session, live.TurnComplete)


async def test_row_runner_is_one_task_and_leaves_none():
    async with Rig() as rig:
        async with rig.connect():
            assert sum(task.get_name() == "gemini-live session" for task in asyncio.all_tasks()) == 1
        assert not others()


# --- handshake ------------------------------------------------------------------------------------------------------


async def test_row_handshake_injects_the_handle_on_reconnect():
    async with Rig() as rig, rig.connect() as session:
        await until(session, live.SessionResumption)
        await session.send_client_content("remember me", turn_complete=False)
        await session.drain()
        while not rig.heard.contents:
            await asyncio.sleep(0)
        rig.emulator.cut()
        assert (await until(session, live.Reconnected)).context_restored
        assert len(rig.emulator.ledger.sessions) == 1
        assert len(rig.heard.contents) == 1


# --- goAway ---------------------------------------------------------------------------------------------------------


async def test_row_go_away_is_a_planned_move_without_back_off():
    slow = live.ReconnectPolicy(base_s=1_000.0, cap_s=1_000.0)
    async with Rig() as rig, rig.connect(reconnect=slow) as session:
        await until(session, live.SessionResumption)
        await rig.emulator.go_away(50.0)
        assert (await until(session, live.GoAway)).time_left_s == 50.0
        reconnecting = await until(session, live.Reconnecting)
        assert (reconnecting.delay_s, reconnecting.kind) == (0.0, live.CloseKind.PLANNED)
        assert (await until(session, live.Reconnected)).context_restored


@pytest.mark.parametrize("surface", ["connect", "connect_vertex"])
async def test_row_go_away_during_speech_loses_and_repeats_nothing(surface):
    async with Rig(profile="vertex" if surface == "connect_vertex" else "3.8") as rig:
        async with getattr(rig, surface)() as session:
            await session.send_text("Hello")
            await until(session, live.TurnComplete)
            if surface == "connect_vertex":  # there, a handle comes after each turn
                await until(session, live.SessionResumption)
            speech = np.tile(SPEECH, 4)
            for start in range(0, len(speech), 320):
                await session.send_audio(speech[start : start + 320])
                if start == 320 * 60:
                    await rig.emulator.go_away()
                await asyncio.sleep(0)
            await session.audio_stream_end()
            await until(session, live.TurnComplete)
            await session.drain()
        assert session.stats.reconnects == 1
        assert (session.stats.expired, session.stats.uncertain) == (0, 0)
        assert np.array_equal(rig.heard.audio, speech)


# --- close ----------------------------------------------------------------------------------------------------------


async def test_row_close_sends_a_close_frame_and_waits():
    async with Rig() as rig:
        session = await rig.connect()
        await session.send_text("last words")
        await session.close()
        assert session.status is STATUS.CLOSED
        assert session.stats.acknowledged == 1
        assert not others()
        await session.close()
        while rig.emulator.connections:
            await asyncio.sleep(0)
        assert rig.heard.texts == ["last words"]


async def test_row_close_other_users_see_closed():
    async with Rig() as rig:
        session = await rig.connect()
        waiting = [asyncio.create_task(until(session.events(), live.Closed)) for _ in range(3)]
        await asyncio.sleep(0)
        await session.close()
        assert [closed.kind for closed in await asyncio.gather(*waiting)] == [live.CloseKind.REQUESTED] * 3
        with pytest.raises(live.SessionClosed):
            await session.send_text("too late")


async def test_row_close_two_at_once():
    async with Rig() as rig:
        session = await rig.connect()
        await asyncio.gather(session.close(), session.close())
        assert session.status is STATUS.CLOSED


async def test_row_close_when_the_last_user_is_gone():
    async with Rig() as rig:
        session = await rig.connect()
        assert rig.emulator.connections
        del session
        gc.collect()
        async with asyncio.timeout(5):
            while rig.emulator.connections or others():
                await asyncio.sleep(0.001)


async def test_row_close_by_the_service_with_a_fatal_code():
    async with Rig() as rig, rig.connect() as session:
        await rig.emulator.close_connections(1008, "Your API key was reported as leaked. Please use another API key.")
        closed = await until(session, live.Closed)
        assert closed.kind is live.CloseKind.CREDENTIALS
        assert closed.code == 1008


# --- exhausted / disabled reconnect ---------------------------------------------------------------------------------


async def test_row_exhausted_reconnect_says_so_then_the_stream_ends():
    policy = live.ReconnectPolicy(base_s=0.001, cap_s=0.001, max_attempts=3)
    async with Rig() as rig, rig.connect(reconnect=policy) as session:
        rig.emulator.faults = emulator.Faults(http_status=503)
        rig.emulator.cut()
        events = [event async for event in session]
        assert [event.attempt for event in events if isinstance(event, live.Reconnecting)] == [1, 2, 3]
        assert events[-1].kind is live.CloseKind.RECONNECT_EXHAUSTED
        assert events[-1].attempts == 3
        assert events[-1].code == 503


async def test_row_disabled_reconnect_says_so_then_the_stream_ends():
    async with Rig() as rig, rig.connect(reconnect=live.ReconnectPolicy(enabled=False)) as session:
        rig.emulator.cut()
        events = [event async for event in session]
        assert events[-1].kind is live.CloseKind.RECONNECT_DISABLED
        assert not any(isinstance(event, live.Reconnecting) for event in events)
