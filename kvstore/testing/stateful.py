"""Property tests of a whole store: Hypothesis draws what clients do, the checker judges it.

    class Registers(ConsistencyTest):
        @rule(worker=st.sampled_from(["ann", "bob"]), value=st.integers())
        def write(self, worker, value):
            self.begin(worker, lambda client: client.put("x", str(value)))

    def test_registers(session_cluster_of_3):
        run_consistency_test(Registers, session_cluster_of_3)

Each worker is a thread with a client of its own: what two of them were told to do overlaps. When an
example ends, its whole history is judged; a violation fails the test with the checker's report, and
leaves the history and its timeline in files that the error names.

A run against real processes does not replay, so nothing is shrunk by Hypothesis: the report shows
the smallest failing part instead.
"""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from typing import ClassVar, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from kvstore.base.clock import SystemClock
from kvstore.base.errors import KvstoreError, RpcError
from kvstore.check import (
    Budget,
    History,
    Operation,
    Outcome,
    Report,
    Verdict,
    check,
    timeline,
    write_history,
)
from kvstore.client import EVERYTHING, Client, Timing
from kvstore.testing.cluster import Cluster
from kvstore.testing.recording import RecordingClient, SharedRecorder
from kvstore.testing.waiting import wait_until

Result = TypeVar("Result")
Target = Cluster | str | Sequence[str]
"""A cluster of ours alone, or the endpoints of any etcd, which others may use meanwhile."""

SETTINGS = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)
"""What `run_consistency_test` uses unless it is given others."""
_WRITES = frozenset({"put", "delete", "txn", "revoke", "grant"})
_SEARCH_S = 60.0


class NotConsistent(AssertionError):
    """No correct store can have produced the history; the text is the checker's report."""


class ConsistencyTest(RuleBasedStateMachine):
    """The base class: add rules that say what workers do, and what happens to the cluster.

    On a `Cluster` everything is recorded with its revisions, and the store is emptied before each
    example: `kvstore.check` proves strict serializability, watches, leases and locks. On endpoints
    (`cluster` is None) other programs may be writing, so keys should begin with `self.prefix`,
    which is new for each example, and each key is judged by its values alone.
    """

    timeout_s: ClassVar[float] = 3.0
    """How long a worker waits for an answer before the outcome is unknown."""
    models: ClassVar[Sequence[str]] = ()
    """The checks to make, of `kvstore.check.CHECKS`; empty: what the operations call for."""

    def __init__(self, session: "Session") -> None:
        """Begin an example; `run_consistency_test` makes the session."""
        super().__init__()
        self._session = session
        self.cluster = session.cluster
        """The cluster, to break it; None where only endpoints are known."""
        self.recorder = session.new_recorder()
        self.prefix = f"{session.name}/{session.examples}/"
        self._workers: dict[str, _Worker] = {}

    # --- for rules

    def begin(self, worker: str, action: Callable[[RecordingClient], Result]) -> Future[Result]:
        """Let a worker do something, after all that it was told before; does not wait.

        Errors of calls are outcomes, and part of the history; any other exception fails the test.
        """
        return self._worker(worker).begin(action)

    def do(self, worker: str, action: Callable[[RecordingClient], Result]) -> Result | None:
        """Do as `begin`, and wait; None if a call failed."""
        future = self.begin(worker, action)
        return None if isinstance(future.exception(), RpcError) else future.result()

    def settle(self) -> None:
        """Wait until all workers have done what they were told."""
        for worker in self._workers.values():
            worker.settle()

    # --- the end of an example

    def teardown(self) -> None:
        """Judge the example; a class that overrides this calls it.

        Raises:
            NotConsistent: the history is impossible.
        """
        try:
            self.settle()
        finally:
            for worker in self._workers.values():
                worker.close()
        self._session.judge(self.recorder.history(), self.models)

    def _worker(self, name: str) -> "_Worker":
        if name not in self._workers:
            client = Client(self._session.endpoints, timing=Timing(timeout_s=self.timeout_s))
            recording = RecordingClient(
                client, self.recorder, name, has_revisions=self.cluster is not None
            )
            self._workers[name] = _Worker(recording)
        return self._workers[name]


