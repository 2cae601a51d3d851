"""What the hub needs from the keyspace and from the wire."""

from collections.abc import Callable, Sequence
from typing import Protocol

from kvstore.base.key_range import KeyRange


class Change(Protocol):
    """One event of a revision (kvstore.mvcc Event)."""

    @property
    def is_delete(self) -> bool: ...

    @property
    def key(self) -> bytes: ...

    @property
    def key_value(self) -> bytes:
        """Encoded mvccpb.KeyValue; of a delete the key and the revision only."""
        ...

    @property
    def previous(self) -> bytes | None:
        """The encoded KeyValue before; None for a create, or once it is compacted."""
        ...


Turn = Sequence[tuple[int, Sequence[Change]]]
"""(revision, its events in order), ascending."""


class History(Protocol):
    """The keyspace's past, as far as it is not compacted."""

    @property
    def revision(self) -> int: ...

    @property
    def compact_revision(self) -> int:
        """The oldest revision that can be replayed; -1 if nothing was ever compacted."""
        ...

    def changes(
        self, keys: KeyRange, since: int, until: int, revisions_max: int
    ) -> tuple[Turn, int]:
        """Return the events in `keys` of revisions in [since, until], and where to go on.

        At most about `revisions_max` revisions are looked at; the second value is the first one
        that was not, `until + 1` at the end.
        """
        ...


class Sink(Protocol):
    """Where a stream's responses go (kvstore.rpc StreamCall)."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes handed to `send` that the client has not taken yet."""
        ...

    def send(self, message: bytes) -> None:
        """Queue a message; never waits."""
        ...


HeaderField = Callable[[int], bytes]
"""Returns the field `header` of a response, its tag included, with this store revision."""
