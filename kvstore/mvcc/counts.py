"""How much was done to a keyspace, added up while it is done."""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Counts:
    """Operations, those inside transactions included."""

    puts: int = 0
    put_bytes: int = 0
    """Of keys and values."""
    deletes: int = 0
    """Deletions asked for, whether or not there was anything to delete."""
    ranges: int = 0
    txns: int = 0
    """Transactions of more than one operation."""
    leases_granted: int = 0
    leases_revoked: int = 0
    leases_expired: int = 0

    @property
    def operations(self) -> int:
        """All of them."""
        return self.puts + self.deletes + self.ranges

    def add(self, more: "Counts") -> None:
        """Add what one turn did."""
        for name in _NAMES:
            if found := getattr(more, name):
                setattr(self, name, getattr(self, name) + found)


_NAMES = tuple(field.name for field in fields(Counts))
