"""The whole run: start, break, record, heal, judge, draw."""

import random
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kvstore.base.clock import SystemClock
from kvstore.base.errors import RpcError
from kvstore.check import Budget, Outcome, Report, Verdict, check, timeline, write_history
from kvstore.client import EVERYTHING, Client, KeyspaceHash, Timing
from kvstore.testing.chaos.breaking import afflicted, inflict, missing_faults, words
from kvstore.testing.chaos.clients import ChaosClient, KeyClient, LeaseClient, LockClient
from kvstore.testing.chaos.leadership import Leadership
from kvstore.testing.chaos.schedule import FaultKind, Step, schedule
from kvstore.testing.cluster import Cluster
from kvstore.testing.errors import MemberDidNotStart
from kvstore.testing.program import KVSTORED, Program
from kvstore.testing.recorded_watch import RecordedWatch
from kvstore.testing.recording import RecordingClient, SharedRecorder
from kvstore.testing.waiting import wait_until

HISTORY_FILE = "history.jsonl"
TIMELINE_FILE = "timeline.html"
_DISK_MIB = 512
_TIMEOUT_S = 3.0
"""After which a client calls an outcome unknown."""
_HEAL_S = 90.0
"""In which a healed cluster has to be healthy, and every watch to have seen everything."""
_AWAY_S = (0.0, 1.0, 3.0)
_BACK = (0, 0, 30, 300, 3000)
"""Revisions of history that a watch sees again when it comes back."""
_OK_PER_SECOND_MIN = 1.0
"""A run with less has shown nothing."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosPlan:
    """What is to be run."""

    seed: int
    duration_s: float
    members: int = 3
    program: Program = KVSTORED
    kinds: Collection[FaultKind] = tuple(FaultKind)
    key_clients: int = 5
    pause_s: float = 0.1
    """A client's rest between two requests, on average."""
    asks_progress: bool = True
    """Whether watches ask how far they are, all the time."""
    check_s: float = 600.0
    """How long the checker may search."""
    directory: Path = Path()
    """Where history and timeline are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosResult:
    """What came out."""

    report: Report
    problems: tuple[str, ...]
    """What went wrong beside the history: a member that did not come back, unequal hashes …"""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How often each fault happened, and how many terms were seen."""
    history_file: Path
    timeline_file: Path

    @property
    def verdict(self) -> Verdict:
        """The checker's, or `violated` if there are problems."""
        return Verdict.VIOLATED if self.problems else self.report.verdict


def run_chaos(plan: ChaosPlan, say: Say = lambda _: None) -> ChaosResult:
    """Run it all; `say` is told what happens, a line each time.

    Raises:
        MemberDidNotStart: the cluster did not even start.
    """
    missing = {k: why for k, why in missing_faults(plan.program).items() if k in plan.kinds}
    for kind, why in missing.items():
        say(f"without {kind.value}: {why}")
    kinds = [kind for kind in plan.kinds if kind not in missing]
    cluster = Cluster(
        plan.members,
        program=plan.program,
        disk_mib=_DISK_MIB if FaultKind.FULL_DISK in kinds else None,
        own_clocks=FaultKind.SKEW in kinds,
    )
    is_good = False
    try:
        cluster.start()
        run = _Run(plan, cluster, kinds, say)
        run.run()
        result = run.judged()
        is_good = result.verdict is Verdict.HOLDS
        return result
    finally:
        if not is_good:
            say(f"the members' logs are kept in {cluster.directory}")
        cluster.close(keep=not is_good)


