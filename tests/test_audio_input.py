from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import gemini_live as live
from conftest import on_fake_clock
from gemini_live.audio_input import AudioInput
from gemini_live.interop import setup_from
from gemini_live.protocol import State
from memory_transport import READY
from test_listener import levels, loud
from test_session import connect, manual_vad, network  # noqa: F401 - the fixture
from test_speech import samples

AS_IT_COMES = 16_000, "channels_last", "pcm"


class Runner:
    """What arrives at the one place that sends: the first value of each chunk, and the marks."""

    def __init__(self):
        self.said = []
        self.handed_in = []
        self.asked_after = []  # so much had been said
        self.takes_more = True
        self.pause = None
        self.protocol = SimpleNamespace(state=State.OPEN)
        self.inbox = SimpleNamespace(put=self._put)

    def submit(self, kind, _frame):
        self.said.append(kind)

    def submit_audio(self, frame, _duration_s):
        self.said.append(int(samples(frame)[0]))

    def _put(self, kind, frame, _duration_s=0.0):
        self.handed_in.append(int(samples(frame)[0]) if kind == "audio" else kind)
        return self.takes_more

    def call_soon_threadsafe(self, action):
        assert action == self.user_asked
        self.handed_in.append("asked")

    def user_asked(self):
        self.asked_after.append(len(self.said))


def audio_input(runner, setup="m", **policy):
    config = live.SessionConfig(setup=setup_from(setup), speech=live.SpeechPolicy(**policy))
    return AudioInput(runner, config)


@on_fake_clock
async def test_a_pause_sends_what_is_left_and_says_so_once():
    runner = Runner()
    audio = audio_input(runner)
    audio.feed(levels(1, 2)[:-100], *AS_IT_COMES)
    assert runner.said == [1]
    await asyncio.sleep(10)
    assert runner.said == [1, 2, "audio_stream_end"]
    assert runner.asked_after == []


@on_fake_clock
async def test_what_the_user_says_of_a_pause_is_not_said_again_until_something_is_heard():
    runner = Runner()
    audio = audio_input(runner)
    audio.feed(levels(1)[:-100], *AS_IT_COMES)
    audio.end_stream()
    await asyncio.sleep(10)
    assert runner.said == [1]
    audio.feed(levels(2), *AS_IT_COMES)
    await asyncio.sleep(10)
    assert runner.said == [1, 2, "audio_stream_end"]


@pytest.mark.parametrize("state", [State.CLOSING, State.CLOSED])
@on_fake_clock
async def test_nothing_is_said_after_the_goodbye(state):
    runner = Runner()
    audio_input(runner).feed(levels(1)[:-100], *AS_IT_COMES)
    runner.protocol.state = state
    await asyncio.sleep(10)
    assert runner.said == []


@on_fake_clock
async def test_what_is_refused_is_not_followed_by_a_pause():
    runner = Runner()
    with pytest.raises(TypeError, match="block"):
        audio_input(runner).feed("no samples", *AS_IT_COMES)
    await asyncio.sleep(10)
    assert runner.said == []


@on_fake_clock
async def test_a_blob_says_its_rate_itself():
    runner = Runner()
    blob = live.Blob(data=np.full(480, 7, "<i2").tobytes(), mime_type="audio/pcm;rate=24000")
    audio = audio_input(runner)
    audio.feed(blob, *AS_IT_COMES)
    audio.flush()
    assert len(runner.said) == 1


@on_fake_clock
async def test_only_the_user_who_marks_activity_is_told_of_no_pause():
    for setup, policy, is_noticed in (
        ("m", {}, True),
        (manual_vad(), {}, False),
        (manual_vad(), {"detector": loud}, True),
        ("m", {"stream_end_after_ms": None}, False),
    ):
        runner = Runner()
        assert audio_input(runner, setup, **policy).has_detector is ("detector" in policy)
        assert (runner.pause is not None) is is_noticed


@on_fake_clock
async def test_what_another_thread_gives_is_handed_in_with_its_marks_and_asks_behind_them():
    runner = Runner()
    audio = audio_input(runner, manual_vad(), detector=loud, preroll_ms=20, hangover_ms=40)
    assert audio.hand_in(levels(1, 5_000, 2, 3, 4), *AS_IT_COMES)
    assert runner.handed_in == ["activity_start", 1, 5_000, 2, 3, "activity_end", "asked"]
    assert runner.said == runner.asked_after == []
    runner.takes_more = False
    assert audio.hand_in(levels(5), *AS_IT_COMES), "of what is held back nothing was refused"
    assert not audio.hand_in(levels(5_001), *AS_IT_COMES)


