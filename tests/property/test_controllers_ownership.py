"""Garbage, namespaces and what each of them has: under late watches, failing writes, any order."""

import asyncio
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.controllers.garbage_collector import GarbageCollector
from cluster.controllers.namespaces import NamespaceController
from cluster.controllers.ownership import uid_of
from cluster.controllers.service_accounts import (
    RootCertificateController,
    ServiceAccountsController,
)
from cluster.informer.api import DeleteOptions, ref_to
from cluster.informer.environment import Environment
from cluster.informer.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
)
from cluster.kube_api.objects import JsonObject, list_at, string_at
from cluster.kube_api.resource import Resource
from tests.support.kube_world import World

FULL = bool(os.environ.get("KVSTORE_FULL"))
SCENARIOS = settings(max_examples=300 if FULL else 20, deadline=None)
FOLLOWED = (REPLICA_SETS, PODS, CONFIG_MAPS)


async def discover() -> Sequence[Resource]:
    return [*FOLLOWED, SERVICE_ACCOUNTS]


class FollowingCollector(GarbageCollector):
    """Follows what the test's informers tell, instead of reflectors of its own."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, discover)
        self._resources = {(one.group, one.plural): one for one in FOLLOWED}
        for resource in FOLLOWED:
            environment.informers.store(resource)
            environment.informers.subscribe(
                resource, lambda change, resource=resource: self.observe(resource, change)
            )


@contextmanager
def collecting() -> Iterator[World]:
    with World(lambda environment: [FollowingCollector(environment)]) as world:
        yield world


def thing(resource: Resource, name: str, *owners: JsonObject, blocks: bool = False) -> JsonObject:
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": uid_of(owner),
            "blockOwnerDeletion": blocks,
        }
        for owner in owners
    ]
    metadata = {"namespace": "default", "name": name, "ownerReferences": references}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def everything(world: World) -> dict[str, JsonObject]:
    return {uid_of(one): one for resource in FOLLOWED for one in world.api.objects(resource)}


def happen(world: World, dice: random.Random, count: int) -> None:
    """Objects come with owners that are or were there, and are deleted in one of three ways."""

    def fault(_verb: str, _resource: object) -> str:
        return dice.choice([""] * 8 + ["refuse", "lose"])

    ever: list[JsonObject] = []
    for number in range(count):
        choice = dice.randrange(1 << 16)
        world.api.fault = lambda _verb, _resource: ""
        match dice.randrange(8):
            case 0 | 1:
                owners = dice.sample(ever, min(len(ever), dice.choice([0, 1, 1, 2])))
                resource = dice.choice(FOLLOWED)
                one = thing(resource, f"o{number}", *owners, blocks=bool(choice & 1))
                ever.append(world.api.put(resource, one))
            case 2 if present := everything(world):
                one = dice.choice(list(present.values()))
                resource = next(each for each in FOLLOWED if each.kind == one["kind"])
                policy = dice.choice(["Background", "Foreground", "Orphan"])
                deleting = world.api.delete(
                    ref_to(resource, one), DeleteOptions(propagation=policy)
                )
                asyncio.run(deleting)
            case 3 if choice % 8 == 0:
                world.restart()
            case 4 | 5:
                world.deliver(choice)
            case _:
                world.api.fault = fault
                world.work(choice)


@SCENARIOS
@given(seed=st.integers(0, 1 << 32))
def test_what_has_an_owner_left_stays_and_what_has_none_goes(seed: int) -> None:
    with collecting() as world:
        happen(world, random.Random(seed), 120)
        world.settle()
        present = everything(world)
        for one in present.values():
            owners = list_at(one, "metadata", "ownerReferences")
            assert not owners or any(string_at(owner, "uid") in present for owner in owners)
            assert not string_at(one, "metadata", "deletionTimestamp"), "it waits for nothing"


def test_dependents_go_with_their_owner_in_the_background() -> None:
    with collecting() as world:
        owner = world.api.put(REPLICA_SETS, thing(REPLICA_SETS, "owner"))
        middle = world.api.put(PODS, thing(PODS, "middle", owner))
        world.api.put(CONFIG_MAPS, thing(CONFIG_MAPS, "leaf", middle))
        world.settle()
        asyncio.run(world.api.delete(ref_to(REPLICA_SETS, owner)))
        world.settle()
        assert not everything(world)


def test_an_owner_that_is_deleted_in_the_foreground_goes_last() -> None:
    with collecting() as world:
        owner = world.api.put(REPLICA_SETS, thing(REPLICA_SETS, "owner"))
        world.api.put(PODS, thing(PODS, "held", owner, blocks=True))
        world.settle()
        world.api.writes.clear()
        options = DeleteOptions(propagation="Foreground")
        asyncio.run(world.api.delete(ref_to(REPLICA_SETS, owner), options))
        world.settle()
        ended = [
            key for verb, _, key in world.api.writes if verb in ("delete", "finalize", "remove")
        ]
        assert ended[-2:] == ["default/held", "default/owner"]


def test_orphans_stay_and_have_no_owner_any_more() -> None:
    with collecting() as world:
        owner = world.api.put(REPLICA_SETS, thing(REPLICA_SETS, "owner"))
        world.api.put(PODS, thing(PODS, "kept", owner))
        world.settle()
        options = DeleteOptions(propagation="Orphan")
        asyncio.run(world.api.delete(ref_to(REPLICA_SETS, owner), options))
        world.settle()
        assert not world.api.objects(REPLICA_SETS)
        assert list_at(world.api.objects(PODS)[0], "metadata", "ownerReferences") == []


@SCENARIOS
@given(seed=st.integers(0, 1 << 32))
def test_a_namespace_that_goes_takes_everything_with_it_and_the_others_have_their_own(
    seed: int,
) -> None:
    dice = random.Random(seed)

    def make(environment: Environment) -> list[object]:
        return [
            NamespaceController(environment, discover),
            ServiceAccountsController(environment),
            RootCertificateController(environment, "PEM"),
        ]

    with World(make) as world:  # type: ignore[arg-type]
        for name in ("default", "going", "other"):
            spec = {"finalizers": ["kubernetes"]}
            world.api.put(NAMESPACES, {"metadata": {"name": name}, "spec": spec})
        world.api.fault = lambda _verb, _resource: dice.choice([""] * 8 + ["refuse", "lose"])
        is_going = False
        for number in range(100):
            choice = dice.randrange(1 << 16)
            match dice.randrange(7):
                case 0 if not is_going:
                    one = {"metadata": {"namespace": "going", "name": f"c{number}"}, "data": {}}
                    world.api.put(CONFIG_MAPS, one)
                case 1 if number > 50 and not is_going:
                    is_going = True
                    _mark(world)
                case 2:
                    world.elapse(choice % 3)
                case 3 | 4:
                    world.deliver(choice)
                case _:
                    world.work(choice)
        if not is_going:
            _mark(world)
        world.settle()
        names = [string_at(one, "metadata", "name") for one in world.api.objects(NAMESPACES)]
        assert names == ["default", "other"]
        for resource, name in ((SERVICE_ACCOUNTS, "default"), (CONFIG_MAPS, "kube-root-ca.crt")):
            keys = list(world.api.collection(resource).objects)
            assert sorted(keys) == [f"default/{name}", f"other/{name}"]


def _mark(world: World) -> None:
    """Begin the end of a namespace, as the API server does."""
    going = world.api.collection(NAMESPACES).objects["going"]
    metadata = {**going["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    world.api.put(NAMESPACES, {**going, "metadata": metadata})
