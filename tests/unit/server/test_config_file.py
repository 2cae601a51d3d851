"""etcd's YAML configuration file."""

from pathlib import Path

import pytest

from kvstore.server.config import load
from kvstore.server.config_file import read_config_file
from kvstore.server.flags import FlagError


def write(directory: Path, text: str) -> Path:
    path = directory / "etcd.yml"
    path.write_text(text)
    return path


def test_a_file_sets_what_flags_set(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
name: m1
heartbeat-interval: 50
strict-reconfig-check: false
log-outputs: [stderr, /tmp/log]
initial-cluster: m1=http://127.0.0.1:2380
client-transport-security:
  cert-file: /c
peer-transport-security:
  key-file: /k
  allowed-cn: name
""",
    )
    assert read_config_file(path) == {
        "name": "m1",
        "heartbeat-interval": "50",
        "strict-reconfig-check": "false",
        "log-outputs": "stderr,/tmp/log",
        "initial-cluster": "m1=http://127.0.0.1:2380",
        "cert-file": "/c",
        "peer-key-file": "/k",
        "peer-cert-allowed-cn": "name",
    }


def test_a_file_beats_flags_and_variables_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "max-txn-ops: 7\n")
    config = load(["--config-file", str(path), "--max-txn-ops", "9"], {"ETCD_NAME": "x"})
    assert config.limits.txn_ops_max == 7
    assert config.name == "default"
    assert any("are ignored" in note for note in config.notes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no-such-flag: 1", "no-such-flag"),
        ("client-transport-security: {nonsense: 1}", "nonsense"),
        ("heartbeat-interval: fast", "heartbeat-interval"),
        ("- a\n- b", "holds no settings"),
        ("a: [", "error loading config file"),
    ],
)
def test_what_cannot_be_obeyed_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(FlagError, match=says):
        read_config_file(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlagError, match=r"nothing\.yml"):
        read_config_file(tmp_path / "nothing.yml")
