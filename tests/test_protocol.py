from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemini_live import events
from gemini_live.codec import frame, message_of
from gemini_live.config import OutboxLimits, ReconnectPolicy, SessionConfig, TransportConfig
from gemini_live.events import CloseKind, Phase, SessionStatus
from gemini_live.failures import Failure
from gemini_live.messages import FunctionCall
from gemini_live.outbox import Unsent
from gemini_live.protocol import TRANSITIONS, Abort, Dial, Emit, HangUp, Ping, Protocol, State, Trigger, Write
from gemini_live.setup_message import HistoryConfig, SessionResumptionConfig, Setup

READY = b'{"setupComplete":{}}'
HANDLE = b'{"sessionResumptionUpdate":{"newHandle":"h-1","resumable":true}}'
AUDIO = b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAAA"}}]}}}'
TURN_COMPLETE = b'{"serverContent":{"turnComplete":true}}'
GO_AWAY = b'{"goAway":{"timeLeft":"50s"}}'
TOOL_CALL = b'{"toolCall":{"functionCalls":[{"id":"c1","name":"f"}]}}'
LOST = Failure(reason="reset")
REFUSED = Failure(code=1011, reason="Internal error encountered.")
STALE = Failure(code=1008, reason="BidiGenerateContent session not found")
CLEAN = Failure(code=1000, clean=True)


class Session:
    """A protocol whose decisions are collected, with a clock to be set by hand."""

    def __init__(self, *, setup=None, dice=lambda: 1.0, transparent=None, **config):
        resumption = SessionResumptionConfig(transparent=transparent)
        setup = setup or Setup(model="models/m", session_resumption=resumption)
        self.protocol = Protocol(SessionConfig(setup=setup, **config), setup, dice)
        self.now = 0.0
        self.taken = []

    def __getattr__(self, name):
        return getattr(self.protocol, name)

    def take(self):
        """Everything decided since the last call."""
        decided = self.protocol.decisions()
        taken = [Write(message_of(one.payload)) if isinstance(one, Write) else one for one in decided]
        self.taken.extend(taken)
        return taken

    def events(self):
        return [decision.event for decision in self.take() if isinstance(decision, Emit)]

    def start(self):
        self.protocol.start(self.now)

    def dialled(self):
        self.protocol.dialled(self.now)

    def hear(self, raw):
        self.protocol.message_received(self.now, raw)

    def lose(self, failure=LOST):
        self.protocol.connection_lost(self.now, failure)

    def close(self):
        self.protocol.close(self.now)

    def submit(self, payload=b"{}", kind="text"):
        self.protocol.submit(self.now, kind, frame(payload), 0.02 if kind == "audio" else 0.0)

    def pass_time(self, seconds):
        self.now += seconds
        self.protocol.time_passed(self.now)

    def until_deadline(self):
        self.now = max(self.now, self.protocol.deadline())
        self.protocol.time_passed(self.now)

    def opened(self, *messages):
        """Bring it up, from wherever it is on the way."""
        if self.state is State.NEW:
            self.start()
        if self.state is State.WAITING:
            self.until_deadline()
        self.dialled()
        for raw in (READY, *messages):
            self.hear(raw)
        self.take()
        return self


def opened(*messages, **options):
    return Session(**options).opened(*messages)


def in_state(state):
    """A session that has been brought into this state by facts alone."""
    session = Session()
    if state is State.NEW:
        return session
    session.start()
    match state:
        case State.SETTING_UP:
            session.dialled()
        case State.OPEN:
            session.opened()
        case State.MOVING:
            session.opened(HANDLE, GO_AWAY)
        case State.WAITING:
            session.opened()
            session.lose()
        case State.CLOSING:
            session.opened()
            session.close()
        case State.CLOSED:
            session.close()
        case _:
            pass
    session.take()
    assert session.state is state
    return session


# --- the table ------------------------------------------------------------------------------------------------------


def test_every_state_is_in_the_table_and_can_be_reached():
    assert set(TRANSITIONS) == set(State)
    reached = {State.NEW}
    while more := {to for state in reached for to in TRANSITIONS[state].values()} - reached:
        reached |= more
    assert reached == set(State)


def test_every_state_but_the_last_can_be_left():
    assert [state for state, row in TRANSITIONS.items() if not row] == [State.CLOSED]
    assert {trigger for row in TRANSITIONS.values() for trigger in row} == set(Trigger)


