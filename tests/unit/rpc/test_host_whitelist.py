import pytest

from kvstore.rpc.call import HttpRequest, HttpResponse, Respond
from kvstore.rpc.host_whitelist import HostWhitelist
from kvstore.wire.plain import Body, BodyEvents


class Answer:
    is_open = True

    def __init__(self) -> None:
        self.status = 0

    def __call__(self, response: HttpResponse) -> None:
        self.status = response.status

    def begin(self, head: HttpResponse, events: BodyEvents) -> Body:
        raise NotImplementedError


def status(hosts: tuple[str, ...], host: str, *, is_secure: bool = False) -> int:
    def handle(_: HttpRequest, respond: Respond) -> None:
        respond(HttpResponse(status=200))

    answer = Answer()
    request = HttpRequest(
        method="GET",
        path="/health",
        query="",
        headers={"host": host},
        body=b"",
        is_secure=is_secure,
    )
    HostWhitelist(handle, hosts)(request, answer)
    return answer.status


@pytest.mark.parametrize(
    ("hosts", "host", "expected"),
    [
        (("*",), "evil.example", 200),
        ((), "evil.example", 200),
        (("db.example",), "db.example", 200),
        (("db.example",), "db.example:2379", 200),
        (("::1",), "[::1]:2379", 200),
        (("db.example",), "evil.example:2379", 421),
        (("db.example",), "", 421),
    ],
)
def test_a_host_that_is_not_listed_is_refused(
    hosts: tuple[str, ...], host: str, expected: int
) -> None:
    assert status(hosts, host) == expected


def test_over_tls_the_certificate_says_who_the_host_is() -> None:
    assert status(("db.example",), "evil.example", is_secure=True) == 200
