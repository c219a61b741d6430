from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gemini_live.codec import frame, message_of
from gemini_live.config import OutboxLimits
from gemini_live.events import DeliveryUncertain, InputDropped
from gemini_live.outbox import Outbox

HEADER = 6  # of the frame of a short message
LIMITS = OutboxLimits(audio_ms=2_000, control_bytes=100, replay_bytes=1_000)


class FramedOutbox(Outbox):
    """An outbox that is given bare messages, and sees to it that no frame leaves twice."""

    def __init__(self, limits, *, replayable=False):
        super().__init__(limits, replayable=replayable)
        self.frames = set()

    def accept(self, now, kind, payload, duration_s=0.0):
        super().accept(now, kind, payload if len(payload) > 6 and payload[1] & 0x80 else frame(payload), duration_s)

    def next_to_write(self, now):
        framed = super().next_to_write(now)
        if framed is None:
            return None
        assert framed not in self.frames
        self.frames.add(framed)
        return message_of(framed)


def box(*, replayable=False, **limits):
    return FramedOutbox(OutboxLimits(**limits) if limits else LIMITS, replayable=replayable)


def written(outbox):
    return list(iter(lambda: outbox.next_to_write(0.0), None))


def adds_up(outbox):
    counts = outbox.counts
    return counts.accepted == counts.waiting + counts.written + counts.acknowledged + counts.expired


def test_messages_leave_in_the_order_of_the_calls():
    outbox = box()
    for kind, payload in [("audio", b"1"), ("text", b"2"), ("audio", b"3"), ("video", b"4"), ("raw", b"5")]:
        outbox.accept(0.0, kind, payload, 0.02)
    assert written(outbox) == [b"1", b"2", b"3", b"4", b"5"]
    assert outbox.counts.written == 5
    assert outbox.counts.waiting == 0


def test_old_audio_expires_oldest_first_and_is_reported_once():
    outbox = box()
    outbox.accept(0.0, "audio", b"old", 0.02)
    outbox.accept(1.0, "audio", b"newer", 0.02)
    outbox.accept(2.5, "audio", b"now", 0.02)
    assert outbox.dropped() == [InputDropped(kind="audio", count=1, duration_s=0.02)]
    assert outbox.dropped() == []
    assert written(outbox) == [b"newer", b"now"]
    assert outbox.counts.expired == 1


@pytest.mark.parametrize("audio_ms", [0, 1])
def test_audio_that_leaves_at_once_has_not_waited_whatever_the_bound(audio_ms):
    outbox = box(audio_ms=audio_ms)
    outbox.accept(7.0, "audio", b"a", 0.02)
    outbox.expire(7.0)
    assert outbox.next_to_write(7.0) == b"a"
    outbox.accept(7.0, "audio", b"b", 0.02)
    outbox.expire(7.001)
    assert outbox.next_to_write(7.001) is None
    assert (outbox.counts.written, outbox.counts.expired) == (1, 1)


def test_audio_is_kept_up_to_the_bound():
    outbox = box()
    outbox.accept(0.0, "audio", b"a", 0.02)
    assert outbox.next_expiry() == 2.0
    outbox.expire(1.999)
    assert outbox.counts.expired == 0
    outbox.expire(2.0)
    assert outbox.counts.expired == 1
    assert outbox.next_expiry() is None


def test_a_burst_does_not_expire_for_being_long():
    outbox = box()
    for _ in range(1_000):
        outbox.accept(0.0, "audio", b"x", 0.02)  # 20 s of speech at once
    assert outbox.counts.waiting == 1_000


def test_of_video_only_the_newest_waits():
    outbox = box()
    outbox.accept(0.0, "video", b"first")
    outbox.accept(0.0, "text", b"text")
    outbox.accept(0.0, "video", b"second")
    assert outbox.dropped() == [InputDropped(kind="video", count=1)]
    assert written(outbox) == [b"text", b"second"]


def test_a_written_image_is_not_superseded():
    outbox = box()
    outbox.accept(0.0, "video", b"first")
    assert written(outbox) == [b"first"]
    outbox.accept(0.0, "video", b"second")
    assert written(outbox) == [b"second"]
    assert outbox.counts.expired == 0


