"""A map that shares what it does not change with the one it was made from.

A search keeps a state for each configuration; whole copies of a large keyspace would not fit.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

Value = TypeVar("Value")

_BUCKETS = 64


class PersistentMap(Generic[Value]):
    """An immutable, hashable map from strings: `with_item` and `without` return new ones."""

    __slots__ = ("_buckets", "_hash")

    def __init__(
        self, buckets: tuple[dict[str, Value], ...] = ({},) * _BUCKETS, digest: int = 0
    ) -> None:
        self._buckets = buckets
        # The xor of the items' hashes: changed by one item at a time, whatever the order.
        self._hash = digest

    def get(self, key: str) -> Value | None:
        """Return the value of `key`, or None."""
        return self._buckets[hash(key) % _BUCKETS].get(key)

    def items(self) -> Iterator[tuple[str, Value]]:
        """Yield all items, in no order."""
        for bucket in self._buckets:
            yield from bucket.items()

    def with_item(self, key: str, value: Value) -> "PersistentMap[Value]":
        """Return this map with `key` set."""
        place = hash(key) % _BUCKETS
        bucket = dict(self._buckets[place])
        digest = self._hash ^ hash((key, value))
        if key in bucket:
            digest ^= hash((key, bucket[key]))
        bucket[key] = value
        return self._replaced(place, bucket, digest)

    def without(self, key: str) -> "PersistentMap[Value]":
        """Return this map without `key`, which it must have."""
        place = hash(key) % _BUCKETS
        bucket = dict(self._buckets[place])
        digest = self._hash ^ hash((key, bucket.pop(key)))
        return self._replaced(place, bucket, digest)

    def _replaced(
        self, place: int, bucket: dict[str, Value], digest: int
    ) -> "PersistentMap[Value]":
        buckets = (*self._buckets[:place], bucket, *self._buckets[place + 1 :])
        return PersistentMap(buckets, digest)

    def __hash__(self) -> int:
        """Hash in constant time."""
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Compare items; shared buckets are not looked into."""
        return self is other or (
            isinstance(other, PersistentMap)
            and self._hash == other._hash
            and self._buckets == other._buckets
        )
