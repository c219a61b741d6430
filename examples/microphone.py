"""Talk with the model: microphone in, loudspeaker out. Without headphones it would hear itself: give --half-duplex.

pip install "gemini-live[audio]"; python examples/microphone.py [--half-duplex] [--endpoint ws://…]
"""

import argparse
import asyncio
import contextlib

import gemini_live as live
from gemini_live.media import HalfDuplex, Microphone, Speaker

SETUP = live.Setup(model="gemini-3.8-live", output_audio_transcription=live.AudioTranscriptionConfig())


async def listen(session: live.Session, speaker: Speaker) -> None:
    """Play the answers, and write them down."""
    async for event in speaker.follow(session):
        if isinstance(event, live.OutputTranscription):
            print(event.text, end="", flush=True)  # noqa: T201
        elif isinstance(event, live.Interrupted):
            print(f" … [cut in after {speaker.played_ms:.0f} ms]")  # noqa: T201


async def main(endpoint: str | None, *, half_duplex: bool) -> None:
    """Until Ctrl-C, or until a device or the session is gone, which raises."""
    async with Speaker() as speaker, live.connect(SETUP, endpoint=endpoint) as session, asyncio.TaskGroup() as tasks:
        microphone = Microphone(process=HalfDuplex(speaker) if half_duplex else None)
        tasks.create_task(session.stream(microphone))
        tasks.create_task(listen(session, speaker))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--half-duplex", action="store_true")
    parser.add_argument("--endpoint")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(given.endpoint, half_duplex=given.half_duplex))
