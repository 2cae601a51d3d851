"""Operations from a seed: small alphabets, every field, a share of requests that must be refused.

The generator follows what the reference answered (`Known`), so that past, compacted and future
revisions, live and dead leases, used and unused watch ids are all common.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from kvstore.base.key_range import prefix_end
from kvstore.wire.pb import rpc_pb2
from tests.conformance.differential.differences import Allowed
from tests.conformance.differential.operations import (
    AskProgress,
    CancelWatch,
    KeepAlive,
    OpenWatch,
    Operation,
    ReopenStream,
    Unary,
)
from tests.support.target import Outcome

STREAMS = 3
WATCHERS_PER_STREAM_MAX = 6
FAR_TTL_S = 100_000
"""No lease of a run expires by itself: that would be decided by time."""
TXN_OPS_MAX = 128
REQUEST_BYTES_MAX = 1_572_864
MESSAGE_BYTES_MAX = REQUEST_BYTES_MAX + 512 * 1024
LEASE_TTL_MAX_S = 9_000_000_000

PLAIN_KEYS = (b"a", b"aa", b"ab", b"b", b"ba", b"c", b"d")
ODD_KEYS = (
    *(b"\0", b"\0\0", b"a\0", b"a\xff", b"a\xff\xff", b"\xff", b"\xff\xff"),
    *(b"k" * 511, b"k" * 512, b"k" * 600, b"k" * 600 + b"x", b"k" * 2000),
)
LEASES = (*range(1, 9), -5, 2**62, 2**63 - 1)
UNKNOWN_LEASE = 99
HUGE_KEYS = (b"huge1", b"huge2")
SORT_ORDERS = (
    rpc_pb2.RangeRequest.NONE,
    rpc_pb2.RangeRequest.ASCEND,
    rpc_pb2.RangeRequest.DESCEND,
)
SORT_TARGETS = (
    rpc_pb2.RangeRequest.KEY,
    rpc_pb2.RangeRequest.VERSION,
    rpc_pb2.RangeRequest.CREATE,
    rpc_pb2.RangeRequest.MOD,
    rpc_pb2.RangeRequest.VALUE,
)
COMPARE_RESULTS = (
    rpc_pb2.Compare.EQUAL,
    rpc_pb2.Compare.GREATER,
    rpc_pb2.Compare.LESS,
    rpc_pb2.Compare.NOT_EQUAL,
)
COMPARE_TARGETS = (
    rpc_pb2.Compare.VERSION,
    rpc_pb2.Compare.CREATE,
    rpc_pb2.Compare.MOD,
    rpc_pb2.Compare.VALUE,
    rpc_pb2.Compare.LEASE,
)
NOPUT, NODELETE = rpc_pb2.WatchCreateRequest.NOPUT, rpc_pb2.WatchCreateRequest.NODELETE
INVALID_SORT = Outcome("INVALID_ARGUMENT", "etcdserver: invalid sort option", None)


@dataclass(slots=True)
class Known:
    """What the answers of the reference told so far."""

    member_count: int
    revision: int = 1
    compact_revision: int = -1
    leases: set[int] = field(default_factory=set)
    chosen_leases: list[int] = field(default_factory=list)
    """Leases whose id each server chose for itself, by the reference's id."""
    watch_ids: list[list[int]] = field(default_factory=lambda: [[] for _ in range(STREAMS)])


