"""A stand-in for sounddevice: devices that a test drives block by block, and unplugs."""

from __future__ import annotations

import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np


class PortAudioError(Exception):
    pass


class CallbackAbort(Exception):  # noqa: N818 - sounddevice's name
    pass


class Stream:
    """What both kinds share. `pump` does what PortAudio's thread does, in a thread of its own."""

    def __init__(self, sounddevice, options):
        self.sounddevice = sounddevice
        self.options = options
        self.channels = options["channels"]
        self.latency = sounddevice.latency_s
        self.running = self.closed = False
        self.callback = options["callback"]
        self.finished = options["finished_callback"]

    def start(self):
        if self.sounddevice.refuses_to_start:
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        self.running = True

    def abort(self):
        self._end()

    def close(self):
        self.closed = True
        self._end()

    def _end(self):
        if self.running:
            self.running = False
            self.finished()

    def in_thread(self, call):
        thread = threading.Thread(target=call, name="PortAudio")
        thread.start()
        thread.join()

    def unplug(self):
        """As ALSA and WASAPI do it: the stream ends."""
        self.in_thread(self._end)

    def _call(self, data, frames, flags):
        try:
            self.callback(data, frames, None, flags)
        except CallbackAbort:
            self._end()


class InputStream(Stream):
    def hear(self, block, *, overflow=False):
        """A callback with this block."""
        flags = SimpleNamespace(input_overflow=overflow)
        self.in_thread(lambda: self._call(block, len(block), flags))


class RawOutputStream(Stream):
    def play(self):
        """A callback; what it wants to be heard, of shape ``(n, channels)``."""
        out = bytearray(self.options["blocksize"] * self.channels * 2)
        self.in_thread(lambda: self._call(memoryview(out), self.options["blocksize"], SimpleNamespace()))
        return np.frombuffer(bytes(out), np.int16).reshape(-1, self.channels)


class Sounddevice(ModuleType):
    """One device for each direction, with what it can do; plug it in with ``monkeypatch``."""

    PortAudioError = PortAudioError
    CallbackAbort = CallbackAbort

    def __init__(self, *, rate_hz=48_000, channels=(2, 2), stereo_only=False, latency_s=0.03):
        super().__init__("sounddevice")
        self.rate_hz, self.in_and_out, self.stereo_only = rate_hz, channels, stereo_only
        self.latency_s = latency_s
        self.refuses_to_start = False
        self.streams = []

    def query_devices(self, device, kind):
        if device not in (None, "USB", 0):
            raise ValueError(f"No {kind} device matching {device!r}")
        return {
            "name": f"USB {kind}",
            "default_samplerate": float(self.rate_hz),
            "max_input_channels": self.in_and_out[0],
            "max_output_channels": self.in_and_out[1],
        }

    def _open(self, kind, options):
        if self.stereo_only and options["channels"] != 2:
            raise PortAudioError("Invalid number of channels [PaErrorCode -9998]")
        if options["samplerate"] > self.rate_hz:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        self.streams.append(kind(self, options))
        return self.streams[-1]

    def InputStream(self, **options):  # noqa: N802 - sounddevice's spelling
        return self._open(InputStream, options)

    def RawOutputStream(self, **options):  # noqa: N802 - likewise
        return self._open(RawOutputStream, options)

    def plug(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sounddevice", self)
        return self
