"""This package, by its public names only."""

import asyncio
import sys
from typing import Any

from rig import wire
from rig.contenders import PATIENCE_S, Contender
from rig.pacing import each_on_its_own, in_step


class Ours(Contender):
    """Pushed, events are drained in the same tick; with tasks, another task for each session iterates it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        if self.loop in ("stock", "bare"):
            sys.modules["aiofastnet"] = None  # type: ignore[assignment] # as if it were not installed
        import gemini_live as live  # noqa: PLC0415 - after the line above
        from gemini_live import _core  # noqa: PLC0415

        if _core.BUILD_PROFILE != "release":
            raise RuntimeError("a debug build is not what users have: build with `make`")
        self._live = live
        self._transport = live.TransportConfig(ssl=self.place.tls())
        self._sessions: list[Any] = [None] * self.sessions
        self._cursors: list[Any] = [None] * self.sessions
        self._listeners: list[asyncio.Task[None]] = []

    async def open(self, session: int) -> None:
        name = self.place.name
        opened = await self._live.connect(
            name,
            endpoint=self.place.url,
            auth="a key",
            transport=self._transport,
            # between two slices nobody speaks, and the others do not say so
            speech=self._live.SpeechPolicy(stream_end_after_ms=None),
            check_capabilities=False,
        )
        self._sessions[session] = opened
        if self.pacing == "push":
            self._cursors[session] = opened.events()
        else:
            self._listeners.append(asyncio.create_task(self._listen(opened, session)))

    async def _listen(self, session: Any, number: int) -> None:
        ear, model_audio = self.ears[number], self._live.ModelAudio
        async for event in session:
            if type(event) is model_audio:
                ear.hear(event.data)
            elif not isinstance(event, self._live.SetupComplete | self._live.Closed):
                ear.surprise(event)

    async def run(self) -> None:
        count = len(self.chunks)
        if self.pacing == "task":
            self.late = await each_on_its_own(self.sessions, count, self._send)
            await self.tally.wait_complete(PATIENCE_S)
            return
        self.late = await in_step(count, self._tick)
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_S
        while self.tally.left > 0 and loop.time() < give_up_at:
            await asyncio.sleep(wire.CHUNK_S)
            for cursor, ear in zip(self._cursors, self.ears, strict=True):
                self._drain(cursor, ear)
        await self.tally.wait_complete(0)

    async def _tick(self, number: int) -> None:
        for session, cursor, ear, chunk in zip(
            self._sessions, self._cursors, self.ears, self.chunks[number], strict=True
        ):
            session.feed_audio(chunk)  # from the loop itself: no coroutine, no wait
            self._drain(cursor, ear)

    def _drain(self, cursor: Any, ear: wire.Ear) -> None:
        model_audio = self._live.ModelAudio
        while (event := cursor.next_now()) is not None:
            if type(event) is model_audio:
                ear.hear(event.data)
            else:
                ear.surprise(event)

    async def _send(self, session: int, number: int) -> None:
        await self._sessions[session].send_audio(self.chunks[number][session])

    async def close(self) -> None:
        await asyncio.gather(*(session.close() for session in self._sessions))
        await asyncio.gather(*self._listeners)
