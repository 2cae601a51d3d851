"""Under late watches, failing bindings and restarts: no node gets more than it has room for, and
every pod for which there is room gets a node."""

import asyncio
import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.informer.environment import Environment
from cluster.informer.resources import NODES, PODS
from cluster.kube_api.objects import JsonObject, string_at
from cluster.scheduler.decision import decide
from cluster.scheduler.pod_info import CPU, PodInfo, amounts
from cluster.scheduler.scheduler import Scheduler
from tests.support.kube_api_twin import ApiTwin, SettableClock
from tests.support.kube_objects import node, pod
from tests.support.kube_world import CountingEntropy, LateInformers, SilentRecorder

SCENARIOS = settings(max_examples=300 if os.environ.get("KVSTORE_FULL") else 20, deadline=None)


class Desk:
    """A scheduler whose informers and time the test moves."""

    def __init__(self, seed: int) -> None:
        self.clock = SettableClock()
        self.api = ApiTwin(self.clock)
        self.dice = random.Random(seed)
        self.restart()

    def restart(self) -> None:
        self.informers = LateInformers(self.api)
        environment = Environment(
            self.api, self.informers, SilentRecorder(), self.clock, CountingEntropy()
        )
        self.scheduler = Scheduler(environment)
        self.informers.relist()

    def deliver(self) -> bool:
        behind = self.informers.behind()
        if behind:
            self.informers.deliver(self.dice.choice(behind))
        return bool(behind)

    def used(self) -> dict[str, int]:
        used: dict[str, int] = {}
        for one in self.api.objects(PODS):
            name = string_at(one, "spec", "nodeName")
            if name:
                used[name] = used.get(name, 0) + PodInfo(one).requests.get(CPU, 0)
        return used

    def check(self) -> None:
        rooms = {
            one["metadata"]["name"]: amounts(one["status"]["allocatable"])[CPU]
            for one in self.api.objects(NODES)
        }
        for name, used in self.used().items():
            assert used <= rooms[name], f"{name} is over-committed"


async def scenario(seed: int) -> None:
    desk = Desk(seed)
    dice = desk.dice
    for number in range(3):
        desk.api.put(NODES, node(f"n{number}", cpu=str(dice.choice([1, 2, 4]))))

    def fault(_verb: str, _resource: object) -> str:
        return dice.choice([""] * 6 + ["refuse", "lose"])

    desk.api.fault = fault
    for number in range(150):
        match dice.randrange(9):
            case 0 | 1:
                cpu = f"{dice.choice([100, 500, 900, 1500])}m"
                desk.api.put(PODS, pod(f"p{number}", cpu=cpu, priority=dice.choice([0, 0, 5])))
            case 2 if pods := desk.api.objects(PODS):
                one = dice.choice(pods)
                desk.api.remove(PODS, f"default/{one['metadata']['name']}")
            case 3 if number % 5 == 0:
                desk.restart()
            case 4:
                desk.clock.now += dice.choice([0.5, 2, 11])
            case 5 | 6:
                desk.deliver()
            case _:
                await desk.scheduler.step()
        desk.check()
    desk.api.fault = lambda _verb, _resource: ""
    await _rest(desk)
    waiting = [one for one in desk.api.objects(PODS) if not string_at(one, "spec", "nodeName")]
    for one in waiting:
        snapshot = desk.scheduler.snapshot(PodInfo(one))
        assert not decide(PodInfo(one), snapshot, None).scores, "there was room"
        assert _says_why(one)


async def _rest(desk: Desk) -> None:
    for _ in range(40):
        while desk.deliver() or await desk.scheduler.step():
            desk.check()
        for one in desk.api.objects(PODS):
            if one["metadata"].get("deletionTimestamp"):  # preempted: its kubelet lets it end
                desk.api.remove(PODS, f"default/{one['metadata']['name']}")
        desk.clock.now += 11


def _says_why(one: JsonObject) -> bool:
    conditions = one.get("status", {}).get("conditions", [])
    return any(
        found["type"] == "PodScheduled" and found["status"] == "False" for found in conditions
    )


@SCENARIOS
@given(st.integers(0, 1 << 32))
def test_nodes_are_never_overcommitted_and_room_is_used(seed: int) -> None:
    asyncio.run(scenario(seed))
