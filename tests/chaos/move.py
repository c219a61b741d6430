"""A planned move while the user speaks without a pause: what gets lost on the way, and how long nothing is heard.

In real time, with the pace that was measured on the service: 250 ms from the setup to its confirmation.
"""

from __future__ import annotations

import asyncio
import itertools
import time

import msgspec

import gemini_live as live
from gemini_live.emulator import Emulator

from . import keys
from .proxy import BINARY, TEXT, Proxy

_CHUNK_S = 0.02


class Moves(msgspec.Struct):
    """What several moves in one stretch of speech have shown.

    Attributes:
        said: chunks.
        lost, repeated, out_of_order: of them, at the emulator.
        gaps_ms: for how long each move kept everything from being sent, by the session's own account.
        heard_gaps_ms: the longest times between two chunks at the emulator, one for each move: what a listener at the
            other end would notice if nobody evened it out.
        usual_gap_ms: the longest such time without a move.
        cut_answers: answers of the model that a move has cut short.
    """

    said: int = 0
    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0
    gaps_ms: list[float] = msgspec.field(default_factory=list)
    heard_gaps_ms: list[float] = msgspec.field(default_factory=list)
    usual_gap_ms: float = 0.0
    cut_answers: int = 0

    @property
    def sound(self) -> bool:
        return not (self.lost or self.repeated or self.out_of_order or self.cut_answers) and bool(self.gaps_ms)

    def describe(self) -> str:
        """One paragraph for people."""
        gaps = ", ".join(f"{gap:.0f}" for gap in self.gaps_ms)
        heard = ", ".join(f"{gap:.0f}" for gap in self.heard_gaps_ms)
        return (
            f"planned moves during continuous speech: {len(self.gaps_ms)}, {self.said} chunks said, {self.lost} lost, "
            f"{self.repeated} repeated, {self.out_of_order} out of order, {self.cut_answers} answers cut short\n"
            f"  nothing could be sent for {gaps} ms (250 ms of it the emulator's pause before setupComplete)\n"
            f"  longest gap between two chunks at the emulator: {heard} ms; without a move {self.usual_gap_ms:.0f} ms"
        )


async def measure(moves: int = 3, between_s: float = 1.0) -> Moves:
    """Speak on while the service says goAway so many times, once while it is answering."""
    result = Moves()
    arrivals: list[float] = []

    def note(_passage, one) -> bool:
        if one.direction == "up" and one.opcode in (TEXT, BINARY) and len(one.raw) > 800:
            arrivals.append(time.monotonic())
        return False

    async with Emulator() as emulator:
        proxy = Proxy(emulator)
        await proxy.start()
        proxy.standing_traps.append(note)
        endpoint = live.GeminiApi(base_url=f"ws://127.0.0.1:{proxy.port}")
        async with live.connect("gemini-3.8-live", endpoint=endpoint, auth="key") as session:
            said = asyncio.create_task(_speak(session))
            listening = asyncio.create_task(_listen(session, result))
            moved_at: list[float] = []
            for number in range(moves):
                await asyncio.sleep(between_s)
                if number == moves - 1:
                    await session.send_text("tell me something")
                    await asyncio.sleep(0.7)  # 0.5 s later it answers
                before = session.stats.reconnects
                await emulator.go_away(10.0)
                while session.stats.reconnects == before:
                    await asyncio.sleep(0.01)
                moved_at.append(time.monotonic())
            await asyncio.sleep(between_s)
            said.cancel()
            await asyncio.wait([said])
            await session.drain()
            stats = session.stats
        await listening
        await proxy.stop()
    result.said = stats.by_kind["audio"].accepted
    result.gaps_ms = [1000 * gap for gap in stats.gaps_s]
    _count(result, [keys.of_entry("audio", one.content).number for one in _chunks(emulator)])
    _gaps(result, arrivals, moved_at)
    return result


async def _speak(session: live.Session) -> None:
    loop = asyncio.get_running_loop()
    due, number = loop.time(), 0
    while True:
        number += 1
        await session.send_audio(keys.chunk(number, loud=False))  # quiet, or it would interrupt the answer
        due += _CHUNK_S
        await asyncio.sleep(due - loop.time())


async def _listen(session: live.Session, result: Moves) -> None:
    running = False
    async for event in session:
        match event:
            case live.ModelAudio():
                running = True
            case live.TurnComplete():
                running = False
            case live.Reconnecting() | live.Interrupted() if running:
                result.cut_answers += 1


def _chunks(emulator: Emulator):
    return [entry for session in emulator.ledger.sessions for entry in session.log.entries if entry.kind == "audio"]


def _count(result: Moves, heard: list[int]) -> None:
    result.lost = result.said - len(set(heard))
    result.repeated = len(heard) - len(set(heard))
    result.out_of_order = sum(later < earlier for earlier, later in itertools.pairwise(heard))


def _gaps(result: Moves, arrivals: list[float], moved_at: list[float]) -> None:
    """The gap of a move is the one that ends at it."""
    gaps = [(later - earlier, later) for earlier, later in itertools.pairwise(arrivals)]
    for moment in moved_at:
        gap = max(gaps, key=lambda gap: gap[0] if abs(gap[1] - moment) < 0.2 else 0.0)
        gaps.remove(gap)
        result.heard_gaps_ms.append(1000 * gap[0])
    result.usual_gap_ms = 1000 * max(gap for gap, _ in gaps)
