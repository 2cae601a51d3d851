"""Volumes are directories; what comes from objects is replaced all at once."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.kube_api.objects import JsonObject
from cluster.kubelet.container_config import PodFacts
from cluster.kubelet.volumes import FailedMount, File, prepare, write_all


class Sources:
    def __init__(self, data: Mapping[str, str]) -> None:
        self.data = data

    def config_map(self, name: str) -> Mapping[str, str] | None:
        return self.data if name == "settings" else None

    def secret(self, name: str) -> Mapping[str, bytes] | None:
        return {"key": b"\x00\xff"} if name == "vault" else None


def prepared(volume: JsonObject, place: Path, data: Mapping[str, str] | None = None) -> Path:
    pod = {"metadata": {"name": "p"}, "spec": {"volumes": [{"name": "v", **volume}]}}
    facts = PodFacts(pod, "1.1.1.1", "2.2.2.2")
    sources = Sources(data or {"a": "1", "b": "2"})
    found = prepare(pod, place, facts, sources, lambda wanted: f"token for {wanted['audience']}")
    return Path(found["v"])


def test_a_config_map_is_a_file_a_key_and_items_choose_and_rename(tmp_path: Path) -> None:
    found = prepared({"configMap": {"name": "settings"}}, tmp_path / "1")
    assert {path.name for path in found.iterdir() if not path.name.startswith("..")} == {"a", "b"}
    items = [{"key": "a", "path": "deep/er", "mode": 0o400}]
    found = prepared({"configMap": {"name": "settings", "items": items}}, tmp_path / "2")
    assert (found / "deep" / "er").read_text() == "1"
    assert (found / "deep" / "er").stat().st_mode & 0o777 == 0o400


def test_a_change_shows_whole_and_what_is_gone_goes(tmp_path: Path) -> None:
    volume = {"configMap": {"name": "settings"}}
    found = prepared(volume, tmp_path, {"a": "1", "b": "2"})
    before = (found / "..data").resolve()
    assert prepared(volume, tmp_path, {"a": "1", "b": "2"}) == found
    assert (found / "..data").resolve() == before  # nothing changed, nothing was written
    prepared(volume, tmp_path, {"a": "new"})
    assert (found / "a").read_text() == "new"
    assert not (found / "b").exists()
    assert not before.exists()


def test_projected_sources_lie_together(tmp_path: Path) -> None:
    sources = [
        {"serviceAccountToken": {"audience": "api", "path": "token"}},
        {"configMap": {"name": "settings", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"secret": {"name": "vault"}},
    ]
    found = prepared({"projected": {"sources": sources}}, tmp_path)
    assert (found / "token").read_text() == "token for api"
    assert (found / "token").stat().st_mode & 0o777 == 0o600
    assert (found / "ca.crt").read_text() == "1"
    assert (found / "ns").read_text() == "p"
    assert (found / "key").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        (
            {"configMap": {"name": "settings", "items": [{"key": "z", "path": "z"}]}},
            "references non-existent configmap key: z",
        ),
        ({"hostPath": {"path": "/no/such/path", "type": "Directory"}}, "is not a Directory"),
        ({"nfs": {"server": "x"}}, "this node has no volumes of kind nfs"),
    ],
)
def test_a_volume_that_cannot_be_had_says_why(volume: JsonObject, why: str, tmp_path: Path) -> None:
    with pytest.raises(FailedMount, match=why):
        prepared(volume, tmp_path)


def test_what_is_optional_may_be_missing(tmp_path: Path) -> None:
    found = prepared({"configMap": {"name": "none", "optional": True}}, tmp_path)
    assert [path for path in found.iterdir() if not path.name.startswith("..")] == []


def test_a_path_out_of_the_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedMount):
        write_all(tmp_path, {"../x": File(b"")})
