"""What the Lease service asks of a member: sets through the log, deadlines from the keeper.

While authentication is on, a lease is touched with the permissions of its keys: who may not write
them all can neither prolong nor revoke it, and who may not read them all does not learn of them.
"""

from collections.abc import Callable, Sequence

from kvstore.apply import Outcome, Reply
from kvstore.apply.command import OperationKind
from kvstore.auth import Access
from kvstore.base.errors import RpcError
from kvstore.base.ids import LeaseId
from kvstore.lease import TimeToLive
from kvstore.member import LeaseKeeper, Member
from kvstore.rpc.access import AccessControl, Caller, Need
from kvstore.rpc.kv_checks import LEASE_COST_BYTES
from kvstore.rpc.lease import LeaseLife
from kvstore.rpc.quota import Quota
from kvstore.wire.pb import rpc_pb2


class MemberLeases:
    """`LeaseOperations` of one caller on one member."""

    __slots__ = ("_access", "_caller", "_keeper", "_member", "_quota")

    def __init__(
        self,
        member: Member,
        keeper: LeaseKeeper,
        quota: Quota,
        access: AccessControl,
        caller: Caller,
    ) -> None:
        self._member = member
        self._keeper = keeper
        self._quota = quota
        self._access = access
        self._caller = caller

    @property
    def revision(self) -> int:
        """The current store revision."""
        return self._member.machine.store.revision

    def propose_grant(
        self, lease_id: LeaseId, ttl_s: int, done: Callable[[int | RpcError], None]
    ) -> None:
        """Grant through the log."""
        try:
            self._quota.check(LEASE_COST_BYTES)
            self._access.require(self._caller, Need.IDENTITY)
        except RpcError as refusal:
            done(refusal)
            return
        request = rpc_pb2.LeaseGrantRequest(ID=lease_id, TTL=ttl_s)
        self._propose(OperationKind.LEASE_GRANT, request.SerializeToString(), done)

    def propose_revoke(self, lease_id: LeaseId, done: Callable[[int | RpcError], None]) -> None:
        """Revoke through the log, where the keys' permissions are looked at."""
        try:
            self._access.require(self._caller, Need.IDENTITY)
        except RpcError as refusal:
            done(refusal)
            return
        request = rpc_pb2.LeaseRevokeRequest(ID=lease_id)
        self._propose(OperationKind.LEASE_REVOKE, request.SerializeToString(), done)

    def renew(self, lease_id: LeaseId, done: Callable[[int | RpcError], None]) -> None:
        """Renew at the leader."""

        def answered(answer: TimeToLive | RpcError) -> None:
            done(answer if isinstance(answer, RpcError) else answer.remaining_s)

        try:
            self._access.check_leases(self._caller, Access.WRITE, lease_id)
        except RpcError as refusal:
            done(refusal)
            return
        self._keeper.renew(lease_id, answered)

    def time_to_live(
        self, lease_id: LeaseId, done: Callable[[LeaseLife | RpcError | None], None], *, keys: bool
    ) -> None:
        """Ask the leader for the time, and this member for the keys."""

        def answered(answer: TimeToLive | RpcError) -> None:
            if isinstance(answer, RpcError):
                done(answer)
            elif answer.granted_s == 0:
                done(None)
            elif keys:
                self._member.read(lambda error: done(error or self._life(lease_id, answer)))
            else:
                done(LeaseLife(answer, ()))

        try:
            self._access.require(self._caller, Need.IDENTITY)
            if keys:
                self._access.check_leases(self._caller, Access.READ, lease_id)
        except RpcError as refusal:
            done(refusal)
            return
        self._keeper.time_to_live(lease_id, answered)

    def leases(self) -> Sequence[LeaseId]:
        """Return the leases known here."""
        leases = self._member.machine.lessor.leases()
        self._access.check_leases(self._caller, Access.READ, *leases)
        return leases

    def _life(self, lease_id: LeaseId, time: TimeToLive) -> LeaseLife | RpcError:
        try:  # again: more keys may be attached by now
            self._access.check_leases(self._caller, Access.READ, lease_id)
        except RpcError as refusal:
            return refusal
        txn = self._member.machine.backend.begin_read()
        try:
            return LeaseLife(time, self._member.machine.lessor.keys(txn, lease_id))
        finally:
            txn.close()

    def _propose(
        self, kind: OperationKind, payload: bytes, done: Callable[[int | RpcError], None]
    ) -> None:
        def finished(outcome: Outcome) -> None:
            done(outcome.revision if isinstance(outcome, Reply) else outcome)

        try:
            self._access.propose(self._caller, kind, payload, finished)
        except RpcError as refusal:
            done(refusal)
