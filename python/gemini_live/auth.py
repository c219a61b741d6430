"""Where to dial and with which credentials: both become a URL and headers, afresh for each dial.

A credential travels in a header, never in the URL, where proxies and logs would keep it. Its ``repr`` is ``…``.
Paths, hosts and header names are those of the Live API reference and of the official SDK's handshake.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import ipaddress
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

import msgspec

from gemini_live.errors import ConfigError

__all__ = [
    "Address",
    "ApiKey",
    "Auth",
    "BearerToken",
    "Credential",
    "Custom",
    "Endpoint",
    "EphemeralToken",
    "GeminiApi",
    "GoogleCredentials",
    "NoAuth",
    "VertexAi",
    "auth_from",
    "check_pair",
    "endpoint_for",
    "endpoint_from",
    "is_loopback",
    "origin_of",
    "resolve",
]

_DEV_SERVICE = "google.ai.generativelanguage.{version}.GenerativeService"
_VERTEX_SERVICE = "google.cloud.aiplatform.{version}.LlmBidiService"


class _Secret(msgspec.Struct, frozen=True):
    """Something that no log may show."""

    value: str

    def __post_init__(self) -> None:
        if not isinstance(self.value, str):  # what an unset variable of the environment gives
            raise ConfigError(f"{type(self).__name__} takes a str, not {type(self.value).__name__}", path="auth")
        if not self.value.strip():
            raise ConfigError(f"{type(self).__name__} is empty", path="auth")
        if not self.value.isprintable() or not self.value.isascii():
            # never shown: it may be a real key with a stray newline from a file
            raise ConfigError(
                f"{type(self).__name__} holds characters that no header may carry; is there a line end in it?",
                path="auth",
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Keep `rich`, which prints the locals of a traceback, from showing what msgspec would tell it."""
        return [("value", "…")]


class ApiKey(_Secret, frozen=True):
    """A Gemini API key; sent as ``x-goog-api-key``.

    Attributes:
        value: the key.
    """


class EphemeralToken(_Secret, frozen=True):
    """A short-lived token, made for one client by `mint_token`; Developer API only.

    Attributes:
        value: the token, ``auth_tokens/…``.
    """


class BearerToken(_Secret, frozen=True):
    """An OAuth 2 access token; Vertex AI, or an endpoint of your own.

    Attributes:
        value: the token.
        quota_project: the project that is billed, if it is not that of the credential; ``x-goog-user-project``.
    """

    quota_project: str | None = None


class NoAuth(msgspec.Struct, frozen=True):
    """No credential at all: the caller's headers, or the endpoint itself, take care of it."""


Credential: TypeAlias = ApiKey | EphemeralToken | BearerToken | NoAuth
"""What a client proves itself with, or `NoAuth`."""

Provider: TypeAlias = Callable[[], Credential | Awaitable[Credential]]
Auth: TypeAlias = Credential | Provider
"""A credential, or a function (sync or async) that is asked for one before every dial.

While a session reconnects, a function that raises is asked again at the next dial, as if the network had failed; a
`ConfigError` or a ``PermissionError`` from it ends the session.
"""


class GoogleCredentials:
    """Google Cloud credentials, refreshed before they expire: the application-default ones, or some of your own.

    Needs google-auth: ``pip install 'gemini-live[vertex]'``. It reads files and asks servers in a thread, never in the
    event loop. One object may serve many sessions.

    Args:
        credentials: an object of google-auth; by default what ``google.auth.default()`` finds.
        quota_project: the project that is billed; by default the credentials' own.
        scopes: for the application-default credentials.

    Raises:
        ConfigError: google-auth is not installed.
    """

    def __init__(
        self,
        credentials: Any = None,  # noqa: ANN401 - google-auth may not be there to name its types
        *,
        quota_project: str | None = None,
        scopes: Sequence[str] = ("https://www.googleapis.com/auth/cloud-platform",),
    ) -> None:
        try:
            importlib.import_module("google.auth.transport.requests")
        except ImportError:
            raise ConfigError(
                "Google Cloud credentials need google-auth: pip install 'gemini-live[vertex]', or give "
                "auth=BearerToken(…) or a function that returns one",
                path="auth",
            ) from None
        self._credentials = credentials
        self._quota_project = quota_project
        self._scopes = list(scopes)
        self._one_at_a_time = threading.Lock()

    async def __call__(self) -> BearerToken:
        """A token that is valid now.

        Raises:
            Exception: whatever google-auth raises.
        """
        return await asyncio.to_thread(self._token)

    def _token(self) -> BearerToken:
        google = importlib.import_module("google.auth")
        requests = importlib.import_module("google.auth.transport.requests")
        with self._one_at_a_time:
            if self._credentials is None:
                self._credentials, _ = google.default(scopes=self._scopes, quota_project_id=self._quota_project)
            if not self._credentials.valid:  # false some minutes before the token expires
                self._credentials.refresh(requests.Request())
            quota_project = self._quota_project or getattr(self._credentials, "quota_project_id", None)
            return BearerToken(self._credentials.token, quota_project)

    def __repr__(self) -> str:
        return "GoogleCredentials(…)"