FACTS = {
    "dialled": lambda session: session.dialled(),
    "setup complete": lambda session: session.hear(READY),
    "audio": lambda session: session.hear(AUDIO),
    "go away": lambda session: session.hear(GO_AWAY),
    "garbage": lambda session: session.hear(b"\xff"),
    "lost": lambda session: session.lose(),
    "refused": lambda session: session.lose(Failure(code=1007, reason="API key not valid.")),
    "closed cleanly": lambda session: session.lose(CLEAN),
    "pong": lambda session: session.protocol.pong_received(session.now, b"1"),
    "life sign": lambda session: session.protocol.life_sign(session.now),
    "paused": lambda session: session.protocol.writing_paused(),
    "resumed": lambda session: session.protocol.writing_resumed(session.now),
    "batch written": lambda session: session.protocol.batch_written(session.now),
    "text": lambda session: session.submit(),
    "time": lambda session: session.pass_time(1.0),
    "a long time": lambda session: session.pass_time(1_000.0),
    "close": lambda session: session.close(),
}
# What a runner never tells: a dial that was not asked for has not succeeded.
IMPOSSIBLE = {(state, "dialled") for state in State if state is not State.DIALLING}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_in_every_state_leads_along_the_table(state, fact):
    session = in_state(state)
    if (state, fact) in IMPOSSIBLE:
        with pytest.raises(KeyError):
            FACTS[fact](session)
        return
    FACTS[fact](session)
    # a fact may take more than one step, such as a loss that is found hopeless or a move that dials at once
    near = {state} | set(TRANSITIONS[state].values())
    assert session.state in near | {to for one in near for to in TRANSITIONS[one].values()}
    counts = session.protocol.outbox.counts
    assert counts.accepted == counts.waiting + counts.written + counts.acknowledged + counts.expired
    assert (session.closed is not None) == (session.state is State.CLOSED)


@pytest.mark.parametrize("fact", [fact for fact in FACTS if fact != "dialled"])
def test_after_closed_nothing_is_decided_any_more(fact):
    session = in_state(State.CLOSED)
    FACTS[fact](session)
    assert session.take() == []
    assert session.deadline() is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([fact for fact in FACTS if fact != "dialled"] + ["dial done"] * 4), max_size=40))
def test_any_history_keeps_the_invariants(history):
    session = Session()
    session.start()
    sockets = 0
    for fact in history:
        if fact == "dial done":
            if session.state is not State.DIALLING:
                continue
            session.dialled()
        else:
            FACTS[fact](session)
        for decision in session.take():
            match decision:
                case Dial():
                    assert sockets == 0, "the old socket must be gone before the new one is dialled"
                case Abort():
                    sockets = 0
                case Write(payload=payload) if session.protocol.status is SessionStatus.CONNECTING:
                    assert payload.startswith(b'{"setup"'), "nothing leaves before setupComplete"
                case _:
                    pass
        match session.state:
            case State.SETTING_UP | State.OPEN | State.MOVING | State.CLOSING:
                sockets = 1
            case State.WAITING | State.CLOSED | State.DIALLING:
                sockets = 0
            case _:
                pass
        counts = session.protocol.outbox.counts
        assert counts.accepted == counts.waiting + counts.written + counts.acknowledged + counts.expired
    finals = [one for one in session.taken if isinstance(one, Emit) and isinstance(one.event, events.Closed)]
    assert len(finals) == (session.state is State.CLOSED)


# --- the first connection -------------------------------------------------------------------------------------------


def test_the_setup_goes_first_and_the_user_after_it_was_confirmed():
    session = Session()
    session.start()
    assert session.take() == [Dial()]
    session.submit(b"early")
    session.dialled()
    (setup,) = session.take()
    assert json.loads(setup.payload) == {"setup": {"model": "models/m", "sessionResumption": {}}}
    session.hear(READY)
    assert session.take()[:2] == [Emit(events.SetupComplete()), Write(b"early")]
    assert session.status is SessionStatus.CONNECTED


def test_one_deadline_covers_dial_and_setup():
    session = Session(transport=TransportConfig(connect_timeout_s=3.0))
    session.start()
    session.pass_time(2.0)
    session.dialled()
    session.take()
    session.pass_time(0.99)
    assert session.take() == []
    session.pass_time(0.02)
    abort, closed = session.take()
    assert abort == Abort()
    assert closed.event.kind is CloseKind.TIMEOUT
    assert closed.event.phase is Phase.SETUP
    assert "3 s" in closed.event.reason


