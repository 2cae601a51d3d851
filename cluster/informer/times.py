"""Instants as Kubernetes writes them: RFC 3339, in UTC. Pure."""

from datetime import UTC, datetime


def timestamp(unix_s: float) -> str:
    """Return a `Time`: whole seconds."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(unix_s: float) -> str:
    """Return a `MicroTime`: six decimals."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unix_of(text: str) -> float:
    """Return the seconds since 1970 that a `Time` or `MicroTime` stands for; 0 if it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
