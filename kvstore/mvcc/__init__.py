"""The revisioned keyspace: what was put where, since which revision, and what it was before.

Pure: it turns requests into changes of a backend's trees, and trees into answers. It knows no log,
no clock, no client. The member calls it from one thread.

Invariants:
- A request that changes anything takes the next main revision; its changes number `sub` from 0.
- REVISIONS only grows at its end; compaction takes records out of it, and nothing else does.
- The head of a key is its record of the highest revision. Following `previous` from it meets all
  older versions that are not compacted, newest first.
- All that an answer depends on is (revision, compact revision): never how far removal has got.

Read in this order: `revision`, `layout` (the trees as bytes), `store` (the way in), `write_txn`,
`read_view` with `range` and `history`, `compaction`, `hash`.
"""

from kvstore.mvcc.compaction import Removal
from kvstore.mvcc.conditional_put import Conditional, ConditionalPut, Field
from kvstore.mvcc.counts import Counts
from kvstore.mvcc.event import Changes, Event, Previous
from kvstore.mvcc.hash import HashResult, HashSlices
from kvstore.mvcc.key_value import KeyValue, decode_key_value
from kvstore.mvcc.range import RangeQuery, RangeResult, RangeSlices, RangeTail
from kvstore.mvcc.read_view import ReadView
from kvstore.mvcc.store import Store
from kvstore.mvcc.write_txn import KeyspaceWriter

__all__ = [
    "Changes",
    "Conditional",
    "ConditionalPut",
    "Counts",
    "Event",
    "Field",
    "HashResult",
    "HashSlices",
    "KeyValue",
    "KeyspaceWriter",
    "Previous",
    "RangeQuery",
    "RangeResult",
    "RangeSlices",
    "RangeTail",
    "ReadView",
    "Removal",
    "Store",
    "decode_key_value",
]
