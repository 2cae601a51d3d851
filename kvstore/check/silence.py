"""What a watch was not told: that says as much of a revision as what it was told.

A watch that covers a revision and a key, and was told nothing of the two, vouches that nothing
happened there. Among several operations that may have made a revision, those that it would have
told of are out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kvstore.base.key_range import KeyRange
from kvstore.check.history import Event, History, ResponseKind, Watch
from kvstore.check.keyspace import Effect, key_range


@dataclass(frozen=True, slots=True)
class _Cover:
    """The revisions and keys that one watch was told everything of."""

    watch: Watch
    keys: KeyRange
    first: int
    last: int
    told: frozenset[tuple[int, str]]

    def denies(self, revision: int, effect: Effect) -> bool:
        if not self.first <= revision <= self.last or (revision, effect.key) in self.told:
            return False
        is_unwanted = self.watch.no_delete if effect.after is None else self.watch.no_put
        return not is_unwanted and effect.key.encode("utf-8", "surrogateescape") in self.keys


class Silence:
    """All watches of a history, asked what cannot have happened."""

    def __init__(self, history: History) -> None:
        covers = (_cover(watch) for watch in history.watches)
        self._covers = [cover for cover in covers if cover is not None]

    def denies(self, revision: int, effects: Iterable[Effect]) -> str | None:
        """Return a watch that would have been told if `revision` had these effects, if any."""
        effects = tuple(effects)
        for cover in self._covers:
            if any(cover.denies(revision, effect) for effect in effects):
                return cover.watch.name
        return None


def _cover(watch: Watch) -> _Cover | None:
    created = watch.created_revision
    if created is None:
        return None
    events: list[Event] = []
    last = 0
    for response in watch.responses:
        events += response.events
        # Progress would reach further, but a store that lies about it has to be told apart.
        if response.kind is ResponseKind.EVENTS and not response.is_fragment:
            last = max((last, *(event.revision for event in response.events)))
    keys = key_range({"key": watch.key, "range_end": watch.range_end})
    told = frozenset((event.revision, event.key) for event in events)
    return _Cover(watch, keys, watch.start_revision or created + 1, last, told)
