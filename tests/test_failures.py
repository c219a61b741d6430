from __future__ import annotations

import pytest

from gemini_live import failures
from gemini_live.events import CloseKind as Kind
from gemini_live.events import Phase
from gemini_live.failures import Failure, Next, judge

DIAL, SETUP, OPEN = Phase.DIAL, Phase.SETUP, Phase.OPEN
RETRY, FRESH, STOP = Next.RETRY, Next.FRESH, Next.STOP

LONG_MODEL = (
    "models/gemini-9.9-live is not found for API version v1beta, or is not supported for bidiGenerateContent. "
    "Call ListModels to see the list of available models and their supported methods."
)
UNREGISTERED = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other "
    "form of API consumer identity to call this API."
)
QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
CONCURRENT = (
    "RESOURCE_EXHAUSTED: Maximum concurrent sessions exceeded for this project, please try again later or ask for more."
)
NOT_IMPLEMENTED = "Operation is not implemented, or supported, or enabled."
INVALID = "Request contains an invalid argument."

# What users of the service have met: code, reason, phase, was a handle sent → kind, what follows.
SEEN = [
    # WebSocket closes
    (1000, "", OPEN, False, Kind.PLANNED, RETRY),
    (1000, "", SETUP, True, Kind.PLANNED, RETRY),
    (1001, "", OPEN, False, Kind.PLANNED, RETRY),
    (1005, "", OPEN, False, Kind.PLANNED, RETRY),
    (1006, "", OPEN, False, Kind.NETWORK, RETRY),
    (None, "", OPEN, False, Kind.NETWORK, RETRY),
    (None, "the connection was reset", SETUP, True, Kind.NETWORK, RETRY),
    (1007, "API key not valid. Please pass a valid API key.", SETUP, False, Kind.CREDENTIALS, STOP),
    (1007, INVALID, SETUP, False, Kind.SETUP, STOP),
    (1007, INVALID, SETUP, True, Kind.HANDLE, FRESH),
    (1007, INVALID, OPEN, False, Kind.SETUP, STOP),
    (1007, INVALID, OPEN, True, Kind.SETUP, STOP),
    (
        1007,
        "Invalid JSON payload received. Unknown name \"transparent\" at 'setup.session_resumption': Cannot find field.",
        SETUP,
        False,
        Kind.SETUP,
        STOP,
    ),
    (1007, "Invalid session handle", SETUP, True, Kind.HANDLE, FRESH),
    (
        1007,
        "The requested combination of response modalities (TEXT) is not supported by the model.",
        SETUP,
        False,
        Kind.SETUP,
        STOP,
    ),
    (1007, "Cannot extract voices from a non-audio request", OPEN, False, Kind.SETUP, STOP),
    (1007, "setup must be the first message and only the first", SETUP, False, Kind.SETUP, STOP),
    (
        1007,
        "Explicit activity control is not supported when automatic activity detection is enabled.",
        OPEN,
        True,
        Kind.SETUP,
        STOP,
    ),
    (
        1007,
        "realtime_input.media_chunks is deprecated. Use audio, video, or text instead.",
        OPEN,
        False,
        Kind.SETUP,
        STOP,
    ),
    (1007, "No matching speaker voice found for name: alloy", SETUP, False, Kind.SETUP, STOP),
    (1007, "Code Execution tool is not supported for this model", SETUP, False, Kind.SETUP, STOP),
    (1007, "", OPEN, False, Kind.SETUP, STOP),
    (1008, LONG_MODEL, SETUP, False, Kind.SETUP, STOP),
    (1008, LONG_MODEL, SETUP, True, Kind.SETUP, STOP),
    (1008, UNREGISTERED, SETUP, False, Kind.CREDENTIALS, STOP),
    (
        1008,
        "Your API key was reported as leaked. Please use another API key.",
        SETUP,
        False,
        Kind.CREDENTIALS,
        STOP,
    ),
    (1008, NOT_IMPLEMENTED, SETUP, False, Kind.SETUP, STOP),
    (1008, NOT_IMPLEMENTED, OPEN, False, Kind.SERVER, RETRY),
    (1008, "BidiGenerateContent session not found", SETUP, True, Kind.HANDLE, FRESH),
    (1008, "Requested entity was not found.", SETUP, True, Kind.HANDLE, FRESH),
    (1008, "Requested entity was not found.", OPEN, False, Kind.HANDLE, FRESH),
    (1008, "The operation was aborted.", OPEN, False, Kind.PLANNED, RETRY),
    (1008, "The operation was aborted.", SETUP, True, Kind.PLANNED, RETRY),
    (1008, "something else", OPEN, False, Kind.SETUP, STOP),
    (1009, "", OPEN, False, Kind.SETUP, STOP),
    (1011, "Internal error encountered.", SETUP, True, Kind.SERVER, RETRY),
    (1011, "Internal error occurred.", OPEN, False, Kind.SERVER, RETRY),
    (1011, "Deadline expired before operation could complete.", OPEN, False, Kind.PLANNED, RETRY),
    (1011, "The service is currently unavailable.", SETUP, False, Kind.SERVER, RETRY),
    (1011, QUOTA, SETUP, False, Kind.QUOTA, RETRY),
    (1011, CONCURRENT, SETUP, True, Kind.QUOTA, RETRY),
    (1011, "Token has been used too many times", SETUP, False, Kind.TOKEN_EXPIRED, RETRY),
    (1011, "auth token has expired", OPEN, False, Kind.TOKEN_EXPIRED, RETRY),
    (1011, "Token has expired", SETUP, True, Kind.TOKEN_EXPIRED, RETRY),
    (1011, "", OPEN, False, Kind.SERVER, RETRY),
    (1012, "", OPEN, False, Kind.SERVER, RETRY),
    (4321, "whatever this is", OPEN, False, Kind.SERVER, RETRY),
    # HTTP at the upgrade
    (400, "HTTP 400 at the upgrade", DIAL, False, Kind.SETUP, STOP),
    (401, "HTTP 401 at the upgrade", DIAL, False, Kind.CREDENTIALS, STOP),
    (403, "HTTP 403 at the upgrade", DIAL, False, Kind.CREDENTIALS, STOP),
    (407, "HTTP 407 at the upgrade", DIAL, False, Kind.CREDENTIALS, STOP),
    (404, "HTTP 404 at the upgrade", DIAL, False, Kind.SETUP, STOP),
    (405, "HTTP 405 at the upgrade", DIAL, False, Kind.SETUP, STOP),
    (410, "HTTP 410 at the upgrade", DIAL, True, Kind.SETUP, STOP),
    (426, "HTTP 426 at the upgrade", DIAL, False, Kind.SETUP, STOP),
    (499, "HTTP 499 at the upgrade", DIAL, False, Kind.SETUP, STOP),
    (408, "HTTP 408 at the upgrade", DIAL, False, Kind.SERVER, RETRY),
    (425, "HTTP 425 at the upgrade", DIAL, False, Kind.SERVER, RETRY),
    (429, "HTTP 429 at the upgrade", DIAL, False, Kind.QUOTA, RETRY),
    (500, "HTTP 500 at the upgrade", DIAL, False, Kind.SERVER, RETRY),
    (503, "HTTP 503 at the upgrade", DIAL, False, Kind.SERVER, RETRY),
    (None, "connection refused", DIAL, False, Kind.NETWORK, RETRY),
]


