"""How speech becomes messages: its chunks, the marks around it, and the word that nothing follows for now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gemini_live import codec
from gemini_live.interop import blob_from, pcm_from
from gemini_live.listener import Listener
from gemini_live.messages import RealtimeInput
from gemini_live.pause import Pause
from gemini_live.protocol import ENDING
from gemini_live.speech import Speech

if TYPE_CHECKING:
    from collections import Counter

    from gemini_live.config import SessionConfig
    from gemini_live.listener import ActivityMark, Mark
    from gemini_live.runner import Runner
    from gemini_live.speech import Defect, Encoding, Layout, Take

__all__ = ["AudioInput"]

_MARKS = {
    "activity_start": codec.encode(RealtimeInput(activity_start={})),
    "activity_end": codec.encode(RealtimeInput(activity_end={})),
}
_STREAM_END = codec.encode(RealtimeInput(audio_stream_end=True))


class AudioInput:
    """The one stream of speech of a session, which is marked by the service, by a detector, or by the user.

    It knows nothing of the session: a timer that waits for a pause must not keep that alive.

    Args:
        runner: takes the messages.
        config: of the session.
    """

    __slots__ = ("_has_preroll", "_listener", "_pause", "_runner", "_speech")

    def __init__(self, runner: Runner, config: SessionConfig) -> None:
        policy = config.speech
        self._runner = runner
        self._speech = Speech(config.chunk_ms, preroll_ms=policy.preroll_ms)
        self._listener = Listener(config.chunk_ms, policy) if policy.detector is not None else None
        self._has_preroll = bool(policy.preroll_ms)
        self._pause: Pause | None = None
        marked_by_user = config.has_manual_vad and self._listener is None
        if policy.stream_end_after_ms is not None and not marked_by_user:
            self._pause = Pause(asyncio.get_running_loop(), policy.stream_end_after_ms / 1000, self._paused)
        runner.pause = self._pause
        if self._listener is not None:
            runner.when_forgotten = self._listener.forget
        resumption = config.setup.session_resumption
        if marked_by_user and self._has_preroll and not (resumption and resumption.handle):
            self._speech.hold()  # a session that goes on may be within an activity

    @property
    def has_detector(self) -> bool:
        """Whether a detector of the user's own marks activity."""
        return self._listener is not None

    def feed(  # noqa: PLR0913, PLR0917 - a block, what describes it, and where it goes
        self,
        block: Any,  # noqa: ANN401 - samples, or a blob of some: that is found out here
        rate_hz: float,
        layout: Layout,
        encoding: Encoding,
        take: Take | None = None,
        mark: Mark | None = None,
    ) -> None:
        """Take a block in the loop's thread; in another one, ``take`` and ``mark`` must say how its messages go there.

        Raises:
            TypeError: not samples of an accepted kind, or a detector that says neither true nor false.
            ValueError: an impossible shape or rate, an empty block, an odd number of bytes. Nothing was taken.
            Exception: what a detector of the user's own raises; the block was taken.
        """
        take = take or self._runner.submit_audio
        try:
            if self._listener is None:
                self._speech.feed(block, rate_hz, take, layout, encoding)
            else:
                self._listener.feed(block, rate_hz, take, mark or self._mark, layout, encoding)
        except TypeError:
            # what has no samples itself may be a blob that holds some; asked afterwards, it costs the others nothing
            blob = blob_from(block, "block")
            if blob is None:
                raise
            self.feed(*pcm_from(blob, "block"), layout, encoding, take, mark)
            return
        if self._pause is not None:
            self._pause.heard()

    def hand_in(self, block: Any, rate_hz: float, layout: Layout, encoding: Encoding) -> bool:  # noqa: ANN401 - as above
        """`feed` from any other thread.

        Returns:
            Whether there is still a loop that can take it.
        """
        taken: list[bool] = []
        put = self._runner.inbox.put

        def take(frame: bytes, duration_s: float) -> None:
            taken.append(put("audio", frame, duration_s))

        def mark(kind: ActivityMark) -> None:
            taken.append(put(kind, codec.frame(_MARKS[kind])))
            if kind == "activity_end":
                self._runner.call_soon_threadsafe(self._runner.user_asked)
            else:
                self._begun()

        self.feed(block, rate_hz, layout, encoding, take, mark)
        return all(taken)

    def flush(self) -> None:
        """Send what does not fill a chunk, because something else follows; not what is held back."""
        self._speech.flush(self._runner.submit_audio)

    def resume(self) -> None:
        """An activity has been marked: send what was held back, and everything from here on."""
        self._speech.resume(self._runner.submit_audio)

    def hold(self) -> None:
        """An activity ends: send what belongs to it, and hold back what comes from here on, where there is a pre-roll.

        In one, lest what a thread feeds meanwhile go behind the mark, where it would be discarded.
        """
        if self._has_preroll:
            self._speech.hold(self._runner.submit_audio)
        else:
            self.flush()

    def end_stream(self) -> None:
        """The user says that nothing follows for now: send what is left, and do not say so a second time."""
        if self._pause is not None:
            self._pause.cancel()
        self.flush()

    def finish(self) -> None:
        """Nothing more comes: send what is left, and mark the end of what a detector took for speech."""
        if self._listener is None:
            self.flush()
        else:
            self._listener.finish(self._runner.submit_audio, self._mark)

    def defects(self) -> Counter[Defect]:
        """How many samples could not be sent as they were, so far."""
        return (self._listener or self._speech).defects()

    def _paused(self) -> None:
        if self._runner.protocol.state in ENDING:
            return
        self.finish()
        if self._listener is None:
            self._runner.submit("audio_stream_end", codec.frame(_STREAM_END))

    def _mark(self, kind: ActivityMark) -> None:
        self._runner.submit(kind, codec.frame(_MARKS[kind]))
        if kind == "activity_end":
            self._runner.user_asked()
        else:
            self._begun()

    def _begun(self) -> None:
        """An activity ends with a pause at the latest, also where the detector raises in the rest of the block."""
        if self._pause is not None:
            self._pause.heard()
