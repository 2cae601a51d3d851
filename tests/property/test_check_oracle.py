"""The search against an oracle that tries every order: small histories, possible and impossible."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from kvstore.check import Budget, History, Operation, Outcome, Verdict
from kvstore.check.etcd_model import EtcdModel
from kvstore.check.linearizability import Model, Search, linearizable
from kvstore.check.models import ListAppendModel, MutexModel, RegisterModel
from kvstore.check.report import check
from kvstore.check.revisions import check_revisions
from kvstore.check.shrink import shrunk
from tests.conftest import FULL
from tests.unit.check.worlds import history, ok

EXAMPLES = 2000 if FULL else 150


def orders(operations: list[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Yield every order of every subset that leaves out unknown operations only."""
    for size in range(len(operations) + 1):
        for order in permutations(operations, size):
            left_out = [o for o in operations if o not in order]
            if any(o.outcome is Outcome.OK for o in left_out):
                continue
            places = {o.index: place for place, o in enumerate(order)}
            if all(
                places[a.index] < places[b.index]
                for a in order
                for b in order
                if a.completed < b.invoked
            ):
                yield order


def has_an_order(model: Model[object], tried: History) -> bool:
    """Say by brute force whether an order explains the whole history."""
    operations = [o for o in tried.operations if o.outcome is not Outcome.REFUSED]
    steps, states = {}, []
    for part in model.parts(operations):
        states.append(part.initial)
        place = len(states) - 1
        for call in part.calls:
            steps[call.index] = (place, call.step)
    for order in orders(operations):
        now: list[object] = list(states)
        for operation in order:
            place, step = steps[operation.index]
            now[place] = step(now[place])
            if now[place] is None:
                break
        else:
            return True
    return False


def spans(random: Random) -> tuple[float, float]:
    invoked = random.randrange(6)
    return float(invoked), invoked + random.randrange(1, 4) + 0.5


def outcome(random: Random, operation: Operation) -> Operation:
    if random.random() < 0.25:
        return replace(operation, outcome=Outcome.UNKNOWN, result=None)
    return operation


def random_registers(random: Random) -> History:
    found = []
    for number in range(random.randint(1, 5)):
        span, key = spans(random), random.choice("aab")
        kind = random.choice(["read", "write", "cas"])
        value, old = random.randrange(3), random.choice([None, 0, 1, 2])
        match kind:
            case "read":
                operation = ok(f"c{number}", kind, span, old, key=key)
            case "write":
                operation = ok(f"c{number}", kind, span, key=key, value=value)
            case _:
                said = random.choice([True, False])
                operation = ok(f"c{number}", kind, span, said, key=key, old=old, new=value)
        found.append(outcome(random, operation))
    return history(*found)


def random_lists(random: Random) -> History:
    found = []
    for number in range(random.randint(1, 5)):
        ops = []
        for step in range(random.randint(1, 2)):
            key = random.choice("aab")
            if random.random() < 0.5:
                ops.append(["append", key, 10 * number + step])
            else:
                values = random.sample([0, 1, 10, 11, 20], k=random.randint(0, 2))
                ops.append(["r", key, values])
        operation = ok(f"c{number}", "transaction", spans(random), {"ops": ops}, ops=ops)
        found.append(outcome(random, operation))
    return history(*found)


def random_mutexes(random: Random) -> History:
    return history(
        *(
            outcome(random, ok(random.choice("xy"), kind, spans(random), key="k"))
            for kind in random.choices(["acquire", "release"], k=random.randint(1, 5))
        )
    )


def random_store(random: Random) -> History:
    found = []
    for number in range(random.randint(1, 5)):
        span, key = spans(random), random.choice("aab")
        revision = random.randint(1, 4)
        match random.choice(["put", "get", "delete"]):
            case "put":
                operation = ok(
                    f"c{number}", "put", span, {"revision": revision}, key=key, value=str(number)
                )
            case "delete":
                result = {"revision": revision, "deleted": random.randrange(2)}
                operation = ok(f"c{number}", "delete", span, result, key=key)
            case _:
                kvs = random.choice([[], [{"key": key, "value": str(random.randrange(4))}]])
                operation = ok(
                    f"c{number}", "get", span, {"revision": revision, "kvs": kvs}, key=key
                )
        found.append(outcome(random, operation))
    return history(*found)


many = settings(max_examples=EXAMPLES, deadline=None)
seeds = given(seed=st.integers(min_value=0, max_value=2**32))


def same_verdict(model: Model[object], tried: History) -> None:
    finding, _ = linearizable(tried.operations, model, Budget())
    expected = Verdict.HOLDS if has_an_order(model, tried) else Verdict.VIOLATED
    assert finding.verdict is expected, tried


@many
@seeds
def test_registers_are_judged_as_by_trying_every_order(seed: int) -> None:
    same_verdict(RegisterModel(), random_registers(Random(seed)))


@many
@seeds
def test_lists_are_judged_as_by_trying_every_order(seed: int) -> None:
    same_verdict(ListAppendModel(), random_lists(Random(seed)))


@many
@seeds
def test_mutexes_are_judged_as_by_trying_every_order(seed: int) -> None:
    same_verdict(MutexModel(), random_mutexes(Random(seed)))


@many
@seeds
def test_the_store_is_judged_as_by_trying_every_order(seed: int) -> None:
    tried = random_store(Random(seed))
    same_verdict(EtcdModel(tried), tried)


@many
@seeds
def test_revisions_never_contradict_the_search(seed: int) -> None:
    tried = random_store(Random(seed))
    quick, _ = check_revisions(tried)
    thorough, _ = linearizable(tried.operations, EtcdModel(tried), Budget())
    assert quick.verdict in {thorough.verdict, Verdict.UNKNOWN}, (tried, quick, thorough)


@many
@seeds
def test_cycles_never_contradict_the_search(seed: int) -> None:
    tried = random_lists(Random(seed))
    cycles = check(tried, models=["transactions"])
    thorough, _ = linearizable(tried.operations, ListAppendModel(), Budget())
    if thorough.verdict is Verdict.HOLDS:
        assert cycles.verdict is Verdict.HOLDS, (tried, cycles.text)


@many
@seeds
def test_a_shrunk_violation_is_one_still(seed: int) -> None:
    """What is left fails when everything else is free to happen at any time, or not at all."""
    tried = random_registers(Random(seed))
    _, part = linearizable(tried.operations, RegisterModel(), Budget())
    if part is None:
        return
    needed = shrunk(part, Budget())
    assert needed
    relaxed = tuple(
        call if call.index in needed else call.__class__(call.index, call.invoked, 1e18, call.step)
        for call in part.calls
    )
    assert Search(part.__class__(part.name, part.initial, relaxed), Budget()).run().verdict is (
        Verdict.VIOLATED
    )
