from collections.abc import Callable

from kvstore.base.errors import (
    ApplyTooSlow,
    ReadLeaderChanged,
    ReadTimedOut,
    RpcError,
    Stopped,
)
from kvstore.base.ids import LogIndex
from kvstore.member.reads import Reads
from kvstore.raft.consensus import ReadIndexCallback


class Rounds:
    """The engine as `Reads` sees it: collects the rounds that were asked for."""

    def __init__(self) -> None:
        self.asked: list[ReadIndexCallback] = []

    def read_index(self, callback: ReadIndexCallback) -> None:
        self.asked.append(callback)


class World:
    def __init__(self) -> None:
        self.rounds = Rounds()
        self.applied = LogIndex(0)
        self.reads = Reads(self.rounds, lambda: self.applied)  # type: ignore[arg-type]
        self.told: dict[str, RpcError | None] = {}

    def join(self, name: str, deadline: float = 10.0) -> None:
        self.reads.join(self.read(name), deadline=deadline)

    def read(self, name: str) -> Callable[[RpcError | None], None]:
        def told(error: RpcError | None) -> None:
            assert name not in self.told, f"{name} is told twice"
            self.told[name] = error

        return told


def test_all_reads_that_wait_share_one_round() -> None:
    world = World()
    world.join("a")
    world.join("b")

    world.reads.begin()
    world.rounds.asked[0](LogIndex(0))
    world.reads.serve()

    assert len(world.rounds.asked) == 1
    assert world.told == {"a": None, "b": None}


def test_a_read_that_arrives_during_a_round_waits_for_the_next() -> None:
    """The round may have begun before a write that the reader already knows of."""
    world = World()
    world.join("early")
    world.reads.begin()
    world.join("late")
    world.reads.begin()

    world.rounds.asked[0](LogIndex(0))
    world.reads.serve()

    assert world.told == {"early": None}
    assert len(world.rounds.asked) == 1
    world.reads.begin()
    assert len(world.rounds.asked) == 2


def test_a_confirmed_read_waits_until_its_index_is_applied() -> None:
    world = World()
    world.join("a")
    world.reads.begin()
    world.rounds.asked[0](LogIndex(7))

    world.applied = LogIndex(6)
    world.reads.serve()
    assert world.told == {}
    world.applied = LogIndex(7)
    world.reads.serve()

    assert world.told == {"a": None}


def test_a_round_that_fails_tells_its_reads_why() -> None:
    world = World()
    world.join("a")
    world.reads.begin()

    world.rounds.asked[0](ReadLeaderChanged())

    assert isinstance(world.told["a"], ReadLeaderChanged)


def test_an_answer_after_the_deadline_of_its_round_is_ignored() -> None:
    world = World()
    world.join("a", deadline=5.0)
    world.reads.begin()

    world.reads.expire(5.0)
    world.join("b")
    world.reads.begin()
    world.rounds.asked[0](LogIndex(0))
    world.reads.serve()

    assert isinstance(world.told["a"], ReadTimedOut)
    assert "b" not in world.told


def test_waiting_too_long_for_the_apply_is_told_as_such() -> None:
    world = World()
    world.join("slow", deadline=5.0)
    world.reads.begin()
    world.rounds.asked[0](LogIndex(9))
    world.join("joining", deadline=5.0)

    world.reads.expire(5.0)

    assert isinstance(world.told["slow"], ApplyTooSlow)
    assert isinstance(world.told["joining"], ReadTimedOut)


def test_a_stop_answers_everybody_once() -> None:
    world = World()
    world.join("confirmed")
    world.reads.begin()
    world.rounds.asked[0](LogIndex(9))
    world.join("under way")
    world.reads.begin()
    world.join("joining")

    world.reads.fail_all(Stopped())

    assert {type(error) for error in world.told.values()} == {Stopped}
    assert len(world.told) == 3
