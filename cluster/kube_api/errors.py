"""What a client is answered when a request fails: Status objects, with Kubernetes' exact texts.

Clients and people match on code, reason, message and details, so each situation has its one
function here. `details.kind` is the plural resource where a resource is meant (not found, exists,
conflict, forbidden) and the Kind where an object is (invalid).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from cluster.kube_api.field_errors import FieldError, aggregate
from cluster.kube_api.objects import JsonObject, quoted

MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result."
    " You can start a new list without the continue parameter, or use the continue token in this"
    " response to retrieve the remainder of the results. Continuing with the provided token results"
    " in an inconsistent list - objects that were created, modified, or deleted between the time"
    " the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Cause:
    """One of several reasons of a failure; `field` is a path of the object, if one is to blame."""

    reason: str
    message: str
    field: str = ""

    def to_json(self) -> JsonObject:
        """Return the StatusCause; empty members are left out, as Go does."""
        cause = {"reason": self.reason, "message": self.message, "field": self.field}
        return {name: value for name, value in cause.items() if value}


class ApiError(Exception):
    """A request failed. `status()` is the body of the answer, `code` its HTTP status."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: JsonObject | None = None,
        continue_token: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.continue_token = continue_token

    @property
    def retry_after_s(self) -> int:
        """Seconds for the Retry-After header; 0 for none."""
        return int((self.details or {}).get("retryAfterSeconds", 0))

    def status(self) -> JsonObject:
        """Return the Status object that says what happened."""
        metadata = {"continue": self.continue_token} if self.continue_token else {}
        status: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": metadata}
        status |= {"status": "Failure", "message": self.message}
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


def qualified(resource: str, group: str) -> str:
    """Return `deployments.apps`, or just the resource in the core group."""
    return f"{resource}.{group}" if group else resource


def _details(name: str, group: str, kind: str) -> JsonObject:
    details = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in details.items() if value}


def not_found(resource: str, group: str, name: str) -> ApiError:
    """No such object."""
    return ApiError(
        HTTPStatus.NOT_FOUND,
        "NotFound",
        f"{qualified(resource, group)} {quoted(name)} not found",
        details=_details(name, group, resource),
    )


def resource_not_found() -> ApiError:
    """The group version is served, the resource is not."""
    message = "the server could not find the requested resource"
    return ApiError(HTTPStatus.NOT_FOUND, "NotFound", message, details={})


def already_exists(resource: str, group: str, name: str) -> ApiError:
    """An object has this name already."""
    return ApiError(
        HTTPStatus.CONFLICT,
        "AlreadyExists",
        f"{qualified(resource, group)} {quoted(name)} already exists",
        details=_details(name, group, resource),
    )


def conflict(resource: str, group: str, name: str, why: str = MODIFIED) -> ApiError:
    """The object is not in the state that the request needs."""
    what = f"{qualified(resource, group)} {quoted(name)}"
    return ApiError(
        HTTPStatus.CONFLICT,
        "Conflict",
        f"Operation cannot be fulfilled on {what}: {why}",
        details=_details(name, group, resource),
    )


def apply_conflict(causes: Sequence[Cause]) -> ApiError:
    """Fields that are applied have another value, and another owner."""
    noun = "conflict" if len(causes) == 1 else "conflicts"
    return ApiError(
        HTTPStatus.CONFLICT,
        "Conflict",
        f"Apply failed with {len(causes)} {noun}: {_conflict_text(causes)}",
        details={"causes": [cause.to_json() for cause in causes]},
    )


def _conflict_text(causes: Sequence[Cause]) -> str:
    if len(causes) == 1:
        return f"{causes[0].message}: {causes[0].field}"
    lines: list[str] = []
    for message in sorted({cause.message for cause in causes}):
        lines.append(f"conflicts{message.removeprefix('conflict')}:")
        lines += [f"- {cause.field}" for cause in causes if cause.message == message]
    return "\n".join(lines)


def invalid(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """The object, or the options of the request, break rules."""
    causes = [Cause(error.problem.value[1], error.body, error.path).to_json() for error in errors]
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid",
        f"{qualified(kind, group)} {quoted(name)} is invalid: {aggregate(errors)}",
        details={**_details(name, group, kind), "causes": causes},
    )


def invalid_options(kind: str, errors: Sequence[FieldError]) -> ApiError:
    """The query parameters break rules; `kind` is ListOptions, CreateOptions, PatchOptions ..."""
    return invalid(kind, "meta.k8s.io", "", errors)


def bad_request(message: str) -> ApiError:
    """The request cannot be understood."""
    return ApiError(HTTPStatus.BAD_REQUEST, "BadRequest", message)


def undecodable(kind: str, version: str, why: str) -> ApiError:
    """The body is JSON, but no `kind`."""
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def strict_decoding(kind: str, version: str, problems: Iterable[str]) -> ApiError:
    """The body has unknown or duplicate fields, and the client asked to be told so."""
    return undecodable(kind, version, f"strict decoding error: {', '.join(problems)}")


