"""Ports that are free now, for clusters of real processes."""

import os
import random
import socket

_FIRST, _LAST = 20_000, 32_000  # below what Linux hands out by itself


def free_base_port(members: int = 3) -> int:
    """Return a base port under which `members` members find their ports free."""
    dice = random.Random(os.urandom(8))
    while True:
        base = dice.randrange(_FIRST, _LAST)
        ports = [base + 10 * member + peer for member in range(members) for peer in (0, 1)]
        if all(map(_is_free, ports)):
            return base


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
