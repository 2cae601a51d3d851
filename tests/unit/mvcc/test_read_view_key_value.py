from kvstore.backend.memory_backend import MemoryBackend
from kvstore.base.key_range import KeyRange
from kvstore.mvcc import Store

LONG = b"long" * 300


def test_the_bytes_of_a_key_are_those_that_a_point_read_finds() -> None:
    backend = MemoryBackend()
    store = Store(backend)
    txn = backend.begin_write()
    writer = store.begin(txn)
    for key in (b"kept", b"gone", LONG):
        writer.put(key, b"value", 0)
    writer.end_request()
    writer.delete_range(KeyRange.single(b"gone"))
    writer.end_request()
    writer.finish()
    txn.commit()
    store.commit(writer)

    view = store.view()
    for key in (b"kept", LONG):
        found = view.get(key)
        assert found is not None
        assert view.key_value(key) == found.key_value
    for key in (b"gone", b"never"):
        assert view.get(key) is None
        assert view.key_value(key) is None
    view.close()
