"""A script: rules of the form "when this is heard or sent, answer so", as TOML or as structs.

::

    [[rule]]
    when = { text = "weather" }
    reply = [ { tool_call = { name = "get_weather", args = { city = "Paris" } } } ]

The first rule that fits answers; where none does, the emulator answers as it does without a script.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import wave
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from gemini_live.emulator.resampling import resample
from gemini_live.emulator.voice import VOICE_RATE_HZ, padded
from gemini_live.emulator.wire import is_close_code
from gemini_live.errors import ConfigError

__all__ = ["Close", "FunctionCall", "Reply", "Rule", "Script", "When", "load", "voice_of"]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A misspelt key must not be a rule that silently never fires."""


class When(_Strict, frozen=True, kw_only=True):
    """When a rule fires: at the user's words, at an answer to a call, at the setup, or at a time.

    ``text``, ``text_equals``, ``text_matches`` and ``utterance`` may stand together, and then all must fit. Texts are
    those of realtimeInput and clientContent, and the transcriptions of what was spoken.

    Attributes:
        text: is contained in the user's text, in any case.
        text_equals: is the user's text.
        text_matches: a regular expression that is found in the user's text.
        utterance: the number of the spoken turn in its session, from 1; 0 is every one.
        tool_response: the name of a function whose answer has come; ``"*"`` is any.
        setup: a connection was set up, or resumed.
        after_s: seconds since the setup, in real time whatever the pace is.
    """

    text: str | None = None
    text_equals: str | None = None
    text_matches: str | None = None
    utterance: int | None = None
    tool_response: str | None = None
    setup: bool = False
    after_s: float | None = None

    def hears(self, text: str, utterance: int | None) -> bool:
        """Whether the user's words fit; ``utterance`` is ``None`` for what was typed."""
        asked = (self.text, self.text_equals, self.text_matches, self.utterance)
        return (
            any(condition is not None for condition in asked)
            and (self.text is None or self.text.casefold() in text.casefold())
            and (self.text_equals is None or self.text_equals == text)
            and (self.text_matches is None or re.search(self.text_matches, text) is not None)
            and (self.utterance is None or (utterance is not None and self.utterance in {0, utterance}))
        )


class FunctionCall(_Strict, frozen=True, kw_only=True):
    """A call of a function.

    Attributes:
        name: of the function.
        args: by name; what JSON can hold.
        id: made up if empty.
        blocking: whether the model waits for the answer; ``None`` is as declared, or as the profile has it.
    """

    name: str
    args: dict[str, Any] = {}
    id: str = ""
    blocking: bool | None = None


class Close(_Strict, frozen=True, kw_only=True):
    """A close frame.

    Attributes:
        code: any code that a close frame may hold.
        reason: cut to 123 bytes of UTF-8.
    """

    code: int = 1000
    reason: str = ""


class Reply(_Strict, frozen=True, kw_only=True):
    """One thing that the emulator does; exactly one field is set, but for ``audio`` with its ``text``.

    Attributes:
        say: a hum with this transcription.
        audio: speech from a WAV file, 16-bit PCM of any rate; relative to the script's folder.
        text: the transcription of ``audio``.
        heard: the transcription of what the user has just said, instead of ``utterance 1, 0.9 s``.
        thought: a thought part with this text.
        tool_call: a call. If it blocks, the rest of the reply waits for its answer.
        tool_calls: several in one message.
        interrupted: as if the user had cut in.
        go_away: goAway with so many seconds left, and the close when they are over.
        close: a close frame.
        cut: TCP ends without a close frame.
        wait_s: a pause; ``Pace.waits`` scales it, so that it is none under ``compress_time``.
        raw: a server message, sent as it is.
    """

    say: str | None = None
    audio: str | None = None
    text: str = ""
    heard: str | None = None
    thought: str | None = None
    tool_call: FunctionCall | None = None
    tool_calls: tuple[FunctionCall, ...] = ()
    interrupted: bool = False
    go_away: float | None = None
    close: Close | None = None
    cut: bool = False
    wait_s: float | None = None
    raw: dict[str, Any] | None = None

    @property
    def calls(self) -> tuple[FunctionCall, ...]:
        """Those of ``tool_call`` and of ``tool_calls``."""
        return self.tool_calls if self.tool_call is None else (self.tool_call,)

    @property
    def speaks(self) -> bool:
        """Whether it is part of a turn of the model."""
        return bool(self.calls) or any(part is not None for part in (self.say, self.audio, self.thought))


