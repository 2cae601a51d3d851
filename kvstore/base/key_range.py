"""Key ranges, with etcd's `range_end` conventions decoded once, at the edge."""

from typing import NamedTuple

ALL_KEYS_FROM = b"\x00"
"""The `range_end` that means "no upper end"."""


class KeyRange(NamedTuple):
    """The keys k with `start <= k`, and `k < end` unless `end` is None (no upper end)."""

    start: bytes
    end: bytes | None

    @classmethod
    def of(cls, key: bytes, range_end: bytes) -> "KeyRange":
        """Decode a request's (key, range_end): empty end = one key, a zero byte = no end.

        Source: rpc.proto RangeRequest.range_end.
        """
        if not range_end:
            return cls(key, key + b"\x00")
        if range_end == ALL_KEYS_FROM:
            return cls(key, None)
        return cls(key, range_end)

    @classmethod
    def single(cls, key: bytes) -> "KeyRange":
        """Return the range that holds exactly `key`."""
        return cls(key, key + b"\x00")

    @property
    def is_single(self) -> bool:
        """Whether the range can hold one key only."""
        return self.end is not None and self.end == self.start + b"\x00"

    @property
    def is_empty(self) -> bool:
        """Whether no key can be in the range."""
        return self.end is not None and self.end <= self.start

    def __contains__(self, key: object) -> bool:
        """Whether `key` lies in the range."""
        return isinstance(key, bytes) and self.start <= key and (self.end is None or key < self.end)


def prefix_end(prefix: bytes) -> bytes:
    r"""Return the `range_end` under which exactly the keys with `prefix` lie (`\0`: no end)."""
    stem = prefix.rstrip(b"\xff")
    if not stem:
        return ALL_KEYS_FROM
    return stem[:-1] + bytes([stem[-1] + 1])
