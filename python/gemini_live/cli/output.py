"""Files that a command writes: whole or not at all, and over nothing that was there before."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import wave
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from gemini_live.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["AnswerFile", "PendingFile"]

_NOTHING: Final[Mapping[Path, str]] = {}


class PendingFile:
    """A file that gets its name when it is complete; until then, and if it never is, nothing of it is to be seen.

    A context manager. It makes a hidden file in the same folder at once, so that a folder that cannot be written is
    found before the work is done and not after.

    Args:
        path: its name in the end.
        force: whether a file of that name may be replaced.
        sparing: those that may not even so, and what each is.

    Attributes:
        path: its name in the end.
        pending: its name until then.

    Raises:
        CommandError: it cannot be written, or there is one already.
    """

    def __init__(self, path: Path, *, force: bool, sparing: Mapping[Path, str] = _NOTHING) -> None:
        self.path = path
        self._force = force
        self._is_kept = False
        try:
            problem = self._problem(force=force, sparing=sparing)
            if problem:
                raise CommandError(problem, Exit.FILE)
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        except OSError as error:
            raise self.unwritable(error) from None
        os.close(descriptor)
        self.pending = Path(name)

    def _problem(self, *, force: bool, sparing: Mapping[Path, str]) -> str:
        path, there, folder = self.path, _status(self.path), _status(self.path.parent)
        if there is not None and stat.S_ISDIR(there.st_mode):
            return f"{path} is a folder; give --output a file in it, such as {path / 'answer.wav'}"
        if folder is None or not stat.S_ISDIR(folder.st_mode):
            return f"cannot write {path}: there is no folder {path.parent}; create it first"
        if there is None:
            return ""
        if not stat.S_ISREG(there.st_mode):
            return f"{path} is no ordinary file; give --output another one"
        for other, what in sparing.items():
            if (status := _status(other)) is not None and os.path.samestat(there, status):
                return f"{path} is {what}; give --output another name"
        return "" if force else f"{path} exists; give --force to replace it, or --output another name"

    def unwritable(self, error: OSError) -> CommandError:
        """What to say of this."""
        reason = (error.strerror or str(error)).lower()
        return CommandError(f"cannot write {self.path}: {reason}; give --output a file elsewhere", Exit.FILE)

    def keep(self) -> None:
        """Give it its name.

        Raises:
            CommandError: that cannot be done any more, or somebody else has made a file of that name meanwhile.
        """
        try:
            if self._force or not self._is_taken():
                self.pending.replace(self.path)
                return
        except OSError as error:
            raise self.unwritable(error) from None
        self._is_kept = True  # nobody can have the conversation once more
        raise CommandError(
            f"{self.path} exists by now and is not replaced; what was written is {self.pending}", Exit.FILE
        )

    def _is_taken(self) -> bool:
        """Takes the name at once, if it is free."""
        try:
            os.link(self.pending, self.path)
        except OSError:  # there is one, or the file system has no links
            return _status(self.path) is not None
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if not self._is_kept:
            self.pending.unlink(missing_ok=True)


class AnswerFile(PendingFile):
    """What the model says, as a WAV file: 16 bit, mono, at the rate at which it comes.

    Attributes:
        samples: how many were written.
        rate_hz: of them; 0 before the first.
    """

    def __init__(self, path: Path, *, force: bool, sparing: Mapping[Path, str] = _NOTHING) -> None:
        super().__init__(path, force=force, sparing=sparing)
        self.samples = 0
        self.rate_hz = 0
        self._file: BinaryIO | None = None
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
                # by our own hand: a writer that cannot open its file complains of that once more when it goes
                self._file = self.pending.open("wb")
                self._wave = wave.open(self._file, "wb")  # noqa: SIM115 - closed by keep and __exit__, as is the file
                self._wave.setparams((1, 2, rate_hz, 0, "NONE", ""))
            if rate_hz != self.rate_hz:
                raise CommandError(
                    f"the service went over from {self.rate_hz} to {rate_hz} Hz, which one file cannot hold",
                    Exit.FAILED,
                )
            self._wave.writeframesraw(pcm)
        except OSError as error:
            raise self.unwritable(error) from None
        self.samples += len(pcm) // 2

    def keep(self) -> None:
        """Complete it and give it its name; without a single sample there is none.

        Raises:
            CommandError: that cannot be done any more.
        """
        if self._wave is None or self._file is None:
            return
        try:
            self._wave.close()
            self._file.close()
            # a temporary file is for its owner only; the answer gets what any new file would have
            self.pending.chmod(0o666 & ~_umask())
        except OSError as error:
            raise self.unwritable(error) from None
        self._wave = self._file = None
        super().keep()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for unfinished in (self._wave, self._file):
            if unfinished is not None:
                with contextlib.suppress(OSError):  # the file goes anyway
                    unfinished.close()
        self._wave = self._file = None
        super().__exit__(kind, error, where)


def _status(path: Path) -> os.stat_result | None:
    """Of what is there; unlike `Path.is_dir` it does not say that nothing is there when that cannot be known.

    Raises:
        OSError: that.
    """
    try:
        return os.stat(path)  # noqa: PTH116 - what tests replace
    except (FileNotFoundError, NotADirectoryError):
        return None


def _umask() -> int:
    # there is no other way to ask for it
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
