"""Questions that are asked by creating an object: whose token is this, may they do that?"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

from aiohttp import web

from cluster.apiserver.answers import answer_object
from cluster.apiserver.authentication import Authenticator
from cluster.apiserver.authorization import Action, Rbac, Rule
from cluster.apiserver.objects_api import Asked
from cluster.apiserver.tokens import BadToken
from cluster.apiserver.users import User
from cluster.kube_api import field_errors
from cluster.kube_api.errors import bad_request, invalid, method_not_allowed
from cluster.kube_api.field_errors import FieldError
from cluster.kube_api.objects import JsonObject, list_at, object_at, string_at

_ATTRIBUTES = (
    "verb", "group", "version", "resource", "subresource", "namespace", "name",
)  # fmt: skip


class Reviews:
    """Answers the kinds of authentication.k8s.io and authorization.k8s.io."""

    def __init__(self, authenticator: Authenticator, rbac: Rbac, *, is_open: bool) -> None:
        self._authenticator = authenticator
        self._rbac = rbac
        self._is_open = is_open

    def serves(self, asked: Asked) -> bool:
        """Whether the resource is a question."""
        return asked.resource.plural in self._answers and not asked.info.subresource

    async def serve(self, asked: Asked) -> web.StreamResponse:
        """Answer a question with itself and a status.

        Raises:
            ApiError: 400, 405, 422.
        """
        if asked.info.verb != "create":
            raise method_not_allowed()
        call = asked.write_call()
        review = await asked.object(call)
        status = self._answers[asked.resource.plural](self, asked, review)
        return answer_object(asked.http, review | {"status": status}, code=HTTPStatus.CREATED)

    def _token(self, _: Asked, review: JsonObject) -> JsonObject:
        token = string_at(review, "spec", "token")
        audiences = [str(one) for one in list_at(review, "spec", "audiences")]
        if not token:
            problem = "token is required for TokenReview in authentication"
            raise bad_request(problem)
        try:
            user, fitting = self._authenticator.user_of_token(token, audiences)
        except BadToken:
            return {"user": {}, "error": "invalid bearer token"}
        status: JsonObject = {"authenticated": True, "user": user.to_json()}
        return status | ({"audiences": fitting} if fitting else {})

    def _self(self, asked: Asked, _: JsonObject) -> JsonObject:
        return {"userInfo": asked.user.to_json()}

    def _access(self, asked: Asked, review: JsonObject) -> JsonObject:
        spec = object_at(review, "spec")
        user, groups = string_at(spec, "user"), list_at(spec, "groups")
        if not user and not groups:
            why = "at least one of user or group must be specified"
            self._refuse(asked, [field_errors.invalid("spec.user", user, why)])
        extra = {key: tuple(map(str, values)) for key, values in object_at(spec, "extra").items()}
        who = User(user, tuple(map(str, groups)), string_at(spec, "uid"), extra)
        return self._decided(who, self._action(asked, spec))

    def _self_access(self, asked: Asked, review: JsonObject) -> JsonObject:
        return self._decided(asked.user, self._action(asked, object_at(review, "spec")))

    def _decided(self, user: User, action: Action) -> JsonObject:
        if self._is_open or self._rbac.allows(user, action):
            return {"allowed": True}
        return {"allowed": False}

    def _action(self, asked: Asked, spec: JsonObject) -> Action:
        about, path = (
            object_at(spec, "resourceAttributes"),
            object_at(spec, "nonResourceAttributes"),
        )
        if bool(about) == bool(path):
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            problem = field_errors.invalid("spec.resourceAttributes", about or None, why)
            self._refuse(asked, [problem])
        if path:
            return Action(verb=string_at(path, "verb"), path=string_at(path, "path"))
        action = Action(**{name: string_at(about, name) for name in _ATTRIBUTES})
        if asked.resource.is_namespaced and action.namespace != asked.info.namespace:
            where = "spec.resourceAttributes.namespace"
            why = "must match metadata.namespace"
            self._refuse(asked, [field_errors.invalid(where, action.namespace, why)])
        return action

    def _rules(self, asked: Asked, review: JsonObject) -> JsonObject:
        namespace = string_at(review, "spec", "namespace")
        if not namespace:
            raise bad_request("no namespace on request")
        if self._is_open:
            rules = [Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",))]
        else:
            rules = list(self._rbac.rules(asked.user, namespace))
        return {
            "resourceRules": _told(rule for rule in rules if not rule.paths),
            "nonResourceRules": _told(rule for rule in rules if rule.paths),
            "incomplete": False,
        }

    def _refuse(self, asked: Asked, problems: list[FieldError]) -> None:
        raise invalid(asked.resource.kind, asked.resource.group, "", problems)

    _answers: Mapping[str, Callable[["Reviews", Asked, JsonObject], JsonObject]] = {
        "tokenreviews": _token,
        "selfsubjectreviews": _self,
        "subjectaccessreviews": _access,
        "localsubjectaccessreviews": _access,
        "selfsubjectaccessreviews": _self_access,
        "selfsubjectrulesreviews": _rules,
    }


def _told(rules: Iterable[Rule]) -> list[JsonObject]:
    return [rule.to_json() for rule in rules]
