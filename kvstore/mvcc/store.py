"""The keyspace of one member: its revisions, and the way to its readers and its writer."""

from kvstore.backend.backend import Backend, WriteTxn
from kvstore.mvcc import meta
from kvstore.mvcc.compaction import Removal
from kvstore.mvcc.read_view import ReadView
from kvstore.mvcc.revision import FRESH_REVISION, NEVER_COMPACTED
from kvstore.mvcc.write_txn import KeyspaceWriter


class Store:
    """Owns the current revision and the compact revision; the backend owns the bytes."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        txn = backend.begin_read()
        self.revision = meta.get(txn, meta.REVISION, FRESH_REVISION)
        """Of the last committed change."""
        self.compact_revision = meta.get(txn, meta.COMPACT_REVISION, NEVER_COMPACTED)
        """The oldest revision that can be read."""
        self._removed_revision = NEVER_COMPACTED
        txn.close()

    def view(self) -> ReadView:
        """Return a view of the last commit."""
        return ReadView(
            self._backend.begin_read(),
            revision=self.revision,
            compact_revision=self.compact_revision,
        )

    def removal(self) -> Removal | None:
        """Return what frees the space of compacted history, or None if there is none to free."""
        if self._removed_revision < self.compact_revision:
            txn = self._backend.begin_read()
            self._removed_revision = meta.get(txn, meta.REMOVED_REVISION, NEVER_COMPACTED)
            txn.close()
        return Removal() if self._removed_revision < self.compact_revision else None

    def begin(self, txn: WriteTxn) -> KeyspaceWriter:
        """Return the writer for `txn`, at most one per transaction."""
        return KeyspaceWriter(txn, revision=self.revision, compact_revision=self.compact_revision)

    def commit(self, writer: KeyspaceWriter) -> None:
        """Publish what `writer` did, after its transaction was committed."""
        self.revision = writer.revision
        self.compact_revision = writer.compact_revision
