from __future__ import annotations

import asyncio
import base64
import gc
import json
import math
import ssl
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import gemini_live as live
from conftest import needs_opencv, on_fake_clock
from gemini_live import emulator, opening
from memory_transport import MemoryNetwork

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 100
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
DEEP = '{"x":' * 1_000_000 + "1" + "}" * 1_000_000  # CPython 3.14 goes as deep as its stack is large
CIRCLE = {}
CIRCLE["itself"] = CIRCLE


@pytest.fixture
def network(monkeypatch):
    """Sessions in memory: `connect` dials this."""
    network = MemoryNetwork()
    monkeypatch.setattr(opening, "random", SimpleNamespace(random=lambda: 1.0))
    monkeypatch.setattr(opening, "dial", network)
    return network


def connect(setup="gemini-3.8-live", **options):
    return live.connect(setup, auth="key", **options)


def manual_vad():
    return {
        "model": "m",
        "realtime_input_config": {"automatic_activity_detection": {"disabled": True}},
    }


def others():
    return asyncio.all_tasks() - {asyncio.current_task()}


# --- what goes out --------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_a_bare_model_name_asks_for_spoken_answers_and_resumption(network):
    async with connect():
        assert json.loads(network.last.written[0]) == {
            "setup": {
                "model": "models/gemini-3.8-live",
                "generationConfig": {"responseModalities": ["AUDIO"]},
                "sessionResumption": {},
            }
        }


@on_fake_clock
async def test_vertex_gets_its_own_model_name_and_transparent_resumption(network):
    endpoint = live.VertexAi(project="p")
    async with live.connect("gemini-3.8-live", endpoint=endpoint, auth=live.BearerToken("t")):
        setup = json.loads(network.last.written[0])["setup"]
    assert setup["model"] == "projects/p/locations/us-central1/publishers/google/models/gemini-3.8-live"
    assert setup["sessionResumption"] == {"transparent": True}


@on_fake_clock
async def test_without_reconnecting_resumption_is_not_asked_for(network):
    async with connect(reconnect=live.ReconnectPolicy(enabled=False)):
        assert "sessionResumption" not in json.loads(network.last.written[0])["setup"]


@on_fake_clock
async def test_audio_is_cut_into_chunks_and_the_rest_follows_at_the_end(network):
    samples = np.arange(700, dtype=np.int16)
    async with connect() as session:
        await session.send_audio(samples)
        assert len(network.last.said) == 2
    audio = [message["realtimeInput"]["audio"] for message in network.last.said]
    assert [one["mimeType"] for one in audio] == ["audio/pcm;rate=16000"] * 3

    assert b"".join(base64.b64decode(one["data"]) for one in audio) == samples.tobytes()


@on_fake_clock
async def test_another_rate_begins_a_new_chunk_and_loses_nothing(network):
    async with connect() as session:
        await session.send_audio(np.zeros(100, np.int16))
        await session.send_audio(np.zeros(480, np.int16), rate_hz=24_000)
    audio = [message["realtimeInput"]["audio"] for message in network.last.said]
    assert [one["mimeType"] for one in audio] == ["audio/pcm;rate=16000"] * 2
    assert [len(base64.b64decode(one["data"])) for one in audio] == [200, 640]


@on_fake_clock
@pytest.mark.parametrize("detector", [None, lambda chunk: bool(chunk.any())])
async def test_samples_that_are_not_what_they_should_be_are_counted(network, detector):
    setup = "gemini-3.8-live" if detector is None else manual_vad()
    async with connect(setup, speech=live.SpeechPolicy(detector=detector)) as session:
        await session.send_audio(np.array([math.nan, 12_000, -0.5], np.float32))
        assert (session.stats.nan_samples, session.stats.clipped_samples) == (1, 1)


