from __future__ import annotations

import asyncio
import copy
import pickle
import pprint
import sys
import threading
import traceback
import types

import pytest

from gemini_live import connect
from gemini_live.auth import (
    Address,
    ApiKey,
    BearerToken,
    Custom,
    EphemeralToken,
    GeminiApi,
    GoogleCredentials,
    NoAuth,
    VertexAi,
    auth_from,
    check_pair,
    endpoint_for,
    endpoint_from,
    resolve,
)
from gemini_live.errors import ConfigError

SECRET = "AIza-made-up-0123456789"  # noqa: S105 - it is not
KEY, TOKEN, BEARER = ApiKey(SECRET), EphemeralToken(f"auth_tokens/{SECRET}"), BearerToken(f"ya29.{SECRET}")
CREDENTIALS = [KEY, TOKEN, BEARER]

DEV = "wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage"
VERTEX_PATH = "/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent"


@pytest.fixture(autouse=True)
def no_keys_in_the_environment(monkeypatch):
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.delenv(name, raising=False)


def refused(function, *args):
    """The error of a call, which must tell no secret to anybody."""
    with pytest.raises(ConfigError) as caught:
        function(*args)
    error = caught.value
    said = [str(error), repr(error), error.path, str(error.suggestion), *traceback.format_exception(error)[-1:]]
    assert SECRET not in " ".join(said)
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    return error


# --- the pairs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "credential", "url", "headers"),
    [
        (GeminiApi(), KEY, f"{DEV}.v1beta.GenerativeService.BidiGenerateContent", {"x-goog-api-key": SECRET}),
        (
            GeminiApi(version="v1alpha"),
            KEY,
            f"{DEV}.v1alpha.GenerativeService.BidiGenerateContent",
            {"x-goog-api-key": SECRET},
        ),
        # an ephemeral token has a method of its own
        (
            GeminiApi(),
            TOKEN,
            f"{DEV}.v1beta.GenerativeService.BidiGenerateContentConstrained",
            {"Authorization": f"Token auth_tokens/{SECRET}"},
        ),
        (GeminiApi(), NoAuth(), f"{DEV}.v1beta.GenerativeService.BidiGenerateContent", {}),
        (
            GeminiApi(base_url="ws://127.0.0.1:8080/"),
            KEY,
            "ws://127.0.0.1:8080/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
            {"x-goog-api-key": SECRET},
        ),
        (
            GeminiApi(base_url="wss://gateway.test/prefix"),
            KEY,
            "wss://gateway.test/prefix/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
            {"x-goog-api-key": SECRET},
        ),
        (
            VertexAi(project="p"),
            BEARER,
            f"wss://us-central1-aiplatform.googleapis.com{VERTEX_PATH}",
            {"Authorization": f"Bearer ya29.{SECRET}"},
        ),
        (
            VertexAi(project="p", location="europe-west4", version="v1beta1"),
            BEARER,
            (
                "wss://europe-west4-aiplatform.googleapis.com"
                "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
            ),
            {"Authorization": f"Bearer ya29.{SECRET}"},
        ),
        (
            VertexAi(project="p", location="global"),
            BEARER,
            f"wss://aiplatform.googleapis.com{VERTEX_PATH}",
            {"Authorization": f"Bearer ya29.{SECRET}"},
        ),
        (
            VertexAi(project="p", location="us"),
            BEARER,
            f"wss://aiplatform.us.rep.googleapis.com{VERTEX_PATH}",
            {"Authorization": f"Bearer ya29.{SECRET}"},
        ),
        (
            VertexAi(project="p", location="eu"),
            BEARER,
            f"wss://aiplatform.eu.rep.googleapis.com{VERTEX_PATH}",
            {"Authorization": f"Bearer ya29.{SECRET}"},
        ),
        (
            VertexAi(project="p"),
            BearerToken(f"ya29.{SECRET}", "billed"),
            f"wss://us-central1-aiplatform.googleapis.com{VERTEX_PATH}",
            {"Authorization": f"Bearer ya29.{SECRET}", "x-goog-user-project": "billed"},
        ),
        (VertexAi(express=True), KEY, f"wss://aiplatform.googleapis.com{VERTEX_PATH}", {"x-goog-api-key": SECRET}),
        (VertexAi(project="p", base_url="wss://proxy.test/"), NoAuth(), f"wss://proxy.test{VERTEX_PATH}", {}),
        (Custom("wss://h.test/any?x=1"), NoAuth(), "wss://h.test/any?x=1", {}),
        (Custom("wss://h.test/any"), KEY, "wss://h.test/any", {"x-goog-api-key": SECRET}),
        (Custom("wss://h.test/any"), TOKEN, "wss://h.test/any", {"Authorization": f"Token auth_tokens/{SECRET}"}),
        (Custom("wss://h.test/any"), BEARER, "wss://h.test/any", {"Authorization": f"Bearer ya29.{SECRET}"}),
    ],
)
async def test_the_url_and_the_headers_of_a_pair(endpoint, credential, url, headers):
    address = await resolve(endpoint, credential)
    assert (address.url, address.headers) == (url, headers)
    assert endpoint_from(endpoint) is endpoint
    assert SECRET not in address.url


