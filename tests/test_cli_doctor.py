"""``gemini-live doctor``: each diagnosis is true, comes with its mend, and has its exit code."""

from __future__ import annotations

import json
import re
import socket
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import emulator_client
from command_line import closed_port, connect_proxy, in_terminal, in_thread, run, served
from gemini_live import _core, emulator
from gemini_live.cli import checks, reach
from gemini_live.cli.checks import PURPOSES
from tcp_server import tcp_server

no_errors_inside = emulator_client.no_errors_inside
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")

NETWORK = ["proxy", "DNS", "TCP", "TLS", "key", "HTTP upgrade", "key accepted", "model", "setup", "ping"]
NAMES = ["Python", "package", "extras", *NETWORK, "audio devices"]
KEY = "secret-of-mine"


class PortAudioError(Exception):
    pass


def sound_devices(**names):
    """A stand-in for sounddevice on a machine with these devices: ``input=…``, ``output=…``."""

    def query_devices(device=None, kind=None):
        if kind not in names:
            raise PortAudioError("Error querying device -1")
        return {"name": names[kind]}

    return SimpleNamespace(PortAudioError=PortAudioError, query_devices=query_devices)


@pytest.fixture(autouse=True)
def healthy(monkeypatch):
    """A machine with everything, but for what a test takes away."""
    for name in ("WSS_PROXY", "WS_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setitem(sys.modules, "sounddevice", sound_devices(input="Built-in mic", output="Headphones"))


def examine(capsys, *arguments):
    """The exit code, and each check by its name."""
    code, out, err = run(capsys, "doctor", "--json", *arguments)
    assert err == ""
    assert KEY not in out
    findings = json.loads(out)
    assert findings["exit_code"] == code
    assert findings["ok"] is (code == 0)
    found = {check["name"]: check for check in findings["checks"]}
    assert list(found) == (NAMES[:-1] if "--headless" in arguments else NAMES)
    return code, found


def statuses(found, *names):
    return [found[name]["status"] for name in names]


def only_failure(found):
    (failed,) = [check for check in found.values() if check["status"] == "failed"]
    place = list(found).index(failed["name"])
    assert all(check["status"] in ("ok", "note") for check in [*found.values()][:place])
    return failed


# --- the five ---


def test_all_is_well_with_the_emulator(capsys):
    with served(compress_time=False) as emu:
        code, found = examine(capsys, "--endpoint", emu.url)
    assert code == 0
    assert {check["status"] for check in found.values()} <= {"ok", "note"}
    assert statuses(found, "TCP", "HTTP upgrade", "key accepted", "model", "setup", "ping") == ["ok"] * 6
    assert found["key"]["found"] == "from GEMINI_API_KEY"
    assert 150 < found["setup"]["elapsed_ms"] < 5_000  # the emulator takes 250 ms
    assert 0 < found["ping"]["elapsed_ms"] < found["setup"]["elapsed_ms"]
    assert found["audio devices"]["found"] == "microphone: Built-in mic, loudspeaker: Headphones"
    assert emu.ledger.connections[-1].code == 1000
    assert emu.ledger.sessions[0].texts == []


def test_a_closed_port(capsys):
    with closed_port() as port:
        code, found = examine(capsys, "--endpoint", f"ws://127.0.0.1:{port}")
    assert code == 3
    assert only_failure(found) == found["TCP"]
    assert found["TCP"]["found"] == f"127.0.0.1, port {port}: connection refused"
    assert found["TCP"]["mend"] == "nothing listens there: is the port right, and does the server run?"
    later = ("TLS", "HTTP upgrade", "key accepted", "model", "setup", "ping")
    assert {found[name]["found"] for name in later} == {"not tried, see TCP"}
    assert statuses(found, *later) == ["skipped"] * 6
    assert statuses(found, "key", "audio devices") == ["ok", "ok"]


def test_a_wrong_key(capsys):
    with served(api_key="right") as emu:
        code, found = examine(capsys, "--endpoint", emu.url)
    assert code == 4
    assert only_failure(found) == found["key accepted"]
    assert found["key accepted"]["found"] == "credentials (1007): API key not valid. Please pass a valid API key."
    assert found["key accepted"]["mend"] == "check the API key: GEMINI_API_KEY or --key-file"
    assert statuses(found, "HTTP upgrade", "model", "setup", "ping") == ["ok", "skipped", "skipped", "skipped"]


def test_a_bad_certificate(tmp_path, capsys):
    with served(tls=True) as emu:
        code, found = examine(capsys, "--endpoint", emu.url)
        assert code == 3
        assert only_failure(found) == found["TLS"]
        assert found["TLS"]["found"].startswith("the certificate of 127.0.0.1 is not trusted: ")
        assert "--ca-file FILE, or SSL_CERT_FILE in the environment" in found["TLS"]["mend"]
        assert statuses(found, "TCP", "HTTP upgrade") == ["ok", "skipped"]

        (tmp_path / "ca.pem").write_bytes(emu.ca_pem)
        code, found = examine(capsys, "--endpoint", emu.url, "--ca-file", tmp_path / "ca.pem")
        assert code == 0
        assert re.fullmatch(
            r"TLSv1\.3, certificate of 127\.0\.0\.1 by trustme .*, valid until .*", found["TLS"]["found"]
        )


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ({}, "no microphone and no loudspeaker"),
        ({"output": "HDMI"}, "microphone: none, loudspeaker: HDMI"),
        ({"input": "USB mic"}, "microphone: USB mic, loudspeaker: none"),
    ],
)
def test_no_audio_device(devices, said, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", sound_devices(**devices))
    code, found = examine(capsys, "--emulator")
    assert code == 7
    assert only_failure(found) == found["audio devices"]
    assert found["audio devices"]["found"] == said
    assert "plug one in" in found["audio devices"]["mend"]
    assert "--headless" in found["audio devices"]["mend"]
    code, _ = examine(capsys, "--emulator", "--headless")
    assert code == 0


# --- and more ---


def test_the_first_failure_decides(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", sound_devices())
    monkeypatch.delenv("GEMINI_API_KEY")
    with closed_port() as port:
        code, found = examine(capsys, "--endpoint", f"ws://127.0.0.1:{port}")
    assert code == 3
    assert statuses(found, "TCP", "key", "audio devices") == ["failed"] * 3


def test_sounddevice_is_not_there(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, found = examine(capsys, "--emulator")
    assert code == 0
    assert found["audio devices"]["status"] == "note"
    assert found["audio devices"]["mend"] == 'pip install "gemini-live[audio]"'


def test_portaudio_is_not_there(monkeypatch, capsys):
    def import_module(name):
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(checks, "importlib", SimpleNamespace(import_module=import_module))
    code, found = examine(capsys, "--emulator")
    assert code == 7
    assert "apt install libportaudio2" in found["audio devices"]["mend"]


def test_no_key(monkeypatch, capsys):
    monkeypatch.delenv("GEMINI_API_KEY")
    with served() as emu:
        code, found = examine(capsys, "--endpoint", emu.url)
    assert code == 4
    assert only_failure(found) == found["key"]
    assert found["key"]["found"] == "no API key"
    assert "--key-file" in found["key"]["mend"]
    assert found["HTTP upgrade"]["found"] == "not tried, see key"


def test_where_the_key_comes_from(monkeypatch, tmp_path, capsys):
    (tmp_path / "key").write_text(KEY)
    with served(api_key=KEY) as emu:
        _, found = examine(capsys, "--endpoint", emu.url, "--key-file", tmp_path / "key")
        assert found["key"]["found"] == f"from {tmp_path / 'key'}"
        monkeypatch.setattr("sys.stdin", SimpleNamespace(read=iter([KEY]).__next__))
        code, found = examine(capsys, "--endpoint", emu.url, "--key-file", "-")
        assert (code, found["key"]["found"]) == (0, "from standard input")
        monkeypatch.delenv("GEMINI_API_KEY")
        monkeypatch.setenv("GOOGLE_API_KEY", KEY)
        _, found = examine(capsys, "--endpoint", emu.url)
        assert found["key"]["found"] == "from GOOGLE_API_KEY"


def test_a_key_that_cannot_be_one(monkeypatch, capsys):
    monkeypatch.setenv("GEMINI_API_KEY", f"{KEY}\nsecond line")
    with served() as emu:
        code, found = examine(capsys, "--endpoint", emu.url)
    assert code == 4
    assert "no header may carry" in found["key"]["found"]


def test_a_model_that_does_not_exist(capsys):
    code, found = examine(capsys, "--emulator", "--model", "gemini-9-live")
    assert code == 5
    assert only_failure(found) == found["model"]
    assert found["model"]["found"].startswith("setup (1008): models/gemini-9-live is not found")
    assert statuses(found, "key accepted", "setup") == ["ok", "skipped"]


def test_a_model_that_cannot_be_one(capsys):
    """It never came to an upgrade."""
    code, found = examine(capsys, "--emulator", "--model", "")
    assert code == 5
    assert found["model"]["found"] == "the setup names no model"
    steps = ("HTTP upgrade", "key accepted", "model", "setup", "ping")
    assert statuses(found, *steps) == ["skipped", "skipped", "failed", "skipped", "skipped"]


def test_a_key_file_that_cannot_be_read(tmp_path, capsys):
    with served() as emu:
        code, found = examine(capsys, "--endpoint", emu.url, "--key-file", tmp_path)
    assert code == 6
    assert only_failure(found) == found["key"]
    assert found["key"]["found"].startswith(f"cannot read the key from {tmp_path}: ")
    assert found["key"]["mend"] in ("give a file in it", "let this user read it")  # Windows cannot tell a folder


@pytest.mark.parametrize(
    ("faults", "failing", "code", "said"),
    [
        ({"http_status": 404}, "HTTP upgrade", 5, "setup (404)"),
        ({"http_status": 401}, "key accepted", 4, "credentials (401)"),
        ({"http_status": 503}, "HTTP upgrade", 1, "server (503)"),
        ({"max_connections": 0, "max_connections_status": True}, "HTTP upgrade", 1, "quota (429)"),
        (
            {"close_at_setup": True, "close_code": 1011, "close_reason": "You exceeded your current quota"},
            "setup",
            1,
            "quota (1011)",
        ),
    ],
)
def test_a_service_that_refuses(faults, failing, code, said, capsys):
    with served(faults=emulator.Faults(**faults)) as emu:
        got, found = examine(capsys, "--endpoint", emu.url)
    assert got == code
    assert only_failure(found) == found[failing]
    assert found[failing]["found"].startswith(said)
    assert found[failing]["mend"]


def test_a_server_that_speaks_something_else(capsys):
    with served() as emu:
        code, found = examine(capsys, "--endpoint", emu.url.replace("ws:", "wss:"))
    assert code == 3
    assert only_failure(found) == found["TLS"]
    assert found["TLS"]["mend"].startswith("is it ws:// rather than wss://")


def test_a_name_that_does_not_exist(monkeypatch, capsys):
    async def getaddrinfo(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", getaddrinfo)
    code, found = examine(capsys, "--endpoint", "wss://live.invalid")
    assert code == 3
    assert only_failure(found) == found["DNS"]
    assert found["DNS"]["found"] == "no address for live.invalid: name or service not known"
    assert found["TCP"]["found"] == "not tried, see DNS"


def test_a_firewall_that_says_nothing(monkeypatch, capsys):
    async def never(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(reach.asyncio, "open_connection", never)
    code, found = examine(capsys, "--endpoint", "wss://192.0.2.1")
    assert code == 3
    assert found["TCP"]["found"] == "192.0.2.1, port 443: no answer within 8 s"
    assert "firewall" in found["TCP"]["mend"]


@pytest.mark.parametrize("variable", ["WSS_PROXY", "HTTPS_PROXY"])
def test_a_proxy_is_named_and_its_password_is_not(variable, monkeypatch, capsys):
    with closed_port() as port:
        monkeypatch.setenv(variable, f"http://me:{KEY}@127.0.0.1:{port}")
        code, found = examine(capsys, "--endpoint", "wss://live.invalid")
    assert code == 3
    assert found["proxy"]["found"] == f"http://…@127.0.0.1:{port} (from {variable})"
    assert only_failure(found) == found["TCP"]  # the proxy's, which resolves the service's name
    assert found["TCP"]["found"] == f"127.0.0.1, port {port}: connection refused"


@pytest.mark.parametrize(
    "proxy", ["http://me:AI#za@127.0.0.1:9", "http://me:AI/za@127.0.0.1:9", "//h:9", "http://h:80x", "http://[::1"]
)
def test_a_proxy_that_is_none_is_found_before_anything_is_tried(proxy, monkeypatch, capsys):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    code, found = examine(capsys, "--endpoint", "wss://live.invalid")
    assert code == 2
    assert only_failure(found) == found["proxy"]
    assert found["proxy"]["found"] == "HTTPS_PROXY: proxy is no http, https, socks4 or socks5 URL with a host"
    assert "%23" in found["proxy"]["mend"]
    assert "za" not in str(found["proxy"])


def test_through_a_proxy(monkeypatch, tmp_path, capsys):
    with connect_proxy() as (port, asked), served(tls=True) as emu:
        (tmp_path / "ca.pem").write_bytes(emu.ca_pem)
        monkeypatch.setenv("WSS_PROXY", f"http://127.0.0.1:{port}")
        code, found = examine(capsys, "--endpoint", emu.url, "--ca-file", tmp_path / "ca.pem")
        assert code == 0
        assert found["TLS"]["found"] == "through the proxy, so it shows with the upgrade"
        assert asked == [emu.url.removeprefix("wss://")]
        code, found = examine(capsys, "--endpoint", emu.url)
    assert code == 3
    assert only_failure(found) == found["HTTP upgrade"]
    assert found["HTTP upgrade"]["mend"] == "for a private certificate authority give --ca-file"


def test_a_proxy_that_is_not_there_is_called_one(monkeypatch, capsys):
    with closed_port() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        _, found = examine(capsys, "--endpoint", "wss://live.invalid")
    assert found["TCP"]["mend"] == "this is the proxy of HTTPS_PROXY: are its host and port right, and does it run?"
    monkeypatch.setenv("HTTPS_PROXY", "http://a..b:3128")
    code, found = examine(capsys, "--endpoint", "wss://live.invalid")
    assert code == 3
    assert only_failure(found) == found["DNS"]
    assert found["DNS"]["found"] == "no address for a..b: not a host name"
    assert found["DNS"]["mend"] == "this is the proxy of HTTPS_PROXY: are its host and port right, and does it run?"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "network: "),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "network: what answers there does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "server (200): HTTP 200 at the upgrade"),
    ],
)
def test_a_port_of_something_else(answer, said, capsys):
    async def serve(ended, tell):
        async def reply(reader, writer):
            await reader.read(65_536)
            writer.write(answer)

        async with tcp_server(reply) as port:
            tell(port)
            await ended.wait()

    with in_thread(serve) as port:
        _, found = examine(capsys, "--endpoint", f"ws://127.0.0.1:{port}")
    failed = only_failure(found)
    assert failed["name"] == "HTTP upgrade"
    assert failed["found"].startswith(said)
    assert "\n" not in failed["found"]
    assert "ws://" not in failed["found"]
    assert failed["mend"].startswith("something answers there, but not as a Live server: is the URL right")


@pytest.mark.parametrize(("port", "shown"), [("", ":80"), (":0", ":0")])
def test_an_address_is_written_as_in_a_url(port, shown, monkeypatch, capsys):
    async def refused(*_, **__):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(reach.asyncio, "open_connection", refused)
    _, out, _ = run(capsys, "doctor", "--json", "--endpoint", f"ws://[::1]{port}")
    assert json.loads(out)["endpoint"] == f"ws://[::1]{shown}"


def test_vertex_without_a_project(monkeypatch, tmp_path, capsys):
    async def getaddrinfo(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", getaddrinfo)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    _, found = examine(capsys, "--endpoint", "vertex")
    assert (found["key"]["status"], found["key"]["found"]) == ("failed", "Vertex AI needs a project")
    assert (
        found["key"]["mend"] == "put GOOGLE_CLOUD_PROJECT into the environment, or an express mode key into --key-file"
    )
    (tmp_path / "key").write_text(KEY)
    _, found = examine(capsys, "--endpoint", "vertex", "--key-file", tmp_path / "key")
    assert found["key"]["status"] == "ok"


@pytest.mark.parametrize(
    ("host", "variable", "mend"),
    [
        ("127.0.0.1", "HTTPS_PROXY", "reached without it; set WSS_PROXY"),
        ("live.invalid", "ALL_PROXY", "set WSS_PROXY too"),
    ],
)
def test_a_proxy_that_is_not_followed(host, variable, mend, monkeypatch, capsys):
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with closed_port() as port:
        _, found = examine(capsys, "--endpoint", f"wss://{host}:{port}")
    assert found["proxy"]["status"] == "note"
    assert found["proxy"]["found"] == f"none, although {variable} is set"
    assert mend in found["proxy"]["mend"]


@pytest.mark.parametrize(
    ("number", "mend"),
    [(10, "clock"), (9, "clock"), (62, "the host's name"), (64, "the host's name"), (20, "--ca-file")],
)
def test_certificates_are_bad_in_several_ways(number, mend):
    assert mend in reach._mend_for_certificate(SimpleNamespace(verify_code=number))


def test_an_endpoint_that_cannot_be_dialled(capsys):
    code, out, err = run(capsys, "doctor", "--endpoint", "http://example.com")
    assert (code, out) == (2, "")
    assert "must be ws or wss" in err


# --- this machine ---


def test_extras_are_named_with_what_they_are_for(monkeypatch):
    there = {"rich", "pybase64", "soxr"}

    def version(name):
        if name not in there:
            raise checks.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(checks.metadata, "version", version)
    monkeypatch.setattr(
        checks.metadata,
        "requires",
        lambda _name: [
            "numpy>=1.26",
            "pybase64<2,>=1.4 ; extra == 'emulator'",
            "soxr<2,>=0.5; extra == 'emulator'",
            'gemini-live[emulator] ; extra == "cli"',
            "rich<16,>=13.7 ; extra == 'cli'",
            "aiohttp-socks<1,>=0.10 ; extra == 'socks'",
            "gemini-live[cli,socks] ; extra == 'devices'",
            "google-auth[requests]<3,>=2.35 ; extra == 'vertex'",
        ],
    )
    found = checks.extras()
    assert (found.status, found.found) == (checks.Status.NOTE, "emulator, cli")
    assert [line.partition(":")[0] for line in found.details] == ["not installed", "socks", "devices", "vertex"]
    assert found.details[1] == 'socks: SOCKS proxies; pip install "gemini-live[socks]"'
    there.remove("soxr")
    assert checks.extras().found == "none"
    there |= {"soxr", "aiohttp-socks", "google-auth"}
    found = checks.extras()
    assert (found.status, found.found) == (checks.Status.OK, "emulator, cli, socks, devices, vertex")


def test_a_copied_tree_knows_no_extras(monkeypatch):
    def requires(name):
        raise checks.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(checks.metadata, "requires", requires)
    assert checks.extras().status is checks.Status.NOTE


def test_every_extra_has_a_purpose():
    pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert {*pyproject["project"]["optional-dependencies"]} <= {*PURPOSES}


def test_a_debug_build_is_told(monkeypatch):
    monkeypatch.setattr(_core, "BUILD_PROFILE", "debug")
    found = checks.package()
    assert found.status is checks.Status.NOTE
    assert "debug build" in found.found


# --- how it looks ---


@pytest.mark.parametrize("columns", [50, 60, 100])
def test_the_table_fits(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    with closed_port() as port:
        code, out, _ = run(capsys, "doctor", "--endpoint", f"ws://127.0.0.1:{port}")
    assert code == 3
    lines = out.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0] == f"gemini-3.8-live at ws://127.0.0.1:{port}"
    assert lines[-1] == "First to be mended: TCP."
    assert [line[3:17].strip() for line in lines if re.match(r"[✓–✗·]  \w", line)] == NAMES
    assert "\x1b" not in out


@posix
@pytest.mark.parametrize(
    ("environment", "begins"),
    [
        ({"NO_COLOR": ""}, "\x1b[32m✓ \x1b[0m Python"),
        ({"NO_COLOR": "1"}, "✓  Python"),
        ({"NO_COLOR": "1", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}, "ok Python"),
    ],
)
def test_colours_are_for_terminals_that_want_them(environment, begins, tmp_path):
    code, output = in_terminal(["doctor", "--emulator", "--headless"], tmp_path, **environment)
    assert code == 0
    assert begins in output.splitlines()[2]
    assert "All is well." in output
