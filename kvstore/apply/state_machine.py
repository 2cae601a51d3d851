"""The replicated state machine: entries in, answers and events out, the same on every member.

Applying is a function of (state, entry). All entries of a turn share one backend transaction, which
also holds the index of the last one: both survive a crash, or neither. What refuses a request is
decided before its first write, because the backend cannot take half a transaction back.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from struct import Struct

from kvstore.apply import meta
from kvstore.apply.alarms import CORRUPT, NOSPACE, Alarms
from kvstore.apply.auth_operations import AuthOperations
from kvstore.apply.command import Batch, BatchId, OperationKind, decode_as_user, decode_entry
from kvstore.apply.operations import Operations
from kvstore.apply.permits import check_operation
from kvstore.apply.plain_txn import plain_txns
from kvstore.apply.reply import Outcome, Reply
from kvstore.apply.requests import plain_puts
from kvstore.apply.room import Room
from kvstore.apply.txn import apply_txn
from kvstore.auth import ANONYMOUS, AuthStore
from kvstore.backend.backend import Backend, WriteTxn
from kvstore.backend.schema import Tree
from kvstore.base.errors import Corrupt, LeaseNotFound, RequestRefused, SpaceExceeded
from kvstore.base.ids import LeaseId, LogIndex, MemberId, Term
from kvstore.base.key_range import KeyRange
from kvstore.lease import Lessor
from kvstore.mvcc import Counts, Event, Store
from kvstore.wire.pb import raft_pb2, rpc_pb2
from kvstore.wire.protobuf import varint_field

_MEMBER_ID = Struct("<Q")
_AS_USER = int(OperationKind.AS_USER)
_OPERATIONS_PER_STEP = 64
"""Applied between two looks at the clock: well under a millisecond of work."""


@dataclass(slots=True)
class AppliedTurn:
    """What one turn changed, for those who wait for it."""

    batches: list[tuple[BatchId, list[Outcome]]] = field(default_factory=list)
    events: list[tuple[int, list[Event]]] = field(default_factory=list)
    """(revision, its events in order), ascending."""
    counts: Counts = field(default_factory=Counts)
    granted_ttls_s: list[int] = field(default_factory=list)


class StateMachine:
    """Keys, leases, alarms, member attributes, users and roles, in one backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.store = Store(backend)
        stored = backend.begin_read()
        try:
            self.lessor = Lessor.load(stored)
            self.alarms = Alarms(stored)
            self.auth = AuthStore.load(stored)
            self.applied = meta.applied(stored)
            self.attributes = _load_attributes(stored.scan(Tree.MEMBERS))
        finally:
            stored.close()

    def move_to(self, copy: "StateMachine") -> None:
        """Go on in the backend of a copy that has applied the same entries.

        What is known in memory stays: it is the same, and a leader's leases keep their deadlines.
        """
        assert copy.applied == self.applied, f"copy at {copy.applied}, not {self.applied}"
        self.backend, self.store = copy.backend, copy.store

    def begin_turn(self, entry_bytes: int, operations: int) -> "Turn":
        """Open the transaction of one turn, for entries of so many bytes and operations.

        Raises:
            StorageFull: the disk cannot hold the changes; nothing was written.
        """
        return Turn(self, Room(self.backend.reserve, entry_bytes, operations))


