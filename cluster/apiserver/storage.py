"""Objects in the store: etcd keys, one transaction a write, leases, watches, compaction.

The layout and the transactions are kube-apiserver's, so that the same data serves a real one (with
`--storage-media-type=application/json`), and a real etcd serves us. This is the only module that
knows the store's client.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kvstore.base.clock import Clock
from kvstore.client import (
    AsyncClient,
    AsyncWatch,
    Compacted,
    Delete,
    FutureRevision,
    Get,
    KeyValue,
    LeaseNotFound,
    ModRevision,
    OutcomeUnknown,
    Put,
    RangeResult,
    RpcError,
    Tls,
    TooManyRequests,
    Unavailable,
    WatchBatch,
    between,
    prefix,
)
from kvstore.client import Version as KeyVersion

__all__ = [
    "Compacted",
    "Exists",
    "FutureRevision",
    "Modified",
    "OutcomeUnknown",
    "Page",
    "RpcError",
    "Store",
    "Stored",
    "Tls",
    "TooManyRequests",
    "Unavailable",
    "WatchBatch",
    "connect",
]

COMPACT_KEY = "compact_rev_key"
"""Where the API servers of a cluster agree who compacts, as kube-apiserver does."""
LEASE_SHARED_S = 60
"""Keys written within this time share a lease, so that leases stay few."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes of one key, as of the revision that wrote them."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some keys of a prefix in byte order, all as of `revision`."""

    items: tuple[Stored, ...]
    revision: int
    remaining: int
    """How many more keys follow the last one."""


class Exists(Exception):
    """The key is there already; nothing was written."""


class Modified(Exception):
    """The key is not as the writer saw it, but as `current` (None: gone); nothing was written."""

    def __init__(self, current: Stored | None) -> None:
        super().__init__()
        self.current = current


def connect(endpoints: str, *, tls: Tls | None = None) -> AsyncClient:
    """Return a client of the store; nothing is connected yet."""
    return AsyncClient(endpoints, tls=tls)


class Store:
    """What an API server does with the store. Errors of the client come through as they are."""

    def __init__(self, client: AsyncClient, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._lease_id = 0
        self._lease_until = 0.0

    async def revision(self) -> int:
        """Return a revision that covers every write acknowledged before the call."""
        result = await self._client.range(COMPACT_KEY, count_only=True)
        return result.header.revision

    async def get(self, key: str, *, revision: int = 0) -> Stored | None:
        """Return what the key holds, now or as of `revision`."""
        found = await self._client.get(key, revision=revision)
        return None if found is None else _stored(found)

    async def list(
        self, start: str, end: str, *, limit: int = 0, revision: int = 0, serializable: bool = False
    ) -> Page:
        """Return the keys of [start, end), at most `limit`, now or as of `revision`.

        Raises:
            Compacted: the revision is gone.
            FutureRevision: it has not come yet.
        """
        result = await self._client.range(
            between(start, end), limit=limit, revision=revision, serializable=serializable
        )
        return _page(result, revision)

    async def create(self, key: str, value: bytes, *, ttl_s: int = 0) -> int:
        """Write a new key; return its revision. With `ttl_s` it is gone some time after that.

        Raises:
            Exists: there is such a key.
        """
        lease = await self._shared_lease(ttl_s) if ttl_s else 0
        try:
            result = await self._client.txn([ModRevision(key) == 0], [Put(key, value, lease=lease)])
        except LeaseNotFound:  # an old one, which ran out while this server stood still
            self._lease_until = 0.0
            return await self.create(key, value, ttl_s=ttl_s)
        if not result.succeeded:
            raise Exists
        return result.header.revision

    async def update(self, key: str, value: bytes, *, seen: int, ttl_s: int = 0) -> int:
        """Replace a key that was last written at `seen`; return the new revision.

        Raises:
            Modified: it was written since, or deleted.
        """
        lease = await self._shared_lease(ttl_s) if ttl_s else 0
        result = await self._client.txn(
            [ModRevision(key) == seen], [Put(key, value, lease=lease)], [Get(key)]
        )
        if not result.succeeded:
            raise Modified(_found(result.results[0]))
        return result.header.revision

    async def delete(self, key: str, *, seen: int) -> int:
        """Delete a key that was last written at `seen`; return the revision of the deletion.

        Raises:
            Modified: it was written since, or deleted.
        """
        result = await self._client.txn([ModRevision(key) == seen], [Delete(key)], [Get(key)])
        if not result.succeeded:
            raise Modified(_found(result.results[0]))
        return result.header.revision

    async def history(self, key: str, *, revision: int) -> Stored | None:
        """Return the key as of `revision`; the way to older ones is `Stored.revision - 1`."""
        return await self.get(key, revision=revision)

    @asynccontextmanager
    async def watch(
        self, start: str, *, start_revision: int, previous: bool = False
    ) -> AsyncIterator["StoreWatch"]:
        """Watch the keys that begin with `start`, from a revision on."""
        watch = self._client.watch(
            prefix(start), start_revision=start_revision, previous=previous, progress_notify=True
        )
        async with watch:
            yield StoreWatch(watch)

    async def compact_to(self, revision: int) -> None:
        """Forget the history before `revision`; what is forgotten already is no error."""
        try:
            await self._client.compact(revision)
        except Compacted:
            return

    async def compaction_turn(self, seen_version: int, revision: int) -> tuple[bool, int, int]:
        """Take the turn to compact, unless another server took it since `seen_version`.

        Returns (whether it is ours, the turn's number, the revision that was noted the last time).
        """
        result = await self._client.txn(
            [KeyVersion(COMPACT_KEY) == seen_version],
            [Put(COMPACT_KEY, str(revision))],
            [Get(COMPACT_KEY)],
        )
        if result.succeeded:
            return True, seen_version + 1, revision
        answer = result.results[0]
        assert isinstance(answer, RangeResult)
        if not answer.kvs:
            return False, 0, 0
        return False, answer.kvs[0].version, int(answer.kvs[0].value)

    async def _shared_lease(self, ttl_s: int) -> int:
        now = self._clock.monotonic()
        if now >= self._lease_until:
            granted = await self._client.grant(ttl_s + LEASE_SHARED_S)
            self._lease_id, self._lease_until = granted.lease_id, now + LEASE_SHARED_S
        return self._lease_id


class StoreWatch:
    """Changes of the store, as they come."""

    def __init__(self, watch: AsyncWatch) -> None:
        self._watch = watch

    def batches(self) -> AsyncIterator[WatchBatch]:
        """Yield whole revisions; a batch without events says how far the watch is.

        Raises:
            Compacted: what comes next is gone.
        """
        return self._watch.batches()

    def request_progress(self) -> None:
        """Ask for a batch without events."""
        self._watch.request_progress()


def _stored(kv: KeyValue) -> Stored:
    return Stored(kv.key.decode(), kv.value, kv.mod_revision)


def _page(result: RangeResult, revision: int) -> Page:
    items = tuple(_stored(kv) for kv in result.kvs)
    return Page(items, revision or result.header.revision, result.count - len(items))


def _found(result: object) -> Stored | None:
    assert isinstance(result, RangeResult)
    return _stored(result.kvs[0]) if result.kvs else None
