"""One connection's talk over a session's memory: what the client sends goes in, what the model says comes out.

No I/O and no clock. Call `receive` for each client message and `due` until it gives nothing more; then nothing happens
before `deadline`. All times are seconds on any clock that does not run backwards.

A turn is an iterator of messages with the times at which they are due (`Answers`). Interrupting it is to forget it.
"""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gemini_live.emulator import replies
from gemini_live.emulator.answers import Answers, Outgoing
from gemini_live.emulator.faults import Faults
from gemini_live.emulator.ledger import Entry
from gemini_live.emulator.memory import Ask, Checkpoint, Memory
from gemini_live.emulator.profiles import TRANSCRIBE_MODELS
from gemini_live.emulator.transcripts import Transcript
from gemini_live.emulator.vad import FRAME, RATE_HZ
from gemini_live.emulator.window import TOKENS_PER_IMAGE, TOKENS_PER_S, Window, prompt, text_tokens
from gemini_live.emulator.wire import INVALID_ARGUMENT, Refusal, SurfaceName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemini_live.emulator.ledger import Samples
    from gemini_live.emulator.memory import Call
    from gemini_live.emulator.profiles import Profile
    from gemini_live.emulator.script import Reply, Rule, Script
    from gemini_live.emulator.vad import Activity

__all__ = ["Conversation", "Outgoing"]

_NOT_AUDIO: Final = "Cannot extract voices from a non-audio request"
_NO_MARKS: Final = "Explicit activity control is not supported when automatic activity detection is enabled."
_NO_MEDIA_CHUNKS: Final = "realtime_input.media_chunks is deprecated. Use audio, video, or text instead."
_NOT_NOW: Final = "Operation is not implemented, or supported, or enabled."
_NO_ENTITY: Final = "Requested entity was not found."
_INTERIM: Final = RATE_HZ // 2
"""Samples of speech between two interim transcriptions; a choice of ours."""


class _Turn:
    """An answer on its way. Without a next message it waits for the answers to its calls."""

    def __init__(self, script: Iterator[Outgoing]) -> None:
        self.spoken_s = 0.0
        self.text = ""
        self.written = 0
        self.thoughts = 0
        self.calls: list[str] = []
        self.rest: tuple[Reply, ...] = ()
        self.follow(script)

    def follow(self, script: Iterator[Outgoing]) -> None:
        self.script = script
        self.next = next(script, None)

    def take(self, now: float) -> Outgoing | None:
        """The next message, if its time has come."""
        out = self.next
        if out is None or out.due > now:
            return None
        self.next = next(self.script, None)
        return out


