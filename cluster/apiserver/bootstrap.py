"""What a cluster has from its first start on: made if it is not there, otherwise left alone."""

from collections.abc import Iterable

from cluster.apiserver.registry import writing
from cluster.apiserver.registry.call import Call
from cluster.apiserver.services import Services
from cluster.apiserver.users import ITSELF
from cluster.kube_api.errors import ApiError
from cluster.kube_api.objects import JsonObject, string_at

MANAGER = "kube-apiserver"
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


def objects() -> Iterable[JsonObject]:
    """Return the objects, owners before what they hold."""
    for name in NAMESPACES:
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for name, (value, description) in PRIORITY_CLASSES.items():
        yield {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
            "preemptionPolicy": "PreemptLowerPriority",
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
