"""One connection's talk over a session's memory: what the client sends goes in, what the model says comes out.

No I/O and no clock. Call `receive` for each client message and `due` until it gives nothing more; then nothing happens
before `deadline`. All times are seconds on any clock that does not run backwards.

A turn is a script: an iterator of messages with the times at which they are due. Interrupting a turn is to forget it.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gemini_live.emulator import replies
from gemini_live.emulator.ledger import Entry
from gemini_live.emulator.memory import Ask, Call, Checkpoint, Memory
from gemini_live.emulator.vad import RATE_HZ
from gemini_live.emulator.voice import VOICE_RATE_HZ, Piece, echo, pieces, tone
from gemini_live.emulator.wire import INVALID_ARGUMENT, Refusal, SurfaceName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gemini_live.emulator.ledger import Samples
    from gemini_live.emulator.profiles import Profile
    from gemini_live.emulator.vad import Activity

__all__ = ["Conversation", "Outgoing"]

_TOKENS_PER_S: Final = 25  # of audio, in and out (session guide)
_TOKENS_PER_IMAGE: Final = 258
_NOT_AUDIO: Final = "Cannot extract voices from a non-audio request"
_NO_MARKS: Final = "Explicit activity control is not supported when automatic activity detection is enabled."
_NO_MEDIA_CHUNKS: Final = "realtime_input.media_chunks is deprecated. Use audio, video, or text instead."


class Outgoing(NamedTuple):
    """A message to send."""

    due: float
    message: replies.Message
    speech_s: float = 0.0
    """How much speech it carries."""
    text: str = ""
    """The words of that speech; with the end of a turn, all that was said in it."""
    calls: Mapping[str, Call] = {}
    """Function calls by id that are pending once it is sent."""
    ends_turn: bool = False
    reason: str = ""
    """Why it ends, if not because all was said."""
    checkpoint: Checkpoint | None = None
    """With the end of a turn, if asked for: what a handle issued for it restores."""


class _Turn:
    """An answer on its way. Without a next message it waits for the answers to its calls."""

    def __init__(self, script: Iterator[Outgoing]) -> None:
        self.spoken_s = 0.0
        self.text = ""
        self.calls: list[str] = []
        self.follow(script)

    def follow(self, script: Iterator[Outgoing]) -> None:
        self.script = script
        self.next = next(script, None)


class Conversation:
    """What the model hears and says on one connection.

    Args:
        memory: of the session; changed in place.
        setup: the connection's setup, names in snake_case. A resumed session may have another one than before.
        profile: which model answers.
        surface: whose API is spoken.
        now: the time of the setup.
        checkpoints: whether each turnComplete carries one.
        empty_messages: whether to send empty messages between the real ones.

    Attributes:
        index: messages consumed on this connection, which is also the number of the last of them (E44).
    """

    def __init__(  # noqa: PLR0913 - everything a connection knows
        self,
        memory: Memory,
        setup: dict[str, Any],
        profile: Profile,
        surface: SurfaceName,
        now: float,
        *,
        checkpoints: bool = False,
        empty_messages: bool = False,
    ) -> None:
        self.memory = memory
        self.index = 0
        self._profile = profile
        self._surface: SurfaceName = surface
        self._checkpoints = checkpoints
        self._empty_messages = empty_messages
        self._ready: deque[Outgoing] = deque()
        self._turn: _Turn | None = None
        self._last_checkpoint: Checkpoint | None = None

        live = setup.get("realtime_input_config", {})
        self._interrupts = live.get("activity_handling") != "NO_INTERRUPTION"
        detection = live.get("automatic_activity_detection", {})
        ear = memory.ear
        ear.manual = detection.get("disabled", False)
        ear.vad.silence_ms = detection.get("silence_duration_ms") or 700
        ear.vad.start_ms = detection.get("prefix_padding_ms") or 160
        sensitivity = detection.get("start_of_speech_sensitivity", "")
        low = sensitivity.endswith("LOW") or (surface == "vertex" and not sensitivity.endswith("HIGH"))
        ear.vad.sensitivity = "LOW" if low else "HIGH"
        self._announces = setup.get("explicit_vad_signal", False) if surface == "vertex" else profile.voice_activity
        self._hears_words = "input_audio_transcription" in setup
        self._says_words = "output_audio_transcription" in setup
        self._functions = _functions(setup.get("tools", ()))
        memory.seeded |= not setup.get("history_config", {}).get("initial_history_in_client_content", False)
        self._next_waiting(now)

    # --- out ---

    @property
    def idle(self) -> bool:
        """Nothing is being said, and nothing waits to be."""
        return self._turn is None and not self._ready

    def deadline(self) -> float | None:
        """When `due` has something to give; ``None`` if nothing happens by itself."""
        if self._ready:
            return self._ready[0].due
        return self._turn.next.due if self._turn is not None and self._turn.next is not None else None

    def due(self, now: float) -> Outgoing | None:
        """The next message to send, if its time has come."""
        if self._ready:
            return self._ready.popleft()
        turn = self._turn
        if turn is None or turn.next is None or turn.next.due > now:
            return None
        out = turn.next
        turn.next = next(turn.script, None)
        turn.spoken_s += out.speech_s
        turn.text += out.text
        turn.calls += out.calls
        self.memory.calls |= out.calls
        if out.ends_turn:
            self.memory.answers += 1
            out = self._ended(turn, now, out.reason)
            self._next_waiting(now)
        return out

    # --- in ---

    def receive(self, kind: str, fields: dict[str, Any], now: float) -> None:
        """Takes one client message that `wire.read` has read.

        Raises:
            Refusal: the service would close the connection.
        """
        match kind:
            case "realtime_input":
                self._realtime(fields, now)
            case "client_content":
                self._client_content(fields, now)
            case "tool_response":
                self._tool_response(fields, now)
            case "context_update":
                self._take("context_update", fields)
                if "tools" in fields:  # absent leaves them as they are, empty clears them (E23)
                    self._functions = _functions(fields["tools"].get("tools", ()))
            case _:
                raise Refusal(1007, "setup must be the first message and only the first")

    def _take(self, kind: str, content: object) -> None:
        """A message whose only content this is becomes part of the state."""
        self.index += 1
        self.memory.log.append(Entry(kind, content))

    def _realtime(self, fields: dict[str, Any], now: float) -> None:
        chunk = self._checked(fields)
        memory = self.memory
        if not memory.seeded:
            self.index += 1
            memory.log.ignored += 1
            return
        # What cuts in comes first: the end of the interrupted turn is a point to resume from, and that point stands
        # before this message. Audio interrupts only after it was heard, so that point stands behind it.
        if "activity_start" in fields:
            self._announce(memory.ear.start())
        if "activity_start" in fields or "text" in fields:
            self._cut_in(now)
        self.index += 1
        for activity in self._listen(fields, chunk):
            self._heard(activity, now)
        if "video" in fields:
            memory.log.append(Entry("video", fields["video"].get("data", b"")))
            memory.tokens["VIDEO"] += _TOKENS_PER_IMAGE
        if "text" in fields:
            memory.log.append(Entry("text", fields["text"]))
            memory.history.append(("user", fields["text"]))
            memory.tokens["TEXT"] += _text_tokens(fields["text"])
            self._answer(Ask(fields["text"], may_call=True), now)

    def _listen(self, fields: dict[str, Any], chunk: tuple[Samples, int] | None) -> list[Activity]:
        """Audio and its marks become part of the state; gives what is to be acted upon."""
        log, ear = self.memory.log, self.memory.ear
        activities: list[Activity] = []
        if "activity_start" in fields:
            log.append(Entry("activity_start", None))
        if chunk is not None:
            samples, rate_hz = chunk
            log.append(Entry("audio", samples, rate_hz))
            log.ignored += ear.manual and not ear.open
            activities += ear.hear(samples, rate_hz, len(log.entries) - 1)
        if fields.get("audio_stream_end"):
            log.append(Entry("audio_stream_end", None))
            activities += [] if ear.manual else ear.flush()
        if "activity_end" in fields:
            log.append(Entry("activity_end", None))
            activities += ear.end()
        return activities

    def _checked(self, fields: dict[str, Any]) -> tuple[Samples, int] | None:
        """Refuses what must not be sent; gives the samples and their rate if there are any."""
        if not self.memory.ear.manual and ("activity_start" in fields or "activity_end" in fields):
            raise Refusal(1007, _NO_MARKS)
        chunks = [fields["audio"]] if "audio" in fields else []
        if "media_chunks" in fields:
            if not self._profile.media_chunks:
                raise Refusal(1007, _NO_MEDIA_CHUNKS)
            for blob in fields["media_chunks"]:
                if _mime_type(blob).startswith("image/"):
                    fields["video"] = blob
                else:
                    chunks.append(blob)
        if "video" in fields and not _mime_type(fields["video"]).startswith("image/"):
            raise Refusal(1007, INVALID_ARGUMENT)
        read = [_samples(blob) for blob in chunks]
        if not read:
            return None
        if len({rate_hz for _, rate_hz in read}) > 1:
            raise Refusal(1007, INVALID_ARGUMENT)
        return np.concatenate([samples for samples, _ in read]), read[0][1]

    def _heard(self, activity: Activity, now: float) -> None:
        memory = self.memory
        if activity.type == "ACTIVITY_START":
            if not memory.ear.manual:
                self._announce(activity)
                self._cut_in(now)
            return
        memory.utterances += 1
        seconds = len(activity.utterance) / RATE_HZ
        text = f"utterance {memory.utterances}, {seconds:.1f} s"
        memory.history.append(("user", text))
        if self._hears_words:
            for piece in [text] if self._profile.whole_sentences else re.findall(r" ?\S+", text):
                self._say(replies.input_transcription(piece))
        self._announce(activity)
        self._answer(Ask(text, activity.utterance), now)

    def _client_content(self, fields: dict[str, Any], now: float) -> None:
        memory = self.memory
        if not self._profile.content_after_first_turn and memory.answers + memory.interruptions:
            raise Refusal(1007, INVALID_ARGUMENT)
        turns = fields.get("turns", ())
        if any(
            {"function_call", "function_response"} & part.keys() for turn in turns for part in turn.get("parts", ())
        ):
            raise Refusal(1007, INVALID_ARGUMENT)
        self._cut_in(now)
        self._take("client_content", fields)
        for turn in turns:
            text = "".join(part.get("text", "") for part in turn.get("parts", ()))
            memory.history.append(("model" if turn.get("role") == "model" else "user", text))
            memory.tokens["TEXT"] += _text_tokens(text)
        if fields.get("turn_complete"):
            if memory.seeded:
                asked = [text for role, text in memory.history if role == "user"]
                self._answer(Ask(asked[-1] if asked else "", may_call=True), now)
            memory.seeded = True

    def _tool_response(self, fields: dict[str, Any], now: float) -> None:
        memory = self.memory
        answers: list[dict[str, Any]] = fields.get("function_responses", [])
        if self._surface == "dev" and not all(answer.get("id") for answer in answers):
            raise Refusal(1007, INVALID_ARGUMENT)
        self._take("tool_response", {"function_responses": answers})
        for answer in answers:
            by_name = (call for call, (name, _) in memory.calls.items() if name == answer.get("name"))
            call_id = answer.get("id") or next(by_name, "")
            call = memory.calls.get(call_id)
            if call is None or answer.get("will_continue"):
                continue
            del memory.calls[call_id]
            if call.blocking:
                memory.results.append(_output(answer))
                if not any(other.blocking for other in memory.calls.values()):
                    self._continue(Ask(" ".join(memory.results)), now)
                    memory.results.clear()
                continue
            match answer.get("scheduling") or answer.get("response", {}).get("scheduling"):
                case "SILENT":
                    memory.history.append(("user", _output(answer)))
                case "INTERRUPT":
                    self._interrupt(now)
                    self._answer(Ask(_output(answer)), now)
                case _:
                    self._answer(Ask(_output(answer)), now, waits=True)

    # --- turns ---

    def _say(self, message: replies.Message) -> None:
        self._ready.append(Outgoing(0.0, message))

    def _announce(self, activity: Activity) -> None:
        if self._announces:
            self._say(replies.voice_activity(activity.type, activity.position / RATE_HZ))

    def _answer(self, ask: Ask, now: float, *, waits: bool = False) -> None:
        if self._turn is not None and (waits or not self._interrupts):
            self.memory.waiting.append(ask)
            return
        self._interrupt(now)
        last = self._last_checkpoint
        if last is not None and last.last_message == self.index:
            # this very message interrupted a turn before it asked: who resumes there will not send it again
            last.memory.waiting.append(ask)
        self._begin(ask, now)

    def _next_waiting(self, now: float) -> None:
        if self.memory.waiting:
            self._begin(self.memory.waiting.pop(0), now)

    def _begin(self, ask: Ask, now: float) -> None:
        called = [name for name in self._functions if name in ask.text] if ask.may_call else []
        self._turn = _Turn(self._call(called, now) if called else self._speak(ask, now))

    def _continue(self, ask: Ask, now: float) -> None:
        """The turn's calls are answered: it goes on. After a resume there is no such turn, and a new one begins."""
        if self._turn is not None and self._turn.next is None:
            self._turn.follow(self._speak(ask, now))
        else:
            self._answer(ask, now, waits=True)

    def _cut_in(self, now: float) -> None:
        """The user does something while the model speaks."""
        if self._interrupts:
            self._interrupt(now)

    def _interrupt(self, now: float) -> None:
        turn = self._turn
        if turn is None:
            return
        memory = self.memory
        memory.interruptions += 1
        self._say(replies.interrupted())
        given_up = [call for call in turn.calls if call in memory.calls and memory.calls[call].blocking]
        for call in given_up:
            del memory.calls[call]
            memory.results.clear()
        if given_up and self._profile.cancels_calls:
            self._say(replies.tool_call_cancellation(given_up))
        self._ready.append(self._ended(turn, now))

    def _ended(self, turn: _Turn, now: float, reason: str = "") -> Outgoing:
        """The turnComplete of a turn that is over, with its usage; the memory is then between two turns."""
        memory = self.memory
        self._turn = None
        spoken = round(turn.spoken_s * _TOKENS_PER_S)
        heard = memory.ear.vad.position * _TOKENS_PER_S // RATE_HZ
        prompt = memory.tokens | {"AUDIO": memory.tokens["AUDIO"] + heard}
        counts = replies.usage(prompt, {"AUDIO": spoken}, self._surface)
        memory.tokens["AUDIO"] += spoken
        memory.history.append(("model", turn.text))
        message = replies.turn_complete(counts, self._surface, reason=reason)
        if self._checkpoints:
            self._last_checkpoint = Checkpoint(memory.mark(), self.index)
        return Outgoing(now, message, text=turn.text, ends_turn=True, checkpoint=self._last_checkpoint)

    def _speak(self, ask: Ask, now: float) -> Iterator[Outgoing]:
        """An answer: speech faster than real time, generationComplete, and turnComplete when it has been played."""
        pace = self._profile.pace
        start = due = now + pace.think_s
        samples = tone(ask.text) if ask.utterance is None else echo(ask.utterance)
        if len(samples) == 0 or not ask.text:
            yield Outgoing(start, {}, ends_turn=True, reason="NEED_MORE_INPUT")
            return
        if self._says_words and self._surface == "vertex":
            yield Outgoing(due, replies.output_transcription(""))
        for piece in pieces(samples, ask.text):
            due = start + piece.start_s / pace.speed
            yield from self._spoken(piece, due)
        if self._says_words and self._surface == "vertex":
            yield Outgoing(due, replies.output_transcription("", finished=True))
        yield Outgoing(due, replies.generation_complete())
        yield Outgoing(start + len(samples) / VOICE_RATE_HZ * pace.hold, {}, ends_turn=True)

    def _spoken(self, piece: Piece, due: float) -> Iterator[Outgoing]:
        if self._empty_messages:
            yield Outgoing(due, {})
            yield Outgoing(due, {"serverContent": {}})
        role = self._profile.role or self._surface == "vertex"
        message = replies.speech(piece.data, self._surface, role=role)
        if self._says_words and piece.text:
            words = replies.output_transcription(piece.text)
            if self._profile.several_fields:
                message["serverContent"] |= words["serverContent"]
            else:
                yield Outgoing(due, words)
        yield Outgoing(due, message, speech_s=len(piece.data) / 2 / VOICE_RATE_HZ, text=piece.text)

    def _call(self, names: list[str], now: float) -> Iterator[Outgoing]:
        """Calls functions. The turn stays open for the answers unless all are NON_BLOCKING (E34)."""
        due = now + self._profile.pace.think_s
        calls: dict[str, Call] = {}
        for name in names:
            self.memory.issued += 1
            number, blocking = self.memory.issued, self._functions[name]
            calls[f"fc_{14_200_725_817_497_324_000 + number}" if blocking else f"call_{360_000 + number}"] = Call(
                name, blocking
            )
        yield Outgoing(due, replies.tool_call((call_id, name) for call_id, (name, _) in calls.items()), calls=calls)
        if not any(call.blocking for call in calls.values()):
            yield Outgoing(due, replies.generation_complete())
            yield Outgoing(due, {}, ends_turn=True)


