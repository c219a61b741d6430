"""Standard input and output as they may be found: closed, full, with nobody behind it, without the letters."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from typing import Final, TextIO, cast

__all__ = ["discard", "is_full", "json_text", "prepare"]

# What writing to a file or a device may raise, and connecting or listening does not.
_FULL: Final = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


def prepare() -> None:
    """See to it that there are streams, and that nothing that is said fails for its letters."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # as after >&-; in this order each gets the number that it should have
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for the whole run
    output: object = sys.stdout  # which may be anything that has `write`
    if isinstance(output, io.TextIOWrapper) and sys.stdout.errors == "strict":
        cast("io.TextIOWrapper", output).reconfigure(errors="backslashreplace")  # as standard error has it


def is_full(error: OSError) -> bool:
    """Whether this is said by a stream that takes no more; an error about a file has its name."""
    return error.filename is None and error.errno in _FULL


def discard(stream: TextIO) -> None:
    """What is still buffered in a stream must not fail again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def json_text(value: object) -> str:
    """One line of JSON, with letters that standard output has."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text
