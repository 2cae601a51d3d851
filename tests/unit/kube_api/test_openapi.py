"""What kubectl looks for in the OpenAPI documents."""

import json
from itertools import groupby

from cluster.kube_api.catalogue import BUILT_IN
from cluster.kube_api.openapi import document_v2, document_v3
from cluster.kube_api.resource import Resource


def test_every_reference_of_every_document_is_to_be_found_in_it() -> None:
    key = lambda resource: (resource.group, resource.version)  # noqa: E731
    for _, resources in groupby(sorted(BUILT_IN, key=key), key):
        document = document_v3(list(resources))
        assert not dangling(
            json.dumps(document), "#/components/schemas/", document["components"]["schemas"]
        )
    document = document_v2()
    assert not dangling(json.dumps(document), "#/definitions/", document["definitions"])


def dangling(text: str, prefix: str, schemas: dict[str, object]) -> set[str]:
    return {part.partition('"')[0] for part in text.split(prefix)[1:]} - schemas.keys()


def test_a_patch_says_that_the_server_checks_fields_and_which_patches_it_takes() -> None:
    deployments = next(one for one in BUILT_IN if one.plural == "deployments")
    custom = Resource(group="example.com", version="v1", kind="Widget", plural="widgets")
    document = document_v3([deployments, custom], {"widgets": {"type": "object"}})
    built_in = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert "fieldValidation" in [parameter["name"] for parameter in built_in["parameters"]]
    assert built_in["x-kubernetes-group-version-kind"]["kind"] == "Deployment"
    made = document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"]
    strategic = "application/strategic-merge-patch+json"
    assert strategic in built_in["requestBody"]["content"]
    assert strategic not in made["requestBody"]["content"]
    assert "com.example.v1.Widget" in document["components"]["schemas"]
