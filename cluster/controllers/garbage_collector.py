"""Deletes what has no owner left, and sees to deletions that wait for dependents or let them go."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from cluster.controllers.ownership import uid_of
from cluster.controllers.ownership_graph import FOREGROUND, ORPHAN, Node, OwnershipGraph
from cluster.controllers.pod_facts import is_deleting
from cluster.informer.api import (
    ApiError,
    DeleteOptions,
    PatchKind,
    Ref,
    Unreachable,
    delete_if_there,
    is_not_found,
    ref_to,
)
from cluster.informer.controller import Controller
from cluster.informer.discovery import IncompleteDiscovery
from cluster.informer.environment import Environment
from cluster.informer.reflector import Reflector
from cluster.informer.store import Change, Store
from cluster.kube_api.objects import JsonObject, list_at, member, string_at
from cluster.kube_api.resource import Resource

logger = logging.getLogger(__name__)

_DISCOVER_EVERY_S = 30.0
Discover = Callable[[], Awaitable[Sequence[Resource]]]
_IGNORED = {("", "events"), ("events.k8s.io", "events")}


@dataclass(slots=True)
class _Owners:
    """The owners of an object: there, gone, or going and waiting for their dependents."""

    solid: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


class GarbageCollector(Controller):
    """Looks at objects by uid, over every resource that can be listed, watched and deleted."""

    name = "garbagecollector"
    workers = 5

    def __init__(self, environment: Environment, discover: Discover) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._entropy = environment.entropy
        self._recorder = environment.recorder
        self._discover = discover
        self._graph = OwnershipGraph()
        self._resources: dict[tuple[str, str], Resource] = {}
        self._followed: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow what there is, and work, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_all(tasks))
            tasks.create_task(super().run())

    async def _follow_all(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            try:
                found = await self._discover()
            except IncompleteDiscovery as error:
                found = error.found
            except (ApiError, Unreachable) as error:
                logger.warning("resources unknown", extra={"error": str(error)})
                await asyncio.sleep(1.0)
                continue
            wanted = {
                (one.group, one.plural): one
                for one in found
                if {"delete", "list", "watch"} <= {*one.verbs}
                and (one.group, one.plural) not in _IGNORED
            }
            for key in set(self._followed) - set(wanted):
                self._followed.pop(key).cancel()
            self._resources = wanted
            for key, resource in wanted.items():
                if key not in self._followed:
                    reflector = self._reflector(resource)
                    self._followed[key] = tasks.create_task(reflector.run())
            await asyncio.sleep(_DISCOVER_EVERY_S)

    def _reflector(self, resource: Resource) -> Reflector:
        def notify(changes: Sequence[Change]) -> None:
            for change in changes:
                self.observe(resource, change)

        return Reflector(self._api, resource, Store(), notify, self._entropy)

    def observe(self, resource: Resource, change: Change) -> None:
        """Take a change of an object of `resource`."""
        if change.new is None or (
            change.old is not None and uid_of(change.old) != uid_of(change.new)
        ):
            assert change.old is not None, "a change of nothing"
            for uid in self._graph.remove(uid_of(change.old)):
                self.enqueue(uid)
        if change.new is not None:
            for uid in self._graph.put(resource, change.new):
                self.enqueue(uid)

    async def reconcile(self, key: str) -> None:
        """Look at one object, by uid."""
        node = self._graph.node(key)
        if node is None:
            return
        if node.ref is None:
            await self._verify(node)
            return
        live = await self._live(node.ref, node.uid)
        if live is None:
            for uid in self._graph.remove(node.uid):
                self.enqueue(uid)
            return
        if is_deleting(live):
            await self._end(node, live)
            return
        if node.owners:
            await self._attempt_to_delete(node, live)

    async def _verify(self, node: Node) -> None:
        """Ask the server about an owner that nobody has seen."""
        ref = self._ref_of(*node.claimed)
        if ref is None or await self._live(ref, node.uid) is None:
            for dependent in node.dependents:
                self.enqueue(dependent)

    def _ref_of(self, api_version: str, kind: str, namespace: str, name: str) -> Ref | None:
        """Return what an ownerReference names, if its kind is served."""
        for resource in self._resources.values():
            if resource.kind == kind and resource.api_version == api_version:
                return Ref(resource, namespace if resource.is_namespaced else "", name)
        return None

    async def _live(self, ref: Ref, uid: str) -> JsonObject | None:
        try:
            live = await self._api.get(ref)
        except ApiError as error:
            if is_not_found(error):
                return None
            raise
        return live if uid_of(live) == uid else None

    # --- objects that are going

    async def _end(self, node: Node, live: JsonObject) -> None:
        finalizers = list_at(live, "metadata", "finalizers")
        if ORPHAN in finalizers:
            for dependent in self._graph.dependents(node.uid):
                await self._drop_owners(dependent, [node.uid])
            await self._drop_finalizer(node, live, ORPHAN)
        elif FOREGROUND in finalizers:
            blocking = [one for one in self._graph.dependents(node.uid) if one.blocks(node.uid)]
            for dependent in self._graph.dependents(node.uid):
                self.enqueue(dependent.uid)
            if not blocking:
                await self._drop_finalizer(node, live, FOREGROUND)

    async def _drop_finalizer(self, node: Node, live: JsonObject, name: str) -> None:
        assert node.ref is not None, "a virtual object has no finalizers"
        kept = [one for one in list_at(live, "metadata", "finalizers") if one != name]
        await self._patch(
            node.ref,
            {"finalizers": kept, "resourceVersion": string_at(live, "metadata", "resourceVersion")},
        )

    # --- objects with owners

    async def _attempt_to_delete(self, node: Node, live: JsonObject) -> None:
        assert node.ref is not None, "a virtual object has no owners"
        owners = list_at(live, "metadata", "ownerReferences")
        if not owners:
            return
        found = await self._classify(owners, string_at(live, "metadata", "namespace"))
        if found.solid:
            if found.dangling or found.waiting:
                await self._drop_owners(node, found.dangling + found.waiting)
            return
        has_blockers = any(not one.is_ending for one in self._graph.dependents(node.uid))
        finalizers = list_at(live, "metadata", "finalizers")
        if found.waiting and has_blockers:
            policy = "Foreground"
        elif ORPHAN in finalizers:
            policy = "Orphan"
        else:
            policy = "Foreground" if FOREGROUND in finalizers else "Background"
        options = DeleteOptions(
            uid=node.uid,
            resource_version=string_at(live, "metadata", "resourceVersion"),
            propagation=policy,
        )
        await delete_if_there(self._api, node.ref, options)

    async def _classify(self, owners: Sequence[JsonObject], namespace: str) -> _Owners:
        found = _Owners()
        for owner in owners:
            uid = string_at(owner, "uid")
            ref = self._ref_of(
                string_at(owner, "apiVersion"),
                string_at(owner, "kind"),
                namespace,
                string_at(owner, "name"),
            )
            if ref is None:
                found.solid.append(uid)  # its kind is not served now, which is no proof of its end
                continue
            live = await self._live(ref, uid)
            if live is None:
                found.dangling.append(uid)
            elif self._waits(live) and member(owner, "blockOwnerDeletion") is True:
                found.waiting.append(uid)
            else:
                found.solid.append(uid)
        return found

    def _waits(self, live: JsonObject) -> bool:
        return is_deleting(live) and FOREGROUND in list_at(live, "metadata", "finalizers")

    async def _drop_owners(self, node: Node, uids: Sequence[str]) -> None:
        """Take owners out of an object, if it is still this one."""
        if node.ref is None:
            return
        live = await self._live(node.ref, node.uid)
        if live is None:
            return
        kept = [
            one
            for one in list_at(live, "metadata", "ownerReferences")
            if string_at(one, "uid") not in uids
        ]
        ref = ref_to(node.ref.resource, live)
        version = string_at(live, "metadata", "resourceVersion")
        await self._patch(ref, {"ownerReferences": kept, "resourceVersion": version})

    async def _patch(self, ref: Ref, metadata: JsonObject) -> None:
        try:
            await self._api.patch(ref, {"metadata": metadata}, kind=PatchKind.MERGE)
        except ApiError as error:
            if not is_not_found(error):
                raise
