"""The command line: what it says, what it returns, what it does without its extras."""

# ruff: noqa: S603 - the programs that are run are those that are tested

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import gemini_live as live
from command_line import COMMAND, tone, wav
from gemini_live import cli
from gemini_live.cli import exits, interrupts, main, parser
from gemini_live.cli.exits import MEANINGS, Exit, exit_of

NAMES = [command.name for command in cli._COMMANDS]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def test_version_is_that_of_the_crate(capsys):
    crate = tomllib.loads((Path(__file__).parent.parent / "Cargo.toml").read_text())
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gemini-live {crate['package']['version']}\n"


def test_the_module_is_the_command(capsys):
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=False)
    assert main(["--version"]) == 0
    assert (done.returncode, done.stdout, done.stderr) == (0, capsys.readouterr().out, "")


@pytest.mark.parametrize("columns", [50, 80, 200])
@pytest.mark.parametrize("command", [[], *([name] for name in NAMES)], ids=str)
def test_help_teaches(command, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    about = re.search(r"\n\n(.+?)\n\n", out, re.DOTALL)[1]
    assert len(about) > 100
    assert max(map(len, about.splitlines())) <= min(columns, 80)
    examples = re.findall(r"^  gemini-live .*\n      \S", out, re.MULTILINE)
    assert len(examples) >= 2
    for code, meaning in MEANINGS.items():
        assert re.search(rf"^  {code.value:<5}{meaning[:20]}", out, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_can_be_called(name, capsys):
    whole = parser(with_emulator=True)
    (command,) = [one for one in cli._COMMANDS if one.name == name]
    assert len(command.examples) >= 2
    for line, _ in command.examples:
        asked = whole.parse_args(shlex.split(re.split(r" [|>] ", line)[0]))
        assert asked.command == name


def test_help_is_quick_because_it_needs_no_extra():
    program = (
        "import sys; from gemini_live.cli import main;"
        f"[main([*command, '--help']) for command in {[[], *([name] for name in NAMES if name != 'emulator')]}];"
        "unwanted = {'rich', 'soxr', 'trustme', 'pybase64', 'shtab', 'cv2', 'numpy', 'gemini_live.emulator'};"
        "sys.exit(not unwanted.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing"],
        ["demo", "--loud"],
        ["demo", "--wav"],
        ["emulator", "--port", "x"],
        ["send", "--wait", "0"],
        ["send", "--wait", "soon"],
        ["send", "--emulator", "--endpoint", "ws://127.0.0.1"],
        ["record", "--audio", "none"],
        ["replay"],
        ["doctor", "much"],
        ["completion", "cmd"],
    ],
)
def test_bad_usage_is_2(arguments, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: gemini-live")


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_what_is_no_time(text, capsys):
    assert main(["send", "--text", "x", f"--wait={text}"]) == 2
    assert capsys.readouterr().err.endswith(
        f"gemini-live send: error: argument --wait: takes seconds, more than none, and not {text!r}\n"
    )


@pytest.mark.parametrize("option", ["--key=AIza-mine", "--key AIza-mine", "--api-key AIza-mine"])
@pytest.mark.parametrize("command", ["send --text x", "record --text x", "doctor"])
def test_a_key_on_the_command_line_is_refused_and_not_repeated(command, option, capsys):
    for arguments in ([*command.split(), *option.split()], [*option.split(), *command.split()]):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert "AIza-mine" not in out + err
        assert "everybody on this machine could read it there; put it into the environment as GEMINI_API_KEY" in err


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["demo"], "rich [cli]"),
        *(
            (arguments, f"{module} [cli]")
            for arguments in (
                ["demo"],
                ["emulator"],
                ["send", "--emulator", "--text", "x"],
                ["completion", "bash"],
                ["doctor", "--emulator"],
            )
            for module in ("soxr", "pybase64", "trustme")
        ),
        (["completion", "bash"], "shtab [cli]"),
        (["send", "a.mp4", "--emulator", "--text", "x"], "cv2 [camera]"),
    ],
)
def test_a_missing_extra_is_named_with_its_mend(arguments, missing, monkeypatch, capsys, tmp_path):
    module, extra = missing.split()
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    for name in [name for name in sys.modules if name.startswith(("gemini_live.demo", "gemini_live.emulator", module))]:
        monkeypatch.delitem(sys.modules, name)
    for parent, child in ((live, "demo"), (live, "emulator")):
        monkeypatch.delattr(parent, child, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f'gemini-live: {module} is not installed; pip install "gemini-live{extra}"\n')
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_without_rich_the_words_come_all_the_same(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gemini_live.cli.display.find_spec", lambda _name: None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(["send", "--emulator", "--text", "Hello", "--fast"]) == 0
    assert capsys.readouterr().out == "model: Hello\n"


def test_another_missing_module_is_not_disguised(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("gemini_live.demo")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "wave", None)
    with pytest.raises(ModuleNotFoundError, match="wave"):
        main(["demo"])


@posix
def test_a_reader_that_has_seen_enough(tmp_path):
    with subprocess.Popen(
        [*COMMAND, "demo", "--fast"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@posix
@pytest.mark.parametrize("arguments", [["--help"], ["send", "--help"], ["--version"], ["completion", "bash"]])
def test_a_reader_that_reads_nothing(arguments):
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=os.environ | {"PYTHONUNBUFFERED": ""},
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "completion bash",
        "demo --fast",
        "demo --fast --json",
        "emulator",
        "doctor --emulator --headless",
        "send --emulator --fast --text x",
        "send --emulator --fast --text x --json",
    ],
)
def test_an_output_that_is_full(arguments, tmp_path):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments.split()],
            cwd=tmp_path,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 6
    command = "" if arguments == "--help" else f" {arguments.split()[0]}"
    message = f"gemini-live{command}: cannot write to standard output: no space left on device\n"
    assert done.stderr.endswith(message)  # send also says what became of the conversation
    assert "Traceback" not in done.stderr
    assert [one.name for one in tmp_path.iterdir()] in ([], ["reply.wav"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize("arguments", ["send nothing.wav", "send --emulator --fast --text x"])
def test_errors_that_are_full(arguments, tmp_path):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*COMMAND, *arguments.split()], cwd=tmp_path, stderr=full, check=False)
    assert done.returncode == 6


