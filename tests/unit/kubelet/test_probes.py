"""A probe counts answers of a kind in a row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.kubelet.kubelet import Addresses, AddressesExhausted
from cluster.kubelet.probes import ContainerHealth, Probe, Tally, probe_of


def probe(successes: int, failures: int) -> Probe:
    return Probe({}, 0, 1, 1, successes, failures)


@given(st.lists(st.booleans()), st.integers(1, 3), st.integers(1, 3))
def test_it_turns_after_enough_answers_in_a_row(
    answers: list[bool], successes: int, failures: int
) -> None:
    tally, expected = Tally(probe(successes, failures), is_good=False), False
    for index, answer in enumerate(answers):
        tally.count(succeeded=answer)
        if all(answers[max(index + 1 - successes, 0) : index + 1]) and index + 1 >= successes:
            expected = True
        if not any(answers[max(index + 1 - failures, 0) : index + 1]) and index + 1 >= failures:
            expected = False
        assert tally.is_good is expected


def test_defaults_are_those_of_the_api() -> None:
    found = probe_of({"livenessProbe": {"tcpSocket": {"port": 1}}}, "livenessProbe")
    assert found is not None
    assert (found.period_s, found.timeout_s, found.successes, found.failures) == (10, 1, 1, 3)
    assert probe_of({}, "livenessProbe") is None


def test_without_probes_a_container_is_well_and_with_readiness_it_is_not_ready_yet() -> None:
    class Silent:
        async def ask(self, probe: Probe) -> str | None:
            raise AssertionError("not asked")

    plain = ContainerHealth({}, Silent(), lambda: None, lambda _kind, _why: None)
    assert (plain.health.is_ready, plain.health.is_failed) == (True, False)
    container = {"readinessProbe": {"tcpSocket": {"port": 1}}}
    waiting = ContainerHealth(container, Silent(), lambda: None, lambda _kind, _why: None)
    assert (waiting.health.is_ready, waiting.health.is_failed) == (False, False)


def test_addresses_are_kept_given_back_and_used_up() -> None:
    addresses = Addresses("127.20.1.0/29")
    assert addresses.take("a", "127.20.1.4") == "127.20.1.4"
    taken = {addresses.take(uid) for uid in "bcde"}
    assert len(taken) == 4
    assert "127.20.1.1" not in taken  # the node's own
    with pytest.raises(AddressesExhausted):
        addresses.take("f")
    addresses.give_back("a")
    assert addresses.take("f") == "127.20.1.4"
