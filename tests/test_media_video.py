"""Pixels to JPEG, and how often: with the real OpenCV."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import gemini_live as live
from gemini_live import emulator
from gemini_live.media import Jpeg
from gemini_live.media.video import VideoFeed

cv2 = pytest.importorskip("cv2", reason="needs the extra: gemini-live[video]")

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 30), (30, 30, 220)


def plain(colour, height=120, width=160):
    return np.full((height, width, len(colour)), colour, np.uint8)


def photo(height, width, channels=3):
    """Smooth, as pictures are, and no two pixels alike."""
    small = np.random.default_rng(1).integers(0, 255, (height // 16, width // 16, channels), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def decoded(jpeg):
    """As RGB."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def middle(jpeg):
    picture = decoded(jpeg)
    return picture[picture.shape[0] // 2, picture.shape[1] // 2]


# --- one picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [RED, GREEN, BLUE])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("side", [160, 1_600])
def test_colours_stay_what_they_are(colour, order, alpha, side):
    pixels = (colour if order == "rgb" else colour[::-1]) + ((255,) if alpha else ())
    jpeg = Jpeg().encode(plain(pixels, side, side), order=order)
    assert jpeg.startswith(b"\xff\xd8\xff")
    assert np.abs(middle(jpeg).astype(int) - colour).max() <= 4


@pytest.mark.parametrize("shape", [(90, 120), (90, 120, 1)])
def test_gray_is_gray(shape):
    jpeg = Jpeg().encode(np.full(shape, 77, np.uint8))
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED).ndim == 2
    assert np.abs(middle(jpeg).astype(int) - 77).max() <= 1


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ((1_080, 1_920), (432, 768)),
        ((1_920, 1_080), (768, 432)),
        ((768, 768), (768, 768)),
        ((100, 90), (100, 90)),
        ((1, 5_000), (1, 768)),
        ((1, 1), (1, 1)),
    ],
)
def test_a_large_picture_is_made_smaller_and_a_small_one_is_not_made_larger(given, sent):
    assert decoded(Jpeg().encode(np.zeros((*given, 3), np.uint8))).shape[:2] == sent


def test_what_is_seen_is_the_picture_and_not_only_its_colour():
    pixels = photo(480, 640)
    error = np.abs(decoded(Jpeg().encode(pixels)).astype(int) - pixels)
    assert error.mean() < 4


@pytest.mark.parametrize(
    "of", [lambda p: p[::-1, ::-1], lambda p: p[::2, ::2], np.asfortranarray, lambda p: np.pad(p, 4)[4:-4, 4:-4, 4:-4]]
)
def test_any_memory_layout_will_do(of):
    pixels = of(photo(480, 640))
    assert Jpeg().encode(pixels) == Jpeg().encode(np.ascontiguousarray(pixels))


@pytest.mark.parametrize("max_bytes", [8_192, 20_000, 60_000, 100_000])
def test_the_budget_is_kept_whatever_is_shown(max_bytes):
    noise = np.random.default_rng(2).integers(0, 255, (768, 768, 3), np.uint8)
    jpeg = Jpeg(max_bytes=max_bytes).encode(noise)
    assert len(jpeg) <= max_bytes
    assert len(jpeg) > max_bytes // 5, "it could have been better"


