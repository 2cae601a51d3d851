"""Handing leadership over (Raft thesis §3.10).

Proposals are refused, the target catches up and is told to campaign; or else, after an election
timeout, this leadership goes on.
"""

from typing import NamedTuple

from kvstore.base.errors import BadLeaderTransferee
from kvstore.base.ids import MemberId, Term
from kvstore.raft.core import Core
from kvstore.raft.peer_message import TimeoutNow


class _Handover(NamedTuple):
    target: MemberId
    term: Term
    deadline: float


class Transfer:
    """At most one handover at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._handover: _Handover | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether proposals are to be refused."""
        return self._handover is not None

    def begin(self, target: MemberId | None) -> None:
        """Start handing over to `target`, or to the reachable voter with the longest log.

        Raises:
            BadLeaderTransferee: there is no such other voter.
        """
        core = self._core
        if target is None:
            reachable = [member for member in core.other_voters if member in core.linked]
            target = max(reachable, key=core.match_index, default=None)
        if target not in core.other_voters:
            raise BadLeaderTransferee(f"{target=}")
        assert target is not None
        self._handover = _Handover(target, core.term, core.now + core.timing.election_s)

    def advance(self) -> None:
        """Tell the target as soon as it has everything."""
        core, handover = self._core, self._handover
        if handover is None:
            return
        is_possible = handover.term == core.term and handover.target in core.other_voters
        if not is_possible or core.now >= handover.deadline:
            self._handover = None
        elif core.match_index(handover.target) == core.journal.last_index:
            core.send(handover.target, TimeoutNow(core.term))

    def end(self) -> None:
        """The leader has changed."""
        self._handover = None