class _Run:
    def __init__(
        self, plan: ChaosPlan, cluster: Cluster, kinds: Collection[FaultKind], say: Say
    ) -> None:
        self._plan = plan
        self._cluster = cluster
        self._kinds = kinds
        self._say = say
        self._recorder = SharedRecorder()
        self._began = self._recorder.now()
        self._members = {
            endpoint: Client(endpoint, timing=Timing(timeout_s=_TIMEOUT_S))
            for endpoint in cluster.endpoints
        }
        self._clients = self._new_clients()
        self._watches = [
            RecordedWatch(
                [*cluster.endpoints[number:], *cluster.endpoints[:number]],
                self._recorder,
                f"watch{number + 1}",
                start_revision=1,
                previous=number % 2 == 0,
                asks_progress=plan.asks_progress,
            )
            for number in range(max(plan.members, 2))
        ]
        self._leadership = Leadership(cluster, self._recorder)
        self._counts: dict[str, int] = {kind.value: 0 for kind in kinds}
        self._problems: list[str] = []

    def _new_clients(self) -> list[ChaosClient]:
        plan = self._plan
        common = (plan.seed, self._members, self._recorder)
        return [
            *(
                KeyClient(f"k{number}", *common, pause_s=plan.pause_s)
                for number in range(1, plan.key_clients + 1)
            ),
            *(LeaseClient(f"lease{n}", *common, pause_s=5 * plan.pause_s) for n in (1, 2)),
            *(LockClient(f"lock{n}", *common, pause_s=3 * plan.pause_s) for n in (1, 2, 3)),
        ]

    # --- the run

    def run(self) -> None:
        """Let the clients ask while the faults go by; heal; look at the end."""
        self._leadership.start()
        for watch in self._watches:
            watch.start()
        for client in self._clients:
            client.start()
        try:
            self._break_and_heal()
        except (MemberDidNotStart, TimeoutError) as problem:
            self._problems.append(f"the cluster did not recover: {problem}")
        finally:
            self._stop_clients()
        if not self._problems:
            self._look_at_the_end()
        for watch in self._watches:
            watch.close()
        self._leadership.stop()
        for member in self._members.values():
            member.close()

    def _break_and_heal(self) -> None:
        resting = threading.Event()
        dice = random.Random(f"watches {self._plan.seed}")
        for number, step in enumerate(self._steps()):
            resting.wait(max(0.0, step.starts_s - self._elapsed_s()))
            if self._elapsed_s() > self._plan.duration_s:
                break  # the cluster took long to heal, and the time is up
            self._carry_out(step, resting)
            self._watches[number % len(self._watches)].move(
                away_s=dice.choice(_AWAY_S), back=dice.choice(_BACK)
            )
            for watch in self._watches if self._plan.asks_progress else ():
                watch.request_progress()
        resting.wait(max(0.0, self._plan.duration_s - self._elapsed_s()))

    def _stop_clients(self) -> None:
        for client in self._clients:
            client.stop()
        for client in self._clients:
            client.join()
            if client.failure is not None:
                self._problems.append(f"client {client.name} failed: {client.failure!r}")

    def _steps(self) -> Collection[Step]:
        return list(
            schedule(
                self._plan.seed,
                duration_s=self._plan.duration_s,
                members=self._plan.members,
                kinds=self._kinds,
            )
        )

    def _elapsed_s(self) -> float:
        return self._recorder.now() - self._began

    def _carry_out(self, step: Step, resting: threading.Event) -> None:
        bands = []
        leader = self._cluster.leader_now()
        for fault in step.faults:
            member = afflicted(self._cluster, fault)
            text = words(fault, member, is_leader=member is leader)
            self._say(f"{self._elapsed_s():7.2f} s  {text}, for {step.lasts_s:g} s")
            bands.append(self._recorder.begin("fault", fault.kind.value, member.name))
            inflict(self._cluster, fault, member)
            self._counts[fault.kind.value] += 1
        resting.wait(step.lasts_s)
        self._cluster.heal(_HEAL_S)
        for band in bands:
            self._recorder.end(band)

    # --- the end

    def _look_at_the_end(self) -> None:
        try:
            self._cluster.heal(_HEAL_S)
            revisions = [
                wait_for_read(RecordingClient(client, self._recorder, "end", endpoint=endpoint))
                for endpoint, client in self._members.items()
            ]
            last = max(revisions)
            self._compare_hashes(last)
            for watch in self._watches:
                wait_until(
                    lambda watch=watch: watch.next_revision > last,  # type: ignore[misc]
                    timeout_s=_HEAL_S,
                    what=f"{watch.name} to see revision {last}",
                )
        except (MemberDidNotStart, TimeoutError) as problem:
            self._problems.append(f"when all faults were over: {problem}")

    def _compare_hashes(self, revision: int) -> None:
        """All members have equal content at one revision (etcd's own corruption check)."""
        found: dict[str, KeyspaceHash] = {}

        def are_comparable() -> bool:
            # A member answers from what it has applied, which may not be all that is committed.
            for endpoint, client in self._members.items():
                try:
                    found[endpoint] = client.hash_kv(revision)
                except RpcError:
                    return False
            return len({hashed.compact_revision for hashed in found.values()}) == 1

        wait_until(are_comparable, timeout_s=_HEAL_S, what=f"hashes at revision {revision}")
        if len({hashed.hash for hashed in found.values()}) > 1:
            self._problems.append(f"members differ at revision {revision}: {found}")

    # --- the judgement

    def judged(self) -> ChaosResult:
        """Judge the history, and write it and its picture."""
        history = self._recorder.history()
        budget = Budget(1 << 62, seconds=self._plan.check_s, clock=SystemClock())
        plan = self._plan
        plan.directory.mkdir(parents=True, exist_ok=True)
        history_file = plan.directory / HISTORY_FILE
        # Written first: a checker that fails must not take the evidence with it.
        history_file.write_text("".join(write_history(history)), encoding="utf-8")
        report = check(history, budget=budget)
        timeline_file = plan.directory / TIMELINE_FILE
        timeline_file.write_text(timeline(report), encoding="utf-8")
        done = sum(operation.outcome is Outcome.OK for operation in history.operations)
        if done < _OK_PER_SECOND_MIN * plan.duration_s:
            self._problems.append(f"only {done} operations succeeded in {plan.duration_s:g} s")
        return ChaosResult(
            report=report,
            problems=tuple(self._problems),
            counts={**self._counts, "terms": self._leadership.terms},
            history_file=history_file,
            timeline_file=timeline_file,
        )


def wait_for_read(client: RecordingClient) -> int:
    """Read everything, linearizably, as soon as that works; return the revision."""
    revisions: list[int] = []

    def is_read() -> bool:
        try:
            revisions[:] = [client.range(EVERYTHING).header.revision]
        except RpcError:
            return False
        return True

    wait_until(is_read, timeout_s=_HEAL_S, what="a read of everything")
    return revisions[0]
