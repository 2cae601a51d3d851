"""The steps of a schedule, carried out on a cluster."""

import tempfile
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import TypeVar

from kvstore.testing.chaos.schedule import LEADER, Fault, FaultKind
from kvstore.testing.cluster import Cluster
from kvstore.testing.errors import FaultUnavailable
from kvstore.testing.member import Member
from kvstore.testing.member_clock import MemberClock
from kvstore.testing.program import Program
from kvstore.testing.slow_disk import slowness_is_available
from kvstore.testing.small_disk import SmallDisk

Someone = TypeVar("Someone")

_WANT_A_PROCESS = frozenset({FaultKind.PAUSE, FaultKind.SLOW_DISK})


def missing_faults(program: Program) -> Mapping[FaultKind, str]:
    """Return the kinds that this machine or `program` cannot have, and why."""
    missing = {}
    with tempfile.TemporaryDirectory() as scratch:
        for kind, attempt in (
            (FaultKind.SKEW, lambda: MemberClock(Path(scratch) / "clock", program)),
            (FaultKind.FULL_DISK, lambda: SmallDisk(Path(scratch) / "disk", size_mib=1).close()),
            (FaultKind.SLOW_DISK, lambda: slowness_is_available(program)),
        ):
            try:
                attempt()
            except FaultUnavailable as why:
                missing[kind] = str(why)
    return missing


def afflicted(cluster: Cluster, fault: Fault) -> Member:
    """Return the member that the fault is for."""
    if fault.member != LEADER:
        return cluster.members[fault.member - 1]
    return cluster.leader_now() or cluster.members[0]


def inflict(cluster: Cluster, fault: Fault, member: Member) -> None:
    """Break `member` as `fault` says; `Cluster.heal` undoes it."""
    if not member.is_running and fault.kind in _WANT_A_PROCESS:
        return  # it ended by an earlier fault of the same step
    match fault.kind:
        case FaultKind.KILL:
            member.kill()
        case FaultKind.KILL_ALL:
            cluster.kill()
        case FaultKind.PAUSE:
            member.pause()
        case FaultKind.ISOLATE | FaultKind.DEAF | FaultKind.MUTE | FaultKind.BRIDGE:
            for source, target in cut_ways(fault.kind, member, cluster.members):
                cluster.cut(source, target)
        case FaultKind.SLOW_DISK:
            member.slow_disk(fault.amount)
        case FaultKind.FULL_DISK:
            member.fill_disk()
        case FaultKind.SKEW:
            member.skew(fault.amount)


def cut_ways(
    kind: FaultKind, member: Someone, members: Sequence[Someone]
) -> list[tuple[Someone, Someone]]:
    """Return who is not heard by whom any more: pairs of sender and receiver."""
    ways = list(permutations(members, 2))
    match kind:
        case FaultKind.DEAF:
            return [way for way in ways if way[1] == member]
        case FaultKind.MUTE:
            return [way for way in ways if way[0] == member]
        case FaultKind.BRIDGE:
            return [way for way in ways if member not in way]
        case _:
            return [way for way in ways if member in way]


def words(fault: Fault, member: Member, *, is_leader: bool) -> str:
    """Return what happens, for people."""
    who = "all" if fault.kind is FaultKind.KILL_ALL else member.name
    role = " (the leader)" if is_leader and fault.kind is not FaultKind.KILL_ALL else ""
    amount = {
        FaultKind.SKEW: f" by {fault.amount:+g} s",
        FaultKind.SLOW_DISK: f" by {fault.amount:g} s a sync",
    }.get(fault.kind, "")
    return f"{fault.kind.value} {who}{role}{amount}"
