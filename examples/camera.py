"""Show the model what a camera, a video file or the screen shows, and ask about it.

pip install "gemini-live[camera,screen]"
python examples/camera.py [--file clip.mp4 | --screen] [--watch 3] [--endpoint ws://…] "What do you see?"
"""

import argparse
import asyncio

import gemini_live as live
from gemini_live.media import Camera, Screen, VideoFileSource

SETUP = live.Setup(model="gemini-3.8-live", output_audio_transcription=live.AudioTranscriptionConfig())


async def main(source: Camera | Screen | VideoFileSource, question: str, watch_s: float, endpoint: str | None) -> None:
    """Look for a while, ask, and write the answer down."""
    async with live.connect(SETUP, endpoint=endpoint) as session, source:
        showing = asyncio.create_task(session.stream(source))
        await asyncio.wait([showing], timeout=watch_s)  # a short file may end before
        await session.send_text(question)
        async for event in session:
            if isinstance(event, live.OutputTranscription):
                print(event.text, end="", flush=True)  # noqa: T201
            elif isinstance(event, live.TurnComplete):
                break
        showing.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("question")
    parser.add_argument("--file")
    parser.add_argument("--screen", action="store_true")
    parser.add_argument("--watch", type=float, default=3.0)
    parser.add_argument("--endpoint")
    a = parser.parse_args()
    source = VideoFileSource(a.file) if a.file else Screen() if a.screen else Camera()
    asyncio.run(main(source, a.question, a.watch, a.endpoint))
