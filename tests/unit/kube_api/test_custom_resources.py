"""CustomResourceDefinitions, and the objects that they allow."""

from typing import Any

import pytest

from cluster.kube_api.crd import (
    CustomResource,
    custom_decoded,
    custom_defaulted,
    custom_errors,
    custom_resources,
    definition_errors,
    definition_update_errors,
    established,
)
from cluster.kube_api.crd.definition import version_priority
from cluster.kube_api.crd.rules import RuleSyntaxError, compiled
from cluster.kube_api.field_errors import aggregate

NOW = "2026-11-25T12:00:00Z"
SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 0, "maximum": 9},
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "name": {"type": "string", "pattern": "^a", "maxLength": 4},
        "tags": {
            "type": "array",
            "maxItems": 3,
            "items": {"type": "string"},
            "x-kubernetes-list-type": "set",
        },
        "ports": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                },
            },
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "share": {"x-kubernetes-int-or-string": True},
        "note": {"type": "string", "nullable": True},
    },
    "x-kubernetes-validations": [
        {"rule": "!has(self.name) || self.size < 9", "message": "named ones are small"},
        {"rule": "self.size >= oldSelf.size", "messageExpression": "'was ' + string(oldSelf.size)"},
    ],
}


def crd(spec: dict[str, Any] = SPEC, **version: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}
    served = {"name": "v1", "served": True, "storage": True}
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {
                "plural": "widgets",
                "singular": "widget",
                "kind": "Widget",
                "listKind": "WidgetList",
                "shortNames": ["wd"],
            },
            "versions": [served | {"schema": {"openAPIV3Schema": schema}} | version],
        },
    }


@pytest.fixture(scope="module")
def version() -> CustomResource:
    (only,) = custom_resources(crd(subresources={"status": {}}))
    return only


def widget(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "w"}, "spec": spec}


def wrong(version: CustomResource, old: Any = None, **spec: Any) -> str:
    obj, _ = custom_decoded(widget(**spec), version)
    before = None if old is None else custom_decoded(widget(**old), version)[0]
    return aggregate(custom_errors(obj, version, before))


def test_a_definition_makes_a_resource(version: CustomResource) -> None:
    resource = version
    assert (resource.plural, resource.kind, resource.list_kind) == (
        "widgets",
        "Widget",
        "WidgetList",
    )
    assert resource.has_status
    assert resource.key_prefix == "example.com/widgets"
    assert not definition_errors(crd())


def test_what_is_not_known_is_pruned_and_told(version: CustomResource) -> None:
    body = widget(size=1, junk=1, free={"a": {"b": 1}}, ports=[{"port": 1, "x": 2}])
    obj, unknown = custom_decoded(body | {"top": 1}, version)
    assert obj == {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w"},
        "spec": {"size": 1, "free": {"a": {"b": 1}}, "ports": [{"port": 1}]},
    }
    assert sorted(unknown) == ["spec.junk", "spec.ports[0].x", "top"]


def test_defaults_fill_what_is_absent_or_null(version: CustomResource) -> None:
    obj, _ = custom_decoded(widget(size=1, color=None, ports=[{"port": 1}]), version)
    assert custom_defaulted(obj, version)["spec"] == {
        "size": 1,
        "color": "red",
        "ports": [{"port": 1, "protocol": "TCP"}],
    }


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "spec.size: Required value"),
        (
            {"size": "x"},
            'spec.size: Invalid value: "string": spec.size in body must be of type integer:'
            ' "string"',
        ),
        (
            {"size": -1},
            "spec.size: Invalid value: -1: spec.size in body should be greater than or equal to 0",
        ),
        (
            {"size": 1, "color": "z"},
            'spec.color: Unsupported value: "z": supported values: "red", "blue"',
        ),
        (
            {"size": 1, "name": "b"},
            "spec.name: Invalid value: \"b\": spec.name in body should match '^a'",
        ),
        ({"size": 1, "name": "abcde"}, "spec.name: Too long: may not be more than 4 bytes"),
        (
            {"size": 1, "tags": ["a", "b", "c", "d"]},
            "spec.tags: Too many: 4: must have at most 3 items",
        ),
        ({"size": 1, "tags": ["a", "a"]}, 'spec.tags[1]: Duplicate value: "a"'),
        (
            {"size": 1, "ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]},
            'spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}',
        ),
        (
            {"size": 1, "share": 1.5},
            'spec.share: Invalid value: "number": spec.share in body must be of type'
            ' integer,string: "number"',
        ),
        (
            {"size": 9, "name": "a"},
            'spec: Invalid value: "object": named ones are small',
        ),
        ({"size": 1, "share": "5%", "note": None}, "[]"),
    ],
)
def test_a_value_that_the_schema_does_not_allow_is_told(
    version: CustomResource, spec: dict[str, Any], message: str
) -> None:
    assert wrong(version, **spec) == message


