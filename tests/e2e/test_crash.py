"""`kill -9` under a writing load: nothing acknowledged is lost, nothing is applied twice."""

import time

import pytest

from tests.support.cluster_process import ClusterProcess, MemberProcess, Program
from tests.support.target import Target
from tests.support.writing_load import WritingLoad, check_members_agree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FULL_KILLS = 20
SMALL_KILLS = 2
DOWN_S = 0.3


def victims(cluster: ClusterProcess, target: Target, which: str) -> list[MemberProcess]:
    if which == "all":
        return cluster.members
    leader = target.leader()
    if which == "leader":
        return [cluster.members[leader]]
    return [cluster.members[(leader + 1) % len(cluster.members)]]


@pytest.mark.parametrize(
    ("members", "which"), [(1, "all"), (3, "leader"), (3, "follower"), (3, "all")]
)
def test_acknowledged_writes_survive_kills(
    candidate: Program, members: int, which: str, *, full: bool
) -> None:
    with ClusterProcess(candidate, members) as cluster:
        target = Target("candidate", cluster.endpoints)
        with WritingLoad(target) as load:
            for _ in range(FULL_KILLS if full else SMALL_KILLS):
                load.wait_for_progress()
                killed = victims(cluster, target, which)
                for member in killed:
                    member.kill()
                if len(killed) < members:
                    load.wait_for_progress(5)  # the others go on
                else:
                    time.sleep(DOWN_S)
                cluster.start()
            load.wait_for_progress()
        check_members_agree(target, load.answers)
        print(f"{load.acknowledged} acknowledged, failures: {load.answers.failures}")
        target.close()