@pytest.mark.parametrize(
    ("endpoint", "credential", "instead"),
    [
        (GeminiApi(), BEARER, "VertexAi"),
        (VertexAi(project="p"), KEY, "express=True"),
        (VertexAi(express=True), BEARER, "ApiKey"),
        (VertexAi(project="p"), TOKEN, "BearerToken"),
    ],
)
async def test_a_pair_that_cannot_work_is_refused_with_what_to_give_instead(endpoint, credential, instead):
    error = refused(check_pair, endpoint, credential)
    assert error.path == "auth"
    assert instead in str(error)
    with pytest.raises(ConfigError):
        await resolve(endpoint, credential)
    with pytest.raises(ConfigError):
        await resolve(endpoint, lambda: credential)


@pytest.mark.parametrize(
    ("endpoint", "model", "name"),
    [
        (GeminiApi(), "gemini-3.8-live", "models/gemini-3.8-live"),
        (GeminiApi(), "models/x", "models/x"),
        (GeminiApi(), "tunedModels/x", "tunedModels/x"),
        (
            VertexAi(project="p", location="eu"),
            "gemini-3.8-live",
            "projects/p/locations/eu/publishers/google/models/gemini-3.8-live",
        ),
        (VertexAi(project="p"), "publishers/google/models/x", "publishers/google/models/x"),
        (Custom("wss://h.test/any"), "gemini-3.8-live", "gemini-3.8-live"),
    ],
)
def test_the_name_of_a_model(endpoint, model, name):
    assert endpoint.model_name(model) == name


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"project": "p/q"}, "endpoint.project"),
        ({"project": " "}, "endpoint.project"),
        # it becomes part of the host that gets the token
        ({"project": "p", "location": "evil.test/"}, "endpoint.location"),
        ({"project": "p", "location": "evil.test#"}, "endpoint.location"),
        ({"project": "p", "location": "US"}, "endpoint.location"),
    ],
)
def test_a_project_and_a_location_of_vertex_ai(arguments, path):
    assert refused(lambda: VertexAi(**arguments)).path == path


# --- in the clear ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize(
    "host", ["h.test", "192.168.0.1", "localhost.test", "127.0.0.1.test", "[2001:db8::1]", "8.8.8.8"]
)
def test_a_credential_does_not_travel_in_the_clear(host, credential):
    error = refused(check_pair, Custom(f"ws://{host}:80/x"), credential)
    assert (error.path, error.suggestion) == ("endpoint", "wss")
    check_pair(Custom(f"wss://{host}:80/x"), credential)
    check_pair(Custom(f"ws://{host}:80/x"), NoAuth())


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_it_may_stay_on_this_machine(host, credential):
    check_pair(Custom(f"ws://{host}:80/x"), credential)


