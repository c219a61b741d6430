from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import gemini_live as live
from conftest import on_fake_clock
from gemini_live import opening, telemetry
from gemini_live.failures import Failure
from memory_transport import MemoryNetwork

PAGE = Path(__file__).parent.parent / "docs" / "observability.md"
KINDS = {"gen_ai.provider.name": "gcp.gemini", "gen_ai.request.model": "gemini-3.8-live"}
AUDIO = (
    b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAAAAA=="}}]}}}'
)
HEARD = b'{"serverContent":{"inputTranscription":{"text":"the secret plan"}}}'
OVER = b'{"serverContent":{"turnComplete":true}}'
USAGE = json.dumps(
    {
        "usageMetadata": {
            "promptTokenCount": 30,
            "promptTokensDetails": [
                {"modality": "AUDIO", "tokenCount": 20},
                {"modality": "TEXT", "tokenCount": 10},
            ],
            "responseTokenCount": 7,
            "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 7}],
            "toolUsePromptTokenCount": 2,
            "thoughtsTokenCount": 5,
        }
    }
).encode()


@pytest.fixture
def network(monkeypatch):
    network = MemoryNetwork()
    monkeypatch.setattr(opening, "random", SimpleNamespace(random=lambda: 1.0))
    monkeypatch.setattr(opening, "dial", network)
    return network


class Watch:
    """What arrives at an exporter."""

    def __init__(self):
        self._reader = InMemoryMetricReader()
        self._spans = InMemorySpanExporter()
        self.meters = MeterProvider([self._reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))

    def instrument(self, session, **attributes):
        session.instrument(meter_provider=self.meters, tracer_provider=self.tracers, attributes=attributes)

    @property
    def metrics(self):
        data = self._reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                found.update((metric.name, metric) for metric in scope.metrics)
        return found

    def value(self, name, **having):
        """The sum of a metric over its points, or over those with these attributes (dots as underscores)."""
        points = self.metrics[name].data.data_points
        wanted = having.items()
        return sum(
            point.value if hasattr(point, "value") else point.sum
            for point in points
            if wanted <= {key.rpartition(".")[2]: value for key, value in point.attributes.items()}.items()
        )

    def count(self, name):
        return sum(point.count for point in self.metrics[name].data.data_points)

    def spans(self, name=""):
        return [span for span in self._spans.get_finished_spans() if name in span.name]

    def everything(self):
        """All that ever leaves the process, as one text."""
        return "".join(metric.to_json() for metric in self.metrics.values()) + "".join(
            span.to_json() for span in self.spans()
        )


@pytest.fixture
def watch():
    watch = Watch()
    yield watch
    watch.meters.shutdown()
    watch.tracers.shutdown()


def connect(**options):
    return live.connect("gemini-3.8-live", auth="sk-key", **options)


# --- accounts -------------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_the_accounts_arrive_and_add_up(network, watch):
    async with connect(speech=live.SpeechPolicy(stream_end_after_ms=None)) as session:
        watch.instrument(session)
        for _ in range(10):
            await session.send_audio(b"\0\0" * 320)
        await session.send_text("the secret plan")
        await asyncio.sleep(1.5)
        assert watch.value("gemini_live.messages.accepted") == 11
        assert watch.value("gemini_live.messages.accepted", kind="audio") == 10
        assert watch.value("gemini_live.messages.written") == 11
        network.last.lose()
        await asyncio.sleep(0.2)
        await session.send_audio(b"\0\0" * 320)
        network.answers_setup = False
        await asyncio.sleep(3.0)
        network.answers_setup = True
        await session.wait_for_status(live.SessionStatus.CONNECTED)
    stats = session.stats
    for fate in ("accepted", "waiting", "written", "acknowledged", "expired", "replayed", "uncertain"):
        for kind, fates in stats.by_kind.items():
            name = f"gemini_live.messages.{fate}"
            reported = watch.value(name, kind=kind) if name in watch.metrics else 0
            assert reported == getattr(fates, fate), (fate, kind)
    assert stats.uncertain == 11
    assert stats.expired == 1
    assert watch.value("gemini_live.io", direction="transmit") == stats.bytes_written
    assert watch.value("gemini_live.io", direction="receive") == stats.bytes_received
    assert watch.value("gemini_live.reconnects", cause="network") == stats.reconnects == 1
    assert watch.value("gemini_live.reconnect.gap") == pytest.approx(sum(stats.gaps_s))
    assert watch.value("gemini_live.sessions") == 0


