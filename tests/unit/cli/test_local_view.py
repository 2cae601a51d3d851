"""What people and scripts see of a local cluster."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from kvstore.cli.local_table import TableView, table
from kvstore.cli.local_topology import MemberPlan, Topology
from kvstore.cli.local_view import LinesView, MemberStatus, member_lines, try_this

TOPOLOGY = Topology(directory=Path("/d"), base_port=2379, size=2)


def members(*states: str) -> list[MemberStatus]:
    plans: tuple[MemberPlan, ...] = TOPOLOGY.members
    return [MemberStatus(plan, 7, state) for plan, state in zip(plans, states, strict=True)]


def test_only_what_changed_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    view = LinesView()
    view.show(members("starting", "starting"))
    view.show(members("healthy", "starting"))
    view.show(members("healthy", "starting"))
    assert [line.split(" (")[0] for line in capsys.readouterr().out.splitlines()] == [
        "m1: starting",
        "m2: starting",
        "m1: healthy",
    ]


def test_a_member_that_ended_is_shown_with_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    LinesView().show(members("exited with code 1", "healthy"))
    assert capsys.readouterr().out.splitlines()[0].endswith("see /d/m1.log")


def test_the_table_shows_every_member() -> None:
    drawn = io.StringIO()
    Console(width=160, file=drawn).print(table(members("healthy", "exited with code 1")))
    text = drawn.getvalue()
    for word in ("m1", "m2", "healthy", "exited with code 1", "http://127.0.0.1:2389"):
        assert word in text


def test_the_live_table_is_drawn_once_per_show(capsys: pytest.CaptureFixture[str]) -> None:
    with TableView() as view:
        view.show(members("healthy", "starting"))
    assert "m2" in capsys.readouterr().out


def test_the_plain_table_is_aligned() -> None:
    lines = member_lines(members("healthy", "stopped")).splitlines()
    assert lines[1].index("healthy") == lines[2].index("stopped")
    assert lines[0].split() == ["NAME", "PID", "STATE", "CLIENTS", "DATA"]


def test_the_next_steps_name_the_endpoints() -> None:
    assert TOPOLOGY.client_urls in try_this(TOPOLOGY.client_urls)