def cut(reason):
    """As a close frame has room for it."""
    return reason.encode()[:123].decode(errors="ignore")


def row_of(code, reason, phase, resuming):
    """The number of the row that decides, or None."""
    return next(
        (
            index
            for index, row in enumerate(failures._TABLE)
            if row.matches(phase, code, reason.lower(), resuming=resuming)
        ),
        None,
    )


@pytest.mark.parametrize("case", SEEN, ids=lambda case: f"{case[0]}-{case[1][:30]}-{case[2].value}")
def test_what_users_have_met(case):
    code, reason, phase, resuming, kind, following = case
    for said in (cut(reason), cut(reason).upper(), cut(reason).lower()):
        verdict = judge(Failure(code=code, reason=said), phase, resuming=resuming)
        assert (verdict.kind, verdict.next) == (kind, following)
        assert verdict.hint


def test_some_reasons_are_indeed_cut():
    assert sum(cut(reason) != reason for _, reason, *_ in SEEN) >= 4


def test_every_row_decides_something():
    """A row that a more general one above it covers would be hit by no case, and so would one that nobody tests."""
    hit = {row_of(code, cut(reason), phase, resuming) for code, reason, phase, resuming, *_ in SEEN}
    assert hit - {None} == set(range(len(failures._TABLE)))
    assert None in hit