@on_fake_clock
async def test_many_sessions_add_up_also_those_that_have_ended(network, watch, monkeypatch):
    for _ in range(3):
        monkeypatch.setattr(opening, "dial", MemoryNetwork())
        async with connect() as session:
            watch.instrument(session)
            await session.send_text("x")
    monkeypatch.setattr(opening, "dial", MemoryNetwork())
    async with connect() as session:
        watch.instrument(session)
        await session.send_text("x")
        await asyncio.sleep(1.5)
        assert watch.value("gemini_live.sessions") == 1
        assert watch.value("gemini_live.messages.accepted") == 4
        assert len(watch.metrics["gemini_live.messages.accepted"].data.data_points) == 1


@on_fake_clock
async def test_the_age_of_what_waits_is_looked_at_every_second(network, watch):
    async with connect() as session:
        watch.instrument(session)
        await asyncio.sleep(2.5)
        assert watch.count("gemini_live.queue.age") == 2
        assert watch.value("gemini_live.queue.age") == 0
        network.answers_setup = False
        network.last.lose()
        await session.send_text("x")
        await asyncio.sleep(2.0)
        assert watch.value("gemini_live.queue.age") > 1.5


@on_fake_clock
async def test_round_trips(network, watch):
    async with connect() as session:
        watch.instrument(session)
        await session.send_text("x")
        await asyncio.sleep(0.25)
        network.last.receiver.pong_received(network.last.pings[-1])
        await asyncio.sleep(2.5)
        assert watch.count("gemini_live.round_trip") == 1
        assert watch.value("gemini_live.round_trip") == pytest.approx(0.25)


def test_every_metric_has_a_unit_says_what_it_is_and_stands_on_the_page(watch):
    instruments = vars(telemetry._Instruments(watch.meters))
    instruments |= instruments.pop("messages")
    page = PAGE.read_text(encoding="utf-8")
    for instrument in instruments.values():
        assert instrument.description
        row = rf"^\| `{re.escape(instrument.name)}` \| [\w -]+, `{re.escape(instrument.unit)}` \| "
        assert re.search(row, page, re.MULTILINE), instrument.name
    rows = re.findall(r"^\| .* \| (?:up-down counter|counter|histogram), `", page, re.MULTILINE)
    assert len(rows) == len(instruments)


# --- turns ----------------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_a_turn_is_a_span_with_its_first_audio_and_its_tokens(network, watch):
    async with connect() as session:
        watch.instrument(session)
        network.last.say(HEARD)
        await asyncio.sleep(0.3)
        network.last.say(AUDIO, AUDIO)
        await asyncio.sleep(0.5)
        network.last.say(USAGE, OVER)
        await asyncio.sleep(0.1)
        assert session.stats.messages_received == 7
    (turn,) = watch.spans("generate_content")
    (whole,) = watch.spans("gemini_live.session")
    assert turn.name == "generate_content gemini-3.8-live"
    assert turn.parent.span_id == whole.context.span_id
    assert turn.attributes.items() >= KINDS.items()
    assert turn.attributes["gemini_live.turn.outcome"] == "complete"
    assert turn.attributes["gen_ai.usage.input_tokens"] == 32
    assert turn.attributes["gen_ai.usage.output_tokens"] == 12
    (first,) = turn.events
    assert first.name == "gemini_live.first_audio"
    assert first.attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.3)
    assert watch.value("gen_ai.client.operation.time_to_first_chunk") == pytest.approx(0.3)
    assert watch.value("gen_ai.client.operation.duration") == pytest.approx(0.8)
    assert watch.value("gemini_live.turns") == 1
    tokens = {
        (direction, modality): watch.value("gen_ai.client.token.usage", type=direction, modality=modality)
        for direction in ("input", "output")
        for modality in ("AUDIO", "TEXT", "MODALITY_UNSPECIFIED", "THOUGHT")
    }
    assert {key: count for key, count in tokens.items() if count} == {
        ("input", "AUDIO"): 20,
        ("input", "TEXT"): 10,
        ("input", "MODALITY_UNSPECIFIED"): 2,
        ("output", "AUDIO"): 7,
        ("output", "THOUGHT"): 5,
    }


