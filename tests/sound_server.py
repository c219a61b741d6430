"""A sound server without hardware: PulseAudio with two sinks that play to nobody, and ALSA told to use it.

What is played into `mouth` is what a microphone hears; what a loudspeaker plays is recorded at `ear`. All of it is
private to a folder, so that it disturbs neither the machine's own sound nor another test.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np

RATE_HZ = 24_000
_PLUGIN = "libasound_module_pcm_pulse.so"
_ALSA = """\
pcm.!default { type pulse }
ctl.!default { type pulse }
"""


def what_is_missing():
    """In words, for a test that is skipped; ``""`` if nothing is."""
    missing = [name for name in ("pulseaudio", "parec", "pacat") if shutil.which(name) is None]
    if ctypes.util.find_library("portaudio") is None:
        missing.append("libportaudio2")
    if not any(Path("/usr").glob(f"lib*/*/alsa-lib/{_PLUGIN}")) and not any(
        Path("/usr").glob(f"lib*/alsa-lib/{_PLUGIN}")
    ):
        missing.append("libasound2-plugins")
    return f"needs {', '.join(missing)}: run `make sound`" if missing else ""


class SoundServer:
    """It runs until it is ended.

    Attributes:
        environment: for programs that are to use it.
    """

    def __init__(self, folder):
        self._folder = folder
        socket = folder / "native"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "asound.conf").write_text(_ALSA)
        self.environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(folder),
            "HOME": str(folder),
            "PULSE_SERVER": f"unix:{socket}",
            "PULSE_SINK": "ear",
            "PULSE_SOURCE": "mouth.monitor",
            "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
        }
        self._log = (folder / "pulse.log").open("wb")
        options = [
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--disable-shm=yes",
            "--log-target=stderr",
        ]
        modules = [f"module-native-protocol-unix socket={socket} auth-anonymous=1"]
        modules += [f"module-null-sink sink_name={name} rate=48000" for name in ("ear", "mouth")]
        self._server = subprocess.Popen(  # noqa: S603 - our own words
            ["pulseaudio", "-n", *options, *(word for module in modules for word in ("-L", module))],  # noqa: S607
            env=self.environment,
            stdout=self._log,
            stderr=self._log,
        )
        deadline = time.monotonic() + 10
        while not socket.exists():
            if self._server.poll() is not None or time.monotonic() > deadline:
                self.end()
                raise RuntimeError((folder / "pulse.log").read_text())
            time.sleep(0.02)

    def end(self):
        """As if the power went: whoever uses it is cut off."""
        self._server.kill()
        self._server.wait()
        self._log.close()

    @contextlib.contextmanager
    def recording(self):
        """Record what the loudspeaker plays. Gives a function that returns it so far, int16 at `RATE_HZ`."""
        file = self._folder / "ear.raw"
        with file.open("wb") as out:
            command = ["parec", "-d", "ear.monitor", f"--rate={RATE_HZ}", "--channels=1", "--format=s16le", "--raw"]
            recorder = subprocess.Popen([*command, "--latency-msec=20"], env=self.environment, stdout=out)  # noqa: S603
            try:
                yield lambda: np.frombuffer(file.read_bytes()[: file.stat().st_size & ~1], np.int16)
            finally:
                recorder.terminate()
                recorder.wait()

    def speak(self, samples, rate_hz):
        """Say something into the microphone; returns when it is said."""
        command = ["pacat", "-d", "mouth", f"--rate={rate_hz}", "--channels=1", "--format=s16le", "--raw"]
        subprocess.run(command, env=self.environment, input=samples.tobytes(), check=True)  # noqa: S603
