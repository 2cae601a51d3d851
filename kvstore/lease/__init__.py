"""Leases: which there are and what they hold, and, on the leader only, when they end.

Two kinds of state that must not mix:

- *Replicated*, equal on every member, changed by apply alone inside the turn's write transaction:
  the leases with their granted TTLs (tree `LEASES`, mirrored in memory), and the keys that each
  holds (tree `LEASE_KEYS`, read where it lies). A key belongs to at most one lease; whoever puts or
  deletes a key attaches and detaches it.
- *Deadlines*, one leader's opinion by its monotonic clock, never written anywhere. A new leader
  starts every lease again at its full TTL plus an election timeout: a lease may end late, never
  early. Expiry is a replicated revoke; until it is applied an expired lease still holds its keys,
  and it can no longer be renewed.

No clock here: every question about time takes `now`, seconds of one monotonic clock.

Reading order: `lease_keys` (bytes), `expiry_queue` (deadlines), `lessor` (both).
"""

from kvstore.lease.lessor import TTL_MAX_S, Lessor, TimeToLive, minimum_ttl_s

__all__ = ["TTL_MAX_S", "Lessor", "TimeToLive", "minimum_ttl_s"]
