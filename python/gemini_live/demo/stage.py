"""What happens: someone speaks to an emulated service, which answers, and is cut off twice while at it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import gemini_live as live
from gemini_live.demo.sabotage import Saboteur

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemini_live.demo.sabotage import Sentence
    from gemini_live.demo.scene import Scene
    from gemini_live.emulator import Emulator

__all__ = ["perform"]

_FAST: Final = 10.0
"""How many times faster than real time ``--fast`` speaks."""
_PATIENCE_S: Final = 10.0
"""How long nothing at all may happen where something must."""

_SETUP: Final = live.Setup(
    model="gemini-3.8-live",
    generation_config=live.GenerationConfig(response_modalities=["AUDIO"]),
    realtime_input_config=live.RealtimeInputConfig(
        automatic_activity_detection=live.AutomaticActivityDetection(
            start_of_speech_sensitivity="START_SENSITIVITY_HIGH"  # files may be quiet
        ),
        # the speaker goes on while the model answers, and wants to hear every answer
        activity_handling="NO_INTERRUPTION",
    ),
    input_audio_transcription=live.AudioTranscriptionConfig(),
    output_audio_transcription=live.AudioTranscriptionConfig(),
)


async def perform(scene: Scene, sentences: list[Sentence], emulator: Emulator, *, fast: bool) -> None:
    """Play it, from the first dial to the goodbye.

    Args:
        scene: shows what happens.
        sentences: of its speech.
        emulator: of Vertex AI, not yet started.
        fast: in a second or two instead of in real time.

    Raises:
        gemini_live.ConnectError: there was no session to begin with.
        OSError: no port could be had for the emulator.
    """
    await _Play(emulator, scene, sentences, speed=_FAST if fast else 1.0).run()


class _StuckError(Exception):
    """What is being waited for will not come."""


class _Play:
    def __init__(self, emulator: Emulator, scene: Scene, sentences: list[Sentence], *, speed: float) -> None:
        self._emulator = emulator
        self._scene = scene
        self._sentences = sentences
        self._speed = speed
        self._saboteur = Saboteur(emulator, scene, sentences)
        self._changed = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._scene.begin(loop.time)
        async with self._emulator:
            self._scene.note("emulator", f"listens on port {urlsplit(self._emulator.url).port}")
            session = await live.connect(
                _SETUP,
                # on Vertex AI the service says which messages it has, so that "nothing lost" can be proved
                endpoint=live.VertexAi(project="demo", base_url=self._emulator.url),
                auth=live.BearerToken("emulator"),
                reconnect=live.ReconnectPolicy(base_s=0.5 / self._speed, cap_s=5 / self._speed),
            )
            listening = asyncio.create_task(self._listen(session), name="demo listens")
            try:
                await self._speak_and_wait(session)
            finally:
                self._look(session)
                self._scene.leaving = True
                await session.close()
                await listening

    async def _speak_and_wait(self, session: live.Session) -> None:
        self._look(session)
        self._scene.note("session", "connected", "good")
        with contextlib.suppress(live.SessionClosed, _StuckError):  # the scene holds the reasons
            await self._speak(session)
            await session.audio_stream_end()
            await self._until(lambda: self._scene.answered >= self._scene.sentences and self._scene.at_rest)
            # a speech without a good moment: what was promised is done in the silence after it
            while self._saboteur.done < Saboteur.STRIKES:
                await self._until(lambda: self._saboteur.ready)
                await self._saboteur.strike()
            await self._until(lambda: self._saboteur.ready)

    async def _speak(self, session: live.Session) -> None:
        """Give the session the speech as a microphone would: at its own pace, whatever the network does."""
        scene, speech = self._scene, self._scene.speech
        clock = asyncio.get_running_loop().time
        lag_s = 0.0
        began_at = clock()
        for block in speech.blocks():
            if self._speed > 1:
                waited_from = clock()
                await self._let_the_model_finish()
                lag_s += clock() - waited_from
            await self._saboteur.consider()
            start = scene.sent_samples
            # by the clock, so that late wake-ups do not add up
            due_at = began_at + lag_s + (start + len(block)) / speech.rate_hz / self._speed
            await asyncio.sleep(max(0.0, due_at - clock()))
            await session.send_audio(block, rate_hz=speech.rate_hz)
            scene.spoken(block, speech.mono[start : start + len(block)])
            self._look(session)

    async def _let_the_model_finish(self) -> None:
        """Ten times too fast, the speaker would be through before the network has noticed; so it waits for answers."""
        # the session and the speaker cut audio into pieces in different places
        surely_there = self._scene.sent_samples - self._scene.speech.rate_hz * 2 // 50
        said = sum(sentence.noticed <= surely_there for sentence in self._sentences)
        if said:
            await self._until(lambda: self._scene.answered >= said and self._scene.at_rest)

    async def _listen(self, session: live.Session) -> None:
        async for event in session:
            self._look(session)
            self._scene.take(event)
            self._changed.set()
        self._changed.set()

    def _look(self, session: live.Session) -> None:
        """See what the session says about itself; not any more when it has ended, because then nothing is in flight."""
        self._scene.status = session.status
        if session.status is not live.SessionStatus.CLOSED:
            self._scene.stats = session.stats

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that an event will bring.

        Raises:
            _StuckError: the session has ended, or nothing at all came for too long.
        """
        patience_s = _PATIENCE_S + self._scene.speech.duration_s
        while not condition():
            if self._scene.closed is not None:
                raise _StuckError
            self._changed.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self._changed.wait()
            except TimeoutError:
                self._scene.note("demo", f"nothing has happened for {patience_s:.0f} s", "bad")
                raise _StuckError from None