def test_a_rule_about_a_change_is_asked_of_changes_only(version: CustomResource) -> None:
    assert wrong(version, size=1) == "[]"
    assert wrong(version, {"size": 1}, size=2) == "[]"
    assert wrong(version, {"size": 3}, size=2) == 'spec: Invalid value: "object": was 3'


@pytest.mark.parametrize("rule", ["self.", "self.x.strangeFunction()", "self.?x == 1", "other.x"])
def test_a_rule_that_cannot_be_evaluated_is_refused_with_its_definition(rule: str) -> None:
    with pytest.raises(RuleSyntaxError):
        compiled(rule)
    broken = SPEC | {"x-kubernetes-validations": [{"rule": rule}]}
    assert "compilation failed" in aggregate(definition_errors(crd(broken)))


@pytest.mark.parametrize(
    "rule",
    [
        "self.l.isSorted() && self.l.sum() == 6 && self.l.indexOf(2) == 1",
        "self.s.find('[0-9]+') == '12' && self.s.upperAscii() == 'A12'",
        "quantity(self.q).isGreaterThan(quantity('1k')) && isQuantity('1Gi')",
        "isIP('::1') && cidr('10.0.0.0/8') == '10.0.0.0/8' && url('http://a:1/b').getPort() == '1'",
        "self.l.map(x, string(x)).join(',') == '1,2,3' && self.s.split('1').size() == 2",
    ],
)
def test_functions_of_kubernetes_are_there(rule: str) -> None:
    spec = {
        "type": "object",
        "x-kubernetes-validations": [{"rule": rule}],
        "x-kubernetes-preserve-unknown-fields": True,
    }
    (version,) = custom_resources(crd(spec))
    assert wrong(version, l=[1, 2, 3], s="a12", q="1Mi") == "[]"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"name": "x"}}, 'must be spec.names.plural+"."+spec.group'),
        ({"spec": crd(schema=None)["spec"]}, "schemas are required"),
        ({"spec": crd({"properties": {}})["spec"]}, "must not be empty"),
        ({"spec": crd({"type": "array"})["spec"]}, "spec].items: Required value"),
        (
            {"spec": crd({"type": "object", "allOf": [{"type": "object"}]})["spec"]},
            "allOf[0].type: Forbidden",
        ),
        ({"spec": crd(storage=False)["spec"]}, "exactly one version marked as storage"),
    ],
)
def test_a_definition_that_is_wrong_is_told_why(change: dict[str, Any], message: str) -> None:
    assert message in aggregate(definition_errors(crd() | change))


def test_a_definition_is_established_once_and_keeps_the_time() -> None:
    first = established(crd(), [], NOW)
    assert first["status"]["storedVersions"] == ["v1"]
    assert [(one["type"], one["status"]) for one in first["status"]["conditions"]] == [
        ("NamesAccepted", "True"),
        ("Established", "True"),
    ]
    assert established(first, [], "2027-01-01T00:00:00Z") == first
    late = crd() | {"metadata": {"name": "others.example.com"}}
    refused = established(late, [first], NOW)["status"]["conditions"][0]
    assert (refused["status"], refused["message"]) == ("False", '"Widget" is already in use')


def test_group_scope_and_names_stay() -> None:
    changed = crd()
    changed["spec"] = changed["spec"] | {"scope": "Cluster"}
    assert "spec.scope: Invalid value" in aggregate(definition_update_errors(changed, crd()))


def test_versions_are_preferred_as_kubernetes_does() -> None:
    order = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "foo1", "v0x"]
    assert sorted(sorted(order), key=version_priority) == order
