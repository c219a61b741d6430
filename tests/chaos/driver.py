"""What the user of one session does, and what he can say about it afterwards.

Everything that he sends is recognisable (`keys`), and whatever the session took is in `accepted`, in order.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import TYPE_CHECKING

import gemini_live as live
from gemini_live.errors import SessionClosed

from . import keys

if TYPE_CHECKING:
    from random import Random

    from gemini_live import Session

STALE = b"\x7e\x7e\x7e\x7e"
"""How audio begins that the network brings in after its answer was interrupted: nobody must hear it."""
_FAR = 100_000  # numbers of what a microphone's thread says begin here
_SUMS = ("accepted", "waiting", "written", "acknowledged", "expired", "uncertain")


class Driver:
    """One user.

    Args:
        session: his.
        rng: all his choices.
        marks: he marks his activity himself.
        vertex: he speaks to Vertex AI.
        complain: takes a sentence about anything that must not be.
        tell: takes a line about whatever happens.

    Attributes:
        accepted: what the session took from the loop, in order; ``accepted_elsewhere`` from a thread.
        kinds: the kind by which the client accounts for a key.
        events: everything that the session told, in order, but audio.
        lines_opened: for each event, which connection it speaks of, counted from 1.
        closed: the last event.
    """

    def __init__(  # noqa: PLR0913 - keywords
        self, session: Session, rng: Random, *, marks: bool, vertex: bool, complain, tell
    ) -> None:
        self.session = session
        self.rng = rng
        self.accepted: list[keys.Key] = []
        self.accepted_elsewhere: list[keys.Key] = []
        self.kinds: dict[keys.Key, str] = {}
        self.events: list[live.Event] = []
        self.lines_opened: list[int] = []
        self.closed: live.Closed | None = None
        self._marks = marks
        self._vertex = vertex
        self._complain = complain
        self._tell = tell
        self._numbers = Counter[str]()
        self._opened = 0
        self._last_audio = (0, 0)
        self._after_interruption = False
        self._accepted_at_least = 0
        self._listening = asyncio.create_task(self._listen(), name="chaos listener")
        self._errands: set[asyncio.Task[None]] = set()
        self._slow = session.events() if rng.random() < 0.2 else None
        self._slow_events: list[live.Event] = []

    # --- listening ---

    async def _listen(self) -> None:
        async for event in self.session:
            self._take(event)
        if self._slow is not None:
            async for event in self._slow:
                if not isinstance(event, live.ModelAudio | live.Lagged):
                    self._slow_events.append(event)
            if self.events[len(self.events) - len(self._slow_events) :] != self._slow_events:
                self._complain("a slow consumer did not get the same events")

    def _take(self, event: live.Event) -> None:
        if self.closed is not None:
            self._complain(f"{type(event).__name__} after Closed")
        if isinstance(event, live.ModelAudio):
            self._take_audio(event)
            return
        self._tell(repr(event)[:300])
        match event:
            case live.SetupComplete() if not self._opened:
                self._opened = 1
            case live.Reconnected():
                self._opened += 1  # from here on it speaks of the new connection
            case live.Interrupted():
                self._after_interruption = True
            case live.ToolCall(calls=calls):
                for call in calls:
                    self._errand(self._answer(call))
            case live.Closed():
                self.closed = event
        self.events.append(event)
        self.lines_opened.append(self._opened)

    def _take_audio(self, event: live.ModelAudio) -> None:
        if event.data.startswith(STALE):
            self._complain("audio of an interrupted answer was handed out")
        turn, sequence = self._last_audio
        follows = event.turn == turn and event.sequence == sequence + 1 and not self._after_interruption
        begins = event.turn > turn and event.sequence == 1
        if not follows and not begins:
            self._complain(f"audio {event.turn}/{event.sequence} after {turn}/{sequence}")
        self._last_audio = (event.turn, event.sequence)
        self._after_interruption = False

    def _errand(self, work) -> None:
        task = asyncio.create_task(work, name="chaos errand")
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _answer(self, call: live.FunctionCall) -> None:
        await asyncio.sleep(self.rng.choice((0, 0, 0.05, 0.5, 2.0)))
        # the number is ours: the emulator gives the same id again in a session that it has forgotten or gone back in
        number = self._number("answer")
        answer = live.FunctionResponse(id=call.id, name=call.name, response={"output": keys.text(number)})
        await self._send("tool_response", number, self.session.send_tool_response(answer))

    # --- speaking ---

    def _number(self, kind: str) -> int:
        self._numbers[kind] += 1
        return self._numbers[kind]

    async def _send(self, kind: str, number: int, sending, *, counted_as: str = "") -> None:
        key = keys.Key(kind, number)
        try:
            await sending
        except SessionClosed:
            return
        self.accepted.append(key)
        self.kinds[key] = counted_as or kind

    async def speak(self, chunks: int, *, every_s: float, loud: bool = True) -> None:
        """Say so many chunks."""
        for _ in range(chunks):
            number = self._number("audio")
            await self._send("audio", number, self.session.send_audio(keys.chunk(number, loud=loud)))
            await asyncio.sleep(every_s)

    async def speak_from_a_thread(self, chunks: int) -> None:
        """The same by `feed_audio`, from a thread that is a microphone's."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def microphone() -> None:
            for _ in range(chunks):
                key = keys.Key("audio", _FAR + self._number("fed audio"))
                if self.session.feed_audio(keys.chunk(key.number, loud=True)):
                    self.accepted_elsewhere.append(key)
                    self.kinds[key] = "audio"
            loop.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=microphone, name="chaos microphone")
        thread.start()
        await done.wait()
        thread.join()

    async def pause(self) -> None:
        """End an utterance."""
        if self._marks:
            await self._send("activity_end", 0, self.session.activity_end())
        elif self.rng.random() < 0.7:
            await self._send("audio_stream_end", 0, self.session.audio_stream_end())
        else:
            await self.speak(40, every_s=0.0, loud=False)

    async def utter(self) -> None:
        """Speak, in one of many ways, and mostly come to an end."""
        rng = self.rng
        if self._marks:
            await self._send("activity_start", 0, self.session.activity_start())
        if rng.random() < 0.25:
            await self.speak_from_a_thread(rng.randint(1, 40))
        else:
            await self.speak(rng.randint(1, 40), every_s=rng.choice((0.0, 0.0, 0.02)))
        if self._marks or rng.random() < 0.8:
            await self.pause()

    async def show(self) -> None:
        """An image; a big one takes the network a while."""
        for _ in range(self.rng.randint(1, 3)):
            number = self._number("video")
            jpeg = keys.image(number, self.rng.choice((100, 5_000, 60_000)))
            if self.rng.random() < 0.3:
                if self.session.feed_video(jpeg):
                    self.accepted_elsewhere.append(keys.Key("video", number))
                    self.kinds[keys.Key("video", number)] = "video"
            else:
                await self._send("video", number, self.session.send_video(jpeg))

    async def say(self, words: str = "hello") -> None:
        """A text, which is answered; it interrupts an answer."""
        number = self._number("text")
        await self._send("text", number, self.session.send_text(keys.text(number, words)))

    async def ask_for_a_function(self) -> None:
        """A text that makes the emulator call the function."""
        await self.say(f"please {keys.FUNCTION} this")

    async def tell(self) -> None:
        """Client content, or the same as a raw message."""
        number = self._number("content")
        complete = self.rng.random() < 0.5
        turn = {"role": "user", "parts": [{"text": keys.text(number, "x" * self.rng.choice((5, 2_000)))}]}
        if self.rng.random() < 0.2:
            raw = {"clientContent": {"turns": [turn], "turnComplete": complete}}
            await self._send("client_content", number, self.session.send_raw(raw), counted_as="raw")
        else:
            sending = self.session.send_client_content([turn], turn_complete=complete)
            await self._send("client_content", number, sending)

    async def instruct(self) -> None:
        """New instructions, which only Vertex AI documents."""
        if self._vertex:
            number = self._number("context")
            sending = self.session.update_context(system_instruction=keys.text(number))
            await self._send("context_update", number, sending)

    async def interrupt(self) -> None:
        """Ask, let the answer begin, and ask again."""
        await self.say("tell me a long story")
        await asyncio.sleep(self.rng.choice((0.3, 0.8, 1.2)))
        await self.say("stop")

    async def act(self) -> None:
        """Do anything."""
        acts = (self.utter, self.utter, self.show, self.say, self.ask_for_a_function, self.tell, self.interrupt)
        await self.rng.choice((*acts, self.instruct))()
        self.check_sums()

    # --- accounting ---

    def check_sums(self) -> None:
        """The session's accounts must add up at any moment."""
        stats = self.session.stats
        for name, one in (("all", stats), *stats.by_kind.items()):
            if name == "all" and one.accepted != sum(kind.accepted for kind in stats.by_kind.values()):
                continue  # what a thread has just handed in has no kind yet
            if one.accepted != one.waiting + one.written + one.acknowledged + one.expired:
                self._complain(f"the sums of {name} do not add up: {one}")
            if one.uncertain > one.written or min(getattr(one, field) for field in _SUMS) < 0:
                self._complain(f"impossible numbers of {name}: {one}")
        if stats.accepted < self._accepted_at_least:
            self._complain(f"accepted went back from {self._accepted_at_least} to {stats.accepted}")
        self._accepted_at_least = stats.accepted

    async def finish(self) -> None:
        """Wait until everything was read and every errand run; the session is closed."""
        await self._listening
        while self._errands:
            await asyncio.wait(self._errands)

    def cancel(self) -> None:
        """Give up, because something hangs."""
        for task in (self._listening, *self._errands):
            task.cancel()
