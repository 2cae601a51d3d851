"""Admission webhooks: which of them are asked, what they are told, what their answers mean."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.kube_api.crd.rules import FAILURES, evaluated
from cluster.kube_api.errors import ApiError, bad_request, internal
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at
from cluster.kube_api.patches import json_patch
from cluster.kube_api.resource import Resource
from cluster.kube_api.selectors import SelectorSyntaxError, label_selector

_REVIEW = "admission.k8s.io/v1"
_GROUP = "admissionregistration.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a webhook is told of a request, and what rules select by."""

    uid: str
    resource: Resource
    subresource: str
    name: str
    namespace: str
    operation: str
    user: JsonObject
    obj: JsonObject | None
    old: JsonObject | None
    is_dry_run: bool
    namespace_labels: Mapping[str, Any] | None
    """The labels of its namespace; None for what is in none."""


def is_asked(webhook: JsonObject, request: Request) -> bool:
    """Whether the rules and selectors of a webhook select a request.

    Webhooks are not asked about webhooks, lest one lock everybody out.
    """
    if request.resource.group == _GROUP and "webhook" in request.resource.plural:
        return False
    if not any(_rule_matches(rule, request) for rule in list_at(webhook, "rules")):
        return False
    return _namespace_matches(webhook, request) and _object_matches(webhook, request)


def _rule_matches(rule: JsonObject, request: Request) -> bool:
    resource = request.resource
    plural = f"{resource.plural}/{request.subresource}" if request.subresource else resource.plural
    wanted = {plural, "*/*"} | ({f"{resource.plural}/*", f"*/{request.subresource}"})
    if not request.subresource:
        wanted.add("*")
    scope = string_at(rule, "scope") or "*"
    is_in_scope = scope == "*" or (scope == "Namespaced") == resource.is_namespaced
    return (
        bool({request.operation, "*"} & set(list_at(rule, "operations")))
        and bool({resource.group, "*"} & set(list_at(rule, "apiGroups")))
        and bool({resource.version, "*"} & set(list_at(rule, "apiVersions")))
        and bool(wanted & set(list_at(rule, "resources")))
        and is_in_scope
    )


def _selects(selector: Any, labels: Mapping[str, Any]) -> bool:
    try:
        return not selector or label_selector(selector).matches(labels)
    except SelectorSyntaxError:
        return False


def _namespace_matches(webhook: JsonObject, request: Request) -> bool:
    selector = member(webhook, "namespaceSelector")
    if request.resource.plural == "namespaces" and not request.resource.group:
        labels = object_at(request.obj or request.old, "metadata", "labels")
        return _selects(selector, labels)
    return request.namespace_labels is None or _selects(selector, request.namespace_labels)


def _object_matches(webhook: JsonObject, request: Request) -> bool:
    selector = member(webhook, "objectSelector")
    return any(
        _selects(selector, object_at(obj, "metadata", "labels"))
        for obj in (request.obj, request.old)
        if obj is not None
    )


def review(request: Request) -> JsonObject:
    """Return the AdmissionReview that a webhook is sent."""
    resource = request.resource
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    plural = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    asked: JsonObject = {
        "uid": request.uid,
        "kind": kind,
        "resource": plural,
        "requestKind": kind,
        "requestResource": plural,
        "name": request.name,
        "operation": request.operation,
        "userInfo": request.user,
        "object": request.obj,
        "oldObject": request.old,
        "dryRun": request.is_dry_run,
        "options": {"kind": _OPTIONS[request.operation], "apiVersion": "meta.k8s.io/v1"},
    }
    if request.namespace:
        asked["namespace"] = request.namespace
    if request.subresource:
        asked |= {"subResource": request.subresource, "requestSubResource": request.subresource}
    return {"kind": "AdmissionReview", "apiVersion": _REVIEW, "request": asked}


