"""A watch: the objects there are, if asked for, then every change of them, as lines."""

from collections.abc import AsyncIterator, Sequence

from cluster.apiserver.options import ListOptions
from cluster.apiserver.presenting import Presenter, error_line
from cluster.apiserver.registry.call import Call
from cluster.apiserver.registry.reading import at_least, filtered
from cluster.apiserver.registry.selecting import Selection
from cluster.apiserver.services import READ_TIMEOUT_S
from cluster.apiserver.storage import Compacted, RpcError, WatchBatch
from cluster.apiserver.watch_cache import Change, Entry, Watcher
from cluster.kube_api.errors import expired

BOOKMARK_EVERY_S = 60.0
TIMEOUT_S_MIN = 1800.0
"""How long a watch lasts that does not say; up to twice that, so that they do not end together."""


class Watch:
    """One watch, from its request to its end."""

    def __init__(
        self, call: Call, options: ListOptions, selection: Selection, presenter: Presenter
    ) -> None:
        self._call = call
        self._options = options
        self._selection = selection
        self._presenter = presenter
        self._is_first = True
        services = call.services
        namespace = call.namespace if call.resource.is_namespaced else ""
        self._prefix = services.prefix(call.resource, namespace)
        if selection.name is not None and (namespace or not call.resource.is_namespaced):
            self._prefix += selection.name  # longer names that begin so are told apart by fields
        timeout_s = options.timeout_s
        if timeout_s is None:
            timeout_s = TIMEOUT_S_MIN * (1 + services.entropy.fraction())
        self._deadline = services.clock.monotonic() + timeout_s
        self._initial: Sequence[Entry] = ()
        self._after = 0
        self._watcher: Watcher | None = None

    async def begin(self) -> None:
        """Find the place to begin at; what is wrong with the request shows here.

        Raises:
            ApiError: 504.
        """
        cache, options = self._call.services.cache, self._options
        wants_initial = options.sends_initial_events
        if wants_initial is None:
            wants_initial = not options.revision
        if options.revision is None or (options.revision == 0 and wants_initial is False):
            await cache.catch_up(timeout_s=READ_TIMEOUT_S)
        elif wants_initial:
            await at_least(self._call, options.revision)
        if not wants_initial and options.revision:
            self._after = options.revision
            self._watcher = cache.watch(self._prefix, after=self._after)
            return
        # From here on to the watcher nothing waits, so nothing is missed in between.
        self._after = cache.revision
        self._watcher = cache.watch(self._prefix, after=None)
        if wants_initial:
            self._initial = list(cache.range(self._prefix))

    def end(self) -> None:
        """Let go of the cache."""
        if self._watcher is not None:
            self._call.services.cache.unwatch(self._watcher)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield one or more lines at a time, until the time is up or the place is lost."""
        initial = await filtered(self._initial, self._selection, 0)
        self._initial = ()
        for entry in initial:
            yield self._presenter.event_line("ADDED", entry, is_first=self._is_first)
            self._is_first = False
        if self._options.sends_initial_events:
            yield self._presenter.bookmark_line(self._after, ends_initial_events=True)
        if self._watcher is None:
            async for chunk in self._past():
                yield chunk
        if self._watcher is not None:
            async for chunk in self._present(self._watcher):
                yield chunk

    async def _present(self, watcher: Watcher) -> AsyncIterator[bytes]:
        clock, cache = self._call.services.clock, self._call.services.cache
        bookmark_at = clock.monotonic() + BOOKMARK_EVERY_S
        while not watcher.has_ended:
            until = min(bookmark_at, self._deadline)
            changes = await watcher.take(max(0.0, until - clock.monotonic()))
            told = max(
                cache.revision, self._after
            )  # all of it has been taken: nothing waited since
            chunk = b"".join(line for change in changes if (line := self._line(change)))
            if chunk:
                yield chunk
            now = clock.monotonic()
            if changes or now < until:
                continue
            if self._options.allows_bookmarks:
                yield self._presenter.bookmark_line(told)
            if now >= self._deadline:
                return
            bookmark_at = now + BOOKMARK_EVERY_S

    async def _past(self) -> AsyncIterator[bytes]:
        """Serve from the store's history what the cache has forgotten, up to where it begins."""
        services, start = self._call.services, self._after
        try:
            async with services.store.watch(
                self._prefix, start_revision=start + 1, previous=True
            ) as watch:
                watch.request_progress()  # if nothing happened since, nothing else would come
                async for batch in watch.batches():
                    chunk = b"".join(
                        line for change in _changes(batch) if (line := self._line(change))
                    )
                    self._after = max(self._after, batch.revision)
                    if chunk:
                        yield chunk
                    self._watcher = services.cache.watch(self._prefix, after=self._after)
                    if self._watcher is not None:
                        return
        except Compacted as gone:
            compacted = getattr(gone, "compact_revision", 0)
            message = f"too old resource version: {start} ({compacted})"
            yield error_line(expired(message).status())
        except RpcError:
            return  # the client comes back with the last revision it was told

    def _line(self, change: Change) -> bytes:
        if change.revision <= self._after:
            return b""
        event, entry = self._event(change)
        if not event:
            return b""
        line = self._presenter.change_line(event, change, entry, is_first=self._is_first)
        self._is_first = False
        return line

    def _event(self, change: Change) -> tuple[str, Entry]:
        """Return what a change is to this watcher: the object may begin or cease to be selected."""
        entry, previous = change.entry, change.previous
        selects = self._selection.selects
        if change.is_delete:
            return ("DELETED" if selects(entry) else "", entry)
        was_selected = previous is not None and selects(previous)
        if selects(entry):
            return ("MODIFIED" if was_selected else "ADDED", entry)
        if not was_selected:
            return "", entry
        assert previous is not None
        return "DELETED", Entry(entry.key, previous.value, entry.revision)


def _changes(batch: WatchBatch) -> list[Change]:
    changes = []
    for event in batch.events:
        key, revision = event.kv.key.decode(), event.kv.mod_revision
        before = event.previous
        previous = Entry(key, before.value, before.mod_revision) if before is not None else None
        if not event.is_delete:
            entry = Entry(key, event.kv.value, revision)
            changes.append(Change(entry, previous, is_delete=False))
        elif previous is not None:
            last = Entry(key, previous.value, revision)
            changes.append(Change(last, previous, is_delete=True))
    return changes
