"""Samples and images to the message that is sent, in all sizes and kinds, against other ways to do it in Python.

The core alone gives a whole masked WebSocket frame; what the others give would still have to be framed and masked.
"""

import base64
import json

import numpy as np
import pybase64
import pytest

from gemini_live import _core
from rig import official_sdk
from rig.wire import AUDIO_PREFIX, AUDIO_SUFFIX

IMAGE_PREFIX = b'{"realtimeInput":{"video":{"mimeType":"image/jpeg","data":"'
RATE_HZ = 16_000
CHUNKS_MS = (10, 20, 40, 100)
KINDS = ("bytes", "int16", "int32", "float32", "float64", "uint8", "int16 stereo", "float32 stereo")
IMAGES_BYTES = (10_000, 100_000, 500_000)

random = np.random.default_rng(1)
official = official_sdk.Encode()


def block_of(kind, chunk_ms):
    """Noise of this kind: bytes, or an array ``(n,)`` or ``(n, 2)``."""
    dtype, _, stereo = kind.partition(" ")
    shape = (RATE_HZ * chunk_ms // 1_000, *([2] if stereo else []))
    if dtype == "bytes":
        return random.integers(-32_768, 32_767, shape, np.int16).tobytes()
    if dtype.startswith("float"):
        return random.uniform(-1, 1, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype)


def pcm_of(block):
    """16-bit mono in NumPy, rounded as the core rounds: once, after the downmix, to the nearest."""
    if isinstance(block, bytes):
        return block
    if block.dtype == np.int16 and block.ndim == 1:
        return block.tobytes()
    scaled = block * np.float64(32_768) if block.dtype.kind == "f" else block.astype(np.float64)
    if block.dtype == np.uint8:
        scaled = (scaled - 128) * 256
    elif block.dtype == np.int32:
        scaled /= 65_536
    mono = scaled.mean(axis=1) if block.ndim == 2 else scaled
    return np.clip(np.rint(mono), -32_768, 32_767).astype("<i2").tobytes()


def fast_pcm_of(block):
    """The same as a good engineer writes it, who does not need the last bit: single precision stays single."""
    if block.dtype == np.float32:
        mono = block.mean(axis=1) if block.ndim == 2 else block
        return np.clip(np.rint(mono * np.float32(32_768)), -32_768, 32_767).astype("<i2").tobytes()
    return pcm_of(block)


def concatenate(pcm):
    return AUDIO_PREFIX + pybase64.b64encode(pcm) + AUDIO_SUFFIX


def concatenate_image(image):
    return IMAGE_PREFIX + pybase64.b64encode(image) + AUDIO_SUFFIX


def standard_library(pcm):
    audio = {"mimeType": "audio/pcm;rate=16000", "data": base64.b64encode(pcm).decode()}
    return json.dumps({"realtimeInput": {"audio": audio}})


def standard_library_image(image):
    video = {"mimeType": "image/jpeg", "data": base64.b64encode(image).decode()}
    return json.dumps({"realtimeInput": {"video": video}})


def payload_of(frame):
    """The message inside a frame of the core."""
    return _core.unmask(frame)


def meaning_of(message):
    """A message whatever its spelling: the stream, the MIME type and the bytes."""
    (outer,) = json.loads(message).values()
    ((stream, blob),) = outer.items()
    return (
        stream,
        blob.get("mimeType", blob.get("mime_type")),
        base64.b64decode(blob["data"].replace("-", "+").replace("_", "/")),
    )


def encoders(kind, chunk_ms):
    """Each contender for such a block, ready to be called, the core first."""
    block = block_of(kind, chunk_ms)
    encoder = _core.AudioEncoder(RATE_HZ, RATE_HZ * chunk_ms // 1_000)
    found = {"core": lambda: encoder.encode(block)[0]}
    if kind == "bytes":
        found |= {
            "pybase64": lambda: concatenate(block),
            "standard library": lambda: standard_library(block),
            "official SDK": lambda: official.audio(block),
        }
    else:
        found["NumPy + pybase64"] = lambda: concatenate(fast_pcm_of(block))
    return block, found


CASES = [
    (kind, chunk_ms, contender)
    for kind in KINDS
    for chunk_ms in (CHUNKS_MS if kind == "bytes" else (20, 100))
    for contender in encoders(kind, chunk_ms)[1]
]


@pytest.mark.parametrize(("kind", "chunk_ms", "contender"), CASES)
def test_encode(benchmark, kind, chunk_ms, contender):
    block, contenders = encoders(kind, chunk_ms)
    expected = "audio", "audio/pcm;rate=16000", pcm_of(block)
    assert payload_of(contenders["core"]()) == concatenate(pcm_of(block))
    found = contenders[contender]()
    stream, mime_type, pcm = meaning_of(payload_of(found) if contender == "core" else found)
    assert (stream, mime_type) == expected[:2]
    # the engineer's way may be off by one step of the scale
    difference = np.frombuffer(pcm, "<i2").astype(int) - np.frombuffer(expected[2], "<i2")
    assert abs(difference).max() <= (1 if contender.startswith("NumPy") else 0)
    benchmark.group = f"encode {chunk_ms} ms of {kind}"
    benchmark(contenders[contender])


@pytest.mark.parametrize("contender", ["core", "pybase64", "standard library", "official SDK"])
@pytest.mark.parametrize("size", IMAGES_BYTES)
def test_encode_image(benchmark, size, contender):
    image = random.bytes(size)
    contenders = {
        "core": lambda: _core.encode_video(image, "image/jpeg"),
        "pybase64": lambda: concatenate_image(image),
        "standard library": lambda: standard_library_image(image),
        "official SDK": lambda: official.image(image),
    }
    found = contenders[contender]()
    assert meaning_of(payload_of(found) if contender == "core" else found) == ("video", "image/jpeg", image)
    benchmark.group = f"encode an image of {size // 1_000} KB"
    benchmark(contenders[contender])


def test_goal_of_a_chunk(benchmark, goal):
    _, contenders = encoders("bytes", 20)
    assert payload_of(contenders["core"]()) == contenders["pybase64"]()
    goal("encode_chunk", contenders["core"], contenders["pybase64"], calls=2_000)
    benchmark.group = "goals"
    benchmark(contenders["core"])


def test_goal_of_an_image(benchmark, goal):
    image = random.bytes(100_000)
    assert payload_of(_core.encode_video(image, "image/jpeg")) == concatenate_image(image)
    goal("encode_image", lambda: _core.encode_video(image, "image/jpeg"), lambda: concatenate_image(image), calls=100)
    benchmark.group = "goals"
    benchmark(lambda: _core.encode_video(image, "image/jpeg"))
