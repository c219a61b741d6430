"""When contenders send: all in step, or each session on its own time. The same for everybody who is compared."""

import asyncio
from collections.abc import Awaitable, Callable

from rig import wire


async def in_step(count: int, tick: Callable[[int], Awaitable[None]]) -> None:
    """One timer for all sessions: ``tick(n)`` sends the n-th chunk of each, every 20 ms."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    for number in range(count):
        await asyncio.sleep(began_at + number * wire.CHUNK_S - loop.time())
        await tick(number)


async def each_on_its_own(sessions: int, count: int, send: Callable[[int, int], Awaitable[None]]) -> None:
    """A task for each session: ``send(session, n)`` every 20 ms, the sessions' phases spread evenly."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()

    async def speak(session: int) -> None:
        first_at = began_at + wire.CHUNK_S * session / sessions
        for number in range(count):
            await asyncio.sleep(first_at + number * wire.CHUNK_S - loop.time())
            await send(session, number)

    async with asyncio.TaskGroup() as group:
        for session in range(sessions):
            group.create_task(speak(session))