class GeminiApi(msgspec.Struct, frozen=True, kw_only=True):
    """The Gemini Developer API.

    Attributes:
        version: ``v1beta``; ``v1alpha`` for preview features.
        base_url: scheme and host; another one for an emulator or a gateway that keeps the service's paths.
    """

    version: str = "v1beta"
    base_url: str = "wss://generativelanguage.googleapis.com"

    def model_name(self, model: str) -> str:
        """The resource name of a short model id."""
        return model if "/" in model else f"models/{model}"

    def url(self, credential: Credential) -> str:
        """The URL to dial; an ephemeral token is accepted by another method than a key."""
        method = "BidiGenerateContent" + ("Constrained" if isinstance(credential, EphemeralToken) else "")
        return f"{self.base_url.rstrip('/')}/ws/{_DEV_SERVICE.format(version=self.version)}.{method}"


class VertexAi(msgspec.Struct, frozen=True, kw_only=True):
    """Vertex AI, with Google Cloud credentials; or, in express mode, with an API key and without a project.

    Attributes:
        project: by default ``GOOGLE_CLOUD_PROJECT`` in the environment.
        location: a region, ``global``, or the multi-regions ``us`` and ``eu``; by default ``GOOGLE_CLOUD_LOCATION`` in
            the environment, then ``us-central1``.
        version: of the API.
        base_url: scheme and host; by default the location's.
        express: express mode; follows from ``auth=ApiKey(…)``, and is only to be set for a function that returns one.
    """

    project: str = ""
    location: str = ""
    version: str = "v1"
    base_url: str | None = None
    express: bool = False

    def __post_init__(self) -> None:
        if not self.project and not self.express:
            msgspec.structs.force_setattr(self, "project", os.environ.get("GOOGLE_CLOUD_PROJECT", ""))
        if not self.location:
            msgspec.structs.force_setattr(self, "location", os.environ.get("GOOGLE_CLOUD_LOCATION") or "us-central1")
        if self.project and not re.fullmatch(r"[\w.:-]+", self.project):
            raise ConfigError(f"not the id of a Google Cloud project: {self.project!r}", path="endpoint.project")
        # it becomes part of the name of the host that is trusted with the token
        if not re.fullmatch(r"[a-z0-9-]+", self.location):
            raise ConfigError(f"not a location such as us-central1: {self.location!r}", path="endpoint.location")

    def model_name(self, model: str) -> str:
        """The resource name of a short model id.

        Raises:
            ConfigError: there is no project.
        """
        if "/" in model:
            return model
        if self.express:
            return f"publishers/google/models/{model}"
        if not self.project:
            raise ConfigError(
                "Vertex AI needs a project: VertexAi(project=…), or GOOGLE_CLOUD_PROJECT in the environment; or an "
                "express mode key as auth=ApiKey(…)",
                path="endpoint.project",
            )
        return f"projects/{self.project}/locations/{self.location}/publishers/google/models/{model}"

    def url(self, credential: Credential) -> str:  # noqa: ARG002 - one signature for all endpoints
        """The URL to dial."""
        base = self.base_url or f"wss://{self._host()}"
        return f"{base.rstrip('/')}/ws/{_VERTEX_SERVICE.format(version=self.version)}/BidiGenerateContent"

    def _host(self) -> str:
        match "global" if self.express else self.location:
            case "global":
                return "aiplatform.googleapis.com"
            case "us" | "eu":
                return f"aiplatform.{self.location}.rep.googleapis.com"
            case _:
                return f"{self.location}-aiplatform.googleapis.com"


