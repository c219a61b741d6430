"""What a command is made of, and how it teaches."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from gemini_live.cli.exits import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    class _Commands(Protocol):
        """What ``add_subparsers`` returns, whose own type argparse keeps to itself."""

        def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser: ...  # noqa: ANN401 - argparse's


__all__ = ["Command", "epilog", "refuse_keys", "wrapped"]

_WIDEST: Final = 80
_NARROWEST: Final = 40


@dataclass(frozen=True)
class Command:
    """One command of ``gemini-live``.

    Attributes:
        name: what users type.
        summary: what stands beside the name in the list of commands.
        about: one paragraph.
        examples: command lines without ``gemini-live``, and what each does.
        add_arguments: declares the options.
        run: returns the exit code; what it needs beyond the standard library it imports itself, so that ``--help`` is
            quick and works without extras.
    """

    name: str
    summary: str
    about: str
    examples: Sequence[tuple[str, str]]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]

    def add_to(self, commands: _Commands) -> argparse.ArgumentParser:
        """Make the command known, without its options."""
        return commands.add_parser(
            self.name,
            help=self.summary,
            description=wrapped(self.about),
            epilog=epilog(self.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )


def epilog(examples: Sequence[tuple[str, str]]) -> str:
    """Examples and exit codes, as wide as the terminal."""
    lines = ["examples:"]
    for command, what in examples:
        lines += [f"  gemini-live {command}", wrapped(what, indent="      ")]
    lines += ["", "exit codes:"]
    for code, meaning in MEANINGS.items():
        lines.append(wrapped(meaning, indent="       ", first=f"  {code.value:<5}"))
    return "\n".join(lines)


def wrapped(text: str, *, indent: str = "", first: str | None = None) -> str:
    """The text in lines that fit the terminal, but never more than 80 columns.

    Args:
        text: of one paragraph.
        indent: of every line.
        first: what the first line has instead.
    """
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST) - 1
    return textwrap.fill(
        text,
        width,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def refuse_keys(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:  # pyright: ignore[reportPrivateUsage] - what add_argument_group returns
    """See to it that a key in an option is not repeated, as argparse's own words for an unknown option would do."""
    parser.add_argument("--key", "--api-key", action=_Refused, help=argparse.SUPPRESS)


class _Refused(argparse.Action):
    """What is tried first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 - argparse's signature, as the next two
        values: object,  # noqa: ARG002
        option_string: str | None = None,
    ) -> None:
        parser.error(
            f"{option_string} takes no key, as everybody on this machine could read it there; put it into the "
            "environment as GEMINI_API_KEY, or into a file for --key-file"
        )
