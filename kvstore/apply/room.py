"""How much of the disk one turn's transaction may take.

What a request writes can be told from its bytes, but for requests that delete, copy or nest: those
ask for more once they know. The sum is kept here, because the whole turn is one transaction.
"""

from collections.abc import Callable

_SPARE_CHANGES = 128
"""Reserved beyond what is known, so that small transactions need not ask."""


class Room:
    """What was reserved for a turn, and what of it is not spoken for."""

    __slots__ = ("_bytes", "_changes", "_reserve", "_spare")

    def __init__(self, reserve: Callable[[int, int], None], size: int, changes: int) -> None:
        """Reserve for `changes` that write `size` bytes.

        Raises:
            StorageFull: there is not so much; nothing was written.
        """
        self._reserve = reserve
        self._bytes = size
        self._changes = changes + _SPARE_CHANGES
        self._spare = _SPARE_CHANGES
        reserve(size, self._changes)

    def expect(self, size: int, changes: int) -> None:
        """Reserve for more, before it is written.

        Raises:
            StorageFull: there is not so much; the turn cannot go on.
        """
        if not size and changes <= self._spare:
            self._spare -= changes
            return
        self._bytes += size
        self._changes += changes
        self._reserve(self._bytes, self._changes)
