"""Decoding JSON and protobuf, for every built-in kind."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.kube_api import protobuf
from cluster.kube_api.catalogue import BUILT_IN, BY_KIND
from cluster.kube_api.decoding import decoded
from cluster.kube_api.errors import ApiError
from cluster.kube_api.resource import Resource
from cluster.kube_api.schema import Form, Schema, definition
from tests.support.schema_values import values

# Their schemas are unions, and no client sends them as protobuf.
JSON_ONLY = {"CustomResourceDefinition"}
KINDS = [resource for resource in BUILT_IN if resource.kind not in JSON_ONLY]


@st.composite
def objects(draw: st.DrawFn) -> tuple[Resource, dict[str, Any]]:
    resource = draw(st.sampled_from(KINDS))
    return resource, draw(values(definition(resource.definition)))


@settings(max_examples=60, deadline=None)
@given(objects())
def test_what_was_decoded_once_is_decoded_to_itself(drawn: tuple[Resource, Any]) -> None:
    resource, body = drawn
    schema = definition(resource.definition)
    once, unknown = decoded(body, schema, resource.gvk)
    again, _ = decoded(once, schema, resource.gvk)
    assert again == once
    assert not unknown


@settings(max_examples=60, deadline=None)
@given(objects())
def test_a_protobuf_body_means_what_the_json_body_means(drawn: tuple[Resource, Any]) -> None:
    resource, body = drawn
    schema = definition(resource.definition)
    json_form, _ = decoded(body, schema, resource.gvk)
    raw = protobuf.encode(json_form, schema)
    envelope = protobuf.Envelope(resource.api_version, resource.kind, raw)
    assert protobuf.opened(protobuf.sealed(envelope)) == envelope
    from_protobuf, _ = decoded(protobuf.decode(raw, schema), schema, resource.gvk)
    assert without_empty(from_protobuf) == without_empty(json_form)


def without_empty(value: Any) -> Any:
    """Protobuf cannot tell an empty list from none."""
    if isinstance(value, dict):
        bare = {name: without_empty(one) for name, one in value.items()}
        return {name: one for name, one in bare.items() if one not in (None, [], {})}
    return [without_empty(one) for one in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None)
@given(objects(), st.data())
def test_cut_or_changed_protobuf_is_an_error_or_an_object_never_a_crash(
    drawn: tuple[Resource, Any], data: st.DataObject
) -> None:
    resource, body = drawn
    schema = definition(resource.definition)
    raw = bytearray(protobuf.encode(decoded(body, schema, resource.gvk)[0], schema))
    at = data.draw(st.integers(0, max(0, len(raw) - 1)))
    raw[at : at + 1] = data.draw(st.binary(max_size=2))
    with contextlib.suppress(protobuf.ProtobufError, ApiError):
        decoded(protobuf.decode(bytes(raw), schema), schema, resource.gvk)


WRONG = {Form.STRING: 5, Form.INTEGER: "x", Form.BOOLEAN: "x", Form.LIST: {}, Form.MAP: 5}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_value_of_another_type_is_refused_where_it_stands(data: st.DataObject) -> None:
    resource = data.draw(st.sampled_from(KINDS))
    schema = definition(resource.definition)
    path, value = data.draw(wrong_fields(schema))
    body: dict[str, Any] = {}
    at = body
    for name in path[:-1]:
        at[name] = at = {}
    at[path[-1]] = value
    with pytest.raises(ApiError) as refused:
        decoded(body, schema, BY_KIND[resource.gvk].gvk)
    assert refused.value.code == 400
    assert f".{'.'.join(path)} of type " in refused.value.message


@st.composite
def wrong_fields(draw: st.DrawFn, schema: Schema) -> tuple[list[str], Any]:
    """Draw a path of named fields, and a value that the last one cannot hold."""
    path: list[str] = []
    while True:
        fields = {
            name: one
            for name, one in schema.properties.items()
            if one.form is Form.STRUCT or one.form in WRONG
        }
        name = draw(st.sampled_from(sorted(fields)))
        path.append(name)
        if fields[name].form is not Form.STRUCT or not fields[name].properties:
            return path, WRONG.get(fields[name].form, 5)
        schema = fields[name]