_OPTIONS = {
    "CREATE": "CreateOptions",
    "UPDATE": "UpdateOptions",
    "DELETE": "DeleteOptions",
    "CONNECT": "CreateOptions",
}


def meets_conditions(webhook: JsonObject, request: Request) -> bool:
    """Whether the `matchConditions` of a webhook all hold.

    Raises:
        CallFailed: one has no value; if another is false, that decides.
    """
    asked = object_at(review(request), "request")
    variables = {"object": request.obj, "oldObject": request.old, "request": asked}
    problem = ""
    for condition in list_at(webhook, "matchConditions"):
        try:
            if evaluated(string_at(condition, "expression"), variables) is not True:
                return False
        except FAILURES as error:
            problem = f"evaluating matchCondition {string_at(condition, 'name')}: {error}"
    if problem:
        raise CallFailed(problem)
    return True


class CallFailed(Exception):
    """A webhook was not reached, or did not answer as it should; `failurePolicy` decides."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook answered."""

    is_allowed: bool
    obj: JsonObject | None
    """The object after the webhook's patch; None if there is none."""
    warnings: tuple[str, ...]
    refusal: ApiError | None


def answered(webhook: JsonObject, request: Request, body: bytes) -> Answer:
    """Read what a webhook answered.

    Raises:
        CallFailed: it is no AdmissionReview for this request, or its patch does not fit.
    """
    name = string_at(webhook, "name")
    try:
        response = object_at(json.loads(body), "response")
    except (ValueError, RecursionError):
        raise CallFailed("couldn't get version/kind; json parse error") from None
    if string_at(response, "uid") != request.uid:
        raise CallFailed(f'expected response.uid="{request.uid}", got "{response.get("uid")}"')
    warnings = tuple(str(one) for one in list_at(response, "warnings"))
    if response.get("allowed") is not True:
        return Answer(False, None, warnings, _refusal(name, object_at(response, "status")))  # noqa: FBT003
    return Answer(True, _patched(response, request), warnings, None)  # noqa: FBT003


def _refusal(name: str, status: JsonObject) -> ApiError:
    said = string_at(status, "message") or string_at(status, "reason")
    denied = f'admission webhook "{name}" denied the request'
    message = f"{denied}: {said}" if said else f"{denied} without explanation"
    code = status.get("code")
    if not isinstance(code, int) or not 400 <= code < 600:  # noqa: PLR2004
        code = 403
    reason = string_at(status, "reason") or ("Forbidden" if code == 403 else "")  # noqa: PLR2004
    return ApiError(code, reason, message, details=member(status, "details"))


def _patched(response: JsonObject, request: Request) -> JsonObject | None:
    encoded = response.get("patch")
    if not encoded:
        return None
    if response.get("patchType") != "JSONPatch":
        raise CallFailed(f"unsupported patchType {response.get('patchType')!r}")
    try:
        patched = json_patch(request.obj, json.loads(base64.b64decode(encoded)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise CallFailed(f"its patch cannot be read: {error}") from None
    except ApiError as error:
        raise CallFailed(f"its patch does not fit: {error.message}") from None
    if not isinstance(patched, dict):
        raise CallFailed("its patch leaves no object")
    return patched


def check_dry_run(webhook: JsonObject, request: Request) -> None:
    """Refuse a dry run that a webhook cannot do without effects.

    Raises:
        ApiError: 400.
    """
    harmless = string_at(webhook, "sideEffects") in ("None", "NoneOnDryRun")
    if request.is_dry_run and not harmless:
        raise bad_request(
            f"admission webhook {json.dumps(string_at(webhook, 'name'))} does not support dry run"
        )


def failed(webhook: JsonObject, why: str) -> ApiError | None:
    """Return what a failed call means: an error, or nothing if failures are ignored."""
    if string_at(webhook, "failurePolicy") == "Ignore":
        return None
    name = string_at(webhook, "name")
    return internal(f'failed calling webhook "{name}": failed to call webhook: {why}')
