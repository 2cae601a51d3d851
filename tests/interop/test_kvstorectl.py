"""`kvstorectl` beside etcdctl 3.6: the same commands on the same server print the same bytes."""

import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.conformance.etcdctl_script import SCRIPT, Step
from tests.conformance.etcdctl_session import transcript
from tests.interop.conftest import Etcd36, Table
from tests.interop.format_script import FORMAT_SCRIPT
from tests.interop.masks import Line, differing, masked_transcript
from tests.support.cluster_process import ClusterProcess, Program

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

OURS = (sys.executable, "-m", "kvstore.cli.control")

READS = (
    "get a",
    "get a --prefix",
    "get a a/c",
    "get a --from-key --limit 2",
    "get a --prefix --keys-only",
    "get a --prefix --hex",
    "get raw",
    "get raw --hex",
    "get nothing",
    "get a --rev 2",
    "get a --rev 99",
    "get a --prefix --order DESCEND --sort-by MODIFY",
    "get a --prefix --min-mod-rev 3",
    "get a --prefix --max-create-rev 2",
    "get a --prefix --count-only",
    "member list",
    "member list --hex",
    "member list --consistency s",
    "endpoint status",
    "endpoint status --hex",
    "endpoint status --cluster",
    "endpoint hashkv",
    "endpoint hashkv --rev 3",
    "endpoint health",
    "alarm list",
    "lease list",
    "lease list --hex",
    "lease timetolive 77",
    "lease timetolive 77 --keys",
)
FORMATS = ("simple", "json", "fields", "table", "protobuf")

_TOOK = re.compile(rb'(took = )\S+|("took":)"[^"]*"|("Took" : )\S+|(\| +true \| +)[\d.]+m?s')
_RULE = re.compile(rb"-{3,}| {2,}")


def printed(command: Sequence[str], endpoint: str, arguments: Sequence[str]) -> tuple[bytes, ...]:
    """Standard output, the lines of complaint, and the exit code."""
    done = subprocess.run(
        [*command, "--endpoints", endpoint, *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if not line.startswith(b'{"level"')]
    output = _TOOK.sub(rb"\1\2\3\4TIME", done.stdout)
    if arguments[:2] == ["endpoint", "health"]:
        output = _RULE.sub(b" ", output)  # a column is as wide as the time in it is long
    return output, *complaints, b"%d" % done.returncode


def _store_some(client: str, endpoint: str) -> None:
    for arguments in (
        ["put", "a", "1"],
        ["put", "a/b", 'x "é" \\'],
        ["put", "a", "2"],
        ["put", "raw", "\udcff\x01\n\t"],
        ["put", "a/c", ""],
    ):
        subprocess.run([client, "--endpoints", endpoint, *arguments], check=True, text=False)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("server", ["etcd 3.6", "ours"])
def test_what_reads_prints_the_same_bytes_in_every_format(
    etcd36: Etcd36, candidate: Program, table: Table, server: str
) -> None:
    program = candidate if server == "ours" else etcd36.server
    differences = []
    compared = 0
    with ClusterProcess(program) as cluster:
        endpoint = cluster.endpoints[0]
        _store_some(etcd36.client, endpoint)
        for command in READS:
            for form in FORMATS:
                if command.startswith("lease") and form == "protobuf":
                    continue  # etcdctl prints the header alone, which is of use to nobody
                compared += 1
                arguments = [*command.split(), "-w", form]
                theirs = printed([etcd36.client], endpoint, arguments)
                ours = printed(OURS, endpoint, arguments)
                if theirs != ours:
                    differences.append(f"{command} -w {form}\n  {theirs!r}\n  {ours!r}")
    table.add(
        f"kvstorectl, reads in all formats, on {server}",
        compared=compared,
        differing=len(differences),
    )
    assert not differences, "\n".join(differences)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", [SCRIPT, FORMAT_SCRIPT], ids=["session", "formats"])
def test_a_session_prints_what_it_prints_with_etcdctl(
    etcd36: Etcd36, table: Table, script: Sequence[Step]
) -> None:
    transcripts: list[list[Line]] = []
    for command in ([etcd36.client], list(OURS)):
        with ClusterProcess(etcd36.server) as cluster:
            lines = transcript(command, cluster.endpoints[0], script)
            transcripts.append(masked_transcript(lines))
    differences = differing(*transcripts)
    name = "session" if script[0] is SCRIPT[0] else "all formats"
    table.add(f"kvstorectl, {name}, on etcd 3.6", compared=len(script), differing=len(differences))
    assert not differences, "\n".join(differences)
