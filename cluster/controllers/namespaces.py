"""A namespace that is to go: first everything in it, then itself."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from cluster.controllers.pod_facts import is_deleting
from cluster.informer.api import ApiError, is_not_found
from cluster.informer.conditions import turned
from cluster.informer.controller import Controller
from cluster.informer.discovery import IncompleteDiscovery
from cluster.informer.environment import Environment
from cluster.informer.resources import NAMESPACES
from cluster.kube_api.objects import JsonObject, list_at, object_at, string_at
from cluster.kube_api.resource import Resource

FINALIZER = "kubernetes"
_LATE_CREATIONS_S = 1.0
"""A create that was admitted just before is given so long to show itself."""
_LOOK_AGAIN_S = 1.0
Discover = Callable[[], Awaitable[Sequence[Resource]]]


@dataclass(slots=True)
class _Content:
    """What is left in a namespace, and what went wrong on the way."""

    remaining: dict[str, int] = field(default_factory=dict)
    finalizers: dict[str, int] = field(default_factory=dict)
    discovery_error: str = ""
    delete_errors: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether the namespace may go."""
        return not (self.remaining or self.discovery_error or self.delete_errors)


class NamespaceController(Controller):
    """Empties namespaces that have a deletionTimestamp, and lets them go."""

    name = "namespace"
    workers = 5

    def __init__(self, environment: Environment, discover: Discover) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._discover = discover
        self._namespaces = environment.informers.store(NAMESPACES)
        self._seen: dict[str, float] = {}
        self.follow(environment.informers, NAMESPACES)

    async def reconcile(self, key: str) -> None:
        """Delete what is in it; when nothing is left, finalize it."""
        namespace = self._namespaces.get(key)
        if namespace is None:
            self._seen.pop(key, None)
            return
        if not is_deleting(namespace) or FINALIZER not in list_at(namespace, "spec", "finalizers"):
            return
        now = self.clock.monotonic()
        due = self._seen.setdefault(key, now) + _LATE_CREATIONS_S
        if due > now:
            self.queue.add_at(key, due)
            return
        content = await self._delete_content(key)
        if content.is_empty:
            await self._finalize(namespace)
            return
        await self._write_conditions(namespace, content)
        self.enqueue_after(key, _LOOK_AGAIN_S)

    async def _delete_content(self, name: str) -> _Content:
        content = _Content()
        try:
            resources = await self._discover()
        except IncompleteDiscovery as error:
            resources, content.discovery_error = error.found, str(error)
        deletable = [
            one for one in resources if one.is_namespaced and {"delete", "list"} <= {*one.verbs}
        ]
        pods_first = sorted(deletable, key=lambda one: (one.plural != "pods", one.plural))
        for resource in pods_first:
            try:
                await self._delete_all(resource, name, content)
            except ApiError as error:
                if not is_not_found(error):
                    content.delete_errors.append(f"{resource.plural}: {error.message}")
            if resource.plural == "pods" and content.remaining:
                break  # what they may still need goes after them
        return content

    async def _delete_all(self, resource: Resource, name: str, content: _Content) -> None:
        await self._api.delete_collection(resource, name)
        left = (await self._api.list(resource, namespace=name)).items
        if not left:
            return
        group = f".{resource.group}" if resource.group else ""
        content.remaining[f"{resource.plural}{group}"] = len(left)
        for one in left:
            for finalizer in list_at(one, "metadata", "finalizers"):
                content.finalizers[finalizer] = content.finalizers.get(finalizer, 0) + 1

    async def _finalize(self, namespace: JsonObject) -> None:
        kept = [one for one in list_at(namespace, "spec", "finalizers") if one != FINALIZER]
        spec = {**object_at(namespace, "spec"), "finalizers": kept}
        try:
            await self._api.update(NAMESPACES, {**namespace, "spec": spec}, subresource="finalize")
        except ApiError as error:
            if not is_not_found(error):
                raise

    async def _write_conditions(self, namespace: JsonObject, content: _Content) -> None:
        wanted = _conditions(namespace, content, self.clock.unix())
        status = {**object_at(namespace, "status"), "phase": "Terminating", "conditions": wanted}
        if status != object_at(namespace, "status"):
            await self._api.update(
                NAMESPACES, {**namespace, "status": status}, subresource="status"
            )


def _conditions(namespace: JsonObject, content: _Content, now: float) -> list[JsonObject]:
    kinds = ", ".join(
        f"{kind} has {count} resource instances"
        for kind, count in sorted(content.remaining.items())
    )
    waits = ", ".join(
        f"{name} in {count} resource instances"
        for name, count in sorted(content.finalizers.items())
    )
    said = [
        (
            "NamespaceDeletionDiscoveryFailure",
            content.discovery_error,
            "ResourcesDiscovered",
            "DiscoveryFailed",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            "ParsedGroupVersions",
            "",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "; ".join(content.delete_errors),
            "ContentDeleted",
            "ContentDeletionFailed",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            kinds and f"Some resources are remaining: {kinds}",
            "ContentRemoved",
            "SomeResourcesRemain",
            "All content successfully removed",
        ),
        (
            "NamespaceFinalizersRemaining",
            waits and f"Some content in the namespace has finalizers remaining: {waits}",
            "ContentHasNoFinalizers",
            "SomeFinalizersRemain",
            "All content-preserving finalizers finished",
        ),
    ]
    before = {string_at(one, "type"): one for one in list_at(namespace, "status", "conditions")}
    found = []
    for kind, problem, good, bad, text in said:
        state = "True" if problem else "False"
        new: JsonObject = {
            "type": kind,
            "status": state,
            "reason": bad if problem else good,
            "message": problem or text,
        }
        found.append(turned(new, before.get(kind), now))
    return found
