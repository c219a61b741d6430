"""Composes what the model says: each answer an iterator of messages with the times at which they are due.

Interrupting an answer is to forget its iterator. All times are seconds on the caller's clock.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gemini_live.emulator import replies
from gemini_live.emulator.memory import Call
from gemini_live.emulator.script import Close, voice_of
from gemini_live.emulator.transcripts import Transcript
from gemini_live.emulator.voice import VOICE_RATE_HZ, echo, pieces, tone
from gemini_live.emulator.wire import INVALID_ARGUMENT, Refusal, SurfaceName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gemini_live.emulator.faults import Faults
    from gemini_live.emulator.ledger import Samples
    from gemini_live.emulator.memory import Ask, Checkpoint, Memory
    from gemini_live.emulator.profiles import Profile
    from gemini_live.emulator.script import Reply
    from gemini_live.emulator.voice import Piece

__all__ = ["Act", "Answers", "Cut", "GoAway", "Outgoing", "functions"]

_THOUGHT: Final = "**Considering the request**"
_FILLER: Final = "One moment."


class GoAway(NamedTuple):
    """The connection is to announce its end."""

    time_left_s: float


class Cut(NamedTuple):
    """The connection is to be cut."""


Act = GoAway | Cut | Close
"""What a script does to the connection."""


class Outgoing(NamedTuple):
    """A message to send, or something to do."""

    due: float
    message: replies.Message
    speech_s: float = 0.0
    """How much speech it carries."""
    text: str = ""
    """The words of that speech; with the end of a turn, all that was said in it."""
    thoughts: int = 0
    """Tokens of a thought."""
    calls: Mapping[str, Call] = {}
    """Function calls by id that are pending once it is sent."""
    rest: tuple[Reply, ...] = ()
    """What a script says once those are answered."""
    ends_turn: bool = False
    reason: str = ""
    """Why it ends, if not because all was said."""
    in_progress: bool = False
    """turnComplete comes, but more is to follow in this turn (E32)."""
    interrupts: bool = False
    """As if the user had cut in."""
    act: Act | None = None
    checkpoint: Checkpoint | None = None
    """With the end of a turn, if asked for: what a handle issued for it restores."""


class Answers:
    """Answers on one connection.

    Args:
        memory: counts the calls that were made.
        setup: names in snake_case.
        profile: which model answers.
        surface: whose API is spoken.
        faults: of the connection.

    Attributes:
        functions: declared functions by name, and whether the model waits for their answers.
    """

    def __init__(
        self, memory: Memory, setup: dict[str, Any], profile: Profile, surface: SurfaceName, faults: Faults
    ) -> None:
        self._memory = memory
        self._profile = profile
        self._surface: SurfaceName = surface
        self._empty_messages = faults.empty_messages
        self._role = profile.role or surface == "vertex"
        self._transcript = Transcript(setup.get("output_audio_transcription"))
        generation = setup.get("generation_config", {})
        self._writes = generation.get("response_modalities") == ["TEXT"]
        self._thinks = _thinks(profile, generation.get("thinking_config", {}))
        self.functions: dict[str, bool] = {}
        self._searches = False
        self.declare(setup.get("tools", ()))

    def declare(self, tools: Sequence[dict[str, Any]]) -> None:
        """These are the tools from now on.

        Raises:
            Refusal: 1007 for a declaration that the model does not take.
        """
        self.functions = functions(tools, self._profile)
        self._searches = any("google_search" in tool or "google_search_retrieval" in tool for tool in tools)

    # --- a whole answer ---

    def speak(self, ask: Ask, now: float) -> Iterator[Outgoing]:
        """An answer: speech faster than real time, generationComplete, and turnComplete when it has been played."""
        pace = self._profile.pace
        start = now + pace.think_s
        samples = tone(ask.text) if ask.utterance is None else echo(ask.utterance)
        if len(samples) == 0 or not ask.text:
            yield Outgoing(start, {}, ends_turn=True, reason="NEED_MORE_INPUT")
            return
        if self._thinks:
            yield self._thought(_THOUGHT, start)
        for _ in range(self._profile.steps):
            filler = tone(_FILLER)
            yield from self._say(filler, _FILLER, start)
            start += len(filler) / VOICE_RATE_HZ * pace.hold
            yield Outgoing(start, {}, in_progress=True)
        if self._writes:
            for word in re.findall(r"\s*\S+", ask.text):
                yield Outgoing(start, replies.text(word, role=self._role), text=word)
            yield Outgoing(start, replies.generation_complete())
            yield Outgoing(start, {}, ends_turn=True)
            return
        if self._searches and "search" in ask.text.casefold():
            yield Outgoing(start, replies.grounding(ask.text, ask.text))
        yield from self._say(samples, ask.text, start)
        yield Outgoing(start + len(samples) / VOICE_RATE_HZ * pace.hold, {}, ends_turn=True)

    def call(self, wanted: Iterable[tuple[str, Mapping[str, Any]]], now: float) -> Iterator[Outgoing]:
        """Calls functions. The turn stays open for the answers unless all are NON_BLOCKING (E34)."""
        due = now + self._profile.pace.think_s
        calls: dict[str, Call] = {}
        for name, args in wanted:
            blocking = self.functions.get(name, self._profile.behavior == "BLOCKING")
            calls[self._new_id(blocking=blocking)] = Call(name, blocking, args)
        yield self._tool_call(calls, due)
        if not any(call.blocking for call in calls.values()):
            yield from self._end_of_calls(due)

    def follow(self, script: tuple[Reply, ...], now: float, *, opened: bool = False) -> Iterator[Outgoing]:
        """What a script answers; ``opened`` says that the turn has begun with a call.

        A reply that is no part of a turn, such as a close alone, makes none.
        """
        pace = self._profile.pace
        at = now + (0 if opened else pace.think_s)
        played = at
        spoke, interrupted = opened, False
        for number, one in enumerate(script):
            if one.say is not None or one.audio is not None:
                samples = voice_of(one.audio) if one.audio is not None else tone(one.say or "")
                text = one.text if one.say is None else one.say
                played = max(played, at) + len(samples) / VOICE_RATE_HZ * pace.hold
                yield from self._say(samples, text, at, ends=False)
                at += len(samples) / VOICE_RATE_HZ / pace.speed
                spoke = True
            elif one.thought is not None:
                yield self._thought(one.thought, at)
                spoke = True
            elif one.calls:
                spoke = True
                calls = {
                    call.id or self._new_id(blocking=self._blocks(call.name, blocking=call.blocking)): Call(
                        call.name, self._blocks(call.name, blocking=call.blocking), call.args
                    )
                    for call in one.calls
                }
                yield self._tool_call(calls, at, script[number + 1 :])
                if any(call.blocking for call in calls.values()):
                    return
            elif one.wait_s is not None:
                at += one.wait_s * pace.waits
            elif one.interrupted:
                interrupted = True
                yield Outgoing(at, {}, interrupts=True)
            elif one.raw is not None:
                yield Outgoing(at, one.raw)
            elif one.go_away is not None:
                yield Outgoing(at, {}, act=GoAway(one.go_away))
            elif one.close is not None:
                yield Outgoing(at, {}, act=one.close)
            elif one.cut:
                yield Outgoing(at, {}, act=Cut())
        if spoke and not interrupted:
            yield Outgoing(at, replies.generation_complete())
            yield Outgoing(max(at, played), {}, ends_turn=True)

    # --- its parts ---

    def _thought(self, words: str, due: float) -> Outgoing:
        return Outgoing(due, replies.thought(words, role=self._role), thoughts=len(words) // 4)

    def _say(self, samples: Samples, text: str, start: float, *, ends: bool = True) -> Iterator[Outgoing]:
        """Speech with its transcription, which Vertex AI frames with an empty one and a finished one."""
        framed = self._transcript.wanted and self._surface == "vertex"
        due = start
        if framed:
            yield Outgoing(due, replies.output_transcription({}))
        for piece in pieces(samples, text):
            due = start + piece.start_s / self._profile.pace.speed
            yield from self._spoken(piece, due)
        if framed:
            yield Outgoing(due, replies.output_transcription({"finished": True}))
        if ends:
            yield Outgoing(due, replies.generation_complete())

    def _spoken(self, piece: Piece, due: float) -> Iterator[Outgoing]:
        if self._empty_messages:
            yield Outgoing(due, {})
            yield Outgoing(due, {"serverContent": {}})
        length_s = len(piece.data) / 2 / VOICE_RATE_HZ
        message = replies.speech(piece.data, self._surface, role=self._role)
        if self._transcript.wanted and piece.text:
            words = replies.output_transcription(self._transcript.fields(piece.text, piece.start_s, length_s))
            if self._profile.several_fields:
                message["serverContent"] |= words["serverContent"]
            else:
                yield Outgoing(due, words)
        yield Outgoing(due, message, speech_s=length_s, text=piece.text)

    def _tool_call(self, calls: dict[str, Call], due: float, rest: tuple[Reply, ...] = ()) -> Outgoing:
        shown = ((call_id if self._profile.call_ids else "", call.name, call.args) for call_id, call in calls.items())
        return Outgoing(due, replies.tool_call(shown), calls=calls, rest=rest)

    def _end_of_calls(self, due: float) -> Iterator[Outgoing]:
        yield Outgoing(due, replies.generation_complete())
        # with extended thinking the interaction is not over: the answer to the call is part of it (a choice of ours)
        yield Outgoing(due, {}, ends_turn=True, in_progress=self._profile.steps > 0)

    def _blocks(self, name: str, *, blocking: bool | None) -> bool:
        return self.functions.get(name, self._profile.behavior == "BLOCKING") if blocking is None else blocking

    def _new_id(self, *, blocking: bool) -> str:
        """Shaped as seen on 3.8."""
        self._memory.issued += 1
        number = self._memory.issued
        return f"fc_{14_200_725_817_497_324_000 + number}" if blocking else f"call_{360_000 + number}"


def functions(tools: Sequence[dict[str, Any]], profile: Profile) -> dict[str, bool]:
    """Declared functions by name, and whether the model waits for their answers.

    Raises:
        Refusal: 1007: too many, or of a behavior that the model has not.
    """
    declared = [function for tool in tools for function in tool.get("function_declarations", ())]
    if len(declared) > 512:
        raise Refusal(1007, INVALID_ARGUMENT)
    found: dict[str, bool] = {}
    for function in declared:
        behavior = function.get("behavior", profile.behavior)
        if behavior not in {"BLOCKING", "NON_BLOCKING"}:
            behavior = profile.behavior
        if behavior != profile.behavior and profile.other_behavior == "refused":
            raise Refusal(1007, INVALID_ARGUMENT)
        if profile.other_behavior == "ignored":
            behavior = profile.behavior
        if function.get("name"):
            found[function["name"]] = behavior == "BLOCKING"
    return found


def _thinks(profile: Profile, config: dict[str, Any]) -> bool:
    if profile.thoughts == "unasked":
        return config.get("thinking_budget") != 0 and config.get("include_thoughts", True)
    return profile.thoughts == "asked" and config.get("include_thoughts", False)
