"""The Maintenance service but for backups: one member's own state (rpc.proto Maintenance)."""

from collections.abc import Generator
from functools import partial

from google.protobuf.message import DecodeError

from kvstore.apply import Outcome, Reply
from kvstore.apply.alarms import CORRUPT, NOSPACE
from kvstore.apply.command import OperationKind
from kvstore.base.errors import (
    InvalidDowngradeTarget,
    NoLeader,
    NotLeader,
    RpcError,
    TransferTimedOut,
    WrongDowngradeFormat,
)
from kvstore.base.ids import MemberId
from kvstore.base.version import ETCD_VERSION
from kvstore.member import Member
from kvstore.member.defragmentation import Defragmentation
from kvstore.mvcc import HashResult, HashSlices, ReadView
from kvstore.rpc.access import AccessControl, Need
from kvstore.rpc.call import Method, UnaryCall
from kvstore.rpc.header import ResponseHeaders
from kvstore.rpc.pipeline import Pipeline, decoded, malformed
from kvstore.wire.pb import rpc_pb2

SERVER_VERSION = ETCD_VERSION
CLUSTER_VERSION = "3.6"
STORAGE_VERSION = "3.6.0"
_TRANSFER_ELECTIONS = 3
"""etcd waits for so many election timeouts to see the new leader."""
_TRANSFER_LOOK_S = 0.02
ALARM_NAMES = {NOSPACE: "NOSPACE", CORRUPT: "CORRUPT"}


