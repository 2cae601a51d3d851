"""Names and metadata."""

import pytest

from cluster.kube_api import names
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.field_errors import aggregate
from cluster.kube_api.metadata import kept_metadata, metadata_errors, metadata_update_errors

PODS = BY_PLURAL["", "v1", "pods"]
NODES = BY_PLURAL["", "v1", "nodes"]


def test_a_bad_subdomain_is_told_the_whole_rule() -> None:
    (problem,) = names.dns_subdomain("Bad_Name")
    assert problem.startswith(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
        " '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex"
    )
    assert problem.endswith(
        r"validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )


@pytest.mark.parametrize("name", ["a", "a/b", "example.com/a_b.c", "A-1"])
def test_qualified_names_may_have_one_prefix(name: str) -> None:
    assert not names.qualified_name(name)


@pytest.mark.parametrize("name", ["", "/a", "a/", "a/b/c", "-a", "Ex/a", "a" * 64, "a\n"])
def test_what_is_no_qualified_name_is_refused(name: str) -> None:
    assert names.qualified_name(name)


def test_metadata_without_a_name_or_with_a_foreign_namespace_is_invalid() -> None:
    assert aggregate(metadata_errors(PODS, {"namespace": "d"})) == (
        "metadata.name: Required value: name or generateName is required"
    )
    assert aggregate(metadata_errors(NODES, {"name": "n", "namespace": "d"})) == (
        "metadata.namespace: Forbidden: not allowed on this type"
    )


def test_an_update_keeps_what_the_server_set_and_the_client_left_out() -> None:
    old = {"name": "x", "uid": "u", "creationTimestamp": "t"}
    assert kept_metadata({"name": "x"}, old) == old
    assert not metadata_update_errors(kept_metadata({"name": "x"}, old), old)


def test_a_deleting_object_takes_no_new_finalizers() -> None:
    old = {"deletionTimestamp": "t", "finalizers": ["a/b"]}
    assert aggregate(metadata_update_errors({**old, "finalizers": ["a/b", "c/d"]}, old)) == (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being"
        ' deleted, found new finalizers []string{"c/d"}'
    )
    assert not metadata_update_errors({**old, "finalizers": []}, old)


def test_a_generated_name_leaves_room_for_its_suffix() -> None:
    assert names.generated("a" * 70, [0, 1, 2, 3, 26]) == "a" * 58 + "bcdf9"
