"""Services: addresses and ports that nobody else has, in the store where all servers see them.

An address is taken by creating its IPAddress object, as kube-apiserver 1.33 does. Node ports are
one bitmap in one key, changed by compare-and-swap.
"""

import base64
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, ip_address

from cluster.apiserver.registry.call import Call
from cluster.apiserver.registry.strategy import Strategy
from cluster.apiserver.services import Services
from cluster.apiserver.storage import Exists, Modified
from cluster.apiserver.wire_form import decode, encode, stored_bytes
from cluster.kube_api import field_errors
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.errors import internal, invalid
from cluster.kube_api.field_errors import FieldError
from cluster.kube_api.objects import JsonObject, list_at, string_at

IP_ADDRESSES = BY_PLURAL["networking.k8s.io", "v1", "ipaddresses"]
NODE_PORTS = range(30000, 32768)
NODE_PORTS_KEPT = 86
"""The lowest ones are left to those who ask for one by number."""
HEADLESS = "None"
ATTEMPTS = 32
_WITH_NODE_PORTS = frozenset({"NodePort", "LoadBalancer"})


class ServiceStrategy(Strategy):
    """Takes what a service needs before it is written, and gives it back after it is gone."""

    async def prepare_update(self, call: Call, new: JsonObject, old: JsonObject) -> None:
        """An update that leaves out addresses and ports keeps them."""
        spec, before = new.setdefault("spec", {}), old["spec"]
        if _has_address(new) and _has_address(old) and not spec.get("clusterIP"):
            spec["clusterIP"], spec["clusterIPs"] = before["clusterIP"], before["clusterIPs"]
        if not _has_address(new) and spec.get("clusterIP") == before.get("clusterIP"):
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
        _keep_node_ports(spec, before)

    async def create_errors(self, call: Call, obj: JsonObject) -> list[FieldError]:
        """Return what is wrong with addresses and ports that are asked for."""
        errors = []
        address = string_at(obj, "spec", "clusterIP")
        if address not in ("", HEADLESS) and not _is_in(address, call.services.service_network):
            why = (
                f"failed to allocate IP {address}: the provided network does not match the current"
            )
            errors.append(field_errors.invalid("spec.clusterIPs", [address], f"{why} range"))
        for index, port in enumerate(list_at(obj, "spec", "ports")):
            asked = port.get("nodePort") or 0
            if asked and asked not in NODE_PORTS:
                why = (
                    "provided port is not in the valid range. The range of valid ports is"
                    f" {NODE_PORTS[0]}-{NODE_PORTS[-1]}"
                )
                path = f"spec.ports[{index}].nodePort"
                errors.append(field_errors.invalid(path, asked, why))
        return errors

    async def update_errors(self, call: Call, new: JsonObject, old: JsonObject) -> list[FieldError]:
        """Return what is wrong with a change of addresses and ports."""
        errors = await self.create_errors(call, new)
        address, before = (string_at(one, "spec", "clusterIP") for one in (new, old))
        if before and address != before and _has_address(new) and _has_address(old):
            addresses = list_at(new, "spec", "clusterIPs") or [address]
            why = "may not change once set"
            errors.append(field_errors.invalid("spec.clusterIPs[0]", addresses[0], why))
        return errors

    async def reserve(self, call: Call, obj: JsonObject, old: JsonObject | None) -> None:
        """Take an address and node ports, chosen here unless they are asked for."""
        spec = obj.setdefault("spec", {})
        held = _address(old) if old is not None else ""
        if _has_address(obj) and spec.get("clusterIP") != HEADLESS and not held:
            spec["clusterIP"] = await _take_address(call, string_at(spec, "clusterIP"))
            spec["clusterIPs"] = [spec["clusterIP"]]
        elif spec.get("clusterIP") == HEADLESS:
            spec["clusterIPs"] = [HEADLESS]
        try:
            await _take_ports(call, obj, _node_ports(old) if old is not None else set())
        except BaseException:
            if (taken := _address(obj)) and not held:
                await _give_address(call.services, taken)
            raise

    async def release(self, call: Call, obj: JsonObject, left: JsonObject | None) -> None:
        """Give back what is not needed any more."""
        kept = _address(left) if left is not None else ""
        if (address := _address(obj)) and address != kept:
            await _give_address(call.services, address)
        ports = _node_ports(obj) - (_node_ports(left) if left is not None else set())
        if ports:
            await _give_ports(call.services, ports)


def _keep_node_ports(spec: JsonObject, before: JsonObject) -> None:
    if spec.get("type") not in _WITH_NODE_PORTS:
        for port in list_at(spec, "ports"):
            port.pop("nodePort", None)
        return
    known = {_port_key(port): port.get("nodePort") for port in list_at(before, "ports")}
    for port in list_at(spec, "ports"):
        if not port.get("nodePort") and known.get(_port_key(port)):
            port["nodePort"] = known[_port_key(port)]


def _port_key(port: JsonObject) -> tuple[object, object]:
    return port.get("port"), port.get("protocol", "TCP")


def _has_address(obj: JsonObject) -> bool:
    return string_at(obj, "spec", "type") != "ExternalName"


def _address(obj: JsonObject) -> str:
    """Return the address that a service holds, or nothing."""
    address = string_at(obj, "spec", "clusterIP")
    return "" if address == HEADLESS or not _has_address(obj) else address


