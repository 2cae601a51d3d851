"""Every object of the store in memory, as of one revision, and the hub of those who watch.

One watch of the store feeds it, so all kinds are as of the same revision, and "is the cache as
recent as the store?" is one comparison. Keys are kept in folders by their first segment; a
collection is a range of one folder's sorted keys.

    Folder    sorted keys → Entry, the watchers of it, and a window of its last changes
    Watcher   a bounded queue; the one who fills it never waits for the one who empties it

The window lets a watch start in the near past; what is older is served from the store's own history
(`past_changes` in `watching`).
"""

import asyncio
import heapq
import logging
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from cluster.apiserver.storage import Compacted, RpcError, Store, Stored, Unavailable, WatchBatch
from cluster.apiserver.wire_form import decode
from cluster.kube_api.objects import JsonObject

logger = logging.getLogger(__name__)

WINDOW_CHANGES_MAX = 2048
"""Changes of one folder that are kept for watches that start in the past."""
WATCHER_CHANGES_MAX = 4096
"""Changes that may wait for a slow watcher before it is cut off."""
LOAD_PAGE = 1000
RETRY_PAUSE_S = 0.2
PROGRESS_PAUSE_S = 0.05


class Entry:
    """One object: its stored bytes and the revision that wrote them. Shared; never changed."""

    __slots__ = ("_labels", "fields", "key", "revision", "value")

    def __init__(self, key: str, value: bytes, revision: int) -> None:
        self.key = key
        self.value = value
        self.revision = revision
        self._labels: dict[str, str] | None = None
        self.fields: dict[str, dict[str, str]] = {}
        """What field selectors know of it, by apiVersion; filled by the first one."""

    def decoded(self) -> JsonObject:
        """Return a copy of the object of the caller's own, without resourceVersion."""
        return decode(self.value)

    @property
    def labels(self) -> dict[str, str]:
        """The object's labels."""
        if self._labels is None:
            found = self.decoded()["metadata"].get("labels")
            self._labels = found if isinstance(found, dict) else {}
        return self._labels


class Change:
    """One write or deletion of a key. `entry` of a deletion is the last value, at its revision."""

    __slots__ = ("entry", "is_delete", "lines", "previous")

    def __init__(self, entry: Entry, previous: Entry | None, *, is_delete: bool) -> None:
        self.entry = entry
        self.previous = previous
        self.is_delete = is_delete
        self.lines: dict[object, bytes] = {}
        """The event as bytes, by form, so that a thousand watchers share one encoding."""

    @property
    def revision(self) -> int:
        """The revision that made the change."""
        return self.entry.revision


class Watcher:
    """The changes of the keys that begin with `prefix`, waiting to be taken by one task."""

    def __init__(self, prefix: str, backlog: Sequence[Change]) -> None:
        self.prefix = prefix
        self.has_ended = False
        """No more will come: it was too slow, or the cache lost its place."""
        self._waiting: deque[Change] = deque(backlog)
        self._wake = asyncio.Event()
        if backlog:
            self._wake.set()

    def offer(self, change: Change) -> None:
        """Add a change; never waits."""
        if len(self._waiting) >= WATCHER_CHANGES_MAX:
            self.end()
            return
        self._waiting.append(change)
        self._wake.set()

    def end(self) -> None:
        """Let the reader go."""
        self.has_ended = True
        self._waiting.clear()
        self._wake.set()

    async def take(self, timeout_s: float) -> list[Change]:
        """Return all that waits, waiting for something up to `timeout_s`; empty if nothing came."""
        if not self._waiting and not self.has_ended:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return []
        taken = list(self._waiting)
        self._waiting.clear()
        self._wake.clear()
        return taken


class Folder:
    """The keys with one first segment."""

    def __init__(self, revision: int) -> None:
        self.keys: list[str] = []
        self.entries: dict[str, Entry] = {}
        self.watchers: set[Watcher] = set()
        self.window: deque[Change] = deque()
        self.window_start = revision
        """Every change after this revision is in the window."""
        self.changed = revision
        """The last change."""

    def add(self, entry: Entry) -> Entry | None:
        """Set a key; return what it held."""
        previous = self.entries.get(entry.key)
        if previous is None:
            insort(self.keys, entry.key)
        self.entries[entry.key] = entry
        return previous

    def remove(self, key: str) -> Entry | None:
        """Remove a key; return what it held."""
        previous = self.entries.pop(key, None)
        if previous is not None:
            del self.keys[bisect_left(self.keys, key)]
        return previous

    def publish(self, change: Change) -> None:
        """Remember a change, and tell those who watch its key."""
        if len(self.window) >= WINDOW_CHANGES_MAX:
            self.window_start = self.window.popleft().revision
        self.window.append(change)
        self.changed = change.revision
        key = change.entry.key
        for watcher in [w for w in self.watchers if key.startswith(w.prefix)]:
            watcher.offer(change)
            if watcher.has_ended:
                self.watchers.discard(watcher)