@pytest.mark.parametrize(
    "kind", ["text", "client_content", "tool_response", "activity_start", "audio_stream_end", "raw"]
)
def test_control_never_expires(kind):
    outbox = box()
    outbox.accept(0.0, kind, b"x")
    outbox.expire(1e9)
    assert outbox.next_expiry() is None
    assert written(outbox) == [b"x"]


def test_room_is_counted_in_bytes_of_waiting_control():
    outbox = box()
    assert outbox.room(10_000)  # an empty outbox takes one of any size, or it could never be sent
    outbox.accept(0.0, "text", b"x" * (60 - HEADER))
    outbox.accept(0.0, "audio", b"x" * 500, 0.02)  # audio has its own bound
    assert outbox.room(40)
    assert not outbox.room(41)
    written(outbox)
    assert outbox.room(10_000)


def test_acknowledgement_by_index_counts_from_one_on_each_connection():
    outbox = box(replayable=True)
    for payload in (b"1", b"2", b"3"):
        outbox.accept(0.0, "text", payload)
    written(outbox)
    outbox.acknowledge(0)
    assert outbox.counts.acknowledged == 0
    outbox.acknowledge(2)
    assert outbox.counts.acknowledged == 2
    assert outbox.connection_lost(resumable=True) is None
    assert outbox.connection_opened() == 1
    assert written(outbox) == [b"3"]
    assert outbox.last_written == 1
    outbox.acknowledge(1)
    assert outbox.counts.acknowledged == 3
    assert outbox.counts.replayed == 1


def test_what_the_state_lacks_is_replayed_before_what_waits_and_however_old():
    outbox = box(replayable=True)
    outbox.accept(0.0, "audio", b"1", 0.02)
    outbox.accept(0.0, "text", b"2")
    outbox.accept(0.0, "video", b"3")
    written(outbox)
    outbox.accept(1.0, "audio", b"4", 0.02)
    outbox.accept(1.0, "video", b"5")
    outbox.connection_lost(resumable=True)
    assert outbox.connection_opened() == 3
    outbox.expire(100.0)
    assert outbox.dropped() == [InputDropped(kind="audio", count=1, duration_s=0.02)]
    assert written(outbox) == [b"1", b"2", b"3", b"5"]
    assert adds_up(outbox)


def test_a_second_loss_in_mid_replay_keeps_the_order():
    outbox = box(replayable=True)
    for payload in (b"1", b"2", b"3", b"4"):
        outbox.accept(0.0, "text", payload)
    written(outbox)
    outbox.connection_lost(resumable=True)
    outbox.connection_opened()
    assert [outbox.next_to_write(0.0), outbox.next_to_write(0.0)] == [b"1", b"2"]
    outbox.connection_lost(resumable=True)
    assert outbox.connection_opened() == 2
    assert written(outbox) == [b"1", b"2", b"3", b"4"]
    assert outbox.counts.replayed == 6


def test_without_an_index_what_is_in_flight_at_the_loss_is_reported_and_not_repeated():
    outbox = box()
    for kind in ("audio", "text", "audio"):
        outbox.accept(0.0, kind, b"x", 0.02)
    written(outbox)
    outbox.acknowledge(1)
    assert outbox.connection_lost(resumable=True) == DeliveryUncertain(kinds={"text": 1, "audio": 1})
    assert outbox.connection_lost(resumable=True) is None
    assert outbox.connection_opened() == 0
    assert written(outbox) == []
    assert outbox.counts.uncertain == 2
    assert outbox.counts.written == 2


def test_an_answer_to_a_tool_call_in_flight_at_the_loss_is_given_again_because_its_id_makes_it_safe():
    outbox = box()
    for kind, payload in [("text", b"1"), ("tool_response", b"2"), ("audio", b"3")]:
        outbox.accept(0.0, kind, payload, 0.02)
    written(outbox)
    assert outbox.connection_lost(resumable=True) == DeliveryUncertain(kinds={"text": 1, "audio": 1})
    outbox.accept(0.0, "text", b"4")
    assert outbox.connection_opened() == 1
    assert written(outbox) == [b"2", b"4"]
    outbox.acknowledge(2)
    assert outbox.connection_lost(resumable=True) is None


