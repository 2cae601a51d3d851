"""Watches: every change of the keyspace, to whoever asked for it, in order and without waiting.

A watcher is *synced* (it has been offered every revision up to the hub's), *behind* (it is fed
from history until it is synced) or of the *future* (its start revision has not come). What is
published goes to synced watchers only; an index by key range finds them, so that a change costs
nothing per watcher of other keys.

Invariants (their names are the checkers'):

- Atomic: all events of one revision that a watcher wants are in one response, fragments aside.
- Ordered, Unique, Reliable: `next_revision` of a watcher that is behind is the first revision of
  which nothing was sent; everything below was. The last slice from history and the change to
  synced happen in one step at one revision.
- Bookmarkable: a progress response is queued behind the events that it covers, on the one queue of
  its stream, and speaks of `hub.revision` only, which moves after a turn is offered whole.
- Nobody is waited for: a stream with too many unsent bytes gets no more events; its watchers fall
  behind and resume at their `next_revision` when it drains.
- Compaction needs no call: every slice from history asks for the compact revision first.

The events of several revisions that one turn publishes share a response per watcher, with the last
of these revisions in its header. etcd sends one response a revision; clients see whole revisions
in order either way.

Owner of: watchers, and which revision each has been sent. Of queued bytes only the stream's sink
knows. Reading order: `watcher`, `encoding`, `range_index`, `stream`, `catch_up`, `hub`.
"""

from kvstore.watch.hub import WatchHub
from kvstore.watch.ports import Change, History, Sink
from kvstore.watch.stream import WatchStream
from kvstore.watch.watcher import WatchSpec

__all__ = ["Change", "History", "Sink", "WatchHub", "WatchSpec", "WatchStream"]
