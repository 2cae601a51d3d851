"""CronJobs, what goes after its end, quotas and tokens, under late watches and failing writes."""

import base64
import os
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.controllers.account_tokens import ACCOUNT, TYPE, AccountTokensController
from cluster.controllers.cron_job import CronJobController, TtlAfterFinishedController
from cluster.controllers.job_plan import is_over
from cluster.controllers.resource_quota import ResourceQuotaController
from cluster.controllers.slice_mirroring import CONTROLLER, SliceMirroringController
from cluster.informer.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    JOBS,
    PODS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from cluster.informer.store import key_of
from cluster.informer.times import timestamp
from cluster.kube_api.objects import JsonObject, list_at, string_at
from cluster.kube_api.resource import Resource
from tests.support.kube_objects import pod
from tests.support.kube_world import World

SCENARIOS = settings(max_examples=300 if os.environ.get("KVSTORE_FULL") else 12, deadline=None)


def faults(world: World, dice: random.Random) -> None:
    world.api.fault = lambda _verb, _resource: dice.choice([""] * 8 + ["refuse", "lose"])


def cron_job(policy: str, **spec: Any) -> JsonObject:
    return {
        "metadata": {"namespace": "default", "name": "tidy"},
        "spec": {
            "schedule": "* * * * *",
            "concurrencyPolicy": policy,
            "jobTemplate": {"spec": {"template": {}, "completions": 1}},
            **spec,
        },
    }


def end_job(world: World, job: JsonObject, kind: str) -> None:
    stamp = timestamp(world.clock.unix())
    done = {"type": kind, "status": "True", "lastTransitionTime": stamp}
    world.api.put(JOBS, {**job, "status": {"conditions": [done], "completionTime": stamp}})


def running(world: World) -> list[JsonObject]:
    return [job for job in world.api.objects(JOBS) if not is_over(job)]


def chaos(world: World, dice: random.Random) -> None:
    faults(world, dice)
    for _ in range(250):
        choice = dice.randrange(1 << 16)
        match dice.randrange(10):
            case 0 | 1 | 2:
                world.deliver(choice)
            case 3 | 4 | 5:
                world.work(choice)
            case 6 | 7:
                world.elapse(choice % 30)
            case 8 if jobs := running(world):
                end_job(world, dice.choice(jobs), dice.choice(["Complete", "Failed"]))
            case 9 if choice % 8 == 0:
                world.restart()
            case _:
                pass


@SCENARIOS
@given(seed=st.integers(0, 1 << 32), policy=st.sampled_from(["Allow", "Forbid", "Replace"]))
def test_every_minute_has_one_job_at_most_and_policies_are_kept(seed: int, policy: str) -> None:
    dice = random.Random(seed)
    made: set[str] = set()
    with World(lambda environment: [CronJobController(environment)]) as world:
        world.api.put(CRON_JOBS, cron_job(policy))

        def kept() -> None:
            if policy != "Allow":
                assert len(running(world)) <= 1
            for verb, plural, key in world.api.writes:
                if (verb, plural) == ("create", "jobs"):
                    assert key not in made, "a job for a time that had one"
                    made.add(key)
            world.api.writes.clear()

        world.check = kept
        chaos(world, dice)
        assert made
        for job in running(world):
            end_job(world, job, "Complete")
        live = world.api.objects(CRON_JOBS)[0]
        world.api.put(CRON_JOBS, {**live, "spec": {**live["spec"], "suspend": True}})
        world.settle()
        jobs = world.api.objects(JOBS)
        kinds = [string_at(job["status"]["conditions"][0], "type") for job in jobs]
        assert kinds.count("Complete") <= 3
        assert kinds.count("Failed") <= 1
        assert "active" not in world.api.objects(CRON_JOBS)[0]["status"]


def test_a_finished_job_goes_when_its_time_is_over() -> None:
    with World(lambda environment: [TtlAfterFinishedController(environment)]) as world:
        spec = {"ttlSecondsAfterFinished": 100}
        body = {"metadata": {"namespace": "default", "name": "j"}, "spec": spec}
        end_job(world, world.api.put(JOBS, body), "Complete")
        world.elapse(99)
        while world.deliver(0) or world.work(0):
            pass
        assert world.api.objects(JOBS)[0]["metadata"].get("deletionTimestamp") is None
        world.settle()
        assert list_at(world.api.objects(JOBS)[0], "metadata", "finalizers") == [
            "foregroundDeletion"
        ]


async def discover() -> Sequence[Resource]:
    return [JOBS, CONFIG_MAPS]


