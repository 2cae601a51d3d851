"""One member with everything that it does beside its requests, wired the same for all who run one.

The server gives it sockets and threads, a simulation neither.
"""

from collections.abc import Callable

from kvstore.base.clock import Clock
from kvstore.base.entropy import Entropy
from kvstore.base.errors import Stopped
from kvstore.base.key_range import KeyRange
from kvstore.member.auto_compaction import AutoCompaction
from kvstore.member.bootstrap import OpenedMember
from kvstore.member.config import MemberConfig
from kvstore.member.corruption import CorruptionCheck
from kvstore.member.defragmentation import Defragmentation
from kvstore.member.guarded import GuardedWorker, run_guarded
from kvstore.member.housekeeping import Housekeeping
from kvstore.member.lease_keeper import LeaseKeeper
from kvstore.member.member import Member
from kvstore.member.ports import PeerLinks, Scheduler, Worker
from kvstore.member.reconfiguration import Reconfiguration
from kvstore.member.snapshots import Snapshots
from kvstore.mvcc import Changes
from kvstore.raft.consensus import Consensus, ConsensusHost
from kvstore.watch import WatchHub


class KeyspaceHistory:
    """What the watch hub reads: the member's keyspace, whichever generation is in force."""

    def __init__(self, member: Member) -> None:
        self._member = member

    @property
    def revision(self) -> int:
        """The current revision."""
        return self._member.machine.store.revision

    @property
    def compact_revision(self) -> int:
        """The oldest revision that can be replayed."""
        return self._member.machine.store.compact_revision

    def changes(
        self, keys: KeyRange, since: int, until: int, revisions_max: int
    ) -> tuple[list[Changes], int]:
        """Return what changed, and where to go on."""
        return self._member.view().changes(keys, since, until, revisions_max)


class Node:
    """A member and its parts: what a process, real or simulated, runs."""

    def __init__(  # noqa: PLR0913 - the machine's doors, each of another kind
        self,
        config: MemberConfig,
        opened: OpenedMember,
        consensus: Callable[[ConsensusHost], Consensus],
        *,
        incarnation: int,
        links: PeerLinks,
        scheduler: Scheduler,
        log_worker: Worker,
        disk_worker: Worker,
        copy_worker: Worker | None = None,
        clock: Clock,
        entropy: Entropy,
        header: Callable[[int, int], bytes],
        stopped: Callable[[BaseException], None],
    ) -> None:
        """`header` returns the header field of a response at (store revision, term).

        `copy_worker` is for what keeps a thread busy for long, else `disk_worker` does it.
        `stopped` is called once, with what ended the member.
        """
        self._wal = opened.wal
        self._clock = clock
        self._is_catching_up = False
        self.member = member = Member(
            config,
            opened.machine,
            opened.wal,
            consensus,
            incarnation=incarnation,
            links=links,
            scheduler=scheduler,
            log_worker=log_worker,
            clock=clock,
            stopped=stopped,
        )
        history = KeyspaceHistory(member)
        self.hub = WatchHub(
            history,
            lambda revision: header(revision, member.consensus.term),
            config.limits,
            entropy,
            progress_interval_s=config.watch_progress_interval_s,
            wake=self._watchers_fell_behind,
        )
        member.publish = self.hub.publish
        worker = GuardedWorker(disk_worker, member)
        self.keeper = LeaseKeeper(member)
        self.reconfiguration = Reconfiguration(member)
        self._auto_compaction = AutoCompaction(member, config.auto_compaction)
        self.corruption = CorruptionCheck(member, config.corruption)
        self.housekeeping = Housekeeping(member, opened.wal, opened.journal, worker)
        self._snapshots = Snapshots(
            member, opened.keyspaces, opened.applied.generation, self.housekeeping, worker
        )
        self._snapshots.rebase_watches(self.hub, history)
        self.defragmentation = Defragmentation(
            member,
            opened.keyspaces,
            opened.journal,
            self._snapshots,
            self.housekeeping,
            worker,
            GuardedWorker(copy_worker or disk_worker, member),
        )

    @property
    def is_receiving_snapshot(self) -> bool:
        """Whether another member's whole state is on its way here."""
        return self._snapshots.is_receiving

    def start(self) -> None:
        """Ask for links to the other members. From now on `tick` is due a few times a heartbeat."""
        self.member.links.refuse(self.member.applied_membership.removed)
        self.member.membership_changed(self.member.consensus.membership)

    def tick(self) -> None:
        """Look at the clock: elect, expire, remind, and start what is due."""
        run_guarded(self.member, self._tick)

    def stop(self) -> None:
        """Answer and begin nothing any more. The workers may still have jobs under way."""
        self._snapshots.close()
        self.member.stop(Stopped())

    def close(self) -> None:
        """Close the files, once the workers rest. What is not synced is replayed from the log."""
        self._wal.close()
        self.member.machine.backend.close()

    def _tick(self) -> None:
        self.member.tick()
        self.keeper.tick()
        self.reconfiguration.tick()
        self.hub.tick(self._clock.monotonic())
        self.housekeeping.tick()
        self._auto_compaction.tick()
        self._snapshots.tick()
        self.corruption.tick()

    def _watchers_fell_behind(self) -> None:
        if not self._is_catching_up:
            self._is_catching_up = True
            self.member.scheduler.soon(self._catch_up)

    def _catch_up(self) -> None:
        """Feed the watchers that are behind one slice, and go on in the next iteration."""
        self.hub.catch_up()
        self._is_catching_up = self.hub.has_backlog
        if self._is_catching_up:
            self.member.scheduler.soon(self._catch_up)
