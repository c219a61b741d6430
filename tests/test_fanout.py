from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemini_live import fanout
from gemini_live.events import Closed, CloseKind, Interrupted, Lagged, ModelAudio, ModelText, TurnComplete
from gemini_live.fanout import Fanout

CLOSED = Closed(kind=CloseKind.REQUESTED)
SECOND = bytes(48_000)


def audio(number, seconds=1):
    """A piece that can be told from others of its length."""
    data = bytearray(SECOND * seconds)
    data[:4] = number.to_bytes(4)
    return ModelAudio(data=bytes(data))


def text(number):
    return ModelText(text=str(number))


def unread(cursor):
    return list(iter(cursor.next_now, None))


@pytest.fixture
def short_memory(monkeypatch):
    """Three seconds instead of five minutes."""
    monkeypatch.setattr(fanout, "MAX_AUDIO_BYTES", 3 * len(SECOND))


async def settle():
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_every_cursor_reads_everything_in_order_at_its_own_pace():
    events = Fanout()
    one, two = events.join(), events.join()
    sent = [text(1), audio(2), Interrupted(), text(3)]
    events.publish(sent[0])
    events.publish(sent[1])
    assert unread(one) == sent[:2]
    events.publish(TurnComplete())
    assert unread(one) == [TurnComplete()]
    assert unread(two) == [sent[0], sent[1], TurnComplete()]
    assert unread(one) == unread(two) == []


def test_a_cursor_begins_when_it_is_made():
    events = Fanout()
    events.publish(text(1))
    late = events.join()
    events.publish(text(2))
    assert unread(late) == [text(2)]


async def test_iteration_ends_after_closed():
    events = Fanout()
    cursor = events.join()
    events.publish(text(1))
    events.publish(CLOSED)
    assert [event async for event in cursor] == [text(1), CLOSED]
    with pytest.raises(StopAsyncIteration):
        await anext(cursor)
    assert cursor.next_now() is None


async def test_a_cursor_made_after_the_end_is_empty():
    events = Fanout()
    events.publish(CLOSED)
    assert [event async for event in events.join()] == []


async def test_a_waiting_reader_is_woken():
    events = Fanout()
    cursor = events.join()
    reader = asyncio.create_task(anext(cursor))
    await settle()
    assert not reader.done()
    events.publish(text(1))
    assert await reader == text(1)


async def test_a_waiting_reader_sees_the_end():
    events = Fanout()
    cursor = events.join()

    async def read():
        return [event async for event in cursor]

    reader = asyncio.create_task(read())
    await settle()
    events.publish(CLOSED)
    assert await reader == [CLOSED]


async def test_several_events_wake_a_reader_once_and_are_all_read():
    events = Fanout()
    cursor = events.join()
    seen = []

    async def read():
        async for event in cursor:
            seen.append(event)  # noqa: PERF401 - one by one, to be looked at in between

    reader = asyncio.create_task(read())
    await settle()
    for number in range(5):
        events.publish(text(number))
    assert seen == []
    await settle()
    assert seen == [text(number) for number in range(5)]
    events.publish(CLOSED)
    await reader


# --- two tasks, cancellation, closing --------------------------------------------------------------------------------


async def test_a_second_task_at_one_cursor_is_told_to_take_its_own():
    events = Fanout()
    cursor = events.join()
    first = asyncio.create_task(anext(cursor))
    await settle()
    with pytest.raises(RuntimeError, match=r"session\.events\(\)"):
        await anext(cursor)
    events.publish(text(1))
    assert await first == text(1)  # and the first was not disturbed


@pytest.mark.parametrize("woken", [False, True])
async def test_a_cancelled_reader_loses_nothing(woken):
    events = Fanout()
    cursor = events.join()
    reader = asyncio.create_task(anext(cursor))
    await settle()
    if woken:  # but not yet running
        events.publish(text(1))
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    if not woken:
        events.publish(text(1))
    events.publish(text(2))
    assert [await anext(cursor), await anext(cursor)] == [text(1), text(2)]


async def test_a_timeout_loses_nothing():
    events = Fanout()
    cursor = events.join()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(cursor)
    events.publish(text(1))
    assert await anext(cursor) == text(1)


