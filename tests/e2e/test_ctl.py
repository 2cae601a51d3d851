"""`kvstorectl` beside the real etcdctl, on the same real etcd: same output, same exit code.

etcdctl 3.5 is at hand; where 3.6 differs from it, its form is asserted literally.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.cluster_process import ClusterProcess
from tests.support.etcd_process import etcd_program, real_etcd

ETCDCTL = Path(sys.executable).parent / "etcdctl"
OURS = (sys.executable, "-m", "kvstore.cli.control")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.etcd,
    pytest.mark.skipif(
        etcd_program() is None or not ETCDCTL.exists(), reason="the real etcd is not installed"
    ),
]


@pytest.fixture(scope="module")
def etcd() -> Iterator[ClusterProcess]:
    with real_etcd() as cluster:
        run((str(ETCDCTL),), cluster, ["put", "a", "1"])
        run((str(ETCDCTL),), cluster, ["put", "a/b", 'x "é'])
        run((str(ETCDCTL),), cluster, ["put", "raw", "\udcff\x01\n"])
        run((str(ETCDCTL),), cluster, ["lease", "grant", "100000"])
        yield cluster


def run(
    command: Sequence[str], etcd: ClusterProcess, arguments: Sequence[str], stdin: bytes = b""
) -> tuple[bytes, list[bytes], int]:
    """Return what was printed, the complaint, and the exit code."""
    done = subprocess.run(
        [*command, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        env={"ETCDCTL_ENDPOINTS": etcd.endpoints[0], "PYTHONPATH": str(Path.cwd()), "PATH": ""},
    )
    complaints = [line for line in done.stderr.splitlines() if line.startswith(b"Error: ")]
    return done.stdout, complaints, done.returncode


MASKS = [
    (re.compile(rb'("(?:create_|mod_)?[rR]evision" ?: ?)\d+'), rb"\1R"),
    (re.compile(rb'("(?:Prev)?(?:Create|Mod)Revision" : )\d+'), rb"\1R"),
    (re.compile(rb'("(?:Prev)?[vV]ersion" ?: ?)\d+'), rb"\1V"),
    (re.compile(rb'("ID" ?: ?)\d+'), rb"\1I"),
    (re.compile(rb"lease [0-9a-f]{16}"), rb"lease L"),
    (re.compile(rb"took = \S+|(?<=\"took\":\")[^\"]+|(?<=\"Took\" : ).*"), rb"T"),
]


def masked(result: tuple[bytes, list[bytes], int]) -> tuple[bytes, list[bytes], int]:
    """Blank what two runs of one command cannot share."""
    output, complaints, code = result
    for pattern, replacement in MASKS:
        output = pattern.sub(replacement, output)
    return output, complaints, code


READS = [
    "get a",
    "get a --prefix",
    "get a a/c",
    "get a --from-key --limit=2",
    "get --prefix --keys-only a",
    "get a --prefix=true --keys-only=false",
    "get raw",
    "get raw --hex",
    "get nothing",
    "get a --print-value-only",
    "get a --consistency=s",
    "get a --prefix --order=descend --sort-by=modify",
    "member list",
    "endpoint health",
    "endpoint hashkv -w json",
    "alarm list",
    "lease list",
    "lease timetolive 77",
]


@pytest.mark.parametrize("form", ["simple", "json", "fields", "table"])
@pytest.mark.parametrize("command", READS)
def test_reads_print_what_etcdctl_prints(command: str, form: str, etcd: ClusterProcess) -> None:
    if command.startswith("endpoint hashkv") and form != "json":
        pytest.skip("3.6 shows one number more")
    if command in {"member list", "get raw --hex"} and form == "fields":
        pytest.skip("3.6 leaves a revision of zero out, and shows ids in hex")
    if command == "endpoint health" and form == "table":
        pytest.skip("the width of a column follows the time it took")
    if "-value-only" in command and form != "simple":
        form = "simple"
    arguments = [*command.split(), *([] if " -w" in command else ["-w", form])]
    assert masked(run(OURS, etcd, arguments)) == masked(run((str(ETCDCTL),), etcd, arguments))


@pytest.mark.parametrize("form", ["simple", "json", "fields"])
@pytest.mark.parametrize(
    ("command", "stdin"),
    [
        ("put k v", b""),
        ("put k v --prev-kv", b""),
        ("put k", b"from stdin\n"),
        ("put k --ignore-value", b""),
        ("put -- k -v", b""),
        ("lease grant 100", b""),
        (
            "txn",
            b'mod("a") > "0"\nvalue("a") = "1"\n\nget a\nput q "x y"\ndel zz\n\nget b\n\n',
        ),
        ("txn -i", b"version('k') = \"0\"\n\n\n\n"),
        ("txn", b'm("a") < "1"\n\nget a\n\nput d \'1 2\'\nget d\ndel d --prev-kv\n\n'),
    ],
)
def test_writes_print_what_etcdctl_prints(
    command: str, stdin: bytes, form: str, etcd: ClusterProcess
) -> None:
    run((str(ETCDCTL),), etcd, ["put", "k", "before"])
    theirs = run((str(ETCDCTL),), etcd, ["-w", form, *command.split()], stdin)
    run((str(ETCDCTL),), etcd, ["put", "k", "before"])
    ours = run(OURS, etcd, ["-w", form, *command.split()], stdin)
    assert masked(ours) == masked(theirs)


@pytest.mark.parametrize(
    "command",
    [
        "get",
        "get a --prefix --from-key",
        "get a b --prefix",
        "get a --order=FOO",
        "get a --sort-by=FOO",
        "get a --consistency=x",
        "get a --keys-only --count-only",
        "get a --count-only",
        "get a --rev=99999",
        "get a -w bogus",
        "put",
        "put a",
        "put a b --lease=zz",
        "put a b --lease=99",
        "put a b --ignore-value",
        "put a b --ignore-lease --lease=1",
        "del",
        "del a b --prefix",
        "compaction",
        "compaction x",
        "compaction 99999",
        "lease grant",
        "lease grant x",
        "lease revoke zz",
        "lease revoke 77",
        "lease timetolive zz",
        "lease keep-alive --once 77",
        "lease keep-alive 77",
        "alarm list x",
        "watch",
        "get a --command-timeout=1s --endpoints=127.0.0.1:1",
    ],
)
def test_refusals_are_etcdctls_word_for_word(command: str, etcd: ClusterProcess) -> None:
    arguments = command.split()
    environment = ("/usr/bin/env", "-u", "ETCDCTL_ENDPOINTS") if "--endpoints" in command else ()
    theirs = run((*environment, str(ETCDCTL)), etcd, arguments)
    assert run((*environment, *OURS), etcd, arguments) == theirs


@pytest.mark.parametrize(
    "line",
    ["garbage", 'foo("a") = "0"', 'mod("a") = "x"', "mod(a) = 1", 'value("a") = "0'],
)
def test_malformed_comparisons_are_refused_alike(line: str, etcd: ClusterProcess) -> None:
    stdin = f"{line}\n\n\n\n".encode()
    ours = run(OURS, etcd, ["txn"], stdin)
    assert ours == run((str(ETCDCTL),), etcd, ["txn"], stdin)


@pytest.mark.parametrize("form", ["simple", "json", "fields"])
def test_a_watch_prints_what_etcdctl_prints(form: str, etcd: ClusterProcess) -> None:
    """Both replay the same history; each is ended once it has printed as much as the other."""
    revision = re.search(
        rb'"revision":(\d+)', run((str(ETCDCTL),), etcd, ["get", "a", "-w", "json"])[0]
    )
    assert revision is not None
    since = str(int(revision[1]) + 1)
    for command in (["put", "w1", "a"], ["put", "w1", "b"], ["del", "w1"]):
        run((str(ETCDCTL),), etcd, command)
    arguments = ["watch", "w", "--prefix", "--prev-kv", "--rev", since, "-w", form]
    lines = {"simple": 13, "json": 1, "fields": 37}[form]
    assert watched(OURS, etcd, arguments, lines) == watched((str(ETCDCTL),), etcd, arguments, lines)


def watched(
    command: Sequence[str], etcd: ClusterProcess, arguments: Sequence[str], lines: int
) -> list[bytes]:
    process = subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={"ETCDCTL_ENDPOINTS": etcd.endpoints[0], "PYTHONPATH": str(Path.cwd())},
    )
    with process:
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(lines)]
        process.kill()
    return printed


def test_a_watch_of_compacted_history_says_so_and_exits_with_5(etcd: ClusterProcess) -> None:
    output = run((str(ETCDCTL),), etcd, ["put", "k", "v", "-w", "json"])[0]
    revision = re.search(rb'"revision":(\d+)', output)
    assert revision is not None
    printed, _, code = run(OURS, etcd, ["compaction", revision[1].decode()])
    assert (printed, code) == (b"compacted revision " + revision[1] + b"\n", 0)
    ours = run(OURS, etcd, ["watch", "k", "--rev", "1"])
    assert ours == (b"", [b"Error: watch is canceled by the server"], 5)


def test_version_is_the_one_whose_behaviour_it_has(etcd: ClusterProcess) -> None:
    assert run(OURS, etcd, ["version"])[0] == b"etcdctl version: 3.6.12\nAPI version: 3.6\n"


def test_endpoint_status_has_the_columns_of_3_6(etcd: ClusterProcess) -> None:
    (row,) = run(OURS, etcd, ["endpoint", "status"])[0].decode().splitlines()
    cells = row.split(", ")
    assert len(cells) == 16
    assert (cells[0], cells[2], cells[8], cells[15]) == (
        etcd.endpoints[0],
        "3.5.1",
        "true",
        "false",
    )
