"""Users and roles that change while a user of little power works: is each decision the right one?

One administrator switches authentication on, then grants and takes away one permission, one change
after the other. The worker puts what that permission is for, by a token. A put must be done if the
permission was certainly there all the time, and refused if it certainly was not. All other clients
are root, by their certificate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import Message

from kvstore.base.errors import InvalidAuthToken, PermissionDenied, PermissionNotGranted
from kvstore.base.key_range import prefix_end
from kvstore.wire.pb import auth_pb2, rpc_pb2
from tests.simulation.members.calls import REFUSED_CONNECTION, Answer, Status
from tests.simulation.members.clients import Recorder
from tests.simulation.members.oracle import Oracle
from tests.simulation.members.records import Fate, Operation

_PREFIX = b"p/"
_USER, _PASSWORD = "worker", "secret"
_AUTH = "/etcdserverpb.Auth/"


class _Step(NamedTuple):
    rpc: str
    request: Message
    is_done_if: str = ""
    """What the refusal says if an earlier try that was not answered has done it."""


_GRANT = rpc_pb2.AuthRoleGrantPermissionRequest(
    name=_USER,
    perm=auth_pb2.Permission(
        permType=auth_pb2.Permission.READWRITE, key=_PREFIX, range_end=prefix_end(_PREFIX)
    ),
)
_TAKE = rpc_pb2.AuthRoleRevokePermissionRequest(
    role=_USER, key=_PREFIX, range_end=prefix_end(_PREFIX)
)
_SETUP = (
    _Step("UserAdd", rpc_pb2.AuthUserAddRequest(name="root", password=_PASSWORD), "already exists"),
    _Step("RoleAdd", rpc_pb2.AuthRoleAddRequest(name="root"), "already exists"),
    _Step("UserGrantRole", rpc_pb2.AuthUserGrantRoleRequest(user="root", role="root")),
    _Step("UserAdd", rpc_pb2.AuthUserAddRequest(name=_USER, password=_PASSWORD), "already exists"),
    _Step("RoleAdd", rpc_pb2.AuthRoleAddRequest(name=_USER), "already exists"),
    _Step("UserGrantRole", rpc_pb2.AuthUserGrantRoleRequest(user=_USER, role=_USER)),
    _Step("AuthEnable", rpc_pb2.AuthEnableRequest()),
)


@dataclass(slots=True)
class _Change:
    is_grant: bool
    invoked: float
    returned: float = float("inf")
    fate: Fate = Fate.UNKNOWN


class Permission:
    """When the worker certainly had its permission, and when it certainly had not."""

    def __init__(self) -> None:
        self._changes: list[_Change] = []
        self._puts: list[Operation] = []
        self.is_on = False
        """Whether the administrator knows that authentication is on."""

    def begin_change(self, *, is_grant: bool, now: float) -> _Change:
        """Note that a change is asked for."""
        change = _Change(is_grant, now)
        self._changes.append(change)
        return change

    def add(self, put: Operation) -> None:
        """Note what became of a put of the worker."""
        self._puts.append(put)

    def judge(self, oracle: Oracle) -> None:
        """Raise if a put was done without the permission, or refused with it."""
        for put in self._puts:
            if put.fate is Fate.OK and self._was_always(put, is_granted=False):
                oracle.fail("permission", f"{put}, but it was not permitted")
            if put.why == PermissionDenied.message:
                oracle.note("permission denied")
                if self._was_always(put, is_granted=True):
                    oracle.fail("permission", f"{put}, but it was permitted")
            elif put.fate is Fate.OK:
                oracle.note("permission held")

    def _was_always(self, put: Operation, *, is_granted: bool) -> bool:
        """Whether the permission was certainly so from before a put until after it."""
        state = False
        for change in self._changes:
            if change.invoked > put.returned:
                break
            if change.fate is Fate.UNKNOWN and change.is_grant is not is_granted:
                return False  # it may be carried out at any time
            if change.returned > put.invoked:
                if change.is_grant is not is_granted and change.fate is not Fate.REFUSED:
                    return False
            elif change.fate is Fate.OK:
                state = change.is_grant
        return state is is_granted


class Administrator:
    """Sets everything up, and changes it for the rest of the run."""

    def __init__(self, recorder: Recorder, permission: Permission) -> None:
        self._recorder = recorder
        self._permission = permission
        self._cluster = recorder.cluster
        self._world = recorder.world
        self._dice = recorder.world.dice
        self._has_granted = False
        self._world.after(self._dice.uniform(0.5, 10.0), self._set_up, 0)

    def _set_up(self, number: int) -> None:
        if self._cluster.is_quiet:
            return
        if number == len(_SETUP):
            self._cluster.oracle.note("authentication on")
            self._permission.is_on = True
            self._change()
            return
        step = _SETUP[number]

        def done(answer: Answer) -> None:
            is_done = not isinstance(answer, Status) or (
                bool(step.is_done_if) and step.is_done_if in answer.text
            )
            self._world.after(0.3, self._set_up, number + is_done)

        self._ask(step.rpc, step.request, done)

    def _change(self) -> None:
        if self._cluster.is_quiet:
            return
        is_grant = not self._has_granted
        change = self._permission.begin_change(is_grant=is_grant, now=self._world.now)

        def done(answer: Answer) -> None:
            change.returned = self._world.now
            if isinstance(answer, Status):
                change.fate = Fate.UNKNOWN if answer.is_ambiguous else Fate.REFUSED
                if answer.text == PermissionNotGranted.message:
                    self._has_granted = False  # an earlier try was carried out after all
            else:
                change.fate = Fate.OK
                self._has_granted = is_grant
            self._world.after(self._dice.uniform(0.5, 5.0), self._change)

        rpc = "RoleGrantPermission" if is_grant else "RoleRevokePermission"
        self._ask(rpc, _GRANT if is_grant else _TAKE, done)

    def _ask(self, rpc: str, request: Message, done: Callable[[Answer], None]) -> None:
        self._recorder.send("admin", _AUTH + rpc, request, done)


class Worker:
    """Puts one key after the other, as a user with a token."""

    def __init__(self, recorder: Recorder, permission: Permission) -> None:
        self._recorder = recorder
        self._permission = permission
        self._cluster = recorder.cluster
        self._world = recorder.world
        self._dice = recorder.world.dice
        self._token = ""
        self._number = 0
        self._go_on_soon()

    def _go_on_soon(self) -> None:
        self._world.after(self._dice.uniform(0.1, 1.0), self._go_on)

    def _go_on(self) -> None:
        if self._cluster.is_quiet:
            return
        if not self._permission.is_on:
            self._go_on_soon()
        elif self._token:
            self._put()
        else:
            self._authenticate()

    def _authenticate(self) -> None:
        request = rpc_pb2.AuthenticateRequest(name=_USER, password=_PASSWORD)

        def answered(answer: Answer) -> None:
            if not isinstance(answer, Status):
                self._token = rpc_pb2.AuthenticateResponse.FromString(answer).token
            self._go_on_soon()

        self._recorder.send("worker", _AUTH + "Authenticate", request, answered)

    def _put(self) -> None:
        self._number += 1
        key = _PREFIX + b"%d" % self._dice.randrange(3)
        request = rpc_pb2.PutRequest(key=key, value=b"worker.%d" % self._number)

        def done(operation: Operation) -> None:
            if operation.why == InvalidAuthToken.message:
                self._token = ""
            elif operation.why != REFUSED_CONNECTION:
                self._permission.add(operation)
            self._go_on_soon()

        self._recorder.ask("worker", request, done, token=self._token)
