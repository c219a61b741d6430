"""Microphones, loudspeakers, cameras, screens, files and telephones: what a session hears and shows, and is heard by.

::

    from gemini_live.media import Microphone, Speaker

    async with live.connect("gemini-3.8-live") as session, Speaker() as speaker, asyncio.TaskGroup() as tasks:
        tasks.create_task(session.stream(Microphone()))  # one that fails ends the loop
        async for event in speaker.follow(session):
            ...

A library for a device is imported when the device is opened; where it is missing, the error names the extra to install.
"""

from gemini_live.media.camera import Camera, VideoFileSource
from gemini_live.media.echo import EchoCanceller, HalfDuplex
from gemini_live.media.g711 import PhoneEncoder, encode_g711
from gemini_live.media.microphone import Microphone
from gemini_live.media.player import Player, PlayerStats
from gemini_live.media.screen import Screen
from gemini_live.media.source import Sink, Source
from gemini_live.media.speaker import Speaker
from gemini_live.media.video import Jpeg
from gemini_live.media.wav import WavFormat, WavSource

__all__ = [
    "Camera",
    "EchoCanceller",
    "HalfDuplex",
    "Jpeg",
    "Microphone",
    "PhoneEncoder",
    "Player",
    "PlayerStats",
    "Screen",
    "Sink",
    "Source",
    "Speaker",
    "VideoFileSource",
    "WavFormat",
    "WavSource",
    "encode_g711",
]
