"""What a controller has asked for and not yet seen in its store. Pure.

A store lags behind writes. A controller that counted too early would create its pods twice; so it
notes what it does, and counts again only when the watch has told of all of it, or after a time in
which the watch must have told (a write may have failed although it was answered with an error, and
the other way round).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

_BELIEVED_FOR_S = 300.0


@dataclass(slots=True)
class _Expected:
    creations: int = 0
    deletions: set[str] = field(default_factory=set)
    since: float = 0.0


class Expectations:
    """Per key of an owner: creations by number, deletions by uid."""

    def __init__(self) -> None:
        self._expected: dict[str, _Expected] = {}

    def expect(
        self, key: str, now: float, *, creations: int = 0, deletions: Iterable[str] = ()
    ) -> None:
        """Note what is about to be asked for; to be called before asking."""
        self._expected[key] = _Expected(creations, set(deletions), now)

    def creation_seen(self, key: str) -> None:
        """An object was created for `key`, or certainly was not."""
        expected = self._expected.get(key)
        if expected is not None:
            expected.creations -= 1

    def deletion_seen(self, key: str, uid: str) -> None:
        """An object of `key` is gone, or going, or certainly was not asked to go."""
        expected = self._expected.get(key)
        if expected is not None:
            expected.deletions.discard(uid)

    def are_met(self, key: str, now: float) -> bool:
        """Whether the store may be counted."""
        expected = self._expected.get(key)
        if expected is None or now >= expected.since + _BELIEVED_FOR_S:
            return True
        return expected.creations <= 0 and not expected.deletions

    def given_up_at(self, key: str) -> float:
        """Return when what is expected for `key` will not be waited for any longer."""
        return self._expected[key].since + _BELIEVED_FOR_S

    def forget(self, key: str) -> None:
        """The owner is gone."""
        self._expected.pop(key, None)