def test_quality_goes_before_size():
    pixels = photo(768, 768)
    full = Jpeg(max_bytes=10_000_000).encode(pixels)
    less = Jpeg(max_bytes=len(full) * 2 // 3).encode(pixels)
    assert decoded(less).shape == (768, 768, 3)
    assert len(Jpeg(quality=95, max_bytes=10_000_000).encode(pixels)) > len(full)


@pytest.mark.parametrize(
    ("pixels", "error", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), TypeError, "multiply by 255"),
        (np.zeros((4, 4, 3), np.uint16), TypeError, "uint8"),
        (np.zeros((4, 4), bool), TypeError, "uint8"),
        (np.zeros((3, 40, 50), np.uint8), ValueError, r"transpose\(1, 2, 0\)"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, "height, width"),
        (np.zeros((1, 4, 4, 3), np.uint8), ValueError, "height, width"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "no pixels"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_is_one(pixels, error, words):
    with pytest.raises(error, match=words):
        Jpeg().encode(pixels)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [({"longest_side": 0}, "longest_side"), ({"quality": 100}, "quality"), ({"max_bytes": 9}, "max_bytes")],
)
def test_impossible_settings_are_refused(arguments, path):
    with pytest.raises(live.ConfigError) as caught:
        Jpeg(**arguments)
    assert caught.value.path == path


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "gemini-live\[video\]"'):
        Jpeg().encode(plain(RED))


# --- how often ------------------------------------------------------------------------------------------------------


class Taken(list):
    """What a feed has handed on, and how many pictures that took the place of."""

    def __call__(self, jpeg, superseded):
        assert threading.current_thread() is not threading.main_thread(), "a picture was encoded on the loop"
        self.append((int(middle(jpeg)[0]), superseded))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def gray(value):
    return np.full((32, 32), value, np.uint8)


async def test_of_many_pictures_the_newest_is_taken_each_time():
    taken = Taken()
    feed = VideoFeed(asyncio.get_running_loop(), taken, interval_s=0.5)
    feed.put(gray(10))
    await until(lambda: taken)
    for value in (20, 30, 40):
        feed.put(gray(value))
    await until(lambda: len(taken) == 2)
    await asyncio.sleep(0.6)
    assert taken == [(10, 0), (40, 2)], "nothing comes twice"


async def test_the_interval_is_kept():
    moments = []
    loop = asyncio.get_running_loop()
    feed = VideoFeed(loop, lambda *_: moments.append(loop.time()), interval_s=0.1)
    stop_at = loop.time() + 0.55
    while loop.time() < stop_at:
        feed.put(gray(1))
        await asyncio.sleep(0.01)
    feed.close()
    assert 2 <= len(moments) <= 6, "55 came"


async def test_a_pictures_memory_may_be_used_for_the_next_one():
    taken = Taken()
    feed = VideoFeed(asyncio.get_running_loop(), taken)
    pixels = gray(10)
    feed.put(pixels)
    pixels[:] = 200
    await feed.flush()
    assert taken == [(10, 0)]


async def test_flush_does_not_wait_for_the_time():
    taken = Taken()
    feed = VideoFeed(asyncio.get_running_loop(), taken, interval_s=3_600)
    for value in (10, 20):
        feed.put(gray(value))
        await feed.flush()
    await feed.flush()
    assert taken == [(10, 0), (20, 0)]
    feed.close()


@pytest.mark.parametrize("busy", [False, True])
async def test_flush_does_not_wait_for_what_comes_after_it(busy):
    """A camera may be faster than a small computer encodes, and whoever asks or closes must not wait for it to stop."""
    taken = Taken()
    begun, may_end = threading.Event(), threading.Event()

    class Slow:
        def encode(self, picture, *, order):
            feed.put(gray(int(picture[0, 0]) + 1))  # the camera's next one
            begun.set()
            may_end.wait()
            return Jpeg().encode(picture, order=order)

    feed = VideoFeed(asyncio.get_running_loop(), taken, jpeg=Slow())
    feed.put(gray(10))
    if busy:
        await asyncio.to_thread(begun.wait)
        feed.put(gray(100))
    may_end.set()
    async with asyncio.timeout(5.0):
        await feed.flush()
    assert [value for value, _ in taken] == ([10, 100] if busy else [10])
    feed.close()


async def test_a_closed_feed_hands_nothing_on():
    taken = Taken()
    feed = VideoFeed(asyncio.get_running_loop(), taken)
    feed.put(gray(1))
    feed.close()
    await feed.flush()
    await asyncio.sleep(0.05)
    assert taken == []


async def test_pictures_come_from_any_thread():
    taken = Taken()
    feed = VideoFeed(asyncio.get_running_loop(), taken, interval_s=0)
    threads = [threading.Thread(target=lambda: [feed.put(gray(50)) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    await feed.flush()
    assert len(taken) + sum(superseded for _, superseded in taken) == 200
    assert not feed.close()


def test_a_feed_whose_loop_is_gone_says_so():
    loop = asyncio.new_event_loop()
    feed = VideoFeed(loop, Taken())
    loop.close()
    assert feed.put(gray(1)) is False
    assert feed.put(gray(1)) is False, "nor does it forget that"


# --- in a session ---------------------------------------------------------------------------------------------------


async def test_a_session_takes_pixels_and_shows_the_newest():
    async with emulator.Emulator() as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="key") as session:
            await session.send_video(plain(RED))
            await until(lambda: session.stats.written)
            for colour in (GREEN, GREEN, BLUE):
                await session.send_video(plain(colour[::-1]), order="bgr")
            await session.send_text("What do you see?")
            events = session.events()
            await session.drain()
            assert session.stats.by_kind["video"].expired == 2
            while not isinstance(await anext(events), live.TurnComplete):
                pass
        heard = server.ledger.sessions[0]
        assert [entry.kind for entry in heard.log.entries] == ["video", "video", "text"]
        for jpeg, colour in zip(heard.images, (RED, BLUE), strict=True):
            assert np.abs(middle(jpeg).astype(int) - colour).max() <= 4


@pytest.mark.parametrize("given", [None, "frame.jpg", [[1, 2]], SimpleNamespace(mode="RGB")])
async def test_what_is_no_image_is_refused_with_what_is_one(given):
    async with emulator.serve() as url, live.connect("gemini-3.8-live", endpoint=url, auth="key") as session:
        with pytest.raises(TypeError, match=r"uint8.*JPEG or PNG"):
            await session.send_video(given)
        with pytest.raises(TypeError, match=r"uint8.*JPEG or PNG"):
            session.feed_video(given)


async def test_pixels_may_come_in_any_form_that_numpy_takes():
    """Of other libraries by their buffer, or by what they make of themselves."""
    pixels = plain(RED, 40, 50)

    class Tensor:
        ndim = 3

        def __array__(self, dtype=None, copy=None):
            return pixels

    assert Jpeg().encode(memoryview(pixels)) == Jpeg().encode(Tensor()) == Jpeg().encode(pixels)
    async with emulator.Emulator() as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="key") as session:
            await session.send_video(memoryview(pixels))
        (image,) = server.ledger.sessions[0].images
        assert np.abs(middle(image).astype(int) - RED).max() <= 4


async def test_a_session_says_which_pictures_it_dropped():
    async with emulator.serve() as url, live.connect("gemini-3.8-live", endpoint=url, auth="key") as session:
        events = session.events()
        for _ in range(4):
            assert session.feed_video(plain(RED))
        await session.drain()
        while not isinstance(event := await anext(events), live.InputDropped):
            pass
        assert event == live.InputDropped(kind="video", count=3)


@contextlib.asynccontextmanager
async def session_that_encodes():
    """A session in which closing has to wait for a picture."""
    worker = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(worker)
    release = threading.Event()
    async with emulator.serve() as url, live.connect("gemini-3.8-live", endpoint=url, auth="key") as session:
        while not isinstance(await session.next_event(), live.SessionResumption):
            pass
        worker.submit(release.wait)  # the only one is busy
        await session.send_video(plain(RED))
        try:
            yield session
        finally:
            release.set()


async def test_a_close_that_is_cancelled_while_a_picture_waits_has_begun_all_the_same():
    async with session_that_encodes() as session:
        closing = asyncio.create_task(session.close())
        await asyncio.sleep(0.05)
        assert session.status is live.SessionStatus.CONNECTED
        closing.cancel()
        async with asyncio.timeout(5.0):
            while not isinstance(event := await session.next_event(), live.Closed):
                pass
        assert event.kind is live.CloseKind.REQUESTED


async def test_a_handing_over_that_is_cancelled_while_a_picture_waits_has_not_begun():
    async with session_that_encodes() as session:
        leaving = asyncio.create_task(session.hand_over())
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.wait([leaving])
        await asyncio.sleep(0.05)
        assert session.status is live.SessionStatus.CONNECTED
        await session.send_audio(bytes(640))


async def test_closing_sends_the_picture_that_waits():
    async with emulator.Emulator() as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="key") as session:
            await session.send_video(plain(RED))
        assert len(server.ledger.sessions[0].images) == 1
        assert session.feed_video(plain(RED)) is False
        with pytest.raises(live.SessionClosed):
            await session.send_video(plain(RED))