@pytest.mark.parametrize("failure", [LOST, REFUSED, Failure(code=503), STALE])
def test_the_first_connection_is_not_tried_again(failure):
    session = Session()
    session.start()
    session.lose(failure)
    assert session.state is State.CLOSED
    assert session.closed.code == failure.code
    assert session.closed.reason == failure.reason


# --- connection lost ------------------------------------------------------------------------------------------------


def test_the_back_off_doubles_up_to_its_cap_with_full_jitter():
    session = opened(HANDLE, reconnect=ReconnectPolicy(base_s=0.5, cap_s=5.0), dice=lambda: 1.0)
    session.now = 100.0
    session.lose()
    delays = []
    for _ in range(6):
        (reconnecting,) = session.events()
        delays.append(reconnecting.delay_s)
        assert session.deadline() == session.now + reconnecting.delay_s
        session.until_deadline()
        assert session.take() == [Dial()]
        session.lose()
    assert delays == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_the_jitter_is_full():
    session = opened(dice=lambda: 0.0)
    session.lose()
    assert session.events()[-1].delay_s == 0.0


def test_attempts_are_exhausted():
    session = opened(reconnect=ReconnectPolicy(max_attempts=3))
    session.lose()
    for _ in range(3):
        assert session.state is State.WAITING
        session.until_deadline()
        session.lose()
    assert session.closed.kind is CloseKind.RECONNECT_EXHAUSTED
    assert session.closed.attempts == 3
    assert session.closed.reason == "reset"


def test_unlimited_attempts_do_not_end_nor_overflow():
    session = opened(reconnect=ReconnectPolicy(max_attempts=None))
    session.lose()
    for _ in range(2_000):
        session.until_deadline()
        session.lose()
    assert session.state is State.WAITING


def test_a_disabled_policy_says_so_and_ends():
    session = opened(reconnect=ReconnectPolicy(enabled=False))
    session.lose(Failure(code=1001, reason="bye"))
    (closed,) = session.events()
    assert closed.kind is CloseKind.RECONNECT_DISABLED
    assert (closed.code, closed.reason) == (1001, "bye")


def test_a_stable_connection_resets_the_attempts_and_a_short_one_does_not():
    session = opened(HANDLE)
    session.now = 10.0
    session.lose()
    session.opened()
    session.now += 1.0
    session.lose()
    assert session.events()[-1].attempt == 2
    session.opened()
    session.now += 2.0
    session.lose()
    assert session.events()[-1].attempt == 1


def test_the_handle_is_sent_and_the_answer_says_that_the_context_is_there():
    session = opened(HANDLE)
    session.now = 10.0
    session.lose()
    session.pass_time(1.0)
    session.dialled()
    assert json.loads(session.take()[-1].payload)["setup"]["sessionResumption"] == {"handle": "h-1"}
    session.now += 0.25
    session.hear(READY)
    assert session.events() == [
        events.SetupComplete(),
        events.Reconnected(gap_s=1.25, attempts=1, context_restored=True),
    ]
    assert session.reconnects == {"network": 1}
    assert list(session.gaps_s) == [1.25]
    assert session.longest_gap_s == 1.25


def test_a_reconnect_says_whether_an_answer_was_cut():
    session = opened(HANDLE, AUDIO)
    for cut in (True, False):  # the second time the model was silent
        session.lose()
        session.until_deadline()
        session.dialled()
        session.hear(READY)
        assert session.events()[-1].answer_cut is cut


@pytest.mark.parametrize(("index", "cut"), [(0, False), (1, True)])
def test_an_answer_to_what_is_replayed_is_given_anew(index, cut):
    update = {"newHandle": "h", "resumable": True, "lastConsumedClientMessageIndex": str(index)}
    session = opened(transparent=True)
    session.submit(b"a question")
    session.hear(json.dumps({"sessionResumptionUpdate": update}).encode())
    session.hear(AUDIO)
    session.lose()
    session.until_deadline()
    session.dialled()
    session.hear(READY)
    (reconnected,) = [event for event in session.events() if isinstance(event, events.Reconnected)]
    assert (reconnected.replayed, reconnected.answer_cut) == (1 - index, cut)


