"""The official objects, given to both clients, are sent alike by both, or refused by both; and the emulator reads them.

Field by field, for the whole configuration of a session and for the parts of what is said in it.
"""

from __future__ import annotations

import contextlib
import json
import re
from base64 import b64encode, urlsafe_b64encode

import pytest
from google.genai import types

import gemini_live as live
from conformance.official import client_of
from conformance.peer import listening
from conformance.values import BYTES, only, paths
from gemini_live.emulator import wire

ENDPOINTS = {
    "dev": lambda url: (live.GeminiApi(base_url=url), live.ApiKey("key")),
    "vertex": lambda url: (live.VertexAi(project="p", base_url=url), live.BearerToken("token")),
}
MODEL = "a-model"  # of which nothing is known
OURS_ALONE = live.ReconnectPolicy(enabled=False)  # it would ask for resumption
REFUSED = "refused"
PNG = {"mime_type": "image/png", "data": b"png"}
FILE = {"file_uri": "gs://bucket/image.png"}

# What must stand beside the fields of a type, or beside one of them.
BESIDE = {
    "Blob": PNG,
    "FileData": FILE,
    "FunctionCall": {"name": "light"},
    "FunctionDeclaration": {"name": "light"},
    "FunctionResponse": {"name": "light"},
    "FunctionResponseBlob": PNG,
    "FunctionResponseFileData": FILE,
    "SafetySetting": {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"},
    ("Content", "role"): {"parts": [types.Part(text="Hi")]},
    ("ContextWindowCompressionConfig", "trigger_tokens"): {"sliding_window": types.SlidingWindow()},
}
# Not looked into: a system instruction is text.
WITHOUT = {f"system_instruction.parts.{name}": "a system instruction is text" for name in types.Part.model_fields} | {
    "http_options": "is not sent",
    "generation_config": "deprecated, and nothing but its fields' second place",
}
WITHOUT.pop("system_instruction.parts.text")

# --- faults that these tests have found. What is mended makes them fail, and its line is to be removed. ---------------

# Fields that one client sends and the other refuses, or sends otherwise.
SENT_OTHERWISE: dict[str, dict[str, str]] = {"dev": {}, "vertex": {}}
# Fields that the official client sends and the emulator does not know.
NOT_READ = {"dev": {}, "vertex": {}}

# The same for what is said.
CONTENT_SENT_OTHERWISE = {
    "dev": {
        f"parts.function_call.{name}": "no fault: the service takes no calls in contents, so nobody needs the refusal"
        for name in (
            "partial_args.bool_value",
            "partial_args.json_path",
            "partial_args.null_value",
            "partial_args.number_value",
            "partial_args.string_value",
            "partial_args.will_continue",
            "will_continue",
        )
    },
    "vertex": {},
}
CONTENT_NOT_READ: dict[str, str] = {}

# ---------------------------------------------------------------------------------------------------------------------


def leaves_of(name):
    return [path for path in paths(types.LiveConnectConfig, without=WITHOUT) if path[0] == name]


def normal(value):
    """Names in camelCase, bytes in standard base64, UTC as Z: the official client writes both ways."""
    match value:
        case dict():
            return {camel_case(name): normal(item) for name, item in value.items()}
        case list():
            return [normal(item) for item in value]
        case str():
            return value.replace(urlsafe_b64encode(BYTES).decode(), b64encode(BYTES).decode()).replace("+00:00", "Z")
        case _:
            return value


def camel_case(name):
    return re.sub("_([a-z0-9])", lambda found: found[1].upper(), name)


def is_read(message, surface):
    """Whether the emulator knows all of it."""
    try:
        wire.read(json.dumps(message), surface)
    except wire.Refusal:
        return False
    return True


@pytest.mark.parametrize("surface", ENDPOINTS)
@pytest.mark.parametrize("name", [name for name in types.LiveConnectConfig.model_fields if name not in WITHOUT])
async def test_each_field_of_the_official_configuration_is_sent_alike(name, surface):
    otherwise, not_read = set(), set()
    async with (
        listening(tls=True) as their_peer,
        client_of(their_peer, surface) as official,
        listening() as our_peer,
    ):
        endpoint, auth = ENDPOINTS[surface](our_peer.url)
        for path in leaves_of(name):
            if ".".join(path) in WITHOUT:
                continue
            config = only(types.LiveConnectConfig, path, BESIDE)
            if name != "response_modalities":
                # our client asks for speech where nothing is said, the official one does so on Vertex AI only
                config.response_modalities = [types.Modality.AUDIO]
            theirs = ours = REFUSED
            with contextlib.suppress(live.ConfigError):
                async with live.connect(MODEL, config=config, endpoint=endpoint, auth=auth, reconnect=OURS_ALONE):
                    ours = await our_peer.hear()
            with contextlib.suppress(ValueError):
                async with official.live.connect(model=MODEL, config=config):
                    theirs = await their_peer.hear()
            if normal(theirs) != normal(ours):
                otherwise.add(".".join(path))
            if theirs != REFUSED and not is_read(theirs, surface):
                not_read.add(".".join(path))
    assert otherwise == {place for place in SENT_OTHERWISE[surface] if place.startswith(f"{name}.")}
    assert not_read == {place for place in NOT_READ[surface] if place.startswith(f"{name}.")}


@pytest.mark.parametrize("surface", ENDPOINTS)
async def test_each_field_of_an_official_content_is_sent_alike(surface):
    otherwise, not_read = set(), set()
    async with (
        listening(tls=True) as their_peer,
        client_of(their_peer, surface) as official,
        listening() as our_peer,
    ):
        endpoint, auth = ENDPOINTS[surface](our_peer.url)
        async with (
            official.live.connect(model=MODEL) as their_session,
            live.connect(MODEL, endpoint=endpoint, auth=auth, reconnect=OURS_ALONE) as our_session,
        ):
            await their_peer.hear()
            await our_peer.hear()
            for path in paths(types.Content):
                content = only(types.Content, path, BESIDE)
                theirs = ours = REFUSED
                with contextlib.suppress(live.ConfigError):
                    await our_session.send_client_content(content)
                    ours = await our_peer.hear()
                with contextlib.suppress(ValueError):
                    await their_session.send_client_content(turns=content)
                    theirs = await their_peer.hear()
                if normal(theirs) != normal(ours):
                    otherwise.add(".".join(path))
                if theirs != REFUSED and not is_read(theirs, surface):
                    not_read.add(".".join(path))
    assert otherwise == set(CONTENT_SENT_OTHERWISE[surface])
    assert not_read == set(CONTENT_NOT_READ)
