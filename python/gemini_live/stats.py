"""What a session counts, for who asks: where its messages are, how much has come, how often it was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["KindStats", "SessionStats"]


class KindStats(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of one kind by fate; the fields are those of `SessionStats`."""

    accepted: int = 0
    waiting: int = 0
    written: int = 0
    acknowledged: int = 0
    expired: int = 0
    replayed: int = 0
    uncertain: int = 0


class SessionStats(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts of a session at one moment: ``accepted == waiting + written + acknowledged + expired``, always.

    Attributes:
        accepted: messages that the session took.
        waiting: not yet handed to a connection.
        written: handed to a connection, and not acknowledged.
        acknowledged: the other side has them for certain: its resumable state contains them (Vertex AI), or it answered
            a ping that was sent behind them, or confirmed the close.
        expired: given up, each reported by `InputDropped`: audio that waited too long, images that newer ones replaced.
        replayed: how many times a message was written again after a reconnect.
        uncertain: of those written, on a connection that was lost before anything proved that they arrived.
        by_kind: the same for each kind of message, such as ``audio`` or ``tool_response``.
        bytes_written: of messages in their WebSocket frames, those written again included.
        bytes_received: of messages.
        messages_received: messages of the service, empty ones included.
        unknown_received: of those, how many were not understood in full; each gave an `Unknown`.
        audio_discarded: pieces of an interrupted answer that came after `Interrupted` and were not handed out.
        nan_samples: samples given to `send_audio` or `feed_audio` that were no number; silence is sent for them.
        clipped_samples: likewise, samples beyond full scale, for which full scale is sent. Loud speech has some; where
            most are, floats are not between -1 and 1.
        waiting_s: how long the oldest waiting message has waited.
        longest_wait_s: the longest time that any message has waited to be written, or to expire.
        reconnects: how often the session came back, planned moves included.
        reconnects_by_cause: the same for each `CloseKind`, by its value.
        gaps_s: for how long nothing could be sent, for each of the last 100 reconnects, oldest first.
        longest_gap_s: the longest of all.
        round_trip_s: of the last answered ping.
    """

    accepted: int = 0
    waiting: int = 0
    written: int = 0
    acknowledged: int = 0
    expired: int = 0
    replayed: int = 0
    uncertain: int = 0
    by_kind: Mapping[str, KindStats] = {}
    bytes_written: int = 0
    bytes_received: int = 0
    messages_received: int = 0
    unknown_received: int = 0
    audio_discarded: int = 0
    nan_samples: int = 0
    clipped_samples: int = 0
    waiting_s: float = 0.0
    longest_wait_s: float = 0.0
    reconnects: int = 0
    reconnects_by_cause: Mapping[str, int] = {}
    gaps_s: Sequence[float] = ()
    longest_gap_s: float = 0.0
    round_trip_s: float | None = None
