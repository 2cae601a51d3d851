"""Which loopback addresses a local cluster uses: each its own, told by the cluster's base port.

Nodes, pods and services are processes and sockets of one machine. They are told apart by addresses
of 127.0.0.0/8, all of which lead here without anybody's leave.
"""

from dataclasses import dataclass

_FIRST = 20
_CLUSTERS = 90
_SERVICES_ABOVE = 100
NODES_MAX = 250


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a local cluster."""

    name: str
    address: str
    pod_cidr: str


def _octet(base_port: int) -> int:
    return _FIRST + base_port // 10 % _CLUSTERS


def service_range(base_port: int) -> str:
    """Return the range that services have their addresses from."""
    return f"127.{_octet(base_port) + _SERVICES_ABOVE}.0.0/16"


def api_service_address(base_port: int) -> str:
    """Return the address of the service `kubernetes`: the first of the range."""
    return f"127.{_octet(base_port) + _SERVICES_ABOVE}.0.1"


def dns_address(base_port: int) -> str:
    """Return the address of the cluster's DNS server: the tenth of the services' range."""
    return f"127.{_octet(base_port) + _SERVICES_ABOVE}.0.10"


def nodes(base_port: int, count: int) -> list[Node]:
    """Return the nodes of a cluster: n1, n2 ... each with 253 addresses for pods."""
    octet = _octet(base_port)
    return [
        Node(f"n{number}", f"127.{octet}.{number}.1", f"127.{octet}.{number}.0/24")
        for number in range(1, count + 1)
    ]
