"""etcdctl 3.6 against each endpoint of etcd 3.6 and of ours: equal output, equal exit codes."""

from collections.abc import Sequence

import pytest

from tests.conformance.etcdctl_script import SCRIPT, Step
from tests.conformance.etcdctl_session import transcript
from tests.interop.conftest import Etcd36, Table
from tests.interop.format_script import FORMAT_SCRIPT
from tests.interop.masks import differing, masked_transcript
from tests.support.cluster_process import ClusterProcess, Program

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


@pytest.mark.parametrize("member", [0, 1, 2])
@pytest.mark.parametrize("script", [SCRIPT, FORMAT_SCRIPT], ids=["session", "formats"])
def test_etcdctl_prints_the_same_against_every_endpoint(
    etcd36: Etcd36, candidate: Program, table: Table, member: int, script: Sequence[Step]
) -> None:
    transcripts = []
    for program in (etcd36.server, candidate):
        with ClusterProcess(program, 3) as cluster:
            lines = transcript([etcd36.client], cluster.endpoints[member], script)
            transcripts.append(masked_transcript(lines))
    differences = differing(*transcripts)
    name = "session" if script is SCRIPT else "all formats"
    table.add(
        f"etcdctl, {name}, endpoint {member} of 3",
        compared=len(script),
        differing=len(differences),
    )
    assert not differences, "\n".join(differences)