class Turn:
    """The entries that one backend transaction applies.

    `apply` is a generator: long deletes yield between slices, so that other things can be done in
    between, as long as they only read.
    """

    def __init__(self, machine: StateMachine, room: Room) -> None:
        self._machine = machine
        self._txn = machine.backend.begin_write()
        self._writer = machine.store.begin(self._txn)
        self._operations = Operations(self._txn, self._writer, machine.lessor, room)
        self._result = AppliedTurn()
        self._applied = machine.applied

    @property
    def txn(self) -> WriteTxn:
        """The transaction, for what the member itself notes in it."""
        return self._txn

    def apply(self, index: LogIndex, term: Term, command: bytes) -> Iterator[None]:
        """Apply one command entry, step by step. Raises only if this member must stop."""
        for batch in decode_entry(command):
            yield from self._apply_batch(batch)
        self.skip(index, term)

    def skip(self, index: LogIndex, term: Term) -> None:
        """Note an entry that changes nothing here as applied."""
        assert index == self._applied.index + 1, f"{index} applied after {self._applied.index}"
        self._applied = meta.Applied(index, term)

    def forget(self, members: Iterable[MemberId]) -> None:
        """Drop what members published that were removed for good."""
        for member in members:
            if self._machine.attributes.pop(member, None) is not None:
                self._txn.delete(Tree.MEMBERS, _MEMBER_ID.pack(member))

    def commit(self) -> AppliedTurn:
        """Make the turn visible and return what it changed."""
        machine, result = self._machine, self._result
        meta.set_applied(self._txn, self._applied)
        self._writer.finish()
        self._txn.commit()
        machine.store.commit(self._writer)
        machine.applied = self._applied
        result.events = self._writer.events
        result.counts = self._writer.counts
        return result

    def _apply_batch(self, batch: Batch) -> Iterator[None]:
        outcomes: list[Outcome] = []
        operations, alarms, auth = batch.operations, self._machine.alarms, self._machine.auth
        for start in range(0, len(operations), _OPERATIONS_PER_STEP):
            if start:
                yield
            some = operations[start : start + _OPERATIONS_PER_STEP]
            plain = None if alarms.any_raised or auth.is_enabled else self._apply_plain(some)
            if plain is not None:
                outcomes += plain
            else:
                for kind, payload in some:
                    outcomes.append((yield from self._apply_operation(kind, payload)))
        self._result.batches.append((batch.id, outcomes))

    def _apply_plain(self, operations: list[tuple[int, bytes]]) -> list[Outcome] | None:
        """Apply operations together if they are of one kind and of its plain shape; else None."""
        kind = operations[0][0]
        if kind not in _WITH_PLAIN_SHAPE or any(other != kind for other, _ in operations):
            return None
        payloads = (payload for _, payload in operations)
        if kind == OperationKind.PUT:
            puts = plain_puts(payloads)
            return None if puts is None else self._operations.plain_puts(puts)
        txns = plain_txns(payloads)
        return None if txns is None else self._operations.plain_txns(txns)

    def _apply_operation(self, kind: int, payload: bytes) -> Generator[None, None, Outcome]:
        alarms = self._machine.alarms
        user = ANONYMOUS
        if kind == _AS_USER:
            user, kind, payload = decode_as_user(payload)
        try:
            if alarms.any_raised:
                _check_alarms(kind, payload, alarms)
            if self._machine.auth.is_enabled:
                check_operation(user, kind, payload, self._machine, self._txn)
            apply = self._short.get(kind)
            if apply is not None:
                return apply(payload)
            return (yield from self._long[kind](payload))
        except RequestRefused as refusal:
            return refusal

    # Made when a turn first needs them, which most turns of puts do not: they are a cycle of
    # references, and would keep what the turn holds until the collector looks.

    @cached_property
    def _short(self) -> dict[int, Callable[[bytes], Reply]]:
        return {
            OperationKind.PUT: self._operations.put,
            OperationKind.COMPACT: self._operations.compact,
            OperationKind.LEASE_GRANT: self._grant,
            OperationKind.ALARM: self._apply_alarm,
            OperationKind.MEMBER_ATTRIBUTES: self._publish,
            **AuthOperations(self._txn, self._machine.auth, self._current).methods(),
        }

    @cached_property
    def _long(self) -> dict[int, Callable[[bytes], Generator[None, None, Reply]]]:
        return {
            OperationKind.TXN: self._apply_txn,
            OperationKind.DELETE_RANGE: self._operations.delete_range,
            OperationKind.LEASE_REVOKE: self._revoke,
            OperationKind.LEASE_EXPIRE: self._expire,
        }

    def _expire(self, payload: bytes) -> Generator[None, None, Reply]:
        reply = yield from self._revoke(payload)
        self._writer.counts.leases_expired += 1
        return reply

    def _current(self) -> tuple[int, int]:
        """Return the store revision, and the index of the entry that is being applied."""
        return self._writer.revision, self._applied.index + 1

    def _apply_txn(self, payload: bytes) -> Generator[None, None, Reply]:
        return apply_txn(rpc_pb2.TxnRequest.FromString(payload), self._operations)

    def _apply_alarm(self, payload: bytes) -> Reply:
        request = rpc_pb2.AlarmRequest.FromString(payload)
        return Reply(self._writer.revision, self._machine.alarms.apply(request, self._txn))

    def _grant(self, payload: bytes) -> Reply:
        request = rpc_pb2.LeaseGrantRequest.FromString(payload)
        self._machine.lessor.grant(self._txn, LeaseId(request.ID), request.TTL)
        self._writer.counts.leases_granted += 1
        self._result.granted_ttls_s.append(request.TTL)
        return Reply(
            self._writer.revision, varint_field(2, request.ID) + varint_field(3, request.TTL)
        )

    def _revoke(self, payload: bytes) -> Generator[None, None, Reply]:
        lease = LeaseId(rpc_pb2.LeaseRevokeRequest.FromString(payload).ID)
        lessor = self._machine.lessor
        if not lessor.exists(lease):
            raise LeaseNotFound
        for key in lessor.keys(self._txn, lease):
            for _ in self._operations.delete(KeyRange.single(key)):
                yield
        lessor.revoke(self._txn, lease)
        self._writer.counts.leases_revoked += 1
        return Reply(self._writer.end_request(), b"")

    def _publish(self, payload: bytes) -> Reply:
        (member,) = _MEMBER_ID.unpack_from(payload)
        attributes = payload[_MEMBER_ID.size :]
        self._txn.put(Tree.MEMBERS, payload[: _MEMBER_ID.size], attributes)
        self._machine.attributes[MemberId(member)] = raft_pb2.MemberAttributes.FromString(
            attributes
        )
        return Reply(self._writer.revision, b"")