@on_fake_clock
async def test_a_question_in_writing_begins_a_turn(network, watch):
    async with connect() as session:
        watch.instrument(session)
        await session.send_text("x")
        await asyncio.sleep(0.4)
        network.last.say(AUDIO, OVER)
        await asyncio.sleep(0.1)
    assert watch.value("gen_ai.client.operation.time_to_first_chunk") == pytest.approx(0.4)
    assert watch.value("gen_ai.client.operation.duration") == pytest.approx(0.4)


@on_fake_clock
@pytest.mark.parametrize("by", ["a function that runs itself", "hand"])
async def test_the_answer_of_a_tool_is_not_the_users_last_word(network, watch, by):
    def f():
        """Answer."""

    setup = {"model": "gemini-3.8-live", "tools": [{"function_declarations": [{"name": "f"}]}]}
    async with live.connect(setup, auth="sk-key") as session:
        watch.instrument(session)
        if by != "hand":
            session.tool(f)
        await session.send_text("x")
        await asyncio.sleep(0.4)
        network.last.say(b'{"toolCall":{"functionCalls":[{"id":"1","name":"f"}]}}')
        await asyncio.sleep(0.1)
        if by == "hand":
            await session.send_tool_response({"id": "1", "name": "f", "response": {}})
        await asyncio.sleep(0.1)
        assert "toolResponse" in network.last.said[-1]
        network.last.say(AUDIO, OVER)
        await asyncio.sleep(0.1)
    assert watch.value("gen_ai.client.operation.time_to_first_chunk") == pytest.approx(0.6)


@on_fake_clock
async def test_without_a_sign_of_the_user_no_latency_is_made_up(network, watch):
    async with connect() as session:
        watch.instrument(session)
        network.last.say(AUDIO, OVER)
        await asyncio.sleep(0.1)
    (turn,) = watch.spans("generate_content")
    assert turn.events[0].attributes == {}
    assert "gen_ai.client.operation.time_to_first_chunk" not in watch.metrics


@on_fake_clock
async def test_interrupted_and_cut_turns_say_so(network, watch):
    async with connect() as session:
        watch.instrument(session)
        network.last.say(AUDIO, b'{"serverContent":{"interrupted":true}}', OVER)
        await asyncio.sleep(0.1)
        network.last.say(AUDIO)
        await asyncio.sleep(0.1)
        network.last.lose()
        await session.wait_for_status(live.SessionStatus.CONNECTED)
        network.last.say(b'{"serverContent":{"modelTurn":{"parts":[{"text":"hm"}]}}}')
        await asyncio.sleep(0.1)
        thinking = b'{"serverContent":{"turnComplete":true,"interactionStatus":"IN_PROGRESS"}}'
        network.last.say(thinking, b'{"serverContent":{"turnComplete":true,"turnCompleteReason":"NEED_MORE_INPUT"}}')
        await asyncio.sleep(0.1)
        await session.send_text("never answered")
    turns = watch.spans("generate_content")
    assert [turn.attributes["gemini_live.turn.outcome"] for turn in turns] == ["interrupted", "cut", "complete", "cut"]
    assert turns[2].attributes["gemini_live.turn.reason"] == "NEED_MORE_INPUT"
    assert watch.value("gemini_live.interruptions") == 1
    assert watch.value("gemini_live.turns") == 2


