"""The keyspace's requests, carried out on one turn's writer together with the leases they touch."""

from collections.abc import Generator, Iterator

from kvstore.apply.plain_txn import txn_outcomes
from kvstore.apply.reply import Outcome, Reply, delete_range_body, put_body, range_body
from kvstore.apply.requests import PutRequest, decode_put
from kvstore.apply.room import Room
from kvstore.backend.backend import SLICE, WriteTxn
from kvstore.base.errors import KeyNotFound, LeaseNotFound
from kvstore.base.ids import LeaseId
from kvstore.base.key_range import KeyRange
from kvstore.lease import Lessor
from kvstore.mvcc import ConditionalPut, KeyspaceWriter, Previous, RangeQuery, decode_key_value
from kvstore.wire.pb import rpc_pb2

_new_reply = tuple.__new__
"""Half the time of calling the class, on the path of every put."""

_SLICE_KEYS_MAX = 2 * SLICE
"""Deleted in one slice, at most."""
_DELETED_BYTES_MAX = 2048
"""A longer record lies on pages of its own, which are freed and not copied."""
_TOMBSTONE_BYTES = 64
"""What a delete writes beside the key, twice."""

_DETACHED_PER_CHANGE = 4
"""A change is counted with pages of several trees, this is in one."""


class Operations:
    """One turn's changes: `txn` holds them, `writer` the keyspace's part, `lessor` the leases'."""

    __slots__ = ("lessor", "room", "txn", "writer")

    def __init__(
        self,
        txn: WriteTxn,
        writer: KeyspaceWriter,
        lessor: Lessor,
        room: Room,
    ) -> None:
        self.room = room
        self.txn = txn
        self.writer = writer
        self.lessor = lessor

    # --- whole requests: check, then write

    def plain_puts(self, puts: list[tuple[bytes, bytes]]) -> list[Outcome]:
        """Apply puts of (key, value) without further fields, which are never refused."""
        first, detached = self.writer.put_each(puts)
        for lease, key in detached:
            self.lessor.detach(self.txn, LeaseId(lease), key)
        return [_new_reply(Reply, (revision, b"")) for revision in range(first, first + len(puts))]

    def plain_txns(self, txns: list[ConditionalPut]) -> list[Outcome]:
        """Apply transactions of the plain shape, which are never refused."""
        self.room.expect(0, len(txns))
        done, detached = self.writer.put_each_if(txns)
        for lease, key in detached:
            self.lessor.detach(self.txn, LeaseId(lease), key)
        return txn_outcomes(txns, done)

    def put(self, raw: bytes) -> Reply:
        """Apply a PutRequest.

        Raises:
            RequestRefused: its lease, or the key whose value or lease it keeps, is not there.
        """
        request = decode_put(raw)
        if request.lease and not self.lessor.exists(LeaseId(request.lease)):
            raise LeaseNotFound
        if request.ignore_value or request.ignore_lease:
            self._require(request.key)
        body = self.put_body(request)
        return Reply(self.writer.end_request(), body)

    def delete_range(self, raw: bytes) -> Generator[None, None, Reply]:
        """Apply a DeleteRangeRequest in slices; it is never refused."""
        body = yield from self.delete_range_body(rpc_pb2.DeleteRangeRequest.FromString(raw))
        return Reply(self.writer.end_request(), body)

    def compact(self, raw: bytes) -> Reply:
        """Apply a CompactionRequest: logically at once, the removal follows in slices.

        Raises:
            RequestRefused: the revision is compacted already, or does not exist yet.
        """
        self.writer.compact(rpc_pb2.CompactionRequest.FromString(raw).revision)
        return Reply(self.writer.revision, b"")

    # --- parts of a transaction: checked before, cannot fail

    def check_put_in_txn(self, request: PutRequest) -> None:
        """Raise what would refuse this put, seen from before the transaction."""
        if request.ignore_value or request.ignore_lease:
            self._require(request.key)
        if request.lease and not self.lessor.exists(LeaseId(request.lease)):
            raise LeaseNotFound

    def put_body(self, request: PutRequest) -> bytes:
        """Write one key; return PutResponse without its header."""
        key, value, lease = request.key, request.value, request.lease
        if request.ignore_value or request.ignore_lease:
            kept = self.writer.get(key)
            if kept is not None and request.ignore_value:
                value = decode_key_value(kept.key_value).value
                self.room.expect(len(value), 0)
            if kept is not None and request.ignore_lease:
                lease = kept.lease
        previous = self.writer.put(key, value, lease)
        old_lease = 0 if previous is None else previous.lease
        if old_lease != lease:
            if old_lease:
                self.lessor.detach(self.txn, LeaseId(old_lease), key)
            if lease:
                self.lessor.attach(self.txn, LeaseId(lease), key)
        return put_body(previous.key_value if previous is not None and request.prev_kv else None)

    def delete_range_body(
        self, request: rpc_pb2.DeleteRangeRequest
    ) -> Generator[None, None, bytes]:
        """Delete the keys of a range in slices; return DeleteRangeResponse without its header."""
        deleted = 0
        previous: list[bytes] = []
        for some in self.delete(KeyRange.of(request.key, request.range_end)):
            deleted += len(some)
            if request.prev_kv:
                previous += [version.key_value for version in some]
            yield
        return delete_range_body(deleted, previous)

    def delete(self, keys: KeyRange) -> Iterator[list[Previous]]:
        """Delete the live keys of `keys` and detach their leases; yield what they were, in slices.

        Raises:
            StorageFull: the disk has no room for the next slice.
        """
        room = self.room
        if keys.is_single:
            room.expect(0, 1)
        else:
            room.expect(
                _SLICE_KEYS_MAX * _DELETED_BYTES_MAX, _SLICE_KEYS_MAX // _DETACHED_PER_CHANGE
            )
        for some in self.writer.delete_slices(keys):
            leased = size = 0
            for version in some:
                size += min(len(version.key_value), _DELETED_BYTES_MAX) + 2 * len(version.key)
                if version.lease:
                    leased += 1
                    self.lessor.detach(self.txn, LeaseId(version.lease), version.key)
            if not keys.is_single:
                # Neighbours share the pages that are copied; what leases let go of may lie apart.
                size += len(some) * _TOMBSTONE_BYTES
                room.expect(size, leased // _DETACHED_PER_CHANGE + 1)
            yield some

    def range_body(self, query: RangeQuery) -> bytes:
        """Read with this request's own writes in sight; return RangeResponse without its header."""
        return range_body(self.writer.range(query))

    def _require(self, key: bytes) -> None:
        if self.writer.get(key) is None:
            raise KeyNotFound
