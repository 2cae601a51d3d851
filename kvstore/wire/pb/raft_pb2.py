# Generated from proto/kvstore/raft.proto by tools/generate_proto.py; do not edit.
from .pool import define as _define

DESCRIPTOR = _define(
    b'\n\nraft.proto\x12\tkvstorepb"]\n\x10MemberAttributes\x12\x12\n\x04name\x18\x01 \x01(\tR\x04n'
    b'ame\x12\x1f\n\x0bclient_urls\x18\x02 \x03(\tR\nclientUrls\x12\x14\n\x05birth\x18\x03 \x01('
    b'\x06R\x05birth"\x8c\x01\n\nMembership\x12\x16\n\x06voters\x18\x01 \x03(\x06R\x06voters\x12'
    b'\x1a\n\x08learners\x18\x02 \x03(\x06R\x08learners\x12\x18\n\x07removed\x18\x03 \x03(\x06R\x07'
    b'removed\x120\n\tpeer_urls\x18\x04 \x03(\x0b2\x13.kvstorepb.PeerUrlsR\x08peerUrls"6\n\x08PeerU'
    b'rls\x12\x16\n\x06member\x18\x01 \x01(\x06R\x06member\x12\x12\n\x04urls\x18\x02 \x03(\tR\x04ur'
    b'ls"^\n\x0bAssignToken\x12\x12\n\x04user\x18\x01 \x01(\tR\x04user\x12\x16\n\x06prefix\x18\x02 '
    b'\x01(\tR\x06prefix\x12#\n\rauth_revision\x18\x03 \x01(\x04R\x0cauthRevisionb\x06proto3',
    globals(),
)
