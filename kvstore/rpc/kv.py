"""The KV service: Range, Put, DeleteRange, Txn, Compact (rpc.proto KV)."""

from collections.abc import Callable, Sequence
from functools import partial

from google.protobuf.message import DecodeError

from kvstore.apply import Outcome, Reply
from kvstore.apply.command import OperationKind
from kvstore.apply.plain_txn import plain_txns
from kvstore.apply.reply import range_body
from kvstore.apply.requests import (
    decode_put,
    plain_puts,
    plain_range_key,
    plain_range_keys,
    plain_serializable_keys,
    range_query,
)
from kvstore.apply.txn import read_txn
from kvstore.base.errors import RequestTooLarge, RpcError
from kvstore.base.key_range import KeyRange
from kvstore.member import Housekeeping, Member
from kvstore.mvcc import RangeQuery, RangeResult
from kvstore.rpc import kv_checks
from kvstore.rpc.access import AccessControl, Need
from kvstore.rpc.call import Method, UnaryCall, UnaryCalls
from kvstore.rpc.gathered import Gathering
from kvstore.rpc.header import ResponseHeaders
from kvstore.rpc.list_reply import ListReply
from kvstore.rpc.pipeline import Pipeline, malformed
from kvstore.rpc.quota import Quota
from kvstore.wire.pb import rpc_pb2
from kvstore.wire.protobuf import encode_varint

_PROPOSAL_OVERHEAD_BYTES = 18
"""What etcd's log entry adds to a request: its id, a tag and a length."""
_KVS_TAG = b"\x12"
_COUNT_ONE = b"\x20\x01"


