from kvstore.base.errors import Code
from kvstore.wire.grpc.tallies import VERSIONS_MAX, Tallies


def test_calls_are_counted_by_method_and_version() -> None:
    tallies = Tallies()
    tallies.of("/s/A", "3.6", is_stream=False).started += 2
    tallies.of("/s/A", "3.5", is_stream=False).started += 1
    tallies.of("/s/A", "3.6", is_stream=False).started += 1
    assert [(path, version, one.started) for path, version, one in tallies.items()] == [
        ("/s/A", "3.5", 1),
        ("/s/A", "3.6", 3),
    ]


def test_clients_cannot_make_the_tallies_grow_without_bound() -> None:
    tallies = Tallies()
    for number in range(3 * VERSIONS_MAX):
        tallies.of("/s/A", str(number), is_stream=False).started += 1
    found = list(tallies.items())
    assert len(found) <= VERSIONS_MAX + 1
    assert sum(one.started for _, _, one in found) == 3 * VERSIONS_MAX


def test_what_a_unary_method_answered_has_succeeded() -> None:
    tally = Tallies().of("/s/A", "3.6", is_stream=False)
    tally.sent = 5
    tally.ended[Code.NOT_FOUND] += 1
    assert list(tally.by_code()) == [(Code.OK, 5), (Code.NOT_FOUND, 1)]