def unrecognized(kind: str, why: str) -> ApiError:
    """The body is no object at all."""
    return bad_request(
        f"the object provided is unrecognized (must be of type {kind}):"
        f" couldn't get version/kind; json parse error: {why}"
    )


def namespace_mismatch() -> ApiError:
    """Body and URL name different namespaces."""
    return bad_request(
        "the namespace of the provided object does not match the namespace sent on the request"
    )


def name_mismatch(in_body: str, in_url: str) -> ApiError:
    """Body and URL name different objects."""
    return bad_request(
        f"the name of the object ({in_body}) does not match the name on the URL ({in_url})"
    )


def unauthorized() -> ApiError:
    """Who asks is not known, or not who they say."""
    return ApiError(HTTPStatus.UNAUTHORIZED, "Unauthorized", "Unauthorized")


def forbidden(
    resource: str, group: str, name: str, why: str, *, causes: Sequence[Cause] = ()
) -> ApiError:
    """Admission, or another rule about this object, refuses it."""
    what = qualified(resource, group) + (f" {quoted(name)}" if name else "")
    details = _details(name, group, resource)
    if causes:
        details["causes"] = [cause.to_json() for cause in causes]
    return ApiError(
        HTTPStatus.FORBIDDEN, "Forbidden", f"{what} is forbidden: {why}", details=details
    )


def forbidden_path(user: str, verb: str, path: str) -> ApiError:
    """The user may not read a URL that is no resource."""
    message = f"forbidden: User {quoted(user)} cannot {verb} path {quoted(path)}"
    return ApiError(HTTPStatus.FORBIDDEN, "Forbidden", message, details={})


def namespace_terminating(resource: str, group: str, name: str, namespace: str) -> ApiError:
    """Nothing new is made in a namespace that is going."""
    cause = Cause(
        "NamespaceTerminating",
        f"namespace {namespace} is being terminated",
        "metadata.namespace",
    )
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return forbidden(resource, group, name, why, causes=[cause])


def method_not_allowed() -> ApiError:
    """The resource exists, and does not know this verb."""
    return ApiError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        details={},
    )


def not_acceptable(available: Sequence[str]) -> ApiError:
    """None of the media types that the client accepts can be made."""
    return ApiError(
        HTTPStatus.NOT_ACCEPTABLE,
        "NotAcceptable",
        f"only the following media types are accepted: {', '.join(available)}",
    )


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """The body is of a type that this verb does not read."""
    return ApiError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format"
        f" - accepted media types include: {', '.join(accepted)}",
    )


def too_large(bytes_max: int) -> ApiError:
    """The body is larger than any object may be."""
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "RequestEntityTooLarge",
        f"Request entity too large: limit is {bytes_max}",
    )


def expired(message: str, *, continue_token: str = "") -> ApiError:
    """The revision asked for has been compacted away."""
    return ApiError(HTTPStatus.GONE, "Expired", message, continue_token=continue_token)


def too_large_resource_version(asked: int, current: int) -> ApiError:
    """The revision asked for is in the future, and did not come soon enough."""
    cause = Cause("ResourceVersionTooLarge", "Too large resource version")
    return ApiError(
        HTTPStatus.GATEWAY_TIMEOUT,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {current}",
        details={"causes": [cause.to_json()], "retryAfterSeconds": 1},
    )


def server_timeout(resource: str, group: str, verb: str, why: str) -> ApiError:
    """The outcome of a write is not known: the client should look, then try again."""
    what = qualified(resource, group)
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "ServerTimeout",
        f"The {verb} operation against {what} could not be completed at this time: {why}",
        details={**_details("", group, resource), "retryAfterSeconds": 2},
    )


def disruption_budget(budget: str, needs: int, has: int) -> ApiError:
    """An eviction would leave fewer healthy pods than a budget asks for."""
    message = f"The disruption budget {budget} needs {needs} healthy pods and has {has} currently"
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details={"causes": [Cause("DisruptionBudget", message).to_json()]},
    )


def too_many_requests(message: str, *, retry_after_s: int = 1) -> ApiError:
    """The server has too much to do."""
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "TooManyRequests",
        message,
        details={"retryAfterSeconds": retry_after_s},
    )


def unprocessable(details: JsonObject | None = None) -> ApiError:
    """A JSON patch does not fit the object: a test failed, or a path is missing."""
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid",
        "the server rejected our request due to an error in our request",
        details={} if details is None else details,
    )


def internal(message: str) -> ApiError:
    """The server failed at something that is not the client's fault."""
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "InternalError",
        f"Internal error occurred: {message}",
        details={"causes": [{"message": message}]},
    )


def success(name: str, group: str, resource: str, uid: str) -> JsonObject:
    """Return the Status that a delete answers with."""
    details = _details(name, group, resource) | {"uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
