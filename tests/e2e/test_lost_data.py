"""Data directories that are missing, somebody else's, cut short or of another format."""

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.support.cluster_process import ClusterProcess, MemberProcess, Program

pytestmark = [pytest.mark.slow]


@pytest.fixture
def cluster(candidate: Program) -> Iterator[ClusterProcess]:
    with ClusterProcess(candidate, 3) as running:
        yield running


def ends_with(member: MemberProcess, text: str) -> None:
    """Start a member that must refuse to run, and say why."""
    member.start()
    assert member.wait_for_exit() == 1
    assert text in member.log()


def test_a_member_whose_data_is_gone_does_not_come_back_under_its_id(
    cluster: ClusterProcess,
) -> None:
    lost = cluster.members[1]
    lost.kill()
    shutil.rmtree(lost.data_dir)

    ends_with(lost, "has already been bootstrapped")


def test_a_member_refuses_the_data_of_another(cluster: ClusterProcess) -> None:
    one, other = cluster.members[:2]
    one.kill()
    other.kill()
    shutil.rmtree(one.data_dir)
    other.data_dir.rename(one.data_dir)  # a copy would write out the sparse map

    ends_with(one, "belongs to member")


def test_data_of_another_format_is_refused(cluster: ClusterProcess) -> None:
    member = cluster.members[0]
    member.kill()
    path = member.data_dir / "member" / "identity.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format": 99}))

    ends_with(member, "has format 99")


def test_a_keyspace_without_its_log_is_refused(cluster: ClusterProcess) -> None:
    member = cluster.members[0]
    member.kill()
    shutil.rmtree(member.data_dir / "member" / "wal")

    ends_with(member, "the log is lost")


def test_a_log_without_its_keyspace_is_refused(cluster: ClusterProcess) -> None:
    """What was trimmed from the log can be in the keyspace only: an empty one would lack it."""
    member = cluster.members[0]
    member.kill()
    (keyspace,) = (member.data_dir / "member").glob("keyspace.[0-9]*")
    (keyspace / "data.mdb").unlink()

    ends_with(member, "missing")
