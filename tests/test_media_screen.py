"""A screen, by a stand-in for mss."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import gemini_live as live
from gemini_live.media import Screen

cv2 = pytest.importorskip("cv2", reason="needs the extra: gemini-live[screen]")


class ScreenShotError(Exception):
    pass


class Mss:
    """Two monitors, one beside the other: the first is red, the second blue."""

    monitors = ({"left": 0, "width": 128}, {"left": 0, "width": 64}, {"left": 64, "width": 64})
    gone = False
    closed = False

    def grab(self, monitor):
        if self.gone:
            raise ScreenShotError("XGetImage() failed")
        picture = np.zeros((48, 128, 4), np.uint8)
        picture[:, :64, 2] = picture[:, 64:, 0] = 255
        shot = picture[:, monitor["left"] : monitor["left"] + monitor["width"]]
        return SimpleNamespace(bgra=shot.tobytes(), width=shot.shape[1], height=48)

    def close(self):
        self.closed = True


@pytest.fixture
def mss(monkeypatch):
    mss = Mss()
    module = SimpleNamespace(MSS=lambda: mss, exception=SimpleNamespace(ScreenShotError=ScreenShotError))
    monkeypatch.setitem(sys.modules, "mss", module)
    monkeypatch.setitem(sys.modules, "mss.exception", module.exception)
    return mss


class Sink:
    def __init__(self, most):
        self.most = most
        self.pictures = []

    def feed_video(self, image):
        self.pictures.append(cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR))
        return len(self.pictures) < self.most


@pytest.mark.parametrize(("monitor", "width", "colour"), [(1, 64, (0, 0, 255)), (2, 64, (255, 0, 0)), (0, 128, None)])
async def test_it_shows_the_monitor(mss, monitor, width, colour):
    sink = Sink(2)
    await Screen(monitor, fps=50).stream_to(sink)
    assert [picture.shape for picture in sink.pictures] == [(48, width, 3)] * 2
    if colour is not None:
        assert np.abs(sink.pictures[1][24, 32].astype(int) - colour).max() <= 4
    assert mss.closed


async def test_a_monitor_that_is_not_there_is_refused(mss):
    with pytest.raises(live.DeviceError, match="monitor 3: there are 2 monitors"):
        await Screen(3).stream_to(Sink(1))
    assert mss.closed


async def test_a_machine_without_a_screen_says_so(mss, monkeypatch):
    def fail():
        raise ScreenShotError("$DISPLAY not set")

    monkeypatch.setattr(sys.modules["mss"], "MSS", fail)
    with pytest.raises(live.DeviceError, match="there is no screen"):
        await Screen().stream_to(Sink(1))


async def test_a_screen_that_goes_away_is_named(mss):
    sink = Sink(1_000)
    streaming = asyncio.create_task(Screen(fps=50).stream_to(sink))
    while not sink.pictures:
        await asyncio.sleep(0.01)
    mss.gone = True
    with pytest.raises(live.DeviceLost, match="monitor 1"):
        await streaming


async def test_without_mss_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mss", None)
    monkeypatch.delitem(sys.modules, "mss.exception", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"gemini-live\[screen\]"):
        await Screen().stream_to(Sink(1))
