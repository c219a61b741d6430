"""Cameras, which are stand-ins, and a video file, which OpenCV itself has written and reads."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import numpy as np
import pytest

import gemini_live as live
from gemini_live import emulator
from gemini_live.media import Camera, Jpeg, VideoFileSource
from gemini_live.media import frames as frames_module

cv2 = pytest.importorskip("cv2", reason="needs the extra: gemini-live[camera]")


def shade(jpeg):
    return int(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).mean())


class Sink:
    """Takes pictures; the session ends after so many."""

    def __init__(self, most=1_000):
        self.most = most
        self.shades = []
        self.moments = []
        self.threads = set()

    def feed_video(self, image):
        self.threads.add(threading.current_thread().name)
        self.shades.append(shade(image))
        self.moments.append(time.monotonic())
        return len(self.shades) < self.most


class Capture:
    """A camera at 200 pictures a second, each a little brighter, with a queue of stale ones as drivers have."""

    retrieves = True

    def __init__(self, *, opens=True, grabs=10_000, stale=4, hangs=False):
        self._opens, self._grabs, self._stale, self._hangs = opens, grabs, stale, hangs
        self.moments = []
        self.options = {}
        self.released = threading.Event()
        self.unplugged = threading.Event()

    def isOpened(self):  # noqa: N802 - OpenCV's spelling
        return self._opens

    def set(self, option, value):
        self.options[option] = value

    def grab(self):
        if self._hangs:
            self.unplugged.wait(20)
        if self.unplugged.is_set() or len(self.moments) >= self._grabs:
            return False
        if len(self.moments) >= self._stale:
            time.sleep(0.005)
        self.moments.append(time.monotonic())
        return True

    def retrieve(self):
        return self.retrieves, np.full((48, 64, 3), min(255, len(self.moments)), np.uint8)

    def release(self):
        self.released.set()


@pytest.fixture
def plug(monkeypatch):
    """Plug a camera in."""
    plugged = []

    def plug(capture):
        monkeypatch.setattr(cv2, "VideoCapture", lambda _device: capture)
        plugged.append(capture)
        return capture

    yield plug
    for capture in plugged:
        capture.unplugged.set()  # lets a thread that hangs go


async def test_it_shows_what_is_there_now_and_not_what_the_driver_kept(plug):
    capture = plug(Capture())
    sink = Sink(most=4)
    async with Camera(fps=10) as camera:
        await asyncio.sleep(0.2)
        began_at = time.monotonic()
        await camera.stream_to(sink)
    assert capture.released.is_set()
    # when each picture was taken; a tenth of a second is for what the driver has kept
    taken_at = np.array([capture.moments[shade - 1] for shade in sink.shades]) - began_at
    assert (taken_at >= 0.1 * np.arange(1, 5)).all()
    assert taken_at[-1] < 2
    assert sink.threads == {"gemini-live camera 0"}, "encoding must not be the loop's work"


async def test_it_takes_the_size_that_is_asked_for(plug):
    capture = plug(Capture())
    async with Camera(width=640, height=480):
        assert capture.options == {cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480}


async def test_a_picture_may_be_changed_on_its_way(plug):
    plug(Capture())
    sink = Sink(most=2)
    await Camera(fps=50, jpeg=Jpeg(quality=90), process=lambda frame: frame * 0 + 99).stream_to(sink)
    assert sink.shades == [99, 99]


async def test_what_the_users_function_raises_is_raised_by_the_stream(plug):
    capture = plug(Capture())
    with pytest.raises(ZeroDivisionError):
        await Camera(process=lambda _frame: 1 / 0).stream_to(Sink())
    assert capture.released.is_set()


async def test_an_iterator_of_the_users_that_has_ended_ends_the_stream(plug):
    """No future takes a StopIteration, and the stream would wait for ever."""
    plug(Capture())
    pictures = iter([np.zeros((48, 64, 3), np.uint8)])
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        await asyncio.wait_for(Camera(fps=50, process=lambda _frame: next(pictures)).stream_to(Sink()), 5)
    assert isinstance(caught.value.__cause__, StopIteration)


async def test_a_camera_that_is_not_there_says_so(plug):
    capture = plug(Capture(opens=False))
    with pytest.raises(live.DeviceError, match="camera 3: cannot be opened") as caught:
        async with Camera(3):
            pass
    assert caught.value.device == "camera 3"
    assert capture.released.is_set()


@pytest.mark.parametrize("capture", [{"grabs": 0}, {"hangs": True}])
async def test_a_camera_that_gives_nothing_is_given_up(plug, capture):
    plug(Capture(**capture))
    began_at = time.monotonic()
    with pytest.raises(live.DeviceError, match="camera 0: gives no picture") as caught:
        await Camera(patience_s=0.3).stream_to(Sink())
    assert not isinstance(caught.value, live.DeviceLost), "it was never there"
    assert time.monotonic() - began_at < 3


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_camera_that_is_unplugged_is_named(plug, hangs):
    capture = plug(Capture())
    sink = Sink()
    camera = Camera(2, fps=50, patience_s=0.5)
    streaming = asyncio.create_task(camera.stream_to(sink))
    while len(sink.shades) < 3:
        await asyncio.sleep(0.01)
    if hangs:
        capture._hangs = True
    else:
        capture.unplugged.set()
    with pytest.raises(live.DeviceLost, match="camera 2") as caught:
        await asyncio.wait_for(streaming, 10)
    assert caught.value.device == "camera 2"


async def test_a_camera_whose_pictures_cannot_be_decoded_any_more_is_given_up(plug):
    capture = plug(Capture())
    sink = Sink()
    streaming = asyncio.create_task(Camera(fps=50, patience_s=0.5).stream_to(sink))
    while len(sink.shades) < 3:
        await asyncio.sleep(0.01)
    capture.retrieves = False
    with pytest.raises(live.DeviceLost, match="camera 0: gives no pictures"):
        await asyncio.wait_for(streaming, 5)


async def test_one_that_hangs_is_not_used_again_before_it_has_let_go(plug):
    """Two threads with one camera would release each other's."""
    first = plug(Capture(hangs=True))
    camera = Camera(fps=50, patience_s=0.2)
    with pytest.raises(live.DeviceError, match="gives no picture"):
        await camera.stream_to(Sink())
    second = plug(Capture())
    with pytest.raises(live.DeviceError, match="hangs"):
        await camera.stream_to(Sink())
    assert not second.moments
    first._hangs = False
    first.unplugged.set()
    sink = Sink(most=3)
    await camera.stream_to(sink)
    assert len(sink.shades) == 3
    assert first.released.is_set()
    assert second.released.is_set()