def test_a_handle_is_kept_only_while_resumable():
    session = opened(HANDLE, b'{"sessionResumptionUpdate":{"newHandle":"h-2"}}')
    session.lose()
    session.until_deadline()
    session.dialled()
    assert json.loads(session.take()[-1].payload)["setup"]["sessionResumption"] == {}
    session.hear(READY)
    assert session.events()[-1].context_restored is False


def test_the_history_is_given_on_the_first_connection_only():
    setup = Setup(
        model="models/m",
        session_resumption=SessionResumptionConfig(),
        history_config=HistoryConfig(initial_history_in_client_content=True),
    )
    session = Session(setup=setup)
    session.start()
    session.dialled()
    assert "historyConfig" in json.loads(session.take()[-1].payload)["setup"]
    session.hear(READY)
    session.lose()
    session.until_deadline()
    session.dialled()
    assert "historyConfig" not in json.loads(session.take()[-1].payload)["setup"]


def test_a_resume_that_is_refused_waits_and_a_second_refusal_starts_fresh():
    session = opened(HANDLE, dice=lambda: 0.0)
    session.now = 10.0
    session.lose()
    session.opened()
    session.now += 0.5
    session.lose(REFUSED)
    assert session.events()[-1].delay_s == 1.5
    session.until_deadline()
    session.dialled()
    assert b"h-1" in session.take()[-1].payload
    session.lose(REFUSED)
    session.until_deadline()
    session.dialled()
    assert b"h-1" not in session.take()[-1].payload
    session.hear(READY)
    assert session.events()[-1].context_restored is False


def test_a_stale_handle_is_dropped_and_the_session_starts_fresh():
    session = opened(HANDLE)
    session.lose()
    session.until_deadline()
    session.dialled()
    session.lose(STALE)
    assert session.events()[-1].kind is CloseKind.HANDLE
    session.until_deadline()
    session.dialled()
    assert b"h-1" not in session.take()[-1].payload


def test_quota_waits_a_minute_and_gives_up_after_two():
    session = opened(dice=lambda: 0.0)
    session.now = 10.0
    quota = Failure(code=1011, reason="You exceeded your current quota, please check your plan")
    for _ in range(2):
        session.lose(quota)
        assert session.events()[-1].delay_s == 65.0
        session.until_deadline()
        session.take()
    session.lose(quota)
    assert session.closed.kind is CloseKind.QUOTA


def test_a_fatal_close_is_not_tried_again():
    session = opened(HANDLE)
    session.lose(Failure(code=1007, reason="API key not valid. Please pass a valid API key."))
    (closed,) = session.events()
    assert closed.kind is CloseKind.CREDENTIALS
    assert closed.phase is Phase.OPEN
    assert "GEMINI_API_KEY" in closed.hint


# --- what was said meanwhile ----------------------------------------------------------------------------------------


def test_what_is_said_while_down_goes_out_after_the_resume_in_order():
    session = opened(HANDLE)
    session.lose()
    session.submit(b"1")
    session.submit(b"2", "audio")
    session.until_deadline()
    session.submit(b"3")
    session.dialled()
    session.hear(READY)
    written = [one.payload for one in session.take() if isinstance(one, Write)]
    assert written[-3:] == [b"1", b"2", b"3"]


def test_speech_that_is_too_old_by_then_expires_and_is_reported():
    session = opened(HANDLE, outbox=OutboxLimits(audio_ms=100))
    session.lose()
    session.take()
    session.submit(b"old", "audio")
    assert session.deadline() == session.now + 0.1
    session.pass_time(0.11)
    assert events.InputDropped(kind="audio", count=1, duration_s=0.02) in session.events()


def test_text_in_flight_at_a_loss_is_reported_as_uncertain_and_not_repeated():
    session = opened(HANDLE)
    session.submit(b"text")
    session.take()
    session.lose()
    assert session.events()[0] == events.DeliveryUncertain(kinds={"text": 1})
    session.opened()
    assert Write(b"text") not in session.taken[-3:]


def test_a_pong_is_a_receipt():
    session = opened(HANDLE)
    session.submit(b"text")
    write, ping = session.take()
    assert (write, ping) == (Write(b"text"), Ping(b"1"))
    session.now += 0.03
    session.protocol.pong_received(session.now, b"1")
    assert session.protocol.outbox.counts.acknowledged == 1
    assert session.round_trip_s == pytest.approx(0.03)
    session.lose()
    assert not any(isinstance(event, events.DeliveryUncertain) for event in session.events())


