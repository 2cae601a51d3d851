"""The numbers of the field, each with a type of its own, so that they cannot be mixed up."""

from typing import NewType

MemberId = NewType("MemberId", int)
"""uint64; never 0. Zero on the wire means "none"."""

ClusterId = NewType("ClusterId", int)
"""uint64."""

Term = NewType("Term", int)
"""Raft term; 0 before the first election."""

LogIndex = NewType("LogIndex", int)
"""Position in the replicated log; the first entry, which every new member creates alike, is 1."""

LeaseId = NewType("LeaseId", int)
"""int64; 0 means "no lease"."""

WatchId = NewType("WatchId", int)
"""int64, unique in one watch stream; -1 on the wire means "no particular watcher"."""
