"""ReplicationController and ReplicaSet: keep a number of pods. One algorithm, two resources."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from cluster.controllers import replicas
from cluster.controllers.expectations import Expectations
from cluster.controllers.ownership import (
    claim,
    claims,
    controller_of,
    controller_ref,
    controller_uids,
    owner_key,
    uid_of,
)
from cluster.controllers.pod_facts import condition, from_template, is_active, is_deleting
from cluster.controllers.slow_start import slow_start
from cluster.informer.api import (
    ApiError,
    DeleteOptions,
    Unreachable,
    is_not_found,
    ref_to,
)
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import PODS
from cluster.informer.store import Change, key_of
from cluster.informer.times import timestamp
from cluster.kube_api.objects import JsonObject, member, object_at, string_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.selectors import LabelSelector, equality_selector, label_selector


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    error: ApiError | Unreachable


def selector_of(owner: JsonObject) -> LabelSelector:
    """Return what an owner selects: a LabelSelector, or a ReplicationController's plain map.

    A ReplicationController without one selects by its template's labels.
    """
    spec = object_at(owner, "spec")
    if owner.get("kind") == "ReplicationController":
        labels = spec.get("selector") or member(spec, "template", "metadata", "labels")
        return equality_selector(labels)
    return label_selector(spec.get("selector"))


class ReplicaSetController(Controller):
    """Brings the pods of each ReplicaSet, or ReplicationController, to their wanted number."""

    workers = 5

    def __init__(self, environment: Environment, resource: Resource) -> None:
        super().__init__(environment.clock)
        self.name = resource.kind.lower()
        self._api = environment.api
        self._recorder = environment.recorder
        self._resource = resource
        self._owners = environment.informers.store(resource)
        self._pods = environment.informers.store(PODS)
        self._pods.add_index("controller", controller_uids)
        self._owners.add_index("controller", controller_uids)
        self._expectations = Expectations()
        self.follow(environment.informers, resource)
        environment.informers.subscribe(PODS, self._pod_changed)

    async def reconcile(self, key: str) -> None:
        """Create, delete, and write the status."""
        owner = self._owners.get(key)
        if owner is None:
            self._expectations.forget(key)
            return
        pods = await self._claimed(owner)
        failure: _Failure | None = None
        if not self._expectations.are_met(key, self.clock.monotonic()):
            self.queue.add_at(key, self._expectations.given_up_at(key))
        elif not is_deleting(owner):
            failure = await self._scale(key, owner, pods)
        await self._write_status(owner, pods, failure)
        now = self.clock.unix()
        due = replicas.next_available_at(owner, pods, now=now)
        if due is not None:
            self.enqueue_after(key, due - now)
        if failure is not None:
            raise failure.error

    async def _claimed(self, owner: JsonObject) -> list[JsonObject]:
        namespace = string_at(owner, "metadata", "namespace")
        candidates = self._pods.by_index("controller", uid_of(owner)) + [
            pod
            for pod in self._pods.by_index("controller", "")
            if string_at(pod, "metadata", "namespace") == namespace and is_active(pod)
        ]
        found = claims(owner, selector_of(owner), candidates)
        return await claim(self._api, self._resource, owner, PODS, found)

    async def _scale(
        self, key: str, owner: JsonObject, pods: Sequence[JsonObject]
    ) -> _Failure | None:
        plan = replicas.plan(owner, pods, self._siblings(owner), now=self.clock.unix())
        if plan.create:
            return await self._create(key, owner, plan.create)
        if plan.delete:
            return await self._delete(key, owner, plan.delete)
        return None

    def _siblings(self, owner: JsonObject) -> list[JsonObject]:
        """Return the pods of all owners that share the owner's own controller."""
        family = controller_of(owner)
        owners = (
            self._owners.by_index("controller", string_at(family, "uid")) if family else [owner]
        )
        return [pod for one in owners for pod in self._pods.by_index("controller", uid_of(one))]

    async def _create(self, key: str, owner: JsonObject, count: int) -> _Failure | None:
        self._expectations.expect(key, self.clock.monotonic(), creations=count)
        skipped, error = await slow_start(count, partial(self._create_one, key, owner))
        for _ in range(skipped):
            self._expectations.creation_seen(key)
        return None if error is None else _Failure("FailedCreate", error)

    async def _create_one(self, key: str, owner: JsonObject) -> None:
        pod = from_template(owner, object_at(owner, "spec", "template"))
        pod["metadata"]["ownerReferences"] = [controller_ref(owner)]
        try:
            created = await self._api.create(PODS, pod)
        except ApiError as error:
            self._expectations.creation_seen(key)
            if is_namespace_terminating(error):
                return
            self._recorder.warning(owner, "FailedCreate", f"Error creating: {error.message}")
            raise
        name = string_at(created, "metadata", "name")
        self._recorder.normal(owner, "SuccessfulCreate", f"Created pod: {name}")

    async def _delete(
        self, key: str, owner: JsonObject, pods: Sequence[JsonObject]
    ) -> _Failure | None:
        now = self.clock.monotonic()
        self._expectations.expect(key, now, deletions=map(uid_of, pods))
        results = await asyncio.gather(
            *(self._delete_one(key, owner, pod) for pod in pods), return_exceptions=True
        )
        for result in results:
            if isinstance(result, ApiError | Unreachable):
                return _Failure("FailedDelete", result)
            if isinstance(result, BaseException):
                raise result
        return None

    async def _delete_one(self, key: str, owner: JsonObject, pod: JsonObject) -> None:
        name = string_at(pod, "metadata", "name")
        try:
            await self._api.delete(ref_to(PODS, pod), DeleteOptions(uid=uid_of(pod)))
        except ApiError as error:
            self._expectations.deletion_seen(key, uid_of(pod))
            if is_not_found(error):
                return
            self._recorder.warning(owner, "FailedDelete", f"Error deleting: {error.message}")
            raise
        self._recorder.normal(owner, "SuccessfulDelete", f"Deleted pod: {name}")

    async def _write_status(
        self, owner: JsonObject, pods: Sequence[JsonObject], failure: _Failure | None
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

    def _condition(self, owner: JsonObject, failure: _Failure | None) -> JsonObject | None:
        """Return ReplicaFailure as of now; it stays as it was while the next try is awaited."""
        before = condition(owner, "ReplicaFailure")
        key = key_of(owner)
        if failure is None:
            waits = not self._expectations.are_met(key, self.clock.monotonic())
            return before if before and waits else None
        if string_at(before, "reason") == failure.reason:
            return before
        return {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": failure.reason,
            "message": str(failure.error),
            "lastTransitionTime": timestamp(self.clock.unix()),
        }

    def _pod_changed(self, change: Change) -> None:
        pod = change.object
        key = owner_key(pod, self._resource.kind)
        if key is not None:
            if change.old is None:
                self._expectations.creation_seen(key)
            if change.new is None or is_deleting(pod):
                self._expectations.deletion_seen(key, uid_of(pod))
            self.enqueue(key)
        if change.old is not None:
            former = owner_key(change.old, self._resource.kind)
            if former is not None and former != key:
                self.enqueue(former)
        if controller_of(pod) is None and change.new is not None:
            self._offer(pod)

    def _offer(self, pod: JsonObject) -> None:
        """Let everybody look who may want an orphan."""
        labels = member(pod, "metadata", "labels") or {}
        for owner in self._owners.in_namespace(string_at(pod, "metadata", "namespace")):
            if selector_of(owner).matches(labels):
                self.enqueue(key_of(owner))


def is_namespace_terminating(error: ApiError) -> bool:
    """Whether a create was refused because its namespace is going: nothing to complain about."""
    causes = (error.details or {}).get("causes", [])
    return any(string_at(cause, "reason") == "NamespaceTerminating" for cause in causes)