def test_speech_asks_for_a_receipt_every_five_seconds():
    session = opened()
    session.submit(b"a", "audio")
    assert session.take() == [Write(b"a")]
    assert session.deadline() == pytest.approx(5.0)
    session.until_deadline()
    assert session.take() == [Ping(b"1")]


def test_a_pong_that_was_not_asked_for_proves_nothing():
    session = opened()
    session.submit(b"text")
    session.protocol.pong_received(session.now, b"99")
    assert session.protocol.outbox.counts.acknowledged == 0


def test_with_an_index_everything_the_state_lacks_is_replayed_exactly():
    session = opened(transparent=True)
    for payload in (b"1", b"2", b"3"):
        session.submit(payload, "audio")
    session.hear(b'{"sessionResumptionUpdate":{"newHandle":"h","resumable":true,"lastConsumedClientMessageIndex":"2"}}')
    session.take()
    assert session.protocol.outbox.counts.acknowledged == 2
    session.lose()
    session.submit(b"4", "audio")
    session.until_deadline()
    session.dialled()
    session.hear(READY)
    decided = session.take()
    assert [one.payload for one in decided if isinstance(one, Write)][1:] == [b"3", b"4"]
    reconnected = next(
        one.event for one in decided if isinstance(one, Emit) and isinstance(one.event, events.Reconnected)
    )
    assert reconnected.replayed == 1


def test_with_an_index_but_before_the_first_handle_a_fresh_session_hears_everything_again():
    setup = Setup(
        model="models/m",
        session_resumption=SessionResumptionConfig(transparent=True),
        history_config=HistoryConfig(initial_history_in_client_content=True),
    )
    session = opened(setup=setup)
    session.submit(b"1", "audio")
    session.submit(b"2", "text")
    session.take()
    session.lose()
    assert not any(isinstance(event, events.DeliveryUncertain) for event in session.events())
    session.until_deadline()
    session.dialled()
    session.hear(READY)
    decided = session.take()
    setup, *written = [one.payload for one in decided if isinstance(one, Write)]
    assert written == [b"1", b"2"]
    assert json.loads(setup)["setup"]["historyConfig"] == {"initialHistoryInClientContent": True}
    reconnected = next(
        one.event for one in decided if isinstance(one, Emit) and isinstance(one.event, events.Reconnected)
    )
    assert reconnected.context_restored
    assert reconnected.replayed == 2


def test_an_update_without_the_index_proves_nothing_so_nothing_before_it_is_repeated():
    session = opened(transparent=True)
    session.submit(b"before")
    session.hear(HANDLE)
    session.submit(b"after")
    session.take()
    session.lose()
    assert events.DeliveryUncertain(kinds={"text": 1}) in session.events()
    session.until_deadline()
    session.dialled()
    session.hear(READY)
    written = [one.payload for one in session.take() if isinstance(one, Write)]
    assert written[1:] == [b"after"]


def test_a_replay_from_the_start_that_has_lost_its_beginning_restores_nothing():
    session = opened(transparent=True, outbox=OutboxLimits(replay_bytes=100))
    for _ in range(5):
        session.submit(b"x" * 50)
    session.lose()
    session.take()
    session.until_deadline()
    session.dialled()
    session.hear(READY)
    reconnected = next(event for event in session.events() if isinstance(event, events.Reconnected))
    assert not reconnected.context_restored


def test_with_an_index_whose_handle_was_withdrawn_a_fresh_session_hears_nothing_twice():
    session = opened(HANDLE, b'{"sessionResumptionUpdate":{}}', transparent=True)
    session.submit(b"1", "text")
    session.lose()
    assert events.DeliveryUncertain(kinds={"text": 1}) in session.events()
    session.opened()
    assert Write(b"1") not in session.taken[-4:]


def test_with_an_index_a_pong_is_no_receipt():
    session = opened(transparent=True)
    session.submit(b"text")
    session.pass_time(20.0)
    session.take()
    session.protocol.pong_received(session.now, b"1")
    assert session.protocol.outbox.counts.acknowledged == 0


# --- back-pressure --------------------------------------------------------------------------------------------------


def test_a_paused_connection_is_not_written_to():
    session = opened()
    session.protocol.writing_paused()
    session.submit(b"text")
    assert session.take() == []
    session.protocol.writing_resumed(session.now)
    assert session.take()[0] == Write(b"text")


