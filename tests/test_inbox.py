from __future__ import annotations

import asyncio
import threading

import pytest

from conftest import FakeClockLoop, on_fake_clock
from gemini_live.inbox import Inbox


class Rig:
    def __init__(self, most_s=2.0):
        self.batches = []
        self.loop = asyncio.get_running_loop()
        self.inbox = Inbox(self.loop, self.batches.append, most_s)


@on_fake_clock
async def test_a_batch_wakes_the_loop_once_and_keeps_the_order():
    rig = Rig()
    wakes = []
    rig.loop.call_soon_threadsafe = wakes.append
    for number in range(10):
        assert rig.inbox.put("audio", b"%d" % number, 0.02)
    assert len(wakes) == 1
    assert rig.inbox.waiting == 10
    wakes[0]()
    assert [one.payload for one in rig.batches[0].handed] == [b"%d" % number for number in range(10)]
    assert rig.inbox.waiting == 0
    rig.inbox.put("audio", b"next", 0.02)
    assert len(wakes) == 2


@on_fake_clock
async def test_it_is_taken_when_the_loop_comes_round():
    rig = Rig()
    rig.inbox.put("video", b"x")
    assert rig.batches == []
    await asyncio.sleep(0.01)
    (batch,) = rig.batches
    assert (batch.handed[0].kind, batch.handed[0].payload) == ("video", b"x")


@on_fake_clock
async def test_a_blocked_loop_does_not_make_it_grow():
    rig = Rig(most_s=1.0)
    rig.loop.call_soon_threadsafe = lambda _call: None
    for number in range(200):  # four seconds of speech
        rig.loop._jumping.now = number * 0.02
        rig.inbox.put("video" if number == 0 else "audio", b"x", 0.02)
    assert rig.inbox.waiting <= 53
    rig.inbox.drain()
    (batch,) = rig.batches
    assert batch.handed[0].kind == "video", "only audio gets too old"
    assert batch.expired + len(batch.handed) == 200
    assert batch.expired_s == pytest.approx(batch.expired * 0.02)


@on_fake_clock
async def test_nothing_is_lost_between_threads():
    rig = Rig()

    def feed(name):
        for number in range(500):
            rig.inbox.put("audio", b"%s%d" % (name, number), 0.02)

    threads = [threading.Thread(target=feed, args=(name,)) for name in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        await asyncio.sleep(0.0001)
    await asyncio.sleep(0.01)
    payloads = [one.payload for batch in rig.batches for one in batch.handed]
    assert len(payloads) == 1_500
    for name in (b"a", b"b", b"c"):
        mine = [payload for payload in payloads if payload.startswith(name)]
        assert mine == [b"%s%d" % (name, number) for number in range(500)]


def test_a_closed_loop_takes_nothing():
    loop = FakeClockLoop()
    inbox = Inbox(loop, lambda _batch: None, 2.0)
    loop.close()
    for _ in range(3):
        assert not inbox.put("video", b"x")
    assert inbox.waiting == 0


def test_a_loop_that_is_closed_before_it_comes_round_takes_nothing_more():
    loop = asyncio.new_event_loop()
    inbox = Inbox(loop, lambda _: None, 2.0)
    assert inbox.put("audio", b"x", 0.02)
    loop.close()
    assert not inbox.put("audio", b"x", 0.02)
    assert inbox.waiting == 0


@on_fake_clock
async def test_of_video_only_the_newest_waits_for_a_blocked_loop():
    rig = Rig()
    for number in range(100):
        rig.inbox.put("video", b"%d" % number)
        rig.inbox.put("audio", b"a", 0.02)
    assert rig.inbox.waiting == 101
    rig.inbox.drain()
    (batch,) = rig.batches
    assert [one.payload for one in batch.handed if one.kind == "video"] == [b"99"]
    assert batch.superseded == 99
