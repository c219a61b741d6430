"""The official SDK, google-genai, used as its documentation says."""

import asyncio
import contextlib
from typing import Any

from google import genai
from google.genai import types

from rig.contenders import PATIENCE_S, Contender
from rig.pacing import each_on_its_own, in_step


class Official(Contender):
    """One client, many sessions; each is received in a task of its own."""

    loops = ("stock", "bare")

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        tls = self.place.tls()
        self._client = genai.Client(
            api_key="a key",
            enterprise=False,
            http_options=types.HttpOptions(
                base_url=f"https://127.0.0.1:{self.place.port}",
                client_args={"verify": tls},
                async_client_args={"ssl": tls},
            ),
        )
        self._stack = contextlib.AsyncExitStack()
        self._sessions: list[Any] = [None] * self.sessions
        self._listeners: list[asyncio.Task[None]] = []

    async def open(self, session: int) -> None:
        config = types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])
        opening = self._client.aio.live.connect(model=self.place.name, config=config)
        opened = await self._stack.enter_async_context(opening)
        self._sessions[session] = opened
        self._listeners.append(asyncio.create_task(self._listen(opened, session)))

    async def _listen(self, session: Any, number: int) -> None:
        ear = self.ears[number]
        async for message in session.receive():
            ear.hear(message.server_content.model_turn.parts[0].inline_data.data)

    async def run(self) -> None:
        if self.pacing == "push":
            self.late = await in_step(len(self.chunks), self._tick)
        else:
            self.late = await each_on_its_own(self.sessions, len(self.chunks), self._send)
        await self.tally.wait_complete(PATIENCE_S)

    async def _tick(self, number: int) -> None:
        for session in range(self.sessions):
            await self._send(session, number)

    async def _send(self, session: int, number: int) -> None:
        blob = types.Blob(data=self.chunks[number][session], mime_type="audio/pcm;rate=16000")
        await self._sessions[session].send_realtime_input(audio=blob)

    async def close(self) -> None:
        for listener in self._listeners:
            listener.cancel()
        await asyncio.gather(*self._listeners, return_exceptions=True)
        await self._stack.aclose()
        self._client.close()
