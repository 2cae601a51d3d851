"""Which faults, when, to whom: a pure function of a seed."""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

LEADER = 0
"""In place of a member's number: whoever leads when the fault begins."""


class FaultKind(StrEnum):
    """What can be done to a cluster."""

    KILL = "kill"
    """SIGKILL; it is started again at the end of the step."""
    KILL_ALL = "kill-all"
    """SIGKILL of every member at once."""
    PAUSE = "pause"
    """SIGSTOP."""
    ISOLATE = "isolate"
    """Cut off from all others."""
    DEAF = "deaf"
    """It sends, and hears nothing."""
    MUTE = "mute"
    """It hears, and nothing it sends arrives."""
    BRIDGE = "bridge"
    """It reaches all others, which do not reach each other."""
    SLOW_DISK = "slow-disk"
    FULL_DISK = "full-disk"
    SKEW = "skew"
    """Its wall clock jumps."""


_WANTS_SEVERAL = frozenset({FaultKind.ISOLATE, FaultKind.DEAF, FaultKind.MUTE, FaultKind.BRIDGE})
_SKEWS_S = (-3600.0, -30.0, -2.0, 2.0, 30.0, 86_400.0)
_SYNC_DELAYS_S = (0.05, 0.3, 1.0)
_FIRST_S = 3.0
_CALM_S = (1.0, 4.0)
_LASTS_S = (0.5, 6.0)
_LEADER_CHANCE = 0.5
_TWO_AT_ONCE_CHANCE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a step."""

    kind: FaultKind
    member: int
    """Its number, from 1; `LEADER`."""
    amount: float = 0.0
    """Seconds by which a clock jumps, or which a sync takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Faults that begin together and are healed together."""

    starts_s: float
    """Since the start of the run."""
    lasts_s: float
    faults: tuple[Fault, ...]


def schedule(
    seed: int, *, duration_s: float, members: int, kinds: Collection[FaultKind]
) -> Iterator[Step]:
    """Yield the steps of a run, the last one over before `duration_s`.

    Every kind comes once before any comes again. No member has two faults at once.
    """
    possible = [kind for kind in FaultKind if kind in kinds]
    if members == 1:
        possible = [kind for kind in possible if kind not in _WANTS_SEVERAL]
    if not possible:
        return
    dice = random.Random(f"faults {seed}")
    bag: Iterator[FaultKind] = _shuffled_for_ever(dice, possible)
    now = _FIRST_S
    while True:
        lasts_s = round(dice.uniform(*_LASTS_S), 2)
        faults = [_fault(dice, next(bag), _member(dice, members))]
        if members > 1 and dice.random() < _TWO_AT_ONCE_CHANCE and _leaves_room(faults[0]):
            second = next(bag)
            other = 1 + faults[0].member % members
            if _leaves_room(Fault(kind=second, member=other)):
                faults.append(_fault(dice, second, other))
            else:
                bag = chain([second], bag)
        if now + lasts_s >= duration_s:
            return
        yield Step(starts_s=round(now, 2), lasts_s=lasts_s, faults=tuple(faults))
        now += lasts_s + dice.uniform(*_CALM_S)


def _leaves_room(fault: Fault) -> bool:
    """Whether another fault beside this one means something, to a member certainly another."""
    return fault.kind is not FaultKind.KILL_ALL and fault.member != LEADER


def _shuffled_for_ever(dice: random.Random, kinds: list[FaultKind]) -> Iterator[FaultKind]:
    while True:
        yield from dice.sample(kinds, len(kinds))


def _member(dice: random.Random, members: int) -> int:
    if members == 1 or dice.random() < _LEADER_CHANCE:
        return LEADER
    return dice.randint(1, members)


def _fault(dice: random.Random, kind: FaultKind, member: int) -> Fault:
    match kind:
        case FaultKind.SKEW:
            return Fault(kind=kind, member=member, amount=dice.choice(_SKEWS_S))
        case FaultKind.SLOW_DISK:
            return Fault(kind=kind, member=member, amount=dice.choice(_SYNC_DELAYS_S))
        case FaultKind.KILL_ALL:
            return Fault(kind=kind, member=LEADER)
        case _:
            return Fault(kind=kind, member=member)
