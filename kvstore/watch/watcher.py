"""One watcher, and the audience of all synced watchers of one range."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from kvstore.base.ids import WatchId
from kvstore.base.key_range import KeyRange
from kvstore.watch.encoding import (
    NO_DELETE,
    NO_PUT,
    WITH_PREVIOUS,
    EncodedEvent,
    watch_id_field,
)

if TYPE_CHECKING:
    from kvstore.watch.stream import WatchStream


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSpec:
    """What a client wants to see (rpc.proto WatchCreateRequest)."""

    keys: KeyRange
    start_revision: int = 0
    """The first revision wanted; 0 means from now on."""
    prev_kv: bool = False
    progress_notify: bool = False
    fragment: bool = False
    no_put: bool = False
    no_delete: bool = False

    @property
    def style(self) -> int:
        """What decides how an event looks to this watcher, as one number."""
        return (
            (WITH_PREVIOUS if self.prev_kv else 0)
            | (NO_PUT if self.no_put else 0)
            | (NO_DELETE if self.no_delete else 0)
        )


class Place(Enum):
    """Where a watcher gets its next event from."""

    SYNCED = "synced"
    """From `publish`."""
    BEHIND = "behind"
    """From history."""
    FUTURE = "future"
    """From nowhere yet: its start revision has not come."""
    GONE = "gone"


class Watcher:
    """A watch of one stream. Invariant: while BEHIND, all wanted below `next_revision` was sent."""

    __slots__ = (
        "fragment",
        "id_field",
        "is_quiet",
        "keys",
        "next_revision",
        "place",
        "progress_notify",
        "start_revision",
        "stream",
        "style",
        "watch_id",
    )

    def __init__(self, stream: "WatchStream", watch_id: WatchId, spec: WatchSpec) -> None:
        self.stream = stream
        self.watch_id = watch_id
        self.id_field = watch_id_field(watch_id)
        self.keys = spec.keys
        self.style = spec.style
        self.start_revision = spec.start_revision
        self.progress_notify = spec.progress_notify
        self.fragment = spec.fragment
        self.place = Place.GONE
        self.next_revision = 0
        """Meaningful while BEHIND only: a synced watcher's is the hub's revision plus one."""
        self.is_quiet = True
        """Whether no event was sent since the last periodic progress response."""


class Audience:
    """The synced watchers of one range, by style, and what the turn under way has for them."""

    __slots__ = ("by_style", "pending")

    def __init__(self) -> None:
        self.by_style: dict[int, dict[Watcher, None]] = {}
        self.pending: list[EncodedEvent] = []

    def __iter__(self) -> Iterator[Watcher]:
        """Yield every watcher."""
        for watchers in self.by_style.values():
            yield from watchers

    def add(self, watcher: Watcher) -> None:
        """Add a watcher of this range."""
        self.by_style.setdefault(watcher.style, {})[watcher] = None

    def remove(self, watcher: Watcher) -> bool:
        """Remove a watcher; return whether it was the last."""
        watchers = self.by_style[watcher.style]
        del watchers[watcher]
        if not watchers:
            del self.by_style[watcher.style]
        return not self.by_style
