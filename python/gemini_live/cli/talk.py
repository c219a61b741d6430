"""One conversation: says what the user gave, listens until it is answered, and tells a display about it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol

import gemini_live as live
from gemini_live.cli.exits import CommandError, Exit, exit_of, said
from gemini_live.cli.sources import FRAMES_PER_S

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from gemini_live.cli.sources import Sources

__all__ = ["Display", "Talk"]

_SETTLED_S: Final = 3.0
"""How long nothing must have been said after speech whose answers may all have come while it was still spoken."""


class Display(Protocol):
    """Whoever shows a conversation."""

    def progress(self, done_s: float, total_s: float) -> None:
        """So much of speech and pictures was sent."""

    def event(self, event: live.Event) -> None:
        """The session says this."""


class Talk:
    """A conversation on a session that is open.

    Args:
        session: is not closed by this.
        display: is told everything.
        hear: gets each piece of the model's speech.
        fast: do not wait for time to pass between what is sent.
        wait_s: how long an answer may keep us waiting before none is expected any more.

    Attributes:
        turns: how many answers have come to their end.
    """

    def __init__(
        self,
        session: live.Session,
        display: Display,
        hear: Callable[[live.ModelAudio], None],
        *,
        fast: bool,
        wait_s: float,
    ) -> None:
        self.turns = 0
        self._session = session
        self._display = display
        self._hear = hear
        self._fast = fast
        self._wait_s = wait_s
        self._news = asyncio.Event()
        self._total_s = 0.0
        # what is known of the answers
        self._speaking = False  # we are
        self._owed = False  # we were heard, and were not answered since
        self._answering = self._was_cut = self._is_late = False
        self._answer_s = 0.0
        self._answered = False  # an answer that began when everything was said has come to its end

    async def run(self, sources: Sources, texts: Sequence[str]) -> None:
        """Speech and pictures side by side, then each text when what came before it is answered.

        Raises:
            CommandError: the session ended, nothing was answered, or a file breaks off.
        """
        self._total_s = sources.duration_s
        listening = asyncio.create_task(self._listen(), name="gemini-live listener")
        speaking = asyncio.create_task(self._speak(sources, texts), name="gemini-live speaker")
        try:
            done, _ = await asyncio.wait({listening, speaking}, return_when=asyncio.FIRST_COMPLETED)
            # the listener knows better why a session has ended
            await (listening if listening in done else speaking)
        except live.SessionClosed as error:
            raise _ended(error.closed) from None
        finally:
            for task in (listening, speaking):
                task.cancel()
            await asyncio.gather(listening, speaking, return_exceptions=True)

    # --- saying ---

    async def _speak(self, sources: Sources, texts: Sequence[str]) -> None:
        if sources.speech or sources.pictures:
            self._speaking = True
            async with _one_error(), asyncio.TaskGroup() as lanes:
                lanes.create_task(self._show(sources))
                lanes.create_task(self._say(sources))
            self._speaking = False
            self._display.progress(self._total_s, self._total_s)
        if sources.speech:
            await self._session.audio_stream_end()
            await self._until_answered(turns_before=0)
        for text in texts:
            self._answered, self._owed = False, True
            turns_before = self.turns
            await self._session.send_text(text)
            await self._until_answered(turns_before)

    async def _say(self, sources: Sources) -> None:
        clock = asyncio.get_running_loop().time
        start = clock()
        sent_s = 0.0
        for speech in sources.speech:
            for block in speech.blocks():
                await self._session.send_audio(block, rate_hz=speech.rate_hz)
                sent_s += len(block) / speech.rate_hz
                await self._at(start + sent_s - clock())
                self._display.progress(sent_s, self._total_s)

    async def _show(self, sources: Sources) -> None:
        clock = asyncio.get_running_loop().time
        start = clock()
        shown = 0
        for picture in sources.pictures:
            frames = iter(picture.frames())
            # decoding takes too long for the event loop
            while (frame := await asyncio.to_thread(next, frames, None)) is not None:
                await self._at(start + shown / FRAMES_PER_S - clock())
                await self._session.send_video(frame)
                shown += 1
                if not sources.speech:
                    self._display.progress(min(shown / FRAMES_PER_S, self._total_s), self._total_s)

    async def _at(self, left_s: float) -> None:
        if self._fast:
            # the outbox gives up audio that is too old and all but the newest image
            await self._session.drain()
            await asyncio.sleep(0)
        elif left_s > 0:
            await asyncio.sleep(left_s)

    # --- listening ---

    async def _listen(self) -> None:
        async for event in self._session:
            self._take(event)
            self._display.event(event)
            self._news.set()
            if isinstance(event, live.Closed):
                raise _ended(event)

    def _take(self, event: live.Event) -> None:
        match event:
            case live.InputTranscription(interim=False) | live.VoiceActivity(type="ACTIVITY_START"):
                self._owed = True
            case live.ModelAudio():
                self._answer_began()
                self._answer_s += event.duration_s
                self._hear(event)
            case live.ModelText() | live.OutputTranscription():
                self._answer_began()
            case live.Interrupted():
                self._was_cut = True
            case live.TurnComplete(interaction_status=status) if status != "IN_PROGRESS":
                self._answer_ended()
            case _:
                pass

    def _answer_began(self) -> None:
        if not self._answering:
            self._answering, self._was_cut, self._is_late = True, False, not self._speaking
            self._answer_s = 0.0

    def _answer_ended(self) -> None:
        if self._answering and not self._was_cut:
            self.turns += 1
            self._owed = False
            self._answered |= self._is_late
        self._answering = False

    async def _until_answered(self, turns_before: int) -> None:
        """Wait for the end of an answer that began when all was said, or until none is to be expected any more.

        Raises:
            CommandError: nothing was answered at all.
        """
        while not self._answered:
            self._news.clear()
            try:
                async with asyncio.timeout(self._patience_s(turns_before)):
                    await self._news.wait()
            except TimeoutError:
                break
        if self.turns == turns_before:
            raise CommandError(
                f"no answer within {self._wait_s:g} s; is there speech in it? --wait gives it more time", Exit.FAILED
            )

    def _patience_s(self, turns_before: int) -> float:
        if self._answering:
            return self._wait_s + self._answer_s  # the turn ends when the answer would have been played
        return self._wait_s if self._owed or self.turns == turns_before else _SETTLED_S


def _ended(closed: live.Closed) -> CommandError:
    return CommandError(said(closed), exit_of(closed.kind))


@contextlib.asynccontextmanager
async def _one_error() -> AsyncGenerator[None, None]:
    """Takes the first error out of the group in which a task group wraps it."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
