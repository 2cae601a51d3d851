"""ReplicationController and ReplicaSet: keep a number of pods. One algorithm, two resources."""

from collections.abc import Sequence

from cluster.controllers import replicas
from cluster.controllers.ownership import controller_of, controller_uids, uid_of
from cluster.controllers.pod_facts import condition, from_template, is_deleting
from cluster.controllers.pod_owner import Failure, PodOwnerController
from cluster.informer.conditions import turned
from cluster.informer.environment import Environment
from cluster.informer.store import key_of
from cluster.kube_api.objects import JsonObject, member, object_at, string_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.selectors import LabelSelector, equality_selector, label_selector


def selector_of(owner: JsonObject) -> LabelSelector:
    """Return what an owner selects: a LabelSelector, or a ReplicationController's plain map.

    A ReplicationController without one selects by its template's labels.
    """
    spec = object_at(owner, "spec")
    if owner.get("kind") == "ReplicationController":
        labels = spec.get("selector") or member(spec, "template", "metadata", "labels")
        return equality_selector(labels)
    return label_selector(spec.get("selector"))


class ReplicaSetController(PodOwnerController):
    """Brings the pods of each ReplicaSet, or ReplicationController, to their wanted number."""

    def __init__(self, environment: Environment, resource: Resource) -> None:
        super().__init__(environment, resource)
        self._owners.add_index("controller", controller_uids)

    def selector(self, owner: JsonObject) -> LabelSelector:
        """Return what an owner selects, of either kind."""
        return selector_of(owner)

    async def reconcile(self, key: str) -> None:
        """Create, delete, and write the status."""
        owner = self._owners.get(key)
        if owner is None:
            self._expectations.forget(key)
            return
        pods = await self.claimed(owner)
        failure: Failure | None = None
        if self.is_counted(key) and not is_deleting(owner):
            failure = await self._scale(key, owner, pods)
        await self._write_status(owner, pods, failure)
        now = self.clock.unix()
        due = replicas.next_available_at(owner, pods, now=now)
        if due is not None:
            self.enqueue_after(key, due - now)
        if failure is not None:
            raise failure.error

    async def _scale(
        self, key: str, owner: JsonObject, pods: Sequence[JsonObject]
    ) -> Failure | None:
        plan = replicas.plan(owner, pods, self._siblings(owner), now=self.clock.unix())
        if plan.create:
            pod = from_template(owner, object_at(owner, "spec", "template"))
            return await self.create_pods(key, owner, [pod] * plan.create)
        if plan.delete:
            return await self.delete_pods(key, owner, plan.delete)
        return None

    def _siblings(self, owner: JsonObject) -> list[JsonObject]:
        """Return the pods of all owners that share the owner's own controller."""
        family = controller_of(owner)
        owners = (
            self._owners.by_index("controller", string_at(family, "uid")) if family else [owner]
        )
        return [pod for one in owners for pod in self._pods.by_index("controller", uid_of(one))]

    async def _write_status(
        self, owner: JsonObject, pods: Sequence[JsonObject], failure: Failure | None
    ) -> None:
        now = self.clock.unix()
        wanted = replicas.status(
            owner,
            pods,
            self._condition(owner, failure),
            is_acted_on=self._expectations.are_met(key_of(owner), self.clock.monotonic()),
            now=now,
        )
        if wanted != object_at(owner, "status"):
            await self._api.update(
                self._resource, {**owner, "status": wanted}, subresource="status"
            )

    def _condition(self, owner: JsonObject, failure: Failure | None) -> JsonObject | None:
        """Return ReplicaFailure as of now; it stays as it was while the next try is awaited."""
        before = condition(owner, "ReplicaFailure")
        key = key_of(owner)
        if failure is None:
            waits = not self._expectations.are_met(key, self.clock.monotonic())
            return before if before and waits else None
        if string_at(before, "reason") == failure.reason:
            return before
        said: JsonObject = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": failure.reason,
            "message": str(failure.error),
        }
        return turned(said, None, self.clock.unix())
