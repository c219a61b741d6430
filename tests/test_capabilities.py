from __future__ import annotations

import re

import pytest

from gemini_live import connect
from gemini_live.auth import ApiKey, Custom, GeminiApi, VertexAi
from gemini_live.capabilities import (
    REFUSALS,
    Model,
    Surface,
    check_responses,
    check_setup,
    modality_of,
    model_of,
    surface_of,
)
from gemini_live.config import SessionConfig
from gemini_live.errors import ConfigError
from gemini_live.interop import setup_from
from gemini_live.messages import FunctionResponse

DEV, VERTEX = GeminiApi(), VertexAi(project="p")
UNKNOWN = "gemini-9-live"
VOICE = {"voice_config": {"replicated_voice_config": {"consent_audio": b"x"}}}
SIGNED = {"voice_config": {"replicated_voice_config": {"voice_consent_signature": {"signature": "x"}}}}


def function(**fields):
    return [{"function_declarations": [{"name": "f", **fields}]}]


# who refuses, a setup that it refuses, the same field as others accept it
REFUSED = [
    (DEV, UNKNOWN, {"session_resumption": {"transparent": True}}, "session_resumption.transparent"),
    (DEV, UNKNOWN, {"explicit_vad_signal": True}, "explicit_vad_signal"),
    (
        DEV,
        UNKNOWN,
        {
            "safety_settings": [
                {"category": "c", "threshold": "t"},
                {"category": "c", "threshold": "t", "method": "SEVERITY"},
            ]
        },
        "safety_settings[1].method",
    ),
    (
        DEV,
        UNKNOWN,
        {"tools": [{}, {"google_search": {"blockingConfidence": "X"}}]},
        "tools[1].google_search.blocking_confidence",
    ),
    (
        DEV,
        UNKNOWN,
        {"tools": [{"google_search": {"exclude_domains": ["d"]}}]},
        "tools[0].google_search.exclude_domains",
    ),
    (DEV, UNKNOWN, {"tools": [{"google_maps": {"groundingTypes": {}}}]}, "tools[0].google_maps.grounding_types"),
    *(
        (
            DEV,
            UNKNOWN,
            {"tools": [{"google_maps": {"authConfig": {way: {}}}}]},
            f"tools[0].google_maps.auth_config.{way}",
        )
        for way in (
            "auth_type",
            "api_key_config",
            "google_service_account_config",
            "http_basic_auth_config",
            "oauth_config",
            "oidc_config",
        )
    ),
    (DEV, UNKNOWN, {"tools": [{"retrieval": {}}]}, "tools[0].retrieval"),
    (DEV, UNKNOWN, {"tools": [{"enterprise_web_search": {}}]}, "tools[0].enterprise_web_search"),
    (DEV, UNKNOWN, {"tools": [{"parallel_ai_search": {}}]}, "tools[0].parallel_ai_search"),
    (DEV, UNKNOWN, {"tools": [{"exa_ai_search": {}}]}, "tools[0].exa_ai_search"),
    (VERTEX, UNKNOWN, {"tools": [{"file_search": {}}]}, "tools[0].file_search"),
    (VERTEX, UNKNOWN, {"tools": [{"mcp_servers": [{}]}]}, "tools[0].mcp_servers"),
    (VERTEX, UNKNOWN, {"enable_enhanced_civic_answers": True}, "generation_config.enable_enhanced_civic_answers"),
    (
        VERTEX,
        UNKNOWN,
        {"speech_config": VOICE},
        "generation_config.speech_config.voice_config.replicated_voice_config.consent_audio",
    ),
    (
        VERTEX,
        UNKNOWN,
        {"speech_config": SIGNED},
        "generation_config.speech_config.voice_config.replicated_voice_config.voice_consent_signature",
    ),
    (DEV, "gemini-3.8-live", {"thinking_config": {}}, "generation_config.thinking_config"),
    (
        DEV,
        "gemini-3.8-live-extended-thinking",
        {"thinking_config": {"thinking_level": "MINIMAL"}},
        "generation_config.thinking_config.thinking_level",
    ),
    (
        DEV,
        "gemini-3.1-flash-live-preview",
        {"enable_affective_dialog": True},
        "generation_config.enable_affective_dialog",
    ),
    (DEV, "gemini-3.8-live", {"proactivity": {"proactive_audio": False}}, "proactivity.proactive_audio"),
    (DEV, "gemini-3.1-flash-live-preview", {"proactivity": {}}, "proactivity"),
    (VERTEX, "gemini-3.8-live", {"response_modalities": ["TEXT"]}, "generation_config.response_modalities[0]"),
    (
        DEV,
        "gemini-2.5-flash-native-audio-preview-12-2025",
        {"response_modalities": ["AUDIO", "TEXT"]},
        "generation_config.response_modalities[1]",
    ),
    (DEV, "gemini-3.5-transcribe-live", {"response_modalities": ["AUDIO"]}, "generation_config.response_modalities[0]"),
    (
        DEV,
        "gemini-3.8-live-extended-thinking",
        {"tools": function(behavior="BLOCKING")},
        "tools[0].function_declarations[0].behavior",
    ),
    (VERTEX, "gemini-live-2.5-flash-native-audio", {"tools": [{"code_execution": {}}]}, "tools[0].code_execution"),
    (DEV, "gemini-3.8-live", {"tools": [{"url_context": {}}]}, "tools[0].url_context"),
    (DEV, "gemini-3.8-live", {"tools": [{"google_maps": {}}]}, "tools[0].google_maps"),
    # what a table of fields cannot say
    (
        DEV,
        UNKNOWN,
        {"context_window_compression": {"trigger_tokens": 9_000}},
        "context_window_compression.sliding_window",
    ),
    (
        DEV,
        "gemini-2.5-flash-native-audio-latest",
        {"tools": [{"google_search": {}}, *function()]},
        "tools",
    ),
    (
        DEV,
        "gemini-2.5-flash-native-audio-latest",
        {"enable_affective_dialog": True},
        "generation_config.enable_affective_dialog",
    ),
    (
        DEV,
        "gemini-2.5-flash-native-audio-latest",
        {"proactivity": {"proactive_audio": True}},
        "proactivity.proactive_audio",
    ),
]