@on_fake_clock
async def test_a_telephone_a_studio_and_a_sideways_array_are_all_speech(network):
    async with connect() as session:
        await session.send_audio(b"\xff" * 160, rate_hz=8_000, encoding="mulaw")
        await session.send_audio(np.zeros((960, 2), ">f4"), rate_hz=48_000)
        assert session.feed_audio(np.zeros((2, 320), np.float16), layout="channels_first")
        assert session.feed_audio(b"\xd5" * 160, rate_hz=8_000, encoding="alaw")
        with pytest.raises(ValueError, match="layout must be"):
            await session.send_audio(b"\0\0", layout="sideways")
        with pytest.raises(ValueError, match="encoding must be"):
            session.feed_audio(b"\0\0", encoding="mp3")
    sent = [base64.b64decode(message["realtimeInput"]["audio"]["data"]) for message in network.last.said]
    assert sum(map(len, sent)) == 4 * 640
    levels = np.frombuffer(b"".join(sent), "<i2")
    assert not levels[:960].any()
    assert np.abs(levels[960:] - 8).max() <= 8  # the smallest step of A-law: it has no zero


@pytest.mark.parametrize(("chunk_ms", "count"), [(10, 10), (20, 5), (100, 1)])
def test_the_chunk_length_is_the_users_choice(network, chunk_ms, count):
    @on_fake_clock
    async def run():
        async with connect(chunk_ms=chunk_ms) as session:
            await session.send_audio(b"\0\0" * 1_600)
            assert len(network.last.said) == count

    run()


@on_fake_clock
async def test_every_kind_of_message_on_the_wire(network):
    async with connect() as session:
        await session.send_video(JPEG)
        await session.send_video(PNG)
        await session.send_video(b"RIFFxxxxWEBP", mime_type="image/webp")
        await session.send_text("Hello")
        await session.send_client_content("Hi")
        await session.send_client_content([{"role": "model", "parts": [{"text": "Oh"}]}], turn_complete=False)
        await session.send_client_content()
        await session.send_tool_response(live.FunctionResponse(id="1", name="f", response={"output": 1}))
        await session.send_tool_response([{"id": "2", "name": "g", "scheduling": "SILENT", "willContinue": False}])
        await session.update_context(system_instruction="Be brief", tools=[])
        await session.audio_stream_end()
        await session.send_raw({"realtimeInput": {"text": "raw"}})
        await session.send_raw('{"a":1}')
        await session.send_raw(b'{"b":2}')
        said = network.last.said
    assert [message["realtimeInput"]["video"]["mimeType"] for message in said[:3]] == [
        "image/jpeg",
        "image/png",
        "image/webp",
    ]
    assert said[3:] == [
        {"realtimeInput": {"text": "Hello"}},
        {"clientContent": {"turns": [{"parts": [{"text": "Hi"}], "role": "user"}], "turnComplete": True}},
        {"clientContent": {"turns": [{"role": "model", "parts": [{"text": "Oh"}]}]}},
        {"clientContent": {"turnComplete": True}},
        {"toolResponse": {"functionResponses": [{"name": "f", "id": "1", "response": {"output": 1}}]}},
        {
            "toolResponse": {
                "functionResponses": [{"name": "g", "id": "2", "scheduling": "SILENT", "willContinue": False}]
            }
        },
        {"contextUpdate": {"systemInstruction": {"parts": [{"text": "Be brief"}], "role": "user"}, "tools": {}}},
        {"realtimeInput": {"audioStreamEnd": True}},
        {"realtimeInput": {"text": "raw"}},
        {"a": 1},
        {"b": 2},
    ]


@on_fake_clock
async def test_activity_marks_come_after_the_speech_before_them(network):
    async with connect(manual_vad()) as session:
        await session.activity_start()
        await session.send_audio(b"\0\0" * 400)
        await session.activity_end()
        kinds = [next(iter(message["realtimeInput"])) for message in network.last.said]
    assert kinds == ["activityStart", "audio", "audio", "activityEnd"]


# --- from other threads ---


