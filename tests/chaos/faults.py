"""What can go wrong: a table of names, and for each what is done to the scene.

A fault is prepared (`Fault.strike`), then the driver goes on as if nothing were the matter; it counts when it has
struck. Some wait for a certain frame, some for the next connection, for which they take the present one away.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gemini_live.emulator import Faults

from .driver import STALE, Driver
from .proxy import BINARY, CLOSE, PING, PONG, TEXT, Frame, Passage, frame

if TYPE_CHECKING:
    from random import Random

    from .proxy import Direction, Trap
    from .scene import Scene

Strike = Callable[["Scene", "Random", Callable[[], None]], Awaitable[None]]
"""Prepares a fault; the last argument is to be called when it has struck."""


class Fault(NamedTuple):
    """One row.

    Attributes:
        weight: how often it is drawn, compared with others.
        act: what the driver should do for it to strike; anything if ``None``.
        where: ``open`` lines whose frames can be read, ``vertex``, ``tls``, or anywhere.
    """

    strike: Strike
    weight: float = 1.0
    act: Callable[[Driver], Awaitable[None]] | None = None
    where: str = ""


FAULTS: dict[str, Fault] = {}


def _fault(name: str, weight: float = 1.0, act: Callable[[Driver], Awaitable[None]] | None = None, where: str = ""):
    def enter(strike: Strike) -> Strike:
        FAULTS[name] = Fault(strike, weight, act, where)
        return strike

    return enter


KNOWN: dict[str, str] = {}
"""What this version is known not to survive, and why; left out unless it is asked for (``--known``)."""

_DATA = (TEXT, BINARY)


# --- cuts, at every state of the protocol ----------------------------------------------------------------------------


def _cut_at(  # noqa: PLR0913 - keywords
    direction: Direction, rng: Random, struck, *, holding=b"", torn=False, most=12
) -> Trap:
    """Cuts at one of the next frames that hold something: before it, behind it, or in the middle of it."""
    left = rng.randint(1, most)
    before, reset, part = rng.random() < 0.5, rng.random() < 0.5, rng.random()

    def trap(passage: Passage, one: Frame) -> bool:
        nonlocal left
        if one.direction != direction or one.opcode not in _DATA or holding not in one.raw:
            return False
        left -= 1
        if left > 0 or passage.swallowed:
            return False
        if torn:
            passage.send(direction, one.raw[: max(1, int(part * len(one.raw)))])
        elif not before:
            passage.send(direction, one.raw)
        struck()
        passage.cut(reset=reset and not torn)  # a reset may take back what was sent
        return True

    return trap


@_fault("cut while idle", 3)
async def _(scene, rng, struck):
    await scene.settle()
    struck()
    scene.cut(rng)


@_fault("cut in speech going up", 4, Driver.utter, "open")
async def _(scene, rng, struck):
    scene.trap(_cut_at("up", rng, struck))


@_fault("cut in speech coming down", 3, Driver.say, "open")
async def _(scene, rng, struck):
    scene.trap(_cut_at("down", rng, struck, holding=b"inlineData"))


@_fault("cut at a tool call", 3, Driver.ask_for_a_function, "open")
async def _(scene, rng, struck):
    scene.trap(_cut_at("down", rng, struck, holding=b'"toolCall"', most=1))


@_fault("cut in a frame going up", 3, Driver.utter, "open")
async def _(scene, rng, struck):
    scene.trap(_cut_at("up", rng, struck, torn=True))


@_fault("cut in a frame coming down", 3, Driver.say, "open")
async def _(scene, rng, struck):
    scene.trap(_cut_at("down", rng, struck, torn=True))


@_fault("cut during the upgrade", 2, where="open")
async def _(scene, rng, struck):
    side = rng.choice(("up", "down"))

    def trap(passage, one):
        if one.opcode != -1 or one.direction != side:
            return False
        if rng.random() < 0.5:
            passage.send(side, one.raw[: len(one.raw) // 2])
        struck()
        passage.cut(reset=rng.random() < 0.5)
        return True

    await scene.meet_next(rng, trap=trap)


@_fault("cut before setupComplete", 2, where="open")
async def _(scene, rng, struck):
    side = rng.choice(("up", "down"))

    def trap(passage, one):
        if one.opcode not in _DATA or one.direction != side:
            return False
        struck()
        passage.cut(reset=rng.random() < 0.5)
        return True

    await scene.meet_next(rng, trap=trap)


@_fault("cut at any byte", 2)
async def _(scene, rng, struck):
    left = rng.randint(1, 6_000)

    def trap(passage, one):
        nonlocal left
        left -= len(one.raw)
        if left > 0:
            return False
        passage.send(one.direction, one.raw[:left])
        struck()
        passage.cut(reset=False)
        return True

    scene.trap(trap)


# --- half-open lines -------------------------------------------------------------------------------------------------


@_fault("half-open line", 3)
async def _(scene, rng, struck):
    passage = scene.proxy.current
    if passage is None:
        return
    passage.swallowed |= set(rng.choice((("up", "down"), ("up",), ("down",))))
    ends_s = rng.choice((0.5, 5.0, None))
    struck()
    if ends_s is not None:
        scene.later(ends_s, passage.cut)


@_fault("the server still holds the old line", 1)
async def _(scene, rng, struck):
    passage = scene.proxy.current
    if passage is None:
        return
    passage.holds_server = True
    struck()
    passage.cut()
    scene.later(rng.choice((0.3, 1.0, 4.0, 20.0)), passage.let_server_go)


@_fault("a stalled server", 1)
async def _(scene, rng, struck):
    for connection in scene.emulator.connections:
        connection.stall()
        struck()
        scene.later(rng.choice((1.0, 10.0)), connection.cut)


# --- pings and pongs -------------------------------------------------------------------------------------------------


@_fault("delayed pongs", 2, where="open")
async def _(scene, rng, struck):
    delay_s = rng.choice((0.2, 3.0, 25.0))

    def trap(passage, one):
        if one.opcode != PONG or one.direction != "down":
            return False
        struck()
        scene.later(delay_s, lambda: passage.send("down", one.raw))
        return True

    scene.trap(trap)


@_fault("duplicated pongs", 2, where="open")
async def _(scene, rng, struck):
    again_s = rng.choice((0.0, 0.0, 1.0, 6.0))

    def trap(passage, one):
        if one.opcode == PONG and one.direction == "down":
            struck()
            scene.later(again_s, lambda: passage.send("down", one.raw))
        return False

    scene.trap(trap)


@_fault("pongs that nobody asked for", where="open")
async def _(scene, rng, struck):
    for payload in (b"", b"chaos", b"\xff" * 125):
        scene.inject(frame(PONG, payload))
    struck()


@_fault("pings from the server", where="open")
async def _(scene, rng, struck):
    for size in (0, 4, 125):
        scene.inject(frame(PING, b"x" * size))
    struck()


# --- goAway ----------------------------------------------------------------------------------------------------------


@_fault("goAway", 4)
async def _(scene, rng, struck):
    time_left_s = rng.choice((0.5, 2.0, 10.0, 50.0))
    for connection in scene.emulator.connections:
        await connection.go_away(time_left_s)
        struck()


@_fault("goAway said too late", 2)
async def _(scene, rng, struck):
    for connection in scene.emulator.connections:
        await connection.go_away(rng.choice((0.0, 0.01, 0.05)))
        struck()


@_fault("goAway said again", 1, where="open")
async def _(scene, rng, struck):
    struck()
    for _ in range(3):
        scene.inject(frame(BINARY, b'{"goAway":{"timeLeft":"2.5s"}}'))
        await asyncio.sleep(rng.choice((0, 0.01, 0.5)))


@_fault("goAway without a time", 1, where="open")
async def _(scene, rng, struck):
    struck()
    scene.inject(frame(BINARY, b'{"goAway":{}}'))


@_fault("silence after goAway", 2)
async def _(scene, rng, struck):
    faults = Faults(go_away_after_s=0.2, go_away_time_left_s=rng.choice((0.5, 4.0)), go_away_silent=True)
    await scene.meet_next(rng, faults=faults, struck=struck)


@_fault("the end without goAway", 2)
async def _(scene, rng, struck):
    scene.close(
        rng.choice((1011, 1008, 1000)),
        {
            1011: "Deadline expired before operation could complete.",
            1008: "The operation was aborted.",
        },
    )
    struck()


# --- resumption ------------------------------------------------------------------------------------------------------


@_fault("refused resume", 2)
async def _(scene, rng, struck):
    faults = Faults(refuse_resume_s=rng.choice((0.5, 1.5, 1.5, 9.0)))
    await scene.meet_next(rng, faults=faults, struck=struck, connections=9)


@_fault("stale handle", 2)
async def _(scene, rng, struck):
    faults = Faults(handle_valid_s=0.0, handle_refusal=rng.choice(("session", "entity", "handle")))
    await scene.meet_next(rng, faults=faults, struck=struck)


@_fault("updates without a handle", 1)
async def _(scene, rng, struck):
    await scene.meet_next(rng, faults=Faults(unresumable=True), struck=struck)


@_fault("updates without an index", 0.5, where="vertex")
async def _(scene, rng, struck):
    await scene.meet_next(rng, faults=Faults(omit_index=True), struck=struck)


# --- closes ----------------------------------------------------------------------------------------------------------

CLOSES = (
    (1000, ""),
    (1001, ""),
    (1008, "The operation was aborted."),
    (1008, "Operation is not implemented, or supported, or enabled."),
    (1008, "BidiGenerateContent session not found"),
    (1008, "Requested entity was not found."),
    (1007, "Invalid session handle"),
    (1011, "Internal error encountered."),
    (1011, "Internal error occurred."),
    (1011, "Deadline expired before operation could complete."),
    (1011, "The service is currently unavailable."),
    (1011, "RESOURCE_EXHAUSTED: Maximum concurrent sessions exceeded."),
    (1012, ""),
)
"""After which a session goes on (protocol facts: close codes and reasons seen in the wild)."""
FATAL = (
    (1007, "API key not valid. Please pass a valid API key.", "credentials"),
    (1007, "Request contains an invalid argument.", "setup"),
    (1007, "Invalid JSON payload received. Unknown name \"x\" at 'y': Cannot find field.", "setup"),
    (1007, "Cannot extract voices from a non-audio request", "setup"),
    (1007, "setup must be the first message and only the first", "setup"),
    (1008, "models/x is not found for API version v1beta, or is not supported for bidiGenerateContent.", "setup"),
    (1008, "Your API key was reported as leaked. Please use another API key.", "credentials"),
    (1008, "Method doesn't allow unregistered callers", "credentials"),
    (1009, "", "setup"),
)
"""After which it has ended: code, reason, and the kind that it must tell."""
QUOTA = (1011, "You exceeded your current quota, please check your plan and billing details.")
TOKENS = ("Token has been used too many times", "auth token has expired", "Token has expired")


@_fault("close by the server", 6)
async def _(scene, rng, struck):
    code, reason = rng.choice(scene.closes)
    await asyncio.sleep(rng.choice((0, 0, 0.05, 0.5)))
    struck()
    scene.close(code, {code: reason})


@_fault("close by something in between", 2, where="open")
async def _(scene, rng, struck):
    """A close frame that the server knows nothing of; it hears the client's answer."""
    code, reason = rng.choice(scene.closes)
    struck()
    scene.inject(frame(CLOSE, code.to_bytes(2, "big") + reason.encode()))


