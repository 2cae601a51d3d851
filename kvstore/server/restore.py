"""A member's data directory from a backup: checked first, built aside, then moved into place."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from kvstore.apply import meta
from kvstore.apply.backup_file import Progress, check_digest, chunks_of
from kvstore.apply.snapshot import SnapshotBuilder, SnapshotHead
from kvstore.backend.backend import WriteTxn
from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.backend.memory_backend import MemoryBackend, MemoryWriteTxn
from kvstore.backend.schema import Tree
from kvstore.base.entropy import SystemEntropy
from kvstore.base.etcd_ids import cluster_id, member_id
from kvstore.base.ids import ClusterId, MemberId
from kvstore.base.limits import MIB, Limits
from kvstore.base.urls import cluster_urls, url_texts, urls
from kvstore.member.bootstrap import Identity, store_identity
from kvstore.mvcc import meta as keyspace_meta
from kvstore.mvcc.revision import FRESH_REVISION, NEVER_COMPACTED
from kvstore.raft.consensus import Membership
from kvstore.raft.membership import encode_membership
from kvstore.wal import RealDisk, WalIdentity, WriteAheadLog

logger = logging.getLogger(__name__)

_GENERATION = 1
_BIRTH_BITS = 63
_VALUE_BYTES_MAX = 64 * MIB


class RestoreRefused(Exception):
    """What was asked for does not fit; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be restored as whom."""

    data_dir: Path
    wal_dir: Path | None
    founders: Membership
    member_id: MemberId
    skips_hash_check: bool = False
    revision_bump: int = 0
    marks_compacted: bool = False

    @classmethod
    def of(  # noqa: PLR0913 - etcdutl's flags
        cls,
        *,
        data_dir: Path,
        wal_dir: Path | None,
        name: str,
        initial_cluster: str,
        token: str,
        advertised_peer_urls: str,
        skips_hash_check: bool,
        revision_bump: int,
        marks_compacted: bool,
    ) -> "Plan":
        """Decode etcdutl's flags.

        Raises:
            ValueError: a URL is none.
            RestoreRefused: they contradict each other.
        """
        advertised = url_texts(urls(advertised_peer_urls))
        alone = ",".join(f"{name}={url}" for url in advertised)
        members = cluster_urls(initial_cluster or alone)
        if name not in members:
            raise RestoreRefused(
                f'couldn\'t find local name "{name}" in the initial cluster configuration'
            )
        if bool(revision_bump) != marks_compacted:
            raise RestoreRefused(
                "--mark-compacted required if --revision-bump"
                if revision_bump
                else "--mark-compacted needs --bump-revision"
            )
        if revision_bump < 0:
            raise RestoreRefused("--bump-revision must not be negative")
        peer_urls = {
            member_id(url_texts(addresses), token=token): url_texts(addresses)
            for addresses in members.values()
        }
        return cls(
            data_dir=data_dir,
            wal_dir=wal_dir,
            founders=Membership(voters=frozenset(peer_urls), peer_urls=peer_urls),
            member_id=member_id(url_texts(members[name]), token=token),
            skips_hash_check=skips_hash_check,
            revision_bump=revision_bump,
            marks_compacted=marks_compacted,
        )


@dataclass(frozen=True, slots=True)
class Restored:
    """What a directory holds now."""

    member_id: MemberId
    cluster_id: ClusterId
    revision: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds."""

    hash: int
    """Of the whole stream: equal for equal backups only."""
    revision: int
    keys: int
    """Revisions of keys, as etcd counts them."""
    bytes: int


def restore(path: Path, plan: Plan, progress: Progress) -> Restored:
    """Make the data directory of a member of a new cluster, which begins with this backup.

    Every member of it is restored from the same file.

    Raises:
        RestoreRefused: there is data already.
        CorruptSnapshot: the backup is damaged; nothing was left behind.
    """
    for directory in filter(None, (plan.data_dir, plan.wal_dir)):
        if directory.exists() and any(directory.iterdir()):
            raise RestoreRefused(f'data-dir "{directory}" not empty or could not be read')
    if not plan.skips_hash_check:
        check_digest(path, progress)
    unfinished = plan.data_dir.with_name(plan.data_dir.name + ".restoring")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        restored = _build(path, plan, unfinished, progress)
        if plan.wal_dir is not None:
            plan.wal_dir.parent.mkdir(parents=True, exist_ok=True)
            if plan.wal_dir.exists():
                plan.wal_dir.rmdir()
            shutil.move(unfinished / "member" / "wal", plan.wal_dir)
        if plan.data_dir.exists():
            plan.data_dir.rmdir()
        unfinished.rename(plan.data_dir)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return restored


def _build(path: Path, plan: Plan, directory: Path, progress: Progress) -> Restored:
    directory.parent.mkdir(parents=True, exist_ok=True)
    entropy = SystemEntropy()
    cluster = cluster_id(plan.founders.voters)
    birth = entropy.bits(_BIRTH_BITS) or 1
    store_identity(directory, Identity(cluster_id=cluster, member_id=plan.member_id, birth=birth))
    keyspace = directory / "member" / f"keyspace.{_GENERATION}"
    backend = LmdbBackend(keyspace, quota_bytes=Limits().quota_bytes)
    try:
        builder = SnapshotBuilder(backend, None, value_bytes_max=_VALUE_BYTES_MAX)
        for chunk in chunks_of(path):
            builder.add(chunk)
            progress(len(chunk))
        head = builder.require_complete()
        backend.reserve(MIB, 1)
        txn = backend.begin_write()
        revision = _adopt(txn, plan)
        txn.commit()
        checkpoint = backend.begin_checkpoint()
        checkpoint.make_durable()
        checkpoint.finish()
    finally:
        backend.close()
    _begin_log(directory / "member" / "wal", plan, cluster, head)
    return Restored(plan.member_id, cluster, revision)


def _adopt(txn: WriteTxn, plan: Plan) -> int:
    """Make the keyspace that of a new cluster; return its revision."""
    meta.set_membership(txn, encode_membership(plan.founders))
    for key in [key for key, _ in txn.scan(Tree.MEMBERS)]:
        txn.delete(Tree.MEMBERS, key)
    revision = keyspace_meta.get(txn, keyspace_meta.REVISION, FRESH_REVISION)
    if plan.revision_bump:
        revision += plan.revision_bump
        keyspace_meta.put(txn, keyspace_meta.REVISION, revision)
        compacted = keyspace_meta.get(txn, keyspace_meta.COMPACT_REVISION, NEVER_COMPACTED)
        assert revision > compacted
        # Watchers from before the restore are told that what they wait for is gone.
        keyspace_meta.put(txn, keyspace_meta.COMPACT_REVISION, revision)
    return revision


def _begin_log(directory: Path, plan: Plan, cluster: ClusterId, head: SnapshotHead) -> None:
    wal, _ = WriteAheadLog.open(
        directory,
        disk=RealDisk(),
        limits=Limits(),
        identity=WalIdentity(cluster, plan.member_id),
        entropy=SystemEntropy(),
    )
    try:
        # The first term of the new cluster must be above every one in the backup.
        wal.append_hard_state(head.term, 0)
        wal.append_reset(head.index, head.term, encode_membership(plan.founders), _GENERATION)
        wal.sync()
    finally:
        wal.close()


# --- what a backup holds --------------------------------------------------------------------------


class _SummaryTxn(MemoryWriteTxn):
    """Keeps single values only."""

    def append(self, tree: Tree, key: bytes, value: bytes) -> None:
        if tree is Tree.META:
            super().append(tree, key, value)

    def append_many(self, tree: Tree, items: list[tuple[bytes, bytes]]) -> None:
        if tree is Tree.META:
            super().append_many(tree, items)


class _SummaryBackend(MemoryBackend):
    """Takes a whole keyspace, and remembers what it says about itself."""

    def begin_write(self) -> MemoryWriteTxn:
        assert not self._is_writing
        self._is_writing = True
        return _SummaryTxn(self, dict(self._trees))


def summary(path: Path, progress: Progress) -> Summary:
    """Check a backup wholly, and say what it holds.

    Raises:
        CorruptSnapshot: it is damaged.
    """
    check_digest(path, progress)
    backend = _SummaryBackend()
    builder = SnapshotBuilder(backend, None, value_bytes_max=_VALUE_BYTES_MAX)
    for chunk in chunks_of(path):
        builder.add(chunk)
        progress(len(chunk))
    builder.require_complete()
    txn = backend.begin_read()
    revision = keyspace_meta.get(txn, keyspace_meta.REVISION, FRESH_REVISION)
    txn.close()
    return Summary(builder.crc, revision, builder.count_of(Tree.REVISIONS), path.stat().st_size)
