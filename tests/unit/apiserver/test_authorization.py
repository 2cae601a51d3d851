"""RBAC on roles and bindings in a cache that the test fills."""

import json
from typing import Any

import pytest

from cluster.apiserver.authorization import Action, Rbac, Rule, escalation
from cluster.apiserver.storage import WatchBatch
from cluster.apiserver.users import User
from cluster.apiserver.watch_cache import WatchCache
from kvstore.client import Event, Header, KeyValue

ROOT = "/registry/"
BOB = User("bob", ("devs", "system:authenticated"))


class World:
    def __init__(self) -> None:
        self.cache = WatchCache(None, root=ROOT)  # type: ignore[arg-type]  # never asked
        self.rbac = Rbac(self.cache, root=ROOT)
        self._revision = 1

    def put(self, key: str, obj: dict[str, Any]) -> None:
        self._revision += 1
        value = json.dumps(obj).encode()
        kv = KeyValue(f"{ROOT}{key}".encode(), value, 1, self._revision, 1, 0)
        header = Header(1, 1, self._revision, 1)
        self.cache._apply(WatchBatch(header, self._revision, (Event(False, kv, None),)))

    def role(self, name: str, *rules: dict[str, Any], **metadata: Any) -> None:
        obj = {"metadata": {"name": name, **metadata}, "rules": list(rules)}
        self.put(f"clusterroles/{name}", obj)

    def bind(self, role: str, subject: dict[str, Any], namespace: str = "") -> None:
        place = f"rolebindings/{namespace}" if namespace else "clusterrolebindings"
        obj = {
            "metadata": {"name": role, "namespace": namespace},
            "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [subject],
        }
        self.put(f"{place}/{role}", obj)


@pytest.fixture
def world() -> World:
    return World()


READ_PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}


def pods(verb: str, namespace: str = "", **more: str) -> Action:
    return Action(verb=verb, resource="pods", namespace=namespace, **more)


def test_a_cluster_role_binding_holds_everywhere(world: World) -> None:
    world.role("r", READ_PODS)
    world.bind("r", {"kind": "Group", "name": "devs"})
    assert world.rbac.allows(BOB, pods("list"))
    assert world.rbac.allows(BOB, pods("get", "anywhere"))
    assert not world.rbac.allows(BOB, pods("delete", "anywhere"))
    assert not world.rbac.allows(User("eve"), pods("list"))


def test_a_role_binding_holds_in_its_namespace_alone(world: World) -> None:
    world.role("r", READ_PODS)
    world.bind("r", {"kind": "User", "name": "bob"}, "here")
    assert world.rbac.allows(BOB, pods("get", "here"))
    assert not world.rbac.allows(BOB, pods("get", "there"))
    assert not world.rbac.allows(BOB, pods("list"))


def test_what_is_changed_counts_at_once(world: World) -> None:
    world.role("r", READ_PODS)
    world.bind("r", {"kind": "User", "name": "bob"})
    assert world.rbac.allows(BOB, pods("list"))
    world.role("r")
    assert not world.rbac.allows(BOB, pods("list"))


def test_a_service_account_is_a_subject_by_namespace_and_name(world: World) -> None:
    world.role("r", READ_PODS)
    world.bind("r", {"kind": "ServiceAccount", "name": "robot", "namespace": "a"})
    assert world.rbac.allows(User("system:serviceaccount:a:robot"), pods("list"))
    assert not world.rbac.allows(User("system:serviceaccount:b:robot"), pods("list"))


def test_an_aggregated_role_has_the_rules_of_those_it_selects(world: World) -> None:
    world.role("part", READ_PODS, labels={"to": "whole"})
    world.put(
        "clusterroles/whole",
        {
            "metadata": {"name": "whole"},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "whole"}}]},
        },
    )
    world.bind("whole", {"kind": "User", "name": "bob"})
    assert world.rbac.allows(BOB, pods("list"))


@pytest.mark.parametrize(
    ("rule", "action", "allowed"),
    [
        (Rule(("*",), ("*",), ("*",)), pods("get", subresource="log"), True),
        (Rule(("get",), ("",), ("pods",)), pods("get", subresource="log"), False),
        (Rule(("get",), ("",), ("*/log",)), pods("get", subresource="log"), True),
        (Rule(("get",), ("",), ("pods",), ("a",)), pods("get", name="a"), True),
        (Rule(("get",), ("",), ("pods",), ("a",)), pods("get", name="b"), False),
        (Rule(("create",), ("",), ("pods",), ("a",)), pods("create"), False),
        (Rule(("get",), ("apps",), ("pods",)), pods("get"), False),
        (Rule(("get",), paths=("/x/*",)), Action(verb="get", path="/x/y"), True),
        (Rule(("get",), paths=("/x/*",)), Action(verb="get", path="/z"), False),
    ],
)
def test_a_rule_permits_what_its_lists_say(rule: Rule, action: Action, allowed: bool) -> None:
    assert rule.allows(action) is allowed


def test_nobody_hands_out_what_they_do_not_have(world: World) -> None:
    world.role("a", READ_PODS)
    world.bind("a", {"kind": "User", "name": "bob"})
    world.role("b", {"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments"]})
    world.bind("b", {"kind": "User", "name": "bob"})
    held = Rule(("get",), ("",), ("pods",))
    wider = Rule(("get", "delete"), ("",), ("pods",))
    named = Rule(("list",), ("",), ("pods",), ("one",))
    assert escalation(world.rbac, BOB, [held, named], "") == []
    assert escalation(world.rbac, BOB, [held, wider], "") == [wider]
    assert escalation(world.rbac, User("root", ("system:masters",)), [wider], "") == []
