"""The space quota: checked where a request arrives, so that the cluster never has to refuse late.

Live pages are counted, not the file's size: what compaction freed can be written to again at once.
"""

from kvstore.apply.alarms import NOSPACE
from kvstore.apply.command import OperationKind
from kvstore.base.errors import SpaceExceeded
from kvstore.member import Member
from kvstore.wire.pb import rpc_pb2

_ENTRIES_PER_COUNT = 64
"""Counting live pages costs as much as several puts, so it is not done for each."""


class Quota:
    """One member's view of the quota; raising the alarm makes it the cluster's.

    Between two counts of the live pages what this member's own clients add is added up: never too
    low for them, and other members count what theirs add.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self._quota_bytes = member.config.limits.quota_bytes
        self._is_alarm_proposed = False
        self._estimate_bytes = 0
        self._count_again_at = 0

    def check(self, cost_bytes: int) -> None:
        """Let a request pass that may add `cost_bytes` to the keyspace.

        Raises:
            SpaceExceeded: it would not fit; the NOSPACE alarm is raised for the cluster.
        """
        if self._quota_bytes < 0:
            return
        self._estimate_bytes += cost_bytes
        applied = self._member.machine.applied.index
        if self._estimate_bytes < self._quota_bytes and applied < self._count_again_at:
            return
        self._count_again_at = applied + _ENTRIES_PER_COUNT
        self._estimate_bytes = self._member.machine.backend.live_bytes + cost_bytes
        if self._estimate_bytes < self._quota_bytes:
            return
        self._raise_alarm()
        raise SpaceExceeded

    def _raise_alarm(self) -> None:
        raised = self._member.machine.alarms.raised(NOSPACE)
        if self._is_alarm_proposed or any(member == self._member.id for member, _ in raised):
            return
        self._is_alarm_proposed = True
        request = rpc_pb2.AlarmRequest(
            action=rpc_pb2.AlarmRequest.ACTIVATE, memberID=self._member.id, alarm=rpc_pb2.NOSPACE
        )

        def proposed(_: object) -> None:
            self._is_alarm_proposed = False

        self._member.propose(OperationKind.ALARM, request.SerializeToString(), proposed)