class Conversation:
    """What the model hears and says on one connection.

    Args:
        memory: of the session; changed in place.
        setup: the connection's setup, names in snake_case. A resumed session may have another one than before.
        profile: which model answers.
        surface: whose API is spoken.
        now: the time of the setup.
        checkpoints: whether each turnComplete carries one.
        faults: of the connection; those that are its model's fault.
        script: what is answered otherwise than usual.

    Attributes:
        index: messages consumed on this connection, which is also the number of the last of them (E44).
        window: the context's size and whether it slides.

    Raises:
        Refusal: 1007 for a declaration that the model does not take.
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
        faults: Faults | None = None,
        script: Script | None = None,
    ) -> None:
        self.memory = memory
        self.index = 0
        self._faults = faults = faults or Faults()
        self.window = Window(setup, faults.context_tokens)
        self._profile = profile
        self._surface: SurfaceName = surface
        self._checkpoints = checkpoints
        self._rules = script.rule if script is not None else ()
        self._ready: deque[Outgoing] = deque()
        self._turn: _Turn | None = None
        self._asides: list[_Turn] = []
        self._timers = sorted(
            (now + rule.when.after_s, number)
            for number, rule in enumerate(self._rules)
            if rule.when.after_s is not None
        )
        self._last_checkpoint: Checkpoint | None = None
        self._interim_at = 0

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
        self._transcribes = profile.transcribes or str(setup.get("model")).endswith(TRANSCRIBE_MODELS)
        heard = setup.get("input_audio_transcription")
        self._transcript = Transcript(heard if heard is not None or not self._transcribes else {})
        self._answers = Answers(memory, setup, profile, surface, faults)
        memory.instruction = _text(setup.get("system_instruction", {}))
        memory.seeded |= not setup.get("history_config", {}).get("initial_history_in_client_content", False)
        self._next_waiting(now)
        for number, rule in enumerate(self._rules):
            if rule.when.setup and self._may_fire(number, rule):
                self._fire(number, rule, now)

    # --- out ---

    @property
    def idle(self) -> bool:
        """Nothing is being said, and nothing waits to be."""
        return self._turn is None and not self._ready

    def deadline(self) -> float | None:
        """When `due` has something to give; ``None`` if nothing happens by itself."""
        if self._ready:
            return self._ready[0].due
        turns = self._asides if self._turn is None else [*self._asides, self._turn]
        times = [turn.next.due for turn in turns if turn.next is not None]
        times += [at for at, _ in self._timers[:1]]
        return min(times, default=None)

    def due(self, now: float) -> Outgoing | None:
        """The next message to send, if its time has come."""
        while self._timers and self._timers[0][0] <= now:
            _, number = self._timers.pop(0)
            if self._may_fire(number, self._rules[number]):
                self._fire(number, self._rules[number], now)
        if self._ready:
            return self._ready.popleft()
        for aside in self._asides:
            if (out := aside.take(now)) is not None:
                if aside.next is None:
                    self._asides.remove(aside)
                return self._interrupted(now) if out.interrupts else out
        turn = self._turn
        out = None if turn is None else turn.take(now)
        return None if turn is None or out is None else self._from_turn(turn, out, now)

    def _from_turn(self, turn: _Turn, out: Outgoing, now: float) -> Outgoing:
        turn.spoken_s += out.speech_s
        turn.text += out.text
        turn.written += _written(out)
        turn.thoughts += out.thoughts
        turn.calls += out.calls
        turn.rest = out.rest
        self.memory.calls |= out.calls
        if out.interrupts:
            if turn.next is not None:
                self._asides.append(turn)  # what a script does after an interruption is no part of the turn
            return self._interrupted(now)
        if out.ends_turn:
            self.memory.answers += 1
            out = self._ended(turn, now, out.reason, in_progress=out.in_progress)
            if self._faults.phantom_interruptions:
                self._say(replies.interrupted())
            self._next_waiting(now)
        elif out.in_progress:
            out = Outgoing(now, self._turn_complete(turn, status="IN_PROGRESS"))
        elif turn.next is None and not out.calls:
            self._turn = None  # a script that says nothing has no turnComplete either
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
                    self._answers.declare(fields["tools"].get("tools", ()))
                if "system_instruction" in fields:
                    self.memory.instruction = _text(fields["system_instruction"])
            case _:
                raise Refusal(1007, "setup must be the first message and only the first")
        self.window.check(self.memory)

    def interrupt(self, now: float) -> None:
        """As if the user had cut in; while nothing is said, a phantom of that (E47)."""
        if self._turn is None:
            self._say(replies.interrupted())
        else:
            self._interrupt(now)
            self._next_waiting(now)

    def leave(self) -> None:
        """The connection is lost: of the answer on its way, the history keeps what was said (E41)."""
        turn, self._turn = self._turn, None
        if turn is not None and turn.text:
            self.memory.history.append(("model", turn.text))
            self.memory.tokens += _said(turn)

    def _take(self, kind: str, content: object) -> None:
        """A message whose only content this is becomes part of the state."""
        self.index += 1
        self.memory.log.append(Entry(kind, content))

    def _realtime(self, fields: dict[str, Any], now: float) -> None:
        chunk = self._checked(fields)
        memory = self.memory
        if "audio" in fields or "text" in fields:
            self._check_calls()
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
            memory.tokens["VIDEO"] += TOKENS_PER_IMAGE
        if "text" in fields:
            memory.log.append(Entry("text", fields["text"]))
            memory.history.append(("user", fields["text"]))
            memory.tokens["TEXT"] += text_tokens(fields["text"])
            self._answer(self._asked(fields["text"]), now)

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
            self._interim(activities)
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
        ask = self._asked(text, activity.utterance)
        memory.history.append(("user", ask.text))
        if self._transcript.wanted:
            begin_s = activity.position / RATE_HZ - seconds
            for piece in [ask.text] if self._profile.whole_sentences else re.findall(r" ?\S+", ask.text):
                self._say(replies.input_transcription(self._transcript.fields(piece, begin_s, seconds)))
        if self._transcribes:
            self._say(replies.generation_complete())
        self._announce(activity)
        if not self._transcribes:
            self._answer(ask, now)

    def _interim(self, ended: list[Activity]) -> None:
        """On models that transcribe: what was said so far, every half second of it (capture of such a session)."""
        if not self._transcribes:
            return
        vad = self.memory.ear.vad
        if any(activity.type == "ACTIVITY_END" for activity in ended) or not vad.speaking:
            self._interim_at = 0
            return
        heard = vad.speech_frames * FRAME
        if heard - self._interim_at >= _INTERIM:
            self._interim_at = heard
            text = f"utterance {self.memory.utterances + 1}, {heard / RATE_HZ:.1f} s"
            self._say(replies.interim_transcription(self._transcript.fields(text)))

    def _client_content(self, fields: dict[str, Any], now: float) -> None:
        memory = self.memory
        self._check_calls()
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
            text = _text(turn)
            memory.history.append(("model" if turn.get("role") == "model" else "user", text))
            memory.tokens["TEXT"] += text_tokens(text)
        if fields.get("turn_complete"):
            if memory.seeded:
                asked = [text for role, text in memory.history if role == "user"]
                self._answer(self._asked(asked[-1] if asked else ""), now)
            memory.seeded = True

    def _check_calls(self) -> None:
        if self._faults.close_on_input_during_call and any(call.blocking for call in self.memory.calls.values()):
            raise Refusal(1008, _NOT_NOW)

    def _tool_response(self, fields: dict[str, Any], now: float) -> None:
        memory = self.memory
        answers: list[dict[str, Any]] = fields.get("function_responses", [])
        needs_id = self._surface == "dev" and not self._faults.answers_without_id and self._profile.call_ids
        if needs_id and not all(answer.get("id") for answer in answers):
            raise Refusal(1007, INVALID_ARGUMENT)
        self._take("tool_response", {"function_responses": answers})
        for answer in answers:
            by_name = (call_id for call_id, call in memory.calls.items() if call.name == answer.get("name"))
            call_id = answer.get("id") or next(by_name, "")
            call = memory.calls.get(call_id)
            if call is None and self._faults.close_on_unknown_call:
                raise Refusal(1008, _NO_ENTITY)
            if call is None:
                continue
            if not answer.get("will_continue"):
                del memory.calls[call_id]
            elif call.blocking:
                continue  # a partial result is spoken of by itself only where nobody waits for the whole
            self._called(call, answer, now)

    def _called(self, call: Call, answer: dict[str, Any], now: float) -> None:
        """A function has answered."""
        memory, output = self.memory, _output(answer)
        reply = self._rule(lambda rule: rule.when.tool_response in {"*", call.name})
        if call.blocking:
            memory.results.append(output)
            if not any(other.blocking for other in memory.calls.values()):
                self._continue(Ask(" ".join(memory.results), reply=reply), now)
                memory.results.clear()
            return
        scheduling = answer.get("scheduling") or answer.get("response", {}).get("scheduling")
        match scheduling if self._profile.scheduling else "":
            case "SILENT":
                memory.history.append(("user", output))
            case "INTERRUPT":
                self._interrupt(now)
                self._answer(Ask(output, reply=reply), now)
            case _:
                self._answer(Ask(output, reply=reply), now, waits=True)

    # --- scripts ---

    def _asked(self, text: str, utterance: Samples | None = None) -> Ask:
        """What the user wants, with what a script makes of it."""
        number = None if utterance is None else self.memory.utterances
        reply = self._rule(lambda rule: rule.when.hears(text, number))
        if reply is not None and utterance is not None:
            text = next((one.heard for one in reply if one.heard is not None), text)
            if reply and all(one.heard is not None for one in reply):
                return Ask(text, utterance, may_call=True, by_user=True)  # understood at last, and answered as usual
        return Ask(text, utterance, may_call=utterance is None, reply=reply, by_user=True)

    def _rule(self, fits: Callable[[Rule], bool]) -> tuple[Reply, ...] | None:
        """The reply of the first rule that fits and may still fire; ``None`` if there is none."""
        for number, rule in enumerate(self._rules):
            if self._may_fire(number, rule) and fits(rule):
                self.memory.fired[number] += 1
                return rule.reply
        return None

    def _may_fire(self, number: int, rule: Rule) -> bool:
        return rule.times is None or self.memory.fired[number] < rule.times

    def _fire(self, number: int, rule: Rule, now: float) -> None:
        """A rule whose time has come. It speaks in a turn of its own; what does not speak waits for no turn."""
        self.memory.fired[number] += 1
        if any(one.speaks for one in rule.reply):
            self._answer(Ask("", reply=rule.reply), now, waits=True)
        elif rule.reply:
            self._asides.append(_Turn(self._answers.follow(rule.reply, now)))

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
        while self.memory.waiting and self._turn is None:
            self._begin(self.memory.waiting.pop(0), now)

    def _begin(self, ask: Ask, now: float) -> None:
        memory, most = self.memory, self._faults.mute_after_turns
        memory.mute |= most is not None and memory.answers >= most
        if memory.mute:
            return
        self.window.slide(memory)
        turn = _Turn(self._answer_to(ask, now))
        if turn.next is not None:
            self._turn = turn

    def _answer_to(self, ask: Ask, now: float) -> Iterator[Outgoing]:
        memory = self.memory
        given_up: list[Call] = []
        if ask.by_user:
            given_up, memory.given_up = memory.given_up, []
        if ask.reply is not None:
            return self._answers.follow(ask.reply, now)
        if given_up and self._profile.reissues_calls:
            return self._answers.call([(call.name, call.args) for call in given_up], now)
        called = [name for name in self._answers.functions if name in ask.text] if ask.may_call else []
        if called:
            return self._answers.call([(name, {}) for name in called], now)
        return self._answers.speak(ask, now)

    def _continue(self, ask: Ask, now: float) -> None:
        """The turn's calls are answered: it goes on. After a resume there is no such turn, and a new one begins."""
        turn = self._turn
        if turn is None or turn.next is not None:
            self._answer(ask, now, waits=True)
            return
        reply = turn.rest or ask.reply
        turn.rest = ()
        if self.memory.mute:
            return
        turn.follow(self._answers.speak(ask, now) if reply is None else self._answers.follow(reply, now, opened=True))

    def _cut_in(self, now: float) -> None:
        """The user does something while the model speaks."""
        if self._interrupts:
            self._interrupt(now)

    def _interrupted(self, now: float) -> Outgoing:
        """`_interrupt` for one who wants the first message of it at once."""
        if self._turn is None:
            return Outgoing(now, replies.interrupted())
        self._interrupt(now)
        self._next_waiting(now)
        return self._ready.popleft()

    def _interrupt(self, now: float) -> None:
        turn = self._turn
        if turn is None:
            return
        memory = self.memory
        memory.interruptions += 1
        self._say(replies.interrupted())
        given_up = [call for call in turn.calls if call in memory.calls and memory.calls[call].blocking]
        memory.given_up = [memory.calls.pop(call) for call in given_up]
        if given_up:
            memory.results.clear()
        if given_up and self._profile.cancels_calls:
            self._say(replies.tool_call_cancellation(given_up))
        self._ready.append(self._ended(turn, now))

    def _ended(self, turn: _Turn, now: float, reason: str = "", *, in_progress: bool = False) -> Outgoing:
        """The turnComplete of a turn that is over, with its usage; the memory is then between two turns."""
        memory = self.memory
        self._turn = None
        status = "" if not self._profile.steps else "IN_PROGRESS" if in_progress else "IDLE"
        message = self._turn_complete(turn, reason=reason, status=status)
        memory.tokens += _said(turn)
        memory.history.append(("model", turn.text))
        if self._checkpoints:
            self._last_checkpoint = Checkpoint(memory.mark(), self.index)
        return Outgoing(now, message, text=turn.text, ends_turn=True, checkpoint=self._last_checkpoint)

    def _turn_complete(self, turn: _Turn, *, reason: str = "", status: str = "") -> replies.Message:
        counts = replies.usage(prompt(self.memory), _said(turn), self._surface, turn.thoughts)
        return replies.turn_complete(counts, self._surface, reason=reason, status=status)


