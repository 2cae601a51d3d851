"""Revisions: where in the store's history a change stands."""

import struct
from typing import NamedTuple

FRESH_REVISION = 1
"""The revision of a store in which nothing was ever written."""

NEVER_COMPACTED = -1
"""The compact revision of a store that was never compacted; compacting at 0 is allowed once."""

_CODEC = struct.Struct(">QQ")

encode_revision = _CODEC.pack
"""Return (main, sub) as 16 bytes that sort as the revisions do."""


class Revision(NamedTuple):
    """`main` counts the requests that changed something, `sub` the changes inside of one."""

    main: int
    sub: int

    @classmethod
    def decode(cls, data: bytes) -> "Revision":
        """Read what `encode_revision` wrote."""
        return cls(*_CODEC.unpack(data))