@posix
@pytest.mark.parametrize("closed", [0, 1, 2])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--version", 0),
        ("send --emulator --fast --text x", 0),
        ("send --emulator --fast --text x --json", 0),
        ("doctor --emulator --headless --json", 0),
        ("demo --fast", 0),
        ("send --endpoint ws://127.0.0.1:9 --key-file - --text x", 4),
        ("send nothing.wav", 6),
    ],
)
def test_streams_that_are_closed(arguments, code, closed, tmp_path):
    """As a service of the system may be started, or by ``>&-``."""
    given = b"" if closed else None
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *COMMAND, *arguments.split()],  # noqa: S607
        cwd=tmp_path,
        input=given,
        stdin=None if closed else subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == code
    assert b"Traceback" not in done.stdout + done.stderr


SPOKEN = "Grüße, 日本 😀"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("name", ["send", "record"])
def test_words_that_the_output_has_no_letters_for(name, encoding, tmp_path):
    """As of a pipe on Windows, or in the locale C."""
    arguments = [*COMMAND, name, "--emulator", "--fast", "--text", SPOKEN, "-o"]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([*arguments, "a"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode(encoding).rstrip()) == (
        0,
        f"model: {SPOKEN.encode(encoding, 'backslashreplace').decode(encoding)}",
    )
    done = subprocess.run([*arguments, "Ü", "--json"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    lines = [json.loads(line) for line in done.stdout.decode(encoding).splitlines()]
    assert SPOKEN in "".join(line.get("text", "") for line in lines)
    assert lines[-1]["output"] == "Ü"


@posix
def test_a_file_name_that_is_no_text(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"a\xff.wav")
    try:
        Path(name).touch()
    except OSError:
        pytest.skip("no such names here")
    assert main(["send", "--emulator", "--fast", "--text", "x", "--json", "--force", "-o", name]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["output"] == name


def test_every_kind_of_end_has_its_exit_code():
    codes = {kind: exit_of(kind) for kind in live.CloseKind}
    assert codes[live.CloseKind.NETWORK] == codes[live.CloseKind.TIMEOUT] == 3
    assert codes[live.CloseKind.CREDENTIALS] == codes[live.CloseKind.TOKEN_EXPIRED] == 4
    assert codes[live.CloseKind.SETUP] == 5
    assert codes[live.CloseKind.QUOTA] == codes[live.CloseKind.SERVER] == 1
    assert {*codes.values()} <= {*MEANINGS}
    assert {*Exit} == {*MEANINGS}


def test_hints_are_put_in_the_words_of_the_command_line():
    """Those that are replaced are still there to be replaced."""
    package = Path(live.__file__).parent
    hints = "".join(
        path.read_text() for path in [package / "failures.py", package / "auth.py", *package.glob("transport/*.py")]
    )
    assert all(python in hints for python in exits._AS_OPTIONS)


def test_an_old_python_is_told_what_it_needs():
    """As on 3.10, whose pip refuses the package, when somebody has copied the tree."""
    program = "import sys; sys.version_info = (3, 10, 13, 'final', 0); import gemini_live"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: gemini-live needs Python 3.11 or later, and this is 3.10; make an environment with a newer one: "
        "python3.11 -m venv .venv"
    )
    pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert pyproject["project"]["requires-python"] == ">=3.11"


@posix
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_the_emulator_serves_until_it_is_told_to_stop(ending):
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("emulator", "--port", "0", "--compress-time"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    url = (await process.stdout.readline()).decode().strip()
    assert url.startswith("ws://127.0.0.1:")
    async with live.connect("gemini-3.8-live", endpoint=url, auth="any key") as session:
        await session.send_text("hello")
        async for event in session:
            if isinstance(event, live.TurnComplete):
                break
    process.send_signal(ending)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


@posix
@pytest.mark.parametrize("command", ["demo", "send --emulator --json long.wav"])
def test_a_job_in_the_background_ends_when_it_is_told_to(command, tmp_path):
    """Shells let those of their scripts ignore SIGINT, as which SIGTERM is dealt with."""
    wav(tmp_path / "long.wav", tone(20))
    with subprocess.Popen(
        [*COMMAND, *command.split()],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509 - no other thread is here
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (143, b"")
    assert [one.name for one in tmp_path.iterdir()] == ["long.wav"]


def interrupted_twice(between_s):
    seen = []

    async def main():
        signal.raise_signal(signal.SIGINT)
        time.sleep(between_s)  # noqa: ASYNC251 - the loop is busy
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cleared up")
            raise

    with pytest.raises(KeyboardInterrupt):
        interrupts.run(main())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return seen


def test_ctrl_c_twice_at_once_is_once():
    """A terminal sends it to all, and what has started us, such as uv, passes it on."""
    assert interrupted_twice(0.0) == ["cleared up"]


def test_ctrl_c_once_more_is_for_the_impatient(monkeypatch):
    monkeypatch.setattr(interrupts, "_AT_ONCE_S", 0.01)
    assert interrupted_twice(0.05) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--script none.toml", (6, "none.toml")),
        ("--replay none.jsonl", (6, "none.jsonl: No such file")),
        ("--cut-after=-1", (2, "cut_after_s cannot be -1.0")),
        ("--pace-speed 0", (2, "speed 0 would never say anything")),
        ("--tls --ca-file no/such/ca.pem", (6, "cannot write no/such/ca.pem: No such file")),
        ("--host 192.0.2.1", (3, "cannot listen there: ")),
        ("--host a..b", (3, "cannot listen there: a..b is no host name; choose another --port or --host")),
        ("--port 65536", (2, "there is no port 65536; they go from 0, which lets the system choose, to 65535")),
        ("--port=-1", (2, "there is no port -1; ")),
    ],
)
def test_an_emulator_that_cannot_serve(options, said, tmp_path, monkeypatch, capsys):
    code, words = said
    monkeypatch.chdir(tmp_path)
    assert main(["emulator", *options.split()]) == code
    err = capsys.readouterr().err
    assert err.startswith("gemini-live emulator: ")
    assert err.count("\n") == 1
    assert words in err