def _functions(tools: list[dict[str, Any]] | tuple[()]) -> dict[str, bool]:
    """Declared functions by name, and whether the model waits for their answers."""
    declared = [function for tool in tools for function in tool.get("function_declarations", ())]
    return {
        function["name"]: function.get("behavior") != "NON_BLOCKING" for function in declared if function.get("name")
    }


def _output(answer: dict[str, Any]) -> str:
    """The text of a function response: ``output``, or ``error``, or the whole object."""
    response = answer.get("response", {})
    output: object = response.get("output", response.get("error", response))
    if isinstance(output, str):
        return output
    return json.dumps(output)


def _text_tokens(text: str) -> int:
    return -(-len(text) // 4)


def _mime_type(blob: dict[str, Any]) -> str:
    mime_type: str = blob.get("mime_type", "")
    return mime_type.lower()


def _samples(blob: dict[str, Any]) -> tuple[Samples, int]:
    """The samples of an audio blob and their rate: ``audio/pcm;rate=48000``, 16,000 where none is said (E17)."""
    match = re.fullmatch(r"audio/pcm\s*(?:;\s*rate=(\d{1,6})\s*)?(?:;.*)?", _mime_type(blob), re.ASCII)
    if match is None:
        raise Refusal(1007, _NOT_AUDIO)
    data = blob.get("data", b"")
    rate_hz = int(match[1] or RATE_HZ)
    if len(data) % 2 or not 4_000 <= rate_hz <= 384_000:
        raise Refusal(1007, INVALID_ARGUMENT)
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False), rate_hz