class Generator:
    """An endless series of operations; equal seeds and equal answers give equal series."""

    def __init__(self, seed: int, known: Known) -> None:
        self._dice = random.Random(seed)
        self._known = known
        self._values = 0
        weighted: list[tuple[int, Callable[[], list[Operation]]]] = [
            (220, self._range),
            (240, self._put),
            (80, self._delete),
            (180, self._txn),
            (14, self._compact),
            (40, self._grant),
            (6, self._grant_at_the_minimum),
            (6, self._grant_chosen),
            (25, self._revoke),
            (35, self._time_to_live),
            (12, self._leases),
            (25, self._keep_alive),
            (35, self._hash),
            (60, self._open_watch),
            (25, self._cancel_watch),
            (20, self._progress),
            (3, self._reopen),
            (5, self._status),
            (5, self._members),
            (5, self._alarms),
            (4, self._unknown_method),
            (4, self._too_large),
            (1, self._fragments),
        ]
        self._weights = [weight for weight, _ in weighted]
        self._makers = [maker for _, maker in weighted]

    def next(self) -> list[Operation]:
        """Return the next operations; more than one where they only make sense together."""
        return self._dice.choices(self._makers, self._weights)[0]()

    # --- alphabets

    def _chance(self, probability: float) -> bool:
        return self._dice.random() < probability

    def _member(self) -> int:
        return self._dice.randrange(self._known.member_count)

    def _key(self) -> bytes:
        return self._dice.choice(PLAIN_KEYS if self._chance(0.8) else ODD_KEYS)

    def _request_key(self) -> bytes:
        return b"" if self._chance(0.02) else self._key()

    def _range_end(self, key: bytes) -> bytes:
        shapes: list[Callable[[], bytes]] = [
            lambda: b"",
            lambda: prefix_end(key),
            lambda: b"\0",
            self._key,
            lambda: key + b"\0",
        ]
        return self._dice.choices(shapes, (45, 20, 8, 22, 5))[0]()

    def _value(self) -> bytes:
        shape = self._dice.random()
        if shape < 0.1:
            return b""
        if shape < 0.5:
            return self._dice.choice((b"x", b"y", b"z", b"\0\xff"))
        self._values += 1
        if shape < 0.95:
            return b"v%d" % self._values
        return self._dice.randbytes(self._dice.choice((127, 128, 1000, 17000)))

    def _lease(self) -> int:
        if self._known.leases and self._chance(0.85):
            return self._dice.choice(sorted(self._known.leases))
        lease: int = self._dice.choice((*LEASES, UNKNOWN_LEASE))
        return lease

    def _past_revision(self) -> int:
        compacted = max(self._known.compact_revision, 1)
        return self._dice.randint(compacted, max(compacted, self._known.revision))

    def _revision(self) -> int:
        known = self._known
        shapes: list[Callable[[], int]] = [
            lambda: 0,
            self._past_revision,
            lambda: known.compact_revision - 1,
            lambda: known.compact_revision,
            lambda: known.revision + self._dice.randint(1, 5),
            lambda: -self._dice.randint(1, 3),
        ]
        revision: int = self._dice.choices(shapes, (60, 28, 4, 3, 3, 2))[0]()
        return revision

    # --- kv

    def _range_request(self, *, sort_may_be_invalid: bool = False) -> rpc_pb2.RangeRequest:
        key = self._request_key()
        request = rpc_pb2.RangeRequest(
            key=key,
            range_end=self._range_end(key),
            revision=self._revision(),
            serializable=self._chance(0.25),
            keys_only=self._chance(0.15),
            count_only=self._chance(0.1),
        )
        if self._chance(0.35):
            request.limit = self._dice.choice((1, 2, 3, 10, -1))
        if self._chance(0.35):
            request.sort_order = self._dice.choice(SORT_ORDERS)
            request.sort_target = self._dice.choice(SORT_TARGETS)
        if self._chance(0.25):
            bound = self._dice.choice(
                (
                    *("min_mod_revision", "max_mod_revision"),
                    *("min_create_revision", "max_create_revision"),
                )
            )
            setattr(request, bound, self._past_revision())
            if self._chance(0.3):
                request.max_mod_revision = self._past_revision()
        if sort_may_be_invalid and self._chance(0.02):
            if self._chance(0.5):
                request.sort_order = 3  # type: ignore[assignment]
            else:
                request.sort_target = 5  # type: ignore[assignment]
        return request

    def _range(self) -> list[Operation]:
        request = self._range_request(sort_may_be_invalid=True)
        invalid = request.key and (request.sort_order > 2 or request.sort_target > 4)
        if not request.key:
            request.ClearField("sort_order")
            request.ClearField("sort_target")
        return [
            Unary(
                rpc="Range",
                request=request,
                member=self._member(),
                instead=(Allowed.SORT_OPTION, INVALID_SORT) if invalid else None,
            )
        ]

    def _put_request(self, key: bytes | None = None) -> rpc_pb2.PutRequest:
        request = rpc_pb2.PutRequest(
            key=self._request_key() if key is None else key,
            value=self._value(),
            prev_kv=self._chance(0.3),
        )
        if self._chance(0.25):
            request.lease = self._lease()
        if self._chance(0.06):
            request.ignore_value = True
            if self._chance(0.8):
                request.value = b""
        if self._chance(0.06):
            request.ignore_lease = True
            if self._chance(0.8):
                request.lease = 0
        return request

    def _put(self) -> list[Operation]:
        return [Unary(rpc="Put", request=self._put_request(), member=self._member())]

    def _delete_request(self) -> rpc_pb2.DeleteRangeRequest:
        key = self._request_key()
        return rpc_pb2.DeleteRangeRequest(
            key=key, range_end=self._range_end(key), prev_kv=self._chance(0.4)
        )

    def _delete(self) -> list[Operation]:
        return [Unary(rpc="DeleteRange", request=self._delete_request(), member=self._member())]

    def _compare(self) -> rpc_pb2.Compare:
        compare = rpc_pb2.Compare(
            key=self._request_key() if self._chance(0.3) else self._key(),
            result=self._dice.choice(COMPARE_RESULTS),
            target=self._dice.choice(COMPARE_TARGETS),
        )
        union = compare.target if self._chance(0.95) else self._dice.choice(COMPARE_TARGETS)
        match union:
            case rpc_pb2.Compare.VERSION:
                compare.version = self._dice.randrange(4)
            case rpc_pb2.Compare.CREATE:
                compare.create_revision = self._dice.choice((0, self._past_revision()))
            case rpc_pb2.Compare.MOD:
                compare.mod_revision = self._dice.choice((0, self._past_revision()))
            case rpc_pb2.Compare.VALUE:
                compare.value = self._value()
            case _:
                compare.lease = self._dice.choice((0, self._lease()))
        if self._chance(0.2):
            compare.range_end = self._range_end(compare.key)
        if self._chance(0.02):
            compare.result = 7  # type: ignore[assignment]
        return compare

    def _txn_request(self, depth: int, keys: list[bytes] | None) -> rpc_pb2.TxnRequest:
        """A transaction; `keys` holds what may still be written once, None means anything goes."""
        request = rpc_pb2.TxnRequest(
            compare=[self._compare() for _ in range(self._dice.choice((0, 0, 1, 1, 2, 3)))]
        )
        for branch in (request.success, request.failure):
            for _ in range(self._dice.choice((0, 1, 1, 2, 3, 5))):
                self._add_op(branch.add(), depth, keys)
        return request

    def _add_op(self, op: rpc_pb2.RequestOp, depth: int, keys: list[bytes] | None) -> None:
        shape = self._dice.random()
        if shape < 0.3:
            op.request_range.CopyFrom(self._range_request())
        elif shape < 0.65:
            key = None if keys is None else (keys.pop() if keys else b"last")
            op.request_put.CopyFrom(self._put_request(key))
        elif shape < 0.85:
            request = self._delete_request()
            if keys is not None:
                request.key, request.range_end = keys.pop() if keys else b"last", b""
            op.request_delete_range.CopyFrom(request)
        elif shape < 0.99 and depth < 3:
            op.request_txn.CopyFrom(self._txn_request(depth + 1, keys))
        # else: an op without a member, which is refused

    def _txn(self) -> list[Operation]:
        if self._chance(0.02):
            return [Unary(rpc="Txn", request=self._long_txn(), member=self._member())]
        keys: list[bytes] | None = None
        if self._chance(0.75):
            keys = [*PLAIN_KEYS, *ODD_KEYS]
            self._dice.shuffle(keys)
        request = self._txn_request(0, keys)
        if self._known.member_count > 1:
            if self._chance(0.03):
                return [self._txn_at_unreadable_revision()]
            if any(not op.HasField("request_range") for op in (*request.success, *request.failure)):
                self._make_readable(request)
        return [Unary(rpc="Txn", request=request, member=self._member())]

    def _make_readable(self, request: rpc_pb2.TxnRequest) -> None:
        known = self._known
        for op in (*request.success, *request.failure):
            if op.HasField("request_txn"):
                self._make_readable(op.request_txn)
            elif op.request_range.revision and not (
                known.compact_revision <= op.request_range.revision <= known.revision
            ):
                op.request_range.revision = 0

    def _txn_at_unreadable_revision(self) -> Unary:
        known = self._known
        is_future = known.compact_revision < 2 or self._chance(0.5)
        request = rpc_pb2.TxnRequest()
        request.success.add().request_put.CopyFrom(rpc_pb2.PutRequest(key=b"a", value=b"never"))
        read = request.success.add().request_range
        read.key = self._key()
        read.revision = known.revision + 1 if is_future else known.compact_revision - 1
        text = "is a future revision" if is_future else "has been compacted"
        refusal = Outcome("OUT_OF_RANGE", f"etcdserver: mvcc: required revision {text}", None)
        return Unary(
            rpc="Txn",
            request=request,
            member=self._member(),
            instead=(Allowed.TXN_AT_UNREADABLE_REVISION, refusal),
        )

    def _long_txn(self) -> rpc_pb2.TxnRequest:
        """Just at, or just over, the limit of operations, flat or nested."""
        count = TXN_OPS_MAX + self._dice.randrange(2)
        request = rpc_pb2.TxnRequest()
        branch = self._dice.choice((request.success, request.failure))
        nested = self._chance(0.4)
        for _ in range(count - 2 if nested else count):
            branch.add().request_range.key = b"a"
        if nested:
            inner = branch.add().request_txn
            for _ in range(2):
                inner.success.add().request_range.key = b"b"
        return request

    def _compact(self) -> list[Operation]:
        known = self._known
        shapes: list[Callable[[], int]] = [
            lambda: max(self._past_revision(), known.revision - self._dice.randint(10, 60)),
            lambda: known.revision,
            lambda: known.compact_revision,
            lambda: known.revision + self._dice.randint(1, 3),
            lambda: self._dice.choice((0, -1)),
        ]
        revision = self._dice.choices(shapes, (55, 8, 15, 15, 7))[0]()
        return [
            Unary(
                rpc="Compact",
                request=rpc_pb2.CompactionRequest(revision=revision, physical=self._chance(0.5)),
                member=self._member(),
            )
        ]

    def _hash(self) -> list[Operation]:
        known = self._known
        shapes: list[Callable[[], int]] = [
            lambda: 0,
            self._past_revision,
            lambda: max(1, known.compact_revision - 1),
            lambda: max(1, known.compact_revision),
            lambda: known.revision + 1,
        ]
        request = rpc_pb2.HashKVRequest(revision=self._dice.choices(shapes, (40, 35, 8, 8, 8))[0]())
        return [Unary(rpc="HashKV", request=request, member=self._member())]

    # --- leases

    def _grant(self) -> list[Operation]:
        request = rpc_pb2.LeaseGrantRequest(
            ID=self._dice.choice(LEASES), TTL=FAR_TTL_S + self._dice.randrange(1000)
        )
        if self._chance(0.1):
            request.TTL = self._dice.choice((LEASE_TTL_MAX_S, LEASE_TTL_MAX_S + 1, 2**62))
        return [Unary(rpc="LeaseGrant", request=request, member=self._member())]

    def _grant_at_the_minimum(self) -> list[Operation]:
        """A grant whose TTL the server raises, revoked before time decides anything."""
        lease = 1000 + self._dice.randrange(3)
        ttl = self._dice.choice((-1, 0, 1, 2))
        return [
            Unary(
                rpc="LeaseGrant",
                request=rpc_pb2.LeaseGrantRequest(ID=lease, TTL=ttl),
                member=self._member(),
            ),
            Unary(
                rpc="LeaseRevoke",
                request=rpc_pb2.LeaseRevokeRequest(ID=lease),
                member=self._member(),
            ),
        ]

    def _grant_chosen(self) -> list[Operation]:
        """A lease whose id the server chooses: never attached, for ids are part of HashKV."""
        request = rpc_pb2.LeaseGrantRequest(TTL=FAR_TTL_S)
        return [Unary(rpc="LeaseGrant", request=request, member=self._member())]

    def _any_lease(self) -> int:
        if self._known.chosen_leases and self._chance(0.2):
            return self._dice.choice(self._known.chosen_leases)
        return self._lease()

    def _revoke(self) -> list[Operation]:
        request = rpc_pb2.LeaseRevokeRequest(ID=self._any_lease())
        return [Unary(rpc="LeaseRevoke", request=request, member=self._member())]

    def _time_to_live(self) -> list[Operation]:
        request = rpc_pb2.LeaseTimeToLiveRequest(ID=self._any_lease(), keys=self._chance(0.6))
        return [Unary(rpc="LeaseTimeToLive", request=request, member=self._member())]

    def _leases(self) -> list[Operation]:
        request = rpc_pb2.LeaseLeasesRequest()
        return [Unary(rpc="LeaseLeases", request=request, member=self._member())]

    def _keep_alive(self) -> list[Operation]:
        leases = tuple(self._any_lease() for _ in range(self._dice.randint(1, 4)))
        return [KeepAlive(leases=leases, member=self._member())]

    # --- watches

    def _open_watch(self) -> list[Operation]:
        stream = self._dice.randrange(STREAMS)
        used = self._known.watch_ids[stream]
        before: list[Operation] = []
        if len(used) >= WATCHERS_PER_STREAM_MAX:
            before = [CancelWatch(stream=stream, watch_id=self._dice.choice(used))]
        key = b"" if self._chance(0.05) else self._key()
        shapes: list[Callable[[], int]] = [
            lambda: 0,
            self._past_revision,
            lambda: max(1, self._known.compact_revision - 1),
            lambda: max(1, self._known.compact_revision),
            lambda: self._known.revision + self._dice.randint(1, 8),
            lambda: -self._dice.randint(1, 2),
        ]
        request = rpc_pb2.WatchCreateRequest(
            key=key,
            range_end=self._range_end(key),
            start_revision=self._dice.choices(shapes, (40, 35, 6, 8, 8, 3))[0](),
            progress_notify=self._chance(0.2),
            prev_kv=self._chance(0.5),
            fragment=self._chance(0.2),
        )
        if self._chance(0.25):
            filters = ([NOPUT], [NODELETE], [NOPUT, NODELETE], [NODELETE, NODELETE])
            request.filters.extend(self._dice.choice(filters))
        if self._chance(0.3):
            request.watch_id = self._dice.choice((1, 2, 7, -3, 2**40, *used[:1]))
        return [*before, OpenWatch(stream=stream, request=request)]

    def _cancel_watch(self) -> list[Operation]:
        stream = self._dice.randrange(STREAMS)
        used = self._known.watch_ids[stream]
        watch_id = self._dice.choice(used) if used and self._chance(0.85) else 12345
        return [CancelWatch(stream=stream, watch_id=watch_id)]

    def _progress(self) -> list[Operation]:
        return [AskProgress(stream=self._dice.randrange(STREAMS))]

    def _reopen(self) -> list[Operation]:
        return [ReopenStream(stream=self._dice.randrange(STREAMS))]

    def _fragments(self) -> list[Operation]:
        """Revisions of more than a message each, watched in fragments, then removed."""
        stream = self._dice.randrange(STREAMS)
        start = self._known.revision + 1
        puts: list[Operation] = []
        for _ in range(3):
            request = rpc_pb2.TxnRequest()
            for key in HUGE_KEYS:
                put = request.success.add().request_put
                put.key, put.value = key, self._dice.randbytes(700_000)
            puts.append(Unary(rpc="Txn", request=request, member=self._member()))
        watch_id = 4242
        create = rpc_pb2.WatchCreateRequest(
            key=HUGE_KEYS[0],
            range_end=prefix_end(HUGE_KEYS[0][:4]),
            start_revision=start,
            fragment=True,
            prev_kv=True,
            watch_id=watch_id,
        )
        delete = rpc_pb2.DeleteRangeRequest(key=create.key, range_end=create.range_end)
        return [
            *puts,
            OpenWatch(stream=stream, request=create),
            CancelWatch(stream=stream, watch_id=watch_id),
            Unary(rpc="DeleteRange", request=delete, member=self._member()),
        ]

    # --- the rest

    def _status(self) -> list[Operation]:
        return [Unary(rpc="Status", request=rpc_pb2.StatusRequest(), member=self._member())]

    def _members(self) -> list[Operation]:
        request = rpc_pb2.MemberListRequest(linearizable=self._chance(0.5))
        return [Unary(rpc="MemberList", request=request, member=self._member())]

    def _alarms(self) -> list[Operation]:
        return [Unary(rpc="Alarm", request=rpc_pb2.AlarmRequest(), member=self._member())]

    def _unknown_method(self) -> list[Operation]:
        rpc = self._dice.choice(("NoSuchMethod", "NoSuchService"))
        return [Unary(rpc=rpc, request=rpc_pb2.RangeRequest(key=b"a"), member=self._member())]

    def _too_large(self) -> list[Operation]:
        size = self._dice.choice(
            (REQUEST_BYTES_MAX, REQUEST_BYTES_MAX + 1000, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX + 9)
        )
        request = rpc_pb2.PutRequest(key=b"huge", value=bytes(size))
        return [Unary(rpc="Put", request=request, member=self._member())]
