"""What one seed's world is like: sizes, speeds and faults, drawn at extremes."""

from dataclasses import dataclass
from random import Random

from kvstore.base.limits import KIB, MIB, Limits
from kvstore.raft.timing import RaftTiming


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The dice of one seed. Rates are per virtual second."""

    voters: int
    timing: RaftTiming
    iteration_s: float
    """How long an iteration of a member's loop takes: what comes meanwhile shares the next."""
    ticks: int
    """How often a member looks at its clock in a heartbeat's time."""
    delay_s: tuple[float, float]
    client_delay_s: tuple[float, float]
    leftovers: float
    message_loss: float
    """Chance that a message is not even queued, as when a link's queue is full."""
    drift: float
    disk_s: tuple[float, float]
    limits: Limits
    clients: int
    think_s: float
    """Mean pause of a client between two operations."""
    waves_s: float
    """Clients begin at multiples of this, and so together; 0: each at its own time."""
    watchers: int
    lease_clients: int
    lock_clients: int
    append_clients: int
    has_authentication: bool
    """Whether it is switched on, early in the run."""
    has_operator: bool
    """Whether the members change."""
    keys: int
    value_bytes: int
    faults: float
    weights: dict[str, int]
    start_cuts: float
    """Chance that the power is cut while a member starts."""
    switch_cuts: float
    """Chance that it is cut soon after a snapshot was installed."""

    @classmethod
    def draw(cls, dice: Random) -> "Profile":
        """Draw a profile."""
        heartbeat = dice.choice((0.15, 0.5, 0.5))
        return cls(
            voters=dice.choice((1, 3, 3, 3, 3, 3, 3, 5)),
            timing=RaftTiming(heartbeat_s=heartbeat, election_s=heartbeat * dice.choice((5, 5, 8))),
            iteration_s=dice.choice((0.0001, 0.005, 0.02)),
            ticks=dice.choice((1, 1, 2)),
            delay_s=dice.choice(((0.0002, 0.002), (0.001, 0.02), (0.001, heartbeat / 2))),
            client_delay_s=dice.choice(((0.0001, 0.001), (0.001, 0.05))),
            leftovers=dice.choice((0.0, 0.5, 1.0)),
            message_loss=dice.choice((0.0, 0.0, 0.002, 0.02)),
            drift=dice.choice((0.0, 0.01, 0.05)),
            disk_s=dice.choice(((0.0001, 0.002), (0.001, 0.03))),
            limits=_limits(dice),
            clients=dice.choice((5, 5, 8)),
            think_s=dice.choice((0.3, 0.6)),
            waves_s=dice.choice((0.0, 0.3, 1.0)),
            watchers=dice.choice((1, 3)),
            lease_clients=dice.choice((1, 2)),
            lock_clients=dice.choice((0, 0, 3)),
            append_clients=dice.choice((0, 0, 3)),
            has_authentication=dice.random() < 1 / 4,
            has_operator=dice.random() < 1 / 3,
            keys=dice.choice((1, 4, 8)),
            value_bytes=dice.choice((0, 0, 40, 700)),
            faults=dice.choice((0.15, 0.25, 0.5)),
            weights={
                "kill": dice.choice((1, 2)),
                "power_cut": dice.choice((1, 2)),
                "power_cut_all": dice.choice((0, 1)),
                "pause": dice.choice((1, 2)),
                "partition": dice.choice((0, 1, 2)),
                "partial_partition": dice.choice((0, 1)),
                "one_way": dice.choice((0, 1, 2)),
                "break": dice.choice((0, 1, 2)),
                "old_leader": dice.choice((0, 1)),
                "stalled_leader": dice.choice((0, 1, 2)),
                "slow_disk": dice.choice((0, 1)),
                "held_disk": dice.choice((0, 1)),
                "failing_sync": dice.choice((0, 1)),
                "full_disk": dice.choice((0, 0, 1)),
                "transfer": dice.choice((0, 1, 2)),
                "defragment": dice.choice((0, 1)),
                "bit_rot": dice.choice((0, 0, 1)),
            },
            start_cuts=dice.choice((0.0, 0.3)),
            switch_cuts=dice.choice((0.0, 0.3)),
        )


def _limits(dice: Random) -> Limits:
    return Limits(
        entry_bytes_max=dice.choice((100, 4 * MIB)),
        entry_operations_max=dice.choice((1, 3, 4096)),
        entries_in_flight_max=dice.choice((1, 4)),
        unapplied_entries_max=dice.choice((3, 5000)),
        peer_frame_bytes_max=dice.choice((200, 1000, 256 * KIB)),
        peer_window_bytes=dice.choice((500, 4 * MIB)),
        wal_segment_bytes=dice.choice((2 * KIB, 8 * KIB, 64 * KIB)),
        retained_entries=dice.choice((0, 5, 50)),
        snapshot_entries=dice.choice((1, 20, 100)),
        checkpoint_wal_bytes=dice.choice((1000, MIB)),
        checkpoint_interval_s=dice.choice((0.5, 5.0)),
        compaction_batch=dice.choice((1, 1000)),
        slice_s=dice.choice((0.0, 0.01)),
        catch_up_revisions_max=dice.choice((1, 10, 1000)),
        watch_unsent_bytes_max=dice.choice((300, 4 * MIB)),
    )
