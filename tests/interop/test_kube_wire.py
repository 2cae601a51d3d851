"""The objects that Kubernetes' own round-trip tests keep, as JSON and as protobuf: all of ours."""

import json
import os
from pathlib import Path

import pytest

from cluster.kube_api import protobuf
from cluster.kube_api.catalogue import BUILT_IN
from cluster.kube_api.decoding import decoded
from cluster.kube_api.resource import Resource
from cluster.kube_api.schema import definition

TESTDATA = os.environ.get("KVSTORE_KUBERNETES_TESTDATA", "")
# They live in modules of their own, which keep no such files.
ELSEWHERE = {"APIService", "CustomResourceDefinition"}

pytestmark = pytest.mark.skipif(not TESTDATA, reason="run by tools/interop/kube_wire.sh")


@pytest.mark.parametrize(
    "resource",
    [one for one in BUILT_IN if one.kind not in ELSEWHERE],
    ids=lambda one: f"{one.api_version}.{one.kind}",
)
def test_a_kind_is_read_and_written_as_go_does(resource: Resource) -> None:
    name = f"{resource.group or 'core'}.{resource.version}.{resource.kind}"
    expected = json.loads((Path(TESTDATA) / f"{name}.json").read_text())
    body = (Path(TESTDATA) / f"{name}.pb").read_bytes()
    schema = definition(resource.definition)

    assert decoded(expected, schema, resource.gvk) == (expected, [])
    envelope = protobuf.opened(body)
    assert decoded(protobuf.decode(envelope.raw, schema), schema, resource.gvk)[0] == expected
    sealed = protobuf.Envelope(
        resource.api_version, resource.kind, protobuf.encode(expected, schema)
    )
    assert protobuf.sealed(sealed) == body