def _node_ports(obj: JsonObject) -> set[int]:
    return {port["nodePort"] for port in list_at(obj, "spec", "ports") if port.get("nodePort")}


def _is_in(address: str, network: IPv4Network) -> bool:
    try:
        return ip_address(address) in network
    except ValueError:
        return False


# --- addresses ---


def _candidates(call: Call) -> Iterator[IPv4Address]:
    """Yield addresses to try: random ones of the upper part, then all in order."""
    network = call.services.service_network
    kept = min(max(16, network.num_addresses // 16), 256)
    first = kept + 1 if network.num_addresses > kept + 2 else 1
    free = network.num_addresses - 1 - first
    for _ in range(ATTEMPTS):
        yield network[first + int(call.services.entropy.fraction() * free)]
    for offset in [*range(first, network.num_addresses - 1), *range(1, first)]:
        yield network[offset]


async def _take_address(call: Call, wanted: str) -> str:
    services = call.services
    if wanted:
        if not await _try_address(call, wanted):
            why = f"failed to allocate IP {wanted}: provided IP is already allocated"
            problem = field_errors.invalid("spec.clusterIPs", [wanted], why)
            raise invalid("Service", "", call.name, [problem])
        return wanted
    for candidate in _candidates(call):
        address = str(candidate)
        is_known = services.cache.get(services.key(IP_ADDRESSES, "", address)) is not None
        if not is_known and await _try_address(call, address):
            return address
    raise internal("failed to allocate a serviceIP: range is full")


async def _try_address(call: Call, address: str) -> bool:
    services = call.services
    parent = {
        "group": "",
        "resource": "services",
        "namespace": call.namespace,
        "name": call.name,
    }
    obj = {
        "apiVersion": IP_ADDRESSES.api_version,
        "kind": IP_ADDRESSES.kind,
        "metadata": {
            "name": address,
            "uid": services.uid(),
            "creationTimestamp": services.now(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": "IPv4",
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {"parentRef": parent},
    }
    try:
        await services.store.create(services.key(IP_ADDRESSES, "", address), stored_bytes(obj))
    except Exists:
        return False
    return True


async def _give_address(services: Services, address: str) -> None:
    key = services.key(IP_ADDRESSES, "", address)
    stored = await services.store.get(key)
    while stored is not None:
        try:
            await services.store.delete(key, seen=stored.revision)
        except Modified as newer:
            stored = newer.current
        else:
            return


# --- node ports ---


async def _take_ports(call: Call, obj: JsonObject, held: set[int]) -> None:
    """Take the ports that are asked for, and choose those that are not."""
    ports = list_at(obj, "spec", "ports")
    if string_at(obj, "spec", "type") not in _WITH_NODE_PORTS:
        return
    if not [port for port in ports if (port.get("nodePort") or 0) not in held]:
        return
    key = f"{call.services.root}ranges/servicenodeports"
    while True:
        stored = await call.services.store.get(key)
        taken = _bitmap(stored.value if stored else None)
        chosen = []
        for index, port in enumerate(ports):
            number = port.get("nodePort") or _free_port(call, taken)
            if number not in held and number not in chosen:
                if taken >> (number - NODE_PORTS[0]) & 1:
                    path, why = (
                        f"spec.ports[{index}].nodePort",
                        "provided port is already allocated",
                    )
                    problem = field_errors.invalid(path, number, why)
                    raise invalid("Service", "", call.name, [problem])
                taken |= 1 << (number - NODE_PORTS[0])
            chosen.append(number)
        if await _put_bitmap(call.services, key, taken, stored.revision if stored else 0):
            for port, number in zip(ports, chosen, strict=True):
                port["nodePort"] = number
            return


def _free_port(call: Call, taken: int) -> int:
    free = [p for p in NODE_PORTS if not taken >> (p - NODE_PORTS[0]) & 1]
    upper = [p for p in free if p >= NODE_PORTS[NODE_PORTS_KEPT]]
    if not free:
        raise internal("failed to allocate a nodePort: range is full")
    choice = upper or free
    return choice[int(call.services.entropy.fraction() * len(choice))]


async def _give_ports(services: Services, ports: set[int]) -> None:
    key = f"{services.root}ranges/servicenodeports"
    while True:
        stored = await services.store.get(key)
        if stored is None:
            return
        taken = _bitmap(stored.value)
        for port in ports:
            taken &= ~(1 << (port - NODE_PORTS[0]))
        if await _put_bitmap(services, key, taken, stored.revision):
            return


def _bitmap(value: bytes | None) -> int:
    """Return the ports that are taken, bit by bit."""
    data = "" if value is None else decode(value).get("data") or ""
    return int.from_bytes(base64.b64decode(data), "big")


async def _put_bitmap(services: Services, key: str, taken: int, seen: int) -> bool:
    """Write the bitmap unless somebody else did so since `seen`."""
    data = taken.to_bytes((taken.bit_length() + 7) // 8, "big")
    value = encode(
        {
            "apiVersion": "v1",
            "kind": "RangeAllocation",
            "metadata": {},
            "range": f"{NODE_PORTS[0]}-{NODE_PORTS[-1]}",
            "data": base64.b64encode(data).decode(),
        }
    )
    try:
        if seen:
            await services.store.update(key, value, seen=seen)
        else:
            await services.store.create(key, value)
    except (Exists, Modified):
        return False
    return True