async def test_one_that_is_still_being_opened_is_streamed_once_too(plug):
    capture = plug(Capture())
    camera, sink = Camera(fps=50), Sink(most=2)
    streaming = asyncio.create_task(camera.stream_to(sink))
    await asyncio.sleep(0)
    with pytest.raises(live.ConfigError, match="already"):
        await camera.stream_to(Sink())
    await asyncio.wait_for(streaming, 5)
    assert len(sink.shades) == 2
    assert capture.released.is_set()


async def test_a_driver_that_fails_to_let_go_hides_nothing(plug, monkeypatch):
    capture = plug(Capture())
    monkeypatch.setattr(capture, "release", lambda: 1 / 0)

    def fail(_frame):
        raise LookupError

    with pytest.raises(LookupError):
        await asyncio.wait_for(Camera(process=fail).stream_to(Sink()), 5)


async def test_a_password_in_the_url_is_in_no_message(plug):
    plug(Capture(opens=False))
    with pytest.raises(live.DeviceError) as caught:
        await Camera("rtsp://me:secret@host/1").stream_to(Sink())
    assert "secret" not in str(caught.value)
    assert "URL" in str(caught.value)


async def test_a_stream_that_is_cancelled_can_begin_again(plug):
    capture = plug(Capture())
    async with Camera(fps=50) as camera:
        for _ in range(2):
            sink = Sink()
            streaming = asyncio.create_task(camera.stream_to(sink))
            while len(sink.shades) < 2:
                await asyncio.sleep(0.01)
            streaming.cancel()
            await asyncio.wait([streaming])
            seen = len(sink.shades)
            await asyncio.sleep(0.1)
            assert len(sink.shades) == seen
        assert not capture.released.is_set()
    assert capture.released.is_set()


async def test_a_stream_that_was_cancelled_in_a_slow_function_is_not_taken_up_again(plug, monkeypatch):
    """What it was showing may be meant for nobody else, and the next stream has a sink of its own."""
    monkeypatch.setattr(frames_module, "_GOODBYE_S", 0.05)
    plug(Capture())
    busy, go_on = threading.Event(), threading.Event()

    def process(frame):
        if not go_on.is_set():
            busy.set()
            go_on.wait(20)
        return frame

    async with Camera(fps=50, process=process) as camera:
        past, present = Sink(), Sink(most=3)
        streaming = asyncio.create_task(camera.stream_to(past))
        await asyncio.to_thread(busy.wait, 20)
        streaming.cancel()
        await asyncio.wait([streaming])
        streaming = asyncio.create_task(camera.stream_to(present))
        await asyncio.sleep(0.01)
        go_on.set()
        await asyncio.wait_for(streaming, 5)
    assert not past.shades
    assert len(present.shades) == 3


async def test_a_stream_that_was_cancelled_while_the_camera_was_slow_is_not_waited_for(plug, monkeypatch):
    """The next one would begin when the picture of the one before is due."""
    monkeypatch.setattr(frames_module, "_GOODBYE_S", 0.05)
    capture = plug(Capture())
    async with Camera(fps=0.05) as camera:
        past, present = Sink(), Sink(most=1)
        streaming = asyncio.create_task(camera.stream_to(past))
        while not past.shades:
            await asyncio.sleep(0.01)
        asked, go_on = threading.Event(), threading.Event()

        def grab():
            asked.set()
            go_on.wait(20)
            return True

        with monkeypatch.context() as slow:
            slow.setattr(capture, "grab", grab)
            await asyncio.to_thread(asked.wait, 20)
            streaming.cancel()
            await asyncio.wait([streaming])
        streaming = asyncio.create_task(camera.stream_to(present))
        await asyncio.sleep(0.01)
        go_on.set()
        await asyncio.wait_for(streaming, 5)
    assert len(past.shades) == 1


