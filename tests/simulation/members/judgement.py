"""The records of the clients, held against the history that the members applied.

Linearizability needs no search here: the store says at which revision each operation took effect,
so it is enough to carry all of them out again in that order (on a dictionary), and to look that the
order never contradicts real time.
"""

from bisect import bisect_left
from collections import defaultdict

from kvstore.base.key_range import KeyRange
from kvstore.mvcc import decode_key_value
from kvstore.wire.pb import kv_pb2, rpc_pb2
from tests.simulation.members.lock_clients import LOCK_PREFIX
from tests.simulation.members.oracle import Oracle
from tests.simulation.members.records import Fate, Operation, Records

_COMPACTED = "etcdserver: mvcc: required revision has been compacted"
_WRITES = (rpc_pb2.PutRequest, rpc_pb2.DeleteRangeRequest, rpc_pb2.TxnRequest)

State = dict[bytes, bytes]
"""key -> encoded KeyValue."""


class _Replay:
    """Carries out requests at one revision on a copy of what was before."""

    def __init__(self, state: State, revision: int) -> None:
        self._state = dict(state)
        self._revision = revision
        self.events: list[tuple[bool, bytes, bytes]] = []
        """(is delete, key, encoded KeyValue)."""

    def range(self, request: rpc_pb2.RangeRequest) -> rpc_pb2.RangeResponse:
        keys = KeyRange.of(request.key, request.range_end)
        found = [value for key, value in sorted(self._state.items()) if key in keys]
        kvs = [kv_pb2.KeyValue.FromString(value) for value in found]
        return rpc_pb2.RangeResponse(kvs=kvs, count=len(kvs))

    def put(self, request: rpc_pb2.PutRequest) -> rpc_pb2.PutResponse:
        before = self._state.get(request.key)
        old = kv_pb2.KeyValue() if before is None else kv_pb2.KeyValue.FromString(before)
        new = kv_pb2.KeyValue(
            key=request.key,
            create_revision=old.create_revision or self._revision,
            mod_revision=self._revision,
            version=old.version + 1,
            value=request.value,
            lease=request.lease,
        ).SerializeToString()
        self._state[request.key] = new
        self.events.append((False, request.key, new))
        wants_previous = request.prev_kv and before is not None
        return rpc_pb2.PutResponse(prev_kv=old if wants_previous else None)

    def delete(self, request: rpc_pb2.DeleteRangeRequest) -> rpc_pb2.DeleteRangeResponse:
        keys = KeyRange.of(request.key, request.range_end)
        gone = [key for key in sorted(self._state) if key in keys]
        response = rpc_pb2.DeleteRangeResponse(deleted=len(gone))
        for key in gone:
            before = self._state.pop(key)
            if request.prev_kv:
                response.prev_kvs.append(kv_pb2.KeyValue.FromString(before))
            tombstone = kv_pb2.KeyValue(key=key, mod_revision=self._revision)
            self.events.append((True, key, tombstone.SerializeToString()))
        return response

    def txn(self, request: rpc_pb2.TxnRequest) -> rpc_pb2.TxnResponse:
        succeeded = all(self._holds(compare) for compare in request.compare)
        response = rpc_pb2.TxnResponse(succeeded=succeeded)
        for operation in request.success if succeeded else request.failure:
            into = response.responses.add()
            match operation.WhichOneof("request"):
                case "request_put":
                    into.response_put.CopyFrom(self.put(operation.request_put))
                case "request_range":
                    into.response_range.CopyFrom(self.range(operation.request_range))
                case "request_delete_range":
                    into.response_delete_range.CopyFrom(self.delete(operation.request_delete_range))
                case other:
                    raise AssertionError(f"no client asks for {other}")
        return response

    def _holds(self, compare: rpc_pb2.Compare) -> bool:
        assert compare.target == rpc_pb2.Compare.MOD
        assert compare.result == rpc_pb2.Compare.EQUAL
        found = self._state.get(compare.key)
        return compare.mod_revision == (
            0 if found is None else decode_key_value(found).mod_revision
        )

    def run(self, operation: Operation) -> object:
        """Return the response that `operation` ought to have had, without headers."""
        match operation.request:
            case rpc_pb2.PutRequest() as put:
                return self.put(put)
            case rpc_pb2.DeleteRangeRequest() as delete:
                return self.delete(delete)
            case rpc_pb2.TxnRequest() as txn:
                return self.txn(txn)
            case rpc_pb2.RangeRequest() as read:
                return self.range(read)
            case other:
                raise AssertionError(f"cannot replay {other}")


