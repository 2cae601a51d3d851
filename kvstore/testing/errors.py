"""What can go wrong in a test that is not the fault of what it tests."""

from kvstore.base.errors import KvstoreError


class MemberDidNotStart(KvstoreError):
    """A member was not ready in time, or ended first; the text holds the end of its log."""


class FaultUnavailable(KvstoreError):
    """This machine, this server or this cluster cannot have the fault; the text says why."""
