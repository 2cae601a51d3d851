"""What the names of a cluster mean, by its services and slices. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from cluster.informer.store import key_of
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at

SERVICE_NAME = "kubernetes.io/service-name"
SCHEMA_VERSION = "1.1.0"
TTL_S = 5


class Record(NamedTuple):
    """One resource record of a name; `data` in the text form of zone files."""

    kind: str
    data: str


class Endpoint(NamedTuple):
    """One address behind a headless service, and its name below the service's."""

    address: str
    host: str


@dataclass(slots=True)
class Zone:
    """All records, by name: lower case, absolute."""

    domain: str
    records: dict[str, set[Record]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    """All names that are there, those included that only have names below them."""

    def add(self, name: str, kind: str, data: str) -> None:
        """Add a record, and the names above it."""
        name = name.lower()
        self.records.setdefault(name, set()).add(Record(kind, data))
        while name not in self.names and name:
            self.names.add(name)
            name = name.partition(".")[2]

    def find(self, name: str, kind: str) -> list[Record] | None:
        """Return the records of a name and kind, an alias if it is one; None: no such name."""
        found = self.records.get(name.lower(), set())
        if not found and name.lower() not in self.names:
            return None
        return sorted(one for one in found if one.kind in (kind, "CNAME") or kind == "ANY")

    def covers(self, name: str) -> bool:
        """Whether the zone has the say about a name."""
        name = name.lower()
        is_reverse = name.endswith((".in-addr.arpa.", ".ip6.arpa."))
        return (
            name.endswith(f".{self.domain}")
            or name == self.domain
            or (is_reverse and name in self.names)
        )


def zone_of(services: Iterable[JsonObject], slices: Iterable[JsonObject], domain: str) -> Zone:
    """Return the zone; `domain` is absolute: `cluster.local.`."""
    zone = Zone(domain)
    zone.add(domain, "NS", f"ns.dns.{domain}")
    zone.add(f"dns-version.{domain}", "TXT", f'"{SCHEMA_VERSION}"')
    by_service: dict[str, list[JsonObject]] = {}
    for one in slices:
        name = object_at(one, "metadata", "labels").get(SERVICE_NAME, "")
        key = f"{string_at(one, 'metadata', 'namespace')}/{name}"
        by_service.setdefault(key, []).append(one)
    for service in services:
        metadata = object_at(service, "metadata")
        name = f"{string_at(metadata, 'name')}.{string_at(metadata, 'namespace')}.svc.{domain}"
        _add_service(zone, name, service, by_service.get(key_of(service), []))
    return zone


def _add_service(zone: Zone, name: str, service: JsonObject, slices: list[JsonObject]) -> None:
    if string_at(service, "spec", "type") == "ExternalName":
        target = string_at(service, "spec", "externalName").rstrip(".")
        zone.add(name, "CNAME", f"{target}.")
    elif string_at(service, "spec", "clusterIP") == "None":
        _add_headless(zone, name, slices)
    else:
        addresses = list_at(service, "spec", "clusterIPs")
        for address in addresses or [string_at(service, "spec", "clusterIP")]:
            if address:
                _add_address(zone, name, str(address))
                zone.add(reverse_of(str(address)), "PTR", name)
        for port in list_at(service, "spec", "ports"):
            _add_srv(zone, name, port, name)


def _add_headless(zone: Zone, name: str, slices: list[JsonObject]) -> None:
    for one in slices:
        for endpoint in _ready(one):
            host = f"{endpoint.host}.{name}"
            _add_address(zone, name, endpoint.address)
            _add_address(zone, host, endpoint.address)
            zone.add(reverse_of(endpoint.address), "PTR", host)
            for port in list_at(one, "ports"):
                _add_srv(zone, name, port, host)


def _ready(one: JsonObject) -> Iterator[Endpoint]:
    for endpoint in list_at(one, "endpoints"):
        if member(endpoint, "conditions", "ready") is False:
            continue
        for address in list_at(endpoint, "addresses"):
            host = string_at(endpoint, "hostname") or _dashed(str(address))
            yield Endpoint(str(address), host)


def _dashed(address: str) -> str:
    return address.replace(".", "-").replace(":", "-")


def _add_address(zone: Zone, name: str, address: str) -> None:
    zone.add(name, "AAAA" if ":" in address else "A", address)


def _add_srv(zone: Zone, name: str, port: JsonObject, target: str) -> None:
    if port_name := string_at(port, "name"):
        protocol = (string_at(port, "protocol") or "TCP").lower()
        zone.add(f"_{port_name}._{protocol}.{name}", "SRV", f"0 100 {port['port']} {target}")


def reverse_of(address: str) -> str:
    """Return the name that asks whose an address is."""
    return f"{ip_address(address).reverse_pointer}."