class WatchCache:
    """The objects below `root`, as of `revision`. `run` keeps it going."""

    def __init__(self, store: Store, *, root: str) -> None:
        self.revision = 0
        self.is_ready = asyncio.Event()
        self._store = store
        self._root = root
        self._folders: dict[str, Folder] = {}
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waiters_made = 0
        self._request_progress: Callable[[], None] = _nothing
        self._loaded_at = 0

    # --- reading ---

    def get(self, key: str) -> Entry | None:
        """Return the entry of a key."""
        folder = self._folders.get(self._folder_name(key))
        return folder.entries.get(key) if folder else None

    def range(self, prefix: str, *, after: str = "") -> Iterator[Entry]:
        """Yield the entries of the keys that begin with `prefix`, in order.

        Not to be held over an await: the cache goes on in between.
        """
        folder = self._folders.get(self._folder_name(prefix))
        if folder is None:
            return
        at = bisect_left(folder.keys, max(after, prefix))
        while at < len(folder.keys) and folder.keys[at].startswith(prefix):
            yield folder.entries[folder.keys[at]]
            at += 1

    def count(self, prefix: str, *, after: str = "") -> int:
        """Return how many keys begin with `prefix`; of those past `after`, if given."""
        folder = self._folders.get(self._folder_name(prefix))
        if folder is None:
            return 0
        end = bisect_left(folder.keys, prefix[:-1] + chr(ord(prefix[-1]) + 1))
        return max(0, end - bisect_left(folder.keys, max(after, prefix)))

    def changed(self, prefix: str) -> int:
        """Return the revision of the last change beside keys with this prefix."""
        folder = self._folders.get(self._folder_name(prefix))
        return folder.changed if folder else 0

    async def wait_until(self, revision: int, *, timeout_s: float) -> bool:
        """Return whether the cache reached `revision` within the time."""
        if self.revision >= revision:
            return True
        self._waiters_made += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (revision, self._waiters_made, future))
        try:
            async with asyncio.timeout(timeout_s):
                while not future.done():
                    # The last writes may be of keys that are not ours, which say nothing by
                    # themselves; and the member that answers may itself be behind.
                    self._request_progress()
                    await asyncio.wait([future], timeout=PROGRESS_PAUSE_S)
        except TimeoutError:
            return False
        return True

    async def catch_up(self, *, timeout_s: float) -> int:
        """Wait until the cache covers every write acknowledged so far; return its revision.

        Raises:
            Unavailable: the store does not tell how far it is, or the cache does not get there.
        """
        wanted = await self._store.revision()
        if not await self.wait_until(wanted, timeout_s=timeout_s):
            raise Unavailable(f"the cache is at revision {self.revision}, the store at {wanted}")
        return self.revision

    # --- watching ---

    def watch(self, prefix: str, *, after: int | None) -> Watcher | None:
        """Return a watcher of the changes after a revision; None: the window begins later.

        `after` is None for "from now on": of what is in the cache nothing is repeated.
        """
        folder = self._folders.get(self._folder_name(prefix))
        if folder is None:
            folder = self._folders[self._folder_name(prefix)] = Folder(self._loaded_at)
        if after is not None and after < folder.window_start:
            return None
        backlog = (
            []
            if after is None
            else [c for c in folder.window if c.revision > after and c.entry.key.startswith(prefix)]
        )
        watcher = Watcher(prefix, backlog)
        folder.watchers.add(watcher)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        """Forget a watcher; one that ended by itself is no error."""
        folder = self._folders.get(self._folder_name(watcher.prefix))
        if folder is not None:
            folder.watchers.discard(watcher)

    # --- being fed ---

    async def run(self) -> None:
        """Load the store, then follow it, for ever. After a gap everybody has to start anew."""
        while True:
            try:
                await self._load()
                await self._follow()
            except Compacted:
                logger.warning("the store was compacted past the cache; loading it anew")
            except RpcError as failure:
                logger.warning("the store cannot be followed", extra={"failure": str(failure)})
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _load(self) -> None:
        start, end = self._root, self._root[:-1] + chr(ord(self._root[-1]) + 1)
        page = await self._store.list(start, end, limit=LOAD_PAGE)
        revision = page.revision
        folders: dict[str, Folder] = {}
        while True:
            for stored in page.items:
                name = self._folder_name(stored.key)
                folder = folders.get(name)
                if folder is None:
                    folder = folders[name] = Folder(revision)
                folder.add(Entry(stored.key, stored.value, stored.revision))
            if not page.remaining:
                break
            start = page.items[-1].key + "\0"
            page = await self._store.list(start, end, limit=LOAD_PAGE, revision=revision)
        self.end_watchers()
        self._folders = folders
        self._loaded_at = revision
        self._advance(revision)
        self.is_ready.set()

    def end_watchers(self) -> None:
        """Let every watcher's reader go."""
        for folder in self._folders.values():
            for watcher in folder.watchers:
                watcher.end()

    async def _follow(self) -> None:
        async with self._store.watch(self._root, start_revision=self.revision + 1) as watch:
            self._request_progress = watch.request_progress
            try:
                async for batch in watch.batches():
                    self._apply(batch)
            finally:
                self._request_progress = _nothing

    def _apply(self, batch: WatchBatch) -> None:
        for event in batch.events:
            key = event.kv.key.decode()
            name = self._folder_name(key)
            folder = self._folders.get(name)
            if folder is None:
                folder = self._folders[name] = Folder(self._loaded_at)
            if event.is_delete:
                previous = folder.remove(key)
                if previous is None:
                    continue
                last = Entry(key, previous.value, event.kv.mod_revision)
                folder.publish(Change(last, previous, is_delete=True))
            else:
                entry = Entry(key, event.kv.value, event.kv.mod_revision)
                folder.publish(Change(entry, folder.add(entry), is_delete=False))
        self._advance(batch.revision)

    def _advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        while self._waiters and self._waiters[0][0] <= self.revision:
            _, _, future = heapq.heappop(self._waiters)
            if not future.done():
                future.set_result(None)

    def _folder_name(self, key: str) -> str:
        end = key.find("/", len(self._root))
        return key[len(self._root) : end] if end > 0 else key[len(self._root) :]


def _nothing() -> None:
    """Take the place of what can be asked of the store only while it is watched."""


def entry_of(stored: Stored) -> Entry:
    """Return what was read from the store as an entry."""
    return Entry(stored.key, stored.value, stored.revision)
