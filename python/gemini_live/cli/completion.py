"""``gemini-live completion``: what a shell must know to complete the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from gemini_live.cli.command import Command
from gemini_live.cli.exits import Exit

if TYPE_CHECKING:
    import argparse

__all__ = ["COMMAND"]

_SHELLS: Final = ("bash", "zsh", "fish")
_FILES: Final = frozenset({"FILE", "RECORDING"})


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=f"one of {', '.join(_SHELLS)}")


def _run(asked: argparse.Namespace) -> int:
    import shtab  # noqa: PLC0415 - the extra

    from gemini_live.cli import parser  # noqa: PLC0415 - it holds this command

    whole = parser(with_emulator=True)
    _let_files_be_completed(whole, shtab.FILE)
    sys.stdout.write(shtab.complete(whole, shell=asked.shell).rstrip() + "\n")
    return Exit.OK


def _let_files_be_completed(parser: argparse.ArgumentParser, files: object) -> None:
    for action in parser._actions:  # noqa: SLF001 - argparse offers no other way to list them
        choices: object = action.choices
        if isinstance(choices, dict):
            for inner in cast("dict[str, argparse.ArgumentParser]", choices).values():
                _let_files_be_completed(inner, files)
        elif action.metavar in _FILES or action.type is Path:
            action.complete = files  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


COMMAND = Command(
    name="completion",
    summary="what a shell needs to complete this command line",
    about=(
        "Writes a script that completes commands, options and file names in bash, zsh or fish. It is made anew from "
        "the options of this version, so make it again after an update."
    ),
    examples=(
        (
            "completion bash > ~/.local/share/bash-completion/completions/gemini-live",
            "for bash, from the next shell on",
        ),
        ('completion zsh > "${fpath[1]}/_gemini-live"', "for zsh"),
        ("completion fish > ~/.config/fish/completions/gemini-live.fish", "for fish"),
    ),
    add_arguments=_add_arguments,
    run=_run,
)