# --- the connection -------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_a_reconnect_is_a_span_with_its_cause_and_its_attempts(network, watch):
    async with connect() as session:
        watch.instrument(session)
        network.failures = [Failure(code=503, reason="HTTP 503"), None]
        network.last.lose(Failure(code=1011, reason="the secret plan"))
        await asyncio.sleep(10.0)
    (reconnect,) = watch.spans("gemini_live.reconnect")
    (whole,) = watch.spans("gemini_live.session")
    assert reconnect.parent.span_id == whole.context.span_id
    attributes = reconnect.attributes
    assert attributes["gemini_live.reconnect.cause"] == "server"
    assert attributes["gemini_live.reconnect.code"] == 1011
    assert attributes["gemini_live.reconnect.attempts"] == 2
    assert attributes["gemini_live.reconnect.context_restored"] is True
    assert [event.name for event in reconnect.events] == ["gemini_live.dial_failed"]
    assert reconnect.status.status_code is StatusCode.UNSET


@on_fake_clock
async def test_a_session_that_ends_well(network, watch):
    async with connect() as session:
        watch.instrument(session)
    (whole,) = watch.spans("gemini_live.session")
    assert whole.attributes["gemini_live.close.kind"] == "requested"
    assert whole.status.status_code is StatusCode.UNSET


@on_fake_clock
async def test_a_session_that_ends_badly(network, watch):
    async with connect(reconnect=live.ReconnectPolicy(max_attempts=1)) as session:
        watch.instrument(session)
        network.failures = [Failure(kind=live.CloseKind.NETWORK, reason="the secret plan")] * 3
        network.last.lose()
        await session.wait_for_status(live.SessionStatus.CLOSED)
    (whole,) = watch.spans("gemini_live.session")
    (reconnect,) = watch.spans("gemini_live.reconnect")
    assert whole.attributes["error.type"] == "reconnect_exhausted"
    assert whole.status.status_code is reconnect.status.status_code is StatusCode.ERROR


@on_fake_clock
async def test_a_stall_is_an_event_of_the_session(network, watch):
    async with connect() as session:
        watch.instrument(session)
        await session.send_text("x")
        await session.wait_for_status(live.SessionStatus.CONNECTED)
        async for event in session:
            if isinstance(event, live.Stalled):
                break
    (whole,) = watch.spans("gemini_live.session")
    assert "gemini_live.stalled" in [event.name for event in whole.events]


@on_fake_clock
async def test_spans_are_children_of_the_callers(network, watch):
    with watch.tracers.get_tracer("user").start_as_current_span("call") as call:
        async with connect() as session:
            watch.instrument(session)
    (whole,) = watch.spans("gemini_live.session")
    assert whole.parent.span_id == call.get_span_context().span_id


# --- manners --------------------------------------------------------------------------------------------------------


@on_fake_clock
async def test_no_secret_and_nothing_that_was_said_leaves(network, watch):
    network.greeting = (network.greeting[0], b'{"sessionResumptionUpdate":{"newHandle":"the-handle","resumable":true}}')
    async with connect() as session:
        watch.instrument(session, tenant="acme")
        await session.send_text("the secret plan")
        call = b'{"toolCall":{"functionCalls":[{"id":"1","name":"f","args":{"the":"secret plan"}}]}}'
        network.last.say(HEARD, AUDIO, call, b'{"serverContent":{"outputTranscription":{"text":"secret plan"}}}', OVER)
        await asyncio.sleep(0.1)
        network.last.lose(Failure(code=1011, reason="secret plan"))
        await asyncio.sleep(3.0)
    shown = watch.everything()
    assert "acme" in shown
    assert "gemini-3.8-live" in shown
    for secret in ("secret plan", "sk-key", "the-handle"):
        assert secret not in shown


@on_fake_clock
async def test_it_does_not_keep_a_session_alive_and_counts_it_to_its_end(network, watch):
    session = await connect()
    watch.instrument(session)
    await session.send_text("x")
    del session
    gc.collect()
    await asyncio.sleep(0.5)
    assert network.last.closed == 1000
    (whole,) = watch.spans("gemini_live.session")
    assert whole.attributes["gemini_live.close.kind"] == "abandoned"
    assert watch.value("gemini_live.messages.acknowledged") == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


@on_fake_clock
async def test_nothing_is_left_when_close_returns(network, watch):
    async with connect() as session:
        watch.instrument(session)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(watch.spans()) == 1


