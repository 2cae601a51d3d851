"""A client that notes what it asks and what it is told, for `kvstore.check` to judge.

What becomes of a failed call is noted as the error says: a refusal changed nothing, a lost answer
is `unknown`. Keys and values are noted as the format of histories has them: text, with
`surrogateescape` for bytes that are none.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kvstore.base.clock import Clock, SystemClock
from kvstore.base.errors import RequestRefused, SpaceExceeded, Unavailable
from kvstore.check import History, Recorder, Watch, WatchResponse
from kvstore.check.history import NOTHING
from kvstore.check.history import Operation as Recorded
from kvstore.check.json_value import Fields, Json
from kvstore.check.recorder import Call, OpenBand
from kvstore.client import (
    Client,
    Comparison,
    Delete,
    DeleteResult,
    Get,
    Keys,
    KeyValue,
    Operation,
    Put,
    PutResult,
    RangeResult,
    Text,
    Txn,
    TxnResult,
    calls,
    decoding,
    values,
)
from kvstore.client.keys import encoded, on_the_wire
from kvstore.wire.pb import rpc_pb2

Result = TypeVar("Result")


class SharedRecorder(Recorder):
    """A `Recorder` for clients in several threads, all on the machine's monotonic clock."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        start_revision: int = 1,
        is_complete: bool = True,
    ) -> None:
        super().__init__(
            clock or SystemClock(), start_revision=start_revision, is_complete=is_complete
        )
        self._lock = threading.RLock()

    def invoke(
        self, client: str, kind: str, arguments: Fields = NOTHING, *, endpoint: str = ""
    ) -> Call:
        """Note a call before it is made."""
        with self._lock:
            return super().invoke(client, kind, arguments, endpoint=endpoint)

    def finish(self, ended: Recorded) -> None:
        """Replace the open operation by how it ended; `Call` does this."""
        with self._lock:
            super().finish(ended)

    def begin(self, kind: str, name: str, target: str = "") -> OpenBand:
        """Note that a fault or a leader's term began."""
        with self._lock:
            return super().begin(kind, name, target)

    def end(self, band: OpenBand) -> None:
        """Note that it ended."""
        with self._lock:
            super().end(band)

    def watch(self, watch: Watch) -> None:
        """Note a watch before it is asked for; its name must be new."""
        with self._lock:
            super().watch(watch)

    def told(self, watch: str, response: WatchResponse) -> None:
        """Note a response, in the order of arrival."""
        with self._lock:
            super().told(watch, response)

    def history(self) -> History:
        """Return what was recorded so far."""
        with self._lock:
            return super().history()


