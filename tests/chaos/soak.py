"""``python -m chaos.soak``: many sessions for minutes, in real time, and whether they come to need more and more.

The emulator runs in a process of its own and records nothing, so what is measured is the client. Each session says 50
chunks a second, pauses, is answered, and loses its connection about twice a minute, by goAway or by a cut.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import msgspec
import psutil

import gemini_live as live

from . import keys
from .soak_plot import plot
from .trend import Trend, trend

_CHUNK_S = 0.02
_RECONNECTS_PER_SESSION_S = 1 / 30
_UTTERANCE = 50, 90
"""Chunks of speech, and of the silence after it in which it is answered."""
_WARM_UP = 0.25
"""Of the run is not judged: pools fill, and the allocator finds its size."""
_LEAK_BYTES = 0.5
"""Per chunk that goes up: a leak of one small object (56 bytes) in a hundred chunks is more. Sessions hold nothing that
grows with time but the lengths of the last 100 gaps, 32 bytes each."""
_BUSY = 0.002
"""More than such a share of the chunks has expired: the machine cannot keep up, and full queues take memory."""
_NOISE = 3.0
"""A growth over the whole run of so many times the distance of the points from their line is no growth."""


class Sample(msgspec.Struct):
    """One second.

    Attributes:
        waiting_s: how long the oldest message of any session has waited.
        lag_ms: the longest time by which the loop was late.
        away: sessions that are not connected.
    """

    time_s: float
    rss: int
    emulator_rss: int
    tasks: int
    fds: int
    threads: int
    waiting_s: float
    lag_ms: float
    away: int
    reconnects: int


class Soak:
    """The run.

    Args:
        url: of the emulator.
        emulator: its process.
        sessions: how many.
        minutes: how long.
    """

    def __init__(self, url: str, emulator: psutil.Process, sessions: int, minutes: float) -> None:
        self.samples: list[Sample] = []
        self.before: dict[str, int] = {}
        self.after: dict[str, int] = {}
        self.chunks = 0
        self.dropped = 0
        self._url = url
        self._emulator = emulator
        self._count = sessions
        self._seconds = 60 * minutes
        self._sessions: list[live.Session] = []
        self._me = psutil.Process()
        self._lag_s = 0.0
        self._ended: list[live.Closed] = []

    async def run(self) -> list[str]:
        """Returns what is wrong."""
        # dialling looks for proxies in threads; one is enough, and then their number means something
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        first = self._census()
        self._sessions = [await self._connect() for _ in range(self._count)]
        listeners = [asyncio.create_task(self._listen(session)) for session in self._sessions]
        async with aiohttp.ClientSession(self._url.replace("ws", "http", 1)) as control:
            work = [asyncio.create_task(one) for one in (self._speak(), self._trouble(control), self._watch_lag())]
            await self._sample(self._seconds)
            self.after = await self._at_rest()
            for task in work:
                task.cancel()
            await asyncio.wait(work)
        for session in self._sessions:
            await session.close()
        await asyncio.wait(listeners)
        self._sessions.clear()
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.sleep(0.5)
        last = self._census()
        return [
            *self._judge(),
            *(f"left: {last[what] - first[what]} {what}" for what in first if last[what] > first[what]),
        ]

    async def _connect(self) -> live.Session:
        setup = live.Setup(
            model="gemini-3.8-live",
            context_window_compression=live.ContextWindowCompression(sliding_window=live.SlidingWindow()),
        )
        reconnect = live.ReconnectPolicy(max_attempts=None)
        return await live.connect(setup, endpoint=self._url, auth="key", reconnect=reconnect)

    # --- what goes on ---

    async def _listen(self, session: live.Session) -> None:
        async for event in session:
            match event:
                case live.InputDropped(count=count):
                    self.dropped += count
                case live.Closed(kind=kind) if kind is not live.CloseKind.REQUESTED:
                    self._ended.append(event)

    async def _speak(self) -> None:
        """One tick for all, as in a server that mixes."""
        loop = asyncio.get_running_loop()
        loud, quiet = keys.chunk(1, loud=True), keys.chunk(1, loud=False)
        speech, silence = _UTTERANCE
        due, tick = loop.time(), 0
        while True:
            for number, session in enumerate(self._sessions):
                phase = (tick + number * (speech + silence) // self._count) % (speech + silence)
                await session.send_audio(loud if phase < speech else quiet)
            self.chunks += len(self._sessions)
            tick += 1
            due += _CHUNK_S
            await asyncio.sleep(due - loop.time())

    async def _trouble(self, control: aiohttp.ClientSession) -> None:
        """Connections are announced to end, or end."""
        dice = random.Random(1)  # noqa: S311 - dice
        while True:
            await asyncio.sleep(dice.expovariate(self._count * _RECONNECTS_PER_SESSION_S))
            # connections are counted from 1; the open ones are among the last
            last = self._count + sum(session.stats.reconnects for session in self._sessions)
            what, body = dice.choice((("go_away", {"timeLeftS": 4}), ("cut", {}), ("cut", {"midFrame": True})))
            for _ in range(20):
                body["connection"] = dice.randint(max(1, last - 2 * self._count), last)
                async with control.post(f"/_emulator/{what}", json=body) as response:
                    if (await response.json())["connections"]:
                        break

    async def _watch_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            self._lag_s = max(self._lag_s, loop.time() - due)

    # --- what is seen ---

    def _census(self) -> dict[str, int]:
        gc.collect()
        return {
            "tasks": len(asyncio.all_tasks()),
            "file descriptors": self._me.num_fds(),
            "threads": self._me.num_threads(),
        }

    async def _at_rest(self) -> dict[str, int]:
        """The census when every session is connected: reconnects take tasks and sockets of their own."""
        for _ in range(600):
            await asyncio.sleep(0.1)
            if all(session.status is live.SessionStatus.CONNECTED for session in self._sessions):
                await asyncio.sleep(0.05)
                return self._census()
        return {}

    async def _sample(self, seconds: float) -> None:
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            await asyncio.sleep(1.0 - now % 1.0)
            stats = [session.stats for session in self._sessions]
            self.samples.append(
                Sample(
                    time_s=time.monotonic() - began,
                    rss=self._me.memory_info().rss,
                    emulator_rss=self._emulator.memory_info().rss,
                    tasks=len(asyncio.all_tasks()),
                    fds=self._me.num_fds(),
                    threads=self._me.num_threads(),
                    waiting_s=max(one.waiting_s for one in stats),
                    lag_ms=1000 * self._lag_s,
                    away=sum(session.status is not live.SessionStatus.CONNECTED for session in self._sessions),
                    reconnects=sum(one.reconnects for one in stats),
                )
            )
            self._lag_s = 0.0
            if not self.before and now > _WARM_UP * seconds:
                self.before = await self._at_rest()

    @property
    def judged(self) -> list[Sample]:
        """The samples after the warm-up."""
        return [sample for sample in self.samples if sample.time_s > _WARM_UP * self._seconds]

    def memory(self) -> tuple[Trend, float]:
        """The trend of the memory in bytes and seconds, and the slope that is allowed."""
        judged = self.judged
        line = trend([sample.time_s for sample in judged], [float(sample.rss) for sample in judged])
        noise = _NOISE * line.noise / (judged[-1].time_s - judged[0].time_s)
        return line, max(noise, _LEAK_BYTES * self._count / _CHUNK_S)

    def _judge(self) -> list[str]:
        line, most = self.memory()
        wrong = [f"a session ended: {closed.describe()}" for closed in self._ended]
        if self.dropped > _BUSY * self.chunks:
            wrong.append(
                f"{self.dropped:,} chunks have expired: this machine is too slow or too busy for {self._count} "
                "sessions, and the rest proves nothing"
            )
        if line.slope > most:
            wrong.append(f"memory grows by {line.slope:.0f} B/s, and {most:.0f} B/s would be noise")
        if self.before != self.after:
            wrong.append(f"with all sessions connected there were {self.before}, and at the end {self.after}")
        return wrong


def _run(sessions: int, minutes: float, build: Path) -> int:
    log = build / "emulator.log"
    command = [sys.executable, "-m", "gemini_live", "emulator"]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:  # noqa: S603 - our own
        try:
            while not (told := log.read_text().partition("\n"))[1]:
                time.sleep(0.05)
            soak = Soak(told[0], psutil.Process(process.pid), sessions, minutes)
            wrong = asyncio.run(soak.run())
        finally:
            process.terminate()
    line, most = soak.memory()
    plot(soak.samples, soak.judged[0].time_s, line, build / "soak.png", sessions)
    (build / "soak.json").write_text(json.dumps(msgspec.to_builtins(soak.samples)))
    judged = soak.judged
    print(  # noqa: T201 - a program
        f"{sessions} sessions, {minutes:g} min, {soak.chunks:,} chunks up, {soak.dropped:,} of them expired, "
        f"{soak.samples[-1].reconnects:,} reconnects\n"
        f"memory {line.at(judged[-1].time_s) / 2**20:.1f} MiB, slope {60 * line.slope / 1024:+.1f} KiB/min "
        f"(allowed {60 * most / 1024:.1f}; noise ±{line.noise / 1024:.0f} KiB)\n"
        f"{soak.after}\n"
        f"longest wait {max(sample.waiting_s for sample in judged):.2f} s, "
        f"loop lag p50 {sorted(sample.lag_ms for sample in judged)[len(judged) // 2]:.1f} ms, "
        f"max {max(sample.lag_ms for sample in judged):.1f} ms\n"
        + "\n".join(wrong or ["flat"])
        + f"\n{build / 'soak.png'}"
    )
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos.soak", description="Hold many sessions, and see what they cost.")
    parser.add_argument("--minutes", type=float, default=5.0, help="(default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=100, help="(default: %(default)s)")
    options = parser.parse_args()
    build = Path("build")
    build.mkdir(exist_ok=True)
    (build / ".gitignore").write_text("*\n")
    with contextlib.suppress(KeyboardInterrupt):
        return _run(options.sessions, options.minutes, build)
    return 130


if __name__ == "__main__":
    sys.exit(main())
