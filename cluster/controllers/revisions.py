"""The templates that a StatefulSet or DaemonSet had: a ControllerRevision each.

A pod says by its label which of them it was made from. Planning here is pure, but `Revisions`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.controllers.ownership import claim, claims, controller_ref, controller_uids, uid_of
from cluster.controllers.rollout import template_hash
from cluster.informer.api import (
    Api,
    ApiError,
    DeleteOptions,
    PatchKind,
    delete_if_there,
    is_already_exists,
    ref_to,
)
from cluster.informer.environment import Environment
from cluster.informer.resources import CONTROLLER_REVISIONS
from cluster.informer.store import Store
from cluster.kube_api.objects import JsonObject, integer_at, member, object_at, same, string_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.selectors import label_selector

REVISION_LABEL = "controller-revision-hash"
_HASH_LABEL = "controller.kubernetes.io/hash"


def data_of(owner: JsonObject) -> JsonObject:
    """Return what a revision holds: a patch that puts the owner's template back."""
    template = object_at(owner, "spec", "template")
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def template_of(revision: JsonObject) -> JsonObject:
    """Return the template that a revision holds."""
    template = object_at(revision, "data", "spec", "template")
    return {name: part for name, part in template.items() if name != "$patch"}


def name_of(revision: JsonObject) -> str:
    """Return what pods are labelled with."""
    return string_at(revision, "metadata", "name")


def number_of(revision: JsonObject) -> int:
    """Return its place in the history; the highest is the newest."""
    return integer_at(revision, "revision")


def in_order(revisions: Iterable[JsonObject]) -> list[JsonObject]:
    """Return them oldest first."""
    return sorted(revisions, key=lambda one: (number_of(one), name_of(one)))


def surplus(revisions: Sequence[JsonObject], used: Iterable[str], limit: int) -> list[JsonObject]:
    """Return what may be forgotten: the oldest that no pod was made from, beyond the limit."""
    kept = set(used)
    unused = [one for one in in_order(revisions) if name_of(one) not in kept]
    return unused[: max(len(unused) - limit, 0)]


@dataclass(frozen=True, slots=True)
class History:
    """All revisions of an owner, and the one of its present template."""

    update: JsonObject
    revisions: list[JsonObject]

    def named(self, name: str) -> JsonObject:
        """Return a revision; where it is forgotten, the present one."""
        return next((one for one in self.revisions if name_of(one) == name), self.update)


class Revisions:
    """Keeps the history of the owners of one resource."""

    def __init__(self, environment: Environment, resource: Resource) -> None:
        self._api: Api = environment.api
        self._resource = resource
        self._store: Store = environment.informers.store(CONTROLLER_REVISIONS)
        self._store.add_index("controller", controller_uids)

    async def sync(self, owner: JsonObject) -> History | None:
        """See to it that the present template has a revision, which is the newest.

        None if the name for it is taken by another: its hash has to be another one then, which the
        caller notes in `status.collisionCount`.
        """
        revisions = await self._claimed(owner)
        data = data_of(owner)
        newest = max(map(number_of, revisions), default=0)
        equal = [one for one in in_order(revisions) if same(object_at(one, "data"), data)]
        if equal and number_of(equal[-1]) == newest:
            return History(equal[-1], revisions)
        if equal:
            again = await self._api.patch(
                ref_to(CONTROLLER_REVISIONS, equal[-1]),
                {"revision": newest + 1},
                kind=PatchKind.MERGE,
            )
            return History(again, [one for one in revisions if one != equal[-1]] + [again])
        made = await self._create(owner, data, newest + 1)
        return None if made is None else History(made, [*revisions, made])

    async def prune(self, owner: JsonObject, history: History, used: Iterable[str]) -> None:
        """Forget what is beyond the history's limit."""
        limit = integer_at(owner, "spec", "revisionHistoryLimit", default=10)
        kept = [*used, name_of(history.update)]
        for one in surplus(history.revisions, kept, limit):
            ref = ref_to(CONTROLLER_REVISIONS, one)
            await delete_if_there(self._api, ref, DeleteOptions(uid=uid_of(one)))

    async def _claimed(self, owner: JsonObject) -> list[JsonObject]:
        namespace = string_at(owner, "metadata", "namespace")
        candidates = self._store.by_index("controller", uid_of(owner)) + [
            one
            for one in self._store.by_index("controller", "")
            if string_at(one, "metadata", "namespace") == namespace
        ]
        selector = label_selector(member(owner, "spec", "selector"))
        found = claims(owner, selector, candidates)
        return await claim(self._api, self._resource, owner, CONTROLLER_REVISIONS, found)

    async def _create(self, owner: JsonObject, data: JsonObject, number: int) -> JsonObject | None:
        template = object_at(owner, "spec", "template")
        digest = template_hash(template, integer_at(owner, "status", "collisionCount"))
        labels = object_at(template, "metadata", "labels")
        body: JsonObject = {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": f"{string_at(owner, 'metadata', 'name')}-{digest}",
                "namespace": string_at(owner, "metadata", "namespace"),
                "labels": {**labels, _HASH_LABEL: digest},
                "ownerReferences": [controller_ref(owner)],
            },
            "data": data,
            "revision": number,
        }
        try:
            return await self._api.create(CONTROLLER_REVISIONS, body)
        except ApiError as error:
            if not is_already_exists(error):
                raise
        live = await self._api.get(ref_to(CONTROLLER_REVISIONS, body))
        is_ours = uid_of(owner) in controller_uids(live) and same(object_at(live, "data"), data)
        return live if is_ours else None