@_fault("close frame without a code", 1, where="open")
async def _(scene, rng, struck):
    struck()
    scene.inject(frame(CLOSE, b""))


@_fault("close before setupComplete", 2)
async def _(scene, rng, struck):
    code, reason = rng.choice([close for close in scene.closes if close[0] != 1007])
    if code == 1008 and "implemented" in reason:
        code, reason = 1011, "Internal error encountered."  # that text is fatal before setupComplete
    faults = Faults(close_at_setup=True, close_code=code, close_reason=reason)
    await scene.meet_next(rng, faults=faults, struck=struck)


@_fault("quota", 0.3)
async def _(scene, rng, struck):
    struck()
    scene.close(QUOTA[0], {QUOTA[0]: QUOTA[1]})


@_fault("expired token", 2)
async def _(scene, rng, struck):
    asked = scene.credentials_asked
    scene.close(1011, {1011: rng.choice(TOKENS)})
    await scene.within(10.0, scene.until(lambda: scene.credentials_asked > asked))
    if scene.credentials_asked > asked:
        struck()


# --- dials that fail -------------------------------------------------------------------------------------------------


@_fault("HTTP 429 at the upgrade", 0.3)
async def _(scene, rng, struck):
    await scene.meet_next(rng, faults=Faults(http_status=429), struck=struck)


