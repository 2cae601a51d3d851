"""The snapshot that is kept as changes come says what one made anew would say."""

import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.kube_api.objects import JsonObject, string_at
from cluster.scheduler.cache import Cache
from cluster.scheduler.node_info import NodeInfo, Snapshot
from cluster.scheduler.pod_info import PodInfo
from tests.support.kube_objects import node, pod

SCENARIOS = settings(max_examples=500 if os.environ.get("KVSTORE_FULL") else 60, deadline=None)


def shown(snapshot: Snapshot) -> list[tuple[object, ...]]:
    return [
        (
            info.name,
            info.labels,
            sorted(one.uid for one in info.pods),
            {name: amount for name, amount in info.requested.items() if amount},
            dict(info.scored_requested),
            sorted(info.host_ports),
        )
        for info in snapshot.nodes
    ]


class Model:
    """All objects as they are, and a snapshot made from them all."""

    def __init__(self) -> None:
        self.nodes: dict[str, JsonObject] = {}
        self.pods: dict[str, JsonObject] = {}
        self.assumed: dict[str, str] = {}

    def snapshot(self, asking: PodInfo) -> Snapshot:
        infos = []
        for name in sorted(self.nodes):
            here = [
                PodInfo(one, name)
                for uid, one in sorted(self.pods.items())
                if self._place(uid, one, asking) == name
            ]
            infos.append(NodeInfo(self.nodes[name], tuple(here)))
        return Snapshot(infos)

    def _place(self, uid: str, one: JsonObject, asking: PodInfo) -> str:
        if string_at(one, "status", "phase") == "Succeeded":
            return ""
        if name := string_at(one, "spec", "nodeName") or self.assumed.get(uid, ""):
            return name
        if uid == asking.uid or one["spec"].get("priority", 0) < asking.priority:
            return ""
        return string_at(one, "status", "nominatedNodeName")


@SCENARIOS
@given(seed=st.integers(0, 1 << 32))
def test_a_kept_snapshot_equals_one_made_anew(seed: int) -> None:
    dice = random.Random(seed)
    cache, model = Cache(dict), Model()
    names = [f"n{number}" for number in range(4)]
    for step in range(80):
        uid = f"uid-p{dice.randrange(8)}"
        match dice.randrange(8):
            case 0:
                one = node(dice.choice(names), cpu=dice.choice(["1", "4"]), labels={"z": str(step)})
                model.nodes[one["metadata"]["name"]] = one
                cache.set_node(one)
            case 1:
                name = dice.choice(names)
                model.nodes.pop(name, None)
                cache.remove_node(name)
            case 2 | 3 if uid not in model.pods:
                one = pod(
                    uid.removeprefix("uid-"), cpu=dice.choice(["100m", "1"]), host_port=step + 1
                )
                one["spec"]["priority"] = dice.choice([0, 5])
                one["status"] = {"nominatedNodeName": dice.choice(["", *names])}
                model.pods[uid] = one
                cache.set_pod(one)
            case 4 if uid in model.pods and not string_at(model.pods[uid], "spec", "nodeName"):
                model.assumed[uid] = dice.choice(names)
                cache.assume(PodInfo(model.pods[uid], model.assumed[uid]))
            case 5 if uid in model.assumed:
                del model.assumed[uid]
                cache.forget(uid)
                cache.set_pod(model.pods[uid])
            case 6 if uid in model.pods:
                one = model.pods[uid]
                name = string_at(one, "spec", "nodeName") or model.assumed.pop(uid, "n0")
                phase = dice.choice(["Running", "Running", "Succeeded"])
                model.assumed.pop(uid, None)
                one = {**one, "spec": {**one["spec"], "nodeName": name}, "status": {"phase": phase}}
                model.pods[uid] = one
                cache.set_pod(one)
            case 7 if uid in model.pods:
                del model.pods[uid]
                model.assumed.pop(uid, None)
                cache.remove_pod(uid)
            case _:
                pass
        asking = PodInfo(pod("asking", priority=dice.choice([0, 3])))
        assert shown(cache.snapshot(asking)) == shown(model.snapshot(asking))
