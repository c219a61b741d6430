"""Files that a command writes: whole or not at all, and over nothing that was there before."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import wave
from pathlib import Path
from typing import TYPE_CHECKING

from gemini_live.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["AnswerFile", "PendingFile"]


class PendingFile:
    """A file that gets its name when it is complete; until then, and if it never is, nothing of it is to be seen.

    A context manager. It makes a hidden file in the same folder at once, so that a folder that cannot be written is
    found before the work is done and not after.

    Args:
        path: its name in the end.
        force: whether a file of that name may be replaced.

    Attributes:
        path: its name in the end.
        pending: its name until then.

    Raises:
        CommandError: it cannot be written, or there is one already.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        self.path = path
        problem = self._problem(force=force)
        if problem:
            raise CommandError(problem, Exit.FILE)
        try:
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        except OSError as error:
            raise self._unwritable(error) from None
        os.close(descriptor)
        self.pending = Path(name)

    def _problem(self, *, force: bool) -> str:
        path = self.path
        if path.is_dir():
            return f"{path} is a folder; give --output a file in it, such as {path / 'answer.wav'}"
        if not path.parent.is_dir():
            return f"cannot write {path}: there is no folder {path.parent}; create it first"
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            return f"{path} is no ordinary file; give --output another one"
        if path.exists() and not force:
            return f"{path} exists; give --force to replace it, or --output another name"
        return ""

    def _unwritable(self, error: OSError) -> CommandError:
        reason = (error.strerror or str(error)).lower()
        return CommandError(f"cannot write {self.path}: {reason}; give --output a file elsewhere", Exit.FILE)

    def keep(self) -> None:
        """Give it its name.

        Raises:
            CommandError: that cannot be done any more.
        """
        try:
            self.pending.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.pending.unlink(missing_ok=True)


class AnswerFile(PendingFile):
    """What the model says, as a WAV file: 16 bit, mono, at the rate at which it comes.

    Attributes:
        samples: how many were written.
        rate_hz: of them; 0 before the first.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        super().__init__(path, force=force)
        self.samples = 0
        self.rate_hz = 0
        self._wave: wave.Wave_write | None = None

    @property
    def duration_s(self) -> float:
        """How long it takes to play."""
        return self.samples / self.rate_hz if self.rate_hz else 0.0

    def write(self, pcm: bytes, rate_hz: int) -> None:
        """Append 16-bit little-endian mono samples.

        Raises:
            CommandError: the disk is full, or the rate has changed, for which a WAV file has no place.
        """
        try:
            if self._wave is None:
                self.rate_hz = rate_hz
                self._wave = wave.open(str(self.pending), "wb")  # noqa: SIM115 - closed by keep and __exit__
                self._wave.setparams((1, 2, rate_hz, 0, "NONE", ""))
            if rate_hz != self.rate_hz:
                raise CommandError(
                    f"the service went over from {self.rate_hz} to {rate_hz} Hz, which one file cannot hold",
                    Exit.FAILED,
                )
            self._wave.writeframesraw(pcm)
        except OSError as error:
            raise self._unwritable(error) from None
        self.samples += len(pcm) // 2

    def keep(self) -> None:
        """Complete it and give it its name; without a single sample there is none.

        Raises:
            CommandError: that cannot be done any more.
        """
        if self._wave is None:
            return
        try:
            self._wave.close()
        except OSError as error:
            raise self._unwritable(error) from None
        self._wave = None
        # a temporary file is for its owner only; the answer gets what any new file would have
        self.pending.chmod(0o666 & ~_umask())
        super().keep()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        unfinished, self._wave = self._wave, None
        if unfinished is not None:
            with contextlib.suppress(OSError):  # the file goes anyway
                unfinished.close()
        super().__exit__(kind, error, where)


def _umask() -> int:
    # there is no other way to ask for it
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
