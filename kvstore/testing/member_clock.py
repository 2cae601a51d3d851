"""The wall clock that one member sees, by libfaketime; its monotonic clock runs true."""

import os
from collections.abc import Mapping
from pathlib import Path

from kvstore.testing.errors import FaultUnavailable
from kvstore.testing.program import Program

LIBRARY_VARIABLE = "KVSTORE_LIBFAKETIME"
_PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")
_NAMES = ("faketime/libfaketimeMT.so.1", "*/faketime/libfaketimeMT.so.1")


def libfaketime() -> Path | None:
    """Return the library: the one that `KVSTORE_LIBFAKETIME` names, or the system's."""
    if named := os.environ.get(LIBRARY_VARIABLE):
        return Path(named)
    found = (path for place in _PLACES for name in _NAMES for path in Path(place).glob(name))
    return next(found, None)


class MemberClock:
    """A file that says how far one member's wall clock is off; it is read at every look."""

    def __init__(self, file: Path, program: Program) -> None:
        """Prepare a clock that is right.

        Raises:
            FaultUnavailable: there is no libfaketime, or `program` would not notice it.
        """
        if not program.asks_libc_for_time:
            raise FaultUnavailable(
                f"{program.name} asks the kernel for the time, past any library: "
                "its clock cannot be skewed"
            )
        library = libfaketime()
        if library is None:
            raise FaultUnavailable(
                "clocks are skewed by libfaketime, which is not installed "
                f"(Debian: apt-get install libfaketime; or name it in {LIBRARY_VARIABLE})"
            )
        self._library = library
        self._file = file
        self.offset_s = 0.0
        self.set(0.0)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the member's process has to be started with."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # The library's repair of waits is wrong for this libc: threads wake up seconds late.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def set(self, offset_s: float) -> None:
        """Make the clock jump to `offset_s` seconds ahead of the true time; negative: behind."""
        staged = self._file.with_suffix(".staged")
        staged.write_text(f"{offset_s:+f}")
        staged.rename(self._file)  # a reader never sees half an offset
        self.offset_s = offset_s