class RecordingClient:
    """The calls of `kvstore.client.Client`, recorded under one name. For one thread at a time.

    Results and errors are those of the client. Whoever shares the store with others asks for
    `has_revisions=False`: then no revision is noted, and the checker judges keys by their values.
    """

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        name: str,
        *,
        endpoint: str = "",
        has_revisions: bool = True,
    ) -> None:
        self.name = name
        self.client = client
        self.recorder = recorder
        self._endpoint = endpoint
        self._has_revisions = has_revisions

    # --- keys

    def get(self, key: Text, *, revision: int = 0, serializable: bool = False) -> KeyValue | None:
        """Read a key, as `Client.get` does."""
        result = self.range(key, revision=revision, serializable=serializable)
        return result.kvs[0] if result.kvs else None

    def range(
        self,
        keys: Keys,
        *,
        limit: int = 0,
        revision: int = 0,
        serializable: bool = False,
    ) -> RangeResult:
        """Read keys, as `Client.range` does."""
        arguments = _range_fields(keys) | _set(
            limit=limit, revision=revision, serializable=serializable
        )
        return self._record(
            "get",
            arguments,
            lambda: self.client.range(
                keys, limit=limit, revision=revision, serializable=serializable
            ),
            self._operation_result,
        )

    def put(self, key: Text, value: Text, *, lease: int = 0, previous: bool = False) -> PutResult:
        """Set a key, as `Client.put` does."""
        arguments = {"key": _text(key), "value": _text(value)} | _set(lease=lease)
        return self._record(
            "put",
            arguments,
            lambda: self.client.put(key, value, lease=lease, previous=previous),
            lambda result: self._operation_result(result, has_previous=previous),
        )

    def delete(self, keys: Keys, *, previous: bool = False) -> DeleteResult:
        """Delete keys, as `Client.delete` does."""
        return self._record(
            "delete",
            _range_fields(keys),
            lambda: self.client.delete(keys, previous=previous),
            lambda result: self._operation_result(result, has_previous=previous),
        )

    def txn(
        self,
        compare: Sequence[Comparison] = (),
        success: Sequence[Operation] = (),
        failure: Sequence[Operation] = (),
    ) -> TxnResult:
        """Run a transaction, as `Client.txn` does."""
        return self._record(
            "txn",
            _txn_fields(Txn(compare, success, failure)),
            lambda: self.client.txn(compare, success, failure),
            lambda result: self._operation_result(
                result, branch=success if result.succeeded else failure
            ),
        )

    def compact(self, revision: int) -> values.Header:
        """Forget history, as `Client.compact` does."""
        return self._record(
            "compact",
            {"revision": revision},
            lambda: self.client.compact(revision),
            lambda header: self._with_revision({}, header),
        )

    # --- leases

    def grant(self, ttl_s: int, *, lease_id: int) -> values.GrantedLease:
        """Create a lease, as `Client.grant` does; the history needs to know its id beforehand."""
        reply = self._record(
            "grant",
            {"id": lease_id, "ttl": ttl_s},
            lambda: self.client.exchange(calls.grant(ttl_s, lease_id=lease_id)),
            lambda reply: self._with_revision({"ttl": reply.TTL}, decoding.header(reply.header)),
        )
        return decoding.granted_lease(reply)

    def revoke(self, lease_id: int) -> values.Header:
        """End a lease, as `Client.revoke` does."""
        return self._record(
            "revoke",
            {"id": lease_id},
            lambda: self.client.revoke(lease_id),
            lambda header: self._with_revision({}, header),
        )

    def keep_alive_once(self, lease_id: int) -> int:
        """Renew a lease, as `Client.keep_alive_once` does."""
        return self._record(
            "keep_alive",
            {"id": lease_id},
            lambda: self.client.keep_alive_once(lease_id),
            lambda ttl_s: {"ttl": ttl_s},
        )

    def time_to_live(self, lease_id: int) -> values.LeaseState:
        """Ask after a lease, as `Client.time_to_live` does."""
        return self._record(
            "time_to_live",
            {"id": lease_id},
            lambda: self.client.time_to_live(lease_id),
            lambda state: {"ttl": state.ttl_s},
        )

    # --- locks, however they are made

    def lock(self, name: str, acquire: Callable[[], int | None], *, lease: int = 0) -> bool:
        """Record an attempt to take the lock `name`; return whether it is ours now.

        `acquire` returns the lock's fencing token (a revision; 0 if it has none) or, if somebody
        else has the lock, None. `lease` is the lease that the lock ends with, if any.
        """
        call = self.recorder.invoke(
            self.name, "lock", {"name": name} | _set(lease=lease), endpoint=self._endpoint
        )
        token = _ended_by_errors(call, acquire)
        if token is None:
            call.refused("somebody else holds it")
        else:
            call.ok(_set(revision=token))
        return token is not None

    def unlock(self, name: str, release: Callable[[], object]) -> None:
        """Record that the lock `name` is given back, by `release`."""
        self._record("unlock", {"name": name}, release, lambda _: None)

    # --- anything

    def call(
        self,
        kind: str,
        arguments: Fields,
        make: Callable[[], Result],
        result: Callable[[Result], Json] = lambda _: None,
    ) -> Result:
        """Record an operation of another kind (`lock`, `read` …): what `make` does.

        `result` says what to note of what it returned.
        """
        return self._record(kind, arguments, make, result)

    def _record(
        self,
        kind: str,
        arguments: Fields,
        make: Callable[[], Result],
        result: Callable[[Result], Json],
    ) -> Result:
        call = self.recorder.invoke(self.name, kind, arguments, endpoint=self._endpoint)
        answer = _ended_by_errors(call, make)
        call.ok(result(answer))
        return answer

    # --- what is noted

    def _with_revision(self, fields: dict[str, Json], header: values.Header) -> Fields:
        return {**fields, "revision": header.revision} if self._has_revisions else fields

    def _operation_result(
        self,
        result: values.OperationResult,
        *,
        has_previous: bool = False,
        branch: Sequence[Operation] = (),
    ) -> Fields:
        return self._with_revision(
            self._content(result, has_previous=has_previous, branch=branch), result.header
        )

    def _content(
        self,
        result: values.OperationResult,
        *,
        has_previous: bool,
        branch: Sequence[Operation],
    ) -> dict[str, Json]:
        match result:
            case RangeResult():
                kvs = [self._key_value(kv) for kv in result.kvs]
                return {"kvs": kvs, "count": result.count, "more": result.more}
            case PutResult():
                before = result.previous
                previous = None if before is None else self._key_value(before)
                return {"prev_kv": previous} if has_previous else {}
            case DeleteResult():
                deleted = [self._key_value(kv) for kv in result.previous]
                previous_kvs = {"prev_kvs": deleted} if has_previous else {}
                return {"deleted": result.deleted, **previous_kvs}
            case TxnResult():
                responses = [
                    self._content(
                        inner,
                        has_previous=isinstance(asked, Put | Delete) and asked.previous,
                        branch=_branch(asked, inner),
                    )
                    for asked, inner in zip(branch, result.results, strict=True)
                ]
                return {"succeeded": result.succeeded, "responses": responses}

    def _key_value(self, kv: KeyValue) -> Fields:
        content = {"key": _text(kv.key), "value": _text(kv.value)}
        if not self._has_revisions:
            return content
        return content | {
            "create_revision": kv.create_revision,
            "mod_revision": kv.mod_revision,
            "version": kv.version,
            "lease": kv.lease,
        }