def test_the_table_is_written_in_lower_case():
    assert all(row.text == row.text.lower() for row in failures._TABLE)


@pytest.mark.parametrize("phase", [SETUP, OPEN])
@pytest.mark.parametrize("code", [400, 401, 403, 404, 407, 429])
def test_a_status_means_something_only_where_there_is_http(code, phase):
    assert judge(Failure(code=code), phase, resuming=False).kind is Kind.SERVER


def test_a_quota_waits_longer_than_its_minute_and_gives_up_soon():
    for failure, phase in ((Failure(code=429), DIAL), (Failure(code=1011, reason=cut(QUOTA)), OPEN)):
        verdict = judge(failure, phase, resuming=False)
        assert verdict.wait_s >= 65
        assert verdict.most == 2


def test_too_many_sessions_at_once_need_only_patience():
    """Another session may end at any moment; and it says nothing against the handle."""
    verdict = judge(Failure(code=1011, reason=cut(CONCURRENT)), SETUP, resuming=True)
    assert (verdict.wait_s, verdict.most) == (0.0, None)


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, None])
def test_nothing_else_waits_by_itself(code):
    assert judge(Failure(code=code), OPEN, resuming=False).wait_s == 0


@pytest.mark.parametrize(
    ("kind", "following"),
    [
        (Kind.NETWORK, RETRY),
        (Kind.TIMEOUT, RETRY),
        (Kind.SERVER, RETRY),
        (Kind.CREDENTIALS, STOP),
        (Kind.SETUP, STOP),
        (Kind.INTERNAL, STOP),
    ],
)
def test_where_the_transport_knows_better_the_table_is_not_asked(kind, following):
    verdict = judge(Failure(code=1007, reason="API key not valid", kind=kind, hint="h"), SETUP, resuming=True)
    assert (verdict.kind, verdict.next, verdict.hint) == (kind, following, "h")


def test_what_is_final_but_may_pass_is_tried_again():
    verdict = judge(Failure(kind=Kind.CREDENTIALS, passing=True), DIAL, resuming=True)
    assert (verdict.kind, verdict.next) == (Kind.CREDENTIALS, RETRY)


def test_a_token_that_stays_used_up_is_not_tried_for_ever():
    verdict = judge(Failure(code=1011, reason="Token has expired"), SETUP, resuming=True)
    assert (verdict.next, verdict.most) == (RETRY, 2)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.REQUESTED, Kind.ABANDONED)])
@pytest.mark.parametrize("phase", Phase)
def test_every_kind_gets_a_verdict(kind, phase):
    assert judge(Failure(kind=kind), phase, resuming=False).kind is kind


def test_a_row_that_nothing_follows_has_a_hint_for_people():
    for row in failures._TABLE:
        if row.verdict.next is STOP:
            assert len(row.verdict.hint) > 15
            assert not row.verdict.hint.endswith(".")
