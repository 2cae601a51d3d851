"""Replies in the formats of etcdctl 3.6; recorded from 3.6.16."""

import pytest

from kvstore.cli.ctl.output.fields_format import fields_lines
from kvstore.cli.ctl.output.json_format import json_text
from kvstore.cli.ctl.output.table_format import table_lines
from kvstore.cli.ctl.txn_grammar import operation
from kvstore.wire.pb import kv_pb2, rpc_pb2

HEADER = rpc_pb2.ResponseHeader(cluster_id=0xAB, member_id=0xC, raft_term=2)
MEMBERS = rpc_pb2.MemberListResponse(
    header=HEADER, members=[rpc_pb2.Member(ID=0xC, name="m", peerURLs=["http://p"])]
)


def test_fields_leave_out_a_revision_of_zero() -> None:
    reply = rpc_pb2.AlarmResponse(header=HEADER)

    assert list(fields_lines(reply, is_hex=False)) == [
        '"ClusterID" : 171',
        '"MemberID" : 12',
        '"RaftTerm" : 2',
    ]


def test_fields_in_hex_show_ids_so_and_leases_in_sixteen_digits() -> None:
    reply = rpc_pb2.RangeResponse(header=HEADER, kvs=[kv_pb2.KeyValue(key=b"k", lease=0x1F)])

    lines = list(fields_lines(reply, is_hex=True))

    assert lines[:2] == ['"ClusterID" : ab', '"MemberID" : c']
    assert '"Lease" : 000000000000001f' in lines
    assert '"Key" : "k"' in lines


@pytest.mark.parametrize(
    ("is_hex", "expected"),
    [
        (
            True,
            '{"header":{"cluster_id":"ab","member_id":"c","raft_term":2},"members":'
            '[{"ID":"c","name":"m","peerURLs":["http://p"],"clientURLs":null}]}',
        ),
        (
            False,
            '{"header":{"cluster_id":171,"member_id":12,"raft_term":2},"members":'
            '[{"ID":12,"name":"m","peerURLs":["http://p"]}]}',
        ),
    ],
)
def test_json_in_hex_is_another_list_of_members(*, is_hex: bool, expected: str) -> None:
    assert json_text(MEMBERS, is_hex=is_hex) == expected


def test_titles_of_tables_have_spaces_for_underscores() -> None:
    assert list(table_lines(("hash_revision",), [["1"]]))[1] == "| HASH REVISION |"


def test_get_passes_on_the_limits_of_revisions() -> None:
    request = operation(
        "get a --min-create-rev 1 --max-create-rev 2 --min-mod-rev=3 --max-mod-rev=4"
    ).request_range

    assert request == rpc_pb2.RangeRequest(
        key=b"a",
        min_create_revision=1,
        max_create_revision=2,
        min_mod_revision=3,
        max_mod_revision=4,
    )
