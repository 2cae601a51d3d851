"""EndpointSlices: what stands behind a Service, in parts of at most a hundred endpoints.

The plan changes as few slices as it can: every change of one is sent to every node.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.controllers.expectations import Expectations
from cluster.controllers.ownership import controller_ref, uid_of
from cluster.controllers.pod_facts import is_deleting
from cluster.controllers.pod_owner import is_namespace_terminating
from cluster.controllers.service_endpoints import (
    Endpoint,
    Port,
    endpoints,
    has_selector,
    is_headless,
    services_of,
)
from cluster.informer.api import ApiError, DeleteOptions, delete_if_there, ref_to
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from cluster.informer.store import Change, Store, key_of, split_key
from cluster.kube_api.objects import JsonObject, list_at, object_at, same, string_at

ENDPOINTS_MAX = 100
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """What brings the slices of a Service to what stands behind it."""

    create: list[JsonObject] = field(default_factory=list)
    update: list[JsonObject] = field(default_factory=list)
    delete: list[JsonObject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Group:
    """Endpoints of one address family that serve the same ports, and the slices they have."""

    family: str
    ports: list[JsonObject]
    wanted: list[JsonObject]
    slices: list[JsonObject]


def plan(service: JsonObject, group: _Group) -> SlicePlan:
    """Decide. Endpoints stay in the slice that has them; the rest fill what has room, or new ones.

    A service without endpoints keeps one empty slice, which says so.
    """
    by_target = {_identity(one): one for one in group.wanted}
    contents: list[list[JsonObject]] = []
    for one in group.slices:
        present = [_identity(old) for old in list_at(one, "endpoints")]
        contents.append([by_target.pop(identity) for identity in present if identity in by_target])
    rest = list(by_target.values())
    for content in contents:
        room = ENDPOINTS_MAX - len(content)
        content.extend(rest[:room])
        rest = rest[room:]
    new = [rest[start : start + ENDPOINTS_MAX] for start in range(0, len(rest), ENDPOINTS_MAX)]
    if not contents and not new:
        new = [[]]
    keeps_first = not new and not any(contents)
    result = SlicePlan()
    for index, (one, content) in enumerate(zip(group.slices, contents, strict=True)):
        changed = {**one, **_body(service, one, content, group.ports)}
        if not content and not (keeps_first and index == 0):
            result.delete.append(one)
        elif not same(changed, one):
            result.update.append(changed)
    for content in new:
        result.create.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": group.family,
                **_body(service, {}, content, group.ports),
            }
        )
    return result


def _identity(endpoint: JsonObject) -> tuple[str, str]:
    addresses = list_at(endpoint, "addresses")
    return string_at(endpoint, "targetRef", "uid"), str(addresses[0]) if addresses else ""


def _body(
    service: JsonObject, one: JsonObject, content: list[JsonObject], ports: Sequence[JsonObject]
) -> JsonObject:
    name = string_at(service, "metadata", "name")
    labels = {
        **object_at(service, "metadata", "labels"),
        SERVICE_NAME: name,
        MANAGED_BY: CONTROLLER,
    }
    if is_headless(service):
        labels[HEADLESS] = ""
    metadata = object_at(one, "metadata") or {
        "generateName": f"{name}-",
        "namespace": string_at(service, "metadata", "namespace"),
        "ownerReferences": [controller_ref(service)],
    }
    return {
        "metadata": {**metadata, "labels": labels},
        "endpoints": content,
        "ports": list(ports),
    }


def endpoint_json(one: Endpoint, nodes: Store) -> JsonObject:
    """Return the form in which a slice has an endpoint."""
    found: JsonObject = {
        "addresses": [one.address],
        "conditions": {
            "ready": one.is_ready,
            "serving": one.is_serving,
            "terminating": one.is_terminating,
        },
        "targetRef": one.target(),
    }
    if node_name := string_at(one.pod, "spec", "nodeName"):
        found["nodeName"] = node_name
        node = nodes.get(node_name)
        if node is not None and (zone := object_at(node, "metadata", "labels").get(ZONE)):
            found["zone"] = zone
    if one.hostname:
        found["hostname"] = one.hostname
    return found


def _port_json(port: Port) -> JsonObject:
    found: JsonObject = {"name": port.name, "port": port.number, "protocol": port.protocol}
    if port.app_protocol:
        found["appProtocol"] = port.app_protocol
    return found


def family_of(address: str) -> str:
    """Return the addressType of an address."""
    return "IPv6" if ":" in address else "IPv4"


class EndpointSliceController(Controller):
    """Keeps the slices of each Service equal to what stands behind it."""

    name = "endpointslice"
    workers = 5

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._recorder = environment.recorder
        self._expectations = Expectations()
        self._services = environment.informers.store(SERVICES)
        self._pods = environment.informers.store(PODS)
        self._nodes = environment.informers.store(NODES)
        self._slices = environment.informers.store(ENDPOINT_SLICES)
        self._slices.add_index("service", _service_keys)
        self.follow(environment.informers, SERVICES)
        environment.informers.subscribe(PODS, self._pod_changed)
        environment.informers.subscribe(ENDPOINT_SLICES, self._slice_changed)
        environment.informers.subscribe(NODES, lambda _: None)

    async def reconcile(self, key: str) -> None:
        """Write the slices of one Service."""
        service = self._services.get(key)
        present = self._slices.by_index("service", key)
        if service is None:
            self._expectations.forget(key)
            for one in present:
                await self._delete(one)
            return
        if not has_selector(service) or is_deleting(service):
            return
        if not self._expectations.are_met(key, self.clock.monotonic()):
            # A slice was made that the store does not show: it would be made twice.
            self.queue.add_at(key, self._expectations.given_up_at(key))
            return
        steps = self._plans(service, present)
        await self._create(key, service, [one for step in steps for one in step.create])
        for step in steps:
            for one in step.update:
                await self._api.update(ENDPOINT_SLICES, one)
            for one in step.delete:
                await self._delete(one)

    def _plans(self, service: JsonObject, present: list[JsonObject]) -> list[SlicePlan]:
        """Return a plan for each set of ports and address family, and for slices of neither."""
        namespace, _ = split_key(key_of(service))
        groups: dict[tuple[str, tuple[Port, ...]], list[JsonObject]] = {}
        for found in endpoints(service, self._pods.in_namespace(namespace)):
            group = (family_of(found.address), tuple(sorted(found.ports)))
            groups.setdefault(group, []).append(endpoint_json(found, self._nodes))
        if not groups:
            families = list_at(service, "spec", "ipFamilies") or ["IPv4"]
            groups = {(str(family), ()): [] for family in families}
        plans: list[SlicePlan] = []
        left = {uid_of(one): one for one in present}
        for (family, ports), wanted in sorted(groups.items(), key=lambda item: item[0]):
            as_json = [_port_json(port) for port in ports]
            own = [
                one
                for one in left.values()
                if string_at(one, "addressType") == family and list_at(one, "ports") == as_json
            ]
            for one in own:
                del left[uid_of(one)]
            plans.append(plan(service, _Group(family, as_json, wanted, own)))
        return [*plans, SlicePlan(delete=list(left.values()))]

    async def _create(self, key: str, service: JsonObject, slices: list[JsonObject]) -> None:
        if not slices:
            return
        self._expectations.expect(key, self.clock.monotonic(), creations=len(slices))
        left = len(slices)
        try:
            for one in slices:
                left -= 1
                await self._api.create(ENDPOINT_SLICES, one)
        except ApiError as error:
            self._expectations.creation_seen(key)
            if is_namespace_terminating(error):
                return
            message = f"Error creating slice: {error.message}"
            self._recorder.warning(service, "FailedToCreateEndpointSlices", message)
            raise
        finally:
            for _ in range(left):  # not even asked for
                self._expectations.creation_seen(key)

    async def _delete(self, one: JsonObject) -> None:
        ref = ref_to(ENDPOINT_SLICES, one)
        await delete_if_there(self._api, ref, DeleteOptions(uid=uid_of(one)))

    def _pod_changed(self, change: Change) -> None:
        for key in services_of(change, self._services):
            self.enqueue(key)

    def _slice_changed(self, change: Change) -> None:
        for key in _service_keys(change.object):
            if change.old is None:
                self._expectations.creation_seen(key)
            self.enqueue(key)


def _service_keys(one: JsonObject) -> list[str]:
    """Index function: the key of the Service whose slice it is, if this controller made it."""
    labels = object_at(one, "metadata", "labels")
    if labels.get(MANAGED_BY) != CONTROLLER or not labels.get(SERVICE_NAME):
        return []
    return [f"{string_at(one, 'metadata', 'namespace')}/{labels[SERVICE_NAME]}"]
