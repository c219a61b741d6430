"""The examples of cameras and telephones, each against the emulator; the microphone's is run on a sound server."""

from __future__ import annotations

import asyncio
import base64
import socket
import struct
import wave
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import soxr

import gemini_live
from gemini_live import emulator
from gemini_live.media import encode_g711
from test_examples import start

EXAMPLES = Path(__file__).parent.parent / "examples"
SPEECH = Path(gemini_live.__file__).parent / "demo" / "speech.wav"


async def end(program):
    program.terminate()
    _, err = await program.communicate()
    assert b"Traceback" not in err, err.decode()


def free_port(kind):
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("name", ["microphone.py", "camera.py", "twilio_bridge.py", "rtp_bridge.py"])
def test_an_example_has_less_than_forty_lines(name):
    assert sum(bool(line) for line in (EXAMPLES / name).read_text().splitlines()) < 40


# --- the camera, by a video file ------------------------------------------------------------------------------------


async def test_camera_shows_a_file_and_asks_about_it(tmp_path):
    cv2 = pytest.importorskip("cv2", reason="needs the extra: gemini-live[camera]")
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for _ in range(15):
        writer.write(np.full((48, 64, 3), (200, 60, 20), np.uint8))
    writer.release()
    async with emulator.Emulator(compress_time=True) as server:
        program = await start("camera.py", "--file", path, "--endpoint", server.url, "What do you see?")
        out, err = await program.communicate()
        assert program.returncode == 0, err.decode()
        assert b"What do you see?" in out, "the emulator repeats what it was asked"
        kinds = [entry.kind for entry in server.ledger.sessions[0].log.entries]
        assert kinds in (["video", "video", "text"], ["video", "text"]), "a busy machine shows it once"
        picture = cv2.imdecode(np.frombuffer(server.ledger.sessions[0].images[0], np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(picture[24, 32].astype(int) - (200, 60, 20)).max() < 8


# --- telephones -----------------------------------------------------------------------------------------------------


def utterance():
    """Half a second of speech, as a telephone line has it, and then enough silence for its end to be heard."""
    with wave.open(str(SPEECH)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate_hz = file.getframerate()
    begin = int(np.argmax(np.abs(samples.astype(int)) > 500))
    said = soxr.resample(samples[begin : begin + rate_hz // 2], rate_hz, 8_000)
    return np.concatenate([said, np.zeros(8_000, np.int16)])


def expand(codes):
    """µ-law, by the standard's segments and steps."""
    codes = ~np.frombuffer(codes, np.uint8) & 0xFF
    magnitude = ((2 * (codes & 15).astype(int) + 33) << (codes >> 4 & 7)) - 33 << 2
    return np.where(codes & 0x80, -magnitude, magnitude)


def likeness(of, within):
    of, within = np.asarray(of, float), np.asarray(within, float)
    products = np.correlate(within, of, "valid")
    energy = np.convolve(within**2, np.ones(len(of)), "valid")
    return float((products / np.sqrt(np.maximum(energy, 1) * np.sum(of**2))).max())


class Twilio:
    """The other end of a media stream: sends 20 ms frames in real time, keeps what it is told, returns marks."""

    def __init__(self, line):
        self.line = line
        self.heard = b""
        self.events = []
        self.number = 0

    async def tell(self, event, **fields):
        self.number += 1
        await self.line.send_json({"event": event, "sequenceNumber": str(self.number), "streamSid": "MZ1", **fields})

    async def greet(self):
        await self.line.send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        await self.tell(
            "start", start={"streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound"], "mediaFormat": form}
        )

    async def say(self, samples):
        began_at = asyncio.get_running_loop().time()
        codes = encode_g711(samples.astype(np.int16))
        for number, at in enumerate(range(0, len(codes), 160), 1):
            payload = base64.b64encode(codes[at : at + 160]).decode()
            await self.tell("media", media={"track": "inbound", "chunk": str(number), "payload": payload})
            await asyncio.sleep(began_at + number * 0.02 - asyncio.get_running_loop().time())

    async def listen(self):
        async for message in self.line:
            told = message.json()
            assert told["streamSid"] == "MZ1"
            self.events.append(told["event"])
            match told:
                case {"event": "media", "media": {"payload": payload}}:
                    self.heard += base64.b64decode(payload, validate=True)
                case {"event": "mark", "mark": mark}:
                    await self.tell("mark", mark=mark)


async def dialled(http, port):
    async with asyncio.timeout(15):
        while True:
            try:
                return await http.ws_connect(f"http://127.0.0.1:{port}/call")
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


@pytest.mark.timeout(60)
async def test_twilio_bridge_answers_and_is_cut_short():
    """The first answer lasts 6 s, so it is still being played, by the emulator's clock, when the caller cuts in."""
    said = utterance()
    port = free_port(socket.SOCK_STREAM)
    long = {"when": {"utterance": 1}, "reply": [{"say": "-" * 100}]}
    async with emulator.Emulator(script=[long]) as server, aiohttp.ClientSession() as http:
        program = await start("twilio_bridge.py", ENDPOINT=server.url, PORT=str(port))
        line = await dialled(http, port)
        twilio = Twilio(line)
        listening = asyncio.create_task(twilio.listen())
        await twilio.greet()
        await twilio.say(said)
        async with asyncio.timeout(10):
            while "mark" not in twilio.events:
                await asyncio.sleep(0.02)
        twilio.heard = b""
        await twilio.say(said)
        async with asyncio.timeout(10):
            while twilio.events.count("mark") < 2:
                await asyncio.sleep(0.02)
        assert twilio.events.count("clear") == 1
        # the emulator answers in the caller's own voice
        assert likeness(said[:4_000], expand(twilio.heard)) > 0.8
        (session,) = server.ledger.sessions
        arrived = soxr.resample(session.audio.astype(np.int16), 16_000, 8_000)
        assert likeness(said[:4_000], arrived) > 0.95
        await twilio.tell("stop", stop={"callSid": "CA1"})
        await line.close()
        await listening
        async with asyncio.timeout(10):
            while server.ledger.connections[0].code is None:
                await asyncio.sleep(0.02)
        await end(program)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("nonsense", ["{not json", "[]", '{"event": "media", "media": {"payload": ""}}'])
async def test_a_twilio_call_that_talks_nonsense_ends_and_the_next_one_is_answered(nonsense):
    port = free_port(socket.SOCK_STREAM)
    async with emulator.Emulator(compress_time=True) as server, aiohttp.ClientSession() as http:
        program = await start("twilio_bridge.py", ENDPOINT=server.url, PORT=str(port))
        line = await dialled(http, port)
        await Twilio(line).greet()
        await line.send_str(nonsense)
        async with asyncio.timeout(10):
            while (await line.receive()).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
            while not server.ledger.connections or server.ledger.connections[0].code is None:
                await asyncio.sleep(0.02)
        assert server.ledger.connections[0].code == 1000
        twilio = Twilio(await dialled(http, port))
        listening = asyncio.create_task(twilio.listen())
        await twilio.tell("media", media={"payload": base64.b64encode(b"\xff" * 160).decode()})  # before the start
        await twilio.greet()
        await twilio.say(utterance())
        async with asyncio.timeout(10):
            while "mark" not in twilio.events:
                await asyncio.sleep(0.02)
        assert len(twilio.heard) > 3_000
        await twilio.line.close()
        await listening
        program.terminate()
        await program.communicate()


class Caller(asyncio.DatagramProtocol):
    def __init__(self):
        self.packets = []

    def datagram_received(self, data, _addr):
        self.packets.append((asyncio.get_running_loop().time(), data))

    def error_received(self, _error):
        """The bridge does not listen yet."""


@pytest.mark.timeout(60)
async def test_rtp_bridge_speaks_in_frames_of_20_ms():
    said = utterance()
    port = free_port(socket.SOCK_DGRAM)
    async with emulator.Emulator() as server:
        program = await start("rtp_bridge.py", str(port), server.url)
        loop = asyncio.get_running_loop()
        line, caller = await loop.create_datagram_endpoint(Caller, remote_addr=("127.0.0.1", port))
        number = 0

        def send(codes):
            nonlocal number
            line.sendto(struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, 1) + codes)
            number += 1

        async with asyncio.timeout(15):
            while not caller.packets:  # it answers whoever speaks to it
                send(b"\xff" * 160)
                await asyncio.sleep(0.05)
        codes = encode_g711(said.astype(np.int16))
        began_at = loop.time()
        for at in range(0, len(codes), 160):
            send(codes[at : at + 160])
            await asyncio.sleep(began_at + (at + 160) / 8_000 - loop.time())
        (session,) = server.ledger.sessions
        async with asyncio.timeout(10):
            while not session.answers:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        line.close()
        await end(program)
    heads = [struct.unpack("!BBHII", packet[:12]) for _, packet in caller.packets]
    numbers = [head[2] for head in heads]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert {(head[0], head[1], len(packet)) for head, (_, packet) in zip(heads, caller.packets, strict=True)} == {
        (128, 0, 172)
    }
    assert all(head[3] == head[2] * 160 for head in heads)
    took_s = caller.packets[-1][0] - caller.packets[0][0]
    assert took_s == pytest.approx(0.02 * (len(numbers) - 1), abs=0.2)
    assert likeness(said[:4_000], expand(b"".join(packet[12:] for _, packet in caller.packets))) > 0.8


@pytest.mark.timeout(60)
async def test_rtp_bridge_takes_what_a_network_makes_of_a_stream():
    """Packets are lost, come in another order, come damaged, and their numbers begin anew: speech goes on."""
    port = free_port(socket.SOCK_DGRAM)
    async with emulator.Emulator() as server:
        program = await start("rtp_bridge.py", str(port), server.url)
        line, caller = await asyncio.get_running_loop().create_datagram_endpoint(
            Caller, remote_addr=("127.0.0.1", port)
        )

        def packet(number, codes, first=0x80, payload_type=0):
            return struct.pack("!BBHII", first, payload_type, number & 0xFFFF, number * 160, 1) + codes

        async with asyncio.timeout(15):
            while not caller.packets:
                line.sendto(packet(0, b"\xff" * 160))  # silence
                await asyncio.sleep(0.05)
        # as many levels as packets, so that each is known again
        levels = list(range(40))
        order = [0, 1, 3, 2, *levels[4:20], *levels[22:]]  # two change places, and two are lost
        nonsense = [b"", b"x", packet(1, b""), packet(1, b"ab", first=0x8F), packet(1, b"a" * 160, payload_type=8)]
        for level in order:
            line.sendto(packet(65_530 + level, bytes([0x80 + level]) * 160))
            line.sendto(nonsense[level % len(nonsense)])
            await asyncio.sleep(0.02)
        (session,) = server.ledger.sessions
        loudest = int(expand(b"\x80")[0])
        async with asyncio.timeout(10):
            while np.count_nonzero(np.abs(session.audio.astype(int)) > loudest // 8) < (len(order) - 1) * 320:
                await asyncio.sleep(0.02)
        speech = session.audio[int(np.argmax(session.audio > loudest // 8)) :].astype(int)
        heard = [int(np.median(speech[start : start + 320])) for start in range(0, (len(order) - 1) * 320, 320)]
        meant = [int(expand(bytes([0x80 + level]))[0]) for level in order][: len(heard)]
        assert np.abs(np.array(heard) - meant).max() <= loudest // 100
        line.close()
        await end(program)
