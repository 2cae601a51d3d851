"""An API server in memory, for controllers: objects, versions, a log of changes, and faults.

It knows what controllers rely on: optimistic concurrency, uids and preconditions, generated names,
generations, finalizers, and pods that end only when their kubelet says so. It knows no validation.
"""

import copy
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from cluster.informer.api import (
    ANYHOW,
    DeleteOptions,
    ObjectList,
    PatchKind,
    Ref,
    Unreachable,
    WatchEvent,
    WatchEventType,
    ref_to,
)
from cluster.informer.store import key_of
from cluster.informer.times import timestamp
from cluster.kube_api import errors, patches
from cluster.kube_api.objects import JsonObject, integer_at, member, same, string_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.selectors import parse_label_selector

COMMON = {"metadata", "status"}


class SettableClock:
    """Time that tests own."""

    def __init__(self, unix: float = 1_700_000_000.0) -> None:
        self.now = unix

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self.now


@dataclass(slots=True)
class Collection:
    """The objects of a resource, and all that ever happened to them, each with its version."""

    objects: dict[str, JsonObject] = field(default_factory=dict)
    log: list[tuple[int, WatchEvent]] = field(default_factory=list)


Fault = Callable[[str, Resource], str]
"""Asked before each write for "" (none), "refuse" (no effect), or "lose" (effect, no answer)."""


def _no_fault(_verb: str, _resource: Resource) -> str:
    return ""


