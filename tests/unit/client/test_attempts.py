"""What a client does when a call fails."""

import pytest

from kvstore.base.errors import (
    Code,
    Compacted,
    LeaseNotFound,
    OutcomeUnknown,
    RequestRefused,
    Unavailable,
)
from kvstore.client.calls import Effect
from kvstore.client.endpoints import Attempts, Endpoint, Rotation
from kvstore.client.errors import error_of

NEVER_SENT = "failed to connect to all addresses; last error: refused"


def rotation(count: int = 2) -> Rotation:
    return Rotation([Endpoint.parse(f"h{number}:1", tls=False) for number in range(count)])


def attempts(effect: Effect, endpoints: Rotation) -> Attempts:
    return Attempts(effect, endpoints, now=0.0, timeout_s=1.0)


def test_a_write_that_was_sent_is_never_sent_again() -> None:
    endpoints = rotation()
    call = attempts(Effect.ONCE, endpoints)
    with pytest.raises(OutcomeUnknown):
        call.failed(Code.UNAVAILABLE, "Socket closed", now=0.1)
    assert endpoints.current.name == "h1:1"


@pytest.mark.parametrize("effect", list(Effect))
def test_a_call_that_was_never_sent_goes_to_the_next_endpoint(effect: Effect) -> None:
    call = attempts(effect, rotation())
    assert call.failed(Code.UNAVAILABLE, NEVER_SENT, now=0.1) == 0.0
    assert call.endpoint.name == "h1:1"


def test_a_read_goes_round_the_endpoints_until_its_deadline() -> None:
    call = attempts(Effect.NONE, rotation())
    pauses = [call.failed(Code.UNAVAILABLE, "Socket closed", now=0.1) for _ in range(4)]
    assert pauses == [0.0, 0.025, 0.025, 0.05]
    with pytest.raises(Unavailable):
        call.failed(Code.UNAVAILABLE, "Socket closed", now=0.999)


def test_a_stale_token_is_renewed_once_even_for_a_write() -> None:
    call = attempts(Effect.ONCE, rotation())
    stale = (Code.UNAUTHENTICATED, "etcdserver: invalid auth token")
    assert call.failed(*stale, now=0.1) == 0.0
    assert call.needs_token
    with pytest.raises(RequestRefused):
        call.failed(*stale, now=0.1)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", Compacted),
        (Code.NOT_FOUND, "etcdserver: requested lease not found", LeaseNotFound),
        (Code.INVALID_ARGUMENT, "something new", RequestRefused),
        (Code.UNAVAILABLE, NEVER_SENT, Unavailable),
        (Code.UNAVAILABLE, "etcdserver: request timed out", OutcomeUnknown),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", OutcomeUnknown),
        (Code.UNKNOWN, "context deadline exceeded", OutcomeUnknown),
    ],
)
def test_a_failed_write_says_what_may_be_concluded(code: Code, text: str, kind: type) -> None:
    assert isinstance(error_of(code, text, is_write=True), kind)


@pytest.mark.parametrize(
    ("text", "target", "is_tls"),
    [
        ("127.0.0.1:2379", "127.0.0.1:2379", False),
        ("http://h:1/", "h:1", False),
        ("https://h:1", "h:1", True),
        ("unix:///run/s", "unix:/run/s", False),
    ],
)
def test_endpoints_are_read_with_and_without_a_scheme(text: str, target: str, is_tls: bool) -> None:
    endpoint = Endpoint.parse(text, tls=False)
    assert (endpoint.target, endpoint.is_tls) == (target, is_tls)


@pytest.mark.parametrize("text", ["", "ftp://h:1", "http://"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        Endpoint.parse(text, tls=False)