@on_fake_clock
async def test_at_the_end_what_a_detector_took_for_speech_ends_and_asks():
    runner = Runner()
    audio = audio_input(runner, manual_vad(), detector=loud, preroll_ms=0)
    audio.feed(levels(5_000, 5_001)[:-100], *AS_IT_COMES)
    audio.finish()
    assert runner.said == ["activity_start", 5_000, 5_001, "activity_end"]
    assert runner.asked_after == [4]
    audio.finish()
    assert len(runner.said) == 4


@pytest.mark.parametrize("from_a_thread", [False, True])
@on_fake_clock
async def test_what_was_taken_for_speech_ends_also_where_the_detector_raises_in_the_block_that_began_it(from_a_thread):
    def detector(chunk):
        if chunk[0] == 7:
            raise ZeroDivisionError
        return loud(chunk)

    runner = Runner()
    audio = audio_input(runner, manual_vad(), detector=detector, preroll_ms=0)
    with pytest.raises(ZeroDivisionError):
        (audio.hand_in if from_a_thread else audio.feed)(levels(5_000, 7), *AS_IT_COMES)
    await asyncio.sleep(10)
    assert runner.said[-1] == "activity_end"


@pytest.mark.parametrize(("handle", "said"), [(None, []), ("h", [1])])
@on_fake_clock
async def test_a_session_that_goes_on_may_be_within_an_activity(handle, said):
    runner = Runner()
    setup = {**manual_vad(), **({"session_resumption": {"handle": handle}} if handle else {})}
    audio_input(runner, setup).feed(levels(1), *AS_IT_COMES)
    assert runner.said == said


@on_fake_clock
async def test_samples_that_could_not_be_sent_as_they_were_are_counted_by_whoever_hears_them():
    for setup, policy in (("m", {}), (manual_vad(), {"detector": loud})):
        audio = audio_input(Runner(), setup, **policy)
        audio.feed(np.array([np.nan, 2.0, 2.0], np.float32), *AS_IT_COMES)
        assert audio.defects() == {"nan": 1, "clipped": 2}


# --- in a session ----------------------------------------------------------------------------------------------------


def said(network):  # noqa: F811
    found = []
    for message in network.last.said:
        ((kind, value),) = message["realtimeInput"].items()
        found.append(int(np.frombuffer(base64.b64decode(value["data"]), "<i2")[0]) if kind == "audio" else kind)
    return found


@on_fake_clock
async def test_the_preroll_goes_right_after_the_mark(network):  # noqa: F811
    async with connect(manual_vad(), speech=live.SpeechPolicy(preroll_ms=40)) as session:
        await session.send_audio(levels(1, 2, 3))
        assert said(network) == []
        await session.activity_start()
        await session.send_audio(levels(4, 5)[:-100])
        await session.activity_end()
        session.feed_audio(levels(6, 7, 8))
        await session.activity_start()
        assert said(network) == ["activityStart", 2, 3, 4, 5, "activityEnd", "activityStart", 7, 8]


@on_fake_clock
async def test_what_a_thread_feeds_at_the_very_end_of_an_activity_is_kept_for_the_next(network):  # noqa: F811
    """Behind the mark the service would discard it."""
    async with connect(manual_vad(), speech=live.SpeechPolicy(preroll_ms=40)) as session:
        await session.activity_start()
        write = network.last.write

        def write_and_feed(frame):
            write(frame)
            if "activityEnd" in network.last.said[-1]["realtimeInput"]:
                with ThreadPoolExecutor(1) as thread:
                    assert thread.submit(session.feed_audio, levels(1)).result()

        network.last.write = write_and_feed
        await session.activity_end()
        await asyncio.sleep(0.1)
        assert said(network) == ["activityStart", "activityEnd"]
        await session.activity_start()
        assert said(network) == ["activityStart", "activityEnd", "activityStart", 1]