ACCEPTED = [
    (VERTEX, UNKNOWN, {"session_resumption": {"transparent": True}, "explicit_vad_signal": True}),
    (DEV, UNKNOWN, {"session_resumption": {"transparent": False}, "tools": [{"mcp_servers": [{}]}]}),
    (DEV, UNKNOWN, {"tools": [{"google_search": {"timeRangeFilter": {}}, "google_maps": {}, "code_execution": {}}]}),
    (DEV, UNKNOWN, {"tools": [{"google_maps": {"authConfig": "no object, which the service will say"}}]}),
    (DEV, UNKNOWN, {"thinking_config": {}, "response_modalities": ["TEXT"], "tools": function(behavior="BLOCKING")}),
    (DEV, "gemini-3.8-live", {"tools": [{"google_search": {}}, *function(behavior="BLOCKING")]}),
    (DEV, "gemini-3.8-live", {"proactivity": {"proactive_audio": True}, "enable_affective_dialog": False}),
    (DEV, "gemini-3.8-live-extended-thinking", {"thinking_config": {"thinking_level": "HIGH"}, "tools": function()}),
    (DEV, "gemini-3.1-flash-live-preview", {"thinking_config": {"thinking_level": "MINIMAL"}}),
    (DEV, "gemini-2.5-flash-native-audio-latest", {"thinking_config": {"thinking_budget": 0}}),
    (GeminiApi(version="v1alpha"), "gemini-2.5-flash-native-audio-latest", {"enable_affective_dialog": True}),
    (VERTEX, "gemini-live-2.5-flash-native-audio", {"proactivity": {"proactive_audio": True}}),
    (DEV, "gemini-3.5-transcribe-live", {"response_modalities": ["TEXT"]}),
    (DEV, UNKNOWN, {"context_window_compression": {"sliding_window": {}}}),
    # where nobody knows what answers, only the model speaks
    (Custom("wss://h.test/x"), UNKNOWN, {"explicit_vad_signal": True, "session_resumption": {"transparent": True}}),
]


@pytest.mark.parametrize(("endpoint", "model", "fields", "path"), REFUSED)
def test_a_refusal_names_the_field_who_refuses_it_and_the_mend(endpoint, model, fields, path):
    setup = setup_from({"model": endpoint.model_name(model), **fields})
    with pytest.raises(ConfigError) as caught:
        check_setup(setup, endpoint)
    assert caught.value.path == f"setup.{path}"
    said = str(caught.value)
    assert said.startswith(f"setup.{path}".removesuffix(".sliding_window"))
    assert re.search(r"leave it out|take |use |add ", said)


def test_every_row_was_looked_at():
    """A row that no case meets could say anything."""
    met = set()
    for endpoint, model, _, path in REFUSED:
        general = re.sub(r"\[\d+\]", "[]", path)
        for index, row in enumerate(REFUSALS):
            if row.path == general and {surface_of(endpoint), model_of(model)} & set(row.where):
                met.add(index)
    assert met == set(range(len(REFUSALS)))