class ApiTwin:
    """An `Api` whose calls end at once."""

    def __init__(self, clock: SettableClock) -> None:
        self.clock = clock
        self.version = 0
        self.fault: Fault = _no_fault
        self.writes: list[tuple[str, str, str]] = []
        """Every write that took effect: verb, plural, key."""
        self._collections: dict[tuple[str, str], Collection] = {}
        self._serial = 0

    def collection(self, resource: Resource) -> Collection:
        return self._collections.setdefault((resource.group, resource.plural), Collection())

    def objects(self, resource: Resource) -> list[JsonObject]:
        found = self.collection(resource).objects
        return [found[key] for key in sorted(found)]

    # --- the Api

    async def get(self, ref: Ref) -> JsonObject:
        return copy.deepcopy(self._found(ref))

    async def list(
        self, resource: Resource, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> ObjectList:
        selector = parse_label_selector(labels)
        items = [
            copy.deepcopy(one)
            for one in self.objects(resource)
            if (not namespace or string_at(one, "metadata", "namespace") == namespace)
            and selector.matches(member(one, "metadata", "labels") or {})
        ]
        assert not fields, "the twin selects by labels only"
        return ObjectList(items, str(self.version))

    async def watch(
        self, resource: Resource, *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        assert (labels, fields) == ("", ""), "the twin watches whole collections"
        for version, event in list(self.collection(resource).log):
            if version > int(resource_version):
                yield copy.deepcopy(event)

    async def create(self, resource: Resource, body: JsonObject) -> JsonObject:
        body = self._with_name(resource, body)
        key = key_of(body)
        is_lost = self._meet_fault("create", resource)
        if key in self.collection(resource).objects:
            raise errors.already_exists(
                resource.plural, resource.group, string_at(body, "metadata", "name")
            )
        self._serial += 1
        body["metadata"] |= {
            "uid": f"uid-{self._serial}",
            "creationTimestamp": timestamp(self.clock.unix()),
            "generation": 1,
        }
        return self._answer(self._write("create", resource, body), is_lost=is_lost)

    async def post(self, ref: Ref, subresource: str, body: JsonObject) -> JsonObject:
        if (ref.resource.plural, subresource) == ("pods", "binding"):
            return self._bind(ref, body)
        if (ref.resource.plural, subresource) == ("pods", "eviction"):
            await self.delete(ref)
            return {}
        if (ref.resource.plural, subresource) == ("serviceaccounts", "token"):
            self._found(ref)
            bound = string_at(body, "spec", "boundObjectRef", "name")
            return {"status": {"token": f"token of {ref.name} for {bound}"}}
        raise AssertionError(f"the twin has no {ref.resource.plural}/{subresource}")

    async def update(
        self, resource: Resource, body: JsonObject, *, subresource: str = ""
    ) -> JsonObject:
        ref = ref_to(resource, body)
        is_lost = self._meet_fault("update", resource)
        old = self._found(ref)
        self._check_version(ref, old, body)
        return self._answer(self._change(ref, old, body, subresource), is_lost=is_lost)

    async def patch(
        self,
        ref: Ref,
        patch: Any,
        *,
        kind: PatchKind = PatchKind.STRATEGIC,
        subresource: str = "",
    ) -> JsonObject:
        is_lost = self._meet_fault("patch", ref.resource)
        old = self._found(ref)
        if kind is PatchKind.JSON:
            new = patches.json_patch(old, patch)
        else:
            self._check_version(ref, old, patch)
            is_strategic = kind is PatchKind.STRATEGIC
            new = (_strategic if is_strategic else patches.merge_patch)(old, patch)
        return self._answer(self._change(ref, old, new, subresource), is_lost=is_lost)

    async def delete(self, ref: Ref, options: DeleteOptions = ANYHOW) -> None:
        is_lost = self._meet_fault("delete", ref.resource)
        old = self._found(ref)
        if options.uid and options.uid != string_at(old, "metadata", "uid"):
            raise errors.conflict(ref.resource.plural, ref.resource.group, ref.name, "another uid")
        self._begin_end(ref, old, options)
        self._answer({}, is_lost=is_lost)

    async def delete_collection(self, resource: Resource, namespace: str) -> None:
        for one in self.objects(resource):
            if string_at(one, "metadata", "namespace") == namespace:
                await self.delete(ref_to(resource, one))

    # --- what others than controllers do

    def put(self, resource: Resource, body: JsonObject) -> JsonObject:
        """Create or replace an object, whatever its version; faults do not reach this."""
        old = self.collection(resource).objects.get(key_of(body))
        if old is None:
            self._serial += 1
            body = copy.deepcopy(self._with_name(resource, body))
            body["metadata"] |= {
                "uid": f"uid-{self._serial}",
                "creationTimestamp": timestamp(self.clock.unix()),
                "generation": 1,
            }
            return self._write("put", resource, body)
        generation = integer_at(old, "metadata", "generation")
        changed = not same(_content(old), _content(body))
        metadata = {**body["metadata"], "generation": generation + changed}
        return self._write("put", resource, {**body, "metadata": metadata})

    def remove(self, resource: Resource, key: str) -> None:
        """Take an object away, finalizers or not."""
        old = self.collection(resource).objects.get(key)
        if old is not None:
            self._erase("remove", resource, old)

    # --- inside

    def _found(self, ref: Ref) -> JsonObject:
        key = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
        found = self.collection(ref.resource).objects.get(key)
        if found is None:
            raise errors.not_found(ref.resource.plural, ref.resource.group, ref.name)
        return found

    def _meet_fault(self, verb: str, resource: Resource) -> bool:
        fault = self.fault(verb, resource)
        if fault == "refuse":
            raise errors.internal("a fault of the test")
        return fault == "lose"

    def _answer(self, value: JsonObject, *, is_lost: bool) -> JsonObject:
        if is_lost:
            raise Unreachable("a fault of the test")
        return copy.deepcopy(value)

    def _with_name(self, resource: Resource, body: JsonObject) -> JsonObject:
        body = json.loads(json.dumps(body))  # what cannot be sent cannot be created
        metadata = body["metadata"]
        if not metadata.get("name"):
            self._serial += 1
            metadata["name"] = f"{metadata['generateName']}{self._serial:05d}"
        return {"apiVersion": resource.api_version, "kind": resource.kind, **body}

    def _check_version(self, ref: Ref, old: JsonObject, new: JsonObject) -> None:
        for name in ("resourceVersion", "uid"):
            wanted = string_at(new, "metadata", name)
            if wanted and wanted != string_at(old, "metadata", name):
                raise errors.conflict(ref.resource.plural, ref.resource.group, ref.name)

    def _change(self, ref: Ref, old: JsonObject, new: JsonObject, subresource: str) -> JsonObject:
        if subresource == "status":
            new = {**old, "status": new.get("status", {})}
        elif subresource == "finalize":
            new = {**old, "spec": new["spec"]}
        elif ref.resource.has_status and "status" in old:
            new = {**new, "status": old["status"]}
        kept = {name: old["metadata"][name] for name in ("uid", "creationTimestamp")}
        generation = integer_at(old, "metadata", "generation")
        bumps = not subresource and not same(_content(old), _content(new))
        metadata = {**new["metadata"], **kept, "generation": generation + bumps}
        new = {**new, "metadata": metadata}
        if _is_done(new):
            self._erase("finalize", ref.resource, new)
            return new
        if same(_unversioned(old), _unversioned(new)):
            return old
        return self._write(f"update/{subresource}", ref.resource, json.loads(json.dumps(new)))

    def _begin_end(self, ref: Ref, old: JsonObject, options: DeleteOptions) -> None:
        finalizers = list(member(old, "metadata", "finalizers") or [])
        wanted = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(options.propagation)
        if wanted and wanted not in finalizers:
            finalizers.append(wanted)
        is_running_pod = (
            ref.resource.plural == "pods"
            and bool(string_at(old, "spec", "nodeName"))
            and string_at(old, "status", "phase") not in ("Succeeded", "Failed")
            and options.grace_s != 0
        )
        if not finalizers and not is_running_pod:
            self._erase("delete", ref.resource, old)
            return
        if string_at(old, "metadata", "deletionTimestamp"):
            return
        grace_s = 30 if is_running_pod else 0
        ending = {
            "deletionTimestamp": timestamp(self.clock.unix() + grace_s),
            "deletionGracePeriodSeconds": grace_s,
            "generation": integer_at(old, "metadata", "generation") + 1,
        }
        metadata = {**old["metadata"], **ending}
        if finalizers:
            metadata["finalizers"] = finalizers
        self._write("delete", ref.resource, {**old, "metadata": metadata})

    def _bind(self, ref: Ref, body: JsonObject) -> JsonObject:
        is_lost = self._meet_fault("bind", ref.resource)
        old = self._found(ref)
        if string_at(old, "spec", "nodeName"):
            raise errors.conflict("pods/binding", "", ref.name, "it is assigned already")
        spec = {**old["spec"], "nodeName": string_at(body, "target", "name")}
        return self._answer(
            self._write("bind", ref.resource, {**old, "spec": spec}), is_lost=is_lost
        )

    def _write(self, verb: str, resource: Resource, value: JsonObject) -> JsonObject:
        collection = self.collection(resource)
        key = key_of(value)
        kind = WatchEventType.MODIFIED if key in collection.objects else WatchEventType.ADDED
        self.version += 1
        metadata = {**value["metadata"], "resourceVersion": str(self.version)}
        value = {**value, "metadata": metadata}
        collection.objects[key] = value
        collection.log.append((self.version, WatchEvent(kind, value)))
        self.writes.append((verb, resource.plural, key))
        return value

    def _erase(self, verb: str, resource: Resource, value: JsonObject) -> None:
        collection = self.collection(resource)
        self.version += 1
        metadata = {**value["metadata"], "resourceVersion": str(self.version)}
        gone = {**value, "metadata": metadata}
        del collection.objects[key_of(value)]
        collection.log.append((self.version, WatchEvent(WatchEventType.DELETED, gone)))
        self.writes.append((verb, resource.plural, key_of(value)))


def _strategic(old: JsonObject, patch: JsonObject) -> JsonObject:
    """Merge as far as controllers need it: conditions by type, everything else as a merge patch."""
    news = member(patch, "status", "conditions") or []
    merged = patches.merge_patch(old, patch)
    if news:
        types = [one["type"] for one in news]
        kept = [
            one for one in member(old, "status", "conditions") or [] if one["type"] not in types
        ]
        merged = {**merged, "status": {**merged["status"], "conditions": [*kept, *news]}}
    return dict(merged)


def _is_done(value: JsonObject) -> bool:
    """Whether an object that is going has nothing left to wait for."""
    metadata = value["metadata"]
    return (
        bool(metadata.get("deletionTimestamp"))
        and not metadata.get("finalizers")
        and not member(value, "spec", "finalizers")  # a namespace's
        and not metadata.get("deletionGracePeriodSeconds")
    )


def _content(value: JsonObject) -> JsonObject:
    return {name: part for name, part in value.items() if name not in COMMON}


def _unversioned(value: JsonObject) -> JsonObject:
    metadata = {k: v for k, v in value["metadata"].items() if k != "resourceVersion"}
    return {**value, "metadata": metadata}
