"""A telephone call with the model, by Twilio Media Streams: `<Connect><Stream url="wss://your.host/call"/>`."""

import asyncio
import base64
from os import getenv

from aiohttp import web

import gemini_live as live
from gemini_live.media import PhoneEncoder


async def speak(session: live.Session, phone: web.WebSocketResponse, stream: str) -> None:
    """Answers to the line. The mark comes back when the caller has heard all that is before it, or at a clear."""
    encoder = PhoneEncoder("mulaw")
    async for event in session:
        match event:
            case live.ModelAudio():
                said = {"event": "media", "media": {"payload": base64.b64encode(encoder.feed(event)).decode()}}
            case live.GenerationComplete():
                said = {"event": "mark", "mark": {"name": "answered"}}
            case live.Interrupted():
                encoder.clear()
                said = {"event": "clear"}
            case _:
                continue
        await phone.send_json({**said, "streamSid": stream})
    await phone.close()


async def call(request: web.Request) -> web.WebSocketResponse:
    """One call, until the caller hangs up or the session ends."""
    phone = web.WebSocketResponse()
    await phone.prepare(request)
    async with asyncio.TaskGroup() as tasks, live.connect("gemini-3.8-live", endpoint=getenv("ENDPOINT")) as session:
        async for message in phone:
            told = message.json()
            if told["event"] == "start":
                tasks.create_task(speak(session, phone, told["streamSid"]))
            elif told["event"] == "media":
                await session.send_audio(base64.b64decode(told["media"]["payload"]), rate_hz=8_000, encoding="mulaw")
    return phone


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/call", call)
    web.run_app(app, port=int(getenv("PORT", "8080")))