# --- the endpoint ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, GeminiApi()),
        ("ws://127.0.0.1:8080", GeminiApi(base_url="ws://127.0.0.1:8080")),
        ("ws://127.0.0.1:8080/", GeminiApi(base_url="ws://127.0.0.1:8080/")),
        ("wss://h.test/live", Custom("wss://h.test/live")),
        ("wss://h.test?x=1", Custom("wss://h.test?x=1")),
        ("WSS://h.test/live", Custom("WSS://h.test/live")),
    ],
)
def test_an_endpoint_given_as_a_url(given, expected):
    assert endpoint_from(given) == expected


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ("https://h.test", "wss"),
        ("http://127.0.0.1:8080/live", "ws"),
        (GeminiApi(base_url="https://h.test"), "wss"),
        (VertexAi(project="p", base_url="http://h.test"), "ws"),
        (Custom("ftp://h.test/x"), None),
        ("//h.test/x", None),
    ],
)
def test_a_wrong_scheme(given, instead):
    error = refused(endpoint_from, given)
    assert error.path == "endpoint"
    assert error.suggestion == instead
    assert "ws or wss" in str(error)
    assert "h.test" in str(error) or "127.0.0.1" in str(error)
    assert (f"write {instead}://" in str(error)) is (instead is not None)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "localhost:8080",
        "127.0.0.1:8080",
        "ws://",
        "wss:///path",
        "ws://[::1",
        "ws://h.test:port/",
        "ws://h.test:99999/",
        Custom("ws://[::1"),
        Custom(""),
        GeminiApi(base_url=5),
        Custom(None),
        5,
        NoAuth(),
        KEY,
        # arguments that changed places
        SECRET,
        Custom(SECRET),
        f"wss:{SECRET}",
    ],
)
def test_what_is_no_url(given):
    assert refused(endpoint_from, given).path == "endpoint"


@pytest.mark.parametrize(
    "url",
    [
        f"wss://h.test/live?key={SECRET}",
        f"wss://h.test/live?x=1&KEY={SECRET}",
        f"wss://h.test/live?access_token={SECRET}",
        f"wss://h.test/live?api_key={SECRET}",
        f"wss://h.test/live?%6bey={SECRET}",
        f"wss://h.test/live#key={SECRET}",
        f"wss://user:{SECRET}@h.test/live",
        f"wss://{SECRET}@h.test/live",
        f"wss://:{SECRET}@h.test/live",
        f"wss://user:{SECRET}@h.test",
    ],
)
def test_a_credential_in_the_url_is_refused(url):
    for given in (url, Custom(url)):
        error = refused(endpoint_from, given)
        assert error.path == "auth"
        assert "auth=" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        f"wss://user:{SECRET}/x@h.test/live",  # taken for a port
        f"wss://user:{SECRET}@h\u2100.test/live",
        f"wss://user:{SECRET}@[::1/live",
        f"https://user:{SECRET}@h.test/live?key={SECRET}",
    ],
)
def test_a_url_that_cannot_be_read_is_not_shown(url):
    refused(endpoint_from, url)
    refused(endpoint_from, Custom(url))


@pytest.mark.parametrize(
    "given",
    [
        "wss://h.test#part",
        "wss://h.test/live#part",
        Custom("wss://h.test/live?x=1#part"),
        GeminiApi(base_url="wss://h.test/#part"),
        GeminiApi(base_url="wss://h.test/?x=1"),
        VertexAi(project="p", base_url="wss://h.test?x=1"),
    ],
)
def test_what_the_path_would_be_lost_behind_is_refused(given):
    """RFC 6455 3 has no fragments, and what comes behind a query belongs to it."""
    error = refused(endpoint_from, given)
    assert error.path == "endpoint"
    assert "h.test" in str(error)