def attributes_operation(member: MemberId, attributes: raft_pb2.MemberAttributes) -> bytes:
    """Return the payload by which `member` publishes its name and client URLs."""
    return _MEMBER_ID.pack(member) + attributes.SerializeToString()


def _load_attributes(
    stored: Iterator[tuple[bytes, bytes]],
) -> dict[MemberId, raft_pb2.MemberAttributes]:
    return {
        MemberId(_MEMBER_ID.unpack(key)[0]): raft_pb2.MemberAttributes.FromString(value)
        for key, value in stored
    }


_WITH_PLAIN_SHAPE = frozenset({OperationKind.PUT, OperationKind.TXN})

_REFUSED_WHEN_CORRUPT = frozenset(
    {
        OperationKind.PUT,
        OperationKind.DELETE_RANGE,
        OperationKind.TXN,
        OperationKind.COMPACT,
        OperationKind.LEASE_GRANT,
        OperationKind.LEASE_REVOKE,
        OperationKind.LEASE_EXPIRE,
    }
)


def _check_alarms(kind: int, payload: bytes, alarms: Alarms) -> None:
    if alarms.is_raised(CORRUPT) and kind in _REFUSED_WHEN_CORRUPT:
        raise Corrupt
    if not alarms.is_raised(NOSPACE):
        return
    if kind in (OperationKind.PUT, OperationKind.LEASE_GRANT) or (
        kind == OperationKind.TXN and txn_puts(rpc_pb2.TxnRequest.FromString(payload))
    ):
        raise SpaceExceeded


def txn_puts(request: rpc_pb2.TxnRequest) -> bool:
    """Whether either branch of a transaction, nested ones included, holds a put."""
    return any(
        operation.WhichOneof("request") == "request_put"
        or (operation.WhichOneof("request") == "request_txn" and txn_puts(operation.request_txn))
        for branch in (request.success, request.failure)
        for operation in branch
    )