@pytest.mark.parametrize(("endpoint", "model", "fields"), ACCEPTED)
def test_what_is_not_refused(endpoint, model, fields):
    check_setup(setup_from({"model": endpoint.model_name(model), **fields}), endpoint)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("gemini-3.8-live", Model.LIVE_3_8),
        ("models/gemini-3.8-live-001", Model.LIVE_3_8),
        ("projects/p/locations/l/publishers/google/models/gemini-3.8-live", Model.LIVE_3_8),
        ("gemini-3.8-live-preview-09-2026", Model.LIVE_3_8),
        ("gemini-3.8-live-extended-thinking", Model.LIVE_3_8_THINKING),
        ("gemini-3.8-live-extended-thinking-preview", Model.LIVE_3_8_THINKING),
        ("gemini-3.8-live-something-new", None),
        ("gemini-3.8-lively", None),
        ("gemini-3.1-flash-live-preview", Model.FLASH_LIVE_3_1),
        ("gemini-2.5-flash-native-audio-preview-09-2025", Model.NATIVE_AUDIO_2_5),
        ("gemini-live-2.5-flash-native-audio", Model.NATIVE_AUDIO_2_5_VERTEX),
        ("gemini-3.5-transcribe-live-preview", Model.TRANSCRIBE),
        ("gemini-3.5-live-translate-preview", Model.TRANSLATE),
        ("gemini-robotics-er-2-streaming-preview", Model.ROBOTICS),
        (UNKNOWN, None),
        ("", None),
    ],
)
def test_the_family_of_a_model(name, family):
    assert model_of(name) is family


def test_the_surface_of_an_endpoint():
    assert [surface_of(one) for one in (DEV, VERTEX, Custom("wss://h"))] == [Surface.DEVELOPER, Surface.VERTEX, None]


def test_how_a_model_answers():
    assert modality_of("gemini-3.8-live") == modality_of(UNKNOWN) == "AUDIO"
    assert modality_of("gemini-3.5-transcribe-live") == modality_of("gemini-robotics-er-2-streaming-preview") == "TEXT"


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["f", "_", "a.b:c-d_9", "a" * 128])
def test_a_name_of_a_function(name):
    check_setup(setup_from({"model": "m", "tools": [{"function_declarations": [{"name": name}]}]}), DEV)


@pytest.mark.parametrize("name", ["", "9f", "a b", "ä", "a" * 129, "f\n"])
def test_a_name_that_no_function_may_have(name):
    with pytest.raises(ConfigError) as caught:
        check_setup(setup_from({"model": "m", "tools": [{}, {"function_declarations": [{"name": name}]}]}), DEV)
    assert caught.value.path == "setup.tools[1].function_declarations[0].name"


def test_no_more_functions_than_the_service_takes():
    declarations = [{"name": f"f{index}"} for index in range(513)]
    halves = [{"function_declarations": declarations[:256]}, {"function_declarations": declarations[256:512]}]
    check_setup(setup_from({"model": "m", "tools": halves}), DEV)
    with pytest.raises(ConfigError, match="513 functions"):
        check_setup(setup_from({"model": "m", "tools": [{"function_declarations": declarations}]}), DEV)


@pytest.mark.parametrize("labels", [{"a": ""}, {"safety_identifier": "user-1_x"}, {"a" * 63: "9" * 63}])
def test_labels(labels):
    check_setup(setup_from({"model": "m", "labels": labels}), DEV)


@pytest.mark.parametrize("labels", [{"": "a"}, {"9": "a"}, {"A": "a"}, {"a": "A"}, {"a" * 64: ""}, {"a": "a" * 64}])
def test_labels_that_the_service_does_not_take(labels):
    with pytest.raises(ConfigError, match=re.escape("setup.labels")):
        check_setup(setup_from({"model": "m", "labels": labels}), DEV)


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answers_that_are_refused():
    more = [FunctionResponse(name="f"), FunctionResponse(name="f", will_continue=True)]
    with pytest.raises(ConfigError) as caught:
        check_responses(more, VERTEX, UNKNOWN)
    assert caught.value.path == "responses[1].will_continue"
    check_responses(more, DEV, UNKNOWN)
    later = [FunctionResponse(name="f", scheduling="WHEN_IDLE")]
    with pytest.raises(ConfigError) as caught:
        check_responses(later, DEV, "models/gemini-3.8-live-extended-thinking")
    assert caught.value.path == "responses[0].scheduling"
    check_responses(later, DEV, "models/gemini-3.8-live")


# --- where it is asked -----------------------------------------------------------------------------------------------


def test_connect_refuses_at_once():
    setup = {"model": "gemini-3.8-live", "thinking_config": {}}
    with pytest.raises(ConfigError, match=r"gemini-3.8-live: leave it out.*check_capabilities=False"):
        connect(setup, auth=ApiKey("k"))
    with pytest.raises(ConfigError):
        connect(SessionConfig(setup=setup_from(setup)), auth=ApiKey("k"))


def test_the_check_can_be_switched_off():
    setup = {"model": "gemini-3.8-live", "thinking_config": {}}
    connect(setup, auth=ApiKey("k"), check_capabilities=False)
    connect(SessionConfig(setup=setup_from(setup), check_capabilities=False), auth=ApiKey("k"))


def test_a_model_that_does_not_speak_is_asked_for_text():
    connect("gemini-3.5-transcribe-live", auth=ApiKey("k"))
    connect("gemini-3.5-transcribe-live", {"temperature": 0.5}, auth=ApiKey("k"))
