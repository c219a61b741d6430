"""TCP servers of the tests, whose connections end with them.

Else the collector finds their sockets, in whatever test it comes round; pytest fails for what it finds.
"""

from __future__ import annotations

import asyncio
import contextlib

from gemini_live.emulator.listening import stop_listening


@contextlib.asynccontextmanager
async def tcp_server(serve, *, tls=None):
    """Calls the coroutine function ``serve`` with the streams of each client, and closes them; yields the port."""
    connections = {}

    def connected(reader, writer):
        task = asyncio.ensure_future(talk(reader, writer))
        # whatever becomes of it: asyncio leaves open whose task is cancelled, and one may be before its first step
        task.add_done_callback(lambda _: writer.close())
        connections[task] = writer.transport

    async def talk(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
            writer.close()
            await writer.wait_closed()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        await stop_listening(listener)
        for transport in connections.values():
            transport.abort()
        if connections:
            await asyncio.wait(connections)


async def read_for_ever(reader, _writer):
    await reader.read()


async def pass_on(reader, writer, port, greeting):
    """What a proxy does once it knows where to: dial, greet its client, and pass on what each says until one ends."""

    async def pump(source, sink):
        while data := await source.read(65_536):
            sink.write(data)
        sink.close()

    there, back = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(back):
        writer.write(greeting)
        await asyncio.gather(pump(reader, back), pump(there, writer))
