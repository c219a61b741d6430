"""A small run of the chaos, and proof that it would notice."""

from __future__ import annotations

import asyncio
import random

import pytest

from gemini_live.codec import message_of
from gemini_live.outbox import Outbox
from gemini_live.transport import dial

from .clock import CheapSleepLoop
from .move import measure
from .proxy import PONG, TEXT, _Frames, frame
from .report import table
from .run import run
from .scene import Scene

SEEDS = [5, 7]
"""One session on the Developer API, one on Vertex AI."""
QUIET = ("an interruption by nobody", "pings from the server")
"""Faults that take no connection away, so that what is found is the broken part's doing."""


def test_a_few_hundred_faults_break_no_rule():
    result = run(seed=20_261_123, faults=300)
    assert result.broken == [], table(result)
    assert result.faults.total() >= 300
    assert len(result.faults) > 30


async def test_a_planned_move_during_continuous_speech_loses_nothing():
    moves = await measure(moves=2, between_s=0.3)
    assert moves.sound, moves.describe()
    assert len(moves.gaps_ms) == 2


def test_a_session_that_is_played_alone_is_the_same_one():
    alone = run(seed=5, faults=1, only_session=2, only=QUIET)
    again = run(seed=5, faults=1, only_session=2, only=QUIET)
    [one], [other] = alone.outcomes, again.outcomes
    assert (one.number, one.faults, one.ends) == (other.number, other.faults, other.ends)


# --- it would notice -------------------------------------------------------------------------------------------------


class Spoiler:
    """A transport that does something to the n-th message that holds something."""

    def __init__(self, transport, spoil, nth):
        self._transport = transport
        self._spoil = spoil
        self._left = nth
        self._kept = None
        self.ping, self.close = transport.ping, transport.close
        self.abort, self.wait_closed = transport.abort, transport.wait_closed

    def write(self, message):
        self._left -= b'"realtimeInput":{"text"' in message_of(message)
        if self._left == 0:
            self._left = -1
            if self._spoil == "swap" and self._kept is None:
                self._kept = message
            if self._spoil == "double":
                self._transport.write(message)
                self._transport.write(message)
            return
        self._transport.write(message)
        if self._kept is not None:
            self._transport.write(self._kept)
            self._kept = None


def play(spoil=None, prepare=None, seed=7):
    async def dialler(address, config, receiver):
        transport = await dial(address, config, receiver)
        return transport if spoil is None else Spoiler(transport, spoil, nth=3)

    async def scene():
        return await Scene(1, seed, dialler=dialler, prepare=prepare, only=QUIET).play(12)

    with asyncio.Runner(loop_factory=CheapSleepLoop) as runner:
        return runner.run(scene())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sound_session_is_sound(seed):
    assert play(seed=seed).broken == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_message_that_the_network_loses_silently_is_reported(seed):
    assert any("LOST Key(kind='text', number=3)" in sentence for sentence in play("drop", seed=seed).broken)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_message_that_comes_twice_is_reported(seed):
    assert any("is 2 times in the state" in sentence for sentence in play("double", seed=seed).broken)


@pytest.mark.parametrize("seed", SEEDS)
def test_messages_that_come_in_another_order_are_reported(seed):
    assert any("out of order in the state" in sentence for sentence in play("swap", seed=seed).broken)


def test_a_message_that_the_outbox_forgets_is_reported():
    class Forgetful(Outbox):
        __slots__ = ()

        def next_to_write(self, now):
            frame = super().next_to_write(now)
            return super().next_to_write(now) if frame is not None and b"#000002" in message_of(frame) else frame

    def prepare(session):
        session._protocol.outbox.__class__ = Forgetful

    assert any("taken, never written" in sentence for sentence in play(prepare=prepare).broken)


def test_sums_that_do_not_add_up_are_reported():
    def prepare(session):
        session._protocol.outbox._fates.acknowledged["text"] += 1

    assert any("do not add up" in sentence for sentence in play(prepare=prepare).broken)


def test_a_task_that_is_left_is_reported():
    kept = []

    def prepare(session):
        kept.append(asyncio.create_task(asyncio.Event().wait(), name="left"))

    result = run(seed=1, faults=1, only=QUIET, only_session=3, prepare=prepare)
    assert "left: 1 tasks" in result.broken


def test_an_exception_that_nobody_handles_is_reported():
    def prepare(session):
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)

    result = run(seed=1, faults=1, only=QUIET, only_session=3, prepare=prepare)
    assert any("ZeroDivisionError" in sentence for sentence in result.broken)


# --- the proxy's own ears --------------------------------------------------------------------------------------------


def test_a_stream_is_cut_into_the_same_frames_however_it_comes():
    rng = random.Random(1)  # noqa: S311 - dice, to be thrown again
    head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    frames = [
        head,
        *(frame(opcode, bytes(size)) for opcode, size in ((TEXT, 5), (PONG, 0), (TEXT, 200), (TEXT, 70_000))),
    ]
    stream = b"".join(frames)
    for most in (1, 7, 5_000, len(stream)):
        reader, found, at = _Frames(), [], 0
        while at < len(stream):
            size = rng.randint(1, most)
            found += [raw for _, raw in reader.feed(stream[at : at + size])]
            at += size
        assert found == frames