def test_a_backlog_is_written_in_portions_so_that_the_connection_can_say_stop():
    session = opened(HANDLE)
    session.lose()
    for _ in range(10):
        session.submit(b"x" * 10_000)
    session.opened()
    assert session.protocol.outbox.counts.waiting == 8
    session.protocol.batch_written(session.now)
    assert session.protocol.outbox.counts.waiting == 6


# --- goAway ---------------------------------------------------------------------------------------------------------


def test_go_away_at_rest_moves_at_once_without_back_off():
    session = opened(HANDLE)
    session.now = 10.0
    session.hear(GO_AWAY)
    go_away, reconnecting, hang_up = session.take()
    assert go_away.event == events.GoAway(time_left_s=50.0)
    assert reconnecting.event.delay_s == 0.0
    assert reconnecting.event.kind is CloseKind.PLANNED
    assert hang_up == HangUp(1000)
    session.submit(b"meanwhile")
    session.lose(CLEAN)
    assert session.take() == [Dial()]
    session.dialled()
    session.hear(READY)
    assert Write(b"meanwhile") in session.take()


def test_go_away_waits_for_the_end_of_the_turn():
    session = opened(HANDLE, AUDIO, GO_AWAY)
    assert session.state is State.OPEN
    session.hear(TURN_COMPLETE)
    assert session.state is State.MOVING


def test_go_away_waits_for_the_handle_that_contains_the_turn_where_the_state_is_as_old_as_its_handle():
    session = opened(HANDLE, AUDIO, GO_AWAY, TURN_COMPLETE, transparent=True)
    assert session.state is State.OPEN, "resumed from the older handle, the same would be asked and answered again"
    session.hear(
        b'{"sessionResumptionUpdate":{"newHandle":"h-2","resumable":true,"lastConsumedClientMessageIndex":"1"}}'
    )
    assert session.state is State.MOVING


def test_go_away_waits_for_an_answer_that_is_owed_because_a_resume_would_not_bring_it():
    session = opened(HANDLE)
    session.submit(b"a question")
    session.conversation.answer_asked_for(session.now)
    session.hear(GO_AWAY)
    assert session.state is State.OPEN
    session.hear(AUDIO)
    session.hear(TURN_COMPLETE)
    assert session.state is State.MOVING


@pytest.mark.parametrize("when", ["moving", "setting up"])
def test_go_away_is_about_one_connection_and_does_not_outlive_it(when):
    session = opened(HANDLE)
    session.hear(GO_AWAY)
    if when == "moving":
        session.hear(GO_AWAY)
        session.lose(CLEAN)
        session.dialled()
    else:
        session.lose(CLEAN)
        session.dialled()
        session.hear(GO_AWAY)
        session.lose()
        session.until_deadline()
        session.dialled()
    session.hear(READY)
    session.hear(b"{}")
    assert session.state is State.OPEN


def test_go_away_waits_for_the_answer_to_a_tool_call():
    session = opened(HANDLE, TOOL_CALL, TURN_COMPLETE, GO_AWAY)
    assert session.state is State.OPEN
    session.protocol.conversation.pending_calls.clear()
    session.hear(b"{}")
    assert session.state is State.MOVING


def test_go_away_waits_for_a_handle_but_not_for_ever():
    session = opened(GO_AWAY)
    assert session.state is State.OPEN
    session.protocol.life_sign(45.0)
    session.now = 45.0
    session.protocol.time_passed(45.0)  # five seconds before the end, whether or not the server speaks again
    assert session.state is State.MOVING


@pytest.mark.parametrize(
    ("time_left", "moves_at"), [("2s", 1.5), ("0s", 0.0), ("-3s", 0.0), (None, 7.5), ("1e99s", 7.5)]
)
def test_the_notice_of_go_away_may_be_anything(time_left, moves_at):
    raw = b'{"goAway":{}}' if time_left is None else b'{"goAway":{"timeLeft":"%s"}}' % time_left.encode()
    session = opened(AUDIO, raw)
    assert session._move_at == pytest.approx(moves_at)


def test_the_close_echo_of_a_move_proves_that_everything_arrived():
    session = opened(HANDLE)
    session.submit(b"a", "audio")
    session.hear(GO_AWAY)
    session.take()
    session.lose(CLEAN)
    assert not any(isinstance(event, events.DeliveryUncertain) for event in session.events())
    assert session.protocol.outbox.counts.acknowledged == 1


