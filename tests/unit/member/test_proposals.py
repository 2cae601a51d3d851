from collections.abc import Sequence

import pytest

from kvstore.apply import Outcome, Reply
from kvstore.apply.command import (
    BATCH_OVERHEAD_BYTES,
    BatchId,
    batch_id_of,
    decode_entry,
    encode_entry,
)
from kvstore.base.errors import (
    NotLeader,
    OutcomeUnknown,
    ProposalLeaderLost,
    ProposalTimedOut,
    Stopped,
    TooManyRequests,
)
from kvstore.base.ids import MemberId
from kvstore.base.limits import Limits
from kvstore.member.proposals import Proposals

ME, LEADER = MemberId(1), MemberId(2)
ROOM = 1 << 20


class Callers:
    """Collects what each caller is told; a caller that is told twice fails the test."""

    def __init__(self, proposals: Proposals) -> None:
        self._proposals = proposals
        self.told: dict[str, Outcome] = {}

    def ask(self, name: str, *, deadline: float = 10.0, size: int = 1) -> None:
        def done(outcome: Outcome) -> None:
            assert name not in self.told, f"{name} is told twice"
            self.told[name] = outcome

        self._proposals.add(
            1, [name.encode() * size], lambda _, outcomes: done(outcomes[0]), deadline=deadline
        )


def proposals_and_callers(limits: Limits | None = None) -> tuple[Proposals, Callers]:
    proposals = Proposals(ME, 5, limits or Limits())
    return proposals, Callers(proposals)


def test_requests_of_a_turn_are_one_batch_and_are_answered_in_order() -> None:
    proposals, callers = proposals_and_callers()
    callers.ask("a")
    callers.ask("b")

    encoded = proposals.take_batch(LEADER, room=ROOM)

    assert encoded is not None
    (batch,) = decode_entry(encode_entry([encoded]))
    assert batch == (BatchId(ME, 5, 1), [(1, b"a"), (1, b"b")])
    proposals.applied(batch.id, [Reply(2, b""), Reply(3, b"")])
    assert callers.told == {"a": Reply(2, b""), "b": Reply(3, b"")}


def test_a_batch_takes_what_fits_but_always_one_request() -> None:
    proposals, callers = proposals_and_callers()
    for name in "abc":
        callers.ask(name, size=1000)

    sizes = []
    while (encoded := proposals.take_batch(LEADER, room=100)) is not None:
        (batch,) = decode_entry(encode_entry([encoded]))
        sizes.append(len(batch.operations))

    assert sizes == [1, 1, 1]


def test_another_members_or_another_lifes_batch_answers_nobody() -> None:
    proposals, callers = proposals_and_callers()
    callers.ask("a")
    encoded = proposals.take_batch(LEADER, room=ROOM)
    assert encoded is not None

    proposals.applied(BatchId(LEADER, 5, 1), [Reply(2, b"")])
    proposals.applied(BatchId(ME, 4, 1), [Reply(2, b"")])

    assert callers.told == {}


def test_a_refused_batch_goes_out_again_in_front_under_a_new_sequence() -> None:
    proposals, callers = proposals_and_callers()
    callers.ask("a")
    first = proposals.take_batch(LEADER, room=ROOM)
    callers.ask("b")
    assert first is not None

    proposals.refused(batch_id_of(first).sequence)
    second = proposals.take_batch(LEADER, room=ROOM)

    assert second is not None
    (batch,) = decode_entry(encode_entry([second]))
    assert batch == (BatchId(ME, 5, 2), [(1, b"a"), (1, b"b")])


def test_a_lost_batch_ends_with_its_outcome_unknown_and_is_never_sent_again() -> None:
    proposals, callers = proposals_and_callers()
    callers.ask("a")
    encoded = proposals.take_batch(LEADER, room=ROOM)
    assert encoded is not None

    proposals.lose(ProposalLeaderLost)
    proposals.applied(batch_id_of(encoded), [Reply(2, b"")])

    assert isinstance(callers.told["a"], OutcomeUnknown)
    assert proposals.take_batch(LEADER, room=ROOM) is None


def test_losing_one_peer_leaves_what_was_sent_to_others() -> None:
    proposals, callers = proposals_and_callers()
    callers.ask("a")
    proposals.take_batch(LEADER, room=ROOM)
    callers.ask("b")
    proposals.take_batch(ME, room=ROOM)

    proposals.lose(ProposalLeaderLost, sent_to=LEADER)

    assert list(callers.told) == ["a"]


