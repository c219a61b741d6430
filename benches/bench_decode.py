"""A server message to samples, in all sizes, against other ways to do it in Python."""

import base64
import json

import msgspec
import numpy as np
import orjson
import pybase64
import pytest

from gemini_live import _core, codec
from rig import official_sdk

RATE_HZ = 24_000
MESSAGES_MS = (20, 40, 100, 320)
HOT = b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"%b"}}]}}}'

random = np.random.default_rng(1)


def message_of(message_ms):
    pcm = random.bytes(2 * RATE_HZ * message_ms // 1_000)
    return pcm, HOT % pybase64.b64encode(pcm)


def blob_in(whole):
    return whole["serverContent"]["modelTurn"]["parts"][0]["inlineData"]


def decoders(message):
    """Each contender for this message, ready to be called, the core first."""
    parser = msgspec.json.Decoder()
    official = official_sdk.Decode(message)
    return {
        "core": lambda: _core.decode_audio(message)[0],
        "core, with its event": lambda: codec.decode(message)[0].data,
        "orjson + pybase64": lambda: pybase64.b64decode(blob_in(orjson.loads(message))["data"], validate=True),
        "msgspec + pybase64": lambda: pybase64.b64decode(blob_in(parser.decode(message))["data"], validate=True),
        "standard library": lambda: base64.b64decode(blob_in(json.loads(message))["data"], validate=True),
        "official SDK": official.audio,
    }


@pytest.mark.parametrize("contender", decoders(message_of(40)[1]))
@pytest.mark.parametrize("message_ms", MESSAGES_MS)
def test_decode(benchmark, message_ms, contender):
    pcm, message = message_of(message_ms)
    action = decoders(message)[contender]
    assert action() == pcm
    benchmark.group = f"decode {message_ms} ms"
    benchmark(action)


def test_goal_of_a_message(benchmark, goal):
    pcm, message = message_of(40)
    contenders = decoders(message)
    assert contenders["core"]() == contenders["orjson + pybase64"]() == pcm
    goal("decode_message", contenders["core"], contenders["orjson + pybase64"], calls=2_000)
    benchmark.group = "goals"
    benchmark(contenders["core"])
