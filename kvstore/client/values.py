"""What the store returns: frozen values, with `bytes` for keys and values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Header:
    """Which member answered, and when in the store's history."""

    cluster_id: int
    member_id: int
    revision: int
    """The store's revision when the answer was made; 0 where it does not apply."""
    raft_term: int


@dataclass(frozen=True, slots=True)
class KeyValue:
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


@dataclass(frozen=True, slots=True)
class RangeResult:
    header: Header
    kvs: tuple[KeyValue, ...]
    more: bool
    """Whether `limit` cut the list short."""
    count: int
    """All keys in the range, whatever the limit."""


@dataclass(frozen=True, slots=True)
class PutResult:
    header: Header
    previous: KeyValue | None
    """Only if it was asked for."""


@dataclass(frozen=True, slots=True)
class DeleteResult:
    header: Header
    deleted: int
    previous: tuple[KeyValue, ...]
    """Only if they were asked for."""


@dataclass(frozen=True, slots=True)
class TxnResult:
    header: Header
    succeeded: bool
    """Whether every comparison held, and so which branch ran."""
    results: tuple["OperationResult", ...]
    """One for each operation of that branch, in order."""


OperationResult = RangeResult | PutResult | DeleteResult | TxnResult


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one key."""

    is_delete: bool
    kv: KeyValue
    """For a deletion only `key` and `mod_revision` are set."""
    previous: KeyValue | None

    @property
    def is_create(self) -> bool:
        """Whether the key did not exist before."""
        return not self.is_delete and self.kv.create_revision == self.kv.mod_revision


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """Whole revisions of changes: the events of one revision are never split over two batches."""

    header: Header
    revision: int
    """No event at or below this revision will follow."""
    events: tuple[Event, ...]
    """Empty in a progress notification."""


@dataclass(frozen=True, slots=True)
class GrantedLease:
    lease_id: int
    ttl_s: int
    """What was granted; may be more than what was asked."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    lease_id: int
    ttl_s: int
    """Seconds left; -1 if there is no such lease (any more)."""
    granted_ttl_s: int
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClusterMember:
    member_id: int
    name: str
    """Empty if the member has never started."""
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """How the member that answered is doing."""

    header: Header
    version: str
    storage_version: str
    leader: int
    """0: it knows none."""
    is_learner: bool
    raft_term: int
    raft_index: int
    raft_applied_index: int
    db_size: int
    db_size_in_use: int
    db_size_quota: int
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyspaceHash:
    """Comparable between members at equal `hash_revision` and `compact_revision`."""

    header: Header
    hash: int
    compact_revision: int
    hash_revision: int


@dataclass(frozen=True, slots=True)
class Alarm:
    member_id: int
    kind: str
    """`NOSPACE` or `CORRUPT`."""
