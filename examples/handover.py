"""A server that holds many sessions and gives them to its successor when it is told to end.

    python examples/handover.py --sessions 100 --state state/ [--endpoint ws://…]

SIGTERM, as a process manager sends it before a new version starts, packs every session up into a file of the state
folder; the next start finds the files and goes on with the same conversations. What was said in between waits in them.
"""

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

import gemini_live as live

MODEL = "gemini-3.8-live"
PATIENCE_S = 8.0  # of the 10 to 30 seconds that process managers usually give


async def open_sessions(count: int, state: Path, endpoint: str | None) -> list[live.Session]:
    """Go on with what a predecessor left, and begin anew for the rest."""
    sessions: list[live.Session] = []
    for packed in sorted(state.glob("*.json")):
        try:
            sessions.append(await live.connect(MODEL, endpoint=endpoint, resume=packed.read_bytes()))
        except (live.ConfigError, live.SetupError) as error:
            sys.stderr.write(f"{packed.name} cannot be resumed: {error}\n")
        except live.ConnectError as error:
            sys.stderr.write(f"{packed.name} waits for the next start: {error}\n")
            continue
        packed.unlink()
    resumed = len(sessions)
    sessions += await asyncio.gather(*(live.connect(MODEL, endpoint=endpoint) for _ in range(count - resumed)))
    sys.stdout.write(f"{resumed} resumed, {len(sessions) - resumed} new\n")
    sys.stdout.flush()
    return sessions


async def hand_over(session: live.Session, file: Path) -> bool:
    """Pack one session up; one that the service cannot resume is closed like any other."""
    try:
        snapshot = await session.hand_over(patience_s=PATIENCE_S)
    except (live.NotResumable, live.SessionClosed) as error:
        sys.stderr.write(f"{file.stem}: {error}\n")
        await session.close()
        return False
    file.touch(mode=0o600)  # it opens a conversation
    file.write_bytes(snapshot.to_json())
    return True


async def main(count: int, state: Path, endpoint: str | None) -> None:
    """Hold the sessions until SIGTERM."""
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    sessions = await open_sessions(count, state, endpoint)
    await told_to_end.wait()
    now = time.time_ns()  # in the names, so that what still waits there is not written over
    packed = await asyncio.gather(*(hand_over(one, state / f"{now}-{i:05}.json") for i, one in enumerate(sessions)))
    sys.stdout.write(f"{sum(packed)} handed over\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--state", type=Path, default=Path("state"))
    parser.add_argument("--endpoint")
    given = parser.parse_args()
    asyncio.run(main(given.sessions, given.state, given.endpoint))
