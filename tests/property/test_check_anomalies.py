"""The checker accepts what a correct store produced, and rejects it after one injected anomaly."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvstore.check import Budget, History, Verdict, check
from tests.conftest import FULL
from tests.unit.check import anomalies, worlds
from tests.unit.check.worlds import Shape

EXAMPLES = 1000 if FULL else 60

WORLDS: dict[str, tuple[Callable[[Random, Shape], History], list[anomalies.Anomaly]]] = {
    "registers": (worlds.register_history, anomalies.REGISTER),
    "store": (lambda random, shape: worlds.store_history(random, shape)[0], anomalies.STORE),
    "watches": (lambda random, shape: worlds.store_history(random, shape)[0], anomalies.WATCH),
    "lists": (worlds.list_history, anomalies.LISTS),
    "transactions": (worlds.registers_history, anomalies.REGISTERS),
    "mutexes": (worlds.mutex_history, anomalies.MUTEX),
}

seeds = given(seed=st.integers(min_value=0, max_value=2**32))
counted = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def made(world: str, seed: int) -> tuple[Random, History]:
    random = Random(seed)
    return random, WORLDS[world][0](random, worlds.shape(random))


@pytest.mark.parametrize("world", WORLDS)
@counted
@seeds
def test_what_a_correct_store_produced_is_accepted(world: str, seed: int) -> None:
    _, history = made(world, seed)

    report = check(history, budget=Budget(200_000))

    assert report.verdict is Verdict.HOLDS, report.text


@pytest.mark.parametrize("world", WORLDS)
@counted
@seeds
def test_one_injected_anomaly_is_rejected(world: str, seed: int) -> None:
    random = Random(seed)
    # Whether a watch skipped an event can be told only where it is known what happened.
    shape = worlds.shape(random)
    shape = replace(shape, unknown=0) if world == "watches" else shape
    found = anomalies.inject(random, WORLDS[world][0](random, shape), WORLDS[world][1])
    while found is None:  # the history was too poor for any
        longer = replace(shape, operations=60, refused=0.05)
        found = anomalies.inject(random, WORLDS[world][0](random, longer), WORLDS[world][1])
    name, bad = found

    report = check(bad, budget=Budget(200_000))

    assert report.verdict is Verdict.VIOLATED, f"{name} was not seen\n{report.text}"


def test_every_anomaly_finds_a_place_and_is_rejected() -> None:
    """One that never found a place would be a claim without proof."""
    for world, (generate, injected) in WORLDS.items():
        for anomaly in injected:
            found = 0
            for seed in range(400):
                random = Random(seed)
                unknown = 0.0 if world == "watches" else random.choice([0.0, 0.1])
                bad = anomaly(random, generate(random, Shape(operations=40, unknown=unknown)))
                if bad is not None:
                    report = check(bad, budget=Budget(200_000))
                    assert report.verdict is Verdict.VIOLATED, f"{anomaly.__name__}\n{report.text}"
                    found += 1
                    if found == 3:
                        break
            assert found == 3, f"{anomaly.__name__} found {found} places"


def test_a_skipped_expiry_is_seen_though_another_lease_may_have_ended() -> None:
    """Both leases had keys that the watch covers: it should have been told of either."""
    random = Random(15851)
    shape = replace(worlds.shape(random), unknown=0)
    found = anomalies.inject(random, WORLDS["watches"][0](random, shape), anomalies.WATCH)
    assert found is not None
    assert found[0] == "skipped_event"
    report = check(found[1])
    assert report.verdict is Verdict.VIOLATED, report.text
    assert "was not told of revision 4, whoever made it" in report.text
