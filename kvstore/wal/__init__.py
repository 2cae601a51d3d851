"""The write-ahead log: the one thing on the critical path of a write. docs/formats/wal.md.

Purpose: entries, term, vote and the log's base are durable here before anything is promised.

Invariants:

* What `durable_sequence` covers survives a power cut, or its loss is noticed when the log is opened
  (`CorruptWal`); what it does not cover may be lost, from some point on, but is never altered.
* The log is a chain: each record seals the one before; each segment begins with the whole state
  that is not an entry, so that older segments may go.
* The first failed write or sync is final (`WalFailed`), and noted in the directory.

Owner of: term, vote and the bytes of the log. Entries' data in memory belong to the journal above.

Threads: the loop appends and finishes jobs; one thread runs `SyncJob`s in order; any other runs an
`UpkeepJob`.

Reading order: `disk` (the port), `record` (pure), `segment`, `recovery`, `jobs`, `write_ahead_log`.
"""

from kvstore.wal.disk import Disk, DiskFile, RealDisk
from kvstore.wal.jobs import SyncJob, UpkeepJob
from kvstore.wal.recovery import WalBase, WalEntry
from kvstore.wal.segment import WalIdentity
from kvstore.wal.write_ahead_log import Recovered, WriteAheadLog

__all__ = [
    "Disk",
    "DiskFile",
    "RealDisk",
    "Recovered",
    "SyncJob",
    "UpkeepJob",
    "WalBase",
    "WalEntry",
    "WalIdentity",
    "WriteAheadLog",
]
