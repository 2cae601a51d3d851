"""Key ranges that may be read or written, merged so that one search answers."""

from bisect import bisect_right
from collections.abc import Iterable
from enum import Enum

from kvstore.base.key_range import KeyRange
from kvstore.wire.pb import auth_pb2


class Access(Enum):
    """What is to be done to keys."""

    READ = "read"
    WRITE = "write"


_GRANTS = {
    Access.READ: frozenset((auth_pb2.Permission.READ, auth_pb2.Permission.READWRITE)),
    Access.WRITE: frozenset((auth_pb2.Permission.WRITE, auth_pb2.Permission.READWRITE)),
}


class Intervals:
    """A union of key ranges: sorted, disjoint, and with a gap between any two."""

    __slots__ = ("_ranges", "_starts")

    def __init__(self, ranges: Iterable[KeyRange]) -> None:
        merged: list[KeyRange] = []
        for keys in sorted((keys for keys in ranges if not keys.is_empty), key=_start):
            last = merged[-1] if merged else None
            if last is None or (last.end is not None and last.end < keys.start):
                merged.append(keys)
            elif last.end is not None and (keys.end is None or keys.end > last.end):
                merged[-1] = KeyRange(last.start, keys.end)
        self._ranges = merged
        self._starts = [keys.start for keys in merged]

    def covers(self, keys: KeyRange) -> bool:
        """Whether all of `keys` lies in the union.

        A range that is upside down is covered if what lies between its ends is, as etcd decides.
        """
        at = bisect_right(self._starts, keys.start) - 1
        if at < 0:
            return False
        start, end = self._ranges[at]
        if end is None:
            return keys.end is None or start < keys.end
        return keys.start < end and keys.end is not None and start < keys.end <= end


class UserPermissions:
    """What the roles of one user add up to."""

    __slots__ = ("_intervals",)

    def __init__(self, permissions: Iterable[auth_pb2.Permission]) -> None:
        granted = list(permissions)
        self._intervals = {
            access: Intervals(
                KeyRange.of(permission.key, permission.range_end)
                for permission in granted
                if permission.permType in types
            )
            for access, types in _GRANTS.items()
        }

    def allow(self, access: Access, keys: KeyRange) -> bool:
        """Whether all of `keys` may be read or written."""
        return self._intervals[access].covers(keys)


def is_valid_range(key: bytes, range_end: bytes) -> bool:
    """Whether a permission may be granted on this range (its ends as in RangeRequest)."""
    return bool(key) and not KeyRange.of(key, range_end).is_empty


def _start(keys: KeyRange) -> bytes:
    return keys.start
