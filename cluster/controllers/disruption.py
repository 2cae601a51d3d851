"""PodDisruptionBudget: how many pods may be evicted now; the API server takes from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.controllers.ownership import controller_of
from cluster.controllers.pod_facts import is_deleting, is_finished, is_ready
from cluster.controllers.replicas import wanted_replicas
from cluster.controllers.rollout import share
from cluster.informer.conditions import with_conditions
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from cluster.informer.store import Change, key_of
from cluster.informer.times import unix_of
from cluster.kube_api.objects import JsonObject, integer_at, list_at, member, object_at, string_at
from cluster.kube_api.selectors import label_selector

_BELIEVED_FOR_S = 120.0
"""An eviction that was counted and is not seen for so long did not happen."""


@dataclass(frozen=True, slots=True)
class Need:
    """How many pods there should be, and how many of them have to be well."""

    expected: int
    healthy: int


def need(budget: JsonObject, pods: int, scale: int) -> Need:
    """Decide from a budget; `pods` are there, their owners want `scale` of them."""
    least = member(budget, "spec", "minAvailable")
    if isinstance(least, int):
        return Need(pods, least)
    if least is not None:
        return Need(scale, share(least, scale, rounds_up=True))
    most = member(budget, "spec", "maxUnavailable")
    if most is None:
        return Need(pods, 1)
    return Need(scale, max(scale - share(most, scale, rounds_up=True), 0))


def still_disrupted(
    budget: JsonObject, pods: Sequence[JsonObject], *, now: float
) -> dict[str, str]:
    """Return which counted evictions are not seen yet, each with the time when it was counted."""
    going_on = {string_at(pod, "metadata", "name") for pod in pods if not is_deleting(pod)}
    return {
        name: stamp
        for name, stamp in object_at(budget, "status", "disruptedPods").items()
        if name in going_on and unix_of(stamp) + _BELIEVED_FOR_S > now
    }


def status(
    budget: JsonObject, pods: Sequence[JsonObject], needed: Need, *, now: float
) -> JsonObject:
    """Return the status to write."""
    disrupted = still_disrupted(budget, pods, now=now)
    settled = [pod for pod in pods if not is_deleting(pod)]
    names = [string_at(pod, "metadata", "name") for pod in settled if is_ready(pod)]
    healthy = sum(name not in disrupted for name in names)
    allowed = max(healthy - needed.healthy, 0) if needed.expected > 0 else 0
    generation = integer_at(budget, "metadata", "generation")
    said: JsonObject = {
        "type": "DisruptionAllowed",
        "status": "True" if allowed else "False",
        "reason": "SufficientPods" if allowed else "InsufficientPods",
        "message": "",
        "observedGeneration": generation,
    }
    result: JsonObject = {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": needed.healthy,
        "expectedPods": needed.expected,
        "observedGeneration": generation,
        "conditions": with_conditions(list_at(budget, "status", "conditions"), [said], now),
    }
    return result | ({"disruptedPods": disrupted} if disrupted else {})


class DisruptionController(Controller):
    """Keeps the status of every budget."""

    name = "disruption"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        informers = environment.informers
        self._budgets = informers.store(POD_DISRUPTION_BUDGETS)
        self._pods = informers.store(PODS)
        self._owners = {
            resource.kind: informers.store(resource)
            for resource in (REPLICATION_CONTROLLERS, REPLICA_SETS, DEPLOYMENTS, STATEFUL_SETS)
        }
        self.follow(informers, POD_DISRUPTION_BUDGETS)
        informers.subscribe(PODS, self._pod_changed)
        for resource in (REPLICATION_CONTROLLERS, REPLICA_SETS, DEPLOYMENTS, STATEFUL_SETS):
            informers.subscribe(resource, self._owner_changed)

    async def reconcile(self, key: str) -> None:
        """Count one budget's pods."""
        budget = self._budgets.get(key)
        if budget is None:
            return
        namespace = string_at(budget, "metadata", "namespace")
        pods = [
            pod
            for pod in self._pods.in_namespace(namespace)
            if _selects(budget, pod) and not is_finished(pod)
        ]
        now = self.clock.unix()
        needed = need(budget, len(pods), self._scale(pods))
        wanted = status(budget, pods, needed, now=now)
        if wanted != object_at(budget, "status"):
            await self._api.update(
                POD_DISRUPTION_BUDGETS, {**budget, "status": wanted}, subresource="status"
            )
        stamps = object_at(wanted, "disruptedPods").values()
        dues = [unix_of(stamp) + _BELIEVED_FOR_S for stamp in stamps]
        if dues:
            self.enqueue_after(key, max(min(dues) - now, 0.0))

    def _scale(self, pods: Iterable[JsonObject]) -> int:
        """Return how many pods their owners want together; each owner counts once."""
        sizes: dict[str, int] = {}
        for pod in pods:
            owner = self._scaled_owner(pod)
            if owner is not None:
                sizes[string_at(owner, "metadata", "uid")] = wanted_replicas(owner)
        return sum(sizes.values())

    def _scaled_owner(self, value: JsonObject) -> JsonObject | None:
        """Return who says how many there are: of a ReplicaSet, its Deployment."""
        reference = controller_of(value)
        store = self._owners.get(string_at(reference or {}, "kind"))
        if reference is None or store is None:
            return None
        namespace = string_at(value, "metadata", "namespace")
        owner = store.get(f"{namespace}/{string_at(reference, 'name')}")
        if owner is None or string_at(owner, "metadata", "uid") != string_at(reference, "uid"):
            return None
        return self._scaled_owner(owner) or owner

    def _pod_changed(self, change: Change) -> None:
        for pod in (change.old, change.new):
            if pod is None:
                continue
            for budget in self._budgets.in_namespace(string_at(pod, "metadata", "namespace")):
                if _selects(budget, pod):
                    self.enqueue(key_of(budget))

    def _owner_changed(self, change: Change) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and wanted_replicas(old) == wanted_replicas(new):
            return
        for budget in self._budgets.in_namespace(string_at(change.object, "metadata", "namespace")):
            self.enqueue(key_of(budget))


def _selects(budget: JsonObject, pod: JsonObject) -> bool:
    """Whether a budget is for a pod: an empty selector is for all, a missing one for none."""
    selector = member(budget, "spec", "selector")
    labels = member(pod, "metadata", "labels") or {}
    return selector is not None and label_selector(selector).matches(labels)
