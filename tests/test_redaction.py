from __future__ import annotations

import base64
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemini_live.redaction import Redaction, without_query

HIDDEN = "made-up"


def redacted(message, *, by_hash=False):
    return Redaction(by_hash=by_hash).redact(copy.deepcopy(message))


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("wss://host.example/path?key=made-up", "wss://host.example/path"),
        ("wss://user:made-up@host.example:1/path#made-up", "wss://host.example:1/path"),
        ("ws://[::1]:8080", "ws://[::1]:8080"),
    ],
)
def test_of_a_url_only_where_it_goes_is_kept(url, kept):
    assert without_query(url) == kept


def test_a_handle_has_one_name_for_the_whole_session():
    redaction = Redaction(by_hash=False)
    told = [{"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}} for handle in ("a", "b", "a", "")]
    names = [redaction.redact(message)["sessionResumptionUpdate"]["newHandle"] for message in told]
    assert names == ["handle-1", "handle-2", "handle-1", ""]
    assert redaction.redact({"setup": {"sessionResumption": {"handle": "b"}}}) == {
        "setup": {"sessionResumption": {"handle": "handle-2"}}
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize("kind", ["setup", "contextUpdate", "context_update"])
@pytest.mark.parametrize("name", ["apiKey", "api_key", "API-Key", "authConfig", "Authorization", "headers"])
@given(path=st.lists(st.sampled_from(["googleMaps", "mcp_servers", 0, 1])), beside=json_values)
def test_a_credential_of_a_tool_is_left_out_wherever_it_stands(kind, name, path, beside):
    tool = {name: {"value": HIDDEN}}
    for step in reversed(path):
        tool = [beside, tool] if isinstance(step, int) else {step: tool, "beside": beside}
    kept = redacted({kind: {"model": "m", "tools": [tool]}})
    assert HIDDEN not in json.dumps(kept)
    assert kept[kind]["model"] == "m"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://mcp.example/sse?apiKey=made-up", "https://mcp.example/sse"),
        ("https://me:made-up@mcp.example:1/sse#made-up", "https://mcp.example:1/sse"),
        ("https://[made-up/", "…"),
        ("is that so? yes", "is that so? yes"),
    ],
)
def test_a_url_of_a_tool_is_kept_as_far_as_it_says_where_it_goes(url, kept):
    tools = [{"mcpServers": [{"name": "n", "streamableHttpTransport": {"url": url}}]}]
    (server,) = redacted({"setup": {"tools": tools}})["setup"]["tools"][0]["mcpServers"]
    assert server == {"name": "n", "streamableHttpTransport": {"url": kept}}


def test_what_functions_declare_and_take_is_no_credential():
    tools = [{"functionDeclarations": [{"name": "f", "parameters": {"properties": {"headers": {"type": "STRING"}}}}]}]
    call = {"toolCall": {"functionCalls": [{"id": "1", "name": "f", "args": {"headers": "word"}}]}}
    for message in ({"setup": {"tools": tools}}, call):
        assert redacted(message) == message


@pytest.mark.parametrize("name", ["voiceConsentSignature", "voice_consent_signature"])
def test_the_consent_to_a_voice_is_left_out(name):
    told = {"setup": {"generationConfig": {"speechConfig": {name: {"signature": HIDDEN}}}}}
    answered = {"setupComplete": {name: {"signature": HIDDEN}}}
    for message in (told, answered):
        kept = json.dumps(redacted(message), ensure_ascii=False)
        assert HIDDEN not in kept
        assert '"signature": "…"' in kept


@pytest.mark.parametrize("name", ["voiceSampleAudio", "consent_audio", "imageData", "image_data"])
@pytest.mark.parametrize("beside", [{}, {"mimeType": "audio/wav"}, {"image_mime_type": "image/png"}])
def test_the_sounds_and_pictures_of_a_setup_are_hashed_whether_or_not_their_kind_is_said(name, beside):
    data = base64.b64encode(b"a voice").decode()
    (inner,) = redacted({"setup": {"any": [{name: data, **beside}]}}, by_hash=True)["setup"]["any"]
    assert inner == {name: inner[name], **beside}
    assert inner[name].endswith(":7")
    answer = {"toolResponse": {"functionResponses": [{"response": {name: "a word"}}]}}
    assert redacted(answer, by_hash=True) == answer


@given(data=st.binary(min_size=1, max_size=99), beside=json_values)
def test_bytes_become_their_hash_whatever_the_alphabet_and_words_do_not(data, beside):
    forms = {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode().rstrip("=")}
    messages = [{"any": [{"mimeType": "audio/pcm", "data": form}, {"data": form}]} for form in forms]
    hashes = set()
    for message in messages:
        blob, word = redacted({**message, "beside": beside}, by_hash=True)["any"]
        hashes.add(blob["data"])
        assert word == message["any"][1]
        assert redacted(message) == message
    (one,) = hashes
    assert one.startswith("sha256:")
    assert one.endswith(f":{len(data)}")
