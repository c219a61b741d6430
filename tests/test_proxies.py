"""Through proxies: a tiny SOCKS5 server (RFC 1928, RFC 1929), and what no error may show."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
import sys
import traceback
import urllib.request

import pytest

import gemini_live as live
from command_line import connect_proxy, served
from gemini_live import emulator
from gemini_live.auth import Address
from gemini_live.config import TransportConfig
from gemini_live.errors import ConfigError, ConnectError
from gemini_live.events import CloseKind
from gemini_live.transport import DialError, check_proxy, dial, environment_proxy, post
from gemini_live.transport.proxies import EnvironmentProxy, socks_url
from tcp_server import pass_on, tcp_server

PASSWORD = "p%40ss-word"  # noqa: S105 - made up; %40 is an @


@contextlib.asynccontextmanager
async def socks5(*, user=b"", password=b"", answer=0):
    """Yields the port, and the hosts that were asked for. Every host leads to this machine."""
    asked = []

    async def talk(reader, writer):
        version, count = await reader.readexactly(2)
        assert version == 5
        methods = await reader.readexactly(count)
        method = 2 if user else 0
        writer.write(bytes([5, method if method in methods else 0xFF]))
        if method not in methods:
            return
        if user:
            _, length = await reader.readexactly(2)
            given = await reader.readexactly(length)
            (length,) = await reader.readexactly(1)
            right = (given, await reader.readexactly(length)) == (user, password)
            writer.write(bytes([1, 0 if right else 1]))
            if not right:
                return
        version, command, _, kind = await reader.readexactly(4)
        assert (version, command) == (5, 1)
        (length,) = await reader.readexactly(1) if kind == 3 else (4,)
        host = await reader.readexactly(length)
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        asked.append(host.decode() if kind == 3 else ".".join(map(str, host)))
        reply = bytes([5, answer, 0, 1, 0, 0, 0, 0, 0, 0])
        if answer:
            writer.write(reply)
        else:
            await pass_on(reader, writer, port, reply)

    async with tcp_server(talk) as port:
        yield port, asked


@pytest.fixture
def socks():
    pytest.importorskip("aiohttp_socks", reason="aiohttp-socks is not installed")


async def hear_a_turn(session):
    await session.send_text("hello")
    async for event in session:
        if isinstance(event, live.TurnComplete):
            return


@pytest.mark.usefixtures("socks")
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
async def test_a_session_through_a_socks5_proxy_with_a_password(tls):
    async with (
        emulator.Emulator(compress_time=True, tls=tls) as emu,
        socks5(user=b"me", password=b"p@ss-word") as (port, asked),
    ):
        transport = TransportConfig(
            proxy=f"socks5://me:{PASSWORD}@127.0.0.1:{port}", ssl=emu.client_ssl_context() if tls else None
        )
        url = emu.url.replace("127.0.0.1", "localhost")
        async with live.connect("gemini-3.8-live", endpoint=url, auth="key", transport=transport) as session:
            await hear_a_turn(session)
    # the name goes to the proxy, which may know it when nobody here does
    assert asked == ["localhost"]


@pytest.mark.usefixtures("socks")
async def test_a_certificate_that_is_not_trusted_is_told_as_it_is_without_a_proxy():
    async with emulator.Emulator(compress_time=True, tls=True) as emu, socks5() as (port, _):
        told = []
        for proxy in (None, f"socks5://127.0.0.1:{port}"):
            with pytest.raises(ConnectError) as caught:
                await live.connect("m", endpoint=emu.url, auth=KEY, transport=TransportConfig(proxy=proxy))
            told.append(caught.value.closed)
    direct, by_proxy = told
    assert by_proxy.reason.startswith("TLS: the certificate of the server is not trusted (unable to get local issuer")
    assert by_proxy.hint == direct.hint
    assert "TransportConfig(ssl=…)" in direct.hint


@pytest.mark.usefixtures("socks")
async def test_a_token_is_made_through_the_same_proxy():
    async with emulator.Emulator(compress_time=True) as emu, socks5() as (port, asked):
        transport = TransportConfig(proxy=f"socks5://127.0.0.1:{port}")
        token = await live.mint_token(auth="key", endpoint=emu.url, transport=transport)
        assert token.value.startswith("auth_tokens/")
    assert len(asked) == 1


class Nobody:
    """A receiver that is told nothing."""


KEY = "sk-secret"
ADDRESS = Address("ws://localhost:9/x", {"x-goog-api-key": KEY})


@pytest.mark.usefixtures("socks")
@pytest.mark.parametrize(
    "options", [{"user": b"me", "password": b"other"}, {"user": b"me", "password": b"x"}, {"answer": 5}]
)
async def test_a_proxy_that_refuses(options):
    async with socks5(**options) as (port, _):
        config = TransportConfig(proxy=f"socks5://me:{PASSWORD}@127.0.0.1:{port}")
        for attempt in (dial(ADDRESS, config, Nobody()), post(ADDRESS, b"{}", config)):
            with pytest.raises(DialError) as caught:
                await attempt
            assert caught.value.failure.kind is CloseKind.NETWORK
            assert caught.value.failure.reason
            said = "".join(traceback.format_exception(caught.value))
            assert "ss-word" not in said
            assert "sk-secret" not in said


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_is_not_there_is_named_without_its_password(scheme):
    if scheme == "socks5":
        pytest.importorskip("aiohttp_socks", reason="aiohttp-socks is not installed")
    transport = TransportConfig(proxy=f"{scheme}://me:{PASSWORD}@127.0.0.1:1")
    with pytest.raises(ConnectError) as caught:
        await live.connect("m", endpoint="ws://localhost:9", auth=KEY, transport=transport)
    assert caught.value.closed.kind is CloseKind.NETWORK
    said = "".join(traceback.format_exception(caught.value)) + repr(caught.value.closed)
    assert "ss-word" not in said
    assert "sk-secret" not in said


async def test_an_http_proxy_that_wants_a_password_ends_it_with_a_hint():
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    async with tcp_server(serve) as port:
        proxy = f"http://127.0.0.1:{port}"
        address = Address("wss://localhost:9/x", {})
        with pytest.raises(DialError) as caught:
            await dial(address, TransportConfig(proxy=proxy), Nobody())
    assert caught.value.failure.code == 407
    assert caught.value.failure.kind is CloseKind.CREDENTIALS
    assert "user:password@" in caught.value.failure.hint


# --- the proxy of the environment ---


@pytest.fixture
def clean(monkeypatch):
    """An environment without proxies, on a system that has none in its settings either."""
    for name in ("WSS_PROXY", "WS_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr("urllib.request.getproxies", urllib.request.getproxies_environment)
    monkeypatch.setattr("urllib.request.proxy_bypass", urllib.request.proxy_bypass_environment)
    return monkeypatch


SERVICE = "wss://live.example/x"


@pytest.mark.parametrize(
    ("environment", "url", "found"),
    [
        ({}, SERVICE, None),
        ({"HTTPS_PROXY": "http://h:1"}, SERVICE, ("http://h:1", "HTTPS_PROXY")),
        ({"https_proxy": "http://h:1"}, SERVICE, ("http://h:1", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://h:1", "WSS_PROXY": "http://w:1"}, SERVICE, ("http://w:1", "WSS_PROXY")),
        ({"HTTPS_PROXY": "http://h:1"}, "https://live.example/x", ("http://h:1", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "h:1"}, SERVICE, ("http://h:1", "HTTPS_PROXY")),
        ({"HTTP_PROXY": "http://h:1", "ALL_PROXY": "http://a:1"}, SERVICE, None),
        ({"HTTPS_PROXY": "http://h:1", "NO_PROXY": "example"}, SERVICE, None),
        ({"WSS_PROXY": "http://h:1", "NO_PROXY": "live.example"}, SERVICE, None),
        # an emulator is no business of a proxy, unless it is said in so many words
        ({"HTTPS_PROXY": "http://h:1"}, "wss://127.0.0.1:9/x", None),
        ({"HTTPS_PROXY": "http://h:1"}, "wss://localhost:9/x", None),
        ({"WSS_PROXY": "http://w:1"}, "wss://127.0.0.1:9/x", ("http://w:1", "WSS_PROXY")),
        # most proxies pass on no upgrade that is not encrypted
        ({"HTTP_PROXY": "http://h:1", "HTTPS_PROXY": "http://h:1"}, "ws://live.example/x", None),
        ({"WS_PROXY": "http://w:1"}, "ws://live.example/x", ("http://w:1", "WS_PROXY")),
    ],
)
def test_which_proxy_the_environment_names(environment, url, found, clean):
    for name, value in environment.items():
        clean.setenv(name, value)
    assert environment_proxy(url) == found


def test_a_proxy_of_the_system_is_not_said_to_be_of_a_variable(clean):
    clean.setattr("urllib.request.getproxies", lambda: {"https": "http://h:1"})
    assert environment_proxy(SERVICE) == ("http://h:1", "the system's settings")


def elsewhere(emu):
    """An emulator as if on a machine that only a proxy finds: its URL, and what trusts it under that name."""
    trusting = emu.client_ssl_context()
    trusting.check_hostname = False  # its certificate does not hold the name
    return emu.url.replace("127.0.0.1", "live.example"), TransportConfig(ssl=trusting)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "WSS_PROXY"])
async def test_a_session_through_the_proxy_of_the_environment(variable, clean):
    with connect_proxy() as (port, asked), served(tls=True) as emu:
        clean.setenv(variable, f"http://me:{PASSWORD}@127.0.0.1:{port}")
        url, transport = elsewhere(emu)
        async with live.connect("gemini-3.8-live", endpoint=url, auth="key", transport=transport) as session:
            await hear_a_turn(session)
        if variable == "HTTPS_PROXY":  # a token is made by an HTTPS request
            await live.mint_token(auth="key", endpoint=url, transport=transport)
    assert set(asked) == {url.removeprefix("wss://")}
    assert len(asked) == (2 if variable == "HTTPS_PROXY" else 1)


def test_the_proxy_of_these_tests_ends_whom_it_leads():
    """Those that it has not yet heard as well."""
    with socket.create_server(("127.0.0.1", 0)) as service, connect_proxy() as (port, _):
        silent = socket.create_connection(("127.0.0.1", port))
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"CONNECT live.example:%d HTTP/1.1\r\n\r\n" % service.getsockname()[1])
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    with client, silent:
        gc.collect()
        assert client.recv(100) == b""
        assert silent.recv(100) == b""


@pytest.mark.usefixtures("socks")
async def test_a_session_through_the_socks_proxy_of_the_environment(clean):
    async with emulator.Emulator(compress_time=True, tls=True) as emu, socks5() as (port, asked):
        clean.setenv("HTTPS_PROXY", f"socks5://127.0.0.1:{port}")
        url, transport = elsewhere(emu)
        async with live.connect("gemini-3.8-live", endpoint=url, auth="key", transport=transport) as session:
            await hear_a_turn(session)
    assert asked == ["live.example"]


@pytest.mark.parametrize("proxy", [f"ftp://me:{PASSWORD}@h", "http://", "socks5://h:1"])
async def test_a_proxy_of_the_environment_that_cannot_be_used_is_named(proxy, clean):
    clean.setitem(sys.modules, "aiohttp_socks", None)
    clean.setenv("HTTPS_PROXY", proxy)
    address = Address("https://live.example/x", {})
    for attempt in (dial(Address(SERVICE, {}), TransportConfig(), Nobody()), post(address, b"{}", TransportConfig())):
        with pytest.raises(DialError) as caught:
            await attempt
        assert caught.value.failure.kind is CloseKind.SETUP
        assert "HTTPS_PROXY" in caught.value.failure.reason
        assert "ss-word" not in "".join(traceback.format_exception(caught.value))


async def test_what_a_netrc_says_is_not_told_the_service(clean, tmp_path):
    """A ``default`` in it would be an Authorization header beside ours."""
    (tmp_path / "netrc").write_text(f"default login me password {PASSWORD}\n")
    clean.setenv("NETRC", str(tmp_path / "netrc"))
    heard = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        asked = await reader.readuntil(b"\r\n\r\n")
        if not heard.done():  # aiohttp may ask once more where it is hung up on
            heard.set_result(asked)

    async with tcp_server(serve) as port:
        address = Address(f"ws://127.0.0.1:{port}/x", {"Authorization": "Bearer ours"})
        with pytest.raises(DialError):
            await dial(address, TransportConfig(), Nobody())
        assert b"Authorization: Bearer ours" in await heard


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    config = TransportConfig(proxy="socks5://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"gemini-live\[socks\]"):
        check_proxy(config)
    with pytest.raises(ConfigError, match=r"gemini-live\[socks\]"):
        live.connect("m", auth="key", transport=config)
    check_proxy(TransportConfig(proxy="http://127.0.0.1:1"))
    check_proxy(TransportConfig())


@pytest.mark.parametrize(
    "proxy",
    [
        "127.0.0.1:1080",
        "ftp://h",
        "socks6://h",
        "socks5a://h",
        "socks4h://h",
        "http://",
        "http://:1",
        "http://h:port",
        "http://[::1",
        "http://me:ss-word#1@h",  # what stands behind # is no part of the host
        "http://me:ss-word/1@h",
        f"me:{PASSWORD}@h",
        "",
        5,
    ],
)
def test_what_is_no_proxy_is_refused_unseen(proxy):
    with pytest.raises((ConfigError, TypeError)) as caught:
        TransportConfig(proxy=proxy)
    assert "ss-word" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["http://h", "HTTPS://h:1", "socks5h://u:p@h", "socks4a://h", "socks5://[::1]:1"])
def test_what_is_a_proxy(proxy):
    assert TransportConfig(proxy=proxy).proxy == proxy


@pytest.mark.parametrize(
    ("proxy", "spoken_to"),
    [
        ("socks5://h", "socks5://h:1080"),
        ("SOCKS5H://u:p@h", "socks5://u:p@h:1080"),
        ("socks4a://h:1", "socks4://h:1"),
        ("socks5h://[::1]", "socks5://[::1]:1080"),
    ],
)
def test_what_the_socks_library_is_told(proxy, spoken_to):
    assert socks_url(proxy) == spoken_to
    assert TransportConfig(proxy=proxy).proxy == proxy


@pytest.mark.parametrize("proxy", ["http://proxy.invalid:1", "https://proxy.invalid:1", "socks5://proxy.invalid:1"])
@pytest.mark.parametrize("from_environment", [False, True])
async def test_a_credential_goes_to_no_proxy_in_the_clear(proxy, from_environment, monkeypatch):
    """What goes to this machine without TLS is another one's to read, if a proxy elsewhere is to bring it there."""
    if proxy.startswith("socks"):
        pytest.importorskip("aiohttp_socks", reason="aiohttp-socks is not installed")
    config = TransportConfig()
    if from_environment:
        monkeypatch.setenv("WS_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.delenv("no_proxy", raising=False)
    else:
        config = TransportConfig(proxy=proxy)
    unencrypted = "a credential would travel unencrypted through the proxy proxy.invalid"
    with pytest.raises(live.SetupError, match=unencrypted):
        await live.connect("m", endpoint="ws://127.0.0.1:1", auth="key", transport=config)
    if not from_environment:  # HTTP_PROXY is not followed to this machine
        with pytest.raises(live.TokenError, match=unencrypted):
            await live.mint_token(auth="key", endpoint="ws://127.0.0.1:1", transport=config)


async def test_a_credential_may_go_to_a_proxy_of_this_machine_in_the_clear():
    config = TransportConfig(proxy="http://localhost:1")
    with pytest.raises(live.ConnectError) as caught:
        await live.connect("m", endpoint="ws://127.0.0.1:1", auth="key", transport=config)
    assert caught.value.closed.kind is CloseKind.NETWORK


def test_a_proxy_of_the_environment_shows_no_secret():
    found = EnvironmentProxy(f"http://me:{PASSWORD}@h:1", "HTTPS_PROXY")
    assert repr(found) == "EnvironmentProxy(url='http://…@h:1', source='HTTPS_PROXY')"


def test_a_configuration_shows_no_secret():
    config = TransportConfig(proxy=f"http://me:{PASSWORD}@h:1", headers={"x-key": "sk-secret"}, ping_after_s=5.0)
    assert repr(config) == "TransportConfig(ping_after_s=5.0, headers=['x-key'], proxy='http://…@h:1')"
    assert config.__rich_repr__() == [("ping_after_s", 5.0), ("headers", ["x-key"]), ("proxy", "http://…@h:1")]
    assert repr(TransportConfig()) == "TransportConfig()"
    read_from_a_file = f"{PASSWORD}\n"  # the URL is good all the same: its parsers leave line ends out
    assert repr(TransportConfig(proxy=f"http://me:{read_from_a_file}@h:1")) == "TransportConfig(proxy='http://…@h:1')"
