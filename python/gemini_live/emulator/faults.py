"""What goes wrong, and when: data, nothing else."""

from __future__ import annotations

import msgspec

__all__ = ["Faults"]


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Faults of a connection. Ages are seconds since the upgrade, in real time whatever the pace is.

    Attributes:
        connections: how many connections they strike, counted from the emulator's first, or from the moment when
            `Emulator.faults` was set; ``None`` strikes all.
        http_status: the upgrade is answered with this status instead, such as 429 or 503.
        pong_delay_s: pings are answered so late; up to 30 s was seen.
        go_away_after_s: age at which goAway is sent. The connection is closed with 1011 when its time is over (E45).
        go_away_time_left_s: the ``timeLeft`` of that goAway.
        go_away_silent: says nothing more after goAway, as some servers do.
        cut_after_s: age at which the TCP connection is aborted without a close frame (E46).
        cut_after_messages: the same after so many client messages, not counting the setup.
        cut_at_setup: the same instead of answering the setup.
        close_after_s: age at which the connection is closed with ``close_code`` and ``close_reason``.
        close_after_messages: the same after so many client messages.
        close_at_setup: the same instead of answering the setup.
        close_code: any code that a close frame may hold.
        close_reason: cut to 123 bytes of UTF-8.
        empty_messages: sends ``{}`` and ``{"serverContent":{}}`` before every piece of speech (E29).
        omit_index: leaves out ``lastConsumedClientMessageIndex``, which was seen on Vertex AI (E44).
        refuse_resume_s: a session that was lost while idle refuses to be resumed for so long; 1.5 s was measured (E42).
    """

    connections: int | None = None
    http_status: int | None = None
    pong_delay_s: float = 0.0
    go_away_after_s: float | None = None
    go_away_time_left_s: float = 50.0
    go_away_silent: bool = False
    cut_after_s: float | None = None
    cut_after_messages: int | None = None
    cut_at_setup: bool = False
    close_after_s: float | None = None
    close_after_messages: int | None = None
    close_at_setup: bool = False
    close_code: int = 1011
    close_reason: str = "Internal error encountered."
    empty_messages: bool = False
    omit_index: bool = False
    refuse_resume_s: float = 0.0