@SCENARIOS
@given(seed=st.integers(0, 1 << 32))
def test_a_quota_ends_with_what_is_used(seed: int) -> None:
    dice = random.Random(seed)
    hard = {"pods": "10", "requests.cpu": "8", "configmaps": "5", "count/jobs.batch": "4"}
    with World(lambda environment: [ResourceQuotaController(environment, discover)]) as world:
        quota = {"metadata": {"namespace": "default", "name": "q"}, "spec": {"hard": hard}}
        world.api.put(RESOURCE_QUOTAS, quota)
        for number in range(4):
            world.api.put(JOBS, {"metadata": {"namespace": "default", "name": f"j{number}"}})
        faults(world, dice)
        for number in range(120):
            choice = dice.randrange(1 << 16)
            match dice.randrange(8):
                case 0 | 1:
                    world.api.put(PODS, pod(f"p{number}", cpu="500m"))
                case 2 if pods := world.api.objects(PODS):
                    world.api.remove(PODS, key_of(dice.choice(pods)))
                case 3 if pods := world.api.objects(PODS):
                    one = dice.choice(pods)
                    world.api.put(PODS, {**one, "status": {"phase": "Succeeded"}})
                case 4 if choice % 8 == 0:
                    world.restart()
                case 5:
                    world.deliver(choice)
                case _:
                    world.work(choice)
        world.api.put(PODS, pod("last"))
        world.api.remove(PODS, "default/last")
        world.settle(within_s=200)
        phases = [string_at(one, "status", "phase") for one in world.api.objects(PODS)]
        used = world.api.objects(RESOURCE_QUOTAS)[0]["status"]["used"]
        assert used["pods"] == str(len(phases) - phases.count("Succeeded"))
        assert used["count/jobs.batch"] == "4"
        assert used["configmaps"] == "0"


def test_a_token_secret_is_filled_once_and_goes_with_its_account() -> None:
    with World(lambda environment: [AccountTokensController(environment, "PEM")]) as world:
        account = {"metadata": {"namespace": "default", "name": "robot"}}
        world.api.put(SERVICE_ACCOUNTS, account)
        for name, owner in (("t", "robot"), ("stray", "nobody")):
            metadata = {"namespace": "default", "name": name, "annotations": {ACCOUNT: owner}}
            world.api.put(SECRETS, {"metadata": metadata, "type": TYPE})
        world.settle()
        (secret,) = world.api.objects(SECRETS)
        data = {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}
        assert data == {"ca.crt": "PEM", "namespace": "default", "token": "token of robot for t"}
        world.api.remove(SERVICE_ACCOUNTS, "default/robot")
        world.settle()
        assert not world.api.objects(SECRETS)


@SCENARIOS
@given(seed=st.integers(0, 1 << 32))
def test_endpoints_of_somebody_are_mirrored_until_they_go(seed: int) -> None:
    dice = random.Random(seed)
    with World(lambda environment: [SliceMirroringController(environment)]) as world:
        metadata = {"namespace": "default", "name": "db"}
        world.api.put(SERVICES, {"metadata": metadata, "spec": {"ports": [{"port": 80}]}})
        faults(world, dice)
        for _ in range(60):
            choice = dice.randrange(1 << 16)
            match dice.randrange(6):
                case 0:
                    subsets = [
                        {
                            "addresses": [{"ip": f"10.0.0.{choice % 5}"}, {"ip": "fd00::1"}],
                            "ports": [{"name": "p", "port": 5432 + choice % 2, "protocol": "TCP"}],
                        }
                    ]
                    world.api.put(ENDPOINTS, {"metadata": metadata, "subsets": subsets})
                case 1 if choice % 8 == 0:
                    world.restart()
                case 2 | 3:
                    world.deliver(choice)
                case _:
                    world.work(choice)
        world.api.put(
            ENDPOINTS,
            {
                "metadata": metadata,
                "subsets": [
                    {
                        "addresses": [{"ip": "10.0.0.9"}],
                        "notReadyAddresses": [{"ip": "10.0.0.8"}],
                        "ports": [{"port": 1, "protocol": "TCP"}],
                    }
                ],
            },
        )
        world.settle()
        (one,) = world.api.objects(ENDPOINT_SLICES)
        assert one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == CONTROLLER
        found = [(each["addresses"][0], each["conditions"]["ready"]) for each in one["endpoints"]]
        assert found == [("10.0.0.9", True), ("10.0.0.8", False)]
        world.api.remove(ENDPOINTS, "default/db")
        world.settle()
        assert not world.api.objects(ENDPOINT_SLICES)
