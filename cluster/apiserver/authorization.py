"""RBAC: who may do what, by the roles and bindings in the cache."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cluster.apiserver.routes import RequestInfo
from cluster.apiserver.users import (
    MASTERS,
    SERVICE_ACCOUNT_PREFIX,
    User,
    service_account_name,
)
from cluster.apiserver.watch_cache import WatchCache
from cluster.kube_api.errors import ApiError, forbidden, forbidden_path
from cluster.kube_api.objects import JsonObject, list_at, object_at, quoted, string_at
from cluster.kube_api.selectors import label_selector

_FOLDERS = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What somebody wants to do: to a resource, or, without one, to a path."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def whole_resource(self) -> str:
        """`pods`, or `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Rule:
    """What a role permits: every combination of its lists."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def allows(self, action: Action) -> bool:
        """Whether the rule permits the action."""
        if action.verb not in self.verbs and "*" not in self.verbs:
            return False
        if not action.resource:
            return any(_path_matches(path, action.path) for path in self.paths)
        return (
            (action.group in self.groups or "*" in self.groups)
            and any(_resource_matches(one, action) for one in self.resources)
            and (not self.names or action.name in self.names)
        )

    def to_json(self) -> JsonObject:
        """Return the PolicyRule."""
        if self.paths:
            return {"verbs": list(self.verbs), "nonResourceURLs": list(self.paths)}
        rule: JsonObject = {
            "verbs": list(self.verbs),
            "apiGroups": list(self.groups),
            "resources": list(self.resources),
        }
        return rule | ({"resourceNames": list(self.names)} if self.names else {})


def rule_of(policy: JsonObject) -> Rule:
    """Read a PolicyRule."""
    parts = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
    return Rule(*(tuple(map(str, list_at(policy, part))) for part in parts))


def _path_matches(pattern: str, path: str) -> bool:
    if pattern in ("*", path):
        return True
    return pattern.endswith("*") and path.startswith(pattern[:-1])


def _resource_matches(pattern: str, action: Action) -> bool:
    if pattern in ("*", action.whole_resource):
        return True
    return bool(action.subresource) and pattern == f"*/{action.subresource}"


Grant = tuple[str | None, Sequence[Rule]]
"""The rules of a role, and where they hold: a namespace, or everywhere (None)."""


class Rbac:
    """Decides by what the cache holds; what it derives is kept until a role or binding changes."""

    def __init__(self, cache: WatchCache, *, root: str) -> None:
        self._cache = cache
        self._root = root
        self._seen: tuple[int, ...] = ()
        self._grants: dict[tuple[str, str], list[Grant]] = {}

    def allows(self, user: User, action: Action) -> bool:
        """Whether a user may do it."""
        if MASTERS in user.groups:
            return True
        return any(rule.allows(action) for rule in self.rules(user, action.namespace))

    def rules(self, user: User, namespace: str) -> Iterator[Rule]:
        """Yield what a user may do in a namespace, and everywhere."""
        self._refresh()
        for subject in [("User", user.name), *(("Group", group) for group in user.groups)]:
            for where, rules in self._grants.get(subject, ()):
                if where is None or where == namespace:
                    yield from rules

    def role_rules(self, reference: JsonObject, namespace: str) -> list[Rule]:
        """Return the rules of the role that a roleRef names; none, if there is no such role."""
        if string_at(reference, "kind") == "ClusterRole":
            key = f"{self._root}clusterroles/{string_at(reference, 'name')}"
        else:
            key = f"{self._root}roles/{namespace}/{string_at(reference, 'name')}"
        entry = self._cache.get(key)
        return [] if entry is None else self._rules_of(entry.decoded())

    def _refresh(self) -> None:
        seen = tuple(self._cache.changed(f"{self._root}{folder}/") for folder in _FOLDERS)
        if seen == self._seen:
            return
        self._seen = seen
        self._grants = {}
        for entry in self._cache.range(f"{self._root}clusterrolebindings/"):
            self._grant(entry.decoded(), None)
        for entry in self._cache.range(f"{self._root}rolebindings/"):
            binding = entry.decoded()
            self._grant(binding, string_at(binding, "metadata", "namespace"))

    def _grant(self, binding: JsonObject, namespace: str | None) -> None:
        rules = self.role_rules(object_at(binding, "roleRef"), namespace or "")
        for subject in list_at(binding, "subjects"):
            kind, name = string_at(subject, "kind"), string_at(subject, "name")
            if kind == "ServiceAccount":
                where = string_at(subject, "namespace") or namespace or ""
                kind, name = "User", service_account_name(where, name)
            self._grants.setdefault((kind, name), []).append((namespace, rules))

    def _rules_of(self, role: JsonObject) -> list[Rule]:
        """Return a role's own rules, and those that it aggregates, whoever has filled them in."""
        rules = [rule_of(policy) for policy in list_at(role, "rules")]
        selectors = [
            label_selector(one) for one in list_at(role, "aggregationRule", "clusterRoleSelectors")
        ]
        if not selectors:
            return rules
        for entry in self._cache.range(f"{self._root}clusterroles/"):
            if any(selector.matches(entry.labels) for selector in selectors):
                other = entry.decoded()
                if "aggregationRule" not in other:
                    rules += [rule_of(policy) for policy in list_at(other, "rules")]
                elif string_at(other, "metadata", "name") != string_at(role, "metadata", "name"):
                    rules += self._rules_of(other)
        return rules


def action_of(info: RequestInfo) -> Action:
    """Return what a request does."""
    if not info.is_resource:
        return Action(verb=info.verb, path=info.path)
    return Action(
        verb=info.verb,
        group=info.group,
        version=info.version,
        resource=info.resource,
        subresource=info.subresource,
        namespace=info.namespace,
        name=info.name,
    )


def denied(user: User, action: Action) -> ApiError:
    """Return what somebody is told who may not."""
    if not action.resource:
        return forbidden_path(user.name, action.verb, action.path)
    where = (
        f"in the namespace {quoted(action.namespace)}"
        if action.namespace
        else "at the cluster scope"
    )
    why = (
        f"User {quoted(user.name)} cannot {action.verb} resource {quoted(action.whole_resource)} in"
        f" API group {quoted(action.group)} {where}"
    )
    return forbidden(action.resource, action.group, action.name, why)


def impersonations(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[Action, str, str]]:
    """Yield (the action that needs permission, what is impersonated, the value) of each header."""
    for header, value in headers:
        name = header.lower()
        if name == "impersonate-user" and value.startswith(SERVICE_ACCOUNT_PREFIX):
            namespace, _, account = value.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
            yield _impersonate("serviceaccounts", account, namespace=namespace), "user", value
        elif name == "impersonate-user":
            yield _impersonate("users", value), "user", value
        elif name == "impersonate-group":
            yield _impersonate("groups", value), "group", value
        elif name == "impersonate-uid":
            yield _impersonate("uids", value, group="authentication.k8s.io"), "uid", value
        elif name.startswith("impersonate-extra-"):
            key = name.removeprefix("impersonate-extra-")
            action = _impersonate(
                "userextras", value, group="authentication.k8s.io", subresource=key
            )
            yield action, f"extra:{key}", value


def _impersonate(
    resource: str, name: str, *, group: str = "", namespace: str = "", subresource: str = ""
) -> Action:
    return Action(
        verb="impersonate",
        group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def escalation(rbac: Rbac, user: User, rules: Iterable[Rule], namespace: str) -> list[Rule]:
    """Return the rules that a user would hand out without having them.

    Each combination of a rule's lists is asked for by itself: several of the user's own rules may
    cover one that is handed out.
    """
    if MASTERS in user.groups:
        return []
    own = list(rbac.rules(user, namespace))
    return [rule for rule in rules if not all(_covered(own, one) for one in _single(rule))]


def _single(rule: Rule) -> Iterator[Rule]:
    for verb in rule.verbs:
        for path in rule.paths:
            yield Rule((verb,), paths=(path,))
        for group in rule.groups:
            for resource in rule.resources:
                for name in rule.names or ("",):
                    yield Rule((verb,), (group,), (resource,), (name,) if name else ())


def _covered(own: Sequence[Rule], wanted: Rule) -> bool:
    return any(_covers(rule, wanted) for rule in own)


def _covers(rule: Rule, wanted: Rule) -> bool:
    def has(given: tuple[str, ...], asked: tuple[str, ...]) -> bool:
        return "*" in given or set(asked) <= set(given)

    if not has(rule.verbs, wanted.verbs):
        return False
    if wanted.paths:
        return all(any(_path_matches(p, path) for p in rule.paths) for path in wanted.paths)
    return (
        has(rule.groups, wanted.groups)
        and has(rule.resources, wanted.resources)
        and (not rule.names or (bool(wanted.names) and set(wanted.names) <= set(rule.names)))
    )