def test_a_loop_that_ends_under_it_still_ends_the_spans(network, watch):
    async def main():
        session = await connect()
        watch.instrument(session)
        await session.send_text("x")
        return session

    asyncio.run(main())
    assert {span.name for span in watch.spans()} == {"gemini_live.session", "generate_content gemini-3.8-live"}
    assert watch.value("gemini_live.sessions") == 0


class Broken:
    """A provider of instruments of which one raises, or a processor of spans that does at one point."""

    def __init__(self, what, meters):
        self._what = what
        self._meters = meters

    def get_meter(self, *about):
        meter = self._meters.get_meter(*about)
        return SimpleNamespace(
            create_counter=lambda name, *rest: self._made(meter.create_counter(name, *rest), name),
            create_histogram=lambda name, *rest, **more: self._made(meter.create_histogram(name, *rest, **more), name),
            create_up_down_counter=meter.create_up_down_counter,
        )

    def _made(self, instrument, name):
        return SimpleNamespace(add=self._raise, record=self._raise) if name == self._what else instrument

    def _raise(self, *_measured):
        raise OSError("the disk is full")

    def processor(self):
        processor = SpanProcessor()
        if self._what in {"on_start", "on_end"}:
            # the session's own span is begun in the call of `instrument`, which may raise
            setattr(processor, self._what, lambda span, **_: None if "session" in span.name else self._raise())
        return processor


@pytest.mark.parametrize(
    "what", ["on_start", "on_end", "gemini_live.queue.age", "gemini_live.io", "gen_ai.client.operation.duration"]
)
def test_a_broken_exporter_is_logged_once_and_the_session_goes_on(network, watch, caplog, what):
    @on_fake_clock
    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: pytest.fail(str(context)))
        broken = Broken(what, watch.meters)
        watch.tracers.add_span_processor(broken.processor())
        async with connect() as session:
            session.instrument(meter_provider=broken, tracer_provider=watch.tracers)
            await session.send_text("anybody there?")
            network.last.say(AUDIO, OVER)
            await asyncio.sleep(3.5)
            await session.send_text("still there")
            assert "still there" in str(network.last.said)
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "gemini-live telemetry"]

    run()
    (record,) = (record for record in caplog.records if record.name == "gemini_live")
    assert record.levelno == logging.ERROR
    assert "the session goes on" in record.message
    assert watch.value("gemini_live.sessions") == 0
    assert len(watch.spans("gemini_live.session")) == 1


@on_fake_clock
async def test_once_is_enough_and_after_the_end_is_too_late(network, watch):
    async with connect() as session:
        watch.instrument(session)
        with pytest.raises(live.ConfigError, match="already"):
            watch.instrument(session)
    with pytest.raises(live.SessionClosed):
        watch.instrument(session)


@pytest.mark.parametrize(
    ("where", "provider", "address"),
    [
        ({"auth": "k"}, "gcp.gemini", "generativelanguage.googleapis.com"),
        (
            {"endpoint": live.VertexAi(project="p"), "auth": live.BearerToken("t")},
            "gcp.vertex_ai",
            "us-central1-aiplatform.googleapis.com",
        ),
        ({"endpoint": live.Custom("wss://proxy.example/live"), "auth": live.NoAuth()}, "gcp.gen_ai", "proxy.example"),
    ],
)
def test_whom_we_talk_to(network, watch, where, provider, address):
    @on_fake_clock
    async def run():
        async with live.connect("gemini-3.8-live", **where) as session:
            watch.instrument(session)

    run()
    (whole,) = watch.spans("gemini_live.session")
    assert whole.attributes["gen_ai.provider.name"] == provider
    assert whole.attributes["gen_ai.request.model"] == "gemini-3.8-live"
    assert whole.attributes["server.address"] == address


def run(program):
    """What a program of ours prints; in a process of its own, as it sets global things."""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_does_without_and_says_what_is_missing():
    program = """
import sys
import gemini_live
assert not any(name.startswith("opentelemetry") for name in sys.modules), "loaded although nobody asked"
sys.modules["opentelemetry"] = None  # as if it were not installed
try:
    import gemini_live.telemetry
except ModuleNotFoundError as error:
    print(error)
"""
    assert 'pip install "gemini-live[otel]"' in run(program)