class Custom(msgspec.Struct, frozen=True):
    """A complete URL, dialled as it is; the model's name is left untouched.

    Attributes:
        base_url: ``ws://`` or ``wss://``, with the path.
    """

    base_url: str

    def model_name(self, model: str) -> str:
        """The name as given."""
        return model

    def url(self, credential: Credential) -> str:  # noqa: ARG002 - one signature for all endpoints
        """The URL to dial."""
        return self.base_url

    def __repr__(self) -> str:
        return f"Custom(base_url={_without_values(self.base_url)!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Keep `rich` from showing what the ``repr`` does not."""
        return [("base_url", _without_values(self.base_url))]


Endpoint: TypeAlias = GeminiApi | VertexAi | Custom
"""Where the service is dialled."""


def _without_values(url: object) -> object:
    """A URL as it may be shown: a gateway may know who asks by what stands behind the ``?``."""
    return re.sub(r"\?.+", "?…", url, flags=re.DOTALL) if isinstance(url, str) else url


class Address(msgspec.Struct, frozen=True):
    """What one dial needs. The headers hold the credential and are never shown."""

    url: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Address(url={_without_values(self.url)!r}, headers={sorted(self.headers)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Keep `rich` from showing what the ``repr`` does not."""
        return [("url", _without_values(self.url)), ("headers", sorted(self.headers))]


def endpoint_from(given: Endpoint | str | None) -> Endpoint:
    """Read the ``endpoint`` argument: ``None`` is the Developer API, a URL with a path is complete, one without a base.

    Raises:
        ConfigError: not a WebSocket URL, or one that carries a credential.
    """
    if given is None:
        return GeminiApi()
    if isinstance(given, str):
        parts = _split(given)
        endpoint: Endpoint = Custom(given) if parts.path.strip("/") or parts.query else GeminiApi(base_url=given)
    elif isinstance(given, GeminiApi | VertexAi | Custom):
        endpoint = given
    else:
        raise ConfigError(
            f"endpoint must be GeminiApi, VertexAi, Custom or a URL, not {type(given).__name__}", path="endpoint"
        )
    base_url = endpoint.base_url
    if base_url is not None and not isinstance(base_url, str):
        raise ConfigError(f"base_url must be a str, not {type(base_url).__name__}", path="endpoint")
    _check_url(endpoint.url(NoAuth()))
    if base_url is not None and not isinstance(endpoint, Custom):
        parts = _split(base_url)
        if parts.query or parts.fragment:
            raise ConfigError(
                f"the base_url for {parts.hostname} must end before a ? or #; give a complete URL as Custom(…)",
                path="endpoint",
            )
    return endpoint


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed, and refused, only when asked for
    except ValueError:
        # neither shown nor quoted by the parser's words: what was taken for a host or a port may be a password
        raise ConfigError("not a URL: is its host or port misspelled?", path="endpoint") from None
    return parts


def _check_url(url: str) -> None:
    parts = _split(url)
    host = parts.hostname
    if not host:
        # not shown either: it may be a key that stands in the wrong place
        raise ConfigError("not a ws or wss URL with a host, such as ws://127.0.0.1:8080", path="endpoint")
    try:
        host.encode("idna")  # as dialling will, whose words for it are none
    except UnicodeError:
        raise ConfigError("not a URL: is its host or port misspelled?", path="endpoint") from None
    shown = urlunsplit((parts.scheme, host, parts.path, "", ""))
    if parts.scheme not in {"ws", "wss"}:
        instead = {"http": "ws", "https": "wss"}.get(parts.scheme)
        raise ConfigError(
            f"the scheme of {shown!r} must be ws or wss" + (f"; write {instead}://…" if instead else ""),
            path="endpoint",
            suggestion=instead,
        )
    names = {name.lower() for part in (parts.query, parts.fragment) for name, _ in parse_qsl(part)}
    if parts.username or parts.password or any(name == "access_token" or name.endswith("key") for name in names):
        raise ConfigError(
            f"{shown!r} carries a credential; give it as auth=…, it then travels in a header", path="auth"
        )
    if parts.fragment:
        raise ConfigError(f"{shown!r} has something behind a #, which a WebSocket URL cannot have", path="endpoint")


def auth_from(given: Auth | str | None, endpoint: Endpoint) -> Auth:
    """Read the ``auth`` argument: a string is an API key or an ephemeral token.

    ``None`` looks into the environment: for an API key, or for Google Cloud credentials.

    Raises:
        ConfigError: nothing was given and ``GEMINI_API_KEY`` and ``GOOGLE_API_KEY`` are not set; or, for Vertex AI,
            google-auth is not installed.
    """
    if isinstance(given, str):
        # the official SDK tells the two apart by the same prefix
        return EphemeralToken(given) if given.startswith("auth_tokens/") else ApiKey(given)
    if given is None:
        if isinstance(endpoint, Custom):
            return NoAuth()
        if isinstance(endpoint, VertexAi):
            return GoogleCredentials()
        key = os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_API_KEY")
        if not key:
            raise ConfigError("no API key: set GEMINI_API_KEY in the environment or give auth=ApiKey(…)", path="auth")
        return auth_from(key.strip(), endpoint)
    if not callable(given) and not isinstance(given, ApiKey | EphemeralToken | BearerToken | NoAuth):
        raise ConfigError(
            f"auth must be ApiKey, EphemeralToken, BearerToken, NoAuth or a function, not {type(given).__name__}",
            path="auth",
        )
    if isinstance(given, GoogleCredentials) and isinstance(endpoint, GeminiApi):
        raise ConfigError("Google Cloud credentials are for Vertex AI: give endpoint=VertexAi(project=…)", path="auth")
    return given


def endpoint_for(endpoint: Endpoint, auth: Auth) -> Endpoint:
    """The endpoint in the mode that the credential belongs to: an API key on Vertex AI means express mode."""
    if isinstance(endpoint, VertexAi) and isinstance(auth, ApiKey) and not endpoint.express:
        return msgspec.structs.replace(endpoint, express=True)
    return endpoint


def check_pair(endpoint: Endpoint, credential: Credential) -> None:
    """Refuse a credential that the endpoint cannot take, and one that would travel in the clear.

    Raises:
        ConfigError: with what to give instead.
    """
    if isinstance(endpoint, GeminiApi) and isinstance(credential, BearerToken):
        raise ConfigError(
            "the Developer API takes an ApiKey or an EphemeralToken, not a BearerToken; for Google Cloud credentials "
            "give endpoint=VertexAi(project=…)",
            path="auth",
        )
    if isinstance(endpoint, VertexAi):
        if isinstance(credential, EphemeralToken):
            raise ConfigError(
                "Vertex AI takes a BearerToken or an express mode ApiKey; an EphemeralToken is for the Developer API: "
                "leave the endpoint out",
                path="auth",
            )
        if isinstance(credential, ApiKey) and not endpoint.express:
            raise ConfigError(
                "an ApiKey on Vertex AI means express mode: give endpoint=VertexAi(express=True)", path="auth"
            )
        if isinstance(credential, BearerToken) and endpoint.express:
            raise ConfigError(
                "express mode of Vertex AI takes an ApiKey; for a BearerToken give VertexAi(project=…)", path="auth"
            )
    parts = urlsplit(endpoint.url(credential))
    if parts.scheme == "ws" and not isinstance(credential, NoAuth) and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"a credential would travel unencrypted to {parts.hostname}; use wss://, or NoAuth() and headers of your "
            "own if that is what you want",
            path="endpoint",
            suggestion="wss",
        )


def origin_of(endpoint: Endpoint) -> str:
    """The host that an endpoint names: what it knows of a session, no other one does."""
    return urlsplit(endpoint.url(NoAuth())).netloc


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, as far as its name tells."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def resolve(endpoint: Endpoint, auth: Auth) -> Address:
    """Ask for the credential and turn it, with the endpoint, into what one dial needs.

    Raises:
        ConfigError: the pair cannot work.
        Exception: whatever a credential provider raises.
    """
    credential = auth
    if callable(credential):
        answer = credential()
        credential = await answer if inspect.isawaitable(answer) else answer
        if not isinstance(credential, ApiKey | EphemeralToken | BearerToken | NoAuth):
            raise ConfigError(
                f"the credential provider returned {type(credential).__name__}, not a credential", path="auth"
            )
    check_pair(endpoint, credential)
    match credential:
        case ApiKey(value=value):
            headers = {"x-goog-api-key": value}
        case EphemeralToken(value=value):
            headers = {"Authorization": f"Token {value}"}
        case BearerToken(value=value, quota_project=quota_project):
            headers = {"Authorization": f"Bearer {value}"}
            if quota_project:
                headers["x-goog-user-project"] = quota_project
        case _:
            headers = {}
    return Address(endpoint.url(credential), headers)
