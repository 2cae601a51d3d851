"""The trees of a member's keyspace and the format version of their contents."""

from enum import Enum

FORMAT_VERSION = 1


class Tree(Enum):
    """Each ordered tree; the value is its name on disk."""

    # Enum's own hash runs in Python; every get and put looks its tree up in a dictionary.
    __hash__ = object.__hash__

    KEYS = b"keys"
    """key -> newest version, inline (mvcc.layout)."""
    LONG_KEYS = b"long_keys"
    """directory + rest of a key too long for one tree key -> newest version (mvcc.layout)."""
    REVISIONS = b"revisions"
    """revision -> (previous revision of the key, KeyValue): history and watch replay."""
    LEASES = b"leases"
    """lease id, 8 bytes big endian, sign flipped -> granted TTL."""
    LEASE_KEYS = b"lease_keys"
    """lease id + key, or its hash if it is long (lease.lease_keys): what a lease holds."""
    MEMBERS = b"members"
    """member id -> its published attributes."""
    ALARMS = b"alarms"
    """(member id, alarm type) -> nothing."""
    AUTH = b"auth"
    """users, roles, whether authentication is on, and the auth revision (auth.store)."""
    META = b"meta"
    """Single values: format version, applied index and term, membership, compact revision, ..."""


KEYS, REVISIONS = Tree.KEYS, Tree.REVISIONS
"""For the paths of every put and read: an enum looks its members up in a tenth of a microsecond."""
