"""`kvstore kube history` and `diff`: what an object was, revision by revision.

No Kubernetes answers this: its store forgets within minutes, and nobody may look at it. Ours keeps
what is not compacted, and the client reads any of it.
"""

import asyncio
import difflib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import yaml

from cluster.apiserver.storage import Compacted, Store, Stored, connect
from cluster.apiserver.wire_form import decode
from cluster.kube_api.catalogue import BUILT_IN
from cluster.kube_api.objects import JsonObject
from cluster.kube_api.resource import Resource
from kvstore.base.clock import SystemClock

ROOT = "/registry/"


class UnknownResource(Exception):
    """No built-in resource has this name; custom ones are named by PLURAL.GROUP."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An object as one revision left it; `obj` is None where it did not exist."""

    revision: int
    obj: JsonObject | None


def key_of(resource: str, namespace: str, name: str) -> str:
    """Return the key of an object, by any name that kubectl takes for its resource.

    Raises:
        UnknownResource: there is none.
    """
    found = next((one for one in BUILT_IN if resource.lower() in _names(one)), None)
    if found is not None:
        place = f"{namespace}/" if found.is_namespaced else ""
        return f"{ROOT}{found.key_prefix}/{place}{name}"
    plural, _, group = resource.partition(".")
    if not group:
        raise UnknownResource(resource)
    return f"{ROOT}{group}/{plural}/{namespace}/{name}"


def _names(resource: Resource) -> set[str]:
    plural = resource.plural
    return {plural, resource.singular, *resource.short_names, f"{plural}.{resource.group}"}


async def moments(endpoints: str, key: str, *, limit: int) -> list[Moment]:
    """Return what the object was, newest first, as far back as the store remembers."""
    async with connect(endpoints) as client:
        found = []
        async for moment in _walk(Store(client, clock=SystemClock()), key):
            found.append(moment)
            if len(found) == limit:
                break
        return found


async def _walk(store: Store, key: str) -> AsyncIterator[Moment]:
    revision = await store.revision()
    try:
        stored = await store.history(key, revision=revision)
        if stored is None:
            yield Moment(revision, None)
        while stored is not None:
            yield Moment(stored.revision, _object(stored))
            if stored.revision <= 1:
                return
            stored = await store.history(key, revision=stored.revision - 1)
    except Compacted:
        return


def _object(stored: Stored) -> JsonObject:
    return decode(stored.value)


def difference(older: Moment, newer: Moment) -> str:
    """Return what changed between two moments, as a unified diff of their YAML."""
    return "".join(
        difflib.unified_diff(
            _lines(older), _lines(newer), f"revision {older.revision}", f"revision {newer.revision}"
        )
    )


def _lines(moment: Moment) -> list[str]:
    if moment.obj is None:
        return []
    metadata = {k: v for k, v in moment.obj["metadata"].items() if k != "managedFields"}
    text = yaml.dump(moment.obj | {"metadata": metadata}, Dumper=yaml.CSafeDumper, sort_keys=False)
    return text.splitlines(keepends=True)


def read(endpoints: str, key: str, *, limit: int) -> list[Moment]:
    """Return `moments`, for whoever does not wait."""
    return asyncio.run(moments(endpoints, key, limit=limit))