def _ended_by_errors(call: Call, make: Callable[[], Result]) -> Result:
    """Return what `make` returns; if it raises, the call has ended as the error says."""
    try:
        return make()
    except SpaceExceeded as error:
        # etcd says so after it has applied the write, too: its quota is checked twice.
        call.unknown(str(error))
        raise
    except (RequestRefused, Unavailable) as error:
        call.refused(str(error))
        raise
    except BaseException as error:
        call.unknown(str(error) or type(error).__name__)
        raise


def _branch(asked: Operation, result: values.OperationResult) -> Sequence[Operation]:
    if isinstance(asked, Txn) and isinstance(result, TxnResult):
        return asked.success if result.succeeded else asked.failure
    return ()


def _text(text: Text) -> str:
    return encoded(text).decode("utf-8", "surrogateescape")


def _set(**options: Any) -> dict[str, Json]:
    """Return the options that are not at their defaults: empty, false or zero."""
    return {name: value for name, value in options.items() if value}


def _range_fields(keys: Keys) -> dict[str, Json]:
    key, range_end = on_the_wire(keys)
    return {"key": _text(key)} | _set(range_end=_text(range_end))


_OPERATORS = {
    rpc_pb2.Compare.EQUAL: "=",
    rpc_pb2.Compare.NOT_EQUAL: "!=",
    rpc_pb2.Compare.LESS: "<",
    rpc_pb2.Compare.GREATER: ">",
}
_TARGETS = {
    rpc_pb2.Compare.VALUE: "value",
    rpc_pb2.Compare.VERSION: "version",
    rpc_pb2.Compare.CREATE: "create_revision",
    rpc_pb2.Compare.MOD: "mod_revision",
    rpc_pb2.Compare.LEASE: "lease",
}


def _txn_fields(txn: Txn) -> dict[str, Json]:
    return {
        "compare": [_compare_fields(comparison.message) for comparison in txn.compare],
        "success": [_request_fields(operation) for operation in txn.success],
        "failure": [_request_fields(operation) for operation in txn.failure],
    }


def _compare_fields(compare: rpc_pb2.Compare) -> Fields:
    target = _TARGETS[compare.target]
    value = getattr(compare, target)
    return {
        "key": _text(compare.key),
        "target": target,
        "operator": _OPERATORS[compare.result],
        "value": _text(value) if isinstance(value, bytes) else value,
    } | _set(range_end=_text(compare.range_end))


def _request_fields(operation: Operation) -> Fields:
    match operation:
        case Put():
            fields = {"key": _text(operation.key), "value": _text(operation.value)}
            return {"kind": "put", **fields, **_set(lease=operation.lease)}
        case Get():
            options: Mapping[str, Json] = _set(
                limit=operation.limit,
                revision=operation.revision,
                keys_only=operation.keys_only,
                count_only=operation.count_only,
            )
            return {"kind": "get", **_range_fields(operation.keys), **options}
        case Delete():
            return {"kind": "delete", **_range_fields(operation.keys)}
        case Txn():
            return {"kind": "txn", **_txn_fields(operation)}