def judge(records: Records, oracle: Oracle, *, drift: float) -> None:
    """Raise the first guarantee that is broken."""
    _linearizable(records, oracle)
    _real_time(records, oracle)
    _explained(records, oracle)
    _compactions(records, oracle)
    _leases(records, oracle, drift)


def _linearizable(records: Records, oracle: Oracle) -> None:
    at: dict[int, list[Operation]] = defaultdict(list)
    for operation in records.operations:
        if operation.response is None:
            continue
        match operation.request:
            case rpc_pb2.RangeRequest(revision=revision) if revision:
                at[revision].append(operation)
            case rpc_pb2.RangeRequest() | rpc_pb2.PutRequest():
                at[operation.revision].append(operation)
            case rpc_pb2.DeleteRangeRequest() | rpc_pb2.TxnRequest():
                at[operation.revision].append(operation)
            case _:
                pass
    last = oracle.last_revision
    if at and max(at) > last:
        oracle.fail("acknowledged_write_survives", f"no revision {max(at)}: {at[max(at)][0]}")
    state: State = {}
    for revision in range(1, last + 1):
        events = oracle.history[revision].events if revision > 1 else []
        after = dict(state)
        for event in events:
            if event.is_delete:
                after.pop(event.key, None)
            else:
                after[event.key] = event.key_value
        _judge_revision(at.get(revision, []), (state, after), revision, oracle)
        state = after


def _judge_revision(
    operations: list[Operation], states: tuple[State, State], revision: int, oracle: Oracle
) -> None:
    """Judge what took effect at `revision`, between the two states or after the second one."""
    before, after = states
    events = oracle.history[revision].events if revision > 1 else []
    changed = [(event.is_delete, event.key, event.key_value) for event in events]
    writer: Operation | None = None
    for operation in operations:
        if isinstance(operation.request, _WRITES):
            replay = _Replay(before, revision)
            expected = replay.run(operation)
            if replay.events == changed and _bare(operation.response) == expected:
                if writer is not None and changed:
                    oracle.fail("unique_revision", f"{operation} and {writer}")
                writer = operation
                continue
        replay = _Replay(after, revision)
        expected = replay.run(operation)
        if replay.events or _bare(operation.response) != expected:
            oracle.fail(
                "linearizable", f"{operation} answered {operation.response}, expected {expected}"
            )


def _bare(response: object) -> object:
    """Return a response without its headers."""
    assert response is not None
    bare = type(response)()
    bare.CopyFrom(response)  # type: ignore[attr-defined]
    bare.ClearField("header")  # type: ignore[attr-defined]
    if isinstance(bare, rpc_pb2.TxnResponse):
        for part in bare.responses:
            getattr(part, part.WhichOneof("response") or "").ClearField("header")
    return bare


def _is_write(operation: Operation, oracle: Oracle) -> bool:
    """Whether a successful operation made the revision that its header names."""
    return isinstance(operation.request, _WRITES) and any(
        _values_of(operation.request) & _values(oracle, operation.revision)
    )


def _real_time(records: Records, oracle: Oracle) -> None:
    """What began after something else had ended does not come before it."""
    known = [
        (operation.returned, operation.revision)
        for operation in records.operations
        if operation.response is not None
    ] + records.seen
    known.sort()
    instants = [instant for instant, _ in known]
    highest: list[int] = []
    for _, revision in known:
        highest.append(max(revision, highest[-1] if highest else 0))
    for operation in records.operations:
        if operation.response is None or not operation.is_linearizable:
            continue
        position = bisect_left(instants, operation.invoked)
        least = highest[position - 1] if position else 0
        is_new = isinstance(operation.request, rpc_pb2.PutRequest) or _is_write(operation, oracle)
        if operation.revision < least + is_new:
            oracle.fail("linearizable", f"{operation}, but {least} was known before it began")