def elsewhere(action):
    """Do it in another thread, while this one waits: the loop comes round to nothing meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(action).result()


async def test_a_microphone_thread_feeds_without_waiting_and_in_order():
    samples = np.arange(32_000, dtype=np.int16)
    async with emulator.Emulator(compress_time=True) as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="k") as session:

            def callback():
                for start in range(0, len(samples), 441):
                    assert session.feed_audio(samples[start : start + 441])

            await asyncio.to_thread(callback)
            assert session.stats.accepted == 100
            await session.send_text("after the speech")
        assert np.array_equal(server.ledger.sessions[0].audio, samples)
        assert [entry.kind for entry in server.ledger.sessions[0].log.entries][-1] == "text"
        assert not session.feed_audio(samples)


@on_fake_clock
async def test_feeding_costs_one_wake_up_for_a_batch(network):
    async with connect() as session:
        before = len(asyncio.get_running_loop()._ready)

        def feed():
            for _ in range(50):
                session.feed_audio(b"\0\0" * 320)
            assert session.feed_video(JPEG)

        elsewhere(feed)
        assert len(asyncio.get_running_loop()._ready) - before <= 2
        assert session.stats.waiting == session.stats.accepted == 51
        await asyncio.sleep(0.01)
        assert len(network.last.said) == 51
        assert session.stats.waiting == 0


@on_fake_clock
async def test_what_was_fed_to_a_blocked_loop_is_as_old_as_it_is(network):
    async with connect(outbox=live.OutboxLimits(audio_ms=200)) as session:
        for _ in range(5):
            elsewhere(lambda: session.feed_audio(b"\0\0" * 320))
        asyncio.get_running_loop()._jumping.now += 1.0  # the loop was busy for a second
        await asyncio.sleep(0.0)
        await asyncio.sleep(0.0)
        assert (session.stats.written, session.stats.expired) == (0, 5)
        assert session.stats.longest_wait_s == pytest.approx(1.0)


@on_fake_clock
async def test_what_was_fed_goes_before_what_is_sent_after_it(network):
    async with connect() as session:
        elsewhere(lambda: session.feed_audio(b"\0\0" * 320))
        await session.send_text("after")
        assert [next(iter(message["realtimeInput"])) for message in network.last.said] == ["audio", "text"]


@on_fake_clock
async def test_what_is_fed_in_the_loops_own_thread_leaves_at_once(network):
    async with connect() as session:
        elsewhere(lambda: session.feed_audio(np.full(320, 1, np.int16)))
        for number in (2, 3):
            assert session.feed_audio(np.full(320, number, np.int16))
        heard = [message["realtimeInput"]["audio"]["data"][:3] for message in network.last.said]
        assert heard == ["AQA", "AgA", "AwA"]  # little-endian 1, 2, 3


@on_fake_clock
async def test_what_is_fed_wrongly_is_a_typed_error_in_the_callers_thread(network):
    async with connect() as session:
        with pytest.raises(TypeError):
            session.feed_audio("text")
        with pytest.raises(ValueError, match="neither"):
            session.feed_video(b"GIF89a")
        assert session.stats.accepted == 0
    assert not session.feed_video(JPEG)


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "error", "words"),
    [
        (np.zeros(320, np.complex64), TypeError, "int16"),
        (np.zeros((2, 2, 2), np.int16), ValueError, "channels"),
        (np.zeros(0, np.int16), ValueError, "empty"),
        (b"\0\0\0", ValueError, "odd"),
        ("text", TypeError, "buffer"),
        (None, TypeError, "buffer"),
        ([0, 1], TypeError, "buffer"),
    ],
)
def test_samples_that_cannot_be_sent(network, block, error, words):
    @on_fake_clock
    async def run():
        async with connect() as session:
            with pytest.raises(error, match=words):
                await session.send_audio(block)
            assert session.stats.accepted == 0

    run()


@on_fake_clock
async def test_strided_samples_and_impossible_ones_within_good_ones_are_defined(network):
    async with connect() as session:
        await session.send_audio(np.zeros((640, 2), np.float32)[::2, 1])
        await session.send_audio(np.full(320, np.nan, np.float32))
        await session.send_audio(np.full(320, np.inf, np.float64))
        assert session.stats.written == 3


@pytest.mark.parametrize("rate_hz", [0, -1, 10_000_000])
def test_impossible_rates(network, rate_hz):
    @on_fake_clock
    async def run():
        async with connect() as session:
            await session.send_audio(b"\0\0" * 10)
            with pytest.raises(ValueError, match="rate"):
                await session.send_audio(b"\0\0" * 320, rate_hz=rate_hz)
            await session.send_audio(b"\0\0" * 310)
            assert session.stats.written == 1, "the refused rate must not have disturbed the stream"

    run()


@pytest.mark.parametrize(
    ("image", "options", "error"),
    [
        (b"", {}, ValueError),
        (b"GIF89a", {}, ValueError),
        pytest.param(np.zeros((4, 4, 3), np.float32), {}, TypeError, marks=needs_opencv),
        pytest.param(np.zeros((3, 5, 6), np.uint8), {}, ValueError, marks=needs_opencv),
        pytest.param(np.zeros((4, 0, 3), np.uint8), {}, ValueError, marks=needs_opencv),
        pytest.param(np.zeros((4, 4, 3), np.uint8), {"order": "grb"}, ValueError, marks=needs_opencv),
        (np.zeros(4, np.float32), {}, TypeError),
        ("path.jpg", {}, TypeError),
        (JPEG, {"mime_type": "audio/pcm"}, ValueError),
        (JPEG, {"mime_type": 'image/"'}, ValueError),
    ],
)
def test_images_that_cannot_be_sent(network, image, options, error):
    @on_fake_clock
    async def run():
        async with connect() as session:
            with pytest.raises(error):
                await session.send_video(image, **options)
            assert session.stats.accepted == 0

    run()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda session: session.send_client_content([{"rol": "user"}]), "did you mean 'role'"),
        (lambda session: session.send_tool_response([]), "no response"),
        (lambda session: session.send_tool_response({"name": "f"}), "no id"),
        (lambda session: session.send_tool_response({"id": "1", "name": "f", "response": {"x": object()}}), "JSON"),
        (lambda session: session.send_text("a\udcff"), "JSON cannot: .*utf-8"),
        (lambda session: session.send_text(7), "text: Expected `str`, got `int`"),
        (lambda session: session.send_text({"text": "a"}), "text: Expected `str`, got `object`"),
        (lambda session: session.update_context(), "system_instruction"),
        (lambda session: session.update_context(tools=live.Tool()), "tools is a list, not Tool"),
        (lambda session: session.update_context(tools={"google_search": {}}), "tools is a list, not dict"),
        (lambda session: session.activity_start(), "automatic_activity_detection"),
        (lambda session: session.activity_end(), "automatic_activity_detection"),
        (lambda session: session.send_raw("[]"), "JSON object"),
        (lambda session: session.send_raw(b"\xff"), "JSON object"),
        (lambda session: session.send_raw({"x": object()}), "JSON"),
        # not UTF-8 in a text frame ends the connection (RFC 6455 8.1)
        (lambda session: session.send_raw(b'{"x":"\xff"}'), "JSON object: .*utf-8"),
        (lambda session: session.send_raw('{"x":"\ud800"}'), "JSON object: .*utf-8"),
        (lambda session: session.send_raw({"x": [{"y": math.nan}]}), r"JSON: x\[0\]\.y is nan"),
        (lambda session: session.send_raw({"x": "\ud800"}), "JSON: .*utf-8"),
        (lambda session: session.send_raw(CIRCLE), "JSON: it is nested too deep, or holds itself"),
        (lambda session: session.send_raw(DEEP), "JSON object: it is nested too deep"),
        (
            lambda session: session.send_tool_response({"id": "1", "name": "f", "response": CIRCLE}),
            r"responses\[0\].response.itself: it is nested too deep, or holds itself",
        ),
        (
            lambda session: session.send_tool_response(live.FunctionResponse(id="1", name="f", response=CIRCLE)),
            "it is nested too deep, or holds itself",
        ),
    ],
)
def test_messages_that_cannot_be_sent(network, call, words):
    @on_fake_clock
    async def run():
        async with connect() as session:
            with pytest.raises(live.ConfigError, match=words):
                await call(session)
            assert session.stats.accepted == 0

    run()


@on_fake_clock
async def test_a_session_that_was_awaited_is_closed_by_the_end_of_its_block(network):
    session = await connect()
    async with session as same:
        assert same is session
        assert session.status is live.SessionStatus.CONNECTED
    assert session.status is live.SessionStatus.CLOSED
    assert network.last.closed == 1000


@on_fake_clock
async def test_a_call_whose_answer_goes_on_is_still_pending(network):
    async with connect() as session:
        network.last.say(b'{"toolCall":{"functionCalls":[{"id":"1","name":"f","args":{}}]}}')
        while not isinstance(await session.next_event(), live.ToolCall):
            pass
        for will_continue, pending in ((True, ["1"]), (False, [])):
            answer = live.FunctionResponse(id="1", name="f", response={}, will_continue=will_continue)
            await session.send_tool_response(answer)
            assert list(session._protocol.conversation.pending_calls) == pending


@on_fake_clock
async def test_audio_stream_end_with_vad_disabled_names_what_is_meant(network):
    async with connect(manual_vad()) as session:
        with pytest.raises(live.ConfigError, match="activity_end"):
            await session.audio_stream_end()


@on_fake_clock
async def test_an_empty_text_is_refused(network):
    async with connect() as session:
        with pytest.raises(ValueError, match="empty"):
            await session.send_text("")


SENDS = {
    "send_audio": lambda session: session.send_audio(b"\0\0"),
    "send_video": lambda session: session.send_video(JPEG),
    "send_text": lambda session: session.send_text("x"),
    "send_client_content": lambda session: session.send_client_content("x"),
    "send_tool_response": lambda session: session.send_tool_response({"id": "1", "name": "f"}),
    "update_context": lambda session: session.update_context(system_instruction="x"),
    "audio_stream_end": lambda session: session.audio_stream_end(),
    "send_raw": lambda session: session.send_raw({}),
}


@pytest.mark.parametrize("name", SENDS)
def test_sending_after_close_is_a_typed_error(network, name):
    @on_fake_clock
    async def run():
        async with connect() as session:
            pass
        with pytest.raises(live.SessionClosed, match=r"close\(\) was called") as caught:
            await SENDS[name](session)
        assert caught.value.closed.kind is live.CloseKind.REQUESTED

    run()


@on_fake_clock
async def test_awaiting_after_close(network):
    async with connect() as session:
        pass
    assert [type(event).__name__ async for event in session][-1] == "Closed"
    assert [event async for event in session] == []
    assert [event async for event in session.events()] == []
    with pytest.raises(live.SessionClosed):
        await session.next_event()
    with pytest.raises(live.SessionClosed):
        await session.wait_for_status(live.SessionStatus.CONNECTED)
    await session.wait_for_status(live.SessionStatus.CLOSED)
    await session.drain()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chunk_ms": 9}, "10 to 100"),
        ({"chunk_ms": 20.0}, r"chunk_ms must be a whole number of milliseconds, not 20\.0"),
        ({"chunk_ms": "20"}, r"whole number.*'20'"),
        ({"endpoint": "http://localhost"}, "ws or wss"),
        ({"endpoint": "localhost:80"}, "ws"),
        ({"endpoint": 7}, "endpoint"),
        ({"auth": ""}, "empty"),
        ({"auth": "two\nlines"}, "line end"),
        ({"auth": 7}, "auth"),
        ({"auth": live.BearerToken("t")}, "Developer API"),
        ({"transport": 5}, "transport must be TransportConfig or a mapping, not int"),
        ({"transport": {"connect_timeout": 5}}, "'connect_timeout_s'"),
        ({"reconnect": {"enabled": "never"}}, "reconnect.enabled: Expected `bool`"),
        ({"reconnect": {"max_attempts": 0}}, "at least 1"),
        ({"reconnect": {"base_s": None}}, "reconnect.base_s: Expected `float`"),
        ({"outbox": live.ReconnectPolicy()}, "outbox must be OutboxLimits or a mapping, not ReconnectPolicy"),
        ({"speech": {"detector": "webrtc"}}, "detector must be callable"),
    ],
)
def test_arguments_that_cannot_work_are_found_before_any_io(options, words):
    with pytest.raises(live.ConfigError, match=words):
        live.connect("gemini-3.8-live", **{"auth": "key", **options})


@on_fake_clock
async def test_a_mapping_will_do_for_each_part_of_the_configuration(network):
    context = ssl.create_default_context()
    async with connect(
        manual_vad(),
        transport={"connect_timeout_s": 5, "lost_after_s": math.inf, "headers": {"x-who": "me"}, "ssl": context},
        reconnect={"enabled": False, "max_attempts": None},
        outbox={"audio_ms": 500},
        speech={"detector": bool, "hangover_ms": 40, "stream_end_after_ms": None},
    ) as session:
        config = session._config
        assert config.transport == live.TransportConfig(
            connect_timeout_s=5.0, lost_after_s=math.inf, headers={"x-who": "me"}, ssl=context
        )
        assert config.reconnect == live.ReconnectPolicy(enabled=False, max_attempts=None)
        assert config.outbox == live.OutboxLimits(audio_ms=500)
        assert config.speech.hangover_ms == 40
        assert config.speech.stream_end_after_ms is None
        assert config.speech.detector is bool


def test_a_missing_key_names_the_variable(monkeypatch):
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    with pytest.raises(live.ConfigError, match="GEMINI_API_KEY"):
        live.connect("gemini-3.8-live")


def test_an_unknown_field_of_the_setup_names_the_closest_known_one():
    with pytest.raises(live.ConfigError, match="temperature") as caught:
        live.connect({"model": "m", "generationConfig": {"temprature": 1}}, auth="key")
    assert caught.value.suggestion == "temperature"
    assert caught.value.path == "setup.generationConfig.temprature"


def test_a_whole_config_and_a_part_of_one_contradict_each_other():
    config = live.SessionConfig(setup=live.Setup(model="m"))
    with pytest.raises(live.ConfigError, match="reconnect"):
        live.connect(config, auth="key", reconnect=live.ReconnectPolicy())


# --- waiting --------------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_control_waits_for_room_and_audio_does_not(network):
    async with connect(outbox=live.OutboxLimits(control_bytes=100)) as session:
        await asyncio.sleep(3.0)
        network.answers_setup = False
        network.last.lose()
        await session.send_text("x" * 60)
        waiting = asyncio.create_task(session.send_text("y" * 60))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await session.send_audio(b"\0\0" * 320)
        network.answers_setup = True
        await waiting
        await session.drain()
        texts = [message["realtimeInput"].get("text") for message in network.last.said]
        assert texts == ["x" * 60, None, "y" * 60]


@on_fake_clock
async def test_nobody_overtakes_a_sender_that_waits_for_room(network):
    async with connect(outbox=live.OutboxLimits(control_bytes=1_000)) as session:
        network.last.receiver.writing_paused()
        await session.send_text("first" * 150)
        senders = [
            asyncio.create_task(session.send_text(text)) for text in ("large" * 150, "small", "given up", "last")
        ]
        await asyncio.sleep(0.1)
        senders[2].cancel()
        await asyncio.sleep(0.1)
        assert not any(sender.done() for sender in senders[:2])
        network.last.receiver.writing_resumed()
        await asyncio.wait(senders)
        said = [message["realtimeInput"]["text"][:5] for message in network.last.said]
    assert said == ["first", "large", "small", "last"]


@on_fake_clock
async def test_a_sender_that_waits_for_room_is_told_when_the_session_ends(network):
    async with connect(outbox=live.OutboxLimits(control_bytes=10)) as session:
        network.last.lose()
        await session.send_text("x" * 60)
        waiting = asyncio.create_task(session.send_text("y" * 60))
        await asyncio.sleep(0)
        await session.close()
        with pytest.raises(live.SessionClosed):
            await waiting


@on_fake_clock
async def test_drain_waits_for_the_reconnect_and_fails_if_there_is_none(network):
    async with connect() as session:
        network.last.lose()
        await session.send_text("x")
        assert session.stats.waiting == 1
        await session.drain()
        assert session.stats.waiting == 0
        network.last.lose()
        await session.send_text("y")
        draining = asyncio.create_task(session.drain())
        await asyncio.sleep(0)
        await session.close()
        with pytest.raises(live.SessionClosed):
            await draining
        assert session.stats.waiting == 1


@on_fake_clock
async def test_cancelling_connect_leaves_nothing_behind(network):
    network.delay_s = 1.0

    async def enter():
        async with connect():
            pytest.fail("it should not have come so far")

    connecting = asyncio.create_task(enter())
    await asyncio.sleep(0.5)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert not others()


@on_fake_clock
async def test_a_session_that_nobody_holds_any_more_closes_itself(network):
    session = await connect()
    transport = network.last
    gone = weakref.ref(session)
    del session
    gc.collect()
    assert gone() is None
    await asyncio.sleep(1.0)
    assert transport.closed == 1000
    assert not others()


@on_fake_clock
async def test_a_consumer_keeps_its_session_alive(network):
    events = (await connect()).events()
    gc.collect()
    await asyncio.sleep(1.0)
    assert network.last.closed is None
    del events
    gc.collect()
    await asyncio.sleep(1.0)
    assert network.last.closed == 1000


def test_the_repr_holds_no_secret(network):
    @on_fake_clock
    async def run():
        connecting = live.connect("m", auth="sk-secret")
        assert "sk-secret" not in repr(connecting)
        async with connecting as session:
            assert repr(session) == "<Session connected model='models/m'>"

    run()


# --- against the emulator -------------------------------------------------------------------------------------------


async def test_a_wrong_key_is_an_authentication_error():
    async with emulator.serve(api_key="right", compress_time=True) as url:
        with pytest.raises(live.AuthenticationError, match="API key not valid") as caught:
            await live.connect("gemini-3.8-live", endpoint=url, auth="wrong")
        assert caught.value.code == 1007
        assert "GEMINI_API_KEY" in caught.value.hint


async def test_a_wrong_model_is_a_setup_error():
    async with emulator.serve(compress_time=True) as url:
        with pytest.raises(live.SetupError, match="is not found") as caught:
            await live.connect("gemini-nonsense", endpoint=url, auth="k")
        assert caught.value.code == 1008


async def test_an_unreachable_host_says_which():
    with pytest.raises(live.ConnectError, match=r"127\.0\.0\.1:1"):
        await live.connect("gemini-3.8-live", endpoint="ws://127.0.0.1:1", auth="k")


async def test_tls_with_the_right_and_the_wrong_authority():
    server = emulator.serve(tls=True, compress_time=True)
    async with server as url:
        with pytest.raises(live.ConnectError, match="not trusted"):
            await live.connect("gemini-3.8-live", endpoint=url, auth="k")
        trusting = live.TransportConfig(ssl=server.client_ssl_context())
        async with live.connect("gemini-3.8-live", endpoint=url, auth="k", transport=trusting) as session:
            assert session.status is live.SessionStatus.CONNECTED


async def test_a_spoken_turn_comes_back():
    tone = (8_000 * np.sin(np.arange(16_000) * 2 * np.pi * 440 / 16_000)).astype(np.int16)
    async with (
        emulator.serve(compress_time=True) as url,
        live.connect("gemini-3.8-live", endpoint=url, auth="k") as session,
    ):
        await session.send_audio(tone)
        await session.audio_stream_end()
        heard = []
        async for event in session:
            match event:
                case live.ModelAudio():
                    heard.append(event.samples)
                case live.TurnComplete():
                    break
        assert abs(sum(map(len, heard)) - 24_000) < 2_400
