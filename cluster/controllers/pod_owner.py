"""What controllers that make pods have in common: claims, expectations, careful creating."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

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
from cluster.controllers.pod_facts import is_active, is_deleting
from cluster.controllers.slow_start import slow_start
from cluster.informer.api import ApiError, DeleteOptions, Unreachable, is_not_found, ref_to
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import PODS
from cluster.informer.store import Change, key_of
from cluster.kube_api.objects import JsonObject, member, string_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.selectors import LabelSelector, label_selector


@dataclass(frozen=True, slots=True)
class Failure:
    """Pods could not be made, or ended, as planned; `reason` is the word for it in events."""

    reason: str
    error: ApiError | Unreachable


class PodOwnerController(Controller):
    """A controller whose objects own pods."""

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
        self._expectations = Expectations()
        self.follow(environment.informers, resource)
        environment.informers.subscribe(PODS, self._pod_changed)

    def selector(self, owner: JsonObject) -> LabelSelector:
        """Return what an owner selects; a LabelSelector, for most."""
        return label_selector(member(owner, "spec", "selector"))

    @abstractmethod
    async def reconcile(self, key: str) -> None:
        """Look at one owner."""

    def is_counted(self, key: str) -> bool:
        """Whether the store shows all that was asked for; if not, the key comes back in time."""
        if self._expectations.are_met(key, self.clock.monotonic()):
            return True
        self.queue.add_at(key, self._expectations.given_up_at(key))
        return False

    async def claimed(self, owner: JsonObject) -> list[JsonObject]:
        """Adopt and release; return the owner's pods."""
        namespace = string_at(owner, "metadata", "namespace")
        candidates = self._pods.by_index("controller", uid_of(owner)) + [
            pod
            for pod in self._pods.by_index("controller", "")
            if string_at(pod, "metadata", "namespace") == namespace and is_active(pod)
        ]
        found = claims(owner, self.selector(owner), candidates)
        return await claim(self._api, self._resource, owner, PODS, found)

    async def create_pods(
        self, key: str, owner: JsonObject, pods: Sequence[JsonObject]
    ) -> Failure | None:
        """Create pods, few at first; each is given its owner here. To be called once a look."""
        self._expectations.expect(key, self.clock.monotonic(), creations=len(pods))
        left: Iterator[JsonObject] = iter(pods)

        async def create() -> None:
            await self._create_one(key, owner, next(left))

        skipped, error = await slow_start(len(pods), create)
        for _ in range(skipped):
            self._expectations.creation_seen(key)
        return None if error is None else Failure("FailedCreate", error)

    async def _create_one(self, key: str, owner: JsonObject, pod: JsonObject) -> None:
        metadata = {**pod["metadata"], "ownerReferences": [controller_ref(owner)]}
        try:
            created = await self._api.create(PODS, {**pod, "metadata": metadata})
        except ApiError as error:
            self._expectations.creation_seen(key)
            if is_namespace_terminating(error):
                return
            self._recorder.warning(owner, "FailedCreate", f"Error creating: {error.message}")
            raise
        name = string_at(created, "metadata", "name")
        self._recorder.normal(owner, "SuccessfulCreate", f"Created pod: {name}")

    async def delete_pods(
        self, key: str, owner: JsonObject, pods: Iterable[JsonObject]
    ) -> Failure | None:
        """Delete pods, all at once. To be called once a look."""
        wanted = list(pods)
        now = self.clock.monotonic()
        self._expectations.expect(key, now, deletions=map(uid_of, wanted))
        results = await asyncio.gather(
            *(self._delete_one(key, owner, pod) for pod in wanted), return_exceptions=True
        )
        for result in results:
            if isinstance(result, ApiError | Unreachable):
                return Failure("FailedDelete", result)
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
            if self.selector(owner).matches(labels):
                self.enqueue(key_of(owner))


def is_namespace_terminating(error: ApiError) -> bool:
    """Whether a create was refused because its namespace is going: nothing to complain about."""
    causes = (error.details or {}).get("causes", [])
    return any(string_at(cause, "reason") == "NamespaceTerminating" for cause in causes)
