"""The door to time: whoever needs an instant takes a `Clock`."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where instants come from."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; never goes back."""
        ...

    def unix(self) -> float:
        """Return seconds since 1970; may jump."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        """Return the kernel's monotonic clock in seconds."""
        return time.monotonic()

    def unix(self) -> float:
        """Return the wall clock in seconds since 1970."""
        return time.time()
