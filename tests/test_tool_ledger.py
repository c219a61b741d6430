from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gemini_live.messages import FunctionCall
from gemini_live.tool_ledger import Cancel, Run, Send, ToolLedger


class LedgerMachine(RuleBasedStateMachine):
    """Facts in any order; the accounts add up, and nobody is answered twice without a reason."""

    IDS = st.sampled_from(["a", "b", "c", "d"])

    def __init__(self):
        super().__init__()
        self.ledger = ToolLedger()
        self.running = set()
        self.seen = set()
        self.sends = 0
        self.connected = True
        self.now = 0.0

    def take(self, decisions):
        for decision in decisions:
            match decision:
                case Run(key=key):
                    assert key not in self.seen, "run twice in one conversation"
                    self.seen.add(key)
                    self.running.add(key)
                case Cancel(key=key):
                    self.running.discard(key)
                case Send():
                    assert self.connected
                    self.sends += 1

    @precondition(lambda self: self.connected)
    @rule(key=IDS, forgotten=st.booleans())
    def called(self, key, forgotten):
        self.now += 1
        self.take(self.ledger.called(self.now, FunctionCall(name="f", id=key), forgotten_when_interrupted=forgotten))

    @rule(key=IDS, failed=st.booleans())
    def answered(self, key, failed):
        self.running.discard(key)
        self.take(self.ledger.answered(key, Send(key.encode(), (key,)), failed=failed))

    @rule(key=IDS)
    def expired(self, key):
        self.take(self.ledger.expired(key, Send(key.encode(), (key,))))

    @rule(key=IDS)
    def by_hand(self, key):
        self.take(self.ledger.answered_by_hand(Send(key.encode(), (key,)), [key]))

    @precondition(lambda self: self.connected)
    @rule(key=IDS)
    def cancelled(self, key):
        self.take(self.ledger.cancelled([key]))

    @precondition(lambda self: self.connected)
    @rule()
    def interrupted(self):
        self.take(self.ledger.interrupted())

    @precondition(lambda self: self.connected)
    @rule()
    def lost(self):
        self.ledger.reconnecting()
        self.connected = False

    @precondition(lambda self: not self.connected)
    @rule(restored=st.booleans())
    def back(self, restored):
        self.connected = True
        if not restored:
            self.seen.clear()
        self.take(self.ledger.reconnected(calls_known=restored))

    @invariant()
    def the_accounts_add_up(self):
        stats = self.ledger.stats(self.now)
        assert stats.calls == len(stats.pending) + stats.answered + stats.cancelled + stats.dropped
        assert self.running <= {call.id for call in stats.pending}
        assert self.sends <= stats.answered + stats.repeated
        assert all(call.age_s >= 0 for call in stats.pending)

    def teardown(self):
        self.connected = True
        self.take(self.ledger.closing())
        assert not self.running
        assert self.ledger.stats(self.now).pending == ()
        late = FunctionCall(name="f", id="late")
        assert self.ledger.called(0, late, forgotten_when_interrupted=False) == []
        assert self.ledger.closed() == []


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_the_ledger_does_not_grow_for_ever():
    ledger = ToolLedger()
    for number in range(3_000):
        (run,) = ledger.called(0.0, FunctionCall(name="f", id=str(number)), forgotten_when_interrupted=False)
        ledger.answered(run.key, Send(b"", (str(number),)))
    assert len(ledger._answered) == 1_024


def test_a_ledger_that_was_only_closed_by_the_other_side_takes_no_call_either():
    ledger = ToolLedger()
    ledger.closed()
    assert ledger.called(0, FunctionCall(name="f", id="late"), forgotten_when_interrupted=False) == []


def test_another_conversation_may_use_the_id_of_a_call_that_was_answered():
    ledger, call = ToolLedger(), FunctionCall(name="f", id="1")
    for _ in range(2):
        assert ledger.called(0, call, forgotten_when_interrupted=False) == [Run("1", call)]
        ledger.answered("1", Send(b"", ("1",)))
        ledger.reconnecting()
        ledger.reconnected(calls_known=False)