async def test_one_that_stopped_is_opened_again_by_the_next_stream(plug):
    """Though somebody holds it open all the while."""
    first = plug(Capture())
    faults = [LookupError]

    def process(frame):
        if faults:
            raise faults.pop()
        return frame

    async with Camera(fps=50, process=process) as camera:
        with pytest.raises(LookupError):
            await asyncio.wait_for(camera.stream_to(Sink()), 5)
        assert first.released.is_set()
        second, sink = plug(Capture()), Sink(most=3)
        await asyncio.wait_for(camera.stream_to(sink), 5)
        assert len(sink.shades) == 3
    assert second.released.is_set()


async def test_one_camera_is_streamed_once_at_a_time(plug):
    plug(Capture())
    async with Camera(fps=50) as camera:
        streaming = asyncio.create_task(camera.stream_to(Sink()))
        await asyncio.sleep(0.05)
        with pytest.raises(live.ConfigError, match="already"):
            await camera.stream_to(Sink())
        streaming.cancel()
        await asyncio.wait([streaming])


@pytest.mark.parametrize("fps", [0, -1, 100])
def test_an_impossible_rate_is_refused(fps):
    with pytest.raises(live.ConfigError) as caught:
        Camera(fps=fps)
    assert caught.value.path == "fps"


async def test_without_opencv_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ModuleNotFoundError, match=r"gemini-live\[camera\]"):
        await Camera().stream_to(Sink())


# --- a video file ---------------------------------------------------------------------------------------------------


@pytest.fixture
def clip(tmp_path):
    """Two seconds, which become brighter with each of their 40 pictures."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for number in range(40):
        writer.write(np.full((48, 64, 3), 10 + 5 * number, np.uint8))
    writer.release()
    return path


async def test_a_file_is_shown_in_real_time_and_ends(clip):
    sink = Sink()
    began_at = time.monotonic()
    await VideoFileSource(clip, fps=2).stream_to(sink)
    assert 1.95 < time.monotonic() - began_at < 4
    # every tenth picture of the file, as it is on the screen half a second later
    assert len(sink.shades) == 4
    assert np.abs(np.array(sink.shades) - (10 + 50 * np.arange(4))).max() <= 4
    assert (np.array(sink.moments) - began_at >= 0.5 * np.arange(4)).all()


async def test_a_file_begins_when_it_is_streamed(clip):
    async with VideoFileSource(clip, fps=4) as source:
        await asyncio.sleep(0.4)
        sink = Sink(most=2)
        await source.stream_to(sink)
    assert abs(sink.shades[0] - 10) <= 4


async def test_a_file_goes_on_where_it_was(clip):
    """Of an open one the next stream sends what is left, in real time, and not the last picture until it catches up."""
    async with VideoFileSource(clip, fps=10) as source:
        for first in (10, 40):
            sink = Sink(most=3)
            await source.stream_to(sink)
            assert np.abs(np.array(sink.shades) - (first + 10 * np.arange(3))).max() <= 9
        rest, began_at = Sink(), time.monotonic()
        await source.stream_to(rest)
        assert time.monotonic() - began_at > 1.2
        assert rest.shades[0] < 90
        assert rest.shades[-1] > 190
        assert len(set(rest.shades)) == len(rest.shades) > 12


async def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(live.DeviceError, match=r"clip\.mp4: is not a video"):
        await VideoFileSource(tmp_path / "clip.mp4").stream_to(Sink())
    with pytest.raises(FileNotFoundError):
        await VideoFileSource(tmp_path / "none.mp4").stream_to(Sink())


async def test_a_file_without_a_picture_is_refused(clip):
    """As a recorder leaves it that was switched off: a head, and nothing behind it."""
    whole = clip.read_bytes()
    clip.write_bytes(whole[: whole.index(b"movi") + 4])
    with pytest.raises(live.DeviceError, match=r"clip\.avi: has no picture"):
        await VideoFileSource(clip).stream_to(Sink())


async def test_a_session_shows_a_file(clip):
    """The camera's path from end to end, into what the service received."""
    async with emulator.Emulator() as server:
        async with live.connect("gemini-3.8-live", endpoint=server.url, auth="key") as session:
            await session.stream(VideoFileSource(clip, fps=2))
            await session.drain()
            assert session.stats.by_kind["video"].accepted == 4
        images = server.ledger.sessions[0].images
    assert np.abs(np.array([shade(jpeg) for jpeg in images]) - (10 + 50 * np.arange(4))).max() <= 4


async def test_a_session_that_ends_ends_the_stream(plug):
    plug(Capture())
    async with emulator.serve() as url, live.connect("gemini-3.8-live", endpoint=url, auth="key") as session:
        streaming = asyncio.create_task(session.stream(Camera(fps=50)))
        while not session.stats.written:
            await asyncio.sleep(0.01)
        await session.close()
        await asyncio.wait_for(streaming, 5)