async def test_closing_ends_the_iteration_of_a_waiting_task():
    events = Fanout()
    cursor = events.join()

    async def read():
        return [event async for event in cursor]

    reader = asyncio.create_task(read())
    await settle()
    cursor.close()
    assert await reader == []


async def test_what_was_not_read_when_a_cursor_was_closed_is_gone(short_memory):
    events = Fanout()
    cursor = events.join()
    for number in range(5):
        events.publish(audio(number))
    cursor.close()
    events.publish(text(1))
    assert [event async for event in cursor] == []
    assert unread(cursor) == []
    cursor.close()  # again: no effect


async def test_closing_one_cursor_leaves_the_others():
    events = Fanout()
    async with events.join() as one:
        two = events.join()
        events.publish(text(1))
        assert await anext(one) == text(1)
    events.publish(text(2))
    assert unread(two) == [text(1), text(2)]
    assert unread(one) == []


# --- barge-in --------------------------------------------------------------------------------------------------------


def test_an_interruption_takes_unread_audio_away_and_nothing_else():
    events = Fanout()
    slow, fast = events.join(), events.join()
    before = [text(1), audio(2), TurnComplete(), audio(3), text(4)]
    for event in before:
        events.publish(event)
    assert unread(fast) == before
    events.publish(Interrupted())
    assert unread(slow) == [text(1), TurnComplete(), text(4), Interrupted()]
    assert unread(fast) == [Interrupted()]
    events.publish(audio(5))
    assert unread(slow) == unread(fast) == [audio(5)]


async def test_an_interruption_reaches_a_reader_that_was_woken_for_audio():
    """In the same turn of the loop: the reader must not play what it has not yet seen."""
    events = Fanout()
    cursor = events.join()
    reader = asyncio.create_task(anext(cursor))
    await settle()
    events.publish(audio(1))
    events.publish(Interrupted())
    assert await reader == Interrupted()


# --- lagging ---------------------------------------------------------------------------------------------------------


def test_a_slow_consumer_loses_the_oldest_audio_and_is_told(short_memory):
    events = Fanout()
    slow, fast = events.join(), events.join()
    seen = []
    for number in range(5):
        events.publish(audio(number))
        seen += unread(fast)
    assert unread(slow) == [Lagged(count=2), audio(2), audio(3), audio(4)]
    assert seen == [audio(number) for number in range(5)]


def test_lagged_comes_before_everything_and_once(short_memory):
    events = Fanout()
    slow = events.join()
    events.publish(text(1))
    for number in range(4):
        events.publish(audio(number))
    assert slow.next_now() == Lagged(count=1)
    assert slow.next_now() == text(1)
    events.publish(audio(4))
    assert unread(slow) == [Lagged(count=1), audio(2), audio(3), audio(4)]


async def test_lagged_wakes_nobody_by_itself_but_is_read_by_iteration(short_memory):
    events = Fanout()
    slow = events.join()
    for number in range(4):
        events.publish(audio(number))
    assert await anext(slow) == Lagged(count=1)
    assert await anext(slow) == audio(1)


def test_what_steers_the_conversation_is_never_lost(short_memory):
    events = Fanout()
    slow = events.join()
    for number in range(2_000):
        events.publish(text(number))
        events.publish(audio(number))
    found = unread(slow)
    assert found[0] == Lagged(count=1_997)
    assert [event for event in found if isinstance(event, ModelText)] == [text(number) for number in range(2_000)]
    assert [event for event in found if isinstance(event, ModelAudio)] == [
        audio(number) for number in range(1_997, 2_000)
    ]


def test_audio_that_was_read_or_taken_away_does_not_count(short_memory):
    events = Fanout()
    cursor = events.join()
    for number in range(10):
        events.publish(audio(number))
        assert unread(cursor) == [audio(number)]
    events.publish(audio(10, seconds=3))
    events.publish(Interrupted())
    events.publish(audio(11, seconds=3))
    assert unread(cursor) == [Interrupted(), audio(11, seconds=3)]


def test_one_piece_that_is_longer_than_everything(short_memory):
    events = Fanout()
    cursor = events.join()
    events.publish(audio(1, seconds=4))
    assert unread(cursor) == [Lagged(count=1)]
    events.publish(audio(2, seconds=3))
    assert unread(cursor) == [audio(2, seconds=3)]


def test_five_minutes_are_kept():
    assert 300 * len(SECOND) == fanout.MAX_AUDIO_BYTES