class MaintenanceService:
    """One member's own state, for operators."""

    def __init__(
        self,
        member: Member,
        headers: ResponseHeaders,
        pipeline: Pipeline,
        access: AccessControl,
        defragmentation: Defragmentation,
    ) -> None:
        self._defragmentation = defragmentation
        self._member = member
        self._headers = headers
        self._pipeline = pipeline
        self._access = access

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service."""
        unary = self._pipeline.unary
        return {
            "/etcdserverpb.Maintenance/Status": unary(
                self._status, on_learner=True, needs=Need.IDENTITY
            ),
            "/etcdserverpb.Maintenance/HashKV": unary(self._hash_kv, needs=Need.ROOT),
            "/etcdserverpb.Maintenance/Hash": unary(self._hash, needs=Need.ROOT),
            "/etcdserverpb.Maintenance/Alarm": unary(self._alarm),
            "/etcdserverpb.Maintenance/Defragment": unary(self._defragment, needs=Need.ROOT),
            "/etcdserverpb.Maintenance/MoveLeader": unary(self._move_leader, needs=Need.ROOT),
            "/etcdserverpb.Maintenance/Downgrade": unary(self._downgrade, needs=Need.ROOT),
        }

    def _header(self) -> bytes:
        member = self._member
        return self._headers.field(member.machine.store.revision, member.consensus.term)

    def _status(self, call: UnaryCall, _: bytes) -> None:
        call.reply(self._header() + status(self._member).SerializeToString())

    def _hash_kv(self, call: UnaryCall, raw: bytes) -> None:
        try:
            request = rpc_pb2.HashKVRequest.FromString(raw)
        except DecodeError as error:
            raise malformed(error) from error
        view = self._member.machine.store.view()
        try:
            slices = view.hash_kv(request.revision)
        except RpcError:
            view.close()
            raise
        self._hash_slice(call, view, slices, self._member.clock.monotonic())

    def _hash_slice(
        self, call: UnaryCall, view: ReadView, slices: HashSlices, started: float
    ) -> None:
        if not call.is_open:
            view.close()
            return
        try:
            next(slices)
        except StopIteration as end:
            view.close()
            found: HashResult = end.value
        else:
            step = partial(self._hash_slice, call, view, slices, started)
            self._member.scheduler.soon(step)
            return
        self._member.meters.hash_at_revision.observe(self._member.clock.monotonic() - started)
        body = rpc_pb2.HashKVResponse(
            hash=found.crc,
            compact_revision=found.compact_revision,
            hash_revision=found.hash_revision,
        )
        call.reply(self._header() + body.SerializeToString())

    def _hash(self, call: UnaryCall, _: bytes) -> None:
        view = self._member.machine.store.view()
        self._hash_all_slice(call, view, view.hash_all(), self._member.clock.monotonic())

    def _hash_all_slice(
        self, call: UnaryCall, view: ReadView, slices: Generator[None, None, int], started: float
    ) -> None:
        if not call.is_open:
            view.close()
            return
        try:
            next(slices)
        except StopIteration as end:
            view.close()
            self._member.meters.hash.observe(self._member.clock.monotonic() - started)
            call.reply(self._header() + rpc_pb2.HashResponse(hash=end.value).SerializeToString())
        else:
            step = partial(self._hash_all_slice, call, view, slices, started)
            self._member.scheduler.soon(step)

    def _defragment(self, call: UnaryCall, _: bytes) -> None:
        def done(error: RpcError | None) -> None:
            if error is None:
                call.reply(b"")  # without a header, as etcd's
            else:
                call.fail(error.code, error.message)

        self._defragmentation.start(done)

    def _move_leader(self, call: UnaryCall, raw: bytes) -> None:
        target = MemberId(decoded(rpc_pb2.MoveLeaderRequest, raw).targetID)
        member = self._member
        if not member.is_leader:
            raise NotLeader
        if target == member.id:
            call.reply(b"")
            return
        member.consensus.transfer_leadership(target)
        member.schedule_turn()
        deadline = member.clock.monotonic() + _TRANSFER_ELECTIONS * member.config.election_timeout_s

        def look() -> None:
            leader = member.consensus.leader
            if leader is not None and leader != member.id:
                call.reply(b"")
            elif member.clock.monotonic() >= deadline:
                call.fail(TransferTimedOut.code, TransferTimedOut.message)
            else:
                member.scheduler.later(_TRANSFER_LOOK_S, look)

        look()

    def _downgrade(self, call: UnaryCall, raw: bytes) -> None:
        request = decoded(rpc_pb2.DowngradeRequest, raw)
        if request.action not in rpc_pb2.DowngradeRequest.DowngradeAction.values():
            raise malformed(ValueError("unknown downgrade action"))
        if request.action != rpc_pb2.DowngradeRequest.CANCEL:
            _check_downgrade(request.version)
            if request.action == rpc_pb2.DowngradeRequest.ENABLE:
                raise InvalidDowngradeTarget  # there is no older version of this server to run

        def ready(error: RpcError | None) -> None:
            if error is not None:
                call.fail(error.code, error.message)
                return
            body = rpc_pb2.DowngradeResponse(version=CLUSTER_VERSION)
            call.reply(self._header() + body.SerializeToString())

        self._member.read(ready)

    def _alarm(self, call: UnaryCall, raw: bytes) -> None:
        try:
            request = rpc_pb2.AlarmRequest.FromString(raw)
        except DecodeError as error:
            raise malformed(error) from error
        _check_alarm(request)
        is_read = request.action == rpc_pb2.AlarmRequest.GET
        self._access.require(call, Need.IDENTITY if is_read else Need.ROOT)
        self._member.propose(OperationKind.ALARM, raw, partial(self._finish_alarm, call))

    def _finish_alarm(self, call: UnaryCall, outcome: Outcome) -> None:
        if isinstance(outcome, Reply):
            header = self._headers.field(outcome.revision, self._member.consensus.term)
            call.reply(header + outcome.body)
        else:
            call.fail(outcome.code, outcome.message)


def _check_downgrade(target: str) -> None:
    """Refuse what is no version, or not the one before the cluster's."""
    parts = target.split(".")
    if len(parts) not in {2, 3} or not all(part.isdecimal() for part in parts):
        raise WrongDowngradeFormat
    major, minor = map(int, CLUSTER_VERSION.split("."))
    if (int(parts[0]), int(parts[1])) != (major, minor - 1):
        raise InvalidDowngradeTarget


def _check_alarm(request: rpc_pb2.AlarmRequest) -> None:
    """Refuse what etcd would panic on: such a request must never reach the log."""
    known = request.action in rpc_pb2.AlarmRequest.AlarmAction.values()
    if not known or request.alarm not in rpc_pb2.AlarmType.values():
        raise malformed(ValueError("unknown alarm action or type"))


def status(member: Member) -> rpc_pb2.StatusResponse:
    """Return a member's status without its header."""
    consensus, backend = member.consensus, member.machine.backend
    answer = rpc_pb2.StatusResponse(
        version=SERVER_VERSION,
        dbSize=backend.size_bytes,
        dbSizeInUse=backend.live_bytes,
        leader=consensus.leader or 0,
        raftIndex=consensus.commit_index,
        raftAppliedIndex=member.machine.applied.index,
        raftTerm=consensus.term,
        isLearner=member.is_learner,
        storageVersion=STORAGE_VERSION,
        dbSizeQuota=member.config.limits.quota_bytes,
    )
    answer.downgradeInfo.SetInParent()
    if consensus.leader is None:
        answer.errors.append(NoLeader.message)
    for member_id, alarm in member.machine.alarms.raised():
        answer.errors.append(f"memberID:{member_id} alarm:{ALARM_NAMES[alarm]} ")
    return answer
