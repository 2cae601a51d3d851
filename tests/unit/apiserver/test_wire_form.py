import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cluster.apiserver.wire_form import (
    decode,
    item_bytes,
    list_bytes,
    object_bytes,
    object_of,
    stored_bytes,
)

_texts = st.text(max_size=8)
_objects = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["Pod", 'odd "metadata":{ kind']),
        "apiVersion": st.just("v1"),
        "metadata": st.dictionaries(
            st.sampled_from(["name", "labels", "uid"]), st.dictionaries(_texts, _texts), max_size=3
        ),
        "spec": st.dictionaries(_texts, _texts | st.integers(0, 9) | st.none(), max_size=3),
    }
)


@given(_objects, st.integers(1, 1 << 62))
def test_splicing_a_version_in_is_the_same_as_setting_it(
    obj: dict[str, Any], revision: int
) -> None:
    stored = stored_bytes(obj)
    assert json.loads(object_bytes(stored, revision)) == object_of(stored, revision)
    item = object_of(stored, revision)
    del item["kind"], item["apiVersion"]
    assert json.loads(item_bytes(stored, revision)) == item


@given(_objects)
def test_what_another_server_stored_is_served_alike(obj: dict[str, Any]) -> None:
    other = json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()
    assert json.loads(object_bytes(other, 7)) == object_of(other, 7)


def test_versions_are_not_stored() -> None:
    obj = {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a", "resourceVersion": "9"}}
    assert decode(stored_bytes(obj))["metadata"] == {"name": "a"}


def test_a_list_is_valid_json_with_and_without_items() -> None:
    for items in ([], [b'{"a":1}'], [b"{}", b"{}"]):
        listed = json.loads(list_bytes("PodList", "v1", {"resourceVersion": "1"}, items))
        assert len(listed["items"]) == len(items)
