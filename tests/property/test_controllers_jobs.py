"""Jobs under late watches, failing writes, restarts: every pod's end counts once."""

import os
import random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cluster.controllers import job_plan
from cluster.controllers.job import JobController
from cluster.controllers.pod_facts import is_active, is_deleting, is_finished
from cluster.informer.resources import JOBS, PODS
from cluster.informer.store import key_of
from cluster.kube_api.objects import JsonObject, integer_at, string_at
from tests.support.kube_world import World, set_pod_status

SCENARIOS = settings(max_examples=300 if os.environ.get("KVSTORE_FULL") else 12, deadline=None)


def make_world() -> World:
    return World(lambda environment: [JobController(environment)])


def job(**spec: Any) -> JsonObject:
    template = {
        "metadata": {"labels": {"job": "sum"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
    }
    return {
        "metadata": {"namespace": "default", "name": "sum"},
        "spec": {"selector": {"matchLabels": {"job": "sum"}}, "template": template, **spec},
    }


class Node:
    """Ends pods, and knows how often each end was seen."""

    def __init__(self, world: World, dice: random.Random, failures: int) -> None:
        self.world = world
        self.dice = dice
        self.failures = failures
        self.succeeded: set[str] = set()
        self.failed: set[str] = set()

    def step(self) -> bool:
        pods = [
            pod
            for pod in self.world.api.objects(PODS)
            if not (is_finished(pod) and not is_deleting(pod))
        ]
        if not pods:
            return False
        pod = self.dice.choice(pods)
        if is_deleting(pod):
            return self._vanish(pod)
        if not string_at(pod, "spec", "nodeName"):
            self.world.api.put(PODS, {**pod, "spec": {**pod["spec"], "nodeName": "n1"}})
        elif self.failures and self.dice.random() < 0.4:
            self.failures -= 1
            self.failed.add(pod["metadata"]["uid"])
            set_pod_status(self.world, pod, "Failed", ready=False)
        else:
            self.succeeded.add(pod["metadata"]["uid"])
            set_pod_status(self.world, pod, "Succeeded", ready=False)
        return True

    def _vanish(self, pod: JsonObject) -> bool:
        """The kubelet has ended it; it is gone when nobody holds it."""
        if job_plan.is_tracked(pod):
            if pod["metadata"]["deletionGracePeriodSeconds"]:
                metadata = {**pod["metadata"], "deletionGracePeriodSeconds": 0}
                self.world.api.put(PODS, {**pod, "metadata": metadata})
                return True
            return False
        self.world.api.remove(PODS, key_of(pod))
        return True


def chaos(world: World, node: Node, steps: int) -> None:
    dice = node.dice
    world.api.fault = lambda _verb, _resource: dice.choice([""] * 8 + ["refuse", "lose"])
    for _ in range(steps):
        choice = dice.randrange(1 << 16)
        match dice.randrange(11):
            case 0 | 1 | 2 | 3:
                world.deliver(choice)
            case 4 | 5 | 6:
                world.work(choice)
            case 7 | 8:
                node.step()
            case 9:
                world.elapse(choice % 7)
            case 10 if choice % 4 == 0:
                world.restart()
            case _:
                pass
        world.check()


def the_job(world: World) -> JsonObject:
    return world.api.objects(JOBS)[0]


@SCENARIOS
@given(
    seed=st.integers(0, 1 << 32),
    completions=st.integers(1, 5),
    parallelism=st.integers(1, 4),
    mode=st.sampled_from(["NonIndexed", "Indexed"]),
    failures=st.integers(0, 4),
)
def test_a_job_completes_and_counts_every_end_once(
    seed: int, completions: int, parallelism: int, mode: str, failures: int
) -> None:
    with make_world() as world:
        node = Node(world, random.Random(seed), failures)
        limits = {"completions": completions, "parallelism": parallelism}
        world.api.put(JOBS, job(completionMode=mode, backoffLimit=10, **limits))

        def never_too_many() -> None:
            active = [pod for pod in world.api.objects(PODS) if is_active(pod)]
            assert len(active) <= parallelism

        world.check = never_too_many
        chaos(world, node, 200)
        world.settle(between=node.step)
        found = the_job(world)
        assert job_plan.is_said(found, "Complete")
        status = found["status"]
        assert status["succeeded"] == len(node.succeeded) >= completions
        assert integer_at(status, "failed") == len(node.failed)
        assert status["uncountedTerminatedPods"] == {}
        assert not any(map(job_plan.is_tracked, world.api.objects(PODS)))
        if mode == "Indexed":
            assert job_plan.indexes_of(status["completedIndexes"]) == set(range(completions))


@SCENARIOS
@given(seed=st.integers(0, 1 << 32), limit=st.integers(0, 3))
def test_a_job_whose_pods_fail_too_often_fails_and_leaves_nothing_running(
    seed: int, limit: int
) -> None:
    with make_world() as world:
        node = Node(world, random.Random(seed), 1000)
        world.api.put(JOBS, job(completions=50, parallelism=2, backoffLimit=limit))
        chaos(world, node, 150)
        world.settle(between=node.step)
        found = the_job(world)
        assert job_plan.is_said(found, "Failed")
        assert not job_plan.is_said(found, "Complete")
        assert found["status"]["failed"] > limit
        assert not [pod for pod in world.api.objects(PODS) if is_active(pod)]
        assert not any(map(job_plan.is_tracked, world.api.objects(PODS)))


@SCENARIOS
@given(seed=st.integers(0, 1 << 32))
def test_a_suspended_job_runs_nothing_and_what_it_ended_did_not_fail(seed: int) -> None:
    with make_world() as world:
        node = Node(world, random.Random(seed), 0)
        world.api.put(JOBS, job(completions=4, parallelism=4))
        chaos(world, node, 15)
        live = the_job(world)
        world.api.put(JOBS, {**live, "spec": {**live["spec"], "suspend": True}})
        world.settle(between=node.step)
        if job_plan.is_said(the_job(world), "Complete"):
            return
        assert not [pod for pod in world.api.objects(PODS) if is_active(pod)]
        assert job_plan.is_said(the_job(world), "Suspended")
        live = the_job(world)
        world.api.put(JOBS, {**live, "spec": {**live["spec"], "suspend": False}})
        world.settle(between=node.step)
        found = the_job(world)
        assert job_plan.is_said(found, "Complete")
        assert integer_at(found, "status", "failed") == 0


def test_a_job_that_takes_too_long_fails() -> None:
    with make_world() as world:
        world.api.put(JOBS, job(completions=1, parallelism=1, activeDeadlineSeconds=100))
        node = Node(world, random.Random(1), 0)
        world.settle(between=lambda: any(map(is_deleting, world.api.objects(PODS))) and node.step())
        found = the_job(world)
        assert string_at(found["status"]["conditions"][-1], "reason") == "DeadlineExceeded"
        assert job_plan.is_said(found, "Failed")


def test_a_pod_whose_job_is_gone_is_let_go() -> None:
    with make_world() as world:
        world.api.put(JOBS, job(completions=1, parallelism=1))
        world.settle()
        assert any(map(job_plan.is_tracked, world.api.objects(PODS)))
        world.api.remove(JOBS, "default/sum")
        world.settle()
        assert not any(map(job_plan.is_tracked, world.api.objects(PODS)))


@given(st.sets(st.integers(0, 60)))
@example({0, 1, 2, 4, 6, 7})
def test_indexes_are_written_short_and_read_back(indexes: set[int]) -> None:
    assert job_plan.indexes_of(job_plan.text_of(indexes)) == indexes


def test_indexes_are_written_as_kubernetes_writes_them() -> None:
    assert job_plan.text_of({1, 3, 4, 5, 7, 8}) == "1,3-5,7,8"