def test_go_away_is_only_reported_where_reconnecting_is_disabled():
    session = opened(HANDLE, GO_AWAY, reconnect=ReconnectPolicy(enabled=False))
    assert session.state is State.OPEN


def test_what_expires_in_the_moment_of_the_close_is_reported_too():
    session = opened()
    session.protocol.writing_paused()
    session.submit(b"stale", "audio")
    session.now += 60.0  # the program was busy
    session.close()
    session.protocol.outbox.accept_expired("audio", 2)  # fed by another thread meanwhile
    session.lose(CLEAN)
    told = session.events()
    assert sum(event.count for event in told if isinstance(event, events.InputDropped)) == 3
    assert session.protocol.outbox.counts.expired == 3
    assert isinstance(told[-1], events.Closed)


# --- interruption ---


def test_audio_after_an_interruption_is_not_handed_out():
    session = opened()
    session.hear(AUDIO)
    session.hear(b'{"serverContent":{"interrupted":true}}')
    session.hear(AUDIO)
    session.hear(TURN_COMPLETE)
    session.hear(AUDIO)
    heard = [(event.turn, event.sequence) for event in session.events() if isinstance(event, events.ModelAudio)]
    assert heard == [(1, 1), (2, 1)]


# --- an answer that does not come ---


def asked(**options):
    session = opened(HANDLE, **options)
    session.protocol.conversation.answer_asked_for(session.now)
    return session


def test_a_service_that_owes_an_answer_and_says_nothing_has_stalled():
    session = asked()
    session.until_deadline()
    assert session.now == 15.0
    assert session.events() == []  # the line is probed first
    session.until_deadline()
    assert session.events() == [events.Stalled(silent_s=15.0)]
    session.until_deadline()
    assert session.state is State.WAITING, "said once; what follows is the half-open line"


def test_messages_without_an_answer_do_not_hide_that_it_has_stalled():
    session = asked()
    for _ in range(15):
        session.pass_time(1.0)
        session.hear(b"{}")
    session.pass_time(0.0)
    assert events.Stalled(silent_s=15.0) in session.events()


def test_an_answer_in_time_is_no_stall():
    session = asked()
    session.pass_time(14.0)
    session.hear(AUDIO)
    session.take()
    session.pass_time(1.0)
    assert session.events() == []


def test_a_stalled_session_moves_if_it_is_told_to():
    session = asked(reconnect=ReconnectPolicy(when_stalled=True), transport=TransportConfig(stalled_after_s=5.0))
    session.until_deadline()
    stalled, reconnecting, hang_up = session.take()
    assert stalled.event == events.Stalled(silent_s=5.0)
    assert "owed an answer" in reconnecting.event.reason
    assert hang_up == HangUp()


# --- half-open ------------------------------------------------------------------------------------------------------


def test_a_silent_line_is_probed_and_then_given_up():
    session = opened(HANDLE)
    session.until_deadline()
    assert session.now == 15.0
    assert session.take() == [Ping(b"0")]
    session.until_deadline()
    assert session.now == 60.0
    abort, reconnecting = session.take()
    assert abort == Abort()
    assert reconnecting.event.kind is CloseKind.NETWORK
    assert "60 s" in reconnecting.event.reason


@pytest.mark.parametrize("sign", ["message", "pong", "life sign"])
def test_any_byte_is_life(sign):
    session = opened(HANDLE)
    session.until_deadline()
    session.now = 50.0
    match sign:
        case "message":
            session.hear(b"{}")
        case "pong":
            session.protocol.pong_received(session.now, b"something else")
        case _:
            session.protocol.life_sign(session.now)
    session.take()
    session.pass_time(10.0)
    assert session.state is State.OPEN
    assert session.take() == []


def test_a_pong_after_thirty_seconds_is_normal():
    session = opened(HANDLE)
    session.until_deadline()
    session.now += 30.0
    session.protocol.time_passed(session.now)
    session.protocol.pong_received(session.now, b"0")
    assert session.state is State.OPEN
    assert session.round_trip_s == 30.0


# --- from another process ---


def test_a_successor_begins_with_the_handle_and_says_what_was_unsent():
    setup = Setup(model="models/m", session_resumption=SessionResumptionConfig(handle="h-7"))
    session = Session(setup=setup)
    call = FunctionCall(name="f", id="c1")
    session.protocol.take_over(0.0, [Unsent(kind="text", payload=b"unsent")], [call])
    assert session.handle == "h-7"
    session.start()
    session.dialled()
    session.hear(READY)
    assert Write(b"unsent") in session.take()
    assert list(session.conversation.pending_calls.values()) == [call]


