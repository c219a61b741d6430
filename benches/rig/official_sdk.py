"""What google-genai does for each message, by its own public methods: an asynchronous session on a line that is none.

The coroutines never wait here, so they are run by hand, without a loop: what is left is the SDK's own work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google import genai
from google.genai import live, types

if TYPE_CHECKING:
    from collections.abc import Coroutine

_MIME_TYPE = "audio/pcm;rate=16000"


class _Line:
    """In place of a WebSocket: keeps what is sent, says the same again and again."""

    def __init__(self, message: bytes = b"") -> None:
        self.sent = ""
        self._message = message

    async def send(self, text: str) -> None:
        self.sent = text

    async def recv(self, decode: bool | None = None) -> bytes:  # noqa: FBT001 - websockets' signature
        assert decode is False
        return self._message


def _session(line: _Line) -> live.AsyncSession:
    client = genai.Client(api_key="a key", enterprise=False)
    return live.AsyncSession(api_client=client._api_client, websocket=line)  # type: ignore[arg-type] # noqa: SLF001


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


class Encode:
    """Samples, or an image, to a text message."""

    def __init__(self) -> None:
        self._line = _Line()
        self._session = _session(self._line)

    def audio(self, pcm: bytes) -> str:
        blob = types.Blob(data=pcm, mime_type=_MIME_TYPE)
        _run(self._session.send_realtime_input(audio=blob))
        return self._line.sent

    def image(self, image: bytes) -> str:
        blob = types.Blob(data=image, mime_type="image/jpeg")
        _run(self._session.send_realtime_input(video=blob))
        return self._line.sent


class Decode:
    """A message to samples."""

    def __init__(self, message: bytes) -> None:
        self._messages = _session(_Line(message)).receive()

    def audio(self) -> bytes:
        message = _run(self._messages.__anext__())
        data: bytes = message.server_content.model_turn.parts[0].inline_data.data
        return data
