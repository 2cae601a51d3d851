"""A cluster that grows, is replaced member by member and shrinks, while it is written to.

The whole length runs with KVSTORE_FULL=1: 1 → 3 → 5, each of the five replaced, and back to 1.
"""

import shutil
import time

import pytest

from tests.e2e.test_membership import add, ids, remove
from tests.support.cluster_process import ClusterProcess, Program
from tests.support.target import Target
from tests.support.writing_load import WritingLoad, check_members_agree

pytestmark = [pytest.mark.slow]

STEP_S = 60.0


class _Watched:
    """Waits for progress after each step, and notes how long writes stood still."""

    def __init__(self, cluster: ClusterProcess, load: WritingLoad) -> None:
        self._cluster = cluster
        self._load = load
        self.steps: list[tuple[str, float]] = []

    def note(self, what: str) -> None:
        started = time.monotonic()
        self._load.wait_for_progress(puts=20, timeout_s=STEP_S)
        self.steps.append((what, time.monotonic() - started))

    def grow(self, name: str) -> None:
        newcomer = self._cluster.newcomer(name)
        add(self._cluster, newcomer)
        self._cluster.join(newcomer)
        self.note(f"{name} joins")

    def shrink(self, name: str) -> None:
        index = next(n for n, each in enumerate(self._cluster.members) if each.name == name)
        asked = (index + 1) % len(self._cluster.members)
        remove(self._cluster, ids(self._cluster)[name], asked)
        gone = self._cluster.members.pop(index)
        assert gone.wait_for_exit(STEP_S) == 0
        shutil.rmtree(gone.data_dir)
        self.note(f"{name} is removed")


def test_no_acknowledged_write_is_lost_while_the_members_change(
    candidate: Program, *, full: bool
) -> None:
    largest = 5 if full else 2
    with ClusterProcess(candidate, 1) as cluster:
        # The load writes through the founder while it lives, later through whoever is left.
        load_target = Target("candidate", cluster.endpoints)
        with WritingLoad(load_target, writers=2) as load:
            watched = _Watched(cluster, load)
            for number in range(1, largest):
                watched.grow(f"m{number}")
            for number in range(1, largest):
                if full:
                    watched.shrink(f"m{number}")
                    watched.grow(f"n{number}")
            for name in [member.name for member in cluster.members[1:]]:
                watched.shrink(name)
        last = Target("candidate", cluster.endpoints)
        check_members_agree(last, load.answers)
        assert not load.answers.unknown, load.answers.failures
        print("steps:", [(what, round(seconds, 2)) for what, seconds in watched.steps])
        last.close()