class _Worker:
    """A thread, and the client that it uses."""

    def __init__(self, client: RecordingClient) -> None:
        self._client = client
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=client.name)
        self._begun: list[Future[object]] = []

    def begin(self, action: Callable[[RecordingClient], Result]) -> Future[Result]:
        future = self._thread.submit(action, self._client)
        self._begun.append(future)  # type: ignore[arg-type]  # Future is covariant in all but name
        return future

    def settle(self) -> None:
        begun, self._begun = self._begun, []
        wait(begun)
        for future in begun:
            error = future.exception()
            if error is not None and not isinstance(error, RpcError):
                raise error

    def close(self) -> None:
        self._thread.shutdown()
        self._client.client.close()


class Session:
    """What the examples of one test share: where the store is, and what the last one left open."""

    _numbers = count(1)

    def __init__(self, target: Target, name: str) -> None:
        self.cluster = target if isinstance(target, Cluster) else None
        self.endpoints = target.endpoints if isinstance(target, Cluster) else target
        self.name = f"{name}-{SystemClock().unix():.0f}-{next(self._numbers)}"
        self.examples = 0
        self._open: tuple[Operation, ...] = ()
        self._violation: NotConsistent | None = None

    def new_recorder(self) -> SharedRecorder:
        """Return the recorder of the next example, on an empty store if it is ours alone."""
        self.examples += 1
        if self.cluster is None:
            return SharedRecorder()
        recorder = SharedRecorder(start_revision=self._emptied(self.cluster))
        # What timed out in the last example may still take effect in this one.
        for operation in self._open:
            recorder.invoke(operation.client, operation.kind, operation.arguments)
        return recorder

    def judge(self, history: History, models: Sequence[str]) -> None:
        """Judge an example.

        Raises:
            NotConsistent: it is impossible; so is every later one, as Hypothesis looks again.
        """
        if self._violation is None:
            self._open = tuple(
                operation
                for operation in history.operations
                if operation.outcome is Outcome.UNKNOWN and operation.kind in _WRITES
            )
            budget = Budget(steps=1 << 62, seconds=_SEARCH_S, clock=SystemClock())
            report = check(history, models=models, budget=budget)
            if report.verdict is Verdict.VIOLATED:
                self._violation = NotConsistent(f"{report.text}{_kept(report, self.name)}")
            elif report.verdict is Verdict.UNKNOWN:
                raise NotDecided(report.text)
        if self._violation is not None:
            raise NotConsistent(str(self._violation))

    def _emptied(self, cluster: Cluster) -> int:
        """Heal the cluster, delete all keys and leases, and return the revision after that."""
        if cluster.is_faulty:
            cluster.heal()
        with cluster.client() as client:
            revisions: list[int] = []

            def is_empty() -> bool:
                try:
                    for lease in client.leases():
                        client.revoke(lease)
                    client.delete(EVERYTHING)
                    found = client.range(EVERYTHING, count_only=True)
                except RpcError:
                    return False
                revisions[:] = [found.header.revision]
                return found.count == 0

            wait_until(is_empty, what="an empty store")
        return revisions[0]


class NotDecided(KvstoreError):
    """The checker could not tell whether the history is possible; the text is its report."""


def run_consistency_test(
    test: type[ConsistencyTest], target: Target, *, settings: settings = SETTINGS
) -> None:
    """Run a test on a cluster that nobody else uses, or on the endpoints of any etcd.

    Raises:
        NotConsistent: an example's history is impossible.
        NotDecided: whether it is could not be told.
    """
    session = Session(target, test.__name__)
    run_state_machine_as_test(
        lambda: test(session),  # type: ignore[arg-type]  # any factory will do, Hypothesis says
        settings=settings,
    )


def _kept(report: Report, name: str) -> str:
    """Write history and timeline; return the lines that say where."""
    directory = Path(tempfile.mkdtemp(prefix=f"kvstore-{name}-"))
    history, page = directory / "history.jsonl", directory / "timeline.html"
    history.write_text("".join(write_history(report.history)), encoding="utf-8")
    page.write_text(timeline(report), encoding="utf-8")
    return f"history: {history}\ntimeline: {page}\n"
