"""Which entries are committed, as the leader sees it (Raft §5.3, §5.4.2)."""

from collections.abc import Callable, Sequence

from kvstore.base.ids import LogIndex, Term


def majority_index(durable_on: Sequence[LogIndex]) -> LogIndex:
    """Return the highest index that is durable on a majority; `durable_on` has one per voter."""
    return sorted(durable_on, reverse=True)[len(durable_on) // 2]


def leader_commit(
    proposed: LogIndex,
    durable_on: Sequence[LogIndex],
    *,
    known: LogIndex,
    term: Term,
    term_at: Callable[[LogIndex], Term | None],
) -> LogIndex:
    """Return what is committed now: at most `proposed`, at least `known`.

    An entry of an older term is committed only by a later one of the leader's own term (Raft
    §5.4.2, figure 8). The library tests that for the index it proposes; when this member's disk
    lags, the majority index is a lower one, so the test is made here for what is returned.
    """
    if not durable_on:
        return known
    index = min(proposed, majority_index(durable_on))
    if index > known and term_at(index) == term:
        return index
    return known