class KvService:
    """Requests of the keyspace, from bytes to bytes."""

    def __init__(  # noqa: PLR0913 - each is one of its collaborators
        self,
        member: Member,
        headers: ResponseHeaders,
        pipeline: Pipeline,
        quota: Quota,
        housekeeping: Housekeeping,
        *,
        access: AccessControl,
    ) -> None:
        self._member = member
        self._access = access
        self._headers = headers
        self._pipeline = pipeline
        self._quota = quota
        self._housekeeping = housekeeping
        self._limits = member.config.limits
        self._counts = member.meters.counts
        self._gathering = Gathering(member)
        # Bound once: who is the same is told by identity.
        self._read_gathered = self._read_keys
        self._put_gathered = self._propose_puts
        self._txn_gathered = self._propose_txns

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service."""
        unary = self._pipeline.unary
        return {
            # A learner serves serializable ranges only: `_range` looks for itself.
            "/etcdserverpb.KV/Range": unary(self._range, self._range_each, on_learner=True),
            "/etcdserverpb.KV/Put": unary(self._put, self._put_each),
            "/etcdserverpb.KV/DeleteRange": unary(self._delete_range),
            "/etcdserverpb.KV/Txn": unary(self._txn, self._txn_each),
            "/etcdserverpb.KV/Compact": unary(self._compact, needs=Need.ROOT),
        }

    # --- reads

    def _range(self, call: UnaryCall, raw: bytes) -> None:
        key = plain_range_key(raw)
        if key is not None:
            self._pipeline.check_voter()
            self._gathering.add(self._read_gathered, call, key)
            return
        request = kv_checks.parse_range(raw)
        query = range_query(request)
        if request.serializable:
            self._reply_range(call, query, None)
            return
        self._pipeline.check_voter()
        self._member.read(partial(self._reply_range, call, query))

    def _reply_key(self, call: UnaryCall, key: bytes, error: RpcError | None) -> None:
        """Answer the commonest read of all: one key, now."""
        if error is not None:
            call.fail(error.code, error.message)
            return
        if self._member.machine.auth.is_enabled:
            try:
                self._access.check_range(call, KeyRange.single(key))
            except RpcError as refusal:
                call.fail(refusal.code, refusal.message)
                return
        self._counts.ranges += 1
        view = self._member.view()
        header = self._headers.field(view.revision, self._member.consensus.term)
        stored = view.key_value(key)
        if stored is None:
            call.reply(header)
            return
        call.reply(b"".join((header, _KVS_TAG, encode_varint(len(stored)), stored, _COUNT_ONE)))

    def _range_each(self, calls: UnaryCalls, raw: list[bytes]) -> None:
        """Take ranges that came together: those of one key need no other look at the request."""
        keys = plain_range_keys(raw)
        if keys is not None:
            self._pipeline.check_voter()
            self._read_keys(calls, keys)
            return
        keys = plain_serializable_keys(raw)
        if keys is not None:
            self._reply_keys(calls, keys, None)
            return
        _one_by_one(calls, raw, self._range)

    def _read_keys(self, calls: UnaryCalls, keys: list[bytes]) -> None:
        self._member.read(partial(self._reply_keys, calls, keys))

    def _reply_keys(self, calls: UnaryCalls, keys: list[bytes], error: RpcError | None) -> None:
        if error is not None:
            calls.fail(error.code, error.message)
            return
        if self._member.machine.auth.is_enabled:  # since they came
            for index, key in enumerate(keys):
                self._reply_key(calls.one(index), key, None)
            return
        self._counts.ranges += len(keys)
        view = self._member.view()
        header = self._headers.field(view.revision, self._member.consensus.term)
        wanted = list(dict.fromkeys(keys))  # a key that many ask for is looked up once
        replies = [
            header
            if stored is None
            else b"%b\x12%b%b\x20\x01" % (header, encode_varint(len(stored)), stored)
            for stored in view.key_values(wanted)
        ]
        if len(wanted) < len(keys):
            reply_of = dict(zip(wanted, replies, strict=True))
            replies = [reply_of[key] for key in keys]
        calls.reply_each(0, replies)

    def _reply_range(self, call: UnaryCall, query: RangeQuery, error: RpcError | None) -> None:
        if error is not None:
            call.fail(error.code, error.message)
            return
        try:
            self._access.check_range(call, query.keys)
            self._counts.ranges += 1
            if query.keys.is_single or query.count_only or 0 < query.limit <= _PAGE_KEYS:
                self._reply_result(call, self._member.view().range(query))
            else:
                ListReply(self._member, self._headers, call, query).step()
        except RpcError as refusal:
            call.fail(refusal.code, refusal.message)

    def _reply_result(self, call: UnaryCall, result: RangeResult) -> None:
        header = self._headers.field(result.revision, self._member.consensus.term)
        call.reply(header + range_body(result))

    # --- writes

    def _put(self, call: UnaryCall, raw: bytes) -> None:
        if self._may_gather(raw) and plain_puts((raw,)) is not None:
            self._quota.check(kv_checks.PUT_COST_BYTES + len(raw))
            self._gathering.add(self._put_gathered, call, raw)
            return
        try:
            request = decode_put(raw)
        except DecodeError as error:
            raise malformed(error) from error
        self._quota.check(kv_checks.PUT_COST_BYTES + len(request.key) + len(request.value))
        kv_checks.check_put(request)
        self._propose(OperationKind.PUT, call, raw)

    def _put_each(self, calls: UnaryCalls, raw: list[bytes]) -> None:
        """Take puts that came together: those of the plain shape need no check one by one."""
        longest = max(map(len, raw)) + _PROPOSAL_OVERHEAD_BYTES
        if longest > self._limits.request_bytes_max or plain_puts(raw) is None:
            _one_by_one(calls, raw, self._put)
            return
        self._quota.check(kv_checks.PUT_COST_BYTES * len(raw) + sum(map(len, raw)))
        self._gathering.hand_over()
        self._propose_puts(calls, raw)

    def _propose_puts(self, calls: UnaryCalls, raw: list[bytes]) -> None:
        self._member.propose_each(OperationKind.PUT, raw, partial(self._finish_puts, calls))

    def _finish_puts(self, calls: UnaryCalls, first: int, outcomes: Sequence[Outcome]) -> None:
        revisions = [outcome.revision for outcome in outcomes if isinstance(outcome, Reply)]
        if len(revisions) == len(outcomes):
            headers = self._headers.fields(revisions, self._member.consensus.term)
            calls.reply_each(first, headers)
            return
        for index, outcome in enumerate(outcomes, first):
            self._finish(calls.one(index), outcome)

    def _delete_range(self, call: UnaryCall, raw: bytes) -> None:
        kv_checks.parse_delete_range(raw)
        self._propose(OperationKind.DELETE_RANGE, call, raw)

    def _may_gather(self, raw: bytes) -> bool:
        """Whether a write of a plain shape goes with those of other clients."""
        return (
            not self._member.machine.auth.is_enabled
            and len(raw) + _PROPOSAL_OVERHEAD_BYTES <= self._limits.request_bytes_max
        )

    def _txn(self, call: UnaryCall, raw: bytes) -> None:
        if (
            self._may_gather(raw)
            and self._limits.txn_ops_max > 0
            and plain_txns((raw,)) is not None
        ):
            self._quota.check(kv_checks.PUT_COST_BYTES + len(raw))
            self._gathering.add(self._txn_gathered, call, raw)
            return
        request = kv_checks.parse_txn(raw)
        cost = kv_checks.txn_cost(request)
        if cost:
            self._quota.check(cost)
        kv_checks.check_txn(request, self._limits.txn_ops_max)
        if not kv_checks.is_read_only(request):
            self._propose(OperationKind.TXN, call, raw)
        elif kv_checks.is_serializable(request):
            self._reply_read_txn(call, request, None)
        else:
            self._member.read(partial(self._reply_read_txn, call, request))

    def _txn_each(self, calls: UnaryCalls, raw: list[bytes]) -> None:
        """Take transactions that came together: those of the plain shape need no check."""
        longest = max(map(len, raw)) + _PROPOSAL_OVERHEAD_BYTES
        is_short = longest <= self._limits.request_bytes_max and self._limits.txn_ops_max > 0
        if not is_short or plain_txns(raw) is None:
            _one_by_one(calls, raw, self._txn)
            return
        self._quota.check(kv_checks.PUT_COST_BYTES * len(raw) + sum(map(len, raw)))
        self._gathering.hand_over()
        self._propose_txns(calls, raw)

    def _propose_txns(self, calls: UnaryCalls, raw: list[bytes]) -> None:
        self._member.propose_each(OperationKind.TXN, raw, partial(self._finish_txns, calls))

    def _finish_txns(self, calls: UnaryCalls, first: int, outcomes: Sequence[Outcome]) -> None:
        replies = [outcome for outcome in outcomes if isinstance(outcome, Reply)]
        if len(replies) == len(outcomes):
            revisions = [reply.revision for reply in replies]
            headers = self._headers.fields(revisions, self._member.consensus.term)
            bodies = [reply.body for reply in replies]
            calls.reply_each(first, list(map(bytes.__add__, headers, bodies)))
            return
        for index, outcome in enumerate(outcomes, first):
            self._finish(calls.one(index), outcome)

    def _reply_read_txn(
        self, call: UnaryCall, request: rpc_pb2.TxnRequest, error: RpcError | None
    ) -> None:
        if error is not None:
            call.fail(error.code, error.message)
            return
        try:
            self._access.check_txn(call, request)
            ranges = len(request.compare) + len(request.success)
            self._counts.ranges += ranges
            self._counts.txns += ranges > 1
            self._finish(call, read_txn(request, self._member.view()))
        except RpcError as refusal:
            call.fail(refusal.code, refusal.message)

    def _compact(self, call: UnaryCall, raw: bytes) -> None:
        try:
            request = rpc_pb2.CompactionRequest.FromString(raw)
        except DecodeError as error:
            raise malformed(error) from error
        if request.physical:
            self._propose(OperationKind.COMPACT, call, raw, finish=self._finish_when_removed)
        else:
            self._propose(OperationKind.COMPACT, call, raw)

    def _propose(
        self,
        kind: OperationKind,
        call: UnaryCall,
        raw: bytes,
        finish: Callable[[UnaryCall, Outcome], None] | None = None,
    ) -> None:
        if len(raw) + _PROPOSAL_OVERHEAD_BYTES > self._limits.request_bytes_max:
            raise RequestTooLarge
        self._gathering.hand_over()
        done = partial(finish or self._finish, call)
        if self._member.machine.auth.is_enabled:
            self._access.propose(call, kind, raw, done)
        else:
            self._member.propose(kind, raw, done)

    def _finish(self, call: UnaryCall, outcome: Outcome) -> None:
        if isinstance(outcome, Reply):
            header = self._headers.field(outcome.revision, self._member.consensus.term)
            call.reply(header + outcome.body)
        else:
            call.fail(outcome.code, outcome.message)

    def _finish_when_removed(self, call: UnaryCall, outcome: Outcome) -> None:
        if isinstance(outcome, Reply):
            self._housekeeping.when_removed(partial(self._finish, call, outcome))
        else:
            self._finish(call, outcome)


def _one_by_one(
    calls: UnaryCalls, messages: list[bytes], handle: Callable[[UnaryCall, bytes], None]
) -> None:
    """Handle each call by itself."""
    for index, message in enumerate(messages):
        call = calls.one(index)
        try:
            handle(call, message)
        except RpcError as error:
            call.fail(error.code, error.message)


_PAGE_KEYS = 1000
"""Up to this many keys are read in one step."""
