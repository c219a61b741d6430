"""A telephone line with the model, by plain RTP: PCMU of RFC 3551, packets of 20 ms, taken in the order they come."""

import asyncio
import struct
import sys
from itertools import count

import gemini_live as live
from gemini_live.media import Player, encode_g711

SAMPLES, FRAME_S = 160, 0.020


class Line(asyncio.DatagramProtocol):
    """What comes from the caller goes to the session; whoever sent last is spoken to."""

    def __init__(self, session: live.Session) -> None:
        self.session = session
        self.caller: tuple[str, int] | None = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Version 2, payload type 0, behind the header and its list of contributing sources."""
        if data and len(data) > 12 + 4 * (data[0] & 0x0F) and data[0] >> 6 == 2 and data[1] & 0x7F == 0:
            self.caller = addr
            self.session.feed_audio(data[12 + 4 * (data[0] & 0x0F) :], rate_hz=8_000, encoding="mulaw")


async def speak(player: Player, line: Line, socket: asyncio.DatagramTransport) -> None:
    """A frame every 20 ms, of the answer or of silence; after a barge-in the next one is silent."""
    began_at = asyncio.get_running_loop().time()
    for number in count():
        await asyncio.sleep(began_at + number * FRAME_S - asyncio.get_running_loop().time())
        frame = encode_g711(player.read(SAMPLES), "mulaw")
        if line.caller is not None:
            head = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * SAMPLES & 0xFFFF_FFFF, 0x6C697665)
            socket.sendto(head + frame, line.caller)


async def main(port: int, endpoint: str | None) -> None:
    """Until the session ends."""
    player = Player(8_000)
    async with live.connect("gemini-3.8-live", endpoint=endpoint) as session:
        loop = asyncio.get_running_loop()
        socket, line = await loop.create_datagram_endpoint(lambda: Line(session), local_addr=("0.0.0.0", port))  # noqa: S104
        speaking = asyncio.create_task(speak(player, line, socket))
        async for _ in player.follow(session):
            pass
        speaking.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 4000, sys.argv[2] if sys.argv[2:] else None))