class Rule(_Strict, frozen=True, kw_only=True):
    """When, and what then.

    Attributes:
        when: what it fires at.
        reply: in order; nothing in it is no answer at all.
        times: how often in one session; ``None`` is always.
    """

    when: When
    reply: tuple[Reply, ...] = ()
    times: int | None = None


class Script(_Strict, frozen=True, kw_only=True):
    """Rules; the first that fits answers.

    Attributes:
        rule: called like this because of TOML's ``[[rule]]``.
    """

    rule: tuple[Rule, ...] = ()


_WORDS: Final = {"text", "text_equals", "text_matches", "utterance"}


def load(source: Script | Sequence[Rule | Mapping[str, Any]] | str | Path) -> Script:
    """A script from what users give, checked, with the paths of its WAV files made absolute.

    Args:
        source: a `Script`, a list of rules or of their mappings, a file's path, or TOML: a ``str`` is TOML if it has
            several lines, is empty, or begins with ``[[``.

    Raises:
        ConfigError: the file, the line or the rule, and the reason.
    """
    voice_of.cache_clear()  # files are read when a script is loaded, and not while somebody waits for an answer
    folder = Path()
    where, toml = "script", ""
    match source:
        case Script():
            tables: object = msgspec.to_builtins(source)
        case Path() | str() if isinstance(source, Path) or not _is_toml(source):
            path = Path(source)
            folder, where = path.parent, str(path)
            try:
                toml = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{where}: {_why(error)}", path="script") from None
            tables = _parse(toml, where)
        case str():
            toml = source
            tables = _parse(toml, where)
        case Sequence() if not isinstance(source, bytes):
            try:
                tables = {"rule": [msgspec.to_builtins(rule) for rule in source]}
            except TypeError as error:
                raise ConfigError(f"{where}: a rule is a Rule or a mapping: {error}", path="script") from None
        case _:
            raise ConfigError(
                f"a script is a path, TOML or a list of rules, not {type(source).__name__}", path="script"
            )
    script = _convert(tables, where, toml)
    rules = [_checked(rule, folder, _place(where, toml, number)) for number, rule in enumerate(script.rule, 1)]
    return Script(rule=tuple(rules))


def _is_toml(text: str) -> bool:
    return not text.strip() or "\n" in text or text.lstrip().startswith("[[")


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8"


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)$", str(error))
        line = found[1] if found else str(text.count("\n") + 1)  # the other form is "at end of document"
        reason = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigError(f"{where}, line {line}: {reason}", path="script") from None


def _place(where: str, toml: str, number: int) -> str:
    """Where a rule stands, for people: with its line if it is a ``[[rule]]`` of a text."""
    heads = [line for line, text in enumerate(toml.splitlines(), 1) if re.match(r"\s*\[\[\s*rule\s*\]\]", text)]
    line = f", line {heads[number - 1]}" if number <= len(heads) else ""
    return f"{where}{line}, rule {number}"


_STRUCTS: Final = {"when": When, "reply": Reply, "tool_call": FunctionCall, "tool_calls": FunctionCall, "close": Close}


def _convert(tables: object, where: str, toml: str) -> Script:
    try:
        return msgspec.convert(tables, Script)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        steps = re.findall(r"\.(\w+)|\[(\d+)\]", place)
        if len(steps) > 1 and steps[0][0] == "rule":
            where = _place(where, toml, int(steps[1][1]) + 1)
            inside = "".join(f".{name}" if name else f"[{int(at) + 1}]" for name, at in steps[2:]).lstrip(".")
            where += f", {inside}" if inside else ""
        names = [name for name, _ in steps if name]
        struct = _STRUCTS.get(names[-1], Rule) if len(names) > 1 else Rule if names else Script
        unknown = re.search(r"unknown field `(.*)`", reason)
        suggestion = None
        if unknown:
            known = struct.__struct_fields__
            suggestion = next(iter(difflib.get_close_matches(unknown[1], known, 1)), None)
            hint = f"; did you mean {suggestion!r}?" if suggestion else f"; there are {', '.join(known)}"
            reason = f"no key {unknown[1]!r}{hint}"
        raise ConfigError(f"{where}: {reason}", path="script", suggestion=suggestion) from None