# --- status ---


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.NEW, SessionStatus.CONNECTING),
        (State.DIALLING, SessionStatus.CONNECTING),
        (State.SETTING_UP, SessionStatus.CONNECTING),
        (State.OPEN, SessionStatus.CONNECTED),
        (State.MOVING, SessionStatus.RECONNECTING),
        (State.WAITING, SessionStatus.RECONNECTING),
        (State.CLOSING, SessionStatus.CONNECTED),
        (State.CLOSED, SessionStatus.CLOSED),
    ],
)
def test_each_state_in_the_users_terms(state, status):
    assert in_state(state).protocol.status is status


def test_the_end_can_be_named_before_it_has_come():
    session = in_state(State.CLOSING)
    assert session.protocol.end.kind is CloseKind.REQUESTED
    session.lose(CLEAN)
    assert session.protocol.end is session.closed


# --- the end --------------------------------------------------------------------------------------------------------


def test_close_writes_what_waits_then_says_goodbye():
    session = opened()
    session.protocol.writing_paused()
    session.submit(b"last words")
    session.take()
    session.close()
    decided = session.take()
    assert decided[0] == Write(b"last words")
    assert decided[-1] == HangUp(1000)
    session.lose(CLEAN)
    (closed,) = session.events()
    assert closed.kind is CloseKind.REQUESTED
    assert closed.undelivered == 0
    assert session.protocol.outbox.counts.acknowledged == 1


def test_the_echo_of_the_last_close_settles_everything_also_where_an_index_would():
    session = opened(transparent=True)
    session.submit(b"a", "audio")
    session.close()
    session.take()
    session.lose(CLEAN)
    (closed,) = session.events()
    assert closed.kind is CloseKind.REQUESTED
    assert session.protocol.outbox.counts.acknowledged == 1


def test_what_is_handed_over_is_neither_settled_nor_uncertain():
    session = opened(HANDLE, transparent=True)
    session.submit(b"a", "audio")
    session.protocol.close(session.now, CloseKind.HANDED_OVER)
    session.take()
    session.lose(CLEAN)
    assert [type(event).__name__ for event in session.events()] == ["Closed"]
    assert [one.payload for one in session.protocol.outbox.unsent(session.now)] == [b"a"]


def test_close_while_down_ends_at_once_and_counts_what_was_not_delivered():
    session = opened()
    session.lose()
    session.submit(b"never")
    session.take()
    session.close()
    (closed,) = session.events()
    assert closed.undelivered == 1
    assert session.deadline() is None


def test_close_while_dialling_gives_the_dial_up():
    session = Session()
    session.start()
    session.take()
    session.close()
    assert session.take()[0] == Abort()
    assert session.state is State.CLOSED


def test_close_during_a_move_waits_for_the_socket():
    session = opened(HANDLE, GO_AWAY)
    session.close()
    assert session.state is State.CLOSING
    session.lose(CLEAN)
    assert session.closed.kind is CloseKind.REQUESTED
    assert Dial() not in session.take()


@pytest.mark.parametrize("transparent", [None, True])
def test_a_close_during_the_setup_proves_nothing_about_an_earlier_connection(transparent):
    session = opened(HANDLE, transparent=transparent)
    session.submit(b'{"toolResponse":{}}', "tool_response")
    session.take()
    session.lose()
    session.until_deadline()
    session.dialled()
    session.close()
    session.take()
    session.lose(CLEAN)
    assert session.events()[:1] == [events.DeliveryUncertain(kinds={"tool_response": 1})]


def test_closing_twice_is_closing_once():
    session = opened()
    session.close()
    session.take()
    session.close()
    assert session.take() == []


def test_what_arrives_during_the_goodbye_is_still_handed_out():
    session = opened()
    session.close()
    session.take()
    session.hear(AUDIO)
    assert isinstance(session.events()[0], events.ModelAudio)


def test_messages_that_were_not_understood_are_counted():
    session = opened()
    for raw in (b"{}", b'{"serverContent":{"turnComplete":true}}', b'{"new":1}', b"?", b'{"toolCall":{"x":1,"y":2}}'):
        session.hear(raw)
    assert session.unknown_received == 3
    assert sum(isinstance(event, events.Unknown) for event in session.events()) == 3
