"""When contenders send: all in step, or each session on its own time. The same for everybody who is compared.

Both return the share of chunks that were late by half a chunk or more. What is late goes out in bursts, which are
cheaper for everybody and squeeze the ratios, so a run in which much is late proves little.
"""

import asyncio
from collections.abc import Awaitable, Callable

from rig import wire


async def in_step(count: int, tick: Callable[[int], Awaitable[None]]) -> float:
    """One timer for all sessions: ``tick(n)`` sends the n-th chunk of each, every 20 ms."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    late = 0
    for number in range(count):
        left_s = began_at + number * wire.CHUNK_S - loop.time()
        late += left_s < -wire.CHUNK_S / 2
        await asyncio.sleep(left_s)
        await tick(number)
    return late / count


async def each_on_its_own(sessions: int, count: int, send: Callable[[int, int], Awaitable[None]]) -> float:
    """A task for each session: ``send(session, n)`` every 20 ms, the sessions' phases spread evenly."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    late = 0

    async def speak(session: int) -> None:
        nonlocal late
        first_at = began_at + wire.CHUNK_S * session / sessions
        for number in range(count):
            left_s = first_at + number * wire.CHUNK_S - loop.time()
            late += left_s < -wire.CHUNK_S / 2
            await asyncio.sleep(left_s)
            await send(session, number)

    async with asyncio.TaskGroup() as group:
        for session in range(sessions):
            group.create_task(speak(session))
    return late / (sessions * count)
