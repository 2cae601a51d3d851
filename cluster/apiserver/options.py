"""The query parameters of the verbs, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.apiserver.routes import is_true
from cluster.kube_api import field_errors
from cluster.kube_api.errors import ApiError, bad_request, invalid_options
from cluster.kube_api.field_errors import FieldError
from cluster.kube_api.objects import JsonObject, object_at, quoted

FIELD_MANAGER_CHARS_MAX = 128
FIELD_VALIDATIONS = ("Ignore", "Warn", "Strict")
_MATCH = "resourceVersionMatch"
PROPAGATIONS = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """Of create, update and patch."""

    is_dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """Of delete and deletecollection: from the query and the body."""

    is_dry_run: bool = False
    grace_s: int | None = None
    propagation: str = ""
    """Empty: what is the kind's default."""
    uid: str = ""
    """A precondition, as the next."""
    resource_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """Of list and watch. `revision` is None for the most recent state, 0 for any."""

    label_selector: str = ""
    field_selector: str = ""
    revision: int | None = None
    match: str = ""
    limit: int = 0
    continue_token: str = ""
    timeout_s: float | None = None
    allows_bookmarks: bool = False
    sends_initial_events: bool | None = None


def write_options(kind: str, query: Mapping[str, str], dry_run: Sequence[str]) -> WriteOptions:
    """Read the options of a write; `kind` is CreateOptions, UpdateOptions or PatchOptions.

    Raises:
        ApiError: 422, one has a value that it cannot have.
    """
    errors = _dry_run_errors(dry_run)
    manager = query.get("fieldManager", "")
    if len(manager) > FIELD_MANAGER_CHARS_MAX:
        errors.append(field_errors.too_long("fieldManager", FIELD_MANAGER_CHARS_MAX))
    elif not manager.isprintable():
        errors.append(
            field_errors.invalid(
                "fieldManager", manager, "should only contain printable characters"
            )
        )
    validation = query.get("fieldValidation", "")
    if validation and validation not in FIELD_VALIDATIONS:
        errors.append(
            field_errors.not_supported("fieldValidation", validation, sorted(FIELD_VALIDATIONS))
        )
    if errors:
        raise invalid_options(kind, errors)
    return WriteOptions(
        is_dry_run=bool(dry_run),
        field_manager=manager,
        field_validation=validation or "Warn",
        force=is_true(query["force"]) if "force" in query else None,
    )


def delete_options(
    query: Mapping[str, str], dry_run: Sequence[str], body: JsonObject
) -> DeleteOptions:
    """Read the options of a delete; the body, if there is one, stands for the query.

    Raises:
        ApiError: 422 or 400.
    """
    if body:
        given = body
        dry_run = body.get("dryRun") or dry_run
    else:
        given = dict(query)
        if "gracePeriodSeconds" in given:
            given["gracePeriodSeconds"] = integer("gracePeriodSeconds", given["gracePeriodSeconds"])
        if "orphanDependents" in given:
            given["orphanDependents"] = is_true(given["orphanDependents"])
    errors = _dry_run_errors(dry_run)
    propagation = given.get("propagationPolicy") or ""
    orphans = given.get("orphanDependents")
    if propagation and orphans is not None:
        errors.append(
            field_errors.invalid(
                "propagationPolicy",
                propagation,
                "orphanDependents and deletionPropagation cannot be both set",
            )
        )
    if propagation and propagation not in PROPAGATIONS:
        errors.append(
            field_errors.not_supported(
                "propagationPolicy",
                propagation,
                [*sorted(PROPAGATIONS[1:]), PROPAGATIONS[0], "nil"],
            )
        )
    if errors:
        raise invalid_options("DeleteOptions", errors)
    if orphans is not None:
        propagation = "Orphan" if orphans else "Background"
    grace = given.get("gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise bad_request("gracePeriodSeconds must be an integer")
    preconditions = object_at(given, "preconditions")
    return DeleteOptions(
        is_dry_run=bool(dry_run),
        grace_s=grace,
        propagation=propagation,
        uid=str(preconditions.get("uid") or ""),
        resource_version=str(preconditions.get("resourceVersion") or ""),
    )


def list_options(query: Mapping[str, str], *, is_watch: bool) -> ListOptions:
    """Read the options of a list or a watch.

    Raises:
        ApiError: 400 for what cannot be read, 422 for what does not go together.
    """
    errors = _watch_errors(query) if is_watch else _list_errors(query)
    if errors:
        raise invalid_options("ListOptions", errors)
    version, timeout = query.get("resourceVersion", ""), query.get("timeoutSeconds", "")
    initial = query.get("sendInitialEvents", "")
    return ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        revision=revision_of(version) if version else None,
        match=query.get("resourceVersionMatch", ""),
        limit=integer("limit", query["limit"]) if query.get("limit") else 0,
        continue_token=query.get("continue", ""),
        timeout_s=float(integer("timeoutSeconds", timeout)) if timeout else None,
        allows_bookmarks=is_true(query.get("allowWatchBookmarks", "")),
        sends_initial_events=is_true(initial) if initial else None,
    )


def _list_errors(query: Mapping[str, str]) -> list[FieldError]:
    if query.get("sendInitialEvents"):
        why = "sendInitialEvents is forbidden for list"
        return [field_errors.forbidden("sendInitialEvents", why)]
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    if not match:
        return []
    why = ""
    if not version:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
    elif query.get("continue"):
        why = "resourceVersionMatch is forbidden when continue is provided"
    elif match not in {"Exact", "NotOlderThan"}:
        return [field_errors.not_supported(_MATCH, match, ["Exact", "NotOlderThan", ""])]
    elif match == "Exact" and version == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    return [field_errors.forbidden(_MATCH, why)] if why else []


def _watch_errors(query: Mapping[str, str]) -> list[FieldError]:
    match = query.get("resourceVersionMatch", "")
    if not query.get("sendInitialEvents"):
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        return [field_errors.forbidden(_MATCH, why)] if match else []
    if not match:
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        return [field_errors.forbidden(_MATCH, why)]
    if match != "NotOlderThan":
        return [field_errors.not_supported(_MATCH, match, ["NotOlderThan"])]
    return []


def _dry_run_errors(dry_run: Sequence[str]) -> list[FieldError]:
    if list(dry_run) in ([], ["All"]):
        return []
    return [
        field_errors.not_supported("dryRun", value, ["All"]) for value in dry_run if value != "All"
    ]


def revision_of(text: str) -> int:
    """Read a resourceVersion; empty is 0.

    Raises:
        ApiError: 400, it is not a number.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal()) or len(text) > 20:  # noqa: PLR2004  uint64
        why = f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax"
        raise bad_request(
            f"invalid resource version: resourceVersion: Invalid value: {quoted(text)}: {why}"
        )
    return int(text)


def integer(name: str, text: str) -> int:
    """Read an integer parameter.

    Raises:
        ApiError: 400, it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise _unparsable(name, text) from None


def _unparsable(name: str, text: str) -> ApiError:
    return bad_request(
        f"unable to parse {name}: strconv.ParseInt: parsing {quoted(text)}: invalid syntax"
    )
