"""Backups by the command line: saved under load, checked, restored; and online defragmentation."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvstore.client import Client, Compacted, prefix
from tests.support.cluster_process import KVSTORED, ClusterProcess, Program
from tests.support.etcd_process import etcd_program
from tests.support.target import Target
from tests.support.writing_load import WritingLoad

pytestmark = [pytest.mark.slow]

KEYS = 300
BUMP = 1_000_000


@pytest.fixture
def cluster() -> Iterator[ClusterProcess]:
    with ClusterProcess(KVSTORED, 1) as running:
        yield running


def ctl(*arguments: str, code: int = 0) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "kvstore.cli.control", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == code, ended
    return ended.stdout + ended.stderr


def fill(endpoint: str) -> int:
    """Put many keys, delete most; return the revision."""
    with Client(endpoint) as client:
        for number in range(KEYS):
            client.put(f"keys/{number:04}", "v" * 2000)
        client.delete(prefix("keys/0"))
        return client.put("kept", "before the backup").header.revision


def test_a_backup_taken_under_load_is_restored_as_it_was(
    cluster: ClusterProcess, tmp_path: Path
) -> None:
    member = cluster.members[0]
    fill(member.endpoint)
    backup = tmp_path / "backup"
    with WritingLoad(Target("kvstored", cluster.endpoints)) as load:
        load.wait_for_progress()
        printed = ctl("--endpoints", member.endpoint, "snapshot", "save", str(backup))
        load.wait_for_progress()
    assert f"Snapshot saved at {backup}" in printed
    with Client(member.endpoint) as client:
        client.put("kept", "after the backup")

    found = ctl("snapshot", "status", str(backup)).strip().split(", ")
    revision = int(found[1])
    assert revision > KEYS
    assert len(found) == 5

    with Client(member.endpoint) as client:
        expected = client.range(prefix(""), revision=revision).kvs
    member.kill()
    member.data_dir.rename(tmp_path / "lost")
    restored = ctl(
        "snapshot", "restore", str(backup), "--data-dir", str(member.data_dir), "--name", "m0",
        "--initial-cluster", f"m0={member.peer_url}", "--initial-cluster-token", "restored",
        "--initial-advertise-peer-urls", member.peer_url,
        "--bump-revision", str(BUMP), "--mark-compacted",
    )  # fmt: skip
    assert f"revision {revision + BUMP}" in restored
    cluster.start()
    with Client(member.endpoint) as client:
        found_now = client.range(prefix(""))
        assert [(kv.key, kv.value, kv.mod_revision) for kv in found_now.kvs] == [
            (kv.key, kv.value, kv.mod_revision) for kv in expected
        ]
        assert client.put("new", "1").header.revision == revision + BUMP + 1
        with pytest.raises(Compacted):
            client.get("kept", revision=revision)


def test_a_damaged_backup_replaces_nothing(cluster: ClusterProcess, tmp_path: Path) -> None:
    endpoint = cluster.members[0].endpoint
    backup, target = tmp_path / "backup", tmp_path / "restored"
    ctl("--endpoints", endpoint, "snapshot", "save", str(backup))
    content = bytearray(backup.read_bytes())
    content[60] ^= 1
    backup.write_bytes(content)
    said = ctl("snapshot", "restore", str(backup), "--data-dir", str(target), code=1)
    assert "checksum is wrong" in said
    said = ctl(
        "snapshot", "restore", str(backup), "--data-dir", str(target), "--skip-hash-check", code=1
    )
    assert "checksum" in said
    assert list(tmp_path.iterdir()) == [backup]
    target.mkdir()
    (target / "something").touch()
    said = ctl("snapshot", "restore", str(backup), "--data-dir", str(target), code=1)
    assert "not empty" in said


def test_etcdctl_saves_our_backups(
    cluster: ClusterProcess, reference_etcd: Program, tmp_path: Path
) -> None:
    del reference_etcd
    program = etcd_program()
    assert program is not None
    etcdctl = Path(program.command[0]).with_name("etcdctl")
    backup = tmp_path / "backup"
    subprocess.run(
        [etcdctl, "--endpoints", cluster.members[0].endpoint, "snapshot", "save", str(backup)],
        check=True,
        capture_output=True,
        env={"ETCDCTL_API": "3"},
    )
    assert ctl("snapshot", "status", str(backup)).count(", ") == 4


def test_defragmentation_gives_space_back_while_writes_go_on(cluster: ClusterProcess) -> None:
    member = cluster.members[0]
    revision = fill(member.endpoint)
    with Client(member.endpoint) as client:
        client.compact(revision, physical=True)
        before = client.status().db_size
        hash_before = client.hash_kv(revision)
    with WritingLoad(Target("kvstored", cluster.endpoints)) as load:
        load.wait_for_progress()
        printed = ctl("--endpoints", member.endpoint, "defrag")
        load.wait_for_progress()
    assert f"Finished defragmenting etcd member[{member.endpoint}]. took" in printed
    assert not load.answers.failures
    with Client(member.endpoint) as client:
        assert client.status().db_size < before / 2
        assert client.hash_kv(revision).hash == hash_before.hash
    member.kill()
    cluster.start()
    with Client(member.endpoint) as client:
        assert client.hash_kv(revision).hash == hash_before.hash