@pytest.mark.parametrize("url", ["wss://h.test/live?monkey_id=1", "wss://h.test/key=1", "wss://h.test/l?x=key"])
def test_other_parameters_are_the_users_business(url):
    assert endpoint_from(url) == Custom(url)


# --- the credential --------------------------------------------------------------------------------------------------


def test_a_string_is_a_key_or_an_ephemeral_token():
    assert auth_from(SECRET, GeminiApi()) == KEY
    assert auth_from(f"auth_tokens/{SECRET}", GeminiApi()) == TOKEN


@pytest.mark.parametrize("given", [*CREDENTIALS, NoAuth(), lambda: KEY])
def test_a_credential_or_a_function_is_taken_as_it_is(given):
    assert auth_from(given, GeminiApi()) is given


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"GEMINI_API_KEY": SECRET}, SECRET),
        ({"GOOGLE_API_KEY": SECRET}, SECRET),
        ({"GEMINI_API_KEY": SECRET, "GOOGLE_API_KEY": "other"}, SECRET),
        ({"GEMINI_API_KEY": "", "GOOGLE_API_KEY": SECRET}, SECRET),
        ({"GEMINI_API_KEY": f" {SECRET}\n"}, SECRET),
    ],
)
def test_a_key_from_the_environment(monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert auth_from(None, GeminiApi()) == ApiKey(expected)


def test_an_ephemeral_token_from_the_environment(monkeypatch):
    """A token is told from a key wherever it comes from; as a key it would be refused by the service."""
    monkeypatch.setenv("GEMINI_API_KEY", TOKEN.value)
    assert auth_from(None, GeminiApi()) == TOKEN


def test_no_key_anywhere(monkeypatch):
    assert "GEMINI_API_KEY" in str(refused(auth_from, None, GeminiApi()))
    monkeypatch.setenv("GEMINI_API_KEY", " \n")
    assert refused(auth_from, None, GeminiApi()).path == "auth"


def test_the_environment_is_for_the_developer_api_only(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", SECRET)
    assert auth_from(None, Custom("wss://h.test/x")) == NoAuth()
    monkeypatch.setitem(sys.modules, "google.auth.transport.requests", None)
    assert "BearerToken" in str(refused(auth_from, None, VertexAi(project="p")))


@pytest.mark.parametrize("given", [5, SECRET.encode(), {"key": SECRET}, [SECRET], GeminiApi()])
def test_what_is_no_credential(given):
    error = refused(auth_from, given, GeminiApi())
    assert error.path == "auth"
    assert type(given).__name__ in str(error)


@pytest.mark.parametrize("kind", [ApiKey, EphemeralToken, BearerToken])
@pytest.mark.parametrize(
    "value", ["", "  ", "\n", f"{SECRET}\n", f"{SECRET}\r\nx: y", f"{SECRET}é", f"{SECRET}\0", None, SECRET.encode(), 5]
)
def test_what_no_header_can_carry(kind, value):
    error = refused(kind, value)
    assert error.path == "auth"
    assert kind.__name__ in str(error)


# --- Vertex AI -------------------------------------------------------------------------------------------------------


def test_project_and_location_may_stand_in_the_environment(monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "env-project")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "eu")
    assert VertexAi() == VertexAi(project="env-project", location="eu")
    assert VertexAi(project="p", location="us").model_name("m") == "projects/p/locations/us/publishers/google/models/m"
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "no project")
    with pytest.raises(ConfigError, match="no project"):
        VertexAi()


def test_without_a_project_there_is_no_name_of_a_model():
    assert VertexAi().model_name("publishers/google/models/m") == "publishers/google/models/m"
    error = refused(VertexAi().model_name, "m")
    assert error.path == "endpoint.project"
    assert "GOOGLE_CLOUD_PROJECT" in str(error)
    with pytest.raises(ConfigError, match="GOOGLE_CLOUD_PROJECT"):
        connect("m", endpoint=VertexAi(), auth=BEARER)


