"""The twin's own gift: a power cut."""

import pytest

from kvstore.backend.memory_backend import MemoryBackend
from kvstore.backend.schema import Tree


def commit(backend: MemoryBackend, key: bytes) -> None:
    txn = backend.begin_write()
    txn.put(Tree.META, key, b"")
    txn.commit()


def keys(backend: MemoryBackend) -> list[bytes]:
    view = backend.begin_read()
    found = [key for key, _value in view.scan(Tree.META)]
    view.close()
    return found


def test_a_crash_goes_back_to_the_last_checkpoint_made_durable() -> None:
    backend = MemoryBackend()
    commit(backend, b"kept")
    checkpoint = backend.begin_checkpoint()
    commit(backend, b"too late")
    checkpoint.make_durable()
    checkpoint.finish()
    backend.begin_checkpoint()  # begun, but never durable
    backend.crash()
    assert keys(backend) == [b"kept"]


def test_a_crash_ends_the_write_transaction() -> None:
    backend = MemoryBackend()
    lost = backend.begin_write()
    lost.put(Tree.META, b"lost", b"")
    backend.crash()
    with pytest.raises(AssertionError):
        lost.commit()
    commit(backend, b"next")
    assert keys(backend) == [b"next"]


def test_a_second_writer_is_a_mistake() -> None:
    backend = MemoryBackend()
    txn = backend.begin_write()
    with pytest.raises(AssertionError):
        backend.begin_write()
    txn.abort()
    backend.close()
