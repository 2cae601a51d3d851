"""The live table of members that `kvstore local up` shows on a terminal."""

from types import TracebackType
from typing import Self

from rich.live import Live
from rich.table import Table

from kvstore.cli.local_view import MemberStatus

_COLOURS = {"healthy": "green", "starting": "yellow", "not answering": "yellow"}
_COLOUR_OF_THE_REST = "red"


class TableView:
    """A table that is redrawn in place, inside its `with` block."""

    def __init__(self) -> None:
        self._live = Live(auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, members: list[MemberStatus]) -> None:
        """Redraw the table."""
        self._live.update(table(members), refresh=True)


def table(members: list[MemberStatus]) -> Table:
    """Return the members as a table."""
    drawn = Table(title="kvstore local cluster", title_justify="left")
    for heading in ("member", "pid", "state", "clients", "peers", "log"):
        drawn.add_column(heading)
    for plan, pid, state in members:
        colour = _COLOURS.get(state, _COLOUR_OF_THE_REST)
        drawn.add_row(
            plan.name,
            str(pid),
            f"[{colour}]{state}[/]",
            plan.client_url,
            plan.peer_url,
            str(plan.log_file),
        )
    return drawn
