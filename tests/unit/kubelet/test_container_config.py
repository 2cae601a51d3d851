"""Command, environment and mounts of a container, and what is said when something is missing."""

from collections.abc import Mapping
from typing import Any

import pytest

from cluster.kube_api.objects import JsonObject
from cluster.kubelet.container_config import PodFacts, container_config, environment, expanded
from cluster.kubelet.images import Image, Images, split_image
from cluster.kubelet.runtime import CannotStart

IMAGE = Image(entrypoint=["entry"], command=["default"], env={"PATH": "/bin", "FROM": "image"})


class Sources:
    def config_map(self, name: str) -> Mapping[str, str] | None:
        return {"color": "red", "not-a-name!": "x"} if name == "settings" else None

    def secret(self, name: str) -> Mapping[str, bytes] | None:
        return {"password": b"s3cret"} if name == "vault" else None


def facts(**more: Any) -> PodFacts:
    metadata = {
        "name": "p",
        "namespace": "default",
        "uid": "u",
        "labels": {"app": "web", "tier": 'a"b'},
    }
    one = {"metadata": metadata, "spec": {"nodeName": "n1", "serviceAccountName": "robot"}}
    return PodFacts(one, "127.20.1.2", "127.20.1.1", **more)


def env_of(*entries: JsonObject, **more: Any) -> dict[str, str]:
    return environment({"env": list(entries), **more}, facts(), Sources())


def reason(container: JsonObject) -> tuple[str, str]:
    with pytest.raises(CannotStart) as caught:
        container_config(container, IMAGE, facts(), Sources())
    return caught.value.reason, caught.value.message


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({}, ["entry", "default"]),
        ({"args": ["x"]}, ["entry", "x"]),
        ({"command": ["run"]}, ["run"]),
        ({"command": ["run"], "args": ["x"]}, ["run", "x"]),
    ],
)
def test_command_replaces_the_entrypoint_and_args_its_arguments(
    container: JsonObject, expected: list[str]
) -> None:
    assert container_config(container, IMAGE, facts(), Sources()).argv == expected


def test_variables_are_expanded_in_commands_and_a_double_dollar_is_one() -> None:
    known = {"A": "1"}
    assert expanded("$(A) $(B) $$(A) $A", known) == "1 $(B) $(A) $A"
    container = {"command": ["run", "$(FROM)", "$(MINE)"], "env": [{"name": "MINE", "value": "m"}]}
    assert container_config(container, IMAGE, facts(), Sources()).argv == ["run", "image", "m"]


def test_a_variable_may_name_one_before_it_and_the_last_of_a_name_counts() -> None:
    found = env_of(
        {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}, {"name": "A", "value": "3"}
    )
    assert (found["A"], found["B"]) == ("3", "12")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("status.podIP", "127.20.1.2"),
        ("status.hostIP", "127.20.1.1"),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "robot"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels", 'app="web"\ntier="a\\"b"'),
    ],
)
def test_the_downward_api_gives_fields_of_the_pod(path: str, expected: str) -> None:
    assert env_of({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}})["X"] == expected


def test_limits_are_given_in_units_of_the_divisor_and_default_to_the_node() -> None:
    container = {
        "resources": {"limits": {"cpu": "1500m"}},
        "env": [
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {
                "name": "MEMORY",
                "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            },
        ],
    }
    found = environment(container, facts(allocatable={"memory": "2Gi"}), Sources())
    assert (found["CPU"], found["MEMORY"]) == ("2", "2048")


def test_config_maps_and_secrets_become_variables() -> None:
    found = env_of(
        {"name": "P", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "password"}}},
        envFrom=[{"prefix": "CFG_", "configMapRef": {"name": "settings"}}],
    )
    assert found["P"] == "s3cret"
    assert found["CFG_color"] == "red"
    assert "CFG_not-a-name!" not in found


def test_what_is_missing_is_named_and_what_is_optional_is_left_out() -> None:
    def reference(name: str, **more: Any) -> JsonObject:
        origin = {"configMapKeyRef": {"name": name, "key": "color", **more}}
        return {"command": ["x"], "env": [{"name": "X", "valueFrom": origin}]}

    assert reason(reference("none")) == (
        "CreateContainerConfigError",
        'configmap "none" not found',
    )
    assert reason(reference("settings", key="shape"))[1] == (
        "couldn't find key shape in Configmap default/settings"
    )
    assert "X" not in environment(reference("none", optional=True), facts(), Sources())


def test_services_of_the_namespace_are_variables() -> None:
    def service(name: str, namespace: str) -> JsonObject:
        return {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": "127.96.0.9", "ports": [{"name": "http", "port": 80}]},
        }

    services = [service("my-db", "default"), service("other", "elsewhere")]
    found = environment({}, facts(services=services), Sources())
    assert found["MY_DB_SERVICE_HOST"] == "127.96.0.9"
    assert found["MY_DB_SERVICE_PORT_HTTP"] == "80"
    assert found["MY_DB_PORT"] == "tcp://127.96.0.9:80"
    assert not any(name.startswith("OTHER") for name in found)


def test_a_mount_of_an_unknown_volume_and_a_sub_path_that_leaves_it_are_refused() -> None:
    unknown = {"volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    assert reason(unknown) == ("CreateContainerConfigError", 'volume "v" not found')
    leaving = {"volumeMounts": [{"name": "v", "mountPath": "/data", "subPath": "../x"}]}
    with pytest.raises(CannotStart, match="leaves the volume"):
        container_config(leaving, IMAGE, facts(mounts={"v": "/vol"}), Sources())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python", ("python", "latest")),
        ("python:3.12", ("python", "3.12")),
        ("registry.example:5000/team/web:1.2", ("team/web", "1.2")),
        ("localhost/web", ("web", "latest")),
        ("team/web@sha256:abc", ("team/web", "latest")),
    ],
)
def test_an_image_name_is_repository_and_tag(name: str, expected: tuple[str, str]) -> None:
    assert split_image(name) == expected


def test_an_image_of_the_node_is_its_configuration_and_unknown_ones_are_not_pulled(
    tmp_path: Any,
) -> None:
    own = tmp_path / "team" / "web" / "1"
    own.mkdir(parents=True)
    (own / "image.json").write_text('{"Entrypoint": ["serve"], "Env": ["A=1"]}')
    images = Images(tmp_path)
    assert images.find("team/web:1").entrypoint == ["serve"]
    assert images.find("team/web:1").env["PATH"].startswith(str(own / "bin"))
    assert images.find("docker.io/library/busybox").command == ["sh"]
    for name, expected in (("team/web:2", "ErrImagePull"), ("a/../b:1", "InvalidImageName")):
        with pytest.raises(CannotStart) as caught:
            images.find(name)
        assert caught.value.reason == expected
