"""What `kvstore local` prints about the members of a cluster."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from kvstore.cli.local_topology import MemberPlan


class MemberStatus(NamedTuple):
    """What is to be seen of one member."""

    plan: MemberPlan
    pid: int
    state: str
    """`starting`, `healthy`, `not answering`, or `exited with code N`."""


class View(Protocol):
    """Where the state of the members is shown while the launcher runs."""

    def show(self, members: list[MemberStatus]) -> None:
        """Show the members as they are now."""
        ...


class LinesView:
    """One line for each change of state of a member."""

    def __init__(self) -> None:
        self._shown: Mapping[str, str] = {}

    def show(self, members: list[MemberStatus]) -> None:
        """Print what is new since the last time."""
        for member in members:
            if self._shown.get(member.plan.name) != member.state:
                print(_line(member), flush=True)
        self._shown = {member.plan.name: member.state for member in members}


def try_this(endpoints: str) -> str:
    """Return the lines that tell a newcomer what to do next."""
    return "\n".join(
        (
            "try this in another terminal:",
            f"  kvstorectl --endpoints {endpoints} put greeting hello",
            f"  kvstorectl --endpoints {endpoints} get greeting",
            f"  kvstorectl --endpoints {endpoints} endpoint status -w table",
            "Ctrl-C stops the members and keeps their data.",
        )
    )


def member_lines(members: list[MemberStatus]) -> str:
    """Return a plain table for `ls`."""
    rows = [("NAME", "PID", "STATE", "CLIENTS", "DATA")] + [
        (
            member.plan.name,
            str(member.pid or "-"),
            member.state,
            member.plan.client_url,
            str(member.plan.data_dir),
        )
        for member in members
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _line(member: MemberStatus) -> str:
    line = f"{member.plan.name}: {member.state} (pid {member.pid}, {member.plan.client_url})"
    return f"{line}, see {member.plan.log_file}" if member.state.startswith("exited") else line
