"""Reading the keyspace as it was at one commit."""

from collections.abc import Generator, Sequence

from kvstore.backend.backend import ReadTxn
from kvstore.backend.schema import KEYS
from kvstore.base.errors import Compacted, FutureRevision
from kvstore.base.key_range import KeyRange
from kvstore.mvcc.event import Changes, Previous
from kvstore.mvcc.hash import HashSlices, hash_all, hash_slices
from kvstore.mvcc.history import changes, point_read
from kvstore.mvcc.layout import CHUNK_BYTES, HEAD_BYTES, LIVE, get_head
from kvstore.mvcc.range import RangeQuery, RangeResult, RangeSlices, range_slices, run_range


class ReadView:
    """A frozen keyspace: writes and compactions since do not show. Close it soon."""

    __slots__ = ("_txn", "compact_revision", "revision")

    def __init__(self, txn: ReadTxn, *, revision: int, compact_revision: int) -> None:
        self._txn = txn
        self.revision = revision
        self.compact_revision = compact_revision

    def get(self, key: bytes) -> Previous | None:
        """Return the live `key`, or None."""
        return point_read(self._txn, key)

    def key_value(self, key: bytes) -> bytes | None:
        """Return the encoded KeyValue of the live `key`, or None: all that most reads want."""
        head = get_head(self._txn, key)
        if head is None or head[0] != LIVE:
            return None
        return head[HEAD_BYTES:]

    def key_values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return `key_value` of each of `keys`."""
        if max(map(len, keys)) >= CHUNK_BYTES:
            return [self.key_value(key) for key in keys]
        return [
            None if head is None or head[0] != LIVE else head[HEAD_BYTES:]
            for head in self._txn.get_many(KEYS, keys)
        ]

    def range(self, query: RangeQuery) -> RangeResult:
        """Execute a range at once.

        Raises:
            Compacted, FutureRevision: its revision cannot be read.
        """
        self._check(query.revision)
        return run_range(self._txn, query, self.revision)

    def range_slices(self, query: RangeQuery) -> RangeSlices:
        """Execute a range in steps of well under 10 ms, between which the view stays open.

        Raises:
            Compacted, FutureRevision: its revision cannot be read.
        """
        self._check(query.revision)
        return range_slices(self._txn, query, self.revision)

    def changes(
        self, keys: KeyRange, since: int, until: int, revisions_max: int
    ) -> tuple[list[Changes], int]:
        """Return the changes of `keys` in the revisions [since, until], and where to go on.

        At most `revisions_max` revisions are looked at, whole ones; with none of them concerned
        the list is empty and the second value still moves. It is `until + 1` at the end; `until`
        above the view's revision means that one.

        Raises:
            Compacted: the history from `since` on is no longer complete.
        """
        if since < self.compact_revision:
            raise Compacted(self.compact_revision)
        return changes(
            self._txn,
            keys,
            range(max(since, 0), min(until, self.revision) + 1),
            revisions_max=revisions_max,
            compacted=self.compact_revision,
        )

    def hash_kv(self, revision: int = 0) -> HashSlices:
        """Hash the keyspace at `revision` (0: the view's) in slices.

        Raises:
            Compacted, FutureRevision: the revision cannot be read.
        """
        self._check(revision)
        return hash_slices(
            self._txn,
            revision=revision or self.revision,
            compact_revision=self.compact_revision,
        )

    def hash_all(self) -> Generator[None, None, int]:
        """Hash all that is stored, in slices."""
        return hash_all(self._txn)

    def close(self) -> None:
        """Let go of the view's pages. Closing twice is harmless."""
        self._txn.close()

    def _check(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision
        if 0 < revision < self.compact_revision:
            raise Compacted(self.compact_revision)
