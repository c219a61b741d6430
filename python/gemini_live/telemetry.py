"""A session's accounts and its story for OpenTelemetry: metrics from `SessionStats`, spans from the events.

It looks on from beside: a task of its own reads the events, and what the session counts anyway is reported as the
difference to what was reported before, once a second and at the end. Differences add up over any number of sessions,
also over those that have ended, and are taken in the loop's thread: an observable instrument would be asked from the
exporter's, while the loop changes the accounts.

Names are those of the semantic conventions for generative AI where there is one, else ``gemini_live.…``. No attribute
holds a credential, a handle, or anything that was said.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import weakref
from typing import TYPE_CHECKING

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'telemetry needs OpenTelemetry; pip install "gemini-live[otel]"', name=missing.name
    ) from missing

from gemini_live import events
from gemini_live.auth import GeminiApi, VertexAi, origin_of
from gemini_live.events import CloseKind
from gemini_live.stats import KindStats, SessionStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.util.types import AttributeValue

    from gemini_live.auth import Endpoint
    from gemini_live.fanout import Cursor

__all__ = ["Telemetry", "semantic_attributes"]

_log = logging.getLogger("gemini_live")
_SCOPE = "gemini_live"
_EVERY_S = 1.0
_AS_INTENDED = {CloseKind.REQUESTED, CloseKind.HANDED_OVER, CloseKind.ABANDONED}

# https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics names these bounds
_TOKENS = tuple(4.0**power for power in range(14))
_SECONDS = tuple(0.01 * 2**power for power in range(14))


class _Instruments:
    """What is measured, by all sessions together."""

    def __init__(self, provider: metrics.MeterProvider) -> None:
        meter = provider.get_meter(_SCOPE)

        def seconds(name: str, description: str) -> metrics.Histogram:
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS)

        self.sessions = meter.create_up_down_counter("gemini_live.sessions", "{session}", "Sessions that are open")
        # the fields of KindStats. What waits or is unconfirmed becomes less again; the others only grow
        self.messages: dict[str, metrics.Counter | metrics.UpDownCounter] = {
            "accepted": meter.create_counter("gemini_live.messages.accepted", "{message}", "Messages taken"),
            "waiting": meter.create_up_down_counter("gemini_live.messages.waiting", "{message}", "Not yet written"),
            "written": meter.create_up_down_counter("gemini_live.messages.written", "{message}", "Not yet confirmed"),
            "acknowledged": meter.create_counter("gemini_live.messages.acknowledged", "{message}", "Arrived for sure"),
            "expired": meter.create_counter("gemini_live.messages.expired", "{message}", "Given up for their age"),
            "replayed": meter.create_counter("gemini_live.messages.replayed", "{message}", "Written once more"),
            "uncertain": meter.create_counter("gemini_live.messages.uncertain", "{message}", "Lost or not: unknown"),
        }
        self.io = meter.create_counter("gemini_live.io", "By", "JSON to and from the service")
        self.reconnects = meter.create_counter("gemini_live.reconnects", "{reconnect}", "Connections replaced")
        self.turns = meter.create_counter("gemini_live.turns", "{turn}", "Answers that came to their end")
        self.interruptions = meter.create_counter(
            "gemini_live.interruptions", "{interruption}", "Answers cut by speech"
        )
        self.gap = seconds("gemini_live.reconnect.gap", "For how long nothing could be sent")
        self.queue_age = seconds("gemini_live.queue.age", "Age of the oldest waiting message, every second")
        self.round_trip = seconds("gemini_live.round_trip", "From a ping to its pong")
        self.duration = seconds("gen_ai.client.operation.duration", "From the first sign of a turn to its end")
        self.first_audio = seconds(
            "gen_ai.client.operation.time_to_first_chunk", "From the user's last word to the first audio"
        )
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens of a turn", explicit_bucket_boundaries_advisory=_TOKENS
        )


# Once for each provider: until an SDK is there, OpenTelemetry's own keeps whatever instrument was ever asked for.
_instruments = weakref.WeakKeyDictionary[metrics.MeterProvider, _Instruments]()


def _instruments_of(provider: metrics.MeterProvider) -> _Instruments:
    found = _instruments.get(provider)
    if found is None:
        found = _instruments[provider] = _Instruments(provider)
    return found


class Telemetry:
    """Reports one session, from now to its end; made by `Session.instrument`.

    Args:
        listen: a cursor that does not keep the session alive.
        stats: the session's accounts at this moment.
        attributes: of every measurement and span.
        meter_provider: by default the global one.
        tracer_provider: by default the global one.
    """

    def __init__(
        self,
        listen: Cursor,
        stats: Callable[[], SessionStats],
        attributes: Mapping[str, AttributeValue],
        *,
        meter_provider: metrics.MeterProvider | None,
        tracer_provider: trace.TracerProvider | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._stats = stats
        self._attributes = {"gen_ai.operation.name": "generate_content", **attributes}
        self._measure = _instruments_of(meter_provider or metrics.get_meter_provider())
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        self._reported = SessionStats()
        self._session = self._tracer.start_span("gemini_live.session", attributes=self._attributes)
        self._turn: trace.Span | None = None
        self._turn_began_at = 0.0
        self._spoken_at: float | None = None  # the user's last word, as far as anybody says
        self._heard = False  # the turn's first audio
        self._outcome = "complete"
        self._reconnect: trace.Span | None = None
        self._listen = listen
        self._broken = False
        self._measure.sessions.add(1, self._attributes)
        self._timer = self._loop.call_later(_EVERY_S, self._look)
        self._task = self._loop.create_task(self._follow(), name="gemini-live telemetry")

    def user_asked(self) -> None:
        """The user has just sent something that is answered. Never raises."""
        self._try(self._user_asked)

    async def wait_closed(self) -> None:
        """Wait until the session's end has been reported."""
        if not self._task.done():
            await asyncio.wait([self._task])

    async def _follow(self) -> None:
        try:
            async for event in self._listen:
                self._try(functools.partial(self._tell, event))
        finally:  # also when the loop is shut down under us
            self._listen.close()
            self._timer.cancel()
            self._try(self._report)
            # also what is broken has begun, and is to end
            self._try(functools.partial(self._end_turn, "cut"), even_if_broken=True)
            if self._reconnect is not None:
                self._try(self._reconnect.end, even_if_broken=True)
            self._try(self._session.end, even_if_broken=True)
            self._try(functools.partial(self._measure.sessions.add, -1, self._attributes), even_if_broken=True)

    def _try(self, report: Callable[[], object], *, even_if_broken: bool = False) -> None:
        """Report something. What raises there, an exporter in all likelihood, ends the reports and nothing else."""
        if self._broken and not even_if_broken:
            return
        try:
            report()
        except Exception:  # noqa: BLE001 - code of others
            if not self._broken:
                _log.exception("telemetry of a session has stopped; the session goes on")
            self._broken = True
            self._timer.cancel()
            self._listen.close()  # so that `_follow` comes to its end

    # --- accounts ---

    def _look(self) -> None:
        self._timer = self._loop.call_later(_EVERY_S, self._look)
        self._try(lambda: self._measure.queue_age.record(self._report().waiting_s, self._attributes))

    def _report(self) -> SessionStats:
        """Add what has changed since the last time."""
        old, new = self._reported, self._stats()
        self._reported = new
        for kind, fates in new.by_kind.items():
            known = old.by_kind.get(kind) or KindStats()
            for fate, instrument in self._measure.messages.items():
                if more := getattr(fates, fate) - getattr(known, fate):
                    instrument.add(more, {**self._attributes, "gemini_live.message.kind": kind})
        for direction, more in (
            ("transmit", new.bytes_written - old.bytes_written),
            ("receive", new.bytes_received - old.bytes_received),
        ):
            self._measure.io.add(more, {**self._attributes, "network.io.direction": direction})
        for cause, count in new.reconnects_by_cause.items():
            if more := count - old.reconnects_by_cause.get(cause, 0):
                self._measure.reconnects.add(more, {**self._attributes, "gemini_live.reconnect.cause": cause})
        if new.round_trip_s is not None and new.round_trip_s != old.round_trip_s:
            self._measure.round_trip.record(new.round_trip_s, self._attributes)
        return new

    # --- the story ---

    def _user_asked(self) -> None:
        self._spoken_at = self._loop.time()
        self._turn_begins()

    def _tell(self, event: events.Event) -> None:
        match event:
            case events.ModelAudio():
                self._turn_begins()
                self._first_audio()
            case events.InputTranscription() | events.VoiceActivity(type="ACTIVITY_END"):
                self._spoken_at = self._loop.time()
                self._turn_begins()
            case events.ModelText() | events.ModelPart() | events.Thought() | events.ToolCall():
                self._turn_begins()
            case events.Interrupted():
                self._turn_begins()  # its audio may have been taken away before we came to read it
                self._measure.interruptions.add(1, self._attributes)
                self._outcome = "interrupted"
            case events.Usage():
                self._count_tokens(event)
            case events.TurnComplete(reason=reason, interaction_status=status):
                if status != "IN_PROGRESS":  # an extended-thinking model goes on by itself
                    if reason is not None and self._turn is not None:
                        self._turn.set_attribute("gemini_live.turn.reason", reason)
                    self._measure.turns.add(1, self._attributes)
                    self._end_turn(self._outcome)
            case events.Stalled(silent_s=silent_s):
                self._session.add_event("gemini_live.stalled", {"gemini_live.silent": silent_s})
            case events.Reconnecting():
                self._reconnecting(event)
            case events.Reconnected():
                self._reconnected(event)
            case events.Closed():
                self._closed(event)
            case _:
                pass

    def _turn_begins(self) -> None:
        if self._turn is None:
            self._turn = self._child(f"generate_content {self._attributes['gen_ai.request.model']}")
            self._turn_began_at = self._loop.time()
            self._heard = False
            self._outcome = "complete"

    def _first_audio(self) -> None:
        if self._heard:
            return
        self._heard = True
        latency: dict[str, float] = {}
        if self._spoken_at is not None:
            latency["gen_ai.response.time_to_first_chunk"] = waited_s = self._loop.time() - self._spoken_at
            self._spoken_at = None
            self._measure.first_audio.record(waited_s, self._attributes)
        if self._turn is not None:
            self._turn.add_event("gemini_live.first_audio", latency)

    def _end_turn(self, outcome: str) -> None:
        if self._turn is not None:
            self._turn.set_attribute("gemini_live.turn.outcome", outcome)
            self._turn.end()
            self._turn = None
            self._measure.duration.record(self._loop.time() - self._turn_began_at, self._attributes)

    def _count_tokens(self, usage: events.Usage) -> None:
        total = {"input": 0, "output": 0}
        for direction, modality, count in _tokens_of(usage):
            total[direction] += count
            kind = {"gen_ai.token.type": direction, "gemini_live.modality": modality}
            self._measure.tokens.record(count, {**self._attributes, **kind})
        if self._turn is not None:
            for direction, count in total.items():
                self._turn.set_attribute(f"gen_ai.usage.{direction}_tokens", count)

    def _reconnecting(self, event: events.Reconnecting) -> None:
        self._end_turn("cut")
        if self._reconnect is None:
            self._reconnect = self._child("gemini_live.reconnect")
            self._reconnect.set_attribute("gemini_live.reconnect.cause", event.kind.value)
            if event.code is not None:
                self._reconnect.set_attribute("gemini_live.reconnect.code", event.code)
        else:
            self._reconnect.add_event("gemini_live.dial_failed", {"gemini_live.reconnect.cause": event.kind.value})
        self._reconnect.set_attribute("gemini_live.reconnect.attempts", event.attempt)

    def _reconnected(self, event: events.Reconnected) -> None:
        self._measure.gap.record(event.gap_s, self._attributes)
        if self._reconnect is not None:
            self._reconnect.set_attribute("gemini_live.reconnect.attempts", event.attempts)
            self._reconnect.set_attribute("gemini_live.reconnect.context_restored", event.context_restored)
            self._reconnect.set_attribute("gemini_live.reconnect.replayed", event.replayed)
            self._reconnect.end()
            self._reconnect = None

    def _closed(self, event: events.Closed) -> None:
        self._session.set_attribute("gemini_live.close.kind", event.kind.value)
        if event.code is not None:
            self._session.set_attribute("gemini_live.close.code", event.code)
        if event.kind not in _AS_INTENDED:
            self._session.set_attribute("error.type", event.kind.value)
            # the other side's words may quote what was said or asked for, so they are not among the attributes
            self._session.set_status(trace.StatusCode.ERROR, event.kind.value)
            if self._reconnect is not None:
                self._reconnect.set_status(trace.StatusCode.ERROR, event.kind.value)

    def _child(self, name: str) -> trace.Span:
        return self._tracer.start_span(
            name,
            context=trace.set_span_in_context(self._session),
            kind=trace.SpanKind.CLIENT,
            attributes=self._attributes,
        )


def semantic_attributes(endpoint: Endpoint, model: str) -> dict[str, str | bool | int | float]:
    """Whom we talk to, in OpenTelemetry's names for generative AI."""
    match endpoint:
        case GeminiApi():
            provider = "gcp.gemini"
        case VertexAi():
            provider = "gcp.vertex_ai"
        case _:
            provider = "gcp.gen_ai"
    return {
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model.rpartition("/")[2],
        "server.address": origin_of(endpoint),
    }


def _tokens_of(usage: events.Usage) -> Iterator[tuple[str, str, int]]:
    """What was paid for: direction, modality, number of tokens."""
    for direction, count, details in (
        ("input", usage.prompt_token_count, usage.prompt_tokens_details),
        ("input", usage.tool_use_prompt_token_count, usage.tool_use_prompt_tokens_details),
        ("output", usage.response_token_count, usage.response_tokens_details),
    ):
        if details:
            for one in details:
                yield direction, one.modality, one.token_count
        elif count:
            yield direction, "MODALITY_UNSPECIFIED", count
    if usage.thoughts_token_count:
        yield "output", "THOUGHT", usage.thoughts_token_count