def test_deadlines_hold_before_and_after_a_request_was_sent() -> None:
    proposals, callers = proposals_and_callers()
    callers.ask("sent", deadline=5.0)
    proposals.take_batch(LEADER, room=ROOM)
    callers.ask("waiting", deadline=6.0)

    proposals.expire(4.9)
    assert callers.told == {}
    proposals.expire(6.0)

    assert {name: type(outcome) for name, outcome in callers.told.items()} == {
        "sent": ProposalTimedOut,
        "waiting": ProposalTimedOut,
    }


def test_too_many_waiting_bytes_are_refused() -> None:
    proposals, callers = proposals_and_callers(Limits(forwarded_bytes_max=10))
    callers.ask("a", size=11)

    with pytest.raises(TooManyRequests):
        callers.ask("b")

    proposals.take_batch(LEADER, room=ROOM)
    callers.ask("c")
    assert proposals.has_waiting


def test_a_stop_answers_everybody() -> None:
    proposals, callers = proposals_and_callers()
    callers.ask("sent")
    proposals.take_batch(LEADER, room=ROOM)
    callers.ask("waiting")

    proposals.fail_all(Stopped())

    assert {type(outcome) for outcome in callers.told.values()} == {Stopped}
    assert len(callers.told) == 2


def test_what_only_a_leader_may_ask_for_is_not_passed_on_to_the_next_one() -> None:
    proposals, callers = proposals_and_callers()
    callers.ask("a")
    told: list[Outcome] = []
    proposals.add(
        1, [b"revoke"], lambda _, outcomes: told.extend(outcomes), deadline=10.0, is_leaders=True
    )
    callers.ask("b")

    proposals.withdraw()

    (refusal,) = told
    assert isinstance(refusal, NotLeader)
    encoded = proposals.take_batch(LEADER, room=ROOM)
    assert encoded is not None
    (batch,) = decode_entry(encode_entry([encoded]))
    assert [payload for _, payload in batch.operations] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("room", "operations_max", "sizes"),
    [(ROOM, 4096, [5]), (ROOM, 2, [2, 2, 1]), (BATCH_OVERHEAD_BYTES + 3 * 15, 4096, [3, 2])],
)
def test_requests_that_came_together_are_split_where_a_batch_ends_and_each_answered_once(
    room: int, operations_max: int, sizes: list[int]
) -> None:
    proposals = Proposals(ME, 5, Limits(entry_operations_max=operations_max))
    told: dict[int, Outcome] = {}

    def done(first: int, outcomes: Sequence[Outcome]) -> None:
        for number, outcome in enumerate(outcomes, first):
            assert number not in told
            told[number] = outcome

    proposals.add(1, [b"%d" % number * 10 for number in range(5)], done, deadline=10.0)

    batches = []
    while (encoded := proposals.take_batch(LEADER, room=room)) is not None:
        batches += decode_entry(encode_entry([encoded]))
    revision = 2
    for batch in batches:
        outcomes = [Reply(revision + number, b"") for number in range(len(batch.operations))]
        revision += len(outcomes)
        proposals.applied(batch.id, outcomes)

    assert [len(batch.operations) for batch in batches] == sizes
    payloads = [payload for batch in batches for _, payload in batch.operations]
    assert payloads == [b"%d" % number * 10 for number in range(5)]
    assert told == {number: Reply(2 + number, b"") for number in range(5)}


def test_what_waits_of_split_requests_still_has_its_deadline() -> None:
    proposals = Proposals(ME, 5, Limits(entry_operations_max=2))
    told: list[tuple[int, type[Outcome]]] = []
    proposals.add(
        1,
        [b"a", b"b", b"c"],
        lambda first, outcomes: told.extend(
            (number, type(outcome)) for number, outcome in enumerate(outcomes, first)
        ),
        deadline=5.0,
    )
    encoded = proposals.take_batch(LEADER, room=ROOM)
    assert encoded is not None

    proposals.applied(batch_id_of(encoded), [Reply(2, b""), Reply(3, b"")])
    proposals.expire(5.0)

    assert told == [(0, Reply), (1, Reply), (2, ProposalTimedOut)]
    assert not proposals.has_waiting