@_fault("HTTP 5xx at the upgrade", 2)
async def _(scene, rng, struck):
    await scene.meet_next(rng, faults=Faults(http_status=rng.choice((500, 502, 503))), struck=struck)


@_fault("dial refused", 2)
async def _(scene, rng, struck):
    scene.detour(scene.nobody_url, rng.randint(1, 3), struck)
    scene.cut(rng)


@_fault("DNS failure", 1)
async def _(scene, rng, struck):
    scene.detour("ws://nowhere.localhost:9", rng.randint(1, 2), struck)
    scene.cut(rng)


@_fault("the credential provider fails", 1)
async def _(scene, rng, struck):
    scene.fail_credentials(rng.randint(1, 2), rng.choice((OSError, LookupError, TimeoutError)), struck)
    scene.cut(rng)


@_fault("TLS failure", 4, where="tls")
async def _(scene, rng, struck):
    answer = rng.choice((b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(200), rng.randbytes(300), b""))

    def trap(passage, one):
        struck()
        passage.send("down", answer)
        passage.cut(reset=False)
        return True

    await scene.meet_next(rng, trap=trap)


@_fault("TLS broken in the middle", 2, where="tls")
async def _(scene, rng, struck):
    def trap(passage, one):
        if one.direction != "down":
            return False
        struck()
        spoilt = bytearray(one.raw)
        spoilt[rng.randrange(len(spoilt))] ^= 0x55
        passage.send("down", bytes(spoilt))
        scene.later(1.0, passage.cut)  # a spoilt length may leave both sides waiting
        return True

    scene.trap(trap)


