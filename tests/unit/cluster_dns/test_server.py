"""Cluster DNS, asked by dnspython's resolver code over real sockets, and by bytes that are none."""

from collections.abc import AsyncIterator

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.cluster_dns.server import DnsServer, answer
from cluster.cluster_dns.zone import Zone, zone_of
from cluster.kube_api.objects import JsonObject

DOMAIN = "cluster.local."


def service(name: str, **spec: object) -> JsonObject:
    return {"metadata": {"namespace": "shop", "name": name}, "spec": spec}


def endpoint(address: str, *, ready: bool = True, hostname: str = "") -> JsonObject:
    found: JsonObject = {"addresses": [address], "conditions": {"ready": ready}}
    return found | ({"hostname": hostname} if hostname else {})


PORT = {"name": "http", "port": 80, "protocol": "TCP"}
SERVICES = [
    service("web", clusterIP="10.0.0.1", clusterIPs=["10.0.0.1", "fd00::1"], ports=[PORT]),
    service("db", clusterIP="None", ports=[PORT]),
    service("away", type="ExternalName", externalName="db.shop.svc.cluster.local"),
    service("many", clusterIP="None"),
]
SLICES = [
    {
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
        "endpoints": [
            endpoint("10.1.0.1", hostname="db-0"),
            endpoint("10.1.0.2"),
            endpoint("10.1.0.3", ready=False),
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    },
    {
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "many"}},
        "endpoints": [endpoint(f"10.2.0.{number}") for number in range(200)],
    },
]
ZONE = zone_of(SERVICES, SLICES, DOMAIN)


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    one = DnsServer(lambda: ZONE, address="127.0.0.1", port=0)
    await one.start()
    yield one
    await one.stop()


async def asked(server: DnsServer, name: str, kind: str) -> tuple[str, list[str]]:
    query = dns.message.make_query(name, kind)
    found = await dns.asyncquery.udp(query, "127.0.0.1", port=server.port, timeout=30)
    texts = [f"{rrset.name.to_text()} {one.to_text()}" for rrset in found.answer for one in rrset]
    return dns.rcode.to_text(found.rcode()), sorted(texts)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.shop.svc", "A", ["web.shop.svc 10.0.0.1"]),
        ("web.shop.svc", "AAAA", ["web.shop.svc fd00::1"]),
        ("WEB.shop.SVC", "A", ["WEB.shop.SVC 10.0.0.1"]),
        ("_http._tcp.web.shop.svc", "SRV", ["_http._tcp.web.shop.svc 0 100 80 web.shop.svc"]),
        ("db.shop.svc", "A", ["db.shop.svc 10.1.0.1", "db.shop.svc 10.1.0.2"]),
        ("db-0.db.shop.svc", "A", ["db-0.db.shop.svc 10.1.0.1"]),
        ("10-1-0-2.db.shop.svc", "A", ["10-1-0-2.db.shop.svc 10.1.0.2"]),
        (
            "_http._tcp.db.shop.svc",
            "SRV",
            [
                "_http._tcp.db.shop.svc 0 100 8080 10-1-0-2.db.shop.svc",
                "_http._tcp.db.shop.svc 0 100 8080 db-0.db.shop.svc",
            ],
        ),
        (
            "away.shop.svc",
            "A",
            ["away.shop.svc db.shop.svc", "db.shop.svc 10.1.0.1", "db.shop.svc 10.1.0.2"],
        ),
        ("web.shop.svc", "TXT", []),
        ("shop.svc", "A", []),
    ],
)
async def test_names_mean_what_the_specification_says(
    server: DnsServer, name: str, kind: str, expected: list[str]
) -> None:
    code, found = await asked(server, f"{name}.{DOMAIN}", kind)
    assert code == "NOERROR"
    assert [one.replace(f".{DOMAIN}", "") for one in found] == expected


async def test_addresses_have_names_and_the_schema_a_version(server: DnsServer) -> None:
    assert await asked(server, "1.0.0.10.in-addr.arpa.", "PTR") == (
        "NOERROR",
        [f"1.0.0.10.in-addr.arpa. web.shop.svc.{DOMAIN}"],
    )
    assert (await asked(server, "1.0.1.10.in-addr.arpa.", "PTR"))[1] == [
        f"1.0.1.10.in-addr.arpa. db-0.db.shop.svc.{DOMAIN}"
    ]
    version = await asked(server, f"dns-version.{DOMAIN}", "TXT")
    assert version[1] == [f'dns-version.{DOMAIN} "1.1.0"']


async def test_what_is_not_there_is_denied_and_what_is_not_ours_refused(server: DnsServer) -> None:
    assert await asked(server, f"nobody.shop.svc.{DOMAIN}", "A") == ("NXDOMAIN", [])
    assert await asked(server, "example.org.", "A") == ("REFUSED", [])
    assert await asked(server, "4.3.2.1.in-addr.arpa.", "PTR") == ("REFUSED", [])


async def test_an_answer_too_long_for_a_datagram_is_asked_for_over_a_connection(
    server: DnsServer,
) -> None:
    query = dns.message.make_query(f"many.shop.svc.{DOMAIN}", "A")
    cut = await dns.asyncquery.udp(query, "127.0.0.1", port=server.port, timeout=30)
    assert cut.flags & dns.flags.TC
    whole, over_tcp = await dns.asyncquery.udp_with_fallback(
        query, "127.0.0.1", port=server.port, timeout=30
    )
    assert over_tcp
    assert len(whole.answer[0]) == 200


@given(st.binary(max_size=80))
def test_bytes_that_are_no_question_harm_nobody(garbage: bytes) -> None:
    answered = answer(ZONE, garbage, bytes_max=512)
    assert answered is None or len(answered) >= 12


def test_an_answer_is_not_answered() -> None:
    response = dns.message.make_response(dns.message.make_query("a.", "A"))
    assert answer(Zone(DOMAIN), response.to_wire()) is None
