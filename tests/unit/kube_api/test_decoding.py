"""What clients send, as Go's decoder takes it."""

from typing import Any

import pytest

from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.decoding import decoded, field_problems, parse_json
from cluster.kube_api.errors import ApiError
from cluster.kube_api.schema import definition

DEPLOYMENTS = BY_PLURAL["apps", "v1", "deployments"]
CONFIG_MAPS = BY_PLURAL["", "v1", "configmaps"]


def read(resource: Any, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    return decoded(body, definition(resource.definition), resource.gvk)


def test_a_deployment_is_printed_as_go_prints_it() -> None:
    body = {
        "metadata": {"name": "web", "labels": {}, "namespace": ""},
        "spec": {
            "replicas": 0,
            "paused": False,
            "selector": {"matchLabels": None},
            "template": {
                "spec": {
                    "containers": [
                        {"name": "c", "image": "", "resources": {"limits": {"cpu": 1.0}}}
                    ]
                }
            },
        },
    }
    assert read(DEPLOYMENTS, body)[0] == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "creationTimestamp": None},
        "spec": {
            "replicas": 0,
            "selector": {},
            "strategy": {},
            "template": {
                "metadata": {"creationTimestamp": None},
                "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]},
            },
        },
        "status": {},
    }


@pytest.mark.parametrize(
    ("resource", "body", "why"),
    [
        (
            CONFIG_MAPS,
            {"data": {"a": 5}},
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            DEPLOYMENTS,
            {"spec": {"replicas": "x"}},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of"
            " type int32",
        ),
        (
            DEPLOYMENTS,
            {"spec": {"template": {"spec": {"containers": {}}}}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec"
            ".containers of type []v1.Container",
        ),
        (
            DEPLOYMENTS,
            {"metadata": {"deletionTimestamp": "soon"}},
            'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"',
        ),
    ],
)
def test_a_wrong_type_is_refused_in_the_words_of_go(
    resource: Any, body: dict[str, Any], why: str
) -> None:
    with pytest.raises(ApiError) as refused:
        read(resource, body)
    kind, version = resource.kind, resource.version
    assert refused.value.message == (
        f'{kind} in version "{version}" cannot be handled as a {kind}: {why}'
    )


def test_unknown_and_repeated_fields_are_told_with_their_paths() -> None:
    body, duplicates = parse_json(
        b'{"spec":{"junk":1,"template":{"spec":{"containers":[{"x":1,"name":"a","name":"b"}]}}}}',
        "Deployment",
    )
    _, unknown = read(DEPLOYMENTS, body)
    assert field_problems(unknown, duplicates) == [
        'unknown field "spec.junk"',
        'unknown field "spec.template.spec.containers[0].x"',
        'duplicate field "spec.template.spec.containers[0].name"',
    ]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"nonsense", b'"\xff"', b'{"a":' * 5000, b'{"a":' * 300 + b"1" + b"}" * 300],
)
def test_what_is_no_object_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        parse_json(body, "Pod")
    assert refused.value.code == 400
    assert refused.value.message.startswith(
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind;"
    )
