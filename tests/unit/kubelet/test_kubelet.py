"""A kubelet that starts again knows its pods by what they were."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from cluster.informer.environment import Environment
from cluster.informer.resources import PODS
from cluster.kube_api.objects import JsonObject
from cluster.kubelet.images import Images
from cluster.kubelet.kubelet import Kubelet
from cluster.kubelet.node import NodeConfig
from cluster.kubelet.preparation import NodePreparation
from cluster.kubelet.runtime import ContainerConfig, ContainerId, Phase, Run
from tests.support.kube_api_twin import ApiTwin, SettableClock
from tests.support.kube_objects import pod
from tests.support.kube_world import CountingEntropy, LateInformers, SilentRecorder


class TwinRuntime:
    """Containers that run at once and never end by themselves."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.known: dict[ContainerId, Run] = {}
        self.started: list[ContainerId] = []

    def runs(self, pod_uid: str = "") -> Sequence[Run]:
        return [run for run in self.known.values() if pod_uid in ("", run.id.pod_uid)]

    def start(self, container: ContainerId, config: ContainerConfig) -> None:
        if container not in self.known:
            self.started.append(container)
            self.known[container] = Run(container, Phase.RUNNING, 1.0)

    def signal(self, container: ContainerId, number: int) -> None:
        if container in self.known:
            self.known[container] = Run(container, Phase.EXITED, 1.0, 2.0, 143, number)

    async def execute(
        self, container: ContainerId, command: Sequence[str], timeout_s: float
    ) -> tuple[int, str]:
        return 0, ""

    def forget(self, pod_uid: str) -> None:
        self.known = {key: run for key, run in self.known.items() if key.pod_uid != pod_uid}

    def directory(self, pod_uid: str) -> Path:
        return self._directory

    def log_path(self, container: ContainerId) -> Path:
        return self._directory / "log"


class Machine:
    """One node whose kubelet may be started again."""

    def __init__(self, directory: Path) -> None:
        self.clock = SettableClock()
        self.api = ApiTwin(self.clock)
        self.runtime = TwinRuntime(directory)
        self.config = NodeConfig(
            name="n1", address="127.20.1.1", port=1, directory=directory, pod_cidr="127.20.1.0/24"
        )

    def kubelet(self) -> Kubelet:
        informers = LateInformers(self.api)
        environment = Environment(
            self.api, informers, SilentRecorder(), self.clock, CountingEntropy()
        )
        images = Images(self.config.directory)
        preparation = NodePreparation(
            self.api, self.runtime, images, self.clock, {}, can_mount=False
        )
        made = Kubelet(environment, self.runtime, preparation, self.config)
        informers.relist()
        return made

    def status(self, name: str) -> JsonObject:
        found = self.api.collection(PODS).objects[f"default/{name}"]
        return dict(found.get("status") or {})

    async def until_running(self, *names: str) -> None:
        task = asyncio.ensure_future(self.kubelet().run())
        try:
            async with asyncio.timeout(20):
                while not all(  # noqa: ASYNC110 - what is awaited is a kubelet, by what it writes
                    self.status(name).get("phase") == "Running" for name in names
                ):
                    await asyncio.sleep(0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def placed(name: str) -> JsonObject:
    one = pod(name, nodeName="n1")
    one["spec"]["containers"][0]["image"] = "busybox"
    return one


async def test_a_pod_keeps_its_address_though_a_newer_one_comes_first_in_the_list(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path)
    machine.api.put(PODS, placed("web"))
    await machine.until_running("web")
    address = machine.status("web")["podIP"]
    machine.api.put(PODS, placed("aaa"))
    await machine.until_running("aaa", "web")
    assert machine.status("web")["podIP"] == address
    assert machine.status("aaa")["podIP"] != address


async def test_no_container_is_started_twice(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.api.put(PODS, placed("web"))
    await machine.until_running("web")
    await machine.until_running("web")
    assert [one.name for one in machine.runtime.started] == ["c"]
