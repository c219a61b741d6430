"""A camera's picture to JPEG: for how long the event loop, on which speech waits, stands still.

``python benches/bench_video.py`` prints the table of docs/media.md: the longest time between two turns of a loop that
has nothing else to do, while one picture of 720p or 1080p is sent, and the CPU time that the picture takes. Contenders
take turns. The least of many rounds is what the picture itself costs; medians have what else the machine was doing.
"""

# Contenders are a line each and speak for themselves; a bench asserts, and prints.

import asyncio
import contextlib
import io
import os
import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gemini_live import _core
from gemini_live.media import Jpeg
from gemini_live.media.video import VideoFeed
from rig.statistics import ratios

if _core.BUILD_PROFILE != "release":
    sys.exit("a debug build is not what is installed: build with `make`")

SIDE, QUALITY = 768, 80
SIZES = {"720p": (720, 1_280), "1080p": (1_080, 1_920)}
ROUNDS = 41
SCHEDSTAT = Path("/proc/thread-self/schedstat")  # of Linux: time on the processor, time in wait for it


def photo(height, width):
    """Smooth, as pictures are, with a little noise, as cameras have it."""
    random = np.random.default_rng(1)
    small = random.integers(0, 255, (height // 16, width // 16, 3), np.uint8)
    noise = random.integers(0, 6, (height, width, 3), np.uint8)
    return cv2.add(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), noise)


def pillow(pixels, resample=Image.Resampling.BILINEAR):
    """With its own short cut for large pictures, and the filter that is closest to averaging areas."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE), resample, reducing_gap=2.0)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def pillow_lanczos(pixels):
    """As frameworks for voice agents do it."""
    return pillow(pixels, Image.Resampling.LANCZOS)


def opencv(pixels):
    return Jpeg(longest_side=SIDE, quality=QUALITY).encode(pixels)


async def on_the_loop(encode, pixels):
    return encode(pixels)


async def in_a_thread(encode, pixels):
    return await asyncio.to_thread(encode, pixels)


async def by_the_feed(_encode, pixels):
    """As `Session.send_video` does it."""
    jpegs = []
    feed = VideoFeed(asyncio.get_running_loop(), lambda jpeg, _superseded: jpegs.append(jpeg), interval_s=0)
    feed.put(pixels)
    await feed.flush()
    return jpegs[0]


CONTENDERS = {
    "PIL on the loop, Lanczos": (on_the_loop, pillow_lanczos),
    "PIL on the loop": (on_the_loop, pillow),
    "PIL in a thread": (in_a_thread, pillow),
    "OpenCV on the loop": (on_the_loop, opencv),
    "OpenCV in a thread": (in_a_thread, opencv),
    "send_video": (by_the_feed, opencv),
}


@contextlib.contextmanager
def clock():
    """Seconds, less those for which this thread could have run and another program did."""
    if not SCHEDSTAT.exists():
        yield time.perf_counter
        return
    file = os.open(SCHEDSTAT, os.O_RDONLY)
    yield lambda: time.perf_counter() - int(os.pread(file, 64, 0).split()[1]) / 1e9
    os.close(file)


async def stall_s(contender, pixels):
    """The longest time between two turns of the loop while one picture is encoded."""
    send, encode = CONTENDERS[contender]
    longest = 0.0
    sending = asyncio.create_task(send(encode, pixels))
    with clock() as now_s:
        before = now_s()
        while not sending.done():
            await asyncio.sleep(0)
            now = now_s()
            longest, before = max(longest, now - before), now
    return longest, sending.result()


def check(pixels):
    """Everybody's JPEG shows the picture, in the same size."""
    height, width = (round(side * SIDE / max(pixels.shape)) for side in pixels.shape[:2])
    expected = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).astype(int)
    for name in CONTENDERS:
        _, jpeg = asyncio.run(stall_s(name, pixels))
        shown = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        assert shown.shape == expected.shape, name
        assert np.abs(shown - expected).mean() < 8, name
        assert len(jpeg) < 150_000, name


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("size", SIZES)
def test_stall(benchmark, size, contender):
    pixels = photo(*SIZES[size])
    check(pixels)
    benchmark.group = f"{size} to JPEG: time until it is there; the stall of the loop is in extra_info"
    stalls = []

    def once() -> None:
        stalls.append(asyncio.run(stall_s(contender, pixels))[0] * 1000)

    benchmark(once)
    benchmark.extra_info["stall_ms"] = min(stalls)


def test_goal_of_a_picture(benchmark, goal):
    pixels = photo(*SIZES["720p"])
    check(pixels)
    rounds = ROUNDS if benchmark.enabled else 1
    ours, theirs = (
        [asyncio.run(stall_s(name, pixels))[0] for _ in range(rounds)] for name in ("send_video", "PIL on the loop")
    )
    goal.keep("video_stall", ratios(ours, theirs))
    benchmark.group = "goals"
    benchmark(lambda: asyncio.run(stall_s("send_video", pixels)))


def main():
    cv2.setNumThreads(1)
    print(f"OpenCV {cv2.__version__}, Pillow {Image.__version__}, NumPy {np.__version__}")
    for size, shape in SIZES.items():
        pixels = photo(*shape)
        check(pixels)
        stalls = {name: [] for name in CONTENDERS}
        costs = {name: [] for name in CONTENDERS}
        for _ in range(ROUNDS):
            for name in CONTENDERS:
                began_at = time.process_time()
                CONTENDERS[name][1](pixels)
                costs[name].append((time.process_time() - began_at) * 1000)
                stalls[name].append(asyncio.run(stall_s(name, pixels))[0] * 1000)
        for name in CONTENDERS:
            print(
                f"{size:6} {name:26} stalls for {min(stalls[name]):6.2f} ms (median "
                f"{statistics.median(stalls[name]):5.2f}), CPU {min(costs[name]):6.2f} ms"
            )


if __name__ == "__main__":
    main()
