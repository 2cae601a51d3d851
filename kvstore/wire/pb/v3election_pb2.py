# Generated from proto/etcd/v3election.proto by tools/generate_proto.py; do not edit.
from . import kv_pb2 as _kv_pb2  # must be defined first
from . import rpc_pb2 as _rpc_pb2  # must be defined first
from .pool import define as _define

DESCRIPTOR = _define(
    b'\n\x10v3election.proto\x12\x0cv3electionpb\x1a\x08kv.proto\x1a\trpc.proto"Q\n\x0fCampaignRequ'
    b'est\x12\x12\n\x04name\x18\x01 \x01(\x0cR\x04name\x12\x14\n\x05lease\x18\x02 \x01(\x03R\x05lea'
    b'se\x12\x14\n\x05value\x18\x03 \x01(\x0cR\x05value"y\n\x10CampaignResponse\x124\n\x06header'
    b'\x18\x01 \x01(\x0b2\x1c.etcdserverpb.ResponseHeaderR\x06header\x12/\n\x06leader\x18\x02 \x01('
    b'\x0b2\x17.v3electionpb.LeaderKeyR\x06leader"Y\n\tLeaderKey\x12\x12\n\x04name\x18\x01 \x01('
    b'\x0cR\x04name\x12\x10\n\x03key\x18\x02 \x01(\x0cR\x03key\x12\x10\n\x03rev\x18\x03 \x01(\x03R'
    b'\x03rev\x12\x14\n\x05lease\x18\x04 \x01(\x03R\x05lease"#\n\rLeaderRequest\x12\x12\n\x04name'
    b'\x18\x01 \x01(\x0cR\x04name"h\n\x0eLeaderResponse\x124\n\x06header\x18\x01 \x01(\x0b2\x1c.etc'
    b'dserverpb.ResponseHeaderR\x06header\x12 \n\x02kv\x18\x02 \x01(\x0b2\x10.mvccpb.KeyValueR\x02k'
    b'v"@\n\rResignRequest\x12/\n\x06leader\x18\x01 \x01(\x0b2\x17.v3electionpb.LeaderKeyR\x06leade'
    b'r"F\n\x0eResignResponse\x124\n\x06header\x18\x01 \x01(\x0b2\x1c.etcdserverpb.ResponseHeaderR'
    b'\x06header"X\n\x0fProclaimRequest\x12/\n\x06leader\x18\x01 \x01(\x0b2\x17.v3electionpb.Leader'
    b'KeyR\x06leader\x12\x14\n\x05value\x18\x02 \x01(\x0cR\x05value"H\n\x10ProclaimResponse\x124\n'
    b'\x06header\x18\x01 \x01(\x0b2\x1c.etcdserverpb.ResponseHeaderR\x06header2\xf2\x02\n\x08Electi'
    b'on\x12I\n\x08Campaign\x12\x1d.v3electionpb.CampaignRequest\x1a\x1e.v3electionpb.CampaignRespo'
    b'nse\x12I\n\x08Proclaim\x12\x1d.v3electionpb.ProclaimRequest\x1a\x1e.v3electionpb.ProclaimResp'
    b'onse\x12C\n\x06Leader\x12\x1b.v3electionpb.LeaderRequest\x1a\x1c.v3electionpb.LeaderResponse'
    b'\x12F\n\x07Observe\x12\x1b.v3electionpb.LeaderRequest\x1a\x1c.v3electionpb.LeaderResponse0'
    b'\x01\x12C\n\x06Resign\x12\x1b.v3electionpb.ResignRequest\x1a\x1c.v3electionpb.ResignResponseb'
    b'\x06proto3',
    globals(),
)
