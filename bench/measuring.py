"""One cell on one server: prepare the keys, run the loop, read the CPU time of all members."""

import os
import threading
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench.drivers import Load, Loop, Requests, h2load, own_client
from bench.workload import Driver, Shape, To, Workload, framed
from tests.support.cluster_process import ClusterProcess
from tests.support.target import Target

PREPARE_IN_FLIGHT = 128
CPU_MARGIN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A load, and what it cost the servers."""

    load: Load
    server_cpu_us: float
    """CPU time per operation, user and system, summed over all members."""
    server_cores: float
    """How many cores the members kept busy together."""
    anonymous_mib: float
    """Memory of all members at the end that no file stands behind."""
    disk_bytes: float
    """Written per operation, over all members, as the kernel accounts for it: in whole folios."""


class Server:
    """A running cluster under its name in the report."""

    def __init__(self, name: str, cluster: ClusterProcess) -> None:
        self.name = name
        self.cluster = cluster
        self._target = Target(name, cluster.endpoints)

    def endpoint(self, to: To) -> str:
        """The member to ask, as things are now."""
        leader = self._target.leader()
        member = leader if to is To.LEADER else (leader + 1) % len(self.cluster.members)
        return self.cluster.endpoints[member]

    def prepare(self, workload: Workload) -> None:
        """Put every key of the workload, each answer checked."""
        puts = Workload(
            name=workload.name,
            question=workload.question,
            shape=Shape.PUT,
            keys=workload.keys,
            value_bytes=workload.value_bytes,
        )
        bodies = (framed(puts.request(number)) for number in range(workload.keys))
        in_flight = min(PREPARE_IN_FLIGHT, workload.keys)
        endpoint = self.endpoint(To.LEADER)
        while part := list(islice(bodies, 10_000)):
            own_client.send_all(Requests(endpoint, puts.path), iter(part), in_flight)

    def measure(
        self, workload: Workload, in_flight: int, *, warm_up_s: float, seconds: float
    ) -> Measurement:
        """Run the workload once.

        Raises:
            LoadFailed: an answer was no OK.
        """
        target = Requests(self.endpoint(workload.to), workload.path)
        meter = CpuMeter([member.pid for member in self.cluster.members], seconds)
        loop = Loop(
            in_flight=in_flight,
            connections=workload.connections,
            warm_up_s=warm_up_s,
            seconds=seconds,
            on_start=meter.start,
        )
        if workload.driver is Driver.H2LOAD and h2load.is_available():
            load = h2load.run(target, loop, framed(workload.request(0)))
        else:
            load = own_client.run(target, loop, workload.bodies(seed=in_flight))
        meter.join()
        return Measurement(
            load=load,
            server_cpu_us=meter.cores * 1e6 / load.rate,
            server_cores=meter.cores,
            anonymous_mib=sum(_anonymous_kib(member.pid) for member in self.cluster.members) / 1024,
            disk_bytes=meter.written_bytes_per_s / load.rate,
        )

    def close(self) -> None:
        """Close the connections; the cluster is closed by its owner."""
        self._target.close()


class CpuMeter(threading.Thread):
    """Reads processes' CPU time in the measured part of a loop, less a margin each side."""

    def __init__(self, pids: list[int], seconds: float) -> None:
        super().__init__()
        self.cores = 0.0
        self.written_bytes_per_s = 0.0
        self._pids = pids
        self._seconds = seconds

    def run(self) -> None:
        time.sleep(CPU_MARGIN_S)
        cpu, written, started = self._cpu_s(), self._written_bytes(), time.perf_counter()
        time.sleep(self._seconds - 2 * CPU_MARGIN_S)
        took = time.perf_counter() - started
        self.cores = (self._cpu_s() - cpu) / took
        self.written_bytes_per_s = (self._written_bytes() - written) / took

    def _written_bytes(self) -> int:
        return sum(_proc_field(pid, "io", "write_bytes") for pid in self._pids)

    def _cpu_s(self) -> float:
        ticks = 0
        for pid in self._pids:
            with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - read ten times a second
                fields = stat.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def _anonymous_kib(pid: int) -> int:
    return _proc_field(pid, "status", "RssAnon")


def _proc_field(pid: int, file: str, name: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)
