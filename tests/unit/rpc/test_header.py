from hypothesis import given
from hypothesis import strategies as st

from kvstore.base.ids import ClusterId, MemberId
from kvstore.rpc.header import ResponseHeaders
from kvstore.wire.pb import rpc_pb2

ids = st.integers(0, 2**64 - 1)


@given(ids, ids, st.lists(st.tuples(st.integers(0, 2**63 - 1), ids), min_size=1))
def test_the_field_made_by_hand_is_the_librarys(
    cluster: int, member: int, asked: list[tuple[int, int]]
) -> None:
    headers = ResponseHeaders(ClusterId(cluster), MemberId(member))

    for revision, term in [*asked, *asked]:
        found = rpc_pb2.PutResponse.FromString(headers.field(revision, term))

        assert found == rpc_pb2.PutResponse(
            header=rpc_pb2.ResponseHeader(
                cluster_id=cluster, member_id=member, revision=revision, raft_term=term
            )
        )
