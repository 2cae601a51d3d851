"""Who makes up a local cluster is decided by three values, and remembered exactly."""

from pathlib import Path

import pytest

from kvstore.cli.local_topology import LocalState, Topology, UnknownState
from kvstore.server.config import load

TOPOLOGY = Topology(directory=Path("/d"), base_port=2379, size=3)


def test_client_ports_are_ten_apart_and_peers_follow_them() -> None:
    ports = [(member.client_port, member.peer_port) for member in TOPOLOGY.members]
    assert ports == [(2379, 2380), (2389, 2390), (2399, 2400)]
    assert (
        TOPOLOGY.client_urls == "http://127.0.0.1:2379,http://127.0.0.1:2389,http://127.0.0.1:2399"
    )


def test_every_member_keeps_its_data_under_the_directory() -> None:
    assert len({member.data_dir for member in TOPOLOGY.members}) == 3
    assert all(member.data_dir.parent == Path("/d") for member in TOPOLOGY.members)


def test_the_flags_make_a_configuration_without_problems() -> None:
    for member in TOPOLOGY.members:
        config = load(TOPOLOGY.flags(member), {})
        assert config.bootstrap_problems() == []
        assert config.notes == ()
        assert config.data_dir == member.data_dir
        assert list(config.cluster.initial_members) == ["m1", "m2", "m3"]


def test_the_state_is_read_back_as_it_was_written() -> None:
    state = LocalState(topology=TOPOLOGY, member_pids={"m1": 7}, launcher_pid=8)
    assert LocalState.from_json(state.to_json(), Path("/d")) == state


@pytest.mark.parametrize("text", ["", "{}", "[]", "7", '{"format": 2}', '{"format": 1}'])
def test_a_state_that_cannot_be_read_is_an_error_that_says_so(text: str) -> None:
    with pytest.raises(UnknownState):
        LocalState.from_json(text, Path("/d"))
