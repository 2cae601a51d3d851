"""Which of several like processes may act: whoever holds a Lease (coordination.k8s.io).

The decision is pure (`Election`), the loop around it is `lead`. A lease counts as held until its
holder has not renewed it for its duration *by the looker's own clock*: clocks of different machines
are never compared. A holder that cannot renew in time stops acting before others may start.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cluster.informer.api import Api, ApiError, Ref, Unreachable, is_not_found
from cluster.informer.resources import LEASES
from cluster.informer.times import micro_timestamp
from cluster.kube_api.objects import JsonObject, integer_at, object_at, string_at
from kvstore.base.clock import Clock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionTimes:
    """All in seconds. `renew_within_s` must be less than `lease_s`, or two may act at once."""

    lease_s: float = 15.0
    renew_within_s: float = 10.0
    retry_s: float = 2.0


class LeadershipLost(Exception):
    """The lease could not be renewed in time: somebody else may act now."""


class Election:
    """What one candidate knows of the lease, and what it should write next. Pure."""

    def __init__(self, identity: str, times: ElectionTimes) -> None:
        self._identity = identity
        self._times = times
        self._seen: JsonObject = {}
        self._seen_at = 0.0

    def observe(self, spec: JsonObject, now: float) -> None:
        """Take in what the lease says now; its time starts when it was seen to change."""
        if spec != self._seen:
            self._seen, self._seen_at = spec, now

    def next_spec(self, now: float, unix: float) -> JsonObject | None:
        """Return the spec to write in order to hold the lease, or None: another holds it."""
        holder = string_at(self._seen, "holderIdentity")
        stamp = micro_timestamp(unix)
        if holder == self._identity:
            return {**self._seen, "renewTime": stamp}
        if holder and now < self._seen_at + integer_at(self._seen, "leaseDurationSeconds"):
            return None
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._times.lease_s),
            "acquireTime": stamp,
            "renewTime": stamp,
            "leaseTransitions": integer_at(self._seen, "leaseTransitions") + bool(holder),
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who stands for which lease."""

    api: Api
    clock: Clock
    identity: str
    lease_name: str
    namespace: str = "kube-system"
    times: ElectionTimes = ElectionTimes()

    @property
    def ref(self) -> Ref:
        """The lease."""
        return Ref(LEASES, self.namespace, self.lease_name)


async def lead(candidate: Candidate, work: Callable[[], Awaitable[None]]) -> None:
    """Wait for the lease, then do `work` while it is held; give it back at the end.

    Raises:
        LeadershipLost: the lease could not be renewed; `work` was cancelled before.
    """
    election = Election(candidate.identity, candidate.times)
    while not await _try_once(candidate, election):  # noqa: ASYNC110 - what is awaited is remote
        await asyncio.sleep(candidate.times.retry_s)
    logger.info("became leader", extra={"lease": candidate.lease_name})
    try:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(_do(work))
            renewing = tasks.create_task(_renew(candidate, election))
            working.add_done_callback(lambda _: renewing.cancel())
    except* LeadershipLost as lost:
        raise lost.exceptions[0] from None
    finally:
        await _give_back(candidate)


async def _do(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def _renew(candidate: Candidate, election: Election) -> None:
    renewed_at = candidate.clock.monotonic()
    while True:
        await asyncio.sleep(candidate.times.retry_s)
        try:
            async with asyncio.timeout(candidate.times.renew_within_s):
                is_held = await _try_once(candidate, election)
        except TimeoutError:
            is_held = False
        if is_held:
            renewed_at = candidate.clock.monotonic()
        elif candidate.clock.monotonic() - renewed_at >= candidate.times.renew_within_s:
            raise LeadershipLost(candidate.lease_name)


async def _try_once(candidate: Candidate, election: Election) -> bool:
    try:
        return await _write(candidate, election)
    except (ApiError, Unreachable) as error:
        logger.info("lease not written", extra={"lease": candidate.lease_name, "why": str(error)})
        return False


async def _write(candidate: Candidate, election: Election) -> bool:
    api, clock = candidate.api, candidate.clock
    try:
        lease = await api.get(candidate.ref)
    except ApiError as error:
        if not is_not_found(error):
            raise
        spec = election.next_spec(clock.monotonic(), clock.unix())
        metadata = {"name": candidate.lease_name, "namespace": candidate.namespace}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        created = await api.create(LEASES, {**lease, "spec": spec})
        election.observe(object_at(created, "spec"), clock.monotonic())
        return True
    election.observe(object_at(lease, "spec"), clock.monotonic())
    spec = election.next_spec(clock.monotonic(), clock.unix())
    if spec is None:
        return False
    written = await api.update(LEASES, {**lease, "spec": spec})
    election.observe(object_at(written, "spec"), clock.monotonic())
    return True


async def _give_back(candidate: Candidate) -> None:
    """Let the next one start at once, if the lease is still ours."""
    try:
        lease = await candidate.api.get(candidate.ref)
        if string_at(lease, "spec", "holderIdentity") == candidate.identity:
            spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            await candidate.api.update(LEASES, {**lease, "spec": spec})
    except (ApiError, Unreachable) as error:
        logger.info("lease not given back", extra={"why": str(error)})
