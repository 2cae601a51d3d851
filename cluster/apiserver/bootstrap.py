"""What a cluster has from its first start on: made if it is not there, otherwise left alone."""

from collections.abc import Iterable
from ipaddress import IPv4Network

from cluster.apiserver.registry import writing
from cluster.apiserver.registry.call import Call
from cluster.apiserver.services import Services
from cluster.apiserver.users import ITSELF
from cluster.kube_api.errors import ApiError
from cluster.kube_api.objects import JsonObject, string_at

MANAGER = "kube-apiserver"
PORT = 6443
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
PRIORITY_CLASSES = {
    "system-cluster-critical": (
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another"
        " node if necessary.",
    ),
    "system-node-critical": (
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
}


def objects(network: IPv4Network) -> Iterable[JsonObject]:
    """Return the objects, owners before what they hold; `network` is where services live."""
    for name in NAMESPACES:
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        yield default_account(name)  # not only with the namespace: older data has none
    yield {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [str(network)]},
    }
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": str(network[1]),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": PORT}],
        },
    }
    for name, (value, description) in PRIORITY_CLASSES.items():
        yield {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
            "preemptionPolicy": "PreemptLowerPriority",
        }


def default_account(namespace: str) -> JsonObject:
    """Return the account of pods that name none."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": namespace},
    }


async def ensure(services: Services, wanted: Iterable[JsonObject]) -> None:
    """Create what is missing. Several servers may do so at once."""
    for obj in wanted:
        resource = services.resources.by_kind(obj["apiVersion"], obj["kind"])
        assert resource is not None, f"{obj['kind']} is served"
        call = Call(
            services=services,
            resource=resource,
            user=ITSELF,
            namespace=string_at(obj, "metadata", "namespace"),
            name=string_at(obj, "metadata", "name"),
            manager=MANAGER,
        )
        if services.cache.get(call.key) is not None:
            continue
        try:
            await writing.create(call, obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise


async def advertise(services: Services, host: str, port: int) -> None:
    """Say where the `kubernetes` service leads: to this server, the last one that started."""
    head = {"name": "kubernetes", "namespace": "default"}
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": head | {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [
            {
                "addresses": [{"ip": host}],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ],
    }
    endpoint_slice = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": head | {"labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    await ensure(services, [endpoints, endpoint_slice])
    for wanted in (endpoints, endpoint_slice):
        await _replace(services, wanted)


async def _replace(services: Services, wanted: JsonObject) -> None:
    async def make(live: JsonObject) -> JsonObject:
        return live | {k: v for k, v in wanted.items() if k != "metadata"}

    resource = services.resources.by_kind(wanted["apiVersion"], wanted["kind"])
    assert resource is not None, f"{wanted['kind']} is served"
    call = Call(
        services=services,
        resource=resource,
        user=ITSELF,
        namespace=wanted["metadata"]["namespace"],
        name=wanted["metadata"]["name"],
        manager=MANAGER,
    )
    await writing.update(call, make)
