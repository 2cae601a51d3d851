# Generated from proto/kvstore/raft.proto by tools/generate_proto.py; do not edit.
from .pool import define as _define

DESCRIPTOR = _define(
    b'\n\nraft.proto\x12\tkvstorepb"]\n\x10MemberAttributes\x12\x12\n\x04name\x18\x01 \x01(\tR\x04n'
    b'ame\x12\x1f\n\x0bclient_urls\x18\x02 \x03(\tR\nclientUrls\x12\x14\n\x05birth\x18\x03 \x01('
    b'\x06R\x05birth"^\n\x0bAssignToken\x12\x12\n\x04user\x18\x01 \x01(\tR\x04user\x12\x16\n\x06pre'
    b'fix\x18\x02 \x01(\tR\x06prefix\x12#\n\rauth_revision\x18\x03 \x01(\x04R\x0cauthRevisionb\x06p'
    b'roto3',
    globals(),
)
