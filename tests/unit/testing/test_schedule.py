from collections import Counter
from itertools import pairwise

import pytest

from kvstore.testing.chaos.breaking import cut_ways
from kvstore.testing.chaos.schedule import LEADER, FaultKind, Step, schedule

MINUTES_10 = 600.0


def steps(seed: int = 1, *, members: int = 3, kinds: tuple[FaultKind, ...] = ()) -> list[Step]:
    chosen = kinds or tuple(FaultKind)
    return list(schedule(seed, duration_s=MINUTES_10, members=members, kinds=chosen))


def test_a_seed_gives_the_same_steps_again_and_another_seed_others() -> None:
    assert steps(7) == steps(7)
    assert steps(7) != steps(8)


@pytest.mark.parametrize("seed", range(20))
def test_steps_follow_each_other_and_end_before_the_run(seed: int) -> None:
    found = steps(seed)
    assert found[-1].starts_s + found[-1].lasts_s < MINUTES_10
    for one, other in pairwise(found):
        assert one.starts_s + one.lasts_s < other.starts_s


@pytest.mark.parametrize("seed", range(20))
def test_ten_minutes_have_every_fault_about_as_often(seed: int) -> None:
    counts = Counter(fault.kind for step in steps(seed) for fault in step.faults)
    assert set(counts) == set(FaultKind)
    assert max(counts.values()) - min(counts.values()) <= 3


@pytest.mark.parametrize("seed", range(20))
def test_two_faults_of_one_step_are_for_two_members(seed: int) -> None:
    for step in steps(seed):
        if len(step.faults) > 1:
            members = [fault.member for fault in step.faults]
            assert LEADER not in members
            assert len(set(members)) == len(members)


def test_one_member_is_not_cut_off_from_itself() -> None:
    kinds = {fault.kind for step in steps(members=1) for fault in step.faults}
    assert kinds.isdisjoint({FaultKind.ISOLATE, FaultKind.DEAF, FaultKind.MUTE, FaultKind.BRIDGE})
    assert FaultKind.KILL in kinds


def test_without_kinds_there_are_no_steps() -> None:
    assert steps(members=1, kinds=(FaultKind.BRIDGE,)) == []


@pytest.mark.parametrize(
    ("kind", "ways"),
    [
        (FaultKind.ISOLATE, {"ab", "ba", "ac", "ca"}),
        (FaultKind.DEAF, {"ba", "ca"}),
        (FaultKind.MUTE, {"ab", "ac"}),
        (FaultKind.BRIDGE, {"bc", "cb"}),
    ],
)
def test_a_cut_holds_the_ways_that_its_name_says(kind: FaultKind, ways: set[str]) -> None:
    assert {one + other for one, other in cut_ways(kind, "a", "abc")} == ways
