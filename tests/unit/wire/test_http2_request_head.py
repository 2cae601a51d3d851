import pytest

from kvstore.wire.http2.errors import MalformedRequest
from kvstore.wire.http2.header_decoder import field_of
from kvstore.wire.http2.request_head import RequestHead, check_trailers, request_head

GET = [(":method", "GET"), (":scheme", "http"), (":path", "/")]


def head(*fields: tuple[str, str]) -> RequestHead:
    return request_head(field_of(n.encode(), v.encode("latin-1")) for n, v in fields)


def test_a_head_has_its_parts() -> None:
    got = head(*GET, (":authority", "here"), ("accept", "x"), ("content-length", "12"))
    assert (got.method, got.scheme, got.path, got.authority) == ("GET", "http", "/", "here")
    assert got.headers == {"accept": "x", "content-length": "12"}
    assert got.content_length == 12


def test_repeated_fields_are_joined() -> None:
    got = head(*GET, ("a", "1"), ("cookie", "x=1"), ("a", "2"), ("cookie", "y=2"))
    assert got.headers == {"a": "1,2", "cookie": "x=1; y=2"}


def test_host_stands_in_for_a_missing_authority() -> None:
    assert head(*GET, ("host", "there")).authority == "there"


def test_connect_needs_an_authority_only() -> None:
    assert head((":method", "CONNECT"), (":authority", "x:1")).path == ""


@pytest.mark.parametrize(
    "fields",
    [
        [],
        GET[1:],
        [GET[0], GET[2]],
        GET[:2],
        [*GET[:2], (":path", "")],
        [*GET, GET[0]],
        [*GET, (":unknown", "x")],
        [*GET, (":status", "200")],
        [("a", "1"), *GET],
        [*GET[:2], ("a", "1"), GET[2]],
        [*GET, ("Upper", "x")],
        [*GET, ("connection", "close")],
        [*GET, ("content-length", "x")],
        [*GET, ("content-length", "-1")],
        [*GET, ("content-length", "1"), ("content-length", "2")],
        [(":method", "CONNECT")],
        [(":method", "CONNECT"), (":authority", "x"), (":path", "/")],
    ],
)
def test_a_malformed_head_is_refused(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(MalformedRequest):
        head(*fields)


def test_trailers_may_hold_anything_but_pseudo_headers() -> None:
    check_trailers([field_of(b"a", b"1")])
    with pytest.raises(MalformedRequest):
        check_trailers([field_of(b":path", b"/")])
