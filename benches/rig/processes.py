"""The processes of a duplex: the server on one core, each contender on the other, all spoken to by JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rig import wire

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

BENCHES = Path(__file__).parent.parent
NATIVE = BENCHES.parent / "target" / "benches" / "release" / "duplex"
"""The contender in Rust; `make bench` builds it."""


class ChildError(Exception):
    """A process has ended that should not have; its words are on stderr."""


class Child:
    """A process that answers a line with a line, and ends with its stdin."""

    def __init__(self, command: Sequence[str], core: int | None, environment: dict[str, str] | None = None) -> None:
        self._command = command
        self._process = subprocess.Popen(  # noqa: S603 - ours
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(BENCHES), **(environment or {})},
        )
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})  # before it has any thread but its first
        with contextlib.suppress(OSError, AttributeError):
            # before everybody else, for those who may, such as root; none takes more than a part of its core
            os.sched_setscheduler(self._process.pid, os.SCHED_RR, os.sched_param(1))

    def read(self) -> dict[str, Any]:
        """Wait for the next answer.

        Raises:
            ChildError: it ended instead.
        """
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise ChildError(f"ended with status {self._process.wait()}: {' '.join(self._command)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, question: object = "") -> dict[str, Any]:
        """Say a line, wait for the answer."""
        self._process.stdin.write(f"{question}\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        return self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(1 if kind else 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]


def cores() -> tuple[int | None, int | None]:
    """One core for the server, another for the contenders; ``None`` where processes cannot be pinned."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (usable[0], usable[-1]) if len(usable) > 1 else (None, None)


def server(ca_file: Path, phases: int) -> Child:
    """Start the server; its first answer names its port."""
    return Child([*_module("rig.server"), str(ca_file), "--phases", str(phases)], cores()[0])


def contender(name: str, sessions: int, port: int, ca_file: Path) -> Child:
    """Start a contender; its first answer says how many sessions it has open."""
    if name.startswith("rust-"):
        noise_file = ca_file.with_name("noise")
        noise_file.write_bytes(wire.UP_BODY + wire.DOWN_BODY)
        command = [str(NATIVE), name, str(sessions), str(port), str(noise_file)]
        return Child(command, cores()[1], {"SSL_CERT_FILE": str(ca_file)})
    where = ["--port", str(port), "--ca-file", str(ca_file)]
    return Child([*_module("rig.client"), name, "--sessions", str(sessions), *where], cores()[1])


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]
