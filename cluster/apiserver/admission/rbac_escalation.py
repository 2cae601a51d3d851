"""Nobody gives away more than they have: roles and bindings hold only what their author may do."""

from cluster.apiserver.admission.plugin import Attributes, Operation, Plugin
from cluster.apiserver.authorization import Action, Rbac, Rule, escalation, rule_of
from cluster.kube_api import field_errors
from cluster.kube_api.errors import forbidden, invalid
from cluster.kube_api.objects import JsonObject, list_at, object_at

GROUP = "rbac.authorization.k8s.io"
_ROLES, _BINDINGS = (
    frozenset({"roles", "clusterroles"}),
    frozenset({"rolebindings", "clusterrolebindings"}),
)


class RbacEscalation(Plugin):
    """Checks every write of rbac.authorization.k8s.io."""

    def __init__(self, rbac: Rbac) -> None:
        self._rbac = rbac

    async def validate(self, attributes: Attributes) -> None:
        """Refuse what would give more than the user has."""
        obj, resource = attributes.obj, attributes.resource
        if resource.group != GROUP or obj is None:
            return
        if resource.plural in _ROLES:
            self._check_role(attributes, obj)
        elif resource.plural in _BINDINGS:
            self._check_binding(attributes, obj)

    def _check_role(self, attributes: Attributes, role: JsonObject) -> None:
        old = attributes.old
        if old is not None and list_at(role, "rules") == list_at(old, "rules"):
            return
        if self._may(attributes, "escalate", attributes.resource.plural, attributes.name):
            return
        self._check(attributes, [rule_of(one) for one in list_at(role, "rules")])

    def _check_binding(self, attributes: Attributes, binding: JsonObject) -> None:
        reference = object_at(binding, "roleRef")
        if attributes.operation is Operation.UPDATE:
            before = object_at(attributes.old or {}, "roleRef")
            if before != reference:
                problem = field_errors.invalid("roleRef", reference, "cannot change roleRef")
                raise invalid(attributes.resource.kind, GROUP, attributes.name, [problem])
            if list_at(attributes.old or {}, "subjects") == list_at(binding, "subjects"):
                return
        plural = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
        if self._may(attributes, "bind", plural, str(reference.get("name", ""))):
            return
        self._check(attributes, self._rbac.role_rules(reference, attributes.namespace))

    def _may(self, attributes: Attributes, verb: str, plural: str, name: str) -> bool:
        action = Action(
            verb=verb, group=GROUP, resource=plural, namespace=attributes.namespace, name=name
        )
        return self._rbac.allows(attributes.user, action)

    def _check(self, attributes: Attributes, rules: list[Rule]) -> None:
        missing = escalation(self._rbac, attributes.user, rules, attributes.namespace)
        if missing:
            user = attributes.user
            shown = "\n".join(f"{one.to_json()}" for one in missing)
            raise forbidden(
                attributes.resource.plural,
                GROUP,
                attributes.name,
                f'user "{user.name}" (groups={list(user.groups)}) is attempting to grant RBAC'
                f" permissions not currently held:\n{shown}",
            )
