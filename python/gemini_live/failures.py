"""What the end of a connection means: one table from code, reason and phase to a kind, what to do, and a hint.

The codes and texts are those that users of the service have met; texts are compared without regard to case, and the
service may cut them at 123 bytes, so a row matches on a beginning or a middle that survives.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from gemini_live.events import CloseKind, Phase

__all__ = ["Failure", "Next", "Verdict", "judge"]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a connection, or of an attempt at one.

    Attributes:
        code: WebSocket close code (1000 and up) or HTTP status (below); ``None`` if the line simply went.
        reason: the other side's words, or the operating system's. Never a credential.
        kind: set where the transport knows better than code and reason do, such as a failed DNS query.
        hint: likewise.
        clean: we had asked for the close and the other side confirmed it, so it has read all that was sent before.
        passing: of a kind that would be final, but from a cause that may be gone at the next dial.
    """

    code: int | None = None
    reason: str = ""
    kind: CloseKind | None = None
    hint: str = ""
    clean: bool = False
    passing: bool = False


class Next(Enum):
    """What follows a failure."""

    RETRY = "dial again, with the handle if there is one"
    FRESH = "dial again without the handle"
    STOP = "give up"


class Verdict(msgspec.Struct, frozen=True):
    """A row's answer.

    Attributes:
        wait_s: dial again no sooner than this.
        most: give up after so many of this kind in a row, whatever the policy allows.
    """

    kind: CloseKind
    next: Next
    hint: str = ""
    wait_s: float = 0.0
    most: int | None = None


class _Row(msgspec.Struct, frozen=True):
    codes: frozenset[int | None]
    text: str
    verdict: Verdict
    phase: Phase | None = None
    resuming: bool | None = None

    def matches(self, phase: Phase, code: int | None, reason: str, *, resuming: bool) -> bool:
        return (
            code in self.codes
            and self.text in reason
            and self.phase in (None, phase)
            and self.resuming in (None, resuming)
        )


def _row(
    codes: int | tuple[int | None, ...] | None,
    text: str,
    verdict: Verdict,
    phase: Phase | None = None,
    *,
    resuming: bool | None = None,
) -> _Row:
    return _Row(frozenset(codes if isinstance(codes, tuple) else (codes,)), text.lower(), verdict, phase, resuming)


def _stop(kind: CloseKind, hint: str) -> Verdict:
    return Verdict(kind, Next.STOP, hint)


_K = CloseKind
_RESUME = Verdict(_K.PLANNED, Next.RETRY, "the service's limit for one connection was reached")
_GONE = Verdict(_K.HANDLE, Next.FRESH, "the session that was to be resumed is gone; its context is lost")
_BUSY = Verdict(_K.SERVER, Next.RETRY, "the service has a fault or is overloaded")
# A quota is counted by the minute: a sooner retry only adds to it.
_QUOTA = Verdict(_K.QUOTA, Next.RETRY, "the quota of this key or project is used up", wait_s=65.0, most=2)
# Another session may end at any moment, so this needs the usual back-off only; and it says nothing against the handle.
_CROWDED = Verdict(_K.QUOTA, Next.RETRY, "too many sessions of this key or project are open at once")
# The next token may be a new one; the one after that would be, if anybody made new ones.
_TOKEN = Verdict(
    _K.TOKEN_EXPIRED, Next.RETRY, "the token is used up; give a function as auth that makes a new one", most=2
)
_KEY = _stop(_K.CREDENTIALS, "check the API key: GEMINI_API_KEY or auth=ApiKey(…)")
_PERMISSION = _stop(
    _K.CREDENTIALS, "the credential is not accepted here: is it expired, and is the API enabled for it?"
)
_MODEL = _stop(_K.SETUP, "the model does not exist, or not for this API version; check its name")

# The first row that matches decides.
_TABLE: tuple[_Row, ...] = (
    _row(400, "", _stop(_K.SETUP, "the upgrade request was malformed"), Phase.DIAL),
    _row((401, 403, 407), "", _PERMISSION, Phase.DIAL),
    _row(404, "", _stop(_K.SETUP, "no Live service at this URL: check host, path and API version"), Phase.DIAL),
    _row(429, "", _QUOTA, Phase.DIAL),
    _row((408, 425), "", _BUSY, Phase.DIAL),  # too late, too early: RFC 9110 15.5.9, RFC 8470 5.2
    _row(
        tuple(range(400, 500)),
        "",
        _stop(_K.SETUP, "the server does not take this request: check the URL and what stands between"),
        Phase.DIAL,
    ),
    _row(1007, "api key not valid", _KEY),
    _row(1007, "invalid session handle", _GONE),
    _row(1007, "unknown name", _stop(_K.SETUP, "the service does not know a field that was sent")),
    _row(1007, "response modalities", _stop(_K.SETUP, 'native-audio models answer with ["AUDIO"] only')),
    _row(1007, "no matching speaker voice", _stop(_K.SETUP, "choose another voice_name, such as Kore")),
    _row(1007, "explicit activity control", _stop(_K.SETUP, "disable automatic_activity_detection to mark activity")),
    _row(1007, "media_chunks", _stop(_K.SETUP, "send audio, video or text instead of mediaChunks")),
    _row(1007, "invalid argument", _GONE, Phase.SETUP, resuming=True),
    _row(
        1007,
        "invalid argument",
        _stop(_K.SETUP, "a value is wrong, the context is full, or client content is not allowed after the first turn"),
    ),
    _row(1007, "", _stop(_K.SETUP, "the service could not accept a message")),
    _row(1008, "unregistered callers", _KEY),
    _row(1008, "reported as leaked", _stop(_K.CREDENTIALS, "make a new API key and withdraw this one")),
    _row(1008, "session not found", _GONE),
    _row(1008, "requested entity was not found", _GONE),
    _row(1008, "operation was aborted", _RESUME),
    _row(1008, "not implemented, or supported", _BUSY, Phase.OPEN),
    _row(1008, "is not found", _MODEL),
    _row(1008, "", _stop(_K.SETUP, "the service refused: the model or a feature may not be available to this key")),
    _row(1009, "", _stop(_K.SETUP, "one message was too large")),
    _row(1011, "quota", _QUOTA),
    _row(1011, "concurrent sessions", _CROWDED),
    _row(1011, "token has", _TOKEN),
    _row(1011, "deadline expired", _RESUME),
    _row((1000, 1001, 1005), "", _RESUME),  # 1005: a close frame without a code
    _row((None, 1006), "", Verdict(_K.NETWORK, Next.RETRY, "the network failed")),
)


def judge(failure: Failure, phase: Phase, *, resuming: bool) -> Verdict:
    """Say what a failure means.

    Args:
        failure: how the connection ended.
        phase: how far it had come.
        resuming: a handle was sent in its setup.
    """
    if failure.kind is not None:
        final = failure.kind in (_K.CREDENTIALS, _K.SETUP, _K.INTERNAL) and not failure.passing
        following = Next.STOP if final else Next.RETRY
        return Verdict(failure.kind, following, failure.hint)
    reason = failure.reason.lower()
    for row in _TABLE:
        if row.matches(phase, failure.code, reason, resuming=resuming):
            return row.verdict
    return _BUSY  # 1011 with any other text, 1002, 1012 … 1015, 5xx, and codes nobody has met yet
