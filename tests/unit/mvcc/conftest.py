"""A keyspace to write to, over memory."""

import pytest

from kvstore.backend.memory_backend import MemoryBackend
from tests.support.keyspace import Keyspace


@pytest.fixture
def keyspace() -> Keyspace:
    return Keyspace(MemoryBackend())
