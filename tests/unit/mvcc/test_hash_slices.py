from tests.support.keyspace import Keyspace


def test_a_hash_is_computed_in_slices_and_is_the_same(keyspace: Keyspace) -> None:
    with keyspace.request() as writer:
        for number in range(3000):
            writer.put(b"%05d" % number, b"v", 0)
    view = keyspace.store.view()
    pauses = sum(1 for _ in view.hash_kv(0))
    view.close()
    assert pauses > 5
    before = keyspace.hash()
    keyspace.put(b"k")
    assert keyspace.hash(2).crc == before.crc