def _checked(rule: Rule, folder: Path, where: str) -> Rule:
    """What types cannot say."""
    when = rule.when
    said = {name for name in when.__struct_fields__ if _is_said(getattr(when, name))}
    if not said:
        raise ConfigError(f"{where}, when: no condition; there are {', '.join(When.__struct_fields__)}", path="script")
    if len(said) > 1 and not said <= _WORDS:
        raise ConfigError(f"{where}, when: {' and '.join(sorted(said))} cannot come together", path="script")
    if rule.times is not None and rule.times < 0:
        raise ConfigError(f"{where}, times: it cannot fire {rule.times} times", path="script")
    if when.utterance is not None and when.utterance < 0:
        raise ConfigError(f"{where}, when.utterance: counted from 1, 0 is every one: {when.utterance}", path="script")
    _check_time(when.after_s, f"{where}, when.after_s")
    if when.text_matches is not None:
        try:
            re.compile(when.text_matches)
        except re.error as error:
            raise ConfigError(f"{where}, when.text_matches: {error}", path="script") from None
    for number, one in enumerate(rule.reply, 1):
        _check_reply(one, f"{where}, reply[{number}]")
    reply = [
        one if one.audio is None else msgspec.structs.replace(one, audio=str(folder / one.audio)) for one in rule.reply
    ]
    for number, one in enumerate(reply, 1):
        if one.audio is not None:
            try:
                voice_of(one.audio)
            except (OSError, EOFError, wave.Error, ValueError) as error:
                reason = (error.strerror if isinstance(error, OSError) else str(error)) or "not a WAV file"
                raise ConfigError(f"{where}, reply[{number}].audio: {one.audio}: {reason}", path="script") from None
    return msgspec.structs.replace(rule, reply=tuple(reply))


def _is_said(value: object) -> bool:
    """Whether it was written; 0 and the empty text are, and ``false`` might as well not be."""
    return value is not None and value is not False and value != ()


def _check_reply(one: Reply, where: str) -> None:
    done = {name for name in one.__struct_fields__ if name != "text" and _is_said(getattr(one, name))}
    if one.text and one.audio is None:
        done.add("text")  # which is nothing by itself
    if len(done) != 1 or done == {"text"}:
        names = ", ".join(name for name in Reply.__struct_fields__ if name != "text")
        found = " and ".join(sorted(done)) or "none"
        raise ConfigError(f"{where}: one of {names} is needed, got {found}", path="script")
    try:
        json.dumps([one.raw, *(call.args for call in one.calls)], allow_nan=False)
    except (TypeError, ValueError) as error:  # TOML has dates and infinities
        raise ConfigError(f"{where}: JSON cannot hold it: {error}", path="script") from None
    if one.close is not None and not is_close_code(one.close.code):
        raise ConfigError(f"{where}.close: no close frame can hold {one.close.code}", path="script")
    ids = [call.id for call in one.calls if call.id]
    for number, call_id in enumerate(ids):
        if call_id in ids[:number]:
            raise ConfigError(f"{where}.tool_calls: two calls with the id {call_id!r}", path="script")
    for name in ("wait_s", "go_away"):
        _check_time(getattr(one, name), f"{where}.{name}")


def _check_time(value: float | None, where: str) -> None:
    if value is not None and not 0 <= value < float("inf"):
        raise ConfigError(f"{where}: not a time: {value}", path="script")


@lru_cache(maxsize=64)
def voice_of(path: str) -> Any:  # noqa: ANN401 - Samples is a name for types only
    """The samples of a 16-bit WAV file, its channels mixed, as the emulator says them: 24 kHz, shape ``(n,)``.

    Raises:
        OSError: it cannot be read.
        wave.Error: it is no PCM.
        ValueError: it has another width, or no samples.
    """
    with wave.open(path, "rb") as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{8 * file.getsampwidth()} bits; only 16-bit PCM is read")
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        rate_hz = file.getframerate()
    if len(data) == 0:
        raise ValueError("no samples")
    mono = data.mean(axis=1).astype(np.int16)
    return padded(mono if rate_hz == VOICE_RATE_HZ else resample(mono, rate_hz, VOICE_RATE_HZ))
