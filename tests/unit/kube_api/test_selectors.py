"""The grammar of label and field selectors, and its complaints."""

import pytest

from cluster.kube_api.errors import ApiError
from cluster.kube_api.field_selectors import check_known, parse_field_selector
from cluster.kube_api.selectors import (
    EVERYTHING,
    NOTHING,
    SelectorSyntaxError,
    equality_selector,
    label_selector,
    parse_label_selector,
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        (
            "a in ()",
            "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators,"
            " values set can't be empty",
        ),
    ],
)
def test_what_is_no_label_selector_is_refused_in_the_words_of_labels_parse(
    text: str, complaint: str
) -> None:
    with pytest.raises(SelectorSyntaxError) as refused:
        parse_label_selector(text)
    assert str(refused.value) == complaint


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("a!=b", {}, True),
        ("a notin (b,c)", {"a": "c"}, False),
        ("!a", {"a": ""}, False),
        ("a", {"a": ""}, True),
        ("a=", {"a": ""}, True),
        ("a in (,b)", {"a": ""}, True),
        ("in in (in, notin)", {"in": "notin"}, True),
        ("a>1", {"a": "2"}, True),
        ("a>1", {"a": "x"}, False),
        ("a<1,b", {"a": "0"}, False),
    ],
)
def test_a_label_selector_matches(text: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_label_selector(text).matches(labels) is matches


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert label_selector(None) is NOTHING
    assert label_selector({}) == EVERYTHING
    assert not equality_selector({}).matches({"a": "b"})


def test_an_object_selector_joins_labels_and_expressions() -> None:
    spec = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}],
    }
    assert str(label_selector(spec)) == "app=web,!old"


def test_field_selectors_unescape_values_and_split_only_at_bare_commas() -> None:
    selector = parse_field_selector(r"metadata.name=a\,b,status.phase!=Failed,spec.nodeName!=")
    values = {"metadata.name": "a,b", "status.phase": "Running", "spec.nodeName": "n1"}
    assert selector.matches(lambda field: values[field])
    assert str(selector) == r"metadata.name=a\,b,status.phase!=Failed,spec.nodeName!="


@pytest.mark.parametrize(
    ("is_generic", "message"),
    [
        (False, "field label not supported: data.k"),
        (
            True,
            '"data.k" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
    ],
)
def test_an_unknown_field_is_a_bad_request(is_generic: bool, message: str) -> None:
    selector = parse_field_selector("data.k=v")
    with pytest.raises(ApiError) as refused:
        check_known(selector, ["metadata.name"], is_generic=is_generic)
    assert (refused.value.code, refused.value.message) == (400, message)