def _values_of(request: object) -> set[bytes]:
    """Return the values that a request may write; each is written by one request only."""
    match request:
        case rpc_pb2.PutRequest() as put:
            return {put.value}
        case rpc_pb2.TxnRequest() as txn:
            return {
                part.request_put.value
                for part in [*txn.success, *txn.failure]
                if part.HasField("request_put")
            }
        case _:
            return set()


def _values(oracle: Oracle, revision: int) -> set[bytes]:
    found = oracle.history.get(revision)
    if found is None:
        return set()
    return {
        decode_key_value(event.key_value).value
        for event in found.events
        if not (event.is_delete or event.key.startswith(LOCK_PREFIX))
    }


def _explained(records: Records, oracle: Oracle) -> None:
    """Nothing is in the history that nobody asked for, that was refused, or that is there twice."""
    source = {
        value: operation
        for operation in records.operations
        for value in _values_of(operation.request)
    }
    seen: dict[bytes, int] = {}
    for revision in sorted(oracle.history):
        entry = oracle.history[revision]
        for value in sorted(_values(oracle, revision)):
            operation = source.get(value)
            if operation is None:
                oracle.fail("no_invention", f"nobody wrote {value!r} of revision {revision}")
            if operation.fate is Fate.REFUSED:
                oracle.fail("refused_means_not_done", f"{operation} is revision {revision}")
            if operation.fate is Fate.OK and operation.revision != revision:
                oracle.fail("applied_once", f"{operation} is revision {revision} as well")
            if entry.applied_at < operation.invoked:
                oracle.fail("no_invention", f"{operation} before it was asked")
            if seen.setdefault(value, revision) != revision:
                oracle.fail("applied_once", f"{operation} at {seen[value]} and {revision}")
            if operation.fate is Fate.UNKNOWN:
                oracle.note("unknown outcome that happened")


def _compactions(records: Records, oracle: Oracle) -> None:
    """A past that is refused was compacted; one that was compacted is refused."""
    compactions = [
        operation
        for operation in records.operations
        if isinstance(operation.request, rpc_pb2.CompactionRequest)
        and operation.fate is not Fate.REFUSED
    ]
    for operation in records.operations:
        request = operation.request
        if not isinstance(request, rpc_pb2.RangeRequest) or not request.revision:
            continue
        newer = [each for each in compactions if _revision_of(each) > request.revision]
        if operation.why == _COMPACTED:
            oracle.note("read of a compacted revision")
            if all(each.invoked > operation.returned for each in newer):
                oracle.fail("compaction", f"{operation}, but nothing compacted it")
        elif operation.response is not None and any(
            each.fate is Fate.OK and each.returned < operation.invoked for each in newer
        ):
            oracle.fail("compaction", f"{operation}, but that was compacted before")


def _revision_of(compaction: Operation) -> int:
    assert isinstance(compaction.request, rpc_pb2.CompactionRequest)
    return compaction.request.revision


def _leases(records: Records, oracle: Oracle, drift: float) -> None:
    """No key goes by the end of its lease before its client was promised; none is renewed after."""
    for revision in sorted(oracle.history):
        entry = oracle.history[revision]
        leases = {
            decode_key_value(event.previous).lease
            for event in entry.events
            if event.is_delete and event.previous is not None
        }
        for lease in sorted(leases & records.leases.keys()):
            record = records.leases[lease]
            oracle.note("lease ended")
            early_s = record.promised_until(entry.applied_at, drift=drift) - entry.applied_at
            if not record.may_be_revoked and early_s > 0:
                oracle.fail(
                    "lease_never_shortened",
                    f"lease {lease} ends at revision {revision}, {early_s:.3f} s too early",
                )
            if any(asked > entry.applied_at for asked, _ in record.renewals):
                oracle.fail("lease_stays_ended", f"{lease} is renewed after revision {revision}")
