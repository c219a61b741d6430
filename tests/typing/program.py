"""A user's program, whole, to be checked by mypy and pyright in strict mode. It is not run."""

from __future__ import annotations

import asyncio
from typing import assert_type

import numpy as np
import numpy.typing as npt

import gemini_live as live
from gemini_live import emulator, media


async def talk(session: live.Session) -> None:
    async with media.Microphone() as microphone, media.Speaker() as speaker:
        assert_type(microphone.rate_hz, int)
        talking = asyncio.create_task(session.stream(microphone))
        async for event in speaker.follow(session):
            assert_type(event, live.Event)
            assert_type(speaker.played_ms, float)
        await talking
    await session.stream(media.WavSource("speech.wav"))
    await session.stream(media.Camera(process=lambda frame: frame[::2, ::2]))
    await session.send_video(np.zeros((480, 640, 3), np.uint8), order="bgr")
    source: media.Source = media.Screen()
    await session.stream(source)


async def lookup(call: live.FunctionCall) -> live.FunctionResponse:
    return live.FunctionResponse(id=call.id, name=call.name, response={"output": len(call.args)})


async def listen(session: live.Session) -> list[npt.NDArray[np.int16]]:
    heard: list[npt.NDArray[np.int16]] = []
    async for event in session:
        assert_type(event, live.Event)
        match event:
            case live.ModelAudio(data=pcm, rate_hz=rate_hz):
                assert_type(pcm, bytes)
                assert_type(rate_hz, int)
                heard.append(event.samples)
            case live.Interrupted():
                heard.clear()
            case live.ToolCall(calls=calls):
                await session.send_tool_response([await lookup(call) for call in calls])
            case live.TurnComplete(reason=reason):
                assert_type(reason, str | None)
                break
            case live.Closed() as closed:
                assert_type(closed.kind, live.CloseKind)
            case _:
                pass
    return heard


async def token() -> live.EphemeralToken:
    return live.EphemeralToken("auth_tokens/made-up")


async def main() -> None:
    setup = live.Setup(
        model="gemini-3.8-live",
        generation_config=live.GenerationConfig(
            response_modalities=["AUDIO"],
            speech_config=live.SpeechConfig(
                voice_config=live.VoiceConfig(prebuilt_voice_config=live.PrebuiltVoiceConfig(voice_name="Kore"))
            ),
        ),
        output_audio_transcription=live.AudioTranscriptionConfig(),
        tools=[live.Tool(function_declarations=[live.FunctionDeclaration(name="lookup")])],
    )
    async with (
        emulator.serve() as url,
        live.connect(setup, endpoint=url, auth=token, reconnect=live.ReconnectPolicy(max_attempts=None)) as session,
    ):
        assert_type(session, live.Session)
        await session.send_audio(np.zeros((320, 2), dtype=np.float32), rate_hz=48_000)
        await session.send_audio(b"\0\0" * 320)
        await session.send_client_content({"role": "user", "parts": [{"text": "Hello"}]})
        await session.send_text("Hello")
        await listen(session)
        assert_type(session.stats, live.SessionStats)
        assert_type(session.status, live.SessionStatus)
    session = await live.connect({"model": "gemini-3.8-live"}, auth="key")
    try:
        async with session.events() as events:
            async for event in events:
                assert_type(event, live.Event)
    finally:
        await session.close()


if __name__ == "__main__":
    asyncio.run(main())