def test_an_answer_to_a_call_that_nobody_knows_any_more_is_not_given_again():
    outbox = box()
    outbox.accept(0.0, "tool_response", b"x")
    written(outbox)
    assert outbox.connection_lost(resumable=True) is None
    assert outbox.connection_lost(resumable=False) == DeliveryUncertain(kinds={"tool_response": 1})
    assert outbox.connection_opened() == 0


def test_a_fresh_session_cannot_be_replayed_into():
    outbox = box(replayable=True)
    outbox.accept(0.0, "text", b"x")
    written(outbox)
    assert outbox.connection_lost(resumable=False) == DeliveryUncertain(kinds={"text": 1})
    assert outbox.connection_opened() == 0


def test_what_still_waits_to_be_replayed_is_given_up_when_the_context_is_lost():
    outbox = box(replayable=True)
    outbox.accept(0.0, "audio", b"1", 0.02)
    outbox.accept(0.0, "text", b"2")
    written(outbox)
    outbox.accept(0.0, "text", b"new")
    outbox.connection_lost(resumable=True)
    outbox.connection_opened()
    assert outbox.connection_lost(resumable=False) == DeliveryUncertain(kinds={"audio": 1, "text": 1})
    assert outbox.connection_opened() == 0
    assert written(outbox) == [b"new"]
    assert adds_up(outbox)


def test_an_answer_that_waits_is_given_up_when_nobody_knows_its_call_any_more():
    outbox = box()
    outbox.connection_lost(resumable=True)
    outbox.accept(0.0, "tool_response", b"x")
    assert outbox.connection_lost(resumable=False) == DeliveryUncertain(kinds={"tool_response": 1})
    assert written(outbox) == []
    assert outbox.room(10_000)
    assert adds_up(outbox)


def test_a_fresh_session_that_is_told_everything_again_is_given_all_but_the_answers():
    outbox = box(replayable=True)
    outbox.accept(0.0, "text", b"question")
    outbox.accept(0.0, "tool_response", b"written")
    written(outbox)
    outbox.connection_lost(resumable=True)
    outbox.connection_opened()
    outbox.accept(0.0, "tool_response", b"waits")  # behind the others, which are lost once more before they are written
    assert outbox.connection_lost(resumable=True, calls_known=False) == DeliveryUncertain(kinds={"tool_response": 2})
    outbox.connection_opened()
    assert written(outbox) == [b"question"]
    assert adds_up(outbox)


def test_a_long_outage_takes_no_more_memory_than_what_waits():
    outbox = box()
    outbox.accept(0.0, "text", b"keeps the head of the queue")
    for number in range(10_000):
        outbox.accept(number * 0.02, "audio", b"x", 0.02)
    assert outbox.waiting <= 102
    assert len(outbox._queue) < 500


def test_an_acknowledgement_of_nothing_that_is_remembered_still_covers_what_overflowed():
    outbox = box(replayable=True)
    for _ in range(12):
        outbox.accept(0.0, "raw", b"x" * (100 - HEADER))
    written(outbox)
    outbox.acknowledge(2)
    assert outbox.counts.acknowledged == 2
    assert outbox.connection_lost(resumable=True) is None


def test_beyond_the_replay_bound_the_oldest_become_uncertain():
    outbox = box(replayable=True)
    for number in range(12):
        outbox.accept(0.0, "raw", b"%03d" % number + b"x" * (97 - HEADER))
    written(outbox)
    assert outbox.connection_lost(resumable=True) == DeliveryUncertain(kinds={"raw": 2})
    assert outbox.connection_opened() == 10
    assert written(outbox)[0].startswith(b"002")
    assert adds_up(outbox)


def test_an_acknowledgement_covers_what_overflowed():
    outbox = box(replayable=True)
    for _ in range(12):
        outbox.accept(0.0, "raw", b"x" * (100 - HEADER))
    written(outbox)
    outbox.acknowledge(3)
    assert outbox.counts.acknowledged == 3
    assert outbox.connection_lost(resumable=True) is None


def test_hours_of_unconfirmed_speech_take_bounded_memory():
    outbox = box()
    for number in range(5_000):
        for kind in ("audio", "audio", "text"):
            outbox.accept(0.0, kind, str(number).encode(), 0.02)  # equal messages would be equal frames at times
            outbox.next_to_write(0.0)
    assert len(outbox._written) == 4_096
    assert outbox.counts.written == 15_000
    assert outbox.connection_lost(resumable=True) == DeliveryUncertain(kinds={"audio": 10_000, "text": 5_000})


