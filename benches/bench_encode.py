"""The compiled core against the fastest way to do the same in Python.

``pytest benches/bench_encode.py --benchmark-enable`` gives the times of each contender, ``python
benches/bench_encode.py`` the ratios from alternating runs. README.md has the method.
"""

# Contenders are a line each and speak for themselves; a bench asserts, and prints.
# ruff: noqa: ANN001, ANN201

import statistics
import sys
import time

import msgspec
import numpy as np
import pybase64
import pytest

from gemini_live import _core

if _core.BUILD_PROFILE != "release":
    sys.exit("a debug build is not what is installed: build with `maturin develop --release`")

PREFIX = b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"'
IMAGE_PREFIX = b'{"realtimeInput":{"video":{"mimeType":"image/jpeg","data":"'
SUFFIX = b'"}}}'
HOT = b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"%b"}}]}}}'

random = np.random.default_rng(1)
samples = random.integers(-32_768, 32_767, 320, np.int16)
pcm = samples.tobytes()
mono = random.uniform(-1, 1, 320).astype(np.float32)
stereo = random.uniform(-1, 1, (320, 2)).astype(np.float32)
image = random.bytes(100_000)
message = HOT % pybase64.b64encode(random.bytes(1_920))

encoder = _core.AudioEncoder()
out = bytearray(encoder.message_bytes)
parser = msgspec.json.Decoder()


def join(data):
    return PREFIX + pybase64.b64encode(data) + SUFFIX


def to_int16(floats):
    return np.clip(np.rint(floats * 32_768), -32_768, 32_767).astype(np.int16)


def encode_into():
    encoder.encode_into(pcm, out)
    return out


def parse():
    blob = parser.decode(message)["serverContent"]["modelTurn"]["parts"][0]["inlineData"]
    return pybase64.b64decode(blob["data"], validate=True), int(blob["mimeType"].removeprefix("audio/pcm;rate="))


CASES = {
    "20 ms of bytes": (lambda: encoder.encode(pcm)[0], lambda: join(pcm)),
    "20 ms of bytes, into a bytearray": (encode_into, lambda: join(pcm)),
    "20 ms of int16": (lambda: encoder.encode(samples)[0], lambda: join(samples)),
    "20 ms of float32": (lambda: encoder.encode(mono)[0], lambda: join(to_int16(mono))),
    "20 ms of stereo float32": (
        lambda: encoder.encode(stereo)[0],
        lambda: join(to_int16(stereo.mean(axis=1, dtype=np.float64))),
    ),
    "100 KB image": (
        lambda: _core.encode_video(image, "image/jpeg"),
        lambda: IMAGE_PREFIX + pybase64.b64encode(image) + SUFFIX,
    ),
    "40 ms of model audio, decoded": (lambda: _core.decode_audio(message), parse),
}


@pytest.mark.parametrize("contender", ["core", "Python"])
@pytest.mark.parametrize("case", CASES)
def test_encode(benchmark, case, contender):
    core, python = CASES[case]
    assert core() == python()
    benchmark.group = case
    benchmark(core if contender == "core" else python)


def seconds(action, calls):
    start = time.process_time()
    for _ in range(calls):
        action()
    return time.process_time() - start


def main():
    for case, (core, python) in CASES.items():
        assert core() == python()
        calls = 200 if "image" in case else 5_000
        ratios = sorted(seconds(core, calls) / seconds(python, calls) for _ in range(101))
        low, median, high = ratios[10], statistics.median(ratios), ratios[90]
        print(f"{case:34} {median:5.2f}  ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