@on_fake_clock
async def test_without_preroll_all_audio_is_sent_as_it_comes(network):  # noqa: F811
    async with connect(manual_vad(), speech=live.SpeechPolicy(preroll_ms=0)) as session:
        await session.send_audio(levels(1))
        await session.activity_start()
        await session.send_audio(levels(2))
        await session.activity_end()
        await session.send_audio(levels(3))
        assert said(network) == [1, "activityStart", 2, "activityEnd", 3]


@pytest.mark.parametrize("feed", [False, True])
@on_fake_clock
async def test_a_detector_marks_activity(network, feed):  # noqa: F811
    policy = live.SpeechPolicy(detector=loud, preroll_ms=20, hangover_ms=40)
    async with connect(manual_vad(), speech=policy) as session:
        for block in (levels(1, 2, 5_000), levels(3, 4, 5), levels(5_001, 6)):
            if feed:
                assert session.feed_audio(block)
            else:
                await session.send_audio(block)
        await asyncio.sleep(0.1)
        assert said(network) == ["activityStart", 2, 5_000, 3, 4, "activityEnd", "activityStart", 5, 5_001, 6]
        for call in (session.activity_start, session.activity_end):
            with pytest.raises(live.ConfigError, match="the detector of SpeechPolicy marks activity"):
                await call()
    assert said(network)[-2:] == [6, "activityEnd"]
    counts = session.stats.by_kind
    assert (counts["activity_start"].accepted, counts["activity_end"].accepted) == (2, 2)


@on_fake_clock
async def test_an_answer_is_awaited_to_an_activity_that_ends_in_another_thread(network):  # noqa: F811
    policy = live.SpeechPolicy(detector=loud, preroll_ms=0, hangover_ms=20)
    async with connect(manual_vad(), speech=policy) as session:
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(session.feed_audio, levels(5_000, 1)).result()
        event = await session.next_event()
        while not isinstance(event, live.Stalled):
            event = await session.next_event()
        assert said(network) == ["activityStart", 5_000, 1, "activityEnd"]


@pytest.mark.parametrize("forgotten", [True, False])
@on_fake_clock
async def test_what_a_detector_still_takes_for_speech_is_marked_anew_where_the_service_has_forgotten_it(
    network,  # noqa: F811
    forgotten,
):
    """Outside of an activity the service discards it, and who has a detector cannot mark it himself."""
    if forgotten:
        network.greeting = (READY,)  # without a handle
    async with connect(manual_vad(), speech=live.SpeechPolicy(detector=loud, preroll_ms=20)) as session:
        await session.send_audio(levels(5_000))
        network.last.lose()
        await session.wait_for_status(live.SessionStatus.RECONNECTING)
        await session.wait_for_status(live.SessionStatus.CONNECTED)
        await session.send_audio(levels(5_001))
    assert said(network) == [*(["activityStart"] if forgotten else []), 5_001, "activityEnd"]


@on_fake_clock
async def test_an_activity_that_the_service_has_forgotten_is_not_ended(network):  # noqa: F811
    network.greeting = (READY,)
    async with connect(manual_vad(), speech=live.SpeechPolicy(detector=loud, preroll_ms=0)) as session:
        await session.send_audio(levels(5_000))
        network.last.lose()
        await session.wait_for_status(live.SessionStatus.RECONNECTING)
        await session.wait_for_status(live.SessionStatus.CONNECTED)
        await asyncio.sleep(10)
        assert said(network) == []
        await session.send_audio(levels(1, 2, 5_002))
    assert said(network) == ["activityStart", 5_002, "activityEnd"]


@on_fake_clock
async def test_an_activity_that_begins_during_the_outage_is_marked_once_and_ended(network):  # noqa: F811
    """Its beginning waited for the connection, so also a service that has forgotten what was before knows of it."""
    network.greeting = (READY,)
    async with connect(manual_vad(), speech=live.SpeechPolicy(detector=loud, preroll_ms=0)) as session:
        await session.send_audio(levels(5_000, *[1] * 30))
        network.last.lose()
        await session.wait_for_status(live.SessionStatus.RECONNECTING)
        await session.send_audio(levels(5_001))
        await session.wait_for_status(live.SessionStatus.CONNECTED)
        await session.send_audio(levels(5_002, *[1] * 30))
    heard = [one for one in said(network) if one != 1]
    assert heard == ["activityStart", 5_001, 5_002, "activityEnd"]
