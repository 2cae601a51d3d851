"""The consistency checker: can a correct store have produced what clients saw?

Usable alone, on a history of any store: it imports `kvstore.base` and the standard library. Pure:
a history goes in, a report comes out; who calls it reads files and owns the clock of the budget.

Reading order: `history` (the values, and their JSON lines), `verdict`, then a check each:

* `linearizability`: the search, over `models` (register, list-append, mutex) or `etcd_model` with
  its state, the `keyspace`; `shrink` finds the smallest failing part.
* `revisions`: the linear-time check of a store that tells its revisions; `real_time`,
  `store_evidence` and `silence` are its premises, and `watches` and `leases` rest on its replay.
* `transactions`: cycles among them; `versions` orders what they wrote, `graph` finds the cycles.
* `locks`: mutual exclusion and fencing tokens.

`report` chooses and words, `timeline` draws, `recorder` notes histories, `jepsen` reads Jepsen's.

Invariants: a violation is only claimed if no correct store could have produced the history,
whatever became of the operations of unknown outcome. Where that was not decided, the verdict says
`unknown` and why; never "holds".
"""

from kvstore.check.history import (
    FOREVER,
    Band,
    Event,
    History,
    Operation,
    Outcome,
    ResponseKind,
    Watch,
    WatchResponse,
    read_history,
    write_history,
)
from kvstore.check.json_value import MalformedHistory
from kvstore.check.recorder import Recorder
from kvstore.check.report import CHECKS, Report, check
from kvstore.check.timeline import timeline
from kvstore.check.verdict import Budget, Finding, Verdict

__all__ = [
    "CHECKS",
    "FOREVER",
    "Band",
    "Budget",
    "Event",
    "Finding",
    "History",
    "MalformedHistory",
    "Operation",
    "Outcome",
    "Recorder",
    "Report",
    "ResponseKind",
    "Verdict",
    "Watch",
    "WatchResponse",
    "check",
    "read_history",
    "timeline",
    "write_history",
]
