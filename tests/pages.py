"""The programs and commands that stand on a page of the documentation, and how each kind is run.

What stands after the language in the first line of a block says what it is:

* nothing: a program. Those of a page run in order and share their names, as if typed into ``python -m asyncio``. One
  that calls ``asyncio.run`` is a whole program and runs in a process of its own; only what it imports is shared. Where
  ``main`` is defined and not called, it is called.
* ``name.py``: a file. All files of a page stand in one folder; those named ``test_….py`` are run by pytest.
* ``theirs``: a program for another package, which is only compiled.
* ``ours``, ``ours vertex``: a program that begins anew, with a session of the stage unless it connects by itself.

A program connects to an emulator, whatever endpoint it names, unless it names one of its own.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import gemini_live as live
from gemini_live import emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
MODEL = "gemini-3.8-live"
# How long a program that listens for ever may listen once an answer is complete.
LISTENS_S = 0.3


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    kind: str
    """The rest of the block's first line."""
    text: str
    line: int
    section: str
    """The heading above it."""


def pages() -> list[Path]:
    """All pages, the README among them."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str, kind: str | None = None) -> list[Block]:
    """The blocks of this language, in order; all kinds or one."""
    found = [block for block in _blocks(page.read_text(encoding="utf-8")) if block.language == language]
    return [block for block in found if kind is None or block.kind == kind]


def _blocks(text: str) -> Iterator[Block]:
    section, opened, lines = "", None, []
    for number, line in enumerate(text.splitlines(), 1):
        if opened is None and (fence := re.fullmatch(r"(\s*)```([\w{}-]*) ?(.*)", line)):
            opened, lines = (number, fence[1], fence[2], fence[3]), []
        elif opened is None:
            section = line.lstrip("# ") if line.startswith("#") else section
        elif line == f"{opened[1]}```":
            text = "".join(f"{one.removeprefix(opened[1])}\n" for one in lines)
            yield Block(opened[2], opened[3], text, opened[0], section)
            opened = None
        else:
            lines.append(line)
    assert opened is None, f"a block of line {opened[0]} has no end"


def compiled(page: Path, block: Block):
    """The code of a program, with the page's own line numbers in its tracebacks."""
    text = "\n" * block.line + block.text
    return compile(text, page.relative_to(ROOT), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


class Stage:
    """What a page finds around it: an emulator, and the names that its reader would have.

    Args:
        names: what the programs of the page use and do not define.
        patch: pytest's, to put the emulator in the service's place.
        options: of the emulator.
    """

    def __init__(self, names: dict[str, object], patch, **options) -> None:
        self.space = {"__name__": "page", **names}
        self._patch = patch
        self._options = {"compress_time": True, **options}
        self.sessions: list[live.Session] = []

    async def __aenter__(self):
        self._stack = contextlib.AsyncExitStack()
        self.emulator = await self._stack.enter_async_context(emulator.Emulator(**self._options))
        self._patch.setenv("GEMINI_API_KEY", "any key")
        real_connect, real_mint = live.connect, live.mint_token

        def connect(*args, **options):
            return _Noted(real_connect(*args, **self._here(options)), self.sessions)

        self._patch.setattr(live, "connect", connect)
        self._patch.setattr(live, "mint_token", lambda *args, **options: real_mint(*args, **self._here(options)))
        return self

    async def __aexit__(self, *error):
        await asyncio.gather(*(session.close() for session in self.sessions))
        self._patch.undo()
        await self._stack.aclose()

    def _here(self, options):
        endpoint = options.get("endpoint") or live.GeminiApi()
        if isinstance(endpoint, str):
            return options  # an emulator of the program's own
        return {**options, "endpoint": msgspec.structs.replace(endpoint, base_url=self.emulator.url)}

    async def run(self, page: Path, block: Block, folder: Path) -> None:
        """Run one program; one that listens for ever is left alone by the service after an answer."""
        if "asyncio.run(" in block.text:
            await asyncio.to_thread(run_alone, block.text, folder)
            imports = [node for node in ast.parse(block.text).body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(imports, []), page, "exec"), self.space)  # noqa: S102 - our own page
            return
        before = self.space.get("main")
        running = asyncio.ensure_future(self._run(compiled(page, block), before))
        leaving = asyncio.ensure_future(self._leave(self._answers()))
        try:
            await running
        finally:
            leaving.cancel()

    def _answers(self) -> int:
        return sum(session.answers for session in self.emulator.ledger.sessions)

    async def _run(self, code, before):
        made = eval(code, self.space)  # noqa: S307 - our own page
        if inspect.iscoroutine(made):
            await made
        main = self.space.get("main")
        if main is not before and inspect.iscoroutinefunction(main):
            await main()

    async def _leave(self, before):
        while self._answers() == before:
            await asyncio.sleep(0.02)
        answered = list(self.sessions)  # and not one that the program opens next
        await asyncio.sleep(LISTENS_S)
        for session in answered:
            await session.close()


class _Noted:
    """What `connect` gives, with the session noted that comes of it."""

    def __init__(self, connecting, sessions):
        self._connecting = connecting
        self._sessions = sessions

    async def _note(self):
        session = await self._connecting
        self._sessions.append(session)
        return session

    def __await__(self):
        return self._note().__await__()

    async def __aenter__(self):
        session = await self._connecting.__aenter__()
        self._sessions.append(session)
        return session

    async def __aexit__(self, *error):
        return await self._connecting.__aexit__(*error)


def run_alone(program: str, folder: Path) -> str:
    """What a whole program prints; in a process of its own, where a warning is an error."""
    file = folder / "program.py"
    file.write_text(program, encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - our own page
        [sys.executable, "-X", "dev", "-W", "error", file.name],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=25,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout
