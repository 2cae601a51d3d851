"""Pinned checkpoints: LMDB commits that are never synced one by one, yet survive a power cut.

A checkpoint at transaction T holds a read transaction at T, so that no page of T is reused; copies
T's meta page at once, since the next commit but one overwrites it; syncs the data file in a thread;
saves the copied page in a side file, durably; and only then lets go of the checkpoint before. From
that moment the data file can be brought back to T whatever later writes reached the disk: write the
saved page into both meta slots. The write-ahead log then replays what came after T.

Files beside `data.mdb` (docs/formats/checkpoint.md):

    checkpoint   the saved meta page
    run          boot id, device and inode: the data file is intact as the page cache has it
    unfinished   the directory was never checkpointed: whatever is in it may go
    failed       a sync of the data file failed: the page cache may not be what the disk has

Invariant: while a backend is open, the pages of the state in `checkpoint` are pinned.
"""

import os
from pathlib import Path
from struct import Struct

import lmdb
from google_crc32c import extend

from kvstore.backend.directory_lock import lock_directory
from kvstore.backend.lmdb_file import DATA_FILE, Meta, parse_meta, read_metas
from kvstore.base import failpoint
from kvstore.base.errors import CorruptKeyspace, MemberFailed

CHECKPOINT_FILE = "checkpoint"
RUN_FILE = "run"
UNFINISHED_FILE = "unfinished"
FAILED_FILE = "failed"
_ENGINE_LOCK_FILE = "lock.mdb"
_NEW_SUFFIX = ".new"

_MAGIC = b"kvst-ckp"
_FORMAT_VERSION = 1
_HEADER = Struct("<8sIII")
"""Magic, format version, page size, CRC32C of the page."""
_PAGE_NUMBER = Struct("<Q")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Checkpointer:
    """Keeps the state named by `checkpoint` pinned, from the opening of an environment on."""

    def __init__(self, directory: Path, env: "lmdb.Environment", data_file: int) -> None:
        """Pin the environment's state, and make it durable unless it is the saved one.

        To be called before the first write: the last run's pins ended with it. Waits for the disk.
        `data_file` is an open descriptor of the data file, of which the caller keeps the ownership.

        Raises:
            MemberFailed: the disk failed.
        """
        self.directory = directory
        self.env = env
        self.data_file = data_file
        self._failure = ""
        self._pinned = env.begin()
        self._under_way: PinnedCheckpoint | None = None
        if _read_run(directory) != _this_run(directory / DATA_FILE):
            _write_durably(directory / RUN_FILE, _this_run(directory / DATA_FILE))
        saved = _read_checkpoint(directory)
        if saved is None or not _same_state(saved, self.meta_page(self._pinned)):
            first = self.begin()
            first.make_durable()
            first.finish()
        (directory / UNFINISHED_FILE).unlink(missing_ok=True)
        _sync_directory(directory)

    def begin(self) -> "PinnedCheckpoint":
        """Pin the last commit; call it between two write transactions."""
        assert self._under_way is None, "one checkpoint at a time"
        self._check_usable()
        pin = self.env.begin()
        self._under_way = PinnedCheckpoint(self, pin, self.meta_page(pin))
        return self._under_way

    def close(self) -> None:
        """Let go of every pin; the environment is to be closed next, and not written any more."""
        self._pinned.abort()
        if self._under_way is not None:
            self._under_way.abandon()
            self._under_way = None

    def meta_page(self, pin: "lmdb.Transaction[bytes]") -> bytes:
        """Return the meta page of the state that `pin` sees, which must be the last commit."""
        page_bytes = self.env.stat()["psize"]
        slot = pin.id() & 1
        page = os.pread(self.data_file, page_bytes, slot * page_bytes)
        assert parse_meta(page, number=slot).txn_id == pin.id()
        return page

    def finished(self, checkpoint: "PinnedCheckpoint", pin: "lmdb.Transaction[bytes]") -> None:
        """Hold `pin` from now on, in place of the one before."""
        assert checkpoint is self._under_way
        self._under_way = None
        self._pinned.abort()
        self._pinned = pin

    def fail(self, error: OSError) -> MemberFailed:
        """Note that the disk failed, for this run and the next; return what to raise."""
        self._failure = f"{self.directory}: {error}"
        try:
            _write_durably(self.directory / FAILED_FILE, self._failure.encode())
        except OSError as second:
            self._failure += f" (and it could not be noted: {second})"
        return MemberFailed(self._failure)

    def _check_usable(self) -> None:
        if self._failure:
            raise MemberFailed(self._failure)


class PinnedCheckpoint:
    """One checkpoint under way: the `Checkpoint` port over LMDB."""

    __slots__ = ("_checkpointer", "_page", "_pin")

    def __init__(
        self, checkpointer: Checkpointer, pin: "lmdb.Transaction[bytes]", page: bytes
    ) -> None:
        self._checkpointer = checkpointer
        self._pin = pin
        self._page = page

    def make_durable(self) -> None:
        """Sync the data file, then save the meta page. Waits for the disk: not on the loop.

        Raises:
            MemberFailed: the first failure is final; it is noted in the directory.
        """
        owner = self._checkpointer
        try:
            failpoint.hit("checkpoint_before_sync")
            os.fdatasync(owner.data_file)
            failpoint.hit("checkpoint_before_save")
            _write_durably(owner.directory / CHECKPOINT_FILE, _encode_checkpoint(self._page))
            failpoint.hit("checkpoint_after_save")
        except OSError as error:
            raise owner.fail(error) from error

    def finish(self) -> None:
        """On the loop, after `make_durable` returned: unpin the checkpoint before."""
        self._checkpointer.finished(self, self._pin)

    def abandon(self) -> None:
        """Let go of the pin of a checkpoint that will not be finished."""
        self._pin.abort()


def restore_if_needed(directory: Path, *, sync_failed: bool) -> bool:
    """Lock `directory`, `restore` it, unlock it; a missing directory needs nothing.

    `LmdbBackend` restores what it opens, but does not know if the log's disk failed.

    Raises:
        KeyspaceInUse: a process has it open.
        CorruptKeyspace: it cannot be restored.
    """
    if not directory.exists():
        return False
    lock = lock_directory(directory)
    try:
        return restore(directory, sync_failed=sync_failed)
    finally:
        os.close(lock)


def restore(directory: Path, *, sync_failed: bool) -> bool:
    """Bring the data file back to its checkpoint if a power cut may have damaged it.

    The caller holds the directory's lock, so that nobody has the environment open. Not needed, and
    not done, if the run file says that this very file was written by the running kernel and no
    sync failed: then the page cache has every commit. Leaves a directory in which the run file is
    true. Returns whether it was done.

    Raises:
        CorruptKeyspace: data or checkpoint are missing or damaged, or of an unknown format.
        OSError: the disk failed; nothing is lost by trying again.
    """
    data_file = directory / DATA_FILE
    if (directory / UNFINISHED_FILE).exists():
        for name in (DATA_FILE, _ENGINE_LOCK_FILE, CHECKPOINT_FILE, RUN_FILE):
            (directory / name).unlink(missing_ok=True)
        return False
    saved = _read_checkpoint(directory)
    if not data_file.exists():
        if saved is not None:
            raise CorruptKeyspace(f"{data_file}: missing, though there is a checkpoint of it")
        return False
    if saved is None:
        raise CorruptKeyspace(f"{directory / CHECKPOINT_FILE}: missing, though there is data")
    failed = directory / FAILED_FILE
    if not (sync_failed or failed.exists()) and _read_run(directory) == _this_run(data_file):
        return False
    _rewind(data_file, saved)
    failpoint.hit("checkpoint_after_restore")
    (directory / _ENGINE_LOCK_FILE).unlink(missing_ok=True)
    _write_durably(directory / RUN_FILE, _this_run(data_file))
    failed.unlink(missing_ok=True)
    _sync_directory(directory)
    return True


def begin_directory(directory: Path) -> None:
    """Mark an empty directory durably as not yet checkpointed, before its data file is made."""
    if not (directory / DATA_FILE).exists():
        _write_durably(directory / UNFINISHED_FILE, b"")
        _sync_directory(directory.parent)


def adopt(directory: Path) -> None:
    """Make a whole copy of an environment, in `directory`, durable and its own checkpoint.

    Raises:
        OSError: the disk failed; the directory is to be removed.
    """
    data_file = directory / DATA_FILE
    newest = max(read_metas(data_file), key=lambda meta: meta.txn_id)
    with data_file.open("rb") as file:
        os.fsync(file.fileno())
        page = os.pread(file.fileno(), newest.page_bytes, (newest.txn_id & 1) * newest.page_bytes)
    _write_durably(directory / CHECKPOINT_FILE, _encode_checkpoint(page))
    _sync_directory(directory)
    _sync_directory(directory.parent)


def _rewind(data_file: Path, saved: bytes) -> None:
    """Write the saved meta page into both slots, so that whichever is taken is right."""
    meta = _saved_meta(saved)
    with data_file.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if size < (meta.last_page + 1) * meta.page_bytes:
            raise CorruptKeyspace(
                f"{data_file}: {size} bytes, though page {meta.last_page} was made durable"
            )
        for number in (0, 1):
            page = _PAGE_NUMBER.pack(number) + saved[_PAGE_NUMBER.size :]
            os.pwrite(file.fileno(), page, number * meta.page_bytes)
        os.fsync(file.fileno())


def _saved_meta(page: bytes) -> Meta:
    (number,) = _PAGE_NUMBER.unpack_from(page)
    return parse_meta(page, number=number)


def _same_state(saved: bytes, current: bytes) -> bool:
    """Whether two meta pages describe one state: all but their own numbers is equal."""
    return saved[_PAGE_NUMBER.size :] == current[_PAGE_NUMBER.size :]


def _encode_checkpoint(page: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, _FORMAT_VERSION, len(page), extend(0, page)) + page


def _read_checkpoint(directory: Path) -> bytes | None:
    """Return the saved meta page, or None if there is no checkpoint.

    Raises:
        CorruptKeyspace: there is one, but it is damaged or of an unknown version.
    """
    path = directory / CHECKPOINT_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(content) < _HEADER.size or not content.startswith(_MAGIC):
        raise CorruptKeyspace(f"{path}: not a checkpoint")
    _, version, page_bytes, crc = _HEADER.unpack_from(content)
    if version != _FORMAT_VERSION:
        raise CorruptKeyspace(f"{path}: version {version}, expected {_FORMAT_VERSION}")
    page = content[_HEADER.size :]
    if len(page) != page_bytes or extend(0, page) != crc:
        raise CorruptKeyspace(f"{path}: the checksum does not match")
    if _saved_meta(page).page_bytes != page_bytes:
        raise CorruptKeyspace(f"{path}: not a whole page")
    return page


def _this_run(data_file: Path) -> bytes:
    """Return what the run file of `data_file` says while it is true."""
    status = data_file.stat()
    return f"{_boot_id()} {status.st_dev} {status.st_ino}\n".encode()


def _boot_id() -> str:
    """Return what changes with each boot; without it, nothing is ever the same run."""
    try:
        return _BOOT_ID.read_text().strip()
    except FileNotFoundError:
        return f"unknown-{os.urandom(8).hex()}"


def _read_run(directory: Path) -> bytes:
    try:
        return (directory / RUN_FILE).read_bytes()
    except FileNotFoundError:
        return b""


def _write_durably(path: Path, content: bytes) -> None:
    """Replace a small file: after a crash it has the old content or the new one, whole."""
    new = path.with_name(path.name + _NEW_SUFFIX)
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
