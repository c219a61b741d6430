"""Runs last: every kind of message was seen in every direction."""

import pytest

from conformance import kinds


@pytest.mark.parametrize("direction", kinds.DIRECTIONS)
def test_every_kind_of_message_was_covered(direction, whole_folder):
    assert kinds.wanted(direction) - kinds.COVERED[direction] == set()


def test_what_need_not_be_covered_is_not_covered(whole_folder):
    assert [left_out for left_out in kinds.NOT_TO_BE_COVERED if left_out[1] in kinds.COVERED[left_out[0]]] == []
