"""Clients of the Lock service: one lock, held by leases; judged by the product's own checker."""

from kvstore.base.errors import Code
from kvstore.check import History, Outcome
from kvstore.check import Operation as Noted
from kvstore.check.json_value import Fields
from kvstore.check.locks import check_locks
from kvstore.check.verdict import Verdict
from kvstore.wire.pb import rpc_pb2, v3lock_pb2
from tests.simulation.members.calls import REFUSED_CONNECTION, Answer, Status
from tests.simulation.members.clients import Recorder
from tests.simulation.members.oracle import Oracle

LOCK_PREFIX = b"q/"
_NAME = LOCK_PREFIX + b"mutex"


class LockRecords:
    """What all clients of locks remember, as the checker reads it."""

    def __init__(self) -> None:
        self._operations: list[Noted] = []

    def note(  # noqa: PLR0913 - an operation's fields
        self,
        client: str,
        kind: str,
        arguments: Fields,
        *,
        invoked: float,
        returned: float,
        answer: Answer,
        result: Fields,
    ) -> None:
        """Remember one operation; `result` counts if the answer was a good one."""
        outcome = Outcome.OK
        if isinstance(answer, Status):
            # The service passes on what stopped it halfway, as etcd's does, with code Unknown.
            is_refused = answer.text == REFUSED_CONNECTION
            outcome = Outcome.REFUSED if is_refused else Outcome.UNKNOWN
        self._operations.append(
            Noted(
                index=len(self._operations),
                client=client,
                kind=kind,
                arguments=arguments,
                invoked=invoked,
                returned=returned,
                outcome=outcome,
                result=result if outcome is Outcome.OK else None,
            )
        )

    def judge(self, oracle: Oracle) -> None:
        """Raise if two clients held the lock at once, or a token went back."""
        finding = check_locks(History(operations=tuple(self._operations)))
        if finding.verdict is not Verdict.HOLDS:
            oracle.fail("lock_safety", finding.summary)


class LockClient:
    """Takes the lock, holds it for a while, and lets it go, or its lease end."""

    def __init__(self, name: str, recorder: Recorder, records: LockRecords) -> None:
        self._name = name
        self._recorder = recorder
        self._records = records
        self._cluster = recorder.cluster
        self._world = recorder.world
        self._dice = recorder.world.dice
        self._lease = 0
        self._again_soon()

    def _again_soon(self) -> None:
        self._world.after(self._dice.uniform(0.1, 2.0), self._grant)

    def _grant(self) -> None:
        if self._cluster.is_quiet:
            return
        self._lease = self._dice.getrandbits(40) + 1
        request = rpc_pb2.LeaseGrantRequest(ID=self._lease, TTL=self._dice.choice((2, 5)))
        invoked = self._world.now

        def granted(answer: Answer) -> None:
            ttl = 0.0
            if not isinstance(answer, Status):
                # By a member's clock, which may be a fast one.
                drift = self._cluster.profile.drift
                ttl = rpc_pb2.LeaseGrantResponse.FromString(answer).TTL / (1 + drift)
            self._note("grant", {"id": self._lease}, invoked, answer, {"ttl": ttl})
            if isinstance(answer, Status):
                self._again_soon()
            else:
                self._lock()

        self._recorder.send(self._name, "/etcdserverpb.Lease/LeaseGrant", request, granted)

    def _lock(self) -> None:
        request = v3lock_pb2.LockRequest(name=_NAME, lease=self._lease)
        arguments = {"name": _NAME.decode(), "lease": self._lease}
        invoked = self._world.now

        def locked(answer: Answer) -> None:
            if isinstance(answer, Status):
                is_over = answer.code is Code.UNKNOWN  # the lease ended while it waited
                self._note("lock", arguments, invoked, answer, {})
                self._cluster.oracle.note("lock not taken" if is_over else "lock unanswered")
                self._again_soon()
                return
            response = v3lock_pb2.LockResponse.FromString(answer)
            key = response.key.decode()
            result = {"key": key, "revision": response.header.revision}
            self._note("lock", arguments, invoked, answer, result)
            self._cluster.oracle.note("lock taken")
            self._world.after(self._dice.choice((0.0, 0.5, 4.0)), self._let_go, key)

        self._recorder.send(self._name, "/v3lockpb.Lock/Lock", request, locked)

    def _let_go(self, key: str) -> None:
        if self._cluster.is_quiet or self._dice.random() < 0.3:
            self._again_soon()  # as one that died: the lease has to end by itself
            return
        invoked = self._world.now

        def unlocked(answer: Answer) -> None:
            self._note("unlock", {"key": key}, invoked, answer, {})
            self._again_soon()

        request = v3lock_pb2.UnlockRequest(key=key.encode())
        self._recorder.send(self._name, "/v3lockpb.Lock/Unlock", request, unlocked)

    def _note(
        self, kind: str, arguments: Fields, invoked: float, answer: Answer, result: Fields
    ) -> None:
        self._records.note(
            self._name,
            kind,
            arguments,
            invoked=invoked,
            returned=self._world.now,
            answer=answer,
            result=result,
        )
