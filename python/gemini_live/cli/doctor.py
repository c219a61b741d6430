"""``gemini-live doctor``: what keeps a user from the service, and how to mend it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Final

from gemini_live.cli.command import Command
from gemini_live.cli.exits import Exit
from gemini_live.cli.interrupts import run

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from gemini_live.auth import Auth, Endpoint
    from gemini_live.cli.checks import Check
    from gemini_live.cli.reach import Line

__all__ = ["COMMAND"]

_NAME_WIDTH: Final = 14
_INDENT: Final = " " * (4 + _NAME_WIDTH)
_WIDEST, _NARROWEST = 100, 50
# A sign, the same where only ASCII can be shown, and an ANSI colour.
_SIGNS: Final = {
    "ok": ("✓", "ok", "32"),
    "note": ("–", "--", "33"),
    "failed": ("✗", "!!", "1;31"),
    "skipped": ("·", "..", "2"),
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from gemini_live.cli import service  # noqa: PLC0415 - what the list of commands need not load

    service.add_arguments(parser)
    parser.add_argument("--headless", action="store_true", help="this machine needs no audio devices")
    parser.add_argument("--json", action="store_true", help="write the findings as one JSON object, and nothing else")


def _run(asked: argparse.Namespace) -> int:
    return run(_examine(asked))


async def _examine(asked: argparse.Namespace) -> int:
    from gemini_live.cli.checks import Status  # noqa: PLC0415 - what help need not load

    async with _line(asked) as line:
        where = f"{line.scheme}://{f'[{line.host}]' if ':' in line.host else line.host}:{line.port}"
        if not asked.json:
            _write(f"{line.model} at {where}\n")
        checks: list[Check] = []
        async for check in _checks(line, headless=asked.headless):
            checks.append(check)
            if not asked.json:
                _write(_shown(check))
    failed = [check for check in checks if check.status is Status.FAILED]
    code = failed[0].code if failed else Exit.OK
    if asked.json:
        _write(_as_json(checks, endpoint=where, model=line.model, code=code))
    else:
        _write("\n" + (f"First to be mended: {failed[0].name}." if failed else "All is well."))
    return code


async def _checks(line: Line, *, headless: bool) -> AsyncIterator[Check]:
    from gemini_live.cli import checks, reach  # noqa: PLC0415 - what help need not load

    yield checks.python()
    yield checks.package()
    yield checks.extras()
    async for check in reach.examine(line):
        yield check
    if not headless:
        yield checks.audio_devices()


@contextlib.asynccontextmanager
async def _line(asked: argparse.Namespace) -> AsyncGenerator[Line, None]:
    from gemini_live.cli import reach, service  # noqa: PLC0415 - what help need not load

    if asked.emulator:
        async with service.start_emulator(asked.model, fast=False) as running:
            yield reach.Line(
                running.model,
                running.endpoint,
                lambda: (running.auth, "any will do for the emulator"),
                reach.probing(running.transport),
            )
        return
    endpoint = service.endpoint_of(asked)
    yield reach.Line(asked.model, endpoint, lambda: _key(asked, endpoint), reach.probing(service.transport_of(asked)))


def _key(asked: argparse.Namespace, endpoint: Endpoint) -> tuple[Auth, str]:
    """The credential, and where it comes from; never what it is."""
    from gemini_live.auth import NoAuth, endpoint_for  # noqa: PLC0415 - what help need not load
    from gemini_live.cli import service  # noqa: PLC0415 - likewise

    auth = service.credential_from(asked.key_file, endpoint)
    endpoint_for(endpoint, auth).model_name(asked.model)  # for which Vertex AI may need a project
    if asked.key_file is not None:
        where = "from standard input" if asked.key_file == "-" else f"from {asked.key_file}"
    elif isinstance(auth, NoAuth):
        where = "none, as this endpoint is a complete URL"
    elif callable(auth):
        where = "Google Cloud's application-default credentials"
    else:
        where = f"from {'GEMINI_API_KEY' if os.environ.get('GEMINI_API_KEY') else 'GOOGLE_API_KEY'}"
    return auth, where


# --- how it is shown ---


def _shown(check: Check) -> str:
    sign, plain, colour = _SIGNS[check.status.value]
    encoding = (sys.stdout.encoding or "").lower()
    sign = f"{sign} " if encoding.startswith("utf") else plain
    if _has_colours():
        sign = f"\x1b[{colour}m{sign}\x1b[0m"
    took = "" if check.elapsed_ms is None else f", {check.elapsed_ms:.1f} ms"
    lines = _filled(check.found + took)
    lines[0] = f"{sign} {check.name:<{_NAME_WIDTH}} {lines[0].lstrip()}"
    for detail in check.details:
        lines += _filled(detail)
    if check.mend:
        lines += _filled(check.mend, first="-> ")
    return "\n".join(lines)


def _filled(text: str, *, first: str = "") -> list[str]:
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST) - 1
    return textwrap.wrap(
        text,
        width,
        initial_indent=_INDENT + first,
        subsequent_indent=_INDENT + " " * len(first),
        break_on_hyphens=False,
        break_long_words=False,
    )


def _has_colours() -> bool:
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("dumb", "unknown")
    )


def _as_json(checks: Sequence[Check], *, endpoint: str, model: str, code: Exit) -> str:
    findings: list[dict[str, Any]] = [
        {
            "name": check.name,
            "status": check.status.value,
            "found": check.found,
            "mend": check.mend,
            "details": check.details,
            "elapsed_ms": check.elapsed_ms,
        }
        for check in checks
    ]
    whole = {"ok": not code, "exit_code": code.value, "endpoint": endpoint, "model": model, "checks": findings}
    return json.dumps(whole, indent=2)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


COMMAND = Command(
    name="doctor",
    summary="find out what keeps you from the service",
    about=(
        "Checks, in the order in which a connection needs them: Python, the package and its extras, proxy, DNS, TCP, "
        "TLS, the key, the upgrade, whether key and model are accepted, how long the service takes, and audio devices. "
        "What is wrong comes with its mend; what cannot be known because of it is skipped. It opens one session and "
        "says nothing in it. No key is ever shown."
    ),
    examples=(
        ("doctor", "the Gemini API, with the key from GEMINI_API_KEY"),
        ("doctor --emulator", "whether this machine is fit for it, without a key"),
        ("doctor --endpoint wss://live.example.com --ca-file ca.pem", "a server of your own"),
        ("doctor --headless --json | jq -e .ok", "for a script, on a server"),
    ),
    add_arguments=_add_arguments,
    run=_run,
)