def test_a_key_on_vertex_ai_means_express_mode(monkeypatch):
    endpoint = endpoint_for(VertexAi(project="p", location="eu"), KEY)
    assert endpoint.express
    assert endpoint.url(KEY) == f"wss://aiplatform.googleapis.com{VERTEX_PATH}"
    assert endpoint.model_name("m") == "publishers/google/models/m"
    connecting = connect("m", endpoint=VertexAi(), auth=SECRET)
    assert connecting._config.setup.model == "publishers/google/models/m"
    assert endpoint_for(VertexAi(project="p"), BEARER) == VertexAi(project="p")
    assert endpoint_for(GeminiApi(), KEY) == GeminiApi()


class FakeGoogle:
    """As much of google-auth as is used."""

    def __init__(self, monkeypatch, *, quota_project_id=None):
        self.quota_project_id = quota_project_id
        self.valid = False
        self.token = None
        self.refreshed = 0
        self.defaults = []
        self.threads = set()
        auth, requests = types.ModuleType("google.auth"), types.ModuleType("google.auth.transport.requests")
        auth.default = self.default
        requests.Request = lambda: "request"
        for name, module in {
            "google": types.ModuleType("google"),
            "google.auth": auth,
            "google.auth.transport": types.ModuleType("google.auth.transport"),
            "google.auth.transport.requests": requests,
        }.items():
            monkeypatch.setitem(sys.modules, name, module)

    def default(self, *, scopes, quota_project_id):
        self.defaults.append((scopes, quota_project_id))
        return self, "project-of-the-machine"

    def refresh(self, request):
        assert request == "request"
        self.threads.add(threading.get_ident())
        self.refreshed += 1
        self.valid = True
        self.token = f"ya29.{SECRET}{self.refreshed}"


async def test_google_credentials_are_refreshed_when_they_must_be_and_in_a_thread(monkeypatch):
    google = FakeGoogle(monkeypatch, quota_project_id="billed")
    credentials = GoogleCredentials()
    assert google.defaults == []
    assert await credentials() == BearerToken(f"ya29.{SECRET}1", "billed")
    assert await credentials() == BearerToken(f"ya29.{SECRET}1", "billed")
    google.valid = False
    assert await credentials() == BearerToken(f"ya29.{SECRET}2", "billed")
    assert google.defaults == [(["https://www.googleapis.com/auth/cloud-platform"], None)]
    assert threading.get_ident() not in google.threads
    assert SECRET not in repr(credentials)
    address = await resolve(VertexAi(project="p"), credentials)
    assert address.headers["x-goog-user-project"] == "billed"


async def test_many_sessions_refresh_once(monkeypatch):
    google = FakeGoogle(monkeypatch)
    credentials = GoogleCredentials(quota_project="mine", scopes=["s"])
    tokens = await asyncio.gather(*(credentials() for _ in range(5)))
    assert google.refreshed == 1
    assert set(tokens) == {BearerToken(f"ya29.{SECRET}1", "mine")}
    assert google.defaults == [(["s"], "mine")]


async def test_google_credentials_of_your_own(monkeypatch):
    google = FakeGoogle(monkeypatch)
    google.valid, google.token = True, "ya29.own"
    assert await GoogleCredentials(google)() == BearerToken("ya29.own")
    assert (google.defaults, google.refreshed) == ([], 0)


def test_vertex_ai_takes_google_credentials_by_itself(monkeypatch):
    FakeGoogle(monkeypatch)
    assert isinstance(auth_from(None, VertexAi(project="p")), GoogleCredentials)
    error = refused(auth_from, GoogleCredentials(), GeminiApi())
    assert "VertexAi" in str(error)


def test_without_google_auth_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth.transport.requests", None)
    for make in (GoogleCredentials, lambda: auth_from(None, VertexAi(project="p"))):
        assert "gemini-live[vertex]" in str(refused(make))


