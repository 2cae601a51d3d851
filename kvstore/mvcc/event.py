"""What changed, as watchers will be told, and what a key held before."""

from typing import NamedTuple


class Event(NamedTuple):
    """One change of one key. `key_value` and `previous` are encoded `mvccpb.KeyValue`s."""

    is_delete: bool
    key: bytes
    key_value: bytes
    """For a delete: the key and the revision of the deletion only."""
    previous: bytes | None
    """The key just before this revision; None for a create, or if that is compacted."""
    is_create: bool


Changes = tuple[int, list[Event]]
"""A store revision, and its events in the order of their execution."""


class Previous(NamedTuple):
    """A live key as it is found: what a point read returns, and what a write replaced."""

    key: bytes
    key_value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int