@_fault("an upgrade that is never answered", 0.5, where="open")
async def _(scene, rng, struck):
    def trap(passage, one):
        struck()
        passage.swallowed |= {"up", "down"}
        return True

    await scene.meet_next(rng, trap=trap)


@_fault("a setup that is never answered", 0.5, where="open")
async def _(scene, rng, struck):
    def trap(passage, one):
        if one.opcode not in _DATA:
            return False
        struck()
        passage.swallowed |= {"up", "down"}
        return True

    await scene.meet_next(rng, trap=trap)


# --- what comes in ---------------------------------------------------------------------------------------------------

_NONSENSE = (
    b"{",
    b"null",
    b"[]",
    b'"setupComplete"',
    b'{"serverContent":5}',
    b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"!"}}]}}}',
    b'{"toolCall":{"functionCalls":[{"id":7}]}}',
    b'{"sessionResumptionUpdate":{"newHandle":5,"resumable":true}}',
    b'{"goAway":{"timeLeft":"soon"}}',
    b'{"usageMetadata":"none","nobodyKnows":{"this":1}}',
    b"\xef\xbb\xbf{}",
    b"[" * 20_000,
)


@_fault("nonsense in a message", 2, where="open")
async def _(scene, rng, struck):
    payload = rng.choice((*_NONSENSE, rng.randbytes(rng.randint(1, 300))))
    struck()
    scene.inject(frame(BINARY, payload))


@_fault("text that is not UTF-8", 1, where="open")
async def _(scene, rng, struck):
    struck()
    scene.inject(frame(TEXT, b'{"serverContent":{"outputTranscription":{"text":"\xff\xfe"}}}'))


@_fault("garbage in the stream", 2, where="open")
async def _(scene, rng, struck):
    struck()
    scene.inject(rng.choice((rng.randbytes(rng.randint(1, 60)), b"\xf3\x7f" + bytes(20), b"HTTP/1.1 500 Oops\r\n\r\n")))
    passage = scene.proxy.current
    if passage is not None:
        scene.later(2.0, passage.cut)  # garbage may read as the head of a frame that never ends


@_fault("empty messages", 2, where="open")
async def _(scene, rng, struck):
    struck()
    for opcode, payload in ((BINARY, b""), (TEXT, b""), (BINARY, b"{}"), (BINARY, b'{"serverContent":{}}')):
        scene.inject(frame(opcode, payload))


@_fault("a message of 10 MB", 0.1, where="open")
async def _(scene, rng, struck):
    audio = (
        b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"%s"}}]}}}'
    )
    unknown = b'{"nobodyKnows":"%s"}'
    struck()
    scene.inject(frame(BINARY, rng.choice((audio, unknown)) % (b"A" * 10_000_000)))


@_fault("a message in pieces", 1, where="open")
async def _(scene, rng, struck):
    payload = json.dumps({"serverContent": {"outputTranscription": {"text": "in pieces"}}}).encode()
    at = rng.randrange(len(payload))
    struck()
    scene.inject(
        frame(TEXT, payload[:at], final=False)
        + frame(PING, b"between")
        + frame(0, b"", final=False)
        + frame(0, payload[at:])
    )


@_fault("audio after its interruption", 2, Driver.interrupt, "open")
async def _(scene, rng, struck):
    stale = msgspec.json.encode({"data": STALE + bytes(956)})
    late = (
        b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000",%s}]}}}'
        % stale[1:-1]
    )

    def trap(passage, one):
        if b'"interrupted":true' not in one.raw or one.direction != "down":
            return False
        struck()
        passage.send("down", one.raw)
        passage.send("down", frame(BINARY, late))
        return True

    scene.trap(trap)


@_fault("an interruption by nobody", 1)
async def _(scene, rng, struck):
    for connection in scene.emulator.connections:
        connection.interrupt()
        struck()


# --- slowness --------------------------------------------------------------------------------------------------------


@_fault("slow reading", 2, Driver.say)
async def _(scene, rng, struck):
    scene.slow_down("down", rng.choice((500.0, 20_000.0)), rng)
    struck()


@_fault("slow writing", 2, Driver.utter)
async def _(scene, rng, struck):
    scene.slow_down("up", rng.choice((500.0, 20_000.0)), rng)
    struck()