# --- providers -------------------------------------------------------------------------------------------------------


async def test_a_function_is_asked_every_time():
    given = iter([ApiKey("first"), ApiKey("second")])
    addresses = [await resolve(GeminiApi(), lambda: next(given)) for _ in range(2)]
    assert [address.headers["x-goog-api-key"] for address in addresses] == ["first", "second"]


async def test_a_coroutine_function_is_awaited():
    async def provider():
        await asyncio.sleep(0)
        return TOKEN

    address = await resolve(GeminiApi(), provider)
    assert address.url.endswith("Constrained")


async def test_an_object_that_can_be_called():
    class Provider:
        async def __call__(self):
            return KEY

    assert (await resolve(GeminiApi(), Provider())).headers == {"x-goog-api-key": SECRET}


async def test_a_function_that_returns_something_awaitable():
    future = asyncio.get_running_loop().create_future()
    future.set_result(KEY)
    assert (await resolve(GeminiApi(), lambda: future)).headers == {"x-goog-api-key": SECRET}


@pytest.mark.parametrize("answer", [SECRET, None, {"key": SECRET}])
async def test_a_function_that_returns_no_credential(answer):
    async def provider():
        return answer

    for given in (provider, lambda: answer):
        with pytest.raises(ConfigError, match=f"returned {type(answer).__name__}, not a credential") as caught:
            await resolve(GeminiApi(), given)
        assert SECRET not in repr(caught.value)


async def test_an_error_of_a_provider_is_the_callers():
    async def provider():
        raise LookupError("no token today")

    with pytest.raises(LookupError, match="no token today"):
        await resolve(GeminiApi(), provider)


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_credential_is_never_shown(credential):
    name = type(credential).__name__
    said = [repr(credential), str(credential), f"{credential}", f"{credential!r:>40}", "%s" % credential]  # noqa: UP031
    said += [repr([credential]), repr({"auth": credential}), pprint.pformat({"auth": credential})]
    assert SECRET not in " ".join(said)
    assert repr(credential) == f"{name}(…)"


async def test_an_address_is_shown_without_its_headers():
    address = await resolve(GeminiApi(), KEY)
    assert SECRET not in repr(address) + str(address) + f"{address}"
    assert "x-goog-api-key" in repr(address)


async def test_a_gateways_url_is_shown_without_its_query():
    endpoint = Custom(f"wss://h.test/live?tenant={SECRET}")
    address = await resolve(endpoint, NoAuth())
    assert address.url.endswith(SECRET)
    assert repr(endpoint) == str(endpoint) == "Custom(base_url='wss://h.test/live?…')"
    assert repr(address) == "Address(url='wss://h.test/live?…', headers=[])"
    assert repr(Custom("wss://h.test/live")) == "Custom(base_url='wss://h.test/live')"
    pretty = pytest.importorskip("rich.pretty")
    assert SECRET not in pretty.pretty_repr([endpoint, address], max_width=200)


async def test_rich_shows_no_more():
    """It has a protocol of its own for what to print, also for the locals of a traceback."""
    pretty = pytest.importorskip("rich.pretty")
    address = await resolve(Custom("wss://h.test/live"), BEARER)
    for thing in (*CREDENTIALS, address, {"auth": KEY, "address": address}):
        assert SECRET not in pretty.pretty_repr(thing)
    assert "x-goog-api-key" in pretty.pretty_repr(Address("wss://h.test", {"x-goog-api-key": SECRET}))


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_credential_is_a_value(credential):
    assert pickle.loads(pickle.dumps(credential)) == credential  # noqa: S301
    assert copy.deepcopy(credential) == credential
    assert hash(credential) == hash(type(credential)(credential.value))
    assert credential not in [other for other in CREDENTIALS if other is not credential]
    with pytest.raises(AttributeError):
        credential.value = ""
