"""Create and update: the way of an object from a request into the store."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cluster.apiserver.admission.plugin import Operation
from cluster.apiserver.registry import rules
from cluster.apiserver.registry.call import Call
from cluster.apiserver.registry.strategies import strategy_of
from cluster.apiserver.storage import Exists, Modified, Stored
from cluster.apiserver.wire_form import decode, encode, object_of, stored_bytes, with_revision
from cluster.kube_api.errors import (
    ApiError,
    already_exists,
    invalid,
    name_mismatch,
    namespace_mismatch,
)
from cluster.kube_api.field_errors import FieldError, Problem
from cluster.kube_api.metadata import kept_metadata, metadata_errors, metadata_update_errors
from cluster.kube_api.objects import JsonObject, member, object_at, same, string_at

CREATE_ATTEMPTS = 8
"""Names that are drawn for one object before the client is told of the collision."""
UPDATE_ATTEMPTS = 16
"""How often a change is made again because another writer was faster."""
_SERVER_FIELDS = (
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "resourceVersion",
    "uid",
)

Change = Callable[[JsonObject], Awaitable[JsonObject]]
"""From what is stored (a copy of one's own) to what shall be."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a write left."""

    obj: JsonObject
    is_created: bool = False
    is_removed: bool = False
    """The last finalizer went, and with it the object."""


async def create(call: Call, obj: JsonObject, *, owns: rules.Ownership | None = None) -> Written:
    """Store a new object.

    Raises:
        ApiError: 409, 422, or what admission says.
    """
    metadata = obj["metadata"] = dict(object_at(obj, "metadata"))
    if metadata.get("resourceVersion"):
        raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
    check_place(call, metadata)
    drawn = not metadata.get("name") and bool(metadata.get("generateName"))
    for attempt in range(CREATE_ATTEMPTS):
        candidate = decode(encode(obj)) if drawn else obj
        if drawn:
            name = call.services.generated_name(string_at(metadata, "generateName"))
            candidate["metadata"]["name"] = name
        try:
            return await _create_once(call, candidate, owns)
        except ApiError as error:
            if not drawn or error.reason != "AlreadyExists" or attempt == CREATE_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt raises")


async def _create_once(call: Call, obj: JsonObject, owns: rules.Ownership | None) -> Written:
    services, resource = call.services, call.resource
    strategy = strategy_of(resource)
    metadata = obj["metadata"]
    for name in _SERVER_FIELDS:
        metadata.pop(name, None)
    metadata["uid"] = services.uid()
    metadata["creationTimestamp"] = services.now()
    if resource.tracks_generation:
        metadata["generation"] = 1
    else:
        metadata.pop("generation", None)
    call.name = string_at(metadata, "name")
    if resource.has_status and not strategy.keeps_status_on_create:
        obj.pop("status", None)
    obj = rules.defaulted(resource, obj)
    obj = (owns or rules.owned_by_update)(call, obj, None)
    await strategy.prepare_create(call, obj)
    attributes = call.attributes(Operation.CREATE, obj)
    await services.mutate(attributes)
    obj = rules.defaulted(resource, obj)
    attributes.obj = obj
    _refuse(call, _metadata_errors(call, obj) + rules.create_errors(resource, obj))
    _refuse(call, await strategy.create_errors(call, obj))
    await services.validate(attributes)
    return await _insert(call, obj)


async def _insert(call: Call, obj: JsonObject) -> Written:
    services, resource = call.services, call.resource
    strategy = strategy_of(resource)
    taken = already_exists(resource.plural, resource.group, call.name)
    if call.options.is_dry_run:
        if await services.store.get(call.key) is not None:
            raise taken
        return Written(obj, is_created=True)
    await strategy.reserve(call, obj, None)
    try:
        revision = await services.store.create(
            call.key, stored_bytes(rules.stored_form(call, obj)), ttl_s=strategy.ttl_s
        )
    except Exists:
        await strategy.release(call, obj, None)
        raise taken from None
    await services.created(call.attributes(Operation.CREATE, obj))
    return Written(with_revision(obj, revision), is_created=True)


async def update(
    call: Call,
    make: Change,
    *,
    may_create: bool = False,
    owns: rules.Ownership | None = None,
    is_status: bool = False,
) -> Written:
    """Replace an object by what `make` makes of it; with status alone, if `is_status`.

    Raises:
        ApiError: 404, 409, 422, what `make` raises, or what admission says.
    """

    async def change(live: JsonObject) -> JsonObject:
        return await _updated(call, await make(live), live, owns, is_status=is_status)

    while True:
        try:
            return await modify(call, change)
        except ApiError as error:
            if (
                not may_create
                or error.reason != "NotFound"
                or error.details != call.not_found().details
            ):
                raise
        made = await make({})
        object_at(made, "metadata").pop("resourceVersion", None)
        try:
            return await create(call, made, owns=owns)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise  # somebody else created it in between: it is an update after all


async def _updated(
    call: Call,
    new: JsonObject,
    live: JsonObject,
    owns: rules.Ownership | None,
    *,
    is_status: bool,
) -> JsonObject:
    services, resource = call.services, call.resource
    strategy = strategy_of(resource)
    new, old = decode(encode(new)), decode(encode(live))
    metadata = new["metadata"] = dict(object_at(new, "metadata"))
    check_place(call, metadata)
    if string_at(metadata, "name") not in ("", call.name):
        raise name_mismatch(string_at(metadata, "name"), call.name)
    metadata["name"] = call.name
    check_preconditions(call, metadata, old)
    if is_status:
        managed = metadata.get("managedFields")
        status = new.get("status")
        new = decode(encode(old)) | ({} if status is None else {"status": status})
        if status is None:
            new.pop("status", None)
        if managed is not None:
            new["metadata"]["managedFields"] = managed
    else:
        new["metadata"] = kept_metadata(metadata, old["metadata"])
        if resource.has_status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
    new["metadata"].pop("resourceVersion", None)
    _keep_generation(call, new, old)
    new = decode(encode(rules.defaulted(resource, new)))
    new = (owns or rules.owned_by_update)(call, new, old)
    await strategy.prepare_update(call, new, old)
    attributes = call.attributes(Operation.UPDATE, new, old)
    await services.mutate(attributes)
    _count_generation(call, new, old)
    problems = _metadata_errors(call, new)
    problems += metadata_update_errors(new["metadata"], old["metadata"])
    problems += rules.update_errors(resource, new, old, subresource=call.subresource)
    _refuse(call, problems)
    _refuse(call, await strategy.update_errors(call, new, old))
    await services.validate(attributes)
    return new


async def modify(call: Call, change: Change) -> Written:
    """Read, change, write; again, if another writer was faster. Nothing is written for no change.

    The cache is asked first: what it holds is nearly always what is stored, and the transaction
    that writes finds out if not. What else comes of a cached object is only believed of a stored
    one.
    """
    services = call.services
    entry = services.cache.get(call.key)
    current = None if entry is None else Stored(entry.key, entry.value, entry.revision)
    is_certain = False
    for _ in range(UPDATE_ATTEMPTS):
        if current is None:
            if not is_certain:
                current = await services.store.get(call.key)
            if current is None:
                raise call.not_found()
            is_certain = True
        try:
            live = object_of(current.value, current.revision)
            new = await change(rules.served_form(call.resource, live))
            written = await _replace(call, current, new, is_certain=is_certain)
        except Modified as newer:
            current, is_certain = newer.current, True
            continue
        except ApiError:
            if is_certain:
                raise
            written = None
        if written is not None:
            return written
        current, is_certain = await services.store.get(call.key), True
    raise call.conflict()


async def _replace(
    call: Call, current: Stored, new: JsonObject, *, is_certain: bool
) -> Written | None:
    """Write `new` over `current`, or remove it; None: not sure yet that there is nothing to do."""
    services, strategy = call.services, strategy_of(call.resource)
    new = rules.stored_form(call, new)
    new["metadata"].pop("resourceVersion", None)
    old = decode(current.value)
    if rules.is_same(new, old):
        return Written(with_revision(old, current.revision)) if is_certain else None
    if is_over(call, new):
        if call.options.is_dry_run:
            return Written(with_revision(new, current.revision), is_removed=True)
        revision = await services.store.delete(call.key, seen=current.revision)
        await strategy.release(call, new, None)
        return Written(with_revision(new, revision), is_removed=True)
    if call.options.is_dry_run:
        return Written(with_revision(new, current.revision))
    await strategy.reserve(call, new, old)
    try:
        revision = await services.store.update(
            call.key, stored_bytes(new), seen=current.revision, ttl_s=strategy.ttl_s
        )
    except Modified as newer:
        kept = None if newer.current is None else decode(newer.current.value)
        await strategy.release(call, new, kept or old)
        raise
    await strategy.release(call, old, new)
    return Written(with_revision(new, revision))


def is_over(call: Call, obj: JsonObject) -> bool:
    """Whether an object is being deleted, and nothing holds it any more."""
    if member(obj, "metadata", "deletionTimestamp") is None:
        return False
    strategy = strategy_of(call.resource)
    return strategy.is_removable(obj) and not strategy.is_graceful(obj)


def check_place(call: Call, metadata: JsonObject) -> None:
    """Put the object into the namespace of the URL; refuse one that says another.

    Raises:
        ApiError: 400.
    """
    if not call.resource.is_namespaced:
        return
    if string_at(metadata, "namespace") not in ("", call.namespace):
        raise namespace_mismatch()
    metadata["namespace"] = call.namespace


def check_preconditions(call: Call, metadata: JsonObject, old: JsonObject) -> None:
    """Refuse a change of another object, or of another version, than the client saw.

    Raises:
        ApiError: 409, or 422 where the version must be said and is not.
    """
    uid, version = string_at(metadata, "uid"), string_at(metadata, "resourceVersion")
    stored_uid = string_at(old, "metadata", "uid")
    if uid and uid != stored_uid:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {stored_uid}"
        raise call.conflict(why)
    if not version and (call.resource.needs_resource_version or call.resource.is_custom):
        problem = FieldError(
            Problem.INVALID,
            "metadata.resourceVersion",
            rules.ZERO_VERSION,
            "must be specified for an update",
        )
        _refuse(call, [problem])
    if version and version != string_at(old, "metadata", "resourceVersion"):
        raise call.conflict()


def _keep_generation(call: Call, new: JsonObject, old: JsonObject) -> None:
    generation = member(old, "metadata", "generation")
    if generation is None:
        new["metadata"].pop("generation", None)
    else:
        new["metadata"]["generation"] = generation


def _count_generation(call: Call, new: JsonObject, old: JsonObject) -> None:
    if not (call.resource.tracks_generation or call.resource.is_custom):
        return
    aside = {"metadata", "status"} if call.resource.has_status else {"metadata"}
    if not same(_without(new, aside), _without(old, aside)):
        new["metadata"]["generation"] = (member(old, "metadata", "generation") or 0) + 1


def _without(obj: JsonObject, names: set[str]) -> JsonObject:
    return {name: value for name, value in obj.items() if name not in names}


def _metadata_errors(call: Call, obj: JsonObject) -> list[FieldError]:
    return metadata_errors(call.resource, obj["metadata"])


def _refuse(call: Call, errors: list[FieldError]) -> None:
    if errors:
        raise invalid(call.resource.kind, call.resource.group, call.name, errors)
