"""When a conversation is over: what `Talk` waits for, and what it does not, on a clock that jumps."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import gemini_live as live
from conftest import on_fake_clock
from gemini_live.cli.exits import CommandError
from gemini_live.cli.sources import Picture, Sources, Speech
from gemini_live.cli.talk import Talk

AUDIO = live.ModelAudio(data=bytes(48_000))  # a second
DONE = live.TurnComplete()
HEARD = live.InputTranscription(text="hm")
SECOND = Speech(np.zeros((16_000, 1), np.int16), 16_000)


class Session:
    """Says at given seconds what it is told to, and notes what is said to it."""

    def __init__(self, *events):
        self.events = list(events)
        self.said = []
        self.start = asyncio.get_running_loop().time()

    @property
    def now(self):
        return round(asyncio.get_running_loop().time() - self.start, 2)

    async def __aiter__(self):
        for at_s, event in self.events:
            await asyncio.sleep(at_s - self.now)
            yield event
        await asyncio.sleep(1_000)

    async def send_audio(self, block, *, rate_hz):
        self.said.append((self.now, len(block)))

    async def send_video(self, image):
        self.said.append((self.now, "image"))

    async def audio_stream_end(self):
        self.said.append((self.now, "end"))

    async def send_text(self, text):
        self.said.append((self.now, text))

    async def drain(self):
        pass


class Silent:
    def progress(self, done_s, total_s):
        assert 0 <= done_s <= total_s + 0.02

    def event(self, event):
        pass


def talk(session, *, fast=False):
    return Talk(session, Silent(), lambda _audio: None, fast=fast, wait_s=15.0)


@on_fake_clock
async def test_speech_is_said_in_real_time_and_its_answer_awaited():
    session = Session((1.5, HEARD), (2.0, AUDIO), (2.1, live.GenerationComplete()), (3.0, DONE))
    await talk(session).run(Sources([SECOND], []), [])
    assert [what for _, what in session.said] == [320] * 50 + ["end"]
    assert session.said[25][0] == pytest.approx(0.5, abs=0.02)
    assert session.said[-1][0] == pytest.approx(1.0, abs=0.02)
    assert session.now == 3.0


@on_fake_clock
async def test_fast_speech_takes_no_time():
    session = Session((0.1, AUDIO), (0.2, DONE))
    await talk(session, fast=True).run(Sources([SECOND, SECOND], []), [])
    assert session.said[-1] == (0.0, "end")
    assert session.now == 0.2


@on_fake_clock
async def test_an_answer_that_began_too_early_may_not_be_the_last():
    session = Session((0.5, AUDIO), (1.5, DONE), (3.0, HEARD), (9.0, AUDIO), (10.0, DONE))
    await talk(session).run(Sources([SECOND], []), [])
    assert session.now == 10.0


@on_fake_clock
async def test_after_an_early_answer_silence_is_enough():
    session = Session((0.3, AUDIO), (0.9, DONE))
    await talk(session).run(Sources([SECOND], []), [])
    assert session.now == pytest.approx(1.0 + 3.0, abs=0.02)


@on_fake_clock
async def test_a_transcription_that_comes_late_is_no_failure():
    session = Session((0.3, AUDIO), (0.9, DONE), (1.2, HEARD))
    await talk(session).run(Sources([SECOND], []), [])
    assert session.now == pytest.approx(1.2 + 15.0, abs=0.02)


@on_fake_clock
async def test_an_interrupted_answer_is_none():
    session = Session((1.1, AUDIO), (1.2, live.Interrupted()), (1.2, DONE), (5.0, AUDIO), (5.5, DONE))
    await talk(session).run(Sources([SECOND], []), [])
    assert session.now == 5.5


@on_fake_clock
async def test_a_model_that_goes_on_by_itself_is_heard_out():
    going_on = live.TurnComplete(interaction_status="IN_PROGRESS")
    session = Session((1.1, AUDIO), (2.0, going_on), (9.0, AUDIO), (10.0, live.TurnComplete(interaction_status="IDLE")))
    await talk(session).run(Sources([SECOND], []), [])
    assert session.now == 10.0


@on_fake_clock
async def test_a_long_answer_is_played_to_its_end():
    session = Session(*((1.1 + number / 100, AUDIO) for number in range(60)), (61.0, DONE))
    await talk(session).run(Sources([SECOND], []), [])
    assert session.now == 61.0


@on_fake_clock
async def test_each_text_waits_for_the_answer_to_the_one_before():
    session = Session((1.0, live.ModelText(text="a")), (2.0, DONE), (4.0, live.ModelText(text="b")), (5.0, DONE))
    await talk(session).run(Sources([], []), ["one", "two"])
    assert session.said == [(0.0, "one"), (2.0, "two")]
    assert session.now == 5.0


@on_fake_clock
async def test_a_text_that_is_not_answered_fails_even_after_others_were():
    session = Session((1.0, AUDIO), (2.0, DONE))
    with pytest.raises(CommandError, match="no answer within 15 s"):
        await talk(session).run(Sources([], []), ["one", "two"])
    assert session.now == 17.0


@on_fake_clock
async def test_pictures_come_once_a_second_beside_the_speech(monkeypatch):
    async def at_once(function, *args):  # a thread has a clock of its own
        return function(*args)

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    session = Session((1.1, AUDIO), (1.5, DONE))
    pictures = [Picture("a", b"1"), Picture("b", b"2")]
    await talk(session).run(Sources([SECOND, SECOND], pictures), [])
    assert [at_s for at_s, what in session.said if what == "image"] == [0.0, 1.0]


@on_fake_clock
async def test_a_session_that_ends_says_why():
    closed = live.Closed(kind=live.CloseKind.QUOTA, code=1011, reason="quota", hint="wait")
    session = Session((0.5, closed))
    with pytest.raises(CommandError, match=r"quota \(open\), code 1011: quota\. wait") as raised:
        await talk(session).run(Sources([SECOND], []), [])
    assert raised.value.code == 1
    assert session.now == 0.5
    assert len(asyncio.all_tasks()) == 1
