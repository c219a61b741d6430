"""What goes wrong, and when: data, nothing else."""

from __future__ import annotations

from math import inf
from typing import Annotated, Final, Literal

import msgspec

from gemini_live.emulator.knobs import check_fields, knob
from gemini_live.emulator.wire import is_close_code
from gemini_live.errors import ConfigError

__all__ = ["DEADLINE_EXPIRED", "Faults"]

DEADLINE_EXPIRED: Final = "Deadline expired before operation could complete."
"""What the service says when a connection or a session has become too old."""


# `gemini-live emulator --help` is made from these fields, and so is their list in the reference: a description goes on
# from its group.
class Faults(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Faults of a connection. Ages are seconds since the upgrade, in real time whatever the pace is.

    On the control endpoint, ``POST /_emulator/faults``, the names are in camelCase.

    Raises:
        ConfigError: a negative number, a status or close code that does not exist, or what could never strike.
    """

    connections: Annotated[
        int | None,
        knob(
            "whom faults strike",
            "only so many connections suffer, counted from the first, or from the last change of the faults",
            option="fault-connections",
        ),
    ] = None

    http_status: Annotated[
        int | None, knob("faults of the connection", "answer the upgrade with this status instead, such as 429 or 503")
    ] = None
    pong_delay_s: Annotated[
        float, knob("faults of the connection", "answer pings so late; 8 to 30 s was measured under load")
    ] = 0.0
    stall_after_s: Annotated[
        float | None,
        knob(
            "faults of the connection",
            "at this age neither read nor write any more, and keep the TCP connection: a half-open line",
        ),
    ] = None
    empty_messages: Annotated[
        bool,
        knob(
            "faults of the connection",
            'send ``{}`` and ``{"serverContent":{}}`` before each piece of speech, as 3.8 does',
        ),
    ] = False

    go_away_after_s: Annotated[
        float | None,
        knob("goAway", "send goAway at this age (default: the model's age limit less the time left)"),
    ] = None
    go_away_time_left_s: Annotated[
        float | None,
        knob(
            "goAway",
            "what goAway says is left (default: 50 s on the Developer API, 30 s on Vertex AI; both measured)",
        ),
    ] = None
    go_away_silent: Annotated[bool, knob("goAway", "say nothing more after goAway, as some servers do")] = False
    go_away_missing: Annotated[bool, knob("goAway", "end without having said goAway, as was seen too")] = False
    go_away_code: Annotated[int, knob("goAway", "close with it when the time is over; 1000, 1001, 1008 were seen")] = (
        1011
    )
    go_away_reason: Annotated[str, knob("goAway", "the text of that close")] = DEADLINE_EXPIRED

    cut_at_setup: Annotated[bool, knob("cuts: TCP ends without a close frame", "instead of answering the setup")] = (
        False
    )
    cut_after_s: Annotated[float | None, knob("cuts: TCP ends without a close frame", "at this age")] = None
    cut_after_messages: Annotated[
        int | None,
        knob(
            "cuts: TCP ends without a close frame",
            "after so many client messages, not counting the setup; 0 is right after it",
        ),
    ] = None
    cut_at_speech: Annotated[
        int | None, knob("cuts: TCP ends without a close frame", "after so many messages with speech of the model")
    ] = None
    cut_at_call: Annotated[
        bool, knob("cuts: TCP ends without a close frame", "after a toolCall, before its answer")
    ] = False
    cut_mid_frame: Annotated[
        bool,
        knob("cuts: TCP ends without a close frame", "every cut leaves the first half of a frame on the wire"),
    ] = False

    close_at_setup: Annotated[bool, knob("closes", "instead of answering the setup")] = False
    close_after_s: Annotated[float | None, knob("closes", "at this age")] = None
    close_after_messages: Annotated[
        int | None, knob("closes", "after so many client messages, not counting the setup; 0 is right after it")
    ] = None
    close_at_speech: Annotated[int | None, knob("closes", "after so many messages with speech of the model")] = None
    close_at_call: Annotated[bool, knob("closes", "after a toolCall, before its answer")] = False
    close_code: Annotated[int, knob("closes", "with this code")] = 1011
    close_reason: Annotated[str, knob("closes", "and this text, cut to 123 bytes of UTF-8")] = (
        "Internal error encountered."
    )

    mute_after_turns: Annotated[
        int | None,
        knob(
            "poisoned sessions", "transcribe, but never answer, once so many turns were answered; 0 is from the start"
        ),
    ] = None
    mute_resumed: Annotated[
        bool, knob("poisoned sessions", "a resumed session transcribes, but never answers any more")
    ] = False
    phantom_interruptions: Annotated[
        bool, knob("poisoned sessions", "send interrupted right after each turnComplete, with no user about")
    ] = False

    close_on_input_during_call: Annotated[
        bool, knob("faults of tools", "close with 1008 on audio or text while a call is pending, as 2.5 does at times")
    ] = False
    close_on_unknown_call: Annotated[
        bool,
        knob("faults of tools", "close with 1008 on the answer to a call that is not pending (default: ignore it)"),
    ] = False
    answers_without_id: Annotated[
        bool, knob("faults of tools", "take answers without id on the Developer API too (default: close with 1007)")
    ] = False

    refuse_resume_s: Annotated[
        float,
        knob("faults of resumption", "a session lost while idle refuses to be resumed for so long; 1.5 s was measured"),
    ] = 0.0
    handle_valid_s: Annotated[
        float | None,
        knob(
            "faults of resumption",
            "how long handles are good after the last connection "
            "(default: 2 h on the Developer API, 24 h on Vertex AI; both documented)",
        ),
    ] = None
    handle_refusal: Annotated[
        Literal["session", "entity", "handle"],
        knob(
            "faults of resumption",
            "how a bad handle is refused: 1008 session not found, 1008 Requested entity was not found, "
            "1007 Invalid session handle",
        ),
    ] = "session"
    unresumable: Annotated[
        bool, knob("faults of resumption", "send updates without a handle: cannot be resumed from here")
    ] = False
    omit_index: Annotated[
        bool, knob("faults of resumption", "leave out lastConsumedClientMessageIndex, as was seen on Vertex AI")
    ] = False

    session_limit_s: Annotated[
        float, knob("limits", "how long a session lasts without contextWindowCompression (documented: 15 min)")
    ] = 900.0
    video_limit_s: Annotated[float, knob("limits", "the same for a session with video (documented: 2 min)")] = 120.0
    context_tokens: Annotated[
        int, knob("limits", "size of the context; full, and not compressed, it closes with 1007")
    ] = 131_072
    max_connections: Annotated[
        int | None, knob("limits", "so many at once; one more is closed with 1011 RESOURCE_EXHAUSTED")
    ] = None
    max_connections_status: Annotated[
        bool, knob("limits", "refuse the one more with HTTP 429 at the upgrade instead, as on Vertex AI")
    ] = False

    def __post_init__(self) -> None:
        check_fields(self, "faults")
        for name in ("close_code", "go_away_code"):
            code: int = getattr(self, name)
            if not is_close_code(code):
                raise ConfigError(f"{name}: no close frame can hold {code}", path=f"faults.{name}")
        for name in ("cut_at_speech", "close_at_speech"):
            if getattr(self, name) == 0:
                raise ConfigError(f"{name} counts from 1", path=f"faults.{name}")
        if self.go_away_time_left_s == inf:
            raise ConfigError("go_away_time_left_s must end one day", path="faults.go_away_time_left_s")
        if self.http_status is not None and not 300 <= self.http_status <= 599:
            raise ConfigError(f"http_status {self.http_status} refuses nothing", path="faults.http_status")
