"""Consensus on opaque bytes; knows nothing of keys.

Owns the replicated log in memory, term, vote, the commit index and who takes part. The member owns
the turn: it takes the peers' messages, proposes, calls `turn`, and then lets the write-ahead log
sync; `log_durable` tells the engine when it has.

Invariants, beside Raft's own (figure 3):
* nothing is promised before it is durable: acknowledgements and this member's own voice in a commit
  count min(verified, durable); term and vote are durable before a message of that term leaves;
* a leader counts only answers of its own term, from members of the configuration in its log;
* what is committed is never truncated; a leader that contradicts it stops the member.

Read `consensus.py` (the port) first, then `pysyncobj_engine.py` (the overridden library) with its
parts, which see it as a `core.py`: `following.py` and `append_guard.py`, `replication.py`,
`commit.py`, `elections.py`, `transfer.py`, `read_index.py`; `journal.py` and `membership.py` (the
log, and who takes part); `peer_message.py` (what engines say), `peer_session.py` and
`peer_transport.py` (how it gets there).
"""
