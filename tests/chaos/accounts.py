"""Both ledgers compared, message by message: what the client says it has done, and what the emulator has.

The chain of evidence has three links, and each has its rule:

* the session took a message (`Driver.accepted`) → it was handed to the network (`Line.written`), or has expired, or is
  counted as undelivered;
* it was handed to the network → it is in the emulator's ledger, or the session said that this is uncertain, or it was
  handed over again on the next line, where the service says by index what its state lacks;
* it is in the ledger → once, and behind everything that was said before it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import gemini_live as live

from . import keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemini_live.emulator import Ledger

    from .driver import Driver
    from .wire import Line, Wire

_MAY_EXPIRE = ("audio", "video")
_ANSWER = "tool_response"
_MARKS = ("activity_start", "activity_end", "audio_stream_end")


class Books:
    """One session, closed.

    Args:
        driver: what its user has said and was told.
        wire: what it has handed to the network.
        ledger: what the emulator has.
        stats: what it says of itself.
        vertex: the service acknowledges by index.
    """

    def __init__(self, driver: Driver, wire: Wire, ledger: Ledger, stats: live.SessionStats, *, vertex: bool) -> None:
        self._driver = driver
        self._lines = wire.opened
        self._stats = stats
        self._vertex = vertex
        self._taken = Counter(driver.accepted) + Counter(driver.accepted_elsewhere)
        self._written = [key for line in self._lines for key in line.written]
        self._states = [
            (session.connections, [keys.of_entry(entry.kind, entry.content) for entry in session.log.entries])
            for session in ledger.sessions
        ]
        self._delivered = {key for _, state in self._states for key in state}
        self._odd: list[str] = []
        self._knows_by_index = vertex and all(index is not None for line in self._lines for _, index in line.updates)
        self._uncertain = self._uncertain_by_index() if vertex else self._uncertain_by_receipt()

    def broken(self) -> Iterator[str]:
        """The rules that do not hold."""
        yield from self._odd
        yield from self._only_what_was_said()
        yield from self._taken_and_written()
        yield from self._written_and_delivered()
        yield from self._in_order()
        yield from self._told()
        yield from self._told_of_messages()
        yield from self._expired()

    def fates(self) -> Counter[tuple[str, str]]:
        """How many messages of each kind met which fate in truth."""
        uncertain = Counter(self._uncertain)
        written = Counter(self._written)
        fates = Counter[tuple[str, str]]()
        for mark, (taken, there, doubted) in self._marks().items():
            lost = max(0, taken - there)
            fates[mark, "uncertain, lost"] = min(lost, doubted)
            fates[mark, "uncertain, delivered"] = doubted - min(lost, doubted)
            fates[mark, "delivered"] = taken - lost - fates[mark, "uncertain, delivered"]
            fates[mark, "not written"] = lost - min(lost, doubted)
        for key in [*self._driver.accepted, *self._driver.accepted_elsewhere]:
            kind = self._driver.kinds[key]
            if kind in _MARKS:
                continue
            if key in self._delivered:
                fate = "uncertain, delivered" if uncertain[key] else "delivered"
            elif uncertain[key]:
                fate = "uncertain, lost"
            elif written[key]:
                fate = "LOST"
            else:
                fate = "not written"
            fates[kind, fate] += 1
        for kind, counts in self._stats.by_kind.items():
            fates[kind, "expired"] += counts.expired
            fates[kind, "undelivered"] += counts.waiting
            fates[kind, "replayed"] += counts.replayed
            fates[kind, "LOST"] += fates.pop((kind, "not written"), 0) - counts.expired - counts.waiting
        return fates

    def _marks(self) -> dict[str, tuple[int, int, int]]:
        """How many marks of each kind were taken, are in the ledger, and are uncertain; they have only their number."""
        taken, uncertain = Counter(self._driver.accepted), Counter(self._uncertain)
        there = Counter(key for _, state in self._states for key in state)
        return {kind: (taken[keys.Key(kind)], there[keys.Key(kind)], uncertain[keys.Key(kind)]) for kind in _MARKS}

    # --- taken → written ---

    def _only_what_was_said(self) -> Iterator[str]:
        """What was written was said, and on the Developer API once, but for answers to calls."""
        for key, count in Counter(self._written).items():
            if key not in self._taken:
                yield f"{key} was written, and nobody has said it"
            if count > self._taken[key] and key.kind != _ANSWER and not self._vertex:
                yield f"{key} was written {count} times"

    def _taken_and_written(self) -> Iterator[str]:
        """What was taken was written, or is counted as expired or undelivered."""
        taken, written = self._taken, Counter(self._written)
        by_kind = Counter[str]()
        missing = Counter[str]()
        for key, count in taken.items():
            kind = self._driver.kinds[key]
            by_kind[kind] += count
            if key.kind in _MARKS and self._vertex:
                continue  # they are all alike, and may have been written again
            missing[kind] += max(0, count - written[key])
        for kind, counts in self._stats.by_kind.items():
            if counts.accepted != by_kind[kind]:
                yield f"{kind}: {counts.accepted} accepted by the stats, {by_kind[kind]} by the user"
            if kind not in _MARKS or not self._vertex:
                not_written = counts.expired + counts.waiting
                given_up = counts.uncertain if kind == _ANSWER else 0  # with the conversation that asked for it
                if not not_written <= missing[kind] <= not_written + given_up:
                    yield f"{kind}: {missing[kind]} were never written, {not_written} by the stats"
            if kind not in _MAY_EXPIRE and counts.expired:
                yield f"{kind}: {counts.expired} have expired, which must not"
        if self._stats.accepted != by_kind.total():
            yield f"{self._stats.accepted} accepted by the stats, {by_kind.total()} by the user"

    # --- written → delivered ---

    def _told_uncertain(self) -> list[Counter[str]]:
        """What the session called uncertain, for each connection that had been opened."""
        told = [Counter[str]() for _ in self._lines]
        driver = self._driver
        for event, opened in zip(driver.events, driver.lines_opened, strict=True):
            if isinstance(event, live.DeliveryUncertain):
                told[opened - 1].update(event.kinds)
        return told

    def _uncertain_by_receipt(self) -> list[keys.Key]:
        """A connection's last messages, as many as the session called uncertain at its end.

        Answers to calls are written again, for their id makes it safe, and are called uncertain when that has an end.
        """
        uncertain: list[keys.Key] = []
        for line, told in zip(self._lines, self._told_uncertain(), strict=True):
            others = [key for key in line.written if key.kind != _ANSWER]
            count = told.total() - told[_ANSWER]
            uncertain += others[len(others) - count :] if count else []
        return uncertain + self._uncertain_answers(uncertain)

    def _uncertain_answers(self, uncertain: list[keys.Key]) -> list[keys.Key]:
        """As many answers as the session gave up with the conversation that they belong to; some were never written."""
        count = sum(told[_ANSWER] for told in self._told_uncertain())
        count -= sum(key.kind == _ANSWER for key in uncertain)
        answers = [key for key in self._driver.accepted if key.kind == _ANSWER and key not in uncertain]
        answers.sort(key=lambda key: key in self._delivered)
        return answers[: max(0, count)]

    def _uncertain_by_index(self) -> list[keys.Key]:
        """What no index has confirmed when the service forgot the conversation, or the session ended.

        Where an update comes without an index, nobody knows whether the state contains what had been written by then,
        so that is not written again either.
        """
        uncertain: list[keys.Key] = []
        kept: list[keys.Key] = []
        waiting: list[keys.Key] = []  # to be written again
        has_handle = False
        for line, restored in self._by_line():
            waiting = kept + waiting
            if not has_handle:  # a fresh conversation is told everything but the answers to calls that it has not made
                waiting = [key for key in waiting if key.kind != _ANSWER]
            has_handle = has_handle or bool(line.updates)
            if not restored:
                uncertain += waiting
                waiting = []
            if line.written[: len(waiting)] != waiting[: len(line.written)]:
                self._odd.append(f"line {line.number}: what was written again is not what was kept")
            waiting = waiting[len(line.written) :]
            confirmed = max((index for _, index in line.updates if index is not None), default=0)
            doubted = max((written for written, index in line.updates if index is None), default=0)
            rest = list(enumerate(line.written))[confirmed:]
            kept = [key for place, key in rest if place >= doubted or key.kind == _ANSWER]
            if line is not self._lines[-1] or self._told_uncertain()[-1]:
                uncertain += [key for place, key in rest if place < doubted and key.kind != _ANSWER]
        if self._told_uncertain()[-1]:  # an orderly close would have confirmed the rest
            uncertain += kept
        return uncertain + self._uncertain_answers(uncertain)

    def _by_line(self) -> Iterator[tuple[Line, bool]]:
        """Each connection, and whether it went on with the conversation."""
        restored = [True] * len(self._lines)
        for event, opened in zip(self._driver.events, self._driver.lines_opened, strict=True):
            if isinstance(event, live.Reconnected):
                restored[opened - 1] = event.context_restored
        return zip(self._lines, restored, strict=True)

    def _written_and_delivered(self) -> Iterator[str]:
        """What was written and not called uncertain is in the ledger; what is in it is there once."""
        uncertain = set(self._uncertain)
        for key in set(self._written):
            if key not in self._delivered and key not in uncertain:
                yield f"LOST {key}"
        for kind, (taken, there, doubted) in self._marks().items():
            waiting = self._stats.by_kind[kind].waiting if taken else 0
            if taken > there + doubted + waiting:
                yield f"LOST {kind}: of {taken} there are {there}; {doubted} are uncertain and {waiting} undelivered"
        for number, (_, state) in enumerate(self._states, start=1):
            for key, count in Counter(state).items():
                repeated = key.kind in _MARKS or (key.kind == _ANSWER and not self._knows_by_index)
                if count > 1 and not repeated:
                    yield f"{key} is {count} times in the state of session {number}"
        if not self._vertex:
            yield from self._line_by_line()

    def _line_by_line(self) -> Iterator[str]:
        """Without replays the state is what came in on the connections, one after the other."""
        arrived = {line.heard.number: line.arrived for line in self._lines if line.heard is not None}
        for number, (connections, state) in enumerate(self._states, start=1):
            came = [key for connection in connections for key in arrived.get(connection, [])]
            if came != state:
                at = next((i for i, pair in enumerate(zip(came, state, strict=False)) if pair[0] != pair[1]), -1)
                yield f"session {number}: {len(came)} came in and {len(state)} are there; they differ at {at}"
        for line, told in zip(self._lines, self._told_uncertain(), strict=True):
            count = told.total() - told[_ANSWER]
            others = [key for key in line.written if key.kind != _ANSWER]
            doubted = others[len(others) - count :] if count else []
            lost = [key for key in line.written[len(line.arrived) :] if key.kind != _ANSWER]
            if len(lost) > len(doubted):
                yield f"line {line.number}: {len(lost)} did not arrive, and {len(doubted)} were called uncertain"
            kinds = Counter(self._driver.kinds.get(key, "?") for key in doubted)
            if kinds + Counter({_ANSWER: told[_ANSWER]}) != told:
                yield f"line {line.number}: {dict(told)} called uncertain, but the last {count} are {dict(kinds)}"

    # --- order ---

    def _in_order(self) -> Iterator[str]:
        """What one thread said is written, and is in the ledger, in that order; but speech may overtake an image."""
        repeated = () if self._knows_by_index else (_ANSWER,)
        places = [
            {key: place for place, key in enumerate(said) if key.kind not in (*_MARKS, *repeated)}
            for said in (self._driver.accepted, self._driver.accepted_elsewhere)
        ]
        sequences: list[tuple[str, Sequence[keys.Key]]] = [
            (f"the state of session {number}", state) for number, (_, state) in enumerate(self._states, start=1)
        ]
        sequences += [(f"line {line.number}", line.written) for line in self._lines]
        for name, sequence in sequences:
            for place_of in places:
                found = [(place_of[key], key.kind) for key in sequence if key in place_of]
                at = _first_overtaken(found)
                if at is not None:
                    yield f"out of order in {name} at {at}"

    # --- what the events say, and what the stats say ---

    def _told(self) -> Iterator[str]:
        """The reconnects and the end."""
        stats = self._stats
        reconnected = reconnecting = 0
        for event in self._driver.events:
            match event:
                case live.Reconnected():
                    reconnected += 1
                    if not reconnecting:
                        yield "Reconnected without Reconnecting"
                    reconnecting = 0
                case live.Reconnecting():
                    reconnecting += 1
                case live.Closed(undelivered=undelivered) if undelivered != stats.waiting:
                    yield f"Closed says {undelivered} undelivered, the stats {stats.waiting}"
                case live.Closed(kind=live.CloseKind.INTERNAL):
                    yield "ended by a fault of its own"
        if reconnected != stats.reconnects:
            yield f"{reconnected} Reconnected events, {stats.reconnects} reconnects by the stats"

    def _told_of_messages(self) -> Iterator[str]:
        """Each message that expired or is uncertain was reported, once."""
        stats, uncertain = self._stats, sum(self._told_uncertain(), Counter[str]())
        dropped = Counter[str]()
        for event in self._driver.events:
            if isinstance(event, live.InputDropped):
                dropped[event.kind] += event.count
        for kind, counts in stats.by_kind.items():
            if dropped[kind] != counts.expired:
                yield f"{kind}: {dropped[kind]} InputDropped, {counts.expired} expired by the stats"
            if uncertain[kind] != counts.uncertain:
                yield f"{kind}: {uncertain[kind]} DeliveryUncertain, {counts.uncertain} by the stats"
        mine = Counter(self._driver.kinds.get(key, "?") for key in self._uncertain)
        if mine != +uncertain:
            yield f"uncertain are {dict(mine)}, the session says {dict(uncertain)}"

    def _expired(self) -> Iterator[str]:
        """Nothing but audio and images is ever given up."""
        written = set(self._written)
        for key in self._driver.accepted:
            if key.kind in _MAY_EXPIRE or key in written:
                continue
            counts = self._stats.by_kind[self._driver.kinds[key]]
            if not counts.waiting and not (key.kind == _ANSWER and counts.uncertain):
                yield f"LOST {key}: taken, never written, and not counted as undelivered"


def _first_overtaken(sequence: Sequence[tuple[int, str]]) -> int | None:
    """Where something stands behind what was said after it; an image may, behind speech. Places, with kinds."""
    latest = latest_but_speech = -1
    for at, (place, kind) in enumerate(sequence):
        if place < (latest_but_speech if kind == "video" else latest):
            return at
        latest = max(latest, place)
        if kind != "audio":
            latest_but_speech = max(latest_but_speech, place)
    return None