# --- a cursor that may never be read ---------------------------------------------------------------------------------


def test_a_cursor_that_nobody_reads_is_bounded():
    events = Fanout()
    prelude = events.join(max_unread_before_start=3)
    for number in range(10):
        events.publish(text(number))
    assert unread(prelude) == [Lagged(count=7), text(7), text(8), text(9)]


async def test_the_bound_ends_with_the_first_read():
    events = Fanout()
    prelude = events.join(max_unread_before_start=3)
    for number in range(3):
        events.publish(text(number))
    assert await anext(prelude) == text(0)
    for number in range(3, 20):
        events.publish(text(number))
    assert unread(prelude) == [text(number) for number in range(1, 20)]


async def test_a_first_read_that_waits_ends_the_bound_too():
    events = Fanout()
    prelude = events.join(max_unread_before_start=3)
    reader = asyncio.create_task(anext(prelude))
    await settle()
    for number in range(9):
        events.publish(text(number))
    assert await reader == text(0)
    assert unread(prelude) == [text(number) for number in range(1, 9)]


def test_the_bound_keeps_account_of_audio(short_memory):
    events = Fanout()
    prelude = events.join(max_unread_before_start=2)
    for number in range(9):
        events.publish(audio(number))
    assert unread(prelude) == [Lagged(count=7), audio(7), audio(8)]
    assert prelude._audio_bytes == 0


async def test_the_end_is_among_what_a_bounded_cursor_keeps():
    events = Fanout()
    prelude = events.join(max_unread_before_start=2)
    for number in range(5):
        events.publish(text(number))
    events.publish(CLOSED)
    assert [event async for event in prelude] == [Lagged(count=4), text(4), CLOSED]


# --- going away ------------------------------------------------------------------------------------------------------


def test_a_cursor_that_is_let_go_of_is_forgotten():
    events = Fanout()
    cursor = events.join()
    gone = weakref.ref(cursor)
    del cursor
    gc.collect()
    assert gone() is None
    events.publish(text(1))
    events.join()
    assert len(events._cursors) <= 1


class Owner:
    """A session, to a cursor."""


def test_a_cursor_keeps_its_owner_until_it_is_closed_or_let_go_of():
    events = Fanout()
    owner = Owner()
    gone = weakref.ref(owner)
    cursor, other = events.join(owner), events.join(owner)
    del owner
    gc.collect()
    assert gone() is not None
    cursor.close()
    del other
    gc.collect()
    assert gone() is None


def test_the_fanout_itself_holds_nobody():
    events = Fanout()
    owner = Owner()
    gone = weakref.ref(owner)
    cursor = events.join(owner)
    del owner, cursor
    gc.collect()
    assert gone() is None


# --- anything --------------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["audio", "text", "interrupted", "read one", "read all"]), st.integers(0, 2)),
        max_size=60,
    )
)
def test_any_pace_adds_up(steps):
    """Each cursor reads, skips or is relieved of every event exactly once, in order, against a plain model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fanout, "MAX_AUDIO_BYTES", 3 * len(SECOND))
        events = Fanout()
        cursors = [events.join() for _ in range(3)]
        models = [[] for _ in cursors]
        skipped = [0 for _ in cursors]
        for number, (step, which) in enumerate(steps):
            if step.startswith("read"):
                count = 1 if step == "read one" else None
                expected = ([Lagged(count=skipped[which])] if skipped[which] else []) + models[which]
                taken = expected if count is None else expected[:1]
                assert [cursors[which].next_now() for _ in taken] == taken
                if taken and isinstance(taken[0], Lagged):
                    skipped[which] = 0
                    taken = taken[1:]
                del models[which][: len(taken)]
                continue
            event = {"audio": audio(number), "text": text(number), "interrupted": Interrupted()}[step]
            events.publish(event)
            for index, model in enumerate(models):
                if step == "interrupted":
                    model[:] = [kept for kept in model if not isinstance(kept, ModelAudio)]
                model.append(event)
                pieces = [kept for kept in model if isinstance(kept, ModelAudio)]
                for piece in pieces[:-3]:
                    model.remove(piece)
                    skipped[index] += 1
        for index, cursor in enumerate(cursors):
            expected = ([Lagged(count=skipped[index])] if skipped[index] else []) + models[index]
            assert unread(cursor) == expected
