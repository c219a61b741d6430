"""A network in memory, for tests of what sits on a transport."""

from __future__ import annotations

import asyncio
import json

from gemini_live.codec import message_of
from gemini_live.failures import Failure
from gemini_live.transport import DialError

READY = b'{"setupComplete":{}}'
GREETING = (READY, b'{"sessionResumptionUpdate":{"newHandle":"h-1","resumable":true}}')


class MemoryTransport:
    """One connection; the test plays the service by calling `say`, `lose` and the like."""

    def __init__(self, network, address, receiver):
        self.network = network
        self.address = address
        self.receiver = receiver
        self.written = []
        self.pings = []
        self.closed = None
        self.aborted = False
        self._gone = asyncio.Event()

    # what a runner sees

    def write(self, frame):
        assert not self._gone.is_set(), "written to a socket that is gone"
        message = message_of(frame)
        self.written.append(message)
        if b'"setup"' in message and self.network.answers_setup:
            self.say(*self.network.greeting)

    def ping(self, payload):
        self.pings.append(payload)

    async def close(self, code, timeout_s):
        self.closed = code
        if not self.network.echoes_close:
            await asyncio.sleep(timeout_s)
            self.lose(Failure(reason="no answer to our close"))
            return
        await asyncio.sleep(0.01)
        self.lose(Failure(code=code, clean=True))

    def abort(self):
        self.aborted = True
        self._gone.set()

    async def wait_closed(self):
        await self._gone.wait()

    # what the test does

    def say(self, *messages):
        for raw in messages:
            asyncio.get_running_loop().call_soon(self._deliver, raw)

    def _deliver(self, raw):
        if not self._gone.is_set():
            self.receiver.message_received(raw)

    def lose(self, failure=None):
        if not self._gone.is_set():
            self._gone.set()
            self.receiver.connection_lost(failure or Failure(reason="reset"))

    @property
    def said(self):
        """What the client sent after the setup."""
        return [json.loads(message) for message in self.written[1:]]


class MemoryNetwork:
    """A dialler that hands out memory transports, or fails as told."""

    def __init__(self, *failures, greeting=GREETING, delay_s=0.0):
        self.failures = list(failures)
        self.greeting = greeting
        self.delay_s = delay_s
        self.answers_setup = True
        self.echoes_close = True
        self.connections = []
        self.dials = []

    async def __call__(self, address, config, receiver):
        self.dials.append(asyncio.get_running_loop().time())
        for connection in self.connections:
            assert connection._gone.is_set(), "dialled while the old socket was open"
        await asyncio.sleep(self.delay_s)
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise DialError(failure)
        connection = MemoryTransport(self, address, receiver)
        self.connections.append(connection)
        return connection

    @property
    def last(self):
        return self.connections[-1]
