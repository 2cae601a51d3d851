"""A port that is taken is found before a member stumbles over it, and its owner is named."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvstore.cli.local_ports import free_base_port, owner, ports_of, taken_ports
from kvstore.cli.local_topology import Topology


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_with_a_listener_is_taken(taken: int) -> None:
    assert taken_ports([taken]) == [taken]


def test_a_port_whose_listener_has_gone_is_free(taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert taken_ports([port, taken]) == [taken]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_owner_of_a_port_is_named(taken: int) -> None:
    found = owner(taken)
    assert found is not None
    assert found.startswith(f"pid {os.getpid()} (")


def test_where_the_system_does_not_tell_there_is_no_owner(tmp_path: Path) -> None:
    assert owner(2379, proc=tmp_path) is None


def test_the_suggested_base_port_is_free_for_every_member(taken: int) -> None:
    topology = Topology(directory=Path("/d"), base_port=taken, size=2)
    base_port = free_base_port(topology)
    assert base_port is not None
    assert taken_ports(ports_of(Topology(directory=Path("/d"), base_port=base_port, size=2))) == []
