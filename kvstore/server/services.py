"""Every rpc that a member answers: its services, behind one pipeline, over one node."""

from collections.abc import Mapping
from functools import partial

from kvstore.base.entropy import Entropy
from kvstore.lease import minimum_ttl_s
from kvstore.member.node import Node
from kvstore.member.ports import Worker
from kvstore.rpc.access import AccessControl
from kvstore.rpc.auth import AuthService
from kvstore.rpc.call import Method
from kvstore.rpc.cluster import ClusterService
from kvstore.rpc.election import ElectionService
from kvstore.rpc.header import ResponseHeaders
from kvstore.rpc.health import methods as health_methods
from kvstore.rpc.kv import KvService
from kvstore.rpc.lease import LeaseService
from kvstore.rpc.local_calls import LocalCalls
from kvstore.rpc.lock import LockService
from kvstore.rpc.maintenance import MaintenanceService
from kvstore.rpc.member_leases import MemberLeases
from kvstore.rpc.pipeline import Pipeline
from kvstore.rpc.quota import Quota
from kvstore.rpc.range_stream import RangeStreamService
from kvstore.rpc.recipes import Recipes
from kvstore.rpc.snapshot import SnapshotService
from kvstore.rpc.stream_gate import StreamGate
from kvstore.rpc.watch import WatchService
from kvstore.server.auth_settings import AuthSettings, token_provider


class Services:
    """The routes, and the gate that their streams pass; knows no socket."""

    def __init__(
        self,
        node: Node,
        headers: ResponseHeaders,
        entropy: Entropy,
        *,
        auth: AuthSettings,
        auth_worker: Worker,
    ) -> None:
        member = node.member
        election_s = member.config.election_timeout_s

        def header(revision: int) -> bytes:
            return headers.field(revision, member.consensus.term)

        self._member = member
        self._tokens = token_provider(auth, member.clock, entropy)
        self.access = access = AccessControl(
            member, self._tokens, trusts_certificates=auth.trusts_certificates
        )
        pipeline = Pipeline(member, access)
        self.gate = StreamGate(member, pipeline, election_timeout_s=election_s)
        quota = Quota(member)
        leases = LeaseService(
            partial(MemberLeases, member, node.keeper, quota, access),
            header,
            pipeline,
            self.gate,
            entropy,
            ttl_min_s=minimum_ttl_s(election_s),
        )
        users = AuthService(
            member,
            headers,
            pipeline,
            access,
            self._tokens,
            worker=auth_worker,
            bcrypt_cost=auth.bcrypt_cost,
        )
        methods: dict[str, Method] = {
            **KvService(
                member, headers, pipeline, quota, node.housekeeping, access=access
            ).methods(),
            **ClusterService(member, node.reconfiguration, headers, pipeline).methods(),
            **MaintenanceService(member, headers, pipeline, access, node.defragmentation).methods(),
            **RangeStreamService(member, headers, pipeline, access).methods(),
            **SnapshotService(member, pipeline).methods(),
            **WatchService(node.hub, self.gate, pipeline, access).methods(),
            **leases.methods(),
            **users.methods(),
            **health_methods(),
        }
        self._recipes = Recipes(LocalCalls(methods, member.scheduler))
        self.methods: Mapping[str, Method] = {
            **methods,
            **LockService(self._recipes, pipeline).methods(),
            **ElectionService(self._recipes, pipeline, self.gate).methods(),
        }

    def tick(self) -> None:
        """End streams without a leader, forget tokens that have expired; a few times a second."""
        self.gate.tick()
        self._recipes.tick()
        self._tokens.tick(self._member.machine.auth)
