"""What one seed's world is like: sizes, speeds and faults, drawn at extremes."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The dice of one seed. Rates are per virtual second, of the whole cluster."""

    voters: int
    heartbeat_s: float
    election_s: float
    tick_s: float
    turn_s: float
    """How long a member lets messages gather before it takes a turn."""
    delay_s: tuple[float, float]
    leftovers: float
    unordered: bool
    drift: float
    disk_s: tuple[float, float]
    real_log: bool
    checkpoint: float
    """Chance that what was just applied is made durable in the keyspace."""
    proposals: float
    burst: int
    reads: float
    command_bytes: int
    message_bytes: int
    window_bytes: int
    compactions: float
    retained_entries: int
    faults: float
    weights: dict[str, int]
    transfers: float
    memberships: float
    crash_points: float
    """Chance of a power cut at each step of a snapshot's installation."""
    vote_crashes: float
    """Chance of a power cut right after a vote was sent."""

    @classmethod
    def draw(cls, dice: Random) -> "Profile":
        """Draw a profile."""
        heartbeat = dice.choice((0.15, 0.5, 0.5))
        unordered = dice.random() < 0.1
        return cls(
            voters=dice.choice((1, 3, 3, 3, 3, 5)),
            heartbeat_s=heartbeat,
            election_s=heartbeat * dice.choice((5, 5, 10)),
            tick_s=heartbeat * dice.choice((0.5, 1.0, 1.0, 1.0)),
            turn_s=dice.choice((0.0002, 0.005, 0.02)),
            delay_s=dice.choice(((0.0002, 0.002), (0.001, 0.02), (0.001, heartbeat / 4))),
            leftovers=dice.choice((0.0, 0.5, 1.0)),
            unordered=unordered,
            drift=dice.choice((0.0, 0.05, 0.3)),
            disk_s=dice.choice(((0.0001, 0.002), (0.001, 0.03))),
            real_log=dice.random() < 0.25,
            checkpoint=dice.choice((0.02, 0.3, 1.0)),
            proposals=dice.choice((1.0, 3.0)),
            burst=dice.choice((4, 8, 16)),
            reads=dice.choice((0.5, 1.5)),
            command_bytes=dice.choice((0, 0, 100)),
            message_bytes=dice.choice((150, 400, 65536) if unordered else (1, 150, 400, 65536)),
            window_bytes=dice.choice((200, 2000, 65536)),
            compactions=dice.choice((0.2, 2.0)),
            retained_entries=dice.choice((0, 3, 20)),
            faults=dice.choice((0.15, 0.4, 1.0)),
            weights={
                "crash": dice.choice((1, 3)),
                "crash_all": dice.choice((0, 1)),
                "partition": dice.choice((0, 1, 2)),
                "break": dice.choice((0, 1, 3)),
                "stall": dice.choice((0, 1, 4)),
                "slow_disk": dice.choice((0, 1)),
                "pause": dice.choice((0, 1)),
                "old_leader": dice.choice((0, 0, 1)),
            },
            transfers=dice.choice((0.0, 0.3)),
            memberships=dice.choice((0.0, 0.0, 0.5, 2.0)),
            crash_points=dice.choice((0.0, 0.2)),
            vote_crashes=dice.choice((0.0, 0.0, 0.1)),
        )
