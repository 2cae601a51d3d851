"""kvstore.raft.commit: what a leader may call committed."""

import pytest

from kvstore.base.ids import LogIndex, Term
from kvstore.raft.commit import leader_commit, majority_index


@pytest.mark.parametrize(
    ("durable_on", "expected"),
    [([7], 7), ([7, 3], 3), ([7, 3, 5], 5), ([9, 1, 1, 8], 1), ([9, 1, 1, 8, 7], 7)],
)
def test_a_majority_has_it(durable_on: list[int], expected: int) -> None:
    assert majority_index([LogIndex(index) for index in durable_on]) == expected


def commit(proposed: int, durable_on: list[int], terms: dict[int, int], known: int = 2) -> int:
    def term_at(index: LogIndex) -> Term | None:
        return Term(terms[index]) if index in terms else None

    return leader_commit(
        LogIndex(proposed),
        [LogIndex(index) for index in durable_on],
        known=LogIndex(known),
        term=Term(4),
        term_at=term_at,
    )


def test_an_entry_of_this_term_on_a_majority_is_committed() -> None:
    assert commit(5, [5, 5, 2], {3: 2, 4: 2, 5: 4}) == 5


def test_an_entry_of_an_older_term_is_not_committed_by_counting() -> None:
    # Raft figure 8: the library proposes 5, but this member's disk has no more than 4.
    assert commit(5, [4, 5, 2], {3: 2, 4: 2, 5: 4}) == 2


def test_never_more_than_proposed_nor_less_than_known() -> None:
    assert commit(4, [9, 9, 9], {4: 4}) == 4
    assert commit(9, [1, 1, 1], {1: 4}) == 2


def test_nobody_commits_nothing() -> None:
    assert commit(9, [], {9: 4}) == 2
