"""What remains at the end: the accounts of both sides, compared, and a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gemini_live import CloseKind
from gemini_live.demo.sabotage import Saboteur

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from gemini_live.demo.scene import Scene
    from gemini_live.emulator import Ledger

__all__ = ["Chunks", "Heard", "Report", "Turns", "report_on"]


class Turns(msgspec.Struct, frozen=True):
    """Sentences in the speech, those that the service heard, and those that it answered."""

    spoken: int
    heard: int
    answered: int


class Chunks(msgspec.Struct, frozen=True):
    """Messages by fate, as the session counts them: accepted is the sum of the four that follow it."""

    accepted: int
    waiting: int
    written: int
    acknowledged: int
    expired: int
    replayed: int
    uncertain: int


class Heard(msgspec.Struct, frozen=True):
    """What the emulator's ledger holds, against what was to be sent.

    Attributes:
        equal: the same samples in the same order, none missing and none twice.
        first_difference: the first sample that is not so.
    """

    samples_sent: int
    samples_heard: int
    sessions: int
    connections: int
    equal: bool
    first_difference: int | None


class Report(msgspec.Struct, frozen=True):
    """The whole account.

    Attributes:
        ok: nothing was lost and everything answered.
        problems: what was lost, in words.
        interrupted: the user ended it early.
    """

    ok: bool
    interrupted: bool
    problems: list[str]
    speech: str
    speech_s: float
    spoken_s: float
    elapsed_s: float
    turns: Turns
    chunks: Chunks
    reconnects: int
    longest_gap_ms: float
    events: dict[str, int]
    heard: Heard
    reply_s: float
    reply_file: str | None


def report_on(
    scene: Scene, ledger: Ledger, *, reply_file: str | None = None, interrupted: bool = False, failure: str = ""
) -> Report:
    """Draw up the account.

    Args:
        scene: what was seen of the session.
        ledger: what the emulator has heard.
        reply_file: where the reply is.
        interrupted: the user ended it early, so that what is missing is nobody's fault.
        failure: what else went wrong.
    """
    stats, speech = scene.stats, scene.speech
    spoken = speech.mono[: scene.sent_samples]
    heard = np.concatenate([np.empty(0, np.int16), *(session.audio for session in ledger.sessions)])
    difference = _first_difference(spoken, heard)
    account = Heard(
        len(spoken), len(heard), len(ledger.sessions), len(ledger.connections), difference is None, difference
    )
    problems = [failure] if failure else []
    if not interrupted:
        problems += _problems(scene, account)
    return Report(
        ok=not problems and not interrupted,
        interrupted=interrupted,
        problems=problems,
        speech=speech.name,
        speech_s=round(speech.duration_s, 3),
        spoken_s=round(len(spoken) / speech.rate_hz, 3),
        elapsed_s=round(scene.elapsed_s, 3),
        turns=Turns(scene.sentences, len(scene.turns), scene.answered),
        chunks=Chunks(*(getattr(stats, fate) for fate in Chunks.__struct_fields__)),
        reconnects=stats.reconnects,
        longest_gap_ms=round(stats.longest_gap_s * 1000, 1),
        events=dict(scene.events.most_common()),
        heard=account,
        reply_s=round(len(scene.reply) / 2 / scene.rate_hz, 3),
        reply_file=reply_file,
    )


def _problems(scene: Scene, heard: Heard) -> Iterator[str]:
    stats, closed = scene.stats, scene.closed
    if closed is not None and closed.kind is not CloseKind.REQUESTED:
        yield f"the session ended: {closed.describe()}"
    if stats.expired:
        yield f"{stats.expired} messages waited too long and expired"
    if stats.waiting:
        yield f"{stats.waiting} messages were never written"
    if stats.uncertain:
        yield f"of {stats.uncertain} messages nobody knows whether they arrived"
    if scene.forgotten:
        yield "the service forgot the conversation at a reconnect"
    if heard.first_difference is not None:
        yield f"{_differs(heard)}, from sample {heard.first_difference:,} on"
    if scene.sent_samples < len(scene.speech.samples):
        yield "the speech was not spoken to its end"
    if scene.answered < scene.sentences:
        yield f"{scene.sentences - scene.answered} of {scene.sentences} sentences were not answered"
    if stats.reconnects != Saboteur.STRIKES:
        yield f"the session reconnected {stats.reconnects} times instead of {Saboteur.STRIKES}"


def _differs(heard: Heard) -> str:
    missing = heard.samples_sent - heard.samples_heard
    if missing > 0:
        return f"{missing:,} samples did not arrive"
    if missing < 0:
        return f"{-missing:,} samples arrived twice"
    return "as many samples arrived as were sent, but not the same"


def _first_difference(sent: npt.NDArray[np.int16], heard: npt.NDArray[np.int16]) -> int | None:
    common = min(len(sent), len(heard))
    differing = np.flatnonzero(sent[:common] != heard[:common])
    if len(differing):
        return int(differing[0])
    return None if len(sent) == len(heard) else common