def test_what_is_written_in_a_row_is_confirmed_in_part():
    outbox = box()
    for kind in ("audio", "audio", "audio", "text", "audio"):
        outbox.accept(0.0, kind, b"x", 0.02)
    written(outbox)
    outbox.acknowledge(2)
    assert outbox.counts.acknowledged == 2
    outbox.acknowledge(2)
    assert outbox.counts.acknowledged == 2
    outbox.acknowledge(4)
    assert outbox.connection_lost(resumable=True) == DeliveryUncertain(kinds={"audio": 1})
    assert adds_up(outbox)


def test_payloads_are_let_go_of_once_written_where_nothing_can_be_replayed():
    outbox = box()
    outbox.accept(0.0, "audio", b"x" * 900, 0.02)
    written(outbox)
    assert outbox._written[0].payload == b""


@pytest.mark.parametrize("replayable", [True, False])
def test_a_successor_writes_what_is_unsent_in_order(replayable):
    first = box(replayable=replayable)
    for kind, payload in [("audio", b"1"), ("video", b"2"), ("text", b"3"), ("tool_response", b"4")]:
        first.accept(0.0, kind, payload, 0.02)
    written(first)
    first.accept(1.0, "audio", b"5", 0.02)
    first.accept(1.0, "video", b"6")
    unsent = first.unsent(1.5)
    assert [one.age_s for one in unsent][-2:] == [0.5, 0.5]

    second = box(replayable=replayable)
    second.take_over(100.0, unsent)
    second.expire(101.6)  # what only waited is too old by now
    assert written(second) == ([b"1", b"2", b"3", b"4", b"6"] if replayable else [b"4", b"6"])
    assert adds_up(second)


def test_a_successor_where_no_audio_waits_replays_audio_all_the_same():
    first = box(replayable=True)
    first.accept(0.0, "audio", b"1", 0.02)
    written(first)
    second = box(replayable=True, audio_ms=0)
    second.take_over(100.0, first.unsent(1.5))
    assert written(second) == [b"1"]


def test_audio_that_got_too_old_before_it_came_is_counted_like_any_other():
    outbox = box()
    outbox.accept_expired("video", 0)
    outbox.accept_expired("audio", 3, 0.06)
    assert outbox.dropped() == [InputDropped(kind="audio", count=3, duration_s=0.06)]
    assert outbox.counts.expired == outbox.counts.accepted == 3


def test_speech_overtakes_an_image_and_nothing_else_does():
    outbox = box()
    for number, kind in enumerate(("text", "video", "audio", "audio", "text", "audio"), 1):
        outbox.accept(0.0, kind, b"%d" % number, 0.02)
    assert written(outbox) == [b"1", b"3", b"4", b"2", b"5", b"6"]
    assert adds_up(outbox)


def test_speech_overtakes_an_image_also_where_something_was_given_up_behind_it():
    outbox = box()
    outbox.accept(0.0, "video", b"1")
    outbox.accept(0.0, "tool_response", b"2")
    outbox.connection_lost(resumable=False)
    outbox.accept(0.0, "audio", b"3", 0.02)
    assert written(outbox) == [b"3", b"1"]
    assert adds_up(outbox)


def test_each_kind_has_its_own_balance():
    outbox = box()
    for kind in ("audio", "audio", "text"):
        outbox.accept(0.0, kind, b"xx", 0.02)
    outbox.next_to_write(0.5)
    by_kind = outbox.counts_by_kind
    assert (by_kind["audio"].accepted, by_kind["audio"].written, by_kind["audio"].waiting) == (2, 1, 1)
    assert by_kind["text"].waiting == 1
    assert outbox.bytes_written == 2 + HEADER


def test_waiting_times_are_those_of_what_was_written_or_expired():
    outbox = box()
    outbox.accept(1.0, "text", b"x")
    outbox.accept(1.5, "audio", b"y", 0.02)
    assert outbox.waiting_since() == 1.0
    outbox.next_to_write(1.25)
    assert outbox.longest_wait_s == 0.25
    assert outbox.waiting_since() == 1.5
    outbox.expire(4.0)
    assert outbox.longest_wait_s == 2.5
    assert outbox.waiting_since() is None


