"""The door to chance: whoever needs a random number takes an `Entropy`, so that a seed replays."""

import secrets
from typing import Protocol


class Entropy(Protocol):
    """Where random numbers come from."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        ...

    def bits(self, count: int) -> int:
        """Return an integer of `count` random bits."""
        ...


class SystemEntropy:
    """Random numbers of the operating system, fit for secrets."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return secrets.randbits(53) / (1 << 53)

    def bits(self, count: int) -> int:
        """Return an integer of `count` random bits."""
        return secrets.randbits(count)