def _written(out: Outgoing) -> int:
    """Tokens of what is not spoken: a call with its arguments, or a written answer."""
    called = sum(text_tokens(call.name + json.dumps(call.args)) for call in out.calls.values())
    return called + (0 if out.speech_s else text_tokens(out.text))


def _said(turn: _Turn) -> Counter[str]:
    """Tokens of an answer so far, by modality."""
    return Counter(AUDIO=round(turn.spoken_s * TOKENS_PER_S), TEXT=turn.written)


def _text(content: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in content.get("parts", ()))


def _output(answer: dict[str, Any]) -> str:
    """The text of a function response: ``output``, or ``error``, or the whole object."""
    response = answer.get("response", {})
    output: object = response.get("output", response.get("error", response))
    if isinstance(output, str):
        return output
    return json.dumps(output)


def _mime_type(blob: dict[str, Any]) -> str:
    mime_type: str = blob.get("mime_type", "")
    return mime_type.lower()


def _samples(blob: dict[str, Any]) -> tuple[Samples, int]:
    """The samples of an audio blob and their rate: ``audio/pcm;rate=48000``, 16,000 where none is said (E17)."""
    kind, *parameters = (part.strip() for part in _mime_type(blob).split(";"))
    if kind != "audio/pcm":
        raise Refusal(1007, _NOT_AUDIO)
    said = dict(re.split(r"\s*=\s*", parameter, maxsplit=1) for parameter in parameters if "=" in parameter)
    rate = re.fullmatch(r"[0-9]{1,6}", said.get("rate", str(RATE_HZ)))
    rate_hz = 0 if rate is None else int(rate[0])
    data = blob.get("data", b"")
    if len(data) % 2 or not 4_000 <= rate_hz <= 384_000:
        raise Refusal(1007, INVALID_ARGUMENT)
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False), rate_hz