class AgainstAModel(RuleBasedStateMachine):
    """The outbox against lists: any order of calls, both ways of acknowledgement."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.number = 0
        self.waiting: list[tuple[int, str, float, bool]] = []  # number, kind, accepted at, replayed
        self.in_flight: list[tuple[int, str, float, bool]] = []
        self.acknowledged = self.expired = self.uncertain = self.replayed = 0
        self.real: Outbox | None = None

    @precondition(lambda self: self.real is None)
    @rule(replayable=st.booleans())
    def start(self, replayable):
        self.replayable = replayable
        self.real = box(replayable=replayable, audio_ms=1_000, replay_bytes=1 << 30)

    @precondition(lambda self: self.real)
    @rule(kind=st.sampled_from(["audio", "audio", "video", "text", "tool_response"]), wait=st.floats(0, 0.7))
    def accept(self, kind, wait):
        self.now += wait
        self.number += 1
        if kind == "video":
            kept = [one for one in self.waiting if one[1] != "video" or one[3]]
            self.expired += len(self.waiting) - len(kept)
            self.waiting = kept
        behind = (
            self.waiting[-1:] if kind == "audio" and self.waiting and self._is_a_new_image(self.waiting[-1]) else []
        )
        if behind:
            self.waiting.pop()
        self.waiting += [(self.number, kind, self.now, False), *behind]
        if kind == "audio":
            self._expire()
        self.real.accept(self.now, kind, b"%d" % self.number, 0.02)

    @precondition(lambda self: self.real and not self.waiting)
    @rule()
    def write_through(self):
        self.number += 1
        self.in_flight.append((self.number, "audio", self.now, False))
        self.real.write_through(frame(b"%d" % self.number), 0.02)

    @staticmethod
    def _is_a_new_image(one):
        return one[1] == "video" and not one[3]

    def _expire(self):
        kept = [one for one in self.waiting if one[1] != "audio" or one[3] or self.now < one[2] + 1.0]
        self.expired += len(self.waiting) - len(kept)
        self.waiting = kept

    @precondition(lambda self: self.real)
    @rule()
    def expire(self):
        self._expire()
        self.real.expire(self.now)

    @precondition(lambda self: self.real)
    @rule(most=st.integers(1, 5))
    def write(self, most):
        for _ in range(most):
            expected = self.waiting.pop(0) if self.waiting else None
            if expected:
                self.in_flight.append(expected)
            assert self.real.next_to_write(self.now) == (b"%d" % expected[0] if expected else None)

    @precondition(lambda self: self.real)
    @rule(behind=st.integers(0, 3))
    def acknowledge(self, behind):
        keep = min(behind, len(self.in_flight))
        self.acknowledged += len(self.in_flight) - keep
        self.in_flight = self.in_flight[len(self.in_flight) - keep :]
        self.real.acknowledge(self.real.last_written - behind)

    @precondition(lambda self: self.real)
    @rule(resumable=st.booleans())
    def reconnect(self, resumable):
        report = self.real.connection_lost(resumable=resumable)
        again = [one for one in self.in_flight if resumable and (self.replayable or one[1] == "tool_response")]
        lost = len(self.in_flight) - len(again)
        if not resumable:
            kept = [one for one in self.waiting if not one[3] and one[1] != "tool_response"]
            lost += len(self.waiting) - len(kept)
            self.waiting = kept
        assert sum(report.kinds.values() if report else ()) == lost
        self.uncertain += lost
        self.replayed += len(again)
        self.waiting = [(*one[:3], True) for one in again] + self.waiting
        assert self.real.connection_opened() == len(again)
        self.in_flight = []

    @invariant()
    def the_sums_add_up(self):
        if self.real:
            counts = self.real.counts
            assert adds_up(self.real)
            assert all(
                one.accepted == one.waiting + one.written + one.acknowledged + one.expired
                for one in self.real.counts_by_kind.values()
            )
            assert self.real.waiting == counts.waiting
            assert counts.accepted == self.number
            assert counts.waiting == len(self.waiting)
            assert counts.written == len(self.in_flight) + self.uncertain
            assert (counts.acknowledged, counts.expired) == (self.acknowledged, self.expired)
            assert (counts.uncertain, counts.replayed) == (self.uncertain, self.replayed)


TestAgainstAModel = AgainstAModel.TestCase
TestAgainstAModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
