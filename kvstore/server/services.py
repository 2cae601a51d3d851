"""Every rpc that a member answers: its services, behind one pipeline, over one node."""

from collections.abc import Mapping

from kvstore.base.entropy import Entropy
from kvstore.lease import minimum_ttl_s
from kvstore.member.node import Node
from kvstore.rpc.call import Method
from kvstore.rpc.cluster import ClusterService
from kvstore.rpc.header import ResponseHeaders
from kvstore.rpc.health import methods as health_methods
from kvstore.rpc.kv import KvService
from kvstore.rpc.lease import LeaseService
from kvstore.rpc.maintenance import MaintenanceService
from kvstore.rpc.member_leases import MemberLeases
from kvstore.rpc.pipeline import Pipeline
from kvstore.rpc.quota import Quota
from kvstore.rpc.stream_gate import StreamGate
from kvstore.rpc.watch import WatchService


class Services:
    """The routes, and the gate that their streams pass; knows no socket."""

    def __init__(self, node: Node, headers: ResponseHeaders, entropy: Entropy) -> None:
        member = node.member
        election_s = member.config.election_timeout_s

        def header(revision: int) -> bytes:
            return headers.field(revision, member.consensus.term)

        pipeline = Pipeline(member)
        self.gate = StreamGate(member, pipeline, election_timeout_s=election_s)
        quota = Quota(member)
        leases = LeaseService(
            MemberLeases(member, node.keeper, quota),
            header,
            pipeline,
            self.gate,
            entropy,
            ttl_min_s=minimum_ttl_s(election_s),
        )
        self.methods: Mapping[str, Method] = {
            **KvService(member, headers, pipeline, quota, node.housekeeping).methods(),
            **ClusterService(member, headers, pipeline).methods(),
            **MaintenanceService(member, headers, pipeline).methods(),
            **WatchService(node.hub, self.gate).methods(),
            **leases.methods(),
            **health_methods(),
        }
